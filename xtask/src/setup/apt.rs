//! Debian's packages: which command or module comes from which, and how they are installed.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use super::Purpose;
use crate::shell::{as_root, find_command, step};

/// A command, the package that brings it, and the first purpose that needs it.
struct Tool {
    command: &'static str,
    package: &'static str,
    purpose: Purpose,
}

const fn tool(command: &'static str, package: &'static str, purpose: Purpose) -> Tool {
    Tool { command, package, purpose }
}

const TOOLS: &[Tool] = &[
    tool("ip", "iproute2", Purpose::Demo),
    tool("tc", "iproute2", Purpose::Test),
    tool("unshare", "util-linux", Purpose::Demo),
    tool("curl", "curl", Purpose::Demo),
    tool("python3", "python3", Purpose::Demo),
    tool("git", "git", Purpose::Test),
    tool("iptables", "iptables", Purpose::Test),
    tool("codespell", "codespell", Purpose::Test),
    tool("dnsmasq", "dnsmasq-base", Purpose::Test),
    tool("node", "nodejs", Purpose::Test),
    tool("prometheus", "prometheus", Purpose::Test),
    tool("musl-gcc", "musl-tools", Purpose::Test),
    tool("groff", "groff-base", Purpose::Test),
    tool("systemd-analyze", "systemd", Purpose::Test),
    tool("zsh", "zsh", Purpose::Test),
    tool("fish", "fish", Purpose::Test),
    tool("nft", "nftables", Purpose::Bench),
    tool("xdp-filter", "xdp-tools", Purpose::Bench),
    tool("redis-server", "redis-server", Purpose::Bench),
];

/// The interpreter that sees Debian's modules. Another one in `PATH` would not.
const PYTHON: &str = "/usr/bin/python3";

/// A Python module that the tests need, and the package that brings it. All of these need [`PYTHON`] itself.
const MODULES: &[(&str, &str)] = &[("requests", "python3-requests"), ("dns", "python3-dnspython")];

/// Modules that the bench compares with where the distribution has them, and says so where it has not.
const RIVALS: &[(&str, &str)] =
    &[("flask", "python3-flask"), ("flask_limiter", "python3-flask-limiter"), ("redis", "python3-redis")];

/// Packages that start a service of their own name, which nobody has asked for.
const SERVICES: &[&str] = &["prometheus"];

/// Ends the service that a package has just brought, where anything runs services.
fn end_service(sh: &Shell, name: &str) -> Result<()> {
    let end = if Path::new("/run/systemd/system").exists() {
        as_root(sh, "systemctl").args(["disable", "--now", "--quiet", name])
    } else if Path::new("/etc/init.d").join(name).exists() {
        as_root(sh, "service").args([name, "stop"])
    } else {
        return Ok(());
    };
    step(&format!("ending the service {name}: the tests start their own"), &end)
}

/// The packages that bring the commands and modules `purpose` needs and this machine lacks, each once.
fn missing_packages(
    purpose: Purpose,
    has_command: impl Fn(&str) -> bool,
    has_module: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let mut packages: Vec<_> = TOOLS
        .iter()
        .filter(|tool| tool.purpose <= purpose && !has_command(tool.command))
        .map(|tool| tool.package)
        .collect();
    if purpose >= Purpose::Test {
        // Each brings python3 along where only another one is in `PATH`.
        packages.extend(MODULES.iter().filter(|(module, _)| !has_module(module)).map(|(_, package)| package));
    }
    packages.dedup();
    packages
}

/// The package manager, whose lists are renewed once, before the first question.
pub struct Apt<'sh> {
    sh: &'sh Shell,
    is_fresh: bool,
}

impl<'sh> Apt<'sh> {
    pub fn new(sh: &'sh Shell) -> Self {
        Self { sh, is_fresh: false }
    }

    /// Installs what brings the commands that are missing.
    pub fn ensure_tools(&mut self, purpose: Purpose) -> Result<()> {
        let sh = self.sh;
        let has_module = |module: &str| has_module(sh, module);
        let packages = missing_packages(purpose, |command| find_command(sh, command).is_some(), has_module);
        if !packages.is_empty() {
            self.install("for the demo, the tests and the bench", &packages)?;
        }
        packages
            .iter()
            .filter(|package| SERVICES.contains(package))
            .try_for_each(|name| end_service(sh, name))?;
        if purpose >= Purpose::Bench { self.install_rivals() } else { Ok(()) }
    }

    /// Installs what is on offer of the modules that the bench can do without.
    fn install_rivals(&mut self) -> Result<()> {
        for (module, package) in RIVALS {
            if has_module(self.sh, module) {
                continue;
            }
            if self.offers(package, &[package])? {
                self.install("for the bench", &[package])?;
            } else {
                eprintln!("this distribution has no {package}: the bench will do without");
            }
        }
        Ok(())
    }

    /// Installs what brings commands that are missing; each stands with its package. `why` completes "installing …".
    pub fn ensure_commands(&mut self, why: &str, commands: &[(&str, &str)]) -> Result<()> {
        let is_missing = |command: &str| find_command(self.sh, command).is_none();
        let packages: Vec<_> =
            commands.iter().filter(|(command, _)| is_missing(command)).map(|(_, package)| *package).collect();
        if packages.is_empty() { Ok(()) } else { self.install(why, &packages) }
    }

    /// The packages whose name begins with this, as far as the lists of this machine know; elsewhere there are none.
    pub fn search(&self, start: &str) -> Result<Vec<String>> {
        let sh = self.sh;
        if find_command(sh, "apt-cache").is_none() {
            return Ok(Vec::new());
        }
        let names = cmd!(sh, "apt-cache pkgnames {start}").quiet().read()?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Fetches a package's file into a folder, and installs nothing. Lists that are too old are renewed.
    pub fn download(&mut self, package: &str, folder: &Path) -> Result<()> {
        let sh = self.sh;
        let _folder = sh.push_dir(folder);
        let download = cmd!(sh, "apt-get download -qq {package}");
        if self.is_fresh || download.run().is_err() {
            self.refresh(&[package])?;
            step(&format!("fetching {package}"), &download)?;
        }
        Ok(())
    }

    /// Installs packages; `why` completes "installing …".
    pub fn install(&mut self, why: &str, packages: &[&str]) -> Result<()> {
        self.refresh(packages)?;
        let install = as_root(self.sh, "env")
            .args([
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "install",
                "-qq",
                "-y",
                "--no-install-recommends",
            ])
            .args(packages);
        step(&format!("installing {} {why}", packages.join(", ")), &install)
    }

    /// Whether the distribution offers a package; `wanted` is what a person on another one would need.
    pub fn offers(&mut self, package: &str, wanted: &[&str]) -> Result<bool> {
        self.refresh(wanted)?;
        let sh = self.sh;
        let policy = cmd!(sh, "env LC_ALL=C apt-cache policy {package}").quiet().read()?;
        Ok(has_candidate(&policy))
    }

    /// Renews the lists, once; `wanted` is what a person on another distribution would need.
    pub fn refresh(&mut self, wanted: &[&str]) -> Result<()> {
        if self.is_fresh {
            return Ok(());
        }
        let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if !is_debian(&os_release) {
            bail!(
                "this is neither Debian nor Ubuntu, so nothing is installed here; \
                 install what your distribution has for these Debian packages, and run this again:\n    {}",
                wanted.join(" ")
            );
        }
        let update = as_root(self.sh, "apt-get").arg("update").arg("-qq");
        step("renewing apt's package lists, because packages are missing", &update)?;
        self.is_fresh = true;
        Ok(())
    }
}

/// Whether Debian's Python has a module.
fn has_module(sh: &Shell, module: &str) -> bool {
    let import = format!("import {module}");
    cmd!(sh, "{PYTHON} -c {import}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// Whether an os-release file (os-release(5)) is of Debian or of something built on it.
fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|id| id == "debian" || id == "ubuntu")
}

/// Whether an answer of `apt-cache policy` names a version that can be installed; of an unknown package it says nothing.
fn has_candidate(policy: &str) -> bool {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))
        .is_some_and(|version| version.trim() != "(none)")
}

#[cfg(test)]
mod tests {
    use super::{Purpose, has_candidate, is_debian, missing_packages};

    const ALL: fn(&str) -> bool = |_| true;
    const NONE: fn(&str) -> bool = |_| false;

    #[test]
    fn debian_and_its_children_are_known() {
        for (os_release, expected) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", true),
            ("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n", true),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", true),
            ("ID='debian'\n", true),
            ("ID=fedora\n", false),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", false),
            ("VERSION_ID=debian\nID=arch\n", false),
            ("", false),
        ] {
            assert_eq!(is_debian(os_release), expected, "{os_release}");
        }
    }

    #[test]
    fn a_package_is_asked_for_once_and_only_if_its_command_is_missing() {
        assert!(missing_packages(Purpose::Test, ALL, ALL).is_empty());
        assert!(missing_packages(Purpose::Build, NONE, NONE).is_empty());
        assert_eq!(
            missing_packages(Purpose::Demo, |command| command == "ip", NONE),
            ["util-linux", "curl", "python3"]
        );
        for (command, package) in [
            ("iptables", "iptables"),
            ("dnsmasq", "dnsmasq-base"),
            ("musl-gcc", "musl-tools"),
            ("prometheus", "prometheus"),
        ] {
            assert_eq!(missing_packages(Purpose::Test, |other| other != command, ALL), [package]);
        }
        assert_eq!(missing_packages(Purpose::Bench, |command| command != "nft", ALL), ["nftables"]);
        assert!(missing_packages(Purpose::Test, |command| command != "nft", ALL).is_empty());
        let all = missing_packages(Purpose::Test, NONE, NONE);
        assert_eq!(all.iter().filter(|&&package| package == "iproute2").count(), 1);
    }

    #[test]
    fn a_python_module_is_asked_for_only_by_the_tests_and_only_if_it_is_missing() {
        assert!(missing_packages(Purpose::Demo, ALL, NONE).is_empty());
        assert_eq!(missing_packages(Purpose::Test, ALL, NONE), ["python3-requests", "python3-dnspython"]);
        assert_eq!(missing_packages(Purpose::Test, ALL, |module| module != "dns"), ["python3-dnspython"]);
    }

    #[test]
    fn a_package_without_a_candidate_is_not_on_offer() {
        assert!(has_candidate("llvm-22-dev:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n"));
        assert!(!has_candidate("llvm-22-dev:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!has_candidate(""));
    }
}
