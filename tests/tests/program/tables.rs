//! Maps: their shapes, and how they are swept.

use aya::maps::{Array, Map};
use limiter_common::gcra::State;
use limiter_common::maps;
use limiter_common::sources::{Set, pack};
use limiter_tests::net::Sandbox;
use limiter_tests::program::Program;
use limiter_user::bpf::outbound::ip;
use limiter_user::bpf::{HostTables, Pins, Programs, SourceTable};
use limiter_user::clock;
use limiter_user::dns::message::answers;

use super::outbound;

/// A cell keeps 48 bits of a time: before those wrap, whoever has been idle for long is forgotten.
#[test]
fn the_sweep_empties_cells_that_were_idle_for_an_hour_and_no_others() {
    const MINUTE: i64 = 60 * 1_000_000_000;
    let mut program = Program::load();
    let now = limiter_tests::wire::monotonic_ns();
    let cell = |tag, minutes| pack(tag, State::from_bits(now.wrapping_add_signed(minutes * MINUTE) & !1));
    let mut sources: Array<_, Set> = program.programs().map_mut(maps::SOURCES).try_into().expect("an array");
    let set = |cells: [u64; 4]| Set([cells[0], cells[1], cells[2], cells[3], 0, 0, 0, 0]);
    sources.set(7, set([cell(1, -61), cell(2, -59), cell(3, 0), cell(4, 600)]), 0).expect("the map is ours");

    let table = SourceTable::map(match program.programs().map(maps::SOURCES) {
        Map::Array(data) => data,
        other => panic!("{other:?}"),
    });
    let table = table.expect("it can be mapped");
    assert_eq!(table.fill(), (4096, 4));
    assert_eq!(table.sweep(), 1);
    assert_eq!(table.fill(), (4096, 3));
    let sources: Array<_, Set> = program.programs().map(maps::SOURCES).try_into().expect("an array");
    assert_eq!(
        sources.get(&7, 0).expect("the map is ours"),
        set([0, cell(2, -59), cell(3, 0), cell(4, 600)])
    );
}

#[test]
fn addresses_of_listed_names_go_when_they_have_long_been_over_their_time() {
    const HOUR: u64 = 3600 * 1_000_000_000;
    Sandbox::new().run(|| {
        let mut programs = Programs::load(&outbound().entries().expect("a policy"), 8).expect("it loads");
        let pins = Pins::locate();
        pins.create().expect("a BPF file system");
        pins.pin_maps(programs.maps()).expect("maps can be pinned");
        let mut tables = HostTables::pinned(&pins).expect("they are there");
        for (name, address, ttl) in [
            ("google.com", [10, 0, 0, 1], 60),
            ("google.com", [10, 0, 0, 2], 7200),
            ("other.org", [10, 0, 0, 3], 60),
        ] {
            for message in answers(name, &[(address.into(), ttl)]).expect("a name") {
                programs.teach_answer(&message).expect("it learns");
            }
        }
        let left = |tables: &HostTables| {
            let mut left: Vec<_> = tables.addresses().map(|(address, _)| ip(&address).to_string()).collect();
            left.sort();
            left
        };
        let now = clock::now();
        assert_eq!(tables.sweep(now).expect("it can be swept"), 0);
        assert_eq!(left(&tables), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(tables.sweep(now + HOUR).expect("it can be swept"), 1);
        assert_eq!(left(&tables), ["10.0.0.2", "10.0.0.3"], "the other table makes room for itself");
        pins.remove().expect("they can be removed");
    });
}

/// What is pinned is read by whoever comes next. A table that another version would misread is one of another layout.
#[test]
fn pinned_tables_have_the_shape_that_their_layout_stands_for() {
    const SHAPES: &str = "2: COUNTERS 4 96, SKIPPED 4 104, SOURCES 4 64, TOTALS 4 64, OPEN 24 8, PENDING 4 64, \
        OPEN_EVENTS 4 48, KNOWN 4 64, PREFIXES 24 16, PREFIX_LENGTHS 4 32, PREFIX_BLOCKS 4 8, PREFIX_STATE 4 8, \
        HOST_COUNTERS 4 96, HOSTS 8 288, LISTED 16 128, UNLISTED 16 128, STATES 4 64, SHARED_STATES 4 64, \
        QUERIES 24 32, FLOWS 32 8, EVENTS 4 64, UNREAD 4 96, UNREAD_NAMES 0 0, STREAMS 8 8, \
        REPORTS 0 0, REPORTED 4 8, REPORTS_COUNTED 4 8, SETTINGS 4 144";
    let programs = Programs::load(&outbound().entries().expect("a policy"), 8).expect("it loads");
    let shape = |name: &str| {
        let data: &aya::maps::MapData = match programs.map(name) {
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::HashMap(data)
            | Map::LruHashMap(data)
            | Map::RingBuf(data) => data,
            other => panic!("{name} is {other:?}"),
        };
        let info = data.info().expect("the kernel tells");
        format!("{name} {} {}", info.key_size(), info.value_size())
    };
    let shapes: Vec<_> = maps::KEPT.into_iter().chain([maps::SETTINGS]).map(shape).collect();
    let shapes = format!("{}: {}", maps::LAYOUT, shapes.join(", "));
    assert_eq!(shapes, SHAPES, "raise maps::LAYOUT, and write the new shapes here");
}
