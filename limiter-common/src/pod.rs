//! Says to aya that these types may be copied to and from maps as bytes.

#![expect(unsafe_code, reason = "aya's marker is an unsafe trait")]

use crate::gate::Total;
use crate::key::{Address, Secret};
use crate::mapping::Names;
use crate::outbound::tables::{
    EventCounters, Flow, HostCounters, HostName, Query, QueryKey, UnreadCounters, UnreadName,
};
use crate::outbound::{HostRule, Settings};
use crate::rule::{PortSet, Rule};
use crate::sources::Set;
use crate::verdict::{RuleCounters, SkipCounters};
use crate::{lists, open};

// SAFETY: repr(C) over integers, without padding; any bytes are a value.
unsafe impl aya::Pod for Rule {}
// SAFETY: as above.
unsafe impl aya::Pod for PortSet {}
// SAFETY: as above.
unsafe impl aya::Pod for RuleCounters {}
// SAFETY: as above.
unsafe impl aya::Pod for SkipCounters {}
// SAFETY: as above.
unsafe impl aya::Pod for Set {}
// SAFETY: as above.
unsafe impl aya::Pod for Total {}
// SAFETY: as above.
unsafe impl aya::Pod for Secret {}
// SAFETY: as above.
unsafe impl aya::Pod for Address {}
// SAFETY: as above.
unsafe impl aya::Pod for Names {}
// SAFETY: as above.
unsafe impl aya::Pod for Settings {}
// SAFETY: as above.
unsafe impl aya::Pod for HostRule {}
// SAFETY: as above.
unsafe impl aya::Pod for HostCounters {}
// SAFETY: as above.
unsafe impl aya::Pod for HostName {}
// SAFETY: as above.
unsafe impl aya::Pod for QueryKey {}
// SAFETY: as above.
unsafe impl aya::Pod for Query {}
// SAFETY: as above.
unsafe impl aya::Pod for Flow {}
// SAFETY: as above.
unsafe impl aya::Pod for EventCounters {}
// SAFETY: as above.
unsafe impl aya::Pod for UnreadCounters {}
// SAFETY: as above.
unsafe impl aya::Pod for UnreadName {}
// SAFETY: as above.
unsafe impl aya::Pod for open::Key {}
// SAFETY: as above.
unsafe impl aya::Pod for open::EventCounters {}
// SAFETY: as above.
unsafe impl aya::Pod for lists::Key {}
// SAFETY: as above.
unsafe impl aya::Pod for lists::Entry {}
