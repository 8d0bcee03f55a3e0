//! What a perfect cell looks like, and what becomes of it when one thing about it is changed.

use std::time::Duration;

use proptest::prelude::*;

use super::machine::taint_flags;
use super::proof::probe_cases;
use super::*;
use crate::judge::console::{Finding, Scanner};
use crate::judge::watch::{Abort, LinkFailure};
use crate::model::{DoorEntries, Hello, Leg, Symptom, Trace};

const REPORT: &str = "TAP version 13\n1..3\nok 1 copies\nok 2 flags\nok 3 sizes\n";
const TOTALS: &str = "# Totals: pass:3 fail:0 xfail:0 xpass:0 skip:0 error:0\n";
const PROBE: &str = "/guest/probe/probe.c";

// ---- the perfect cell

fn doors(own: Abi, count: u64) -> Trace {
    let entry = |abi: Abi| {
        let count = if abi == own { count } else { 0 };
        DoorEntries { door: abi.door(463), count }
    };
    Trace { syscalls: count + 20, entries: Abi::ALL.into_iter().map(entry).collect() }
}

fn ran(index: u16, stdout: &str, outcome: Outcome) -> RunEvidence {
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

fn exited(code: u8) -> Outcome {
    Outcome::Exit { code }
}

fn answer(leg: Leg, words: [&str; 3]) -> String {
    let case = |at: usize| match leg.is_control() {
        true => format!("{} {at} number 463 gives -ENOSYS, arguments like {at}\n", words[at - 1]),
        false => format!("# returned -22 (Invalid argument)\n{} 1 number 463 is wired\n", words[0]),
    };
    let cases: Vec<String> = (1..=probe_cases(leg)).map(case).collect();
    format!("KTAP version 1\n1..{}\n{}", cases.len(), cases.concat())
}

/// A cell that passes, and nothing in it more than it takes.
fn perfect(leg: Leg, abi: Abi) -> (Expectation, Evidence) {
    let plan: &[(Role, &str)] = match leg.is_control() {
        true => &[(Role::Judged, "probe"), (Role::Recorded, "xyzzy_test")],
        false => &[(Role::Judged, "xyzzy_test"), (Role::Traced, "xyzzy_test"), (Role::Wired, "probe")],
    };
    let planned = |&(role, program): &(Role, &str)| ExpectedRun {
        role,
        program: program.to_owned(),
        deadline_ms: 45_000,
        cases: Vec::new(),
    };
    let expected = Expectation {
        leg,
        abi,
        number: 463,
        table: "arch/x86/entry/syscalls/syscall_64.tbl".to_owned(),
        runs: plan.iter().map(planned).collect(),
        known: Vec::new(),
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
fn perfect_cells() -> impl Iterator<Item = (Expectation, Evidence)> {
    Leg::ALL.into_iter().flat_map(|leg| Abi::ALL.into_iter().map(move |abi| perfect(leg, abi)))
}

// ---- what can happen to it

type Change = fn(&mut Expectation, &mut Evidence);

fn end(seen: &mut Evidence, run: usize) -> &mut RunEnd {
    seen.runs[run].end.as_mut().unwrap()
}

fn ends(seen: &mut Evidence, run: usize, outcome: Outcome) {
    end(seen, run).outcome = outcome;
}

/// The run says this, and all of it arrives.
fn says(seen: &mut Evidence, run: usize, stdout: &str) {
    seen.runs[run].stdout = stdout.into();
    end(seen, run).stdout_bytes = stdout.len() as u64;
}

/// The run says this and ends like that.
fn does(seen: &mut Evidence, run: usize, stdout: &str, outcome: Outcome) {
    says(seen, run, stdout);
    ends(seen, run, outcome);
}

/// The kernel says this, line by line, and the scanner has read it.
fn kernel(seen: &mut Evidence, text: &str) {
    let mut scanner = Scanner::new();
    scanner.push(text.as_bytes());
    scanner.finish();
    assert!(!scanner.findings().is_empty(), "{text:?} is a finding");
    seen.findings.extend_from_slice(scanner.findings());
}

/// The machine goes away in the middle of the last run.
fn no_bye(seen: &mut Evidence) {
    seen.bye = None;
    seen.shutdown = None;
    seen.runs.last_mut().unwrap().end = None;
}

/// The machine never comes up.
fn no_hello(seen: &mut Evidence) {
    no_bye(seen);
    seen.hello = None;
    seen.runs = vec![RunEvidence::default(); seen.runs.len()];
}

fn resets(seen: &mut Evidence) {
    seen.shutdown = Some((true, "guest-reset".to_owned()));
}

/// The harness ends the machine, which takes QEMU's word and status with it.
fn aborts(seen: &mut Evidence, abort: Abort) {
    no_bye(seen);
    seen.exit = Some(("was killed by signal 9".to_owned(), false, String::new()));
    seen.abort = Some(abort);
}

fn crashes(seen: &mut Evidence) {
    let stderr = "qemu: old warning\nqemu: assertion failed\n\n".to_owned();
    seen.exit = Some(("was killed by signal 6".to_owned(), false, stderr));
}

fn word(seen: &mut Evidence, name: &'static str) {
    seen.bad_frame = Some((name, format!("result stream, byte 9: {name}")));
}

fn cut(seen: &mut Evidence) {
    seen.link = Some(LinkFailure::Cut { detail: "transport read".to_owned() });
}

const SECOND: Duration = Duration::from_secs(1);
const PANIC: &str = "Kernel panic - not syncing: Fatal exception\n";
const INIT_DIED: &str = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
const NO_INIT: &str = "Kernel panic - not syncing: No working init found.  Try passing init= option\n";
const OOPS: &str = "BUG: kernel NULL pointer dereference, address: 0000000000000000\n\
    RIP: 0010:do_xyzzy+0x1/0x2\n---[ end trace 0000000000000000 ]---\n";
const WARNING: &str =
    "WARNING: CPU: 0 PID: 30 at kernel/xyzzy.c:9 do_xyzzy+0x1/0x2\n---[ end trace 0000000000000000 ]---\n";
const LOCKDEP: &str = "WARNING: possible circular locking dependency detected\n";
const LOCKUP: &str = "watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [x:30]\n";
const NO_CLOCK: &str = "tsc: Marking TSC unstable due to could not calculate TSC khz\n";
const SEGFAULT: &str = "x[30]: segfault at 0 ip 1 sp 2 error 4 in x[1+2]\n";
const OOM: &str = "Out of memory: Killed process 30 (x) total-vm:1kB, anon-rss:1kB\n";

/// One change, the verdict, the kind of its cause, and a word of the cause's text.
type Row = (&'static str, Change, Verdict, &'static str, &'static str);

use Verdict::{Error, Fail, Miss, Pass, Skip};

/// Changes to a patched cell of `-m64`.
#[rustfmt::skip]
const PATCHED: &[Row] = &[
    ("nothing", |_, _| {}, Pass, "", ""),

    // The harness ended it.
    ("stopped", |_, s| aborts(s, Abort::Stop("SIGINT")), Error, "interrupted", "SIGINT"),
    ("stopped after a panic", |_, s| { aborts(s, Abort::Stop("SIGINT")); kernel(s, PANIC) }, Error, "interrupted", "SIGINT"),
    ("stopped with all in hand", |_, s| s.abort = Some(Abort::Stop("SIGTERM")), Error, "interrupted", "SIGTERM"),
    ("no hello", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }); }, Fail, "boot-hang", "within 60000 ms; last console line: \"<0>"),
    ("no hello after an oops", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }); kernel(s, OOPS) }, Fail, "kernel-fault", "do_xyzzy"),
    ("a clock is lost", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 10 * SECOND }); kernel(s, NO_CLOCK) }, Error, "lost-boot", "TSC"),
    ("a clock is lost, and then an oops", |_, s| { no_hello(s); aborts(s, Abort::Panicked); kernel(s, &[NO_CLOCK, OOPS, PANIC].concat()) }, Fail, "kernel-fault", "NULL pointer"),
    ("a clock is lost, and the boot goes on", |_, s| kernel(s, NO_CLOCK), Pass, "", ""),
    ("no hello, and the agent said why", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }); s.agent_words = Some("no port".into()) }, Error, "agent-refused", "no port"),
    ("stall", |_, s| aborts(s, Abort::Stall { silent: 20 * SECOND }), Fail, "hang", "nothing heard for 20000 ms"),
    ("stall after a lockup", |_, s| { aborts(s, Abort::Stall { silent: 20 * SECOND }); kernel(s, LOCKUP) }, Fail, "hang", "soft lockup"),
    ("stall after a panic", |_, s| { aborts(s, Abort::Stall { silent: 20 * SECOND }); kernel(s, PANIC) }, Fail, "panic", "Fatal exception"),
    ("stall in the middle of a frame", |_, s| { aborts(s, Abort::Stall { silent: 20 * SECOND }); word(s, "truncated") }, Fail, "hang", "20000 ms"),
    ("stall, and the agent said why", |_, s| { aborts(s, Abort::Stall { silent: 20 * SECOND }); s.agent_words = Some("cannot write to the port".into()) }, Error, "agent-refused", "cannot write"),
    ("a run without end", |_, s| aborts(s, Abort::Overrun { run: 0, waited: 4000 * SECOND }), Error, "harness", "run 0 after 4000 s"),
    ("panic and no exit", |_, s| { aborts(s, Abort::Panicked); kernel(s, PANIC) }, Fail, "panic", "Fatal exception"),
    ("ended for a panic that nobody kept", |_, s| s.abort = Some(Abort::Panicked), Error, "harness", "Panicked"),
    ("ended for frames that nobody kept", |_, s| s.abort = Some(Abort::BadFrames), Error, "harness", "BadFrames"),
    ("no power-off", |_, s| s.abort = Some(Abort::PowerOff { waited: 10 * SECOND }), Fail, "hang", "10000 ms"),
    ("no power-off after a refusal", |_, s| { aborts(s, Abort::PowerOff { waited: 10 * SECOND }); s.refused = Some("plan-key".into()) }, Error, "agent-refused", "plan-key"),
    ("a flood", |_, s| aborts(s, Abort::TooMuch { stream: "console", limit_bytes: 64 }), Error, "output-limit", "64 bytes to its console"),
    ("a flood of warnings", |_, s| { aborts(s, Abort::TooMuch { stream: "console", limit_bytes: 64 }); kernel(s, WARNING) }, Fail, "kernel-fault", "WARNING"),

    // What the kernel said.
    ("panic", |_, s| { no_bye(s); resets(s); kernel(s, PANIC) }, Fail, "panic", "Fatal exception"),
    ("oops, then panic", |_, s| { no_bye(s); resets(s); kernel(s, &[OOPS, PANIC].concat()) }, Fail, "kernel-fault", "NULL pointer"),
    ("panic, then more", |_, s| { no_bye(s); resets(s); kernel(s, &[PANIC, WARNING].concat()) }, Fail, "panic", "Fatal exception"),
    ("init died", |_, s| { no_bye(s); resets(s); kernel(s, INIT_DIED) }, Fail, "panic", "kill init"),
    ("init died of an oops", |_, s| { no_bye(s); resets(s); kernel(s, &[OOPS, INIT_DIED].concat()) }, Fail, "kernel-fault", "do_xyzzy"),
    ("panic in the middle of a frame", |_, s| { no_bye(s); resets(s); kernel(s, PANIC); word(s, "truncated") }, Fail, "panic", "Fatal exception"),
    ("panic after bye", |_, s| kernel(s, PANIC), Fail, "panic", "Fatal exception"),
    ("no init", |_, s| { no_hello(s); resets(s); kernel(s, NO_INIT) }, Error, "no-init", "no working init"),
    ("oops after all passed", |_, s| kernel(s, OOPS), Fail, "kernel-fault", "NULL pointer dereference in do_xyzzy (console line 1)"),
    ("warning", |_, s| kernel(s, WARNING), Fail, "kernel-fault", "WARNING"),
    ("lockdep", |_, s| kernel(s, LOCKDEP), Fail, "kernel-fault", "circular locking"),
    ("a second banner", |_, s| kernel(s, "Linux version 6\nLinux version 6\n"), Fail, "kernel-fault", "reboot"),
    ("a segfault", |_, s| kernel(s, SEGFAULT), Pass, "", ""),
    ("memory ran out", |_, s| kernel(s, OOM), Pass, "", ""),
    ("a missing register", |_, s| kernel(s, "unchecked MSR access error: RDMSR from 0x10a at rIP: 0x1\n"), Pass, "", ""),
    ("lockdep turned itself off", |_, s| kernel(s, "BUG: MAX_LOCKDEP_ENTRIES too low!\n"), Error, "blind", "MAX_LOCKDEP"),
    ("messages were dropped", |_, s| kernel(s, "** 12 printk messages dropped **\n"), Error, "blind", "printk messages dropped"),
    ("findings were left out", |_, s| s.findings_left_out = 3, Error, "blind", "3 further findings"),
    ("a silent console", |_, s| s.banner = false, Error, "blind", "silent"),
    ("a silent console where a case failed", |_, s| { s.banner = false; does(s, 0, "TAP version 13\n1..1\nnot ok 1 a\n", exited(1)) }, Fail, "case-failed", "1 of 1"),
    ("blindness weighs more than a skip", |_, s| { s.findings_left_out = 1; says(s, 0, "TAP version 13\n1..1\nok 1 a # SKIP b\n") }, Error, "blind", "1 further"),

    // How it went away.
    ("reset", |_, s| { no_bye(s); resets(s) }, Fail, "reset", "reset itself"),
    ("reset in the middle of a frame", |_, s| { no_bye(s); resets(s); word(s, "truncated") }, Fail, "reset", "triple fault"),
    ("reset after bye", |_, s| resets(s), Fail, "reset", "instead of going off"),
    ("power-off without bye", |_, s| { no_bye(s); s.shutdown = Some((true, "guest-shutdown".into())) }, Fail, "early-power-off", "before the agent said bye"),
    ("missing bye alone", |_, s| s.bye = None, Fail, "early-power-off", "bye"),
    ("neither bye nor a word of QEMU", |_, s| no_bye(s), Error, "lost-vm", "QEMU exited with status 0"),
    ("somebody ended QEMU", |_, s| { no_bye(s); s.shutdown = Some((false, "host-signal".into())) }, Error, "lost-vm", "host-signal"),
    ("somebody ended QEMU after bye", |_, s| s.shutdown = Some((false, "host-signal".into())), Error, "lost-vm", "after bye, QEMU exited with status 0 (host-signal)"),
    ("QEMU crashed", |_, s| { no_bye(s); crashes(s) }, Error, "lost-vm", "signal 6: qemu: assertion failed"),
    ("QEMU crashed in the middle of a frame", |_, s| { no_bye(s); crashes(s); word(s, "truncated") }, Error, "lost-vm", "assertion failed"),
    ("QEMU crashed after bye", |_, s| { crashes(s); s.shutdown = None }, Error, "lost-vm", "after bye, QEMU was killed by signal 6"),
    ("QEMU exited with 1 after bye", |_, s| s.exit.as_mut().unwrap().1 = false, Error, "lost-vm", "after bye"),
    ("QEMU never said why after bye", |_, s| s.shutdown = None, Pass, "", ""),
    ("judged too early", |_, s| s.exit = None, Error, "harness", "before it had ended"),
    ("the agent gave up", |_, s| { no_bye(s); s.shutdown = Some((true, "guest-shutdown".into())); s.agent_words = Some("out of memory".into()) }, Error, "agent-refused", "out of memory"),
    ("the agent gave up on a broken kernel", |_, s| { no_bye(s); s.agent_words = Some("cannot list /proc".into()); kernel(s, OOPS) }, Fail, "kernel-fault", "NULL pointer"),
    ("the agent refused", |_, s| { no_bye(s); s.refused = Some("plan-key (line 3 of the plan)".into()) }, Error, "agent-refused", "plan-key"),

    // The way over ssh.
    ("another host key", |_, s| { no_hello(s); aborts(s, Abort::Link); s.link = Some(LinkFailure::HostKey { expected: "AAAA".into(), found: "BBBB".into() }) }, Error, "wrong-host-key", "BBBB and not AAAA"),
    ("a key that is refused", |_, s| { no_hello(s); aborts(s, Abort::Link); s.link = Some(LinkFailure::Refused { detail: "no".into() }) }, Error, "ssh-refused", "no"),
    ("a cut connection", |_, s| { aborts(s, Abort::Link); cut(s) }, Error, "connection-cut", "mid-test: transport read"),
    ("a cut connection in the middle of a frame", |_, s| { aborts(s, Abort::Link); cut(s); word(s, "truncated") }, Error, "connection-cut", "transport read"),
    ("a cut connection, and the agent saw it", |_, s| { no_bye(s); cut(s); s.shutdown = Some((true, "guest-shutdown".into())); s.agent_words = Some("connection: sshd ended".into()) }, Error, "connection-cut", "the agent: sshd ended"),
    ("the agent alone saw it", |_, s| { no_bye(s); s.agent_words = Some("connection: cannot write: Broken pipe".into()) }, Error, "connection-cut", "Broken pipe"),
    ("a connection cut by an oops", |_, s| { aborts(s, Abort::Link); cut(s); kernel(s, OOPS) }, Fail, "kernel-fault", "NULL pointer"),
    ("a connection cut by a panic", |_, s| { no_bye(s); resets(s); cut(s); kernel(s, PANIC) }, Fail, "panic", "Fatal exception"),
    ("a connection cut by a power-off", |_, s| { no_bye(s); cut(s); s.shutdown = Some((true, "guest-shutdown".into())) }, Fail, "early-power-off", "before the agent"),
    ("a connection cut by a reset", |_, s| { no_bye(s); cut(s); resets(s) }, Fail, "reset", "reset itself"),
    ("a connection cut by QEMU's crash", |_, s| { no_bye(s); cut(s); crashes(s) }, Error, "lost-vm", "assertion failed"),
    ("a connection cut by the end of a hung guest", |_, s| { aborts(s, Abort::Stall { silent: 20 * SECOND }); cut(s) }, Fail, "hang", "20000 ms"),
    ("an agent that had another reason", |_, s| { no_bye(s); cut(s); s.agent_words = Some("cannot list /proc".into()) }, Error, "agent-refused", "/proc"),
    ("no card", |_, s| { no_hello(s); s.shutdown = Some((true, "guest-shutdown".into())); s.agent_words = Some("no network: there is no card eth0".into()) }, Error, "no-network", "no card eth0"),
    ("no card on a broken kernel", |_, s| { no_hello(s); s.agent_words = Some("no network: there is no card eth0".into()); kernel(s, OOPS) }, Fail, "kernel-fault", "NULL pointer"),
    ("a dead sshd", |_, s| { no_hello(s); s.shutdown = Some((true, "guest-shutdown".into())); s.agent_words = Some("sshd: killed by signal 11".into()) }, Error, "no-sshd", "signal 11"),
    ("an sshd that never answers", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }); s.listens = true }, Error, "no-sshd", "none within 60000 ms"),
    ("a boot that hangs over ssh", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }) }, Fail, "boot-hang", "60000 ms"),

    // The stream.
    ("a damaged frame", |_, s| { aborts(s, Abort::BadFrames); word(s, "crc") }, Error, "bad-frames", "byte 9: crc"),
    ("a damaged frame and all else in hand", |_, s| word(s, "after-end"), Error, "bad-frames", "after-end"),
    ("a second hello", |_, s| { aborts(s, Abort::BadFrames); word(s, "second-hello") }, Fail, "reset", "reset itself"),
    ("bye without hello", |_, s| s.hello = None, Error, "bad-frames", "never said hello"),
    ("a run did not end", |_, s| s.runs[1].end = None, Error, "no-report", "before all programs had ended"),
    ("a run did not start", |_, s| s.runs[0].started = false, Error, "no-report", "before all programs had ended"),
    ("a run too few", |_, s| { s.runs.pop(); }, Error, "harness", "3 runs were planned and 2 kept"),
    ("a run too many", |_, s| s.runs.push(ran(3, "", exited(0))), Error, "harness", "3 runs were planned and 4 kept"),
    ("output got lost", |_, s| s.runs[0].stdout.truncate(50), Error, "bad-frames", "50 + 0 arrived"),
    ("output of the trace got lost", |_, s| s.runs[1].stdout.clear(), Error, "bad-frames", "0 + 0 arrived"),
    ("complaints got lost", |_, s| end(s, 2).stderr_bytes = 9, Error, "bad-frames", "+ 9 bytes"),
    ("numbers beyond counting", |_, s| { end(s, 0).stdout_bytes = u64::MAX; end(s, 0).stderr_bytes = u64::MAX }, Error, "bad-frames", "18446744073709551615"),

    // What the selftest said.
    ("totals behind the report", |_, s| says(s, 0, &[REPORT, TOTALS].concat()), Pass, "", ""),
    ("fewer than planned", |_, s| says(s, 0, "TAP version 13\n1..3\nok 1 a\nok 2 b\n"), Error, "plan-mismatch", "planned 3 results but saw 2"),
    ("more than planned", |_, s| says(s, 0, "TAP version 13\n1..1\nok 1 a\nok 2 b\n"), Error, "plan-mismatch", "planned 1 results but saw 2"),
    ("no plan", |_, s| says(s, 0, "TAP version 13\nok 1 a\n"), Error, "plan-mismatch", "no plan"),
    ("not a word", |_, s| says(s, 0, ""), Error, "no-report", "it said nothing"),
    ("only chatter", |_, s| says(s, 0, "hello\nall tests passed\n"), Error, "no-report", "it said only \"all tests passed\""),
    ("only a complaint", |_, s| { says(s, 0, ""); s.runs[0].stderr = b"usage\n".into(); end(s, 0).stderr_bytes = 6 }, Error, "no-report", "usage"),
    ("a plan of nothing", |_, s| says(s, 0, "TAP version 13\n1..0\n"), Error, "plan-mismatch", "nothing was tested"),
    ("cut in a line", |_, s| says(s, 0, REPORT.trim_end()), Error, "plan-mismatch", "cut off"),
    ("bail out", |_, s| does(s, 0, "TAP version 13\n1..3\nok 1 a\nBail out! no memory\n", exited(1)), Error, "plan-mismatch", "bailed out: no memory"),
    ("a case failed", |_, s| does(s, 0, "TAP version 13\n1..2\nok 1 a\n# left 5, right 6\nnot ok 2 b\n", exited(1)), Fail, "case-failed", "1 of 2 cases failed; first: b (left 5, right 6)"),
    ("a case failed and more are missing", |_, s| does(s, 0, "TAP version 13\n1..3\nnot ok 1 a\n", exited(1)), Fail, "case-failed", "first: a"),
    ("a case failed in a report that is bad", |_, s| does(s, 0, "not ok 1 a\n", exited(1)), Fail, "case-failed", "first: a"),
    ("a case failed and status 0", |_, s| says(s, 0, "TAP version 13\n1..1\nnot ok 1 a\n"), Fail, "case-failed", "1 of 1"),
    ("a case that should have failed", |_, s| does(s, 0, "TAP version 13\n1..1\nok 1 a # XPASS\n", exited(1)), Fail, "case-failed", "1 of 1"),
    ("a subtest failed under a parent that says ok", |_, s| says(s, 0, "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 in\nok 1 out\n"), Fail, "case-failed", "first: out/in"),
    ("status 1 and nothing failed", |_, s| ends(s, 0, exited(1)), Fail, "exit-status", "status 1"),
    ("status 4 and nothing skipped", |_, s| ends(s, 0, exited(4)), Fail, "exit-status", "status 4"),
    ("skips all", |_, s| does(s, 0, "TAP version 13\n1..0 # SKIP no root\n", exited(4)), Skip, "skipped", "no root"),
    ("skips all without a reason", |_, s| says(s, 0, "TAP version 13\n1..0 # SKIP\n"), Skip, "skipped", "no reason"),
    ("skips all and status 1", |_, s| does(s, 0, "TAP version 13\n1..0 # SKIP no root\n", exited(1)), Fail, "exit-status", "status 1"),
    ("skips all and is killed", |_, s| does(s, 0, "TAP version 13\n1..0 # SKIP no root\n", Outcome::Signal { signal: 11 }), Fail, "test-signalled", "SIGSEGV"),
    ("skips some", |_, s| says(s, 0, "TAP version 13\n1..3\nok 1 a\nok 2 b # SKIP no 5-level paging\nok 3 c\n"), Skip, "cases-skipped", "1 of 3 cases skipped; first: b (no 5-level paging)"),
    ("skips some with status 4", |_, s| does(s, 0, "TAP version 13\n1..2\nok 1 a\nok 2 b # SKIP\n", exited(4)), Skip, "cases-skipped", "1 of 2"),
    ("skips each one", |_, s| does(s, 0, "TAP version 13\n1..1\nok 1 a # SKIP b\n", exited(4)), Skip, "cases-skipped", "1 of 1"),
    ("fails as expected", |_, s| says(s, 0, "TAP version 13\n1..2\nok 1 a\nok 2 b # XFAIL known\n"), Skip, "cases-skipped", "known"),
    ("is not done yet", |_, s| says(s, 0, "TAP version 13\n1..1\nnot ok 1 a # TODO later\n"), Skip, "cases-skipped", "later"),
    ("skips one and fails one", |_, s| does(s, 0, "TAP version 13\n1..2\nok 1 a # SKIP b\nnot ok 2 c\n", exited(1)), Fail, "case-failed", "first: c"),

    // How the selftest ended.
    ("killed", |_, s| does(s, 0, "TAP version 13\n1..3\nok 1 a\n", Outcome::Signal { signal: 11 }), Fail, "test-signalled", "signal 11 (SIGSEGV)"),
    ("killed with a complete report", |_, s| ends(s, 0, Outcome::Signal { signal: 6 }), Fail, "test-signalled", "SIGABRT"),
    ("killed for its memory", |_, s| { ends(s, 0, Outcome::Signal { signal: 9 }); kernel(s, OOM) }, Fail, "test-signalled", "OOM killer"),
    ("killed by its own fault where memory ran out", |_, s| { ends(s, 0, Outcome::Signal { signal: 11 }); kernel(s, OOM) }, Fail, "test-signalled", "(SIGSEGV)"),
    ("killed, and nobody knows by whom", |_, s| ends(s, 0, Outcome::Signal { signal: 9 }), Fail, "test-signalled", "(SIGKILL)"),
    ("a bad system call", |_, s| ends(s, 0, Outcome::Signal { signal: 31 }), Fail, "test-signalled", "SIGSYS"),
    ("killed by a number that is none", |_, s| ends(s, 0, Outcome::Signal { signal: 127 }), Fail, "test-signalled", "real-time"),
    ("too slow", |_, s| does(s, 0, "TAP version 13\n1..3\nok 1 a\n", Outcome::Timeout { signal: Some(15) }), Fail, "test-timeout", "within 45000 ms"),
    ("too slow with a complete report", |_, s| ends(s, 0, Outcome::Timeout { signal: None }), Fail, "test-timeout", "xyzzy_test"),
    ("cannot be killed, and nothing runs after it", |_, s| { does(s, 0, "", Outcome::Stuck); s.runs[1..].fill(RunEvidence::default()) }, Fail, "test-stuck", "hangs in the kernel"),
    ("the traced run cannot be killed", |_, s| { ends(s, 1, Outcome::Stuck); s.runs[2] = RunEvidence::default() }, Fail, "test-stuck", "xyzzy_test"),
    ("cannot be executed", |_, s| does(s, 0, "", Outcome::NoExec { errno: 8 }), Fail, "no-exec", "switched off at boot"),
    ("is not there", |_, s| does(s, 0, "", Outcome::NoExec { errno: 2 }), Fail, "no-exec", "no such file"),
    ("x32 is off and nothing of it runs", |e, s| { *e = perfect(Leg::Patched, Abi::Mx32).0; (0..3).for_each(|run| does(s, run, "", Outcome::NoExec { errno: 8 })); kernel(s, "Disabled x32 syscalls\n") }, Miss, "no-kernel-abi", "command line"),
    ("x32 is off, which is nothing to m64", |_, s| { does(s, 0, "", Outcome::NoExec { errno: 8 }); kernel(s, "Disabled x32 syscalls\n") }, Fail, "no-exec", "errno 8"),
    ("a judged run that was to be traced", |_, s| ends(s, 0, Outcome::Untraced { errno: 1 }), Error, "no-report", "could not be traced"),

    // The proof of entry.
    ("never entered", |_, s| end(s, 1).trace = Some(doors(Abi::M64, 0)), Error, "not-entered", "never entered by the m64 door (c000003e/463): the selftest proved nothing"),
    ("entered by another door alone", |_, s| end(s, 1).trace = Some(doors(Abi::M32, 5)), Error, "not-entered", "it was entered 5 times by the m32 door"),
    ("entered by its own door and another", |_, s| { let mut trace = doors(Abi::M64, 5); trace.entries[1].count = 2; end(s, 1).trace = Some(trace) }, Pass, "", ""),
    ("entered by x32 is not entered by m64", |_, s| end(s, 1).trace = Some(doors(Abi::Mx32, 5)), Error, "not-entered", "mx32 door"),
    ("entered under another number", |e, s| { e.number = 462; says(s, 2, &answer(Leg::Patched, ["ok"; 3]).replace("463", "462")) }, Error, "not-entered", "c000003e/462"),
    ("could not be traced", |_, s| { ends(s, 1, Outcome::Untraced { errno: 1 }); end(s, 1).trace = Some(doors(Abi::M64, 0)) }, Error, "no-proof", "errno 1"),
    ("traced without counts", |_, s| end(s, 1).trace = None, Error, "no-proof", "without its counts"),
    ("the traced run failed after its call", |_, s| does(s, 1, "", Outcome::Signal { signal: 9 }), Pass, "", ""),
    ("the traced run was too slow", |_, s| ends(s, 1, Outcome::Timeout { signal: Some(15) }), Pass, "", ""),
    ("no traced run in the plan", |e, s| { e.runs.remove(1); s.runs.remove(1); }, Error, "no-proof", "no traced run"),
    ("entered more often than can be counted", |_, s| { let mut trace = doors(Abi::M64, 5); let again = trace.entries[0]; trace.entries.push(again); trace.entries[0].count = u64::MAX; end(s, 1).trace = Some(trace) }, Pass, "", ""),

    // Is anything behind the number?
    ("ENOSYS, and the selftest skips", |_, s| { does(s, 0, "TAP version 13\n1..0 # SKIP no xyzzy\n", exited(4)); does(s, 2, &answer(Leg::Patched, ["not ok"; 3]), exited(1)) }, Fail, "not-wired", "number 463 gives -ENOSYS by the m64 door (c000003e/463); no entry for it in arch/x86/entry/syscalls/syscall_64.tbl"),
    ("ENOSYS, whatever the selftest says", |_, s| does(s, 2, &answer(Leg::Patched, ["not ok"; 3]), exited(1)), Fail, "not-wired", "463"),
    ("the call kills the probe", |_, s| does(s, 2, "KTAP version 1\n1..1\n", Outcome::Signal { signal: 11 }), Pass, "", ""),
    ("the call does not come back", |_, s| does(s, 2, "KTAP version 1\n1..1\n", Outcome::Timeout { signal: Some(9) }), Pass, "", ""),
    ("the call cannot be killed", |_, s| does(s, 2, "KTAP version 1\n1..1\n", Outcome::Stuck), Fail, "test-stuck", "probe"),
    ("the probe dies before its call", |_, s| does(s, 2, "", Outcome::Signal { signal: 11 }), Error, "no-report", "probe gave no complete report: killed by SIGSEGV; it said nothing"),
    ("the probe is too slow to call", |_, s| does(s, 2, "KTAP version 1\n", Outcome::Timeout { signal: Some(15) }), Error, "no-report", "did not end in time"),
    ("the probe answers and then dies", |_, s| ends(s, 2, Outcome::Signal { signal: 9 }), Error, "no-report", "SIGKILL"),
    ("the probe exits in its call", |_, s| does(s, 2, "KTAP version 1\n1..1\n", exited(255)), Error, "no-report", "status 255"),
    ("the probe says nothing", |_, s| says(s, 2, ""), Error, "no-report", "it said nothing"),
    ("the probe talks nonsense", |_, s| says(s, 2, "Segmentation fault\n"), Error, "no-report", "Segmentation fault"),
    ("the probe was called wrongly", |_, s| { does(s, 2, "", exited(2)); s.runs[2].stderr = b"usage: probe\n".into(); end(s, 2).stderr_bytes = 13 }, Error, "no-report", "usage: probe"),
    ("the probe cannot be executed", |_, s| does(s, 2, "", Outcome::NoExec { errno: 2 }), Error, "no-report", "errno 2"),
    ("the probe says ok and exits with 1", |_, s| ends(s, 2, exited(1)), Error, "no-report", "does not fit"),
    ("the probe says not ok and exits with 0", |_, s| says(s, 2, &answer(Leg::Patched, ["not ok"; 3])), Error, "no-report", "does not fit"),
    ("the probe of another number", |_, s| says(s, 2, &answer(Leg::Patched, ["ok"; 3]).replace("463", "46")), Error, "no-report", "does not fit"),
    ("the probe of another door", |_, s| { does(s, 2, "", exited(2)); s.runs[2].stderr = b"probe: this binary was built for the m32 door\n".into(); end(s, 2).stderr_bytes = 46 }, Error, "no-report", "built for the m32 door"),
    ("the probe was asked the opposite", |_, s| says(s, 2, &answer(Leg::Unpatched, ["ok"; 3])), Error, "no-report", "does not fit"),
    ("the probe skips", |_, s| says(s, 2, "KTAP version 1\n1..1\nok 1 number 463 is wired # SKIP\n"), Error, "no-report", "does not fit"),
    ("no probe in the plan", |e, s| { e.runs.pop(); s.runs.pop(); }, Error, "no-proof", "no probe"),
    ("the selftest's own trouble comes before the probe's", |_, s| (0..3).for_each(|run| does(s, run, "", Outcome::NoExec { errno: 8 })), Fail, "no-exec", "xyzzy_test"),

    // The kernel's own mark.
    ("tainted by the run", |_, s| end(s, 0).tainted_after = 1 << 9, Fail, "tainted", "kernel tainted (W): 0 before, 512 after xyzzy_test"),
    ("tainted by the traced run", |_, s| (1..3).for_each(|run| end(s, run).tainted_after = 1 << 7), Fail, "tainted", "(D)"),
    ("tainted by the probe", |_, s| end(s, 2).tainted_after = 1 << 14, Fail, "tainted", "(L): 0 before, 16384 after probe"),
    ("tainted between two runs", |_, s| { end(s, 1).tainted_before = 512; end(s, 1).tainted_after = 512 }, Fail, "tainted", "0 before, 512 after"),
    ("tainted by a fault of the boot", |_, s| { s.hello.as_mut().unwrap().1.tainted = 512; (0..3).for_each(|run| { end(s, run).tainted_before = 512; end(s, run).tainted_after = 512 }) }, Fail, "tainted", "(W): 0 before, 512 after the boot"),
    ("tainted by what it is made of", |_, s| { s.hello.as_mut().unwrap().1.tainted = 1 << 12; (0..3).for_each(|run| { end(s, run).tainted_before = 1 << 12; end(s, run).tainted_after = 1 << 12 }) }, Pass, "", ""),
    ("a bit without a letter", |_, s| end(s, 0).tainted_after = 1 << 63, Fail, "tainted", "bit 63"),
    ("a taint with a skip", |_, s| { says(s, 0, "TAP version 13\n1..1\nok 1 a # SKIP b\n"); end(s, 0).tainted_after = 1 }, Fail, "tainted", "(P)"),

    // Plans that cannot show anything.
    ("nothing to judge", |e, s| { e.runs.remove(0); s.runs.remove(0); }, Error, "harness", "no run to judge"),
    ("no run at all", |e, s| { e.runs.clear(); s.runs.clear() }, Error, "harness", "no run to judge"),
    ("nothing was seen", |_, s| *s = Evidence::default(), Error, "lost-vm", "did not end"),
];

/// Changes to a cell of `-m32` on the unpatched leg.
#[rustfmt::skip]
const CONTROL: &[Row] = &[
    ("nothing", |_, _| {}, Pass, "", ""),
    ("the selftest fails there", |_, s| does(s, 1, "TAP version 13\n1..1\nnot ok 1 a\n", exited(1)), Pass, "", ""),
    ("the selftest dies there", |_, s| does(s, 1, "", Outcome::Signal { signal: 31 }), Pass, "", ""),
    ("the selftest is too slow there", |_, s| does(s, 1, "", Outcome::Timeout { signal: Some(9) }), Pass, "", ""),
    ("the selftest does not run there", |_, s| does(s, 1, "", Outcome::NoExec { errno: 2 }), Pass, "", ""),
    ("the selftest talks nonsense there", |_, s| says(s, 1, "ok 7\nBail out!\n"), Pass, "", ""),
    ("the selftest cannot be killed there", |_, s| ends(s, 1, Outcome::Stuck), Fail, "test-stuck", "xyzzy_test"),
    ("the selftest did not end there", |_, s| s.runs[1].end = None, Error, "no-report", "before all programs"),
    ("the selftest taints there", |_, s| end(s, 1).tainted_after = 512, Fail, "tainted", "after xyzzy_test"),
    ("the kernel warns there", |_, s| kernel(s, WARNING), Fail, "kernel-fault", "WARNING"),
    ("no selftest in the plan", |e, s| { e.runs.pop(); s.runs.pop(); }, Pass, "", ""),
    ("something answers", |_, s| does(s, 0, &answer(Leg::Unpatched, ["not ok"; 3]), exited(1)), Fail, "not-absent", "number 463 by the m32 door (40000003/463) did not give -ENOSYS"),
    ("something answers to some arguments", |_, s| does(s, 0, &answer(Leg::Unpatched, ["ok", "not ok", "ok"]), exited(1)), Fail, "not-absent", "arguments like 2"),
    ("something answers and status 0", |_, s| says(s, 0, &answer(Leg::Unpatched, ["ok", "ok", "not ok"])), Fail, "not-absent", "arguments like 3"),
    ("the probe says nothing", |_, s| says(s, 0, ""), Error, "no-report", "it said nothing"),
    ("the probe says nothing and status 2", |_, s| does(s, 0, "", exited(2)), Error, "no-report", "probe"),
    ("the probe stops half way", |_, s| says(s, 0, "KTAP version 1\n1..3\n"), Error, "plan-mismatch", "planned 3 results but saw 0"),
    ("the probe stops after one", |_, s| says(s, 0, "KTAP version 1\n1..3\nok 1 number 463 gives -ENOSYS, x\n"), Error, "no-report", "did not answer"),
    ("a probe with fewer questions", |_, s| says(s, 0, "KTAP version 1\n1..1\nok 1 number 463 gives -ENOSYS, x\n"), Error, "no-report", "did not answer"),
    ("a probe with more questions", |_, s| says(s, 0, &(answer(Leg::Unpatched, ["ok"; 3]).replace("1..3", "1..4") + "ok 4 number 463 gives -ENOSYS, x\n")), Error, "no-report", "did not answer"),
    ("the probe of another door", |_, s| { does(s, 0, "", exited(2)); s.runs[0].stderr = b"probe: this binary was built for the m64 door\n".into(); end(s, 0).stderr_bytes = 46 }, Error, "no-report", "built for the m64 door"),
    ("the probe of another number", |_, s| says(s, 0, &answer(Leg::Unpatched, ["ok"; 3]).replace("463", "462")), Error, "no-report", "number 463"),
    ("the probe was asked the opposite", |_, s| says(s, 0, &answer(Leg::Patched, ["ok"; 3])), Error, "no-report", "did not answer"),
    ("another program's failure is not the probe's", |_, s| does(s, 0, "TAP version 13\n1..1\nnot ok 1 a\n", exited(1)), Error, "no-report", "did not answer"),
    ("the probe skips", |_, s| does(s, 0, "KTAP version 1\n1..0 # SKIP x\n", exited(4)), Skip, "skipped", "x"),
    ("the probe dies", |_, s| does(s, 0, "KTAP version 1\n1..3\n", Outcome::Signal { signal: 11 }), Fail, "test-signalled", "probe"),
    ("the probe is too slow", |_, s| does(s, 0, "KTAP version 1\n1..3\n", Outcome::Timeout { signal: Some(9) }), Fail, "test-timeout", "probe"),
    ("the probe cannot be executed", |_, s| does(s, 0, "", Outcome::NoExec { errno: 8 }), Fail, "no-exec", "switched off"),
    ("the probe exits with 1 over three times ok", |_, s| ends(s, 0, exited(1)), Fail, "exit-status", "status 1"),
    ("missing bye", |_, s| no_bye(s), Error, "lost-vm", "exited with status 0"),
    ("a silent console", |_, s| s.banner = false, Error, "blind", "silent"),
];

fn kind(cause: &Cause) -> String {
    serde_json::to_value(cause).unwrap()["kind"].as_str().unwrap().to_owned()
}

/// Judges, and checks what holds of every judgement.
fn judged(expected: &Expectation, seen: &Evidence) -> Judged {
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

#[track_caller]
fn check(rows: &[Row], leg: Leg, abi: Abi) {
    for (name, change, verdict, cause, word) in rows {
        let (mut expected, mut seen) = perfect(leg, abi);
        change(&mut expected, &mut seen);
        let judged = judged(&expected, &seen);
        let found = judged.cause.as_ref().map(kind).unwrap_or_default();
        assert_eq!((judged.verdict, found.as_str()), (*verdict, *cause), "{name}: {judged:#?}");
        let text = judged.cause.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains(word), "{name}: {text}");
    }
}

#[test]
fn patched_cells() {
    check(PATCHED, Leg::Patched, Abi::M64);
}

#[test]
fn control_cells() {
    check(CONTROL, Leg::Unpatched, Abi::M32);
    check(CONTROL, Leg::ConfigOff, Abi::M32);
}

#[test]
fn a_perfect_cell_passes_by_every_abi() {
    for (expected, seen) in perfect_cells() {
        let judged = judged(&expected, &seen);
        assert_eq!(judged.verdict, Pass, "{judged:#?}");
        assert_eq!(judged.passed(), (3, 3));
    }
}

// ---- no way to a pass by accident

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

// ---- beside the verdict

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

// ---- known issues

fn known(symptom: Symptom) -> KnownIssue {
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
