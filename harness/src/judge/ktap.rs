//! KTAP: what a test program said about itself, as a tree of cases and a list of problems.
//!
//! [`parse`] takes a program's complete standard output and never fails. It understands KTAP 1
//! and TAP 13/14 as the kernel's own tests write them: nested by indentation (KTAP, `KUnit`) and
//! by `# ` (the kselftest runner), `kselftest.h` and `kselftest_harness.h` with their chatter.
//!
//! One rule is above all others: absence of evidence is never a pass. Whatever could hide a
//! result that was lost is a [`Problem`] for which [`Problem::is_fatal`] holds, and a report with
//! one is never [complete](Report::is_complete). What was decided where the format leaves room:
//!
//! - A missing plan is fatal at every level, though KTAP lets a program leave it out: without it
//!   a program that died half way looks like one that had no more to say.
//! - A missing version line is not: `KSFT_TAP_LEVEL` suppresses it, and plan and numbers still
//!   prove that nothing is missing.
//! - A result line counts wherever it stands. One that is indented or commented without a version
//!   line or plan before it opens a list that nobody promised: its plan and numbers are not
//!   checked, but a failure in it contradicts a parent that says `ok`.
//! - Indentation is compared, not counted: two spaces (KTAP), four (`KUnit`), `# ` all nest.
//! - Unknown lines never change a status. They are kept as the message of the next case, since
//!   diagnostics stand before the result, or of the last one where none follows.
//!
//! [`read_log`] reads what anybody's test wrote anywhere: console prefixes, several reports, kernel
//! lines in the middle. It stands on the same parser; [`log`] says what it accepts beyond a cell.
//!
//! Absent on purpose: YAML blocks of TAP 13 (unknown lines in a cell; [`log`] knows them) and
//! KTAP 2, which is a proposal.

use std::fmt;

use serde::Serialize;

mod leaves;
mod line;
pub mod log;
#[cfg(test)]
mod log_tests;
mod notes;
mod prefix;
mod problem;
#[cfg(test)]
mod tests;

pub use leaves::{Counts, Leaf};
pub use log::{Log, read_log};
pub use problem::{Problem, ProblemKind};

use line::{Line, Totals};
use notes::Notes;

/// Problems that are kept one by one; the rest is counted. More tells a reader nothing.
const PROBLEMS_MAX: usize = 100;

/// How much of a hostile program's output is kept. Memory stays proportional to the input and
/// below these bounds, whatever the input says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line that are looked at. The default is 4096: the harness keeps 1024 bytes for
    /// a reason and names are shorter, so that no honest result line comes near it.
    pub line_bytes: usize,
    /// Cases that are kept over all levels. The default is 20 000: the largest selftests report a
    /// few thousand, and so many take about 4 MB.
    pub cases: usize,
    /// Lists that may be open inside each other, the outermost included. The default is 8:
    /// `KUnit` has three (suite, case, parameter) and the kselftest runner adds one.
    pub depth: usize,
    /// Bytes of diagnostics that are kept per case, half from their beginning and half from their
    /// end. The default is 8192: about a screen of each.
    pub message_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line_bytes: 4096, cases: 20_000, depth: 8, message_bytes: 8192 }
    }
}

/// The version line that opened a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// `KTAP version 1`
    Ktap1,
    /// `TAP version 13`
    Tap13,
    /// `TAP version 14`
    Tap14,
}

/// What one result line means, its directive taken into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// `ok`, also with a directive that is not known (KTAP: fall back to the word).
    Ok,
    /// `not ok`, also with a directive that is not known.
    NotOk,
    /// `# SKIP`, after `ok` or `not ok`; after `ok` also `# SKIPPED` and the like, since such a
    /// line must not pass. Also a parent that says `ok` over a subtest that skipped everything.
    Skip,
    /// `# TODO`, after either word: not expected to work yet. Neither a pass nor a failure.
    Todo,
    /// `# XFAIL`: failed, as expected. kselftest writes it after `ok`, TAP after `not ok`.
    Xfail,
    /// `# XPASS`: passed, though a failure was expected. kselftest counts it as a failure.
    Xpass,
    /// `# TIMEOUT`; after `ok`, where KTAP does not allow it, it is still not a pass.
    Timeout,
    /// `# ERROR`: the case could not do its work; after `ok` it is still not a pass.
    Error,
    /// The cases of a subtest are there, but the result line of their parent never came.
    Missing,
}

impl Status {
    /// The case proves that something is wrong.
    pub fn is_bad(self) -> bool {
        match self {
            Status::NotOk | Status::Xpass | Status::Timeout | Status::Error | Status::Missing => true,
            Status::Ok | Status::Skip | Status::Todo | Status::Xfail => false,
        }
    }

    /// The word for reports: `ok`, `not ok`, `skip` …
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::NotOk => "not ok",
            Status::Skip => "skip",
            Status::Todo => "todo",
            Status::Xfail => "xfail",
            Status::Xpass => "xpass",
            Status::Timeout => "timeout",
            Status::Error => "error",
            Status::Missing => "missing",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One result line, with the subtests that were reported before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The number on the line.
    pub number: Option<u64>,
    /// The description, decoded lossily, control characters replaced; may be empty.
    pub name: String,
    /// What the line says.
    pub status: Status,
    /// 1-based line of the stream; of a parent whose line never came, where that was noticed.
    pub line: u64,
    /// What followed `#` on the line, then the diagnostics that belong to it, lines joined by
    /// `\n`. Bounded by [`Limits`]; may hold control characters.
    pub message: Option<String>,
    /// Subtests.
    pub cases: Vec<Case>,
}

/// What a program reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The outermost version line.
    pub version: Option<Version>,
    /// N of the outermost `1..N`.
    pub plan: Option<u64>,
    /// The outermost cases, in the order of their lines.
    pub cases: Vec<Case>,
    /// What is wrong with the report itself, in the order of its noticing.
    pub problems: Vec<Problem>,
    /// The reason of `1..0 # SKIP reason`; may be empty.
    pub skip_all: Option<String>,
    /// The reason of the first `Bail out!`, at whatever level; may be empty.
    pub bail: Option<String>,
}

impl Report {
    /// Whether this is all that the program had to say: the plan is there and met, no problem is
    /// fatal, something was tested or skipped for a reason, and the program did not bail out.
    /// It says nothing about what the results are.
    pub fn is_complete(&self) -> bool {
        let planned = self.plan.and_then(|plan| usize::try_from(plan).ok());
        planned == Some(self.cases.len())
            && !self.problems.iter().any(Problem::is_fatal)
            && (!self.cases.is_empty() || self.skip_all.is_some())
            && self.bail.is_none()
    }
}

/// Parses a program's whole output. Never fails and never panics; see [`Problem`].
pub fn parse(bytes: &[u8], limits: Limits) -> Report {
    let stamped = line::is_stamped(bytes);
    let mut parser = Parser::new(limits, Rules::Cell);
    for (at, raw, ended) in line::lines(bytes) {
        parser.line(at, if stamped { &raw[line::stamp_len(raw)..] } else { raw }, ended);
    }
    parser.finish()
}

/// Whose output is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// A program's that this tool started: it keeps to the letter.
    Cell,
    /// Anybody's; see [`log`].
    Log,
}

/// One list of results that is not ended yet.
#[derive(Default)]
struct List {
    column: usize,
    /// It has a version line or a plan, or is the outermost: its plan and numbers are checked.
    promised: bool,
    version: Option<Version>,
    plan: Option<(u64, u64)>,
    skip_all: Option<String>,
    /// Result lines, kept or not.
    seen: u64,
    /// The number that is due next.
    due: u64,
    /// In a log: the number that was due where the report before this one ended.
    due_before: Option<u64>,
    cases: Vec<Case>,
    counts: Counts,
    /// Subtests that wait for the result line of their parent, and why they were skipped.
    children: Vec<Case>,
    children_skip: Option<String>,
    /// `# Subtest: name` before a list opens (TAP 14) or at its beginning (`KUnit`): the name of
    /// the parent to come, for the next list and for this one.
    next_name: Option<String>,
    name: Option<String>,
    totals: Option<(Totals, u64)>,
}

impl List {
    fn outermost() -> List {
        List { promised: true, due: 1, ..List::default() }
    }
}

struct Parser {
    limits: Limits,
    rules: Rules,
    at: u64,
    /// The open lists, outermost first, columns rising; never empty.
    stack: Vec<List>,
    notes: Notes,
    kept: usize,
    bail: Option<String>,
    problems: Vec<Problem>,
    further: u64,
}

impl Parser {
    fn new(limits: Limits, rules: Rules) -> Parser {
        Parser {
            limits,
            rules,
            at: 0,
            stack: vec![List::outermost()],
            notes: Notes::new(limits.message_bytes),
            kept: 0,
            bail: None,
            problems: Vec::new(),
            further: 0,
        }
    }

    fn problem_at(&mut self, line: u64, kind: ProblemKind) {
        let problem = Problem { line, kind };
        let (weighs, max) = match self.rules {
            Rules::Cell => (problem.is_fatal(), PROBLEMS_MAX),
            // `KUnit`'s parameterised tests have no plans: they must not crowd out what weighs.
            Rules::Log if problem.is_accepted() => (false, PROBLEMS_MAX / 2),
            Rules::Log => (true, PROBLEMS_MAX),
        };
        if self.problems.len() < max {
            self.problems.push(problem);
        } else if weighs {
            self.further += 1;
        }
    }

    fn problem(&mut self, kind: ProblemKind) {
        self.problem_at(self.at, kind);
    }

    /// In a log: a version line at this column is not of this report.
    fn starts_anew(&self, column: usize) -> bool {
        let outermost = &self.stack[0];
        let only_plan = self.stack.len() == 1 && outermost.version.is_none() && outermost.seen == 0;
        self.has_begun() && column <= outermost.column && !(only_plan && column == outermost.column)
    }

    fn has_begun(&self) -> bool {
        let outermost = &self.stack[0];
        self.stack.len() > 1 || outermost.version.is_some() || outermost.plan.is_some() || outermost.seen > 0
    }

    /// In a log: this report follows that one.
    fn carry_on(&mut self, before: &Parser) {
        self.kept = before.kept;
        self.stack[0].due_before = Some(before.stack[0].due);
    }

    fn top(&mut self) -> &mut List {
        self.stack.last_mut().expect("the outermost list is never closed")
    }

    fn line(&mut self, at: u64, raw: &[u8], ended: bool) {
        self.at = at;
        let long = raw.len() > self.limits.line_bytes;
        let raw = &raw[..raw.len().min(self.limits.line_bytes)];
        let text = String::from_utf8_lossy(raw);
        let (column, rest) = line::split_column(&text);
        let line = line::classify(rest);

        let counts = line.counts();
        if long {
            self.problem(ProblemKind::LineTooLong { counts });
        }
        let cut = !ended && (counts || line::may_become_result(rest));
        if cut && self.rules == Rules::Cell {
            self.problem(ProblemKind::Truncated);
        }
        match line {
            Line::Version(version) => self.version(column, version),
            Line::Plan { planned, skip } => self.plan(column, planned, skip),
            Line::Result { ok, number, name, data } => {
                self.result(column, ok, number, name, data);
            }
            Line::Bail(reason) => {
                self.problem(ProblemKind::BailOut);
                self.bail.get_or_insert_with(|| line::clean(reason));
            }
            Line::Totals(totals) => self.totals(column, totals),
            Line::Subtest(name) => self.subtest(column, line::name(name)),
            Line::Run => self.run(),
            Line::Mark => {}
            Line::Bad { failure } => {
                self.problem(ProblemKind::BadLine { failure });
                self.notes.push(rest);
            }
            Line::Text => self.notes.push(rest),
        }
        if cut && self.rules == Rules::Log && !self.sums_up() {
            self.problem(ProblemKind::Truncated);
        }
    }

    /// The last line is the result of subtests that are all there: however it was to go on, they
    /// say how it went. People's files often lack the last newline.
    fn sums_up(&mut self) -> bool {
        let at = self.at;
        self.top().cases.last().is_some_and(|case| case.line == at && !case.cases.is_empty())
    }

    /// In a log, the outermost level is where the report begins: it may be indented as a whole. What
    /// stands to the left of it shows that it was not outermost: its beginning was cut off.
    fn rebase(&mut self, column: usize) {
        if self.rules == Rules::Cell {
            return;
        }
        if !self.has_begun() {
            self.stack[0].column = column;
        } else if column < self.stack[0].column {
            let due_before = self.stack[0].due_before.take();
            self.stack.insert(0, List { column, due_before, ..List::outermost() });
        }
    }

    /// Closes the lists that are nested more deeply than `column`.
    fn close_to(&mut self, column: usize) {
        while self.stack.len() > 1 && self.top().column > column {
            self.close();
        }
    }

    /// Makes a list at `column` the innermost one, opening it if need be; false if that is too
    /// deep.
    fn open(&mut self, column: usize, promised: bool) -> bool {
        self.rebase(column);
        self.close_to(column);
        let top = self.top();
        if top.column == column && (top.promised || !promised) {
            return true;
        }
        if top.column == column {
            self.close(); // results that nobody promised, and now a list that is
        }
        if self.stack.len() >= self.limits.depth {
            self.problem(ProblemKind::TooDeep);
            return false;
        }
        let top = self.top();
        if top.seen == 0 && top.plan.is_none() {
            top.next_name = top.name.take().or(top.next_name.take()); // TAP 14: it was this list's
        }
        self.stack.push(List { column, promised, due: 1, ..List::default() });
        true
    }

    fn version(&mut self, column: usize, version: Option<Version>) {
        if !self.open(column, true) {
            return;
        }
        if self.rules == Rules::Log && self.stack.len() == 1 {
            self.notes.take(); // the talk of a boot before the report
        }
        // Programs that write one of the two to standard error have their lines swapped.
        let swapped = self.rules == Rules::Log;
        let top = self.top();
        let problem = match version {
            None => Some(ProblemKind::UnknownVersion),
            Some(_) if top.version.is_some() => Some(ProblemKind::VersionTwice),
            Some(_) if top.seen > 0 || (top.plan.is_some() && !swapped) => Some(ProblemKind::VersionLate),
            Some(_) => None,
        };
        top.version = top.version.or(version);
        if let Some(problem) = problem {
            self.problem(problem);
        }
    }

    fn plan(&mut self, column: usize, planned: u64, skip: Option<&str>) {
        self.plan_last(column, planned);
        if !self.open(column, true) {
            return;
        }
        let at = self.at;
        let top = self.top();
        if top.plan.is_some() {
            self.problem(ProblemKind::PlanTwice);
            return;
        }
        top.plan = Some((planned, at));
        top.skip_all = skip.filter(|_| planned == 0).map(line::clean);
    }

    /// In a log, a plan after exactly so many results that nobody promised is theirs: subtests of
    /// TAP 14 have no version line, and may have their plan at their end.
    fn plan_last(&mut self, column: usize, planned: u64) {
        if self.rules == Rules::Log {
            self.close_to(column);
            let top = self.top();
            let whole = top.seen == planned && top.due.checked_sub(1) == Some(planned);
            top.promised |= top.column == column && planned > 0 && whole;
        }
    }

    fn result(&mut self, column: usize, ok: bool, number: Option<u64>, name: &str, data: &str) {
        if !self.open(column, false) {
            return;
        }
        self.check_number(number);
        let (mut status, reason) = line::status(ok, data);
        let notes = self.notes.take();
        let top = self.top();
        let cases = std::mem::take(&mut top.children);
        let children_skip = top.children_skip.take();
        top.next_name = None;
        let mut reason = line::clean(reason);
        if status == Status::Ok && cases.is_empty() && children_skip.is_some() {
            status = Status::Skip;
            reason = children_skip.unwrap_or_default();
        }
        top.seen += 1;
        top.counts.add(status);

        let message = match (reason.is_empty(), notes) {
            (true, notes) => notes,
            (false, None) => Some(reason),
            (false, Some(notes)) => Some(format!("{reason}\n{notes}")),
        };
        let case = Case { number, name: line::name(name), status, line: self.at, message, cases };
        if status == Status::Ok && case.any(&Status::is_bad) {
            self.problem(ProblemKind::ChildDisagrees);
        }
        self.keep(case);
    }

    fn check_number(&mut self, number: Option<u64>) {
        let top = self.top();
        // Older `KUnit` counts the suites on from one module to the next.
        let goes_on = top.seen == 0 && number.is_some() && number == top.due_before;
        let expected = if goes_on { top.due_before.unwrap_or(1) } else { top.due };
        top.due = number.unwrap_or(expected).saturating_add(1);
        if !top.promised {
            return;
        }
        match number {
            None => self.problem(ProblemKind::MissingNumber),
            Some(got) if got != expected => {
                self.problem(ProblemKind::NumberOutOfOrder { expected, got });
            }
            Some(_) => {}
        }
    }

    fn keep(&mut self, case: Case) {
        if self.kept == self.limits.cases {
            self.problem(ProblemKind::TooManyCases);
        }
        self.kept = self.kept.saturating_add(1);
        if self.kept <= self.limits.cases {
            self.top().cases.push(case);
        }
    }

    /// `# Totals:` stands in the list that it sums up, two columns (`# `) to the right of it.
    fn totals(&mut self, column: usize, totals: Totals) {
        let at = self.at;
        let list = self.stack.iter_mut().rfind(|list| list.column + 2 == column);
        if let Some(list) = list {
            list.totals = Some((totals, at));
        }
    }

    fn subtest(&mut self, column: usize, name: String) {
        let nested = self.stack.len() > 1;
        let top = self.top();
        let nested = nested || (top.column > 0 && top.column + 2 == column);
        if nested && top.seen == 0 && top.name.is_none() {
            top.name = Some(name);
        } else {
            top.next_name = Some(name);
        }
    }

    /// A block of diagnostics after a result.
    fn attach(&mut self, block: &str) {
        let max = self.limits.message_bytes;
        if let Some(case) = self.top().cases.last_mut() {
            notes::append(&mut case.message, line::clip(block, max), 2 * max);
        }
    }

    /// The harness starts a case: what was said so far belongs to the one before.
    fn run(&mut self) {
        let Some(notes) = self.notes.take() else { return };
        let max = self.limits.message_bytes;
        if let Some(case) = self.top().cases.last_mut() {
            notes::append(&mut case.message, &notes, max);
        }
    }

    /// Ends the innermost list and leaves its cases to the next result of the list around it.
    fn close(&mut self) {
        let mut list = self.stack.pop().expect("only nested lists are closed");
        self.adopt_orphans(&mut list);
        if self.rules == Rules::Log && list.seen == 0 && matches!(list.plan, Some((0, _))) {
            list.skip_all.get_or_insert_default(); // TAP: `1..0` is a skip, with a reason or without
        }
        self.check(&list);
        let outer = self.top();
        outer.children.append(&mut list.cases);
        outer.children_skip = outer.children_skip.take().or(list.skip_all);
        outer.next_name = list.name.or(outer.next_name.take());
    }

    /// Subtests whose parent's result line never came get a parent that says so.
    fn adopt_orphans(&mut self, list: &mut List) {
        if list.children.is_empty() && list.children_skip.is_none() {
            return;
        }
        self.problem(ProblemKind::NoParent);
        let name = list.next_name.take().unwrap_or_else(|| "unfinished".to_owned());
        let cases = std::mem::take(&mut list.children);
        let message = list.children_skip.take();
        if self.kept < self.limits.cases {
            self.kept += 1;
            let (status, line) = (Status::Missing, self.at);
            list.cases.push(Case { number: None, name, status, line, message, cases });
        }
    }

    /// What can only be known of a list when it has ended.
    fn check(&mut self, list: &List) {
        if !list.promised {
            return;
        }
        match list.plan {
            None => self.problem(ProblemKind::NoPlan),
            Some((planned, line)) if planned != list.seen => {
                self.problem_at(line, ProblemKind::PlanMismatch { planned, seen: list.seen });
            }
            Some(_) => {}
        }
        if list.seen == 0 && list.skip_all.is_none() {
            self.problem(ProblemKind::NoTests);
        }
        if let Some((totals, line)) = list.totals
            && totals != Totals::of(&list.counts)
        {
            self.problem_at(line, ProblemKind::TotalsMismatch);
        }
    }

    fn finish(mut self) -> Report {
        while self.stack.len() > 1 {
            self.close();
        }
        let mut list = self.stack.pop().expect("the outermost list is never closed");
        if list.column > 0 && list.name.is_some() {
            self.problem(ProblemKind::NoParent); // a subtest that was cut out, or never ended
        }
        self.adopt_orphans(&mut list);
        if list.version.is_none() {
            self.problem(ProblemKind::NoVersion);
        }
        self.check(&list);
        // What follows a report in a log is not about its last case.
        if let Some(notes) = self.notes.take().filter(|_| self.rules == Rules::Cell)
            && let Some(case) = list.cases.last_mut()
        {
            notes::append(&mut case.message, &notes, self.limits.message_bytes);
        }
        if self.further > 0 {
            let kind = ProblemKind::Further { count: self.further };
            self.problems.push(Problem { line: self.at, kind });
        }
        Report {
            version: list.version,
            plan: list.plan.map(|(planned, _)| planned),
            cases: list.cases,
            problems: self.problems,
            skip_all: list.skip_all,
            bail: self.bail,
        }
    }
}
