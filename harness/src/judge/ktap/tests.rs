//! Tables, the corpus in `tests/corpus/ktap`, and properties.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::line::{Line, classify, split_column};
use super::log::Totals;
use super::{Case, Limits, Log, Problem, ProblemKind, Report, Status, Version, parse, read_log};

fn read(text: &str) -> Report {
    parse(text.as_bytes(), Limits::default())
}

fn all_ok(report: &Report) -> bool {
    let counts = report.counts();
    report.is_complete() && counts.ok > 0 && counts.ok == counts.total()
}

fn kinds(report: &Report) -> Vec<ProblemKind> {
    report.problems.iter().map(|problem| problem.kind.clone()).collect()
}

fn names(report: &Report) -> Vec<String> {
    report.leaves().map(|leaf| leaf.name).collect()
}

fn list(problems: &[Problem], weighs: fn(&Problem) -> bool) -> String {
    let word = |problem: &Problem| {
        let name = format!("{:?}", problem.kind).replace(' ', "");
        let mark = if weighs(problem) { "!" } else { "" };
        format!("{name}{mark}@{}", problem.line)
    };
    if problems.is_empty() { "-".to_owned() } else { problems.iter().map(word).collect::<Vec<_>>().join(",") }
}

/// What the header of a corpus file says: the log as the output of a cell's program, and as a log.
fn expectations(log: &[u8]) -> String {
    expectation(&parse(log, Limits::default())) + &log_expectation(&read_log(log, Limits::LOG))
}

fn log_expectation(log: &Log) -> String {
    let Totals { pass, fail, skip, xfail } = log.totals();
    let problems = list(log.problems(), |problem| !problem.is_accepted());
    let verdict = log.verdict();
    format!("# log: {verdict} pass={pass} fail={fail} skip={skip} xfail={xfail} problems={problems}\n")
}

fn expectation(report: &Report) -> String {
    let counts = report.counts();
    let problems = list(&report.problems, Problem::is_fatal);
    let mut out = format!(
        "# expect: complete={} ok={} notok={} skip={} total={} problems={problems}\n",
        report.is_complete(),
        counts.ok,
        counts.not_ok,
        counts.skip,
        counts.total(),
    );
    if let Some(reason) = &report.skip_all {
        let _ = writeln!(out, "# expect: skip-all={reason}");
    }
    if let Some(reason) = &report.bail {
        let _ = writeln!(out, "# expect: bail={reason}");
    }
    for leaf in report.leaves().take(12) {
        let message = leaf.case.message.as_deref().unwrap_or("-");
        let line = message.lines().next().unwrap_or_default();
        let line: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
        let _ = writeln!(out, "# expect: leaf={} | {} | {line}", leaf.case.status, leaf.name);
    }
    out
}

/// UPDATE_CORPUS=1 rewrites the headers; what else reads the files then waits for the next run.
fn updating() -> bool {
    std::env::var_os("UPDATE_CORPUS").is_some()
}

#[test]
fn corpus() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/ktap"));
    let update = updating();
    let mut seen = 0;
    for entry in fs::read_dir(dir).expect("the corpus is there") {
        let path = entry.expect("a directory entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        let split = bytes.windows(2).position(|two| two == b"\n\n").expect("a blank line");
        let (header, log) = (&bytes[..split + 1], &bytes[split + 2..]);
        let expected = expectations(log);
        seen += 1;
        if update && header != expected.as_bytes() {
            fs::write(&path, [expected.as_bytes(), b"\n", log].concat()).expect("written");
        } else if !update {
            assert_eq!(String::from_utf8_lossy(header), expected, "{}", path.display());
        }
    }
    assert!(seen >= 25, "only {seen} files");
}

/// Every cut of every log of the corpus: a shorter log never looks like a whole one that passed.
#[test]
fn corpus_prefixes() {
    if updating() {
        return;
    }
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/ktap"));
    for entry in fs::read_dir(dir).expect("the corpus is there") {
        let path = entry.expect("a directory entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        let split = bytes.windows(2).position(|two| two == b"\n\n").expect("a blank line");
        let log = &bytes[split + 2..];
        if log.len() > 4096 || !all_ok(&parse(log, Limits::default())) {
            continue;
        }
        for cut in 0..log.len() {
            let prefix = parse(&log[..cut], Limits::default());
            assert!(!all_ok(&prefix) || is_chatter_from(log, cut), "{} {cut}", path.display());
        }
    }
}

/// Whether from here on, the line that is cut included, there are only lines that report nothing.
pub(super) fn is_chatter_from(log: &[u8], cut: usize) -> bool {
    let start = log[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    String::from_utf8_lossy(&log[start..]).lines().all(|line| match classify(split_column(line).1) {
        Line::Text | Line::Run | Line::Mark | Line::Subtest(_) | Line::Totals(_) => true,
        Line::Version(_) | Line::Plan { .. } | Line::Result { .. } | Line::Bail(_) | Line::Bad { .. } => {
            false
        }
    })
}

#[test]
fn one_line_means() {
    let table = [
        ("ok 1 a", Status::Ok, "a", None),
        ("ok 1", Status::Ok, "", None),
        ("ok 1 - a b", Status::Ok, "a b", None),
        ("not ok 1 a", Status::NotOk, "a", None),
        ("ok 1 a # SKIP no root", Status::Skip, "a", Some("no root")),
        ("ok 1 a # skip: no root", Status::Skip, "a", Some("no root")),
        ("ok 1 a # Skipped by hand", Status::Skip, "a", Some("by hand")),
        ("not ok 1 a # SKIP", Status::Skip, "a", None),
        ("not ok 1 a # SKIPPED", Status::NotOk, "a", Some("SKIPPED")),
        ("ok 1 # SKIP a", Status::Skip, "", Some("a")),
        ("ok 1 # XFAIL a", Status::Xfail, "", Some("a")),
        ("not ok 1 a # XFAIL", Status::Xfail, "a", None),
        ("ok 1 a # XPASS unknown", Status::Xpass, "a", Some("unknown")),
        ("not ok 1 a # TODO later", Status::Todo, "a", Some("later")),
        ("ok 1 a # todo", Status::Todo, "a", None),
        ("not ok 1 a # TIMEOUT 45 seconds", Status::Timeout, "a", Some("45 seconds")),
        ("ok 1 a # TIMEOUT", Status::Timeout, "a", None),
        ("not ok 1 # error a", Status::Error, "", Some("a")),
        ("ok 1 a # ERROR x", Status::Error, "a", Some("x")),
        ("ok 1 a # timeout=5", Status::Ok, "a", Some("timeout=5")),
        ("ok 1 a # rcode=0", Status::Ok, "a", Some("rcode=0")),
        ("not ok 1 a # exit=139", Status::NotOk, "a", Some("exit=139")),
        ("ok 1 a #  detail", Status::Ok, "a", Some("detail")),
        ("ok 1 C# and #2", Status::Ok, "C# and", Some("2")),
        ("ok 1 case #2 # SKIP why", Status::Skip, "case", Some("why")),
        ("not ok 1 case #2 # SKIP why", Status::NotOk, "case", Some("2 # SKIP why")),
        ("ok 1 a # SKIP x # not a second", Status::Skip, "a", Some("x # not a second")),
    ];
    for (line, status, name, message) in table {
        let report = read(&format!("TAP version 13\n1..1\n{line}\r\n"));
        let [case] = report.cases.as_slice() else { panic!("{line}: {report:?}") };
        let got = (case.status, case.name.as_str(), case.message.as_deref());
        assert_eq!(got, (status, name, message), "{line}");
        assert!(report.is_complete(), "{line}: {:?}", report.problems);
    }
}

#[test]
fn lines_that_are_none() {
    for line in ["ok, go", "okay 1", "not okay", "OK 1 a", "1", "ok1 a", "Ok 1", "nok 1 a"] {
        let report = read(&format!("TAP version 13\n1..1\n{line}\nok 1 a\n"));
        assert!(report.cases.len() == 1, "{line}");
        assert_eq!(report.is_complete(), line != "not okay", "{line}");
    }
}

#[test]
fn versions() {
    for (line, version, complete) in [
        ("KTAP version 1", Some(Version::Ktap1), true),
        ("TAP version 13", Some(Version::Tap13), true),
        ("TAP version 14", Some(Version::Tap14), true),
        ("TAP version 14 \r", Some(Version::Tap14), true),
        ("KTAP version 2", None, false),
        ("TAP version 12", None, false),
        ("hello", None, true),
    ] {
        let report = read(&format!("{line}\n1..1\nok 1 a\n"));
        assert_eq!((report.version, report.is_complete()), (version, complete), "{line}");
    }
}

#[test]
fn nothing_is_never_complete() {
    for text in ["", "\n", "TAP version 13\n", "TAP version 13\n1..0\n", "1..0\n", "hello\n"] {
        let report = read(text);
        assert!(!report.is_complete(), "{text:?}");
        assert!(kinds(&report).contains(&ProblemKind::NoTests), "{text:?}");
    }
    let skipped = read("TAP version 13\n1..0 # SKIP no root\n");
    assert!(skipped.is_complete() && !all_ok(&skipped));
    assert_eq!(skipped.skip_all.as_deref(), Some("no root"));
}

#[test]
fn a_parent_that_dies_after_its_cases_is_a_leaf() {
    let report = read("TAP version 13\n1..1\n  1..1\n  ok 1 a\nnot ok 1 prog # exit=139\n");
    assert_eq!(names(&report), ["prog/a", "prog"]);
    assert!(report.is_complete());
    assert_eq!((report.counts().ok, report.counts().not_ok), (1, 1));
}

#[test]
fn a_parent_that_fails_for_its_child_is_not() {
    let report = read("TAP version 13\n1..1\n  1..1\n  not ok 1 a\nnot ok 1 prog\n");
    assert_eq!(names(&report), ["prog/a"]);
}

#[test]
fn a_skipped_subtest_does_not_pass() {
    let report = read("TAP version 13\n1..1\n# TAP version 13\n# 1..0 # SKIP root\nok 1 prog\n");
    assert_eq!(report.cases[0].status, Status::Skip);
    assert_eq!(report.cases[0].message.as_deref(), Some("root"));
}

#[test]
fn unpromised_results_can_only_harm() {
    let fine = read("TAP version 13\n1..1\n# ok 7 chatter\nok 1 a\n");
    assert!(all_ok(&fine), "{:?}", fine.problems);
    let bad = read("TAP version 13\n1..1\n# not ok 7 chatter\nok 1 a\n");
    assert_eq!(kinds(&bad), [ProblemKind::ChildDisagrees]);
}

#[test]
fn names_become_unique() {
    let report = read("TAP version 13\n1..5\nok 1 a\nok 2 a\nok 3 a (2)\nok 4\nok 5 a\n");
    assert_eq!(names(&report), ["a", "a (3)", "a (2)", "case 4", "a (4)"]);
}

#[test]
fn harness_text_goes_to_its_case() {
    let report = read(
        "TAP version 13\n1..2\n# Starting 2 tests from 1 test cases.\n#  RUN           global.a ...\n\
         #            OK  global.a\nok 1 global.a\n#  RUN           global.b ...\n\
         # x.c:12:b:Expected 0 (0) == r (1)\n# b: Test failed\n#          FAIL  global.b\n\
         not ok 2 global.b\n# FAILED: 1 / 2 tests passed.\n\
         # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0\n",
    );
    assert!(report.is_complete(), "{:?}", report.problems);
    assert_eq!(report.cases[0].message, None, "what was said before RUN has no case");
    let message = report.cases[1].message.as_deref().unwrap_or_default();
    assert!(message.starts_with("x.c:12:b:Expected 0 (0) == r (1)\nb: Test failed"), "{message}");
}

#[test]
fn limits_hold() {
    let limits = Limits { line_bytes: 64, cases: 10, depth: 3, message_bytes: 128 };
    let long = format!("TAP version 13\n1..1\nok 1 {} # SKIP\n", "x".repeat(100));
    let report = parse(long.as_bytes(), limits);
    assert_eq!(kinds(&report), [ProblemKind::LineTooLong { counts: true }]);
    assert!(!report.is_complete());

    let many: String = (1..=20).map(|n| format!("ok {n} a\n")).collect();
    let report = parse(format!("TAP version 13\n1..20\n{many}").as_bytes(), limits);
    assert_eq!(kinds(&report), [ProblemKind::TooManyCases]);
    assert_eq!(report.cases.len(), 10);

    let report = parse(b"1..1\n 1..1\n  1..1\n   1..1\n", limits);
    assert!(kinds(&report).contains(&ProblemKind::TooDeep));

    let chatter: String = (0..1000).map(|n| format!("line {n}\n")).collect();
    let report = parse(format!("1..1\n{chatter}ok 1 a\n").as_bytes(), limits);
    let message = report.cases[0].message.as_deref().unwrap_or_default();
    assert!(message.len() < 256 && message.starts_with("line 0\n"), "{message}");
    assert!(message.ends_with("line 999"), "{message}");

    let report = parse(&b"not ok x\n".repeat(1000), Limits::default());
    assert_eq!(report.problems.len(), super::PROBLEMS_MAX + 1);
}

#[test]
fn problems_read_well() {
    let report = read("TAP version 13\n1..3\nok 1 a\nok 3 c\n");
    let texts: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["line 4: result number 3 where 2 was due", "line 2: planned 3 results but saw 2"]);
}

/// How a generated report is written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    indent: &'static str,
    pub(super) plan_last: bool,
    version: bool,
    chatter: bool,
    totals: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    name: String,
    suffix: &'static str,
    ok: bool,
    cases: Vec<Node>,
}

pub(super) fn bad(node: &Node) -> bool {
    !node.ok && node.suffix.is_empty() || node.cases.iter().any(bad)
}

pub(super) fn write(nodes: &[Node], pad: &str, style: &Style, out: &mut String) {
    if style.version {
        let _ = writeln!(out, "{pad}TAP version 13");
    }
    if !style.plan_last {
        let _ = writeln!(out, "{pad}1..{}", nodes.len());
    }
    for (at, node) in nodes.iter().enumerate() {
        if !node.cases.is_empty() {
            write(&node.cases, &format!("{pad}{}", style.indent), style, out);
        }
        if style.chatter {
            let _ = writeln!(out, "{pad}# case {} says hello\nstray text", node.name);
        }
        let ok = if node.cases.is_empty() { node.ok } else { !node.cases.iter().any(bad) };
        let suffix = if node.cases.is_empty() { node.suffix } else { "" };
        let word = if ok { "ok" } else { "not ok" };
        let _ = writeln!(out, "{pad}{word} {} {}{suffix}", at + 1, node.name);
    }
    if style.plan_last {
        let _ = writeln!(out, "{pad}1..{}", nodes.len());
    }
    if style.totals && nodes.iter().all(|node| node.ok && node.suffix.is_empty() && !bad(node)) {
        let n = nodes.len();
        let _ = writeln!(out, "{pad}# Totals: pass:{n} fail:0 xfail:0 xpass:0 skip:0 error:0");
    }
}

pub(super) fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let suffix = prop_oneof![8 => Just(""), 1 => Just(" # SKIP why"), 1 => Just(" # XFAIL")];
    let leaf = ("[a-z][a-z_. ]{0,8}[a-z]", suffix, prop::bool::weighted(0.9))
        .prop_map(|(name, suffix, ok)| Node { name, suffix, ok, cases: vec![] });
    let node = leaf.prop_recursive(2, 12, 4, |inner| {
        ("[a-z]{1,8}", prop::collection::vec(inner, 1..4)).prop_map(|(name, cases)| Node {
            name,
            suffix: "",
            ok: true,
            cases,
        })
    });
    prop::collection::vec(node, 1..5)
}

pub(super) fn style() -> impl Strategy<Value = Style> {
    let indent = prop_oneof![Just("  "), Just("    "), Just("# ")];
    (indent, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(indent, plan_last, version, chatter, totals)| {
            // A list with neither a version nor a plan in front is promised too late.
            Style { indent, plan_last: plan_last && version, version, chatter, totals }
        },
    )
}

pub(super) fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "(# |  )?(OK|ok,|FAIL|Ok 1|okay|PASS|1\\.|TAP) [a-z0-9 #]{0,12}".prop_map(String::into_bytes),
    ];
    bytes.prop_filter("a line of no meaning", |bytes| {
        !bytes.contains(&b'\n') && super::line::stamp_len(bytes) == 0 && {
            let text = String::from_utf8_lossy(&bytes[super::prefix::strip(bytes).1..]);
            matches!(classify(split_column(&text).1), Line::Text | Line::Mark)
        }
    })
}

pub(super) fn soup() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "ok ",
            "not ok ",
            "1..",
            "1..0 # SKIP x\n",
            "# ",
            "  ",
            "\n",
            "\r\n",
            "- ",
            " # SKIP ",
            "TAP version 13\n",
            "KTAP version 1\n",
            "Bail out! ",
            "# Subtest: s\n",
            "# TODO",
            "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n",
            "[    1.000000] ",
            "\t",
            "18446744073709551615",
            "18446744073709551616",
            "\u{202e}",
            "\u{1b}[2J",
        ])
        .prop_map(|token| token.as_bytes().to_vec()),
        (0u64..4).prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(token, 0..120).prop_map(|tokens| tokens.concat())
}

fn depth(cases: &[Case]) -> usize {
    cases.iter().map(|case| 1 + depth(&case.cases)).max().unwrap_or(0)
}

fn size(cases: &[Case]) -> usize {
    cases.iter().map(|case| 1 + size(&case.cases)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_reports_are_complete(nodes in nodes(), style in style()) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let report = read(&text);
        prop_assert!(report.is_complete(), "{text}\n{:?}", report.problems);
        prop_assert_eq!(report.counts().bad() > 0, nodes.iter().any(bad), "{}", text);
    }

    #[test]
    fn no_prefix_of_a_valid_report_passes(nodes in nodes(), style in style()) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        for cut in 0..text.len() {
            let report = read(&text[..cut]);
            prop_assert!(
                !all_ok(&report) || is_chatter_from(text.as_bytes(), cut),
                "cut at {cut} of\n{text}"
            );
        }
    }

    #[test]
    fn garbage_lines_change_nothing(
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
        let before = parse(&[lines.join(&b'\n'), b"\n".to_vec()].concat(), Limits::default());
        for (at, line) in garbage {
            lines.insert(at.index(lines.len() + 1), line);
        }
        let after = parse(&[lines.join(&b'\n'), b"\n".to_vec()].concat(), Limits::default());
        prop_assert_eq!(before.counts(), after.counts());
        prop_assert_eq!(before.is_complete(), after.is_complete());
    }

    #[test]
    fn a_lost_line_never_makes_a_pass(
        nodes in nodes(),
        style in style(),
        lost in any::<prop::sample::Index>(),
    ) {
        let mut text = String::new();
        write(&nodes, "", &style, &mut text);
        let was = all_ok(&read(&text));
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let line = lines.remove(lost.index(lines.len()));
        let report = read(&lines.concat());
        let (_, rest) = split_column(line);
        if matches!(classify(rest), Line::Result { .. }) {
            // The list of a top-level result is promised; a nested one as well.
            prop_assert!(!all_ok(&report), "without {line:?}:\n{text}");
        }
        prop_assert!(was || !all_ok(&report), "without {line:?}:\n{text}");
    }

    #[test]
    fn any_bytes_stay_within_limits(bytes in soup()) {
        let limits = Limits { line_bytes: 100, cases: 20, depth: 4, message_bytes: 200 };
        let report = parse(&bytes, limits);
        prop_assert!(size(&report.cases) <= limits.cases);
        prop_assert!(depth(&report.cases) <= 2 * limits.depth);
        prop_assert!(report.problems.len() <= super::PROBLEMS_MAX + 1);
        let mut names = names(&report);
        prop_assert_eq!(names.len(), report.counts().total());
        prop_assert!(names.iter().all(|name| !name.contains(char::is_control)));
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), report.counts().total(), "names are unique");
        for leaf in report.leaves() {
            let message = leaf.case.message.as_deref().unwrap_or_default();
            prop_assert!(message.len() <= 3 * (limits.line_bytes + limits.message_bytes));
        }
        if report.is_complete() {
            prop_assert!(report.problems.iter().all(|problem| !problem.is_fatal()));
            prop_assert_eq!(report.plan, Some(report.cases.len() as u64));
            prop_assert!(report.bail.is_none());
        }
    }
}
