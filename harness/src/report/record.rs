//! `run.json`: all that one run found out. Every report is made from this and from nothing else.

pub mod transports;

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempts::{AttemptRecord, Attempted};
use super::sealed;
use crate::judge::console::Finding;
use crate::judge::verdict::{Entry, Recorded};
use crate::judge::watch::Evidence;
use crate::model::{
    Abi, CaseResult, Cause, CellId, Hello, Judged, KernelName, KnownIssue, Leg, NotApplicable, SyscallName,
    Transport, Verdict,
};

/// The version of this format: raised when a reader of the one before would misread it.
pub const SCHEMA: u32 = 1;
/// The file's name in the run's folder.
pub const FILE: &str = "run.json";

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on, or its process was killed.
    Running,
    /// Every selected cell has its verdict.
    Complete,
    /// The user ended it.
    Interrupted,
}

/// The host that a run was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostRecord {
    /// `uname -srm`.
    pub system: String,
    /// Processors.
    pub cpus: usize,
    /// QEMU's version.
    pub qemu: String,
    /// The board.
    pub machine: String,
    /// The accelerator; empty while it is not decided.
    pub accel: String,
    /// Why it is this one.
    pub accel_why: String,
    /// Compiler and linker.
    pub compiler: String,
    /// Whether ccache was used.
    pub ccache: bool,
    /// Guests at once.
    pub jobs: usize,
}

/// A kernel of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelRecord {
    /// Its name.
    pub kernel: KernelName,
    /// The identity of its source.
    pub source: String,
    /// The user's tree, if it is one.
    #[serde(default)]
    pub tree: Option<TreeRecord>,
    /// The syscalls whose series were applied, in this order.
    #[serde(default)]
    pub series: Vec<SyscallName>,
    /// The patches, by name.
    pub patches: Vec<String>,
    /// The syscall's number by each ABI.
    pub numbers: Vec<(Abi, u32)>,
    /// The option that switches it; none where it is in every kernel.
    pub option: Option<String>,
    /// Its tests: a folder below tools/testing/selftests, or one program of it as `FOLDER:PROGRAM`.
    #[serde(default)]
    pub selftest: String,
    /// What was read from the tree for want of a spec file, each with its place there.
    #[serde(default)]
    pub derived: Vec<String>,
    /// How it was configured and compiled beyond what its own file says.
    #[serde(default)]
    pub recipe: RecipeRecord,
    /// What was built.
    pub legs: Vec<LegRecord>,
}

/// A user's tree, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TreeRecord {
    /// The folder.
    pub path: String,
    /// The commit that was checked out, or of a range of commits the last one; none where there is no git.
    pub commit: Option<String>,
    /// Of a range of commits, the one that the first of them stands on.
    #[serde(default)]
    pub base: Option<String>,
    /// In what the source that was tested differed from `commit`; none if in nothing.
    pub dirty: Option<String>,
    /// Of a range of commits, what the work tree had beside commits and was not tested.
    #[serde(default)]
    pub untested: Option<String>,
}

/// What the command line said of configuring and compiling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecipeRecord {
    /// The profile, by name.
    #[serde(default)]
    pub profile: Option<String>,
    /// What the configuration started from.
    pub base_config: String,
    /// The user's fragments, by name, and lines.
    pub configs: Vec<String>,
    /// The variables for make.
    pub make: Vec<String>,
    /// What compiler and linker say of themselves, where they are not the default ones.
    pub toolchain: Option<String>,
}

impl RecipeRecord {
    /// What it started from where nothing else was asked for.
    pub const USUAL_BASE: &str = "allnoconfig";
}

/// A built kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LegRecord {
    /// Which one.
    pub leg: Leg,
    /// Its key in the cache.
    pub key: String,
    /// The image, below the run's folder.
    pub image: String,
    /// Its configuration, below the run's folder.
    pub config: String,
}

/// A cause, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CauseRecord {
    /// The cause's name (`not-wired`, `panic`, …).
    pub kind: String,
    /// In words.
    pub text: String,
    /// All its fields.
    pub detail: Cause,
}

impl From<&Cause> for CauseRecord {
    fn from(cause: &Cause) -> CauseRecord {
        CauseRecord { kind: cause.kind(), text: cause.to_string(), detail: cause.clone() }
    }
}

/// What a selftest said on a control leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecordedRecord {
    /// The program.
    pub program: String,
    /// How it ended.
    pub outcome: String,
    /// Its cases.
    pub cases: Vec<CaseResult>,
}

impl From<Recorded> for RecordedRecord {
    fn from(recorded: Recorded) -> RecordedRecord {
        let Recorded { program, outcome, cases } = recorded;
        RecordedRecord { program, outcome, cases }
    }
}

/// How long the parts of a cell took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Durations {
    /// From spawn to the agent's hello.
    pub boot_ms: Option<u64>,
    /// From hello to bye.
    pub run_ms: Option<u64>,
    /// From spawn to QEMU's end.
    pub total_ms: u64,
}

impl Durations {
    /// The times of a guest.
    pub fn of(seen: &Evidence) -> Durations {
        let ms = |time: Duration| time.as_millis() as u64;
        let ran = seen.hello.as_ref().zip(seen.bye);
        Durations {
            boot_ms: seen.hello.as_ref().map(|(at, _)| ms(*at)),
            run_ms: ran.map(|((hello, _), bye)| ms(bye.saturating_sub(*hello))),
            total_ms: ms(seen.over_at),
        }
    }
}

/// How a cell went over one transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TransportRecord {
    /// Which one.
    pub transport: Transport,
    /// What the cell came to over it.
    pub verdict: Verdict,
    /// Why it was not a pass.
    pub cause: Option<CauseRecord>,
    /// How many cases passed, and of how many.
    pub passed: (usize, usize),
    /// How long it took.
    pub durations: Durations,
    /// The folder of its logs, below the run's.
    pub logs: String,
}

/// A kernel report on the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindingRecord {
    /// The row of the console table.
    pub kind: String,
    /// One line that is the same for equal bugs.
    pub title: String,
    /// Line of the console log, from 1; 0 of a report that was seen over the other transport than the one
    /// whose console the cell has.
    pub line: u64,
    /// Whether the kernel's state was worth nothing from there on.
    pub fatal: bool,
}

impl From<&Finding> for FindingRecord {
    fn from(finding: &Finding) -> FindingRecord {
        FindingRecord {
            kind: finding.kind.as_str().to_owned(),
            title: finding.title.clone(),
            line: finding.line,
            fatal: finding.fatal,
        }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CellRecord {
    /// The kernel.
    pub kernel: KernelName,
    /// The leg.
    pub leg: Leg,
    /// The ABI.
    pub abi: Abi,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub cause: Option<CauseRecord>,
    /// What else was seen.
    pub also: Vec<CauseRecord>,
    /// The judged cases.
    pub cases: Vec<CaseResult>,
    /// Proof of entry: how often the syscall was entered by each ABI's door.
    pub entries: Vec<Entry>,
    /// What the selftest said on a control leg.
    pub recorded: Vec<RecordedRecord>,
    /// What the kernel said was wrong.
    pub findings: Vec<FindingRecord>,
    /// What of findings and cases is known to be wrong, and was not held against the cell.
    #[serde(default)]
    pub known: Vec<KnownIssue>,
    /// The cases of the contract that this ABI cannot express, each with the reason.
    #[serde(default)]
    pub not_applicable: Vec<NotApplicable>,
    /// How long it took.
    pub durations: Durations,
    /// How it went over each transport that it was run over, in order; empty if it never ran.
    #[serde(default)]
    pub transports: Vec<TransportRecord>,
    /// All attempts at it, in order, where there was more than one.
    #[serde(default)]
    pub attempts: Vec<AttemptRecord>,
    /// The guest, by its own account.
    pub guest: Option<Hello>,
    /// The last lines of the console, escaped; only where it neither passed nor said itself why not.
    pub console_tail: Vec<String>,
    /// The folder of its logs, below the run's; empty if it never ran.
    pub logs: String,
}

impl CellRecord {
    /// A record of what was judged, with nothing measured yet.
    pub fn new(id: &CellId, judged: Judged) -> CellRecord {
        CellRecord {
            kernel: id.kernel.clone(),
            leg: id.leg,
            abi: id.abi,
            verdict: judged.verdict,
            cause: judged.cause.as_ref().map(CauseRecord::from),
            also: judged.also.iter().map(CauseRecord::from).collect(),
            cases: judged.cases,
            entries: Vec::new(),
            recorded: Vec::new(),
            findings: Vec::new(),
            known: judged.known,
            not_applicable: Vec::new(),
            durations: Durations::default(),
            transports: Vec::new(),
            attempts: Vec::new(),
            guest: None,
            console_tail: Vec::new(),
            logs: String::new(),
        }
    }

    /// Which cell it is.
    pub fn id(&self) -> CellId {
        CellId { kernel: self.kernel.clone(), leg: self.leg, abi: self.abi }
    }

    /// The folder of the logs that it was made from, below the run's: see [`transports::evidence`].
    pub fn evidence(&self) -> &str {
        transports::evidence(&self.transports, &self.logs)
    }

    /// Notes that the ABIs answer differently. What it came to before weighs more, but for a pass.
    pub fn disagrees(&mut self, cause: &Cause) {
        let record = CauseRecord::from(cause);
        if matches!(self.verdict, Verdict::Pass | Verdict::Skip) {
            self.also.splice(0..0, self.cause.take());
            (self.verdict, self.cause) = (cause.verdict(), Some(record));
        } else {
            self.also.push(record);
        }
    }

    /// How many cases passed, of how many.
    pub fn passed(&self) -> (usize, usize) {
        (self.cases.iter().filter(|case| case.verdict == Verdict::Pass).count(), self.cases.len())
    }
}

impl Attempted for CellRecord {
    fn attempt(&self) -> AttemptRecord {
        AttemptRecord {
            verdict: self.verdict,
            cause: self.cause.clone(),
            passed: self.passed(),
            durations: self.durations,
            logs: self.logs.clone(),
        }
    }

    fn attempts(&self) -> &[AttemptRecord] {
        &self.attempts
    }

    fn keep(&mut self, attempts: Vec<AttemptRecord>) {
        self.attempts = attempts;
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the tool.
    pub tool: String,
    /// How far it is.
    pub state: State,
    /// The syscall under test.
    pub syscall: SyscallName,
    /// When it began, in seconds since 1970.
    pub started_unix_s: u64,
    /// How long it took so far, in milliseconds.
    pub elapsed_ms: u64,
    /// The run's folder.
    pub folder: String,
    /// Where it ran.
    pub host: HostRecord,
    /// What it built.
    pub kernels: Vec<KernelRecord>,
    /// How many cells were selected.
    pub selected: usize,
    /// The cells that have their verdict, in the order of the matrix.
    pub cells: Vec<CellRecord>,
    /// What the user was told on the way.
    pub notes: Vec<String>,
    /// The words of the command line that change what a cell is, quoted for a shell.
    #[serde(default)]
    pub options: Vec<String>,
}

impl RunRecord {
    /// Writes the record into the run's folder, whole or not at all.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        sealed::write(folder, self)
    }

    /// How many cells have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cells.iter().filter(|cell| cell.verdict == verdict).count()
    }

    /// Whether every selected cell passed. A cell that is not there did not.
    pub fn all_passed(&self) -> bool {
        self.count(Verdict::Pass) == self.selected && self.cells.len() == self.selected && self.selected > 0
    }
}
