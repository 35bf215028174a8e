//! Resolves the exact names that rules list, as the system does (`/etc/resolv.conf`, `/etc/hosts`), and again as
//! their TTLs run out.
//!
//! Most of what the kernel's tables hold is learned from the answers that applications get. This adds what nobody there
//! has asked for yet, or has asked in a way that is not seen.

pub mod message;
mod schedule;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::sleep_until;

use schedule::Schedule;

/// How many names are asked for at one time.
const AT_ONCE: usize = 16;

/// The addresses of a name, each with its TTL in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name that was asked for.
    pub name: String,
    /// IPv4 and IPv6.
    pub addresses: Vec<(IpAddr, u32)>,
}

/// Names that are kept resolved.
pub struct Watch {
    resolver: TokioResolver,
    schedule: Schedule,
    running: FuturesUnordered<BoxFuture<'static, (String, Option<Answer>)>>,
}

impl Watch {
    /// All names are asked for as soon as [`Self::next`] is called.
    ///
    /// # Errors
    ///
    /// A resolv.conf that cannot be read.
    pub fn new(names: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Each question is to be a real one: when it is asked again is decided here.
        options.cache_size = 0;
        Ok(Self {
            resolver: builder.build()?,
            schedule: Schedule::new(names, Instant::now()),
            running: FuturesUnordered::new(),
        })
    }

    /// The next answer. What has been asked goes on where this is dropped before it is done.
    pub async fn next(&mut self) -> Answer {
        loop {
            while self.running.len() < AT_ONCE
                && let Some(name) = self.schedule.take(Instant::now())
            {
                self.running.push(ask(self.resolver.clone(), name).boxed());
            }
            let due = self.schedule.next_due().filter(|_| self.running.len() < AT_ONCE);
            tokio::select! {
                Some((name, answer)) = self.running.next(), if !self.running.is_empty() => {
                    let now = Instant::now();
                    match answer {
                        Some(answer) => {
                            let ttl = answer.addresses.iter().map(|(_, ttl)| *ttl).min().unwrap_or(0);
                            self.schedule.answered(name, Duration::from_secs(ttl.into()), now);
                            return answer;
                        }
                        None => self.schedule.failed(name, now),
                    }
                }
                () = until(due) => {}
            }
        }
    }
}

/// Ends then; never, where there is no then.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// `None` where it has no address, or nobody answers.
async fn ask(resolver: TokioResolver, name: String) -> (String, Option<Answer>) {
    // Fully qualified: no search domain is tried.
    let Ok(lookup) = resolver.lookup_ip(format!("{name}.")).await else {
        return (name, None);
    };
    let records = lookup.as_lookup().answers().iter();
    let addresses: Vec<(IpAddr, u32)> = records
        .filter_map(|record| match &record.data {
            RData::A(address) => Some((IpAddr::V4(**address), record.ttl)),
            RData::AAAA(address) => Some((IpAddr::V6(**address), record.ttl)),
            _ => None,
        })
        .collect();
    let answer = (!addresses.is_empty()).then(|| Answer { name: name.clone(), addresses });
    (name, answer)
}

/// The name servers of this machine; none where its configuration cannot be read.
pub fn servers() -> Vec<IpAddr> {
    read_system_conf()
        .map(|(config, _)| config.name_servers().iter().map(|server| server.ip).collect())
        .unwrap_or_default()
}
