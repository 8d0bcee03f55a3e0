//! A run of either kind as what formats have in common: rows of cells, one per ABI, and what is to
//! be told of each. It borrows from the record and adds nothing that the record does not say.

use std::collections::BTreeMap;

use super::attempts::{self, AttemptRecord};
use super::kselftest::{self, KselftestRecord, ProgramRecord};
use super::record::{
    CauseRecord, CellRecord, Durations, FindingRecord, HostRecord, RecordedRecord, RunRecord, State,
    TransportRecord,
};
use super::sealed::AnyRun;
use super::text::{again, origin};
use crate::judge::divergence::{Divergence, divergences};
use crate::judge::verdict::Entry;
use crate::model::{
    Abi, CaseResult, Explanation, Hello, KernelName, KnownIssue, NotApplicable, SyscallName, Verdict,
};

/// One run.
#[derive(Debug)]
pub struct View<'a> {
    /// What was tested: the syscall, or `kselftest`.
    pub title: &'a str,
    /// The version of the tool.
    pub tool: &'a str,
    /// How far it is.
    pub state: State,
    /// When it began, in seconds since 1970.
    pub started_unix_s: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The run's folder.
    pub folder: &'a str,
    /// Where it ran.
    pub host: &'a HostRecord,
    /// What was built beyond the usual, a line each: trees, profiles, toolchains, stacks.
    pub built: Vec<String>,
    /// How many cells were selected.
    pub selected: usize,
    /// How many kernels were selected whose cells nobody knows: their source was never there.
    pub kernels_absent: usize,
    /// The rows, in the order of the run.
    pub rows: Vec<Row<'a>>,
    /// What the user was told on the way.
    pub notes: &'a [String],
}

/// One row: the cells that only differ by ABI.
#[derive(Debug)]
pub struct Row<'a> {
    /// The kernel.
    pub kernel: &'a KernelName,
    /// What tells it from the kernel's other rows: the leg, or directory and program.
    pub label: String,
    /// What rows have in common: the leg, or the directory.
    pub group: &'a str,
    /// The cells that have their verdict.
    pub cells: BTreeMap<Abi, CellView<'a>>,
    /// The cases on which they disagree.
    pub divergences: Vec<Divergence>,
    /// What is known of that, by case; without one it is about the program as a whole.
    pub explained: BTreeMap<Option<&'a str>, &'a Explanation>,
}

/// One cell.
#[derive(Debug)]
pub struct CellView<'a> {
    /// Its name: kernel, leg or program, ABI.
    pub name: String,
    /// Its name for files and anchors: `linux-6.12.patched.m64`.
    pub slug: String,
    /// The ABI.
    pub abi: Abi,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub cause: Option<&'a CauseRecord>,
    /// What else was seen.
    pub also: &'a [CauseRecord],
    /// The judged cases.
    pub cases: &'a [CaseResult],
    /// What the kernel said was wrong.
    pub findings: &'a [FindingRecord],
    /// What is known to be wrong, and was not held against it.
    pub known: &'a [KnownIssue],
    /// The contract's cases that this ABI cannot express.
    pub not_applicable: &'a [NotApplicable],
    /// Proof of entry.
    pub entries: &'a [Entry],
    /// What the selftest said where the call must be absent.
    pub recorded: &'a [RecordedRecord],
    /// How it went over each transport.
    pub transports: &'a [TransportRecord],
    /// All attempts at it, in order, where there was more than one.
    pub attempts: &'a [AttemptRecord],
    /// How the program ended, of a kselftest.
    pub outcome: Option<&'a str>,
    /// How long it took.
    pub durations: Durations,
    /// The guest, by its own account.
    pub guest: Option<&'a Hello>,
    /// The last lines of console or output, escaped; only where it did not pass.
    pub tail: &'a [String],
    /// The folder of its logs, below the run's; empty if it never ran.
    pub logs: &'a str,
    /// The one of them with the console that is shown: see [`CellRecord::evidence`].
    pub evidence: &'a str,
    /// The command that runs it again, where one does.
    pub again: Option<String>,
}

impl CellView<'_> {
    /// How many cases passed, of how many.
    pub fn passed(&self) -> (usize, usize) {
        (self.cases.iter().filter(|case| case.verdict == Verdict::Pass).count(), self.cases.len())
    }

    /// Whether it passed only when it was tried again.
    pub fn is_flaky(&self) -> bool {
        attempts::is_flaky(self.verdict, self.attempts)
    }

    /// What is said of its attempts beside the verdict; nothing where there was one.
    pub fn tries(&self) -> Option<String> {
        attempts::mark(self.verdict, self.attempts)
    }

    /// Its attempts in words, a line each, where there was more than one.
    pub fn attempts_in_words(&self) -> Vec<String> {
        let words = |(n, attempt): (usize, &AttemptRecord)| {
            let why = attempt.cause.as_ref().map(|cause| format!(": {}", cause.text)).unwrap_or_default();
            format!("attempt {}: {}{why}", n + 1, attempt.verdict)
        };
        self.attempts.iter().enumerate().map(words).collect()
    }
}

impl<'a> View<'a> {
    /// A run of either kind.
    pub fn of(run: &'a AnyRun) -> View<'a> {
        match run {
            AnyRun::Syscall(run) => View::of_syscall(run),
            AnyRun::Kselftest(run) => View::of_kselftest(run),
        }
    }

    /// A run of `test-syscall`.
    pub fn of_syscall(run: &'a RunRecord) -> View<'a> {
        let mut built = Vec::new();
        for kernel in &run.kernels {
            if kernel.series.len() > 1 {
                let series: Vec<&str> = kernel.series.iter().map(SyscallName::as_str).collect();
                built.push(format!("{}: with the series of {}", kernel.kernel, series.join(", ")));
            }
            built.extend(origin(&kernel.kernel, kernel.tree.as_ref(), &kernel.recipe));
        }
        let mut rows: Vec<Row<'a>> = Vec::new();
        for cell in &run.cells {
            let label = cell.leg.to_string();
            let row = row(&mut rows, &cell.kernel, label, cell.leg.name());
            row.cells.insert(cell.abi, of_cell(run, cell));
        }
        View {
            title: run.syscall.as_str(),
            tool: &run.tool,
            state: run.state,
            started_unix_s: run.started_unix_s,
            elapsed_ms: run.elapsed_ms,
            folder: &run.folder,
            host: &run.host,
            built,
            selected: run.selected,
            kernels_absent: 0,
            rows: compared(rows),
            notes: &run.notes,
        }
    }

    /// A run of `test-selftest`.
    pub fn of_kselftest(run: &'a KselftestRecord) -> View<'a> {
        let origins = run.kernels.iter().flat_map(|k| origin(&k.kernel, k.tree.as_ref(), &k.recipe));
        let mut rows: Vec<Row<'a>> = Vec::new();
        for cells in kselftest::rows(run) {
            for (abi, cell) in cells {
                let label = format!("{}/{}", cell.dir, cell.program);
                let row = row(&mut rows, &cell.kernel, label, cell.dir.as_str());
                row.cells.insert(abi, of_program(cell));
            }
        }
        for found in &run.disagreements {
            let label = format!("{}/{}", found.dir, found.program);
            if let Some(note) = &found.note {
                let row = row(&mut rows, &found.kernel, label, found.dir.as_str());
                row.explained.insert(found.case.as_deref(), note);
            }
        }
        View {
            title: "kselftest",
            tool: &run.tool,
            state: run.state,
            started_unix_s: run.started_unix_s,
            elapsed_ms: run.elapsed_ms,
            folder: &run.folder,
            host: &run.host,
            built: origins.collect(),
            selected: run.selected,
            kernels_absent: run.kernels_selected.saturating_sub(run.kernels.len()),
            rows: compared(rows),
            notes: &run.notes,
        }
    }

    /// All cells that have their verdict, in the order of the run.
    pub fn cells(&self) -> impl Iterator<Item = &CellView<'a>> {
        self.rows.iter().flat_map(|row| row.cells.values())
    }

    /// The ABIs that the run has cells of.
    pub fn abis(&self) -> Vec<Abi> {
        Abi::ALL.into_iter().filter(|abi| self.cells().any(|cell| cell.abi == *abi)).collect()
    }

    /// How many cells have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cells().filter(|cell| cell.verdict == verdict).count()
    }

    /// How many selected cells have no verdict, since the run did not come to its end.
    pub fn absent(&self) -> usize {
        self.selected.saturating_sub(self.cells().count())
    }

    /// What marks a run that is not whole, in every format; none of one that is.
    pub fn incomplete(&self) -> Option<String> {
        let (absent, kernels) = (self.absent(), self.kernels_absent);
        let word = match self.state {
            State::Complete if absent + kernels == 0 => return None,
            State::Complete => "INCOMPLETE",
            State::Running => "NOT FINISHED",
            State::Interrupted => "INTERRUPTED",
        };
        let mut text = match absent {
            0 => format!("{word}: the cells that were not run say so"),
            absent => format!("{word}: {absent} of {} cells have no verdict", self.selected),
        };
        if kernels > 0 {
            text += &format!("; nothing of {kernels} of its kernels was run");
        }
        Some(text)
    }

    /// `1 fail, 5 pass`, the worst first; what is not there is said, too.
    pub fn counts(&self) -> String {
        let worst_first = [Verdict::Fail, Verdict::Error, Verdict::Miss, Verdict::Skip, Verdict::Pass];
        let counts = worst_first.map(|verdict| (self.count(verdict), verdict.name()));
        let flaky = self.cells().filter(|cell| cell.is_flaky()).count();
        let absent = [(flaky, "of them flaky"), (self.absent(), "without a verdict")];
        let counts = counts.into_iter().chain(absent).filter(|(n, _)| *n > 0);
        counts.map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
    }
}

fn row<'a, 'b>(
    rows: &'b mut Vec<Row<'a>>,
    kernel: &'a KernelName,
    label: String,
    group: &'a str,
) -> &'b mut Row<'a> {
    let place = rows.iter().rposition(|row| row.kernel == kernel && row.label == label);
    let place = place.unwrap_or_else(|| {
        let (cells, divergences, explained) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        rows.push(Row { kernel, label, group, cells, divergences, explained });
        rows.len() - 1
    });
    &mut rows[place]
}

/// A cell without a report has nothing that could agree or disagree.
fn compared(mut rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    for row in &mut rows {
        let reported = row.cells.iter().filter(|(_, cell)| !cell.cases.is_empty());
        row.divergences = divergences(&reported.map(|(abi, cell)| (*abi, cell.cases)).collect());
    }
    rows
}

fn of_cell<'a>(run: &'a RunRecord, cell: &'a CellRecord) -> CellView<'a> {
    CellView {
        name: cell.id().to_string(),
        slug: cell.id().slug(),
        abi: cell.abi,
        verdict: cell.verdict,
        cause: cell.cause.as_ref(),
        also: &cell.also,
        cases: &cell.cases,
        findings: &cell.findings,
        known: &cell.known,
        not_applicable: &cell.not_applicable,
        entries: &cell.entries,
        recorded: &cell.recorded,
        transports: &cell.transports,
        attempts: &cell.attempts,
        outcome: None,
        durations: cell.durations,
        guest: cell.guest.as_ref(),
        tail: &cell.console_tail,
        logs: &cell.logs,
        evidence: cell.evidence(),
        again: Some(again(run, cell)),
    }
}

fn of_program(cell: &ProgramRecord) -> CellView<'_> {
    CellView {
        name: cell.id().to_string(),
        slug: cell.id().slug(),
        abi: cell.abi,
        verdict: cell.verdict,
        cause: cell.cause.as_ref(),
        also: &cell.also,
        cases: &cell.cases,
        findings: &cell.findings,
        known: &[],
        not_applicable: &[],
        entries: &[],
        recorded: &[],
        transports: &cell.transports,
        attempts: &cell.attempts,
        outcome: cell.outcome.as_deref(),
        durations: cell.durations,
        guest: cell.guest.as_ref(),
        tail: &cell.output_tail,
        logs: &cell.logs,
        evidence: cell.evidence(),
        again: None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
