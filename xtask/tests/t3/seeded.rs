//! Bugs that were put in on purpose, in the kernel and in the selftest: each has to be found, by each ABI
//! that it shows on, and for what it is.

use super::support::{self, Expect, Run, project_copy, xtask};
use super::{KERNEL, repro};

/// Runs the patched leg with one seeded bug and checks verdict and cause of each ABI; of m64 alone
/// where the ABIs cannot differ and a cell takes long.
#[track_caller]
fn seeded<const N: usize>(mutant: &str, more: &[&str], expected: [Expect; N]) -> Run {
    let patch = format!("{}/kernels/{KERNEL}/mutants/{mutant}.patch", support::checkout());
    // What the selftest has to find, it has to find alone.
    let mut args = vec!["test-syscall", "xyzzy", "--kernel", KERNEL, "--leg", "patched", "--contract=no"];
    args.extend(["--extra-patch", &patch]);
    args.extend(["--format", "json"]);
    if N == 1 {
        args.extend(["--abi", "m64"]);
    }
    args.extend(more);
    let run = xtask(&args);
    let cells = run.cells();
    assert_eq!(cells.len(), N, "{run}");
    for (cell, (abi, expected)) in cells.iter().zip(["m64", "m32", "mx32"].iter().zip(&expected)) {
        assert_eq!(cell["abi"], *abi, "{run}");
        let (verdict, kind, word) = expected;
        assert_eq!(cell["verdict"], *verdict, "{mutant} {abi}: {cell:#}");
        if *verdict == "pass" {
            continue;
        }
        let cause = &cell["cause"];
        assert_eq!(cause["kind"], *kind, "{mutant} {abi}: {cell:#}");
        assert!(cause["text"].as_str().unwrap().contains(word), "{mutant} {abi}: {word}: {cell:#}");
    }
    repro::replays_alike("latest");
    let failed = expected.iter().any(|(verdict, ..)| *verdict == "fail");
    let incomplete = expected.iter().any(|(verdict, ..)| *verdict != "pass");
    assert_eq!(
        run.code,
        Some(if failed {
            1
        } else if incomplete {
            3
        } else {
            0
        }),
        "{run}"
    );
    run
}

pub fn flags_unchecked() {
    seeded("flags-unchecked", &[], [("fail", "case-failed", "unknown_flags"); 3]);
}

pub fn panics() {
    seeded("panics", &[], [("fail", "panic", "Kernel panic"); 3]);
}

pub fn oops_null() {
    seeded("oops-null", &[], [("fail", "kernel-fault", "NULL pointer"); 3]);
}

pub fn oops_over_ssh() {
    let run = seeded("oops-null", &["--transport", "ssh"], [("fail", "kernel-fault", "NULL pointer")]);
    assert_eq!(run.cells()[0]["transports"][0]["transport"], "ssh", "{run}");
}

pub fn sshd_dies() {
    // Over ssh it has no verdict that could differ from the pass over serial.
    let expected = [("error", "connection-cut", "the agent: sshd ended")];
    let run = seeded("selftest-kills-sshd", &["--transport", "both"], expected);
    let over = run.cells()[0]["transports"].clone();
    assert_eq!((&over[0]["verdict"], &over[1]["verdict"]), (&"pass".into(), &"error".into()), "{run}");
}

pub fn smap_deref() {
    let run = seeded("smap-deref", &[], [("fail", "kernel-fault", "xyzzy"); 3]);
    for cell in run.cells() {
        assert_eq!(cell["findings"][0]["kind"], "smap-violation", "{cell:#}");
    }
}

pub fn warns() {
    let run = seeded("warns", &[], [("fail", "kernel-fault", "WARNING"); 3]);
    for cell in run.cells() {
        let passed =
            cell["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == "pass").count();
        assert_eq!(passed, 19, "{cell:#}");
    }
}

/// What is wrong is known, up to its day: then it is shown, and not held against the cell.
pub fn known_until_its_day() {
    let (_scratch, project) = project_copy();
    let known = project.join("kernels/linux-6.12/known-issues.yaml");
    let patch = format!("{}/kernels/{KERNEL}/mutants/warns.patch", support::checkout());
    let args =
        ["test-syscall", "xyzzy", "--leg", "patched", "--abi", "m64", "--contract=no", "--format", "json"];
    let args = [&args[..], &["--extra-patch", &patch, "--project", project.to_str().unwrap()]].concat();
    let warning = |day: &str| {
        format!("- splat: WARNING at kernel/xyzzy.c*\n  reason: r\n  link: l\n  expires: {day}\n")
    };
    std::fs::write(&known, warning("2100-01-01") + &warning("2100-01-01").replace("splat", "case")).unwrap();
    let run = xtask(&args);
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(run.cells()[0]["known"][0]["reason"], "r", "{run}");
    assert!(run.stdout.contains("not met, fixed perhaps: case"), "{run}");
    std::fs::write(&known, warning("2026-01-01")).unwrap();
    let run = xtask(&args);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stdout.contains("no longer excused"), "{run}");
}

pub fn loops_forever() {
    seeded("loops-forever", &[], [("fail", "hang", "soft lockup"); 3]);
}

pub fn spins_deaf() {
    seeded("spins-deaf", &[], [("fail", "hang", "sys_xyzzy+")]);
}

pub fn hangs_in_sleep() {
    seeded("hangs-in-sleep", &["--timeout", "5"], [("fail", "test-timeout", "5000 ms"); 3]);
}

pub fn hangs_for_good() {
    let run = seeded("hangs-for-good", &[], [("fail", "kernel-fault", "blocked")]);
    let cell = &run.cells()[0];
    assert_eq!(cell["findings"][0]["kind"], "hung-task", "{cell:#}");
    // The deadline has its own say: that the program could not be ended.
    assert!(cell["also"].as_array().unwrap().iter().any(|cause| cause["kind"] == "test-stuck"), "{cell:#}");
}

pub fn kills_init() {
    let run = seeded("kills-init", &[], [("fail", "panic", "Attempted to kill init")]);
    // The fault that killed it stands before it: any program's would look the same.
    let findings = run.cells()[0]["findings"].clone();
    assert!(findings.as_array().unwrap().iter().any(|finding| finding["kind"] == "init-died"), "{run}");
}

pub fn selftest_segfaults() {
    let run = seeded("selftest-segfaults", &[], [("fail", "test-signalled", "SIGSEGV"); 3]);
    for cell in run.cells() {
        let cases = cell["cases"].as_array().unwrap();
        let passed = cases.iter().filter(|case| case["verdict"] == "pass").count();
        assert_eq!(passed, 3, "{cell:#}");
    }
}

pub fn selftest_eats_memory() {
    let run = seeded("selftest-eats-memory", &[], [("fail", "test-signalled", "OOM killer")]);
    let findings = run.cells()[0]["findings"].clone();
    assert!(findings.as_array().unwrap().iter().all(|f| f["kind"] == "out-of-memory"), "{run}");
}

pub fn selftest_dynamic() {
    let run = seeded("selftest-dynamic", &[], [("pass", "", ""); 3]);
    for cell in run.cells() {
        assert_eq!(cell["cases"].as_array().unwrap().len(), 19, "{cell:#}");
    }
}

pub fn selftest_script() {
    let run = seeded("selftest-script", &[], [("fail", "case-failed", "the script is heard"); 3]);
    for cell in run.cells() {
        let cases = cell["cases"].as_array().unwrap();
        let passed: Vec<_> = cases.iter().filter(|case| case["verdict"] == "pass").collect();
        // The program's own, and that it runs from the script.
        assert_eq!(passed.len(), 20, "{cell:#}");
        assert_eq!(passed[19]["name"], "xyzzy.sh/the program beside it passes", "{cell:#}");
    }
}

pub fn selftest_short() {
    seeded("selftest-short", &[], [("error", "plan-mismatch", "18"); 3]);
}

pub fn selftest_extra() {
    seeded("selftest-extra", &[], [("error", "plan-mismatch", "20"); 3]);
}

pub fn selftest_no_call() {
    seeded("selftest-no-call", &[], [("error", "not-entered", "never entered"); 3]);
}

pub fn i386_entry_missing() {
    let pass = ("pass", "", "");
    let run = seeded("i386-entry-missing", &[], [pass, ("fail", "not-wired", "syscall_32.tbl"), pass]);
    assert!(run.stderr.contains("not wired"), "{run}");
}
