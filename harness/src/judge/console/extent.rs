//! Which lines of a console are a report's, for showing it as one thing. Nothing is judged by this.
//!
//! Where a report ends is only known of those with an end mark. Of the others it is taken to go on
//! as long as its lines look like one: stacks, registers, indented tables.

use std::ops::RangeInclusive;

use super::message::Message;
use super::{Finding, Scanner};

/// Lines without the look of a report after which it is over: a lockdep report has prose between its
/// tables, three lines at a time and a blank one.
const PROSE_LINES: u64 = 4;
/// What lines of reports begin with that are not set in and name no function.
const HEADS: [&str; 24] = [
    "Call Trace",
    "CPU:",
    "Hardware name",
    "Code:",
    "RSP:",
    "RAX:",
    "RDX:",
    "RBP:",
    "R10:",
    "R13:",
    "FS:",
    "CS:",
    "CR2:",
    "PKRU:",
    "Modules linked",
    "Tainted",
    "Workqueue:",
    "Oops",
    "#PF:",
    "PGD ",
    "irq event",
    "stack backtrace",
    "====",
    "----",
];

/// The lines of each report of a guest's console, counted from 1, in the order of
/// [`Scanner::findings`].
pub fn extents(console: &[u8]) -> Vec<RangeInclusive<u64>> {
    scan(Scanner::new(), console).1
}

/// The same of [any log](Scanner::of_any_log), with what was found in it.
pub fn extents_of_any_log(log: &[u8]) -> (Scanner, Vec<RangeInclusive<u64>>) {
    scan(Scanner::of_any_log(), log)
}

fn scan(mut scanner: Scanner, console: &[u8]) -> (Scanner, Vec<RangeInclusive<u64>>) {
    let mut found: Vec<RangeInclusive<u64>> = Vec::new();
    for line in console.split_inclusive(|byte| *byte == b'\n') {
        let open: Vec<usize> = scanner.reports.iter().map(|open| open.at).collect();
        scanner.push(line);
        if !line.ends_with(b"\n") {
            scanner.finish();
        }
        let number = scanner.lines();
        let look = Look::of(line, scanner.origin.is_some());
        forget_taken_back(&mut found, &scanner);
        for at in open {
            let Some((first, last)) = found.get(at).map(|lines| (*lines.start(), *lines.end())) else {
                continue;
            };
            let is_open = scanner.reports.iter().any(|open| open.at == at);
            let goes_on = match look {
                Look::End => true,
                Look::Report => is_open && number - last <= PROSE_LINES,
                Look::Prose => false,
            };
            if goes_on {
                found[at] = first..=number;
            }
        }
        let new = &scanner.findings()[found.len()..];
        found.extend(new.iter().map(|finding| finding.line..=finding.line));
    }
    scanner.finish();
    forget_taken_back(&mut found, &scanner);
    (scanner, found)
}

/// Of any log, what was found before may have been a quotation.
fn forget_taken_back(found: &mut Vec<RangeInclusive<u64>>, scanner: &Scanner) {
    let findings = scanner.findings();
    let is_it = |(lines, finding): (&RangeInclusive<u64>, &Finding)| *lines.start() == finding.line;
    if found.len() > findings.len() || !found.iter().zip(findings).next_back().is_none_or(is_it) {
        let known = |line: u64| found.iter().find(|lines| *lines.start() == line).cloned();
        *found = findings
            .iter()
            .map(|finding| known(finding.line).unwrap_or(finding.line..=finding.line))
            .collect();
    }
}

/// What a line looks like.
enum Look {
    End,
    Report,
    Prose,
}

impl Look {
    fn of(line: &[u8], of_any_log: bool) -> Look {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let message = if of_any_log { Message::of_any(line) } else { Message::of_console(line) };
        let text = &*message.text;
        if text.starts_with("---[ end ") {
            Look::End
        } else if text.starts_with(' ')
            || text.contains("+0x")
            || HEADS.iter().any(|head| text.starts_with(head))
        {
            Look::Report
        } else {
            Look::Prose
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: &str) -> Vec<(u64, u64)> {
        extents(log.as_bytes()).iter().map(|lines| (*lines.start(), *lines.end())).collect()
    }

    #[test]
    fn a_report_with_an_end_mark_ends_there() {
        let log = "<6>[    1.000000] Linux version 6.12\n\
                   <4>[    2.000000] ------------[ cut here ]------------\n\
                   <4>[    2.000001] WARNING: CPU: 0 PID: 1 at kernel/x.c:12 do_xyzzy+0x1c/0x60\n\
                   <4>[    2.000002] Modules linked in:\n\
                   <4>[    2.000003] RIP: 0010:do_xyzzy+0x1c/0x60\n\
                   <4>[    2.000004] Call Trace:\n\
                   <4>[    2.000005]  <TASK>\n\
                   <4>[    2.000006]  __x64_sys_xyzzy+0x1c/0x60\n\
                   <4>[    2.000007] ---[ end trace 0000000000000000 ]---\n\
                   <6>[    3.000000] nothing to see\n";
        assert_eq!(lines(log), [(3, 9)]);
    }

    #[test]
    fn a_report_without_one_ends_with_its_look() {
        let log = "[    2.000001] BUG: sleeping function called from invalid context at kernel/x.c:12\n\
                   [    2.000002] in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 73\n\
                   [    2.000003] Call Trace:\n\
                   [    2.000004]  __x64_sys_xyzzy+0x1c/0x60\n\
                   [    2.000005]  </TASK>\n\
                   [    3.000000] a line\n[    3.000001] a line\n[    3.000002] a line\n\
                   [    3.000003] a line\n[    3.000004] a line\n[    3.000005]  set in, but of no report";
        assert_eq!(lines(log), [(1, 5)]);
        assert_eq!(lines(""), []);
        assert_eq!(lines("[    2.000001] BUG: scheduling while atomic: a/1/0x00000002"), [(1, 1)]);
    }

    #[test]
    fn a_system_logs_columns_are_no_part_of_a_report() {
        let log = "Nov 28 04:15:06 host kernel: BUG: kernel NULL pointer dereference, address: 8\n\
                   Nov 28 04:15:06 host kernel: RIP: 0010:do_xyzzy+0x1c/0x60\n\
                   Nov 28 04:15:06 host kernel: Call Trace:\n\
                   Nov 28 04:15:06 host kernel:  __x64_sys_xyzzy+0x1c/0x60\n\
                   Nov 28 04:15:06 host kernel: ---[ end trace 0000000000000000 ]---\n\
                   Nov 28 04:15:07 host sshd[7]: well\n";
        let (scanner, lines) = extents_of_any_log(log.as_bytes());
        assert_eq!((scanner.findings().len(), lines), (1, vec![1..=5]));
    }

    #[test]
    fn each_finding_of_the_corpus_has_its_lines() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/console");
        for entry in std::fs::read_dir(folder).unwrap() {
            let log = std::fs::read(entry.unwrap().path()).unwrap();
            let mut scanner = Scanner::new();
            scanner.push(&log);
            scanner.finish();
            let first: Vec<u64> = scanner.findings().iter().map(|finding| finding.line).collect();
            let extents = extents(&log);
            assert_eq!(extents.iter().map(|lines| *lines.start()).collect::<Vec<_>>(), first);
            assert!(extents.iter().all(|lines| *lines.end() <= scanner.lines()));
        }
    }
}
