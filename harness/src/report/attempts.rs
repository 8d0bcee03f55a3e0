//! Several attempts at one cell (`--retries`, `--repeat`, `--until-fail`), and what they come to together.
//!
//! A cell has one verdict, whatever it took; the attempts stay beside it, each with the folder of its logs.

use serde::{Deserialize, Serialize};

use super::record::{CauseRecord, Durations};
use crate::broken::broken;
use crate::model::Verdict;

/// One attempt at a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AttemptRecord {
    /// What it came to.
    pub verdict: Verdict,
    /// Why it was not a pass.
    pub cause: Option<CauseRecord>,
    /// How many cases passed, and of how many.
    pub passed: (usize, usize),
    /// How long it took.
    pub durations: Durations,
    /// The folder of its logs, below the run's; empty if it never ran.
    pub logs: String,
}

impl AttemptRecord {
    /// Whether nothing but the host kept it from its verdict.
    pub fn is_of_host(&self) -> bool {
        self.cause.as_ref().is_some_and(|cause| cause.detail.is_of_host())
    }
}

/// The record of a cell of either kind.
pub trait Attempted {
    /// What it came to, as one of several attempts.
    fn attempt(&self) -> AttemptRecord;

    /// The attempts that it stands for, where there was more than one.
    fn attempts(&self) -> &[AttemptRecord];

    /// Notes the attempts that it stands for.
    fn keep(&mut self, attempts: Vec<AttemptRecord>);

    /// Whether it passed only when it was tried again.
    fn is_flaky(&self) -> bool {
        is_flaky(self.attempt().verdict, self.attempts())
    }
}

/// Whether a cell of this verdict passed only when it was tried again.
pub fn is_flaky(verdict: Verdict, attempts: &[AttemptRecord]) -> bool {
    let failed = attempts.iter().any(|attempt| attempt.verdict != Verdict::Pass);
    verdict == Verdict::Pass && failed && !broken("flaky")
}

/// What a report says of a cell's attempts beside its verdict: `flaky, 1 of 2`, or `2 of 5`; nothing where
/// there was one.
pub fn mark(verdict: Verdict, attempts: &[AttemptRecord]) -> Option<String> {
    let passed = attempts.iter().filter(|attempt| attempt.verdict == Verdict::Pass).count();
    let flaky = if is_flaky(verdict, attempts) { "flaky, " } else { "" };
    (attempts.len() > 1).then(|| format!("{flaky}{passed} of {}", attempts.len()))
}

/// The attempts as one cell: the worst of them decides.
///
/// With `retried`, the last one decides if it passed, and what the host did to an attempt decides only if
/// nothing else does: it says nothing of the cell.
pub fn decide<C: Attempted>(mut cells: Vec<C>, retried: bool) -> Option<C> {
    let attempts: Vec<AttemptRecord> = cells.iter().map(C::attempt).collect();
    let tells = |attempt: &AttemptRecord| !retried || !attempt.is_of_host();
    let any_tells = attempts.iter().any(tells);
    let passed = retried && attempts.last().is_some_and(|last| last.verdict == Verdict::Pass);
    let weighed = (0..attempts.len()).filter(|at| tells(&attempts[*at]) || !any_tells);
    let at = match passed {
        true => attempts.len() - 1,
        // Of equal ones the first: what came later may come from it.
        false => weighed.rev().max_by_key(|at| attempts[*at].verdict.weight())?,
    };
    let mut cell = cells.swap_remove(at);
    if attempts.len() > 1 {
        cell.keep(attempts);
    }
    Some(cell)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Abi, Cause, CellId, Judged, Leg};
    use crate::report::record::CellRecord;

    /// A cell that came to this.
    pub(crate) fn cell(cause: Option<Cause>) -> CellRecord {
        let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg: Leg::Patched, abi: Abi::M64 };
        let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
        CellRecord::new(&id, Judged { verdict, cause, also: vec![], cases: vec![], known: vec![] })
    }

    pub(crate) fn lost() -> Option<Cause> {
        Some(Cause::LostVm { detail: "killed by signal 9".to_owned() })
    }

    fn skipped() -> Option<Cause> {
        Some(Cause::Skipped { reason: "no time".to_owned() })
    }

    fn together(causes: &[Option<Cause>], retried: bool) -> (String, Option<String>) {
        let cell = decide(causes.iter().cloned().map(cell).collect(), retried).unwrap();
        let kind = cell.cause.as_ref().map_or("pass", |cause| &cause.kind);
        (kind.to_owned(), mark(cell.verdict, &cell.attempts))
    }

    #[test]
    fn attempts_come_to_one_verdict_and_are_counted() {
        let reset = || Some(Cause::Reset);
        for (causes, retried, kind, said) in [
            (vec![None], true, "pass", None),
            (vec![lost()], true, "lost-vm", None),
            (vec![lost(), None], true, "pass", Some("flaky, 1 of 2")),
            (vec![reset(), lost(), None], true, "pass", Some("flaky, 1 of 3")),
            (vec![lost(), lost()], true, "lost-vm", Some("0 of 2")),
            // What a guest did weighs more than what the host did, whichever came first,
            (vec![lost(), skipped()], true, "skipped", Some("0 of 2")),
            (vec![skipped(), lost()], true, "skipped", Some("0 of 2")),
            (vec![reset(), skipped()], true, "reset", Some("0 of 2")),
            // but not where each attempt has to pass.
            (vec![lost(), skipped()], false, "lost-vm", Some("0 of 2")),
            (vec![None, None], false, "pass", Some("2 of 2")),
            (vec![reset(), None, None], false, "reset", Some("2 of 3")),
            (vec![None, skipped(), reset(), lost()], false, "reset", Some("1 of 4")),
        ] {
            let found = together(&causes, retried);
            assert_eq!(found, (kind.to_owned(), said.map(str::to_owned)), "{causes:?}");
        }
        assert!(decide(Vec::<CellRecord>::new(), true).is_none());
    }

    #[test]
    fn a_pass_after_a_fail_is_flaky() {
        let flaky = decide(vec![cell(lost()), cell(None)], true).unwrap();
        assert!(flaky.is_flaky() && flaky.verdict == Verdict::Pass && flaky.cause.is_none());
        assert_eq!(flaky.attempts[0].cause.as_ref().unwrap().kind, "lost-vm");
        assert!(!decide(vec![cell(lost()), cell(lost())], true).unwrap().is_flaky());
        assert!(!decide(vec![cell(None), cell(None)], false).unwrap().is_flaky());
    }
}
