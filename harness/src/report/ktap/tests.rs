use proptest::prelude::*;

use super::*;
use crate::judge::ktap::log::Totals as LogTotals;
use crate::judge::ktap::{Limits, Log, Problem, read_log};
use crate::model::{CaseResult, Verdict};
use crate::report::outcome::Totals;
use crate::report::record::State;
use crate::report::sealed::AnyRun;
use crate::report::view::tests::{kselftest, syscall};

/// Our own reader finds in it what was counted, and nothing that it does not like.
#[track_caller]
fn reads_back(view: &View<'_>) -> Log {
    let text = render(view);
    let log = read_log(text.as_bytes(), Limits::LOG);
    let unexpected: Vec<&Problem> = log.problems().iter().collect();
    assert!(unexpected.is_empty(), "{unexpected:?} in\n{text}");
    let Totals { pass, fail, skip, error } = outcome::totals(view);
    assert_eq!(log.totals(), LogTotals { pass, fail: fail + error, skip, xfail: 0 }, "{text}");
    assert!(text.is_ascii() && !text.bytes().any(|b| b < b' ' && b != b'\n'), "{text:?}");
    log
}

#[test]
fn a_run_is_rows_abis_and_cases() {
    let run = syscall();
    let expected = "\
KTAP version 1
# | abimatrix 0.1.0: xyzzy: 1 fail, 1 error, 1 miss, 1 skip, 2 pass
# | QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18), accel tcg
1..2
  KTAP version 1
  # Subtest: linux-6.12 patched
  1..3
    KTAP version 1
    # Subtest: linux-6.12 patched m64
    1..3
    ok 1 basic
    ok 2 big values
    ok 3 <script>alert(1)</script> & \\x1b\\x5b31m]]> \\x23 SKIP
  ok 1 linux-6.12 patched m64
    KTAP version 1
    # Subtest: linux-6.12 patched m32
    1..4
    ok 1 basic
    # | \\x23 expected 1
    # | \\x23 got \\x1b\\x5b31m0 <b>
    not ok 2 big values
    ok 3 <script>alert(1)</script> & \\x1b\\x5b31m]]> \\x23 SKIP # SKIP no <such> thing
    # | the kernel reported a fault: WARNING in do_xyzzy (console line 2)
    not ok 4 verdict: kernel-fault
  # | \\x5b    1.0] ---\\x5b end trace 0000000000000000 ]---
  not ok 2 linux-6.12 patched m32
    KTAP version 1
    # Subtest: linux-6.12 patched mx32
    1..1
    # | programs of this ABI cannot run on this kernel: CONFIG_X86_X32_ABI: dropped by Kconfig
    not ok 1 verdict: no-kernel-abi # ERROR no-kernel-abi
  not ok 3 linux-6.12 patched mx32
not ok 1 linux-6.12 patched
  KTAP version 1
  # Subtest: linux-6.12 config-off
  1..3
    KTAP version 1
    # Subtest: linux-6.12 config-off m64
    1..1
    ok 1 number 463 gives -ENOSYS
  ok 1 linux-6.12 config-off m64
    KTAP version 1
    # Subtest: linux-6.12 config-off m32
    1..2
    ok 1 a # SKIP no time
    ok 2 verdict: skipped # SKIP the selftest skipped: the kernel has no <time>
  ok 2 linux-6.12 config-off m32 # SKIP nothing in it could tell
    KTAP version 1
    # Subtest: linux-6.12 config-off mx32
    1..1
    # | the harness failed: out of disk
    not ok 1 verdict: harness # ERROR harness
  not ok 3 linux-6.12 config-off mx32
not ok 2 linux-6.12 config-off
";
    let view = View::of_syscall(&run);
    assert_eq!(render(&view), expected);
    reads_back(&view);
}

#[test]
fn a_kselftest_run_has_programs_for_rows() {
    let run = kselftest();
    let view = View::of_kselftest(&run);
    let text = render(&view);
    assert!(text.contains("\nnot ok 1 linux-6.12 futex/functional/futex_wait\n"), "{text}");
    assert_eq!(reads_back(&view).verdict(), Verdict::Fail);
}

#[test]
fn an_interrupted_run_is_not_ok() {
    let mut run = syscall();
    run.cells.truncate(1);
    run.state = State::Interrupted;
    let view = View::of_syscall(&run);
    let log = reads_back(&view);
    assert_eq!(log.verdict(), Verdict::Fail);
    assert_eq!(outcome::totals(&view), Totals { pass: 3, error: 6, ..Totals::default() });
}

proptest! {
    /// Names and messages that mean something to a reader of KTAP.
    #[test]
    fn whatever_a_guest_says_it_is_read_back_with_the_same_totals(
        names in prop::collection::vec("(ok 1 |not ok 2 |# Subtest: |KTAP version 1|1\\.\\.9|Bail out!|\\[    1\\.0\\] |[#\\n\\r\\t x\u{1b}\u{2028}\u{e9}-]|# SKIP|\\[ *[0-9]+\\.[0-9]+\\] ?|Kernel panic - not syncing: VFS: |linux-6\\.12 patched m64|.){0,12}", 1..6),
        messages in prop::collection::vec(proptest::option::of("(\n|ok 1 x|# SKIP|\\[    1\\.000000\\] |List of all partitions:|.){0,8}"), 6),
        verdicts in prop::collection::vec(0..3usize, 6),
    ) {
        let mut run = syscall();
        let all = [Verdict::Pass, Verdict::Fail, Verdict::Skip];
        let cases = names.iter().zip(&messages).zip(&verdicts).map(|((name, message), verdict)| CaseResult {
            name: name.clone(),
            verdict: all[*verdict],
            message: message.clone(),
        });
        run.cells[1].cases = cases.collect();
        run.cells[1].console_tail = messages.into_iter().flatten().collect();
        let run = AnyRun::Syscall(Box::new(run));
        reads_back(&View::of(&run));
    }
}
