//! Debian's packages of kernels.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::setup::Apt;

/// The kind for virtual machines: small, and with what a service needs of a kernel.
const KIND: &str = "cloud-amd64";

/// A kernel, unpacked.
pub struct Kernel {
    /// As `uname -r` says it.
    pub release: String,
    /// All that is kept of it, and of trying it.
    pub folder: PathBuf,
}

impl Kernel {
    /// The newest of that version, which is fetched unless it is in `folder`.
    pub fn get(sh: &Shell, apt: &mut Apt, folder: &Path, version: &str) -> Result<Self> {
        let package = find(apt, version)?;
        let own = folder.join(&package);
        if !own.exists() {
            fetch(sh, apt, folder, &package)?;
        }
        Ok(Self { release: package.trim_start_matches(PREFIX).to_owned(), folder: own })
    }

    /// The package's files.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// What a boot loader loads.
    pub fn image(&self) -> PathBuf {
        self.files().join("boot").join(format!("vmlinuz-{}", self.release))
    }
}

const PREFIX: &str = "linux-image-";

/// The newest package of a version, after a look into apt's lists, and one into fresh lists.
fn find(apt: &mut Apt, version: &str) -> Result<String> {
    let start = format!("{PREFIX}{version}");
    if let Some(package) = newest(&apt.search(&start)?, version) {
        return Ok(package.to_owned());
    }
    apt.refresh(&[&start])?;
    let found = apt.search(&start)?;
    let package = newest(&found, version).with_context(|| {
        format!(
            "apt has no {start}*-{KIND}; add the Debian release that has it (a newer one, or backports) to apt's \
             sources, and run this again"
        )
    })?;
    Ok(package.to_owned())
}

/// Downloads a package and unpacks it. Its folder gets its name when it is whole.
fn fetch(sh: &Shell, apt: &mut Apt, folder: &Path, package: &str) -> Result<()> {
    let part = folder.join("part");
    sh.remove_path(&part)?;
    sh.create_dir(&part)?;
    apt.download(package, &part)?;
    let deb = sh.read_dir(&part)?.into_iter().next().context("apt-get has downloaded nothing")?;
    let files = part.join("files");
    cmd!(sh, "dpkg-deb --extract {deb} {files}").quiet().run()?;
    sh.remove_path(&deb)?;
    fs::rename(&part, folder.join(package)).context("cannot rename the folder of a kernel")
}

/// The newest among packages, by the numbers in their names: `6.12.9` is older than `6.12.101`, and no `6.1`.
fn newest<'a>(packages: &'a [String], version: &str) -> Option<&'a str> {
    packages
        .iter()
        .map(String::as_str)
        .filter(|package| {
            let rest = package.strip_prefix(PREFIX).and_then(|name| name.strip_prefix(version));
            rest.is_some_and(|rest| rest.starts_with(['.', '-', '+']) && rest.ends_with(KIND))
        })
        .max_by_key(|package| numbers(package))
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_package_of_a_version_is_found() {
        let packages = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-57-cloud-amd64-dbg",
            "linux-image-6.1.0-58-amd64",
            "linux-image-6.1.0-58-cloud-arm64",
            "linux-image-6.12.9+bpo-cloud-amd64",
            "linux-image-6.12.101+deb12-cloud-amd64",
            "linux-image-cloud-amd64",
        ]
        .map(str::to_owned);
        for (version, expected) in [
            ("6.1", Some("linux-image-6.1.0-56-cloud-amd64")),
            ("6.12", Some("linux-image-6.12.101+deb12-cloud-amd64")),
            ("6.12.9", Some("linux-image-6.12.9+bpo-cloud-amd64")),
            ("6.1.0-9", Some("linux-image-6.1.0-9-cloud-amd64")),
            ("6.13", None),
            ("6", Some("linux-image-6.12.101+deb12-cloud-amd64")),
        ] {
            assert_eq!(newest(&packages, version), expected, "{version}");
        }
    }
}
