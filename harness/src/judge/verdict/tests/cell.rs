//! A perfect cell, what can happen to it, and what holds of every judgement.

use std::time::Duration;

use super::super::proof::probe_cases;
use super::super::*;
use crate::judge::console::Scanner;
use crate::judge::watch::{Abort, LinkFailure};
use crate::model::{DoorEntries, Hello, Leg, Trace};

use Verdict::Pass;

pub(super) const REPORT: &str = "TAP version 13\n1..3\nok 1 copies\nok 2 flags\nok 3 sizes\n";
pub(super) const TOTALS: &str = "# Totals: pass:3 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
pub(super) const PROBE: &str = "/guest/probe/probe.c";

pub(super) fn doors(own: Abi, count: u64) -> Trace {
    let entry = |abi: Abi| {
        let count = if abi == own { count } else { 0 };
        DoorEntries { door: abi.door(463), count }
    };
    Trace { syscalls: count + 20, entries: Abi::ALL.into_iter().map(entry).collect() }
}

pub(super) fn ran(index: u16, stdout: &str, outcome: Outcome) -> RunEvidence {
    RunEvidence {
        started: true,
        stdout: stdout.into(),
        stderr: Vec::new(),
        end: Some(RunEnd {
            run: index,
            outcome,
            tainted_before: 0,
            tainted_after: 0,
            wall_us: 1000,
            user_us: 1,
            sys_us: 1,
            maxrss_kb: 500,
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: 0,
            leaked: 0,
            trace: None,
        }),
    }
}

pub(super) fn exited(code: u8) -> Outcome {
    Outcome::Exit { code }
}

pub(super) fn answer(leg: Leg, words: [&str; 3]) -> String {
    let case = |at: usize| match leg.is_control() {
        true => format!("{} {at} number 463 gives -ENOSYS, arguments like {at}\n", words[at - 1]),
        false => format!("# returned -22 (Invalid argument)\n{} 1 number 463 is wired\n", words[0]),
    };
    let cases: Vec<String> = (1..=probe_cases(leg)).map(case).collect();
    format!("KTAP version 1\n1..{}\n{}", cases.len(), cases.concat())
}

/// A cell that passes, and nothing in it more than it takes.
pub(super) fn perfect(leg: Leg, abi: Abi) -> (Expectation, Evidence) {
    let plan: &[(Role, &str)] = match leg.is_control() {
        true => &[(Role::Judged, "probe"), (Role::Recorded, "xyzzy_test")],
        false => &[(Role::Judged, "xyzzy_test"), (Role::Traced, "xyzzy_test"), (Role::Wired, "probe")],
    };
    let planned = |&(role, program): &(Role, &str)| ExpectedRun {
        role,
        program: program.to_owned(),
        deadline_ms: 45_000,
        rules: Rules::Cell,
        cases: Vec::new(),
    };
    let expected = Expectation {
        leg,
        abi,
        number: 463,
        table: "arch/x86/entry/syscalls/syscall_64.tbl".to_owned(),
        runs: plan.iter().map(planned).collect(),
        known: Vec::new(),
        many: false,
        absent: Vec::new(),
        helpers: Vec::new(),
        not_applicable: Vec::new(),
    };
    let yes = answer(leg, ["ok"; 3]);
    let mut runs = match leg.is_control() {
        true => vec![ran(0, &yes, exited(0)), ran(1, "TAP version 13\n1..0 # SKIP no xyzzy\n", exited(4))],
        false => vec![ran(0, REPORT, exited(0)), ran(1, REPORT, exited(0)), ran(2, &yes, exited(0))],
    };
    if !leg.is_control() {
        runs[1].end.as_mut().unwrap().trace = Some(doors(abi, 74));
    }
    let hello = Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.1".to_owned(),
        version: "#1".to_owned(),
        boot_id: "36516247-8c20-4349-8d36-51e5cd2f31dd".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: true,
        mem_kb: 248_076,
    };
    let ms = Duration::from_millis;
    let seen = Evidence {
        hello: Some((ms(500), hello)),
        runs,
        bye: Some(ms(1000)),
        banner: true,
        last_line: "<0>[    1.6] reboot: Power down".to_owned(),
        shutdown: Some((true, "guest-shutdown".to_owned())),
        exit: Some(("exited with status 0".to_owned(), true, String::new())),
        over_at: ms(1100),
        ..Evidence::default()
    };
    (expected, seen)
}

/// Every leg and ABI there is.
pub(super) fn perfect_cells() -> impl Iterator<Item = (Expectation, Evidence)> {
    Leg::ALL.into_iter().flat_map(|leg| Abi::ALL.into_iter().map(move |abi| perfect(leg, abi)))
}

pub(super) type Change = fn(&mut Expectation, &mut Evidence);

pub(super) fn end(seen: &mut Evidence, run: usize) -> &mut RunEnd {
    seen.runs[run].end.as_mut().unwrap()
}

pub(super) fn ends(seen: &mut Evidence, run: usize, outcome: Outcome) {
    end(seen, run).outcome = outcome;
}

/// The run says this, and all of it arrives.
pub(super) fn says(seen: &mut Evidence, run: usize, stdout: &str) {
    seen.runs[run].stdout = stdout.into();
    end(seen, run).stdout_bytes = stdout.len() as u64;
}

/// The run says this and ends like that.
pub(super) fn does(seen: &mut Evidence, run: usize, stdout: &str, outcome: Outcome) {
    says(seen, run, stdout);
    ends(seen, run, outcome);
}

/// The kernel says this, line by line, and the scanner has read it.
pub(super) fn kernel(seen: &mut Evidence, text: &str) {
    let mut scanner = Scanner::new();
    scanner.push(text.as_bytes());
    scanner.finish();
    assert!(!scanner.findings().is_empty(), "{text:?} is a finding");
    seen.findings.extend_from_slice(scanner.findings());
}

/// The machine goes away in the middle of the last run.
pub(super) fn no_bye(seen: &mut Evidence) {
    seen.bye = None;
    seen.shutdown = None;
    seen.runs.last_mut().unwrap().end = None;
}

/// The machine never comes up.
pub(super) fn no_hello(seen: &mut Evidence) {
    no_bye(seen);
    seen.hello = None;
    seen.runs = vec![RunEvidence::default(); seen.runs.len()];
}

pub(super) fn resets(seen: &mut Evidence) {
    seen.shutdown = Some((true, "guest-reset".to_owned()));
}

/// The harness ends the machine, which takes QEMU's word and status with it.
pub(super) fn aborts(seen: &mut Evidence, abort: Abort) {
    no_bye(seen);
    seen.exit = Some(("was killed by signal 9".to_owned(), false, String::new()));
    seen.abort = Some(abort);
}

pub(super) fn crashes(seen: &mut Evidence) {
    let stderr = "qemu: old warning\nqemu: assertion failed\n\n".to_owned();
    seen.exit = Some(("was killed by signal 6".to_owned(), false, stderr));
}

pub(super) fn word(seen: &mut Evidence, name: &'static str) {
    seen.bad_frame = Some((name, format!("result stream, byte 9: {name}")));
}

pub(super) fn cut(seen: &mut Evidence) {
    seen.link = Some(LinkFailure::Cut { detail: "transport read".to_owned() });
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const PANIC: &str = "Kernel panic - not syncing: Fatal exception\n";
pub(super) const INIT_DIED: &str =
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
pub(super) const NO_INIT: &str =
    "Kernel panic - not syncing: No working init found.  Try passing init= option\n";
pub(super) const OOPS: &str = "BUG: kernel NULL pointer dereference, address: 0000000000000000\n\
    RIP: 0010:do_xyzzy+0x1/0x2\n---[ end trace 0000000000000000 ]---\n";
pub(super) const WARNING: &str =
    "WARNING: CPU: 0 PID: 30 at kernel/xyzzy.c:9 do_xyzzy+0x1/0x2\n---[ end trace 0000000000000000 ]---\n";
pub(super) const LOCKDEP: &str = "WARNING: possible circular locking dependency detected\n";
pub(super) const LOCKUP: &str = "watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [x:30]\n";
pub(super) const NO_CLOCK: &str = "tsc: Marking TSC unstable due to could not calculate TSC khz\n";
pub(super) const SEGFAULT: &str = "x[30]: segfault at 0 ip 1 sp 2 error 4 in x[1+2]\n";
pub(super) const OOM: &str = "Out of memory: Killed process 30 (x) total-vm:1kB, anon-rss:1kB\n";

pub(super) fn kind(cause: &Cause) -> String {
    serde_json::to_value(cause).unwrap()["kind"].as_str().unwrap().to_owned()
}

/// Judges, and checks what holds of every judgement.
pub(super) fn judged(expected: &Expectation, seen: &Evidence) -> Judged {
    let judged = judge(expected, seen);
    assert_eq!(judged.cause.is_none(), judged.verdict == Pass, "{judged:#?}");
    assert_eq!(judged.cause.as_ref().map_or(Pass, Cause::verdict), judged.verdict, "{judged:#?}");
    if judged.verdict == Pass {
        assert!(judged.also.is_empty() && !judged.cases.is_empty(), "{judged:#?}");
        assert!(judged.cases.iter().all(|case| case.verdict == Pass), "{judged:#?}");
    }
    assert!(judged.also.iter().all(|cause| cause.verdict() != Pass));
    judged
}
