//! A person in a cell of an earlier run, on a real kernel: gdb at each ABI's entry, a shell at the console.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::KERNEL;
use super::support::{eventually, xtask};

/// A run of the patched leg by all ABIs, in a folder of its own.
fn ran(folder: &Path) -> String {
    let out = folder.join("run").display().to_string();
    let args =
        ["test-syscall", "xyzzy", "--kernel", KERNEL, "--leg", "patched", "--contract=no", "--out", &out];
    let run = xtask(&args);
    assert_eq!(run.code, Some(0), "{run}");
    out
}

/// To the call of the selftest that has bit 31 set in its flags, and from there into its body.
const SCRIPT: &str = "\
condition 1 ((struct pt_regs *) $rdi)->dx == 0x80000000
disable 2
continue
info symbol $pc
enable 2
continue
bt 3
info symbol main
";

pub fn debugger() {
    let scratch = tempfile::tempdir().unwrap();
    let run = ran(scratch.path());
    let script = scratch.path().join("script");
    std::fs::write(&script, SCRIPT).unwrap();
    for (abi, entry, orig_ax, registers) in [
        ("m64", "__x64_sys_xyzzy", "0x1cf", ["di ", "si ", "dx "]),
        ("m32", "__ia32_sys_xyzzy", "0x1cf", ["bx ", "cx ", "dx "]),
        ("mx32", "__x64_sys_xyzzy", "0x400001cf", ["di ", "si ", "dx "]),
    ] {
        // Not `32`, which is a part of two names.
        let cell = format!("{KERNEL} patched {abi}");
        let gdb = xtask(&["repro", &run, &cell, "--gdb-script", script.to_str().unwrap()]);
        assert_eq!(gdb.code, Some(0), "{abi}: {gdb}");
        let [first, second, third] = registers;
        for line in [
            format!("{entry} in section .text"),
            format!("xyzzy by {abi}: orig_ax {orig_ax}"),
            // sizeof(struct xyzzy_args), and the highest flag there is.
            format!("  2 {second} 0x20"),
            format!("  3 {third} 0x80000000"),
            // An entry into what was inlined has no address before it.
            "__do_sys_xyzzy (".to_owned(),
            // The function is where its source is.
            "kernel/xyzzy.c:".to_owned(),
            // Of the program, which was not built for this: its own symbols.
            "main in section .text".to_owned(),
        ] {
            assert!(gdb.stdout.contains(&line), "{abi}: {line}: {gdb}");
        }
        // The first argument is an address of the program, which has 32 bits where pointers have.
        let line = gdb.stdout.lines().find(|line| line.contains(&format!("  1 {first}"))).unwrap();
        let address = line.rsplit("0x").next().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let address = address.unwrap_or_else(|| panic!("{abi}: {line}"));
        assert!(address > 0x1000 && (abi == "m64") == (address > u64::from(u32::MAX)), "{abi}: {line}");
        // Nor is it the work tree's, in which anything may lie.
        assert!(!gdb.stderr.contains("more recent") && !gdb.stdout.contains("more recent"), "{abi}: {gdb}");
        // Debug info moves nothing: what is held is what was judged.
        assert!(gdb.stderr.contains("the kernel is the one that was judged"), "{abi}: {gdb}");
    }
}

/// Where its program begins, in its `main`, and then in a function that was named.
const SELFTEST_SCRIPT: &str = "\
continue
info symbol $pc
continue
info symbol $pc
continue
bt 1
";

/// Of the directories of the test of kselftests, those with a `config`: their kernel is the same.
pub fn of_selftest() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run").display().to_string();
    let dirs = ["rlimits", "sigaltstack", "timens"];
    let run = xtask(
        &[&["test-selftest"], &dirs[..], &["--kernel", KERNEL, "--timeout", "30", "--out", &out]].concat(),
    );
    assert!(run.stdout.contains("sigaltstack"), "{run}");
    let script = scratch.path().join("script");
    std::fs::write(&script, SELFTEST_SCRIPT).unwrap();
    for abi in ["m64", "m32", "mx32"] {
        let cell = format!("{KERNEL} sigaltstack/sas {abi}");
        let script = script.to_str().unwrap();
        let gdb = xtask(&["repro", &out, &cell, "--break", "do_sigaction", "--gdb-script", script]);
        assert_eq!(gdb.code, Some(0), "{abi}: {gdb}");
        let mut rest = gdb.stdout.as_str();
        for line in [
            "sas begins\n",
            "finalize_exec in section .text",
            // Of the program, wherever it was put.
            "main in section .text of",
            // At a line of a function that was inlined there, perhaps.
            "#0  do_sigaction (sig=",
            " at /",
        ] {
            let at = rest.find(line).unwrap_or_else(|| panic!("{abi}: {line}: {gdb}"));
            rest = &rest[at..];
        }
        assert!(!gdb.stderr.contains("more recent") && !gdb.stdout.contains("more recent"), "{abi}: {gdb}");
        assert!(!gdb.stderr.contains("--break"), "{abi}: {gdb}");
    }
}

/// Once a debugger has asked for its kernel's debug info, a splat has lines of the source.
pub fn decoded() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("run").display().to_string();
    let patch = format!("{}/kernels/{KERNEL}/mutants/oops-null.patch", super::support::checkout());
    let args =
        ["test-syscall", "xyzzy", "--kernel", KERNEL, "--leg", "patched", "--abi", "m64", "--contract=no"];
    let run = xtask(&[&args[..], &["--extra-patch", &patch, "--out", &out]].concat());
    assert_eq!(run.code, Some(1), "{run}");
    let script = scratch.path().join("script");
    std::fs::write(&script, "info registers rip\n").unwrap();
    let gdb = xtask(&["repro", &out, "m64", "--gdb-script", script.to_str().unwrap()]);
    assert_eq!(gdb.code, Some(0), "{gdb}");
    let again = xtask(&["repro", &out, "m64"]);
    assert_eq!(again.code, Some(0), "{again}");
    for word in ["NULL pointer", "kernel/xyzzy.c:", "(__x64_sys_xyzzy)", "arch/x86/entry/"] {
        assert!(again.stderr.contains(word), "{word}: {again}");
    }
    let inlined =
        again.stderr.lines().any(|line| line.contains("kernel/xyzzy.c") && line.contains(", inlined)"));
    assert!(inlined, "{again}");
}

/// In a terminal, whose settings are looked at before and after.
pub fn shell() {
    let scratch = tempfile::tempdir().unwrap();
    let run = ran(scratch.path());
    let file = |name: &str| scratch.path().join(name);
    let quoted = |name: &str| harness::process::quote(file(name).to_str().unwrap());
    let text = format!(
        "stty -g > {}\n{} repro {} '{KERNEL} patched m32' --shell\necho $? > {}\nstty -g > {}\n",
        quoted("before"),
        harness::process::quote(&super::support::program()),
        harness::process::quote(&run),
        quoted("code"),
        quoted("after"),
    );
    std::fs::write(file("shell"), text).unwrap();
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--flush", "--command"])
        .arg(format!("sh {}", quoted("shell")))
        .arg(file("screen"));
    script.env("TERM", "xterm").env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut script = script.spawn().expect("this test needs script (Debian: bsdutils)");
    let mut keys = script.stdin.take().unwrap();
    let screen = || String::from_utf8_lossy(&std::fs::read(file("screen")).unwrap_or_default()).into_owned();
    let shows = |word: &str| eventually(word, || screen().contains(word));
    shows("guest# ");
    keys.write_all(b"echo $((6*7))\r").unwrap();
    shows("\n42\r");
    // A program that does not end is ended as on any terminal, and the shell is still there.
    keys.write_all(b"echo st''arted; sleep 1000\r").unwrap();
    shows("\nstarted\r");
    let prompts = screen().matches("guest# ").count();
    keys.write_all(b"\x03").unwrap();
    eventually("the next prompt", || screen().matches("guest# ").count() > prompts);
    keys.write_all(b"echo $((7*9))\r").unwrap();
    shows("\n63\r");
    keys.write_all(b"/test/xyzzy_test | tail -n 1\r").unwrap();
    shows("# Totals: pass:19 fail:0");
    keys.write_all(b"exit\r").unwrap();
    eventually("it has ended", || file("after").exists());
    drop(keys);
    script.wait().unwrap();
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    assert_eq!(read("code"), "0\n", "{}", screen());
    assert!(!read("before").is_empty());
    assert_eq!(read("before"), read("after"), "{}", screen());
    assert!(screen().contains("/test/xyzzy_test\r\n"), "the banner names it: {}", screen());
}
