use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::model::{
    CaseResult, Cause, CellId, FaultSummary, Judged, KnownIssue, Leg, NotApplicable, Symptom,
};
use crate::report::attempts::decide;
use crate::report::kselftest::KselftestRecord;
use crate::report::record::{CellRecord, RunRecord};
use crate::report::sealed::AnyRun;
use crate::report::text::Paint;
use crate::report::view::tests as example;

const ALL: [Verdict; 5] = [Verdict::Pass, Verdict::Skip, Verdict::Miss, Verdict::Error, Verdict::Fail];

fn side(name: &str, run: &RunRecord) -> Side {
    Side::of(name, &AnyRun::Syscall(Box::new(run.clone())), &BTreeMap::new())
}

/// As it is read from the file that is made of it.
fn from_file(side: &Side) -> Side {
    let text = side.baseline().unwrap();
    baseline::parse("b", text.as_bytes()).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// The comparison, which has to be the same with a baseline of BASE.
fn compared(base: &RunRecord, new: &RunRecord) -> Comparison {
    let (base, new) = (side("old", base), side("new", new));
    let found = compare(&base, &new, Rules::default()).unwrap();
    if base.state == State::Complete {
        let by_file = compare(&from_file(&base), &new, Rules::default()).unwrap();
        let bare = |found: &Comparison| -> Vec<_> {
            let changes = found.changes.iter().cloned();
            changes.map(|change| Change { why: String::new(), ..change }).collect()
        };
        assert_eq!(bare(&found), bare(&by_file));
    }
    found
}

fn cause(verdict: Verdict) -> Option<Cause> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Skip => Some(Cause::Skipped { reason: "no time".to_owned() }),
        Verdict::Miss => Some(Cause::NoKernelAbi { option: "CONFIG_X86_X32_ABI".to_owned() }),
        Verdict::Error => Some(Cause::Harness { detail: "out of disk".to_owned() }),
        Verdict::Fail => Some(Cause::Reset),
    }
}

fn judged(cause: Option<Cause>, cases: &[(&str, Verdict)]) -> CellRecord {
    let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg: Leg::Patched, abi: Abi::M64 };
    let case = |(name, verdict): &(&str, Verdict)| CaseResult {
        name: (*name).to_owned(),
        verdict: *verdict,
        message: None,
    };
    let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
    let cases = cases.iter().map(case).collect();
    CellRecord::new(&id, Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() })
}

fn of_cells(cells: Vec<CellRecord>) -> RunRecord {
    RunRecord { selected: cells.len(), cells, ..example::syscall() }
}

/// What one cell becomes another, as words: `fail*` with a star for a regression, cases by name.
fn words(was: CellRecord, is: CellRecord) -> Vec<String> {
    let found = compared(&of_cells(vec![was]), &of_cells(vec![is]));
    said(&found)
}

fn said(found: &Comparison) -> Vec<String> {
    let word = |change: &Change| {
        let what = serde_json::to_value(change.what).unwrap().as_str().unwrap().to_owned();
        let star = if change.regression { "*" } else { "" };
        let case = change.case.as_deref().map(|case| format!(" {case}")).unwrap_or_default();
        format!("{what}{star}{case}")
    };
    found.changes.iter().map(word).collect()
}

#[test]
fn each_pair_of_verdicts() {
    use Verdict::*;
    for was in ALL {
        for is in ALL {
            let expected = match (was, is) {
                (was, is) if was == is => vec![],
                (_, Pass) => vec!["fix"],
                (_, Fail) => vec!["new-failure*"],
                (Pass | Skip | Miss, Error) => vec!["new-error*"],
                (Pass | Skip, Miss) => vec!["new-miss*"],
                (Pass, Skip) => vec!["new-skip*"],
                (Fail, Error) | (Fail | Error, Miss) | (Fail | Error | Miss, Skip) => vec!["changed"],
                (was, is) => panic!("{was} {is}"),
            };
            assert_eq!(words(judged(cause(was), &[]), judged(cause(is), &[])), expected, "{was} -> {is}");
            // A case beside another one, in a cell that fails for the same cause.
            let cell = |verdict| judged(cause(Fail), &[("a", verdict), ("b", Pass)]);
            let of_case: Vec<String> = expected.iter().map(|word| format!("{word} a")).collect();
            assert_eq!(words(cell(was), cell(is)), of_case, "case {was} -> {is}");
        }
        // Whatever it was, its absence is worse; and only a failure is worse than absence.
        let (with, without) =
            (judged(cause(Fail), &[("a", was), ("b", Pass)]), judged(cause(Fail), &[("b", Pass)]));
        assert_eq!(words(with.clone(), without.clone()), ["vanished* a"], "{was}");
        let new = if was == Fail { "new-failure* a" } else { "new a" };
        assert_eq!(words(without, with), [new], "{was}");
        // A cell beside the example's control.
        let control = example::syscall().cells[3].clone();
        let (alone, both) =
            (of_cells(vec![control.clone()]), of_cells(vec![judged(cause(was), &[]), control]));
        let new = if was == Fail { "new-failure*" } else { "new" };
        assert_eq!(said(&compared(&alone, &both)), [new], "{was}");
        assert_eq!(said(&compared(&both, &alone)), ["vanished*"], "{was}");
    }
}

#[test]
fn another_cause_of_a_failure_is_another_bug() {
    let fault = |title: &str| FaultSummary { kind: "warning".to_owned(), title: title.to_owned(), line: 7 };
    let splat = |title: &str| Some(Cause::KernelFault { fault: fault(title) });
    let fails = |cause: Option<Cause>| judged(cause, &[]);
    assert_eq!(words(fails(splat("WARNING in a")), fails(splat("WARNING in a"))), [""; 0]);
    assert_eq!(words(fails(splat("WARNING in a")), fails(splat("WARNING in b"))), ["new-cause*"]);
    assert_eq!(words(fails(Some(Cause::Reset)), fails(splat("WARNING in a"))), ["new-cause*"]);
    // The same case fails, and now the kernel warns, too.
    let mut more = fails(Some(Cause::Reset));
    more.also = vec![(&splat("WARNING in a").unwrap()).into()];
    assert_eq!(words(fails(Some(Cause::Reset)), more.clone()), ["new-cause*"]);
    assert_eq!(words(more, fails(Some(Cause::Reset))), ["changed"]);
    let error = |detail: &str| fails(Some(Cause::PatchFailed { detail: detail.to_owned() }));
    assert_eq!(words(error("a"), error("b")), [""; 0]);
    assert_eq!(words(error("a"), fails(cause(Verdict::Error))), ["changed"]);
}

#[test]
fn a_cell_without_a_report_lost_all_of_its_cases() {
    let pass = || judged(None, &[("a", Verdict::Pass), ("b", Verdict::Pass)]);
    let found = compared(&of_cells(vec![pass()]), &of_cells(vec![judged(cause(Verdict::Miss), &[])]));
    assert_eq!(said(&found), ["new-miss*"]);
    assert!(found.changes[0].why.ends_with("with it went all 2 cases"), "{}", found.changes[0].why);
    // Even where the verdict is the same, or a better one.
    assert_eq!(words(pass(), judged(None, &[])), ["vanished*"]);
    let failed = judged(cause(Verdict::Fail), &[("a", Verdict::Fail), ("b", Verdict::Pass)]);
    assert_eq!(words(failed, judged(cause(Verdict::Error), &[])), ["vanished*", "changed"]);
}

#[test]
fn a_case_that_vanished_is_named_whatever_the_others_say() {
    let base = judged(None, &[("a", Verdict::Pass), ("a", Verdict::Pass), ("b", Verdict::Pass)]);
    let without =
        |names: &[&str]| judged(None, &names.iter().map(|name| (*name, Verdict::Pass)).collect::<Vec<_>>());
    assert_eq!(words(base.clone(), without(&["a", "a", "b"])), [""; 0]);
    assert_eq!(words(base.clone(), without(&["a", "a"])), ["vanished* b"]);
    // A test may use a name twice: both have to be there.
    assert_eq!(words(base, without(&["a", "b"])), ["vanished* a (2)"]);
}

#[test]
fn a_contracts_case_that_an_abi_cannot_express_is_told_with_the_reason() {
    let base = judged(None, &[("contract/x: big", Verdict::Pass), ("b", Verdict::Pass)]);
    let mut new = judged(None, &[("b", Verdict::Pass)]);
    new.not_applicable = vec![NotApplicable { name: "x: big".to_owned(), reason: "no room".to_owned() }];
    let found = compared(&of_cells(vec![base.clone()]), &of_cells(vec![new.clone()]));
    assert_eq!(said(&found), ["not-applicable contract/x: big"]);
    assert_eq!(found.changes[0].why, "no room");
    assert_eq!(words(new, base), ["new contract/x: big"]);
}

#[test]
fn what_is_known_is_no_regression_until_it_is_not_excused() {
    let failing = |excused: bool| {
        let mut cell =
            judged((!excused).then_some(Cause::Reset), &[("a", Verdict::Fail), ("b", Verdict::Pass)]);
        let issue = KnownIssue {
            symptom: Symptom::Case("a".to_owned()),
            syscall: None,
            leg: None,
            abi: None,
            reason: String::new(),
            link: String::new(),
            expires: "2100-01-01".parse().unwrap(),
        };
        cell.known = excused.then_some(issue).into_iter().collect();
        cell
    };
    let pass = || judged(None, &[("a", Verdict::Pass), ("b", Verdict::Pass)]);
    assert_eq!(words(pass(), failing(true)), ["known a"]);
    assert_eq!(words(failing(true), failing(true)), [""; 0]);
    assert_eq!(words(failing(true), pass()), ["fix a"]);
    assert_eq!(words(failing(true), failing(false)), ["new-failure*", "new-failure* a"]);
    assert_eq!(words(failing(false), failing(true)), ["fix", "changed a"]);
}

#[test]
fn flaky_is_a_regression_for_who_says_so() {
    let pass = || judged(None, &[]);
    let lost = || judged(Some(Cause::LostVm { detail: "signal 9".to_owned() }), &[]);
    let flaky = || decide(vec![lost(), pass()], true).unwrap();
    assert_eq!(words(pass(), flaky()), ["flaky"]);
    assert_eq!(words(flaky(), flaky()), [""; 0]);
    assert_eq!(words(flaky(), pass()), [""; 0]);
    assert_eq!(words(lost(), flaky()), ["fix", "flaky"]);
    let strict = |was: CellRecord, is: CellRecord| {
        let [was, is] = [was, is].map(|cell| side("x", &of_cells(vec![cell])));
        compare(&was, &is, Rules { flaky_fails: true }).unwrap().is_worse()
    };
    assert!(strict(pass(), flaky()));
    assert!(!strict(flaky(), flaky()) && !strict(lost(), flaky()));
}

#[test]
fn a_run_that_did_not_end_is_never_as_good_as_its_base() {
    let whole = example::syscall();
    for state in [State::Interrupted, State::Running] {
        let cut = RunRecord { state, ..whole.clone() };
        let found = compared(&whole, &cut);
        assert_eq!(said(&found), ["unfinished*"], "{state:?}");
        assert!(side("cut", &cut).baseline().unwrap_err().to_string().contains("a whole run"));
        // Of what BASE did not judge nothing can be said; that is said.
        let found = compared(&cut, &whole);
        assert!(!found.is_worse() && found.notes[0].contains("old did not come to its end"), "{found:?}");
    }
    // It says that it is complete, and is not.
    let mut short = whole.clone();
    short.cells.pop();
    assert_eq!(said(&compared(&whole, &short)), ["unfinished*", "vanished*"]);
}

#[test]
fn what_has_nothing_in_common_is_not_compared() {
    let run = example::syscall();
    // Its kernel's source is there.
    let selftests = KselftestRecord { kernels_selected: 0, ..example::kselftest() };
    let selftests = AnyRun::Kselftest(Box::new(selftests));
    let selftests = Side::of("k", &selftests, &BTreeMap::new());
    let error = compare(&side("s", &run), &selftests, Rules::default()).unwrap_err().to_string();
    assert_eq!(error, "s is of test-syscall xyzzy, and k of test-selftest: there is nothing to compare");
    let other = RunRecord { syscall: "openat2".parse().unwrap(), ..run.clone() };
    assert!(compare(&side("s", &run), &side("o", &other), Rules::default()).is_err());
    let same = compare(&selftests, &from_file(&selftests), Rules::default()).unwrap();
    assert_eq!((same.changes.len(), same.same), (0, 2));
}

#[test]
fn options_and_tools_that_differ_are_told_and_are_no_regression() {
    let mut newer = example::syscall();
    newer.host.qemu = "QEMU 9".to_owned();
    newer.options = vec!["--extra-patch".to_owned(), "'/home/me/c.patch'".to_owned()];
    let config = |text: &str| BTreeMap::from([("linux-6.12 patched".to_owned(), text.to_owned())]);
    let of =
        |run: &RunRecord, text: &str| Side::of("x", &AnyRun::Syscall(Box::new(run.clone())), &config(text));
    let old = of(&example::syscall(), "CONFIG_A=y\nCONFIG_B=7\n# CONFIG_C is not set\n");
    let new = of(&newer, "# a comment\nCONFIG_A=y\nCONFIG_B=8\nCONFIG_C=y\n");
    let found = compare(&old, &new, Rules::default()).unwrap();
    assert!(!found.is_worse());
    let names = |facts: &[Fact]| facts.iter().map(|fact| fact.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found.tools), ["qemu"]);
    let expected = ["options", "linux-6.12 patched CONFIG_B", "linux-6.12 patched CONFIG_C"];
    assert_eq!(names(&found.options), expected);
    assert_eq!(
        (found.options[0].is.as_deref(), found.options[2].was.as_deref()),
        (Some("--extra-patch c.patch"), Some("n"))
    );
    let found = compare(&from_file(&old), &new, Rules::default()).unwrap();
    assert_eq!(names(&found.options), ["options", "linux-6.12 patched configuration"]);
    assert!(found.notes[0].contains("the run itself"), "{found:?}");
}

#[test]
fn a_baseline_is_small_sorted_and_names_what_did_not_pass() {
    let text = side("old", &example::syscall()).baseline().unwrap();
    let expected = r"# abimatrix baseline, made by `cargo xtask baseline RUN FILE`; runs are held against it by --baseline FILE.
version 1
of test-syscall xyzzy
tool abimatrix: 0.1.0
tool accelerator: tcg
tool board: microvm
tool compiler: gcc (Debian 12.2.0-14+deb12u1) 12.2.0; GNU ld (GNU Binutils for Debian) 2.40
tool qemu: QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)
built options: --extra-patch a b.patch
row linux-6.12 config-off
  cell m64 pass 1 of 1
    absent a
  cell m32 skip 0 of 1
    cause skipped
    skip a
    absent number 463 gives -ENOSYS
  cell mx32 error 0 of 0
    cause harness
  case a
  case number 463 gives -ENOSYS
row linux-6.12 patched
  cell m64 pass 3 of 3
  cell m32 fail 1 of 3
    cause case-failed
    cause kernel-fault: WARNING in do_xyzzy
    skip <script>alert(1)</script> & \u{1b}[31m]]> # SKIP
    fail big values
  cell mx32 miss 0 of 0
    cause no-kernel-abi
  case <script>alert(1)</script> & \u{1b}[31m]]> # SKIP
  case basic
  case big values
";
    assert_eq!(text, expected);
}

#[test]
fn a_baseline_that_is_not_one_is_told_by_file_and_line() {
    let good = side("old", &example::syscall()).baseline().unwrap();
    for (from, to, said) in [
        ("version 1\n", "version 2\n", "b:2: it is of version 2; this tool reads 1"),
        ("version 1\n", "", "b:2: a baseline begins with its version"),
        ("of test-syscall xyzzy\n", "", "it ends before it says of what it is"),
        ("cell m64 pass 3 of 3", "cell m65 pass 3 of 3", "b:22: `m65` is not an ABI"),
        ("cell m64 pass 3 of 3", "cell m64 good 3 of 3", "`good` is no verdict"),
        ("cell m64 pass 3 of 3", "cell m64 pass 4 of 4", "b:22: it says 4 of 4, and below are 3 of 3"),
        ("cell m64 pass 3 of 3", "cell m64 pass", "is not as `m64 pass 19 of 19`"),
        ("cell m64 pass 3 of 3", "cell m32 pass 3 of 3", "b:23: `m32` stands here twice"),
        ("    fail big values\n", "    fail big value\n", "its row has no case `big value`"),
        ("    fail big values\n", "", "it says 1 of 3, and below are 2 of 3"),
        ("    fail big values", "    pass big values", "`pass` means nothing here"),
        ("  case basic\n", "", "it says 3 of 3, and below are 2 of 2"),
        ("  case basic", "  case basic\n  case basic", "`basic` stands here twice"),
        ("  case basic", "case basic", "means nothing here"),
        (
            "    cause case-failed\n    cause kernel-fault: WARNING in do_xyzzy\n",
            "",
            "causes exactly if it is no pass",
        ),
        (
            "row linux-6.12 patched",
            "row linux-6.12 config-off",
            "b:21: `linux-6.12 config-off` stands here twice",
        ),
        ("row linux-6.12 patched", "<<<<<<< HEAD", "b:21: `<<<<<<< HEAD` means nothing here"),
        ("\\u{1b}", "\\x", "b:26: `\\x` means nothing"),
        ("tool qemu: ", "tool qemu ", "a name, `: ` and a value"),
    ] {
        assert!(good.contains(from), "{from}");
        let text = good.replacen(from, to, 1);
        let error = baseline::parse("b", text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{from:?}: {error}");
    }
    let error = baseline::parse("b", b"version 1\n\xff").unwrap_err().to_string();
    assert_eq!(error, "b:2: this is no UTF-8");
    assert!(!baseline::is_one(b"{}") && !baseline::is_one(b"") && baseline::is_one(good.as_bytes()));
}

#[test]
fn both_sides_are_read_from_disk_with_the_configurations_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = example::syscall();
    let at = folder.path();
    run.write(at).unwrap();
    let plain = read::run(at).unwrap();
    assert!(plain.configs.is_empty());
    let file = at.join("b");
    std::fs::write(&file, plain.baseline().unwrap()).unwrap();
    let found =
        compare(&base(&file).unwrap(), &base(&at.join("run.json")).unwrap(), Rules::default()).unwrap();
    assert!(found.changes.is_empty() && found.tools.is_empty() && found.options.is_empty(), "{found:?}");
    std::fs::write(&file, "version 1\nof x\nnonsense\n").unwrap();
    let error = base(&file).unwrap_err().to_string();
    assert!(error.ends_with("b:3: `nonsense` means nothing here"), "{error}");
    std::fs::write(&file, "what is this").unwrap();
    assert!(base(&file).unwrap_err().to_string().contains("no record of a run"));
    assert!(base(&at.join("gone")).unwrap_err().to_string().contains("no such run"));
    // A record that names a file outside of its folder.
    run.kernels = vec![];
    assert!(read::configs(at, &AnyRun::Syscall(Box::new(run))).is_empty());
}

#[test]
fn the_worst_is_told_first_and_counted() {
    let base = example::syscall();
    let mut new = base.clone();
    new.cells[0] = CellRecord {
        abi: Abi::M64,
        ..judged(Some(Cause::CaseFailed { failed: 1, total: 3, first: "big values".to_owned() }), &[])
    };
    new.cells[0].cases = base.cells[0].cases.clone();
    new.cells[0].cases[1].verdict = Verdict::Fail;
    new.cells[0].cases[1].message = Some("got \u{1b}[31m0".to_owned());
    new.cells[0].cases.remove(2);
    new.cells[2] = CellRecord { abi: Abi::Mx32, ..judged(None, &[]) };
    new.host.qemu = "QEMU 9".to_owned();
    let text = render(&compared(&base, &new), Paint::Plain);
    let expected = "\
test-syscall xyzzy: new (6 cells) against old (6 cells)

new failures (a regression):
  linux-6.12 patched m64: pass -> fail: 1 of 3 cases failed; first: big values
    big values: pass -> fail: got \\x1b[31m0

vanished (a regression):
  linux-6.12 patched m64
    <script>alert(1)</script> & \\x1b[31m]]> # SKIP: pass -> not there

fixes:
  linux-6.12 patched mx32: miss -> pass: it was: programs of this ABI cannot run on this kernel: CONFIG_X86_X32_ABI: dropped by Kconfig

tools that differ:
  qemu: QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18) -> QEMU 9

worse: 1 cells, 2 cases; 4 cells are as they were
";
    assert_eq!(text, expected);
    // Of a long list, what came and what went.
    let patches =
        |last: &str| BTreeMap::from([("p".to_owned(), format!("{} {last}", "a.patch ".repeat(30)))]);
    let [mut old, mut newer] = [side("old", &base), side("new", &base)];
    (old.built, newer.built) = (patches("b.patch"), patches("c.patch"));
    let text = render(&compare(&old, &newer, Rules::default()).unwrap(), Paint::Plain);
    assert!(text.contains("\n  p: -b.patch +c.patch\n"), "{text}");
    let same = render(&compared(&base, &base), Paint::Plain);
    assert!(same.ends_with("\nnothing is worse; 6 cells are as they were\n"), "{same}");
}

fn arb_verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(ALL.to_vec())
}

/// Runs of one row: three ABIs, with cases whose names are whatever a test may print.
fn arb_run() -> impl Strategy<Value = RunRecord> {
    let name = prop_oneof!["[a-c]{1,2}", " ?[a\\\\\u{1b}\n\u{202e}\"' ]{0,3}"];
    let cell = (arb_verdict(), prop::collection::vec((name, arb_verdict()), 0..5));
    prop::collection::vec(cell, 1..4).prop_map(|cells| {
        let record = |((verdict, cases), abi): ((Verdict, Vec<(String, Verdict)>), Abi)| {
            let cases: Vec<_> = cases.iter().map(|(name, verdict)| (name.as_str(), *verdict)).collect();
            CellRecord { abi, ..judged(cause(verdict), &cases) }
        };
        of_cells(cells.into_iter().zip(Abi::ALL).map(record).collect())
    })
}

proptest! {
    #[test]
    fn a_run_does_not_differ_from_its_own_baseline(run in arb_run()) {
        let own = side("new", &run);
        let file = from_file(&own);
        prop_assert_eq!(file.baseline().unwrap(), own.baseline().unwrap());
        let found = compare(&file, &own, Rules::default()).unwrap();
        prop_assert!(found.changes.is_empty() && found.options.is_empty() && found.tools.is_empty(), "{:?}", found);
        prop_assert_eq!(found.same, run.cells.len());
    }

    #[test]
    fn any_single_change_is_seen(run in arb_run(), at in any::<Index>(), other in arb_verdict()) {
        let base = from_file(&side("old", &run));
        let new = |run: &RunRecord| compare(&base, &side("new", run), Rules::default()).unwrap();
        let cell = at.index(run.cells.len());
        let mut changed = run.clone();
        let old = changed.cells[cell].verdict;
        (changed.cells[cell].verdict, changed.cells[cell].cause) =
            (other, cause(other).as_ref().map(Into::into));
        let found = new(&changed);
        prop_assert_eq!(found.changes.is_empty(), old == other);
        prop_assert_eq!(found.is_worse(), other.weight() > old.weight());
        let mut fewer = run.clone();
        fewer.cells.remove(cell);
        fewer.selected -= 1;
        prop_assert!(new(&fewer).is_worse());
        for case in 0..run.cells[cell].cases.len() {
            let mut changed = run.clone();
            let was = std::mem::replace(&mut changed.cells[cell].cases[case].verdict, other);
            let found = new(&changed);
            // Two of one name may be told by their numbers alone.
            prop_assert_eq!(found.changes.is_empty(), was == other);
            prop_assert_eq!(found.is_worse(), other.weight() > was.weight());
            changed.cells[cell].cases.remove(case);
            prop_assert!(new(&changed).is_worse(), "{:?}", new(&changed));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(version 1\n)?([a-z0-9 :\\\\{}]{0,12}\n){0,8}") {
        let _ = baseline::parse("b", text.as_bytes());
    }
}
