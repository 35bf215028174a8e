//! Nanoseconds a packet, by `BPF_PROG_TEST_RUN`.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use limiter_tests::bpf;
use nix::time::{ClockId, clock_gettime};

/// What one run of `program` on `frame` takes, as the mean of many; the call's own cost is taken off.
///
/// Processor time of this thread: the call also waits for other CPUs (`synchronize_rcu`), until the next tick.
pub fn nanoseconds(program: &impl AsFd, frame: &[u8], repeat: u32) -> io::Result<f64> {
    let time = |repeat| -> io::Result<Duration> {
        let start = processor_time()?;
        bpf::test_run(program, frame, repeat)?;
        Ok(processor_time()?.saturating_sub(start))
    };
    let fixed = time(1)?;
    Ok(time(repeat)?.saturating_sub(fixed).as_secs_f64() * 1e9 / f64::from(repeat - 1))
}

fn processor_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
