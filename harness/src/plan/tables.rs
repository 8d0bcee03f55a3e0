//! The syscall tables of an x86 kernel tree: which number and which kernel function a call has,
//! for each ABI.
//!
//! Pure: the caller reads the files. A table that the kernel's own scripts would refuse, or would
//! read other than a person does (they skip lines in silence), is an error with file and line.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use crate::model::Abi;

/// The table of the 64-bit and x32 ABIs, below the tree's root.
pub const TABLE_64: &str = "arch/x86/entry/syscalls/syscall_64.tbl";
/// The table of i386.
pub const TABLE_32: &str = "arch/x86/entry/syscalls/syscall_32.tbl";
/// The table of the architectures without one of their own, from 6.11 on.
pub const TABLE_GENERIC: &str = "scripts/syscall.tbl";
/// The same before 6.11.
pub const HEADER_GENERIC: &str = "include/uapi/asm-generic/unistd.h";

/// The closed legacy range of x32; new calls have the same number for x32 as for 64 bit.
pub const LEGACY_X32: RangeInclusive<u32> = 512..=547;

/// Bit 30 of the number register marks an x32 call, so no number reaches it.
const NUMBER_END: u32 = 1 << 30;
/// Lines that one `__SYSCALL(…)` may take; Linux uses two.
const CALL_LINES_MAX: usize = 8;

/// The second column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// For 64 bit and x32.
    Common,
    /// For 64 bit only.
    Bits64,
    /// For x32 only.
    X32,
    /// The only one of the 32-bit table.
    I386,
}

impl Tag {
    fn parse(word: &str, file: &str) -> Option<Tag> {
        match (word, file) {
            ("common", TABLE_64) => Some(Tag::Common),
            ("64", TABLE_64) => Some(Tag::Bits64),
            ("x32", TABLE_64) => Some(Tag::X32),
            ("i386", TABLE_32) => Some(Tag::I386),
            _ => None,
        }
    }

    /// Whether a line with this tag counts for an ABI.
    pub fn serves(self, abi: Abi) -> bool {
        match abi {
            Abi::M64 => matches!(self, Tag::Common | Tag::Bits64),
            Abi::Mx32 => matches!(self, Tag::Common | Tag::X32),
            Abi::M32 => self == Tag::I386,
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tag::Common => "common",
            Tag::Bits64 => "64",
            Tag::X32 => "x32",
            Tag::I386 => "i386",
        })
    }
}

/// One line of an x86 table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without the x32 bit.
    pub number: u32,
    /// Whom the line is for.
    pub tag: Tag,
    /// The name in `__NR_name`.
    pub name: String,
    /// `sys_xyzzy`; none where the number is taken and the call is not implemented.
    pub entry: Option<String>,
    /// `compat_sys_xyzzy`, in the 32-bit table.
    pub compat: Option<String>,
    /// The call never returns (a sixth column of 6.10 and later).
    pub noreturn: bool,
    /// From 1.
    pub line: u32,
}

impl Entry {
    /// The table the line is in.
    pub fn file(&self) -> &'static str {
        if self.tag == Tag::I386 { TABLE_32 } else { TABLE_64 }
    }

    /// The kernel function that a 64-bit kernel jumps to, such as `__x64_sys_xyzzy`; none if the
    /// call is not implemented.
    pub fn symbol(&self) -> Option<String> {
        let function = self.function()?;
        Some(match self.tag {
            Tag::Common | Tag::Bits64 | Tag::X32 => format!("__x64_{function}"),
            Tag::I386 => format!("__ia32_{function}"),
        })
    }

    /// The function of the columns that counts in a 64-bit kernel: `sys_xyzzy`, or the compat entry.
    pub fn function(&self) -> Option<&str> {
        let entry = self.entry.as_deref()?;
        let compat = self.compat.as_deref().filter(|_| self.tag == Tag::I386);
        Some(compat.unwrap_or(entry))
    }
}

/// The line as a message names it: file, line, then what it says.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { number, tag, name, line, .. } = self;
        write!(f, "{}:{line}: {number} {tag} {name}", self.file())
    }
}

/// One call of the generic table or header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenericEntry {
    /// The number.
    pub number: u32,
    /// The name in `__NR_name` (or `__NR3264_name`).
    pub name: String,
    /// `sys_xyzzy`; where the header has one for 32 bit and one for 64, the latter.
    pub entry: Option<String>,
    /// `compat_sys_xyzzy`.
    pub compat: Option<String>,
    /// From 1.
    pub line: u32,
}

/// The generic calls, in the form that the tree has them.
#[derive(Debug, Clone, Copy)]
pub enum Generic<'a> {
    /// The text of [`TABLE_GENERIC`].
    Table(&'a str),
    /// The text of [`HEADER_GENERIC`].
    Header(&'a str),
}

/// A table that does not say what its author thinks it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct TableError {
    /// The table, below the tree's root.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// What is wrong there.
    pub what: LineError,
}

/// What can be wrong with one line of a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Neither a comment nor blank, and yet the scripts skip it.
    #[error("the line does not start with a number, so the kernel's scripts skip it")]
    Skipped,
    /// A number column that is none, or one that reaches the x32 bit.
    #[error("{0:?} is not a syscall number")]
    Number(String),
    /// The scripts skip lines whose second column they do not know.
    #[error("{0:?} is not an ABI of this table, so the kernel's scripts skip the line")]
    Abi(String),
    /// A name or function that is no C identifier, or a missing name.
    #[error("{0:?} is not a name")]
    Name(String),
    /// More columns than the format has.
    #[error("{0:?} does not belong here: the columns are number, abi, name, entry, compat, noreturn")]
    Column(String),
    /// Two lines that one ABI sees have one number, or are out of order.
    #[error("number {number} comes after {earlier} of line {earlier_line}: numbers of one ABI ascend")]
    Order {
        /// The number here.
        number: u32,
        /// The number there, the same or a greater one.
        earlier: u32,
        /// The line before it.
        earlier_line: u32,
    },
    /// Two lines that one ABI sees have one name.
    #[error("{name} has a line for {abi} already, line {earlier_line}")]
    Twice {
        /// The name.
        name: String,
        /// The ABI that sees both.
        abi: Abi,
        /// The line before it.
        earlier_line: u32,
    },
    /// `__SYSCALL(…)` in the header without the number that it uses.
    #[error("{0} has no number above")]
    Undefined(String),
    /// `__SYSCALL(…` in the header without an end.
    #[error("the call is not closed")]
    Unclosed,
}

/// All tables of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The 64-bit table, then the 32-bit one.
    entries: Vec<Entry>,
    generic: Option<Vec<GenericEntry>>,
}

impl Tables {
    /// Reads the text of [`TABLE_64`], [`TABLE_32`] and what the tree has for the other
    /// architectures.
    pub fn parse(t64: &str, t32: &str, generic: Option<Generic>) -> Result<Tables, TableError> {
        let mut entries = parse_table(TABLE_64, t64)?;
        entries.extend(parse_table(TABLE_32, t32)?);
        let generic = match generic {
            None => None,
            Some(Generic::Table(text)) => Some(parse_generic_table(text)?),
            Some(Generic::Header(text)) => Some(parse_generic_header(text)?),
        };
        Ok(Tables { entries, generic })
    }

    /// The line of a call for an ABI.
    pub fn lookup(&self, name: &str, abi: Abi) -> Option<&Entry> {
        self.entries(abi).find(|entry| entry.name == name)
    }

    /// Who has a number for an ABI.
    pub fn holder(&self, number: u32, abi: Abi) -> Option<&Entry> {
        self.entries(abi).find(|entry| entry.number == number)
    }

    /// The lines that count for an ABI, in the order of their numbers.
    pub fn entries(&self, abi: Abi) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.tag.serves(abi))
    }

    /// The kernel function by which a call enters for an ABI ([`Entry::symbol`]).
    pub fn entry_symbol(&self, name: &str, abi: Abi) -> Option<String> {
        self.lookup(name, abi)?.symbol()
    }

    /// The first line of a call in the generic table, if the tree has one and the call is in it.
    pub fn generic(&self, name: &str) -> Option<&GenericEntry> {
        self.generic.iter().flatten().find(|entry| entry.name == name)
    }

    /// The first line of a number in the generic table.
    pub fn generic_holder(&self, number: u32) -> Option<&GenericEntry> {
        self.generic.iter().flatten().find(|entry| entry.number == number)
    }

    /// All lines of the generic table; none if the tree's was not given.
    pub fn generic_entries(&self) -> &[GenericEntry] {
        self.generic.as_deref().unwrap_or_default()
    }

    /// The first number that no table has and none below which is newer. Since 5.0 a new call gets
    /// the same number everywhere; gaps left by older ones stay closed, and so does [`LEGACY_X32`].
    pub fn next_free(&self) -> u32 {
        let x86 = self.entries.iter().map(|entry| entry.number);
        let generic = self.generic_entries().iter().map(|entry| entry.number);
        let last = x86.chain(generic).filter(|number| !LEGACY_X32.contains(number)).max();
        match last.map_or(0, |last| last + 1) {
            next if LEGACY_X32.contains(&next) => LEGACY_X32.end() + 1,
            next => next,
        }
    }

    /// Every name of the x86 tables, sorted.
    pub fn names(&self) -> BTreeSet<&str> {
        self.entries.iter().map(|entry| entry.name.as_str()).collect()
    }
}

fn parse_table(file: &'static str, text: &str) -> Result<Vec<Entry>, TableError> {
    let mut entries: Vec<Entry> = Vec::new();
    // For each ABI: the last line, and all names.
    let mut last: BTreeMap<Abi, (u32, u32)> = BTreeMap::new();
    let mut names: BTreeMap<(Abi, String), u32> = BTreeMap::new();
    for (text, line) in text.lines().zip(1u32..) {
        let error = |what| TableError { file, line, what };
        let Some(row) = Row::parse(text).map_err(error)? else { continue };
        let Row { number, abi, name, entry, compat, noreturn } = row;
        let tag = Tag::parse(abi, file).ok_or_else(|| error(LineError::Abi(excerpt(abi))))?;
        for abi in Abi::ALL.into_iter().filter(|abi| tag.serves(*abi)) {
            if let Some((earlier, earlier_line)) = last.insert(abi, (number, line))
                && earlier >= number
            {
                return Err(error(LineError::Order { number, earlier, earlier_line }));
            }
            if let Some(earlier_line) = names.insert((abi, name.to_owned()), line) {
                let name = name.to_owned();
                return Err(error(LineError::Twice { name, abi, earlier_line }));
            }
        }
        let (name, entry, compat) = (name.to_owned(), owned(entry), owned(compat));
        entries.push(Entry { number, tag, name, entry, compat, noreturn, line });
    }
    Ok(entries)
}

/// The second column of the generic table names conditions that architectures choose from, so any
/// word goes, and two lines may have one number.
fn parse_generic_table(text: &str) -> Result<Vec<GenericEntry>, TableError> {
    let mut entries = Vec::new();
    for (text, line) in text.lines().zip(1u32..) {
        let error = |what| TableError { file: TABLE_GENERIC, line, what };
        if let Some(Row { number, name, entry, compat, .. }) = Row::parse(text).map_err(error)? {
            let (name, entry, compat) = (name.to_owned(), owned(entry), owned(compat));
            entries.push(GenericEntry { number, name, entry, compat, line });
        }
    }
    Ok(entries)
}

/// The columns of one line, as scripts/syscalltbl.sh cuts them.
struct Row<'a> {
    number: u32,
    abi: &'a str,
    name: &'a str,
    entry: Option<&'a str>,
    compat: Option<&'a str>,
    noreturn: bool,
}

impl<'a> Row<'a> {
    /// `None` for a comment or a blank line.
    fn parse(text: &'a str) -> Result<Option<Row<'a>>, LineError> {
        if text.starts_with('#') || text.trim().is_empty() {
            return Ok(None);
        }
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(LineError::Skipped);
        }
        let mut columns = text.split_whitespace();
        let number = parse_number(columns.next().unwrap_or_default())?;
        let abi = columns.next().unwrap_or_default();
        let name = identifier(columns.next().unwrap_or_default())?;
        let entry = columns.next().map(identifier).transpose()?;
        let compat = match columns.next() {
            None | Some("-") => None,
            Some(word) => Some(identifier(word)?),
        };
        let noreturn = match columns.next() {
            None => false,
            Some("noreturn") => true,
            Some(word) => return Err(LineError::Column(excerpt(word))),
        };
        match columns.next() {
            Some(word) => Err(LineError::Column(excerpt(word))),
            None => Ok(Some(Row { number, abi, name, entry, compat, noreturn })),
        }
    }
}

/// asm-generic/unistd.h: `#define __NR_x N`, then `__SYSCALL(__NR_x, sys_x)` or a sibling of it.
/// Conditions of the preprocessor are not evaluated; they choose among entries, not numbers.
fn parse_generic_header(text: &str) -> Result<Vec<GenericEntry>, TableError> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut entries = Vec::new();
    let mut in_comment = false;
    let mut lines = text.lines().zip(1u32..);
    while let Some((text, line)) = lines.next() {
        let error = |what| TableError { file: HEADER_GENERIC, line, what };
        let is_comment = in_comment || text.trim_start().starts_with("/*");
        in_comment = is_comment && !text.contains("*/");
        if is_comment {
            continue;
        }
        let mut words = text.split_whitespace();
        if words.next() == Some("#define") {
            let (name, value) = (words.next().unwrap_or_default(), words.next());
            // Aliases (`__NR_fcntl __NR3264_fcntl`) and macros of C have no number.
            if let Some(digits) = value.filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
                && name.starts_with("__NR")
            {
                numbers.insert(name, parse_number(digits).map_err(error)?);
            }
            continue;
        }
        let Some((call, arguments)) = text.split_once('(') else { continue };
        if !matches!(call, "__SYSCALL" | "__SC_COMP" | "__SC_3264" | "__SC_COMP_3264") {
            continue;
        }
        let mut whole = arguments.to_owned();
        for (more, _) in lines.by_ref().take(if arguments.contains(')') { 0 } else { CALL_LINES_MAX }) {
            whole.push(' ');
            whole.push_str(more);
            if more.contains(')') {
                break;
            }
        }
        let Some((arguments, _)) = whole.split_once(')') else {
            return Err(error(LineError::Unclosed));
        };
        entries.push(generic_call(call, arguments, line, &numbers).map_err(error)?);
    }
    Ok(entries)
}

fn generic_call(
    call: &str,
    arguments: &str,
    line: u32,
    numbers: &BTreeMap<&str, u32>,
) -> Result<GenericEntry, LineError> {
    let blank = |c: char| c.is_whitespace() || c == '\\';
    let mut arguments = arguments.split(',').map(|argument| argument.trim_matches(blank));
    let macro_name = arguments.next().unwrap_or_default();
    let number = *numbers.get(macro_name).ok_or_else(|| LineError::Undefined(excerpt(macro_name)))?;
    let name = macro_name.strip_prefix("__NR_").or_else(|| macro_name.strip_prefix("__NR3264_"));
    let name = identifier(name.unwrap_or_default())?.to_owned();
    let mut function = || identifier(arguments.next().unwrap_or_default()).map(str::to_owned);
    if call.ends_with("_3264") {
        function()?; // the 32-bit variant
    }
    let entry = Some(function()?);
    let compat = if call.starts_with("__SC_COMP") { Some(function()?) } else { None };
    Ok(GenericEntry { number, name, entry, compat, line })
}

fn parse_number(digits: &str) -> Result<u32, LineError> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let number = if plain { digits.parse().ok() } else { None };
    number.filter(|n| *n < NUMBER_END).ok_or_else(|| LineError::Number(excerpt(digits)))
}

fn identifier(word: &str) -> Result<&str, LineError> {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain && !word.is_empty() { Ok(word) } else { Err(LineError::Name(excerpt(word))) }
}

fn owned(word: Option<&str>) -> Option<String> {
    word.map(str::to_owned)
}

/// What a message quotes of somebody else's file.
fn excerpt(word: &str) -> String {
    word.chars().take(60).collect()
}
