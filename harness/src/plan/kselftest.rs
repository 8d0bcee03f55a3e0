//! A kselftest run: which directories, on which kernels, by which ABIs, for how long.
//!
//! What a directory has in it is not known here: its own Makefile says, once the source is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::files::{Kernel, Project};
use super::host::Host;
use super::matrix::{PlanError, jobs, select_kernels};
use super::recipe::Recipe;
use super::tools::{Check, Need, Tool};
use super::yaml::{InputError, load};
use crate::limits;
use crate::model::{Abi, Cause, Explanation, KernelName, RelPath, Transport};

/// The name of the one named set.
pub const ALL_SYSCALLS: &str = "all-syscalls";

/// The directories whose programs are about system calls, in 6.1 or 6.12.
///
/// Left out, each for its reason: `net`, `drivers`, `bpf`, `cgroup`, `ftrace`, `user_events`, `damon`
/// (subsystems with their own file systems, not calls; kernels several times as large) · `mm`
/// (`vm` in 6.1; one script that runs for hours under TCG and wants huge pages) · `kvm`, `sgx`,
/// `iommu`, `firmware` … (hardware) · `x86` (its Makefile compiles each program with -m32 and -m64
/// by itself, whatever the ABI) · `breakpoints` (suspends the machine) · `zram`, `sysctl`, `livepatch`,
/// `kmod`, `lib` (modules) · `cpu-hotplug`, `memory-hotplug`, `size`, `tpm2`, `rtc` (devices and sysfs) ·
/// `filesystems/overlayfs`, `filesystems/binderfs`, `safesetid` (a file system, a driver, a security module).
const ALL_SYSCALLS_DIRS: [&str; 45] = [
    "acct",
    "cachestat",
    "capabilities",
    "clone3",
    "core",
    "exec",
    "fchmodat2",
    "filesystems",
    "filesystems/epoll",
    "filesystems/eventfd",
    "filesystems/statmount",
    "futex",
    "futex/functional",
    "ipc",
    "kcmp",
    "landlock",
    "lsm",
    "membarrier",
    "memfd",
    "mincore",
    "mount",
    "mount_setattr",
    "move_mount_set_group",
    "mqueue",
    "nsfs",
    "openat2",
    "perf_events",
    "pid_namespace",
    "pidfd",
    "prctl",
    "proc",
    "ptrace",
    "rlimits",
    "rseq",
    "sched",
    "seccomp",
    "sigaltstack",
    "splice",
    "sync",
    "syscall_user_dispatch",
    "timens",
    "timers",
    "tmpfs",
    "uevent",
    "vDSO",
];

/// The directories of a named set.
pub fn set(name: &str) -> Option<Vec<RelPath>> {
    let dirs = (name == ALL_SYSCALLS).then_some(ALL_SYSCALLS_DIRS)?;
    Some(dirs.iter().map(|dir| dir.parse().expect("the table's names are names")).collect())
}

/// A program's time in the kselftest runner, unless the directory's `settings` say otherwise.
const RUNNER_DEADLINE_S: u64 = 45;
/// TCG runs a program's code 10 to 20 times as slowly as the processor, and its sleeps not at all. Most
/// programs need far less than their time; one that computes through all of it wants --timeout.
pub const TCG_FACTOR: u64 = 4;
/// `timeout=0` is no limit to the runner; here a run has to end. Ten minutes are more than any program
/// of the set needs.
const UNLIMITED_S: u64 = 600;

/// The time that a directory gives its programs, in the runner's own seconds; `None` is no limit.
///
/// Read as `kselftest/runner.sh` does, whose shell evaluates the value and gives it to timeout(1):
/// `field=value` lines, `#` begins a comment, and the number may have a unit.
pub fn timeout(settings: Option<&str>) -> Option<u64> {
    let lines = settings.unwrap_or_default().lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut said = lines.filter_map(|line| line.split_once('=')).filter(|(field, _)| *field == "timeout");
    let said = said.next_back().and_then(|(_, value)| seconds(value));
    Some(said.unwrap_or(RUNNER_DEADLINE_S)).filter(|seconds| *seconds > 0)
}

/// `90`, `"90"`, `10m # why`
fn seconds(value: &str) -> Option<u64> {
    let value = value.split_whitespace().next()?.trim_matches(['"', '\'']);
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The time that a program gets here, in a guest under TCG or one that is as fast as the host.
pub fn deadline(timeout: Option<u64>, asked: Option<Duration>, under_tcg: bool) -> Duration {
    let factor = if under_tcg { TCG_FACTOR } else { 1 };
    let own = timeout.map_or(UNLIMITED_S, |seconds| seconds.saturating_mul(factor));
    asked.unwrap_or(Duration::from_secs(own)).min(limits::TEST_DEADLINE_MAX)
}

/// What a program's first line asks for: the interpreter's name, without its folder, and whether the
/// file can be executed by itself is another question. `None` if it names none.
pub fn interpreter(text: &[u8]) -> Option<String> {
    let line = text.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let base = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let first = base(words.next()?);
    match first.as_str() {
        // `env -S python3 -B`, `env bash`
        "env" => words.find(|word| !word.starts_with('-') && !word.contains('=')).map(base),
        _ => Some(first),
    }
}

/// A library that programs of kselftest are linked with, and where Debian has it.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// The name after `-l`.
    pub link: &'static str,
    /// Headers that only its package has.
    pub headers: &'static [&'static str],
    /// The package.
    pub package: &'static str,
}

/// The libraries that the tree's selftests ask for (`grep -r -- ' -l' tools/testing/selftests`).
pub const LIBRARIES: [Library; 11] = [
    Library { link: "cap", headers: &["sys/capability.h"], package: "libcap-dev" },
    Library { link: "cap-ng", headers: &["cap-ng.h"], package: "libcap-ng-dev" },
    Library { link: "popt", headers: &["popt.h"], package: "libpopt-dev" },
    Library { link: "fuse", headers: &["fuse.h"], package: "libfuse-dev" },
    Library { link: "numa", headers: &["numa.h", "numaif.h"], package: "libnuma-dev" },
    Library { link: "mount", headers: &["libmount.h", "libmount/libmount.h"], package: "libmount-dev" },
    Library { link: "keyutils", headers: &["keyutils.h"], package: "libkeyutils-dev" },
    Library { link: "mnl", headers: &["libmnl/libmnl.h"], package: "libmnl-dev" },
    Library { link: "asound", headers: &["alsa/asoundlib.h"], package: "libasound2-dev" },
    Library { link: "uring", headers: &["liburing.h"], package: "liburing-dev" },
    Library { link: "crypto", headers: &["openssl/evp.h"], package: "libssl-dev" },
];

impl Library {
    /// How to get it for an ABI.
    pub fn advice(&self, abi: Abi) -> String {
        let package = self.package;
        match abi {
            Abi::M64 => format!("install {package}"),
            Abi::M32 => {
                format!(
                    "Debian has it as {package}:i386 (dpkg --add-architecture i386), or build it with -m32"
                )
            }
            Abi::Mx32 => format!("Debian has no {package} for x32: build it with -mx32"),
        }
    }
}

/// What this command needs beyond what every run needs.
pub fn tools() -> Vec<Tool> {
    let program = |name: &'static str, package: &str, purpose| Tool {
        name: name.to_owned(),
        purpose,
        check: Check::Program(name.into()),
        packages: vec![package.to_owned()],
        need: Need::Selftests,
    };
    let mut tools = vec![
        program("rsync", "rsync", "installs kselftests, as their lib.mk asks"),
        program("busybox", "busybox-static", "the userland of kselftests that are scripts"),
        program("bash", "bash", "kselftests that are scripts for it"),
    ];
    for library in LIBRARIES.iter().take(4) {
        tools.push(Tool {
            name: format!("-l{}", library.link),
            purpose: "kselftests that are linked with it (without it they are missed)",
            check: Check::File(format!("/usr/include/{}", library.headers[0]).into()),
            packages: vec![library.package.to_owned()],
            need: Need::Helpful,
        });
    }
    tools
}

/// Where the explanations lie.
const EXPLANATIONS: &str = "docs/kselftest-abi.notes.yaml";

/// Reads what is known about disagreements; a project without such a file knows nothing.
pub fn explanations(project: &Project) -> Result<Vec<Explanation>, InputError> {
    let path = project.root().join(EXPLANATIONS);
    if path.exists() { load(&path) } else { Ok(Vec::new()) }
}

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Directories and names of sets.
    pub dirs: Vec<RelPath>,
    /// Only these kernels.
    pub kernels: Vec<KernelName>,
    /// The user's own tree, instead of them.
    pub tree: Option<PathBuf>,
    /// How they are configured and compiled.
    pub recipe: Recipe,
    /// Only these ABIs.
    pub abis: Vec<Abi>,
    /// Guests at once.
    pub jobs: Option<usize>,
    /// Each program's deadline.
    pub timeout: Option<Duration>,
    /// `--transport`: each cell runs over all of them. Empty is serial.
    pub transports: Vec<Transport>,
    /// Build without sanitizers.
    pub no_sanitizers: bool,
    /// The command as it could be typed again.
    pub command: String,
}

/// All that one invocation will do, as far as it is known without a source.
#[derive(Debug, Clone)]
pub struct KselftestPlan {
    /// The kernels, in the order in which they are built.
    pub kernels: Vec<Kernel>,
    /// The directories, each once.
    pub dirs: Vec<RelPath>,
    /// Those of them that only a set names: a kernel may be without them.
    pub of_sets: BTreeSet<RelPath>,
    /// The ABIs selected.
    pub abis: Vec<Abi>,
    /// The ABIs that cannot be built for here, and why.
    pub misses: BTreeMap<Abi, Cause>,
    /// Guests at once.
    pub jobs: usize,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// How guests are reached: each cell runs over all of them, one after the other.
    pub transports: Vec<Transport>,
    /// Whether sanitizers that a Makefile asks for are built in.
    pub sanitizers: bool,
    /// What is known about disagreements.
    pub explanations: Vec<Explanation>,
    /// What was changed on the way, and why.
    pub notes: Vec<String>,
    /// The command as it could be typed again.
    pub command: String,
}

/// Decides what to run.
pub fn plan(project: &Project, selection: &Selection, host: &Host) -> Result<KselftestPlan, PlanError> {
    let known = project.kernels()?;
    let mut kernels: Vec<Kernel> = match (&selection.tree, &selection.kernels[..]) {
        (Some(path), _) => vec![project.tree(path)?],
        (None, []) => {
            known.last().map(|newest| project.kernel(newest)).into_iter().collect::<Result<_, _>>()?
        }
        (None, chosen) => {
            let chosen = select_kernels(chosen, &known)?;
            chosen.iter().map(|name| project.kernel(name)).collect::<Result<_, _>>()?
        }
    };
    kernels.iter_mut().for_each(|kernel| kernel.recipe = selection.recipe.clone());
    let (mut dirs, mut of_sets) = (Vec::new(), BTreeSet::new());
    for name in &selection.dirs {
        let named = set(name.as_str());
        of_sets.extend(named.iter().flatten().filter(|dir| !selection.dirs.contains(dir)).cloned());
        for dir in named.unwrap_or_else(|| vec![name.clone()]) {
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
    }
    let abis: Vec<Abi> = Abi::ALL
        .into_iter()
        .filter(|abi| selection.abis.is_empty() || selection.abis.contains(abi))
        .collect();
    let misses = abis.iter().filter_map(|&abi| {
        let detail = host.cannot_link.get(&abi)?.clone();
        Some((abi, Cause::NoCompiler { abi, packages: abi.packages().join(" and "), detail }))
    });
    let misses = misses.collect();
    let (jobs, notes) = jobs(selection.jobs, host, limits::KSELFTEST_MEMORY_MIB);
    Ok(KselftestPlan {
        kernels,
        dirs,
        of_sets,
        abis,
        misses,
        jobs,
        timeout: selection.timeout,
        transports: match &selection.transports[..] {
            [] => vec![Transport::Serial],
            chosen => chosen.to_vec(),
        },
        sanitizers: !selection.no_sanitizers,
        explanations: explanations(project)?,
        notes,
        command: selection.command.clone(),
    })
}

impl fmt::Display for KselftestPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: Vec<String>| names.join(", ");
        writeln!(f, "  kernels {}", list(self.kernels.iter().map(|k| k.name.to_string()).collect()))?;
        let dirs = list(self.dirs.iter().map(ToString::to_string).collect());
        match self.dirs.len() {
            0 => writeln!(f, "  its directories")?,
            n => writeln!(f, "  {n} directories: {dirs}")?,
        }
        let abis = list(self.abis.iter().map(ToString::to_string).collect());
        let over = Transport::in_words(&self.transports);
        write!(f, "  ABIs {abis}; {} guests at once{over}", self.jobs)?;
        for (abi, cause) in &self.misses {
            write!(f, "\n  {abi}: miss: {cause}")?;
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
