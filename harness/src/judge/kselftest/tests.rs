use std::time::Duration;

use super::*;
use crate::judge::console::Finding;
use crate::model::{Hello, RunEnd, Verdict};

const REPORT: &str = "TAP version 13\n1..2\nok 1 a\nok 2 b\n";

fn expected() -> Expected {
    Expected {
        abi: Abi::M32,
        program: "t".to_owned(),
        deadline_ms: 180_000,
        script: false,
        helpers: Vec::new(),
    }
}

fn hello() -> Hello {
    Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.1".to_owned(),
        version: "#1".to_owned(),
        boot_id: "36516247-8c20-4349-8d36-51e5cd2f31dd".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: true,
        mem_kb: 248_076,
    }
}

/// A guest that came to its end, with one program that said and did this.
fn seen(stdout: &str, stderr: &str, outcome: Outcome) -> Evidence {
    let ms = Duration::from_millis;
    let end = RunEnd {
        run: 0,
        outcome,
        tainted_before: 0,
        tainted_after: 0,
        wall_us: 1000,
        user_us: 1,
        sys_us: 1,
        maxrss_kb: 500,
        stdout_bytes: stdout.len() as u64,
        stderr_bytes: stderr.len() as u64,
        leaked: 0,
        trace: None,
    };
    Evidence {
        hello: Some((ms(500), hello())),
        runs: vec![RunEvidence {
            started: true,
            stdout: stdout.into(),
            stderr: stderr.into(),
            end: Some(end),
        }],
        bye: Some(ms(1000)),
        banner: true,
        shutdown: Some((true, "guest-shutdown".to_owned())),
        exit: Some(("exited with status 0".to_owned(), true, String::new())),
        over_at: ms(1100),
        ..Evidence::default()
    }
}

fn exited(stdout: &str, code: u8) -> Judged {
    judge(&expected(), &seen(stdout, "", Outcome::Exit { code }))
}

#[test]
fn the_exit_status_and_the_report_have_to_agree() {
    let plan = |rest: &str| format!("TAP version 13\n1..2\n{rest}");
    let bad = plan("ok 1 a\nnot ok 2 b\n");
    let short = plan("ok 1 a\n");
    let skipped = plan("ok 1 a\nok 2 b # SKIP no b here\n");
    let xfail = plan("ok 1 a\nok 2 b # XFAIL known\n");
    let skip_all = "TAP version 13\n1..0 # SKIP nothing here\n";
    // What it says, its exit status, the verdict, the cause's name, a word of it.
    let table: [(&str, u8, Verdict, &str, &str); 21] = [
        (REPORT, 0, Verdict::Pass, "", ""),
        (REPORT, 1, Verdict::Fail, "exit-status", "status 1 although"),
        (REPORT, 2, Verdict::Fail, "exit-status", "status 2"),
        (REPORT, 3, Verdict::Fail, "exit-status", "status 3"),
        (REPORT, 4, Verdict::Skip, "skipped", ""),
        (&bad, 1, Verdict::Fail, "case-failed", "1 of 2 cases failed; first: b"),
        (&bad, 0, Verdict::Fail, "case-failed", ""),
        (&bad, 4, Verdict::Fail, "case-failed", ""),
        (&short, 0, Verdict::Error, "plan-mismatch", "planned"),
        (&short, 1, Verdict::Fail, "exit-status", ""),
        // kselftest.h: whoever skips in the middle of its plan ends there.
        (&short, 4, Verdict::Skip, "skipped", ""),
        (&skipped, 0, Verdict::Skip, "cases-skipped", "no b here"),
        (&xfail, 0, Verdict::Skip, "cases-skipped", "b (known"),
        (&xfail, 2, Verdict::Skip, "cases-skipped", ""),
        (skip_all, 4, Verdict::Skip, "skipped", "nothing here"),
        ("", 0, Verdict::Pass, "", ""),
        ("it went wrong\n", 1, Verdict::Fail, "exit-failed", "it went wrong"),
        ("no such call\n", 4, Verdict::Skip, "skipped", "no such call"),
        ("", 4, Verdict::Skip, "skipped", "without a word"),
        ("Failed to open /dev/x\n", 4, Verdict::Skip, "skipped", "/dev/x"),
        // Without a report nobody knows that 2 means an expected failure.
        ("usage\n", 2, Verdict::Fail, "exit-failed", "status 2"),
    ];
    for (stdout, code, verdict, kind, word) in table {
        let judged = exited(stdout, code);
        assert_eq!(judged.verdict, verdict, "{stdout:?} {code}: {:?}", judged.cause);
        let cause = judged.cause.map(|cause| (cause.kind(), cause.to_string())).unwrap_or_default();
        assert_eq!(cause.0, kind, "{stdout:?} {code}: {}", cause.1);
        assert!(cause.1.contains(word), "{stdout:?} {code}: {}", cause.1);
    }
    // A script that counted four failures, and one that skips.
    let script = Expected { script: true, ..expected() };
    for (stdout, verdict) in [
        ("a: ok\nFAIL: something else went wrong\n", Verdict::Fail),
        ("skipped: mount failed\n", Verdict::Skip),
    ] {
        let judged = judge(&script, &seen(stdout, "", Outcome::Exit { code: 4 }));
        assert_eq!(judged.verdict, verdict, "{stdout:?}: {:?}", judged.cause);
    }
}

#[test]
fn words_that_begin_with_ok_are_no_report_and_a_failure_among_them_is_one() {
    assert!(exited("ok so far\nall fine\n", 0).cases.is_empty());
    assert_eq!(exited("ok so far\n", 0).verdict, Verdict::Pass);
    let judged = exited("ok 1 a\nnot ok 2 b\n", 0);
    assert_eq!(judged.cause.map(|cause| cause.kind()).as_deref(), Some("case-failed"));
    assert!(!said(&expected(), &seen("ok so far\n", "", Outcome::Exit { code: 0 })).reported);
    let of_report = said(&expected(), &seen(REPORT, "", Outcome::Exit { code: 0 }));
    assert_eq!((of_report.reported, of_report.outcome.as_deref()), (true, Some("exited with status 0")));
}

#[test]
fn a_report_on_standard_error_is_one() {
    let judged = |stdout: &str, stderr: &str| {
        let judged = judge(&expected(), &seen(stdout, stderr, Outcome::Exit { code: 0 }));
        (judged.verdict, judged.cases.len())
    };
    assert_eq!(judged("", REPORT), (Verdict::Pass, 2));
    assert_eq!(judged("words\n", "TAP version 13\n1..2\nok 1 a\n").0, Verdict::Error);
    assert_eq!(judged("", "not ok 1 a\n").0, Verdict::Fail);
    // What failed on one of them is not mended by the other, whichever has the report.
    for (stdout, stderr) in [("not ok 1 a\n", REPORT), (REPORT, "not ok 3 c\n")] {
        let judged = judge(&expected(), &seen(stdout, stderr, Outcome::Exit { code: 0 }));
        assert_eq!(judged.cause.unwrap().kind(), "case-failed", "{stdout:?} {stderr:?}");
        assert_eq!(judged.cases.len(), 2);
    }
    // What is said beside a report is no other.
    assert_eq!(judged(REPORT, "1..7\n"), (Verdict::Pass, 2));
}

#[test]
fn what_is_wrong_with_the_machine_comes_first_and_nothing_hides_it() {
    for (change, kind) in [
        ((|seen| seen.runs[0].end = None) as fn(&mut Evidence), "no-report"),
        (|seen| seen.bye = None, "early-power-off"),
        (|seen| seen.banner = false, "blind"),
        (|seen| seen.runs[0].end.as_mut().unwrap().tainted_after = 1 << 9, "tainted"),
        (|seen| seen.runs[0].end.as_mut().unwrap().stdout_bytes = 9, "bad-frames"),
        (
            |seen| seen.runs[0].end.as_mut().unwrap().outcome = Outcome::Timeout { signal: Some(15) },
            "test-timeout",
        ),
        (
            |seen| seen.runs[0].end.as_mut().unwrap().outcome = Outcome::Signal { signal: 11 },
            "test-signalled",
        ),
        (|seen| seen.runs[0].end.as_mut().unwrap().outcome = Outcome::NoExec { errno: 8 }, "no-exec"),
    ] {
        let mut evidence = seen(REPORT, "", Outcome::Exit { code: 0 });
        change(&mut evidence);
        let judged = judge(&expected(), &evidence);
        assert_eq!(judged.cause.map(|cause| cause.kind()).as_deref(), Some(kind));
    }
}

#[test]
fn a_command_that_is_not_there_is_a_miss_of_a_script_whatever_it_then_says() {
    let script = Expected { script: true, ..expected() };
    for (stderr, command) in [
        ("./run.sh: line 7: tc: command not found\n", "tc"),
        ("./run.sh: line 3: python3: not found\n", "python3"),
        ("/kselftest/a/run.sh: 9: ip6tables-save: not found\n", "ip6tables-save"),
    ] {
        for code in [0, 1, 127] {
            let judged = judge(&script, &seen("", stderr, Outcome::Exit { code }));
            assert_eq!(judged.verdict, Verdict::Miss, "{stderr} {code}");
            assert!(judged.cause.unwrap().to_string().contains(&format!("`{command}`")), "{stderr}");
        }
        // It reports what it did, all the same.
        assert_eq!(judge(&script, &seen(REPORT, stderr, Outcome::Exit { code: 0 })).verdict, Verdict::Pass);
        // It looked for itself, and skipped.
        assert_eq!(judge(&script, &seen("", stderr, Outcome::Exit { code: 4 })).verdict, Verdict::Skip);
        // A compiled program's words are its own.
        assert_eq!(judge(&expected(), &seen("", stderr, Outcome::Exit { code: 1 })).verdict, Verdict::Fail);
    }
    // Who cannot be killed is the kernel's doing, whatever was not there.
    let stuck = judge(&script, &seen("", "./run.sh: line 3: nc: not found\n", Outcome::Stuck));
    assert_eq!((stuck.verdict, stuck.cause.unwrap().kind().as_str()), (Verdict::Fail, "test-stuck"));
    for stderr in ["./run.sh: ./helper: not found\n", "key 12: object not found\n"] {
        assert_eq!(
            judge(&script, &seen("", stderr, Outcome::Exit { code: 1 })).verdict,
            Verdict::Fail,
            "{stderr}"
        );
    }
}

#[test]
fn a_failure_beside_a_helper_that_was_not_built_proves_nothing() {
    let helpers = vec![("helper".to_owned(), "h.c:1: error: no".to_owned())];
    let lame = Expected { helpers, ..expected() };
    let judged = judge(&lame, &seen("", "./helper: No such file or directory\n", Outcome::Exit { code: 1 }));
    assert_eq!((judged.verdict, judged.also.len()), (Verdict::Error, 1));
    assert!(judged.cause.unwrap().to_string().contains("h.c:1: error: no"));
    // Its success proves as little.
    let quiet = judge(&lame, &seen("", "sh: ./helper: not found\n", Outcome::Exit { code: 0 }));
    assert_eq!(quiet.verdict, Verdict::Error);
    // Whose words do not miss it failed by itself, or by a case; the helper is told beside it.
    let own = judge(&lame, &seen("", "expected 1, found 2\n", Outcome::Exit { code: 1 }));
    assert_eq!((own.verdict, own.also.len()), (Verdict::Fail, 1));
    let case = "TAP version 13\n1..1\nnot ok 1 a\n";
    let failed = judge(&lame, &seen(case, "./helper: not found\n", Outcome::Exit { code: 1 }));
    assert_eq!(failed.cause.unwrap().kind(), "case-failed");
    // A script that says nothing of what it did may have needed it.
    let script = Expected { script: true, ..lame.clone() };
    assert_eq!(judge(&script, &seen("", "", Outcome::Exit { code: 0 })).verdict, Verdict::Error);
    // A skipped case is a skip.
    let skips = "TAP version 13\n1..2\nok 1 a\nok 2 b # SKIP no c\n";
    assert_eq!(judge(&lame, &seen(skips, "", Outcome::Exit { code: 0 })).verdict, Verdict::Skip);
    assert_eq!(judge(&lame, &seen(REPORT, "", Outcome::Exit { code: 0 })).verdict, Verdict::Pass);
}

#[test]
fn a_script_may_run_several_programs_that_report_and_each_has_to_be_right() {
    let script = Expected { script: true, ..expected() };
    let judged = |stdout: &str| judge(&script, &seen(stdout, "", Outcome::Exit { code: 0 }));
    let two = format!(
        "first:\n{REPORT}\nsecond:\n{REPORT}# Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0\n"
    );
    let good = judged(&two);
    assert_eq!((good.verdict, good.cases.len()), (Verdict::Pass, 4), "{:?}", good.cause);
    let failed = judged(&format!("{REPORT}TAP version 13\n1..1\nnot ok 1 c\n"));
    assert_eq!(failed.cause.unwrap().kind(), "case-failed");
    for cut in ["TAP version 13\n1..2\nok 1 a\n", "TAP version 13\nok 1 a\n"] {
        for whole in [format!("{REPORT}{cut}"), format!("{cut}{REPORT}")] {
            let judged = judged(&whole);
            assert_eq!(judged.verdict, Verdict::Error, "{whole}: {:?}", judged.cause);
        }
    }
    // The shell goes on when one of them is killed before it reports anything.
    let finding = Finding {
        kind: Kind::Segfault,
        title: "segfault of futex_requeue".to_owned(),
        line: 7,
        text: "futex_requeue[81]: segfault at 0".to_owned(),
        fatal: false,
        task: None,
        frame: None,
        at: None,
    };
    let killed_in = |stdout: &str| Evidence {
        findings: vec![finding.clone()],
        ..seen(stdout, "", Outcome::Exit { code: 0 })
    };
    let crashed = killed_in(&two);
    let killed = judge(&script, &crashed).cause.unwrap().to_string();
    assert!(killed.contains("segfault of futex_requeue"), "{killed}");
    // A case that was skipped does not hide it.
    // Nor does a command that was not there: a miss is compared with no other ABI.
    let mut lacks = killed_in(&two);
    lacks.runs[0].stderr = b"./run.sh: line 3: tc: not found\n".to_vec();
    lacks.runs[0].end.as_mut().unwrap().stderr_bytes = lacks.runs[0].stderr.len() as u64;
    assert_eq!(judge(&script, &lacks).cause.unwrap().to_string(), killed);
    let skips = killed_in(&format!("{REPORT}TAP version 13\n1..1\nok 1 c # SKIP no c\n"));
    assert_eq!(judge(&script, &skips).cause.unwrap().to_string(), killed);
    // What one program does with its children, it tells.
    assert_ne!(judge(&expected(), &crashed).cause.map(|cause| cause.kind()).as_deref(), Some("no-report"));
    // One program has one report.
    assert_eq!(exited(&two, 0).verdict, Verdict::Error);
}
