//! What the kernel says when something is wrong: one row per message.
//!
//! The texts are those of Linux 3.x to 6.x (`arch/*/{mm/fault,kernel/traps}.c`,
//! `kernel/{panic,watchdog,hung_task,exit}.c`, `kernel/{sched/core,locking/lockdep,rcu/tree_stall}`,
//! `mm/{kasan,kmsan,kfence}/report.c`, `lib/{bug,ubsan,refcount,list_debug}.c` …). The first row
//! that matches wins, so that exceptions stand before the rule. [`find`] looks at no row for most
//! lines: the first three bytes tell.

use super::Kind;
use super::derive::{COMM_BYTES, matches};

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
    /// What stands in the brackets: `[ INFO: suspicious RCU usage. ]`.
    Bracket,
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
    /// It comes without printk's columns even where all else has them.
    pub(super) unprinted: bool,
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
        unprinted: false,
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

    const fn unprinted(mut self) -> Row {
        self.unprinted = true;
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

/// What is said of a `BUG()` before its header, and of a `WARN()`.
const BEFORE_BUG: &[Kind] = &[Kind::ListCorruption, Kind::Usercopy, Kind::Cfi, Kind::Bug];
pub(super) const BEFORE_WARN: &[Kind] = &[
    Kind::Refcount,
    Kind::ListCorruption,
    Kind::DebugObjects,
    Kind::Cfi,
    Kind::Usercopy,
    Kind::SlabCorruption,
];

const PANIC: &str = "Kernel panic - not syncing: ";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Faults of programs, before all others: a program may be called `BUG: x`.
    row(Kind::Segfault, ": segfault at ", Title::OfTask("segfault of ")).task().single(),
    row(Kind::Segfault, ": segfault (", Title::OfTask("segfault of ")).task().single(),
    row(Kind::Segfault, " general protection fault ip:", Title::OfTask("general protection fault of ")).task().single(),
    row(Kind::Segfault, " general protection ip:", Title::OfTask("general protection fault of ")).task().single(),
    row(Kind::Segfault, " trap ", Title::OfTask("trap of ")).and(" ip:").task().single(),
    row(Kind::Segfault, ": unhandled ", Title::OfTask("unhandled fault of ")).task().single(),
    row(Kind::Segfault, ": bad frame in ", Title::OfTask("bad signal frame of ")).task().single(),

    // The end of a boot.
    row(Kind::NoInit, "Kernel panic - not syncing: No working init found", Title::Text("Kernel panic: no working init found")).fatal(),
    row(Kind::NoInit, "Kernel panic - not syncing: VFS: Unable to mount root", Title::Text("Kernel panic: unable to mount root fs")).fatal(),
    row(Kind::NoInit, "Kernel panic - not syncing: Requested init ", Title::Exact).fatal(),
    row(Kind::InitDied, "Kernel panic - not syncing: Attempted to kill init!", Title::Exact).fatal(),
    row(Kind::Panic, PANIC, Title::Line).fatal(),
    row(Kind::Panic, "PANIC: early exception ", Title::Text("PANIC: early exception")).fatal().unprinted(),
    row(Kind::NoInit, "Initramfs unpacking failed: ", Title::Line).single(),
    row(Kind::NoInit, "Failed to execute /", Title::Exact).single(),

    // Exceptions. A hint, then what happened, then the die header.
    row(Kind::SmepViolation, "unable to execute userspace code (SMEP?)", Title::Text("SMEP violation: kernel executed user memory")).fatal().hint(),
    row(Kind::Oops, "kernel tried to execute NX-protected page", Title::Text("kernel tried to execute NX-protected page")).fatal().hint(),
    row(Kind::Oops, "BUG: kernel NULL pointer dereference", Title::Text("BUG: kernel NULL pointer dereference")).fatal().framed().after(1, &[Kind::Oops, Kind::SmepViolation]),
    row(Kind::Oops, "BUG: unable to handle kernel NULL pointer dereference", Title::Text("BUG: kernel NULL pointer dereference")).fatal().framed().after(1, &[Kind::Oops, Kind::SmepViolation]),
    row(Kind::Oops, "BUG: unable to handle page fault", Title::Text("BUG: unable to handle page fault")).fatal().framed().after(1, &[Kind::Oops, Kind::SmepViolation]),
    row(Kind::Oops, "BUG: unable to handle kernel paging request", Title::Text("BUG: unable to handle page fault")).fatal().framed().after(1, &[Kind::Oops, Kind::SmepViolation]),
    row(Kind::SmapViolation, "BUG: unable to handle kernel access to user memory", Title::Text("SMAP violation: kernel access to user memory")).fatal().framed(),
    row(Kind::Oops, "BUG: unable to handle ", Title::UpTo(" at ")).fatal().framed(),
    row(Kind::Oops, "BUG: Unable to handle ", Title::UpTo(" at ")).fatal().framed().after(1, &[Kind::Oops]),
    row(Kind::Oops, "BUG: Kernel NULL pointer dereference", Title::Text("BUG: kernel NULL pointer dereference")).fatal().framed().after(1, &[Kind::Oops]),
    row(Kind::Oops, "Kernel attempted to ", Title::UpTo(" (")).and("exploit attempt?").fatal().hint(),
    row(Kind::Oops, "kernel tried to exec", Title::UpTo(" (")).and("exploit attempt?").fatal().hint(),
    row(Kind::Oops, "BUG: ", Title::Text("BUG: stack guard page was hit")).and("stack guard page was hit").fatal().framed(),
    row(Kind::Oops, "traps: PANIC: double fault", Title::Text("double fault")).fatal().framed(),
    row(Kind::Oops, "PANIC: double fault", Title::Text("double fault")).fatal().framed(),
    row(Kind::Oops, ": Corrupted page table at address ", Title::Text("corrupted page table")).fatal().framed().task(),
    row(Kind::SmapViolation, "Unable to handle kernel access to user memory", Title::Text("SMAP violation: kernel access to user memory")).fatal().framed(),
    row(Kind::Oops, "Unable to handle kernel ", Title::UpTo(" at virtual address")).fatal().framed(),
    row(Kind::Oops, "CPU ", Title::Text("Unable to handle kernel paging request")).and(" Unable to handle kernel ").fatal().framed(),
    row(Kind::Oops, "Unhandled fault: ", Title::UpTo(" (0x")).framed().hint(),
    row(Kind::Oops, "Unhandled prefetch abort: ", Title::UpTo(" (0x")).framed().hint(),
    row(Kind::Oops, "Unexpected kernel ", Title::Line).framed().hint(),
    row(Kind::Oops, "Bad mode in ", Title::UpTo(" detected")).fatal().framed().hint(),
    row(Kind::Oops, "SError Interrupt on CPU", Title::Text("SError interrupt")).fatal().framed(),
    row(Kind::Oops, "Insufficient stack space to handle exception", Title::Text("kernel stack overflow")).fatal().framed(),
    row(Kind::Oops, "Kernel stack overflow", Title::Text("kernel stack overflow")).fatal().framed(),
    row(Kind::Oops, "Kernel Fault: Code=", Title::UpTo(" at ")).fatal().framed(),
    row(Kind::Oops, "Oops [#", Title::Text("Oops")).fatal().framed().after(2, &[Kind::Oops, Kind::SmapViolation, Kind::Bug]),
    row(Kind::Bug, "rust_kernel: panicked at ", Title::Line).hint(),
    row(Kind::Bug, "kernel BUG at ", Title::UpTo("!")).fatal().framed().after(1, BEFORE_BUG),
    row(Kind::Bug, "Kernel BUG at ", Title::UpTo(" [verbose")).fatal().after(1, BEFORE_BUG),
    row(Kind::Cfi, "CFI failure", Title::UpTo(" (")).hint(),
    row(Kind::Cfi, "Missing ENDBR: ", Title::Line).hint(),
    row(Kind::Cfi, "traps: Missing ENDBR: ", Title::Line).hint(),
    DIE,
    row(Kind::Oops, "Oops: 0", Title::Text("Oops")).fatal().framed().after(2, &[Kind::Oops]),

    // Nobody gets on.
    row(Kind::SoftLockup, "watchdog: BUG: soft lockup", Title::Text("BUG: soft lockup")).framed(),
    row(Kind::SoftLockup, "BUG: soft lockup", Title::Text("BUG: soft lockup")).framed(),
    row(Kind::HardLockup, "watchdog: ", Title::Text("hard lockup")).and("etected hard LOCKUP").fatal().framed(),
    row(Kind::HardLockup, "watchdog: CPU ", Title::Text("hard lockup")).and(" Hard LOCKUP").fatal().framed().after(2, &[Kind::HardLockup]),
    row(Kind::HardLockup, "NMI watchdog: ", Title::Text("hard lockup")).and("etected hard LOCKUP").fatal().framed(),
    row(Kind::HardLockup, "Watchdog detected hard LOCKUP", Title::Text("hard lockup")).fatal().framed(),
    row(Kind::HardLockup, "BUG: NMI Watchdog detected LOCKUP", Title::Text("hard lockup")).fatal().framed(),
    row(Kind::SoftLockup, "NMI watchdog: BUG: soft lockup", Title::Text("BUG: soft lockup")).framed(),
    row(Kind::SoftLockup, "smp: csd: Detected non-responsive CSD lock", Title::Text("non-responsive CSD lock")),
    row(Kind::RcuStall, "rcu: INFO: ", Title::Text("INFO: rcu stall")).and(" stall").framed(),
    row(Kind::RcuStall, "INFO: rcu", Title::Text("INFO: rcu stall")).and(" stall").framed(),
    ignore("INFO: task ").and(" is blocked on a "), // more of the report before it
    row(Kind::HungTask, "INFO: task ", Title::Text("INFO: task can't die")).and(" can't die for more than "),
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
    row(Kind::Lockdep, "WARNING: Nested lock", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "WARNING: nested lock was not taken", Title::UpTo("!")).framed(),
    row(Kind::Lockdep, "[ INFO: ", Title::Bracket).and(" detected ]").framed(),
    row(Kind::Lockdep, "[ INFO: suspicious ", Title::Bracket).framed(),
    row(Kind::Lockdep, "[ INFO: inconsistent lock state ]", Title::Bracket).framed(),
    row(Kind::Lockdep, "[ BUG: ", Title::Text("BUG: task still has locks held")).and(" still has locks held").framed(),
    row(Kind::Lockdep, "[ BUG: ", Title::Bracket).and(" ]").framed(),
    row(Kind::Lockdep, "[ Bug: ", Title::Bracket).and(" ]").framed(),
    row(Kind::Lockdep, "BUG: key ", Title::Text("BUG: lock class key is not registered")),
    row(Kind::Lockdep, "BUG: looking up invalid subclass", Title::Text("BUG: looking up invalid subclass")),
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
    ignore("BUG ").and("kasan: bad access detected"), // the object, in a report of KASAN before 4.10
    row(Kind::SlabCorruption, "BUG ", Title::Slab).and("ainted"),
    row(Kind::SlabCorruption, "pagealloc: memory corruption", Title::Line),
    row(Kind::SlabCorruption, "pagealloc: single bit error", Title::Line),
    row(Kind::SlabCorruption, "Slab corruption", Title::Text("slab corruption")),
    row(Kind::SlabCorruption, "slab error in ", Title::Line),
    row(Kind::SlabCorruption, "cache_from_obj: Wrong slab cache", Title::Text("wrong slab cache")).hint(),
    row(Kind::Usercopy, "usercopy: kernel memory ", Title::UpTo(" (offset")).hint(),
    row(Kind::Usercopy, "usercopy: Bad or missing usercopy whitelist?", Title::Text("usercopy: bad or missing whitelist")).hint(),
    row(Kind::Usercopy, "usercopy: Kernel memory ", Title::UpTo(" (offset")).hint(),
    row(Kind::DebugObjects, "ODEBUG: ", Title::Line).and("object").hint(),
    ignore("BUG: Bad page state: "), // "12 messages suppressed"
    ignore("BUG: Bad page map: "),
    row(Kind::BadPage, "BUG: Bad page state in process", Title::Text("BUG: Bad page state")),
    row(Kind::BadPage, "BUG: Bad page map in process", Title::Text("BUG: Bad page map")),
    row(Kind::BadPage, "BUG: Bad rss-counter state", Title::Text("BUG: Bad rss-counter state")),
    row(Kind::BadPage, "BUG: non-zero pgtables_bytes on freeing mm", Title::Text("BUG: non-zero pgtables_bytes on freeing mm")),
    row(Kind::BadPage, "BUG: non-zero nr_p", Title::UpTo(":")),
    row(Kind::BadPage, "BUG: Bad page cache in process", Title::Text("BUG: Bad page cache")),
    row(Kind::BadPage, "mm/", Title::Text("bad page table entry")).and(": bad p"),
    row(Kind::BadPage, "swap_info_get: Bad swap ", Title::UpTo(" entry")),
    row(Kind::BadPage, "_swap_info_get: Bad swap ", Title::UpTo(" entry")),
    row(Kind::BadPage, "swap_dup: Bad swap ", Title::UpTo(" entry")),
    row(Kind::BadPage, "swap_free: Bad swap ", Title::UpTo(" entry")),
    row(Kind::BadPage, "x86/mm: Checked W+X mappings: FAILED", Title::Text("W+X mappings")).single(),
    row(Kind::BadPage, "Checked W+X mappings: FAILED", Title::Text("W+X mappings")).single(),
    row(Kind::Kmemleak, "BUG: memory leak", Title::Text("memory leak")).hint().unprinted(),
    row(Kind::Kmemleak, "unreferenced object 0x", Title::Text("memory leak")).after(1, &[Kind::Kmemleak]).unprinted(),
    row(Kind::Kmemleak, "kmemleak: unreferenced object 0x", Title::Text("memory leak")),
    row(Kind::NetdevLeak, "unregister_netdevice: waiting for ", Title::Text("unregister_netdevice: waiting for a device to become free")).single(),
    row(Kind::Kmemleak, "kmemleak: ", Title::Text("kmemleak: new suspected memory leaks")).and(" new suspected memory leaks").single(),

    // Warnings, and what is left of BUG.
    row(Kind::Warning, "WARNING: CPU: ", Title::Warn).framed().after(1, BEFORE_WARN),
    row(Kind::Warning, "WARNING: ", Title::Warn).and(", CPU#").framed().after(1, BEFORE_WARN),
    row(Kind::Warning, "WARNING: at ", Title::Warn).and("+0x").framed().after(1, BEFORE_WARN),
    row(Kind::Warning, "WARNING: kernel stack ", Title::UpTo(" at ")),
    row(Kind::Warning, "WARNING: can't access registers", Title::UpTo(" at ")),
    row(Kind::Warning, "WARNING: stack recursion", Title::UpTo(" type")),
    row(Kind::Warning, "kobject", Title::Text("kobject: bad use")).and("something is seriously wrong"),
    row(Kind::Warning, "kobject", Title::Text("kobject: duplicate name")).and("don't try to register things with the same name"),
    row(Kind::Warning, "sysfs: cannot create duplicate filename", Title::Text("sysfs: duplicate filename")),
    row(Kind::Warning, "irq ", Title::Text("irq: nobody cared")).and(": nobody cared"),
    row(Kind::Bug, "VFS: Busy inodes after unmount", Title::Text("VFS: busy inodes after unmount")),
    row(Kind::Bug, "VFS: Close: file count is ", Title::Text("VFS: file count is 0")),
    row(Kind::Bug, "BUG: using ", Title::UpTo(" in preemptible")),
    row(Kind::Bug, "BUG: ", Title::Line),

    // Not the kernel's fault, but a reader wants to know.
    row(Kind::OutOfMemory, " invoked oom-killer: ", Title::Text("out of memory")).task().hint(),
    row(Kind::OutOfMemory, "Out of memory", Title::Text("out of memory")).and("Kill").after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, "Out of memory and no killable processes", Title::Text("out of memory")).after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, "Memory cgroup out of memory: Kill", Title::Text("memory cgroup out of memory")).after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, "Memory cgroup out of memory: ", Title::Text("memory cgroup out of memory")).and(" killed").after(2, &[Kind::OutOfMemory]),
    row(Kind::OutOfMemory, ": vmalloc error: ", Title::Text("vmalloc failure")).task(),
    row(Kind::OutOfMemory, ": vmalloc: allocation failure", Title::Text("vmalloc failure")).task(),
    row(Kind::OutOfMemory, "SLUB: Unable to allocate memory", Title::Text("SLUB: unable to allocate memory")),
    row(Kind::OutOfMemory, ": page allocation failure: order:", Title::Text("page allocation failure")).task(),
    row(Kind::MsrAccess, "unchecked MSR access error: ", Title::UpTo(" at rIP")),
    row(Kind::TscLost, "tsc: Marking TSC unstable due to could not calculate TSC khz", Title::Exact).single(),
    row(Kind::X32Disabled, "Disabled x32 syscalls", Title::Exact).single(),
    row(Kind::MessagesDropped, "** ", Title::Text("printk messages dropped")).and(" printk messages dropped **").single(),
];

/// The row of a message.
pub(super) fn find(text: &str) -> Option<&'static Row> {
    let bytes = text.as_bytes();
    let first = bytes.first_chunk::<3>().filter(|_| STARTS.has(bytes));
    let (names, dies) = (names_task(bytes), text.contains("[#"));
    if first.is_none() && !names && !dies {
        return None;
    }
    let may_be = |row: &&Row| match row.anchor {
        Anchor::Start => first.is_some_and(|first| row.text.as_bytes().first_chunk() == Some(first)),
        Anchor::Task => names,
        Anchor::Die => dies,
    };
    ROWS.iter().filter(may_be).find(|row| matches(row, text))
}

/// Whether the text of a row follows what may be the name of a task.
fn names_task(text: &[u8]) -> bool {
    let of_row = |tail: &[u8]| {
        let mut rows = ROWS.iter().filter(|row| row.anchor == Anchor::Task);
        rows.any(|row| tail.starts_with(row.text.as_bytes()))
    };
    // A plain loop: this is done for each line of a console.
    let mut at = 1;
    while at < text.len() && at <= COMM_BYTES {
        let byte = text[at];
        if (byte == b' ' || byte == b':') && TASKS.has(&text[at..]) && of_row(&text[at..]) {
            return true;
        }
        at += 1;
    }
    false
}

/// The first three bytes of some texts, as a set that may have more members.
struct FirstBytes([u64; FirstBytes::WORDS]);

impl FirstBytes {
    /// 8 KiB, of which a few lines of the cache are used.
    const WORDS: usize = 1024;

    const fn of(anchor: Anchor) -> FirstBytes {
        let mut set = [0; FirstBytes::WORDS];
        let mut at = 0;
        while at < ROWS.len() {
            if ROWS[at].anchor as u8 == anchor as u8 {
                let bit = FirstBytes::bit(ROWS[at].text.as_bytes());
                set[bit / 64] |= 1 << (bit % 64);
            }
            at += 1;
        }
        FirstBytes(set)
    }

    const fn bit(text: &[u8]) -> usize {
        let (a, b, c) = (text[0] as usize, text[1] as usize, text[2] as usize);
        (a * 33 * 33 + b * 33 + c) % (FirstBytes::WORDS * 64)
    }

    fn has(&self, text: &[u8]) -> bool {
        if text.len() < 3 {
            return false;
        }
        let bit = FirstBytes::bit(text);
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }
}

static STARTS: FirstBytes = FirstBytes::of(Anchor::Start);
static TASKS: FirstBytes = FirstBytes::of(Anchor::Task);
