//! Resolves the exact names that rules list, as the system does (`/etc/resolv.conf`, `/etc/hosts`), and again as
//! their TTLs run out.
//!
//! Most of what the kernel's tables hold is learned from the answers that applications get. This adds what nobody there
//! has asked for yet, or has asked in a way that is not seen.

pub mod message;
mod schedule;

use std::collections::BTreeMap;
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

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An answer.
    Answer(Answer),
    /// A listed name that has none, and why. Told once, until it has an answer again.
    Failing {
        /// The name.
        name: String,
        /// The resolver's words.
        why: String,
    },
}

/// Names that are kept resolved.
pub struct Watch {
    /// Or why there is none.
    resolver: Result<TokioResolver, String>,
    schedule: Schedule,
    running: FuturesUnordered<BoxFuture<'static, (String, Addresses)>>,
    /// Listed names whose last question had no answer, and why.
    failing: BTreeMap<String, String>,
}

type Addresses = anyhow::Result<Vec<(IpAddr, u32)>>;

impl Watch {
    /// All names are asked for as soon as [`Self::next`] is called. Without a resolver each question fails; limits hold all
    /// the same.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self::with(resolver().map_err(|error| format!("{error:#}")), names)
    }

    fn with(resolver: Result<TokioResolver, String>, names: impl IntoIterator<Item = String>) -> Self {
        Self {
            resolver,
            schedule: Schedule::new(names, Instant::now()),
            running: FuturesUnordered::new(),
            failing: BTreeMap::new(),
        }
    }

    /// Asks once, now, for a name whose answer the kernel could not read. Too many of them at a time are not asked for.
    pub fn add(&mut self, name: String) {
        self.schedule.once(name, Instant::now());
    }

    /// The listed names whose last question had no answer, and why.
    pub fn failing(&self) -> impl Iterator<Item = (&str, &str)> {
        self.failing.iter().map(|(name, error)| (name.as_str(), error.as_str()))
    }

    /// What comes next. What has been asked goes on where this is dropped before it is done.
    pub async fn next(&mut self) -> News {
        loop {
            while self.running.len() < AT_ONCE
                && let Some(name) = self.schedule.take(Instant::now())
            {
                self.running.push(ask(self.resolver.clone(), name).boxed());
            }
            let due = self.schedule.next_due().filter(|_| self.running.len() < AT_ONCE);
            tokio::select! {
                Some((name, result)) = self.running.next(), if !self.running.is_empty() => {
                    if let Some(news) = self.note(name, result) {
                        return news;
                    }
                }
                () = until(due) => {}
            }
        }
    }

    fn note(&mut self, name: String, result: Addresses) -> Option<News> {
        let now = Instant::now();
        match result {
            Ok(addresses) => {
                self.failing.remove(&name);
                let ttl = addresses.iter().map(|(_, ttl)| *ttl).min().unwrap_or(0);
                self.schedule.answered(name.clone(), Duration::from_secs(ttl.into()), now);
                Some(News::Answer(Answer { name, addresses }))
            }
            Err(error) => {
                let is_listed = self.schedule.failed(name.clone(), now);
                let why = format!("{error:#}");
                if !is_listed || self.failing.insert(name.clone(), why.clone()).is_some() {
                    return None;
                }
                Some(News::Failing { name, why })
            }
        }
    }
}

/// As the system's resolv.conf says.
fn resolver() -> anyhow::Result<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Each question is to be a real one: when it is asked again is decided here.
    options.cache_size = 0;
    Ok(builder.build()?)
}

/// Ends then; never, where there is no then.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

async fn ask(resolver: Result<TokioResolver, String>, name: String) -> (String, Addresses) {
    let addresses = match resolver {
        Ok(resolver) => addresses(&resolver, &name).await,
        Err(why) => Err(anyhow::Error::msg(why)),
    };
    (name, addresses)
}

/// At least one: a name without any is an error.
async fn addresses(resolver: &TokioResolver, name: &str) -> Addresses {
    // Fully qualified: no search domain is tried.
    let lookup = resolver.lookup_ip(format!("{name}.")).await?;
    let records = lookup.as_lookup().answers().iter();
    let addresses: Vec<(IpAddr, u32)> = records
        .filter_map(|record| match &record.data {
            RData::A(address) => Some((IpAddr::V4(**address), record.ttl)),
            RData::AAAA(address) => Some((IpAddr::V6(**address), record.ttl)),
            _ => None,
        })
        .collect();
    anyhow::ensure!(!addresses.is_empty(), "it has no address");
    Ok(addresses)
}

/// The name servers of this machine; none where its configuration cannot be read.
pub fn servers() -> Vec<IpAddr> {
    read_system_conf()
        .map(|(config, _)| config.name_servers().iter().map(|server| server.ip).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::thread;

    use hickory_proto::op::{Message, ResponseCode};
    use hickory_proto::rr::{Record, RecordType};
    use hickory_resolver::config::{
        ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    };
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

    /// A name server on loopback: every name but those in `bad.` has two addresses. It ends with the test's process.
    fn server() -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                socket.send_to(&response(&buffer[..length]), client).unwrap();
            }
        });
        port
    }

    fn response(question: &[u8]) -> Vec<u8> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        let mut response = Message::response(question.metadata.id, question.metadata.op_code);
        if query.name().to_ascii().to_lowercase().ends_with("bad.") {
            response.metadata.response_code = ResponseCode::NXDomain;
        } else {
            let data = match query.query_type() {
                RecordType::AAAA => RData::AAAA(V6.into()),
                _ => RData::A(V4.into()),
            };
            response.add_answer(Record::from_rdata(query.name().clone(), 600, data));
        }
        response.add_query(query);
        response.to_vec().unwrap()
    }

    fn watch(names: &[&str]) -> Watch {
        let mut connection = ConnectionConfig::udp();
        connection.port = server();
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        let mut options = ResolverOpts::default();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let config = ResolverConfig::from_name_servers(vec![server]);
        let builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        Watch::with(Ok(builder.build().unwrap()), names.iter().map(ToString::to_string))
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn both_kinds_of_address_are_asked_for_and_a_failing_name_stops_no_other() {
        runtime().block_on(async {
            let names: Vec<String> = (0..50).map(|i| format!("name-{i}.good")).collect();
            let mut listed: Vec<&str> = names.iter().map(String::as_str).collect();
            listed.insert(0, "one.bad");
            let mut watch = watch(&listed);
            let mut answered = Vec::new();
            let mut told = 0;
            while answered.len() < names.len() {
                let mut answer = match watch.next().await {
                    News::Answer(answer) => answer,
                    News::Failing { name, .. } => {
                        assert_eq!(name, "one.bad");
                        told += 1;
                        continue;
                    }
                };
                answer.addresses.sort_unstable();
                assert_eq!(answer.addresses, [(V4.into(), 600), (V6.into(), 600)], "{}", answer.name);
                answered.push(answer.name);
            }
            answered.sort_unstable_by_key(|name| names.iter().position(|other| other == name));
            assert_eq!(answered, names);
            while told == 0 {
                told +=
                    u32::from(matches!(watch.next().await, News::Failing { name, .. } if name == "one.bad"));
            }
            assert_eq!(told, 1);
            let failing: Vec<_> = watch.failing().collect();
            assert!(matches!(failing[..], [("one.bad", error)] if !error.is_empty()), "{failing:?}");
        });
    }

    #[test]
    fn a_question_outlives_a_wait_that_is_given_up_and_an_added_name_is_asked_for_once() {
        runtime().block_on(async {
            let mut watch = watch(&[]);
            watch.add("added.good".into());
            watch.add("added.bad".into());
            // Polled once and dropped, as by select!: the questions are out.
            assert!(watch.next().now_or_never().is_none());
            assert_eq!(watch.running.len(), 2);
            assert!(matches!(watch.next().await, News::Answer(answer) if answer.name == "added.good"));
            while !watch.running.is_empty() {
                let _ = tokio::time::timeout(Duration::from_millis(10), watch.next()).await;
            }
            assert!(watch.schedule.take(Instant::now() + Duration::from_mins(1)).is_none(), "once");
            assert_eq!(watch.failing().count(), 0);
        });
    }
}
