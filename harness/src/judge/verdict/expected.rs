//! What a cell was to show: the leg, the ABI, the number, and the runs of its plan.

use crate::model::{Abi, Cause, Door, KnownIssue, Leg, NotApplicable, PlannedCase};

/// What a run of the plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Its report decides.
    Judged,
    /// The same program under ptrace: only whether it entered the syscall counts.
    Traced,
    /// The tool's probe on a patched kernel: is there anything behind the number?
    Wired,
    /// What a selftest says on a control leg: written down, not weighed.
    Recorded,
    /// The prober with the cases of the contract; on a control leg each of them must give -ENOSYS.
    Contract,
}

impl Role {
    /// How it ends is weighed.
    pub(super) fn decides(self) -> bool {
        match self {
            Role::Judged | Role::Contract => true,
            Role::Traced | Role::Wired | Role::Recorded => false,
        }
    }
}

/// How a test is judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// It is one program, and reports its cases.
    #[default]
    Cell,
    /// It is of a directory, with all that belongs to it.
    Kselftest {
        /// Whether it is a script, which may run programs of which each reports.
        script: bool,
        /// Whether it has to report its cases. Otherwise, where it reports none, its exit status is what it
        /// found, as the kselftest runner has it.
        reports: bool,
    },
}

/// One run of the plan, as the judge needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExpectedRun {
    /// What it is for.
    pub role: Role,
    /// The program's file name.
    pub program: String,
    /// Its deadline.
    pub deadline_ms: u64,
    /// How it is judged, if it is a test.
    #[serde(default)]
    pub rules: Rules,
    /// The cases that it has to report, in their order; of a contract alone.
    #[serde(default)]
    pub cases: Vec<PlannedCase>,
}

/// What a cell was to show.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Expectation {
    /// The leg.
    pub leg: Leg,
    /// The ABI.
    pub abi: Abi,
    /// The syscall's number by that ABI, without the x32 bit.
    pub number: u32,
    /// The table in which its entry belongs.
    pub table: String,
    /// The runs, in the plan's order.
    pub runs: Vec<ExpectedRun>,
    /// What is known to be wrong in this cell, and excused today.
    #[serde(default)]
    pub known: Vec<KnownIssue>,
    /// It is one of several tests, by this ABI or another: each case carries its program's name.
    #[serde(default)]
    pub many: bool,
    /// Of the selftest's programs that do not run, why: no cell is whole without them.
    #[serde(default)]
    pub absent: Vec<Cause>,
    /// What should lie beside the selftest's programs and was not built, with the first error.
    #[serde(default)]
    pub helpers: Vec<(String, String)>,
    /// The cases of the contract that this ABI cannot express: nothing is expected of them.
    #[serde(default)]
    pub not_applicable: Vec<NotApplicable>,
}

impl Expectation {
    /// What the kernel sees when the syscall is made by this ABI.
    pub fn door(&self) -> Door {
        self.abi.door(self.number)
    }
}
