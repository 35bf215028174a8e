//! Where a connection is: in another network namespace it is not counted, and that is said.

use std::net::{TcpListener, TcpStream};

use super::{Scene, Server};
use limiter_tests::net::Host;

#[test]
fn a_listener_in_another_namespace_is_named_and_not_counted() {
    let scene = Scene::new();
    let _daemon = scene.attach(&["--max-open", "2"]);
    let _server = Server::start(&scene.machine.host);
    let container = Host::new("container");
    container.ip("address add 10.1.0.5/32 dev lo");
    let listener = container.run(|| TcpListener::bind("10.1.0.5:80").unwrap());
    let _inside: Vec<_> =
        container.run(|| (0..7).map(|_| TcpStream::connect("10.1.0.5:80").unwrap()).collect());
    drop(listener);

    assert_eq!(scene.counted(), [].into(), "they are not this namespace's");
    let _open = scene.connect_all("10.1.0.5", 2);
    scene.is_refused("10.1.0.5");
    scene.agree_on("10.1.0.5/32", 2);
    let events = scene.machine.status()["connections"]["events"].clone();
    // Other tests of this machine have namespaces of their own.
    assert!(events["other_namespace"].as_u64() >= Some(7), "{events}");
    let said = scene.machine.limiterctl(&["status"]).stdout;
    assert!(said.contains("connections to limited ports in other network namespaces: not counted"), "{said}");
}
