//! A folder as `git format-patch` fills it: `0000-cover-letter.patch`, `0001-…`, `v2-0001-…`.

use std::collections::BTreeMap;

use super::MailError;
use crate::limits;

/// The patches among the file names of a folder in the order in which git numbers them
/// (`0001-…`), the cover letter (`0000-…`) left out, and notes on what was left out. Other files
/// than patches are nobody's business. Of several versions (`v2-0001-…`) the newest is taken.
pub fn order_folder(names: &[String]) -> Result<(Vec<String>, Vec<String>), MailError> {
    let mut notes = Vec::new();
    let patches: Vec<&String> =
        names.iter().filter(|name| name.ends_with(".patch") || name.ends_with(".diff")).collect();
    if patches.len() > limits::SERIES_PATCHES {
        return Err(MailError::TooMany { found: patches.len() });
    }
    // A single patch needs no number.
    if let [only] = patches.as_slice()
        && number(only).is_none()
    {
        return Ok((vec![(*only).clone()], notes));
    }
    let mut versions: BTreeMap<u32, BTreeMap<u32, &String>> = BTreeMap::new();
    for name in patches {
        let (version, number) = number(name).ok_or_else(|| MailError::Unnumbered { name: name.clone() })?;
        if let Some(first) = versions.entry(version).or_default().insert(number, name) {
            let (first, second) = (first.clone(), name.clone());
            return Err(MailError::SameNumber { first, second });
        }
    }
    let (version, mut chosen) = versions.pop_last().ok_or(MailError::EmptyFolder)?;
    let older: Vec<String> = versions.keys().map(|version| format!("v{version}")).collect();
    if !older.is_empty() {
        notes.push(format!("the newest version is used, v{version}; there is {}, too", older.join(", ")));
    }
    if let Some(cover) = chosen.remove(&0) {
        notes.push(format!("the cover letter is left out: {cover}"));
    }
    if chosen.is_empty() {
        return Err(MailError::EmptyFolder);
    }
    for ((number, name), expected) in chosen.iter().zip(1u32..) {
        if *number != expected {
            return Err(MailError::Gap { missing: expected, next: (*name).clone() });
        }
    }
    Ok((chosen.into_values().cloned().collect(), notes))
}

/// Version and number at the start of a name.
fn number(name: &str) -> Option<(u32, u32)> {
    let versioned = name.strip_prefix('v').and_then(|rest| rest.split_once('-'));
    let (version, rest) = match versioned.map(|(version, rest)| (version.parse(), rest)) {
        Some((Ok(version), rest)) => (version, rest),
        _ => (1, name),
    };
    let (digits, _) = rest.split_once('-')?;
    let plain = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((version, if plain { digits.parse().ok()? } else { return None }))
}
