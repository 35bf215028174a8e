//! Tries the program for interfaces.

use limiter_common::verdict::Reason;

use super::unproved;
use crate::bpf::Programs;
use crate::bpf::probe::{Seen, Syn};

/// `enum xdp_action` (linux/bpf.h).
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// Shows it SYNs to a rule that has `number`, which must be that of no other rule.
///
/// # Errors
///
/// One met another verdict than it must; the kernel does not let it be tried.
pub fn prove(programs: &mut Programs, number: u32) -> anyhow::Result<()> {
    for is_v6 in [false, true] {
        for syn in [Syn::Within, Syn::Over] {
            let seen = programs.try_syn(number, syn, is_v6)?;
            if !is_right(syn, &seen) {
                let (which, version) = (which(syn), if is_v6 { 6 } else { 4 });
                return Err(unproved(&format!(
                    "the program for interfaces returned {} for {which} over IPv{version}, and counted {:?}",
                    seen.verdict, seen.counted
                )));
            }
        }
    }
    Ok(())
}

const fn which(syn: Syn) -> &'static str {
    match syn {
        Syn::Within => "a SYN within its limit",
        Syn::Over => "a SYN over its limit",
    }
}

/// Whether a SYN met the verdict that it must. Where lists say something of the address 0, or of every address, that decides.
fn is_right(syn: Syn, seen: &Seen) -> bool {
    let refused = |reason: Reason| seen.counted.refused[reason as usize] > 0;
    match seen.verdict {
        XDP_PASS => seen.counted.allowed > 0 || syn == Syn::Within && seen.counted.passed > 0,
        XDP_DROP => refused(Reason::Denied) || syn == Syn::Over && refused(Reason::Total),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use limiter_common::verdict::RuleCounters;

    use super::*;

    /// What a program makes of a SYN that counts this.
    fn seen(verdict: u32, passed: u64, allowed: u64, refused: Option<Reason>) -> Seen {
        let mut counted = RuleCounters { passed, allowed, ..RuleCounters::default() };
        if let Some(reason) = refused {
            counted.refused[reason as usize] = 1;
        }
        Seen { verdict, counted }
    }

    #[test]
    fn a_program_that_does_anything_else_proves_nothing() {
        const XDP_TX: u32 = 3;
        let over = Some(Reason::Total);
        for (syn, seen, right) in [
            (Syn::Within, seen(XDP_PASS, 1, 0, None), true),
            (Syn::Over, seen(XDP_DROP, 0, 0, over), true),
            (Syn::Within, seen(XDP_DROP, 0, 0, over), false),
            (Syn::Over, seen(XDP_PASS, 1, 0, None), false),
            (Syn::Over, seen(XDP_PASS, 0, 0, over), false),
            (Syn::Over, seen(XDP_TX, 0, 0, over), false),
            (Syn::Within, seen(XDP_PASS, 0, 0, None), false),
            (Syn::Over, seen(XDP_DROP, 0, 0, None), false),
            (Syn::Over, seen(XDP_PASS, 0, 1, None), true),
            (Syn::Within, seen(XDP_DROP, 0, 0, Some(Reason::Denied)), true),
        ] {
            assert_eq!(is_right(syn, &seen), right, "{syn:?} {seen:?}");
        }
    }
}
