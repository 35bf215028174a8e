//! Reads one command of iptables or ip6tables, or one line of what `iptables-save` prints.

mod limits;
mod parts;

use crate::failure::Failure;

use super::rule::{Chain, Matches, PortRanges, Rule, Sources, Syn, Verdict};
use super::values;
use super::words::{LEAVE, Stop, Words, once};
use limits::Limits;
use parts::{flags, hook, verdict, verdict_of};

/// Modules that say a limit.
const LIMITING: [&str; 4] = ["connlimit", "hashlimit", "recent", "limit"];
/// Options of `-m tcp`, which `-p tcp` brings along.
const TCP: [&str; 4] = ["--dport", "--destination-port", "--syn", "--tcp-flags"];

/// How a line is to be read that does not say it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// Whether it is ip6tables'.
    pub v6: bool,
    /// The table it is about.
    pub table: &'a str,
}

/// Reads a rule, from the first option on.
///
/// # Errors
///
/// Where it is none. A rule with something that has no equal is a rule that says so.
pub fn read(place: &str, words: Vec<String>, context: Context<'_>) -> Result<Rule, Failure> {
    let mut words = Words::new(words);
    let mut reader = Reader::new(place, words.all(), context);
    match reader.read(&mut words).and_then(|()| reader.end()) {
        Ok(()) => {}
        Err(Stop::NoEqual(failure)) => {
            reader.rule.refusal = Some(failure);
            reader.rule.verdict = verdict_of(words.all());
        }
        Err(Stop::Malformed(failure)) => return Err(failure),
    }
    Ok(reader.rule)
}

/// What a rule is known of so far.
struct Reader {
    rule: Rule,
    v6: bool,
    table: String,
    adds: bool,
    modules: Vec<String>,
    limits: Limits,
    target: Option<String>,
    reject_with: Option<String>,
}

impl Reader {
    fn new(place: &str, words: &[String], Context { v6, table }: Context<'_>) -> Self {
        let after = |names: &[&str]| {
            let place = words.iter().position(|word| names.contains(&word.as_str()))?;
            words.get(place + 1).cloned()
        };
        let table = after(&["-t", "--table"]).unwrap_or_else(|| table.into());
        let name = after(&["-A", "--append", "-I", "--insert"]).unwrap_or_default();
        let family = if v6 { "ip6tables" } else { "iptables" };
        let limits = words.windows(2).any(|pair| {
            ["-m", "--match"].contains(&pair[0].as_str()) && LIMITING.contains(&pair[1].as_str())
        });
        let rule = Rule {
            place: place.into(),
            chain: Chain { name: format!("{family} {table} {name}"), hook: hook(&name) },
            position: None,
            matches: Matches { v4: !v6, v6, ..Matches::default() },
            limits,
            limiter: None,
            verdict: Verdict::default(),
            notes: Vec::new(),
            refusal: None,
        };
        Self {
            rule,
            v6,
            table,
            adds: false,
            modules: Vec::new(),
            limits: Limits::default(),
            target: None,
            reject_with: None,
        }
    }

    fn read(&mut self, words: &mut Words) -> Result<(), Stop> {
        while let Some(word) = words.take() {
            let (option, joined) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let is_not = option == "!";
            let option = if is_not { words.value("!")? } else { option.to_owned() };
            if let Some(value) = joined {
                let mut one = Words::new(vec![value]);
                self.option(&option, is_not, &mut one)?;
                if let Some(value) = one.take() {
                    return Err(Stop::no_equal(format!("'{option}' takes no value '{value}'"), LEAVE));
                }
            } else {
                self.option(&option, is_not, words)?;
            }
        }
        Ok(())
    }

    fn option(&mut self, option: &str, is_not: bool, words: &mut Words) -> Result<(), Stop> {
        if is_not && !matches!(option, "-s" | "--source" | "--src" | "-i" | "--in-interface" | "--syn") {
            return Err(Stop::no_equal(format!("'! {option}' has no equal in limiterctl"), LEAVE));
        }
        if TCP.contains(&option) && self.rule.matches.tcp == Some(true) {
            self.load("tcp")?;
        }
        match option {
            "-w" | "--wait" | "-W" | "--wait-interval" => {
                if words.peek().is_some_and(|word| word.parse::<u64>().is_ok()) {
                    words.take();
                }
            }
            "-v" | "--verbose" | "-4" | "-6" => {}
            "-t" | "--table" => drop(words.value(option)?),
            "-A" | "--append" | "-I" | "--insert" => self.adds(option, words)?,
            "-D" | "-R" | "-L" | "-S" | "-F" | "-Z" | "-N" | "-X" | "-P" | "-E" | "-C" | "--delete"
            | "--replace" | "--policy" | "--flush" | "--list" | "--new-chain" | "--check" => {
                return Err(Stop::no_equal(format!("'{option}' adds no rule"), "write a rule with -A or -I"));
            }
            "-p" | "--protocol" | "--proto" => {
                let value = words.value(option)?;
                let tcp = matches!(value.to_lowercase().as_str(), "tcp" | "6");
                once(&mut self.rule.matches.tcp, option, tcp)?;
            }
            "-s" | "--source" | "--src" => self.sources(option, is_not, &words.value(option)?)?,
            "-i" | "--in-interface" => self.interface(option, is_not, words.value(option)?)?,
            "-m" | "--match" => {
                let module = words.value(option)?;
                self.load(&module)?;
            }
            "-j" | "--jump" => {
                let target = words.value(option)?;
                // Its own options follow.
                if matches!(target.as_str(), "LOG" | "NFLOG") {
                    return Err(Stop::no_equal(
                        "what is over the limit is logged, and limiterctl writes no log",
                        "say -j DROP, and add --monitor to the command: then it counts, and refuses nothing",
                    ));
                }
                once(&mut self.target, option, target)?;
            }
            "--reject-with" if self.target.as_deref() == Some("REJECT") => {
                once(&mut self.reject_with, option, words.value(option)?)?;
            }
            _ => return self.of_module(option, is_not, words),
        }
        Ok(())
    }

    /// Options that a module brings along.
    fn of_module(&mut self, option: &str, is_not: bool, words: &mut Words) -> Result<(), Stop> {
        let has = |module: &str| self.modules.iter().any(|loaded| loaded == module);
        match option {
            "--syn" if has("tcp") => {
                let syn = if is_not { Syn::Never } else { Syn::Plain };
                once(&mut self.rule.matches.syn, option, syn)?;
            }
            "--tcp-flags" if has("tcp") => {
                let (mask, set) = (words.value(option)?, words.value(option)?);
                once(&mut self.rule.matches.syn, option, flags(&mask, &set)?)?;
            }
            "--dport" | "--destination-port" if has("tcp") => {
                self.ports(option, &words.value(option)?)?;
            }
            "--dports" | "--destination-ports" if has("multiport") => {
                self.ports(option, &words.value(option)?)?;
            }
            "--ctstate" if has("conntrack") => self.states(option, &words.value(option)?)?,
            "--state" if has("state") => self.states(option, &words.value(option)?)?,
            "--comment" if has("comment") => drop(words.value(option)?),
            _ if self.limits.option(option, &self.modules, words, self.v6)? => {}
            _ => {
                let cure = if option.starts_with('-') { LEAVE } else { "write one whole rule, in quotes" };
                return Err(Stop::no_equal(format!("'{option}' has no equal in limiterctl"), cure));
            }
        }
        Ok(())
    }

    /// The kernel asks modules in the order in which they are named, and a limit counts whatever reaches it.
    fn load(&mut self, module: &str) -> Result<(), Stop> {
        if self.modules.iter().any(|loaded| loaded == module) {
            return Ok(());
        }
        match module {
            "tcp" | "multiport" | "conntrack" | "state" => {
                if let Some(limit) = self.modules.iter().find(|module| LIMITING.contains(&module.as_str())) {
                    return Err(Stop::no_equal(
                        format!(
                            "'-m {limit}' stands before '-m {module}', and so counts what that leaves out"
                        ),
                        format!("write --dport and --syn first, and -m {limit} after them"),
                    ));
                }
            }
            "comment" | "connlimit" | "hashlimit" | "recent" | "limit" => {}
            _ => return Err(Stop::no_equal(format!("'-m {module}' has no equal in limiterctl"), LEAVE)),
        }
        self.modules.push(module.into());
        Ok(())
    }

    fn adds(&mut self, option: &str, words: &mut Words) -> Result<(), Stop> {
        words.value(option)?;
        if self.adds {
            return Err(Stop::no_equal(
                format!("'{option}' begins a second rule"),
                "write each rule by itself",
            ));
        }
        self.adds = true;
        if option.starts_with("-I") || option == "--insert" {
            let number = words.peek().and_then(|word| word.parse::<usize>().ok());
            if number.is_some() {
                words.take();
            }
            self.rule.position = Some(number.unwrap_or(1).saturating_sub(1));
        }
        Ok(())
    }

    fn sources(&mut self, option: &str, is_not: bool, value: &str) -> Result<(), Stop> {
        if self.rule.matches.sources != Sources::All {
            return Err(Stop::no_equal(format!("'{option}' is said twice"), LEAVE));
        }
        let networks: Vec<_> =
            value.split(',').map(|part| values::network(option, part)).collect::<Result<_, _>>()?;
        self.rule.matches.sources = if is_not { Sources::Except(networks) } else { Sources::Only(networks) };
        Ok(())
    }

    fn interface(&mut self, option: &str, is_not: bool, name: String) -> Result<(), Stop> {
        if is_not && name == "lo" {
            return Ok(());
        }
        if is_not || name.ends_with('+') {
            let bang = if is_not { "! " } else { "" };
            return Err(Stop::no_equal(
                format!("'{bang}{option} {name}' is no list of interfaces"),
                "name each in a rule of its own, or leave it out and say --interface eth0,eth1",
            ));
        }
        once(&mut self.rule.matches.interfaces, option, vec![name])
    }

    fn ports(&mut self, option: &str, value: &str) -> Result<(), Stop> {
        let ranges =
            value.split(',').map(|part| values::ports(option, part, ':')).collect::<Result<_, _>>()?;
        let ports = PortRanges::new(ranges);
        if ports.is_empty() {
            return Err(Stop::no_equal(
                format!("'{option} {value}' is no port"),
                "write ports from 1 to 65535",
            ));
        }
        once(&mut self.rule.matches.ports, option, ports)
    }

    fn states(&mut self, option: &str, value: &str) -> Result<(), Stop> {
        let mut states: Vec<_> = value.to_lowercase().split(',').map(str::to_owned).collect();
        states.sort_unstable();
        once(&mut self.rule.matches.states, option, states)
    }

    /// What only the whole rule tells.
    fn end(&mut self) -> Result<(), Stop> {
        if !self.adds {
            return Err(Stop::no_equal("it adds no rule to a chain", "write a rule with -A INPUT"));
        }
        self.rule.notes = self.limits.notes();
        self.rule.limiter = std::mem::take(&mut self.limits).limiter(&self.modules, self.v6)?;
        self.rule.verdict = verdict(self.target.as_deref(), self.reject_with.as_deref(), &self.table)?;
        Ok(())
    }
}
