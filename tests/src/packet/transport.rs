//! TCP and UDP headers.

use super::Frame;
use super::checksum::checksum;

/// The nine flags of TCP.
pub mod flags {
    /// No more data.
    pub const FIN: u16 = 1;
    /// Opens a connection.
    pub const SYN: u16 = 1 << 1;
    /// Ends it at once.
    pub const RST: u16 = 1 << 2;
    /// Push.
    pub const PSH: u16 = 1 << 3;
    /// The acknowledgement counts.
    pub const ACK: u16 = 1 << 4;
    /// The urgent pointer counts.
    pub const URG: u16 = 1 << 5;
    /// ECN echo.
    pub const ECE: u16 = 1 << 6;
    /// Congestion window reduced.
    pub const CWR: u16 = 1 << 7;
    /// Accurate ECN (RFC 9768), earlier the nonce sum.
    pub const AE: u16 = 1 << 8;
}

/// A wrong checksum is a right one with these bits turned over.
const ERROR: u16 = 0x5555;

#[derive(Debug, Clone)]
pub(super) enum Transport {
    None,
    Tcp(Tcp),
    Udp { source: u16, destination: u16, checksum_error: u16 },
    Other(u8),
}

#[derive(Debug, Clone)]
pub(super) struct Tcp {
    source: u16,
    destination: u16,
    seq: u32,
    ack: u32,
    data_offset: Option<u8>,
    flags: u16,
    window: u16,
    checksum_error: u16,
    options: Vec<u8>,
}

/// A method that sets one flag.
macro_rules! flag {
    ($method:ident, $flag:ident) => {
        #[doc = concat!("TCP: sets ", stringify!($flag), ".")]
        #[track_caller]
        pub fn $method(self) -> Self {
            self.flags(flags::$flag)
        }
    };
}

impl Frame {
    flag!(fin, FIN);
    flag!(syn, SYN);
    flag!(rst, RST);
    flag!(psh, PSH);
    flag!(ack, ACK);
    flag!(urg, URG);
    flag!(ece, ECE);
    flag!(cwr, CWR);
    flag!(ae, AE);

    /// TCP: sets these [`flags`] beside those that are set.
    #[track_caller]
    pub fn flags(mut self, flags: u16) -> Self {
        self.segment().flags |= flags;
        self
    }

    /// TCP: sequence number.
    #[track_caller]
    pub fn seq(mut self, number: u32) -> Self {
        self.segment().seq = number;
        self
    }

    /// TCP: acknowledgement number; the flag is another matter.
    #[track_caller]
    pub fn ack_number(mut self, number: u32) -> Self {
        self.segment().ack = number;
        self
    }

    /// TCP: says that the header has so many words of four bytes.
    #[track_caller]
    pub fn data_offset(mut self, words: u8) -> Self {
        self.segment().data_offset = Some(words);
        self
    }

    /// TCP: adds bytes of options, which are filled up with zeros to a multiple of four at the end.
    #[track_caller]
    pub fn options(mut self, bytes: &[u8]) -> Self {
        self.segment().options.extend(bytes);
        self
    }

    /// TCP: adds the option for the largest segment.
    #[track_caller]
    pub fn mss(self, bytes: u16) -> Self {
        self.option(2, &bytes.to_be_bytes())
    }

    /// TCP: adds the option for timestamps.
    #[track_caller]
    pub fn timestamps(self, value: u32, echo: u32) -> Self {
        self.option(8, &[value.to_be_bytes(), echo.to_be_bytes()].concat())
    }

    /// TCP: adds the option for Fast Open; an empty cookie asks for one (RFC 7413).
    #[track_caller]
    pub fn fast_open(self, cookie: &[u8]) -> Self {
        self.option(34, cookie)
    }

    /// TCP or UDP: a checksum that is wrong.
    #[track_caller]
    pub fn bad_checksum(mut self) -> Self {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.checksum_error = ERROR,
            Transport::Udp { checksum_error, .. } => *checksum_error = ERROR,
            Transport::None | Transport::Other(_) => panic!("neither TCP nor UDP"),
        }
        self
    }

    #[track_caller]
    fn option(self, kind: u8, value: &[u8]) -> Self {
        self.options(&[&[kind, value.len() as u8 + 2], value].concat())
    }

    #[track_caller]
    fn segment(&mut self) -> &mut Tcp {
        let Transport::Tcp(tcp) = &mut self.transport else { panic!("not a frame of TCP") };
        tcp
    }
}

impl Transport {
    pub(super) fn protocol(&self) -> u8 {
        match self {
            Self::None => 59, // no next header
            Self::Tcp(_) => 6,
            Self::Udp { .. } => 17,
            Self::Other(number) => *number,
        }
    }

    /// Header and payload. `pseudo_header` gives the bytes that a checksum covers as well, for a length of both.
    pub(super) fn encode(&self, payload: &[u8], pseudo_header: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
        let (mut header, at, error) = match self {
            Self::None | Self::Other(_) => return payload.to_vec(),
            Self::Tcp(tcp) => (tcp.encode(), 16, tcp.checksum_error),
            Self::Udp { source, destination, checksum_error } => {
                let length = 8 + payload.len() as u16;
                ([*source, *destination, length, 0].map(u16::to_be_bytes).concat(), 6, *checksum_error)
            }
        };
        let covered = [&pseudo_header(header.len() + payload.len()), &header, payload].concat();
        let checksum = checksum(&covered) ^ error;
        // To UDP, 0 means that there is none (RFC 768).
        let udp_zero = at == 6 && checksum == 0;
        header[at..at + 2].copy_from_slice(&if udp_zero { 0xffff } else { checksum }.to_be_bytes());
        [&header, payload].concat()
    }
}

impl Tcp {
    pub(super) fn new(source: u16, destination: u16) -> Self {
        let (window, options) = (64_240, Vec::new());
        Self {
            source,
            destination,
            seq: 0,
            ack: 0,
            data_offset: None,
            flags: 0,
            window,
            checksum_error: 0,
            options,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = self.data_offset.unwrap_or(5 + (options.len() / 4) as u8);
        let offset_and_flags = u16::from(words) << 12 | self.flags;
        let mut header = [self.source, self.destination].map(u16::to_be_bytes).concat();
        header.extend([self.seq, self.ack].map(u32::to_be_bytes).concat());
        let (checksum, urgent) = (0, 0);
        header.extend([offset_and_flags, self.window, checksum, urgent].map(u16::to_be_bytes).concat());
        header.extend(options);
        header
    }
}
