//! Known issues: what is wrong and known to be, with a reason, a link, and the day on which that
//! stops being an excuse.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Abi, CellId, Leg, SyscallName};

/// A day as `2026-11-24`; compares as time does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Date(String);

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a day: it is YYYY-MM-DD", .0.escape_debug())]
pub struct NoDate(String);

impl FromStr for Date {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Date, NoDate> {
        let number = |range: std::ops::Range<usize>| -> Option<u32> {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let dashes = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let day = match (number(0..4), number(5..7), number(8..10)) {
            (Some(_), Some(1..=12), Some(day)) => (1..=31).contains(&day),
            _ => false,
        };
        match dashes && day {
            true => Ok(Date(text.to_owned())),
            false => Err(NoDate(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for Date {
    type Error = NoDate;

    fn try_from(text: String) -> Result<Date, NoDate> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.0
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a known issue looks like. A `*` at the end stands for any rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Symptom {
    /// A report of the kernel's, by its title as the tool prints it.
    Splat(String),
    /// A case that fails, by its name as the tool prints it.
    Case(String),
}

impl Symptom {
    /// Whether the kernel's report of this title is meant.
    pub fn is_splat(&self, title: &str) -> bool {
        matches!(self, Symptom::Splat(pattern) if matches(pattern, title))
    }

    /// Whether a case of a contract is meant.
    pub fn is_of_contract(&self) -> bool {
        matches!(self, Symptom::Case(pattern) if pattern.starts_with("contract/"))
    }

    /// Whether the case of this name is meant.
    pub fn is_case(&self, name: &str) -> bool {
        matches!(self, Symptom::Case(pattern) if matches(pattern, name))
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Symptom::Splat(title) => write!(f, "splat \"{title}\""),
            Symptom::Case(name) => write!(f, "case \"{name}\""),
        }
    }
}

/// One entry of a kernel's `known-issues.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KnownIssue {
    /// What it looks like.
    pub symptom: Symptom,
    /// Only for this syscall.
    pub syscall: Option<SyscallName>,
    /// Only on this leg.
    pub leg: Option<Leg>,
    /// Only by this ABI.
    pub abi: Option<Abi>,
    /// Why it is not held against a run.
    pub reason: String,
    /// Where to read more.
    pub link: String,
    /// The last day on which it is excused.
    pub expires: Date,
}

impl KnownIssue {
    /// Whether it may be met in this cell of a run of `syscall`.
    pub fn concerns(&self, syscall: &SyscallName, cell: &CellId) -> bool {
        self.syscall.as_ref().is_none_or(|of| of == syscall)
            && self.leg.is_none_or(|of| of == cell.leg)
            && self.abi.is_none_or(|of| of == cell.abi)
    }
}

impl fmt::Display for KnownIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KnownIssue { symptom, reason, link, expires, .. } = self;
        write!(f, "{symptom}: {reason} ({link}, until {expires})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days_and_compare_as_time_does() {
        let day = |text: &str| text.parse::<Date>();
        assert!(day("2026-11-24").unwrap() < day("2026-12-01").unwrap());
        assert!(day("2026-11-24").unwrap() < day("2027-01-01").unwrap());
        for no in
            ["", "2026-13-01", "2026-00-01", "2026-01-32", "26-1-1", "2026/01/01", "2026-01-0x", "+026-01-01"]
        {
            assert!(day(no).is_err(), "{no}");
        }
    }

    #[test]
    fn a_symptom_is_met_whole_or_up_to_its_star() {
        let splat = Symptom::Splat("WARNING at mm/x.c in f".to_owned());
        assert!(splat.is_splat("WARNING at mm/x.c in f") && !splat.is_splat("WARNING at mm/x.c in ff"));
        assert!(!splat.is_case("WARNING at mm/x.c in f"));
        let case = Symptom::Case("big*".to_owned());
        assert!(case.is_case("big values") && !case.is_case("a big value"));
    }
}
