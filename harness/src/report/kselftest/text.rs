//! A kselftest run for people: first where the ABIs disagree, then a row per program, then why not.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::{Disagreement, KernelPart, KselftestRecord, ProgramRecord, rows};
use crate::judge::console::sanitize;
use crate::model::{Abi, Verdict};
use crate::report::attempts::{self, Attempted};
use crate::report::record::{Durations, State};
use crate::report::text::{Paint, how_reached, indent, origin, passed_later, short};

/// The whole report. Text that came from a guest is escaped.
pub fn render(run: &KselftestRecord, paint: Paint) -> String {
    let mut out = String::new();
    head(run, &mut out);
    for kernel in &run.kernels {
        of_kernel(kernel, &mut out);
    }
    disagreements(run, paint, &mut out);
    out.push('\n');
    table(run, paint, &mut out);
    reasons(run, paint, &mut out);
    side_by_side(run, &mut out);
    passed_later(run.cells.iter().map(|cell| (cell.id().to_string(), cell)), &run.folder, &mut out);
    for note in &run.notes {
        let _ = writeln!(out, "\nnote: {}", sanitize(note));
    }
    let _ = writeln!(out, "\nlogs and run.json: {}", run.folder);
    out
}

/// The counts of all verdicts that there are.
pub(super) fn counts(run: &KselftestRecord) -> String {
    let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Skip, Verdict::Miss, Verdict::Error];
    let counts = verdicts.map(|v| (run.count(v), v)).into_iter().filter(|(n, _)| *n > 0);
    let mut counts: Vec<String> = counts.map(|(n, v)| format!("{n} {v}")).collect();
    let flaky = run.cells.iter().filter(|cell| cell.is_flaky()).count();
    counts.extend((flaky > 0).then(|| format!("{flaky} of them flaky")));
    counts.join(", ")
}

fn head(run: &KselftestRecord, out: &mut String) {
    let _ = write!(out, "kselftest: {} of {} cells judged: {}", run.cells.len(), run.selected, counts(run));
    out.push_str(match run.state {
        State::Interrupted => "; INTERRUPTED\n",
        State::Running => "; NOT FINISHED\n",
        State::Complete => "\n",
    });
    let host = &run.host;
    let _ = writeln!(out, "{}, {}, accel {} ({})", host.qemu, host.machine, host.accel, host.accel_why);
    let _ = writeln!(out, "{}", host.compiler.replace('\n', ", "));
    out.extend(how_reached(run.cells.iter().map(|cell| &cell.transports)).map(|words| words + "\n"));
    for KernelPart { kernel, tree, recipe, .. } in &run.kernels {
        for line in origin(kernel, tree.as_ref(), recipe) {
            let _ = writeln!(out, "{line}");
        }
    }
}

fn of_kernel(part: &KernelPart, out: &mut String) {
    let options: Vec<String> = part.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let _ = writeln!(out, "\n{}: {}", part.kernel, options.join(" "));
    if !part.config.is_empty() {
        let _ = writeln!(out, "  all options: {}", part.config);
    }
    for dropped in &part.dropped {
        let _ = writeln!(out, "  {}: {}", dropped.dir, indent(&dropped.text));
    }
    for dir in part.dirs.iter().filter(|dir| !dir.notes.is_empty()) {
        for note in &dir.notes {
            let _ = writeln!(out, "  {}: {}", dir.dir, sanitize(note));
        }
    }
}

fn disagreements(run: &KselftestRecord, paint: Paint, out: &mut String) {
    let found = &run.disagreements;
    if found.is_empty() {
        let _ = writeln!(out, "\nthe ABIs that ran agree on everything");
        return;
    }
    let _ = writeln!(out, "\nthe ABIs disagree on {} programs or cases:", found.len());
    for Disagreement { kernel, dir, program, case, said, messages, note } in found {
        let case = case.as_ref().map(|case| format!(" {}", sanitize(case))).unwrap_or_default();
        let _ = writeln!(out, "  {kernel} {dir}/{program}{case}");
        for (abi, verdict) in said {
            let word = verdict.map_or_else(
                || "did not report it".to_owned(),
                |verdict| paint.wrap(verdict, verdict.name()),
            );
            let message = messages.get(abi).map(|message| format!("  {}", short(message)));
            let _ = writeln!(out, "    {:6} {word}{}", abi.flag(), message.unwrap_or_default());
        }
        let _ = match note {
            Some(note) => writeln!(out, "    {}: {}", note.what, sanitize(&note.why)),
            None => writeln!(out, "    not explained"),
        };
    }
}

/// What stands in a column: the verdict, and what it rests on.
pub(super) fn cell_text(cell: &ProgramRecord) -> String {
    let (passed, total) = cell.passed();
    let text = match (cell.verdict, total) {
        // Its cases are right, and something else is not.
        (verdict, 1..) if passed == total && verdict != Verdict::Pass => {
            format!("{verdict}, cases {passed}/{total}")
        }
        (verdict, 1..) => format!("{verdict} {passed}/{total}"),
        // There was no report: the status alone speaks.
        (Verdict::Pass, 0) => "pass, exit 0".to_owned(),
        (verdict, 0) => verdict.to_string(),
    };
    match attempts::mark(cell.verdict, &cell.attempts) {
        Some(tries) => format!("{text} ({tries})"),
        None => text,
    }
}

/// The ABIs of a run, in the order of the columns.
pub(super) fn abis(run: &KselftestRecord) -> Vec<Abi> {
    Abi::ALL.into_iter().filter(|abi| run.cells.iter().any(|cell| cell.abi == *abi)).collect()
}

fn table(run: &KselftestRecord, paint: Paint, out: &mut String) {
    let abis = abis(run);
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["kernel".to_owned(), "directory".to_owned(), "program".to_owned()];
    header.extend(abis.iter().map(|abi| abi.flag().to_owned()));
    table.set_header(header);
    for row in rows(run) {
        let Some(first) = row.values().next() else { continue };
        let mut line = vec![Cell::new(&first.kernel), Cell::new(&first.dir), Cell::new(&first.program)];
        for abi in &abis {
            let text = |cell: &&ProgramRecord| paint.wrap(cell.verdict, &cell_text(cell));
            line.push(Cell::new(row.get(abi).map_or_else(|| "not run".to_owned(), text)));
        }
        table.add_row(line);
    }
    let _ = writeln!(out, "{table}");
}

/// Why cells did not pass; equal reasons of the ABIs of a program once.
pub(super) fn reasons_of<'a>(row: &BTreeMap<Abi, &'a ProgramRecord>) -> Vec<(Vec<Abi>, &'a ProgramRecord)> {
    let mut reasons: Vec<(Vec<Abi>, &ProgramRecord)> = Vec::new();
    for (&abi, &cell) in row.iter().filter(|(_, cell)| cell.verdict != Verdict::Pass) {
        let text = |cell: &ProgramRecord| cell.cause.as_ref().map(|cause| cause.text.clone());
        match reasons.iter_mut().find(|(_, other)| text(other) == text(cell)) {
            Some((abis, _)) => abis.push(abi),
            None => reasons.push((vec![abi], cell)),
        }
    }
    reasons
}

/// What the transports took, of the cells that ran over both: a line for each cell would hide it.
fn side_by_side(run: &KselftestRecord, out: &mut String) {
    let twice: Vec<&ProgramRecord> = run.cells.iter().filter(|cell| cell.transports.len() > 1).collect();
    if twice.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nthe transports side by side, in seconds of all {} cells:", twice.len());
    for (place, over) in twice[0].transports.iter().enumerate() {
        let sum = |of: &dyn Fn(&Durations) -> u64| {
            let ms =
                twice.iter().filter_map(|cell| cell.transports.get(place)).map(|over| of(&over.durations));
            ms.sum::<u64>() as f64 / 1000.0
        };
        let [boot, programs, all] = [
            sum(&|took| took.boot_ms.unwrap_or_default()),
            sum(&|took| took.run_ms.unwrap_or_default()),
            sum(&|took| took.total_ms),
        ];
        let transport = over.transport;
        let _ = writeln!(out, "  {transport:7} boot {boot:8.2}  programs {programs:8.2}  all {all:8.2}");
    }
}

fn reasons(run: &KselftestRecord, paint: Paint, out: &mut String) {
    for row in rows(run) {
        for (abis, cell) in reasons_of(&row) {
            let cause = cell.cause.as_ref().map_or("no cause", |cause| &cause.text);
            let flags: Vec<&str> = abis.iter().map(|abi| abi.flag()).collect();
            let verdict = paint.wrap(cell.verdict, cell.verdict.name());
            let (kernel, dir, program) = (&cell.kernel, &cell.dir, &cell.program);
            let _ =
                writeln!(out, "{kernel} {dir}/{program} {}: {verdict}: {}", flags.join(" "), indent(cause));
            if let Some(note) = run.known_of(cell) {
                let _ = writeln!(out, "  {}: {}", note.what, sanitize(&note.why));
            }
            for cause in cell.also.iter().filter(|_| cell.verdict == Verdict::Fail) {
                let _ = writeln!(out, "  also: {}", indent(&cause.text));
            }
            if matches!(cell.verdict, Verdict::Fail | Verdict::Error) {
                for line in &cell.output_tail {
                    let _ = writeln!(out, "    | {}", sanitize(line));
                }
                if !cell.logs.is_empty() {
                    let _ = writeln!(out, "  logs: {}/{}", run.folder, cell.logs);
                }
            }
        }
    }
}
