//! What kinds of trouble there are, and whose they are.

use serde::Serialize;

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
    /// A network device is not let go: somebody leaked a reference.
    NetdevLeak,
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
    /// All of them, in order.
    pub const ALL: &[Kind] = &[
        Kind::Panic,
        Kind::NoInit,
        Kind::InitDied,
        Kind::UnexpectedReboot,
        Kind::Oops,
        Kind::SmapViolation,
        Kind::SmepViolation,
        Kind::Bug,
        Kind::Cfi,
        Kind::SoftLockup,
        Kind::HardLockup,
        Kind::RcuStall,
        Kind::HungTask,
        Kind::WorkqueueLockup,
        Kind::SleepInAtomic,
        Kind::ScheduleWhileAtomic,
        Kind::Spinlock,
        Kind::Lockdep,
        Kind::LockdepOff,
        Kind::Kasan,
        Kind::Kcsan,
        Kind::Kmsan,
        Kind::Kfence,
        Kind::Ubsan,
        Kind::Refcount,
        Kind::ListCorruption,
        Kind::SlabCorruption,
        Kind::Usercopy,
        Kind::DebugObjects,
        Kind::BadPage,
        Kind::Kmemleak,
        Kind::NetdevLeak,
        Kind::Warning,
        Kind::OutOfMemory,
        Kind::Segfault,
        Kind::MsrAccess,
        Kind::TscLost,
        Kind::X32Disabled,
        Kind::MessagesDropped,
    ];

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
            | Kind::NetdevLeak
            | Kind::Warning => true,
        }
    }

    /// Whether the kernel only remarks on it: a program's own fault, a property of the machine or of
    /// the log. All else it says is wrong, be it its own fault or not.
    pub fn is_note(self) -> bool {
        match self {
            Kind::Segfault | Kind::MsrAccess | Kind::TscLost | Kind::X32Disabled | Kind::MessagesDropped => {
                true
            }
            Kind::Panic
            | Kind::NoInit
            | Kind::InitDied
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
            | Kind::LockdepOff
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
            | Kind::NetdevLeak
            | Kind::Warning
            | Kind::OutOfMemory => false,
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
            Kind::NetdevLeak => "netdev-leak",
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
