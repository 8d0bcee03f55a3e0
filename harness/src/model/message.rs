//! What the harness and the agent in the guest say to each other, as types.
//!
//! How it looks on the wire is known to `boot/frames.rs` alone; `guest/PROTOCOL.md` describes it and
//! is the place for the exact meaning of every number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Door;

/// One message of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestMessage {
    /// The agent is up and waits for a plan.
    Hello(Hello),
    /// A program is about to be executed.
    Start {
        /// Its index in the plan.
        run: u16,
        /// How it is run.
        mode: Mode,
        /// Its process in the guest.
        pid: u32,
        /// The kernel's taint flags before it.
        tainted: u64,
    },
    /// A program wrote something.
    Output {
        /// Its index in the plan.
        run: u16,
        /// Where it wrote to.
        stream: Stream,
        /// What it wrote, as it came: never empty, cut anywhere.
        bytes: Vec<u8>,
    },
    /// A program has ended and everything it left behind is gone.
    End(RunEnd),
    /// The agent is alive while a program runs.
    Beat {
        /// The program's index in the plan.
        run: u16,
        /// Since the guest's kernel booted.
        uptime_ms: u64,
        /// The kernel's taint flags now.
        tainted: u64,
    },
    /// All is said: without this message nothing before it is a result.
    Bye {
        /// How many runs have ended.
        runs: u32,
        /// How many frames were sent before this one.
        frames: u32,
        /// CRC-32 over all their bytes.
        digest: u32,
    },
    /// The agent did not accept the plan, and ran nothing.
    Refuse {
        /// A name from the list in `guest/PROTOCOL.md`.
        reason: String,
        /// The line of the plan's text, from 1; 0 if the frame itself was no good.
        line: u32,
    },
}

/// What the guest is, by its own account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// `uname -m`.
    pub machine: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// New at every boot; the same in all machines restored from one snapshot.
    pub boot_id: String,
    /// The kernel's taint flags at the hello.
    pub tainted: u64,
    /// Online CPUs.
    pub cpus: u32,
    /// The CPU keeps the kernel from touching user memory by mistake.
    pub smap: bool,
    /// The CPU keeps the kernel from executing user memory.
    pub smep: bool,
    /// Memory the kernel has, in KiB.
    pub mem_kb: u64,
}

/// How a program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Undisturbed: this run is judged.
    Plain,
    /// Under ptrace, to count its entries into the kernel: proof of entry, and nothing else.
    Traced,
}

/// Where a program's output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Outcome {
    /// By itself.
    Exit {
        /// Its exit status.
        code: u8,
    },
    /// By a signal that was not the agent's.
    Signal {
        /// The signal's number.
        signal: u8,
    },
    /// Its deadline had passed.
    Timeout {
        /// The signal it died of; nothing if it exited by itself when told to.
        signal: Option<u8>,
    },
    /// It could not be executed, and nothing was run.
    NoExec {
        /// What execve(2) said.
        errno: u16,
    },
    /// It, or something it left behind, survived SIGKILL. No further run was started.
    Stuck,
    /// It was to be traced, and could not be.
    Untraced {
        /// What ptrace(2) said.
        errno: u16,
    },
}

/// The end of one run, and what it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnd {
    /// Index in the plan.
    pub run: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The kernel's taint flags before the run.
    pub tainted_before: u64,
    /// The same when everything of the run was gone.
    pub tainted_after: u64,
    /// From its start to its end by the guest's clock.
    pub wall_us: u64,
    /// CPU time in user space, of the program and the children it waited for.
    pub user_us: u64,
    /// CPU time in the kernel, likewise.
    pub sys_us: u64,
    /// The largest resident set among them, in KiB.
    pub maxrss_kb: u64,
    /// Bytes written to standard output.
    pub stdout_bytes: u64,
    /// Bytes written to standard error.
    pub stderr_bytes: u64,
    /// Processes that outlived it and had to be killed.
    pub leaked: u32,
    /// What ptrace saw; present exactly for [`Mode::Traced`].
    pub trace: Option<Trace>,
}

/// Entries into the kernel, counted where they happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// All entries of the program, its threads and its children.
    pub syscalls: u64,
    /// Those by the doors of the plan, in its order, zeros included.
    pub entries: Vec<DoorEntries>,
}

/// How often a door was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoorEntries {
    /// The door.
    pub door: Door,
    /// How often.
    pub count: u64,
}

/// What a guest is asked to do: one program after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub runs: Vec<PlannedRun>,
}

/// One program of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// How it is run.
    pub mode: Mode,
    /// From its start to SIGTERM, in whole milliseconds.
    pub deadline: Duration,
    /// Its working directory, an absolute path; an empty one of its own if none is named.
    #[serde(default)]
    pub dir: Option<String>,
    /// The program by its absolute path, then its arguments.
    pub args: Vec<String>,
    /// Added to the agent's own `PATH`, `HOME` and `LC_ALL`, or instead of them.
    pub env: Vec<(String, String)>,
    /// Doors whose entries are counted: at least one for [`Mode::Traced`], none otherwise.
    pub doors: Vec<Door>,
}
