use super::*;
use crate::judge::verdict::Entry;
use crate::model::{Cause, CellId, FaultSummary, Judged};
use crate::report::attempts::decide;
use crate::report::record::transports::OverTransports;
use crate::report::record::{HostRecord, RecordedRecord, SCHEMA};

fn case(name: &str, verdict: Verdict, message: Option<&str>) -> CaseResult {
    CaseResult { name: name.to_owned(), verdict, message: message.map(str::to_owned) }
}

fn cell(leg: Leg, abi: Abi, cause: Option<Cause>, cases: Vec<CaseResult>) -> CellRecord {
    let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg, abi };
    let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
    CellRecord::new(&id, Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() })
}

fn run(cells: Vec<CellRecord>) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        tool: "0.1.0".to_owned(),
        state: State::Complete,
        syscall: "xyzzy".parse().unwrap(),
        started_unix_s: 0,
        elapsed_ms: 0,
        folder: "/runs/1".to_owned(),
        host: HostRecord {
            system: "Linux".to_owned(),
            cpus: 2,
            qemu: "QEMU emulator version 7.2.22".to_owned(),
            machine: "microvm".to_owned(),
            accel: "tcg".to_owned(),
            accel_why: "there is no /dev/kvm".to_owned(),
            compiler: "gcc 12\nld 2.40".to_owned(),
            ccache: false,
            jobs: 2,
        },
        kernels: Vec::new(),
        selected: cells.len(),
        cells,
        notes: Vec::new(),
        options: vec!["--extra-patch".to_owned(), "'/tmp/a b.patch'".to_owned()],
    }
}

#[test]
fn a_divergence_and_a_failure_are_told_with_what_each_abi_said() {
    let ok = |name| case(name, Verdict::Pass, None);
    let mut m64 = cell(Leg::Patched, Abi::M64, None, vec![ok("basic"), ok("big values")]);
    m64.entries = vec![Entry { arch: 0xc000_003e, nr: 463, abi: Abi::M64, count: 72 }];
    let failed = Cause::CaseFailed { failed: 1, total: 2, first: "big values".to_owned() };
    let bad = case("big values", Verdict::Fail, Some("# expected 1\n# got \u{1b}[31m0\n"));
    let mut m32 = cell(Leg::Patched, Abi::M32, Some(failed), vec![ok("basic"), bad]);
    m32.console_tail = vec!["[ 1.0] last".to_owned()];
    m32.logs = "linux-6.12.patched.m32".to_owned();
    let mut off = cell(Leg::ConfigOff, Abi::M64, None, vec![ok("number 463 gives -ENOSYS")]);
    let outcome = "exited with status 4".to_owned();
    off.recorded = vec![RecordedRecord { program: "xyzzy_test".to_owned(), outcome, cases: Vec::new() }];
    let text = render(&run(vec![m64, m32, off]), Paint::Plain);
    let expected = "\
xyzzy: 3 of 3 cells judged: 2 pass, 1 fail
QEMU emulator version 7.2.22, microvm, accel tcg (there is no /dev/kvm)
gcc 12, ld 2.40

┌────────────┬────────────┬──────────┬──────────┐
│ kernel     ┆ leg        ┆ -m64     ┆ -m32     │
╞════════════╪════════════╪══════════╪══════════╡
│ linux-6.12 ┆ patched    ┆ pass 2/2 ┆ fail 1/2 │
│ linux-6.12 ┆ config-off ┆ pass 1/1 ┆ not run  │
└────────────┴────────────┴──────────┴──────────┘

linux-6.12 patched: the ABIs disagree on 1 cases
  big values
    -m64   pass
    -m32   fail  # expected 1; # got \\x1b[31m0

linux-6.12 patched m32: fail: 1 of 2 cases failed; first: big values
  the console's last lines:
    | [ 1.0] last
  logs:  /runs/1/linux-6.12.patched.m32
  again: cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched --abi m32 --extra-patch '/tmp/a b.patch'

proof of entry (architecture/number as the kernel saw them, how often):
  linux-6.12 patched m64         c000003e/463 × 72

what the selftest said where the call must be absent (not weighed):
  linux-6.12 config-off m64      xyzzy_test exited with status 4

logs and run.json: /runs/1
";
    assert_eq!(text, expected);
}

#[test]
fn nothing_of_a_guests_reaches_the_terminal_unescaped() {
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\r\n\u{0}x";
    let title = evil.to_owned();
    let cause = Cause::KernelFault { fault: FaultSummary { kind: "oops".to_owned(), title, line: 1 } };
    let mut bad = cell(Leg::Patched, Abi::M64, Some(cause), vec![case(evil, Verdict::Fail, Some(evil))]);
    bad.recorded =
        vec![RecordedRecord { program: evil.to_owned(), outcome: evil.to_owned(), cases: Vec::new() }];
    bad.console_tail = vec![evil.to_owned(), "\u{9b}2J<script>".to_owned(), "x".repeat(100_000)];
    bad.also = vec![bad.cause.clone().unwrap()];
    let good = cell(Leg::Patched, Abi::M32, None, vec![case("a", Verdict::Pass, None)]);
    let mut record = run(vec![bad, good]);
    record.notes = vec![evil.to_owned()];
    let json = serde_json::to_vec(&record).unwrap();
    assert_eq!(serde_json::from_slice::<RunRecord>(&json).unwrap(), record);
    let text = render(&record, Paint::Plain);
    assert!(text.len() < 10_000, "{} bytes", text.len());
    for c in ['\u{1b}', '\u{9b}', '\u{7}', '\u{202e}', '\r', '\u{0}'] {
        assert!(!text.contains(c), "{c:?} in {text}");
    }
}

#[test]
fn colour_is_for_verdicts_and_an_unfinished_run_says_so() {
    let mut record = run(vec![cell(Leg::Patched, Abi::M64, None, vec![case("a", Verdict::Pass, None)])]);
    assert!(record.all_passed());
    record.state = State::Interrupted;
    record.selected = 6;
    assert!(!record.all_passed(), "a cell that is not there did not pass");
    let text = render(&record, Paint::Colour);
    assert!(text.contains("1 of 6 cells judged") && text.contains("INTERRUPTED"), "{text}");
    assert!(text.contains("\u{1b}[32mpass 1/1\u{1b}[0m"), "{text}");
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let cause = Cause::TestTimeout { program: "t".to_owned(), deadline_ms: 5 };
    let record = run(vec![cell(Leg::Patched, Abi::M64, Some(cause), Vec::new())]);
    record.write(folder.path()).unwrap();
    let text = std::fs::read(folder.path().join(crate::report::record::FILE)).unwrap();
    assert_eq!(serde_json::from_slice::<RunRecord>(&text).unwrap(), record);
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["cells"][0]["cause"]["kind"], "test-timeout");
    assert_eq!(value["cells"][0]["abi"], "m64");
}

#[test]
fn a_known_issue_is_shown_in_the_matrix_and_below_it() {
    let mut known = cell(Leg::Patched, Abi::M64, None, vec![case("basic", Verdict::Pass, None)]);
    known.known = vec![crate::model::KnownIssue {
        symptom: crate::model::Symptom::Splat("WARNING at x.c in f".to_owned()),
        syscall: None,
        leg: None,
        abi: None,
        reason: "fixed in 6.13".to_owned(),
        link: "https://example.org/1".to_owned(),
        expires: "2026-12-31".parse().unwrap(),
    }];
    let text = render(&run(vec![known]), Paint::Plain);
    for word in ["pass 1/1 (known issues)", "WARNING at x.c in f", "fixed in 6.13", "until 2026-12-31"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn transports_stand_side_by_side_with_their_times() {
    let over = |transport, boot_ms| {
        let mut cell = cell(Leg::Patched, Abi::M64, None, vec![case("a", Verdict::Pass, None)]);
        cell.durations = Durations { boot_ms, run_ms: Some(250), total_ms: 1239 };
        cell.over(transport);
        cell
    };
    let serial = over(Transport::Serial, Some(612));
    let text = render(&run(vec![serial.clone()]), Paint::Plain);
    assert!(!text.contains("serial") && !text.contains("ssh"), "{text}");
    let text = render(&run(vec![over(Transport::Ssh, None)]), Paint::Plain);
    assert!(text.contains("the guests were reached over ssh\n") && !text.contains("side by side"), "{text}");
    let text = render(&run(vec![serial.merge(over(Transport::Ssh, None))]), Paint::Plain);
    let table = "the transports side by side, in seconds (boot, programs, all):
  linux-6.12 patched m64          serial pass   0.61  0.25  1.24  ssh pass      -  0.25  1.24
";
    assert!(text.contains(table) && text.contains("each cell ran over serial and over ssh\n"), "{text}");
}

#[test]
fn a_cell_that_passed_later_is_marked_and_what_came_before_is_told() {
    let ok = || case("basic", Verdict::Pass, None);
    let lost = Cause::LostVm { detail: "signal 9 \u{1b}[31m".to_owned() };
    let mut first = cell(Leg::Patched, Abi::M64, Some(lost), Vec::new());
    first.logs = "linux-6.12.patched.m64/try.1".to_owned();
    let flaky = decide(vec![first, cell(Leg::Patched, Abi::M64, None, vec![ok()])], true).unwrap();
    let twice = || cell(Leg::Patched, Abi::M32, None, vec![ok()]);
    let repeated = decide(vec![twice(), twice()], false).unwrap();
    let text = render(&run(vec![flaky, repeated]), Paint::Plain);
    for line in [
        "xyzzy: 2 of 2 cells judged: 2 pass, 1 of them flaky",
        "│ linux-6.12 ┆ patched ┆ pass 1/1 (flaky, 1 of 2) ┆ pass 1/1 (2 of 2) │",
        "linux-6.12 patched m64: flaky: it passed at attempt 2",
        "  before: error: QEMU ended by itself: signal 9 \\x1b[31m",
        "  logs:   /runs/1/linux-6.12.patched.m64/try.1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    assert!(!text.contains("m32: flaky"), "{text}");
}

/// A kernel that was made otherwise is another kernel: each report says how.
#[test]
fn what_is_not_usual_of_a_kernel_is_said() {
    let kernel: KernelName = "linux-6.12".parse().unwrap();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let usual = RecipeRecord { base_config: RecipeRecord::USUAL_BASE.to_owned(), ..RecipeRecord::default() };
    assert!(origin(&kernel, None, &usual).is_empty());
    assert!(origin(&kernel, None, &RecipeRecord::default()).is_empty(), "a record that does not say");
    let recipe = RecipeRecord {
        profile: Some("kmsan".to_owned()),
        base_config: "kvm_guest".to_owned(),
        configs: words(&["/a/b.config", "CONFIG_X=y"]),
        make: words(&["CC=clang", "KCFLAGS=-O1 \u{1b}[31m"]),
        toolchain: Some("clang: 14\nobjcopy: 2.40".to_owned()),
    };
    let said = origin(&kernel, None, &recipe);
    assert_eq!(said[0], "linux-6.12: profile kmsan");
    assert_eq!(said[1], "linux-6.12: configured from kvm_guest");
    assert_eq!(said[2], "linux-6.12: configured with /a/b.config CONFIG_X=y");
    assert!(said[3].starts_with("linux-6.12: make CC=clang KCFLAGS=-O1 ") && !said[3].contains('\u{1b}'));
    assert_eq!(said[4], "linux-6.12: built with clang: 14; objcopy: 2.40");
}

#[test]
fn a_tree_is_told_by_its_commits_and_what_is_beside_them() {
    let kernel: KernelName = "linux".parse().unwrap();
    let tree = TreeRecord {
        path: "/home/a/linux".to_owned(),
        commit: Some("a".repeat(40)),
        base: None,
        dirty: Some("1 files changed".to_owned()),
        untested: None,
    };
    let said = |tree: &TreeRecord| origin(&kernel, Some(tree), &RecipeRecord::default()).join("\n");
    assert_eq!(said(&tree), "linux: /home/a/linux at aaaaaaaaaaaa, DIRTY: 1 files changed");
    let untested = Some("kernel/a.c, \u{1b}[31m".to_owned());
    let range = TreeRecord { base: Some("b".repeat(40)), dirty: None, untested, ..tree };
    let line = said(&range);
    let start = "linux: /home/a/linux at aaaaaaaaaaaa, a series on bbbbbbbbbbbb, not committed and NOT TESTED: \
                 kernel/a.c, ";
    assert!(line.starts_with(start) && !line.contains('\u{1b}'), "{line}");
}
