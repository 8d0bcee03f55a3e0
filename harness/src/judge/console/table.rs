//! What the kernel says when something is wrong: one row per message.
//!
//! The texts are those of Linux 6.1 and 6.12 (`arch/x86/{mm/fault,kernel/traps,kernel/dumpstack}.c`,
//! `kernel/{panic,watchdog,hung_task,exit}.c`, `kernel/{sched/core,locking/lockdep,rcu/tree_stall}`,
//! `mm/{kasan,kmsan,kfence}/report.c`, `lib/{bug,ubsan,refcount,list_debug}.c` …). The first row
//! that matches wins, so that exceptions stand before the rule.

use super::Kind;

/// Where a row's text has to stand in the kernel's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its very beginning.
    Start,
    /// After the name of a task, which begins the message.
    Task,
    /// The message is a die header, `what: 0000 [#1]`; the row's text is not used.
    Die,
}

/// How the title is made from the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Title {
    /// It is this text.
    Text(&'static str),
    /// The message, normalised.
    Line,
    /// The message as it is.
    Exact,
    /// The message up to this text, normalised.
    UpTo(&'static str),
    /// `WARNING at FILE in FUNCTION`.
    Warn,
    /// What died: `general protection fault`.
    Die,
    /// `BUG cache: text` without the taint between them.
    Slab,
    /// This text and the name of the task.
    OfTask(&'static str),
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// `None`: it is known and means nothing.
    pub(super) kind: Option<Kind>,
    pub(super) anchor: Anchor,
    pub(super) text: &'static str,
    /// Has to come somewhere after `text`.
    pub(super) and: &'static str,
    pub(super) fatal: bool,
    pub(super) title: Title,
    /// The function at fault belongs to the title, as soon as a `RIP:` line names it.
    pub(super) framed: bool,
    /// Lines follow that belong to this report.
    pub(super) body: bool,
    /// One report may begin with several of these messages, in rising order of stages: a hint
    /// (0), what happened (1), the die header (2). A line extends the open report if that one
    /// is at an earlier stage and of one of the kinds in `follows`.
    pub(super) stage: u8,
    pub(super) follows: &'static [Kind],
}

const fn row(kind: Kind, text: &'static str, title: Title) -> Row {
    Row {
        kind: Some(kind),
        anchor: Anchor::Start,
        text,
        and: "",
        fatal: false,
        title,
        framed: false,
        body: true,
        stage: 1,
        follows: &[],
    }
}

impl Row {
    const fn and(mut self, and: &'static str) -> Row {
        self.and = and;
        self
    }

    const fn fatal(mut self) -> Row {
        self.fatal = true;
        self
    }

    const fn framed(mut self) -> Row {
        self.framed = true;
        self
    }

    const fn single(mut self) -> Row {
        self.body = false;
        self
    }

    const fn task(mut self) -> Row {
        self.anchor = Anchor::Task;
        self
    }

    const fn hint(mut self) -> Row {
        self.stage = 0;
        self
    }

    const fn after(mut self, stage: u8, follows: &'static [Kind]) -> Row {
        self.stage = stage;
        self.follows = follows;
        self
    }
}

const fn ignore(text: &'static str) -> Row {
    let mut row = row(Kind::Bug, text, Title::Line);
    row.kind = None;
    row
}

const DIE: Row = {
    let mut die = row(Kind::Oops, "", Title::Die).fatal().framed();
    die.anchor = Anchor::Die;
    die.after(
        2,
        &[
            Kind::Oops,
            Kind::SmapViolation,
            Kind::SmepViolation,
            Kind::Bug,
            Kind::ListCorruption,
            Kind::Usercopy,
            Kind::Cfi,
        ],
    )
};

const PANIC: &str = "Kernel panic - not syncing: ";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // The end of a boot.
    row(Kind::NoInit, "Kernel panic - not syncing: No working init found", Title::Text("Kernel panic: no working init found")).fatal(),
    row(Kind::NoInit, "Kernel panic - not syncing: VFS: Unable to mount root", Title::Text("Kernel panic: unable to mount root fs")).fatal(),
    row(Kind::NoInit, "Kernel panic - not syncing: Requested init ", Title::Exact).fatal(),
    row(Kind::InitDied, "Kernel panic - not syncing: Attempted to kill init!", Title::Exact).fatal(),
    row(Kind::Panic, PANIC, Title::Line).fatal(),
    row(Kind::Panic, "PANIC: early exception ", Title::Text("PANIC: early exception")).fatal(),
    row(Kind::NoInit, "Initramfs unpacking failed: ", Title::Line).single(),
    row(Kind::NoInit, "Failed to execute /", Title::Exact).single(),

    // Exceptions. A hint, then what happened, then the die header.
    row(Kind::SmepViolation, "unable to execute userspace code (SMEP?)", Title::Text("SMEP violation: kernel executed user memory")).fatal().hint(),
    row(Kind::Oops, "kernel tried to execute NX-protected page", Title::Text("kernel tried to execute NX-protected page")).fatal().hint(),
    row(Kind::Oops, "BUG: kernel NULL pointer dereference", Title::Text("BUG: kernel NULL pointer dereference")).fatal().framed().after(1, &[Kind::Oops, Kind::SmepViolation]),
    row(Kind::Oops, "BUG: unable to handle kernel NULL pointer dereference", Title::Text("BUG: kernel NULL pointer dereference")).fatal().framed(),
    row(Kind::Oops, "BUG: unable to handle page fault", Title::Text("BUG: unable to handle page fault")).fatal().framed().after(1, &[Kind::Oops, Kind::SmepViolation]),
    row(Kind::Oops, "BUG: unable to handle kernel paging request", Title::Text("BUG: unable to handle page fault")).fatal().framed(),
    row(Kind::Oops, "BUG: ", Title::Text("BUG: stack guard page was hit")).and(" stack guard page was hit").fatal().framed(),
    row(Kind::Oops, "traps: PANIC: double fault", Title::Text("double fault")).fatal().framed(),
    row(Kind::Oops, "PANIC: double fault", Title::Text("double fault")).fatal().framed(),
    row(Kind::Oops, ": Corrupted page table at address ", Title::Text("corrupted page table")).fatal().framed().task(),
    row(Kind::Oops, "Unable to handle kernel ", Title::UpTo(" at virtual address")).fatal().framed(),
    row(Kind::Oops, "Oops [#", Title::Text("Oops")).fatal().framed().after(2, &[Kind::Oops]),
    row(Kind::Bug, "kernel BUG at ", Title::UpTo("!")).fatal().framed().after(1, &[Kind::ListCorruption, Kind::Usercopy, Kind::Cfi]),
    row(Kind::Bug, "Kernel BUG at ", Title::UpTo(" [verbose")).fatal().after(1, &[Kind::ListCorruption, Kind::Usercopy, Kind::Cfi]),
    row(Kind::Cfi, "CFI failure at ", Title::UpTo(" (")).hint(),
    row(Kind::Cfi, "Missing ENDBR: ", Title::Line).hint(),
    DIE,

    // Nobody gets on.
    row(Kind::SoftLockup, "watchdog: BUG: soft lockup", Title::Text("BUG: soft lockup")).framed(),
    row(Kind::SoftLockup, "BUG: soft lockup", Title::Text("BUG: soft lockup")).framed(),
    row(Kind::HardLockup, "watchdog: Watchdog detected hard LOCKUP", Title::Text("hard lockup")).fatal().framed(),
    row(Kind::HardLockup, "NMI watchdog: Watchdog detected hard LOCKUP", Title::Text("hard lockup")).fatal().framed(),
    row(Kind::HardLockup, "Watchdog detected hard LOCKUP", Title::Text("hard lockup")).fatal().framed(),
    row(Kind::RcuStall, "rcu: INFO: ", Title::Text("INFO: rcu stall")).and(" stall").framed(),
    row(Kind::RcuStall, "INFO: rcu", Title::Text("INFO: rcu stall")).and(" stall").framed(),
    row(Kind::HungTask, "INFO: task ", Title::Text("INFO: task blocked for too long")).and(" blocked "),
    row(Kind::WorkqueueLockup, "BUG: workqueue lockup", Title::Text("BUG: workqueue lockup")),

    // Locks and contexts.
    row(Kind::SleepInAtomic, "BUG: sleeping function called from invalid context", Title::Line),
    row(Kind::ScheduleWhileAtomic, "BUG: scheduling while atomic", Title::Text("BUG: scheduling while atomic")),
    row(Kind::ScheduleWhileAtomic, "BUG: scheduling in a non-blocking section", Title::Text("BUG: scheduling in a non-blocking section")),
    row(Kind::Spinlock, "BUG: spinlock ", Title::UpTo(" on CPU")),
    row(Kind::Spinlock, "BUG: rwlock ", Title::UpTo(" on CPU")),
    row(Kind::Lockdep, "WARNING: possible circular locking dependency detected", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: possible recursive locking detected", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: possible irq lock inversion dependency detected", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: inconsistent lock state", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: bad unlock balance detected", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: bad contention detected", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: held lock freed", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: lock held when returning to user space", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: suspicious RCU usage", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: Nested lock was not taken", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: chain_key collision", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: ", Title::UpTo("!")).and("-unsafe lock order detected").framed(),
    row(Kind::Lockdep, "WARNING: ", Title::Text("WARNING: task still has locks held")).and(" still has locks held").framed(),
    row(Kind::Lockdep, "[ BUG: Invalid wait context ]", Title::Text("BUG: Invalid wait context")).framed(),
    row(Kind::Lockdep, "INFO: trying to register non-static key", Title::UpTo("!")).framed(),
    row(Kind::LockdepOff, "BUG: MAX_LOCKDEP_", Title::Line).single(),
    row(Kind::LockdepOff, "BUG: MAX_LOCK_DEPTH too low", Title::Line).single(),
    row(Kind::LockdepOff, "BUG: MAX_STACK_TRACE_ENTRIES too low", Title::Line).single(),
    ignore("INFO: lockdep is turned off"), // a remark inside other reports, long after the cause

    // Memory.
    row(Kind::Kasan, "BUG: KASAN: ", Title::Line),
    row(Kind::Kcsan, "BUG: KCSAN: ", Title::Line),
    row(Kind::Kmsan, "BUG: KMSAN: ", Title::Line),
    row(Kind::Kfence, "BUG: KFENCE: ", Title::Line),
    row(Kind::Ubsan, "UBSAN: ", Title::Line),
    row(Kind::Refcount, "refcount_t: ", Title::Line).hint(),
    row(Kind::ListCorruption, "list_add corruption", Title::Line).hint(),
    row(Kind::ListCorruption, "list_add double add", Title::UpTo(":")).hint(),
    row(Kind::ListCorruption, "list_del corruption", Title::Line).hint(),
    row(Kind::SlabCorruption, "BUG ", Title::Slab).and("ainted"),
    row(Kind::SlabCorruption, "pagealloc: memory corruption", Title::Line),
    row(Kind::SlabCorruption, "pagealloc: single bit error", Title::Line),
    row(Kind::Usercopy, "usercopy: Kernel memory ", Title::UpTo(" (offset")).hint(),
    row(Kind::DebugObjects, "ODEBUG: ", Title::Line).and("object").hint(),
    ignore("BUG: Bad page state: "), // "12 messages suppressed"
    ignore("BUG: Bad page map: "),
    row(Kind::BadPage, "BUG: Bad page state in process", Title::Text("BUG: Bad page state")),
    row(Kind::BadPage, "BUG: Bad page map in process", Title::Text("BUG: Bad page map")),
    row(Kind::BadPage, "BUG: Bad rss-counter state", Title::Text("BUG: Bad rss-counter state")),
    row(Kind::BadPage, "BUG: non-zero pgtables_bytes on freeing mm", Title::Text("BUG: non-zero pgtables_bytes on freeing mm")),
    row(Kind::Kmemleak, "kmemleak: ", Title::Text("kmemleak: new suspected memory leaks")).and(" new suspected memory leaks").single(),

    // Warnings, and what is left of BUG.
    row(Kind::Warning, "WARNING: CPU: ", Title::Warn).framed().after(1, &[Kind::Refcount, Kind::ListCorruption, Kind::DebugObjects, Kind::Cfi]),
    row(Kind::Warning, "WARNING: ", Title::Warn).and(", CPU#").framed().after(1, &[Kind::Refcount, Kind::ListCorruption, Kind::DebugObjects, Kind::Cfi]),
    row(Kind::Bug, "BUG: using ", Title::UpTo(" in preemptible")),
    row(Kind::Bug, "BUG: ", Title::Line),

    // Not the kernel's fault, but a reader wants to know.
    row(Kind::OutOfMemory, " invoked oom-killer: ", Title::Text("out of memory")).task().hint(),
    row(Kind::OutOfMemory, "Out of memory: Killed process ", Title::Text("out of memory")).after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, "Out of memory and no killable processes", Title::Text("out of memory")).after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, "Memory cgroup out of memory: Killed process ", Title::Text("memory cgroup out of memory")).after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, ": page allocation failure: order:", Title::Text("page allocation failure")).task(),
    row(Kind::Segfault, ": segfault at ", Title::OfTask("segfault of ")).task().single(),
    row(Kind::Segfault, " general protection fault ip:", Title::OfTask("general protection fault of ")).task().single(),
    row(Kind::Segfault, " trap ", Title::OfTask("trap of ")).and(" ip:").task().single(),
    row(Kind::MsrAccess, "unchecked MSR access error: ", Title::UpTo(" at rIP")),
    row(Kind::TscLost, "tsc: Marking TSC unstable due to could not calculate TSC khz", Title::Exact).single(),
    row(Kind::X32Disabled, "Disabled x32 syscalls", Title::Exact).single(),
    row(Kind::MessagesDropped, "** ", Title::Text("printk messages dropped")).and(" printk messages dropped **").single(),
];
