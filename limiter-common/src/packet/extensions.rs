//! The chain of extension headers between an IPv6 header and that of the transport.

use network_types::ip::IpProto;

use super::Packet;
use crate::verdict::Skip;

/// How many of them are looked under.
pub const MAX_EXTENSIONS: usize = 8;

/// What is behind the extension headers of an IPv6 packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upper {
    /// Its protocol.
    pub protocol: u8,
    /// Its offset in the frame.
    pub offset: usize,
    /// Whether this is the first of several fragments.
    pub fragment: bool,
}

/// What [`Packet::skip_extensions`] does unless a packet knows better.
///
/// # Errors
///
/// As [`parse`](super::parse).
#[inline(always)]
pub fn skip<P: Packet + ?Sized>(packet: &P, first: u8, start: usize) -> Result<Upper, Skip> {
    const TCP: u8 = IpProto::Tcp as u8;
    const HOP_BY_HOP: u8 = IpProto::HopOpt as u8;
    const ROUTING: u8 = IpProto::Ipv6Route as u8;
    const DESTINATION: u8 = IpProto::Ipv6Opts as u8;
    const MOBILITY: u8 = IpProto::MobilityHeader as u8;
    const AUTHENTICATION: u8 = IpProto::Ah as u8;
    const FRAGMENT: u8 = IpProto::Ipv6Frag as u8;
    const ENCRYPTED: u8 = IpProto::Esp as u8;

    let (mut next, mut offset) = (first, start);
    let (mut fragment, mut nested, mut more) = (false, false, false);
    for _ in 0..=MAX_EXTENSIONS {
        match next {
            TCP if nested => return Err(Skip::NestedFragment),
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | AUTHENTICATION => {
                let header: [u8; 2] = packet.read(offset).ok_or(Skip::Truncated)?;
                let length = usize::from(header[1]);
                offset += if next == AUTHENTICATION { (length + 2) * 4 } else { (length + 1) * 8 };
                next = header[0];
            }
            FRAGMENT => {
                let header: [u8; 8] = packet.read(offset).ok_or(Skip::Truncated)?;
                let field = u16::from_be_bytes([header[2], header[3]]);
                if field & !0x7 != 0 {
                    return Err(Skip::LaterFragment);
                }
                more |= field & 1 != 0;
                nested |= fragment;
                fragment = true;
                offset += header.len();
                next = header[0];
            }
            ENCRYPTED => return Err(Skip::Encrypted),
            protocol => return Ok(Upper { protocol, offset, fragment: more }),
        }
    }
    Err(Skip::TooManyExtensions)
}
