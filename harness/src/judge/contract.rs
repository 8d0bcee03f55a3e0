//! What the prober of contracts reported: each case that was planned, and what it is taken from.

use serde::{Deserialize, Serialize};

use super::known;
use super::ktap::{self, Leaf, Status};
use super::verdict::{ExpectedRun, Expectation, case_results, incomplete, one_line};
use super::watch::RunEvidence;
use crate::broken::broken;
use crate::model::{CaseResult, Cause, KnownIssue, Outcome};

/// In front of the names of all cases of a contract.
const PREFIX: &str = "contract/";
/// What the prober says first of a case in which the call came back.
const RETURNED: &str = "returned ";

/// A case as the judge has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCase {
    /// The rule in words.
    pub name: String,
    /// What the rule is taken from.
    pub cite: String,
}

/// A case of a contract that an ABI cannot express: no skip, no divergence, and not vanished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplicable {
    /// The rule in words.
    pub name: String,
    /// What the ABI has not.
    pub reason: String,
}

/// Whether a case is a contract's.
pub fn is_case(name: &str) -> bool {
    name.starts_with(PREFIX)
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
