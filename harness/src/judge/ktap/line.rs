//! One line of KTAP: what it is, wherever it stands.

use super::{Counts, Status, Version};

/// A line without its indentation and comment marks.
#[derive(Debug)]
pub(super) enum Line<'a> {
    /// A version line; `None` if the version is not known.
    Version(Option<Version>),
    /// `1..N`, with what follows `# SKIP`.
    Plan { planned: u64, skip: Option<&'a str> },
    /// `ok` or `not ok`; `data` is what follows `#`.
    Result { ok: bool, number: Option<u64>, name: &'a str, data: &'a str },
    /// `Bail out!`
    Bail(&'a str),
    /// `Totals:` of kselftest.h
    Totals(Totals),
    /// `Subtest:`
    Subtest(&'a str),
    /// ` RUN  name ...` of kselftest_harness.h
    Run,
    /// `OK  name`, `FAIL  name` of kselftest_harness.h: says what the result line says.
    Mark,
    /// Meant to count, it seems, but not understood.
    Bad { failure: bool },
    /// Anything else.
    Text,
}

impl Line<'_> {
    /// The line bears on the result of the program.
    pub(super) fn counts(&self) -> bool {
        match self {
            Line::Version(_)
            | Line::Plan { .. }
            | Line::Result { .. }
            | Line::Bail(_)
            | Line::Totals(_)
            | Line::Bad { .. } => true,
            Line::Subtest(_) | Line::Run | Line::Mark | Line::Text => false,
        }
    }
}

/// The numbers of `# Totals:`. Statuses that kselftest.h does not have are counted where its
/// nearest word is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pass: u64,
    fail: u64,
    xfail: u64,
    xpass: u64,
    skip: u64,
    error: u64,
}

impl Totals {
    pub(super) fn of(counts: &Counts) -> Totals {
        Totals {
            pass: counts.ok as u64,
            fail: (counts.not_ok + counts.timeout) as u64,
            xfail: (counts.xfail + counts.todo) as u64,
            xpass: counts.xpass as u64,
            skip: counts.skip as u64,
            error: counts.error as u64,
        }
    }

    /// All six fields, in any order. `KUnit`'s line of the same name has others and sums up all
    /// levels: it is not for us.
    fn parse(text: &str) -> Option<Totals> {
        let mut totals = Totals::default();
        let mut fields = 0;
        for word in text.split_ascii_whitespace() {
            let (key, value) = word.split_once(':')?;
            let field = match key {
                "pass" => &mut totals.pass,
                "fail" => &mut totals.fail,
                "xfail" => &mut totals.xfail,
                "xpass" => &mut totals.xpass,
                "skip" => &mut totals.skip,
                "error" => &mut totals.error,
                _ => return None,
            };
            *field = value.parse().ok()?;
            fields += 1;
        }
        (fields == 6).then_some(totals)
    }
}

/// The lines of a stream: number, bytes without the newline, and whether there was one.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8], bool)> {
    (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')).map(|(at, line)| {
        let text = line.strip_suffix(b"\n");
        (at, text.unwrap_or(line), text.is_some())
    })
}

/// Splits off spaces, tabs and `# ` at the beginning; their length is the line's column.
pub(super) fn split_column(text: &str) -> (usize, &str) {
    let bytes = text.as_bytes();
    let mut column = 0;
    while let Some(byte) = bytes.get(column) {
        column += match byte {
            b' ' | b'\t' => 1,
            b'#' if bytes.get(column + 1) == Some(&b' ') => 2,
            _ => break,
        };
    }
    (column, text[column..].trim_end())
}

/// Says what a line is; `rest` comes from [`split_column`].
pub(super) fn classify(rest: &str) -> Line<'_> {
    if let Some(version) = version(rest) {
        return Line::Version(version);
    }
    if let Some(reason) = rest.strip_prefix("Bail out!") {
        return Line::Bail(reason.trim());
    }
    if let Some(name) = rest.strip_prefix("Subtest: ") {
        return Line::Subtest(name.trim());
    }
    if let Some(totals) = rest.strip_prefix("Totals: ").and_then(Totals::parse) {
        return Line::Totals(totals);
    }
    if rest.starts_with("RUN  ") && rest.ends_with("...") {
        return Line::Run;
    }
    if rest.starts_with("OK  ") || rest.starts_with("FAIL  ") {
        return Line::Mark;
    }
    if rest.starts_with("1..") {
        return plan(rest);
    }
    result(rest)
}

fn version(rest: &str) -> Option<Option<Version>> {
    let number = rest.strip_prefix("KTAP version ").or_else(|| rest.strip_prefix("TAP version "))?;
    Some(match (rest.starts_with('K'), number) {
        (true, "1") => Some(Version::Ktap1),
        (false, "13") => Some(Version::Tap13),
        (false, "14") => Some(Version::Tap14),
        _ => None,
    })
}

fn plan(rest: &str) -> Line<'_> {
    let (range, comment) = match rest.split_once('#') {
        Some((range, comment)) => (range, Some(comment.trim_start())),
        None => (rest, None),
    };
    let count = range.trim_end().strip_prefix("1..").unwrap_or_default();
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let Some(planned) = count.parse().ok().filter(|_| digits) else {
        return Line::Bad { failure: false };
    };
    let skip = comment.and_then(|comment| {
        let (word, reason) = directive(comment);
        word.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("skip")).then_some(reason)
    });
    Line::Plan { planned, skip }
}

fn result(rest: &str) -> Line<'_> {
    let word = |word| {
        rest.strip_prefix(word).filter(|after: &&str| after.is_empty() || after.starts_with([' ', '\t']))
    };
    let (ok, after) = match (word("ok"), word("not ok")) {
        (Some(after), _) => (true, after),
        (None, Some(after)) => (false, after),
        (None, None) => {
            let failure = rest.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("not ok"));
            return if failure { Line::Bad { failure } } else { Line::Text };
        }
    };
    let after = after.trim_start();
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = match after.split_at(digits) {
        (number, after) if after.is_empty() || after.starts_with([' ', '\t', '#']) => {
            (number.parse().ok(), after)
        }
        _ => (None, after),
    };
    let after = after.trim_start();
    let after = after.strip_prefix("- ").unwrap_or(after);
    let (name, data) = split_data(after);
    Line::Result { ok, number, name: name.trim(), data: data.trim() }
}

/// Splits a description from what follows the first `#` that begins a word.
fn split_data(after: &str) -> (&str, &str) {
    let begins_word = |at: usize| at == 0 || after[..at].ends_with([' ', '\t']);
    match after.match_indices('#').find(|(at, _)| begins_word(*at)) {
        Some((at, _)) => (&after[..at], &after[at + 1..]),
        None => (after, ""),
    }
}

/// The first word of a comment, and what follows it.
fn directive(data: &str) -> (&str, &str) {
    let end = data.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(data.len());
    (&data[..end], data[end..].trim_start_matches(':').trim_start())
}

/// What a result means, and the data that is left when the directive is taken off. Data of an
/// unknown directive is kept whole: it is no directive then. After `ok`, a directive is looked for
/// behind every `#`, so that one in a name (`ok 1 case #2 # SKIP`) does not turn a skip into a pass.
pub(super) fn status(ok: bool, data: &str) -> (Status, &str) {
    let mut rest = data;
    loop {
        if let Some(found) = known_directive(ok, rest) {
            return found;
        }
        let more = rest.split_once(" #").filter(|_| ok);
        let Some((_, after)) = more else { break };
        rest = after.trim_start();
    }
    (if ok { Status::Ok } else { Status::NotOk }, data)
}

fn known_directive(ok: bool, data: &str) -> Option<(Status, &str)> {
    let (word, reason) = directive(data);
    let status = match word.to_ascii_uppercase().as_str() {
        "SKIP" => Status::Skip,
        word if ok && word.starts_with("SKIP") => Status::Skip,
        "TODO" => Status::Todo,
        "XFAIL" => Status::Xfail,
        "XPASS" => Status::Xpass,
        "TIMEOUT" => Status::Timeout,
        "ERROR" => Status::Error,
        _ => return None,
    };
    Some((status, reason))
}

/// An unfinished line that more bytes might have made count.
pub(super) fn may_become_result(rest: &str) -> bool {
    let lines = ["ok ", "not ok ", "1..", "Bail out!", "KTAP version ", "TAP version ", "Totals: "];
    !rest.is_empty() && lines.iter().any(|line| line.starts_with(rest)) || rest.starts_with("Totals: ")
}

/// Bytes of a name that are kept: names are joined along nested lists and repeated for every leaf,
/// and no honest one comes near it.
const NAME_BYTES: usize = 256;

/// A description as the name of a case.
pub(super) fn name(text: &str) -> String {
    let kept = clip(text, NAME_BYTES);
    clean(kept) + if kept.len() < text.len() { "…" } else { "" }
}

/// At most so many bytes, cut between characters.
pub(super) fn clip(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Decoded text on one line: what could move a terminal's cursor or end a line is replaced.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether the version line, and so the whole output, has printk's time before it.
pub(super) fn is_stamped(bytes: &[u8]) -> bool {
    let is_version = |raw: &[u8]| {
        // Longer lines are no version lines.
        let text = String::from_utf8_lossy(&raw[..raw.len().min(80)]);
        version(split_column(&text).1).is_some()
    };
    for raw in bytes.split(|byte| *byte == b'\n') {
        if is_version(raw) {
            return false;
        }
        let stamp = stamp_len(raw);
        if stamp > 0 && is_version(&raw[stamp..]) {
            return true;
        }
    }
    false
}

/// The length of `[   12.345678] ` at the beginning of a line, `[  T12]` after it included; 0 if
/// there is none.
pub(super) fn stamp_len(raw: &[u8]) -> usize {
    let Some(end) = bracket(raw, b"0123456789.") else { return 0 };
    let end = end + bracket(&raw[end..], b"CT0123456789").unwrap_or(0);
    if raw.get(end) == Some(&b' ') { end + 1 } else { 0 }
}

/// The length of a bracketed word of these characters, spaces before it allowed.
fn bracket(raw: &[u8], of: &[u8]) -> Option<usize> {
    let inner = raw.strip_prefix(b"[")?;
    let close = inner.iter().take(24).position(|byte| *byte == b']')?;
    let word = inner[..close].trim_ascii_start();
    (!word.is_empty() && word.iter().all(|byte| of.contains(byte))).then_some(close + 2)
}
