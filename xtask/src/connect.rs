//! `cargo xtask connect`: opens TCP connections one after the other, as fast as it can, and says what came of them.

use std::{
    fmt,
    io::{self, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::Result;

/// How long an attempt may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// Whom to connect to; several take turns
    #[arg(required = true, value_name = "ADDRESS:PORT")]
    targets: Vec<SocketAddr>,

    /// Stop after so many seconds
    #[arg(long, value_name = "NUMBER", required_unless_present = "times")]
    seconds: Option<u64>,

    /// Stop after so many attempts at each
    #[arg(long, value_name = "NUMBER")]
    times: Option<u64>,
}

/// What came of all attempts at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    pub target: SocketAddr,
    pub got_in: u64,
    /// Answered with a reset: ECONNREFUSED.
    pub refused: u64,
    /// Neither: no answer in time, no route, no port left.
    pub failed: u64,
    /// The median time to a refusal.
    pub median: Option<Duration>,
}

/// Connects and prints a line for each target.
pub fn run(args: &Args) -> Result<()> {
    let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut counts: Vec<_> = args.targets.iter().map(|&target| Count::new(target)).collect();
    let mut rounds = 0;
    while args.times.is_none_or(|times| rounds < times) && end.is_none_or(|end| Instant::now() < end) {
        counts.iter_mut().for_each(Count::attempt);
        rounds += 1;
    }

    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{HEADER}")?;
    for count in counts {
        writeln!(stdout, "{}", count.tally())?;
    }
    Ok(())
}

/// The attempts at one target so far.
struct Count {
    target: SocketAddr,
    got_in: u64,
    failed: u64,
    refusals: Vec<Duration>,
}

impl Count {
    fn new(target: SocketAddr) -> Self {
        Self { target, got_in: 0, failed: 0, refusals: Vec::new() }
    }

    /// A connection that gets through is closed at once.
    fn attempt(&mut self) {
        let start = Instant::now();
        match TcpStream::connect_timeout(&self.target, PATIENCE) {
            Ok(_) => self.got_in += 1,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => self.refusals.push(start.elapsed()),
            Err(_) => self.failed += 1,
        }
    }

    fn tally(mut self) -> Tally {
        self.refusals.sort_unstable();
        Tally {
            target: self.target,
            got_in: self.got_in,
            refused: self.refusals.len() as u64,
            failed: self.failed,
            median: self.refusals.get(self.refusals.len() / 2).copied(),
        }
    }
}

const HEADER: &str = "target                    tried  got in  refused  failed  median refusal";

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, got_in, refused, failed, median } = self;
        let tried = got_in + refused + failed;
        let median = median.map_or("-".into(), |time| format!("{:.3} ms", time.as_secs_f64() * 1e3));
        let target = target.to_string();
        write!(f, "{target:<22} {tried:>8} {got_in:>7} {refused:>8} {failed:>7} {median:>15}")
    }
}

/// The lines that [`run`] printed; others are passed over.
pub fn parse(output: &str) -> Vec<Tally> {
    output.lines().filter_map(parse_line).collect()
}

/// Over all targets.
pub fn got_in(tallies: &[Tally]) -> u64 {
    tallies.iter().map(|tally| tally.got_in).sum()
}

/// Over all targets.
pub fn refused(tallies: &[Tally]) -> u64 {
    tallies.iter().map(|tally| tally.refused).sum()
}

fn parse_line(line: &str) -> Option<Tally> {
    let mut words = line.split_whitespace();
    let target = words.next()?.parse().ok()?;
    let [_tried, got_in, refused, failed] =
        [words.next()?, words.next()?, words.next()?, words.next()?].map(str::parse);
    let median = words.next()?.parse().ok().map(|ms: f64| Duration::from_secs_f64(ms / 1e3));
    Some(Tally { target, got_in: got_in.ok()?, refused: refused.ok()?, failed: failed.ok()?, median })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, time::Duration};

    use super::{Count, HEADER, Tally, parse};

    #[test]
    fn what_is_printed_can_be_read_again() {
        let tallies = [
            Tally {
                target: "192.0.2.80:80".parse().unwrap(),
                got_in: 14,
                refused: 61_234,
                failed: 1,
                median: Some(Duration::from_micros(21)),
            },
            Tally {
                target: "[2001:db8:2::80]:80".parse().unwrap(),
                got_in: 100,
                refused: 0,
                failed: 0,
                median: None,
            },
        ];
        let printed = format!("{HEADER}\n{}\n{}\n", tallies[0], tallies[1]);
        assert_eq!(parse(&printed), tallies);
        assert!(printed.lines().all(|line| line.len() <= HEADER.len()), "{printed}");
    }

    #[test]
    fn nothing_is_read_from_an_error() {
        assert!(parse("error: invalid value\n192.0.2.80:80 many\n").is_empty());
    }

    #[test]
    fn open_and_closed_ports_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut count = Count::new(listener.local_addr().unwrap());
        count.attempt();
        drop(listener);
        count.attempt();
        let tally = count.tally();
        assert_eq!((tally.got_in, tally.refused, tally.failed), (1, 1, 0));
        assert!(tally.median.is_some());
    }
}
