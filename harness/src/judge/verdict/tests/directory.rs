//! A cell whose tests are of a directory of the tree: scripts, programs without a report, programs that are
//! not there.

use super::super::*;
use super::beside::known;
use super::cell::*;
use crate::model::{Leg, Symptom};

use Verdict::{Error, Fail, Miss, Pass, Skip};

const UNLIKE: &str = "TAP version 13\n1..1\nnot ok 1 copies\n";

/// A patched cell whose only test is judged by these rules, and says this.
fn cell(rules: Rules, said: &str, outcome: Outcome) -> (Expectation, Evidence) {
    let (mut expected, mut seen) = perfect(Leg::Patched, Abi::M32);
    expected.runs[0].rules = rules;
    does(&mut seen, 0, said, outcome);
    (expected, seen)
}

/// One that the tree has had.
fn old(script: bool) -> Rules {
    Rules::Kselftest { script, reports: false }
}

fn new(script: bool) -> Rules {
    Rules::Kselftest { script, reports: true }
}

fn first(judged: &Judged) -> String {
    judged.cause.as_ref().map(kind).unwrap_or_default()
}

#[test]
fn a_test_that_the_tree_has_had_may_say_by_its_exit_status_what_it_found() {
    let rows = [
        (0, Pass, ""),
        (1, Fail, "exit-failed"),
        // KSFT_SKIP.
        (4, Skip, "skipped"),
    ];
    for (code, verdict, cause) in rows {
        let (expected, seen) = cell(old(false), "memfd: CREATE\nmemfd: DONE\n", exited(code));
        let judged = judged(&expected, &seen);
        assert_eq!((judged.verdict, first(&judged).as_str()), (verdict, cause), "{code}");
        let [case] = &judged.cases[..] else { panic!("one case: {:?}", judged.cases) };
        assert_eq!((case.name.as_str(), case.verdict, unreported(case)), ("exit status", verdict, Some("")));
    }
    // One that was ended has no status.
    let (expected, seen) = cell(old(false), "", Outcome::Signal { signal: 11 });
    let dead = judged(&expected, &seen);
    assert_eq!((dead.verdict, first(&dead).as_str(), dead.cases.len()), (Fail, "test-signalled", 0));
    // What is new has to report, be it a program or a script.
    for rules in [Rules::Cell, new(true), new(false)] {
        let (expected, seen) = cell(rules, "all is well\n", exited(0));
        let silent = judged(&expected, &seen);
        assert_eq!((silent.verdict, first(&silent).as_str()), (Error, "no-report"), "{rules:?}");
    }
}

#[test]
fn whatever_its_rules_a_test_has_to_make_the_call() {
    for rules in [old(false), old(true), new(true)] {
        let (expected, mut seen) = cell(rules, REPORT, exited(0));
        assert_eq!(judged(&expected, &seen).verdict, Pass, "{rules:?}");
        end(&mut seen, 1).trace = Some(doors(Abi::M64, 70));
        let elsewhere = judged(&expected, &seen);
        assert_eq!((elsewhere.verdict, first(&elsewhere).as_str()), (Error, "not-entered"), "{rules:?}");
    }
}

#[test]
fn a_script_may_run_several_programs_of_which_each_reports() {
    let both = [REPORT, "TAP version 13\n1..1\nok 1 late\n"].concat();
    for (rules, verdict) in [(new(true), Pass), (old(true), Pass), (Rules::Cell, Error), (old(false), Error)]
    {
        let (expected, seen) = cell(rules, &both, exited(0));
        let judged = judged(&expected, &seen);
        assert_eq!(judged.verdict, verdict, "{rules:?}: {judged:?}");
        if verdict == Pass {
            assert_eq!(judged.cases.len(), 4, "{judged:?}");
        }
    }
    let (expected, seen) = cell(new(true), &[REPORT, UNLIKE].concat(), exited(1));
    assert_eq!(first(&judged(&expected, &seen)), "case-failed");
    // A shell goes on where what it calls is not there.
    let (expected, mut seen) = cell(new(true), "", exited(0));
    seen.runs[0].stderr = b"./xyzzy.sh: line 2: python3: command not found\n".into();
    end(&mut seen, 0).stderr_bytes = seen.runs[0].stderr.len() as u64;
    let lame = judged(&expected, &seen);
    assert_eq!((lame.verdict, first(&lame).as_str()), (Miss, "no-command"));
    let (mut expected, seen) = cell(old(true), "./run.sh: line 9: ./fuse_mnt: not found\n", exited(1));
    expected.helpers = vec![("fuse_mnt".to_owned(), "no fuse.h".to_owned())];
    assert_eq!(first(&judged(&expected, &seen)), "helper-not-built");
}

#[test]
fn a_program_that_is_killed_spoils_what_a_script_says() {
    let (expected, mut seen) = cell(new(true), REPORT, exited(0));
    kernel(&mut seen, "[    9.100222] helper[10]: segfault at 0 ip 00 sp 00 error 4\n");
    assert_eq!(first(&judged(&expected, &seen)), "no-report");
}

#[test]
fn what_one_test_found_is_not_hidden_by_what_another_one_lacked() {
    let (mut expected, mut seen) = cell(old(true), "./a.sh: line 2: fusermount: not found\n", exited(127));
    expected.runs.insert(1, ExpectedRun { program: "b_test".to_owned(), ..expected.runs[0].clone() });
    expected.runs[1].rules = old(false);
    seen.runs.insert(1, ran(1, "", exited(0)));
    let lacks = judged(&expected, &seen);
    assert_eq!((lacks.verdict, first(&lacks).as_str()), (Miss, "no-command"));
    ends(&mut seen, 1, exited(1));
    let failed = judged(&expected, &seen);
    assert_eq!((failed.verdict, first(&failed).as_str()), (Fail, "exit-failed"));
    let kinds: Vec<_> = failed.also.iter().map(kind).collect();
    assert_eq!(kinds, ["no-command", "exit-failed"]);
    // Nor is what the kernel or the trace shows.
    ends(&mut seen, 1, exited(0));
    end(&mut seen, 2).trace = Some(doors(Abi::M32, 0));
    assert_eq!(first(&judged(&expected, &seen)), "not-entered");
    end(&mut seen, 1).tainted_after = 512;
    let tainted = judged(&expected, &seen);
    assert_eq!((tainted.verdict, tainted.also.iter().any(|cause| kind(cause) == "tainted")), (Error, true));
    // A case that is called after its test has that name by an ABI that lacks the other one, too.
    expected.runs.remove(1);
    seen.runs.remove(1);
    expected.many = true;
    let alone = judged(&expected, &seen);
    assert_eq!(alone.cases[0].name, "xyzzy_test/exit status");
    assert_eq!(unreported(&alone.cases[0]), Some("xyzzy_test"));
}

#[test]
fn no_cell_is_whole_without_a_program_that_is_not_there() {
    let lack = Cause::NoCommand { program: "a.py".to_owned(), command: "python3".to_owned() };
    let (mut expected, mut seen) = cell(old(false), REPORT, exited(0));
    expected.absent = vec![lack.clone()];
    let without = judged(&expected, &seen);
    assert_eq!((without.verdict, without.cause.as_ref(), without.cases.len()), (Miss, Some(&lack), 3));
    // The other may be the one that makes the call.
    end(&mut seen, 1).trace = Some(doors(Abi::M32, 0));
    assert_eq!(judged(&expected, &seen).cause.as_ref(), Some(&lack));
    // What was seen weighs more, and the other's skip less.
    says(&mut seen, 0, UNLIKE);
    let failed = judged(&expected, &seen);
    assert_eq!((first(&failed).as_str(), failed.also.contains(&lack)), ("case-failed", true));
    does(&mut seen, 0, "TAP version 13\n1..0 # SKIP no reason\n", exited(4));
    assert_eq!(judged(&expected, &seen).verdict, Miss);
    // Where the call must be absent nobody misses it.
    let (mut control, seen) = perfect(Leg::ConfigOff, Abi::M32);
    control.absent = vec![lack];
    assert_eq!(judged(&control, &seen).verdict, Pass);
}

#[test]
fn what_is_known_of_a_case_holds_whatever_the_rules() {
    let known = known(Symptom::Case("copies".parse().unwrap()));
    let said = "TAP version 13\n1..2\nnot ok 1 copies\nok 2 flags\n";
    let (mut expected, mut seen) = cell(old(false), said, exited(1));
    expected.known = vec![known.clone()];
    let excused = judge(&expected, &seen);
    assert_eq!((excused.verdict, &excused.known[..]), (Pass, &[known][..]));
    ends(&mut seen, 0, exited(0));
    assert_eq!(first(&judged(&expected, &seen)), "plan-mismatch");
    // It excuses what it names, and no exit status that nothing reported explains.
    does(&mut seen, 0, "not ok 1 copies\n", exited(1));
    assert_eq!(judge(&expected, &seen).cause.as_ref().map(kind).as_deref(), Some("exit-failed"));
    expected.known = vec![super::beside::known(Symptom::Case("exit status".to_owned()))];
    // Nothing else having passed, that is no pass.
    assert_eq!(judge(&expected, &seen).cause.as_ref().map(kind).as_deref(), Some("no-report"));
    expected.runs.insert(1, ExpectedRun { program: "b_test".to_owned(), ..expected.runs[0].clone() });
    seen.runs.insert(1, ran(1, REPORT, exited(0)));
    expected.known = vec![super::beside::known(Symptom::Case("xyzzy_test/exit status".to_owned()))];
    let excused = judge(&expected, &seen);
    assert_eq!((excused.verdict, excused.known.len(), excused.cases[0].verdict), (Pass, 1, Fail));
    expected.runs.remove(1);
    seen.runs.remove(1);
    expected.known.clear();
    does(&mut seen, 0, said, exited(1));
    assert_eq!(first(&judged(&expected, &seen)), "case-failed");
}
