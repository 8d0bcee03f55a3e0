//! What stands beside a verdict: entries, notes, the order of causes, and what is known.

use super::super::machine::taint_flags;
use super::super::proof::probe_cases;
use super::super::*;
use super::cell::*;
use crate::model::{DoorEntries, Leg, Symptom, Trace};

use Verdict::{Fail, Pass};

#[test]
fn entries_are_told_by_the_numbers_of_the_plan() {
    let (expected, mut seen) = perfect(Leg::Patched, Abi::M32);
    let count = |abi: Abi, number: u32, count| DoorEntries { door: abi.door(number), count };
    let counts = [count(Abi::M64, 335, 0), count(Abi::M32, 463, 7), count(Abi::Mx32, 548, 2)];
    end(&mut seen, 1).trace = Some(Trace { syscalls: 30, entries: counts.to_vec() });
    let told: Vec<_> = entries(&expected, &seen).iter().map(|e| (e.abi, e.nr, e.count)).collect();
    assert_eq!(told, [(Abi::M64, 335, 0), (Abi::M32, 463, 7), (Abi::Mx32, 0x4000_0000 | 548, 2)]);
    // Where the number is another by each door, the wrong door is still named.
    end(&mut seen, 1).trace.as_mut().unwrap().entries[1].count = 0;
    let judged = judged(&expected, &seen);
    assert!(judged.cause.unwrap().to_string().contains("2 times by the mx32 door"));
    let (control, seen) = perfect(Leg::Unpatched, Abi::M32);
    assert!(entries(&control, &seen).is_empty());
}

#[test]
fn what_is_not_weighed_is_written_down() {
    let (expected, mut seen) = perfect(Leg::ConfigOff, Abi::M64);
    does(&mut seen, 1, "TAP version 13\n1..2\nok 1 a\nnot ok 2 b\n", exited(1));
    let [said] = &recorded(&expected, &seen)[..] else { panic!("one program was recorded") };
    assert_eq!((said.program.as_str(), said.outcome.as_str()), ("xyzzy_test", "exited with status 1"));
    let cases: Vec<_> = said.cases.iter().map(|case| (case.name.as_str(), case.verdict)).collect();
    assert_eq!(cases, [("a", Pass), ("b", Fail)]);
    seen.runs[1].end = None;
    assert_eq!(recorded(&expected, &seen)[0].outcome, "did not end");
}

#[test]
fn cases_of_several_programs_carry_their_names() {
    let (mut expected, mut seen) = perfect(Leg::Patched, Abi::M64);
    expected.runs.insert(1, ExpectedRun { program: "second".to_owned(), ..expected.runs[0].clone() });
    seen.runs.insert(1, ran(1, "TAP version 13\n1..1\nok 1 copies\n", exited(0)));
    let names = |judged: Judged| judged.cases.into_iter().map(|case| case.name).collect::<Vec<_>>();
    let both = judged(&expected, &seen);
    assert_eq!(both.verdict, Pass);
    assert_eq!(names(both), ["xyzzy_test/copies", "xyzzy_test/flags", "xyzzy_test/sizes", "second/copies"]);
    // Each of them has to report.
    says(&mut seen, 1, "");
    let half = judged(&expected, &seen);
    assert!(matches!(half.cause, Some(Cause::NoReport { program, .. }) if program == "second"));
}

#[test]
fn causes_stand_in_the_order_of_their_weight() {
    let kinds = |change: Change| {
        let (mut expected, mut seen) = perfect(Leg::Patched, Abi::M64);
        change(&mut expected, &mut seen);
        let judged = judged(&expected, &seen);
        judged.cause.iter().chain(&judged.also).map(kind).collect::<Vec<_>>().join(" ")
    };
    let all = kinds(|_, s| {
        no_bye(s);
        resets(s);
        kernel(s, &[OOPS, PANIC].concat());
        does(s, 0, "TAP version 13\n1..2\nok 1 a # SKIP b\nnot ok 2 c\n", exited(1));
        end(s, 0).tainted_after = 1 << 7;
    });
    assert_eq!(all, "kernel-fault panic reset case-failed tainted cases-skipped");
    let contradiction = kinds(|_, s| says(s, 0, "TAP version 13\n1..1\nnot ok 1 a\n"));
    assert_eq!(contradiction, "case-failed plan-mismatch");
    let unproven = kinds(|_, s| s.runs[1].end = None);
    assert_eq!(unproven, "no-report no-proof");
    // What taints once stays, and is told once.
    let tainted = kinds(|_, s| {
        end(s, 0).tainted_after = 512;
        (1..3).for_each(|run| (end(s, run).tainted_before, end(s, run).tainted_after) = (512, 512));
    });
    assert_eq!(tainted, "tainted");
}

/// The judge knows the probe by its words: they must be the probe's.
#[test]
fn the_question_is_the_probes() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let source = std::fs::read_to_string(format!("{root}{PROBE}")).unwrap();
    for leg in [Leg::Patched, Leg::Unpatched] {
        let (expected, _) = perfect(leg, Abi::M64);
        let format = question(&expected).replace("463", "%u");
        assert!(source.contains(&format), "{format}");
    }
    let patterns = source.split("patterns[] = {").nth(1).unwrap().split("\n};").next().unwrap();
    assert_eq!(patterns.matches("\n\t{ \"").count(), probe_cases(Leg::Unpatched));
}

#[test]
fn every_signal_and_taint_has_a_name() {
    for (signal, name) in [(1, "SIGHUP"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM")] {
        assert_eq!(signal_name(signal), name);
    }
    assert_eq!(signal_name(34), "a real-time signal");
    assert_eq!(taint_flags(1 << 9 | 1 << 7), "DW");
    assert_eq!(taint_flags(1 << 18 | 1 << 19), "Nbit 19");
}

pub(super) fn known(symptom: Symptom) -> KnownIssue {
    KnownIssue {
        symptom,
        syscall: None,
        leg: None,
        abi: None,
        reason: "a fix is on its way".to_owned(),
        link: "https://example.org/1".to_owned(),
        expires: "2030-01-01".parse().unwrap(),
    }
}

/// Judges a patched cell to which `change` happened and in which `symptom` is known.
fn judged_knowing(symptom: Symptom, change: impl Fn(&mut Evidence)) -> Judged {
    let (mut expected, mut seen) = perfect(Leg::Patched, Abi::M32);
    expected.known = vec![known(symptom)];
    change(&mut seen);
    judge(&expected, &seen)
}

#[test]
fn what_is_known_is_shown_and_not_held_against_the_cell() {
    let splat = || Symptom::Splat("WARNING at kernel/xyzzy.c in do_xyzzy".to_owned());
    let warned = |seen: &mut Evidence| {
        kernel(seen, WARNING);
        end(seen, 0).tainted_after = 1 << 9;
        end(seen, 1).tainted_before = 1 << 9;
        end(seen, 1).tainted_after = 1 << 9;
    };
    let judged = judged_knowing(splat(), warned);
    assert_eq!((judged.verdict, judged.known.len()), (Verdict::Pass, 1), "{judged:#?}");
    let case = || Symptom::Case("flags".to_owned());
    let failed = REPORT.replace("ok 2", "not ok 2");
    let judged = judged_knowing(case(), |seen| does(seen, 0, &failed, exited(1)));
    assert_eq!((judged.verdict, judged.known.len()), (Verdict::Pass, 1), "{judged:#?}");
    assert_eq!(judged.passed(), (2, 3), "the case itself stays what it is");
    // What is known and does not happen is no match.
    assert!(judged_knowing(case(), |_| ()).known.is_empty());
}

#[test]
fn what_is_known_excuses_nothing_else() {
    let splat = || Symptom::Splat("WARNING at kernel/xyzzy.c in do_xyzzy".to_owned());
    let case = || Symptom::Case("flags".to_owned());
    let failed = REPORT.replace("ok 2", "not ok 2");
    let kind = |judged: Judged| judged.cause.as_ref().map(Cause::kind).unwrap_or_default();
    // Another splat, another case, another status, a fatal report, a cell without a report.
    let other = judged_knowing(splat(), |seen| {
        kernel(seen, WARNING);
        kernel(seen, LOCKDEP);
    });
    assert_eq!(kind(other), "kernel-fault");
    let both = judged_knowing(case(), |seen| does(seen, 0, &failed.replace("ok 3", "not ok 3"), exited(1)));
    assert_eq!(kind(both), "case-failed");
    let status = judged_knowing(case(), |seen| does(seen, 0, &failed, exited(2)));
    assert_eq!(kind(status), "exit-status");
    let lie = judged_knowing(case(), |seen| says(seen, 0, &failed));
    assert_eq!(kind(lie), "plan-mismatch");
    let short = judged_knowing(case(), |seen| does(seen, 0, &failed.replace("ok 3 sizes\n", ""), exited(1)));
    assert_eq!(kind(short), "plan-mismatch");
    let fatal = Symptom::Splat("BUG: kernel NULL pointer dereference*".to_owned());
    assert_eq!(kind(judged_knowing(fatal, |seen| kernel(seen, OOPS))), "kernel-fault");
    let taint = judged_knowing(splat(), |seen| {
        kernel(seen, WARNING);
        end(seen, 0).tainted_after = 1 << 7;
    });
    assert_eq!(kind(taint), "tainted");
    // A hung task taints nothing: the warning is somebody else's.
    let hung = "INFO: task x:30 blocked for more than 20 seconds.\n";
    let other_taint = judged_knowing(Symptom::Splat("INFO: task blocked for too long".to_owned()), |seen| {
        kernel(seen, hung);
        end(seen, 0).tainted_after = 1 << 9;
    });
    assert_eq!((other_taint.known.len(), kind(other_taint)), (1, "tainted".to_owned()));
    // After its first report the lock validator says nothing more.
    let lockdep = Symptom::Splat("WARNING: possible circular locking dependency detected".to_owned());
    assert_eq!(kind(judged_knowing(lockdep, |seen| kernel(seen, LOCKDEP))), "kernel-fault");
    // A cell in which nothing passes shows nothing, however well that is known.
    let all = Symptom::Case("case*".to_owned());
    let none = "TAP version 13\n1..2\nnot ok 1 case a\nnot ok 2 case b\n";
    assert_eq!(kind(judged_knowing(all, |seen| does(seen, 0, none, exited(1)))), "no-report");
    // Without its report, a taint is not excused.
    let silent = judged_knowing(splat(), |seen| end(seen, 0).tainted_after = 1 << 9);
    assert_eq!(kind(silent), "tainted");
    let control = {
        let (mut expected, mut seen) = perfect(Leg::ConfigOff, Abi::M64);
        expected.known = vec![known(Symptom::Case("number*".to_owned()))];
        does(&mut seen, 0, &answer(Leg::ConfigOff, ["not ok", "ok", "ok"]), exited(1));
        judge(&expected, &seen)
    };
    assert_eq!(kind(control), "not-absent");
}
