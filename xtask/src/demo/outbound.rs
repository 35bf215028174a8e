//! The second half of the story: a service is kept from asking other sites too often.

mod proof;

use anyhow::Result;
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

pub use self::proof::Facts;
use super::{
    commands::{Daemon, Hands, Printed},
    hosts::Network,
    page::Page,
    sites::{GOOGLE, STACKEXCHANGE, Sites},
    story::{DETACH, STATUS, left, show},
};
use crate::visit::{self, Visits};

const ATTACH: &str = "\
sudo limiterctl attach --cgroup shop.service \\
  --default-rate '10/s burst 10' --backoff 3s \\
  --host 'google.com = 20/s burst 20' \\
  --host 'stackexchange.com = 15/s'";
/// The last word of `attach`, when all is in force.
const LAST: &str = "limiterctl: stackexchange.com: ";
const WHY: &str = "sudo limiterctl why google.com";
const LIST: &str = "sudo limiterctl list hosts";
const VISIT: &str = "\
cargo xtask visit 192.0.2.80:8000 --seconds 9 \\
  --fetch google.com=25 --fetch stackexchange.com=10";
const VISIT_AGAIN: &str = "cargo xtask visit 192.0.2.80:8000 --seconds 1 --fetch google.com=50";
const READ: &str = "\
curl -sS -m 5 'http://192.0.2.80:8000/fetch?url=http://google.com/' \\
  --next -sS -m 5 'http://192.0.2.80:8000/fetch?url=http://example.org/'";

const BURST: u64 = 20;
const RATE: u64 = 20;
const BACKOFF: u64 = 3;
/// Time for one back-off, after which the burst is there again. A machine that is busy may add a second.
const SECONDS: u64 = 9;

/// Shows it all, and says what was seen.
pub fn tell(page: &mut Page, network: &Network, sites: &Sites, hands: &Hands) -> Result<Facts> {
    page.heading("6. The other way out: a service gets limits")?;
    page.text(
        "A shop on the server, on port 8000, fetches from other sites for its visitors.\n\
         It runs in a cgroup, as each systemd service does. From now on it may open 20\n\
         connections a second to google.com, 15 to stackexchange.com, and 10 to each\n\
         other name. Once over that, it is kept from there for 3 seconds.",
    )?;
    page.command(ATTACH)?;
    let daemon = Daemon::start(hands, &network.server, ATTACH, LAST, |line| page.output(line))?;

    let rush = rush(page, network, hands)?;

    page.heading("9. It was as the sites say")?;
    let (at_google, at_stackexchange) = (sites.guests(GOOGLE), sites.guests(STACKEXCHANGE));
    page.text(&format!(
        "{at_google} connections have reached google.com, {at_stackexchange} stackexchange.com.\n\
         So that many must have been allowed, and the others refused."
    ))?;
    show(page, hands, &network.server, STATUS)?;
    let list = hands.run(&network.server, &format!("{LIST} --output json"))?.text;

    page.heading("10. These limits are taken off as well")?;
    page.text("The shop was never restarted. Nothing remains: all 50 in a second get through.")?;
    show(page, hands, &network.server, DETACH)?;
    daemon.end()?;
    let afterwards = show(page, hands, &network.client, VISIT_AGAIN)?;

    Ok(Facts {
        visits: visit::parse(&rush.visits),
        allowed: BURST + RATE..=2 * BURST + RATE * (SECONDS + 1 - BACKOFF),
        guests: [at_google, at_stackexchange],
        pages: rush.pages,
        why: rush.why,
        hosts: parse(&list),
        afterwards: visit::parse(&afterwards),
        left: left(hands, &network.server)?,
    })
}

/// What was seen while many visitors came.
struct Rush {
    visits: String,
    pages: String,
    why: Value,
}

/// The visits are shown when they have ended, and then what was asked meanwhile.
fn rush(page: &mut Page, network: &Network, hands: &Hands) -> Result<Rush> {
    page.heading("7. Visitors make the shop ask too often")?;
    page.text(
        "For google.com they come 25 times a second: in some 4 seconds the burst is\n\
         used up, and connect() in the shop fails with EDQUOT, at once, for 3 seconds.\n\
         The shop tells its visitor so (503). stackexchange.com is asked 10 times a\n\
         second, which is within its rate.",
    )?;
    page.command(VISIT)?;
    let visits = hands.start(&network.client, VISIT)?;
    let why_json = format!("{WHY} --output json");
    let why = wait_for_backoff(|| hands.run(&network.server, &why_json))?;
    let pages = hands.run(&network.client, READ)?.text;
    let why_text = hands.run(&network.server, WHY)?.text;
    let list = hands.run(&network.server, LIST)?.text;
    let visits = visits.end()?.text;
    page.output(&visits)?;

    page.heading("8. Meanwhile: what a visitor reads, and what the operator sees")?;
    page.text("The shop knows the error, the other sites are not touched, and why says it all.")?;
    for (command, output) in [(READ, &pages), (WHY, &why_text), (LIST, &list)] {
        page.command(command)?;
        page.output(output)?;
    }
    Ok(Rush { visits, pages, why })
}

/// The answer of `why` once there is a back-off, or the last one before patience ends. A rate that is used up for the
/// moment is an earlier yes, but lasts for milliseconds.
fn wait_for_backoff(ask: impl Fn() -> Result<Printed>) -> Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(SECONDS);
    loop {
        let answer = parse(&ask()?.text);
        if answer["limits"][0]["refused"] == "backoff" || Instant::now() > deadline {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// What is no JSON is an error's text, and proves nothing.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// The visits for a host.
fn visits<'a>(all: &'a [Visits], host: &str) -> Option<&'a Visits> {
    all.iter().find(|visits| visits.host == host)
}

#[cfg(test)]
mod tests {
    use super::{ATTACH, LIST, READ, VISIT, VISIT_AGAIN, WHY};

    #[test]
    fn commands_fit_a_terminal() {
        for command in [ATTACH, LIST, READ, VISIT, VISIT_AGAIN, WHY] {
            // A prompt comes before each line.
            assert!(command.lines().all(|line| line.len() <= 78), "{command}");
        }
    }
}
