//! From what was seen of a guest to the record of its cell: the same for a guest that ends just now
//! and for one whose logs are read again.

use std::path::Path;

use super::below;
use crate::boot::vm;
use crate::judge::kselftest::{self, Expected};
use crate::judge::verdict::{self, Expectation};
use crate::judge::watch::Evidence;
use crate::judge::{console, symbols};
use crate::limits;
use crate::model::{CellId, ProgramId, Verdict};
use crate::report::kselftest::ProgramRecord;
use crate::report::record::{CellRecord, Durations, FindingRecord};

/// How a kernel's symbols are called beside it.
pub(super) const SYMBOLS: &str = "System.map";

/// Gives the address at which a guest hung its name: the judge reads no files.
pub(super) fn name_address(seen: &mut Evidence, kernel: &Path) {
    let map = || std::fs::read_to_string(kernel.with_extension(SYMBOLS)).unwrap_or_default();
    seen.at = seen.instruction.map(|address| symbols::name(&map(), address));
}

/// A cell of `test-syscall`; `logs` are its own, `out` is the run's folder.
pub(super) fn cell(
    id: &CellId,
    expected: &Expectation,
    seen: &Evidence,
    logs: &Path,
    out: &Path,
) -> CellRecord {
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
pub(super) fn program(
    id: &ProgramId,
    expected: &Expected,
    seen: &Evidence,
    logs: &Path,
    out: &Path,
) -> ProgramRecord {
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
