//! What comes out: as words that a shell runs, and as a part of limiterctl.toml. Both say the same.

use serde::Serialize;

use crate::failure::Failure;

/// What `attach` is to be told; what is not there is left as it is by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// At least one.
    pub interfaces: Vec<String>,
    /// Networks that nothing of this holds for.
    pub allow: Vec<String>,
    /// The one rule.
    pub rule: Rule,
}

/// A rule, in the form and under the keys of limiterctl.toml.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// What a file calls it.
    pub name: String,
    /// Ports and ranges; at least one.
    pub ports: Vec<String>,
    /// New connections of a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// How long a source is refused once it is over that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<String>,
    /// New connections of all sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_rate: Option<String>,
    /// Open connections of a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_open: Option<u64>,
    /// Bits that make a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_prefix: Option<String>,
    /// What a refused connection gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
}

#[derive(Serialize)]
struct File<'a> {
    inbound: Inbound<'a>,
}

#[derive(Serialize)]
struct Inbound<'a> {
    interfaces: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allow: &'a [String],
    rule: [&'a Rule; 1],
}

impl Command {
    /// From `limiterctl` on.
    pub fn words(&self) -> Vec<String> {
        let Self { interfaces, allow, rule } = self;
        let Rule { name: _, ports, rate, backoff, total_rate, max_open, source_prefix, action } = rule;
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
        let flags = [
            ("--interface", list(interfaces)),
            ("--port", list(ports)),
            ("--rate", rate.clone()),
            ("--backoff", backoff.clone()),
            ("--total-rate", total_rate.clone()),
            ("--max-open", max_open.map(|count| count.to_string())),
            ("--source-prefix", source_prefix.clone()),
            ("--action", action.map(str::to_owned)),
            ("--allow", list(allow)),
        ];
        let given = flags.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        ["limiterctl", "attach"].map(str::to_owned).into_iter().chain(given.flatten()).collect()
    }

    /// The same as a file.
    ///
    /// # Errors
    ///
    /// What TOML has no form for.
    pub fn file(&self) -> Result<String, Failure> {
        let inbound = Inbound { interfaces: &self.interfaces, allow: &self.allow, rule: [&self.rule] };
        toml::to_string(&File { inbound })
            .map_err(|error| Failure::new(format!("it has no form in TOML: {error}"), "take the command"))
    }
}
