//! No way to a pass by accident: whatever is missing or wrong, alone or in pairs, and whatever a program or a kernel says.

use proptest::prelude::*;

use super::super::*;
use super::cell::*;
use crate::judge::console::{Finding, Scanner};
use crate::judge::watch::Abort;
use crate::model::Leg;

use Verdict::Pass;

/// Kernel faults of every kind, straight from the table of kinds.
const FAULTS: &[Kind] = &[
    Kind::Panic,
    Kind::InitDied,
    Kind::NoInit,
    Kind::UnexpectedReboot,
    Kind::Oops,
    Kind::SmapViolation,
    Kind::SmepViolation,
    Kind::Bug,
    Kind::Cfi,
    Kind::SoftLockup,
    Kind::HardLockup,
    Kind::RcuStall,
    Kind::HungTask,
    Kind::WorkqueueLockup,
    Kind::SleepInAtomic,
    Kind::ScheduleWhileAtomic,
    Kind::Spinlock,
    Kind::Lockdep,
    Kind::LockdepOff,
    Kind::Kasan,
    Kind::Kcsan,
    Kind::Kmsan,
    Kind::Kfence,
    Kind::Ubsan,
    Kind::Refcount,
    Kind::ListCorruption,
    Kind::SlabCorruption,
    Kind::Usercopy,
    Kind::DebugObjects,
    Kind::BadPage,
    Kind::Kmemleak,
    Kind::NetdevLeak,
    Kind::Warning,
    Kind::MessagesDropped,
];

fn finding(kind: Kind) -> Finding {
    Finding {
        kind,
        title: format!("a {kind}"),
        line: 7,
        text: String::new(),
        fatal: false,
        task: None,
        frame: None,
        at: None,
    }
}

fn aborted_by() -> Vec<Abort> {
    vec![
        Abort::Boot { waited: SECOND },
        Abort::Stall { silent: SECOND },
        Abort::Overrun { run: 0, waited: SECOND },
        Abort::Panicked,
        Abort::PowerOff { waited: SECOND },
        Abort::TooMuch { stream: "console", limit_bytes: 1 },
        Abort::BadFrames,
        Abort::Link,
        Abort::Stop("SIGINT"),
    ]
}

/// The run's own words and end are evidence, and not only that it ran.
fn weighed(role: Role) -> bool {
    matches!(role, Role::Judged | Role::Wired)
}

/// Everything that can be missing from a cell or wrong with it, one thing at a time.
fn damages(expected: &Expectation, seen: &Evidence) -> Vec<(String, Evidence)> {
    let mut damaged: Vec<(String, Evidence)> = Vec::new();
    let mut damage = |name: String, change: &dyn Fn(&mut Evidence)| {
        let mut seen = seen.clone();
        change(&mut seen);
        damaged.push((name, seen));
    };
    damage("no hello".into(), &|s| s.hello = None);
    damage("no bye".into(), &|s| s.bye = None);
    damage("no exit".into(), &|s| s.exit = None);
    damage("no banner".into(), &|s| s.banner = false);
    damage("a bad exit".into(), &|s| s.exit.as_mut().unwrap().1 = false);
    damage("a refusal".into(), &|s| s.refused = Some("plan-key".into()));
    damage("a lost link".into(), &|s| {
        s.bye = None;
        cut(s);
    });
    damage("left out".into(), &|s| s.findings_left_out = 1);
    damage("no runs".into(), &|s| s.runs.clear());
    damage("nothing".into(), &|s| *s = Evidence::default());
    for reason in ["guest-reset", "guest-panic", "host-signal", "host-qmp-quit", "host-error"] {
        damage(reason.into(), &|s| s.shutdown = Some((reason.starts_with("guest"), reason.into())));
    }
    for name in ["crc", "truncated", "second-hello", "after-end"] {
        damage(format!("frame: {name}"), &|s| word(s, name));
    }
    for kind in FAULTS {
        damage(format!("finding: {kind}"), &|s| s.findings = vec![finding(*kind)]);
    }
    for abort in aborted_by() {
        damage(format!("{abort:?}"), &|s| s.abort = Some(abort.clone()));
    }
    for bit in [4, 5, 7, 9, 14] {
        damage(format!("boot tainted {bit}"), &|s| s.hello.as_mut().unwrap().1.tainted = 1 << bit);
    }
    for (run, planned) in expected.runs.iter().enumerate() {
        let name = format!("{:?} {}", planned.role, planned.program);
        let stdout = String::from_utf8(seen.runs[run].stdout.clone()).unwrap();
        damage(format!("{name}: lost"), &|s| drop(s.runs.remove(run)));
        damage(format!("{name}: twice"), &|s| s.runs.insert(run, s.runs[run].clone()));
        damage(format!("{name}: no end"), &|s| s.runs[run].end = None);
        damage(format!("{name}: no start"), &|s| s.runs[run].started = false);
        damage(format!("{name}: blank"), &|s| s.runs[run] = RunEvidence::default());
        damage(format!("{name}: stuck"), &|s| ends(s, run, Outcome::Stuck));
        damage(format!("{name}: complaints lost"), &|s| end(s, run).stderr_bytes = 1);
        for bit in 0..64 {
            damage(format!("{name}: tainted {bit}"), &|s| end(s, run).tainted_after = 1 << bit);
            damage(format!("{name}: tainted {bit} before"), &|s| end(s, run).tainted_before = 1 << bit);
        }
        for at in 0..stdout.len() {
            damage(format!("{name}: {at} bytes arrived"), &|s| s.runs[run].stdout.truncate(at));
        }
        if !weighed(planned.role) {
            continue;
        }
        for at in 0..stdout.len() {
            damage(format!("{name}: {at} bytes written"), &|s| says(s, run, &stdout[..at]));
        }
        for (at, _) in stdout.match_indices('\n') {
            let cut = stdout[..at].rfind('\n').map_or(0, |line| line + 1);
            let without = [&stdout[..cut], &stdout[at + 1..]].concat();
            // A version line and a remark may be missing.
            if stdout[cut..at].contains("ok ") || stdout[cut..at].starts_with("1..") {
                damage(format!("{name}: without line at {cut}"), &|s| says(s, run, &without));
            }
        }
        damage(format!("{name}: not ok"), &|s| says(s, run, &stdout.replacen("\nok ", "\nnot ok ", 1)));
        for directive in ["SKIP", "TODO", "XFAIL", "XPASS", "TIMEOUT", "ERROR"] {
            let marked = format!("{} # {directive}\n", stdout.trim_end());
            damage(format!("{name}: {directive}"), &|s| says(s, run, &marked));
        }
        for code in 1..=255 {
            damage(format!("{name}: status {code}"), &|s| ends(s, run, exited(code)));
        }
        for signal in 1..=127 {
            damage(format!("{name}: signal {signal}"), &|s| ends(s, run, Outcome::Signal { signal }));
        }
        for outcome in [
            Outcome::Timeout { signal: None },
            Outcome::Timeout { signal: Some(15) },
            Outcome::NoExec { errno: 8 },
            Outcome::Untraced { errno: 1 },
        ] {
            damage(format!("{name}: {outcome:?}"), &|s| ends(s, run, outcome));
        }
    }
    if let Some(run) = expected.runs.iter().position(|run| run.role == Role::Traced) {
        let others = Abi::ALL.into_iter().filter(|abi| *abi != expected.abi);
        damage("no counts".into(), &|s| end(s, run).trace = None);
        damage("no doors".into(), &|s| end(s, run).trace.as_mut().unwrap().entries.clear());
        damage("no entry".into(), &|s| end(s, run).trace = Some(doors(expected.abi, 0)));
        for abi in others {
            damage(format!("entered by {abi}"), &|s| end(s, run).trace = Some(doors(abi, 9)));
        }
    }
    damaged
}

#[test]
fn one_thing_missing_or_wrong_is_never_a_pass() {
    for (expected, seen) in perfect_cells() {
        for (name, seen) in damages(&expected, &seen) {
            let judged = judged(&expected, &seen);
            assert_ne!(judged.verdict, Pass, "{} {}: {name}", expected.leg, expected.abi);
        }
    }
}

/// A plan that asks for less, or for something else, than the evidence shows.
#[test]
fn evidence_of_another_plan_is_never_a_pass() {
    for (expected, seen) in perfect_cells() {
        let control = expected.leg.is_control();
        let mut plans = vec![Expectation { runs: Vec::new(), ..expected.clone() }];
        plans.push(Expectation { number: 46, ..expected.clone() });
        let others = Leg::ALL.into_iter().filter(|leg| leg.is_control() != control);
        plans.extend(others.map(|leg| Expectation { leg, ..expected.clone() }));
        // By which door a control's probe went is seen to by the probe.
        let others = Abi::ALL.into_iter().filter(|abi| *abi != expected.abi && !control);
        plans.extend(others.map(|abi| Expectation { abi, ..expected.clone() }));
        for (run, planned) in expected.runs.iter().enumerate() {
            let mut shorter = expected.clone();
            shorter.runs.remove(run);
            plans.push(shorter);
            for role in [Role::Judged, Role::Traced, Role::Wired, Role::Recorded] {
                let mut other = expected.clone();
                other.runs[run].role = role;
                // What a control's selftest runs for makes no difference, unless it is judged.
                let weighed = planned.role != Role::Recorded || role == Role::Judged;
                plans.extend(Some(other).filter(|_| weighed && role != planned.role));
            }
        }
        for plan in plans {
            assert_ne!(judged(&plan, &seen).verdict, Pass, "{plan:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No second change makes up for the first.
    #[test]
    fn two_things_wrong_are_never_a_pass(
        leg in proptest::sample::select(&Leg::ALL[..]),
        abi in proptest::sample::select(&Abi::ALL[..]),
        first in any::<proptest::sample::Index>(),
        second in any::<proptest::sample::Index>(),
    ) {
        let (expected, mut seen) = perfect(leg, abi);
        let all = damages(&expected, &seen);
        let (one, broken) = first.get(&all);
        let (two, other) = second.get(&all);
        // Whatever the second one changed is changed in the first one, too.
        let perfect = seen.clone();
        seen = broken.clone();
        macro_rules! take {
            ($($field:ident)*) => { $(if other.$field != perfect.$field { seen.$field = other.$field.clone(); })* };
        }
        take!(hello runs refused bye bad_frame banner findings findings_left_out shutdown exit abort);
        prop_assert_ne!(judged(&expected, &seen).verdict, Pass, "{} and {}", one, two);
    }

    /// Whatever the judged program writes, and however it ends: a pass takes a complete report.
    #[test]
    fn only_a_complete_report_passes(
        lines in proptest::collection::vec(
            proptest::sample::select(&[
                "TAP version 13", "KTAP version 1", "1..1", "1..2", "1..0 # SKIP x", "ok 1 a", "ok 2 b", "ok 2 c # SKIP d",
                "not ok 2 b", "Bail out!", "  1..1", "  ok 1 in", "  not ok 1 in", "# text", "ok", "1..x", "",
            ][..]),
            0..7,
        ),
        code in proptest::sample::select(&[0u8, 1, 4][..]),
    ) {
        let (expected, mut seen) = perfect(Leg::Patched, Abi::M64);
        let stdout = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        does(&mut seen, 0, &stdout, exited(code));
        let report = ktap::parse(stdout.as_bytes(), ktap::Limits::default());
        let counts = report.counts();
        let good = code == 0 && report.is_complete() && counts.ok > 0 && counts.ok == counts.total();
        prop_assert_eq!(judged(&expected, &seen).verdict == Pass, good, "{}", stdout);
    }
}

/// The logs of `tests/corpus`, without their headers.
fn corpus(of: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/tests/corpus/{of}", env!("CARGO_MANIFEST_DIR"));
    let log = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let header = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        (path.display().to_string(), bytes[header + 2..].to_vec())
    };
    let logs: Vec<_> = std::fs::read_dir(folder).unwrap().map(log).collect();
    assert!(logs.len() >= 25);
    logs
}

#[test]
fn a_pass_over_a_kernels_fault_is_none() {
    for (name, log) in corpus("console") {
        let (expected, mut seen) = perfect(Leg::Patched, Abi::M64);
        let mut scanner = Scanner::new();
        scanner.push(&log);
        scanner.finish();
        seen.findings = scanner.findings().to_vec();
        let harmless = [Kind::OutOfMemory, Kind::Segfault, Kind::MsrAccess, Kind::TscLost, Kind::X32Disabled];
        let clean = seen.findings.iter().all(|finding| harmless.contains(&finding.kind));
        assert_eq!(judged(&expected, &seen).verdict == Pass, clean, "{name}");
    }
}

#[test]
fn reports_of_real_programs_pass_only_whole_and_good() {
    for (name, log) in corpus("ktap") {
        let (expected, mut seen) = perfect(Leg::Patched, Abi::M64);
        let report = ktap::parse(&log, ktap::Limits::default());
        let counts = report.counts();
        end(&mut seen, 0).stdout_bytes = log.len() as u64;
        seen.runs[0].stdout = log;
        let good = report.is_complete() && counts.ok > 0 && counts.ok == counts.total();
        assert_eq!(judged(&expected, &seen).verdict == Pass, good, "{name}");
    }
}
