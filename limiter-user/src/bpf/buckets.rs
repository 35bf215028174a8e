//! What is held against sources, names and addresses, in the tables that the programs judge by.

use std::collections::HashMap;

use anyhow::Context as _;
use aya::maps::{Array, Map, MapData};
use limiter_common::gcra::State;
use limiter_common::key::{Address, Place, Secret};
use limiter_common::maps;
use limiter_common::outbound::{HostRule, Kind, SHARED_TAG, Settings, Subject};
use limiter_common::rule::Rule;

use super::{HostTables, Pins, SourceTable};

/// The buckets of sources.
pub struct Buckets {
    secret: Secret,
    rules: Array<MapData, Rule>,
    table: SourceTable,
}

/// The buckets of names and addresses.
pub struct HostBuckets {
    places: [u64; 6],
    rules: HashMap<u32, HostRule>,
    own: SourceTable,
    shared: SourceTable,
}

impl Buckets {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// Where they are not there.
    pub fn pinned(pins: &Pins) -> anyhow::Result<Self> {
        let settings: Array<MapData, Settings> = Map::Array(pins.map(maps::SETTINGS)?).try_into()?;
        Ok(Self {
            secret: settings.get(&0, 0).context("cannot read the settings")?.sources,
            rules: Map::Array(pins.map(maps::RULES)?).try_into()?,
            table: SourceTable::map(&pins.map(maps::SOURCES)?)?,
        })
    }

    /// A rule as the kernel has it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn rule(&self, number: u32) -> anyhow::Result<Rule> {
        self.rules.get(&number, 0).context("cannot read a rule")
    }

    /// Where the bucket of an address lies under a rule.
    pub const fn place(&self, number: u32, rule: &Rule, address: &Address) -> Place {
        Place::of(&self.secret, number, address, rule.mask(address.is_v6()))
    }

    /// All of them.
    pub const fn table(&self) -> &SourceTable {
        &self.table
    }
}

impl HostBuckets {
    /// Opens those of the rules with these numbers.
    ///
    /// # Errors
    ///
    /// Where they are not there.
    pub fn pinned(
        tables: &HostTables,
        numbers: impl IntoIterator<Item = u32>,
        pins: &Pins,
    ) -> anyhow::Result<Self> {
        let rule = |number| Ok((number, tables.rule(number)?));
        Ok(Self {
            places: tables.settings.places,
            rules: numbers.into_iter().map(rule).collect::<anyhow::Result<_>>()?,
            own: SourceTable::map(&pins.map(maps::STATES)?)?,
            shared: SourceTable::map(&pins.map(maps::SHARED_STATES)?)?,
        })
    }

    /// A rule as the kernel has it.
    pub fn rule(&self, number: u32) -> Option<&HostRule> {
        self.rules.get(&number)
    }

    /// What is held against somebody; `None` where nothing is.
    pub fn held(&self, rule: &HostRule, subject: &Subject, kind: Kind, now: u64) -> Option<State> {
        if rule.shared == 0 {
            self.own.held(subject.place(&self.places, kind), now)
        } else {
            self.shared.held_in(subject.shared_set(kind), SHARED_TAG, now)
        }
    }

    /// Forgets it, and says what it was.
    pub fn forget(&self, rule: &HostRule, subject: &Subject, kind: Kind, now: u64) -> Option<State> {
        if rule.shared == 0 {
            self.own.forget(subject.place(&self.places, kind), now)
        } else {
            self.shared.forget_in(subject.shared_set(kind), SHARED_TAG, now)
        }
    }

    /// The buckets that names and addresses have for themselves.
    pub const fn own(&self) -> &SourceTable {
        &self.own
    }
}
