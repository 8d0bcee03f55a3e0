//! What the prober of contracts reported: each case that was planned, and what it is taken from.

use super::known;
use super::ktap::{self, Leaf, Status};
use super::verdict::{Expectation, ExpectedRun, case_results, incomplete, one_line};
use super::watch::RunEvidence;
use crate::broken::broken;
use crate::model::{CaseResult, Cause, KnownIssue, Outcome};

/// In front of the names of all cases of a contract.
const PREFIX: &str = "contract/";
/// What the prober says first of a case in which the call came back.
const RETURNED: &str = "returned ";

/// Whether a case is a contract's.
pub fn is_case(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// How reports call the case of a contract that tests this rule.
pub fn case_name(rule: &str) -> String {
    format!("{PREFIX}{rule}")
}

/// What the call returned, as the prober put it.
pub fn returned(message: Option<&str>) -> Option<&str> {
    message?.lines().find(|line| line.starts_with(RETURNED))
}

/// The cases for reports.
pub(super) fn results(run: &RunEvidence) -> Vec<CaseResult> {
    case_results(&ktap::parse(&run.stdout, ktap::Limits::default()), Some(PREFIX.trim_end_matches('/')))
}

/// Weighs a prober's report. How it ended is weighed as that of any program.
pub(super) fn weigh(
    expected: &Expectation,
    run: &ExpectedRun,
    seen: &RunEvidence,
    met: &mut Vec<KnownIssue>,
    causes: &mut Vec<Cause>,
) {
    let Some(end) = &seen.end else { return };
    let report = ktap::parse(&seen.stdout, ktap::Limits::default());
    let leaves: Vec<_> = report.leaves().collect();
    let program = run.program.clone();
    let said = |leaf: &Leaf<'_>| {
        let message = leaf.case.message.as_deref().map(|m| format!(" ({})", one_line(m))).unwrap_or_default();
        let cite = run.cases.iter().find(|case| case.name == leaf.name).map(|case| case.cite.as_str());
        format!("{}{message}{}", leaf.name, cite.map(|cite| format!(" [{cite}]")).unwrap_or_default())
    };
    if let (Some(reason), Some(first)) = (&report.bail, leaves.first()) {
        let detail = format!("{}: {}", one_line(reason), said(first));
        causes.push(Cause::ContractWrong { detail });
        return;
    }
    let known = |leaf: &Leaf<'_>| match expected.leg.is_control() {
        true => None,
        false => known::of_case(&expected.known, &format!("{PREFIX}{}", leaf.name), leaf.case.status),
    };
    leaves.iter().for_each(|leaf| known::note(met, known(leaf)));
    let total = leaves.len() as u64;
    let of = |is: fn(Status) -> bool| leaves.iter().filter(move |leaf| is(leaf.case.status));
    let failed = of(|status| status.is_bad() && status != Status::Error).filter(|leaf| known(leaf).is_none());
    if let Some(first) = failed.clone().next() {
        causes.push(match expected.leg.is_control() {
            true => Cause::NotAbsent {
                abi: expected.abi,
                number: expected.number,
                door: expected.door(),
                said: said(first),
            },
            false => Cause::CaseFailed { failed: failed.count() as u64, total, first: said(first) },
        });
    }
    if !report.is_complete() {
        let detail = incomplete(&report, seen);
        causes.push(Cause::PlanMismatch { program, detail });
        return;
    }
    let planned = run.cases.iter().map(|case| case.name.as_str());
    if !planned.eq(leaves.iter().map(|leaf| leaf.name.as_str())) && !broken("contract-cases") {
        let missing = run.cases.iter().find(|case| !leaves.iter().any(|leaf| leaf.name == case.name));
        let first = missing.map(|case| format!("; there is none of {:?}", case.name)).unwrap_or_default();
        let detail = format!("{} cases were planned and {total} reported{first}", run.cases.len());
        causes.push(Cause::PlanMismatch { program, detail });
        return;
    }
    let broken_cases = of(|status| status == Status::Error);
    if let Some(first) = broken_cases.clone().next() {
        let broken = broken_cases.count() as u64;
        causes.push(Cause::CasesBroken { broken, total, first: said(first) });
    }
    let skipped = of(|status| matches!(status, Status::Skip | Status::Todo | Status::Xfail));
    if let Some(first) = skipped.clone().next() {
        causes.push(Cause::CasesSkipped { skipped: skipped.count() as u64, total, first: said(first) });
    }
    let clean = leaves.iter().all(|leaf| !leaf.case.status.is_bad());
    if let Outcome::Exit { code } = end.outcome
        && (code == 0) != clean
    {
        let detail = format!("it exited with status {code}, which its cases do not say");
        causes.push(Cause::PlanMismatch { program, detail });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Abi, Leg, PlannedCase, RunEnd};

    const TWO: &str = "KTAP version 1\n1..2\n# returned 0\nok 1 good\n# returned -22 (EINVAL)\nok 2 flags\n";

    fn weighed(leg: Leg, stdout: &str, code: u8) -> Vec<Cause> {
        let case = |name: &str| PlannedCase { name: name.to_owned(), cite: "xyzzy(2)".to_owned() };
        let run = ExpectedRun {
            role: crate::judge::verdict::Role::Contract,
            program: "contract".to_owned(),
            deadline_ms: 1000,
            rules: crate::judge::verdict::Rules::Cell,
            cases: vec![case("good"), case("flags")],
        };
        let expected = Expectation {
            leg,
            abi: Abi::M32,
            number: 463,
            table: String::new(),
            runs: vec![run.clone()],
            known: Vec::new(),
            many: false,
            absent: Vec::new(),
            helpers: Vec::new(),
            not_applicable: Vec::new(),
        };
        let end = RunEnd {
            run: 0,
            outcome: Outcome::Exit { code },
            tainted_before: 0,
            tainted_after: 0,
            wall_us: 1,
            user_us: 1,
            sys_us: 1,
            maxrss_kb: 1,
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: 0,
            leaked: 0,
            trace: None,
        };
        let seen = RunEvidence { started: true, stdout: stdout.into(), stderr: Vec::new(), end: Some(end) };
        let mut causes = Vec::new();
        weigh(&expected, &run, &seen, &mut Vec::new(), &mut causes);
        causes
    }

    fn kinds(causes: &[Cause]) -> Vec<String> {
        causes.iter().map(Cause::kind).collect()
    }

    #[test]
    fn a_report_that_is_whole_gives_no_cause() {
        assert_eq!(weighed(Leg::Patched, TWO, 0), []);
        assert_eq!(weighed(Leg::ConfigOff, TWO, 0), []);
    }

    #[test]
    fn each_case_that_was_planned_has_to_be_reported() {
        let one = "KTAP version 1\n1..1\n# returned 0\nok 1 good\n";
        let causes = weighed(Leg::Patched, one, 0);
        assert_eq!(kinds(&causes), ["plan-mismatch"]);
        assert!(causes[0].to_string().contains("there is none of \"flags\""), "{}", causes[0]);
        assert_eq!(kinds(&weighed(Leg::Patched, &TWO.replace("flags", "flogs"), 0)), ["plan-mismatch"]);
        assert_eq!(kinds(&weighed(Leg::Patched, "", 0)), ["plan-mismatch"]);
        assert_eq!(kinds(&weighed(Leg::Patched, &TWO.replace("1..2", "1..3"), 0)), ["plan-mismatch"]);
    }

    #[test]
    fn a_case_that_failed_is_told_with_what_it_is_taken_from() {
        let bad = TWO.replace("# returned -22 (EINVAL)\nok 2", "# returned 0\n# expected EINVAL\nnot ok 2");
        let causes = weighed(Leg::Patched, &bad, 1);
        assert_eq!(
            causes[0].to_string(),
            "1 of 2 cases failed; first: flags (returned 0; expected EINVAL) [xyzzy(2)]"
        );
        assert_eq!(causes.len(), 1);
        // Where the call must be absent, it is not.
        assert_eq!(kinds(&weighed(Leg::ConfigOff, &bad, 1)), ["not-absent"]);
        // The status has to agree, either way.
        assert_eq!(kinds(&weighed(Leg::Patched, &bad, 0)), ["case-failed", "plan-mismatch"]);
        assert_eq!(kinds(&weighed(Leg::Patched, TWO, 1)), ["plan-mismatch"]);
    }

    #[test]
    fn a_wrong_contract_a_broken_case_and_a_skip_are_no_failures_of_the_kernel() {
        let wrong =
            "KTAP version 1\n1..2\n# returned -2 (ENOENT)\nnot ok 1 good\nBail out! the good call fails\n";
        assert_eq!(kinds(&weighed(Leg::Patched, wrong, 1)), ["contract-wrong"]);
        let broken = TWO.replace("ok 2 flags", "not ok 2 flags # ERROR no place for an object");
        assert_eq!(kinds(&weighed(Leg::Patched, &broken, 1)), ["cases-broken"]);
        let skipped = TWO.replace("ok 2 flags", "ok 2 flags # SKIP not here");
        assert_eq!(kinds(&weighed(Leg::Patched, &skipped, 0)), ["cases-skipped"]);
    }
}
