//! What a user types and gets wrong, and what the program says: no kernel is built here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

struct Xtask(Command, tempfile::TempDir);

/// The program with a cache of its own, so that nothing a test does depends on another.
fn xtask(args: &[&str]) -> Xtask {
    let cache = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).env("XDG_CACHE_HOME", cache.path());
    Xtask(command, cache)
}

impl Xtask {
    #[track_caller]
    fn ends(mut self, code: i32, words: &[&str]) -> Output {
        let output = self.0.output().unwrap();
        let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).join("\n");
        assert_eq!(output.status.code(), Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in:\n{text}");
        }
        output
    }
}

fn copy() -> (tempfile::TempDir, String) {
    let scratch = tempfile::tempdir().unwrap();
    for folder in ["configs", "guest", "kernels"] {
        let status = Command::new("cp").arg("-a").arg(checkout().join(folder)).arg(scratch.path()).status();
        assert!(status.unwrap().success());
    }
    let path = scratch.path().display().to_string();
    (scratch, path)
}

#[test]
fn what_cannot_be_compared_is_one_clear_message() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    std::fs::write(path("broken"), "version 1\nof test-syscall xyzzy\nrow a\n  cell m65 pass 1 of 1\n")
        .unwrap();
    std::fs::create_dir(path("empty")).unwrap();
    let (gone, broken, empty) = (path("gone"), path("broken"), path("empty"));
    xtask(&["compare", &gone, &gone]).ends(2, &["gone: no such run"]);
    xtask(&["compare", &broken, &gone]).ends(2, &["broken:4: "]);
    xtask(&["compare", &empty, &gone]).ends(2, &["empty: no run: there is no run.json in it"]);
    xtask(&["baseline", &gone, &broken]).ends(2, &["gone: no such run"]);
    xtask(&["test-syscall", "xyzzy", "--baseline", &broken]).ends(2, &["broken:4: "]);
    xtask(&["test-syscall", "xyzzy", "--repeat", "2", "--retries", "1"]).ends(2, &["cannot be used with"]);
    xtask(&["test-syscall", "xyzzy", "--retries", "11"]).ends(2, &["11 is not in 0..=10"]);
    xtask(&["compare", "--help"]).ends(0, &["nothing is worse than it was"]);
}

/// A path, a file and an argument that mean to talk to the terminal.
#[test]
fn no_error_reaches_the_terminal_unescaped() {
    let (scratch, root) = copy();
    let kernel = scratch.path().join("kernels/linux-6.12/kernel.yaml");
    std::fs::write(&kernel, "kernel: linux-6.12\n\"\\e[2J\\u202e\": 1\n").unwrap();
    let gone = format!("{root}/\u{1b}[2J\u{202e}");
    for args in [
        &["test-syscall", "xyzzy", "--dry-run", "--project", &root][..],
        &["test-syscall", "\u{1b}[2J\u{202e}", "--dry-run"],
        &["test-syscall", "xyzzy", "--dry-run", "--project", &gone],
    ] {
        let output = xtask(args).0.output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let bad = text.chars().find(|c| matches!(c, '\u{1b}' | '\u{202e}' | '\u{7}'));
        assert_eq!(bad, None, "{args:?}: {text}");
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_touches_nothing() {
    let run =
        xtask(&["test-syscall", "xyzzy", "--dry-run", "--kernel", "linux-6.12", "--kernel", "linux-6.1"]);
    let cache = run.1.path().join("abimatrix");
    let output =
        run.ends(0, &["linux-6.12", "linux-6.1", "12 cells", "m64, m32, mx32", "patched, config-off"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("12 cells"), "the plan is the result");
    assert!(!cache.join("source").exists());
}

#[test]
fn wrong_words_are_usage_errors_with_what_is_allowed() {
    xtask(&["test-syscall", "xyzy", "--dry-run"]).ends(2, &["did you mean xyzzy?"]);
    xtask(&["test-syscall", "xyzzy", "--kernel", "linux-6.11"]).ends(2, &["linux-6.12"]);
    xtask(&["test-syscall", "xyzzy", "--kernel", "../x"]).ends(2, &["not the name of a kernel"]);
    xtask(&["test-syscall", "xyzzy", "--leg", "patch"]).ends(2, &["patched, config-off or unpatched"]);
    xtask(&["test-syscall", "xyzzy", "--abi", "x33"]).ends(2, &["m64, m32 or mx32"]);
    xtask(&["test-syscall", "xyzzy", "--jobs", "0"]).ends(2, &["a number from 1"]);
    xtask(&["test-syscall", "xyzzy", "--timeout", "0"]).ends(2, &["seconds"]);
    xtask(&["test-syscall", "xyzzy", "--accel", "hvf"]).ends(2, &["auto, kvm or tcg"]);
    xtask(&["test-syscall", "xyzzy", "--format", "xml"]).ends(2, &["text", "json"]);
    xtask(&["test-syscall"]).ends(2, &["SYSCALL"]);
    xtask(&["test-syscal", "xyzzy"]).ends(2, &["test-syscall"]);
    xtask(&["test-syscall", "--help"]).ends(0, &["Exit codes", "130"]);
}

#[test]
fn a_selection_of_nothing_is_not_a_success() {
    let (_scratch, project) = copy();
    let folder = format!("{project}/kernels/linux-6.1/xyzzy");
    std::fs::remove_dir_all(folder).unwrap();
    // Its tree may have the call already: it is asked.
    let tree = format!("{project}/tree");
    let tables = format!("{tree}/arch/x86/entry/syscalls");
    std::fs::create_dir_all(&tables).unwrap();
    std::fs::write(format!("{tree}/Kbuild"), "").unwrap();
    std::fs::write(format!("{tables}/syscall_64.tbl"), "0\tcommon\tread\tsys_read\n").unwrap();
    std::fs::write(format!("{tables}/syscall_32.tbl"), "3\ti386\tread\tsys_read\n").unwrap();
    let kernel = format!("{project}/kernels/linux-6.1/kernel.yaml");
    let text = format!("kernel: linux-6.1\nsource: {{ directory: {tree} }}\nconfigs: [base.config]\n");
    std::fs::write(kernel, text).unwrap();
    let args = ["test-syscall", "xyzzy", "--project", &project, "--kernel", "linux-6.1"];
    xtask(&args).ends(4, &["nothing is selected", "linux-6.12 has one"]);
}

/// Before the first mutant, and not when its turn comes.
#[test]
fn a_compiler_that_a_mutants_profile_chooses_is_asked_for_at_once() {
    let (scratch, project) = copy();
    let file = scratch.path().join("configs/profiles.yaml");
    let profiles = std::fs::read_to_string(&file).unwrap();
    let chosen = profiles.replace("CC=clang", "CC=gcc-99");
    assert_ne!(chosen, profiles);
    std::fs::write(&file, chosen).unwrap();
    let mutants = ["test", "--mutants", "fd-padding-without-name", "--project", &project];
    let said = xtask(&mutants).ends(3, &["this machine lacks", "gcc-99: not found (package gcc-99)"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.contains("CAUGHT") && !said.contains("kernel"), "{said}");
}

#[test]
fn what_would_write_to_a_tree_or_spoil_a_build_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).display().to_string();
    for folder in ["tree/sub", "theirs", "other/obj"] {
        std::fs::create_dir_all(path(folder)).unwrap();
    }
    for file in ["tree/Kbuild", "theirs/.config", "other/Kbuild"] {
        std::fs::write(path(file), "").unwrap();
    }
    let tree = ["test-syscall", "xyzzy", "--tree", &path("tree")];
    let with = |more: &[&str]| xtask(&[&tree[..], more].concat());
    with(&["-O", &path("tree/sub/obj")]).ends(2, &["never written to"]);
    with(&["--out", &path("tree/sub/run")]).ends(2, &["--out", "never written to"]);
    with(&["-O", &path("theirs")]).ends(2, &["not from an earlier run", "name a new folder"]);
    with(&["-O", &path("other/obj")]).ends(2, &["lies in a kernel tree"]);
    with(&["--kernel", "linux-6.12"]).ends(2, &["--tree", "--kernel"]);
    with(&["--make", "ARCH=i386"]).ends(2, &["ARCH is not to be set"]);
    let absent = "no-such-compiler: not found (--make or the profile chooses it)";
    with(&["--make", "CC=no-such-compiler -m64"]).ends(3, &["this machine lacks", absent]);
    with(&["--make", "CC=ccache gcc-99"]).ends(3, &["gcc-99: not found (package gcc-99)", "--setup"]);
    with(&["--config-item", "X=y"]).ends(2, &["--config-item:1"]);
    with(&["--config", &path("absent")]).ends(2, &["absent"]);
    with(&["--range", "HEAD"]).ends(2, &["BASE..HEAD"]);
    with(&["--range", "a..b"]).ends(2, &["no git repository"]);
    with(&[]).ends(2, &["syscall_64.tbl"]);
    xtask(&["test-syscall", "xyzzy", "--range", "a..b"]).ends(2, &["--tree"]);
    xtask(&["test-syscall", "xyzzy", "--tree", &path("absent")]).ends(2, &["absent"]);
    let left: Vec<_> = std::fs::read_dir(path("tree")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_mistake_in_a_file_has_line_and_column() {
    let (_scratch, project) = copy();
    let kernel = format!("{project}/kernels/linux-6.12/kernel.yaml");
    let text = std::fs::read_to_string(&kernel).unwrap();
    std::fs::write(&kernel, format!("{text}colour: red\n")).unwrap();
    let line = text.lines().count() + 1;
    let place = format!("kernel.yaml:{line}:1");
    xtask(&["test-syscall", "xyzzy", "--project", &project]).ends(2, &[&place, "colour", "command_line"]);
}

#[test]
fn missing_tools_are_named_with_their_packages_before_any_work() {
    let mut run = xtask(&["test-syscall", "xyzzy"]);
    run.0.env("PATH", "/nonexistent");
    let cache = run.1.path().join("abimatrix");
    let output = run.0.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    // /usr/sbin and /sbin are always on the path of children; none of these lies there.
    for word in ["qemu-system-x86_64", "package qemu-system-x86", "package flex", "package git", "--setup"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(output.stdout.is_empty());
    assert!(!cache.join("source").exists());
}

#[test]
fn what_ssh_lacks_is_named_before_the_program_builds_itself() {
    for command in [["test-syscall", "xyzzy"], ["test-selftest", "core"]] {
        let with = |more: &[&'static str]| xtask(&[&command[..], more].concat());
        let mut run = with(&["--transport", "ssh"]);
        run.0.env("PATH", "/nonexistent").env("CARGO", "/nonexistent/cargo");
        let output = run.0.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{text}");
        for word in ["dropbearkey", "package dropbear-bin", "package pkg-config", "--setup"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("builds itself"), "{text}");
        // A dry run needs none of it.
        with(&["--transport", "both", "--dry-run"]).ends(0, &["each over serial and over ssh"]);
        with(&["--transport", "carrier-pigeon"]).ends(2, &["serial", "both"]);
    }
    // What runs nothing runs nothing over ssh, and asks for nothing of it.
    let mut listed = xtask(&["test-selftest", "--list", "--transport", "ssh"]);
    let output = listed.0.env("PATH", "/nonexistent").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("package flex") && !text.contains("dropbear"), "{text}");
    xtask(&["test-selftest", "--from", "/nowhere", "--transport", "ssh"]).ends(2, &["--transport"]);
}

#[test]
fn a_folder_that_holds_a_run_is_not_written_over() {
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("run.json"), "{}").unwrap();
    let path = out.path().display().to_string();
    xtask(&["test-syscall", "xyzzy", "--out", &path]).ends(2, &["is not empty"]);
    assert_eq!(std::fs::read_to_string(out.path().join("run.json")).unwrap(), "{}");
}

#[test]
fn a_cache_that_cannot_be_written_is_one_clear_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    xtask(&["test-syscall", "xyzzy", "--cache", &path]).ends(2, &["not writable", &path]);
}

#[test]
fn doctor_lists_every_tool_and_the_state_of_kvm() {
    let output = xtask(&["doctor"]).0.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for word in ["qemu-system-x86_64", "gcc -mx32", "linux-source-6.12", "libelf", "/dev/kvm", "processors"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// A log in a file of its own.
fn ktap(log: &str, more: &[&str], code: i32, words: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log).unwrap();
    let path = file.path().display().to_string();
    let output = xtask(&[&["ktap", &path], more].concat()).ends(code, words);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ktap_prints_tree_problems_totals_and_verdict() {
    let text = ktap(
        "[    1.000000] KTAP version 1\n[    1.000000] 1..3\n[    1.000000]   1..2\n\
         [    1.000000]   ok 1 in\u{1b}[2J\n[    1.000000]   not ok 2 out\n[    1.000000] not ok 1 suite\n\
         [    1.000000] ok 2 root # SKIP no root\n",
        &[],
        1,
        &[],
    );
    let expected = "\
not ok  suite  (line 6)
  ok      in\u{fffd}[2J
  not ok  out  (line 5)
skip    root  # no root (line 7)
problems:
  line 2: planned 3 results but saw 2
totals: pass 1, fail 1, skip 1, xfail 0
verdict: fail
";
    assert_eq!(text, expected);
}

#[test]
fn ktap_as_json() {
    let log = "KTAP version 1\nok 1 a\nok 2 b # SKIP no root\n    1..1\n    ok 1 c\nok 3 d # XFAIL\n";
    let json = ktap(log, &["--format", "json"], 0, &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"], "pass");
    assert_eq!(json["totals"], serde_json::json!({"pass": 2, "fail": 0, "skip": 1, "xfail": 1}));
    let text = "no plan (`1..N`): results may be missing";
    let problem = serde_json::json!({"line": 6, "kind": "no-plan", "text": text, "accepted": true});
    assert_eq!(json["problems"], serde_json::json!([problem]));
    let case = |name: &str, verdict: &str, status: &str, line: u64, message: Option<&str>| serde_json::json!({"name": name, "verdict": verdict, "status": status, "line": line, "message": message});
    let cases = [
        case("a", "pass", "ok", 2, None),
        case("b", "skip", "skip", 3, Some("no root")),
        case("d/c", "pass", "ok", 5, None),
        case("d", "skip", "xfail", 6, None),
    ];
    assert_eq!(json["cases"], serde_json::json!(cases));

    let json = ktap("TAP version 13\n1..2\nok 1 a\n", &["--format", "json"], 1, &[]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"], "error");
    let problem = &json["problems"][0];
    assert_eq!((&problem["kind"], &problem["line"]), (&"plan-mismatch".into(), &2.into()));
    assert_eq!((&problem["planned"], &problem["accepted"]), (&2.into(), &false.into()));
}

#[test]
fn ktap_ends_by_what_is_wrong() {
    ktap("TAP version 13\n1..1\nok 1 a\n", &[], 0, &["verdict: pass"]);
    ktap("KTAP version 1\nok 1 a\n", &[], 0, &["no plan", "(accepted)", "verdict: pass"]);
    ktap("TAP version 13\n1..1\nok 1 a # SKIP no root\n", &[], 0, &["verdict: skip"]);
    let all = ["skipped as a whole: no root", "verdict: skip"];
    ktap("TAP version 13\n1..0 # SKIP no root\n", &[], 0, &all);
    ktap("TAP version 13\n1..1\nnot ok 1 a\n", &[], 1, &["not ok  a", "verdict: fail"]);
    ktap("TAP version 13\n1..2\nok 1 a\n", &[], 1, &["planned 2 results but saw 1", "verdict: error"]);
    ktap("TAP version 13\n1..1\nok 1 a\nBail out! x\n", &[], 1, &["bailed out: x", "verdict: error"]);
    ktap("", &[], 1, &["nothing was tested", "verdict: error"]);
    ktap("[    0.000000] Linux version 6.12.0\n", &[], 1, &["verdict: error"]);
}

#[test]
fn ktap_reads_standard_input_and_says_what_it_cannot_read() {
    let mut run = xtask(&["ktap", "-"]);
    let log = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(log.path(), "TAP version 13\n1..1\nok 1 piped\n").unwrap();
    run.0.stdin(log.reopen().unwrap());
    run.ends(0, &["piped", "verdict: pass"]);
    xtask(&["ktap", "/nonexistent/log"]).ends(2, &["cannot read /nonexistent/log", "No such file"]);
    xtask(&["ktap", "/"]).ends(2, &["cannot read /", "directory"]);
    xtask(&["ktap"]).ends(2, &["FILE"]);
    xtask(&["ktap", "-", "--format", "xml"]).ends(2, &["text", "json"]);
    xtask(&["ktap", "--help"]).ends(0, &["Exit codes", "missing plan", "verdict"]);
}

#[test]
fn ktap_refuses_what_is_too_long_rather_than_cut_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "TAP version 13\n1..1\nok 1 a\n").unwrap();
    file.as_file().set_len((256 << 20) + 1).unwrap();
    let path = file.path().display().to_string();
    let output = xtask(&["ktap", &path]).ends(2, &["more than 256 MiB", "cut out"]);
    assert!(output.stdout.is_empty());
}

/// A clean boot, with what is no fault of the kernel in it, and a program that talks of one.
const CLEAN: &str = "\
[    0.000000] Linux version 6.12.57 (builder@host) #1 SMP PREEMPT_DYNAMIC
[    0.100000] Disabled x32 syscalls
[    0.200000] WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!
[    0.300000] Run /init as init process
Kernel panic - not syncing: said a test
[    0.400000] xyzzy_test[73]: segfault at 0 ip 0000000000401a3d sp 00007ffd1ca0b7d8 error 4 in x[401000+80000]
[    0.500000] reboot: Power down
";
const OOPS: &str = "\
[    1.500111] BUG: kernel NULL pointer dereference, address: 0000000000000008
[    1.500222] Oops: Oops: 0000 [#1] SMP NOPTI
[    1.500333] CPU: 0 UID: 0 PID: 73 Comm: xyz\x1b[2J Not tainted 6.12.57 #1
[    1.500444] RIP: 0010:do_xyzzy+0x1c/0x60
[    1.500555] ---[ end trace 0000000000000000 ]---
[    1.600000] WARNING: CPU: 1 PID: 74 at fs/xyzzy.c:101 do_warn+0x44/0x60
";

fn log(bytes: &[u8]) -> (tempfile::TempDir, String) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("console.log");
    std::fs::write(&path, bytes).unwrap();
    let path = path.display().to_string();
    (scratch, path)
}

#[test]
fn a_log_is_scanned_for_people() {
    let (_scratch, clean) = log(CLEAN.as_bytes());
    let output = xtask(&["scan-log", &clean]).ends(0, &[]);
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "a clean boot is silent");
    xtask(&["scan-log", &clean, "--notes"])
        .ends(0, &["2: x32-disabled: ", "6: segfault: segfault of xyzzy_test"]);
    let (_scratch, bad) = log(OOPS.as_bytes());
    let first = "1: oops: BUG: kernel NULL pointer dereference in do_xyzzy (by xyz/73, fatal)\n";
    let output = xtask(&["scan-log", &bad]).ends(1, &[]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{first}6: warning: WARNING at fs/xyzzy.c in do_warn\n")
    );
}

#[test]
fn a_log_is_scanned_for_programs() {
    let (_scratch, clean) = log(CLEAN.as_bytes());
    let output = xtask(&["scan-log", "--format", "json", &clean]).ends(0, &[]);
    assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&output.stdout).unwrap(), [0; 0]);
    let (_scratch, bad) = log(OOPS.as_bytes());
    let output = xtask(&["scan-log", "--format", "json", &bad]).ends(1, &[]);
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let line = |n: usize| found[n]["line"].as_u64().unwrap();
    assert_eq!((found.len(), line(0), line(1)), (2, 1, 6));
    assert_eq!((found[0]["kind"].as_str(), found[0]["fatal"].as_bool()), (Some("oops"), Some(true)));
    assert_eq!((found[1]["kind"].as_str(), found[1]["fatal"].as_bool()), (Some("warning"), Some(false)));
    assert_eq!((found[0]["task"].as_str(), found[1]["task"].is_null()), (Some("xyz/73"), true));
    assert_eq!(found[1]["title"].as_str(), Some("WARNING at fs/xyzzy.c in do_warn"));
}

#[test]
fn a_log_comes_from_the_standard_input_too() {
    let (_scratch, bad) = log(OOPS.as_bytes());
    let mut run = xtask(&["scan-log", "-"]);
    run.0.stdin(std::fs::File::open(&bad).unwrap());
    run.ends(1, &["1: oops: "]);
    let mut run = xtask(&["scan-log", "-"]);
    run.0.stdin(std::process::Stdio::null());
    run.ends(0, &["note: the standard input is empty"]);
}

#[test]
fn what_cannot_be_scanned_is_not_called_clean() {
    xtask(&["scan-log"]).ends(2, &["FILE"]);
    xtask(&["scan-log", "/nonexistent/x.log"]).ends(2, &["cannot read /nonexistent/x.log: No such file"]);
    xtask(&["scan-log", "/"]).ends(2, &["cannot read /: Is a directory"]);
    let (_scratch, packed) = log(b"\x1f\x8b\x08\0\0\0\0\0");
    xtask(&["scan-log", &packed]).ends(2, &["compressed", "zcat FILE | cargo xtask scan-log -"]);
    let garbage: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (_scratch, binary) = log(&[&garbage[..], b"\n", OOPS.as_bytes()].concat());
    xtask(&["scan-log", &binary]).ends(1, &["oops: BUG: kernel NULL pointer dereference"]);
    let lost =
        format!("{CLEAN}** 3 printk messages dropped **\n[    9.000000] ** 4 printk messages dropped **\n");
    let (_scratch, lost) = log(lost.as_bytes());
    xtask(&["scan-log", &lost]).ends(0, &["note: the console dropped messages"]);
}

#[test]
fn what_is_no_run_cannot_be_judged_or_run_again() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name).display().to_string();
    for (name, text) in
        [("foreign", "{\"tests\": 1}"), ("unsealed", "{\"schema\": 1, \"cells\": []}"), ("cut", "{")]
    {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(format!("{}/run.json", at(name)), text).unwrap();
    }
    for command in ["replay", "repro"] {
        xtask(&[command]).ends(2, &["RUN"]);
        xtask(&[command, &at("nothing")]).ends(2, &["nothing: no such run"]);
        xtask(&[command, &at("")]).ends(2, &["no run: there is no run.json in it"]);
        xtask(&[command, &at("foreign")]).ends(2, &["foreign/run.json: no record of a run"]);
        xtask(&[command, &at("unsealed")]).ends(2, &["was changed after the run had written it"]);
        xtask(&[command, &at("cut")]).ends(2, &["no record of a run: EOF"]);
        xtask(&[command, "latest", "--project", &at("nothing")]).ends(2, &["--project"]);
    }
    let run = at("nothing");
    xtask(&["repro", &run, "--times", "0"]).ends(2, &["1..=1000"]);
    xtask(&["repro", &run, "--bundle", &at("x"), "--times", "2"]).ends(2, &["cannot be used with"]);
    xtask(&["repro", &run, "--bundle", &at("x"), "--case", "y"]).ends(2, &["cannot be used with"]);
}
