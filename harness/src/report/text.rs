//! The matrix for people: rows are kernel and leg, columns the ABIs, and below it everything that
//! needs a look.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::attempts::{self, AttemptRecord, Attempted};
use super::record::{
    CellRecord, Durations, KernelRecord, RecipeRecord, RunRecord, State, TransportRecord, TreeRecord,
};
use crate::judge::console::{sanitize, sanitize_lines};
use crate::judge::contract;
use crate::judge::divergence::{Divergence, divergences};
use crate::model::{Abi, CaseResult, CellId, KernelName, Leg, SyscallName, Transport, Verdict};

/// Colours or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// With escape sequences.
    Colour,
    /// Plain text.
    Plain,
}

impl Paint {
    pub(super) fn wrap(self, verdict: Verdict, text: &str) -> String {
        if self == Paint::Plain {
            return text.to_owned();
        }
        let code = match verdict {
            Verdict::Pass => "32",
            Verdict::Fail => "1;31",
            Verdict::Skip => "33",
            Verdict::Miss => "35",
            Verdict::Error => "1;35",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Cases shown of one list; the rest is counted and is in `run.json`.
const CASES_SHOWN: usize = 40;

/// The whole report. Text that came from a guest is escaped.
pub fn render(run: &RunRecord, paint: Paint) -> String {
    let mut out = String::new();
    head(run, &mut out);
    out.push('\n');
    matrix(run, paint, &mut out);
    contracts(run, &mut out);
    for (kernel, leg) in rows(run) {
        divergence(run, &kernel, leg, paint, &mut out);
    }
    for cell in run.cells.iter().filter(|cell| cell.verdict != Verdict::Pass) {
        not_passed(run, cell, paint, &mut out);
    }
    let flaky = run.cells.iter().map(|cell| (cell.id().to_string(), cell));
    passed_later(flaky, &run.folder, &mut out);
    known_issues(run, &mut out);
    side_by_side(run, paint, &mut out);
    proof(run, &mut out);
    controls(run, &mut out);
    for note in &run.notes {
        let _ = writeln!(out, "\nnote: {}", sanitize(note));
    }
    let _ = writeln!(out, "\nlogs and run.json: {}", run.folder);
    out
}

/// Where a kernel comes from and what built it, where that is not the usual.
pub(super) fn origin(kernel: &KernelName, tree: Option<&TreeRecord>, recipe: &RecipeRecord) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(TreeRecord { path, commit, base, dirty, untested }) = tree {
        let mut line = format!("{kernel}: {}", sanitize(path));
        for (word, commit) in [(" at ", commit), (", a series on ", base)] {
            line.extend(commit.iter().flat_map(|commit| [word, commit.get(..12).unwrap_or(commit)]));
        }
        for (word, what) in [(", DIRTY: ", dirty), (", not committed and NOT TESTED: ", untested)] {
            line.extend(what.iter().map(|what| format!("{word}{}", sanitize(what))));
        }
        lines.push(line);
    }
    if let Some(profile) = &recipe.profile {
        lines.push(format!("{kernel}: profile {profile}"));
    }
    if !["", RecipeRecord::USUAL_BASE].contains(&recipe.base_config.as_str()) {
        lines.push(format!("{kernel}: configured from {}", sanitize(&recipe.base_config)));
    }
    for (what, words) in [("configured with", &recipe.configs), ("make", &recipe.make)] {
        if !words.is_empty() {
            lines.push(format!("{kernel}: {what} {}", sanitize(words.join(" "))));
        }
    }
    if let Some(toolchain) = &recipe.toolchain {
        lines.push(format!("{kernel}: built with {}", sanitize(toolchain.replace('\n', "; "))));
    }
    lines
}

fn head(run: &RunRecord, out: &mut String) {
    let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Skip, Verdict::Miss, Verdict::Error];
    let counts = verdicts.map(|v| (run.count(v), v)).into_iter().filter(|(n, _)| *n > 0);
    let mut counts: Vec<String> = counts.map(|(n, v)| format!("{n} {v}")).collect();
    let flaky = run.cells.iter().filter(|cell| cell.is_flaky()).count();
    counts.extend((flaky > 0).then(|| format!("{flaky} of them flaky")));
    let _ = write!(out, "{}: {} of {} cells judged", run.syscall, run.cells.len(), run.selected);
    if !counts.is_empty() {
        let _ = write!(out, ": {}", counts.join(", "));
    }
    out.push_str(match run.state {
        State::Interrupted => "; INTERRUPTED\n",
        State::Running => "; NOT FINISHED\n",
        State::Complete => "\n",
    });
    let host = &run.host;
    let _ = writeln!(out, "{}, {}, accel {} ({})", host.qemu, host.machine, host.accel, host.accel_why);
    let _ = writeln!(out, "{}", host.compiler.replace('\n', ", "));
    out.extend(how_reached(run.cells.iter().map(|cell| &cell.transports)).map(|words| words + "\n"));
    for KernelRecord { kernel, tree, series, recipe, .. } in &run.kernels {
        if series.len() > 1 {
            let series: Vec<&str> = series.iter().map(SyscallName::as_str).collect();
            let _ = writeln!(out, "{kernel}: with the series of {}", series.join(", "));
        }
        for line in origin(kernel, tree.as_ref(), recipe) {
            let _ = writeln!(out, "{line}");
        }
    }
    let weak: Vec<&str> =
        run.cells.iter().filter_map(|cell| cell.guest.as_ref()).fold(Vec::new(), |mut weak, guest| {
            for (there, name) in [(guest.smap, "SMAP"), (guest.smep, "SMEP")] {
                if !there && !weak.contains(&name) {
                    weak.push(name);
                }
            }
            weak
        });
    if !weak.is_empty() {
        let _ =
            writeln!(out, "the guests' CPU lacks {}: bugs that it catches went unseen", weak.join(" and "));
    }
}

/// How the guests of these cells were reached, if it was not over serial alone.
pub(super) fn how_reached<'a>(
    cells: impl Iterator<Item = &'a Vec<TransportRecord>> + Clone,
) -> Option<String> {
    let over = |transport| cells.clone().flatten().any(|over| over.transport == transport);
    match [Transport::Serial, Transport::Ssh].map(over) {
        [false, true] => Some("the guests were reached over ssh".to_owned()),
        [true, true] => Some("each cell ran over serial and over ssh".to_owned()),
        _ => None,
    }
}

fn rows(run: &RunRecord) -> Vec<(KernelName, Leg)> {
    let mut rows = Vec::new();
    for cell in &run.cells {
        let row = (cell.kernel.clone(), cell.leg);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

fn cells<'a>(run: &'a RunRecord, kernel: &KernelName, leg: Leg) -> BTreeMap<Abi, &'a CellRecord> {
    let of_row = run.cells.iter().filter(|cell| cell.kernel == *kernel && cell.leg == leg);
    of_row.map(|cell| (cell.abi, cell)).collect()
}

fn matrix(run: &RunRecord, paint: Paint, out: &mut String) {
    let abis: Vec<Abi> =
        Abi::ALL.into_iter().filter(|abi| run.cells.iter().any(|cell| cell.abi == *abi)).collect();
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec!["kernel".to_owned(), "leg".to_owned()];
    header.extend(abis.iter().map(|abi| abi.flag().to_owned()));
    table.set_header(header);
    for (kernel, leg) in rows(run) {
        let of_row = cells(run, &kernel, leg);
        let mut row = vec![Cell::new(kernel), Cell::new(leg)];
        for abi in &abis {
            let text = match of_row.get(abi) {
                Some(cell) => {
                    let (passed, total) = cell.passed();
                    let count = if total > 0 { format!(" {passed}/{total}") } else { String::new() };
                    let known = if cell.known.is_empty() { "" } else { " (known issues)" };
                    let tries = attempts::mark(cell.verdict, &cell.attempts);
                    let tries = tries.map(|tries| format!(" ({tries})")).unwrap_or_default();
                    paint.wrap(cell.verdict, &format!("{}{count}{known}{tries}", cell.verdict))
                }
                None => "not run".to_owned(),
            };
            row.push(Cell::new(text));
        }
        table.add_row(row);
    }
    let _ = writeln!(out, "{table}");
}

/// How many of a row's cases follow from the call's contract, and what an ABI could not be asked.
fn contracts(run: &RunRecord, out: &mut String) {
    for (kernel, leg) in rows(run) {
        let of_row = cells(run, &kernel, leg);
        let count =
            |cell: &CellRecord| cell.cases.iter().filter(|case| contract::is_case(&case.name)).count();
        if of_row.values().all(|cell| count(cell) == 0) {
            continue;
        }
        let each = of_row.iter().map(|(abi, cell)| match cell.not_applicable.len() {
            0 => format!("{} by {abi}", count(cell)),
            n => format!("{} by {abi} ({n} n/a)", count(cell)),
        });
        let each: Vec<String> = each.collect();
        let _ = writeln!(out, "{kernel} {leg}: of these, cases of the contract: {}", each.join(", "));
    }
}

fn divergence(run: &RunRecord, kernel: &KernelName, leg: Leg, paint: Paint, out: &mut String) {
    let of_row = cells(run, kernel, leg);
    // A cell without a report has nothing that could agree or disagree; its cause is told below.
    let reported = of_row.iter().filter(|(_, cell)| !cell.cases.is_empty());
    let cases: BTreeMap<Abi, &[CaseResult]> =
        reported.map(|(abi, cell)| (*abi, cell.cases.as_slice())).collect();
    let found = divergences(&cases);
    if found.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{kernel} {leg}: the ABIs disagree on {} cases", found.len());
    for Divergence { case, said } in found.iter().take(CASES_SHOWN) {
        let _ = writeln!(out, "  {}", sanitize(case));
        for (abi, said) in said {
            let flag = abi.flag();
            let _ = match said {
                Some((verdict, message)) => {
                    let message = message.as_deref().map(|m| format!("  {}", short(m))).unwrap_or_default();
                    writeln!(out, "    {flag:6} {}{message}", paint.wrap(*verdict, verdict.name()))
                }
                None => writeln!(out, "    {flag:6} did not report it"),
            };
        }
    }
    if found.len() > CASES_SHOWN {
        let _ = writeln!(out, "  and {} more", found.len() - CASES_SHOWN);
    }
}

fn not_passed(run: &RunRecord, cell: &CellRecord, paint: Paint, out: &mut String) {
    let cause = cell.cause.as_ref().map_or("no cause", |cause| &cause.text);
    let verdict = paint.wrap(cell.verdict, cell.verdict.name());
    let _ = writeln!(out, "\n{}: {verdict}: {}", cell.id(), indent(cause));
    for cause in &cell.also {
        let _ = writeln!(out, "  also: {}", indent(&cause.text));
    }
    if !cell.console_tail.is_empty() {
        let _ = writeln!(out, "  the console's last lines:");
        for line in &cell.console_tail {
            let _ = writeln!(out, "    | {}", sanitize(line));
        }
    }
    if !cell.logs.is_empty() {
        let _ = writeln!(out, "  logs:  {}/{}", run.folder, cell.logs);
    }
    let _ = writeln!(out, "  again: {}", again(run, cell));
}

/// The command that runs a cell again.
pub(super) fn again(run: &RunRecord, cell: &CellRecord) -> String {
    let words = again_words(run, &cell.id()).iter().map(sanitize).collect::<Vec<_>>();
    format!("cargo xtask {}", words.join(" "))
}

/// The words of that command behind `cargo xtask`, quoted for a shell.
pub fn again_words(run: &RunRecord, cell: &CellId) -> Vec<String> {
    let CellId { kernel, leg, abi } = cell;
    // A user's tree is among the options.
    let is_tree = run.kernels.iter().any(|record| record.kernel == *kernel && record.tree.is_some())
        || run.options.first().is_some_and(|word| word == "--tree");
    let mut words = vec!["test-syscall", run.syscall.as_str()];
    if !is_tree {
        words.extend(["--kernel", kernel.as_str()]);
    }
    words.extend(["--leg", leg.name(), "--abi", abi.name()]);
    words.into_iter().map(str::to_owned).chain(run.options.iter().cloned()).collect()
}

/// The cells that passed only when they were tried again, with what each attempt before came to.
pub(super) fn passed_later<'a, C: Attempted + 'a>(
    cells: impl Iterator<Item = (String, &'a C)>,
    folder: &str,
    out: &mut String,
) {
    for (name, cell) in cells.filter(|(_, cell)| cell.is_flaky()) {
        let _ = writeln!(out, "\n{name}: flaky: it passed at attempt {}", cell.attempts().len());
        for AttemptRecord { verdict, cause, logs, .. } in cell.attempts() {
            let Some(cause) = cause else { continue };
            let _ = writeln!(out, "  before: {verdict}: {}", indent(&cause.text));
            if !logs.is_empty() {
                let _ = writeln!(out, "  logs:   {folder}/{logs}");
            }
        }
    }
}

fn known_issues(run: &RunRecord, out: &mut String) {
    let met = run.cells.iter().flat_map(|cell| cell.known.iter().map(move |issue| (cell.id(), issue)));
    let mut met = met.peekable();
    if met.peek().is_some() {
        let _ = writeln!(out, "\nknown issues that were met, and are not held against the cell:");
    }
    for (cell, issue) in met {
        let _ = writeln!(out, "  {:30} {}", cell.to_string(), sanitize(issue.to_string()));
    }
}

fn side_by_side(run: &RunRecord, paint: Paint, out: &mut String) {
    let twice: Vec<&CellRecord> = run.cells.iter().filter(|cell| cell.transports.len() > 1).collect();
    if twice.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nthe transports side by side, in seconds (boot, programs, all):");
    let seconds = |ms: Option<u64>| match ms {
        Some(ms) => format!("{:6.2}", ms as f64 / 1000.0),
        None => format!("{:>6}", "-"),
    };
    for cell in twice {
        let _ = write!(out, "  {:30}", cell.id().to_string());
        for TransportRecord { transport, verdict, durations, .. } in &cell.transports {
            let word = paint.wrap(*verdict, &format!("{:5}", verdict.name()));
            let Durations { boot_ms, run_ms, total_ms } = *durations;
            let times = [boot_ms, run_ms, Some(total_ms)].map(seconds).concat();
            let _ = write!(out, "  {transport} {word}{times}");
        }
        out.push('\n');
    }
}

fn proof(run: &RunRecord, out: &mut String) {
    let proved: Vec<&CellRecord> = run.cells.iter().filter(|cell| !cell.entries.is_empty()).collect();
    if proved.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nproof of entry (architecture/number as the kernel saw them, how often):");
    for cell in proved {
        let mut counts = Vec::new();
        for entry in cell.entries.iter().filter(|entry| entry.count > 0 || entry.abi == cell.abi) {
            let door = crate::model::Door { arch: entry.arch, nr: entry.nr };
            // The agent stops counting there.
            let more = if entry.count >= 1000 { " and more" } else { "" };
            counts.push(format!("{door} \u{d7} {}{more}", entry.count));
        }
        let _ = writeln!(out, "  {:30} {}", cell.id().to_string(), counts.join(", "));
    }
}

fn controls(run: &RunRecord, out: &mut String) {
    let said: Vec<(&CellRecord, String)> = run
        .cells
        .iter()
        .flat_map(|cell| cell.recorded.iter().map(move |recorded| (cell, recorded)))
        .map(|(cell, recorded)| {
            let passed = recorded.cases.iter().filter(|case| case.verdict == Verdict::Pass).count();
            let counted = match recorded.cases.len() {
                0 => String::new(),
                total => format!(", {passed}/{total} cases passed"),
            };
            (cell, format!("{} {}{counted}", recorded.program, recorded.outcome))
        })
        .collect();
    if said.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nwhat the selftest said where the call must be absent (not weighed):");
    for (cell, said) in said {
        let _ = writeln!(out, "  {:30} {}", cell.id().to_string(), sanitize(&said));
    }
}

pub(super) fn short(message: &str) -> String {
    let line: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text: String = line.join("; ").chars().take(160).collect();
    sanitize(&text)
}

/// Escapes a text of several lines and sets its further lines in.
pub(super) fn indent(text: &str) -> String {
    sanitize_lines(text).replace('\n', "\n    ")
}

#[cfg(test)]
mod tests;
