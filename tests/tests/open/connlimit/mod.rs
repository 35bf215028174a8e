//! The same scenarios under iptables' connlimit and under limiterctl, on the same kernel, side by side.
//!
//! `ROWS` is the table of docs/connlimit.md; what differs is pinned as well as what does not. To see it measured:
//! `cargo test -p limiter-tests --test open connlimit -- --nocapture`

mod rows;
mod stage;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::PATIENCE;
use rows::{ROWS, Row};
use stage::{Family, Limiter, Stage};

/// Connections that one source may hold.
const MAX: usize = 3;
/// Rows that are played at a time: most of them wait.
const STAGES: usize = 8;

/// What is held against the table: which row, over which IP version, under what.
type Case = (&'static Row, Family, Limiter);

#[test]
fn connlimit_and_limiterctl_admit_what_the_table_says() {
    let cases = ROWS.iter().flat_map(|row| {
        row.families.iter().flat_map(move |&family| Limiter::BOTH.map(|limiter| (row, family, limiter)))
    });
    let (cases, measured) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let next = cases.lock().unwrap().next();
            let Some(case) = next else { return };
            let admitted = on_a_thread_of_its_own(case);
            measured.lock().unwrap().push((case, admitted));
        }
    };
    thread::scope(|scope| {
        for _ in 0..STAGES {
            scope.spawn(work);
        }
    });
    let measured = measured.into_inner().unwrap();
    println!("{}", table(|row, limiter| of(&measured, row, limiter)));
    let wrong: Vec<_> = measured
        .iter()
        .filter(|((row, _, limiter), admitted)| *admitted != Some(row.admitted(*limiter)))
        .map(|(case, admitted)| {
            format!("{}: {} and not {}", name(case), number(*admitted), case.0.admitted(case.2))
        })
        .collect();
    assert!(wrong.is_empty(), "admitted:\n{}", wrong.join("\n"));
}

#[test]
fn the_documentation_has_the_same_table() {
    let page = include_str!("../../../../docs/connlimit.md");
    let table = table(|row, limiter| row.admitted(limiter).to_string());
    assert!(page.contains(&table), "docs/connlimit.md should contain this:\n\n{table}");
}

/// Whatever a case has started ends with its thread. One that fails says why, with its name, and the others go on.
fn on_a_thread_of_its_own(case: Case) -> Option<usize> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name(&case)).spawn_scoped(scope, || play(case));
        thread.unwrap().join().ok()
    })
}

fn name((row, family, limiter): &Case) -> String {
    format!("{}, {family:?}, {limiter:?}", row.scenario)
}

/// How many more connections are admitted.
fn play((row, family, limiter): Case) -> usize {
    let begun = Instant::now();
    loop {
        let mut stage = Stage::new(family, limiter);
        (row.story)(&mut stage);
        stage.settle(row.sockets);
        let admitted = stage.admitted();
        // A busy machine may have seen it too late.
        if stage.age() < row.lasts {
            return admitted;
        }
        assert!(begun.elapsed() < PATIENCE, "{}: never seen in time", row.scenario);
    }
}

/// What was measured: one number where both IP versions agree.
fn of(measured: &[(Case, Option<usize>)], row: &Row, limiter: Limiter) -> String {
    let mut numbers: Vec<_> = measured
        .iter()
        .filter(|((other, _, under), _)| other.scenario == row.scenario && *under == limiter)
        .map(|(_, admitted)| number(*admitted))
        .collect();
    numbers.sort();
    numbers.dedup();
    numbers.join(" or ")
}

fn number(admitted: Option<usize>) -> String {
    admitted.map_or_else(|| "a failure".to_owned(), |number| number.to_string())
}

fn table(admitted: impl Fn(&Row, Limiter) -> String) -> String {
    let mut text =
        "| what is held, of 3 | connlimit | limiterctl | why |\n| --- | --- | --- | --- |\n".to_owned();
    for row in ROWS {
        let [theirs, ours] = Limiter::BOTH.map(|limiter| admitted(row, limiter));
        writeln!(text, "| {} | {theirs} | {ours} | {} |", row.scenario, row.why).unwrap();
    }
    text
}
