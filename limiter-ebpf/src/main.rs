//! The kernel half of limiterctl: thin entry points around the decisions of `limiter-common`.
//!
//! # Layout
//!
//! - `inbound` looks a SYN's rule up, judges it and counts
//! - `lists` knows sources that are allowed or denied whatever the limits say
//! - `reset` answers a refused SYN
//! - `outbound` judges connections, datagrams and packets that the limited processes send
//! - `observe` reads their DNS messages, so that addresses have names
//! - `datagram` finds the payload of a packet, `stream` the messages in one of TCP
//! - `open` counts the connections that a source holds
//! - `report` tells the daemon of refusals, now and then
//! - `boundary` cuts the program into parts that the verifier checks one by one
//! - `tables` holds the maps, behind functions
//! - `clock` asks the kernel for the time
//! - `frame` and `atomics` are the rooms of unsafe memory: packets, and words that all CPUs share

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "the target has no stable compare-and-swap")
)]

#[cfg(target_arch = "bpf")]
mod atomics;
#[cfg(target_arch = "bpf")]
mod boundary;
#[cfg(target_arch = "bpf")]
mod clock;
#[cfg(target_arch = "bpf")]
mod datagram;
#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod inbound;
#[cfg(target_arch = "bpf")]
mod lists;
#[cfg(target_arch = "bpf")]
mod observe;
#[cfg(target_arch = "bpf")]
mod open;
#[cfg(target_arch = "bpf")]
mod outbound;
#[cfg(target_arch = "bpf")]
mod report;
#[cfg(target_arch = "bpf")]
mod reset;
#[cfg(target_arch = "bpf")]
mod stream;
#[cfg(target_arch = "bpf")]
mod tables;

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
    use aya_ebpf::macros::{cgroup_skb, cgroup_sock_addr, sock_ops, xdp};
    use aya_ebpf::programs::{SkBuffContext, SockAddrContext, SockOpsContext, XdpContext};
    use limiter_common::dns::Part;
    use limiter_common::rule::Action;

    use crate::frame::Frame;
    use crate::inbound::{self, Inbound};
    use crate::outbound::call::{destination_v4, destination_v6};
    use crate::tables::inbound as tables;
    use crate::{boundary, datagram, observe, open, outbound, report};

    /// Judges each SYN that arrives.
    #[xdp(frags)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn inbound(ctx: XdpContext) -> u32 {
        let frame = Frame::new(&ctx);
        match inbound::judge(&frame) {
            Ok(Inbound::Pass) => XDP_PASS,
            Ok(Inbound::Refuse(action, refused)) => {
                report::inbound(&ctx, &refused);
                match action {
                    None => XDP_PASS,
                    Some(Action::Drop) => XDP_DROP,
                    Some(Action::Reset) => boundary::reset::reply(&ctx, &refused),
                }
            }
            Err(skip) => {
                tables::count_skip(skip);
                XDP_PASS
            }
        }
    }

    /// Counts the connections that each source holds open. It only looks on.
    #[sock_ops]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn count_open(ctx: SockOpsContext) -> u32 {
        open::event(&ctx);
        1
    }

    /// Corrects a count as the daemon says (`BPF_PROG_TEST_RUN`); never attached.
    #[cgroup_skb(ingress)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn correct(ctx: SkBuffContext) -> i32 {
        open::correct(&ctx).into()
    }

    /// Judges `connect()` over IPv4.
    #[cgroup_sock_addr(connect4)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn connect4(ctx: SockAddrContext) -> i32 {
        outbound::connect(&ctx, &destination_v4(&ctx))
    }

    /// Judges `connect()` over IPv6.
    #[cgroup_sock_addr(connect6)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn connect6(ctx: SockAddrContext) -> i32 {
        outbound::connect(&ctx, &destination_v6(&ctx))
    }

    /// Judges `sendto()` and `sendmsg()` over IPv4.
    #[cgroup_sock_addr(sendmsg4)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
        outbound::send(&ctx, &destination_v4(&ctx))
    }

    /// Judges `sendto()` and `sendmsg()` over IPv6.
    #[cgroup_sock_addr(sendmsg6)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
        outbound::send(&ctx, &destination_v6(&ctx))
    }

    /// Notes DNS queries; judges what is sent, where that is limited.
    #[cgroup_skb(egress)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn egress(ctx: SkBuffContext) -> i32 {
        datagram::sent(&ctx).into()
    }

    /// Learns from DNS answers.
    #[cgroup_skb(ingress)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn ingress(ctx: SkBuffContext) -> i32 {
        datagram::received(&ctx);
        1
    }

    /// Learns from an answer that the daemon hands over (`BPF_PROG_TEST_RUN`); never attached.
    #[cgroup_skb(ingress)]
    #[expect(clippy::needless_pass_by_value, reason = "the macro calls it so")]
    pub fn teach(ctx: SkBuffContext) -> i32 {
        observe::answer(ctx.skb.skb, 0, Part::all(ctx.skb.len()), None);
        1
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    /// The kernel hands its helpers to programs under a licence compatible with the GPL.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = "license")]
    #[expect(unsafe_code, reason = "the kernel finds it by its section")]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("this is a program for the kernel; `cargo build --release` builds it into limiterctl");
}
