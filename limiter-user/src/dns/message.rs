//! DNS answers for the kernel to learn from.

use std::net::IpAddr;

use anyhow::Context as _;
use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use limiter_common::dns::MAX_RECORDS;

/// The answers to the question for a name, as many as its addresses take; each address comes with its TTL in seconds.
///
/// # Errors
///
/// Where the name is none.
pub fn answers(name: &str, addresses: &[(IpAddr, u32)]) -> anyhow::Result<Vec<Vec<u8>>> {
    let owner = Name::from_ascii(name).with_context(|| format!("'{name}' is no name"))?;
    let messages = addresses.chunks(MAX_RECORDS as usize).map(|addresses| {
        let mut message = Message::response(0, OpCode::Query);
        message.add_query(Query::query(owner.clone(), RecordType::A));
        for &(address, ttl) in addresses {
            let data = match address {
                IpAddr::V4(v4) => RData::A(v4.into()),
                IpAddr::V6(v6) => RData::AAAA(v6.into()),
            };
            message.add_answer(Record::from_rdata(owner.clone(), ttl, data));
        }
        message.to_vec().context("cannot write an answer")
    });
    messages.collect()
}

#[cfg(test)]
mod tests {
    use limiter_common::dns::{Walk, whole};
    use limiter_common::name::NameSecret;

    use super::*;
    use crate::bpf::name_hash;
    use crate::bpf::outbound::address;

    #[test]
    fn the_kernels_parser_reads_the_name_and_every_address() {
        let secret = NameSecret::new([1, 2, 3, 4]);
        let addresses: Vec<(IpAddr, u32)> = (0..100u8)
            .flat_map(|i| {
                [
                    ([192, 0, 2, i].into(), 60),
                    (IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i]), 30),
                ]
            })
            .collect();
        let mut read = Vec::new();
        let messages = answers("www.google.com", &addresses).unwrap();
        assert_eq!(messages.len(), 4, "64 addresses a message");
        for message in messages {
            let mut walk = Walk::new();
            let asked = whole::question(&mut walk, &message, &secret, &|_| None).unwrap();
            assert_eq!(asked.name, name_hash(&secret, "www.google.com"));
            whole::records(&mut walk, |record| read.push((record.address, record.ttl))).unwrap();
        }
        assert_eq!(read, addresses.iter().map(|&(ip, ttl)| (address(ip), ttl)).collect::<Vec<_>>());
    }
}
