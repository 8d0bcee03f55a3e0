//! The kernel's console: what the kernel said was wrong.
//!
//! [`Scanner`] takes the console's bytes as they come, in any chunks, and keeps a bounded list of
//! [`Finding`]s. One report of the kernel is one finding, however many lines it has; a panic that
//! follows an oops is a second one. `table.rs` has the messages.
//!
//! A message is matched only at its beginning: after printk's time, level and caller. Hence a
//! program that prints `… Kernel panic …` is no finding. The limits of that:
//!
//! - A program that writes a kernel message at the start of a line, to the console or to
//!   `/dev/kmsg`, is believed. With `console_msg_format=syslog` on the kernel's command line, a
//!   record of `/dev/kmsg` has a facility of its own (`<12>`) and is not, unless it quotes a record
//!   of the kernel's whole (`<4>[    1.234567] …`), which could as well stand behind it.
//! - A message behind text without a newline (a shell's prompt) is found by printk's time alone,
//!   that is, not with `CONFIG_PRINTK_TIME=n`.
//! - Two CPUs that report at once may mix their lines; the later header then wins the body, unless
//!   `CONFIG_PRINTK_CALLER` tells them apart.
//! - A second `Linux version` banner counts as a reboot; the `keep_bootcon` and replay options of
//!   the kernel repeat it too.
//!
//! That is how the judge reads its own guests, where a missed fault would be a false pass.
//! [`Scanner::of_any_log`] reads what others recorded. It knows the columns of dmesg and of system
//! logs, and doubts what `origin.rs` shows not to be the kernel's: lines without the times that the
//! log's others have, programs' lines of a system log, an old report that a script shows, `dmesg`
//! in the console, a restart that the kernel announced. Its limits:
//!
//! - In a log without times everything at the start of a line is believed; in one with times, what
//!   a program writes to `/dev/kmsg`, or prints with a time that fits.
//! - An old report with times is known by the clock only in a log that has its boot's banner, and
//!   if the clock comes back. In doubt it is listed.
//! - Of a log that changes its dress half-way (a console's, then `dmesg -T` of it), the second part
//!   is taken for text, and its findings are those of the first.
//! - Only reports of the kernel on itself are listed: no errors of disks, file systems and buses,
//!   no machine checks, and no `WARNING:` that is a piece of advice.
//!
//! Nothing is shown that is not [sanitised](sanitize).

use std::ops::Range;

use serde::Serialize;

use crate::broken::broken_one;

mod derive;
mod extent;
mod kind;
mod message;
mod origin;
mod prefix;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use extent::{extents, extents_of_any_log};
pub use kind::Kind;
pub use text::{sanitize, sanitize_lines, tail};

use derive::{body_frame, body_task, header_frame, header_task, is_user_address, title};
use message::Message;
use origin::Origin;
use table::{BEFORE_WARN, Row, Title};

/// Bytes of a line that are kept. A printk record has at most 1 KiB and a prefix of 40.
const LINE_BYTES: usize = 2048;
/// What the kernel says first.
const BANNER: &str = "Linux version ";
/// Findings that are kept. Past some dozen, the rest only repeats the first.
const FINDINGS_MAX: usize = 256;
/// Notes of one kind that are kept, so that a flood of them leaves room for what is wrong.
const NOTES_MAX: usize = 32;
/// Further findings that are kept if they are fatal, so that a flood cannot hide the end.
const FATAL_SPARE: usize = 32;
/// Reports that come in at once, each from another caller: more CPUs seldom fail together.
const REPORTS_MAX: usize = 8;
/// Lines after which a report without an end mark is over. The longest, of lockdep, prints the
/// stacks of a chain of locks in a few hundred.
const REPORT_LINES: usize = 512;

/// One report of the kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What happened.
    pub kind: Kind,
    /// One line, without addresses, line numbers, pids and times: equal bugs have equal titles,
    /// also across kernels. At most about 200 characters.
    pub title: String,
    /// 1-based line of the console's stream at which the report begins.
    pub line: u64,
    /// That line, [sanitised](sanitize).
    pub text: String,
    /// The kernel's state is not worth testing from here on; the guest is to be ended.
    pub fatal: bool,
    /// Who was running, as `comm/pid`.
    pub task: Option<String>,
    /// The function at fault, where the report names it.
    pub frame: Option<String>,
    /// printk's time of the line, in seconds since the kernel started.
    pub at: Option<f64>,
}

impl Finding {
    /// The title with the function at fault, where that is known and not in it.
    pub fn whole_title(&self) -> String {
        match self.frame.as_deref().filter(|frame| !self.title.contains(*frame)) {
            Some(frame) => format!("{} in {frame}", self.title),
            None => self.title.clone(),
        }
    }

    /// See [`Kind::is_kernel_fault`].
    pub fn is_kernel_fault(&self) -> bool {
        self.kind.is_kernel_fault()
    }
}

/// How a message begins that this module knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// What it begins with.
    pub text: &'static str,
    /// What comes somewhere behind that.
    pub and: &'static str,
    /// It says that something is wrong; otherwise it only looks like one of those behind it.
    pub is_fault: bool,
}

/// The beginnings of messages that say that something is wrong, for readers that have nothing but
/// beginnings to go by: the first that fits counts. Notes, and what begins with the name of a task, are not
/// among them.
pub fn beginnings() -> Vec<Beginning> {
    let of_row = |row: &table::Row| match (row.anchor, row.kind) {
        (table::Anchor::Start, None) => Some(Beginning { text: row.text, and: row.and, is_fault: false }),
        (table::Anchor::Start, Some(kind)) if !kind.is_note() => {
            Some(Beginning { text: row.text, and: row.and, is_fault: true })
        }
        (table::Anchor::Die, _) => Some(Beginning { text: "", and: " [#", is_fault: true }),
        (table::Anchor::Start | table::Anchor::Task, _) => None,
    };
    table::ROWS.iter().filter_map(of_row).collect()
}

/// Reads a console as it grows. Memory is bounded: one line, and at most 288 findings.
#[derive(Debug, Default)]
pub struct Scanner {
    partial: Vec<u8>,
    lines: u64,
    findings: Vec<Finding>,
    left_out: u64,
    /// The reports whose lines are coming in: one, or one per caller where the lines name it.
    reports: Vec<Open>,
    /// Whether the first `Linux version` line had a time before it; `None` before it came.
    banner: Option<bool>,
    /// For a log that anybody wrote: tells the kernel's lines from others.
    origin: Option<Origin>,
}

/// A report whose lines are coming in.
#[derive(Debug)]
struct Open {
    at: usize,
    stage: u8,
    framed: bool,
    lines_left: usize,
    /// Who printed the header, where the lines say so: the others' are not of this report.
    caller: Option<Vec<u8>>,
    /// The faulting address is one that a program may have.
    user_address: bool,
    /// `read access`, `write access` or `instruction fetch`, by the kernel.
    access: Option<&'static str>,
}

impl Scanner {
    /// For the console of a guest of ours. Whatever has the form of a fault is believed to be one:
    /// a fault that is missed would be a false pass.
    pub fn new() -> Scanner {
        Scanner::default()
    }

    /// For a log that nobody here wrote: with the prefixes of dmesg and of system logs, and without
    /// what its other lines show not to be the kernel's. See the module's head.
    pub fn of_any_log() -> Scanner {
        Scanner { origin: Some(Origin::default()), ..Scanner::default() }
    }

    /// Takes the next bytes of the console. How they are cut into chunks makes no difference.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.partial.is_empty() {
                self.line(&rest[..end.min(LINE_BYTES)]);
            } else {
                self.extend_partial(&rest[..end]);
                self.end_partial();
            }
            rest = &rest[end + 1..];
        }
        self.extend_partial(rest);
    }

    /// The console is at its end: a last line without a newline is looked at too.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_partial();
        }
        let found = self.findings.len();
        if let Some(quoted) = self.origin.as_mut().and_then(|origin| origin.finish(found)) {
            self.take_back(quoted);
        }
        self.reports.clear();
    }

    /// What was found so far, in order. The last one may still gain a task, a frame and, with
    /// it, a longer title or a more exact kind. Of [any log](Scanner::of_any_log), a later line may
    /// show that what was found last was a quotation, and take it back.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings came after the list was full.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// How many lines were read.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The first finding that ended this boot.
    pub fn first_fatal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.fatal)
    }

    fn extend_partial(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_partial(&mut self) {
        let raw = std::mem::take(&mut self.partial);
        self.line(&raw);
        self.partial = raw;
        self.partial.clear();
    }

    fn line(&mut self, raw: &[u8]) {
        self.lines += 1;
        let plain;
        let message = match self.origin {
            Some(_) => {
                plain = message::without_escapes(raw);
                Message::of_any(&plain)
            }
            None => Message::of_console(raw),
        };
        if message.from_user {
            return;
        }
        let mut believed = true;
        if let Some(origin) = &mut self.origin {
            let seen = origin.see(&message, self.findings.len());
            believed = seen.believed;
            if let Some(quoted) = seen.quoted {
                self.take_back(quoted);
            }
        }
        let text = &*message.text;
        if believed && text.starts_with(BANNER) {
            self.banner(raw, &message);
            return;
        }
        match table::find(text).filter(|row| believed || row.unprinted) {
            Some(Row { kind: None, .. }) => {}
            Some(row) => self.header(row, raw, &message),
            None if believed => self.body(&message),
            None => {}
        }
    }

    /// What follows is no more of the report that is open.
    fn close(&mut self, message: &Message) {
        self.reports.retain(|open| !open.may_be_of(message));
    }

    fn take_back(&mut self, quoted: Range<usize>) {
        self.findings.drain(quoted);
        self.reports.clear();
    }

    fn banner(&mut self, raw: &[u8], message: &Message) {
        let timed = message.at.is_some();
        let first = self.banner.is_none();
        if *self.banner.get_or_insert(timed) != timed {
            return; // a program that prints /proc/version
        }
        let found = self.findings.len();
        let unexpected = match &mut self.origin {
            Some(origin) => origin.banner(message, first, found),
            None => !first,
        };
        if unexpected {
            let title = || "unexpected reboot: a second boot banner".to_owned();
            self.reports.clear();
            self.add(Kind::UnexpectedReboot, title, true, raw, message);
        }
    }

    fn header(&mut self, row: &Row, raw: &[u8], message: &Message) {
        let Some(kind) = row.kind.filter(|kind| !broken_one("finding", kind.as_str())) else { return };
        if self.extends(row, message) {
            self.body(message);
            return;
        }
        let text = &*message.text;
        let Some(at) = self.add(kind, || title(row, text), row.fatal, raw, message) else { return };
        self.findings[at].task = header_task(row, text);
        if row.body {
            self.close(message);
            if self.reports.len() == REPORTS_MAX {
                self.reports.remove(0);
            }
            self.reports.push(Open {
                at,
                stage: row.stage,
                framed: row.framed && row.title != Title::Warn,
                lines_left: REPORT_LINES,
                caller: message.caller.map(<[u8]>::to_vec),
                user_address: is_user_address(text),
                access: None,
            });
            self.findings[at].frame = header_frame(row, text);
        }
    }

    /// Whether a header continues the open report, which it then takes to its own stage.
    fn extends(&mut self, row: &Row, message: &Message) -> bool {
        let Some(open) = self.reports.iter_mut().rev().find(|open| open.may_be_of(message)) else {
            return false;
        };
        let finding = &mut self.findings[open.at];
        // Before Linux 4.15, what a WARN() is about comes behind its header.
        let header = open.lines_left == REPORT_LINES && finding.kind == Kind::Warning;
        if let Some(kind) = row.kind.filter(|kind| header && row.stage == 0 && BEFORE_WARN.contains(kind)) {
            (finding.kind, finding.title) = (kind, title(row, &message.text));
            return true;
        }
        if row.stage <= open.stage || !row.follows.contains(&finding.kind) {
            return false;
        }
        open.stage = row.stage;
        open.lines_left = REPORT_LINES;
        open.user_address |= is_user_address(&message.text);
        finding.fatal |= row.fatal;
        true
    }

    fn add(
        &mut self,
        kind: Kind,
        title: impl FnOnce() -> String,
        fatal: bool,
        raw: &[u8],
        message: &Message,
    ) -> Option<usize> {
        let max = FINDINGS_MAX + if fatal { FATAL_SPARE } else { 0 };
        let same = || self.findings.iter().filter(|finding| finding.kind == kind).count();
        if self.origin.is_some() && kind.is_note() && same() >= NOTES_MAX {
            return None;
        }
        if self.findings.len() >= max {
            self.left_out += 1;
            self.close(message);
            return None;
        }
        let end = raw.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        let text = sanitize(&raw[..end]);
        let (line, at) = (self.lines, message.at);
        let told = |finding: &Finding| at.is_some() && finding.at == at && finding.text == text;
        if self.origin.is_some() && self.findings.iter().any(told) {
            self.close(message); // the log was shown again, by dmesg
            return None;
        }
        let (task, frame) = (None, None);
        self.findings.push(Finding { kind, title: title(), line, text, fatal, task, frame, at });
        Some(self.findings.len() - 1)
    }

    /// A line that is no header may say more about the open report, or end it.
    fn body(&mut self, message: &Message) {
        let Some(at) = self.reports.iter().rposition(|open| open.may_be_of(message)) else { return };
        let open = &mut self.reports[at];
        let text = &*message.text;
        let finding = &mut self.findings[open.at];
        open.lines_left -= 1;
        if open.lines_left == 0 || text.starts_with("---[ end ") {
            self.reports.remove(at);
            return;
        }
        if let Some(access) = text.strip_prefix("#PF: supervisor ") {
            let of_kernel = access.strip_suffix(" in kernel mode");
            let known = ["read access", "write access", "instruction fetch"];
            open.access = known.into_iter().find(|access| of_kernel == Some(access));
        } else if text.starts_with("#PF: error_code(") && text.ends_with("permissions violation") {
            open.blame_user_memory(finding);
        } else if finding.task.is_none()
            && let Some(task) = body_task(text)
        {
            finding.task = Some(task);
        } else if finding.frame.is_none() {
            finding.frame = body_frame(finding.kind, text);
            if let Some(frame) = finding.frame.as_ref().filter(|_| open.framed) {
                finding.title = format!("{} in {frame}", finding.title);
            }
        }
    }
}

impl Open {
    /// Whether a line can belong to the report, as far as the callers tell.
    fn may_be_of(&self, message: &Message) -> bool {
        match (&self.caller, message.caller) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }

    /// A permissions violation at an address of user space is what SMAP and SMEP are for. (One on
    /// a page that is not present cannot be told from a wild pointer and stays an oops.)
    fn blame_user_memory(&self, finding: &mut Finding) {
        let Some(access) = self.access else { return };
        if finding.kind != Kind::Oops || !self.user_address {
            return;
        }
        if access == "instruction fetch" {
            finding.kind = Kind::SmepViolation;
            finding.title = "SMEP violation: kernel executed user memory".to_owned();
        } else {
            finding.kind = Kind::SmapViolation;
            finding.title = format!("SMAP violation: kernel {access} to user memory");
        }
    }
}
