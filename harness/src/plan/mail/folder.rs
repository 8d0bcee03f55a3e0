//! A folder as `git format-patch` fills it: `0000-cover-letter.patch`, `0001-…`, `v2-0001-…`.

use std::collections::BTreeMap;

use super::MailError;
use super::mbox::{self, Mail};
use super::subject::Subject;
use crate::broken::broken;
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

/// What a patch file of a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// Number and count of its subject (`[PATCH n/m]`).
    pub place: Option<(u32, u32)>,
    /// What `git apply` takes, if that is not the file as it lies: a mail that is encoded, or whose
    /// lines end as a mailer has them.
    pub decoded: Option<String>,
}

/// Reads a patch file called `name`: a mail, or words of any kind with a diff below.
pub fn read_file(name: &str, bytes: &[u8]) -> Result<FilePatch, MailError> {
    let mails = mbox::split(bytes).unwrap_or_default();
    let Some(mail) = mails.first().map(Mail::read) else {
        return Ok(FilePatch { place: None, decoded: without_cr(bytes) });
    };
    if mails.len() > 1 {
        return Err(MailError::SeveralMails { name: name.to_owned(), mails: mails.len() });
    }
    let subject = Subject::parse(&mail.subject);
    let place = subject.number.map(|number| (number, subject.of));
    if !mail.is_encoded {
        return Ok(FilePatch { place, decoded: without_cr(bytes) });
    }
    if mail.diffs.is_empty() {
        return Err(MailError::NoDiffInFile { name: name.to_owned() });
    }
    let mut text = format!("Subject: {}\n\n", subject.title);
    mail.diffs.iter().for_each(|diff| text.push_str(&diff.text));
    Ok(FilePatch { place, decoded: Some(text) })
}

/// The text of a file all of whose lines end in `\r\n`. One with some such lines is about a file
/// that has them.
fn without_cr(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let all = !text.is_empty() && text.split_inclusive('\n').all(|line| line.ends_with("\r\n"));
    all.then(|| text.replace("\r\n", "\n"))
}

/// Whether the files are a whole series by their own subjects, given in the order of their names;
/// notes on what is odd. A file without a number may stand for a part: its author made it anew.
pub fn check_parts(files: &[(String, Option<(u32, u32)>)]) -> Result<Vec<String>, MailError> {
    let placed: Vec<(&String, u32, u32)> =
        files.iter().filter_map(|(name, place)| place.map(|(number, of)| (name, number, of))).collect();
    let Some(&(first, _, of)) = placed.first() else { return Ok(Vec::new()) };
    if let Some((other, ..)) = placed.iter().find(|(.., other)| *other != of) {
        return Ok(vec![format!(
            "{first} and {other} are of series of different lengths, by their subjects: the order is that of \
             the names"
        )]);
    }
    if of as usize > limits::SERIES_PATCHES {
        return Err(MailError::TooMany { found: of as usize });
    }
    let missing: Vec<u32> =
        (1..=of).filter(|part| !placed.iter().any(|(_, number, _)| number == part)).collect();
    if missing.len() > files.len() - placed.len() && !broken("folder-missing") {
        let have = files.iter().map(|(name, _)| name.clone()).collect();
        return Err(MailError::MissingFile { of, missing, have });
    }
    let mut notes = Vec::new();
    if !missing.is_empty() {
        let unplaced = files.iter().filter(|(_, place)| place.is_none()).map(|(name, _)| name.clone());
        notes.push(format!(
            "by the subjects {} of {of} {} not there: {} without a number is taken for that",
            super::list(&missing),
            super::verb(&missing),
            super::some(&unplaced.collect::<Vec<_>>())
        ));
    }
    let odd = placed.windows(2).find(|two| two[0].1 >= two[1].1);
    let note = |two: &[(&String, u32, u32)]| {
        let (name, number, _) = two[1];
        format!("{name} calls itself part {number} of {of}: the order is that of the names")
    };
    notes.extend(odd.map(note));
    Ok(notes)
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
