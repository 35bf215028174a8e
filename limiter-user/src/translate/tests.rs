//! Rules and what becomes of them. Each command that comes out has passed the checks of `attach` itself.

mod iptables;
mod lines;
mod nft;
mod properties;
mod recent;

use super::{Defaults, Input, Translation, translate};
use crate::cli::translate::{accepts, order, order_of_file};
use crate::daemon::Order;
use crate::failure::Failure;

/// What becomes of rules on a machine whose default route leads to eth0.
fn translated(rules: &[&str]) -> Result<Translation, Failure> {
    let inputs: Vec<_> = rules.iter().copied().map(Input::Rule).collect();
    translate(&inputs, &on("eth0"), accepts)
}

fn on(route: &str) -> Defaults {
    Defaults { interfaces: Vec::new(), route: Some(route.into()) }
}

/// What stands behind `limiterctl attach --interface eth0`.
#[track_caller]
fn command(rules: &[&str]) -> String {
    let translation = translated(rules).unwrap_or_else(|failure| panic!("{rules:?}: {failure:?}"));
    said(&translation)
}

#[track_caller]
fn said(translation: &Translation) -> String {
    let words = translation.command.as_ref().unwrap_or_else(|| panic!("{translation:?}"));
    accepts(words).expect("attach takes what is printed");
    let file = translation.file.as_ref().expect("what is a command is a file as well");
    assert_eq!(held(order(words)), held(order_of_file(file)), "{words:?}\n{file}");
    let line = translation.line().expect("there is a command");
    assert_eq!(shlex::split(&line).as_ref(), Some(words), "a shell reads it back");
    line.strip_prefix("limiterctl attach --interface eth0 ").unwrap_or(&line).to_owned()
}

/// All that is to be held and where, but for what the rule is called.
fn held(order: Result<Order, Failure>) -> String {
    let mut order = order.unwrap_or_else(|failure| panic!("{failure:?}"));
    order.policy.rules.iter_mut().for_each(|rule| rule.name.clear());
    format!("{:?} {:?} {:?}", order.interfaces, order.policy, order.lists)
}

/// Why the first of these rules that is refused has no equal.
#[track_caller]
fn refusal(rules: &[&str]) -> String {
    let translation = translated(rules).unwrap_or_else(|failure| panic!("{rules:?}: {failure:?}"));
    assert_eq!(translation.command, None, "never half translated: {rules:?}");
    let first = translation.refused.first().unwrap_or_else(|| panic!("nothing is refused of {rules:?}"));
    format!("{}: {}", first.rule, first.reason)
}

#[track_caller]
fn notes(rules: &[&str]) -> Vec<String> {
    translated(rules).unwrap_or_else(|failure| panic!("{rules:?}: {failure:?}")).notes
}

/// How the file is written. That it holds the same as the command is held for every rule of these tests.
#[test]
fn what_is_a_command_is_a_file_as_well() {
    let rules = [
        "iptables -A INPUT -p tcp --syn -m multiport --dports 80,443,8000:8100 ! -s 10.0.0.0/8 -m connlimit \
         --connlimit-above 15 --connlimit-mask 24 -j DROP",
        "iptables -A INPUT -p tcp --syn -m multiport --dports 80,443,8000:8100 ! -s 10.0.0.0/8 -m hashlimit \
         --hashlimit-above 900/min --hashlimit-burst 60 --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name a \
         -j DROP",
    ];
    assert_eq!(
        translated(&rules).unwrap().file.unwrap(),
        "[inbound]\ninterfaces = [\"eth0\"]\nallow = [\"10.0.0.0/8\"]\n\n[[inbound.rule]]\nname = \"port-80\"\n\
         ports = [\"80\", \"443\", \"8000-8100\"]\nrate = \"900/min burst 60\"\nmax_open = 15\n\
         source_prefix = \"24,64\"\naction = \"drop\"\n"
    );
    assert_eq!(translated(&["iptables -A INPUT -p tcp --syn --dport 80 -j DROP"]).unwrap().file, None);
}

/// Where nothing tells the interface, somebody has to.
#[test]
fn an_interface_is_asked_for_where_nothing_tells_it() {
    let rule =
        Input::Rule("iptables -A INPUT -p tcp --syn --dport 80 -m connlimit --connlimit-above 15 -j DROP");
    let failure = translate(&[rule], &Defaults::default(), accepts).unwrap_err();
    assert_eq!(
        failure.cause,
        "the rule names no interface, and this machine has no default route that would tell"
    );
    let asked = Defaults { interfaces: vec!["eth1".into(), "eth2".into()], route: Some("eth0".into()) };
    let translation = translate(&[rule], &asked, accepts).unwrap();
    assert_eq!(
        said(&translation),
        "limiterctl attach --interface eth1,eth2 --port 80 --max-open 15 --action drop"
    );
    let other =
        Input::Rule("iptables -A INPUT -i eth0 -p tcp --syn -m connlimit --connlimit-above 15 -j DROP");
    let translation = translate(&[other], &asked, accepts).unwrap();
    assert_eq!(translation.refused[0].reason, "it is for interface eth0, and not for eth1,eth2");
}
