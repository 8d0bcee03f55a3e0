//! What decided a verdict, as lines that a shell can compare: the same from the evidence of a run as
//! `run.sh` makes them from its own guest's words and console.

use std::collections::BTreeSet;

use crate::judge::console::{Beginning, beginnings};
use crate::judge::watch::Evidence;
use crate::model::{Mode, Outcome, Plan, RunEnd};
use crate::process::quote;

/// The lines of a cell, each once, in the order in which they came.
pub(super) fn facts(plan: &Plan, seen: &Evidence, console: &[u8]) -> Vec<Vec<u8>> {
    let mut facts = Facts::default();
    of_words(&words(plan, seen), &mut facts);
    of_console(console, &mut facts);
    let machine: &[u8] = match (&seen.abort, &seen.exit) {
        (Some(_), _) => b"machine: ended, since it did not go off",
        (None, Some((_, true, _))) => b"machine: went off",
        (None, _) => b"machine: lost",
    };
    facts.add(machine.to_vec());
    facts.lines
}

#[derive(Default)]
struct Facts {
    lines: Vec<Vec<u8>>,
    known: BTreeSet<Vec<u8>>,
}

impl Facts {
    fn add(&mut self, line: Vec<u8>) {
        if self.known.insert(line.clone()) {
            self.lines.push(line);
        }
    }
}

/// What the agent would have written on its port for words: see `guest/PROTOCOL.md`.
pub(super) fn words(plan: &Plan, seen: &Evidence) -> Vec<u8> {
    let mut words = Vec::new();
    for (index, (run, evidence)) in plan.runs.iter().zip(&seen.runs).enumerate() {
        if !evidence.started {
            continue;
        }
        let mode = if run.mode == Mode::Traced { "traced" } else { "plain" };
        let program = run.args.first().map(String::as_str).unwrap_or_default();
        words.extend(format!("abimatrix start {index} {mode} {program}\n").bytes());
        words.extend(&evidence.stdout);
        if evidence.stdout.last().is_some_and(|byte| *byte != b'\n') {
            words.push(b'\n');
        }
        let Some(end) = &evidence.end else { continue };
        for entry in end.trace.iter().flat_map(|trace| &trace.entries) {
            let entered = if entry.count > 0 { "entered" } else { "not entered" };
            let (arch, nr) = (entry.door.arch, entry.door.nr);
            words.extend(format!("abimatrix entry {index} {arch:08x}:{nr} {entered}\n").bytes());
        }
        let (outcome, code) = outcome(end);
        let tainted = end.tainted_after;
        words.extend(format!("abimatrix end {index} {outcome} {code} tainted {tainted}\n").bytes());
    }
    if seen.bye.is_some() {
        words.extend(b"abimatrix bye\n");
    }
    words
}

fn outcome(end: &RunEnd) -> (&'static str, u16) {
    match end.outcome {
        Outcome::Exit { code } => ("exit", code.into()),
        Outcome::Signal { signal } => ("signal", signal.into()),
        Outcome::Timeout { signal } => ("timeout", signal.unwrap_or_default().into()),
        Outcome::NoExec { errno } => ("noexec", errno),
        Outcome::Stuck => ("stuck", 0),
        Outcome::Untraced { errno } => ("untraced", errno),
    }
}

/// Lines as a shell's `read` has them: it knows no NUL.
fn lines(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(|line| {
        let mut line: Vec<u8> = line.iter().copied().filter(|byte| *byte != 0).collect();
        line.pop_if(|last| *last == b'\r');
        line
    })
}

fn of_words(words: &[u8], facts: &mut Facts) {
    let mut run: Vec<u8> = Vec::new();
    for line in lines(words) {
        if let Some(ours) = line.strip_prefix(b"abimatrix ") {
            if let Some(rest) = ours.strip_prefix(b"start ") {
                run = rest.split(|byte| *byte == b' ').next().unwrap_or_default().to_vec();
            }
            facts.add(ours.to_vec());
            continue;
        }
        let blank = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let case = &line[blank..];
        if !case.starts_with(b"ok ") && !case.starts_with(b"not ok ") {
            continue;
        }
        let said = case.windows(3).position(|window| window == b" # ");
        let (case, said) = said.map_or((case, &b""[..]), |at| (&case[..at], &case[at + 3..]));
        let skipped = said.first_chunk::<4>().is_some_and(|word| word.eq_ignore_ascii_case(b"skip"));
        let skipped: &[u8] = if skipped { b" # SKIP" } else { b"" };
        facts.add([&run[..], b": ", case, skipped].concat());
    }
}

fn of_console(console: &[u8], facts: &mut Facts) {
    let beginnings = beginnings();
    for line in lines(console) {
        let Some(text) = message(&line) else { continue };
        let found = beginnings.iter().find(|beginning| begins(beginning, text));
        if let Some(beginning) = found.filter(|beginning| beginning.is_fault) {
            facts.add(fact(beginning).into_bytes());
        }
    }
}

/// What the kernel itself said in a line: `<4>[    1.234567] text`.
fn message(line: &[u8]) -> Option<&[u8]> {
    let [b'<', b'0'..=b'7', b'>', b'[', rest @ ..] = line else { return None };
    let at = rest.windows(2).position(|window| window == b"] ")?;
    rest.get(at + 2..)
}

fn begins(beginning: &Beginning, text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(beginning.text.as_bytes()) else { return false };
    let and = beginning.and.as_bytes();
    and.is_empty() || rest.windows(and.len()).any(|window| window == and)
}

fn fact(beginning: &Beginning) -> String {
    let Beginning { text, and, .. } = beginning;
    let dots = if and.is_empty() { "" } else { "…" };
    format!("kernel: {text}{dots}{and}")
}

/// The same as alternatives of a shell's `case`, the first that matches wins.
pub(super) fn splats() -> String {
    let mut text = String::new();
    for beginning in beginnings() {
        let Beginning { text: begin, and, is_fault } = &beginning;
        let (begin, and) = (literal(begin), literal(and));
        let pattern = if and.is_empty() { format!("{begin}*") } else { format!("{begin}*{and}*") };
        let then = if *is_fault { format!("add {}", quoted(&fact(&beginning))) } else { ":".to_owned() };
        text += &format!("        {pattern}) {then} ;;\n");
    }
    text.trim_end_matches('\n').to_owned()
}

/// A text that stands for itself in a pattern.
fn literal(text: &str) -> String {
    if text.is_empty() { String::new() } else { quoted(text) }
}

/// A word for a shell, always in quotes.
pub(super) fn quoted(text: &str) -> String {
    match quote(text) {
        plain if plain == text => format!("'{text}'"),
        quoted => quoted,
    }
}
