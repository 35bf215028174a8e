//! Answers that the kernel cannot wholly read: what it reads teaches at once, and the daemon asks for the rest.

use std::thread;
use std::time::Duration;

use limiter_tests::client::Client;
use limiter_tests::client::protocol::{Lookup, Transport};
use limiter_tests::dns::{A, Answer, Data, Query};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{DNS, PLENTY, Scene};

const TXT: u16 = 16;
/// Bytes before the first record, by TCP, of an answer to a question for a name with so many bytes in its wire form.
const fn before_records(name: usize) -> usize {
    2 + 12 + name + 4
}
/// Bytes of an A record whose owner is a pointer.
const RECORD: usize = 16;

#[track_caller]
fn look_up_by_tcp(client: &mut Client, name: &str) -> usize {
    let mut lookup = Lookup::new(name, DNS.parse().unwrap());
    lookup.transport = Transport::Tcp;
    client.look_up(lookup).addresses.len()
}

/// Waits until it has that name. A test that waits in vain ends by this.
#[track_caller]
fn wait_until_named(scene: &Scene, address: &str, name: &str) {
    for _ in 0..1000 {
        if scene.names_of(address) == [name] {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{address} has the names {:?}: {}", scene.names_of(address), scene.machine.status());
}

/// `10.1.0.1` and so many of its neighbours.
fn neighbours(count: usize) -> Vec<String> {
    (1..=count).map(|i| format!("10.1.0.{i}")).collect()
}

/// An answer with addresses `10.1.0.1` on, each behind `padding` bytes of another type, and how much the server sends.
fn padded(addresses: usize, padding: usize) -> Answer {
    Answer::raw(move |query| {
        let mut reply = query.reply();
        for address in neighbours(addresses) {
            let name = reply.name.clone();
            reply = reply.record(&name, 300, Data::Other(TXT, vec![0; padding])).address(300, &address);
        }
        vec![reply.build()]
    })
    .over_tcp()
}

/// Everything about an answer that cannot be read: with the daemon stopped, the `first` addresses have the name of the answer,
/// those behind them do not; with the daemon running, all get it. The message is counted by `reason`.
#[track_caller]
fn all_get_the_name_in_the_end(answer: Answer, addresses: usize, first: usize, reason: &str) {
    const NAME: &str = "long.test";
    let scene = Scene::with_resolver();
    scene.zone.set(NAME, answer);
    let daemon = scene.attach(&["--default-rate", PLENTY]);
    let daemon_pid = Pid::from_raw(daemon.pid() as i32);
    kill(daemon_pid, Signal::SIGSTOP).unwrap();
    assert_eq!(look_up_by_tcp(&mut scene.client(), NAME), addresses);
    let known = neighbours(addresses).iter().map(|address| scene.names_of(address)).collect::<Vec<_>>();
    let (begin, rest) = known.split_at(first);
    assert!(begin.iter().all(|names| names == &[NAME]), "what was read teaches at once: {known:?}");
    assert!(rest.iter().all(Vec::is_empty), "what was not read cannot: {known:?}");
    assert_eq!(scene.zone.asked_by_tcp(NAME, A), 1);
    kill(daemon_pid, Signal::SIGCONT).unwrap();
    for address in neighbours(addresses) {
        wait_until_named(&scene, &address, NAME);
    }
    assert_eq!(scene.outbound(&format!("/unread/{reason}")), 1);
    assert_eq!(scene.outbound("/events/names_handed_over"), 1);
    assert_eq!(scene.outbound("/events/names_handover_lost"), 0);
    assert!(scene.zone.asked_by_tcp(NAME, A) > 1, "by the daemon");
}

#[test]
fn all_addresses_of_an_answer_in_several_segments_get_its_name_in_the_end() {
    let answer = || Answer::raw(answer_of(20));
    // The cuts lie in a record, and between two.
    let sizes = [before_records(11) + 5 * RECORD + 7, 8 * RECORD];
    all_get_the_name_in_the_end(answer().in_segments(&sizes), 20, 5, "split");
}

#[test]
fn all_addresses_of_an_answer_longer_than_what_is_read_get_its_name_in_the_end() {
    // The twelfth record of the padding begins behind 4096 bytes.
    all_get_the_name_in_the_end(padded(20, 350), 20, 10, "too_long");
}

#[test]
fn all_addresses_of_an_answer_with_too_many_records_get_its_name_in_the_end() {
    all_get_the_name_in_the_end(Answer::raw(answer_of(80)).over_tcp(), 80, 64, "too_many_records");
}

fn answer_of(addresses: usize) -> impl Fn(&Query) -> Vec<Vec<u8>> {
    move |query| {
        let none = query.reply();
        vec![neighbours(addresses).iter().fold(none, |reply, address| reply.address(300, address)).build()]
    }
}

#[test]
fn an_answer_whose_records_are_all_read_is_not_asked_for_again() {
    let scene = Scene::with_resolver();
    // What is cut off is the OPT record behind the answer.
    scene.zone.set("cut.test", Answer::raw(answer_of(3)).in_segments(&[before_records(10) + 3 * RECORD + 1]));
    // The length comes by itself, as some servers send it.
    scene.zone.set("alone.test", Answer::raw(answer_of(4)).in_segments(&[2]));
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    let mut client = scene.client();
    assert_eq!(look_up_by_tcp(&mut client, "cut.test"), 3);
    assert_eq!(scene.names_of("10.1.0.3"), ["cut.test"]);
    assert_eq!(look_up_by_tcp(&mut client, "alone.test"), 4);
    assert_eq!(scene.names_of("10.1.0.4"), ["alone.test"]);
    assert_eq!(scene.names_of("10.1.0.3"), ["cut.test", "alone.test"]);
    assert_eq!(scene.outbound("/events/names_handed_over") + scene.outbound("/unread/split"), 0);
}

#[test]
fn nothing_is_handed_over_that_nobody_asked_for() {
    const NAME: &str = "made-up.test";
    let scene = Scene::with_resolver();
    // Each answer is about another name than that which was asked for, and has more records than are read.
    scene.zone.set(
        "asked.test",
        Answer::raw(|query| {
            let mut other = query.clone();
            other.name = NAME.into();
            answer_of(80)(&other)
        })
        .over_tcp(),
    );
    scene.zone.set("long.test", Answer::raw(answer_of(80)).over_tcp());
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    let mut client = scene.client();
    for _ in 0..3 {
        look_up_by_tcp(&mut client, "asked.test");
    }
    // Names come in order: when this one's addresses are known, the daemon has seen what came before.
    look_up_by_tcp(&mut client, "long.test");
    wait_until_named(&scene, "10.1.0.80", "long.test");
    assert_eq!(scene.names_of("10.1.0.1"), ["long.test"]);
    assert_eq!(scene.outbound("/unread/unsolicited"), 3);
    assert_eq!(scene.outbound("/events/names_handed_over"), 1);
    assert_eq!(scene.zone.asked(NAME, A), 0);
}

/// A segment's first bytes are, to who does not know better, the beginning of a message. Here they are one that answers
/// the same query, in bytes that belong to a record of another type: whoever has a name can put them there.
#[test]
fn the_rest_of_a_message_is_never_taken_for_a_message() {
    const VICTIM: &str = "10.1.0.66";
    const NAME: &str = "craft.test";
    const AFTER: &str = "10.1.0.1";
    const NEXT: &str = "10.1.0.2";
    let scene = Scene::with_resolver();
    let crafted = |query: &Query| {
        let message = query.reply().address(300, VICTIM).build();
        let hidden = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
        let reply = query.reply().record(&query.name, 300, Data::Other(TXT, hidden)).address(300, AFTER);
        // The next message on the stream, which answers the same query, is found again.
        vec![reply.build(), query.reply().address(300, NEXT).build()]
    };
    // Two bytes of a pointer and ten of type, class, TTL and length before the hidden message.
    scene.zone.set(NAME, Answer::raw(crafted).in_segments(&[before_records(12) + 12]));
    let _daemon = scene.attach(&["--default-rate", PLENTY]);
    assert_eq!(look_up_by_tcp(&mut scene.client(), NAME), 1);
    assert_eq!(scene.names_of(VICTIM), [""; 0]);
    assert_eq!(scene.names_of(NEXT), [NAME]);
    wait_until_named(&scene, AFTER, NAME);
    assert_eq!(scene.names_of(VICTIM), [""; 0]);
    assert_eq!(scene.outbound("/unread/unsolicited"), 0);
}
