//! A series as it was mailed: one mbox of `git format-patch --stdout`, a saved thread, or what b4
//! writes; or a folder of `git format-patch`. Out come the patches in order.
//!
//! Pure. MIME and charsets are mail-parser's; which mails are the series is decided here. Of a mail
//! nothing is taken but its subject, its message and its diff; whether that applies is for others.

mod folder;
mod mbox;
mod subject;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crate::broken::broken;
use crate::limits;
use mbox::{Mail, Raw};
use subject::Subject;

pub use folder::{FilePatch, check_parts, order_folder, read_file};

/// One patch of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchText {
    /// The subject without `[PATCH …]`.
    pub subject: String,
    /// Its place in the series, from 1.
    pub number: u32,
    /// How many the series has.
    pub of: u32,
    /// What `git apply` takes: subject, message and diff, decoded, with `\n` at the end of lines.
    pub text: String,
}

/// A series out of an mbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSeries {
    /// `n` of `[PATCH vn]`; 1 where there is none.
    pub version: u32,
    /// The patches in order, complete.
    pub patches: Vec<PatchText>,
    /// What a reader should know: replies left out, an older version passed over; one line each.
    pub notes: Vec<String>,
}

/// A mail as a message names it: its place in the mbox, the line of the file at which it begins
/// (both from 1), and its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailName {
    /// Its place.
    pub number: usize,
    /// Where it begins.
    pub line: usize,
    /// Its subject, shortened.
    pub subject: String,
}

impl fmt::Display for MailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mail {} (line {}, {:?})", self.number, self.line, self.subject)
    }
}

/// Why there is no series in an mbox or a folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum MailError {
    #[error("it is larger than {} MiB: save one thread, not a whole folder", limits::MBOX_BYTES >> 20)]
    TooLarge,
    #[error("it is no mbox: line {line} is neither `From …` nor a header of a mail")]
    NoMail { line: usize },
    #[error("there is no patch in it: {mails} mails, {replies} of them replies")]
    NoPatch { mails: usize, replies: usize },
    #[error("{}{} of {of} {} missing: there is {}", version_text(*version), list(missing), verb(missing), names(have))]
    Missing { version: u32, of: u32, missing: Vec<u32>, have: Vec<MailName> },
    #[error("{}part {number} is there twice, and the diffs differ: {first} and {second}", version_text(*version))]
    Differ { version: u32, number: u32, first: MailName, second: MailName },
    #[error(
        "{mail} is somebody else's answer to {first}, and neither says which part of what it is: save the series \
         alone, or number its patches (`git format-patch -n`)"
    )]
    Proposal { mail: MailName, first: MailName },
    #[error("{}the mails do not agree how many parts there are: {first} and {second}", version_text(*version))]
    Mixed { version: u32, first: MailName, second: MailName },
    #[error("{mail} calls itself a patch, and there is no diff in it")]
    NoDiff { mail: MailName },
    #[error("the patch of {mail} is larger than {} MiB", limits::PATCH_BYTES >> 20)]
    PatchTooLarge { mail: MailName },
    #[error("a series has {} patches at most, and this has {found}", limits::SERIES_PATCHES)]
    TooMany { found: usize },
    #[error(
        "there is no patch in the folder: files whose names end in .patch, as git format-patch writes them"
    )]
    EmptyFolder,
    #[error("{name} has no number at its start (0001-…), and there are other patches: which comes first?")]
    Unnumbered { name: String },
    #[error("{first} and {second} have the same number")]
    SameNumber { first: String, second: String },
    #[error("there is no patch {missing:04} in the folder, and there is {next}")]
    Gap { missing: u32, next: String },
    #[error(
        "by the subjects of its files {} of {of} {} missing: there is {}",
        list(missing),
        verb(missing),
        some(have)
    )]
    MissingFile { of: u32, missing: Vec<u32>, have: Vec<String> },
    #[error("{name} is an mbox of {mails} mails: name the file itself and not its folder")]
    SeveralMails { name: String, mails: usize },
    #[error("{name} is a mail without a diff")]
    NoDiffInFile { name: String },
}

fn version_text(version: u32) -> String {
    if version == 1 { String::new() } else { format!("v{version}: ") }
}

fn list(numbers: &[u32]) -> String {
    let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("part{} {}", if numbers.len() == 1 { "" } else { "s" }, list.join(", "))
}

fn verb(numbers: &[u32]) -> &'static str {
    if numbers.len() == 1 { "is" } else { "are" }
}

fn names(mails: &[MailName]) -> String {
    some(&mails.iter().map(MailName::to_string).collect::<Vec<_>>())
}

fn some(names: &[String]) -> String {
    /// More than this nobody reads; the missing ones are what counts.
    const NAMED_MAX: usize = 8;
    let mut named: Vec<String> = names.iter().take(NAMED_MAX).cloned().collect();
    if names.len() > NAMED_MAX {
        named.push(format!("{} more", names.len() - NAMED_MAX));
    }
    named.join(", ")
}

/// A patch found in a mail.
#[derive(Debug, Clone)]
struct Found {
    mail: MailName,
    subject: Subject,
    /// Who sent it.
    sender: String,
    /// Whether its mail answers another one.
    answers: bool,
    text: String,
}

impl Found {
    /// Whether somebody else answered this mail with it: then it is no part of its series, but a proposal.
    fn is_proposal_to(&self, series: &Found) -> bool {
        self.answers && self.sender != series.sender && !broken("mail-proposal")
    }
}

/// Reads a series from the bytes of an mbox.
pub fn read_mbox(bytes: &[u8]) -> Result<MailSeries, MailError> {
    if bytes.len() as u64 > limits::MBOX_BYTES && !broken("mbox-size") {
        return Err(MailError::TooLarge);
    }
    let raws = mbox::split(bytes)?;
    let mut notes = Vec::new();
    let (mut found, mut untagged, mut replies, mut empty) = (Vec::new(), Vec::new(), 0, None);
    for raw in &raws {
        let mail = Mail::read(raw);
        let name = name_of(raw, &mail.subject);
        let subject = Subject::parse(&mail.subject);
        if subject.is_reply && !broken("mail-replies") {
            replies += 1;
            continue;
        }
        if subject.number == Some(0) {
            notes.push(format!("the cover letter is left out: {name}"));
            continue;
        }
        if mail.diffs.is_empty() {
            if subject.is_patch && subject.number.is_some() {
                empty.get_or_insert(name);
            }
            continue;
        }
        let alone = mail.diffs.len() == 1;
        for diff in mail.diffs {
            // Several patches attached to one mail bring their own subjects.
            let own = diff.subject.as_deref().map(Subject::parse).filter(|own| own.is_patch);
            let subject = match own {
                Some(own) if !alone || !subject.is_patch => own,
                Some(_) | None => subject.clone(),
            };
            let text = format!("Subject: {}\n\n{}", subject.title, diff.text);
            if text.len() as u64 > limits::PATCH_BYTES {
                return Err(MailError::PatchTooLarge { mail: name });
            }
            if text.contains(char::REPLACEMENT_CHARACTER) {
                notes.push(format!("{name} has bytes that its charset does not have: they became U+FFFD"));
            }
            let to = if subject.is_patch { &mut found } else { &mut untagged };
            let (sender, answers) = (mail.sender.clone(), mail.answers);
            to.push(Found { mail: name.clone(), subject, sender, answers, text });
        }
    }
    if replies > 0 {
        notes.push(format!("{replies} replies are left out"));
    }
    if found.is_empty() {
        // As `git format-patch -k` has them: subjects without a tag, in the order of the file.
        found = number_in_order(untagged);
    } else if !untagged.is_empty() {
        let mails: Vec<MailName> = untagged.iter().map(|found: &Found| found.mail.clone()).collect();
        notes.push(format!("diffs in mails that are not tagged as patches are left out: {}", names(&mails)));
    }
    if found.is_empty() {
        return Err(MailError::NoPatch { mails: raws.len(), replies });
    }
    // A part that came without its diff is the better answer to what is missing.
    match (choose(found, notes), empty) {
        (Err(MailError::Missing { .. }), Some(mail)) => Err(MailError::NoDiff { mail }),
        (chosen, _) => chosen,
    }
}

fn name_of(raw: &Raw, subject: &str) -> MailName {
    const SUBJECT_CHARS_MAX: usize = 80;
    MailName {
        number: raw.number,
        line: raw.line,
        subject: subject.chars().take(SUBJECT_CHARS_MAX).collect(),
    }
}

fn number_in_order(mut found: Vec<Found>) -> Vec<Found> {
    let of = u32::try_from(found.len()).unwrap_or(u32::MAX);
    for (found, number) in found.iter_mut().zip(1u32..) {
        found.subject.number = Some(number);
        found.subject.of = of;
    }
    found
}

/// Patches of which none has a number (`git format-patch -N`), each once: `git am` takes them as they
/// stand in the file, too.
fn in_file_order(version: u32, found: Vec<Found>, notes: &mut Vec<String>) -> Result<Vec<Found>, MailError> {
    let mut distinct: Vec<Found> = Vec::new();
    let mut diffs: HashMap<String, MailName> = HashMap::new();
    let mut titles: HashMap<String, (u32, MailName)> = HashMap::new();
    for one in found {
        if let Some(known) = diffs.get(diff_of(&one.text)) {
            notes.push(format!("{} is the same patch as {known}", one.mail));
            continue;
        }
        // Sent again, and not the same. Two of one title alone may be two fixups.
        let known = titles.get(&one.subject.title).filter(|_| one.subject.is_again);
        if let Some((number, first)) = known.cloned() {
            return Err(MailError::Differ { version, number, first, second: one.mail });
        }
        let number = distinct.len() as u32 + 1;
        titles.insert(one.subject.title.clone(), (number, one.mail.clone()));
        diffs.insert(diff_of(&one.text).to_owned(), one.mail.clone());
        distinct.push(one);
    }
    if distinct.len() > 1 {
        notes.push(format!("no mail has a number: {} patches, in the order of the file", distinct.len()));
    }
    Ok(number_in_order(distinct))
}

/// Without what somebody else answered a series with, as if it were a version of it: one in which no mail
/// has a number, while those of the series have.
fn without_proposals(found: Vec<Found>, notes: &mut Vec<String>) -> Result<Vec<Found>, MailError> {
    let numbered = || found.iter().filter(|one| one.subject.number.is_some());
    let Some(series) = numbered().next().cloned() else {
        // Nobody says what a series is here, but for the first mail; what was sent on unchanged is no other.
        let Some(first) = found.first() else { return Ok(found) };
        let same = |one: &Found| diff_of(&one.text) == diff_of(&first.text);
        return match found.iter().find(|one| one.is_proposal_to(first) && !same(one)) {
            None => Ok(found),
            Some(odd) => Err(MailError::Proposal { mail: odd.mail.clone(), first: first.mail.clone() }),
        };
    };
    let senders: HashSet<String> = numbered().map(|one| one.sender.clone()).collect();
    let versions: HashSet<u32> = numbered().map(|one| one.subject.version).collect();
    let is_proposal = |one: &Found| {
        let is_of_series = senders.contains(&one.sender) || versions.contains(&one.subject.version);
        one.answers && !is_of_series && !broken("mail-proposal")
    };
    let (proposals, found): (Vec<Found>, Vec<Found>) = found.into_iter().partition(is_proposal);
    if !proposals.is_empty() {
        let mails: Vec<MailName> = proposals.into_iter().map(|one| one.mail).collect();
        let series = &series.mail;
        notes.push(format!("somebody else's answer to {series} is no part of it: {}", names(&mails)));
    }
    Ok(found)
}

/// The newest version that is complete.
fn choose(found: Vec<Found>, mut notes: Vec<String>) -> Result<MailSeries, MailError> {
    let found = without_proposals(found, &mut notes)?;
    let mut versions: BTreeMap<u32, Vec<Found>> = BTreeMap::new();
    for one in found {
        versions.entry(one.subject.version).or_default().push(one);
    }
    let one_by_one = versions.values().flatten().all(|found| found.subject.number.is_none());
    let mut newest_trouble = None;
    let mut passed_over = Vec::new();
    while let Some((version, found)) = versions.pop_last() {
        let found = if one_by_one { in_file_order(version, found, &mut notes)? } else { found };
        match assemble(version, found, &mut notes) {
            Ok(patches) => {
                for (newer, trouble) in passed_over {
                    notes.push(format!("v{newer} is not used, v{version} is: {trouble}"));
                }
                let older: Vec<String> = versions.keys().map(|older| format!("v{older}")).collect();
                if !older.is_empty() {
                    notes.push(format!(
                        "the newest version is used, v{version}; there is {}, too",
                        older.join(", ")
                    ));
                }
                return Ok(MailSeries { version, patches, notes });
            }
            // A part that is missing sends back to the version before; anything else is an error.
            Err(trouble @ MailError::Missing { .. }) => {
                passed_over.push((version, trouble.to_string()));
                newest_trouble.get_or_insert(trouble);
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Err(newest_trouble.unwrap_or(MailError::NoPatch { mails: 0, replies: 0 }))
}

/// The parts of one version in order, each once.
fn assemble(version: u32, found: Vec<Found>, notes: &mut Vec<String>) -> Result<Vec<PatchText>, MailError> {
    let mut parts: BTreeMap<u32, Found> = BTreeMap::new();
    let (numbered, single): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|found| found.subject.number.is_some());
    // One without a number beside a numbered series is somebody's proposal, and no part of it.
    let (found, odd) = if numbered.is_empty() { (single, numbered) } else { (numbered, single) };
    let first = found[0].clone();
    for one in found {
        if one.subject.of != first.subject.of {
            return Err(MailError::Mixed { version, first: first.mail, second: one.mail });
        }
        // A single patch has no number.
        let number = one.subject.number.unwrap_or(1);
        match parts.get(&number) {
            None => drop(parts.insert(number, one)),
            Some(known) if diff_of(&known.text) == diff_of(&one.text) => {
                notes.push(format!("{} is the same patch as {}", one.mail, known.mail));
            }
            Some(_) if broken("mail-differ") => {}
            Some(known) => {
                let (first, second) = (known.mail.clone(), one.mail);
                return Err(MailError::Differ { version, number, first, second });
            }
        }
    }
    let of = first.subject.of;
    if of as usize > limits::SERIES_PATCHES || parts.len() > limits::SERIES_PATCHES {
        return Err(MailError::TooMany { found: parts.len().max(of as usize) });
    }
    let missing: Vec<u32> = (1..=of).filter(|number| !parts.contains_key(number)).collect();
    if !missing.is_empty() && !broken("mail-missing") {
        let have = parts.into_values().map(|found| found.mail).collect();
        return Err(MailError::Missing { version, of, missing, have });
    }
    for odd in odd {
        notes.push(match parts.values().find(|part| diff_of(&part.text) == diff_of(&odd.text)) {
            Some(part) => format!("{} is the same patch as {}", odd.mail, part.mail),
            None => format!("{} has no number and is no part of the series: it is left out", odd.mail),
        });
    }
    let patch = |(number, found): (u32, Found)| PatchText {
        subject: found.subject.title,
        number,
        of,
        text: found.text,
    };
    Ok(parts.into_iter().map(patch).collect())
}

/// Whether a file that is no mail has a diff in it, such as `git diff` prints.
pub fn is_diff(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| mbox::diff_start(text).is_some())
}

/// The diff alone, without what a list adds below the signature mark.
fn diff_of(text: &str) -> &str {
    let start = mbox::diff_start(text).unwrap_or(0);
    let diff = &text[start..];
    diff.split("\n-- \n").next().unwrap_or(diff).trim_end()
}

/// Whether a patch touches nothing but files of the man-pages repository (`man/`, `man1/` to
/// `man8/`): part of what is mailed, not of the kernel.
pub fn is_man_page(patch: &str) -> bool {
    let of_git = || patch.lines().filter_map(|line| line.strip_prefix("diff --git "));
    let plain = || patch.lines().filter_map(|line| line.strip_prefix("+++ ").or(line.strip_prefix("--- ")));
    let paths: Vec<&str> = if of_git().next().is_some() {
        of_git().flat_map(|names| names.split(' ')).collect()
    } else {
        plain()
            .map(|name| name.split('\t').next().unwrap_or(name))
            .filter(|name| *name != "/dev/null")
            .collect()
    };
    let is_man = |path: &&str| {
        let path = path.strip_prefix("a/").or_else(|| path.strip_prefix("b/")).unwrap_or(path);
        let top = path.split('/').next().unwrap_or_default();
        let section = top.strip_prefix("man").unwrap_or("-");
        path.contains('/') && matches!(section, "" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8")
    };
    !paths.is_empty() && paths.iter().all(is_man)
}
