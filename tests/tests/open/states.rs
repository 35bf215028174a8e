//! Every state that a connection can be in, and every way in which it can end: the counts are those of the kernel.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::server::{CLOSE, HALF, KEEP, RESET};
use super::{PORT, Scene, Server, dial, reset};
use aya::maps::{HashMap, Map, MapData};
use limiter_common::maps;
use limiter_common::open::Key;
use limiter_user::bpf::Pins;
use socket2::{Domain, Socket, Type};

const SOURCES: [(&str, &str); 2] = [("10.1.0.5", "10.1.0.5/32"), ("fd01::5", "fd01::/64")];

pub(super) fn ask(mut stream: &TcpStream, word: u8) {
    stream.write_all(&[word]).unwrap();
}

/// Until the server has ended its half, or all.
pub(super) fn read_to_end(mut stream: &TcpStream) {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

fn run(story: impl Fn(&Scene, &Server, &str, &str)) {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "100"]);
    let server = Server::start(&scene.machine.host);
    for (source, prefix) in SOURCES {
        story(&scene, &server, source, prefix);
    }
}

#[test]
fn close_wait_counts_until_the_server_ends_it() {
    run(|scene, server, source, prefix| {
        let open = scene.connect_all(source, 3);
        for stream in &open {
            ask(stream, KEEP);
        }
        scene.agree_on(prefix, 3);
        drop(open);
        // The server's sockets are in CLOSE_WAIT, and it takes its time.
        let mut kept = Vec::new();
        while kept.len() < 3 {
            kept.extend(server.kept());
        }
        scene.agree_on(prefix, 3);
        drop(kept);
        scene.agree_on(prefix, 0);
    });
}

#[test]
fn fin_wait_counts_and_time_wait_does_not() {
    run(|scene, _, source, prefix| {
        let open = scene.connect_all(source, 3);
        for stream in &open {
            ask(stream, HALF);
        }
        for stream in &open {
            read_to_end(stream);
        }
        // The server's sockets are in FIN_WAIT2, and somebody holds them.
        scene.agree_on(prefix, 3);
        drop(open);
        scene.agree_on(prefix, 0);
    });
}

/// A socket in `FIN_WAIT2` that nobody holds is a small one, like those in `TIME_WAIT`.
#[test]
fn an_orphan_in_fin_wait_2_does_not_count() {
    let scene = Scene::new();
    let _server = Server::start(&scene.machine.host);
    let early = ["10.1.0.6", "10.1.0.7"].map(|source| scene.connect(source).unwrap());
    let _daemon = scene.attach(&["--max-open", "100"]);
    for ((source, prefix), (early, last)) in SOURCES.into_iter().zip(early.into_iter().zip([6, 7])) {
        let open = scene.connect_all(source, 3);
        scene.agree_on(prefix, 3);
        for stream in &open {
            ask(stream, CLOSE);
        }
        for stream in &open {
            read_to_end(stream);
        }
        scene.agree_on(prefix, 0);
        // Nobody heard of this end: who knows of it has compared the counts with the sockets since.
        drop(early);
        scene.agree_on(&format!("10.1.0.{last}/32"), 0);
        scene.agree_on(prefix, 0);
        drop(open);
    }
}

#[test]
fn an_rst_of_either_side_ends_it() {
    run(|scene, _, source, prefix| {
        let open = scene.connect_all(source, 5);
        scene.agree_on(prefix, 5);
        let (ours, theirs): (Vec<_>, Vec<_>) = open.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
        for (_, stream) in ours {
            reset(stream);
        }
        scene.agree_on(prefix, 2);
        for (_, stream) in &theirs {
            ask(stream, RESET);
        }
        scene.agree_on(prefix, 0);
    });
}

/// The client is gone, and the server does not know.
#[test]
fn a_half_open_connection_counts() {
    run(|scene, _, source, prefix| {
        let open = scene.connect_all(source, 3);
        scene.agree_on(prefix, 3);
        scene.client.ip("link set eth0 down");
        drop(open);
        scene.agree_on(prefix, 3);
        scene.client.ip("link set eth0 up");
        scene.client.ip("-6 address replace fd00::2/64 dev eth0 nodad");
        scene.client.ip("-6 route replace local fd01::/48 dev lo");
        scene.introduce();
        // The client's kernel says the rest now: its FIN, sent again.
        scene.agree_on(prefix, 0);
    });
}

#[test]
fn a_server_that_is_killed_holds_nothing_any_more() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "100"]);
    let mut command =
        scene.machine.host.command(limiter_tests::daemon::binary().with_file_name("limiter-holder"));
    let mut server = command.arg("[::]:80").stdout(Stdio::piped()).spawn().unwrap();
    server.stdout.take().unwrap().read_exact(&mut [0; 9]).unwrap();
    let _open = SOURCES.map(|(source, _)| scene.connect_all(source, 4));
    for (_, prefix) in SOURCES {
        scene.agree_on(prefix, 4);
    }
    server.kill().unwrap(); // by SIGKILL
    server.wait().unwrap();
    for (_, prefix) in SOURCES {
        scene.agree_on(prefix, 0);
    }
}

/// A server that is replaced listens no more, and ends its connections in its own time.
#[test]
fn connections_outlive_their_listener() {
    let scene = Scene::new();
    let listener = scene.machine.host.run(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let early = scene.connect("10.1.0.6").unwrap();
    let early_here = listener.accept().unwrap();
    let _daemon = scene.attach(&["--max-open", "3"]);
    let _open = scene.connect_all("10.1.0.5", 3);
    let _here: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
    drop(listener);
    drop((early, early_here));
    // Nobody heard of this end: who knows of it has compared the counts with the sockets since.
    scene.agree_on("10.1.0.6/32", 0);
    scene.agree_on("10.1.0.5/32", 3);
    assert_eq!(scene.machine.status()["connections"]["events"]["healed"], 1);
}

/// While nothing is open the daemon compares only each 30 s; an event ends that rest, so that what it loses soon heals.
#[test]
fn a_count_that_is_lost_is_found_again_although_the_daemon_rests() {
    const WELL_BEFORE_THE_REST_ENDS: Duration = Duration::from_secs(20);
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "3"]);
    let _server = Server::start(&scene.machine.host);
    let _open = scene.connect_all("10.1.0.5", 1);
    scene.agree_on("10.1.0.5/32", 1);
    scene.machine.sandbox.run(|| {
        let data = Pins::locate().map(maps::OPEN).unwrap();
        let mut counts: HashMap<MapData, Key, u64> = Map::HashMap(data).try_into().unwrap();
        let keys: Vec<_> = counts.keys().map(Result::unwrap).collect();
        assert_eq!(keys.len(), 1);
        counts.remove(&keys[0]).unwrap();
    });
    let lost = Instant::now();
    while scene.machine.status()["connections"]["events"]["healed"] == 0 {
        assert!(lost.elapsed() < WELL_BEFORE_THE_REST_ENDS, "it is still lost");
        thread::sleep(Duration::from_millis(100));
    }
    scene.agree_on("10.1.0.5/32", 1);
    assert_eq!(scene.machine.status()["connections"]["events"]["healed"], 1);
}

/// What the kernel does not take into a full queue is not open, though the client thinks so.
#[test]
fn with_a_full_accept_queue_the_counts_are_what_the_kernel_took() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "100"]);
    let listener: TcpListener = scene.machine.host.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&format!("0.0.0.0:{PORT}").parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket.listen(2).unwrap();
        socket.into()
    });
    let source: IpAddr = "10.1.0.5".parse().unwrap();
    let open: Vec<_> = scene.client.run(|| {
        let server = "10.0.0.1:80".parse::<std::net::SocketAddr>().unwrap();
        let try_one = |_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::new(source, 0).into()).unwrap();
            // Some wait for an answer for as long as the queue is full.
            let _ = socket.connect_timeout(&server.into(), Duration::from_millis(20));
            socket
        };
        (0..10).map(try_one).collect()
    });
    let counts = scene.agree();
    assert_eq!(counts["10.1.0.5/32"], 3, "a backlog of 2 holds one more: {counts:?}");
    drop(open);
    // Nobody has accepted them, so they stay, in CLOSE_WAIT, until the listener goes.
    scene.agree_on("10.1.0.5/32", 3);
    drop(listener);
    scene.agree_on("10.1.0.5/32", 0);
}

#[test]
fn two_hundred_sources_at_once() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "3"]);
    let _server = Server::start(&scene.machine.host);
    let sources: Vec<IpAddr> = (0..200u8).map(|i| [10, 1, 3, i].into()).collect();
    let open: Vec<_> = scene.client.run(|| {
        let each = |source: &IpAddr| (0..5).map(|_| dial(*source)).collect::<Vec<_>>();
        thread::scope(|scope| {
            let half =
                |sources| scope.spawn(move || -> Vec<_> { <[IpAddr]>::iter(sources).map(each).collect() });
            let halves = [half(&sources[..100]), half(&sources[100..])];
            halves.map(|half| half.join().unwrap()).into_iter().flatten().collect()
        })
    });
    for attempts in &open {
        let admitted: Vec<_> = attempts.iter().map(Result::is_ok).collect();
        assert_eq!(admitted, [true, true, true, false, false]);
    }
    let counts = scene.agree();
    assert_eq!((counts.len(), counts.values().sum::<u64>()), (200, 600), "{counts:?}");
    drop(open);
    while !scene.agree().is_empty() {}
}
