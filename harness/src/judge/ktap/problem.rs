//! What can be wrong with a report itself, and whether it may still count as evidence.

use std::fmt;

use serde::Serialize;

#[cfg(doc)]
use super::Limits;

/// Something about the report as such, with the line it was noticed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// 1-based line of the stream; for what is missing, the last line.
    pub line: u64,
    /// What it is.
    #[serde(flatten)]
    pub kind: ProblemKind,
}

/// What can be wrong with a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ProblemKind {
    /// There is no version line at the outermost level. Tolerated.
    NoVersion,
    /// A version line that is none of 1, 13, 14: its rules are not known.
    UnknownVersion,
    /// A second version line at one level: the output of two programs is mixed.
    VersionTwice,
    /// Results or a plan came before the version line.
    VersionLate,
    /// No `1..N` in a list that has a version line, or at the outermost level.
    NoPlan,
    /// A second `1..N` in one list.
    PlanTwice,
    /// Another number of results than planned.
    PlanMismatch {
        /// What `1..N` promised.
        planned: u64,
        /// Result lines that came.
        seen: u64,
    },
    /// Neither a result nor a reason to skip: nothing was tested.
    NoTests,
    /// Results are to be numbered 1, 2, 3 …
    NumberOutOfOrder {
        /// The number that was due.
        expected: u64,
        /// The number on the line.
        got: u64,
    },
    /// A result without a number, or with one above 2^64.
    MissingNumber,
    /// The last line has no newline and is, or may have become, a line that counts.
    Truncated,
    /// A parent says `ok` though a subtest of it failed.
    ChildDisagrees,
    /// Subtests without the result line of their parent.
    NoParent,
    /// `Bail out!`: the program gave up, whatever it had planned.
    BailOut,
    /// In a log, another version line at the outermost level: a report of its own begins.
    AnotherReport,
    /// In a log, the kernel died after the beginning of a report that has no plan.
    KernelDied,
    /// `# Totals:` of kselftest.h does not agree with the results.
    TotalsMismatch,
    /// More cases than [`Limits::cases`]; the rest is counted but not kept.
    TooManyCases,
    /// Deeper nesting than [`Limits::depth`].
    TooDeep,
    /// A line beyond [`Limits::line_bytes`], whose rest was not looked at.
    LineTooLong {
        /// It is a line that counts, so that a directive may have been cut off.
        counts: bool,
    },
    /// A line that looks as if it was to count, but does not parse.
    BadLine {
        /// It begins like a failure.
        failure: bool,
    },
    /// More problems than are kept.
    Further {
        /// How many.
        count: u64,
    },
}

impl Problem {
    /// Whether a report with this problem cannot be complete evidence.
    pub fn is_fatal(&self) -> bool {
        match self.kind {
            ProblemKind::NoVersion | ProblemKind::AnotherReport => false,
            ProblemKind::LineTooLong { counts } => counts,
            ProblemKind::BadLine { failure } => failure,
            ProblemKind::UnknownVersion
            | ProblemKind::VersionTwice
            | ProblemKind::VersionLate
            | ProblemKind::NoPlan
            | ProblemKind::PlanTwice
            | ProblemKind::PlanMismatch { .. }
            | ProblemKind::NoTests
            | ProblemKind::NumberOutOfOrder { .. }
            | ProblemKind::MissingNumber
            | ProblemKind::Truncated
            | ProblemKind::ChildDisagrees
            | ProblemKind::NoParent
            | ProblemKind::BailOut
            | ProblemKind::KernelDied
            | ProblemKind::TotalsMismatch
            | ProblemKind::TooManyCases
            | ProblemKind::TooDeep
            | ProblemKind::Further { .. } => true,
        }
    }

    /// Whether a [log](super::log) with this problem may pass all the same: the formats allow what
    /// a cell's program has to have.
    pub fn is_accepted(&self) -> bool {
        !self.is_fatal() || matches!(self.kind, ProblemKind::NoPlan | ProblemKind::MissingNumber)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProblemKind::NoVersion => f.write_str("no version line (`TAP version 13`)"),
            ProblemKind::UnknownVersion => f.write_str("not a known version of TAP or KTAP"),
            ProblemKind::VersionTwice => {
                f.write_str("a second version line: the output of two programs seems mixed")
            }
            ProblemKind::VersionLate => f.write_str("results or a plan before the version line"),
            ProblemKind::NoPlan => f.write_str("no plan (`1..N`): results may be missing"),
            ProblemKind::PlanTwice => f.write_str("a second plan"),
            ProblemKind::PlanMismatch { planned, seen } => {
                write!(f, "planned {planned} results but saw {seen}")
            }
            ProblemKind::NoTests => f.write_str("nothing was tested and no reason was given"),
            ProblemKind::NumberOutOfOrder { expected, got } => {
                write!(f, "result number {got} where {expected} was due")
            }
            ProblemKind::MissingNumber => f.write_str("a result without a number"),
            ProblemKind::Truncated => f.write_str("the last line is cut off: it has no newline"),
            ProblemKind::ChildDisagrees => f.write_str("says ok though a subtest of it failed"),
            ProblemKind::NoParent => f.write_str("subtests without the result of their parent"),
            ProblemKind::BailOut => f.write_str("bailed out: not everything was tested"),
            ProblemKind::AnotherReport => f.write_str("another report begins"),
            ProblemKind::KernelDied => {
                f.write_str("the kernel died, and without a plan nobody knows what was still to come")
            }
            ProblemKind::TotalsMismatch => f.write_str("`# Totals:` does not agree with the results"),
            ProblemKind::TooManyCases => f.write_str("too many cases; the rest was not kept"),
            ProblemKind::TooDeep => f.write_str("subtests are nested too deeply"),
            ProblemKind::LineTooLong { .. } => f.write_str("a line is too long; its end was not looked at"),
            ProblemKind::BadLine { .. } => f.write_str("looks like a result or plan but is none"),
            ProblemKind::Further { count } => write!(f, "{count} further problems"),
        }
    }
}
