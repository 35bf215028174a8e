//! Ways to get round a limit, or to turn it against others.

use limiter_tests::client::protocol::How;
use limiter_tests::dns::Answer;

use crate::{DNS, PLENTY, Scene, admitted};

const GOOGLE: &str = "10.1.0.1:9";
const FIVE: &str = "google.com,*.google.com = 1/hour burst 5";

/// google.com and a client that has resolved it.
fn google() -> (Scene, limiter_tests::client::Client) {
    let scene = Scene::new();
    scene.name("google.com", &["10.1.0.1"]);
    let client = scene.client();
    (scene, client)
}

#[test]
fn case_and_a_dot_at_the_end_make_no_other_name() {
    let (scene, mut client) = google();
    let _daemon = scene.attach(&["--default-rate", PLENTY, "--host", FIVE]);
    for (i, name) in ["GOOGLE.com", "gOoGlE.cOm", "google.com."].into_iter().enumerate() {
        assert_eq!(client.resolve(name, DNS).addresses.len(), 1, "{name}");
        assert_eq!(admitted(&mut client, How::Tcp, &[GOOGLE], 2), if i < 2 { 2 } else { 1 }, "{name}");
    }
    assert_eq!(scene.names_of("10.1.0.1"), ["google.com"]);
    assert_eq!(scene.counts("google.com"), (5, 1));
}

#[test]
fn wildcards_end_where_labels_do() {
    let (scene, mut client) = google();
    for (i, name) in
        ["www.google.com", "a.b.google.com", "evilgoogle.com", "google.com.evil.org"].iter().enumerate()
    {
        scene.name(name, &[&format!("10.1.1.{i}")]);
    }
    let _daemon = scene.attach(&["--default-rate", PLENTY, "--host", FIVE]);
    let mut to = |name: &str, i: u8, times| {
        client.resolve(name, DNS);
        admitted(&mut client, How::Udp, &[&format!("10.1.1.{i}:9")], times)
    };
    assert_eq!((to("www.google.com", 0, 3), to("a.b.google.com", 1, 9)), (3, 2), "one rule, one state");
    assert_eq!((to("evilgoogle.com", 2, 9), to("google.com.evil.org", 3, 9)), (9, 9));
}

#[test]
fn an_alias_is_charged_as_what_was_asked_for_and_does_not_loosen_what_it_leads_to() {
    let (scene, mut client) = google();
    scene.zone.set("alias.org", Answer::alias(300, "google.com"));
    let _daemon = scene.attach(&["--default-rate", PLENTY, "--host", "google.com = 1/hour burst 5"]);
    client.resolve("alias.org", DNS);
    assert_eq!(scene.names_of("10.1.0.1"), ["alias.org"]);
    assert_eq!(admitted(&mut client, How::Udp, &[GOOGLE], 9), 9);
    client.resolve("google.com", DNS);
    client.resolve("alias.org", DNS);
    assert_eq!(admitted(&mut client, How::Udp, &[GOOGLE], 9), 5);
    assert_eq!((scene.counts("alias.org"), scene.counts("google.com")), ((9, 0), (5, 4)));
}

#[test]
fn many_names_to_one_address_do_not_get_past_the_limit_of_the_address() {
    let scene = Scene::new();
    scene.zone.otherwise(|_| Answer::addresses(300, &["10.1.0.9"]));
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 9", "--per-ip-rate", "1/hour burst 20"]);
    let mut client = scene.client();
    let mut passed = 0;
    for i in 0..100 {
        client.resolve(&format!("evil{i}.org"), DNS);
        passed += admitted(&mut client, How::Udp, &["10.1.0.9:9"], 1);
    }
    assert_eq!(passed, 9, "the eight names that the address keeps are all charged");
    assert_eq!(scene.outbound("/unread/names_full"), 92);
    assert_eq!(scene.names_of("10.1.0.9").len(), 8);
}

#[test]
fn the_limit_of_an_address_holds_where_its_names_have_more() {
    let scene = Scene::new();
    scene.zone.otherwise(|_| Answer::addresses(300, &["10.1.0.9"]));
    let _daemon = scene.attach(&["--default-rate", PLENTY, "--per-ip-rate", "1/hour burst 20"]);
    let mut client = scene.client();
    let mut passed = 0;
    for i in 0..30 {
        client.resolve(&format!("evil{i}.org"), DNS);
        passed += admitted(&mut client, How::Udp, &["10.1.0.9:9"], 1);
    }
    assert_eq!((passed, scene.outbound("/rules/1/refused/per_ip")), (20, 10));
}

#[test]
fn one_name_with_64_addresses_has_one_limit() {
    let scene = Scene::new();
    let addresses: Vec<_> = (0..64).map(|i| format!("10.1.2.{i}")).collect();
    scene.name("many.test", &addresses.iter().map(String::as_str).collect::<Vec<_>>());
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 7"]);
    let mut client = scene.client();
    let mut lookup = limiter_tests::client::protocol::Lookup::new("many.test", DNS.parse().unwrap());
    lookup.edns = Some(4096);
    assert_eq!(client.look_up(lookup).addresses.len(), 64);
    let to: Vec<_> = addresses.iter().map(|address| format!("{address}:9")).collect();
    assert_eq!(admitted(&mut client, How::Udp, &to.iter().map(String::as_str).collect::<Vec<_>>(), 64), 7);
    assert_eq!(scene.counts("many.test"), (7, 57));
}

#[test]
fn a_name_that_is_pointed_at_google_neither_loosens_its_limit_nor_denies_it() {
    let (scene, mut client) = google();
    scene.name("evil.org", &["10.1.0.1", "10.1.9.9"]);
    let _daemon = scene.attach(&["--default-rate", "1/hour burst 2, backoff 1h", "--host", FIVE]);
    client.resolve("google.com", DNS);
    client.resolve("evil.org", DNS);
    assert_eq!(scene.names_of("10.1.0.1"), ["google.com", "evil.org"]);
    assert_eq!(admitted(&mut client, How::Udp, &["10.1.9.9:9"], 20), 2, "evil.org is in its back-off now");
    assert_eq!(
        admitted(&mut client, How::Udp, &[GOOGLE], 20),
        5,
        "all that google.com may have, and no more"
    );
    assert_eq!(scene.counts("google.com"), (5, 15));
}

#[test]
fn an_address_without_a_name_falls_under_the_default_by_itself() {
    let scene = Scene::new();
    let _daemon =
        scene.attach(&["--default-rate", "1/hour burst 2", "--host", "10.1.5.0/24 = 1/hour burst 3"]);
    let mut client = scene.client();
    for address in ["10.1.0.7:9", "10.1.0.8:9"] {
        assert_eq!(admitted(&mut client, How::Udp, &[address], 9), 2, "{address}");
    }
    assert_eq!(
        admitted(&mut client, How::Udp, &["10.1.5.1:9", "10.1.5.2:9"], 9),
        3,
        "a listed network shares"
    );
    let why = scene.why("10.1.0.7");
    assert_eq!((&why["refused"], &why["limits"][0]["rule"]), (&true.into(), &"default".into()));
}
