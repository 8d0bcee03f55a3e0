//! Seeded bugs: what a mutant says of itself, and what must be seen of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Abi, Leg, SyscallName, Verdict};

/// What the cell of one ABI must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The bug does not show by this ABI.
    Pass,
    /// It is caught.
    Caught {
        /// `fail` or `error`: what is skipped or missed catches nothing.
        verdict: Verdict,
        /// The name of the cause that decides.
        kind: String,
        /// A word of it, of a case that failed, or of what the kernel said.
        word: String,
    },
}

impl FromStr for Seen {
    type Err = String;

    fn from_str(text: &str) -> Result<Seen, String> {
        if text == "pass" {
            return Ok(Seen::Pass);
        }
        let form =
            || "it is `pass`, or `fail` or `error` with a cause and a word of it: fail case-failed \"flags\"";
        let (verdict, rest) = text.split_once(' ').ok_or_else(|| form().to_owned())?;
        let verdict = match verdict {
            "fail" => Verdict::Fail,
            "error" => Verdict::Error,
            _ => return Err(form().to_owned()),
        };
        let (kind, word) = rest.trim().split_once(' ').ok_or_else(|| form().to_owned())?;
        let word = word.trim().strip_prefix('"').and_then(|word| word.strip_suffix('"'));
        match word.filter(|word| !word.is_empty()) {
            Some(word) => Ok(Seen::Caught { verdict, kind: kind.to_owned(), word: word.to_owned() }),
            None => Err(form().to_owned()),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Pass => f.write_str("pass"),
            Seen::Caught { verdict, kind, word } => write!(f, "{verdict} {kind} \"{word}\""),
        }
    }
}

/// A patch that puts one typical mistake into a syscall, by its own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The syscall that has the mistake.
    pub of: SyscallName,
    /// The profile that is needed to see it.
    pub profile: Option<String>,
    /// The leg in which it is seen.
    pub leg: Leg,
    /// What must be seen by each ABI.
    pub expected: BTreeMap<Abi, Seen>,
}

/// A mistake in what a mutant says of itself: the line of the patch, from 1, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct MutantError {
    /// The line; of what is missing, the first.
    pub line: usize,
    /// In words.
    pub what: String,
}

impl Mutant {
    /// Reads the trailers in the text before a patch's diff; nothing if it has none.
    pub fn parse(patch: &str) -> Result<Option<Mutant>, MutantError> {
        let (mut of, mut profile, mut leg, mut all) = (None, None, None, None);
        let mut single: BTreeMap<Abi, Seen> = BTreeMap::new();
        for (number, line) in patch.lines().enumerate() {
            if line == "---" || line.starts_with("diff --git ") {
                break;
            }
            let error = |what: String| MutantError { line: number + 1, what };
            let Some((name, value)) = line.split_once(": ") else { continue };
            let value = value.trim();
            let twice = match name {
                "Mutant-of" => {
                    of.replace(value.parse().map_err(|e: super::NameError| error(e.to_string()))?).is_some()
                }
                "Profile" => profile.replace(value.to_owned()).is_some(),
                "Leg" => leg.replace(value.parse().map_err(error)?).is_some(),
                "Expect" => all.replace(value.parse().map_err(error)?).is_some(),
                _ => match name.strip_prefix("Expect-") {
                    Some(abi) => {
                        let abi = abi.parse().map_err(error)?;
                        single.insert(abi, value.parse().map_err(error)?).is_some()
                    }
                    None => false,
                },
            };
            if twice {
                return Err(error(format!("`{name}` is there twice")));
            }
        }
        let missing = |what: &str| MutantError { line: 1, what: what.to_owned() };
        let Some(of) = of else {
            return match single.is_empty() && all.is_none() {
                true => Ok(None),
                false => Err(missing("it says what to expect and not of which syscall (`Mutant-of`)")),
            };
        };
        let mut expected = BTreeMap::new();
        for abi in Abi::ALL {
            let Some(seen) = single.remove(&abi).or_else(|| all.clone()) else {
                return Err(missing(&format!(
                    "nothing says what is to be seen by {abi} (`Expect` or `Expect-{abi}`)"
                )));
            };
            expected.insert(abi, seen);
        }
        if expected.values().all(|seen| *seen == Seen::Pass) {
            return Err(missing("a bug that no ABI shows cannot be caught"));
        }
        Ok(Some(Mutant { of, profile, leg: leg.unwrap_or(Leg::Patched), expected }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(trailers: &str) -> Result<Option<Mutant>, MutantError> {
        Mutant::parse(&format!(
            "Subject: x: y\n\nSome text: here.\n\n{trailers}Signed-off-by: a <b>\n---\n Expect: nonsense\n"
        ))
    }

    #[test]
    fn trailers_say_what_must_be_seen_by_each_abi() {
        let caught = |kind: &str, word: &str| Seen::Caught {
            verdict: Verdict::Fail,
            kind: kind.into(),
            word: word.into(),
        };
        let mutant =
            parse("Mutant-of: xyzzyfd\nExpect: fail case-failed \"close on exec\"\n").unwrap().unwrap();
        assert_eq!((mutant.of.as_str(), mutant.profile, mutant.leg), ("xyzzyfd", None, Leg::Patched));
        assert!(mutant.expected.values().all(|seen| *seen == caught("case-failed", "close on exec")));
        let text = "Mutant-of: x\nProfile: debug\nLeg: config-off\nExpect: pass\nExpect-m32: fail kernel-fault \"lock\"\n";
        let mutant = parse(text).unwrap().unwrap();
        assert_eq!((mutant.profile.as_deref(), mutant.leg), (Some("debug"), Leg::ConfigOff));
        let seen = Abi::ALL.map(|abi| mutant.expected[&abi].to_string());
        assert_eq!(seen, ["pass", "fail kernel-fault \"lock\"", "pass"]);
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn what_a_mutant_does_not_say_is_named() {
        for (text, line, word) in [
            ("Mutant-of: x\nExpect: fine\n", 6, "it is `pass`"),
            ("Mutant-of: x\nExpect: fail\n", 6, "it is `pass`"),
            ("Mutant-of: x\nExpect: fail case-failed flags\n", 6, "it is `pass`"),
            ("Mutant-of: x\nExpect: skip all-skipped \"x\"\n", 6, "it is `pass`"),
            ("Mutant-of: X Y\nExpect: pass\n", 5, ""),
            ("Mutant-of: x\nExpect-m16: pass\n", 6, "m16"),
            ("Mutant-of: x\nLeg: arm\n", 6, "patched"),
            ("Mutant-of: x\nExpect: pass\nExpect: pass\n", 7, "twice"),
            ("Mutant-of: x\nExpect-m64: fail panic \"x\"\n", 1, "Expect-m32"),
            ("Mutant-of: x\nExpect: pass\n", 1, "cannot be caught"),
            ("Expect: pass\n", 1, "Mutant-of"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.line == line && error.what.contains(word), "{text}: {error}");
        }
    }
}
