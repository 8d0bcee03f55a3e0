//! Runs whose pages a browser is shown: each verdict once, and hundreds of cells.

use harness::judge::verdict::Entry;
use harness::model::{
    Abi, CaseResult, Cause, CellId, FaultSummary, Judged, KnownIssue, Leg, NotApplicable, ProgramId, Symptom,
    Transport, Verdict,
};
use harness::report::html::{self, Logs};
use harness::report::kselftest::{self, KselftestRecord, ProgramRecord};
use harness::report::record::{
    self, CauseRecord, CellRecord, Durations, FindingRecord, HostRecord, RecordedRecord, RunRecord, State,
    TransportRecord,
};
use harness::report::view::{CellView, View};

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

fn judged(cause: Option<Cause>, cases: Vec<CaseResult>) -> Judged {
    let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
    Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() }
}

fn case(name: &str, verdict: Verdict, message: Option<&str>) -> CaseResult {
    CaseResult { name: name.to_owned(), verdict, message: message.map(str::to_owned) }
}

const TITLE: &str = "WARNING at kernel/xyzzy.c in __do_sys_xyzzy";

/// Each verdict once, a splat, and a case whose name is markup.
pub fn run() -> RunRecord {
    let names = [
        "xyzzy_test/basic",
        "xyzzy_test/values above 32 bits",
        "xyzzy_test/<img src=x onerror=alert(1)>",
        "xyzzy_test/bad address",
    ];
    let passed = || names.iter().map(|name| case(name, Verdict::Pass, None)).collect::<Vec<_>>();
    let fault = FaultSummary { kind: "warning".to_owned(), title: TITLE.to_owned(), line: 31 };
    let warned = Cause::KernelFault { fault };
    let mut wrong = passed();
    wrong[1].verdict = Verdict::Fail;
    wrong[1].message = Some("# xyzzy_test.c:41:expected 0x100000000 == 0x0\n".to_owned());
    let off = || vec![case("number 463 gives -ENOSYS", Verdict::Pass, None)];
    let refused = Cause::NoKernelAbi { option: "CONFIG_X86_X32_ABI: dropped by Kconfig".to_owned() };
    let skipped = Cause::Skipped { reason: "the kernel has no <time>".to_owned() };
    let broken = Cause::LostVm { detail: "exit status: 1, \"qemu: out of memory\"".to_owned() };
    let skip = vec![case("number 463 gives -ENOSYS", Verdict::Skip, Some("no time"))];
    let of = [
        (Leg::Patched, Abi::M64, None, passed()),
        (Leg::Patched, Abi::M32, Some(warned), wrong),
        (Leg::Patched, Abi::Mx32, Some(refused), Vec::new()),
        (Leg::ConfigOff, Abi::M64, None, off()),
        (Leg::ConfigOff, Abi::M32, Some(skipped), skip),
        (Leg::ConfigOff, Abi::Mx32, Some(broken), Vec::new()),
    ];
    let cells = of.into_iter().map(|(leg, abi, cause, cases)| {
        let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg, abi };
        let mut cell = CellRecord::new(&id, judged(cause, cases));
        if cell.verdict != Verdict::Miss {
            cell.durations = Durations { boot_ms: Some(412), run_ms: Some(903), total_ms: 1371 };
            cell.logs = id.slug();
        }
        if leg == Leg::Patched && cell.verdict != Verdict::Miss {
            let door = abi.door(463);
            cell.entries = vec![Entry { arch: door.arch, nr: door.nr, abi, count: 72 }];
        }
        if cell.verdict == Verdict::Fail {
            let failed = Cause::CaseFailed { failed: 1, total: 4, first: names[1].to_owned() };
            cell.also = vec![CauseRecord::from(&failed)];
            let (kind, title) = ("warning".to_owned(), TITLE.to_owned());
            cell.findings = vec![FindingRecord { kind, title, line: 31, fatal: false }];
            let reason = "a size_t has 32 bits here".to_owned();
            let over = |transport| TransportRecord {
                transport,
                verdict: cell.verdict,
                cause: cell.cause.clone(),
                passed: cell.passed(),
                durations: cell.durations,
                logs: format!("{}.{transport}", cell.logs),
            };
            cell.transports = vec![over(Transport::Serial), over(Transport::Ssh)];
            cell.not_applicable = vec![NotApplicable { name: "contract/size above 2^32".to_owned(), reason }];
        }
        if leg == Leg::ConfigOff && cell.verdict == Verdict::Pass {
            let (program, outcome) = ("xyzzy_test".to_owned(), "exited with status 4".to_owned());
            let cases = vec![case("basic", Verdict::Skip, None)];
            cell.recorded = vec![RecordedRecord { program, outcome, cases }];
            cell.known = vec![KnownIssue {
                symptom: Symptom::Splat("WARNING at mm/x.c in y".to_owned()),
                syscall: None,
                leg: None,
                abi: None,
                reason: "a <bug> of the tree".to_owned(),
                link: "https://example.com/1".to_owned(),
                expires: "2026-12-31".parse().unwrap(),
            }];
        }
        cell
    });
    let cells: Vec<CellRecord> = cells.collect();
    RunRecord {
        schema: record::SCHEMA,
        tool: "0.1.0".to_owned(),
        state: State::Complete,
        syscall: "xyzzy".parse().unwrap(),
        started_unix_s: 1_795_302_181,
        elapsed_ms: 61_234,
        folder: "/home/user/abimatrix/target/abimatrix/20261121T230301Z-xyzzy".to_owned(),
        host: host(),
        kernels: Vec::new(),
        selected: cells.len(),
        cells,
        notes: vec!["the first cache entry was made again".to_owned()],
        options: Vec::new(),
    }
}

/// A boot, and in the failing cell a warning in line 31.
fn console(cell: &CellView<'_>) -> Vec<u8> {
    let mut log = String::new();
    for line in 1..=30 {
        log.push_str(&format!(
            "<6>[    0.{line:06}] Memory: {line} K, <b>{}</b>, a line of a boot as long as they are\n",
            cell.name
        ));
    }
    if cell.verdict == Verdict::Fail {
        log.push_str(
            "<4>[    0.612345] WARNING: CPU: 0 PID: 73 at kernel/xyzzy.c:41 __do_sys_xyzzy+0x1c/0x60\n",
        );
        for line in [
            "Modules linked in:",
            "CPU: 0 UID: 0 PID: 73 Comm: xyzzy_test Not tainted 6.12.0 #1",
            "RIP: 0010:__do_sys_xyzzy+0x1c/0x60",
            "Call Trace:",
            " <TASK>",
            " __do_fast_syscall_32+0x6c/0xd0",
            " do_int80_emulation+0x8b/0x100",
            " </TASK>",
            "---[ end trace 0000000000000000 ]---",
        ] {
            log.push_str(&format!("<4>[    0.612346] {line}\n"));
        }
    }
    log.push_str("<6>[    0.700000] \u{1b}[31mreboot: Power down\n");
    log.into_bytes()
}

pub fn logs(cell: &CellView<'_>) -> Logs {
    let argv = "/usr/bin/qemu-system-x86_64 -name abimatrix.x -machine microvm -accel tcg -append 'console=ttyS0 panic=-1' -S\n";
    match cell.logs {
        "" => Logs::default(),
        _ => Logs { console: Some(console(cell)), argv: Some(argv.to_owned()) },
    }
}

pub fn page(run: &RunRecord) -> String {
    html::render(&View::of_syscall(run), "2026-11-21 23:03:01 UTC", &logs)
}

/// A run of kselftest with 510 cells of three kinds.
pub fn many() -> KselftestRecord {
    let mut cells = Vec::new();
    for program in 0..170 {
        for abi in Abi::ALL {
            let id = ProgramId {
                kernel: "linux-6.12".parse().unwrap(),
                dir: format!("filesystems/dir{}", program / 10).parse().unwrap(),
                program: format!("statmount_test_{program}").parse().unwrap(),
                abi,
            };
            let bad = program % 17 == 3 && abi == Abi::M32;
            let failed = bad.then(|| Cause::CaseFailed { failed: 1, total: 12, first: "case 3".to_owned() });
            let miss = (program % 23 == 5 && abi == Abi::Mx32)
                .then(|| Cause::NotRun { reason: "no libcap for x32".to_owned() });
            let cases = (0..12).map(|n| {
                let failed = bad && n == 3;
                let message = failed.then_some("# expected 8, got 4");
                case(&format!("case {n}"), if failed { Verdict::Fail } else { Verdict::Pass }, message)
            });
            let cases = if miss.is_some() { Vec::new() } else { cases.collect() };
            let mut cell = ProgramRecord::new(&id, judged(failed.or(miss), cases));
            if cell.verdict != Verdict::Miss {
                cell.outcome = Some("exited with status 0".to_owned());
                cell.durations =
                    Durations { boot_ms: Some(500), run_ms: Some(200 * (program % 9)), total_ms: 2400 };
                cell.logs = id.slug();
            }
            cells.push(cell);
        }
    }
    KselftestRecord {
        schema: kselftest::SCHEMA,
        tool: "0.1.0".to_owned(),
        command: "cargo xtask test-selftest all-syscalls".to_owned(),
        state: State::Interrupted,
        started_unix_s: 1_795_302_181,
        elapsed_ms: 961_234,
        folder: "/runs/2".to_owned(),
        host: host(),
        kernels_selected: 1,
        kernels: Vec::new(),
        selected: cells.len() + 3,
        cells,
        disagreements: Vec::new(),
        alike: Vec::new(),
        notes: Vec::new(),
    }
}
