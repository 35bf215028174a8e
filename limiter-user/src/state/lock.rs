//! Who is the one daemon.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, SEEK_SET, flock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::DIRECTORY;

/// Held by the one daemon, for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The process that holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
}

impl Lock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn take() -> anyhow::Result<Result<Self, Holder>> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(DIRECTORY)
            .with_context(|| format!("cannot make {DIRECTORY}"))?;
        let path = Self::path();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&WHOLE_FILE)) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(Err(Holder::read(&mut file)?)),
            Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Ok(Self { _file: file }))
    }

    /// Who has the lock, if anybody. Asking does not take it, so it never stands in a daemon's way.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn holder() -> anyhow::Result<Option<Holder>> {
        let Ok(mut file) = File::open(Self::path()) else { return Ok(None) };
        let mut lock = WHOLE_FILE;
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).context("cannot ask for the lock")?;
        if lock.l_type == F_UNLCK as i16 { Ok(None) } else { Holder::read(&mut file).map(Some) }
    }

    fn path() -> PathBuf {
        Path::new(DIRECTORY).join("lock")
    }
}

/// A lock for writing, from the first byte to the end, bound to the open file (Linux 3.15).
const WHOLE_FILE: flock =
    flock { l_type: F_WRLCK as i16, l_whence: SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };

impl Holder {
    fn read(file: &mut File) -> anyhow::Result<Self> {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let pid = text.trim().parse().context("the lock does not say who holds it")?;
        Ok(Self { pid })
    }

    /// Tells it that its limits stay.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn confirm(self) -> anyhow::Result<()> {
        self.signal(Signal::SIGUSR1)
    }

    /// Asks it to end.
    ///
    /// # Errors
    ///
    /// As the kernel says.
    pub fn terminate(self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)
    }

    fn signal(self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid), signal).with_context(|| format!("cannot signal process {}", self.pid))
    }
}
