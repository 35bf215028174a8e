//! The maps that the program and its loader share: names, shapes, default capacities.

/// Array of [`PortSet`](crate::rule::PortSet): rule numbers by port, 64 ports an element.
pub const PORTS: &str = "PORTS";
/// Array of [`Rule`](crate::rule::Rule), by rule number; element 0 stays empty.
pub const RULES: &str = "RULES";
/// Per-CPU array of [`RuleCounters`](crate::verdict::RuleCounters), by rule number.
pub const COUNTERS: &str = "COUNTERS";
/// Per-CPU array of [`SkipCounters`](crate::verdict::SkipCounters), one element.
pub const SKIPPED: &str = "SKIPPED";
/// Array of [`Set`](crate::sources::Set).
pub const SOURCES: &str = "SOURCES";
/// Array of [`Total`](crate::gate::Total): the state of each rule's `total_rate`, by rule number.
pub const TOTALS: &str = "TOTALS";

/// Read-only data: the [`Secret`](crate::key::Secret) that sources are hashed with.
pub const SECRET: &str = "SECRET";
/// Read-only data: how many sets of sources there are, less one.
pub const SET_MASK: &str = "SET_MASK";

/// Rule numbers run from 1 to 255; 0 says that a port has no rule.
pub const MAX_RULES: u32 = 256;
/// How many sources have a cell of their own, unless configured: 8 MiB.
pub const DEFAULT_SOURCES: u64 = 1 << 20;
