//! Interfaces that appear, disappear, or get another name.

use super::super::words;
use super::Follower;
use crate::bpf::{self, Attached, Programs, interface_link};
use crate::interface::{self, Interface};
use crate::state::{AttachedInterface, State, Waiting};

impl Follower {
    /// Follows them; gives what is waited for then.
    ///
    /// # Errors
    ///
    /// Where rtnetlink does not answer.
    pub(super) async fn interfaces(
        &mut self,
        told: Option<u64>,
        programs: &mut Programs,
        state: &mut State,
    ) -> anyhow::Result<Vec<Waiting>> {
        if state.wanted.interfaces.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.links.all().await?;
        let (present, missing) = interface::wanted(&state.wanted.interfaces, &all);
        let mut waiting: Vec<_> =
            missing.into_iter().map(|name| words::waiting_for_interface(name)).collect();
        let mut attached = Vec::with_capacity(present.len());
        for interface in &present {
            let before = state.interface(interface.index).cloned();
            match self.interface(told, programs, interface, before.clone()) {
                Ok(interface) => attached.push(interface),
                Err(error) => {
                    let (name, why) = (interface.name.clone(), format!("{error:#}"));
                    waiting.push(Waiting { kind: "interface".into(), name, why });
                    attached.extend(before);
                }
            }
        }
        for gone in state.interfaces.iter().filter(|gone| !present.iter().any(|i| i.index == gone.index)) {
            match all.iter().find(|interface| interface.index == gone.index) {
                Some(now) => self.news.push(format!("{} is called {} now: detached", gone.name, now.name)),
                None => self.news.push(format!("{} is gone", gone.name)),
            }
            self.forget(&interface_link(gone.index));
        }
        state.interfaces = attached;
        Ok(waiting)
    }

    /// Sees to it that the program is on one. `before` is what was noted of it.
    fn interface(
        &mut self,
        told: Option<u64>,
        programs: &mut Programs,
        interface: &Interface,
        before: Option<AttachedInterface>,
    ) -> anyhow::Result<AttachedInterface> {
        let (link, name) = (interface_link(interface.index), interface.name.clone());
        let is_on = self.pins.is_on(&link, interface.index.into());
        if is_on && let Some(before) = before {
            if before.name != name {
                self.news.push(format!("{} is called {name} now, and limited as before", before.name));
            }
            return Ok(AttachedInterface { name, ..before });
        }
        // Nobody told of a program that was detached.
        self.gaps.begin(&link, told.filter(|_| before.is_none()), None);
        if is_on {
            // Nobody knows in which mode.
            self.pins.detach(&link)?;
        }
        let xdp_program = interface.xdp_program.filter(|_| !is_on);
        let free = Interface { xdp_program, ..interface.clone() };
        let Attached { link: fd, mode, why_generic } =
            bpf::attach(programs.inbound(), &free, self.mode, self.action)?;
        self.pins.pin_link(&link, fd)?;
        let gap = self.gaps.end(&link);
        match before {
            Some(_) => {
                self.news.push(format!("{name} had lost its program: attached again, {mode} XDP; {gap}"));
            }
            None => self.news.push(format!("{name} is there: attached, {mode} XDP; {gap}")),
        }
        let again = Some(gap.again());
        Ok(AttachedInterface { name, index: interface.index, xdp_mode: mode, why_generic, again })
    }

    /// Removes the link of what is gone.
    pub(super) fn forget(&self, link: &str) {
        if let Err(error) = self.pins.detach(link) {
            eprintln!("limiterctl: {error:#}");
        }
    }
}
