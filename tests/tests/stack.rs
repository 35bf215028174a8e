//! How much of the stack the programs need, as the strictest kernel counts it: 6.1, which is not the one that tests run on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};

use limiter_user::bpf::OBJECT;
use object::{File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SymbolKind};

/// What a chain of calls may have (`MAX_BPF_STACK`).
const MOST: u64 = 512;
/// The step in which each call's part of it is counted (`round_up(.., 32)` in `check_max_stack_depth`, before Linux 6.8).
const STEP: u64 = 32;

// Fields and codes of an instruction (RFC 9669).
const LENGTH: usize = 8;
const CLASS: u8 = 7;
const LOAD: u8 = 1;
const STORES: [u8; 2] = [2, 3];
const CALL: u8 = 0x85;
const TO_FUNCTION: u8 = 1;
const MOVE: u8 = 0xbf;
const ADD: u8 = 0x07;
const LOAD_LONG: u8 = 0x18;
const FRAME: u8 = 10;

/// A function by the section that it is in and where it begins there.
type Place = (usize, u64);

#[derive(Default)]
struct Function {
    name: String,
    /// Bytes of the stack.
    depth: u64,
    calls: BTreeSet<Place>,
}

#[test]
fn no_chain_of_calls_needs_more_of_the_stack_than_kernel_6_1_has() {
    let functions = functions();
    let file = File::parse(OBJECT).unwrap();
    let text = file.section_by_name(".text").unwrap().index().0;
    let mut programs = 0;
    for (place, function) in functions.iter().filter(|((section, _), _)| *section != text) {
        let (depth, chain) = deepest(&functions, *place);
        println!("{depth:>4} {chain}");
        assert!(depth <= MOST, "{}: {depth} bytes of {MOST}: {chain}", function.name);
        programs += 1;
    }
    assert!(programs > 0 && functions.values().any(|function| function.calls.len() > 1), "calls are seen");
}

/// The bytes of the deepest chain that begins with a function, and its functions.
fn deepest(functions: &BTreeMap<Place, Function>, place: Place) -> (u64, String) {
    let function = &functions[&place];
    let below = function.calls.iter().map(|call| deepest(functions, *call)).max_by_key(|(depth, _)| *depth);
    let (depth, chain) = below.unwrap_or_default();
    let own = function.depth.max(1).next_multiple_of(STEP);
    (own + depth, format!("{} {} {chain}", function.name, function.depth))
}

fn functions() -> BTreeMap<Place, Function> {
    let file = File::parse(OBJECT).unwrap();
    let mut functions = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let section = symbol.section_index().unwrap();
        let place = (section.0, symbol.address());
        let section = file.section_by_index(section).unwrap();
        let begin = symbol.address() as usize;
        let code = &section.data().unwrap()[begin..begin + symbol.size() as usize];
        let relocated: BTreeMap<_, _> = section
            .relocations()
            .filter_map(|(at, relocation)| match relocation.target() {
                RelocationTarget::Symbol(index) => Some((at, file.symbol_by_index(index).unwrap())),
                _ => None,
            })
            .map(|(at, symbol)| (at, (symbol.section_index().map(|section| section.0), symbol.address())))
            .collect();
        let name = symbol.name().unwrap().to_owned();
        functions.insert(place, function(name, place, code, &relocated));
    }
    // What is no function was an address of data.
    let places: BTreeSet<_> = functions.keys().copied().collect();
    for function in functions.values_mut() {
        function.calls.retain(|place| places.contains(place));
    }
    functions
}

/// Reads one: the lowest place on its frame that it touches or makes a pointer to, and whom it calls or hands to a helper.
fn function(
    name: String,
    (section, begin): Place,
    code: &[u8],
    relocated: &BTreeMap<u64, (Option<usize>, u64)>,
) -> Function {
    let mut function = Function { name, ..Function::default() };
    // Registers that hold the frame itself.
    let mut frames = BTreeSet::from([FRAME]);
    let mut at = 0;
    while at < code.len() {
        let [op, registers, low, high, ..] = code[at..at + LENGTH] else { unreachable!() };
        let immediate = i32::from_le_bytes(code[at + 4..at + LENGTH].try_into().unwrap());
        let (to, from, offset) = (registers & 15, registers >> 4, i16::from_le_bytes([low, high]));
        let place = begin + at as u64;
        let mut touched = 0;
        match op {
            _ if STORES.contains(&(op & CLASS)) && to == FRAME => touched = offset.into(),
            _ if op & CLASS == LOAD && from == FRAME => touched = offset.into(),
            MOVE if from == FRAME => drop(frames.insert(to)),
            ADD if to != FRAME && frames.remove(&to) => touched = immediate,
            CALL if from == TO_FUNCTION => {
                let call = match relocated.get(&place) {
                    // A call of a section has the place in it, in instructions, less one.
                    Some((Some(section), 0)) => (*section, (i64::from(immediate) + 1) as u64 * LENGTH as u64),
                    Some((section, address)) => (section.unwrap(), *address),
                    None => (section, (place as i64 + LENGTH as i64 * (1 + i64::from(immediate))) as u64),
                };
                function.calls.insert(call);
            }
            LOAD_LONG => {
                if let Some((Some(section), address)) = relocated.get(&place) {
                    function.calls.insert((*section, address + u64::from(immediate.unsigned_abs())));
                }
                at += LENGTH;
            }
            _ => drop(to != FRAME && frames.remove(&to)),
        }
        function.depth = function.depth.max(u64::from(touched.min(0).unsigned_abs()));
        at += LENGTH;
    }
    function
}
