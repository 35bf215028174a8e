//! The table: what is held, how it comes about, and how many more each of the two admits.

use std::thread;
use std::time::Duration;

use super::super::reset;
use super::super::server::{CLOSE, HALF, KEEP, RESET};
use super::super::states::{ask, read_to_end};
use super::MAX;
use super::stage::{Family, Limiter, Side, Stage};

/// What conntrack and the kernel remember of a connection that has not ended properly, they remember for so long.
const A_MINUTE: Duration = Duration::from_mins(1);
/// limiterctl remembers a handshake for no less than this,
const ONE_WINDOW: Duration = Duration::from_secs(2);
/// and for no longer than this.
const TWO_WINDOWS: Duration = Duration::from_secs(5);
/// SYNs of a burst. limiterctl answers so many by resets, unless said otherwise.
const BURST: usize = 100;

pub struct Row {
    /// In the words of the documentation.
    pub scenario: &'static str,
    /// How it comes about.
    pub story: fn(&mut Stage),
    /// What the server's kernel then holds, in ss's words; `orphan` for a `FIN_WAIT2` that no process holds.
    pub sockets: &'static [(&'static str, usize)],
    /// How many more are then admitted.
    connlimit: usize,
    limiterctl: usize,
    pub why: &'static str,
    pub families: &'static [Family],
    /// For how long this stays so, from its beginning.
    pub lasts: Duration,
}

impl Row {
    const fn new(
        scenario: &'static str,
        story: fn(&mut Stage),
        sockets: &'static [(&'static str, usize)],
        [connlimit, limiterctl]: [usize; 2],
        why: &'static str,
    ) -> Self {
        let families = &[Family::V4, Family::V6];
        Self { scenario, story, sockets, connlimit, limiterctl, why, families, lasts: A_MINUTE }
    }

    /// Holds only while limiterctl remembers handshakes.
    const fn at_once(self) -> Self {
        Self { lasts: ONE_WINDOW, ..self }
    }

    /// Waits for long: one IP version must do.
    const fn later(self) -> Self {
        Self { families: &[Family::V4], ..self }
    }

    const fn of_ipv6(self) -> Self {
        Self { families: &[Family::V6], ..self }
    }

    pub const fn admitted(&self, limiter: Limiter) -> usize {
        match limiter {
            Limiter::Connlimit => self.connlimit,
            Limiter::Limiterctl => self.limiterctl,
        }
    }
}

pub const ROWS: &[Row] = &[
    Row::new("3 open", full, &[("ESTAB", 3)], [0, 0], "the limit"),
    Row::new("3 open, then one ends", one_ended, &[("ESTAB", 2)], [1, 1], "what ends makes room"),
    Row::new(
        "3 open and 20 refused, then one ends",
        one_ended_after_refusals,
        &[("ESTAB", 2)],
        [1, 1],
        "what is refused is not held",
    ),
    Row::new(
        "3 each of 200 sources, which try 5 each at once",
        crowd,
        &[("ESTAB", 600)],
        [0, 0],
        "each gets its own, and no more",
    ),
    Row::new("3 of 100 SYNs at once", burst, &[("SYN-RECV", 3)], [0, 0], "no more get in").at_once(),
    Row::new(
        "3 whose client has closed (TIME_WAIT at the client)",
        closed_by_client,
        &[],
        [3, 3],
        "they are over",
    ),
    Row::new("3 in TIME_WAIT at the server", time_wait, &[("TIME-WAIT", 3)], [3, 3], "they are over"),
    Row::new("3 ended by an RST of the client", reset_by_client, &[], [3, 3], "they are over"),
    Row::new("3 ended by an RST of the server", reset_by_server, &[], [3, 3], "they are over"),
    Row::new(
        "3 whose client has vanished without a word",
        vanished,
        &[("ESTAB", 3)],
        [0, 0],
        "the server holds them",
    ),
    Row::new(
        "3 that the server has half closed (FIN_WAIT2)",
        half_closed,
        &[("FIN-WAIT-2", 3)],
        [0, 0],
        "the server holds them",
    ),
    Row::new(
        "3 that the client has closed and the server has not (CLOSE_WAIT)",
        close_wait,
        &[("CLOSE-WAIT", 3)],
        [0, 0],
        "the server holds them",
    ),
    Row::new(
        "3 half closed (FIN_WAIT2), after a minute of silence",
        half_closed_and_forgotten,
        &[("FIN-WAIT-2", 3)],
        [3, 0],
        "conntrack forgets",
    ),
    Row::new(
        "3 in CLOSE_WAIT, after a minute of silence",
        close_wait_and_forgotten,
        &[("CLOSE-WAIT", 3)],
        [3, 0],
        "conntrack forgets",
    ),
    Row::new(
        "3 open, after five days of silence",
        open_and_forgotten,
        &[("ESTAB", 3)],
        [3, 0],
        "conntrack forgets",
    ),
    Row::new("3 from before the limit", early, &[("ESTAB", 3)], [3, 0], "connlimit never saw them"),
    Row::new(
        "3 that the server has closed and the client has not (FIN_WAIT2 without a process)",
        orphaned,
        &[("orphan", 3)],
        [0, 3],
        "the server holds nothing",
    ),
    Row::new(
        "3 of a server killed by SIGKILL; a new one listens",
        killed,
        &[("orphan", 3)],
        [0, 3],
        "the server holds nothing",
    ),
    Row::new(
        "3 whose client has vanished; the server's kernel has given up",
        given_up,
        &[],
        [0, 3],
        "the server holds nothing",
    ),
    Row::new(
        "3 handshakes without their last ACK, at once",
        half_open,
        &[("SYN-RECV", 3)],
        [0, 0],
        "they may become connections",
    )
    .at_once(),
    Row::new(
        "3 handshakes without their last ACK, after 5 s",
        half_open_for_long,
        &[("SYN-RECV", 3)],
        [0, 3],
        "limiterctl forgets handshakes",
    )
    .later(),
    Row::new(
        "1 open, 2 SYNs that found the accept queue full; after 5 s",
        full_queue,
        &[("ESTAB", 1)],
        [0, 2],
        "limiterctl forgets handshakes",
    )
    .later(),
    Row::new(
        "3 handshakes that the client ended by an RST, at once",
        scanned,
        &[],
        [3, 0],
        "limiterctl sees no RST",
    )
    .at_once(),
    Row::new(
        "3 handshakes that the client ended by an RST, after 5 s",
        scanned_for_long,
        &[],
        [3, 3],
        "limiterctl forgets handshakes",
    )
    .later(),
    Row::new(
        "3 SYNs while nobody listens, then a server starts; at once",
        nobody_listens,
        &[],
        [3, 0],
        "limiterctl sees no RST",
    )
    .at_once(),
    Row::new(
        "1 handshake whose SYN came 3 times, at once",
        sent_again,
        &[("SYN-RECV", 1)],
        [2, 0],
        "limiterctl counts SYNs",
    )
    .at_once(),
    Row::new(
        "3 of three addresses of one /24 or /56, limited by that; more from one of them",
        neighbours,
        &[("ESTAB", 3)],
        [0, 0],
        "they are one source",
    ),
    Row::new(
        "3 of three addresses of one /24 or /56; more from outside",
        strangers,
        &[("ESTAB", 3)],
        [3, 3],
        "another source has its own",
    ),
    Row::new(
        "3 of one IPv6 address, no mask given; more from another one of its /64",
        unmasked,
        &[("ESTAB", 3)],
        [3, 0],
        "limiterctl takes a /64 for one source",
    )
    .of_ipv6(),
];

fn full(stage: &mut Stage) {
    stage.serve();
    stage.limit();
    stage.fill();
}

fn one_ended(stage: &mut Stage) {
    full(stage);
    stage.open.pop();
}

fn one_ended_after_refusals(stage: &mut Stage) {
    full(stage);
    for _ in 0..20 {
        stage.scene.is_refused(stage.source);
    }
    stage.open.pop();
}

fn crowd(stage: &mut Stage) {
    stage.serve();
    stage.limit();
    stage.fill_for_a_crowd();
}

fn burst(stage: &mut Stage) {
    stage.serve();
    stage.limit();
    stage.start_the_clock();
    stage.deafen(&format!("1:{BURST}"));
    stage.send_syns(1..=BURST);
    // All the others were refused.
    stage.wait_for_counter(Side::Client, "InSegs", BURST - MAX);
}

fn closed_by_client(stage: &mut Stage) {
    full(stage);
    stage.open.clear();
}

fn time_wait(stage: &mut Stage) {
    half_closed(stage);
    // An ACK that comes behind the client's FIN would have an RST end this state.
    stage.settle(&[("FIN-WAIT-2", MAX)]);
    stage.open.clear();
}

fn reset_by_client(stage: &mut Stage) {
    full(stage);
    stage.settle(&[("ESTAB", MAX)]);
    stage.open.drain(..).for_each(reset);
}

fn reset_by_server(stage: &mut Stage) {
    full(stage);
    tell_all(stage, RESET);
    stage.open.iter().for_each(read_to_end);
}

fn vanished(stage: &mut Stage) {
    full(stage);
    tell_all(stage, KEEP);
    stage.keep();
    stage.lose_the_client();
}

fn half_closed(stage: &mut Stage) {
    full(stage);
    tell_all(stage, HALF);
    stage.open.iter().for_each(read_to_end);
}

fn close_wait(stage: &mut Stage) {
    full(stage);
    tell_all(stage, KEEP);
    stage.keep();
    stage.open.clear();
}

fn half_closed_and_forgotten(stage: &mut Stage) {
    stage.shorten_memory("close_wait");
    half_closed(stage);
    stage.wait_until_forgotten();
}

fn close_wait_and_forgotten(stage: &mut Stage) {
    stage.shorten_memory("close_wait");
    close_wait(stage);
    stage.wait_until_forgotten();
}

fn open_and_forgotten(stage: &mut Stage) {
    stage.shorten_memory("established");
    full(stage);
    stage.wait_until_forgotten();
}

fn early(stage: &mut Stage) {
    stage.serve();
    stage.fill();
    stage.settle(&[("ESTAB", MAX)]);
    stage.limit();
    // They are used after the rule was set as well: conntrack knows of them from here on.
    tell_all(stage, KEEP);
    stage.keep();
}

fn orphaned(stage: &mut Stage) {
    full(stage);
    tell_all(stage, CLOSE);
    stage.open.iter().for_each(read_to_end);
}

fn killed(stage: &mut Stage) {
    let mut server = stage.holder();
    stage.limit();
    stage.fill();
    stage.settle(&[("ESTAB", MAX)]);
    server.kill().unwrap(); // by SIGKILL
    server.wait().unwrap();
    stage.serve();
}

fn given_up(stage: &mut Stage) {
    vanished(stage);
    stage.have_the_server_notice();
}

fn half_open(stage: &mut Stage) {
    stage.serve();
    stage.limit();
    stage.start_the_clock();
    stage.deafen(&format!("1:{MAX}"));
    stage.send_syns(1..=MAX);
}

fn half_open_for_long(stage: &mut Stage) {
    half_open(stage);
    thread::sleep(TWO_WINDOWS);
}

fn full_queue(stage: &mut Stage) {
    let listener = stage.listen_for_one();
    stage.limit();
    stage.open = stage.scene.connect_all(stage.source, 1);
    stage.settle(&[("ESTAB", 1)]);
    for _ in 1..MAX {
        stage.try_for_a_moment().expect_err("the queue is full");
    }
    thread::sleep(TWO_WINDOWS);
    // Now it has room.
    listener.listen(4096).unwrap();
    stage.held.push(listener);
}

fn scanned(stage: &mut Stage) {
    stage.serve();
    stage.limit();
    stage.start_the_clock();
    // Nobody has sent them, says the client's kernel, and answers the SYN-ACKs with RSTs.
    stage.send_syns(1..=MAX);
    stage.wait_for_counter(Side::Server, "EmbryonicRsts", MAX);
}

fn scanned_for_long(stage: &mut Stage) {
    scanned(stage);
    thread::sleep(TWO_WINDOWS);
}

fn nobody_listens(stage: &mut Stage) {
    stage.limit();
    stage.start_the_clock();
    for _ in 0..MAX {
        stage.scene.is_refused(stage.source);
    }
    stage.wait_for_counter(Side::Server, "InSegs", MAX);
    stage.serve();
}

fn sent_again(stage: &mut Stage) {
    stage.serve();
    stage.limit();
    stage.start_the_clock();
    stage.deafen("1");
    for _ in 0..3 {
        stage.send_syns(1..=1);
    }
    stage.wait_for_counter(Side::Server, "InSegs", 3);
}

fn neighbours(stage: &mut Stage) {
    stage.serve();
    stage.limit_by(24, 56);
    let [one, another, third, _] = stage.sources();
    for source in [one, another, third] {
        stage.open.extend(stage.scene.connect_all(source, 1));
    }
}

fn strangers(stage: &mut Stage) {
    neighbours(stage);
    stage.source = stage.sources()[3];
}

fn unmasked(stage: &mut Stage) {
    stage.serve();
    stage.limit_unmasked();
    stage.fill();
    stage.source = stage.sources()[1];
}

fn tell_all(stage: &Stage, word: u8) {
    for stream in &stage.open {
        ask(stream, word);
    }
}
