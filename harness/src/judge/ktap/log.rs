//! A whole log, whoever wrote it: several reports, what consoles put before them, kernel lines
//! between them.
//!
//! A cell's program keeps to the letter, and [`super::parse`] holds it to that. A log of a stranger
//! is read by what the formats allow. Beyond a cell, and each [listed](super::Problem):
//!
//! - A missing plan is accepted (KTAP), unless the kernel died after the report began.
//! - Missing numbers are accepted (TAP). Results that have neither number nor plan nor version line
//!   are no report: consoles say "ok" to many things. Beside a report that has a plan or a version
//!   line, those that have neither can only harm.
//! - A version line at the outermost level begins another report. Each has to be right by itself:
//!   the output of two programs that is mixed leaves both with a plan that is not met.
//!
//! Also different from a cell:
//!
//! - What stands before a line is taken off (`prefix`). The kernel's lines and everybody else's are
//!   two streams that are read apart, so that a kernel message between two results of a program,
//!   whatever it says, is neither a result of that program nor lost.
//! - A program's line that the kernel's broke in two is put together again: `not ` and `ok 1 x` on
//!   two lines are a failure and not a pass.
//! - YAML blocks after a result are the message of that result. One that is not closed is no block.
//! - A nested `1..0` without a reason is a skip (TAP 14). The outermost is not: nothing was tested.
//!
//! All else that makes a cell incomplete makes a log an error.

use std::borrow::Cow;
use std::vec::IntoIter;

use serde::Serialize;

use super::line::{Line, classify, lines, may_become_result, split_column};
use super::prefix::{self, Writer};
use super::{Case, Leaf, Limits, PROBLEMS_MAX, Parser, Problem, ProblemKind, Report, Rules, Status};
use crate::judge::console::{Kind, Scanner};
use crate::model::Verdict;

/// Lines of a YAML block; a longer one is no block. The longest that test frameworks write hold a
/// difference of two objects, some hundred lines.
const BLOCK_LINES: usize = 1000;
/// Reports of one writer that are told apart; the rest is added to the last of them. A run of all
/// of kselftest has a hundred collections, and all of `KUnit` as modules a few hundred.
const REPORTS: usize = 1000;
/// Bytes of a YAML block, for the same reason.
const BLOCK_BYTES: usize = 64 << 10;

impl Limits {
    /// For [`read_log`]: room for ten times the cases of all of `KUnit` and all of kselftest, and
    /// nesting as TAP 14 frameworks write it, a level for each block of source.
    pub const LOG: Limits = Limits { line_bytes: 4096, cases: 200_000, depth: 32, message_bytes: 8192 };
}

/// What a log reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// All reports in one: the cases in the order of their reports, the problems in that of their
    /// lines. It has no plan, and so is never [complete](Report::is_complete).
    report: Report,
}

/// Results by what they mean, each leaf counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// `ok`
    pub pass: usize,
    /// `not ok`, a timeout, an error, and a pass that was not expected (`XPASS`).
    pub fail: usize,
    /// `SKIP`
    pub skip: usize,
    /// `XFAIL` and `TODO`: not expected to pass.
    pub xfail: usize,
}

impl Log {
    /// What is wrong with the log itself, in the order of the lines.
    pub fn problems(&self) -> &[Problem] {
        &self.report.problems
    }

    /// The outermost cases.
    pub fn cases(&self) -> &[Case] {
        &self.report.cases
    }

    /// All reports in one, which has no plan.
    pub(in crate::judge) fn into_report(self) -> Report {
        self.report
    }

    /// The cases that carry a result of their own: see [`Report::leaves`].
    pub fn leaves(&self) -> IntoIter<Leaf<'_>> {
        self.report.leaves()
    }

    /// The reason of the first report that was skipped as a whole; may be empty.
    pub fn skip_all(&self) -> Option<&str> {
        self.report.skip_all.as_deref()
    }

    /// The reason of the first `Bail out!`; may be empty.
    pub fn bail(&self) -> Option<&str> {
        self.report.bail.as_deref()
    }

    /// The leaves, counted. A parent whose result never came has none and is not among them.
    pub fn totals(&self) -> Totals {
        let counts = self.report.counts();
        Totals {
            pass: counts.ok,
            fail: counts.bad() - counts.missing,
            skip: counts.skip,
            xfail: counts.xfail + counts.todo,
        }
    }

    /// What the log comes to. A failure weighs most, then whatever could hide one; where nothing
    /// passed, it is a skip. [`Verdict::Miss`] is not for logs.
    pub fn verdict(&self) -> Verdict {
        let totals = self.totals();
        if totals.fail > 0 {
            Verdict::Fail
        } else if !self.problems().iter().all(Problem::is_accepted) {
            Verdict::Error
        } else if totals.pass > 0 {
            Verdict::Pass
        } else if totals.skip + totals.xfail > 0 || self.skip_all().is_some() {
            Verdict::Skip
        } else {
            Verdict::Error
        }
    }
}

/// What one case comes to by itself, in the words of [`Log::verdict`].
pub fn case_verdict(status: Status) -> Verdict {
    match status {
        Status::Ok => Verdict::Pass,
        Status::Skip | Status::Todo | Status::Xfail => Verdict::Skip,
        Status::NotOk | Status::Xpass | Status::Timeout | Status::Error => Verdict::Fail,
        Status::Missing => Verdict::Error,
    }
}

/// Reads a whole log. Never fails and never panics; see [`Log::problems`].
pub fn read_log(bytes: &[u8], limits: Limits) -> Log {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut kernel = Stream::new(limits);
    let mut others = Stream::new(limits);
    let mut torn: Option<Torn> = None;
    let mut last = 0;
    for (at, raw, ended) in lines(bytes) {
        last = at;
        let (writer, length) = prefix::strip(&raw[..raw.len().min(limits.line_bytes)]);
        let text = &raw[length..];
        if writer == Writer::Kernel {
            kernel.line(at, text, ended);
            continue;
        }
        let (at, text) = match torn.take() {
            None => (at, Cow::Borrowed(text)),
            Some(torn) => match torn.whole(text, limits.line_bytes) {
                None => {
                    others.line(torn.at, &torn.line, true);
                    (at, Cow::Borrowed(text))
                }
                Some(whole) => {
                    kernel.line(torn.at, torn.kernel(), true);
                    (torn.at, Cow::Owned(whole))
                }
            },
        };
        match Torn::new(at, &text) {
            Some(new) => torn = Some(new),
            None => others.line(at, &text, ended),
        }
    }
    if let Some(torn) = torn {
        others.line(torn.at, torn.head(), false);
        kernel.line(torn.at, torn.kernel(), true);
    }
    Log { report: merge(kernel.finish(), others.finish(), bytes, last) }
}

/// A program's line that counts, or might have, with the kernel's time in the middle of it.
struct Torn {
    at: u64,
    line: Vec<u8>,
    cut: usize,
}

impl Torn {
    fn new(at: u64, text: &[u8]) -> Option<Torn> {
        let cut = prefix::find_stamp(text)?;
        let (counts, may) = meaning(&text[..cut]);
        (counts || may).then(|| Torn { at, line: text.to_vec(), cut })
    }

    fn head(&self) -> &[u8] {
        &self.line[..self.cut]
    }

    /// What the kernel said.
    fn kernel(&self) -> &[u8] {
        let tail = &self.line[self.cut..];
        &tail[prefix::strip(tail).1..]
    }

    /// The line as the program wrote it. `None` if the next line stands better by itself: the time
    /// was only quoted.
    fn whole(&self, next: &[u8], max: usize) -> Option<Vec<u8>> {
        let whole = [self.head(), next].concat();
        let counts = |text: &[u8]| meaning(text).0;
        let quoted = counts(next) && (counts(self.head()) || !counts(&whole));
        (!quoted && whole.len() <= max).then_some(whole)
    }
}

/// Whether a line counts, and whether it might with more bytes at its end.
fn meaning(text: &[u8]) -> (bool, bool) {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = split_column(&text);
    (classify(rest).counts(), may_become_result(rest))
}

/// What one writer wrote, report by report.
struct Stream {
    limits: Limits,
    parser: Parser,
    begun: u64,
    reports: Vec<Part>,
    /// What stands before the result that is the line before.
    result: Option<Vec<u8>>,
    block: Option<Block>,
}

/// A report, and the line that it begins at.
struct Part {
    begun: u64,
    report: Report,
}

/// A YAML block that is not closed yet, its `---` included.
struct Block {
    margin: Vec<u8>,
    lines: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Stream {
    fn new(limits: Limits) -> Stream {
        let parser = Parser::new(limits, Rules::Log);
        Stream { limits, parser, begun: 1, reports: Vec::new(), result: None, block: None }
    }

    fn line(&mut self, at: u64, raw: &[u8], ended: bool) {
        if self.in_block(at, raw) {
            return;
        }
        if let Some(margin) = self.result.as_deref().and_then(|result| block_margin(result, raw)) {
            let lines = vec![(at, raw.to_vec())];
            self.block = Some(Block { margin, lines, bytes: raw.len() });
            self.result = None;
            return;
        }
        self.plain(at, raw, ended);
    }

    /// Takes a line that is a block's; where the block turns out to be none, its lines are read.
    fn in_block(&mut self, at: u64, raw: &[u8]) -> bool {
        let Some(block) = &mut self.block else { return false };
        let inner = raw.strip_prefix(block.margin.as_slice());
        if inner.is_some_and(|inner| inner.trim_ascii_end() == b"...") {
            let text = |(_, line): &(u64, Vec<u8>)| {
                let inner = line.strip_prefix(block.margin.as_slice()).unwrap_or_default();
                String::from_utf8_lossy(inner).trim_end().to_owned()
            };
            let text: Vec<String> = block.lines.iter().skip(1).map(text).collect();
            self.block = None;
            self.parser.attach(&text.join("\n"));
            return true;
        }
        let fits = block.lines.len() < BLOCK_LINES && block.bytes + raw.len() <= BLOCK_BYTES;
        if fits && (inner.is_some() || raw.trim_ascii().is_empty()) {
            block.bytes += raw.len();
            block.lines.push((at, raw.to_vec()));
            return true;
        }
        self.give_up_block();
        false
    }

    fn give_up_block(&mut self) {
        for (at, raw) in self.block.take().map(|block| block.lines).unwrap_or_default() {
            self.plain(at, &raw, true);
        }
    }

    fn plain(&mut self, at: u64, raw: &[u8], ended: bool) {
        let text = String::from_utf8_lossy(&raw[..raw.len().min(self.limits.line_bytes)]);
        let (column, rest) = split_column(&text);
        let line = classify(rest);
        self.result = matches!(line, Line::Result { .. }).then(|| raw[..column].to_vec());
        if matches!(line, Line::Version(_)) && self.parser.starts_anew(column) {
            self.end_report();
        }
        if line.counts() && !self.parser.has_begun() {
            self.begun = at;
        }
        self.parser.line(at, raw, ended);
    }

    fn end_report(&mut self) {
        let parser = std::mem::replace(&mut self.parser, Parser::new(self.limits, Rules::Log));
        self.parser.carry_on(&parser);
        let report = parser.finish();
        if is_chatter(&report) {
            return;
        }
        let full = self.reports.len() == REPORTS;
        match self.reports.last_mut().filter(|_| full) {
            Some(last) => last.report = join(std::mem::take(&mut last.report), report),
            None => self.reports.push(Part { begun: self.begun, report }),
        }
    }

    fn finish(mut self) -> Vec<Part> {
        self.give_up_block();
        self.end_report();
        self.reports
    }
}

/// Where the block begins that this line opens below a result: deeper, by blanks alone.
fn block_margin(result: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let deeper = raw.strip_prefix(result)?;
    let blanks = deeper.iter().take_while(|byte| **byte == b' ').count();
    let opens = blanks > 0 && deeper[blanks..].trim_ascii_end() == b"---";
    opens.then(|| raw[..result.len() + blanks].to_vec())
}

/// It has a version line, a plan, or gave up.
fn is_promised(report: &Report) -> bool {
    report.version.is_some() || report.plan.is_some() || report.bail.is_some()
}

/// No report, but a console that says "ok" to something.
fn is_chatter(report: &Report) -> bool {
    fn numbered(cases: &[Case]) -> bool {
        cases.iter().any(|case| case.number.is_some() || numbered(&case.cases))
    }
    !is_promised(report) && !has_failed(report) && !numbered(&report.cases)
}

fn has_failed(report: &Report) -> bool {
    let counts = report.counts();
    counts.bad() > counts.missing
}

/// All reports in the order of their beginnings.
fn merge(kernel: Vec<Part>, others: Vec<Part>, bytes: &[u8], last: u64) -> Report {
    let mut parts = kernel;
    parts.extend(others);
    // Results that nobody promised, beside a report that was, can only harm.
    if parts.iter().any(|part| is_promised(&part.report)) {
        parts.retain(|part| is_promised(&part.report) || has_failed(&part.report));
    }
    parts.sort_by_key(|part| part.begun);
    let mut all = Report::default();
    if parts.is_empty() {
        all.problems.push(Problem { line: last.max(1), kind: ProblemKind::NoTests });
    }
    if let Some(first) = parts.iter().find(|part| part.report.plan.is_none()) {
        all.problems.extend(death(bytes, first.begun));
    }
    for (n, part) in parts.into_iter().enumerate() {
        if n > 0 {
            all.problems.push(Problem { line: part.begun, kind: ProblemKind::AnotherReport });
        }
        all = join(all, part.report);
    }
    all.problems = bounded(all.problems);
    all.plan = None;
    all
}

/// Two reports as one. It has a plan only if both have.
fn join(mut to: Report, mut report: Report) -> Report {
    to.version = to.version.or(report.version);
    to.plan = to.plan.and(report.plan);
    to.cases.append(&mut report.cases);
    to.problems.append(&mut report.problems);
    if to.problems.len() > 8 * PROBLEMS_MAX {
        to.problems = bounded(to.problems);
    }
    to.skip_all = to.skip_all.or(report.skip_all);
    to.bail = to.bail.or(report.bail);
    to
}

/// As many problems as are kept of one report, in the order of their lines.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.line);
    let line = problems.last().map_or(0, |problem| problem.line);
    let (mut accepted, mut weighing, mut further) = (0, 0, 0);
    problems.retain(|problem| {
        if let ProblemKind::Further { count } = problem.kind {
            further += count;
            return false;
        }
        if problem.is_accepted() {
            accepted += 1;
            return accepted <= PROBLEMS_MAX / 2;
        }
        weighing += 1;
        further += u64::from(weighing > PROBLEMS_MAX);
        weighing <= PROBLEMS_MAX
    });
    if further > 0 {
        problems.push(Problem { line, kind: ProblemKind::Further { count: further } });
    }
    problems
}

/// The kernel's death after a line, if it died. That it found no init is how a kernel ends that was
/// booted to test itself.
fn death(bytes: &[u8], after: u64) -> Option<Problem> {
    let mut scanner = Scanner::new();
    scanner.push(bytes);
    scanner.finish();
    let mut fatal = scanner.findings().iter().filter(|finding| finding.fatal && finding.line > after);
    let fatal = fatal.find(|finding| finding.kind != Kind::NoInit)?;
    Some(Problem { line: fatal.line, kind: ProblemKind::KernelDied })
}
