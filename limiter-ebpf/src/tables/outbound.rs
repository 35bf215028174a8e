//! The maps of the outbound programs.

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use limiter_common::dns::{Awaited, Unread};
use limiter_common::key::Address;
use limiter_common::mapping::{Learned, Names, SharedNames};
use limiter_common::maps::{
    MAX_FLOWS, MAX_HOST_RULES, MAX_HOSTS, MAX_LISTED, MAX_NETWORKS, MAX_PATTERNS, MAX_QUERIES, MAX_STATES,
    MAX_STREAMS, MAX_UNLISTED,
};
use limiter_common::name::NameId;
use limiter_common::outbound::tables::{
    Event, EventCounters, Flow, HostCounters, HostName, Query, QueryKey, UnreadCounters,
};
use limiter_common::outbound::{FIRST_RULE, HostRule, Settings};
use limiter_common::sources::WAYS;

use crate::atomics::Word;

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
static HOST_RULES: Array<HostRule> = Array::with_max_entries(MAX_HOST_RULES, 0);
#[map]
static HOST_COUNTERS: PerCpuArray<HostCounters> = PerCpuArray::with_max_entries(MAX_HOST_RULES, 0);
#[map]
static PATTERNS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_PATTERNS, BPF_F_NO_PREALLOC);
#[map]
static NETWORKS: LpmTrie<[u64; 2], u32> = LpmTrie::with_max_entries(MAX_NETWORKS, 0);
#[map]
static HOSTS: LruHashMap<u64, Host> = LruHashMap::with_max_entries(MAX_HOSTS, 0);
// Not preallocated: it takes the memory of what it holds.
#[map]
static LISTED: HashMap<Address, SharedNames<Word>> = HashMap::with_max_entries(MAX_LISTED, BPF_F_NO_PREALLOC);
#[map]
static UNLISTED: LruHashMap<Address, SharedNames<Word>> = LruHashMap::with_max_entries(MAX_UNLISTED, 0);
#[map]
static STATES: Array<[Word; WAYS]> = Array::with_max_entries(MAX_STATES / WAYS as u32, BPF_F_MMAPABLE);
#[map]
static SHARED_STATES: Array<[Word; WAYS]> = Array::with_max_entries(MAX_HOST_RULES * 4, BPF_F_MMAPABLE);
#[map]
static QUERIES: LruHashMap<QueryKey, Query> = LruHashMap::with_max_entries(MAX_QUERIES, 0);
#[map]
static FLOWS: LruHashMap<Flow, Word> = LruHashMap::with_max_entries(MAX_FLOWS, 0);
#[map]
static EVENTS: PerCpuArray<EventCounters> = PerCpuArray::with_max_entries(1, 0);
#[map]
static UNREAD: PerCpuArray<UnreadCounters> = PerCpuArray::with_max_entries(1, 0);
#[map]
static STREAMS: LruHashMap<u64, Awaited> = LruHashMap::with_max_entries(MAX_STREAMS, 0);

/// A [`HostName`] while other CPUs count in it.
#[repr(C)]
pub struct Host {
    pub allowed: Word,
    pub refused: Word,
    pub resolved: Word,
    length: u64,
    text: [u8; 256],
}

const _: () = assert!(size_of::<Host>() == size_of::<HostName>());
const _: () = assert!(size_of::<SharedNames<Word>>() == size_of::<Names>());

#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

#[inline(always)]
pub fn host_rule(number: u32) -> Option<&'static HostRule> {
    HOST_RULES.get(number)
}

/// The rule of a name, or of a suffix of names, that is listed.
#[inline(always)]
pub fn pattern(key: u64) -> Option<u32> {
    // SAFETY: written before the programs are attached, and no more after that.
    unsafe { PATTERNS.get(key) }.copied()
}

/// The rule of the longest listed prefix that an address lies in.
#[inline(always)]
pub fn network(address: &Address) -> Option<u32> {
    NETWORKS.get(Key::new(128, address.halves())).copied()
}

/// The listed names of an address.
#[inline(always)]
pub fn listed(address: &Address) -> Option<&'static SharedNames<Word>> {
    // SAFETY: as in `unlisted`; only the daemon takes addresses out of here.
    unsafe { LISTED.get(address) }
}

/// Its other names.
#[inline(always)]
pub fn unlisted(address: &Address) -> Option<&'static SharedNames<Word>> {
    // SAFETY: its words are atomic. Where it is another key's by now, that one's names are charged once, or get one more.
    unsafe { UNLISTED.get(address) }
}

/// Gives an address one more name; `None` where there is no room for the address.
#[inline(always)]
pub fn learn(address: &Address, id: NameId, now: u64, until: u64) -> Option<Learned> {
    let is_listed = id.rule() >= FIRST_RULE;
    let find = || if is_listed { listed(address) } else { unlisted(address) };
    if let Some(names) = find() {
        return Some(names.learn(id, now, until));
    }
    let names = SharedNames::<Word>::one(id, until);
    let inserted = if is_listed {
        LISTED.insert(address, &names, BPF_NOEXIST.into())
    } else {
        UNLISTED.insert(address, &names, BPF_NOEXIST.into())
    };
    if inserted.is_ok() {
        count_event(Event::AddressLearned);
        return Some(Learned::New);
    }
    // Another CPU was faster, or the map is full.
    find().map(|names| names.learn(id, now, until))
}

/// The state of something by its place.
#[inline(always)]
pub fn states(set: u32) -> Option<&'static [Word; WAYS]> {
    STATES.get(set)
}

/// The state that all of a rule shares.
#[inline(always)]
pub fn shared_states(set: u32) -> Option<&'static [Word; WAYS]> {
    SHARED_STATES.get(set)
}

/// What is known of a name.
#[inline(always)]
pub fn host(id: NameId) -> Option<&'static Host> {
    // SAFETY: all that is used of it are atomic words. Where it is another name's by now, that one is counted once.
    unsafe { HOSTS.get(id.bits()) }
}

/// Gives a name its place; false where it has one.
#[inline(always)]
pub fn insert_host(id: NameId, host: &HostName) -> bool {
    let host: *const HostName = host;
    // SAFETY: both are the same integers in the same order, and the kernel only copies them.
    HOSTS.insert(id.bits(), unsafe { &*host.cast::<Host>() }, BPF_NOEXIST.into()).is_ok()
}

/// The query that an answer is to.
#[inline(always)]
pub fn query(key: &QueryKey) -> Option<Query> {
    // SAFETY: integers, copied at once. Where it is another query's by now, the answer may teach that one's name.
    unsafe { QUERIES.get(key) }.copied()
}

/// Notes a query.
#[inline(always)]
pub fn note(key: &QueryKey, query: &Query) -> Result<(), Unread> {
    QUERIES.insert(key, query, 0).map_err(|_| Unread::Internal)
}

/// Forgets a query; what is forgotten makes room for the next one without a search for the oldest.
#[inline(always)]
pub fn forget(key: &QueryKey) {
    let _ = QUERIES.remove(key);
}

/// When a flow sent its last datagram.
#[inline(always)]
pub fn flow(flow: &Flow) -> Option<&'static Word> {
    // SAFETY: one atomic word. Where it is another flow's by now, that one goes on.
    unsafe { FLOWS.get(flow) }
}

/// Remembers a flow. Where that fails, its next datagram counts as a new connection.
#[inline(always)]
pub fn remember(flow: &Flow, now: u64) {
    let _ = FLOWS.insert(flow, Word::from(now), 0);
}

/// Where a stream goes on, where one of its messages was cut off.
#[inline(always)]
pub fn awaited(stream: u64) -> Option<Awaited> {
    // SAFETY: integers, copied at once. Where it is another stream's by now, this one's messages are not found again.
    unsafe { STREAMS.get(stream) }.copied()
}

/// Notes where a stream goes on. Where that fails, its next segment is taken for the beginning of a message.
#[inline(always)]
pub fn await_message(stream: u64, awaited: &Awaited) {
    let _ = STREAMS.insert(stream, awaited, 0);
}

/// Changes this CPU's counters of a rule.
#[inline(always)]
pub fn count_host(rule: u32, change: impl FnOnce(&mut HostCounters)) {
    if let Some(counters) = HOST_COUNTERS.get_ptr_mut(rule) {
        // SAFETY: this CPU's own element. A program that preempts another one here may lose a count to it.
        change(unsafe { &mut *counters });
    }
}

#[inline(always)]
pub fn count_event(event: Event) {
    if let Some(counters) = EVENTS.get_ptr_mut(0) {
        // SAFETY: as in `count_host`.
        unsafe { (*counters).0[event as usize] += 1 };
    }
}

#[inline(always)]
pub fn count_unread(reason: Unread) {
    if let Some(counters) = UNREAD.get_ptr_mut(0) {
        // SAFETY: as in `count_host`.
        let counters = unsafe { &mut (*counters).0 };
        // The compiler knows that a reason has its counter, and would not compare; the verifier does not.
        if let Some(counter) = counters.get_mut(core::hint::black_box(reason as usize)) {
            *counter += 1;
        }
    }
}
