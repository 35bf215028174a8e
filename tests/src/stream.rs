//! SYNs from one source after another, made in the kernel by a program that writes the source into each frame.
//!
//! It shows them to another program ([`Stream::before`]): a test run hands out the same frame again and again, which
//! flatters what is measured, and keeps what was written into it. Or it sends them ([`Flood`]), millions a second.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::net::if_::if_nametoindex;

use crate::bpf::{self, Instruction, MapKind};
use crate::net::Host;

/// Where things are in a frame of Ethernet, IPv4 without options, and TCP. In one of IPv6 without extensions the second
/// quarter of the source address is where the source of IPv4 is, in the part by which networks differ.
const SOURCE: i16 = 26;
const CHECKSUMS_V4: &[i16] = &[24, 50];
const CHECKSUMS_V6: &[i16] = &[70];
const ETHERTYPE: usize = 12;
const IPV6: [u8; 2] = [0x86, 0xdd];

// What XDP returns.
const XDP_ABORTED: i32 = 0;
const XDP_TX: i32 = 3;

/// How many frames a live run makes at a time; NAPI takes as many.
const BATCH: u32 = 64;

/// Sources, of which each frame gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// The address of the first.
    pub first: Ipv4Addr,
    /// How many there are, as a power of two.
    pub bits: u32,
}

/// Which source comes next; also which bits of the generator it is made of, as a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each one before any comes again, in the same order: the lowest bits.
    InTurn = 0,
    /// Any: upper bits, which look random.
    Random = 33,
}

/// A program that gives each frame its source and shows it to another one.
#[derive(Debug)]
pub struct Stream {
    program: OwnedFd,
    _state: OwnedFd,
    _next: OwnedFd,
}

impl Stream {
    /// With `restore`, all of `frame` is written anew each time: `next` changes it.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn before(next: &impl AsFd, frame: &[u8], sources: Sources, restore: bool) -> io::Result<Self> {
        let programs = bpf::map(MapKind::Programs, 4)?;
        bpf::set_program(&programs, next)?;
        let state = bpf::map(MapKind::Array, 8)?;
        let mut code = Code::default();
        code.enter(frame.len());
        if restore {
            code.write(frame);
        }
        code.vary(&state, sources, Order::Random);
        code.tail_call(&programs);
        Ok(Self { program: bpf::load_xdp(&code.0)?, _state: state, _next: programs })
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// A program that sends SYNs from many sources, as fast as a CPU can.
#[derive(Debug)]
pub struct Flood {
    program: OwnedFd,
    _state: OwnedFd,
    frame: Vec<u8>,
    interface: u32,
}

impl Flood {
    /// Out of an interface of `host`: a veth, whose other end has an XDP program. The frame is one of IPv4 without options
    /// or of IPv6 without extensions, and of TCP, with the right checksums.
    #[track_caller]
    pub fn new(host: &Host, interface: &str, frame: &[u8], sources: Sources) -> Self {
        Self::load(host, interface, frame, sources, Order::Random, false)
    }

    /// The same in this order, with each frame written anew, for another end that changes what it gets.
    #[track_caller]
    pub fn rewriting(host: &Host, interface: &str, frame: &[u8], sources: Sources, order: Order) -> Self {
        Self::load(host, interface, frame, sources, order, true)
    }

    #[track_caller]
    fn load(
        host: &Host,
        interface: &str,
        frame: &[u8],
        sources: Sources,
        order: Order,
        rewrite: bool,
    ) -> Self {
        let state = bpf::map(MapKind::Array, 8).expect("maps need root");
        let mut code = Code::default();
        code.enter(frame.len());
        if rewrite {
            code.write(frame);
        }
        code.vary(&state, sources, order);
        for &offset in checksums(frame) {
            code.correct(offset, without_source(frame, offset));
        }
        code.finish(XDP_TX);
        let program =
            bpf::load_xdp(&code.0).unwrap_or_else(|error| panic!("the kernel takes no flood: {error}"));
        let index = host.run(|| if_nametoindex(interface));
        let interface = index.unwrap_or_else(|error| panic!("no interface {interface}: {error}"));
        Self { program, _state: state, frame: frame.into(), interface }
    }

    /// Sends so many, on the CPU and in the network namespace of this thread.
    #[track_caller]
    pub fn send(&self, count: u32) {
        let sent = bpf::run_live(&self.program, &self.frame, count, BATCH, self.interface);
        sent.unwrap_or_else(|error| panic!("the kernel sends no frames: {error}"));
    }
}

impl AsFd for Flood {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// Where the checksums are that change with the source.
fn checksums(frame: &[u8]) -> &'static [i16] {
    if frame[ETHERTYPE..].starts_with(&IPV6) { CHECKSUMS_V6 } else { CHECKSUMS_V4 }
}

/// The sum that a checksum was made of (RFC 1071), less the source's part.
fn without_source(frame: &[u8], checksum: i16) -> i32 {
    let word = |offset: i16| {
        let offset = offset as usize;
        u32::from(u16::from_be_bytes([frame[offset], frame[offset + 1]]))
    };
    let complement = |word: u32| !word & 0xffff;
    let sum = complement(word(checksum)) + complement(word(SOURCE)) + complement(word(SOURCE + 2));
    (sum % 0xffff) as i32
}

/// Instructions. Register 6 holds the context, register 2 the start of the frame, register 0 the source.
#[derive(Default)]
struct Code(Vec<Instruction>);

impl Code {
    fn push(&mut self, code: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        self.0.push(Instruction::new(code, destination, source, offset, immediate));
    }

    fn finish(&mut self, value: i32) {
        self.0.extend(Instruction::returning(value));
    }

    /// Gives up where the frame is shorter than `length`.
    fn enter(&mut self, length: usize) {
        self.push(0xbf, 6, 1, 0, 0); // r6 = r1
        self.push(0x61, 2, 6, 0, 0); // r2 = data
        self.push(0x61, 3, 6, 4, 0); // r3 = data_end
        self.push(0xbf, 4, 2, 0, 0); // r4 = r2
        self.push(0x07, 4, 0, 0, length as i32); // r4 += length
        self.push(0xbd, 4, 3, 2, 0); // if r4 <= r3 skip two
        self.finish(XDP_ABORTED);
    }

    fn load_constant(&mut self, register: u8, value: u64) {
        self.push(0x18, register, 0, 0, value as i32);
        self.push(0, 0, 0, 0, (value >> 32) as i32);
    }

    /// Writes the frame: eight, four, two bytes at a time.
    fn write(&mut self, frame: &[u8]) {
        let mut offset = 0;
        for (size, opcode) in [(8, 0x7b), (4, 0x63), (2, 0x6b)] {
            while frame.len() - offset >= size {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(&frame[offset..offset + size]);
                self.load_constant(5, u64::from_le_bytes(bytes));
                self.push(opcode, 2, 5, offset as i16, 0);
                offset += size;
            }
        }
    }

    /// Draws the next source from a linear congruential generator (Knuth's MMIX) and writes it.
    fn vary(&mut self, state: &OwnedFd, sources: Sources, order: Order) {
        self.push(0x18, 1, 2, 0, state.as_raw_fd()); // r1 = the map's value
        self.push(0, 0, 0, 0, 0);
        self.push(0x79, 0, 1, 0, 0); // r0 = *r1
        self.load_constant(5, 6_364_136_223_846_793_005);
        self.push(0x2f, 0, 5, 0, 0); // r0 *= r5
        self.load_constant(5, 1_442_695_040_888_963_407);
        self.push(0x0f, 0, 5, 0, 0); // r0 += r5
        self.push(0x7b, 1, 0, 0, 0); // *r1 = r0
        self.push(0x77, 0, 0, 0, order as i32); // r0 >>= order
        self.push(0x57, 0, 0, 0, (1 << sources.bits) - 1); // r0 &= mask
        self.push(0x07, 0, 0, 0, sources.first.to_bits() as i32); // r0 += first
        self.push(0xbf, 5, 0, 0, 0); // r5 = r0
        self.push(0xdc, 5, 0, 0, 32); // to big endian
        self.push(0x63, 2, 5, SOURCE, 0);
    }

    /// Writes a checksum: of the rest, whose sum this is, and the source.
    fn correct(&mut self, offset: i16, rest: i32) {
        self.push(0xbf, 3, 0, 0, 0); // r3 = the source
        self.push(0xbf, 4, 0, 0, 0); // r4 = r3
        self.push(0x77, 3, 0, 0, 16); // its upper half
        self.push(0x57, 3, 0, 0, 0xffff);
        self.push(0x57, 4, 0, 0, 0xffff); // and its lower
        self.push(0x0f, 3, 4, 0, 0);
        self.push(0x07, 3, 0, 0, rest);
        for _ in 0..2 {
            self.push(0xbf, 4, 3, 0, 0); // what is over 16 bits is added to them
            self.push(0x77, 4, 0, 0, 16);
            self.push(0x57, 3, 0, 0, 0xffff);
            self.push(0x0f, 3, 4, 0, 0);
        }
        self.push(0xa7, 3, 0, 0, -1); // its complement
        self.push(0xdc, 3, 0, 0, 16);
        self.push(0x6b, 2, 3, offset, 0);
    }

    fn tail_call(&mut self, programs: &OwnedFd) {
        self.push(0xbf, 1, 6, 0, 0); // r1 = r6
        self.push(0x18, 2, 1, 0, programs.as_raw_fd()); // r2 = the map
        self.push(0, 0, 0, 0, 0);
        self.push(0xb7, 3, 0, 0, 0); // r3 = 0
        self.push(0x85, 0, 0, 0, 12); // bpf_tail_call
        self.finish(XDP_ABORTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Frame, checksums_ok};

    #[test]
    fn each_frame_has_its_own_source_and_the_right_checksums() {
        varied(&Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, 80).syn().build());
        varied(&Frame::ipv6("2001:db8::7", "2001:db8::1").tcp(40_000, 80).syn().build());
    }

    fn varied(frame: &[u8]) {
        let state = bpf::map(MapKind::Array, 8).unwrap();
        let mut code = Code::default();
        code.enter(frame.len());
        code.vary(&state, Sources { first: Ipv4Addr::new(32, 0, 0, 0), bits: 25 }, Order::Random);
        for &offset in checksums(frame) {
            code.correct(offset, without_source(frame, offset));
        }
        code.finish(XDP_TX);
        let program = bpf::load_xdp(&code.0).unwrap();
        let mut sources = std::collections::HashSet::new();
        for _ in 0..1000 {
            let made = bpf::test_run_out(&program, frame).unwrap();
            assert!(checksums_ok(&made), "{made:x?}");
            sources.insert(made[26..30].to_vec());
        }
        assert!(sources.len() > 990, "{} of 1000", sources.len());
    }

    #[test]
    fn in_turn_each_source_comes_once() {
        let frame = Frame::ipv4("198.51.100.7", "192.0.2.1").tcp(40_000, 80).syn().build();
        let state = bpf::map(MapKind::Array, 8).unwrap();
        let mut code = Code::default();
        code.enter(frame.len());
        code.write(&frame);
        code.vary(&state, Sources { first: Ipv4Addr::new(32, 0, 0, 0), bits: 10 }, Order::InTurn);
        code.finish(XDP_TX);
        let program = bpf::load_xdp(&code.0).unwrap();
        let source = || bpf::test_run_out(&program, &frame).unwrap()[26..30].to_vec();
        let sources: std::collections::HashSet<_> = (0..1024).map(|_| source()).collect();
        assert_eq!(sources.len(), 1024);
    }
}
