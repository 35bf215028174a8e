//! `cargo xtask visit`: asks a web application to fetch from other sites, at a pace, and says what came of it.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result};

/// How long a page may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(clap::Args)]
pub struct Args {
    /// The application: GET /fetch?url=... makes it fetch that
    #[arg(value_name = "ADDRESS:PORT")]
    application: SocketAddr,

    /// What it is to fetch, and how often a second; several at the same time
    #[arg(long, required = true, value_name = "HOST=NUMBER")]
    fetch: Vec<Errand>,

    /// Stop after so many seconds
    #[arg(long, value_name = "NUMBER")]
    seconds: u32,
}

#[derive(Debug, Clone)]
struct Errand {
    host: String,
    per_second: u32,
}

impl FromStr for Errand {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (host, number) = text.split_once('=').context("write it as google.com=25")?;
        let per_second = number.parse().ok().filter(|number| *number > 0);
        Ok(Self { host: host.into(), per_second: per_second.context("how often a second?")? })
    }
}

/// What came of all visits for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visits {
    pub host: String,
    /// Fetched: 200.
    pub ok: u64,
    /// The application was not let out: 503.
    pub refused: u64,
    /// Anything else.
    pub failed: u64,
    /// Of those that were fetched, how many in each second.
    pub each_second: Vec<u64>,
}

/// Visits and prints a line for each host.
pub fn run(args: &Args) -> Result<()> {
    let visits: Vec<_> = thread::scope(|scope| {
        let errands = args.fetch.iter().map(|errand| scope.spawn(move || errand.run(args)));
        errands.collect::<Vec<_>>().into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{HEADER}")?;
    for visits in visits {
        writeln!(stdout, "{visits}")?;
    }
    Ok(())
}

impl Errand {
    /// Each visit has a thread of its own, so that a slow one does not hold up the next.
    fn run(&self, args: &Args) -> Visits {
        let mut visits =
            Visits { host: self.host.clone(), ok: 0, refused: 0, failed: 0, each_second: Vec::new() };
        let start = Instant::now();
        thread::scope(|scope| {
            let threads = (0..args.seconds * self.per_second).map(|number| {
                let at = start + Duration::from_secs(1) * number / self.per_second;
                thread::sleep(at.saturating_duration_since(Instant::now()));
                (number / self.per_second, scope.spawn(|| status(args.application, &self.host)))
            });
            visits.each_second.resize(args.seconds as usize, 0);
            for (second, thread) in threads.collect::<Vec<_>>() {
                match thread.join() {
                    Ok(Ok(200)) => {
                        visits.ok += 1;
                        visits.each_second[second as usize] += 1;
                    }
                    Ok(Ok(503)) => visits.refused += 1,
                    _ => visits.failed += 1,
                }
            }
        });
        visits
    }
}

/// The status of the page that the application has for one fetch.
fn status(application: SocketAddr, host: &str) -> Result<u16> {
    let mut stream = TcpStream::connect_timeout(&application, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /fetch?url=http://{host}/ HTTP/1.0\r\n\r\n")?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    page.split_whitespace().nth(1).context("no status")?.parse().context("no number")
}

const HEADER: &str = "fetched              ok  refused  failed  ok in each second";

impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, ok, refused, failed, each_second } = self;
        write!(f, "{host:<18} {ok:>4} {refused:>8} {failed:>7} ")?;
        each_second.iter().try_for_each(|number| write!(f, " {number:>2}"))
    }
}

/// The lines that [`run`] printed; others are passed over.
pub fn parse(output: &str) -> Vec<Visits> {
    output.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Visits> {
    let (host, numbers) = line.split_once(' ')?;
    let numbers = numbers.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let [ok, refused, failed, each_second @ ..] = numbers.as_slice() else { return None };
    Some(Visits {
        host: host.into(),
        ok: *ok,
        refused: *refused,
        failed: *failed,
        each_second: each_second.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Visits, parse};

    #[test]
    fn what_is_printed_can_be_read_again() {
        let visits = [
            Visits { host: "google.com".into(), ok: 120, refused: 80, failed: 0, each_second: vec![25, 0] },
            Visits { host: "a.example".into(), ok: 0, refused: 0, failed: 3, each_second: vec![0, 0] },
        ];
        let printed = format!("{HEADER}\n{}\n{}\n", visits[0], visits[1]);
        assert_eq!(parse(&printed), visits);
        assert!(parse("error: no\n").is_empty());
    }
}
