//! The object and the program in it, as the kernel takes them.

mod mutants;
mod rules;
mod tables;
mod verifier;

use limiter_user::policy::{OutboundPolicy, Policy};

/// A name that a rule lists, and one that none does.
fn outbound() -> Policy {
    let outbound = OutboundPolicy {
        default: Some("10/s".parse().expect("limits")),
        rules: vec!["google.com = 20/s".parse().expect("a rule")],
        ..OutboundPolicy::default()
    };
    Policy { outbound: Some(outbound), ..Policy::default() }
}
