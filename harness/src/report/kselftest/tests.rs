use super::*;
use crate::model::{Cause, Doing, FaultSummary, Transport};
use crate::report::record::transports::OverTransports;
use crate::report::text::Paint;

fn case(name: &str, verdict: Verdict) -> CaseResult {
    CaseResult { name: name.to_owned(), verdict, message: Some(format!("{name} | said")) }
}

fn cell(
    kernel: &str,
    program: &str,
    abi: Abi,
    cause: Option<Cause>,
    cases: Vec<CaseResult>,
) -> ProgramRecord {
    let id = ProgramId {
        kernel: kernel.parse().unwrap(),
        dir: "futex/functional".parse().unwrap(),
        program: program.parse().unwrap(),
        abi,
    };
    let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
    ProgramRecord::new(&id, Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() })
}

fn failed(first: &str) -> Option<Cause> {
    Some(Cause::CaseFailed { failed: 1, total: 2, first: first.to_owned() })
}

fn explanation() -> Explanation {
    Explanation {
        kernel: Some("linux-6.12".to_owned()),
        dir: "futex/functional".parse().unwrap(),
        program: "futex_wait*".to_owned(),
        case: Some("wake".to_owned()),
        abis: vec![Abi::M32],
        what: Doing::Config,
        why: "no 32-bit time".to_owned(),
    }
}

/// A program that passes on one ABI, fails on another and cannot be linked for the third; one
/// without a report; one that does not compile for one ABI.
fn run() -> KselftestRecord {
    let k = "linux-6.12";
    let library = || Cause::NoLibrary {
        abi: Abi::Mx32,
        program: "futex_wait".to_owned(),
        library: "-lcap".to_owned(),
        advice: "build it".to_owned(),
    };
    let unbuilt = Cause::SelftestBuild {
        abi: Abi::Mx32,
        first_error: "a.c:1: error: x".to_owned(),
        log: "/cache/log".to_owned(),
    };
    let mut bad = cell(
        k,
        "futex_wait",
        Abi::M32,
        failed("wake"),
        vec![case("wait", Verdict::Pass), case("wake", Verdict::Fail)],
    );
    bad.output_tail = vec!["not ok 2 wake".to_owned()];
    bad.logs = "a".to_owned();
    let good = vec![case("wait", Verdict::Pass), case("wake", Verdict::Pass)];
    let cells = vec![
        cell(k, "futex_wait", Abi::M64, None, good),
        bad,
        cell(k, "futex_wait", Abi::Mx32, Some(library()), Vec::new()),
        cell(k, "run.sh", Abi::M64, None, Vec::new()),
        cell(k, "run.sh", Abi::M32, None, Vec::new()),
        cell(k, "run.sh", Abi::Mx32, Some(unbuilt), Vec::new()),
    ];
    let mut run = KselftestRecord {
        schema: SCHEMA,
        tool: "0.1.0".to_owned(),
        command: "cargo xtask test-selftest all".to_owned(),
        state: State::Complete,
        started_unix_s: 0,
        elapsed_ms: 0,
        folder: "/runs/1".to_owned(),
        host: HostRecord {
            system: "Linux".to_owned(),
            cpus: 2,
            qemu: "QEMU 7.2".to_owned(),
            machine: "microvm".to_owned(),
            accel: "tcg".to_owned(),
            accel_why: "there is no /dev/kvm".to_owned(),
            compiler: "gcc 12\nld 2.40".to_owned(),
            ccache: false,
            jobs: 2,
        },
        kernels_selected: 1,
        kernels: vec![KernelPart {
            kernel: k.parse().unwrap(),
            source: "s".to_owned(),
            tree: None,
            recipe: RecipeRecord::default(),
            key: "k".to_owned(),
            image: "images/v".to_owned(),
            config: "images/c".to_owned(),
            options: BTreeMap::from([("CONFIG_COMPAT_32BIT_TIME".to_owned(), "y".to_owned())]),
            dropped: vec![DroppedOption {
                dir: "sync".to_owned(),
                option: "CONFIG_SW_SYNC".to_owned(),
                text: "sync:2: CONFIG_SW_SYNC=y was dropped by Kconfig (got: not set)".to_owned(),
            }],
            dirs: Vec::new(),
        }],
        selected: cells.len(),
        cells,
        disagreements: Vec::new(),
        alike: Vec::new(),
        notes: Vec::new(),
    };
    run.explain(&[explanation()]);
    run
}

#[test]
fn a_note_is_about_the_abis_that_differed_when_it_was_written() {
    let open = |abis: &[Abi]| {
        let note = Explanation { abis: abis.to_vec(), ..explanation() };
        disagreements(&run(), &[note])[0].note.is_none()
    };
    assert!(!open(&[Abi::M32]) && !open(&[]));
    assert!(open(&[Abi::Mx32]) && open(&[Abi::M32, Abi::Mx32]) && open(&Abi::ALL));
}

#[test]
fn what_fails_alike_by_all_abis_is_no_disagreement_and_may_be_explained() {
    let mut run = run();
    let note = Explanation {
        case: None,
        abis: Abi::ALL.to_vec(),
        what: Doing::Test,
        why: "it wants mkfs".to_owned(),
        ..explanation()
    };
    run.explain(std::slice::from_ref(&note));
    assert!(run.alike.is_empty());
    for cell in run.cells.iter_mut().filter(|cell| cell.program.as_str() == "futex_wait") {
        let verdict = if cell.abi == Abi::Mx32 { Verdict::Miss } else { Verdict::Fail };
        (cell.verdict, cell.cases) = (verdict, Vec::new());
        cell.cause = failed("wake").as_ref().map(CauseRecord::from);
    }
    run.explain(&[explanation(), note]);
    assert_eq!(run.alike.len(), 1);
    let said = text::render(&run, Paint::Plain);
    assert!(
        said.contains("-m64 -m32 -mx32: fail: 1 of 2 cases failed; first: wake\n  test: it wants mkfs"),
        "{said}"
    );
    let page = markdown::render(&run);
    assert!(page.contains("**fail**: 1 of 2 cases failed; first: wake (test: it wants mkfs)"), "{page}");
    let missed = run.cells.iter().find(|cell| cell.verdict == Verdict::Miss).unwrap();
    assert_eq!(run.known_of(missed), None);
}

/// A note that was written of a test's failure says nothing of a kernel that falls over in the same program.
#[test]
fn a_kernel_that_fell_over_is_explained_by_no_note_on_a_test() {
    let fault = FaultSummary { kind: "oops".to_owned(), title: "oops in futex_wait".to_owned(), line: 7 };
    let all = Explanation { case: None, abis: Abi::ALL.to_vec(), ..explanation() };
    let of_kernel = Explanation { what: Doing::Kernel, ..all.clone() };
    let note_of = |run: &KselftestRecord| run.disagreements[0].note.clone();
    let mut run = run();
    run.explain(&[explanation()]);
    assert_eq!(note_of(&run), Some(explanation()));
    let oops = Cause::KernelFault { fault };
    for cell in run.cells.iter_mut().filter(|cell| cell.program.as_str() == "futex_wait") {
        if cell.verdict == Verdict::Fail {
            cell.also.push(CauseRecord::from(&oops));
        }
    }
    run.explain(&[explanation()]);
    assert_eq!(note_of(&run), None);
    run.explain(&[Explanation { what: Doing::Kernel, ..explanation() }]);
    assert!(note_of(&run).is_some());
    for cell in run.cells.iter_mut().filter(|cell| cell.program.as_str() == "futex_wait") {
        (cell.verdict, cell.cause) = (Verdict::Fail, Some(CauseRecord::from(&oops)));
        cell.cases.clear();
    }
    run.explain(std::slice::from_ref(&all));
    assert!(run.alike.is_empty());
    run.explain(&[of_kernel]);
    assert_eq!(run.alike.len(), 1);
}

#[test]
fn cases_and_kernels_that_say_the_same_are_one_row_of_the_page() {
    let mut run = run();
    let first = run.disagreements[0].clone();
    for (kernel, case, note) in [
        ("linux-6.12", "wait_2", true),
        ("linux-6.1", "wake", true),
        ("linux-6.1", "wait_2", true),
        ("linux-6.1", "x", false),
    ] {
        let note = first.note.clone().filter(|_| note);
        let (kernel, case) = (kernel.parse().unwrap(), Some(case.to_owned()));
        run.disagreements.push(Disagreement { kernel, case, note, ..first.clone() });
    }
    let page = markdown::render(&run);
    for line in [
        "| futex/functional/futex_wait | wake<br>wait\\_2 | linux-6.12, linux-6.1 | pass | fail | miss | config | no 32-bit time |",
        "| futex/functional/futex_wait | x | linux-6.1 | pass | fail | miss | ? | not explained |",
    ] {
        assert!(page.lines().any(|have| have == line), "{line}\n{page}");
    }
}

#[test]
fn the_abis_that_ran_are_compared_case_by_case_and_as_a_whole() {
    let run = run();
    let said = |item: &Disagreement| {
        let said: Vec<String> = item
            .said
            .iter()
            .map(|(abi, said)| format!("{abi} {}", said.map_or("-", Verdict::name)))
            .collect();
        let explained = if item.note.is_some() { "explained" } else { "open" };
        format!("{} {} {} {explained}", item.program, item.case.as_deref().unwrap_or("*"), said.join(" "))
    };
    assert_eq!(
        run.disagreements.iter().map(said).collect::<Vec<_>>(),
        ["futex_wait wake m64 pass m32 fail explained", "run.sh * m64 pass m32 pass mx32 error open"]
    );
    let elsewhere = Explanation { kernel: Some("linux-6.1".to_owned()), ..explanation() };
    assert!(disagreements(&run, &[elsewhere])[0].note.is_none());
}

#[test]
fn the_report_begins_with_the_disagreements() {
    let expected = "\
kselftest: 6 of 6 cells judged: 3 pass, 1 fail, 1 miss, 1 error
QEMU 7.2, microvm, accel tcg (there is no /dev/kvm)
gcc 12, ld 2.40

linux-6.12: CONFIG_COMPAT_32BIT_TIME=y
  all options: images/c
  sync: sync:2: CONFIG_SW_SYNC=y was dropped by Kconfig (got: not set)

the ABIs disagree on 2 programs or cases:
  linux-6.12 futex/functional/futex_wait wake
    -m64   pass  wake | said
    -m32   fail  wake | said
    config: no 32-bit time
  linux-6.12 futex/functional/run.sh
    -m64   pass
    -m32   pass
    -mx32  error  the selftest does not build for -mx32: a.c:1: error: x (log: /cache/log)
    not explained

┌────────────┬──────────────────┬────────────┬──────────────┬──────────────┬───────┐
│ kernel     ┆ directory        ┆ program    ┆ -m64         ┆ -m32         ┆ -mx32 │
╞════════════╪══════════════════╪════════════╪══════════════╪══════════════╪═══════╡
│ linux-6.12 ┆ futex/functional ┆ futex_wait ┆ pass 2/2     ┆ fail 1/2     ┆ miss  │
│ linux-6.12 ┆ futex/functional ┆ run.sh     ┆ pass, exit 0 ┆ pass, exit 0 ┆ error │
└────────────┴──────────────────┴────────────┴──────────────┴──────────────┴───────┘
linux-6.12 futex/functional/futex_wait -m32: fail: 1 of 2 cases failed; first: wake
    | not ok 2 wake
  logs: /runs/1/a
linux-6.12 futex/functional/futex_wait -mx32: miss: futex_wait needs -lcap, which is not here for -mx32: build it
linux-6.12 futex/functional/run.sh -mx32: error: the selftest does not build for -mx32: a.c:1: error: x (log: /cache/log)

logs and run.json: /runs/1
";
    assert_eq!(text::render(&run(), Paint::Plain), expected);
}

#[test]
fn a_page_says_the_same_without_what_differs_between_two_runs() {
    let page = markdown::render(&run());
    for line in [
        "Generated from what `cargo xtask test-selftest all` gave; not edited by hand.",
        "| futex/functional/futex_wait | wake | linux-6.12 | pass | fail | miss | config | no 32-bit time |",
        "| futex/functional/run.sh | (the program) | linux-6.12 | pass | pass | error | ? | not explained |",
        "| futex/functional | futex_wait | pass 2/2 | fail 1/2 | miss |",
        "- futex/functional/run.sh -mx32: **error**: the selftest does not build for -mx32: a.c:1: error: x",
        "- sync: sync:2: CONFIG\\_SW\\_SYNC=y was dropped by Kconfig (got: not set)",
    ] {
        assert!(page.lines().any(|have| have == line), "{line}\n{page}");
    }
    assert!(!page.contains("/runs/1") && !page.contains("/cache/"), "{page}");
}

#[test]
fn a_kernel_of_which_nothing_ran_is_no_pass() {
    let mut run = run();
    run.cells.retain(|cell| cell.verdict == Verdict::Pass);
    run.selected = run.cells.len();
    assert!(run.all_passed());
    run.kernels_selected = 2;
    assert!(!run.all_passed());
}

#[test]
fn runs_of_two_kernels_are_joined_and_those_that_cannot_be_compared_are_not() {
    let mut other = run();
    other.kernels[0].kernel = "linux-6.1".parse().unwrap();
    other.cells.iter_mut().for_each(|cell| cell.kernel = "linux-6.1".parse().unwrap());
    other.state = State::Interrupted;
    let joined = run().join(other.clone()).unwrap();
    assert_eq!((joined.cells.len(), joined.selected, joined.kernels_selected), (12, 12, 2));
    assert_eq!(joined.state, State::Interrupted);
    assert!(run().join(run()).unwrap_err().contains("both runs have linux-6.12"));
    let mut over_ssh = other.clone();
    over_ssh.cells[0].over(Transport::Ssh);
    assert!(run().join(over_ssh.clone()).unwrap_err().contains("how their guests were reached"));
    // Of one in which no guest ran it is not known.
    over_ssh.cells.iter_mut().for_each(|cell| cell.logs.clear());
    assert!(run().join(over_ssh).is_ok());
    other.host.compiler = "gcc 13".to_owned();
    assert!(run().join(other).unwrap_err().contains("differ in compiler"));
}

/// A program without a report has its exit status alone to be compared by.
#[test]
fn programs_are_compared_over_both_transports_and_the_one_that_failed_is_shown() {
    let over = |transport, cause: Option<Cause>, cases: &[Verdict]| {
        let names = ["wait", "wake"];
        let cases = names.into_iter().zip(cases).map(|(name, verdict)| case(name, *verdict)).collect();
        let mut cell = cell("linux-6.12", "futex_wait", Abi::M64, cause, cases);
        cell.output_tail = vec![format!("over {transport}")];
        cell.logs = format!("a/{transport}");
        cell.durations = Durations { boot_ms: Some(500), run_ms: Some(1000), total_ms: 2000 };
        cell.over(transport);
        cell
    };
    let both = |serial: (Option<Cause>, &[Verdict]), ssh: (Option<Cause>, &[Verdict])| {
        over(Transport::Serial, serial.0, serial.1).merge(over(Transport::Ssh, ssh.0, ssh.1))
    };
    let text = |cell: &ProgramRecord| cell.cause.as_ref().map(|cause| cause.text.clone());
    let (pass, fail) = (Verdict::Pass, Verdict::Fail);
    let alike = both((None, &[pass]), (None, &[pass]));
    assert_eq!((alike.verdict, text(&alike), alike.transports.len()), (pass, None, 2));
    let status = || Some(Cause::ExitStatus { program: "futex_wait".to_owned(), code: 1 });
    let differ = both((None, &[]), (status(), &[]));
    let told = "the transports disagree: over serial pass; over ssh fail (exit-status)";
    assert_eq!((differ.verdict, text(&differ)), (fail, Some(told.to_owned())));
    assert_eq!((differ.evidence(), &differ.output_tail[..]), ("a/ssh", &["over ssh".to_owned()][..]));
    // One of the same verdict, another case: a program that fails by each transport for a reason of its own.
    let other = both((failed("wait"), &[fail, pass]), (failed("wake"), &[pass, fail]));
    let told = "over serial fail (case-failed), 1 of 2 cases passed; over ssh fail (case-failed), 1 of 2 cases \
                passed; first: wait: serial fail; ssh pass";
    assert!(text(&other).unwrap().ends_with(told), "{:?}", text(&other));

    let mut run = run();
    let said = text::render(&run, Paint::Plain);
    assert!(!said.contains("over ssh") && !said.contains("side by side"), "{said}");
    run.cells = vec![alike, differ];
    let said = text::render(&run, Paint::Plain);
    for line in [
        "each cell ran over serial and over ssh",
        "the transports side by side, in seconds of all 2 cells:",
        "  serial  boot     1.00  programs     2.00  all     4.00",
        "  ssh     boot     1.00  programs     2.00  all     4.00",
    ] {
        assert!(said.lines().any(|have| have == line), "{line}\n{said}");
    }
    assert!(markdown::render(&run).contains("\nEach cell ran over serial and over ssh.\n"));
    run.cells = vec![over(Transport::Ssh, None, &[pass])];
    assert!(text::render(&run, Paint::Plain).contains("\nthe guests were reached over ssh\n"));
}
