//! A run of `test-syscall` as Markdown, for the step summary of a CI system: the matrix, where the
//! ABIs disagree, and below it what did not pass, each behind a line that opens.
//!
//! A kselftest run has a [page of its own](super::kselftest::markdown).

use std::fmt::Write;

use super::record::CauseRecord;
use super::view::{CellView, Row, View};
use crate::judge::console::sanitize;
use crate::limits;
use crate::model::Verdict;

/// Lines of one list; the rest is counted and is in `run.json`.
const SHOWN: usize = 40;
/// What the words at the end take when something had to be left out.
const MARGIN: usize = 4096;

/// The whole text, at most [`limits::MARKDOWN_BYTES`] long.
pub fn render(view: &View<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "## {}: {}\n", escape(view.title), escape(&view.counts()));
    if let Some(why) = view.incomplete() {
        let _ = writeln!(out, "**{}**\n", escape(&why));
    }
    matrix(view, &mut out);
    let mut parts: Vec<String> = view.rows.iter().filter_map(divergences).collect();
    let not_passed = view.cells().filter(|cell| cell.verdict != Verdict::Pass);
    parts.extend(not_passed.map(|cell| not_passed_of(view, cell)));
    parts.extend(known(view));
    parts.push(host(view));
    parts.extend(view.notes.iter().map(|note| format!("\nNote: {}\n", escape(note))));
    let all = parts.len();
    for (n, part) in parts.into_iter().enumerate() {
        if out.len() + part.len() > limits::MARKDOWN_BYTES - MARGIN {
            let _ = writeln!(
                out,
                "\n**Cut: {} more sections would be too long for a page like this; `run.json` has them.**",
                all - n
            );
            break;
        }
        out.push_str(&part);
    }
    let _ = writeln!(out, "\nabimatrix {}; logs and `run.json`: {}", escape(view.tool), escape(view.folder));
    out
}

/// A text cut after a line, so that it and the words that say so are within the limit.
pub(super) fn bounded(mut text: String) -> String {
    let max = limits::MARKDOWN_BYTES - MARGIN;
    if text.len() > max {
        let end = text.as_bytes()[..max].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let left_out = text.len() - end;
        text.truncate(end);
        let _ = writeln!(
            text,
            "\n**Cut: {left_out} more bytes would be too long for a page like this; `run.json` has all.**"
        );
    }
    text
}

fn matrix(view: &View<'_>, out: &mut String) {
    let abis = view.abis();
    let flags: Vec<&str> = abis.iter().map(|abi| abi.flag()).collect();
    let _ = writeln!(out, "| kernel | leg | {} |", flags.join(" | "));
    let _ = writeln!(out, "| --- | --- |{}", " --- |".repeat(abis.len()));
    for row in &view.rows {
        let said = abis.iter().map(|abi| row.cells.get(abi).map_or("not run".to_owned(), cell_text));
        let said: Vec<String> = said.collect();
        let _ = writeln!(out, "| {} | {} | {} |", row.kernel, escape(&row.label), said.join(" | "));
    }
}

/// A pass is what most cells are: the others stand out.
fn cell_text(cell: &CellView<'_>) -> String {
    let (passed, total) = cell.passed();
    let count = if total > 0 { format!(" {passed}/{total}") } else { String::new() };
    let known = if cell.known.is_empty() { "" } else { " (known issues)" };
    let tries = cell.tries().map(|tries| format!(" ({tries})")).unwrap_or_default();
    match cell.verdict {
        Verdict::Pass => format!("pass{count}{known}{tries}"),
        verdict => format!("**{verdict}**{count}{known}{tries}"),
    }
}

fn divergences(row: &Row<'_>) -> Option<String> {
    let found = &row.divergences;
    let first = found.first()?;
    let mut out = format!("\n### {} {}: the ABIs disagree\n\n", row.kernel, escape(&row.label));
    let flags: Vec<&str> = first.said.keys().map(|abi| abi.flag()).collect();
    let _ = writeln!(out, "| case | {} |", flags.join(" | "));
    let _ = writeln!(out, "| --- |{}", " --- |".repeat(flags.len()));
    for divergence in found.iter().take(SHOWN) {
        let _ = write!(out, "| {} |", escape(&divergence.case));
        for abi in first.said.keys() {
            let _ = match divergence.said.get(abi) {
                Some(Some((verdict, Some(message)))) => write!(out, " {verdict}: {} |", escape(message)),
                Some(Some((verdict, None))) => write!(out, " {verdict} |"),
                Some(None) => write!(out, " not reported |"),
                None => write!(out, " n/a |"),
            };
        }
        out.push('\n');
    }
    rest(found.len(), &mut out);
    Some(out)
}

fn rest(all: usize, out: &mut String) {
    if all > SHOWN {
        let _ = writeln!(out, "\nand {} more", all - SHOWN);
    }
}

fn not_passed_of(view: &View<'_>, cell: &CellView<'_>) -> String {
    let none = "no cause";
    let first = cell.cause.map_or(none, |cause| cause.text.lines().next().unwrap_or(none));
    let mut out = format!(
        "\n<details><summary><b>{}: {}</b>: {}</summary>\n\n",
        html(&cell.name),
        cell.verdict,
        html(&sanitize(first))
    );
    let text = |cause: &CauseRecord| escape(&cause.text);
    let _ = writeln!(out, "{}\n", cell.cause.map_or(none.to_owned(), text));
    for cause in cell.also.iter().take(SHOWN) {
        let _ = writeln!(out, "- also: {}", text(cause));
    }
    rest(cell.also.len(), &mut out);
    let bad: Vec<_> = cell.cases.iter().filter(|case| case.verdict != Verdict::Pass).collect();
    for case in bad.iter().take(SHOWN) {
        let message = case.message.as_deref().map(|message| format!(": {}", escape(message)));
        let _ = writeln!(out, "- {} {}{}", case.verdict, escape(&case.name), message.unwrap_or_default());
    }
    rest(bad.len(), &mut out);
    if !cell.tail.is_empty() {
        let lines: Vec<String> = cell.tail.iter().map(|line| html(&sanitize(line))).collect();
        let _ = writeln!(out, "\n<pre>{}</pre>", lines.join("\n"));
    }
    if !cell.logs.is_empty() {
        let _ = writeln!(out, "\nlogs: {}", escape(&format!("{}/{}", view.folder, cell.logs)));
    }
    if let Some(again) = &cell.again {
        let _ = writeln!(out, "\n<pre>{}</pre>", html(&sanitize(again)));
    }
    out.push_str("\n</details>\n");
    out
}

fn known(view: &View<'_>) -> Option<String> {
    let met: Vec<String> = view
        .cells()
        .flat_map(|cell| cell.known.iter().map(move |issue| (cell, issue)))
        .map(|(cell, issue)| format!("- {}: {}\n", escape(&cell.name), escape(&issue.to_string())))
        .collect();
    if met.is_empty() {
        return None;
    }
    let mut out = String::from("\n### Known issues that were met, and are not held against the cell\n\n");
    out.extend(met.iter().take(SHOWN).cloned());
    rest(met.len(), &mut out);
    Some(out)
}

fn host(view: &View<'_>) -> String {
    let host = view.host;
    let mut out = format!(
        "\n{}, {}, accel {} ({}).\n{}.\n",
        escape(&host.qemu),
        escape(&host.machine),
        escape(&host.accel),
        escape(&host.accel_why),
        escape(&host.compiler)
    );
    for line in &view.built {
        let _ = writeln!(out, "\n{}.", escape(line));
    }
    out
}

/// A text in one line in which no character means anything: not to Markdown, not to a table, and
/// no HTML.
pub(super) fn escape(text: &str) -> String {
    let line: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut out = String::new();
    for c in sanitize(line.join("; ")).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' | '$' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// The same between HTML's tags, where Markdown is none.
fn html(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
