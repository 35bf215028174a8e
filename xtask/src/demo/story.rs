//! What is done and shown, in order: the first half, in which a server is kept from being asked too often.

use std::{net::SocketAddr, ops::RangeInclusive, path::Path};

use anyhow::Result;
use serde_json::Value;

use super::{
    commands::{Daemon, Hands},
    hosts::{Host, Network, PICTURE},
    page::Page,
    proof::Facts,
};
use crate::connect::{self, got_in, refused};

/// Every refusal is to be seen at once, so the budget for resets is a large one.
const ATTACH: &str = "sudo limiterctl attach --interface eth0 --port 80 --rate '60/min burst 10' \\
  --reset-rate 100000/s --reset-total-rate 200000/s";
pub const STATUS: &str = "sudo limiterctl status";
pub const DETACH: &str = "sudo limiterctl detach";
/// The last word of `attach`, when all is in force.
const LAST: &str = "limiterctl: port 80: ";
/// How long the attack lasts.
const SECONDS: u64 = 4;
/// What gets in meanwhile: 10 at once and 3 later. A machine that is busy may add a little to the time.
const ALLOWED: RangeInclusive<u64> = 10 + SECONDS - 1..=10 + SECONDS + 1;
/// How often the client asks each target.
const ROUNDS: u64 = 5;

/// Shows it all, and says what was seen.
pub fn tell(page: &mut Page, network: &Network, hands: &Hands) -> Result<Facts> {
    page.heading("limiterctl, shown on five hosts made for the purpose")?;
    page.text(PICTURE)?;
    if !network.targets.iter().any(SocketAddr::is_ipv6) {
        page.text("This machine has no IPv6: the demo leaves it out.")?;
    }

    page.heading("1. The server gets a limit")?;
    page.text(
        "A website listens on port 80. From now on, each source address may open 60 new\n\
         connections a minute, and 10 at once. limiterctl stays in the foreground.",
    )?;
    page.command(ATTACH)?;
    let daemon = Daemon::start(hands, &network.server, ATTACH, LAST, |line| page.output(line))?;

    let Battle { attack, served, meanwhile } = fight(page, network, hands)?;

    page.heading("4. The server knows what happened")?;
    let (got_in, refused) = (got_in(&attack), refused(&attack));
    page.text(&format!(
        "The attacker got in {got_in} times and was refused {refused} times, the client\n\
         read {served} pages. So the counters must be: passed {}, rate {refused}.",
        got_in + served
    ))?;
    show(page, hands, &network.server, STATUS)?;
    let status = hands.run(&network.server, &format!("{STATUS} --output json"))?.text;

    page.heading("5. The limit is taken off")?;
    page.text("Ctrl-C where it runs does the same. Nothing remains: the attacker gets in again.")?;
    show(page, hands, &network.server, DETACH)?;
    daemon.end()?;
    let afterwards = show(page, hands, &network.attacker, &attack_again(&network.targets))?;

    Ok(Facts {
        attack,
        allowed: ALLOWED,
        asked: ROUNDS * network.targets.len() as u64,
        served,
        meanwhile,
        status: serde_json::from_str(&status).unwrap_or(Value::Null),
        afterwards: connect::parse(&afterwards),
        left: left(hands, &network.server)?,
    })
}

/// What is said when the facts bear the story out.
pub fn conclude(page: &mut Page) -> Result<()> {
    page.text(
        "\nThis was checked as well: the attacker got no more than its share, the client\n\
         every page; google.com saw what it was to see, the other sites every visitor;\n\
         the counters are what was sent; and nothing is left attached.",
    )
}

/// What came of the attack, and of the client's visits at the same time.
struct Battle {
    attack: Vec<connect::Tally>,
    served: u64,
    meanwhile: bool,
}

/// The attack is shown when it has ended, and then what the client saw meanwhile.
fn fight(page: &mut Page, network: &Network, hands: &Hands) -> Result<Battle> {
    page.heading("2. The attacker opens connections as fast as it can")?;
    page.text(&format!(
        "{SECONDS} seconds long, one after the other, over each IP version in turn. The first 10\n\
         get in, and one more each second. The rest are refused at once (ECONNREFUSED)."
    ))?;
    let attack = attack(&network.targets);
    page.command(&attack)?;
    let mut attack = hands.start(&network.attacker, &attack)?;

    let read = read(&network.targets);
    let pages = hands.run(&network.client, &read)?.text;
    let meanwhile = attack.is_running()?;
    let attack = attack.end()?.text;
    page.output(&attack)?;

    page.heading("3. Meanwhile the client reads the website")?;
    page.text("It has the same limit, keeps to it, and notices nothing of the attack.")?;
    page.command(&read)?;
    page.output(&pages)?;

    Ok(Battle { attack: connect::parse(&attack), served: served(&pages), meanwhile })
}

pub fn show(page: &mut Page, hands: &Hands, host: &Host, command: &str) -> Result<String> {
    page.command(command)?;
    let output = hands.run(host, command)?.text;
    page.output(&output)?;
    Ok(output)
}

fn attack(targets: &[SocketAddr]) -> String {
    format!("cargo xtask connect {} --seconds {SECONDS}", quoted(targets))
}

fn attack_again(targets: &[SocketAddr]) -> String {
    format!("cargo xtask connect {} --times 50", quoted(targets))
}

/// The brackets of IPv6 addresses are for the shell to leave alone.
fn quoted(targets: &[SocketAddr]) -> String {
    let quote =
        |target: &SocketAddr| if target.is_ipv6() { format!("'{target}'") } else { target.to_string() };
    targets.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A loop, because one curl would keep its connections; its pauses spread it over the attack.
fn read(targets: &[SocketAddr]) -> String {
    let rounds: Vec<_> = (1..=ROUNDS).map(|round| round.to_string()).collect();
    let pages: Vec<_> = targets.iter().map(|target| url(*target)).collect();
    format!(
        "for round in {}; do sleep 0.5\n  \
         curl -sS -m 5 -w '%{{http_code}} in %{{time_total}} s\\n' \\\n    {}\n\
         done",
        rounds.join(" "),
        pages.join(" ")
    )
}

fn url(target: SocketAddr) -> String {
    if target.is_ipv6() { format!("'http://[{}]/'", target.ip()) } else { format!("http://{}/", target.ip()) }
}

/// How many pages came, each with the code that says so.
fn served(output: &str) -> u64 {
    output.lines().filter(|line| line.starts_with("Welcome! 200 in ")).count() as u64
}

/// What is left of limiterctl where nothing should be.
pub fn left(hands: &Hands, server: &Host) -> Result<Vec<String>> {
    let status = hands.run(server, STATUS)?;
    let program = server.eth0()?.contains("xdp");
    let pins = Path::new("/sys/fs/bpf/limiterctl").exists();
    let leftovers = [
        (status.code != Some(1), "an entry in status"),
        (program, "a program on eth0"),
        (pins, "pins in /sys/fs/bpf"),
    ];
    Ok(leftovers.into_iter().filter(|(is_left, _)| *is_left).map(|(_, what)| what.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::{attack, attack_again, read, served};

    #[test]
    fn commands_fit_a_terminal() {
        let targets = ["192.0.2.80:80".parse().unwrap(), "[2001:db8:2::80]:80".parse().unwrap()];
        for command in [attack(&targets), attack_again(&targets), read(&targets), super::ATTACH.into()] {
            // A prompt comes before each line.
            assert!(command.lines().all(|line| line.len() <= 78), "{command}");
        }
        assert_eq!(attack(&targets), "cargo xtask connect 192.0.2.80:80 '[2001:db8:2::80]:80' --seconds 4");
        assert!(read(&targets).contains(" http://192.0.2.80/ 'http://[2001:db8:2::80]/'\n"));
        assert!(read(&targets[..1]).contains(" http://192.0.2.80/\n"));
    }

    #[test]
    fn only_whole_pages_count_as_served() {
        let output = "Welcome! 200 in 0.001 s\n404 in 0.001 s\ncurl: (7) Failed to connect\n\
                      000 in 0.000 s\nWelcome! 200 in 1.0 s\n";
        assert_eq!(served(output), 2);
    }
}
