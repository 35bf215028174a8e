//! Which frames a counter counts, as a program for the kernel's socket filter (classic BPF).

use nix::libc;
use socket2::SockFilter;

use crate::packet::flags;

/// A jump to the end, where the frame is refused; resolved when the program is complete.
const REJECT: u8 = u8::MAX;
const ETHERNET: u32 = 14;
const IPV6: u32 = 40;
const TCP: u32 = 6;
/// Offset of the flags in a TCP header.
const FLAGS: u32 = 13;

/// TCP segments with certain flags and one certain port, received without a VLAN tag.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    port: u16,
    /// Offset of that port in the TCP header.
    port_offset: u32,
    flags: u16,
    queue: Option<u32>,
}

impl Filter {
    /// Segments that would open a connection to a port: SYN without ACK, RST or FIN.
    pub const fn syn_to(port: u16) -> Self {
        Self { port, port_offset: 2, flags: flags::SYN, queue: None }
    }

    /// The refusals of such: RST with ACK, from a port.
    pub const fn reset_from(port: u16) -> Self {
        Self { port, port_offset: 0, flags: flags::RST | flags::ACK, queue: None }
    }

    /// The answers to such: SYN with ACK, from a port.
    pub const fn syn_ack_from(port: u16) -> Self {
        Self { port, port_offset: 0, flags: flags::SYN | flags::ACK, queue: None }
    }

    /// Only what arrived on this queue of a veth; the first is 0. (A NIC's driver would count from 1.)
    #[must_use]
    pub const fn on_queue(self, queue: u32) -> Self {
        Self { queue: Some(queue), ..self }
    }

    pub(super) fn program(self) -> Vec<SockFilter> {
        let mut code = Vec::new();
        // What the kernel knows of the frame: not an outgoing one, no tag that it has taken off, the queue.
        code.extend([
            ancillary(libc::SKF_AD_PKTTYPE),
            reject_if(libc::BPF_JEQ, libc::PACKET_OUTGOING.into()),
        ]);
        code.extend([ancillary(libc::SKF_AD_VLAN_TAG_PRESENT), expect(0)]);
        if let Some(queue) = self.queue {
            // The sender's transmit queue, which is the number of the receive queue: veth leaves it as it was.
            code.extend([ancillary(libc::SKF_AD_QUEUE), expect(queue)]);
        }
        let v4 = [
            byte(ETHERNET + 9),
            expect(TCP),
            half(ETHERNET + 6),
            reject_if(libc::BPF_JSET, 0x1fff), // a later fragment
            (op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH), 0, 0, ETHERNET),
        ];
        let v6 = [
            byte(ETHERNET + 6),
            expect(TCP),
            (op(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM), 0, 0, IPV6),
            (op(libc::BPF_JMP | libc::BPF_JA), 0, 0, v4.len() as u32),
        ];
        code.push(half(12));
        code.push((op(libc::BPF_JMP | libc::BPF_JEQ), 1 + v6.len() as u8, 0, libc::ETH_P_IP as u32));
        code.push(expect(libc::ETH_P_IPV6 as u32));
        code.extend(v6);
        code.extend(v4);
        // Both leave the length of the IP header in X.
        let opening = u32::from(flags::SYN | flags::ACK | flags::RST | flags::FIN);
        code.extend([
            (op(libc::BPF_LD | libc::BPF_B | libc::BPF_IND), 0, 0, ETHERNET + FLAGS),
            (op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K), 0, 0, opening),
            expect(self.flags.into()),
            (op(libc::BPF_LD | libc::BPF_H | libc::BPF_IND), 0, 0, ETHERNET + self.port_offset),
            expect(self.port.into()),
            (op(libc::BPF_RET | libc::BPF_K), 0, 0, 1), // one byte of it will do
            (op(libc::BPF_RET | libc::BPF_K), 0, 0, 0),
        ]);
        let end = code.len() - 1;
        let resolve = |at: usize, jump: u8| {
            if jump == REJECT { (end - at - 1) as u8 } else { jump }
        };
        let resolved = code.iter().enumerate();
        resolved
            .map(|(at, &(op, jt, jf, k))| SockFilter::new(op, resolve(at, jt), resolve(at, jf), k))
            .collect()
    }
}

/// Operation, jumps if true and if false, operand.
type Instruction = (u16, u8, u8, u32);

const fn op(code: u32) -> u16 {
    code as u16
}

const fn byte(offset: u32) -> Instruction {
    (op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS), 0, 0, offset)
}

const fn half(offset: u32) -> Instruction {
    (op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS), 0, 0, offset)
}

const fn ancillary(what: i32) -> Instruction {
    (op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, (libc::SKF_AD_OFF + what) as u32)
}

const fn expect(value: u32) -> Instruction {
    (op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), 0, REJECT, value)
}

const fn reject_if(condition: u32, value: u32) -> Instruction {
    (op(libc::BPF_JMP | condition | libc::BPF_K), REJECT, 0, value)
}
