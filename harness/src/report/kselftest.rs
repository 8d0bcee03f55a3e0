//! `run.json` of a kselftest run, and what is found out from it: where the ABIs disagree.
//!
//! One file per format beside it: [`text`], [`markdown`].

pub mod markdown;
pub mod text;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::attempts::{AttemptRecord, Attempted};
use super::record::{
    CauseRecord, Durations, FindingRecord, HostRecord, RecipeRecord, State, TransportRecord, TreeRecord,
    transports,
};
use super::sealed;
use super::text::how_reached;
use crate::judge::divergence::divergences;
use crate::model::{
    Abi, CaseResult, Doing, Explanation, Hello, Judged, KernelName, ProgramId, RelPath, Verdict,
};

/// The version of this format: raised when a reader of the one before would misread it.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KselftestRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the tool.
    pub tool: String,
    /// The command that makes it again.
    pub command: String,
    /// How far it is.
    pub state: State,
    /// When it began, in seconds since 1970.
    pub started_unix_s: u64,
    /// How long it took so far, in milliseconds.
    pub elapsed_ms: u64,
    /// The run's folder.
    pub folder: String,
    /// Where it ran.
    pub host: HostRecord,
    /// How many kernels are selected.
    pub kernels_selected: usize,
    /// Those whose source is there.
    pub kernels: Vec<KernelPart>,
    /// How many cells are selected, as far as it is known.
    pub selected: usize,
    /// The cells that have their verdict.
    pub cells: Vec<ProgramRecord>,
    /// Where the ABIs disagree; made when the run ends.
    pub disagreements: Vec<Disagreement>,
    /// What is known of programs that do not pass by any ABI; made when the run ends.
    #[serde(default)]
    pub alike: Vec<Alike>,
    /// What the user was told on the way.
    pub notes: Vec<String>,
}

/// A kernel of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelPart {
    /// Its name.
    pub kernel: KernelName,
    /// The identity of its source.
    pub source: String,
    /// The user's tree, if it is one.
    #[serde(default)]
    pub tree: Option<TreeRecord>,
    /// How it was configured and compiled beyond what its own file says.
    #[serde(default)]
    pub recipe: RecipeRecord,
    /// Its key in the cache.
    pub key: String,
    /// The image, below the run's folder.
    pub image: String,
    /// Its configuration, below the run's folder.
    pub config: String,
    /// Options that a reader of the results asks for first, and their values.
    pub options: BTreeMap<String, String>,
    /// What the directories' `config` ask for and the kernel does not have.
    pub dropped: Vec<DroppedOption>,
    /// The directories, in the order of the run.
    pub dirs: Vec<DirPart>,
}

/// A line of a directory's `config` that the kernel does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DroppedOption {
    /// The directory.
    pub dir: String,
    /// The option.
    pub option: String,
    /// What became of it and why.
    pub text: String,
}

/// A directory of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DirPart {
    /// Which one.
    pub dir: RelPath,
    /// The time of a program in the runner's own seconds; nothing is no limit.
    pub timeout_s: Option<u64>,
    /// What this run gives each; of a directory that sent off no guest, what it would under TCG.
    pub deadline_ms: u64,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// One cell: a program by an ABI on a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProgramRecord {
    /// The kernel.
    pub kernel: KernelName,
    /// The directory.
    pub dir: RelPath,
    /// The program's file name.
    pub program: RelPath,
    /// The ABI.
    pub abi: Abi,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub cause: Option<CauseRecord>,
    /// What else was seen.
    pub also: Vec<CauseRecord>,
    /// The cases of its report.
    pub cases: Vec<CaseResult>,
    /// How the program ended, in words.
    pub outcome: Option<String>,
    /// Whether it reported cases; otherwise its exit status was all there was.
    pub reported: bool,
    /// What the kernel said was wrong.
    pub findings: Vec<FindingRecord>,
    /// How long it took.
    pub durations: Durations,
    /// How it went over each transport that it was run over, in order; empty if it never ran, or by an
    /// older version, which ran it over serial.
    #[serde(default)]
    pub transports: Vec<TransportRecord>,
    /// All attempts at it, in order, where there was more than one.
    #[serde(default)]
    pub attempts: Vec<AttemptRecord>,
    /// The guest, by its own account.
    pub guest: Option<Hello>,
    /// The last lines of the program's output, escaped; only where it did not pass.
    pub output_tail: Vec<String>,
    /// The folder of its logs, below the run's; empty if it never ran.
    pub logs: String,
}

impl ProgramRecord {
    /// A record of what was judged, with nothing measured yet.
    pub fn new(id: &ProgramId, judged: Judged) -> ProgramRecord {
        ProgramRecord {
            kernel: id.kernel.clone(),
            dir: id.dir.clone(),
            program: id.program.clone(),
            abi: id.abi,
            verdict: judged.verdict,
            cause: judged.cause.as_ref().map(CauseRecord::from),
            also: judged.also.iter().map(CauseRecord::from).collect(),
            cases: judged.cases,
            outcome: None,
            reported: false,
            findings: Vec::new(),
            durations: Durations::default(),
            transports: Vec::new(),
            attempts: Vec::new(),
            guest: None,
            output_tail: Vec::new(),
            logs: String::new(),
        }
    }

    /// Which cell it is.
    pub fn id(&self) -> ProgramId {
        let ProgramRecord { kernel, dir, program, abi, .. } = self.clone();
        ProgramId { kernel, dir, program, abi }
    }

    /// The folder of the logs that it was made from, below the run's: see [`transports::evidence`].
    pub fn evidence(&self) -> &str {
        transports::evidence(&self.transports, &self.logs)
    }

    /// How many cases passed, of how many.
    pub fn passed(&self) -> (usize, usize) {
        (self.cases.iter().filter(|case| case.verdict == Verdict::Pass).count(), self.cases.len())
    }
}

impl Attempted for ProgramRecord {
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

/// One thing that the ABIs do not say alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disagreement {
    /// The kernel.
    pub kernel: KernelName,
    /// The directory.
    pub dir: RelPath,
    /// The program.
    pub program: RelPath,
    /// The case; nothing where the program as a whole came to different ends.
    pub case: Option<String>,
    /// What each ABI came to; nothing where the case did not appear.
    pub said: BTreeMap<Abi, Option<Verdict>>,
    /// The message of each ABI that has one.
    pub messages: BTreeMap<Abi, String>,
    /// What is known about it.
    pub note: Option<Explanation>,
}

/// What is known of a program that no ABI passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Alike {
    /// The kernel.
    pub kernel: KernelName,
    /// The directory.
    pub dir: RelPath,
    /// The program.
    pub program: RelPath,
    /// What is known about it.
    pub note: Explanation,
}

/// Rows of the table: the cells of one program of one kernel, by ABI.
pub fn rows(run: &KselftestRecord) -> Vec<BTreeMap<Abi, &ProgramRecord>> {
    let mut rows: Vec<BTreeMap<Abi, &ProgramRecord>> = Vec::new();
    let mut places: BTreeMap<(&KernelName, &RelPath, &RelPath), usize> = BTreeMap::new();
    for cell in &run.cells {
        let place = *places.entry((&cell.kernel, &cell.dir, &cell.program)).or_insert_with(|| {
            rows.push(BTreeMap::new());
            rows.len() - 1
        });
        rows[place].insert(cell.abi, cell);
    }
    rows
}

/// Where the ABIs disagree. What could not be run agrees with nothing and contradicts nothing.
pub fn disagreements(run: &KselftestRecord, known: &[Explanation]) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for row in rows(run) {
        let ran: BTreeMap<Abi, &ProgramRecord> =
            row.into_iter().filter(|(_, cell)| cell.verdict != Verdict::Miss).collect();
        let Some(first) = ran.values().next() else { continue };
        let about = |case: Option<String>, said: BTreeMap<Abi, Option<Verdict>>, messages| {
            let id = first.id();
            let of_first = said.values().next().copied();
            let differ: Vec<Abi> =
                said.iter().filter(|(_, one)| Some(**one) != of_first).map(|(abi, _)| *abi).collect();
            let note = known.iter().find(|note| {
                note.concerns(&id, case.as_deref(), &differ) && may_explain(note, ran.values().copied())
            });
            let note = note.cloned();
            let ProgramId { kernel, dir, program, .. } = id;
            Disagreement { kernel, dir, program, case, said, messages, note }
        };
        let reported = ran.iter().filter(|(_, cell)| !cell.cases.is_empty());
        let cases: BTreeMap<Abi, &[CaseResult]> =
            reported.map(|(abi, cell)| (*abi, cell.cases.as_slice())).collect();
        let of_cases = divergences(&cases);
        let explained = !of_cases.is_empty();
        if ran.values().any(|cell| cell.verdict != first.verdict) && !(explained && cases.len() == ran.len())
        {
            let said = ran.iter().map(|(abi, cell)| (*abi, Some(cell.verdict))).collect();
            let text = |cell: &ProgramRecord| Some(cell.cause.as_ref()?.text.clone());
            let messages = ran.iter().filter_map(|(abi, cell)| Some((*abi, text(cell)?))).collect();
            found.push(about(None, said, messages));
        }
        for divergence in of_cases {
            let said = divergence.said.iter().map(|(abi, said)| (*abi, said.as_ref().map(|s| s.0))).collect();
            let message = |said: &Option<(Verdict, Option<String>)>| said.as_ref()?.1.clone();
            let messages =
                divergence.said.iter().filter_map(|(abi, said)| Some((*abi, message(said)?))).collect();
            found.push(about(Some(divergence.case), said, messages));
        }
    }
    found
}

/// Whether a note may be about cells that came to this: it was written when no kernel had fallen over, or
/// because it had.
fn may_explain<'a>(note: &Explanation, cells: impl IntoIterator<Item = &'a ProgramRecord>) -> bool {
    let of_kernel =
        |cell: &ProgramRecord| cell.cause.iter().chain(&cell.also).any(|cause| cause.detail.is_of_kernel());
    note.what == Doing::Kernel || !cells.into_iter().any(of_kernel)
}

/// What is known of programs that fail alike by all ABIs that ran.
pub fn alike(run: &KselftestRecord, known: &[Explanation]) -> Vec<Alike> {
    let about = |row: BTreeMap<Abi, &ProgramRecord>| {
        let ran: Vec<&ProgramRecord> =
            row.into_values().filter(|cell| cell.verdict != Verdict::Miss).collect();
        let first = *ran.first()?;
        let failed = ran.iter().all(|cell| cell.verdict == first.verdict) && first.verdict != Verdict::Pass;
        let id = first.id();
        let note = known
            .iter()
            .find(|note| failed && note.concerns_all(&id) && may_explain(note, ran.iter().copied()));
        let note = note?.clone();
        let ProgramId { kernel, dir, program, .. } = id;
        Some(Alike { kernel, dir, program, note })
    };
    rows(run).into_iter().filter_map(about).collect()
}

impl KselftestRecord {
    /// Finds out what is found out of the cells: where the ABIs disagree, and what is known.
    pub fn explain(&mut self, known: &[Explanation]) {
        self.disagreements = disagreements(self, known);
        self.alike = alike(self, known);
    }

    /// What is known of a program that fails alike by all ABIs that ran; nothing of one that did not.
    pub fn known_of(&self, cell: &ProgramRecord) -> Option<&Explanation> {
        let is =
            |one: &&Alike| one.kernel == cell.kernel && one.dir == cell.dir && one.program == cell.program;
        self.alike.iter().find(is).map(|one| &one.note).filter(|_| cell.verdict != Verdict::Miss)
    }

    /// Two runs as one, for a page over several kernels.
    ///
    /// # Errors
    ///
    /// In words, if they cannot be compared: another compiler, or a kernel that both have.
    pub fn join(mut self, other: KselftestRecord) -> Result<KselftestRecord, String> {
        if self.host.compiler != other.host.compiler || self.host.accel != other.host.accel {
            return Err("the runs differ in compiler or accelerator".to_owned());
        }
        if let (Some(own), Some(others)) = (self.reached(), other.reached())
            && own != others
        {
            return Err("the runs differ in how their guests were reached".to_owned());
        }
        let twice = |part: &&KernelPart| self.kernels.iter().any(|own| own.kernel == part.kernel);
        if let Some(part) = other.kernels.iter().find(twice) {
            return Err(format!("both runs have {}", part.kernel));
        }
        self.command = format!("{}` and `{}", self.command, other.command);
        if other.state != State::Complete {
            self.state = other.state;
        }
        self.elapsed_ms += other.elapsed_ms;
        self.kernels_selected += other.kernels_selected;
        self.kernels.extend(other.kernels);
        self.selected += other.selected;
        self.cells.extend(other.cells);
        self.disagreements.extend(other.disagreements);
        self.alike.extend(other.alike);
        self.notes.extend(other.notes);
        Ok(self)
    }

    /// How the guests were reached, in words; of a run without a guest it is not known.
    pub(super) fn reached(&self) -> Option<String> {
        let ran = self.cells.iter().any(|cell| !cell.logs.is_empty());
        let words = how_reached(self.cells.iter().map(|cell| &cell.transports));
        ran.then(|| words.unwrap_or_else(|| "the guests were reached over serial".to_owned()))
    }

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
        let all = self.count(Verdict::Pass) == self.selected && self.cells.len() == self.selected;
        all && self.kernels.len() == self.kernels_selected && self.selected > 0
    }
}

#[cfg(test)]
mod tests;
