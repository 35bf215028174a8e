//! The maps that the program and its loader share: names, shapes, default capacities.

/// Which layout the maps have. It changes with the meaning or the shape of anything in one of [`KEPT`], and [`SETTINGS`]: then
/// what is pinned by another version is not read.
pub const LAYOUT: u32 = 2;

/// What is configured: a new configuration comes with new ones, and with new programs that read them.
pub const CONFIGURED: [&str; 6] = [PORTS, RULES, SETTINGS, HOST_RULES, PATTERNS, NETWORKS];
/// What is counted, held and learned: programs that follow upon others go on with theirs.
pub const KEPT: [&str; 27] = [
    COUNTERS,
    SKIPPED,
    SOURCES,
    TOTALS,
    OPEN,
    PENDING,
    OPEN_EVENTS,
    KNOWN,
    PREFIXES,
    PREFIX_LENGTHS,
    PREFIX_BLOCKS,
    PREFIX_STATE,
    HOST_COUNTERS,
    HOSTS,
    LISTED,
    UNLISTED,
    STATES,
    SHARED_STATES,
    QUERIES,
    FLOWS,
    EVENTS,
    UNREAD,
    UNREAD_NAMES,
    STREAMS,
    REPORTS,
    REPORTED,
    REPORTS_COUNTED,
];

/// Array of [`PortSet`](crate::rule::PortSet): rule numbers by port, 64 ports an element.
pub const PORTS: &str = "PORTS";
/// Array of [`Rule`](crate::rule::Rule), by rule number; element [`RESETS_RULE`] is for resets.
pub const RULES: &str = "RULES";
/// Per-CPU array of [`RuleCounters`](crate::verdict::RuleCounters), by rule number.
pub const COUNTERS: &str = "COUNTERS";
/// Per-CPU array of [`SkipCounters`](crate::verdict::SkipCounters), one element.
pub const SKIPPED: &str = "SKIPPED";
/// Array of [`Set`](crate::sources::Set).
pub const SOURCES: &str = "SOURCES";
/// Array of [`Total`](crate::gate::Total): the state of each rule's `total_rate`, by rule number.
pub const TOTALS: &str = "TOTALS";
/// Hash of [`Count`](crate::open::Count), by [`Key`](crate::open::Key): open connections.
pub const OPEN: &str = "OPEN";
/// Array of [`Set`](crate::sources::Set): handshakes, as in [`pending`](crate::pending).
pub const PENDING: &str = "PENDING";
/// Per-CPU array of [`EventCounters`](crate::open::EventCounters), one element.
pub const OPEN_EVENTS: &str = "OPEN_EVENTS";

/// Array of [`Set`](crate::sources::Set): sources that completed a handshake, as in [`known`](crate::known).
pub const KNOWN: &str = "KNOWN";
/// Hash of [`Entry`](crate::lists::Entry), by [`Key`](crate::lists::Key): prefixes that are allowed or denied.
pub const PREFIXES: &str = "PREFIXES";
/// Array of the [`LENGTHS`](crate::lists::LENGTHS) words of each scope, the second generation's behind the first's.
pub const PREFIX_LENGTHS: &str = "PREFIX_LENGTHS";
/// Array of words: a bit for each [`block`](crate::lists::block), the second generation's behind the first's.
pub const PREFIX_BLOCKS: &str = "PREFIX_BLOCKS";
/// Array of words: which generation holds, 0 for none; then for each, whether it has broad IPv6 prefixes.
pub const PREFIX_STATE: &str = "PREFIX_STATE";

/// Read-only data: the [`Secret`](crate::key::Secret) that sources are hashed with.
pub const SECRET: &str = "SECRET";
/// Read-only data: how many sets of sources there are, less one.
pub const SET_MASK: &str = "SET_MASK";
/// Read-only data: the cookie of the network namespace whose connections are counted.
pub const NAMESPACE: &str = "NAMESPACE";

/// Number of the rule that says how many resets are sent. No port has it: 0 says that a port has no rule.
pub const RESETS_RULE: u32 = 0;
/// Rule numbers run from 1 to 255.
pub const MAX_RULES: u32 = 256;
/// How many sources have a cell of their own, unless configured: 8 MiB.
pub const DEFAULT_SOURCES: u64 = 1 << 20;
/// How many sources with open connections are counted.
pub const MAX_OPEN: u32 = 1 << 18;
/// How many sources that completed a handshake are remembered: 2 MiB.
pub const MAX_KNOWN: u32 = 1 << 18;
/// How many prefixes can be listed.
pub const MAX_PREFIXES: u32 = 1 << 18;
/// How many sources with pending handshakes have a cell of their own: 1 MiB.
pub const MAX_PENDING: u32 = 1 << 17;

/// Array of [`Settings`](crate::outbound::Settings), one element.
pub const SETTINGS: &str = "SETTINGS";
/// Array of [`HostRule`](crate::outbound::HostRule), by rule number.
pub const HOST_RULES: &str = "HOST_RULES";
/// Per-CPU array of [`HostCounters`](crate::outbound::tables::HostCounters), by rule number.
pub const HOST_COUNTERS: &str = "HOST_COUNTERS";
/// Hash of rule numbers, by [`exact_key`](crate::name::NameHash::exact_key) or
/// [`wildcard_key`](crate::name::NameHash::wildcard_key).
pub const PATTERNS: &str = "PATTERNS";
/// LPM trie of rule numbers, by prefixes of IPv6 and IPv4-mapped addresses.
pub const NETWORKS: &str = "NETWORKS";
/// LRU hash of [`HostName`](crate::outbound::tables::HostName), by [`NameId`](crate::name::NameId).
pub const HOSTS: &str = "HOSTS";
/// Hash of [`Names`](crate::mapping::Names), by address: the names that a rule lists.
pub const LISTED: &str = "LISTED";
/// LRU hash of [`Names`](crate::mapping::Names), by address: all other names.
pub const UNLISTED: &str = "UNLISTED";
/// Array of [`Set`](crate::sources::Set): the states of names and addresses.
pub const STATES: &str = "STATES";
/// Array of [`Set`](crate::sources::Set): the states that rules share, four a rule.
pub const SHARED_STATES: &str = "SHARED_STATES";
/// LRU hash of [`Query`](crate::outbound::tables::Query), by [`QueryKey`](crate::outbound::tables::QueryKey).
pub const QUERIES: &str = "QUERIES";
/// LRU hash of the time of the last datagram, by [`Flow`](crate::outbound::tables::Flow).
pub const FLOWS: &str = "FLOWS";
/// Array of [`Walk`](crate::dns::Walk)s to work in.
pub const WALKS: &str = "WALKS";
/// Per-CPU array of [`EventCounters`](crate::outbound::tables::EventCounters), one element.
pub const EVENTS: &str = "EVENTS";
/// Per-CPU array of [`UnreadCounters`](crate::outbound::tables::UnreadCounters), one element.
pub const UNREAD: &str = "UNREAD";
/// Ring buffer of [`UnreadName`](crate::outbound::tables::UnreadName)s, for the daemon.
pub const UNREAD_NAMES: &str = "UNREAD_NAMES";
/// LRU hash of [`Awaited`](crate::dns::Awaited), by socket and direction.
pub const STREAMS: &str = "STREAMS";

/// Ring buffer of [`Report`](crate::report::Report)s, for the daemon.
pub const REPORTS: &str = "REPORTS";
/// Array of the times of last reports: [`SLOTS`](crate::report::SLOTS) of sources, and as many of destinations.
pub const REPORTED: &str = "REPORTED";
/// Array of words: [`REPORTED`](crate::report::REPORTED) and [`LOST`](crate::report::LOST).
pub const REPORTS_COUNTED: &str = "REPORTS_COUNTED";

/// How many rules for destinations there can be, the two without a list included.
pub const MAX_HOST_RULES: u32 = 4096;
/// How many exact names and wildcards they can list together.
pub const MAX_PATTERNS: u32 = 1 << 17;
/// How many networks they can list together.
pub const MAX_NETWORKS: u32 = 1 << 16;
/// How many names are kept with their counters; the ones longest unused go first.
pub const MAX_HOSTS: u32 = 1 << 16;
/// How many addresses of listed names are kept.
pub const MAX_LISTED: u32 = 1 << 16;
/// How many addresses of other names are kept; the ones longest unused go first.
pub const MAX_UNLISTED: u32 = 1 << 17;
/// How many names and addresses have a state of their own: 8 MiB.
pub const MAX_STATES: u32 = 1 << 20;
/// How many queries may wait for their answers.
pub const MAX_QUERIES: u32 = 1 << 14;
/// How many UDP flows are told apart.
pub const MAX_FLOWS: u32 = 1 << 16;
/// How many messages may be read at one time.
pub const MAX_WALKS: u32 = 64;
/// How many bytes of names may wait for the daemon: 963 names.
pub const MAX_UNREAD_NAMES: u32 = 1 << 18;
/// How many bytes of reports may wait for the daemon: 4,681 of them.
pub const MAX_REPORTS: u32 = 1 << 18;
/// How many TCP connections with messages in several segments are kept; the ones longest unused go first.
pub const MAX_STREAMS: u32 = 1 << 12;
