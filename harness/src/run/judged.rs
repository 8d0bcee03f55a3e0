//! From what was seen of a guest to the record of its cell: the same for a guest that ends just now
//! and for one whose logs are read again.

use std::path::Path;

use super::below;
use super::ledger::Entry;
use super::order::{Expects, WorkOrder};
use crate::boot::vm;
use crate::judge::kselftest::{self, Expected};
use crate::judge::verdict::{self, Expectation};
use crate::judge::watch::Evidence;
use crate::judge::{console, symbols};
use crate::limits;
use crate::model::{CellId, ProgramId, Verdict};
use crate::report::kselftest::ProgramRecord;
use crate::report::record::transports::OverTransports;
use crate::report::record::{CellRecord, Durations, FindingRecord};

/// How a kernel's symbols are called beside it.
pub(super) const SYMBOLS: &str = "System.map";

/// Gives the address at which a guest hung its name: the judge reads no files.
pub(super) fn name_address(seen: &mut Evidence, kernel: &Path) {
    let map = || std::fs::read_to_string(kernel.with_extension(SYMBOLS)).unwrap_or_default();
    seen.at = seen.instruction.map(|address| symbols::name(&map(), address));
}

/// A cell's record as it comes from a guest.
pub(super) trait FromGuest: Entry + OverTransports {
    /// What was `seen` of a guest with this order and these `logs`; `out` is the run's folder. Nothing if
    /// the order is one of another kind of cell.
    fn judged(id: &Self::Id, order: &WorkOrder, guest: (&Evidence, &Path), out: &Path) -> Option<Self>;

    /// Writes what a guest that ends just now said into its `logs`, where a reader wants it in words.
    fn keep_words(_seen: &Evidence, _logs: &Path) {}
}

impl FromGuest for CellRecord {
    fn judged(id: &CellId, order: &WorkOrder, (seen, logs): (&Evidence, &Path), out: &Path) -> Option<Self> {
        let Expects::Syscall(expected) = &order.expects else { return None };
        Some(cell(id, expected, seen, logs, out))
    }
}

impl FromGuest for ProgramRecord {
    fn judged(
        id: &ProgramId,
        order: &WorkOrder,
        (seen, logs): (&Evidence, &Path),
        out: &Path,
    ) -> Option<Self> {
        let Expects::Kselftest(expected) = &order.expects else { return None };
        Some(program(id, expected, seen, logs, out))
    }

    fn keep_words(seen: &Evidence, logs: &Path) {
        if let Some(run) = seen.runs.first() {
            // The result port's log has them as frames.
            let _ = std::fs::write(logs.join("stdout.log"), &run.stdout);
            let _ = std::fs::write(logs.join("stderr.log"), &run.stderr);
        }
    }
}

/// A cell of `test-syscall`.
fn cell(id: &CellId, expected: &Expectation, seen: &Evidence, logs: &Path, out: &Path) -> CellRecord {
    let mut cell = CellRecord::new(id, verdict::judge(expected, seen));
    cell.entries = verdict::entries(expected, seen);
    cell.not_applicable.clone_from(&expected.not_applicable);
    cell.recorded = verdict::recorded(expected, seen).into_iter().map(Into::into).collect();
    cell.guest = seen.hello.as_ref().map(|(_, hello)| hello.clone());
    cell.durations = Durations::of(seen);
    cell.findings = seen.findings.iter().map(FindingRecord::from).collect();
    cell.logs = below(out, logs);
    // A skip is the program's own word, and nothing outweighed it: the console is that of a good boot.
    if !matches!(cell.verdict, Verdict::Pass | Verdict::Skip) {
        let console = std::fs::read(logs.join(vm::log::CONSOLE)).unwrap_or_default();
        cell.console_tail = console::tail(&console, limits::TAIL_LINES);
    }
    cell
}

/// A cell of `test-selftest`.
fn program(id: &ProgramId, expected: &Expected, seen: &Evidence, logs: &Path, out: &Path) -> ProgramRecord {
    let mut cell = ProgramRecord::new(id, kselftest::judge(expected, seen));
    let said = kselftest::said(expected, seen);
    (cell.outcome, cell.reported) = (said.outcome, said.reported);
    cell.guest = seen.hello.as_ref().map(|(_, hello)| hello.clone());
    cell.durations = Durations::of(seen);
    cell.findings = seen.findings.iter().map(FindingRecord::from).collect();
    cell.logs = below(out, logs);
    if let Some(run) = seen.runs.first().filter(|_| cell.verdict != Verdict::Pass) {
        let all = [&run.stdout[..], &run.stderr[..]].concat();
        cell.output_tail = console::tail(&all, limits::TAIL_LINES);
    }
    cell
}
