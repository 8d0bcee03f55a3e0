//! Seeded bugs against what was seen of them: a table for people, parts of a night, JUnit for its readers.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::night::PartRecord;
use super::record::{CellRecord, RunRecord};
use super::text::Paint;
use crate::judge::console::sanitize;
use crate::model::{Abi, Mutant, Seen, Verdict};

/// What became of one mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// By each ABI in the order of [`Abi::ALL`]: whether it was seen as named, and what was seen.
    pub cells: [(bool, String); 3],
    /// The time was over before it was looked for.
    pub left_out: bool,
}

impl Outcome {
    /// Holds what was seen against what the mutant names.
    pub fn of(name: &str, mutant: &Mutant, run: &RunRecord) -> Outcome {
        let cells = Abi::ALL.map(|abi| {
            let cell = run.cells.iter().find(|cell| cell.abi == abi && cell.leg == mutant.leg);
            match cell {
                Some(cell) => (mutant.expected.get(&abi).is_some_and(|seen| is_seen(seen, cell)), said(cell)),
                None => (false, "not run".to_owned()),
            }
        });
        Outcome { name: name.to_owned(), cells, left_out: false }
    }

    /// One that had no time.
    pub fn left_out(name: &str) -> Outcome {
        Outcome { left_out: true, ..Outcome::without_run(name, "budget") }
    }

    /// One whose run gave nothing to look at.
    pub fn without_run(name: &str, why: &str) -> Outcome {
        let cells = Abi::ALL.map(|_| (false, format!("no run: {why}")));
        Outcome { name: name.to_owned(), cells, left_out: false }
    }

    /// Whether each ABI showed what is named, and no other thing.
    pub fn is_caught(&self) -> bool {
        self.cells.iter().all(|(as_named, _)| *as_named)
    }

    /// As a part of a night's job.
    pub fn part(&self) -> PartRecord {
        let verdict = match (self.left_out, self.is_caught()) {
            (true, _) => Verdict::Miss,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Fail,
        };
        let cells = Abi::ALL.iter().zip(&self.cells).filter(|(_, (as_named, _))| !as_named);
        let why: Vec<String> = cells.map(|(abi, (_, said))| format!("{} {said}", abi.flag())).collect();
        PartRecord { name: self.name.clone(), verdict, why: why.join("; ") }
    }
}

/// A test each, as JUnit has it: what a night leaves for CI systems has to have what its other runs have.
pub fn junit(outcomes: &[Outcome], elapsed: Duration) -> String {
    let mut suite = TestSuite::new("mutants");
    suite.set_time(elapsed);
    for outcome in outcomes {
        let PartRecord { name, verdict, why } = outcome.part();
        let (kind, what) = match verdict {
            Verdict::Pass => (None, ""),
            Verdict::Miss => (Some(NonSuccessKind::Error), "budget"),
            Verdict::Fail | Verdict::Skip | Verdict::Error => (Some(NonSuccessKind::Failure), "not-caught"),
        };
        let mut status = kind.map_or_else(TestCaseStatus::success, TestCaseStatus::non_success);
        if kind.is_some() {
            status.set_message(why).set_type(what);
        }
        let mut case = TestCase::new(name, status);
        case.set_classname("mutants");
        suite.add_test_case(case);
    }
    let mut report = Report::new("abimatrix mutants");
    report.set_time(elapsed).add_test_suite(suite);
    // Its names and attributes are text, which it escapes: there is nothing that it could refuse.
    report.to_string().expect("JUnit is text")
}

/// Whether a cell shows this: the verdict, the cause that decides, and a word of it.
fn is_seen(seen: &Seen, cell: &CellRecord) -> bool {
    match (seen, &cell.cause) {
        (Seen::Pass, _) => cell.verdict == Verdict::Pass,
        (Seen::Caught { .. }, None) => false,
        (Seen::Caught { verdict, kind, word }, Some(cause)) => {
            let has = |text: &str| text.contains(word.as_str());
            // A cause names one case or one report of the kernel's; the others are beside it.
            let failed = cell.cases.iter().any(|case| case.verdict == Verdict::Fail && has(&case.name));
            let found = cell.findings.iter().any(|finding| has(&finding.title) || has(&finding.kind));
            cell.verdict == *verdict && cause.kind == *kind && (has(&cause.text) || failed || found)
        }
    }
}

/// What a cell said, in a few words.
fn said(cell: &CellRecord) -> String {
    let Some(cause) = &cell.cause else { return cell.verdict.to_string() };
    let failed = cell.cases.iter().find(|case| case.verdict == Verdict::Fail).map(|case| case.name.as_str());
    let found = cell.findings.first().map(|finding| finding.title.as_str());
    let what = match cause.kind.as_str() {
        "case-failed" => failed,
        "kernel-fault" | "panic" => found,
        _ => None,
    };
    let what = what.unwrap_or_else(|| cause.text.lines().next().unwrap_or_default());
    let what: String = what.chars().take(WORDS).collect();
    sanitize(format!("{} {}: {what}", cell.verdict, cause.kind))
}

/// Characters of a cause that the table has room for; three columns fit on a wide terminal.
const WORDS: usize = 48;

/// The table of all mutants, and how many were caught.
pub fn render(outcomes: &[Outcome], paint: Paint) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["mutant", "caught", "-m64", "-m32", "-mx32"]);
    for outcome in outcomes {
        let caught = match outcome.is_caught() {
            true => paint.wrap(Verdict::Pass, "yes"),
            false => paint.wrap(Verdict::Fail, "NO"),
        };
        let cells = outcome.cells.iter().map(|(as_named, said)| match as_named {
            true => said.replacen(": ", ":\n", 1),
            false => paint.wrap(Verdict::Fail, "not as named:") + "\n" + &said.replacen(": ", ":\n", 1),
        });
        table.add_row([outcome.name.clone(), caught].into_iter().chain(cells));
    }
    let mut out = String::new();
    let caught = outcomes.iter().filter(|outcome| outcome.is_caught()).count();
    let _ = writeln!(out, "{table}\n\n{caught} of {} mutants caught by what they name", outcomes.len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CaseResult, Cause, CellId, FaultSummary, Judged, Leg};
    use crate::report::record::FindingRecord;

    fn cell(cause: Option<Cause>, failed: &[&str], found: &[&str]) -> CellRecord {
        let id = CellId { kernel: "k".parse().unwrap(), leg: Leg::Patched, abi: Abi::M32 };
        let case = |name: &&str| CaseResult { name: (*name).into(), verdict: Verdict::Fail, message: None };
        let cases = failed.iter().map(case).collect();
        let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
        let mut cell =
            CellRecord::new(&id, Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() });
        let finding = |title: &&str| FindingRecord {
            kind: "lockdep".into(),
            title: (*title).into(),
            line: 1,
            fatal: false,
        };
        cell.findings = found.iter().map(finding).collect();
        cell
    }

    #[test]
    fn a_mutant_is_caught_by_what_it_names_and_by_nothing_else() {
        let failed = || Some(Cause::CaseFailed { failed: 2, total: 3, first: "a".to_owned() });
        let fault = |title: &str| FaultSummary { kind: "oops".into(), title: title.into(), line: 7 };
        let oops = || Some(Cause::KernelFault { fault: fault("BUG: x") });
        for (seen, cell, expected) in [
            ("pass", cell(None, &[], &[]), true),
            ("pass", cell(failed(), &["a"], &[]), false),
            ("fail case-failed \"a\"", cell(failed(), &["a", "bit 3"], &[]), true),
            ("fail case-failed \"bit 3\"", cell(failed(), &["a", "bit 3"], &[]), true),
            ("fail case-failed \"bit 4\"", cell(failed(), &["a", "bit 3"], &[]), false),
            ("fail case-failed \"a\"", cell(None, &[], &[]), false),
            // Another cause decides: it was caught by something else.
            ("fail case-failed \"a\"", cell(oops(), &["a"], &["BUG: x"]), false),
            ("error case-failed \"a\"", cell(failed(), &["a"], &[]), false),
            ("fail kernel-fault \"still held\"", cell(oops(), &[], &["BUG: x", "lock is still held"]), true),
            ("fail kernel-fault \"lockdep\"", cell(oops(), &[], &["BUG: x"]), true),
        ] {
            let named: Seen = seen.parse().unwrap();
            assert_eq!(is_seen(&named, &cell), expected, "{seen}: {}", said(&cell));
        }
    }

    #[test]
    fn the_table_says_what_was_seen_and_what_not_as_named() {
        let cells =
            [(true, "pass".to_owned()), (true, "fail panic: x".to_owned()), (false, "pass".to_owned())];
        let outcomes = [
            Outcome { name: "fd-leak".to_owned(), cells, left_out: false },
            Outcome {
                name: "good".to_owned(),
                cells: Abi::ALL.map(|_| (true, "fail hang: y".to_owned())),
                left_out: false,
            },
        ];
        let text = render(&outcomes, Paint::Plain);
        for word in ["fd-leak", "NO", "not as named:", "yes", "1 of 2 mutants caught"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!Outcome::without_run("x", "y").is_caught());
        // For machines: what was not caught fails, what was not looked for is an error.
        let late = Outcome::left_out("late");
        let parts = outcomes.iter().chain([&late]).map(|outcome| outcome.part().verdict);
        assert_eq!(parts.collect::<Vec<_>>(), [Verdict::Fail, Verdict::Pass, Verdict::Miss]);
        let junit = junit(&[outcomes[0].clone(), outcomes[1].clone(), late], Duration::from_secs(2));
        let text: String = junit.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in [
            "failures=\"1\" errors=\"1\"",
            "<failure message=\"-mx32 pass\" type=\"not-caught\"/>",
            "type=\"budget\"",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
