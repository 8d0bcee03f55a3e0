//! One change to a perfect cell, and what is made of it.

use super::super::*;
use super::cell::*;
use crate::judge::watch::{Abort, LinkFailure};
use crate::model::Leg;

use Verdict::{Error, Fail, Miss, Pass, Skip};

/// One change, the verdict, the kind of its cause, and a word of the cause's text.
type Row = (&'static str, Change, Verdict, &'static str, &'static str);

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
    ("a key that is not there", |_, s| { no_hello(s); aborts(s, Abort::Link); s.link = Some(LinkFailure::Key { detail: "/run/ssh/client_key: no file".into() }) }, Error, "harness", "/run/ssh/client_key"),
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
    ("an sshd that never answers", |_, s| { no_hello(s); s.listens = true; s.shutdown = Some((true, "guest-shutdown".into())); s.agent_words = Some("sshd: no session within 30000 ms: it said nothing".into()) }, Error, "no-sshd", "no session within 30000 ms"),
    ("an agent that listens and then says nothing more", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }); s.listens = true; s.at = Some("do_xyzzy+0x1".into()) }, Fail, "boot-hang", "within 60000 ms, it was at do_xyzzy"),
    ("an sshd that never answers a guest that does not go off", |_, s| { no_hello(s); aborts(s, Abort::Boot { waited: 60 * SECOND }); s.listens = true; s.agent_words = Some("sshd: no session within 30000 ms: x".into()) }, Error, "no-sshd", "no session"),
    ("a session, and no plan", |_, s| { no_hello(s); s.listens = true; s.agent_words = Some("connection: no plan within 10000 ms".into()) }, Error, "connection-cut", "no plan within"),
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
