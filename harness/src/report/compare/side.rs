//! What is compared of a run: its cells and their cases by name, and what they were built from.

use std::collections::BTreeMap;

use super::Id;
use super::facts::{self, Config, Facts};
use crate::judge::contract;
use crate::model::{Cause, Verdict};
use crate::report::record::{CauseRecord, State};
use crate::report::sealed::AnyRun;
use crate::report::view::{CellView, View};

/// One side of a comparison: a run, or a baseline made of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What the user calls it.
    pub(super) name: String,
    /// What was tested, as the command's words.
    pub(super) of: String,
    pub(super) state: State,
    pub(super) selected: usize,
    pub(super) cells: BTreeMap<Id, Cell>,
    pub(super) tools: Facts,
    pub(super) built: Facts,
    pub(super) configs: BTreeMap<String, Config>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) verdict: Verdict,
    /// The cause that decided, by its key; empty for a pass.
    pub(super) first: String,
    /// All causes: what tells each from others, and its text.
    pub(super) causes: BTreeMap<String, String>,
    pub(super) flaky: bool,
    /// By name; the second of a name has its number.
    pub(super) cases: BTreeMap<String, Case>,
    pub(super) not_applicable: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) verdict: Verdict,
    /// Whether it failed and was excused.
    pub(super) known: bool,
    pub(super) message: String,
}

impl Cell {
    /// Why it is no pass.
    pub(super) fn why(&self) -> &str {
        self.causes.get(&self.first).map_or("", String::as_str)
    }

    /// How many cases passed.
    pub(super) fn passed(&self) -> usize {
        self.cases.values().filter(|case| case.verdict == Verdict::Pass).count()
    }
}

impl Side {
    /// What was tested, as the command's words: `test-syscall xyzzy`.
    pub fn subject(&self) -> &str {
        &self.of
    }

    /// Of a run, with the texts of its kernels' configurations.
    pub fn of(name: &str, run: &AnyRun, configs: &BTreeMap<String, String>) -> Side {
        let view = View::of(run);
        let (of, built) = match run {
            AnyRun::Syscall(run) => (format!("test-syscall {}", run.syscall), facts::of_syscall(run)),
            AnyRun::Kselftest(run) => ("test-selftest".to_owned(), facts::of_kselftest(run)),
        };
        let mut cells = BTreeMap::new();
        for row in &view.rows {
            for (abi, cell) in &row.cells {
                let id = Id { row: format!("{} {}", row.kernel, row.label), abi: *abi };
                cells.insert(id, Cell::of(cell));
            }
        }
        // A kselftest run knows its cells when it knows the kernel's source.
        let known = match run {
            AnyRun::Syscall(_) => true,
            AnyRun::Kselftest(run) => run.kernels.len() == run.kernels_selected,
        };
        let judged = cells.len() >= view.selected && known;
        Side {
            name: name.to_owned(),
            of,
            state: if judged || view.state != State::Complete { view.state } else { State::Running },
            selected: view.selected,
            cells,
            tools: facts::tools(view.tool, view.host),
            built,
            configs: configs.iter().map(|(kernel, text)| (kernel.clone(), Config::of(text))).collect(),
        }
    }
}

impl Cell {
    fn of(cell: &CellView<'_>) -> Cell {
        let mut cases = BTreeMap::new();
        for case in cell.cases {
            // A test may use a name twice.
            let mut name = case.name.clone();
            for number in 2.. {
                if !cases.contains_key(&name) {
                    break;
                }
                name = format!("{} ({number})", case.name);
            }
            let known = case.verdict == Verdict::Fail
                && cell.known.iter().any(|issue| issue.symptom.is_case(&case.name));
            let message = case.message.clone().unwrap_or_default();
            cases.insert(name, Case { verdict: case.verdict, known, message });
        }
        let causes = cell.cause.into_iter().chain(cell.also.iter().filter(|also| weighs(cell, also)));
        Cell {
            verdict: cell.verdict,
            first: cell.cause.map(key).unwrap_or_default(),
            causes: causes.map(|cause| (key(cause), cause.text.clone())).collect(),
            flaky: cell.is_flaky(),
            cases,
            not_applicable: cell
                .not_applicable
                .iter()
                .map(|case| (contract::case_name(&case.name), case.reason.clone()))
                .collect(),
        }
    }
}

/// Whether a further cause could have decided: a skip beside a failure could not.
fn weighs(cell: &CellView<'_>, also: &CauseRecord) -> bool {
    also.detail.verdict() == cell.verdict
}

/// What tells a cause from others of another run: its kind, and of a fault of the kernel's the title, which
/// is the same for equal bugs.
fn key(cause: &CauseRecord) -> String {
    if let Cause::Panic { fault } | Cause::KernelFault { fault } = &cause.detail {
        return format!("{}: {}", cause.kind, fault.title);
    }
    cause.kind.clone()
}
