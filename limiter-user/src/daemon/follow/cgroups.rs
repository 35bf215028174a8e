//! Cgroups that are removed and made anew, as systemd does it with those of its units.

use std::collections::HashMap;
use std::fs;
use std::time::SystemTime;

use anyhow::Context as _;

use super::super::words;
use super::Follower;
use crate::bpf::cgroup::ON_CGROUPS;
use crate::bpf::{Programs, cgroup_link};
use crate::cgroup::Cgroup;
use crate::clock;
use crate::state::{AttachedCgroup, State, Waiting};

/// Cgroups as they were found last, by the names that they are wanted by.
pub struct Found(HashMap<String, Cgroup>);

impl Found {
    /// Looks for them.
    pub fn new(names: &[String]) -> Self {
        let mut found = Self(HashMap::new());
        for name in names {
            // Why not matters to who looks next.
            let _ = found.find(name);
        }
        found
    }

    /// Those that were there.
    pub fn all(&self) -> Vec<Cgroup> {
        self.0.values().cloned().collect()
    }

    /// The one with this name, or why there is none. Units are searched for only where they were not before.
    fn find(&mut self, name: &String) -> Result<Cgroup, String> {
        if let Some(now) = self.0.get(name).and_then(Cgroup::now) {
            return Ok(now);
        }
        match Cgroup::present(std::slice::from_ref(name)) {
            Ok((found, missing)) => match (found.into_iter().next(), missing.into_iter().next()) {
                (Some(cgroup), _) => {
                    self.0.insert(name.clone(), cgroup.clone());
                    Ok(cgroup)
                }
                (None, missing) => Err(missing.map(|(_, failure)| failure.cause).unwrap_or_default()),
            },
            Err(error) => Err(format!("{error:#}")),
        }
    }
}

impl Follower {
    /// Follows them; gives what is waited for then.
    pub(super) fn cgroups(
        &mut self,
        told: Option<u64>,
        programs: &mut Programs,
        state: &mut State,
    ) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        let Some(outbound) = &mut state.outbound else { return waiting };
        if let Some(watch) = &self.watch {
            watch.follow(&self.found.all());
        }
        let mut present: Vec<Cgroup> = Vec::new();
        for name in &state.wanted.cgroups {
            match self.found.find(name) {
                Ok(cgroup) => match present.iter().find(|other| other.overlaps(&cgroup)) {
                    Some(other) => {
                        let why = format!("it and cgroup {} are one, or one in the other", other.name);
                        waiting.push(words::waiting_for_cgroup(name, why));
                    }
                    None => present.push(cgroup),
                },
                Err(why) => waiting.push(words::waiting_for_cgroup(name, why)),
            }
        }
        let mut attached = Vec::with_capacity(present.len());
        for cgroup in &present {
            match self.cgroup(told, programs, cgroup, &outbound.cgroups) {
                Ok(cgroup) => attached.push(cgroup),
                Err(error) => {
                    waiting.push(words::waiting_for_cgroup(&cgroup.name, format!("{error:#}")));
                    attached.extend(outbound.cgroups.iter().find(|before| before.id == cgroup.id).cloned());
                }
            }
        }
        for gone in outbound.cgroups.iter().filter(|gone| !present.iter().any(|now| now.id == gone.id)) {
            if !present.iter().any(|now| now.path == gone.path) {
                self.news.push(format!("cgroup {} is gone", gone.name));
            }
            for program in ON_CGROUPS {
                self.forget(&cgroup_link(gone.id, program));
            }
        }
        outbound.cgroups = attached;
        waiting
    }

    /// Sees to it that all programs are on one. `before` is what was noted of all of them.
    fn cgroup(
        &mut self,
        told: Option<u64>,
        programs: &mut Programs,
        cgroup: &Cgroup,
        before: &[AttachedCgroup],
    ) -> anyhow::Result<AttachedCgroup> {
        let link = |program| cgroup_link(cgroup.id, program);
        let noted = before.iter().find(|before| before.id == cgroup.id);
        let missing: Vec<_> =
            ON_CGROUPS.into_iter().filter(|program| !self.pins.is_on(&link(program), cgroup.id)).collect();
        if let (Some(noted), true) = (noted, missing.is_empty()) {
            return Ok(noted.clone());
        }
        // The first of them stands for all.
        let gap = link(ON_CGROUPS[0]);
        match noted {
            Some(_) => self.gaps.begin(&gap, None, None),
            None => self.gaps.begin(&gap, told, made(cgroup)),
        }
        let directory = cgroup.open()?;
        for program in missing {
            let fd = programs
                .attach_one_to_cgroup(program, &directory)
                .with_context(|| format!("cannot limit cgroup {}", cgroup.name))?;
            self.pins.pin_link(&link(program), fd)?;
        }
        let (gap, name) = (self.gaps.end(&gap), cgroup.name.clone());
        let what = if noted.is_some() {
            "had lost programs: attached again"
        } else if before.iter().any(|before| before.path == cgroup.path) {
            "was made anew: attached"
        } else {
            "is there: attached"
        };
        self.news.push(format!("cgroup {name} {what}; {gap}"));
        Ok(AttachedCgroup { name, path: cgroup.path.clone(), id: cgroup.id, again: Some(gap.again()) })
    }
}

/// When it was made, by [`clock::now`]. Its directory has that time from when it is first looked up, and nobody can be in
/// it before that.
fn made(cgroup: &Cgroup) -> Option<u64> {
    let modified = fs::metadata(&cgroup.path).and_then(|about| about.modified()).ok()?;
    let age = SystemTime::now().duration_since(modified).ok()?;
    clock::now().checked_sub(u64::try_from(age.as_nanos()).ok()?)
}
