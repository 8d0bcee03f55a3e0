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
//!   record of `/dev/kmsg` has a facility of its own (`<12>`) and is not.
//! - A message behind text without a newline (a shell's prompt) is found by printk's time alone,
//!   that is, not with `CONFIG_PRINTK_TIME=n`.
//! - Two CPUs that report at once may mix their lines; the later header then wins the body.
//! - A second `Linux version` banner counts as a reboot; the `keep_bootcon` and replay options of
//!   the kernel repeat it too.
//!
//! Nothing is unescaped or stripped before it is matched, and nothing is shown that is not
//! [sanitised](sanitize).

use serde::Serialize;

use crate::broken::broken_one;

mod derive;
mod message;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use text::{sanitize, sanitize_lines, tail};

use derive::{body_frame, cpu_line_task, header_frame, header_task, is_user_address, matches, title};
use message::Message;
use table::{ROWS, Row, Title};

/// Bytes of a line that are kept. A printk record has at most 1 KiB and a prefix of 40.
const LINE_BYTES: usize = 2048;
/// Findings that are kept. Past some dozen, the rest only repeats the first.
const FINDINGS_MAX: usize = 256;
/// Further findings that are kept if they are fatal, so that a flood cannot hide the end.
const FATAL_SPARE: usize = 32;
/// Lines after which a report without an end mark is over. The longest, of lockdep, prints the
/// stacks of a chain of locks in a few hundred.
const REPORT_LINES: usize = 512;

/// What happened, in the order of the table's sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `Kernel panic`, other than the two below.
    Panic,
    /// No root file system or no init: the image or the command line is at fault.
    NoInit,
    /// Process 1 ended.
    InitDied,
    /// A second banner: the machine was reset.
    UnexpectedReboot,
    /// An exception in the kernel: page fault, general protection, double fault …
    Oops,
    /// The kernel read or wrote user memory without leave (a missing `copy_from_user`).
    SmapViolation,
    /// The kernel executed user memory.
    SmepViolation,
    /// `BUG()`, and every `BUG:` that has no kind of its own.
    Bug,
    /// An indirect call to the wrong type, or to no entry point.
    Cfi,
    /// A CPU does not leave the kernel.
    SoftLockup,
    /// A CPU does not take interrupts.
    HardLockup,
    /// An RCU grace period does not end.
    RcuStall,
    /// A task does not leave uninterruptible sleep.
    HungTask,
    /// A workqueue does not get on.
    WorkqueueLockup,
    /// A sleeping function was called where it may not.
    SleepInAtomic,
    /// `schedule()` with preemption off.
    ScheduleWhileAtomic,
    /// A damaged or misused spinlock.
    Spinlock,
    /// The locking validator, RCU's checks included.
    Lockdep,
    /// The locking validator ran out of tables and turned itself off: a later silence of it
    /// proves nothing.
    LockdepOff,
    /// The address sanitizer.
    Kasan,
    /// The concurrency sanitizer.
    Kcsan,
    /// The memory sanitizer.
    Kmsan,
    /// The sampling memory checker.
    Kfence,
    /// Undefined behaviour.
    Ubsan,
    /// A reference counter over- or underflowed.
    Refcount,
    /// A list is damaged.
    ListCorruption,
    /// An object or page was written to when it should not have been.
    SlabCorruption,
    /// Hardened usercopy refused a copy.
    Usercopy,
    /// Debug objects: a timer or work item was freed while active, and such.
    DebugObjects,
    /// Page tables or counters of memory are wrong.
    BadPage,
    /// Suspected leaks.
    Kmemleak,
    /// `WARN()`
    Warning,
    /// Memory ran out.
    OutOfMemory,
    /// A program was killed by a fault of its own.
    Segfault,
    /// A model-specific register that this (virtual) CPU does not have.
    MsrAccess,
    /// The clock could not be calibrated: under QEMU's microvm with TCG, boots stop there.
    TscLost,
    /// x32 system calls were turned off on the command line.
    X32Disabled,
    /// The console was too slow: messages are missing, and with them maybe findings.
    MessagesDropped,
}

impl Kind {
    /// Whether the kernel, and not the image, the host, a program or the size of the guest, is
    /// what is wrong.
    pub fn is_kernel_fault(self) -> bool {
        match self {
            Kind::NoInit
            | Kind::InitDied
            | Kind::LockdepOff
            | Kind::OutOfMemory
            | Kind::Segfault
            | Kind::MsrAccess
            | Kind::TscLost
            | Kind::X32Disabled
            | Kind::MessagesDropped => false,
            Kind::Panic
            | Kind::UnexpectedReboot
            | Kind::Oops
            | Kind::SmapViolation
            | Kind::SmepViolation
            | Kind::Bug
            | Kind::Cfi
            | Kind::SoftLockup
            | Kind::HardLockup
            | Kind::RcuStall
            | Kind::HungTask
            | Kind::WorkqueueLockup
            | Kind::SleepInAtomic
            | Kind::ScheduleWhileAtomic
            | Kind::Spinlock
            | Kind::Lockdep
            | Kind::Kasan
            | Kind::Kcsan
            | Kind::Kmsan
            | Kind::Kfence
            | Kind::Ubsan
            | Kind::Refcount
            | Kind::ListCorruption
            | Kind::SlabCorruption
            | Kind::Usercopy
            | Kind::DebugObjects
            | Kind::BadPage
            | Kind::Kmemleak
            | Kind::Warning => true,
        }
    }

    /// The word for reports: `oops`, `soft-lockup` …
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Panic => "panic",
            Kind::NoInit => "no-init",
            Kind::InitDied => "init-died",
            Kind::UnexpectedReboot => "unexpected-reboot",
            Kind::Oops => "oops",
            Kind::SmapViolation => "smap-violation",
            Kind::SmepViolation => "smep-violation",
            Kind::Bug => "bug",
            Kind::Cfi => "cfi",
            Kind::SoftLockup => "soft-lockup",
            Kind::HardLockup => "hard-lockup",
            Kind::RcuStall => "rcu-stall",
            Kind::HungTask => "hung-task",
            Kind::WorkqueueLockup => "workqueue-lockup",
            Kind::SleepInAtomic => "sleep-in-atomic",
            Kind::ScheduleWhileAtomic => "schedule-while-atomic",
            Kind::Spinlock => "spinlock",
            Kind::Lockdep => "lockdep",
            Kind::LockdepOff => "lockdep-off",
            Kind::Kasan => "kasan",
            Kind::Kcsan => "kcsan",
            Kind::Kmsan => "kmsan",
            Kind::Kfence => "kfence",
            Kind::Ubsan => "ubsan",
            Kind::Refcount => "refcount",
            Kind::ListCorruption => "list-corruption",
            Kind::SlabCorruption => "slab-corruption",
            Kind::Usercopy => "usercopy",
            Kind::DebugObjects => "debug-objects",
            Kind::BadPage => "bad-page",
            Kind::Kmemleak => "kmemleak",
            Kind::Warning => "warning",
            Kind::OutOfMemory => "out-of-memory",
            Kind::Segfault => "segfault",
            Kind::MsrAccess => "msr-access",
            Kind::TscLost => "tsc-lost",
            Kind::X32Disabled => "x32-disabled",
            Kind::MessagesDropped => "messages-dropped",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

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

/// Reads a console as it grows. Memory is bounded: one line, and at most 288 findings.
#[derive(Debug, Default)]
pub struct Scanner {
    partial: Vec<u8>,
    lines: u64,
    findings: Vec<Finding>,
    left_out: u64,
    report: Option<Open>,
    /// Whether the first `Linux version` line had a time before it; `None` before it came.
    banner: Option<bool>,
}

/// The report whose lines are coming in; it is the last finding that is not a single line.
#[derive(Debug)]
struct Open {
    at: usize,
    stage: u8,
    framed: bool,
    lines_left: usize,
    /// The faulting address is one that a program may have.
    user_address: bool,
    /// `read access`, `write access` or `instruction fetch`, by the kernel.
    access: Option<&'static str>,
}

impl Scanner {
    /// Nothing read yet.
    pub fn new() -> Scanner {
        Scanner::default()
    }

    /// Takes the next bytes of the console. How they are cut into chunks makes no difference.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend_partial(&rest[..end]);
            rest = &rest[end + 1..];
            self.end_line();
        }
        self.extend_partial(rest);
    }

    /// The console is at its end: a last line without a newline is looked at too.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
        self.report = None;
    }

    /// What was found so far, in order. The last one may still gain a task, a frame and, with
    /// it, a longer title or a more exact kind.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings came after the list was full.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The first finding that ended this boot.
    pub fn first_fatal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.fatal)
    }

    fn extend_partial(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        self.lines += 1;
        let raw = std::mem::take(&mut self.partial);
        self.line(&raw);
        self.partial = raw;
        self.partial.clear();
    }

    fn line(&mut self, raw: &[u8]) {
        let message = Message::of(raw);
        if message.from_user {
            return;
        }
        if message.text.starts_with("Linux version ") {
            self.banner(raw, &message);
            return;
        }
        match ROWS.iter().find(|row| matches(row, &message.text)) {
            Some(Row { kind: None, .. }) => {}
            Some(row) => self.header(row, raw, &message),
            None => self.body(&message.text),
        }
    }

    fn banner(&mut self, raw: &[u8], message: &Message) {
        let timed = message.at.is_some();
        match self.banner {
            None => self.banner = Some(timed),
            Some(first) if first == timed => {
                let title = "unexpected reboot: a second boot banner".to_owned();
                self.report = None;
                self.add(Kind::UnexpectedReboot, title, true, raw, message);
            }
            Some(_) => {} // a program that prints /proc/version
        }
    }

    fn header(&mut self, row: &Row, raw: &[u8], message: &Message) {
        let Some(kind) = row.kind.filter(|kind| !broken_one("finding", kind.as_str())) else { return };
        if self.extends(row, &message.text) {
            self.body(&message.text);
            return;
        }
        let Some(at) = self.add(kind, title(row, &message.text), row.fatal, raw, message) else {
            return;
        };
        self.findings[at].task = header_task(row, &message.text);
        if row.body {
            self.report = Some(Open {
                at,
                stage: row.stage,
                framed: row.framed && row.title != Title::Warn,
                lines_left: REPORT_LINES,
                user_address: is_user_address(&message.text),
                access: None,
            });
            self.findings[at].frame = header_frame(row, &message.text);
        }
    }

    /// Whether a header continues the open report, which it then takes to its own stage.
    fn extends(&mut self, row: &Row, text: &str) -> bool {
        let Some(open) = &mut self.report else { return false };
        let finding = &mut self.findings[open.at];
        if row.stage <= open.stage || !row.follows.contains(&finding.kind) {
            return false;
        }
        open.stage = row.stage;
        open.lines_left = REPORT_LINES;
        open.user_address |= is_user_address(text);
        finding.fatal |= row.fatal;
        true
    }

    fn add(
        &mut self,
        kind: Kind,
        title: String,
        fatal: bool,
        raw: &[u8],
        message: &Message,
    ) -> Option<usize> {
        let max = FINDINGS_MAX + if fatal { FATAL_SPARE } else { 0 };
        if self.findings.len() >= max {
            self.left_out += 1;
            self.report = None;
            return None;
        }
        let end = raw.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        let text = sanitize(&raw[..end]);
        let (task, frame) = (None, None);
        let (line, at) = (self.lines, message.at);
        self.findings.push(Finding { kind, title, line, text, fatal, task, frame, at });
        Some(self.findings.len() - 1)
    }

    /// A line that is no header may say more about the open report, or end it.
    fn body(&mut self, text: &str) {
        let Some(open) = &mut self.report else { return };
        let finding = &mut self.findings[open.at];
        open.lines_left -= 1;
        if open.lines_left == 0 || text.starts_with("---[ end ") {
            self.report = None;
            return;
        }
        if let Some(access) = text.strip_prefix("#PF: supervisor ") {
            let of_kernel = access.strip_suffix(" in kernel mode");
            let known = ["read access", "write access", "instruction fetch"];
            open.access = known.into_iter().find(|access| of_kernel == Some(access));
        } else if text.starts_with("#PF: error_code(") && text.ends_with("permissions violation") {
            open.blame_user_memory(finding);
        } else if finding.task.is_none() && text.starts_with("CPU: ") {
            finding.task = cpu_line_task(text);
        } else if finding.frame.is_none() {
            finding.frame = body_frame(finding.kind, text);
            if let Some(frame) = finding.frame.as_ref().filter(|_| open.framed) {
                finding.title = format!("{} in {frame}", finding.title);
            }
        }
    }
}

impl Open {
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
