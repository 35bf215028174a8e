//! A terminal of the test's own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{SysconfVar, sysconf};
use vt100::Parser;

use super::PATIENCE;

/// A terminal on which something runs. Dropping it kills that.
pub struct Screen {
    pub child: Child,
    /// Where somebody sits.
    person: File,
    pub parser: Arc<Mutex<(Parser, Vec<u8>)>>,
}

impl Screen {
    pub fn start(mut command: Command, (columns, rows): (u16, u16)) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let ours = || pty.slave.try_clone().unwrap();
        let child = command.stdin(ours()).stdout(ours()).stderr(ours()).spawn().expect("limiterctl starts");
        // The command holds the other end as well, and while it does, nobody is told that it is closed.
        drop((command, pty.slave));
        let person = File::from(pty.master);
        let some = |count| NonZero::new(count).expect("a terminal has room");
        let parser = Arc::new(Mutex::new((Parser::new(some(rows), some(columns), 0), Vec::new())));
        let (mut reader, shown) = (person.try_clone().unwrap(), Arc::clone(&parser));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut shown = shown.lock().unwrap();
                shown.0.process(&bytes[..count]);
                shown.1.extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, person, parser }
    }

    pub fn text(&self) -> String {
        self.parser.lock().unwrap().0.screen().contents()
    }

    pub fn press(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// What is shown once this holds.
    #[track_caller]
    pub fn when(&self, holds: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if holds(&text) {
                return text;
            }
            assert!(Instant::now() < end, "it never came to be so:\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn shows(&self, part: &str) -> String {
        self.when(|text| text.contains(part))
    }

    /// How it ended, and whether the terminal is what it was.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it never ended:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
        let flags = tcgetattr(&self.person).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
        let is_back = |(parser, _): &(Parser, Vec<u8>)| {
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        };
        while !is_back(&self.parser.lock().unwrap()) {
            assert!(Instant::now() < end, "the terminal is not what it was:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
        self.child.wait().unwrap()
    }

    /// Seconds that it has computed so far.
    pub fn computed(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "it is a hundred")]
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap() as f64;
        ticks / per_second
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // One that has ended is no failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
