//! What a view shows, and the runs that all formats' tests are made with.

use super::*;
use crate::model::{Cause, CellId, FaultSummary, Judged, Leg, ProgramId};
use crate::report::record;

fn case(name: &str, verdict: Verdict, message: Option<&str>) -> CaseResult {
    CaseResult { name: name.to_owned(), verdict, message: message.map(str::to_owned) }
}

fn host() -> HostRecord {
    HostRecord {
        system: "Linux 6.1.0 x86_64".to_owned(),
        cpus: 2,
        qemu: "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".to_owned(),
        machine: "microvm".to_owned(),
        accel: "tcg".to_owned(),
        accel_why: "there is no /dev/kvm".to_owned(),
        compiler: "gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nGNU ld (GNU Binutils for Debian) 2.40".to_owned(),
        ccache: false,
        jobs: 2,
    }
}

fn cell(leg: Leg, abi: Abi, cause: Option<Cause>, cases: Vec<CaseResult>) -> CellRecord {
    let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg, abi };
    let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
    let mut cell =
        CellRecord::new(&id, Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() });
    if !matches!(cell.verdict, Verdict::Miss | Verdict::Error) {
        cell.durations = Durations { boot_ms: Some(412), run_ms: Some(903), total_ms: 1371 };
        cell.logs = id.slug();
    }
    cell
}

/// Each verdict once and some twice: a case that failed beside a kernel's splat, a name that a
/// terminal, an XML parser and a browser would each take for something else, a control leg.
pub(crate) fn syscall() -> RunRecord {
    const HOSTILE: &str = "<script>alert(1)</script> & \u{1b}[31m]]> # SKIP";
    let ok = |name: &str| case(name, Verdict::Pass, None);
    let mut m64 = cell(Leg::Patched, Abi::M64, None, vec![ok("basic"), ok("big values"), ok(HOSTILE)]);
    m64.entries = vec![Entry { arch: 0xc000_003e, nr: 463, abi: Abi::M64, count: 72 }];
    let fault = FaultSummary { kind: "warning".to_owned(), title: "WARNING in do_xyzzy".to_owned(), line: 2 };
    let failed = Cause::CaseFailed { failed: 1, total: 3, first: "big values".to_owned() };
    let bad = case("big values", Verdict::Fail, Some("# expected 1\n# got \u{1b}[31m0 <b>\n"));
    let skipped = case(HOSTILE, Verdict::Skip, Some("no <such> thing"));
    let mut m32 = cell(Leg::Patched, Abi::M32, Some(failed), vec![ok("basic"), bad, skipped]);
    m32.also = vec![CauseRecord::from(&Cause::KernelFault { fault })];
    m32.findings = vec![FindingRecord {
        kind: "warning".to_owned(),
        title: "WARNING in do_xyzzy".to_owned(),
        line: 2,
        fatal: false,
    }];
    m32.console_tail = vec!["[    1.0] ---[ end trace 0000000000000000 ]---".to_owned()];
    let no_abi = Cause::NoKernelAbi { option: "CONFIG_X86_X32_ABI: dropped by Kconfig".to_owned() };
    let mx32 = cell(Leg::Patched, Abi::Mx32, Some(no_abi), Vec::new());
    let off = |abi| cell(Leg::ConfigOff, abi, None, vec![ok("number 463 gives -ENOSYS")]);
    let mut control = off(Abi::M64);
    let outcome = "exited with status 4".to_owned();
    control.recorded = vec![RecordedRecord { program: "xyzzy_test".to_owned(), outcome, cases: Vec::new() }];
    let all = Cause::Skipped { reason: "the kernel has no <time>".to_owned() };
    let skip = cell(Leg::ConfigOff, Abi::M32, Some(all), vec![case("a", Verdict::Skip, Some("no time"))]);
    let broken = Cause::Harness { detail: "out of disk".to_owned() };
    let error = cell(Leg::ConfigOff, Abi::Mx32, Some(broken), Vec::new());
    let cells = vec![m64, m32, mx32, control, skip, error];
    RunRecord {
        schema: record::SCHEMA,
        tool: "0.1.0".to_owned(),
        state: State::Complete,
        syscall: "xyzzy".parse().unwrap(),
        started_unix_s: 1_795_302_181,
        elapsed_ms: 61_234,
        folder: "/runs/1".to_owned(),
        host: host(),
        kernels: Vec::new(),
        selected: cells.len(),
        cells,
        notes: vec!["a note with <markup>".to_owned()],
        options: vec!["--extra-patch".to_owned(), "'/tmp/a b.patch'".to_owned()],
    }
}

/// A program of kselftest that fails by one ABI.
pub(crate) fn kselftest() -> KselftestRecord {
    let id = |abi| ProgramId {
        kernel: "linux-6.12".parse().unwrap(),
        dir: "futex/functional".parse().unwrap(),
        program: "futex_wait".parse().unwrap(),
        abi,
    };
    let failed = Cause::CaseFailed { failed: 1, total: 2, first: "wake".to_owned() };
    let of = |abi, cause: Option<Cause>, wake| {
        let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
        let cases = vec![case("wait", Verdict::Pass, None), case("wake", wake, None)];
        ProgramRecord::new(&id(abi), Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() })
    };
    let cells = vec![of(Abi::M64, None, Verdict::Pass), of(Abi::M32, Some(failed), Verdict::Fail)];
    KselftestRecord {
        schema: kselftest::SCHEMA,
        tool: "0.1.0".to_owned(),
        command: "cargo xtask test-selftest futex/functional".to_owned(),
        state: State::Complete,
        started_unix_s: 1_795_302_181,
        elapsed_ms: 61_234,
        folder: "/runs/2".to_owned(),
        host: host(),
        kernels_selected: 0,
        kernels: Vec::new(),
        selected: cells.len(),
        cells,
        disagreements: Vec::new(),
        alike: Vec::new(),
        notes: Vec::new(),
    }
}

#[test]
fn rows_are_legs_or_programs_and_say_where_the_abis_disagree() {
    let run = syscall();
    let view = View::of_syscall(&run);
    let labels: Vec<_> = view.rows.iter().map(|row| (row.label.as_str(), row.cells.len())).collect();
    assert_eq!(labels, [("patched", 3), ("config-off", 3)]);
    assert_eq!(view.counts(), "1 fail, 1 error, 1 miss, 1 skip, 2 pass");
    assert_eq!(view.abis(), Abi::ALL);
    let told: Vec<_> = view.rows[0].divergences.iter().map(|found| found.case.as_str()).collect();
    assert_eq!(told, ["big values", run.cells[0].cases[2].name.as_str()]);
    let m32 = &view.rows[0].cells[&Abi::M32];
    assert_eq!((m32.name.as_str(), m32.passed()), ("linux-6.12 patched m32", (1, 3)));
    assert!(m32.again.as_ref().unwrap().contains("--leg patched --abi m32"));

    let run = kselftest();
    let view = View::of_kselftest(&run);
    assert_eq!(view.rows[0].label, "futex/functional/futex_wait");
    assert_eq!(view.rows[0].divergences[0].case, "wake");
    assert_eq!(view.counts(), "1 fail, 1 pass");
}

#[test]
fn what_has_no_verdict_is_counted() {
    let mut run = syscall();
    run.cells.truncate(1);
    let view = View::of_syscall(&run);
    assert_eq!((view.absent(), view.counts().as_str()), (5, "1 pass, 5 without a verdict"));
}
