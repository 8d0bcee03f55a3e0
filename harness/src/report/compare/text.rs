//! A comparison for people: what is worse, what is better, what else is not as it was.

use std::fmt::Write;

use super::facts::Fact;
use super::{Change, Comparison};
use crate::judge::console::sanitize;
use crate::model::Verdict;
use crate::report::text::{Paint, short};

/// Lines shown of one list; the rest is counted, and is in the JSON.
const SHOWN: usize = 40;
/// Characters of two values that stand side by side.
const LONG: usize = 160;

/// The whole comparison. Text that came from a guest is escaped.
pub fn render(found: &Comparison, paint: Paint) -> String {
    let mut out = String::new();
    let (base, new) = found.cells;
    let _ = writeln!(
        out,
        "{}: {} ({new} cells) against {} ({base} cells)",
        found.of,
        sanitize(&found.new),
        sanitize(&found.base)
    );
    for note in &found.notes {
        let _ = writeln!(out, "note: {}", sanitize(note));
    }
    for of_one in found.changes.chunk_by(|a, b| a.what == b.what) {
        list(of_one, paint, &mut out);
    }
    facts("options that differ", &found.options, &mut out);
    facts("tools that differ", &found.tools, &mut out);
    let _ = writeln!(out, "\n{}", verdict(found, paint));
    out
}

fn list(changes: &[Change], paint: Paint, out: &mut String) {
    let worse = changes.iter().filter(|change| change.regression).count();
    let worse = if worse > 0 { " (a regression)" } else { "" };
    let _ = writeln!(out, "\n{}{worse}:", changes[0].what.title());
    let mut cell = None;
    for change in changes.iter().take(SHOWN) {
        if change.cell.is_empty() {
            let _ = writeln!(out, "  {}", sanitize(&change.why));
            continue;
        }
        let said = |verdict: Option<Verdict>| {
            verdict.map_or_else(|| "not there".to_owned(), |verdict| paint.wrap(verdict, verdict.name()))
        };
        let why = if change.why.is_empty() { String::new() } else { format!(": {}", short(&change.why)) };
        let was_is = format!("{} -> {}", said(change.was), said(change.is));
        match &change.case {
            None => {
                let _ = writeln!(out, "  {}: {was_is}{why}", change.cell);
            }
            Some(case) => {
                if cell != Some(&change.cell) {
                    let _ = writeln!(out, "  {}", change.cell);
                }
                let _ = writeln!(out, "    {}: {was_is}{why}", sanitize(case));
            }
        }
        cell = Some(&change.cell);
    }
    if changes.len() > SHOWN {
        let _ = writeln!(out, "  and {} more", changes.len() - SHOWN);
    }
}

fn facts(title: &str, facts: &[Fact], out: &mut String) {
    if facts.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for fact in facts.iter().take(SHOWN) {
        let _ = writeln!(out, "  {}: {}", sanitize(&fact.name), in_words(fact));
    }
    if facts.len() > SHOWN {
        let _ = writeln!(out, "  and {} more", facts.len() - SHOWN);
    }
}

/// Both values; of long ones, such as a list of patches, what went and what came.
fn in_words(fact: &Fact) -> String {
    let [was, is] = [&fact.was, &fact.is].map(|value| value.as_deref().unwrap_or("not there"));
    if was.len() + is.len() <= LONG {
        return format!("{} -> {}", sanitize(was), sanitize(is));
    }
    let [before, now] = [was, is].map(|value| value.split_whitespace().collect::<Vec<_>>());
    let went = before.iter().filter(|word| !now.contains(word)).map(|word| format!("-{word}"));
    let came = now.iter().filter(|word| !before.contains(word)).map(|word| format!("+{word}"));
    let words: Vec<String> = went.chain(came).collect();
    if words.is_empty() { "the same in another order".to_owned() } else { sanitize(words.join(" ")) }
}

/// `worse: 1 cell, 2 cases; 5 cells are as they were`
fn verdict(found: &Comparison, paint: Paint) -> String {
    let worse: Vec<&Change> = found.changes.iter().filter(|change| change.regression).collect();
    let same = format!("{} cells are as they were", found.same);
    if worse.is_empty() {
        return format!("{}; {same}", paint.wrap(Verdict::Pass, "nothing is worse"));
    }
    let cases = worse.iter().filter(|change| change.case.is_some()).count();
    let counts = [(worse.len() - cases, "cells"), (cases, "cases")];
    let counts = counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    format!("{}: {counts}; {same}", paint.wrap(Verdict::Fail, "worse"))
}
