//! A run as KTAP version 1, nested: a row, in it the ABIs, in them the cases.
//!
//! It is for the kernel's own tools. `kunit.py parse` wants a plan at each level, takes a line with
//! a `#` in its name for no result, and stops reading at some words of a console, wherever they
//! stand: so names and diagnostics are spelled in a way that no reader of KTAP takes for something
//! else. What counts as what is [`outcome`]'s.

use std::fmt::Write;

use super::ascii::ascii;
use super::outcome::{self, Class, Outcome};
use super::view::{Row, View};
use crate::judge::console::sanitize;

/// Characters of a name: twice the longest that a person wrote, and a fraction of a line that
/// readers accept.
const NAME_CHARS: usize = 500;

/// The whole file.
pub fn render(view: &View<'_>) -> String {
    let of_run = outcome::of_run(view);
    let mut out = String::from("KTAP version 1\n");
    diagnostic(&format!("abimatrix {}: {}: {}", view.tool, view.title, view.counts()), "", &mut out);
    diagnostic(&format!("{}, accel {}", view.host.qemu, view.host.accel), "", &mut out);
    for line in &view.built {
        diagnostic(line, "", &mut out);
    }
    let _ = writeln!(out, "1..{}", of_run.len() + view.rows.len());
    let mut number = 0;
    for outcome in &of_run {
        number += 1;
        result(number, outcome, "", &mut out);
    }
    for row in &view.rows {
        number += 1;
        of_row(number, row, &mut out);
    }
    out
}

fn of_row(number: usize, row: &Row<'_>, out: &mut String) {
    let name = format!("{} {}", row.kernel, row.label);
    begin(&name, row.cells.len(), "  ", out);
    let mut worst = Vec::new();
    for (n, cell) in row.cells.values().enumerate() {
        let outcomes = outcome::of_cell(cell);
        begin(&cell.name, outcomes.len(), "    ", out);
        for (n, outcome) in outcomes.iter().enumerate() {
            result(n + 1, outcome, "    ", out);
        }
        for line in cell.tail {
            diagnostic(line, "  ", out);
        }
        let class = whole(outcomes.iter().map(|outcome| outcome.class));
        end(n + 1, &cell.name, class, "  ", out);
        worst.push(class);
    }
    end(number, &name, whole(worst.into_iter()), "", out);
}

fn begin(name: &str, planned: usize, margin: &str, out: &mut String) {
    let _ = writeln!(out, "{margin}KTAP version 1\n{margin}# Subtest: {}\n{margin}1..{planned}", spell(name));
}

/// What holds others: bad if any of them is, skipped if all are.
fn whole(parts: impl Iterator<Item = Class>) -> Class {
    let mut parts: Vec<Class> = parts.collect();
    parts.sort();
    match parts.last() {
        Some(Class::Skip) if parts.first() == Some(&Class::Pass) => Class::Pass,
        Some(worst) => *worst,
        None => Class::Error,
    }
}

fn end(number: usize, name: &str, class: Class, margin: &str, out: &mut String) {
    let (word, directive) = match class {
        Class::Pass => ("ok", ""),
        Class::Skip => ("ok", " # SKIP nothing in it could tell"),
        Class::Fail | Class::Error => ("not ok", ""),
    };
    let _ = writeln!(out, "{margin}{word} {number} {}{directive}", spell(name));
}

fn result(number: usize, outcome: &Outcome, margin: &str, out: &mut String) {
    let name = spell(&outcome.name);
    let mut why = outcome.why.lines().filter(|line| !line.trim().is_empty());
    let (word, directive) = match outcome.class {
        Class::Pass => ("ok", String::new()),
        Class::Skip => ("ok", format!(" # SKIP {}", spell(why.next().unwrap_or("no reason was given")))),
        Class::Fail => ("not ok", String::new()),
        Class::Error => ("not ok", format!(" # ERROR {}", spell(&outcome.kind))),
    };
    // Of a pass nobody asks why.
    for line in why.filter(|_| outcome.class != Class::Pass) {
        diagnostic(line, margin, out);
    }
    let _ = writeln!(out, "{margin}{word} {number} {name}{directive}");
}

/// The bar keeps a line that reads `ok 1 …` or `Subtest: …` from being one.
fn diagnostic(line: &str, margin: &str, out: &mut String) {
    let _ = writeln!(out, "{margin}# | {}", spell(line));
}

/// A name or a word of a reason, so that it is nothing but that.
fn spell(text: &str) -> String {
    let text = ascii(&sanitize(text)).replace('#', "\\x23");
    // What kunit.py ends at, and what a console's log has before each line.
    let mut text = ["List of all partitions", "Kernel panic - not syncing: VFS", "reboot: System halted"]
        .into_iter()
        .fold(text, |text, words| text.replace(words, &words.replacen(' ', "\\x20", 1)));
    for digit in " 0123456789".chars() {
        text = text.replace(&format!("[{digit}"), &format!("\\x5b{digit}"));
    }
    let text = text.trim();
    match text.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}...", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
