//! IPv4 and IPv6 headers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Frame;
use super::checksum::checksum;
use super::extension::Extension;
use super::transport::Transport;

const TTL: u8 = 64;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

#[derive(Debug, Clone)]
pub(super) enum Ip {
    None,
    V4(V4),
    V6(V6),
}

#[derive(Debug, Clone)]
pub(super) struct V4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    version: u8,
    ihl: Option<u8>,
    total_length: Option<u16>,
    id: u16,
    fragment: u16,
    ttl: u8,
    checksum_error: u16,
    options: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct V6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    version: u8,
    payload_length: Option<u16>,
    hop_limit: u8,
    extensions: Vec<Extension>,
}

impl Frame {
    /// IPv4: options, filled up with zeros to a multiple of four bytes.
    #[track_caller]
    pub fn ip_options(mut self, bytes: &[u8]) -> Self {
        self.v4().options = bytes.to_vec();
        self
    }

    /// IPv4: says that the header has so many words of four bytes.
    #[track_caller]
    pub fn ihl(mut self, words: u8) -> Self {
        self.v4().ihl = Some(words);
        self
    }

    /// IPv4: says that the packet has this length.
    #[track_caller]
    pub fn total_length(mut self, bytes: u16) -> Self {
        self.v4().total_length = Some(bytes);
        self
    }

    /// IPv4: identification.
    #[track_caller]
    pub fn id(mut self, id: u16) -> Self {
        self.v4().id = id;
        self
    }

    /// IPv4: a fragment from that offset on, in units of eight bytes, with more to follow or not.
    #[track_caller]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.v4().fragment = offset | if more { MORE_FRAGMENTS } else { 0 };
        self
    }

    /// IPv4: not to be fragmented.
    #[track_caller]
    pub fn dont_fragment(mut self) -> Self {
        self.v4().fragment |= DONT_FRAGMENT;
        self
    }

    /// IPv4: a header checksum that is wrong.
    #[track_caller]
    pub fn bad_ip_checksum(mut self) -> Self {
        self.v4().checksum_error = 0x5555;
        self
    }

    /// IPv6: adds an extension header after those that are there.
    #[track_caller]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.v6().extensions.push(extension);
        self
    }

    /// IPv6: says that so much follows the header.
    #[track_caller]
    pub fn payload_length(mut self, bytes: u16) -> Self {
        self.v6().payload_length = Some(bytes);
        self
    }

    /// The version in the header, of four bits.
    #[track_caller]
    pub fn version(mut self, version: u8) -> Self {
        match &mut self.ip {
            Ip::V4(ip) => ip.version = version,
            Ip::V6(ip) => ip.version = version,
            Ip::None => panic!("not an IP frame"),
        }
        self
    }

    /// Time to live, or hop limit.
    #[track_caller]
    pub fn ttl(mut self, ttl: u8) -> Self {
        match &mut self.ip {
            Ip::V4(ip) => ip.ttl = ttl,
            Ip::V6(ip) => ip.hop_limit = ttl,
            Ip::None => panic!("not an IP frame"),
        }
        self
    }

    #[track_caller]
    fn v4(&mut self) -> &mut V4 {
        let Ip::V4(ip) = &mut self.ip else { panic!("not an IPv4 frame") };
        ip
    }

    #[track_caller]
    fn v6(&mut self) -> &mut V6 {
        let Ip::V6(ip) = &mut self.ip else { panic!("not an IPv6 frame") };
        ip
    }
}

impl Ip {
    pub(super) fn ethertype(&self) -> u16 {
        match self {
            Self::None => 0,
            Self::V4(_) => 0x0800,
            Self::V6(_) => 0x86dd,
        }
    }

    /// What checksums of TCP and UDP cover beside the segment (RFC 9293, 3.1; RFC 8200, 8.1).
    pub(super) fn pseudo_header(&self, transport: &Transport, length: usize) -> Vec<u8> {
        let protocol = transport.protocol();
        let (length16, length32) = ((length as u16).to_be_bytes(), (length as u32).to_be_bytes());
        match self {
            Self::None => Vec::new(),
            Self::V4(ip) => {
                let addresses = [ip.source.octets(), ip.destination.octets()].concat();
                [addresses, vec![0, protocol], length16.to_vec()].concat()
            }
            Self::V6(ip) => {
                let addresses = [ip.source.octets(), ip.destination.octets()].concat();
                [addresses, length32.to_vec(), vec![0, 0, 0, protocol]].concat()
            }
        }
    }

    pub(super) fn encode(&self, transport: &Transport, segment: &[u8]) -> Vec<u8> {
        match self {
            Self::None => segment.to_vec(),
            Self::V4(ip) => ip.encode(transport.protocol(), segment),
            Self::V6(ip) => ip.encode(transport.protocol(), segment),
        }
    }
}

impl V4 {
    pub(super) fn new(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self {
            source,
            destination,
            version: 4,
            ihl: None,
            total_length: None,
            id: 0,
            fragment: 0,
            ttl: TTL,
            checksum_error: 0,
            options: Vec::new(),
        }
    }

    fn encode(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let header_length = 20 + options.len();
        let total_length = self.total_length.unwrap_or((header_length + segment.len()) as u16);
        let mut header = vec![self.version << 4 | self.ihl.unwrap_or((header_length / 4) as u8) & 15, 0];
        header.extend([total_length, self.id, self.fragment].map(u16::to_be_bytes).concat());
        header.extend([self.ttl, protocol, 0, 0]);
        header.extend([self.source.octets(), self.destination.octets()].concat());
        header.extend(options);
        let checksum = checksum(&header) ^ self.checksum_error;
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        [&header, segment].concat()
    }
}

impl V6 {
    pub(super) fn new(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        let extensions = Vec::new();
        Self { source, destination, version: 6, payload_length: None, hop_limit: TTL, extensions }
    }

    fn encode(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        let mut payload = segment.to_vec();
        let mut next = protocol;
        for extension in self.extensions.iter().rev() {
            payload = [extension.encode(next), payload].concat();
            next = extension.number();
        }
        let length = self.payload_length.unwrap_or(payload.len() as u16).to_be_bytes();
        let header = [self.version << 4, 0, 0, 0, length[0], length[1], next, self.hop_limit];
        [&header[..], &self.source.octets(), &self.destination.octets(), &payload].concat()
    }
}
