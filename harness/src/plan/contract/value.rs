//! Values as a contract writes them: numbers, constants, addresses, descriptors, and sums of these.

use std::collections::BTreeMap;
use std::fmt;

/// What stands for one thing of the guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Term {
    /// Modulo 2^64.
    Number(u64),
    /// The address of an object.
    Address(String),
    /// How many bytes an object has, which an ABI decides.
    SizeOf(String),
    /// An address where nothing is.
    Unmapped,
    /// A descriptor that is made for the case: `fd:dir`, `pid:self`, as the prober calls it.
    Made(String),
}

/// A sum of terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Value(pub(super) Vec<Term>);

/// Numbers that every contract may name; the rest stands in its `constants`.
const CONSTANTS: [(&str, u64); 6] = [
    ("NULL", 0),
    ("AT_FDCWD", -100_i64 as u64),
    ("AT_SYMLINK_NOFOLLOW", 0x100),
    ("AT_SYMLINK_FOLLOW", 0x400),
    ("AT_EMPTY_PATH", 0x1000),
    ("O_CLOEXEC", 0o2000000),
];

/// The descriptors and processes that the prober can make; see `guest/contract/FORMAT.md`.
pub(super) const THINGS: [&str; 20] = [
    "file",
    "file-ro",
    "file-wo",
    "dir",
    "cwd",
    "path",
    "null",
    "pipe-r",
    "pipe-w",
    "eventfd",
    "epoll",
    "memfd",
    "timerfd",
    "socket",
    "pidfd-self",
    "pidfd-child",
    "pidfd-dead",
    "pidfd-other",
    "pidfd-undumpable",
    "closed",
];

impl Value {
    /// Just a number.
    pub(super) fn number(number: u64) -> Value {
        Value(vec![Term::Number(number)])
    }

    /// The number that it is, if nothing of it is known to a guest alone.
    pub(super) fn as_number(&self) -> Option<u64> {
        self.0.iter().try_fold(0u64, |sum, term| match term {
            Term::Number(number) => Some(sum.wrapping_add(*number)),
            Term::Address(_) | Term::SizeOf(_) | Term::Unmapped | Term::Made(_) => None,
        })
    }

    /// So much more.
    pub(super) fn plus(mut self, number: u64) -> Value {
        match self.0.iter_mut().find_map(|term| if let Term::Number(old) = term { Some(old) } else { None }) {
            Some(old) => *old = old.wrapping_add(number),
            None => self.0.push(Term::Number(number)),
        }
        self
    }

    /// The numbers of it, without what a guest alone knows.
    pub(super) fn offset(&self) -> u64 {
        self.0.iter().fold(0, |sum, term| match term {
            Term::Number(number) => sum.wrapping_add(*number),
            Term::Address(_) | Term::SizeOf(_) | Term::Unmapped | Term::Made(_) => sum,
        })
    }

    /// The object whose address it is.
    pub(super) fn object(&self) -> Option<&str> {
        self.0.iter().find_map(|term| match term {
            Term::Address(object) => Some(object.as_str()),
            Term::Number(_) | Term::SizeOf(_) | Term::Unmapped | Term::Made(_) => None,
        })
    }

    /// Reads `A|B`, `&object+8`, `sizeof(object)`, `fd:dir`, `-1`, `0x10`.
    pub(super) fn parse(text: &str, constants: &BTreeMap<String, Value>) -> Result<Value, String> {
        let text = text.trim();
        if text.contains('|') {
            let mut all = 0;
            for word in text.split('|') {
                let number = Value::parse(word, constants)?.as_number();
                all |= number.ok_or_else(|| format!("`{text}`: only numbers are joined by `|`"))?;
            }
            return Ok(Value::number(all));
        }
        let terms =
            text.split('+').map(|word| term(word.trim(), constants)).collect::<Result<Vec<_>, _>>()?;
        Ok(Value(terms.into_iter().flatten().collect()))
    }
}

fn term(word: &str, constants: &BTreeMap<String, Value>) -> Result<Vec<Term>, String> {
    if let Some(value) = constants.get(word) {
        return Ok(value.0.clone());
    }
    if let Some((_, number)) = CONSTANTS.iter().find(|(name, _)| *name == word) {
        return Ok(vec![Term::Number(*number)]);
    }
    if let Some(object) = word.strip_prefix('&') {
        return Ok(vec![Term::Address(object.to_owned())]);
    }
    if let Some(object) = word.strip_prefix("sizeof(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(vec![Term::SizeOf(object.to_owned())]);
    }
    if word == "unmapped" {
        return Ok(vec![Term::Unmapped]);
    }
    if let Some(thing) = word.strip_prefix("fd:").or_else(|| word.strip_prefix("pid:")) {
        if THINGS.contains(&thing) || (word.starts_with("pid:") && ["self", "child"].contains(&thing)) {
            return Ok(vec![Term::Made(word.to_owned())]);
        }
        return Err(format!("`{word}` is nothing that the prober can make: {}", THINGS.join(", ")));
    }
    let number = number(word);
    let number = number.ok_or_else(|| format!("`{word}` is neither a number nor one of `constants`"))?;
    Ok(vec![Term::Number(number)])
}

/// A number as C writes it: `-1`, `0x10`, `0o17`, `12`, `1<<3`.
pub(super) fn number(word: &str) -> Option<u64> {
    if let Some((base, shift)) = word.split_once("<<") {
        let shift = number(shift.trim())?;
        return u32::try_from(shift).ok().and_then(|shift| number(base.trim())?.checked_shl(shift));
    }
    let (minus, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number = match (digits.strip_prefix("0x"), digits.strip_prefix("0o")) {
        (Some(hex), _) => u64::from_str_radix(hex, 16),
        (None, Some(octal)) => u64::from_str_radix(octal, 8),
        (None, None) => digits.parse(),
    };
    number.ok().map(|number| if minus { number.wrapping_neg() } else { number })
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            match term {
                // What was written as a negative number reads better as one.
                Term::Number(number) if (*number as i64) < 0 && (*number as i64) > -4096 => {
                    write!(f, "{}", *number as i64)?;
                }
                Term::Number(number) if *number < 4096 => write!(f, "{number}")?,
                Term::Number(number) => write!(f, "{number:#x}")?,
                Term::Address(object) => write!(f, "&{object}")?,
                Term::SizeOf(object) => write!(f, "sizeof({object})")?,
                Term::Unmapped => f.write_str("unmapped")?,
                Term::Made(made) => f.write_str(made)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_contract_writes_is_read() {
        let constants =
            BTreeMap::from([("A".to_owned(), Value::number(1)), ("B".to_owned(), Value::number(6))]);
        let read = |text: &str| Value::parse(text, &constants);
        for (text, expected) in [
            ("12", "12"),
            ("-1", "-1"),
            ("0x10", "16"),
            ("0o17", "15"),
            ("1<<31", "0x80000000"),
            ("A|B", "7"),
            ("AT_FDCWD", "-100"),
            ("&args+8", "&args+8"),
            ("sizeof(args)", "sizeof(args)"),
            ("fd:dir", "fd:dir"),
            ("pid:self", "pid:self"),
            ("unmapped+1", "unmapped+1"),
        ] {
            assert_eq!(read(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "C", "A|&x", "fd:moon", "0x", "--1", "1<<64", "+"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
