//! What [`read_log`] accepts, and what nothing may turn into a pass. The corpus is `tests.rs`'s.

use proptest::prelude::*;

use super::line::{Line, classify, split_column};
use super::log::{Totals, case_verdict};
use super::prefix;
use super::tests::{Style, bad, garbage, is_chatter_from, nodes, soup, style, write};
use super::{Limits, Log, Problem, ProblemKind, Status, read_log};
use crate::model::Verdict;

fn read(text: &str) -> Log {
    read_log(text.as_bytes(), Limits::LOG)
}

/// Verdict and totals as in `pass 1 0 0 0`, and the kinds of the problems that weigh.
fn says(log: &Log) -> (String, Vec<ProblemKind>) {
    let Totals { pass, fail, skip, xfail } = log.totals();
    let weighing = log.problems().iter().filter(|problem| !problem.is_accepted());
    let kinds = weighing.map(|problem| problem.kind.clone()).collect();
    (format!("{} {pass} {fail} {skip} {xfail}", log.verdict()), kinds)
}

#[track_caller]
fn check(text: &str, expected: &str, problems: &[ProblemKind]) {
    let log = read(text);
    let (said, kinds) = says(&log);
    assert_eq!((said.as_str(), kinds.as_slice()), (expected, problems), "{text}\n{:?}", log.problems());
}

#[test]
fn what_the_formats_allow() {
    check("TAP version 13\n1..1\nok 1 a\n", "pass 1 0 0 0", &[]);
    check("KTAP version 1\nok 1 a\n", "pass 1 0 0 0", &[]);
    check("TAP version 13\n1..2\nok - a\nok\n", "pass 2 0 0 0", &[]);
    check("1..1\nok 1 a\n", "pass 1 0 0 0", &[]);
    check("1..1\nTAP version 13\nok 1 a\n", "pass 1 0 0 0", &[]);
    check("TAP version 13\n1..1\n# 1..1\n# TAP version 13\n# ok 1 a\nok 1 b\n", "pass 1 0 0 0", &[]);
    check("ok 1 a\nok 2 b\n", "pass 2 0 0 0", &[]);
    check("TAP version 13\n1..0 # SKIP no root\n", "skip 0 0 0 0", &[]);
    check("TAP version 13\n1..1\nok 1 a # skip: no root\n", "skip 0 0 1 0", &[]);
    check("TAP version 13\n1..2\nok 1 a # SKIP\nok 2 b\n", "pass 1 0 1 0", &[]);
    check("TAP version 13\n1..2\nnot ok 1 a # TODO\nok 2 b\n", "pass 1 0 0 1", &[]);
    check("TAP version 13\n1..2\nok 1 a # XFAIL\nok 2 b # XPASS\n", "fail 0 1 0 1", &[]);
    check("TAP version 13\n1..1\nnot ok 1 a # TIMEOUT 45 seconds\n", "fail 0 1 0 0", &[]);
    check("TAP version 14\n1..1\n    1..0\nok 1 - a\n", "skip 0 0 1 0", &[]);
}

#[test]
fn what_is_no_evidence() {
    use ProblemKind::*;
    check("", "error 0 0 0 0", &[NoTests]);
    check("hello\nok\n", "error 0 0 0 0", &[NoTests]);
    check("ok - a\nok - b\n", "error 0 0 0 0", &[NoTests]);
    let skipped = "TAP version 13\n1..1\nok 1 a # SKIP\n";
    check(&format!("[    1.000000] ok 1 a\n{skipped}"), "skip 0 0 1 0", &[]);
    check(&format!("[    1.000000] not ok 1 a\n{skipped}"), "fail 0 1 1 0", &[]);
    check("TAP version 13\n", "error 0 0 0 0", &[NoTests]);
    check("TAP version 13\n1..0\n", "error 0 0 0 0", &[NoTests]);
    let short = PlanMismatch { planned: 2, seen: 1 };
    check("TAP version 13\n1..2\nok 1 a\n", "error 1 0 0 0", std::slice::from_ref(&short));
    check("TAP version 13\n1..2\nnot ok 1 a\n", "fail 0 1 0 0", std::slice::from_ref(&short));
    check("TAP version 13\n1..2\nok 1 a # SKIP\n", "error 0 0 1 0", std::slice::from_ref(&short));
    let order = NumberOutOfOrder { expected: 2, got: 1 };
    check("TAP version 13\n1..2\nok 1 a\nok 1 a\n", "error 2 0 0 0", &[order]);
    check("TAP version 13\n1..2\nok 1 a\nBail out! x\n", "error 1 0 0 0", &[short, BailOut]);
    check("TAP version 13\n1..1\nok 1 a\nBail out! x\n", "error 1 0 0 0", &[BailOut]);
    check("TAP version 13\n1..1\nok 1 a", "error 1 0 0 0", &[Truncated]);
    check("TAP version 13\n1..1\n  not ok 1 b\nok 1 a\n", "fail 0 1 0 0", &[ChildDisagrees]);
    let both = "TAP version 13\n1..1\nTAP version 13\n1..1\nok 1 a\n";
    check(both, "error 1 0 0 0", &[PlanMismatch { planned: 1, seen: 0 }, NoTests]);
}

#[test]
fn the_kernels_death_weighs_where_there_is_no_plan() {
    let end = |plan: &str, last: &str| {
        format!("[    1.000000] KTAP version 1\n{plan}[    2.000000] ok 1 a\n{last}")
    };
    let panic = "[    3.000000] Kernel panic - not syncing: Fatal exception\n";
    let no_init = "[    3.000000] Kernel panic - not syncing: VFS: Unable to mount root fs on x\n";
    check(&end("", panic), "error 1 0 0 0", &[ProblemKind::KernelDied]);
    check(&end("[    1.500000] 1..1\n", panic), "pass 1 0 0 0", &[]);
    check(&end("", no_init), "pass 1 0 0 0", &[]);
    check(&format!("{panic}{}", end("", "")), "pass 1 0 0 0", &[]);
}

#[test]
fn a_broken_line_is_put_together() {
    let with = |line: &str| format!("TAP version 13\n1..2\n{line}\nok 2 b\n");
    for head in ["n", "no", "not", "not ", "not o", "not ok", "not ok ", "not ok 1", "not ok 1 a"] {
        let tail = &"not ok 1 a"[head.len()..];
        let line = format!("{head}[   12.345678] usb 1-1: new\n[   12.345679] usb 1-2: new\n{tail}");
        check(&with(&line), "fail 1 1 0 0", &[]);
    }
    check(&with("ok 1 a # SK[   12.345678] usb\nIP no root"), "pass 1 0 1 0", &[]);
    check(&with("ok[   12.345678] usb\n [   12.345679] usb\n1 a"), "pass 2 0 0 0", &[]);
    check(&with("# got [   12.345678] usb\nok 1 a"), "pass 2 0 0 0", &[]);
    check(&with("ok 1 got [   12.345678] usb"), "pass 2 0 0 0", &[]);
    let end = "TAP version 13\nok 1 a\nnot [   12.345678] Kernel panic - not syncing: x\n";
    let problems = [ProblemKind::KernelDied, ProblemKind::Truncated];
    check(end, "error 1 0 0 0", &problems);
}

#[test]
fn a_block_belongs_to_the_result_before_it() {
    let log = read(
        "TAP version 13\n1..2\nnot ok 1 a\n  ---\n  got: 3\n  log: |\n    not ok 7 x\n    1..9\n  ...\nok 2 b\n",
    );
    assert_eq!(says(&log).0, "fail 1 1 0 0");
    assert_eq!(log.cases()[0].message.as_deref(), Some("got: 3\nlog: |\n  not ok 7 x\n  1..9"));
    // Not closed, or not below a result: its lines count.
    check("TAP version 13\n1..1\nok 1 a\n  ---\n  not ok 1 x\n", "fail 1 1 0 0", &[ProblemKind::NoParent]);
    let disagrees = &[ProblemKind::ChildDisagrees];
    check("TAP version 13\n1..1\n# x\n  ---\n  not ok 1 x\n  ...\nok 1 a\n", "fail 0 1 0 0", disagrees);
    check("TAP version 13\n1..2\nok 1 a\n# ---\n# not ok 1 x\n# ...\nok 2 b\n", "fail 1 1 0 0", disagrees);
    let long =
        format!("TAP version 13\n1..2\nok 1 a\n  ---\n{}  not ok 1 x\n  ...\nok 2 b\n", "  a\n".repeat(1000));
    check(&long, "fail 1 1 0 0", disagrees);
}

#[test]
fn names_and_lines_are_those_of_the_log() {
    let log = read(
        "[    1.000000] boot\n[    1.100000] KTAP version 1\n[    1.200000] 1..1\n[    1.300000] ok 1 a\nTAP version 13\n1..2\n  ok 1 c\nok 1 a\nok 2 - d\n",
    );
    let leaves: Vec<_> = log.leaves().map(|leaf| (leaf.name, leaf.case.line)).collect();
    let expected = [("a", 4), ("a/c", 7), ("d", 9)].map(|(name, line)| (name.to_owned(), line));
    assert_eq!(leaves, expected);
    let another = Problem { line: 5, kind: ProblemKind::AnotherReport };
    assert_eq!(log.problems(), [another]);
}

#[test]
fn limits_are_said_aloud() {
    let limits = Limits { cases: 10, ..Limits::LOG };
    let many: String = (1..=20).map(|n| format!("ok {n} a\n")).collect();
    let log = read_log(format!("TAP version 13\n1..20\n{many}").as_bytes(), limits);
    assert_eq!(says(&log), ("error 10 0 0 0".to_owned(), vec![ProblemKind::TooManyCases]));
    let long = format!("TAP version 13\n1..1\nok 1 {} # SKIP\n", "x".repeat(5000));
    check(&long, "error 1 0 0 0", &[ProblemKind::LineTooLong { counts: true }]);
    // What is accepted does not crowd out what weighs.
    let suites: String = (1..=200).map(|n| format!("  KTAP version 1\n  ok 1 a\nok {n} s\n")).collect();
    let log = read(&format!("KTAP version 1\n1..201\n{suites}"));
    assert_eq!(log.verdict(), Verdict::Error);
    assert_eq!(says(&log).1, [ProblemKind::PlanMismatch { planned: 201, seen: 200 }]);
}

#[test]
fn many_reports_are_bounded_and_all_weigh() {
    let good = "TAP version 13\n1..1\nok 1 a\n".repeat(2000);
    let log = read(&good);
    assert_eq!(says(&log), ("pass 2000 0 0 0".to_owned(), vec![]));
    assert!(log.problems().len() <= 50);
    check(
        &format!("{good}TAP version 13\n1..2\nok 1 a\n{good}"),
        "error 4001 0 0 0",
        &[ProblemKind::PlanMismatch { planned: 2, seen: 1 }],
    );
    let log = read(&"TAP version 13\n1..2\nok 1 a\n".repeat(2000));
    assert_eq!((log.verdict(), says(&log).1.len()), (Verdict::Error, 101));
    let last = log.problems().last().map(|problem| &problem.kind);
    assert_eq!(last, Some(&ProblemKind::Further { count: 1900 }));
}

#[test]
fn a_case_alone_and_a_log_of_it_say_the_same() {
    for (line, status) in [
        ("ok 1 a", Status::Ok),
        ("not ok 1 a", Status::NotOk),
        ("ok 1 a # SKIP", Status::Skip),
        ("ok 1 a # TODO", Status::Todo),
        ("ok 1 a # XFAIL", Status::Xfail),
        ("ok 1 a # XPASS", Status::Xpass),
        ("not ok 1 a # TIMEOUT", Status::Timeout),
        ("not ok 1 a # ERROR", Status::Error),
    ] {
        let log = read(&format!("TAP version 13\n1..1\n{line}\n"));
        assert_eq!((log.cases()[0].status, log.verdict()), (status, case_verdict(status)), "{line}");
    }
}

fn kernel_line() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[ -~]{0,30}",
        "(    |# )?(not ok|ok) [1-4]( - | )?[a-z]{0,3}( # SKIP)?",
        Just("KTAP version 1".to_owned()),
        Just("1..2".to_owned()),
        Just("  ...".to_owned()),
    ];
    let stamp =
        prop::sample::select(&["[    1.000000] ", "[   12.345678][   T42] ", "<6>[    9.000000] "][..]);
    (stamp, text).prop_map(|(stamp, text)| format!("{stamp}{text}"))
}

fn plan_first() -> impl Strategy<Value = Style> {
    style().prop_map(|mut style| {
        style.plan_last = false;
        style
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_report_reads_the_same_behind_any_prefix(
        nodes in nodes(),
        style in style(),
        prefix in prop::sample::select(&[
            "", "[    1.000000] ", "[    1.00][    T1] ", "<6>[    1.000000] ", "\r",
            "[Mon Nov 24 10:00:00 2025] ", "Nov 24 10:00:00 host kernel: ", "6,1,1,-;",
            "2025-11-24T10:00:00.123Z ",
        ][..]),
        end in prop::sample::select(&["\n", "\r\n"][..]),
    ) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let log = read(&text.lines().map(|line| format!("{prefix}{line}{end}")).collect::<String>());
        let (said, problems) = says(&log);
        prop_assert!(problems.is_empty(), "{text}\n{problems:?}");
        let failed = nodes.iter().any(bad);
        prop_assert_eq!(log.verdict() == Verdict::Fail, failed, "{}", text);
        prop_assert_eq!(log.verdict() == Verdict::Pass, !failed && log.totals().pass > 0, "{}", text);
        prop_assert_eq!(said, says(&read(&text)).0);
    }

    #[test]
    fn no_prefix_of_a_planned_report_passes(nodes in nodes(), style in plan_first()) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let passes = read(&text).verdict() == Verdict::Pass;
        for cut in 0..text.len() {
            if read(&text[..cut]).verdict() == Verdict::Pass {
                // The result of a parent whose subtests are there may lack its end.
                let last = text[..cut].rfind('\n').map_or(0, |at| at + 1);
                let result = matches!(classify(split_column(&text[last..cut]).1), Line::Result { .. });
                let rest = text[cut..].find('\n').map_or(text.len(), |at| cut + at + 1);
                let over = is_chatter_from(text.as_bytes(), if result { rest } else { cut });
                prop_assert!(passes && over, "cut at {cut} of\n{text}");
            }
        }
    }

    #[test]
    fn no_line_of_the_kernel_makes_a_pass(
        nodes in nodes(),
        style in style(),
        drop in prop::option::of(any::<prop::sample::Index>()),
        lines in prop::collection::vec((any::<prop::sample::Index>(), kernel_line()), 1..4),
    ) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(drop) = drop {
            all.remove(drop.index(all.len()));
        }
        let before = read(&(all.join("\n") + "\n"));
        let text = |line: &str| line[prefix::strip(line.as_bytes()).1..].to_owned();
        let texts: Vec<String> = lines.iter().map(|(_, line)| text(line)).collect();
        let kinds: Vec<Line<'_>> = texts.iter().map(|text| classify(split_column(text).1)).collect();
        let quiet = kinds.iter().all(|line| !line.counts());
        let promised = kinds.iter().any(|line| matches!(line, Line::Version(_) | Line::Plan { .. }));
        for (at, line) in lines {
            all.insert(at.index(all.len() + 1), line);
        }
        let after = read(&(all.join("\n") + "\n"));
        // Beside a report of a program that skipped, the kernel may have one that passes.
        let skipped = promised && before.verdict() == Verdict::Skip;
        let passed = skipped || before.verdict() == Verdict::Pass;
        prop_assert!(after.verdict() != Verdict::Pass || passed, "{all:#?}");
        if quiet {
            prop_assert_eq!(says(&before).0, says(&after).0, "{:#?}", all);
        }
    }

    #[test]
    fn no_kernel_line_inside_a_line_makes_a_pass(
        nodes in nodes(),
        style in style(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let before = read(&text);
        let at = at.index(text.len());
        let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let (column, rest) = split_column(line);
        let tail = line.get(at - start..).unwrap_or_default();
        let alone = classify(split_column(tail).1).counts();
        let whole = classify(rest).counts() && at - start > column && !alone;
        text.insert_str(at, "[   12.345678] usb 1-1: new device\n");
        let after = read(&text);
        prop_assert!(after.verdict() != Verdict::Pass || before.verdict() == Verdict::Pass, "{}", text);
        if whole {
            prop_assert_eq!(says(&before), says(&after), "{}", text);
        }
    }

    #[test]
    fn garbage_changes_no_log(
        nodes in nodes(),
        style in style(),
        drop in prop::option::of(any::<prop::sample::Index>()),
        garbage in prop::collection::vec((any::<prop::sample::Index>(), garbage()), 1..6),
    ) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let mut lines: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
        if let Some(drop) = drop {
            lines.remove(drop.index(lines.len()));
        }
        let before = read_log(&[lines.join(&b'\n'), b"\n".to_vec()].concat(), Limits::LOG);
        for (at, line) in garbage {
            lines.insert(at.index(lines.len() + 1), line);
        }
        let after = read_log(&[lines.join(&b'\n'), b"\n".to_vec()].concat(), Limits::LOG);
        let sorted = |log: &Log| {
            let (said, kinds) = says(log);
            let mut kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
            kinds.sort(); // what is missing is noticed at the last line
            (said, kinds)
        };
        prop_assert_eq!(sorted(&before), sorted(&after));
    }

    #[test]
    fn a_lost_result_never_makes_a_pass(nodes in nodes(), style in style(), lost in any::<prop::sample::Index>()) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let line = lines.remove(lost.index(lines.len()));
        let log = read(&lines.concat());
        if matches!(classify(split_column(line).1), Line::Result { .. }) {
            prop_assert!(log.verdict() != Verdict::Pass, "without {line:?}:\n{text}");
        }
    }

    #[test]
    fn any_bytes_are_a_log(bytes in soup()) {
        let limits = Limits { line_bytes: 100, cases: 20, depth: 4, message_bytes: 200 };
        let log = read_log(&bytes, limits);
        let Totals { pass, fail, skip, xfail } = log.totals();
        prop_assert!(pass + fail + skip + xfail <= log.leaves().len());
        prop_assert!(log.leaves().len() <= 2 * limits.cases);
        if log.verdict() == Verdict::Pass {
            prop_assert!(pass > 0 && fail == 0 && log.problems().iter().all(Problem::is_accepted));
        }
        for leaf in log.leaves() {
            let message = leaf.case.message.as_deref().unwrap_or_default();
            prop_assert!(message.len() <= 3 * (limits.line_bytes + limits.message_bytes));
        }
    }
}
