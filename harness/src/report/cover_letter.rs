//! A run as text for a cover letter, `[PATCH 0/n]`: what was tested, where, and what came of it.
//!
//! It goes into a mail as it is: plain ASCII, at most 72 columns, and no line begins with what git
//! or a reader of mail takes for something else (`---`, `diff`, `From`): guest's text is set in.

use std::fmt::Write;

use super::ascii::ascii;
use super::view::{CellView, Row, View};
use crate::judge::console::sanitize;
use crate::limits::{COVER_LETTER_SHOWN as SHOWN, MAIL_COLUMNS as COLUMNS};
use crate::model::{Abi, Verdict};

/// The column of a label that still leaves room for three verdicts.
const LABEL: usize = 32;

/// The whole text.
pub fn render(view: &View<'_>) -> String {
    let mut out = String::new();
    wrap(&what(view), "", "", &mut out);
    if let Some(why) = view.incomplete() {
        out.push('\n');
        wrap(&format!("{why}. What follows is not a whole result."), "", "", &mut out);
    }
    out.push('\n');
    matrix(view, &mut out);
    divergences(view, &mut out);
    not_passed(view, &mut out);
    known(view, &mut out);
    out.push_str("\nTested on:\n\n");
    for line in [&view.host.system, &view.host.qemu].into_iter().chain(&view.built) {
        wrap(line, "  ", "    ", &mut out);
    }
    let host = view.host;
    wrap(
        &format!("{}, accelerator {} ({})", host.machine, host.accel, host.accel_why),
        "  ",
        "    ",
        &mut out,
    );
    for line in host.compiler.lines() {
        wrap(line, "  ", "    ", &mut out);
    }
    wrap(&format!("abimatrix {}", view.tool), "  ", "    ", &mut out);
    out
}

/// What was tested, in a sentence.
fn what(view: &View<'_>) -> String {
    let mut kernels: Vec<&str> = view.rows.iter().map(|row| row.kernel.as_str()).collect();
    kernels.dedup();
    let abis = view.abis().into_iter().map(|abi| match abi {
        Abi::M64 => "64-bit (-m64)",
        Abi::M32 => "32-bit (-m32)",
        Abi::Mx32 => "x32 (-mx32)",
    });
    let abis: Vec<&str> = abis.collect();
    let what = match view.title {
        "kselftest" => "Programs of the kernel's selftests were".to_owned(),
        syscall => format!("{syscall}() was"),
    };
    format!(
        "{what} tested on {} by {} programs, each cell in a QEMU guest of its own. Of {} cells: {}.",
        kernels.join(", "),
        abis.join(", "),
        view.selected,
        view.counts()
    )
}

/// Rows; of a long matrix those that did not pass, and how many did.
fn matrix(view: &View<'_>, out: &mut String) {
    let passed = |row: &&Row<'_>| row.cells.values().all(|cell| cell.verdict == Verdict::Pass);
    let short = view.rows.len() <= SHOWN;
    let shown: Vec<&Row<'_>> = view.rows.iter().filter(|row| short || !passed(row)).collect();
    let labels: Vec<String> =
        shown.iter().take(SHOWN).map(|row| ascii(&format!("{} {}", row.kernel, row.label))).collect();
    let width = labels.iter().map(String::len).filter(|len| *len <= LABEL).max().unwrap_or(0);
    let abis = view.abis();
    let line = |label: &str, said: Vec<String>, out: &mut String| {
        // A label that is too long has a line of its own.
        let label = match label.len() > width {
            true => {
                wrap(label, "  ", "    ", out);
                ""
            }
            false => label,
        };
        let mut text = format!("  {label:width$}");
        said.iter().for_each(|said| text += &format!("  {said:11}"));
        let _ = writeln!(out, "{}", text.trim_end());
    };
    line("", abis.iter().map(|abi| abi.flag().to_owned()).collect(), out);
    for (row, label) in shown.iter().zip(&labels) {
        let said = abis.iter().map(|abi| row.cells.get(abi).map_or("not run".to_owned(), said));
        line(label, said.collect(), out);
    }
    if shown.len() > SHOWN {
        let _ = writeln!(out, "  and {} more rows with a cell that did not pass", shown.len() - SHOWN);
    }
    if !short {
        let _ = writeln!(out, "  All cells of {} more rows passed.", view.rows.len() - shown.len());
    }
}

/// At most eleven columns: `pass 999/999` would have twelve, and has no need of the total.
fn said(cell: &CellView<'_>) -> String {
    let (passed, total) = cell.passed();
    let text = match total {
        0 => cell.verdict.to_string(),
        _ => format!("{} {passed}/{total}", cell.verdict),
    };
    if text.len() > 11 { cell.verdict.to_string() } else { text }
}

fn divergences(view: &View<'_>, out: &mut String) {
    let all = view.rows.iter().flat_map(|row| row.divergences.iter().map(move |found| (row, found)));
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nThe ABIs disagree on {}:\n", cases(all.len()));
    for (row, found) in all.iter().take(SHOWN) {
        wrap(&format!("{} {}: {}", row.kernel, row.label, sanitize(&found.case)), "  ", "    ", out);
        for (abi, said) in &found.said {
            let text = match said {
                Some((verdict, Some(message))) => format!("{verdict}: {}", one_line(message)),
                Some((verdict, None)) => verdict.to_string(),
                None => "did not report it".to_owned(),
            };
            wrap(&format!("{:6} {text}", abi.flag()), "    ", "           ", out);
        }
    }
    rest(all.len(), out);
}

fn not_passed(view: &View<'_>, out: &mut String) {
    let all: Vec<&CellView<'_>> = view.cells().filter(|cell| cell.verdict != Verdict::Pass).collect();
    if all.is_empty() {
        return;
    }
    out.push_str("\nNot passed:\n\n");
    for cell in all.iter().take(SHOWN) {
        let cause = cell.cause.map_or("no cause".to_owned(), |cause| one_line(&cause.text));
        wrap(&format!("{}: {}: {cause}", cell.name, cell.verdict), "  ", "    ", out);
        for cause in cell.also {
            wrap(&format!("also: {}", one_line(&cause.text)), "    ", "      ", out);
        }
    }
    rest(all.len(), out);
}

fn known(view: &View<'_>, out: &mut String) {
    let met = view.cells().flat_map(|cell| cell.known.iter().map(move |issue| (cell, issue)));
    let met: Vec<_> = met.collect();
    if met.is_empty() {
        return;
    }
    out.push_str("\nKnown issues that were met, and are not counted:\n\n");
    for (cell, issue) in met.iter().take(SHOWN) {
        wrap(&format!("{}: {}", cell.name, one_line(&issue.to_string())), "  ", "    ", out);
    }
    rest(met.len(), out);
}

fn rest(all: usize, out: &mut String) {
    if all > SHOWN {
        let _ = writeln!(out, "  and {} more", all - SHOWN);
    }
}

fn cases(n: usize) -> String {
    match n {
        1 => "1 case".to_owned(),
        n => format!("{n} cases"),
    }
}

/// What a guest said, in a line; a mail has no room for more than a few of them.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("; ");
    let mut short: String = text.chars().take(300).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    sanitize(short)
}

/// Breaks between words, and within one that is longer than a line.
fn wrap(text: &str, first: &str, further: &str, out: &mut String) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in ascii(text).split(' ') {
        let mut word = word;
        if !is_empty && line.len() + 1 + word.len() > COLUMNS {
            let _ = writeln!(out, "{}", line.trim_end());
            (line, is_empty) = (further.to_owned(), true);
        }
        if !is_empty {
            line.push(' ');
        }
        while line.len() + word.len() > COLUMNS {
            let (begin, end) = word.split_at(COLUMNS - line.len());
            let _ = writeln!(out, "{line}{begin}");
            (line, word) = (further.to_owned(), end);
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

#[cfg(test)]
mod tests;
