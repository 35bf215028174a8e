//! What limiterctl says of itself: completions, manual pages, colours, and tables that fit the terminal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use clap::Command as Verb;
use limiter_tests::cgroup::Cgroup;
use limiter_tests::daemon::{Machine, binary};
use limiter_tests::net::{Host, LinkOptions};
use limiter_user::cli;

/// limiterctl on no machine of its own: these verbs ask nothing of the kernel.
fn limiterctl(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All verbs with their names in full, `limiterctl deny add` among them.
fn verbs() -> Vec<(String, Verb)> {
    fn below(verb: &Verb, name: &str, found: &mut Vec<(String, Verb)>) {
        found.push((name.to_owned(), verb.clone()));
        for verb in verb.get_subcommands().filter(|verb| verb.get_name() != "help") {
            below(verb, &format!("{name} {}", verb.get_name()), found);
        }
    }
    let mut found = Vec::new();
    below(&cli::command(), "limiterctl", &mut found);
    found
}

fn flags(verb: &Verb) -> Vec<String> {
    verb.get_arguments().filter_map(|flag| flag.get_long()).map(|name| format!("--{name}")).collect()
}

/// Feeds a command with something; `None` where this machine does not have it.
fn feed(command: &[&str], input: &[u8]) -> Option<Output> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(input).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn a_script_for_each_shell_is_understood_by_it_and_has_every_verb_and_flag() {
    for shell in ["bash", "zsh", "fish"] {
        let said = limiterctl(&["completions", shell]);
        assert_eq!((said.status.code(), text(&said.stderr).as_str()), (Some(0), ""), "{shell}");
        let script = text(&said.stdout);
        for (name, verb) in verbs() {
            let last = name.split(' ').next_back().unwrap();
            assert!(script.contains(last), "{shell}: {name} is missing");
            for flag in flags(&verb) {
                // fish has them without dashes: -l port
                let is_there = script.contains(&flag) || script.contains(&format!("-l {}", &flag[2..]));
                assert!(is_there, "{shell}: {name} {flag} is missing");
            }
        }
        match feed(&[shell, "-n", "/dev/stdin"], said.stdout.as_slice()) {
            Some(check) => {
                assert!(check.status.success() && check.stderr.is_empty(), "{shell}: {check:?}");
            }
            None => println!("{shell} is not installed: its script is not checked"),
        }
    }
    assert_eq!(limiterctl(&["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn bash_completes_a_verb_and_a_flag() {
    let mut script = limiterctl(&["completions", "bash"]).stdout;
    script.extend_from_slice(
        b"\nCOMP_WORDS=(limiterctl sta) COMP_CWORD=1; _limiterctl limiterctl sta limiterctl; echo ${COMPREPLY[@]}
COMP_WORDS=(limiterctl attach --max-o) COMP_CWORD=2; _limiterctl limiterctl --max-o attach; echo ${COMPREPLY[@]}\n",
    );
    let said = feed(&["bash", "--norc"], &script).unwrap();
    assert_eq!(text(&said.stdout), "status\n--max-open\n", "{said:?}");
}

#[test]
fn every_verb_has_a_page_with_all_its_flags_and_groff_has_nothing_to_say() {
    let directory = tempfile::tempdir().unwrap();
    let said = limiterctl(&["man", directory.path().to_str().unwrap()]);
    assert_eq!((said.status.code(), text(&said.stderr).as_str()), (Some(0), ""));
    let pages = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(pages, verbs().len(), "one page a verb");
    for (name, verb) in verbs() {
        let name = name.replace(' ', "-");
        let source = fs::read(directory.path().join(format!("{name}.1"))).unwrap();
        let Some(page) = feed(&["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u"], &source) else {
            println!("groff is not installed: the pages are not checked");
            return;
        };
        assert_eq!(text(&page.stderr), "", "{name}");
        let page = text(&page.stdout);
        assert!(page.contains(&format!("NAME\n       {name} ")), "{page}");
        assert!(page.contains("EXIT STATUS"), "{page}");
        for flag in flags(&verb) {
            assert!(page.contains(&flag), "{name} {flag}:\n{page}");
        }
        for flag in verb.get_arguments().filter(|flag| !flag.is_hide_set()) {
            assert!(
                flag.get_help().is_some_and(|help| help.to_string().len() > 3),
                "{name}: {flag} has no help"
            );
        }
        for below in verb.get_subcommands().filter(|below| below.get_name() != "help") {
            assert!(page.contains(&format!("{name}-{}(1)", below.get_name())), "{page}");
        }
    }
}

#[test]
fn pages_that_cannot_be_written_are_a_failure() {
    let said = limiterctl(&["man", "/no/such/directory"]);
    assert_eq!(said.status.code(), Some(2));
    assert!(text(&said.stderr).contains("no/such/directory"), "{said:?}");
}

#[test]
fn a_drop_in_waits_for_the_limits_and_names_its_place() {
    for unit in ["shop.service", "shop"] {
        let said = limiterctl(&["systemd", unit]);
        let drop_in = text(&said.stdout);
        assert!(drop_in.starts_with("# /etc/systemd/system/shop.service.d/limiterctl.conf\n"), "{drop_in}");
        for line in ["[Unit]", "After=limiterctl.service", "Requires=limiterctl.service"] {
            assert!(drop_in.lines().any(|other| other == line), "{line}: {drop_in}");
        }
    }
    for unit in ["shop.socket", "../shop", "a b", "", "x\n[Service]", "limiterctl"] {
        let said = limiterctl(&["systemd", unit]);
        let stderr = text(&said.stderr);
        assert_eq!((said.status.code(), text(&said.stdout).as_str()), (Some(2), ""), "{unit}: {stderr}");
        assert!(stderr.contains("\n  "), "{unit}: {stderr}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    for arguments in [&["completions", "bash"][..], &["man"], &["systemd", "shop.service"]] {
        let mut command = Command::new(binary());
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Closed at once: nothing that is printed afterwards has a reader.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

/// A machine with limits of both kinds, whose names are long.
struct Scene {
    machine: Machine,
    _peer: Host,
    cgroup: Cgroup,
}

impl Scene {
    fn new() -> Self {
        let (machine, peer) = Machine::with_client(LinkOptions::default());
        Self { machine, _peer: peer, cgroup: Cgroup::new() }
    }

    /// What a command prints on a terminal of this width, which is both its stdout and its stderr.
    fn on_terminal(&self, columns: u16, command: &str) -> String {
        let command = format!("stty cols {columns} rows 50; {command}");
        let mut script = self.machine.host.command_in(&self.machine.sandbox, "script");
        script.args(["--quiet", "--command", &command, "/dev/null"]).env("TERM", "xterm");
        // Each of them has a say in colours, and where tests run some are set: `CI` alone outdoes a dumb terminal.
        for word in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            script.env_remove(word);
        }
        let output = script.stdin(Stdio::null()).output().expect("script is there");
        text(&output.stdout).replace("\r\n", "\n")
    }
}

/// Of the lines of tables: sentences beside them are wrapped by the terminal.
fn widest(text: &str) -> usize {
    let tables = text.lines().filter(|line| line.starts_with([' ', '─', '═']) && !line.starts_with("  "));
    tables.map(|line| line.trim_end().chars().count()).max().unwrap_or(0)
}

#[test]
fn tables_fit_80_columns_and_grow_with_the_terminal() {
    let scene = Scene::new();
    let cgroup = scene.cgroup.path().to_str().unwrap().to_owned();
    let names = "=20/s burst 20, lookups 50/s burst 500, bytes 5 mbytes/s, backoff 15s";
    let host = format!("*.a-long-name.example.com,*.another-long-name.example.com,localhost {names}");
    let ports = "80,443,8000-8010,9000-9010,10000-10010,11000-11010,12000-12010,13000-13010,14000-14010";
    let _daemon = scene.machine.attach(&[
        "--cgroup",
        &cgroup,
        "--host",
        &host,
        "--default-rate",
        "10/s burst 10",
        "--interface",
        "eth0",
        "--port",
        ports,
        "--rate",
        "900/min burst 60",
        "--max-open",
        "15",
    ]);
    let limiterctl = binary();
    for verb in
        ["status", "list rules", "list hosts", "list sources", "why localhost", "why a-name.example.org"]
    {
        let command = format!("{} {verb}", limiterctl.display());
        let (narrow, wide) = (scene.on_terminal(80, &command), scene.on_terminal(200, &command));
        assert!(widest(&narrow) <= 80, "{verb} on 80 columns:\n{narrow}");
        assert!(widest(&wide) <= 200, "{verb} on 200 columns:\n{wide}");
        assert!(wide.lines().count() <= narrow.lines().count(), "{verb}:\n{wide}");
        assert!(!narrow.contains('\x1b'), "{verb} has colours of its own:\n{narrow}");
    }
    let command = format!("{} status", limiterctl.display());
    let wide = scene.on_terminal(200, &command);
    assert!(widest(&wide) > 80, "it does not grow:\n{wide}");
    assert!(wide.contains(&ports[..40]), "{wide}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let scene = Scene::new();
    let limiterctl = binary();
    let limiterctl = limiterctl.display();
    for (command, what) in [
        (format!("{limiterctl} --help"), "help"),
        (format!("{limiterctl} attach --no-such-flag"), "what clap refuses"),
        (format!("{limiterctl} attach --interface eth0 --port http --rate 1/s"), "what attach refuses"),
        (format!("{limiterctl} status"), "a negative answer"),
    ] {
        let has_colours = |command: &str| scene.on_terminal(100, command).contains('\x1b');
        assert!(!has_colours(&format!("NO_COLOR=1 {command}")), "{what}, NO_COLOR");
        assert!(!has_colours(&format!("TERM=dumb {command}")), "{what}, a terminal that has none");
        assert!(!has_colours(&format!("{command} 2>&1 | cat")), "{what}, no terminal");
        if what == "help" || what == "what clap refuses" {
            assert!(has_colours(&command), "{what}: a terminal");
        }
    }
}
