//! What the kernel should have learned: the same parser in plain loops, and tables that are plain too.

use std::collections::HashMap;

use limiter_common::dns::{Part, Unread, Walk, whole};
use limiter_common::key::Address;
use limiter_common::mapping::{NAMES, until};
use limiter_common::name::{NameId, NameSecret};
use limiter_common::outbound::FIRST_RULE;
use limiter_common::outbound::tables::Event;

use super::Counted;

/// Position in the header of the byte that tells answers from queries, and the bit that does.
const ANSWER: (usize, u8) = (2, 0x80);

/// A name of an address.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its id, as it lies in memory.
    pub id: u64,
    /// It is kept until some time between these two: nobody knows when exactly the kernel looked at its clock.
    pub until: [u64; 2],
}

/// The tables as they should be.
pub struct Model {
    secret: NameSecret,
    patterns: HashMap<u64, u32>,
    walk: Box<Walk>,
    /// Addresses of listed names.
    pub listed: HashMap<Address, Vec<Known>>,
    /// Addresses of others.
    pub unlisted: HashMap<Address, Vec<Known>>,
    /// Names in their wire form, by their ids.
    pub hosts: HashMap<u64, Vec<u8>>,
    /// What should have been counted.
    pub counted: Counted,
}

impl Model {
    /// One that has learned nothing.
    pub fn new(secret: NameSecret, patterns: HashMap<u64, u32>) -> Self {
        Self {
            secret,
            patterns,
            walk: Box::default(),
            listed: HashMap::new(),
            unlisted: HashMap::new(),
            hosts: HashMap::new(),
            counted: Counted::default(),
        }
    }

    /// Learns from a message, as the kernel did between two times. Gives the addresses in it, and whether their name
    /// is listed.
    pub fn learn(&mut self, message: &[u8], times: [u64; 2]) -> (bool, Vec<Address>) {
        let mut taught = (false, Vec::new());
        if let Err(reason) = self.read(message, times, &mut taught) {
            self.count_unread(reason);
        }
        taught
    }

    /// How many addresses there are.
    pub fn size(&self) -> usize {
        self.listed.len() + self.unlisted.len()
    }

    /// Forgets all but what was counted.
    pub fn forget(&mut self) {
        self.listed.clear();
        self.unlisted.clear();
        self.hosts.clear();
    }

    fn read(
        &mut self,
        message: &[u8],
        times: [u64; 2],
        taught: &mut (bool, Vec<Address>),
    ) -> Result<(), Unread> {
        let patterns = &self.patterns;
        let asked =
            whole::question(&mut self.walk, message, &self.secret, &|key| patterns.get(&key).copied());
        // The kernel looks at this bit before it reads the name.
        let is_header_good = message.len() >= 12 && asked != Err(Unread::NotOneQuestion);
        if is_header_good && message[ANSWER.0] & ANSWER.1 == 0 {
            return Err(Unread::Unsolicited);
        }
        let asked = asked?;
        self.count(Event::Answer);
        if asked.header.answers == 0 {
            return Ok(());
        }
        let id = NameId::new(asked.rule, asked.name);
        let mut records = Vec::new();
        let end = whole::records(&mut self.walk, |record| records.push(record));
        taught.0 = id.rule() >= FIRST_RULE;
        for record in &records {
            taught.1.push(record.address);
            self.map(&record.address, id, times.map(|now| until(now, record.ttl)));
        }
        if !records.is_empty() && !self.hosts.contains_key(&id.bits()) {
            let (text, length) = self.walk.text();
            self.hosts.insert(id.bits(), text[..length as usize].to_vec());
            self.count(Event::NameLearned);
        }
        end.map_err(|why| Part::all(message.len() as u32).blame(why))
    }

    fn map(&mut self, address: &Address, id: NameId, until: [u64; 2]) {
        let table = if id.rule() >= FIRST_RULE { &mut self.listed } else { &mut self.unlisted };
        let is_new = !table.contains_key(address);
        let names = table.entry(*address).or_default();
        if let Some(known) = names.iter_mut().find(|known| known.id == id.bits()) {
            known.until = [known.until[0].max(until[0]), known.until[1].max(until[1])];
            return;
        }
        // No name is over its time here: all are kept for minutes, and the tables for seconds.
        let has_room = names.len() < NAMES;
        if has_room {
            names.push(Known { id: id.bits(), until });
        }
        if is_new {
            self.count(Event::AddressLearned);
        }
        if has_room {
            self.count(Event::Mapped);
        } else {
            self.count_unread(Unread::NamesFull);
        }
    }

    const fn count(&mut self, event: Event) {
        self.counted.0[event as usize] += 1;
    }

    const fn count_unread(&mut self, reason: Unread) {
        self.counted.1[reason as usize] += 1;
    }
}
