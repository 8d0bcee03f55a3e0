//! What may be removed, of things that pile up. Pure: the caller finds the things and removes them.

use std::path::PathBuf;
use std::time::Duration;

use crate::broken::broken;

/// Something that was made once and may be of no more use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it lies.
    pub path: PathBuf,
    /// Since it was made, or used for the last time.
    pub age: Duration,
    /// Somebody uses it now: it stays.
    pub in_use: bool,
}

/// Which of the candidates go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Those that were not used for so long.
    OlderThan(Duration),
    /// All but the newest.
    BeyondNewest(usize),
    /// All.
    All,
}

/// The candidates that go by this rule, the oldest first. None that is in use ever does; it counts
/// among the newest all the same.
pub fn surplus(mut candidates: Vec<Candidate>, rule: Rule) -> Vec<Candidate> {
    candidates.sort_by(|a, b| a.age.cmp(&b.age).then_with(|| b.path.cmp(&a.path)));
    let goes = |(index, candidate): &(usize, Candidate)| match rule {
        _ if candidate.in_use || broken("tidy") => false,
        Rule::OlderThan(age) => candidate.age > age,
        Rule::BeyondNewest(kept) => *index >= kept,
        Rule::All => true,
    };
    let mut surplus: Vec<Candidate> =
        candidates.into_iter().enumerate().filter(goes).map(|(_, candidate)| candidate).collect();
    surplus.reverse();
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed() {
        const DAY: u64 = 86_400;
        // Name, age in days, in use.
        let things = [("c", 3, false), ("a", 1, false), ("e", 40, true), ("b", 2, true), ("d", 31, false)];
        let rows: [(Rule, &[&str]); 8] = [
            (Rule::All, &["d", "c", "a"]),
            (Rule::OlderThan(Duration::from_secs(30 * DAY)), &["d"]),
            (Rule::OlderThan(Duration::from_secs(2 * DAY)), &["d", "c"]),
            (Rule::OlderThan(Duration::from_secs(365 * DAY)), &[]),
            (Rule::BeyondNewest(0), &["d", "c", "a"]),
            (Rule::BeyondNewest(2), &["d", "c"]),
            (Rule::BeyondNewest(4), &[]),
            (Rule::BeyondNewest(99), &[]),
        ];
        for (rule, expected) in rows {
            let candidates = things.map(|(name, days, in_use)| Candidate {
                path: name.into(),
                age: Duration::from_secs(days * DAY),
                in_use,
            });
            let gone = surplus(candidates.to_vec(), rule);
            let names: Vec<_> = gone.iter().map(|thing| thing.path.to_str().unwrap()).collect();
            assert_eq!(names, expected, "{rule:?}");
        }
    }

    #[test]
    fn of_equal_age_the_later_name_stays() {
        let thing = |name: &str| Candidate { path: name.into(), age: Duration::ZERO, in_use: false };
        let gone =
            surplus(vec![thing("20260101"), thing("20260103"), thing("20260102")], Rule::BeyondNewest(1));
        assert_eq!(gone, [thing("20260101"), thing("20260102")]);
    }
}
