use super::*;
use crate::model::{Abi, Cause, FaultSummary, KnownIssue, Symptom};
use crate::report::record::{RunRecord, State};
use crate::report::view::tests::{kselftest, syscall};

fn classes(outcomes: &[Outcome]) -> Vec<(&str, Class)> {
    outcomes.iter().map(|outcome| (outcome.name.as_str(), outcome.class)).collect()
}

/// One cell of the example with this cause, and these cases of it.
fn with(cause: Option<Cause>, cases: Vec<CaseResult>) -> RunRecord {
    let mut run = syscall();
    run.cells.truncate(1);
    run.selected = 1;
    let cell = &mut run.cells[0];
    (cell.cases, cell.verdict) = (cases, cause.as_ref().map_or(Verdict::Pass, Cause::verdict));
    cell.cause = cause.as_ref().map(CauseRecord::from);
    run
}

fn case(name: &str, verdict: Verdict) -> CaseResult {
    CaseResult { name: name.to_owned(), verdict, message: None }
}

#[test]
fn a_cause_that_no_case_tells_has_an_outcome_of_its_own() {
    let run = syscall();
    let view = View::of_syscall(&run);
    let m32 = of_cell(&view.rows[0].cells[&Abi::M32]);
    // `case-failed` is told by the case that failed; the splat is not.
    assert_eq!(
        classes(&m32),
        [
            ("basic", Class::Pass),
            ("big values", Class::Fail),
            (m32[2].name.as_str(), Class::Skip),
            ("verdict: kernel-fault", Class::Fail),
        ]
    );
    assert!(m32[3].why.contains("WARNING in do_xyzzy"), "{m32:?}");
    assert!(!m32[2].name.contains('\u{1b}'), "{m32:?}");
    let mx32 = of_cell(&view.rows[0].cells[&Abi::Mx32]);
    assert_eq!(classes(&mx32), [("verdict: no-kernel-abi", Class::Error)]);
    let skip = of_cell(&view.rows[1].cells[&Abi::M32]);
    assert_eq!(classes(&skip), [("a", Class::Skip), ("verdict: skipped", Class::Skip)]);
}

/// Each verdict, with cases and without, those that all passed included.
#[test]
fn a_cells_verdict_is_always_among_its_outcomes() {
    let fault = FaultSummary { kind: "oops".to_owned(), title: "Oops".to_owned(), line: 1 };
    let causes = [
        None,
        Some(Cause::Panic { fault }),
        Some(Cause::CaseFailed { failed: 1, total: 1, first: "a".to_owned() }),
        Some(Cause::Skipped { reason: "root".to_owned() }),
        Some(Cause::CasesSkipped { skipped: 1, total: 1, first: "a".to_owned() }),
        Some(Cause::NotRun { reason: "interrupted by SIGINT".to_owned() }),
        Some(Cause::Interrupted { signal: "SIGINT".to_owned() }),
        Some(Cause::CasesBroken { broken: 1, total: 1, first: "a".to_owned() }),
        Some(Cause::LostVm { detail: "gone".to_owned() }),
    ];
    for cause in causes {
        for cases in [vec![], vec![case("a", Verdict::Pass)], vec![case("a", Verdict::Skip)]] {
            let run = with(cause.clone(), cases);
            let view = View::of_syscall(&run);
            let cell = view.cells().next().unwrap();
            let totals = Totals::of(&of_cell(cell));
            let told = match cell.verdict {
                Verdict::Pass => totals.pass > 0 && totals.fail + totals.error == 0,
                Verdict::Fail => totals.fail > 0,
                Verdict::Skip => totals.skip > 0,
                Verdict::Miss | Verdict::Error => totals.error > 0,
            };
            assert!(told, "{cause:?}: {totals:?}");
            assert_eq!(of_run(&view), []);
        }
    }
}

#[test]
fn what_is_not_there_is_an_error_each() {
    let mut run = syscall();
    run.cells.truncate(1);
    run.state = State::Interrupted;
    let outcomes = of_run(&View::of_syscall(&run));
    assert_eq!(Totals::of(&outcomes), Totals { error: 6, ..Totals::default() });
    assert!(outcomes[0].why.contains("INTERRUPTED: 5 of 6 cells have no verdict"), "{outcomes:?}");
    // A run that was killed between its last cell and its end.
    let mut run = syscall();
    run.state = State::Running;
    assert_eq!(of_run(&View::of_syscall(&run)).len(), 1);
    // One that never was, and one whose kernel's programs are not known.
    let mut run = syscall();
    run.cells.clear();
    run.selected = 0;
    assert_eq!(of_run(&View::of_syscall(&run)).len(), 1);
    let mut run = kselftest();
    run.kernels_selected = 2;
    assert_eq!(of_run(&View::of_kselftest(&run)).len(), 1);
    // What a record says is not believed to be small.
    let mut run = syscall();
    run.selected = usize::MAX;
    let outcomes = of_run(&View::of_syscall(&run));
    assert_eq!(outcomes.len(), 1 + limits::ABSENT_SHOWN);
    assert!(outcomes.last().unwrap().why.contains("more"), "{:?}", outcomes.last());
}

#[test]
fn a_known_issue_is_a_skip_that_names_it() {
    let mut run = with(None, vec![case("a", Verdict::Pass), case("b", Verdict::Fail)]);
    run.cells[0].known = vec![KnownIssue {
        symptom: Symptom::Case("b".to_owned()),
        syscall: None,
        leg: None,
        abi: None,
        reason: "fixed in 6.13".to_owned(),
        link: "https://example.org/1".to_owned(),
        expires: "2026-12-31".parse().unwrap(),
    }];
    let outcomes = of_cell(View::of_syscall(&run).cells().next().unwrap());
    assert_eq!(classes(&outcomes), [("a", Class::Pass), ("b", Class::Skip)]);
    assert!(outcomes[1].why.contains("known issue") && outcomes[1].why.contains("fixed in 6.13"));
}

#[test]
fn no_two_of_a_cell_have_one_name_and_none_has_the_cells() {
    let parent = "linux-6.12 patched m64";
    let names = ["a", "a", "a (2)", "a", parent, ""];
    let run = with(None, names.iter().map(|name| case(name, Verdict::Pass)).collect());
    let outcomes = of_cell(View::of_syscall(&run).cells().next().unwrap());
    let names: Vec<_> = outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
    assert_eq!(names, ["a", "a (3)", "a (2)", "a (4)", "linux-6.12 patched m64 (2)", "(no name)"]);
}
