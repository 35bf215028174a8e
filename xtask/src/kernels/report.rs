//! Findings: how they leave the virtual machine, which is as lines on its console, and the table of all.

use std::fmt;

/// Begins a line with a finding, among those of firmware and kernel.
const MARK: &str = "[check] ";
const SEPARATOR: &str = " | ";

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    check: String,
    passed: bool,
    /// One line.
    seen: String,
}

impl Finding {
    pub fn passed(check: &str, seen: &str) -> Self {
        Self { check: check.into(), passed: true, seen: one_line(seen) }
    }

    pub fn failed(check: &str, seen: &str) -> Self {
        Self { check: check.into(), passed: false, seen: one_line(seen) }
    }

    /// The line to print on the console.
    pub fn line(&self) -> String {
        let Self { check, seen, .. } = self;
        format!("{MARK}{}{SEPARATOR}{check}{SEPARATOR}{seen}", self.verdict())
    }

    fn verdict(&self) -> &'static str {
        if self.passed { PASSED } else { FAILED }
    }
}

const PASSED: &str = "passed";
const FAILED: &str = "failed";

/// The findings on a console, one for each name: a check without a line was not reached, and has failed.
pub fn findings(console: &str, names: impl Iterator<Item = &'static str>) -> Vec<Finding> {
    let said: Vec<_> = console.lines().filter_map(parse).collect();
    names
        .map(|name| {
            let finding = said.iter().find(|finding| finding.check == name);
            finding
                .cloned()
                .unwrap_or_else(|| Finding::failed(name, &format!("not reached: {}", last(console))))
        })
        .collect()
}

fn parse(line: &str) -> Option<Finding> {
    // The firmware's last words have no line of their own.
    let (_, finding) = line.split_once(MARK)?;
    let (verdict, rest) = finding.split_once(SEPARATOR)?;
    let (check, seen) = rest.split_once(SEPARATOR)?;
    match verdict {
        PASSED => Some(Finding::passed(check, seen)),
        FAILED => Some(Finding::failed(check, seen)),
        _ => None,
    }
}

/// What a machine said last.
fn last(console: &str) -> &str {
    console.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("the machine said nothing")
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// All findings, with the kernel that each is about.
#[derive(Default)]
pub struct Report(Vec<(String, Finding)>);

impl Report {
    pub fn add(&mut self, kernel: &str, findings: Vec<Finding>) {
        self.0.extend(findings.into_iter().map(|finding| (kernel.to_owned(), finding)));
    }

    /// No finding at all is no success.
    pub fn all_passed(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_, finding)| finding.passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(_, finding)| finding.check.len()).max().unwrap_or(0);
        let mut before = None;
        for (kernel, finding) in &self.0 {
            if before.replace(kernel) != Some(kernel) {
                writeln!(f, "{kernel}")?;
            }
            let Finding { check, seen, .. } = finding;
            writeln!(f, "  {check:<width$}  {}  {seen}", finding.verdict())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Report, findings};

    #[test]
    fn findings_are_read_from_a_console() {
        let attach = Finding::passed("attach", "attached to app");
        let tcp = Finding::failed("TCP", "ok\n  ok | ok\n\nwanted: EDQUOT");
        let console = format!(
            "SeaBIOS\n\x1b[2J{}\n[    1.2] a kernel's line\n{}\n[check] odd | TCP6 | ok\n[check] cut\n[    9.1] panic\n\n",
            attach.line(),
            tcp.line()
        );
        let found = findings(&console, ["attach", "TCP", "TCP6"].into_iter());
        assert_eq!(found[..2], [attach, tcp]);
        assert_eq!(found[1].seen, "ok; ok | ok; wanted: EDQUOT");
        assert_eq!(found[2], Finding::failed("TCP6", "not reached: [    9.1] panic"));
    }

    #[test]
    fn a_machine_that_says_nothing_has_passed_nothing() {
        let found = findings("", ["attach"].into_iter());
        assert_eq!(found, [Finding::failed("attach", "not reached: the machine said nothing")]);
        assert!(!Report::default().all_passed());
    }

    #[test]
    fn one_failure_is_enough() {
        let mut report = Report::default();
        report.add("6.1", vec![Finding::passed("TCP", "as it should")]);
        assert!(report.all_passed());
        report.add("6.12", vec![Finding::passed("TCP", "as it should"), Finding::failed("UDP", "ok")]);
        assert!(!report.all_passed());
        assert_eq!(
            report.to_string(),
            "6.1\n  TCP  passed  as it should\n6.12\n  TCP  passed  as it should\n  UDP  failed  ok\n"
        );
    }
}
