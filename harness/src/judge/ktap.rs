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
//! Absent on purpose: YAML blocks of TAP 13 (unknown lines here) and KTAP 2, which is a proposal.

use std::borrow::Cow;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;

use serde::Serialize;

mod line;
mod notes;
mod problem;
#[cfg(test)]
mod tests;

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
    /// What followed `#` on the line, then the diagnostics that belong to it, lines joined by
    /// `\n`. Bounded by [`Limits`]; may hold control characters.
    pub message: Option<String>,
    /// Subtests.
    pub cases: Vec<Case>,
}

impl Case {
    fn any(&self, of: &impl Fn(Status) -> bool) -> bool {
        self.cases.iter().any(|case| of(case.status) || case.any(of))
    }
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

/// A case without subtests, or a parent whose own status its subtests do not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The names from the outermost case down, joined by `/`, made unique by ` (2)`, ` (3)` ….
    /// A case without a name is called `case N` by its place in the list.
    pub name: String,
    /// The case.
    pub case: &'a Case,
}

/// Leaves per status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "one field per status; Status documents them")]
pub struct Counts {
    pub ok: usize,
    pub not_ok: usize,
    pub skip: usize,
    pub todo: usize,
    pub xfail: usize,
    pub xpass: usize,
    pub timeout: usize,
    pub error: usize,
    pub missing: usize,
}

impl Counts {
    /// All leaves.
    pub fn total(&self) -> usize {
        self.ok + self.skip + self.todo + self.xfail + self.bad()
    }

    /// The leaves for which [`Status::is_bad`] holds.
    pub fn bad(&self) -> usize {
        self.not_ok + self.xpass + self.timeout + self.error + self.missing
    }

    fn add(&mut self, status: Status) {
        let field = match status {
            Status::Ok => &mut self.ok,
            Status::NotOk => &mut self.not_ok,
            Status::Skip => &mut self.skip,
            Status::Todo => &mut self.todo,
            Status::Xfail => &mut self.xfail,
            Status::Xpass => &mut self.xpass,
            Status::Timeout => &mut self.timeout,
            Status::Error => &mut self.error,
            Status::Missing => &mut self.missing,
        };
        *field += 1;
    }
}

impl Report {
    /// The cases that carry a result of their own, flattened. A parent is among them, after its
    /// subtests, only if its status is not `ok` and none of them accounts for it: a program whose
    /// cases all pass and which then dies has failed.
    pub fn leaves(&self) -> std::vec::IntoIter<Leaf<'_>> {
        let mut leaves = Vec::new();
        flatten(&self.cases, "", &mut leaves);
        make_unique(&mut leaves);
        leaves.into_iter()
    }

    /// The leaves, counted by status.
    pub fn counts(&self) -> Counts {
        let mut leaves = Vec::new();
        flatten(&self.cases, "", &mut leaves);
        let mut counts = Counts::default();
        for leaf in leaves {
            counts.add(leaf.case.status);
        }
        counts
    }

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

fn flatten<'a>(cases: &'a [Case], path: &str, leaves: &mut Vec<Leaf<'a>>) {
    for (at, case) in cases.iter().enumerate() {
        let own = match case.name.as_str() {
            "" => Cow::Owned(format!("case {}", at + 1)),
            name => Cow::Borrowed(name),
        };
        let name = if path.is_empty() { own.into_owned() } else { format!("{path}/{own}") };
        flatten(&case.cases, &name, leaves);
        let status = case.status;
        let explained = case.any(&|of| of == status || (status.is_bad() && of.is_bad()));
        if case.cases.is_empty() || (status != Status::Ok && !explained) {
            leaves.push(Leaf { name, case });
        }
    }
}

fn make_unique(leaves: &mut [Leaf<'_>]) {
    // Names that stand in the output win over names that are made here.
    let taken: HashSet<String> = leaves.iter().map(|leaf| leaf.name.clone()).collect();
    let mut next: HashMap<String, u64> = HashMap::new();
    for leaf in leaves {
        match next.entry(leaf.name.clone()) {
            Entry::Vacant(first) => {
                first.insert(2);
            }
            Entry::Occupied(mut again) => loop {
                let name = format!("{} ({})", leaf.name, again.get());
                *again.get_mut() += 1;
                if !taken.contains(&name) {
                    leaf.name = name;
                    break;
                }
            },
        }
    }
}

/// Parses a program's whole output. Never fails and never panics; see [`Problem`].
pub fn parse(bytes: &[u8], limits: Limits) -> Report {
    let mut parser = Parser::new(limits, line::is_stamped(bytes));
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (text, next) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        parser.line(text, end.is_some());
        rest = next;
    }
    parser.finish()
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

struct Parser {
    limits: Limits,
    stamped: bool,
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
    fn new(limits: Limits, stamped: bool) -> Parser {
        let outermost = List { promised: true, due: 1, ..List::default() };
        Parser {
            limits,
            stamped,
            at: 0,
            stack: vec![outermost],
            notes: Notes::new(limits.message_bytes),
            kept: 0,
            bail: None,
            problems: Vec::new(),
            further: 0,
        }
    }

    fn problem_at(&mut self, line: u64, kind: ProblemKind) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, kind });
        } else if (Problem { line, kind }).is_fatal() {
            self.further += 1;
        }
    }

    fn problem(&mut self, kind: ProblemKind) {
        self.problem_at(self.at, kind);
    }

    fn top(&mut self) -> &mut List {
        self.stack.last_mut().expect("the outermost list is never closed")
    }

    fn line(&mut self, raw: &[u8], ended: bool) {
        self.at += 1;
        let long = raw.len() > self.limits.line_bytes;
        let raw = &raw[..raw.len().min(self.limits.line_bytes)];
        let raw = if self.stamped { &raw[line::stamp_len(raw)..] } else { raw };
        let text = String::from_utf8_lossy(raw);
        let (column, rest) = line::split_column(&text);
        let line = line::classify(rest);

        let counts = line.counts();
        if long {
            self.problem(ProblemKind::LineTooLong { counts });
        }
        if !ended && (counts || line::may_become_result(rest)) {
            self.problem(ProblemKind::Truncated);
        }
        match line {
            Line::Version(version) => self.version(column, version),
            Line::Plan { planned, skip } => self.plan(column, planned, skip),
            Line::Result { ok, number, name, data } => {
                self.result(column, ok, number, name, data);
            }
            Line::Bail(reason) => {
                self.bail.get_or_insert_with(|| line::clean(reason));
            }
            Line::Totals(totals) => self.totals(column, totals),
            Line::Subtest(name) => self.subtest(line::name(name)),
            Line::Run => self.run(),
            Line::Mark => {}
            Line::Bad { failure } => {
                self.problem(ProblemKind::BadLine { failure });
                self.notes.push(rest);
            }
            Line::Text => self.notes.push(rest),
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
        self.stack.push(List { column, promised, due: 1, ..List::default() });
        true
    }

    fn version(&mut self, column: usize, version: Option<Version>) {
        if !self.open(column, true) {
            return;
        }
        let top = self.top();
        let problem = match version {
            None => Some(ProblemKind::UnknownVersion),
            Some(_) if top.version.is_some() => Some(ProblemKind::VersionTwice),
            Some(_) if top.seen > 0 || top.plan.is_some() => Some(ProblemKind::VersionLate),
            Some(_) => None,
        };
        top.version = top.version.or(version);
        if let Some(problem) = problem {
            self.problem(problem);
        }
    }

    fn plan(&mut self, column: usize, planned: u64, skip: Option<&str>) {
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
        let case = Case { number, name: line::name(name), status, message, cases };
        if status == Status::Ok && case.any(&Status::is_bad) {
            self.problem(ProblemKind::ChildDisagrees);
        }
        self.keep(case);
    }

    fn check_number(&mut self, number: Option<u64>) {
        let top = self.top();
        let expected = top.due;
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

    fn subtest(&mut self, name: String) {
        let nested = self.stack.len() > 1;
        let top = self.top();
        if nested && top.seen == 0 && top.name.is_none() {
            top.name = Some(name);
        } else {
            top.next_name = Some(name);
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
            let status = Status::Missing;
            list.cases.push(Case { number: None, name, status, message, cases });
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
        self.adopt_orphans(&mut list);
        if list.version.is_none() {
            self.problem(ProblemKind::NoVersion);
        }
        self.check(&list);
        if let Some(notes) = self.notes.take()
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
