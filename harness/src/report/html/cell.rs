//! One cell as its template takes it.

use super::console::Console;
use super::shown::Shown;
use super::{Logs, Mark, Room};
use crate::model::{Abi, CaseResult, Door, Verdict};
use crate::report::record::{CauseRecord, Durations, RecordedRecord, TransportRecord};
use crate::report::view::{CellView, Row};

/// Lines of one message that are shown.
const MESSAGE_LINES: usize = 40;
/// The agent stops counting there.
const COUNTED_MAX: u64 = 1000;

/// All that the page says of a cell.
pub(super) struct Cell {
    /// What ties it to its place in the matrix.
    pub(super) index: usize,
    pub(super) slug: Shown,
    pub(super) kernel: Shown,
    pub(super) label: Shown,
    pub(super) group: Shown,
    pub(super) abi: Abi,
    pub(super) mark: Mark,
    /// `17/19`, or what stands for it.
    pub(super) count: String,
    pub(super) total: Option<String>,
    pub(super) cause: Option<Because>,
    pub(super) also: Vec<Because>,
    pub(super) known: Vec<Known>,
    pub(super) attempts: Vec<Shown>,
    pub(super) findings: Vec<(Shown, Shown, u64)>,
    pub(super) bad: Cases,
    pub(super) good: Cases,
    pub(super) not_applicable: Vec<(Shown, Shown)>,
    pub(super) console: Option<Console>,
    /// Why there is none, or what else is to be said of it.
    pub(super) console_note: Option<String>,
    pub(super) tail: Vec<Shown>,
    pub(super) entries: Vec<Proof>,
    pub(super) recorded: Vec<Said>,
    pub(super) transports: Vec<Over>,
    pub(super) outcome: Option<Shown>,
    pub(super) stages: Vec<Stage>,
    pub(super) guest: Option<Shown>,
    pub(super) again: Option<Shown>,
    pub(super) argv: Option<Shown>,
    pub(super) logs: Option<Shown>,
}

/// A cause.
pub(super) struct Because {
    pub(super) kind: Shown,
    pub(super) text: Shown,
}

/// A known issue.
pub(super) struct Known {
    pub(super) text: Shown,
}

/// Some cases of a cell.
pub(super) struct Cases {
    pub(super) list: Vec<Case>,
    /// How many more there are.
    pub(super) more: usize,
}

/// One case.
pub(super) struct Case {
    pub(super) mark: Mark,
    pub(super) name: Shown,
    pub(super) message: Option<Shown>,
}

/// Entries into the kernel by one door.
pub(super) struct Proof {
    pub(super) abi: Abi,
    pub(super) door: String,
    pub(super) count: String,
    pub(super) own: bool,
}

/// What a selftest said on a control leg.
pub(super) struct Said {
    pub(super) text: Shown,
    pub(super) cases: Cases,
}

/// How the cell went over one transport.
pub(super) struct Over {
    pub(super) transport: &'static str,
    pub(super) mark: Mark,
    pub(super) passed: String,
    pub(super) times: [String; 3],
    pub(super) cause: Option<Shown>,
    pub(super) logs: Shown,
}

/// A part of a cell's time, as a bar: where it begins and how long it is, in thousandths of the whole.
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) at: u64,
    pub(super) width: u64,
    pub(super) time: String,
}

impl Cell {
    /// What is shown of a cell within `room`.
    pub(super) fn of(
        index: usize,
        row: &Row<'_>,
        cell: &CellView<'_>,
        logs: Logs,
        room: &mut Room,
        folder: &str,
    ) -> Cell {
        let lines = |text: &str| Shown::lines(text, MESSAGE_LINES);
        let because =
            |cause: &CauseRecord| Because { kind: Shown::line(&cause.kind), text: lines(&cause.text) };
        let is_bad = |case: &&CaseResult| case.verdict != Verdict::Pass;
        let (console, console_note) = console(cell, logs.console, room);
        let tail = if console.is_some() && cell.outcome.is_none() { &[] } else { cell.tail };
        Cell {
            index,
            slug: Shown::line(&cell.slug),
            kernel: Shown::line(row.kernel.as_str()),
            label: Shown::line(&row.label),
            group: Shown::line(row.group),
            abi: cell.abi,
            mark: Mark(cell.verdict),
            count: count(cell),
            total: (cell.durations.total_ms > 0).then(|| seconds(cell.durations.total_ms)),
            cause: cell.cause.map(because),
            also: cell.also.iter().map(because).collect(),
            known: cell.known.iter().map(|issue| Known { text: Shown::line(issue.to_string()) }).collect(),
            attempts: cell.attempts_in_words().iter().map(Shown::line).collect(),
            findings: cell
                .findings
                .iter()
                .map(|found| (Shown::line(&found.title), Shown::line(&found.kind), found.line))
                .collect(),
            bad: Cases::of(cell.cases.iter().filter(is_bad), room.cases),
            good: Cases::of(cell.cases.iter().filter(|case| !is_bad(case)), room.cases),
            not_applicable: cell
                .not_applicable
                .iter()
                .take(room.cases)
                .map(|case| (Shown::line(&case.name), lines(&case.reason)))
                .collect(),
            console,
            console_note,
            tail: tail.iter().map(Shown::line).collect(),
            entries: proof(cell),
            recorded: cell.recorded.iter().map(|said| said_of(said, room.cases)).collect(),
            transports: if cell.transports.len() > 1 {
                cell.transports.iter().map(|over| over_of(over, folder)).collect()
            } else {
                Vec::new()
            },
            outcome: cell.outcome.map(Shown::line),
            stages: stages(cell.durations),
            guest: cell.guest.map(guest),
            again: cell.again.as_deref().map(Shown::line),
            argv: logs.argv.as_deref().map(Shown::command),
            logs: (!cell.logs.is_empty()).then(|| Shown::line(format!("{folder}/{}", cell.logs))),
        }
    }

    /// What a line of the list has room for.
    pub(super) fn cause_line(&self) -> Option<Shown> {
        let text = self.cause.as_ref()?.text.to_string();
        Some(Shown::line(text.lines().next().unwrap_or_default()))
    }
}

impl Cases {
    fn of<'a>(cases: impl Iterator<Item = &'a CaseResult>, most: usize) -> Cases {
        let mut cases = cases.peekable();
        let list = cases.by_ref().take(most).map(|case| Case {
            mark: Mark(case.verdict),
            name: Shown::line(&case.name),
            message: case
                .message
                .as_deref()
                .map(str::trim_end)
                .filter(|message| !message.is_empty())
                .map(|message| Shown::lines(message, MESSAGE_LINES)),
        });
        let list = list.collect();
        Cases { list, more: cases.count() }
    }

    /// How many there are in all.
    pub(super) fn total(&self) -> usize {
        self.list.len() + self.more
    }
}

/// `17/19`; `exit 0` for a program whose status is all there is.
pub(super) fn count(cell: &CellView<'_>) -> String {
    match (cell.passed(), cell.verdict, cell.outcome) {
        ((_, 0), Verdict::Pass, Some(_)) => "exit 0".to_owned(),
        ((_, 0), ..) => String::new(),
        ((passed, total), ..) => format!("{passed}/{total}"),
    }
}

/// The console and what is to be said of it. The log is bounded when it is read; here it is what
/// the page has room for.
fn console(cell: &CellView<'_>, log: Option<Vec<u8>>, room: &mut Room) -> (Option<Console>, Option<String>) {
    let Some(log) = log else {
        let never = cell.logs.is_empty();
        return (None, (!never).then(|| "its log is not where the run left it".to_owned()));
    };
    if log.is_empty() {
        return (None, Some("the guest wrote nothing to it".to_owned()));
    }
    let most = if cell.verdict == Verdict::Pass { room.lines_of_pass } else { room.lines };
    let console = Console::of(&log, cell.findings, most);
    match room.bytes.checked_sub(console.bytes()) {
        Some(rest) => room.bytes = rest,
        None => return (None, Some("left out: this page has as much of consoles as it takes".to_owned())),
    }
    (Some(console), None)
}

fn proof(cell: &CellView<'_>) -> Vec<Proof> {
    let told = cell.entries.iter().filter(|entry| entry.count > 0 || entry.abi == cell.abi);
    told.map(|entry| Proof {
        abi: entry.abi,
        door: Door { arch: entry.arch, nr: entry.nr }.to_string(),
        count: format!("{}{}", entry.count, if entry.count >= COUNTED_MAX { " and more" } else { "" }),
        own: entry.abi == cell.abi,
    })
    .collect()
}

fn said_of(said: &RecordedRecord, most: usize) -> Said {
    let passed = said.cases.iter().filter(|case| case.verdict == Verdict::Pass).count();
    let counted = match said.cases.len() {
        0 => String::new(),
        total => format!(", {passed}/{total} cases passed"),
    };
    Said {
        text: Shown::line(format!("{} {}{counted}", said.program, said.outcome)),
        cases: Cases::of(said.cases.iter(), most),
    }
}

fn over_of(over: &TransportRecord, folder: &str) -> Over {
    let Durations { boot_ms, run_ms, total_ms } = over.durations;
    let (passed, total) = over.passed;
    Over {
        transport: over.transport.name(),
        mark: Mark(over.verdict),
        passed: format!("{passed}/{total}"),
        times: [boot_ms, run_ms, Some(total_ms)].map(|ms| ms.map_or("–".to_owned(), seconds)),
        cause: over.cause.as_ref().map(|cause| Shown::lines(&cause.text, MESSAGE_LINES)),
        logs: Shown::line(format!("{folder}/{}", over.logs)),
    }
}

fn stages(durations: Durations) -> Vec<Stage> {
    let Durations { boot_ms, run_ms, total_ms } = durations;
    let part = |ms: u64| ms.saturating_mul(1000) / total_ms.max(1);
    let mut at = 0;
    let mut stages = Vec::new();
    let rest = total_ms.saturating_sub(boot_ms.unwrap_or(0)).saturating_sub(run_ms.unwrap_or(0));
    for (name, ms) in [("boot", boot_ms), ("run", run_ms), ("the rest", Some(rest))] {
        let Some(ms) = ms.filter(|_| total_ms > 0) else { continue };
        stages.push(Stage { name, at: part(at), width: part(ms), time: seconds(ms) });
        at += ms;
    }
    stages
}

fn guest(guest: &crate::model::Hello) -> Shown {
    let has = |there, name| if there { format!(", {name}") } else { format!(", no {name}") };
    Shown::line(format!(
        "{} {} {}, {} processors, {} MiB{}{}, tainted {}",
        guest.machine,
        guest.release,
        guest.version,
        guest.cpus,
        guest.mem_kb / 1024,
        has(guest.smap, "SMAP"),
        has(guest.smep, "SMEP"),
        guest.tainted
    ))
}

pub(super) fn seconds(ms: u64) -> String {
    format!("{:.2} s", ms as f64 / 1000.0)
}
