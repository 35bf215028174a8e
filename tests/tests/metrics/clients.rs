//! Clients that want something else, or nothing, or too much.

use std::io::{Read as _, Write as _};

use super::{ADDRESS, Scene, ask, connect, get};

#[test]
fn there_is_one_page_and_a_word_where_it_is() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let host = &scene.machine.host;
    let index = get(host, ADDRESS, "/");
    assert_eq!((index.status(), index.body.as_str()), (200, "limiterctl: see /metrics\n"));
    for path in ["/metrics/", "/metrics/../metrics", "/favicon.ico", "/debug", "//"] {
        assert_eq!(get(host, ADDRESS, path).status(), 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(host, ADDRESS, &format!("{method} /metrics HTTP/1.0\r\n\r\n"));
        assert_eq!(answer.status(), 405, "{method}");
    }
}

#[test]
fn what_is_too_long_is_refused_and_nonsense_is_dropped() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let host = &scene.machine.host;
    let long = "x".repeat(100_000);
    let header = ask(host, ADDRESS, &format!("GET /metrics HTTP/1.1\r\nX: {long}\r\n\r\n"));
    assert_ne!(header.status(), 200, "{}", header.head);
    let path = ask(host, ADDRESS, &format!("GET /{long} HTTP/1.1\r\n\r\n"));
    assert_ne!(path.status(), 200, "{}", path.head);
    let body = format!("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{long}");
    assert_ne!(ask(host, ADDRESS, &body).status(), 200);
    assert_ne!(ask(host, ADDRESS, "\u{16}\u{3}\u{1}\0nonsense\r\n\r\n").status(), 200);
    assert_eq!(get(host, ADDRESS, "/metrics").status(), 200);
}

/// More than are served at a time, and none of them says anything.
#[test]
fn a_thousand_silent_clients_keep_nobody_from_the_page() {
    let scene = Scene::new();
    let daemon = scene.attach(&[]);
    let host = &scene.machine.host;
    let descriptors = format!("/proc/{}/fd", daemon.pid());
    let open = || std::fs::read_dir(&descriptors).unwrap().count();
    let mut most = 0;
    let silent: Vec<_> = host.run(|| {
        let silent = (0..1_000).map(|_| {
            let stream = connect_here();
            most = most.max(open());
            stream
        });
        silent.collect()
    });
    assert_eq!(get(host, ADDRESS, "/metrics").status(), 200, "after those before it had their time");
    println!("at most {most} descriptors");
    assert!(most < 700, "{most} descriptors");
    drop(silent);
}

#[test]
fn who_asks_byte_by_byte_is_cut_off() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let mut slow = connect(&scene.machine.host, ADDRESS);
    // Each byte comes soon after the last one, and the last of them never.
    let mut bytes = b"GET /metrics HTTP/1.1\r\nHost: a-long-name-that-takes-a-while".iter().cycle().take(300);
    let is_cut_off = bytes.any(|byte| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        slow.write_all(&[*byte]).is_err()
    });
    assert!(is_cut_off, "after 15 seconds it is still listened to");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(get(&scene.machine.host, ADDRESS, "/metrics").status(), 200);
}

#[test]
fn who_asks_and_never_reads_keeps_nobody_waiting() {
    let scene = Scene::new();
    let _daemon = scene.attach(&[]);
    let host = &scene.machine.host;
    let greedy: Vec<_> = host.run(|| {
        (0..600)
            .map(|_| {
                let mut stream = connect_here();
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
                stream
            })
            .collect()
    });
    assert_eq!(get(host, ADDRESS, "/metrics").status(), 200);
    drop(greedy);
}

fn connect_here() -> std::net::TcpStream {
    std::net::TcpStream::connect(ADDRESS).unwrap()
}
