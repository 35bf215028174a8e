//! The outbound programs, on cgroups.

use std::fs::File;

use anyhow::{Context as _, ensure};
use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, CgroupSockAddr, TestRun as _, TestRunOptions};

use super::Programs;

/// The programs that an attached cgroup has. First the observers: what is resolved before the limits hold has its name
/// already.
pub const ON_CGROUPS: [&str; 6] = ["egress", "ingress", "connect4", "connect6", "sendmsg4", "sendmsg6"];
/// Those for packets.
const PACKETS: [(&str, CgroupSkbAttachType); 2] =
    [("egress", CgroupSkbAttachType::Egress), ("ingress", CgroupSkbAttachType::Ingress)];

/// A link is always one of several, and takes no flag that says so (`cgroup_bpf_link_attach` in the kernel).
pub(super) const MODE: CgroupAttachMode = CgroupAttachMode::Single;

impl Programs {
    /// Attaches the outbound programs to a cgroup, beside whatever is there: what any of them refuses is refused.
    ///
    /// # Errors
    ///
    /// As the kernel says. Links of programs that were attached before that are dropped, and so detached.
    pub fn attach_to_cgroup(&mut self, cgroup: &File) -> anyhow::Result<Vec<(String, FdLink)>> {
        ON_CGROUPS
            .into_iter()
            .map(|name| Ok((name.to_owned(), self.attach_one_to_cgroup(name, cgroup)?)))
            .collect()
    }

    /// The same for one of [`ON_CGROUPS`].
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn attach_one_to_cgroup(&mut self, name: &str, cgroup: &File) -> anyhow::Result<FdLink> {
        let cannot = || format!("cannot attach {name}");
        let direction = PACKETS.iter().find(|(packets, _)| *packets == name).map(|(_, direction)| *direction);
        if let Some(direction) = direction {
            let program = self.packets(name);
            let id = program.attach(cgroup, direction, MODE).with_context(cannot)?;
            return Ok(program.take_link(id)?.try_into()?);
        }
        let program: &mut CgroupSockAddr = self.program(name);
        let id = program.attach(cgroup, MODE).with_context(cannot)?;
        Ok(program.take_link(id)?.try_into()?)
    }

    /// Lets the kernel's tables learn from a DNS answer, as if somebody had asked for it.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn teach_answer(&mut self, message: &[u8]) -> anyhow::Result<()> {
        let frame = frame(message);
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
        let result = self.teach().test_run(options).context("cannot run the program that learns")?;
        ensure!(result.return_value == 1, "the program that learns returned {}", result.return_value);
        Ok(())
    }
}

/// A packet for a program of cgroups to be tried with (`BPF_PROG_TEST_RUN`).
///
/// The kernel wants an Ethernet header and takes it off again; this type is nobody's (IEEE 802, local experiments).
pub(super) fn frame(payload: &[u8]) -> Vec<u8> {
    [[0; 12].as_slice(), &[0x88, 0xb5], payload].concat()
}
