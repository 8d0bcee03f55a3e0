//! What a night runs: `configs/nightly.yaml` as a list of commands, the most important first.
//!
//! A job is about one kernel, so that a kernel that does not build takes nothing else with it. It is
//! written as the command that a person would type, and is one.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::matrix::ContractChoice;
use super::yaml::{InputError, Spanned, load};
use crate::limits;
use crate::model::{Abi, KernelName, Leg, RelPath, SyscallName};
use crate::process::quote;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NightlyFile {
    budget_minutes: u64,
    nights_kept: usize,
    jobs: Vec<Spanned<Entry>>,
}

/// One entry: what is common to all kinds, and of the rest what its kind takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    syscall: Option<SyscallName>,
    #[serde(default)]
    selftests: Option<Vec<RelPath>>,
    #[serde(default)]
    mutants: Option<Vec<String>>,
    #[serde(default)]
    kernels: Vec<KernelName>,
    #[serde(default)]
    legs: Vec<Leg>,
    #[serde(default)]
    abis: Vec<Abi>,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    contract: Option<String>,
    #[serde(default)]
    transport: Option<String>,
    #[serde(default)]
    stacked: bool,
    #[serde(default)]
    timeout_s: Option<u64>,
    #[serde(default)]
    retries: Option<u32>,
}

/// A night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nightly {
    /// The time after which nothing begins, in minutes.
    pub budget_minutes: u64,
    /// How many nights are kept, this one included.
    pub nights_kept: usize,
    /// What is run, in this order.
    pub jobs: Vec<NightJob>,
}

/// One command of a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NightJob {
    /// The entry's name and the kernel: `xyzzy.linux-6.12`. It is the same every night.
    pub name: String,
    /// What would be typed after `cargo xtask`.
    pub words: Vec<String>,
}

impl fmt::Display for NightJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.words.iter().map(|word| quote(word)).collect();
        write!(f, "cargo xtask {}", words.join(" "))
    }
}

/// Reads what a night runs.
pub fn nightly(path: &Path) -> Result<Nightly, InputError> {
    let NightlyFile { budget_minutes, nights_kept, jobs: entries } = load(path)?;
    let wrong = |what: String| InputError::Content { path: path.to_owned(), what };
    if !(1..=limits::NIGHT_MINUTES).contains(&budget_minutes) {
        return Err(wrong(format!("`budget_minutes` is 1 to {}", limits::NIGHT_MINUTES)));
    }
    if !(2..=limits::NIGHTS_KEPT).contains(&nights_kept) {
        let most = limits::NIGHTS_KEPT;
        return Err(wrong(format!("`nights_kept` is 2 to {most}: a night is compared with the last one")));
    }
    if entries.is_empty() {
        return Err(wrong("`jobs` is empty: a night of nothing proves nothing".to_owned()));
    }
    let mut jobs = Vec::new();
    let mut names = BTreeSet::new();
    for entry in entries {
        let Spanned { value: entry, referenced, .. } = entry;
        let (line, column) = (referenced.line(), referenced.column());
        let yaml = |what: String| InputError::Yaml { path: path.to_owned(), line, column, what };
        let name = entry.name.clone();
        check_name(&name).map_err(yaml)?;
        if !names.insert(name.clone()) {
            return Err(yaml(format!("there are two jobs `{name}`")));
        }
        jobs.extend(entry.jobs().map_err(|what| yaml(format!("`{name}`: {what}")))?);
    }
    Ok(Nightly { budget_minutes, nights_kept, jobs })
}

/// A name becomes a folder's.
fn check_name(name: &str) -> Result<(), String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match (1..=60).contains(&name.len()) && name.chars().all(sound) {
        true => Ok(()),
        false => {
            let name: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            Err(format!("`{name}` is no name for a job: letters, digits, - and _, at most 60 of them"))
        }
    }
}

impl Entry {
    /// One job a kernel; of mutants, one.
    fn jobs(&self) -> Result<Vec<NightJob>, String> {
        let kinds = [self.syscall.is_some(), self.selftests.is_some(), self.mutants.is_some()];
        if kinds.into_iter().filter(|there| *there).count() != 1 {
            return Err("say one of `syscall`, `selftests` and `mutants`".to_owned());
        }
        if let Some(words) = &self.mutants {
            self.only("mutants")?;
            let words = ["test", "--mutants"].into_iter().map(str::to_owned).chain(words.iter().cloned());
            return Ok(vec![NightJob { name: self.name.clone(), words: words.collect() }]);
        }
        if self.kernels.is_empty() {
            return Err("`kernels` names none: a job is about one kernel each".to_owned());
        }
        let mut common: Vec<String> = Vec::new();
        common.extend(self.abis.iter().flat_map(|abi| ["--abi".to_owned(), abi.to_string()]));
        common.extend(self.timeout_s.iter().flat_map(|s| ["--timeout".to_owned(), s.to_string()]));
        common.extend(self.retries.iter().flat_map(|n| ["--retries".to_owned(), n.to_string()]));
        let mut first: Vec<String> = Vec::new();
        if let Some(syscall) = &self.syscall {
            first.extend(["test-syscall".to_owned(), syscall.to_string()]);
            common.extend(self.legs.iter().flat_map(|leg| ["--leg".to_owned(), leg.to_string()]));
            common.extend(self.profile.iter().flat_map(|name| ["--profile".to_owned(), name.clone()]));
            if let Some(how) = &self.contract {
                if !ContractChoice::WORDS.iter().any(|(_, word)| word == how) {
                    let words: Vec<&str> = ContractChoice::WORDS.iter().map(|(_, word)| *word).collect();
                    return Err(format!("`contract` is one of {}", words.join(", ")));
                }
                common.push(format!("--contract={how}"));
            }
            common.extend(self.stacked.then(|| "--stacked".to_owned()));
        } else {
            self.only("selftests")?;
            first.push("test-selftest".to_owned());
            let dirs = self.selftests.iter().flatten();
            first.extend(dirs.map(ToString::to_string));
            if first.len() == 1 {
                return Err("`selftests` names no directory".to_owned());
            }
        }
        common.extend(self.transport.iter().flat_map(|how| ["--transport".to_owned(), how.clone()]));
        let of_kernel = |kernel: &KernelName| {
            let named = ["--kernel".to_owned(), kernel.to_string()];
            let words = first.iter().cloned().chain(named).chain(common.iter().cloned()).collect();
            NightJob { name: format!("{}.{kernel}", self.name), words }
        };
        Ok(self.kernels.iter().map(of_kernel).collect())
    }

    /// Refuses what only test-syscall takes, and for mutants what only a run takes.
    fn only(&self, kind: &str) -> Result<(), String> {
        let of_syscall = [
            ("legs", !self.legs.is_empty()),
            ("profile", self.profile.is_some()),
            ("contract", self.contract.is_some()),
            ("stacked", self.stacked),
        ];
        let of_runs = [
            ("kernels", !self.kernels.is_empty()),
            ("abis", !self.abis.is_empty()),
            ("timeout_s", self.timeout_s.is_some()),
            ("retries", self.retries.is_some()),
            ("transport", self.transport.is_some()),
        ];
        let of_runs = of_runs.into_iter().filter(|_| kind == "mutants");
        match of_syscall.into_iter().chain(of_runs).find(|(_, there)| *there) {
            Some((key, _)) => Err(format!("`{key}` is not for `{kind}`")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
budget_minutes: 60
nights_kept: 3
jobs:
  - name: xyzzy
    syscall: xyzzy
    kernels: [linux-6.12, linux-6.1]
    legs: [patched, config-off]
    transport: both
  - name: calls
    syscall: openat2
    kernels: [linux-6.12]
    contract: only
    stacked: false
  - name: kselftest
    selftests: [futex/functional, openat2]
    kernels: [linux-6.12]
    abis: [m64, m32]
    timeout_s: 90
    transport: ssh
  - name: bugs
    mutants: [off-register-cut]
";

    fn read(text: &str) -> Result<Nightly, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nightly.yaml");
        std::fs::write(&path, text).unwrap();
        nightly(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_is_a_command_about_one_kernel() {
        let night = read(FILE).unwrap();
        assert_eq!((night.budget_minutes, night.nights_kept), (60, 3));
        let said: Vec<String> = night.jobs.iter().map(|job| format!("{}: {job}", job.name)).collect();
        assert_eq!(
            said,
            [
                "xyzzy.linux-6.12: cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched \
                 --leg config-off --transport both",
                "xyzzy.linux-6.1: cargo xtask test-syscall xyzzy --kernel linux-6.1 --leg patched \
                 --leg config-off --transport both",
                "calls.linux-6.12: cargo xtask test-syscall openat2 --kernel linux-6.12 --contract=only",
                "kselftest.linux-6.12: cargo xtask test-selftest futex/functional openat2 --kernel linux-6.12 \
                 --abi m64 --abi m32 --timeout 90 --transport ssh",
                "bugs: cargo xtask test --mutants off-register-cut",
            ]
        );
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        for (from, to, said) in [
            ("budget_minutes: 60", "budget_minutes: 0", "`budget_minutes` is 1 to"),
            ("nights_kept: 3", "nights_kept: 1", "`nights_kept` is 2 to"),
            ("name: calls", "name: xyzzy", "nightly.yaml:9:5: there are two jobs `xyzzy`"),
            ("name: calls", "name: ../x", "nightly.yaml:9:5: `../x` is no name for a job"),
            ("    syscall: openat2\n", "", "`calls`: say one of `syscall`, `selftests` and `mutants`"),
            ("mutants: [", "selftests: [a]\n    mutants: [", "`bugs`: say one of"),
            ("timeout_s", "legs: [patched]\n    timeout_s", "`legs` is not for `selftests`"),
            ("mutants: [off", "transport: ssh\n    mutants: [off", "`transport` is not for `mutants`"),
            ("mutants: [off", "kernels: [linux-6.12]\n    mutants: [off", "`kernels` is not for `mutants`"),
            ("contract: only", "contract: perhaps", "`contract` is one of if-any, yes, only, no"),
            ("[linux-6.12, linux-6.1]", "[]", "`kernels` names none"),
            ("contract:", "contrat:", "nightly.yaml:12:5"),
        ] {
            let text = FILE.replacen(from, to, 1);
            assert_ne!(text, FILE, "{from}");
            let error = read(&text).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(
            read("budget_minutes: 9\nnights_kept: 2\njobs: []\n").unwrap_err().contains("proves nothing")
        );
    }
}
