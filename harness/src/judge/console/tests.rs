//! Tables, the corpus in `tests/corpus/console`, and properties.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::text::normalise;
use super::{FATAL_SPARE, FINDINGS_MAX, Finding, Kind, LINE_BYTES, Scanner, sanitize, tail};

fn scan(bytes: &[u8]) -> Vec<Finding> {
    scan_by(Scanner::new, bytes)
}

fn scan_by(new: New, bytes: &[u8]) -> Vec<Finding> {
    let mut scanner = new();
    scanner.push(bytes);
    scanner.finish();
    scanner.findings().to_vec()
}

/// Who reads a corpus.
type New = fn() -> Scanner;
/// The corpora, and who reads them.
const CORPORA: [(&str, New); 2] = [("console", Scanner::new), ("any-log", Scanner::of_any_log)];

/// What the header of a corpus file says.
fn expectation(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let _ = writeln!(
            out,
            "# expect: kind={} fatal={} kernel={} line={} at={} task={} frame={} title={}",
            finding.kind,
            finding.fatal,
            finding.is_kernel_fault(),
            finding.line,
            finding.at.map_or("-".to_owned(), |at| format!("{at:.6}")),
            finding.task.as_deref().unwrap_or("-"),
            finding.frame.as_deref().unwrap_or("-"),
            finding.title,
        );
    }
    if out.is_empty() { "# expect: nothing\n".to_owned() } else { out }
}

/// UPDATE_CORPUS=1 rewrites the headers; what else reads the files then waits for the next run.
fn updating() -> bool {
    std::env::var_os("UPDATE_CORPUS").is_some()
}

/// The name, header and log of every file.
fn corpus_files(name: &str) -> Vec<(std::path::PathBuf, Vec<u8>, Vec<u8>)> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus")).join(name);
    let files = fs::read_dir(dir).expect("the corpus is there").map(|entry| {
        let path = entry.expect("a directory entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        let split = bytes.windows(2).position(|two| two == b"\n\n").expect("a blank line");
        (path, bytes[..split + 1].to_vec(), bytes[split + 2..].to_vec())
    });
    files.collect()
}

#[test]
fn corpus() {
    let update = updating();
    for (name, new) in CORPORA {
        let files = corpus_files(name);
        assert!(files.len() >= 25, "only {} files", files.len());
        for (path, header, log) in files {
            let expected = expectation(&scan_by(new, &log));
            if update && header != expected.as_bytes() {
                fs::write(&path, [expected.as_bytes(), b"\n", &log].concat()).expect("written");
            } else if !update {
                assert_eq!(String::from_utf8_lossy(&header), expected, "{}", path.display());
            }
        }
    }
}

#[test]
fn corpus_in_any_chunks() {
    if updating() {
        return;
    }
    for (name, new) in CORPORA {
        for (path, _, log) in corpus_files(name) {
            let whole = scan_by(new, &log);
            for size in [1, 2, 7, 64] {
                let mut scanner = new();
                log.chunks(size).for_each(|chunk| scanner.push(chunk));
                scanner.finish();
                assert_eq!(scanner.findings(), whole, "{} by {size}", path.display());
            }
        }
    }
}

/// Of our own guests nothing is doubted: what a stranger's log shows, a guest's shows too.
#[test]
fn the_judge_is_never_more_silent_than_a_reader_of_any_log() {
    if updating() {
        return;
    }
    for (path, _, log) in corpus_files("console") {
        let judged: Vec<u64> = scan(&log).iter().map(|finding| finding.line).collect();
        let read = scan_by(Scanner::of_any_log, &log);
        assert!(read.iter().all(|finding| judged.contains(&finding.line)), "{}", path.display());
    }
}

/// A found title does not depend on when, where in memory and on which CPU it happened.
#[test]
fn corpus_titles_hold_no_numbers_of_one_run() {
    if updating() {
        return;
    }
    for (path, _, log) in corpus_files("console") {
        for finding in scan(&log) {
            let title = &finding.title;
            assert!(!title.contains("ffff8"), "{}: {title}", path.display());
            assert!(!title.contains("+0x"), "{}: {title}", path.display());
            assert!(!title.contains(".c:"), "{}: {title}", path.display());
            assert_eq!(*title, sanitize(title), "{}", path.display());
        }
    }
}

#[test]
fn every_row_is_reachable() {
    for row in super::table::ROWS {
        let Some(kind) = row.kind.filter(|_| !row.text.is_empty()) else { continue };
        let line = match row.anchor {
            super::table::Anchor::Task => format!("init[1]{} x {} y\n", row.text, row.and),
            _ => format!("{} x {} y\n", row.text, row.and),
        };
        let findings = scan(line.as_bytes());
        assert_eq!(findings.len(), 1, "{line}");
        assert_eq!((findings[0].kind, findings[0].fatal), (kind, row.fatal), "{line}");
    }
}

#[test]
fn only_the_beginning_of_a_message_counts() {
    let panic = "Kernel panic - not syncing: x";
    for (line, found) in [
        (format!("{panic}\n"), true),
        (format!("[    1.234567] {panic}\n"), true),
        (format!("[    1.234567] {panic}\r\n"), true),
        (format!("\r[    1.234567] {panic}"), true),
        (format!("[    1.234567][   T42] {panic}\n"), true),
        (format!("[    1.234567][    C0] {panic}\n"), true),
        (format!("[   T42] {panic}\n"), true),
        (format!("<0>[    1.234567] {panic}\n"), true),
        (format!("<0>{panic}\n"), true),
        (format!("[123456.234567] {panic}\n"), true),
        (format!("\x1b[2J\x1bc{panic}\n"), true),
        (format!("# [    1.234567] {panic}\n"), true),
        (format!("<12>[    1.234567] {panic}\n"), false),
        // A program's own `<12>` without a newline, and the kernel's line behind it.
        (format!("<12><0>[    1.234567] {panic}\n"), true),
        (format!("<12>and words <0>[    1.234567] {panic}\n"), true),
        (format!("<12>[    1.234567] a record <0>[    1.234568] {panic}\n"), true),
        (format!("<12>[    1.234567] a record <13>[    1.234568] {panic}\n"), false),
        (format!("test: {panic}\n"), false),
        (format!("[    1.234567] test: {panic}\n"), false),
        (format!("[    1.234567] [    1.000000] {panic}\n"), false),
        (format!("[    1.234567]   {panic}\n"), false),
        (format!(" {panic}\n"), false),
        (format!("# [1.2] {panic}\n"), false),
        ("Kernel panic\n".to_owned(), false),
        ("kernel panic - not syncing: x\n".to_owned(), false),
    ] {
        assert_eq!(!scan(line.as_bytes()).is_empty(), found, "{line:?}");
    }
}

#[test]
fn a_flood_is_bounded_and_cannot_hide_the_end() {
    let mut scanner = Scanner::new();
    for n in 0..1000 {
        scanner.push(format!("WARNING: CPU: 0 PID: 1 at fs/x.c:{n} f+0x1/0x2\n").as_bytes());
    }
    scanner.push(b"Kernel panic - not syncing: the end\n");
    assert_eq!(scanner.findings().len(), FINDINGS_MAX + 1);
    assert_eq!(scanner.left_out(), 1000 - FINDINGS_MAX as u64);
    assert_eq!(scanner.first_fatal().map(|finding| finding.kind), Some(Kind::Panic));
    for _ in 0..1000 {
        scanner.push(b"Kernel panic - not syncing: again\n");
    }
    assert_eq!(scanner.findings().len(), FINDINGS_MAX + FATAL_SPARE);
}

#[test]
fn a_line_without_end_is_bounded() {
    let mut scanner = Scanner::new();
    for _ in 0..100 {
        scanner.push(&[b'x'; 1000]);
    }
    assert_eq!(scanner.partial.len(), LINE_BYTES);
    scanner.push(b"\nBUG: next");
    assert!(scanner.findings().is_empty(), "not before its line is complete");
    scanner.finish();
    assert_eq!((scanner.findings().len(), scanner.findings()[0].line), (1, 2));
    scanner.finish();
    assert_eq!(scanner.findings().len(), 1);
}

#[test]
fn a_report_ends() {
    let body = "BUG: sleeping function called from invalid context at mm/x.c:1\n";
    let task = "CPU: 0 PID: 9 Comm: late Not tainted 6.12.0\n";
    assert_eq!(scan(format!("{body}{task}").as_bytes())[0].task.as_deref(), Some("late/9"));
    let ended = format!("{body}---[ end trace 0000000000000000 ]---\n{task}");
    assert_eq!(scan(ended.as_bytes())[0].task, None);
    let far = format!("{body}{}{task}", "x\n".repeat(600));
    assert_eq!(scan(far.as_bytes())[0].task, None);
}

#[test]
fn titles_are_normalised() {
    for (message, title) in [
        ("BUG: KASAN: use-after-free in f.isra.0+0x1a/0x20", "BUG: KASAN: use-after-free in f"),
        ("UBSAN: shift-out-of-bounds in fs/xyzzy.c:12:7", "UBSAN: shift-out-of-bounds in fs/xyzzy.c"),
        ("list_del corruption, ffff888004b3c018->next is NULL", "list_del corruption, ADDR->next is NULL"),
        ("bad at 0xffffffff81000000 flags 0x12", "bad at ADDR flags 0x12"),
        ("leaked: kworker/0:1[12] on CPU#3", "leaked: kworker/PID:1[PID] on CPU#N"),
        ("fault in test/1234 of kmalloc-64", "fault in test/PID of kmalloc-64"),
        ("decade defaced feedfacecafe", "decade defaced feedfacecafe"),
        ("f.constprop.0.cold+0x5/0x9 g.part.12 h.c", "f g h.c"),
    ] {
        assert_eq!(normalise(message), title);
    }
    assert!(normalise(&"word ".repeat(100)).chars().count() <= 161);
}

#[test]
fn sanitised_text_is_harmless() {
    for (bytes, text) in [
        (&b"plain \xc3\xa4\ttab"[..], "plain \u{e4}\ttab"),
        (b"\x1b[31mred\x07\r", "\\x1b[31mred\\x07\\x0d"),
        (b"\xff\xc3", "\\xff\\xc3"),
        ("\u{202e}rtl\u{200b}\u{9b}2J\u{feff}".as_bytes(), "\\u{202e}rtl\\u{200b}\\u{9b}2J\\u{feff}"),
        (b"C:\\n", "C:\\n"),
    ] {
        assert_eq!(sanitize(bytes), text);
    }
    assert!(sanitize([b'x'; 5000]).chars().count() == 1025);
}

#[test]
fn tails() {
    assert_eq!(tail(b"", 3), Vec::<String>::new());
    assert_eq!(tail(b"a\nb\r\n\x1bc\n", 2), ["b", "\\x1bc"]);
    assert_eq!(tail(b"a\n\nb", 9), ["a", "", "b"]);
    assert_eq!(tail(b"a\nb\n", 0), Vec::<String>::new());
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<Vec<u8>> = (CORPORA.iter().flat_map(|(name, _)| corpus_files(name)))
        .flat_map(|(_, _, log)| log.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect();
    let line = prop_oneof![
        6 => prop::sample::select(lines.clone()),
        1 => (prop::sample::select(lines), 0usize..60).prop_map(|(line, cut)| {
            line[cut.min(line.len())..].to_vec()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_make_no_difference(bytes in soup(), cuts in prop::collection::vec(1usize..99, 1..20)) {
        for (_, new) in CORPORA {
            let mut scanner = new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, next) = rest.split_at((*cut).min(rest.len()));
                scanner.push(chunk);
                rest = next;
            }
            scanner.finish();
            prop_assert_eq!(scanner.findings(), scan_by(new, &bytes));
        }
    }

    #[test]
    fn findings_only_grow(bytes in soup()) {
        let mut scanner = Scanner::new();
        let mut lines = Vec::new();
        for chunk in bytes.chunks(50) {
            scanner.push(chunk);
            let now: Vec<u64> = scanner.findings().iter().map(|finding| finding.line).collect();
            prop_assert!(now.starts_with(&lines));
            prop_assert!(now.is_sorted());
            lines = now;
        }
    }

    #[test]
    fn nothing_shown_is_dangerous(bytes in soup()) {
        for finding in scan(&bytes) {
            let shown = [Some(&finding.title), Some(&finding.text), finding.task.as_ref()];
            for text in shown.into_iter().flatten() {
                prop_assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
            }
            prop_assert!(finding.title.chars().count() < 1100);
        }
        for line in tail(&bytes, 5) {
            prop_assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        scan(&bytes);
        scan_by(Scanner::of_any_log, &bytes);
    }
}

/// `docs/scan-log.md` has one line for each kind, in their order, with an example that is one.
#[test]
fn the_documented_kinds_are_all_there_are() {
    let table = include_str!("../../../../docs/scan-log.md");
    let rows: Vec<Vec<&str>> = (table.lines().filter(|line| line.starts_with("| ")).skip(2))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let documented: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(documented, kinds);
    assert!(super::table::ROWS.iter().filter_map(|row| row.kind).all(|kind| Kind::ALL.contains(&kind)));
    for (row, kind) in rows.iter().zip(Kind::ALL) {
        let example = row[2].split('`').nth(1).expect("an example");
        let log = match kind {
            Kind::UnexpectedReboot => format!("{example}\n{example}\n"),
            _ => example.to_owned(),
        };
        let found: Vec<Kind> = scan(log.as_bytes()).iter().map(|finding| finding.kind).collect();
        assert_eq!(found, [*kind], "{example}");
        assert_eq!(row[3].starts_with("*note*"), kind.is_note(), "{kind}");
    }
}
