//! A run as a file that can be committed: text, a line for each thing that may change, sorted, the same for
//! equal results. No times, no folders, no messages.
//!
//! ```text
//! # abimatrix baseline …
//! version 1
//! of test-syscall xyzzy
//! tool qemu: QEMU emulator version 7.2.22
//! built linux-6.12 patches: 0001-xyzzy.patch
//! config linux-6.12 patched: 0123456789abcdef
//! row linux-6.12 patched
//!   cell m64 pass 2 of 2
//!   cell m32 fail 1 of 2
//!     cause case-failed
//!     fail big values
//!   case basic
//!   case big values
//! ```
//!
//! The cases that passed are named, once for all ABIs of a row: a count or a hash of them would notice that
//! one vanished and could not say which, and a diff of the file would be a diff of hashes. What
//! a cell lacks of its row is `absent` below it. A configuration is its digest alone: its thousand lines
//! are the run's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use super::Id;
use super::facts::Config;
use super::side::{Case, Cell, Side};
use crate::limits;
use crate::model::{Abi, Verdict};
use crate::report::record::State;

/// The version of this format.
const VERSION: &str = "1";
/// How such a file begins.
const HEAD: &str = "# abimatrix baseline";
const HEADER: &str = "# abimatrix baseline, made by `cargo xtask baseline RUN FILE`; runs are held against it by --baseline FILE.\n";

/// A file that is no baseline, or a part of one.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {what}")]
#[expect(missing_docs, reason = "the message says what the fields mean")]
pub struct BaselineError {
    pub file: String,
    pub line: usize,
    pub what: String,
}

impl BaselineError {
    pub(super) fn too_large(file: &Path) -> BaselineError {
        let what = format!("more than {} bytes are no baseline", limits::BASELINE_BYTES);
        BaselineError { file: file.display().to_string(), line: 1, what }
    }
}

/// A run that did not come to its end and would excuse what it did not see.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name} did not come to its end ({judged} of {selected} cells are judged): a baseline is made of a whole run"
)]
#[expect(missing_docs, reason = "the message says what the fields mean")]
pub struct NotWhole {
    pub name: String,
    pub judged: usize,
    pub selected: usize,
}

impl Side {
    /// The file's text.
    pub fn baseline(&self) -> Result<String, NotWhole> {
        if self.state != State::Complete {
            let (name, judged) = (self.name.clone(), self.cells.len());
            return Err(NotWhole { name, judged, selected: self.selected });
        }
        let mut out = format!("{HEADER}version {VERSION}\nof {}\n", self.of);
        for (word, facts) in [("tool", &self.tools), ("built", &self.built)] {
            for (name, value) in facts {
                let _ = writeln!(out, "{word} {name}: {}", escape(value));
            }
        }
        for (kernel, config) in &self.configs {
            let _ = writeln!(out, "config {kernel}: {}", config.digest);
        }
        let rows: BTreeSet<&String> = self.cells.keys().map(|id| &id.row).collect();
        for row in rows {
            let _ = writeln!(out, "row {row}");
            let cells = || self.cells.iter().filter(|(id, _)| id.row == *row);
            let names: BTreeSet<&String> = cells().flat_map(|(_, cell)| cell.cases.keys()).collect();
            for (id, cell) in cells() {
                write_cell(id.abi, cell, &names, &mut out);
            }
            for name in names {
                let _ = writeln!(out, "  case {}", escape(name));
            }
        }
        Ok(out)
    }
}

fn write_cell(abi: Abi, cell: &Cell, names: &BTreeSet<&String>, out: &mut String) {
    let flaky = if cell.flaky { ", flaky" } else { "" };
    let (passed, total) = (cell.passed(), cell.cases.len());
    let _ = writeln!(out, "  cell {abi} {} {passed} of {total}{flaky}", cell.verdict);
    // The one that decided first.
    let others = cell.causes.keys().filter(|key| **key != cell.first);
    for key in cell.causes.contains_key(&cell.first).then_some(&cell.first).into_iter().chain(others) {
        let _ = writeln!(out, "    cause {}", escape(key));
    }
    for (name, case) in cell.cases.iter().filter(|(_, case)| case.verdict != Verdict::Pass) {
        let word = if case.known { "known" } else { case.verdict.name() };
        let _ = writeln!(out, "    {word} {}", escape(name));
    }
    if !cell.cases.is_empty() {
        for name in names.iter().filter(|name| !cell.cases.contains_key(**name)) {
            let _ = writeln!(out, "    absent {}", escape(name));
        }
    }
}

/// A text as one line that nothing trims or takes for a control sequence.
fn escape(text: &str) -> String {
    if text.is_empty() {
        return "\\-".to_owned();
    }
    let last = text.chars().count() - 1;
    let mut out = String::new();
    for (place, c) in text.chars().enumerate() {
        match c {
            '"' | '\'' => out.push(c),
            ' ' if place == 0 || place == last => out.push_str("\\u{20}"),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let bad = || format!("`\\{}` means nothing", after.chars().next().unwrap_or(' '));
        let mut chars = after.chars();
        rest = match chars.next() {
            Some('-') => chars.as_str(),
            Some(c @ ('n' | 't' | 'r' | '0' | '\\')) => {
                out.push(match c {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '0' => '\0',
                    c => c,
                });
                chars.as_str()
            }
            Some('u') => {
                let (code, rest) =
                    after[1..].strip_prefix('{').and_then(|code| code.split_once('}')).ok_or_else(bad)?;
                let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(bad)?);
                rest
            }
            _ => return Err(bad()),
        };
    }
    Ok(out + rest)
}

/// Whether a file means to be a baseline.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    [HEAD, "version "].iter().any(|head| bytes.starts_with(head.as_bytes()))
}

/// Reads a baseline, strictly.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Side, BaselineError> {
    let mut reader = Reader {
        side: Side {
            name: name.to_owned(),
            of: String::new(),
            state: State::Complete,
            selected: 0,
            cells: BTreeMap::new(),
            tools: BTreeMap::new(),
            built: BTreeMap::new(),
            configs: BTreeMap::new(),
        },
        versioned: false,
        row: None,
    };
    let at = |line, what| BaselineError { file: name.to_owned(), line, what };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        at(line, "this is no UTF-8".to_owned())
    })?;
    let mut last = 1;
    for (line, number) in text.lines().zip(1..) {
        last = number;
        if !line.is_empty() && !line.starts_with('#') {
            reader.line(line, number).map_err(|what| at(number, what))?;
        }
    }
    reader.end_row().map_err(|(line, what)| at(line, what))?;
    if reader.side.of.is_empty() {
        return Err(at(last, "it ends before it says of what it is (`of test-syscall xyzzy`)".to_owned()));
    }
    if reader.side.cells.is_empty() {
        return Err(at(last, "it ends without a cell".to_owned()));
    }
    reader.side.selected = reader.side.cells.len();
    Ok(reader.side)
}

/// A row that is being read.
struct Row {
    name: String,
    cells: Vec<ReadCell>,
    cases: BTreeSet<String>,
}

struct ReadCell {
    line: usize,
    abi: Abi,
    verdict: Verdict,
    counts: (usize, usize),
    flaky: bool,
    causes: Vec<String>,
    /// Those that did not pass, with their lines; nothing for one that is absent.
    cases: BTreeMap<String, (usize, Option<Case>)>,
}

struct Reader {
    side: Side,
    versioned: bool,
    row: Option<Row>,
}

impl Reader {
    fn line(&mut self, line: &str, number: usize) -> Result<(), String> {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        let (word, rest) =
            text.split_once(' ').ok_or_else(|| format!("`{}` means nothing here", short(text)))?;
        if rest.is_empty() || rest.trim() != rest {
            return Err(format!("`{word}` is followed by one blank and its value"));
        }
        if !self.versioned && word != "version" {
            return Err("a baseline begins with its version".to_owned());
        }
        match (indent, word) {
            (0, "version") if rest == VERSION && !self.versioned => self.versioned = true,
            (0, "version") => {
                return Err(format!("it is of version {}; this tool reads {VERSION}", short(rest)));
            }
            (0, "of") if self.side.of.is_empty() => self.side.of = rest.to_owned(),
            (0, "tool") => fact(&mut self.side.tools, rest)?,
            (0, "built") => fact(&mut self.side.built, rest)?,
            (0, "config") => {
                let (kernel, digest) =
                    rest.split_once(": ").ok_or("`config` has a name, `: ` and a digest")?;
                let config = Config { digest: digest.to_owned(), options: None };
                twice(self.side.configs.insert(kernel.to_owned(), config).is_some(), kernel)?;
            }
            (0, "row") => {
                self.end_row().map_err(|(line, what)| format!("the row before, line {line}: {what}"))?;
                let again = self.side.cells.keys().any(|id| id.row == rest);
                twice(again, rest)?;
                self.row = Some(Row { name: rest.to_owned(), cells: Vec::new(), cases: BTreeSet::new() });
            }
            (2, "cell") => {
                let row = self.row.as_mut().ok_or("`cell` stands below a row")?;
                let cell = ReadCell::parse(rest, number)?;
                twice(row.cells.iter().any(|other| other.abi == cell.abi), cell.abi.name())?;
                row.cells.push(cell);
            }
            (2, "case") => {
                let row = self.row.as_mut().ok_or("`case` stands below a row")?;
                twice(!row.cases.insert(unescape(rest)?), rest)?;
            }
            (4, word) => {
                let cell = self.row.as_mut().and_then(|row| row.cells.last_mut());
                let cell = cell.ok_or_else(|| format!("`{}` stands below a cell", short(word)))?;
                cell.more(word, unescape(rest)?, number)?;
            }
            _ => return Err(format!("`{}` means nothing here", short(text))),
        }
        Ok(())
    }

    /// Puts a row's cells together, once all its cases are known.
    fn end_row(&mut self) -> Result<(), (usize, String)> {
        let Some(row) = self.row.take() else { return Ok(()) };
        for cell in row.cells {
            let (line, abi) = (cell.line, cell.abi);
            let cell = cell.whole(&row.cases)?;
            let id = Id { row: row.name.clone(), abi };
            if self.side.cells.insert(id, cell).is_some() {
                return Err((line, format!("{abi} stands here twice")));
            }
        }
        Ok(())
    }
}

impl ReadCell {
    fn parse(text: &str, line: usize) -> Result<ReadCell, String> {
        let shape = || format!("`{}` is not as `m64 pass 19 of 19`", short(text));
        let (text, flaky) = match text.strip_suffix(", flaky") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let [abi, verdict, passed, "of", total] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Err(shape());
        };
        let verdict = verdict_of(verdict).ok_or_else(|| format!("`{}` is no verdict", short(verdict)))?;
        let count = |text: &str| text.parse::<usize>().map_err(|_| shape());
        Ok(ReadCell {
            line,
            abi: abi.parse()?,
            verdict,
            counts: (count(passed)?, count(total)?),
            flaky,
            causes: Vec::new(),
            cases: BTreeMap::new(),
        })
    }

    fn more(&mut self, word: &str, name: String, line: usize) -> Result<(), String> {
        let case = |verdict, known| Some(Case { verdict, known, message: String::new() });
        let case = match word {
            "cause" => {
                twice(self.causes.contains(&name), &name)?;
                self.causes.push(name);
                return Ok(());
            }
            "absent" => None,
            "known" => case(Verdict::Fail, true),
            word => match verdict_of(word).filter(|verdict| *verdict != Verdict::Pass) {
                Some(verdict) => case(verdict, false),
                None => return Err(format!("`{}` means nothing here", short(word))),
            },
        };
        twice(self.cases.contains_key(&name), &name)?;
        self.cases.insert(name, (line, case));
        Ok(())
    }

    fn whole(mut self, names: &BTreeSet<String>) -> Result<Cell, (usize, String)> {
        if let Some((name, (line, _))) = self.cases.iter().find(|(name, _)| !names.contains(*name)) {
            return Err((*line, format!("its row has no case `{}`", short(name))));
        }
        let mut cases = BTreeMap::new();
        for name in names.iter().filter(|_| self.counts.1 > 0) {
            let pass = Case { verdict: Verdict::Pass, known: false, message: String::new() };
            let case = self.cases.remove(name).map_or(Some(pass), |(_, case)| case);
            cases.extend(case.map(|case| (name.clone(), case)));
        }
        if (self.verdict == Verdict::Pass) != self.causes.is_empty() {
            return Err((self.line, "a cell has causes exactly if it is no pass".to_owned()));
        }
        let cell = Cell {
            verdict: self.verdict,
            first: self.causes.first().cloned().unwrap_or_default(),
            causes: self.causes.iter().map(|key| (key.clone(), key.clone())).collect(),
            flaky: self.flaky,
            cases,
            not_applicable: BTreeMap::new(),
        };
        let found = (cell.passed(), cell.cases.len());
        if found != self.counts {
            let ((passed, total), (said, of)) = (found, self.counts);
            let what = format!("it says {said} of {of}, and below are {passed} of {total}");
            return Err((self.line, what));
        }
        Ok(cell)
    }
}

fn verdict_of(word: &str) -> Option<Verdict> {
    let all = [Verdict::Pass, Verdict::Fail, Verdict::Skip, Verdict::Miss, Verdict::Error];
    all.into_iter().find(|verdict| verdict.name() == word)
}

fn fact(facts: &mut BTreeMap<String, String>, text: &str) -> Result<(), String> {
    let (name, value) = text.split_once(": ").ok_or("a name, `: ` and a value are expected")?;
    twice(facts.insert(name.to_owned(), unescape(value)?).is_some(), name)
}

fn twice(is: bool, name: &str) -> Result<(), String> {
    if is { Err(format!("`{}` stands here twice", short(name))) } else { Ok(()) }
}

/// As much of a text as a message may have.
fn short(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_debug().to_string()
}
