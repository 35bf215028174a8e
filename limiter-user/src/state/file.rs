//! Where it lies.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{DIRECTORY, State};

impl State {
    fn path() -> PathBuf {
        Path::new(DIRECTORY).join("state.json")
    }

    /// Writes it, in one step.
    ///
    /// # Errors
    ///
    /// As the file system says.
    pub fn save(&self) -> anyhow::Result<()> {
        let (path, new) = (Self::path(), Path::new(DIRECTORY).join("state.json.new"));
        let cannot = || format!("cannot write {}", new.display());
        // It may be there from somebody who was killed.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        file.with_context(cannot)?.write_all(&serde_json::to_vec_pretty(self)?).with_context(cannot)?;
        fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads it, or `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where it is there and cannot be read.
    pub fn load() -> anyhow::Result<Option<Self>> {
        let path = Self::path();
        match fs::read(&path) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is damaged", path.display()))?;
                Ok(Some(state))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Removes it.
    pub fn remove() {
        // Without pins it says nothing, so a failure here hides nothing.
        let _ = fs::remove_file(Self::path());
    }
}

/// Lets everybody through to what lies there and is for others than root as well, or nobody. What else lies there is for root
/// by its own mode.
///
/// # Errors
///
/// As the file system says.
pub fn let_through(everybody: bool) -> io::Result<()> {
    fs::set_permissions(DIRECTORY, Permissions::from_mode(if everybody { 0o711 } else { 0o700 }))
}
