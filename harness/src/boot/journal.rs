//! The journal of a guest's life: what the watch was told and when, so that it can be told again.
//!
//! JSON lines, and no file: [`Journal`] writes to whatever takes bytes, [`replay`] reads a text. Bytes
//! of console and result port are not in it, only how many came when; they are in the guest's logs, and
//! the last line has the hashes of both, and one over all lines before. Times are whole milliseconds, in
//! the guest's life as well as here, so that a life that is told again is the same life.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frames::{Decoder, Nonce};
use crate::broken::broken;
use crate::judge::watch::{Deadlines, Event, Evidence, LinkFailure, Watch};
use crate::limits;
use crate::model::Plan;

/// Raised when a reader of the version before would misread it.
const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    journal: u32,
    nonce: String,
    deadlines: Deadlines,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    console: String,
    results: String,
    seal: String,
}

/// What happened at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum What {
    /// So many bytes of the console.
    Console(u64),
    /// So many bytes of the result port.
    Results(u64),
    /// The result port's end.
    ResultsEnd,
    Shutdown {
        by_guest: bool,
        reason: String,
    },
    TooMuch {
        stream: String,
        limit_bytes: u64,
    },
    Exit {
        how: String,
        success: bool,
        stderr: String,
    },
    At(u64),
    Link(LinkFailure),
    /// Only where it gave rise to something.
    Tick,
    Stop(String),
    /// There was more, and no room for it.
    Full,
}

/// A moment, in milliseconds since QEMU was spawned.
type Line = (u64, What);

impl What {
    /// What is written down of an event; frames are in the result port's bytes.
    fn of(event: &Event<'_>) -> Option<What> {
        Some(match event {
            Event::Console(bytes) => What::Console(bytes.len() as u64),
            Event::Message(_) | Event::BadFrame { .. } | Event::Tick => return None,
            Event::Shutdown { by_guest, reason } => {
                What::Shutdown { by_guest: *by_guest, reason: reason.clone() }
            }
            Event::TooMuch { stream, limit_bytes } => {
                What::TooMuch { stream: (*stream).to_owned(), limit_bytes: *limit_bytes }
            }
            Event::Exit { how, success, stderr } => {
                What::Exit { how: how.clone(), success: *success, stderr: stderr.clone() }
            }
            Event::At(address) => What::At(*address),
            Event::Link(failure) => What::Link(failure.clone()),
            Event::Stop(signal) => What::Stop((*signal).to_owned()),
        })
    }
}

/// Writes a journal, as it happens.
#[derive(Debug)]
pub struct Journal<W> {
    to: W,
    bytes: u64,
    sum: blake3::Hasher,
    console: blake3::Hasher,
    results: blake3::Hasher,
    /// Bytes of one millisecond and stream are one line.
    pending: Option<Line>,
    failed: Option<io::Error>,
}

impl<W: Write> Journal<W> {
    /// Begins one, for a guest that is asked by `nonce`.
    pub fn begin(to: W, nonce: Nonce, deadlines: Deadlines) -> io::Result<Journal<W>> {
        let [sum, console, results] = [(); 3].map(|()| blake3::Hasher::new());
        let mut journal = Journal { to, bytes: 0, sum, console, results, pending: None, failed: None };
        let head = Head { journal: VERSION, nonce: nonce.to_string(), deadlines };
        journal.line(&serde_json::to_string(&head)?)?;
        Ok(journal)
    }

    /// An event, before the watch is told of it.
    pub fn event(&mut self, now: Duration, event: &Event<'_>) {
        if let Event::Console(bytes) = event {
            self.console.update(bytes);
        }
        if let Some(what) = What::of(event) {
            self.note(now, what);
        }
    }

    /// A look at the clock that made the watch want something.
    pub fn tick(&mut self, now: Duration) {
        self.note(now, What::Tick);
    }

    /// Bytes of the result port, or its end; the frames in them are no events of their own.
    pub fn results(&mut self, now: Duration, bytes: &[u8]) {
        self.results.update(bytes);
        self.note(now, if bytes.is_empty() { What::ResultsEnd } else { What::Results(bytes.len() as u64) });
    }

    /// The guest's end. Says what went wrong in writing, now or before.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush();
        if let Some(error) = self.failed {
            return Err(error);
        }
        let hex = |sum: &blake3::Hasher| sum.finalize().to_hex().to_string();
        let (console, results, seal) = (hex(&self.console), hex(&self.results), hex(&self.sum));
        self.line(&serde_json::to_string(&End { console, results, seal })?)
    }

    fn note(&mut self, now: Duration, what: What) {
        let ms = now.as_millis() as u64;
        match (&mut self.pending, &what) {
            (Some((at, What::Console(sum))), What::Console(more)) if *at == ms => *sum += more,
            (Some((at, What::Results(sum))), What::Results(more)) if *at == ms => *sum += more,
            _ => {
                self.flush();
                self.pending = Some((ms, what));
            }
        }
    }

    fn flush(&mut self) {
        let Some(line) = self.pending.take() else { return };
        if self.failed.is_some() || self.bytes > limits::JOURNAL_BYTES {
            return;
        }
        let written = serde_json::to_string(&line).map_err(io::Error::from).and_then(|text| {
            if self.bytes + text.len() as u64 <= limits::JOURNAL_BYTES {
                return self.line(&text);
            }
            // From here on there is nothing but this word.
            self.bytes = limits::JOURNAL_BYTES;
            self.line(&serde_json::to_string(&(line.0, What::Full))?)
        });
        self.failed = written.err();
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let line = format!("{text}\n");
        self.sum.update(line.as_bytes());
        self.bytes += line.len() as u64;
        self.to.write_all(line.as_bytes())
    }
}

/// Why a life cannot be told again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum JournalError {
    #[error("is of version {found}; this tool reads {VERSION}")]
    Version { found: u32 },
    #[error("line {line} is none of a journal: {error}")]
    Line { line: usize, error: String },
    #[error("has no end: the run was killed before the guest had ended")]
    NoEnd,
    #[error("was changed after the run had written it (its seal does not fit)")]
    Edited,
    #[error("is full: more happened than {} bytes hold", limits::JOURNAL_BYTES)]
    Full,
    #[error("does not fit the {0}, which was changed after the run had written it")]
    Log(&'static str),
}

/// What the watch sees when it is told everything again.
pub fn replay(journal: &str, plan: &Plan, console: &[u8], results: &[u8]) -> Result<Evidence, JournalError> {
    let (head, lines) = read(journal, console, results)?;
    let nonce = head.nonce.parse().map_err(|error: super::frames::NonceError| JournalError::Line {
        line: 1,
        error: error.to_string(),
    })?;
    let mut decoder = Decoder::new(nonce, plan);
    let mut watch = Watch::new(plan.runs.len(), head.deadlines);
    let (mut console, mut results) = (console, results);
    for (number, (ms, what)) in (2..).zip(lines) {
        let now = Duration::from_millis(ms);
        let event = match what {
            What::Console(bytes) => Event::Console(take(&mut console, bytes, "console's log")?),
            What::Results(bytes) => {
                for decoded in decoder.push(take(&mut results, bytes, "result port's log")?) {
                    watch.step(now, Event::decoded(decoded));
                }
                continue;
            }
            What::ResultsEnd => {
                if let Some(problem) = decoder.finish() {
                    watch.step(now, Event::decoded(Err(problem)));
                }
                continue;
            }
            What::Shutdown { by_guest, reason } => Event::Shutdown { by_guest, reason },
            What::TooMuch { stream, limit_bytes } => {
                Event::TooMuch { stream: known(&stream, &["console", "result port"], number)?, limit_bytes }
            }
            What::Exit { how, success, stderr } => Event::Exit { how, success, stderr },
            What::At(address) => Event::At(address),
            What::Link(failure) => Event::Link(failure),
            What::Tick => Event::Tick,
            What::Stop(signal) => Event::Stop(known(&signal, &["SIGINT", "SIGTERM", "SIGHUP"], number)?),
            What::Full => return Err(JournalError::Full),
        };
        watch.step(now, event);
    }
    Ok(watch.into_evidence())
}

/// The lines of a journal whose seal fits, and which is about these logs.
fn read(journal: &str, console: &[u8], results: &[u8]) -> Result<(Head, Vec<Line>), JournalError> {
    let wrong = |line: usize, error: serde_json::Error| JournalError::Line { line, error: error.to_string() };
    let lines: Vec<&str> = journal.lines().collect();
    let head: serde_json::Value =
        serde_json::from_str(lines.first().copied().unwrap_or_default()).map_err(|error| wrong(1, error))?;
    match head["journal"].as_u64() {
        Some(found) if found != u64::from(VERSION) => {
            return Err(JournalError::Version { found: found.try_into().unwrap_or(u32::MAX) });
        }
        _ => {}
    }
    let head: Head = serde_json::from_value(head).map_err(|error| wrong(1, error))?;
    let [_, middle @ .., last] = &lines[..] else { return Err(JournalError::NoEnd) };
    let Ok(End { console: of_console, results: of_results, seal }) = serde_json::from_str(last) else {
        return Err(JournalError::NoEnd);
    };
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let sealed = &journal[..last.as_ptr() as usize - journal.as_ptr() as usize];
    if hash(sealed.as_bytes()) != seal && !broken("journal-seal") {
        return Err(JournalError::Edited);
    }
    for (bytes, sum, what) in
        [(console, of_console, "console's log"), (results, of_results, "result port's log")]
    {
        if hash(bytes) != sum && !broken("journal-logs") {
            return Err(JournalError::Log(what));
        }
    }
    let parsed = (2..).zip(middle).map(|(number, line)| {
        serde_json::from_str(line).map_err(|error: serde_json::Error| wrong(number, error))
    });
    Ok((head, parsed.collect::<Result<_, _>>()?))
}

fn take<'a>(from: &mut &'a [u8], bytes: u64, what: &'static str) -> Result<&'a [u8], JournalError> {
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= from.len());
    let (taken, rest) = from.split_at(bytes.ok_or(JournalError::Log(what))?);
    *from = rest;
    Ok(taken)
}

fn known(word: &str, words: &[&'static str], line: usize) -> Result<&'static str, JournalError> {
    let found = words.iter().find(|known| **known == word).copied();
    found.ok_or_else(|| JournalError::Line { line, error: format!("{word:?} is none of {words:?}") })
}

#[cfg(test)]
mod tests;
