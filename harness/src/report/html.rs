//! The run as a page: one file that needs no network, no script and no server.
//!
//! The templates lie in `html/`, with the style and the script that are put into the page. They are
//! given [`Shown`] text, numbers and our own words, and escape what they write; the page's policy
//! lets a browser run this one script and nothing else, and the script has no text of a guest in it.
//! What the record does not have (consoles, QEMU's arguments) the caller reads.

mod cell;
mod console;
mod shown;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use askama::Template;
use sha2::{Digest, Sha256};

use super::record::State;
use super::view::{CellView, Row, View};
use crate::judge::divergence::Divergence;
use crate::limits;
use crate::model::{Abi, Verdict};
use cell::{Cell, count, seconds};
use shown::Shown;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// Lines of a message in the list of divergences.
const DIVERGING_LINES: usize = 8;
/// Divergences that are shown without being asked for, if there are no more.
const DIVERGING_OPEN: usize = 12;

/// What the files beside the record say of a cell.
#[derive(Debug, Default)]
pub struct Logs {
    /// What the guest wrote to its console.
    pub console: Option<Vec<u8>>,
    /// QEMU's arguments, quoted for a shell.
    pub argv: Option<String>,
}

/// What there is room for on the page.
struct Room {
    /// Console lines of a cell that did not pass.
    lines: u64,
    /// The same of one that passed.
    lines_of_pass: u64,
    /// Bytes of consoles that are left.
    bytes: usize,
    /// Cases of one list of one cell.
    cases: usize,
}

impl Room {
    fn of(cells: usize) -> Room {
        let share = |of: usize| of / cells.max(1);
        Room {
            lines: share(limits::PAGE_CONSOLE_LINES).clamp(120, 2000) as u64,
            lines_of_pass: share(limits::PAGE_CONSOLE_LINES / 4).clamp(24, 600) as u64,
            bytes: limits::PAGE_CONSOLE_BYTES,
            cases: share(limits::PAGE_CASES).clamp(40, limits::CONTRACT_CASES),
        }
    }
}

/// A verdict as the page shows it: a sign and a word, so that the colour says nothing alone.
#[derive(Debug, Clone, Copy)]
struct Mark(Verdict);

impl Mark {
    fn name(self) -> &'static str {
        self.0.name()
    }

    fn sign(self) -> &'static str {
        match self.0 {
            Verdict::Pass => "✓",
            Verdict::Fail => "✗",
            Verdict::Skip => "–",
            Verdict::Miss => "○",
            Verdict::Error => "!",
        }
    }
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    title: Shown,
    tool: Shown,
    folder: Shown,
    began: &'a str,
    took: String,
    /// What is to be said before anything else.
    unfinished: Option<String>,
    judged: usize,
    selected: usize,
    absent: usize,
    counts: Vec<(Mark, usize)>,
    host: Vec<(&'static str, Shown)>,
    /// What a row is, and what rows have in common.
    row_name: &'static str,
    group_name: &'static str,
    abis: Vec<Abi>,
    kernels: BTreeSet<&'a str>,
    groups: BTreeSet<&'a str>,
    disagreements: usize,
    diverging: Vec<Diverging>,
    rows: Vec<MatrixRow>,
    sections: [Section; 2],
    notes: Vec<Shown>,
}

/// One row of the matrix.
struct MatrixRow {
    kernel: Shown,
    label: Shown,
    cells: Vec<Option<Place>>,
}

/// A cell's place in the matrix.
struct Place {
    index: usize,
    slug: Shown,
    mark: Mark,
    count: String,
    known: bool,
    tries: Option<String>,
}

/// Where the ABIs of a row disagree.
struct Diverging {
    row: usize,
    name: Shown,
    open: bool,
    cases: Vec<DivergingCase>,
    more: usize,
}

/// One case, or the program as a whole.
struct DivergingCase {
    case: Option<Shown>,
    said: Vec<(Abi, Option<Mark>, Option<Shown>)>,
    note: Option<(String, Shown)>,
}

/// The cells that passed, or that did not.
struct Section {
    id: &'static str,
    title: &'static str,
    cells: Vec<Cell>,
}

/// The page. `began` is when the run began, in words; `logs` is asked once for each cell.
pub fn render(view: &View<'_>, began: &str, logs: &dyn Fn(&CellView<'_>) -> Logs) -> String {
    let cells: Vec<(&Row<'_>, &CellView<'_>)> =
        view.rows.iter().flat_map(|row| row.cells.values().map(move |cell| (row, cell))).collect();
    let mut room = Room::of(cells.len());
    // In this order the room for consoles is given away.
    let sections = [false, true].map(|passed| Section {
        id: if passed { "passed" } else { "not-passed" },
        title: if passed { "Passed" } else { "Did not pass" },
        cells: cells
            .iter()
            .enumerate()
            .filter(|(_, (_, cell))| (cell.verdict == Verdict::Pass) == passed)
            .map(|(at, (row, cell))| Cell::of(at, row, cell, logs(cell), &mut room, view.folder))
            .collect(),
    });
    let diverging = diverging(view);
    let legs = view.rows.iter().all(|row| row.group == row.label);
    let page = Page {
        policy: policy(),
        style: STYLE,
        script: SCRIPT,
        title: Shown::line(view.title),
        tool: Shown::line(view.tool),
        folder: Shown::line(view.folder),
        began,
        took: took(view.elapsed_ms),
        unfinished: unfinished(view),
        judged: cells.len(),
        selected: view.selected,
        absent: view.absent(),
        counts: counts(view),
        host: host(view),
        row_name: if legs { "leg" } else { "program" },
        group_name: if legs { "leg" } else { "directory" },
        abis: view.abis(),
        kernels: view.rows.iter().map(|row| row.kernel.as_str()).collect(),
        groups: view.rows.iter().map(|row| row.group).collect(),
        disagreements: diverging.iter().map(|row| row.cases.len() + row.more).sum(),
        diverging,
        rows: matrix(view),
        sections,
        notes: view.notes.iter().map(Shown::line).collect(),
    };
    page.render().expect("a template writes into memory") + "\n"
}

/// What a browser may do with the page: show it, with this style and this script.
fn policy() -> String {
    let hash = |text: &str| base64(&Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit)) as usize & 63;
            out.push(if digit <= chunk.len() { char::from(DIGITS[at]) } else { '=' });
        }
    }
    out
}

fn unfinished(view: &View<'_>) -> Option<String> {
    let what = match view.state {
        State::Complete => return None,
        State::Interrupted => "INTERRUPTED",
        State::Running => "NOT FINISHED",
    };
    let (absent, all) = (view.absent(), view.selected);
    Some(format!("{what}: {absent} of {all} selected cells have no verdict. This page has what there is."))
}

/// The worst first.
fn counts(view: &View<'_>) -> Vec<(Mark, usize)> {
    let all = [Verdict::Fail, Verdict::Error, Verdict::Miss, Verdict::Skip, Verdict::Pass];
    all.map(|verdict| (Mark(verdict), view.count(verdict))).into_iter().filter(|(_, n)| *n > 0).collect()
}

fn host(view: &View<'_>) -> Vec<(&'static str, Shown)> {
    let host = view.host;
    let accel = match host.accel.as_str() {
        "" => "not decided".to_owned(),
        accel => format!("{accel} ({})", host.accel_why),
    };
    let ccache = if host.ccache { ", with ccache" } else { "" };
    let mut facts = vec![
        ("QEMU", Shown::line(format!("{}, {}, accel {}", host.qemu, host.machine, host.accel))),
        ("compiler", Shown::line(format!("{}{ccache}", host.compiler.replace('\n', ", ")))),
        ("accelerator", Shown::line(accel)),
        ("host", Shown::line(format!("{}, {} processors, {} jobs", host.system, host.cpus, host.jobs))),
    ];
    facts.extend(view.built.iter().map(|line| ("built", Shown::line(line))));
    facts
}

fn matrix(view: &View<'_>) -> Vec<MatrixRow> {
    let abis = view.abis();
    let mut index = 0;
    let mut rows = Vec::new();
    for row in &view.rows {
        let mut places: Vec<Option<Place>> = abis.iter().map(|_| None).collect();
        for (abi, cell) in &row.cells {
            let place = Place {
                index,
                slug: Shown::line(&cell.slug),
                mark: Mark(cell.verdict),
                count: count(cell),
                known: !cell.known.is_empty(),
                tries: cell.tries(),
            };
            if let Some(at) = abis.iter().position(|other| other == abi) {
                places[at] = Some(place);
            }
            index += 1;
        }
        let (kernel, label) = (Shown::line(row.kernel.as_str()), Shown::line(&row.label));
        rows.push(MatrixRow { kernel, label, cells: places });
    }
    rows
}

fn diverging(view: &View<'_>) -> Vec<Diverging> {
    let mut found = Vec::new();
    for (at, row) in view.rows.iter().enumerate() {
        let mut cases: Vec<DivergingCase> = Vec::new();
        cases.extend(as_a_whole(row));
        let of_cases = row.divergences.iter().take(limits::PAGE_DIVERGENCES);
        cases.extend(of_cases.map(|case| diverging_case(row, case)));
        if cases.is_empty() {
            continue;
        }
        // One reason is often behind many cases in a row: it stands beside the first.
        for at in (1..cases.len()).rev() {
            if cases[at].note == cases[at - 1].note {
                cases[at].note = None;
            }
        }
        found.push(Diverging {
            row: at,
            name: Shown::line(format!("{} {}", row.kernel, row.label)),
            open: false,
            cases,
            more: row.divergences.len().saturating_sub(limits::PAGE_DIVERGENCES),
        });
    }
    let few = found.iter().map(|row: &Diverging| row.cases.len() + row.more).sum::<usize>() <= DIVERGING_OPEN;
    found.iter_mut().for_each(|row| row.open = few);
    found
}

fn diverging_case(row: &Row<'_>, found: &Divergence) -> DivergingCase {
    // What a pass says is of interest where all of them passed, with answers of their own.
    let passed = |said: &Option<(Verdict, Option<String>)>| matches!(said, Some((Verdict::Pass, _)));
    let all_passed = found.said.values().all(passed);
    let said = |said: &Option<(Verdict, Option<String>)>| match said {
        Some((verdict, message)) => {
            let message = message.as_deref().filter(|_| all_passed || *verdict != Verdict::Pass);
            let message = message.map(|message| Shown::lines(message.trim_end(), DIVERGING_LINES));
            (Some(Mark(*verdict)), message)
        }
        None => (None, None),
    };
    let said = found.said.iter().map(|(abi, what)| {
        let (mark, message) = said(what);
        (*abi, mark, message)
    });
    DivergingCase {
        case: Some(Shown::line(&found.case)),
        said: said.collect(),
        note: note(row, Some(&found.case)),
    }
}

/// Cells that ran and came to different ends, where no case says why.
fn as_a_whole(row: &Row<'_>) -> Option<DivergingCase> {
    let ran: Vec<&CellView<'_>> = row.cells.values().filter(|cell| cell.verdict != Verdict::Miss).collect();
    let differ = ran.iter().any(|cell| cell.verdict != ran[0].verdict);
    if !differ || (!row.divergences.is_empty() && ran.iter().all(|cell| !cell.cases.is_empty())) {
        return None;
    }
    let said = ran.iter().map(|cell| {
        let text = cell.cause.map(|cause| Shown::lines(&cause.text, DIVERGING_LINES));
        (cell.abi, Some(Mark(cell.verdict)), text)
    });
    Some(DivergingCase { case: None, said: said.collect(), note: note(row, None) })
}

fn note(row: &Row<'_>, case: Option<&str>) -> Option<(String, Shown)> {
    let note = row.explained.get(&case)?;
    Some((note.what.to_string(), Shown::line(&note.why)))
}

fn took(ms: u64) -> String {
    match ms / 1000 {
        0..60 => seconds(ms),
        s => format!("{} min {:02} s", s / 60, s % 60),
    }
}
