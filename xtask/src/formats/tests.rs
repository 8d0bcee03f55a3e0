use harness::model::{Abi, Cause, CellId, FaultSummary, Judged, Leg, Transport, Verdict};
use harness::report::record::{CellRecord, Durations, FindingRecord, HostRecord, RunRecord, SCHEMA, State};

use super::*;
use harness::report::record::transports::OverTransports;

fn host() -> HostRecord {
    HostRecord {
        system: "Linux 6.1.0 x86_64".to_owned(),
        cpus: 2,
        qemu: "QEMU emulator version 7.2.22".to_owned(),
        machine: "microvm".to_owned(),
        accel: "tcg".to_owned(),
        accel_why: "there is no /dev/kvm".to_owned(),
        compiler: "gcc 12".to_owned(),
        ccache: false,
        jobs: 2,
    }
}

/// A run of one cell, whose kernel warned in line 2 of its console.
fn run() -> RunRecord {
    let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg: Leg::Patched, abi: Abi::M32 };
    let title = "WARNING in do_xyzzy".to_owned();
    let fault = FaultSummary { kind: "warning".to_owned(), title: title.clone(), line: 2 };
    let cause = Cause::KernelFault { fault };
    let judged = Judged {
        verdict: Verdict::Fail,
        cause: Some(cause),
        also: Vec::new(),
        cases: Vec::new(),
        known: Vec::new(),
    };
    let mut cell = CellRecord::new(&id, judged);
    cell.findings = vec![FindingRecord { kind: "warning".to_owned(), title, line: 2, fatal: false }];
    cell.durations = Durations { boot_ms: Some(400), run_ms: Some(600), total_ms: 1100 };
    cell.logs = id.slug();
    RunRecord {
        schema: SCHEMA,
        tool: "0.1.0".to_owned(),
        state: State::Complete,
        syscall: "xyzzy".parse().unwrap(),
        started_unix_s: 1_795_302_181,
        elapsed_ms: 61_234,
        folder: "/runs/1".to_owned(),
        host: host(),
        kernels: Vec::new(),
        selected: 1,
        cells: vec![cell],
        notes: Vec::new(),
        options: Vec::new(),
    }
}

#[test]
fn consoles_and_arguments_are_read_from_the_runs_folder_and_from_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let run = run();
    run.write(folder.path()).unwrap();
    let logs = folder.path().join(&run.cells[0].logs);
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(logs.join("console.log"), "<6>[    1.000000] up\n<4>[    2.000000] WARNING: CPU: 0 PID: 1 at kernel/x.c:12 do_xyzzy+0x1c/0x60\n").unwrap();
    std::fs::write(logs.join("argv"), "qemu-system-x86_64 -machine microvm -append 'a -b'\n").unwrap();
    let read = |folder: &Path| render(&AnyRun::read(folder).unwrap(), folder, Format::Html, Paint::Plain);
    let text = read(folder.path());
    for word in [
        "2026-11-21 23:03:01 UTC",
        "<span data-n=\"1\">&#60;6&#62;[    1.000000] up\n",
        "the kernel reported: WARNING in do_xyzzy",
        "qemu-system-x86_64 \\\n  -machine microvm \\\n  -append &#39;a -b&#39;</pre>",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }

    // Over both transports it is the console of the one over which it did not pass.
    let mut both = run.clone();
    let of_serial = CellRecord::new(
        &both.cells[0].id(),
        Judged {
            verdict: Verdict::Pass,
            cause: None,
            also: Vec::new(),
            cases: Vec::new(),
            known: Vec::new(),
        },
    );
    let halves = [(of_serial, Transport::Serial), (both.cells[0].clone(), Transport::Ssh)];
    let [serial, ssh] = halves.map(|(mut cell, transport)| {
        cell.logs = format!("both/{transport}");
        let logs = folder.path().join(&cell.logs);
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(logs.join("console.log"), format!("over {transport}\nWARNING\n")).unwrap();
        cell.over(transport);
        cell
    });
    both.cells[0] = serial.merge(ssh);
    both.cells[0].logs = "both".to_owned();
    both.write(folder.path()).unwrap();
    let text = read(folder.path());
    assert!(text.contains("over ssh\n") && !text.contains("over serial\n"), "{text}");

    // Whoever wrote the record or its folder does not choose what of this machine is on the page.
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("console.log"), "a secret\n").unwrap();
    std::fs::remove_file(logs.join("console.log")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("console.log"), logs.join("console.log")).unwrap();
    assert!(!read(folder.path()).contains("a secret"));
    let mut other = run.clone();
    let outside_name = outside.path().file_name().unwrap().to_str().unwrap();
    for path in [outside.path().display().to_string(), format!("../{outside_name}")] {
        other.cells[0].logs = path;
        other.write(folder.path()).unwrap();
        let text = read(folder.path());
        assert!(!text.contains("a secret"));
        assert!(text.contains("its log is not where the run left it"));
    }
}
