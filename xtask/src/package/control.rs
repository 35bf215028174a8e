//! What the package says of itself (deb-control(5)).

use anyhow::{Context as _, Result};

/// What is not the same for every package.
pub struct About<'a> {
    /// `NAME <ADDRESS>`.
    pub maintainer: &'a str,
    /// In dpkg's words: `amd64`.
    pub architecture: &'a str,
}

/// The control file for a program, with so many bytes installed.
pub fn text(about: &About, program: &[u8], bytes: u64) -> Result<String> {
    let libc = libc(program).context("the program names no version of the C library")?;
    let (version, kilobytes) = (env!("CARGO_PKG_VERSION"), bytes.div_ceil(1024));
    let About { maintainer, architecture } = about;
    Ok(format!(
        "Package: limiterctl
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {kilobytes}
Depends: libc6 (>= 2.{libc}), libgcc-s1
Section: net
Priority: optional
Description: limits on new connections, per source and per destination name
 Limits how many new connections a source address may open, in XDP, before the
 kernel has allocated anything for them; and how many the processes of a
 service may open to each destination name, at connect().
"
    ))
}

/// The newest version of the C library that a program asks for: 34 of 2.34.
fn libc(program: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let found = program.windows(NAME.len()).enumerate().filter(|(_, bytes)| *bytes == NAME);
    let minor = found.filter_map(|(at, _)| {
        let digits: String = program[at + NAME.len()..]
            .iter()
            .map(|&byte| char::from(byte))
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().ok()
    });
    minor.max()
}

#[cfg(test)]
mod tests {
    use super::libc;

    #[test]
    fn the_newest_version_counts_by_number() {
        assert_eq!(libc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0x\0GLIBC_2.9\0GLIBC_2."), Some(34));
        assert_eq!(libc(b"musl"), None);
    }
}
