//! Known issues at the judge's: what of the evidence is set aside, and what a run did not show.
//!
//! Only what the kernel survives can be excused, and only by its own name: a panic ends the guest
//! whether it is known or not, and a case that is missing is no case that fails.

use super::console::Finding;
use super::ktap::{Leaf, Status};
use super::watch::Evidence;
use crate::model::{CellId, KnownIssue, SyscallName};

/// Takes the findings that are known out of the evidence and returns those issues, each once.
pub fn set_aside(known: &[KnownIssue], seen: &mut Evidence) -> Vec<KnownIssue> {
    let mut met = Vec::new();
    seen.findings.retain(|finding| {
        let issue = known.iter().find(|issue| excuses(issue, finding));
        note(&mut met, issue);
        issue.is_none()
    });
    met
}

fn excuses(issue: &KnownIssue, finding: &Finding) -> bool {
    finding.is_kernel_fault()
        && !finding.fatal
        && (issue.symptom.is_splat(&finding.title) || issue.symptom.is_splat(&finding.whole_title()))
}

/// The issue that a failed case is known by.
pub fn of_case<'a>(known: &'a [KnownIssue], leaf: &Leaf<'_>) -> Option<&'a KnownIssue> {
    let failed = leaf.case.status == Status::NotOk;
    known.iter().find(|issue| failed && issue.symptom.is_case(&leaf.name))
}

/// Adds an issue to those that were met, once.
pub fn note(met: &mut Vec<KnownIssue>, issue: Option<&KnownIssue>) {
    if let Some(issue) = issue.filter(|issue| !met.contains(issue)) {
        met.push(issue.clone());
    }
}

/// The issues that no cell has met although one of theirs ran to its end: fixed, perhaps.
/// `ran` is the cells that did, with what they met.
pub fn not_met<'a>(
    known: &'a [KnownIssue],
    syscall: &SyscallName,
    ran: &[(CellId, &[KnownIssue])],
) -> Vec<&'a KnownIssue> {
    let not_met = |issue: &&KnownIssue| {
        let mut cells = ran.iter().filter(|(cell, _)| issue.concerns(syscall, cell)).peekable();
        cells.peek().is_some() && !cells.any(|(_, met)| met.contains(*issue))
    };
    known.iter().filter(not_met).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Abi, Leg, Symptom};

    fn issue(symptom: Symptom, abi: Option<Abi>) -> KnownIssue {
        let (reason, link) = ("being fixed".to_owned(), "https://example.org/1".to_owned());
        KnownIssue {
            symptom,
            syscall: None,
            leg: Some(Leg::Patched),
            abi,
            reason,
            link,
            expires: "2030-01-01".parse().unwrap(),
        }
    }

    #[test]
    fn an_issue_is_missed_only_where_it_could_have_been_met() {
        let known = [
            issue(Symptom::Case("a".to_owned()), None),
            issue(Symptom::Case("b".to_owned()), Some(Abi::M32)),
            issue(Symptom::Case("c".to_owned()), Some(Abi::M64)),
        ];
        let cell = |leg, abi| CellId { kernel: "k".parse().unwrap(), leg, abi };
        let syscall = "xyzzy".parse().unwrap();
        let first = &known[..1];
        let ran = [(cell(Leg::Patched, Abi::M64), first), (cell(Leg::ConfigOff, Abi::M32), &[][..])];
        assert_eq!(not_met(&known, &syscall, &ran), [&known[2]]);
        assert!(not_met(&known, &syscall, &[]).is_empty());
    }
}
