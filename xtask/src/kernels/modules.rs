//! Modules of a kernel: Debian makes a module of what a container has built in.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

/// A module, uncompressed: its name and its bytes.
pub type Module = (String, Vec<u8>);

/// A module and what it depends on, in the order in which they load. A kernel in which it is built in has none.
pub fn with_dependencies(sh: &Shell, files: &Path, name: &str) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    collect(sh, files, name, &mut modules)?;
    Ok(modules)
}

fn collect(sh: &Shell, files: &Path, name: &str, modules: &mut Vec<Module>) -> Result<()> {
    if modules.iter().any(|(known, _)| known == name) {
        return Ok(());
    }
    let Some(bytes) = read(sh, files, name)? else { return Ok(()) };
    for dependency in dependencies(&bytes) {
        collect(sh, files, &dependency, modules)?;
    }
    modules.push((name.to_owned(), bytes));
    Ok(())
}

fn read(sh: &Shell, files: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    // A file's name may have hyphens where the module's has underscores.
    let pattern = format!("{}.ko*", name.replace(['_', '-'], "[-_]"));
    let found = cmd!(sh, "find {files} -name {pattern}").quiet().read()?;
    let Some(file) = found.lines().next() else { return Ok(None) };
    let uncompress = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("ko") => "cat",
        Some("xz") => "xzcat",
        Some("gz") => "zcat",
        _ => bail!("{file} is compressed in a way that busybox does not know"),
    };
    let output = cmd!(sh, "busybox {uncompress} {file}").quiet().output();
    Ok(Some(output.with_context(|| format!("cannot uncompress {file}"))?.stdout))
}

/// The modules that one names in its section `.modinfo`, whose entries end with a zero.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::dependencies;

    #[test]
    fn a_module_says_what_it_depends_on() {
        for (module, expected) in [
            (&b"\x7fELF\0license=GPL\0depends=llc,stp\0name=bridge\0"[..], &["llc", "stp"][..]),
            (b"\x7fELF\0depends=\0name=veth\0", &[]),
            (b"\x7fELF\0name=veth\0", &[]),
            (b"\0depends=cut", &["cut"]),
        ] {
            assert_eq!(dependencies(module), expected);
        }
    }
}
