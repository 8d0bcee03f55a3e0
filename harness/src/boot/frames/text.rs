//! Payloads: `key=value` lines in a fixed order, from and to the structs of the model.
//!
//! Reading and writing of a message stand next to each other, so that a key is added in both.

use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::model::{Door, DoorEntries, GuestMessage, Hello, Mode, Outcome, RunEnd, Stream, Trace};

/// A string of the guest, in bytes.
const STRING_MAX: usize = 256;

/// Why a payload is not what its message asks for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "fields are what their names say")]
pub enum TextProblem {
    /// Not one byte of output behind the name of its stream.
    #[error("no output in it")]
    NoOutput,
    /// Neither standard output nor standard error.
    #[error("stream {found} is neither stdout (1) nor stderr (2)")]
    Stream { found: u8 },
    /// Something that is neither printable ASCII nor a newline.
    #[error("byte {byte:#04x} at {at}, where only printable ASCII may stand")]
    Byte { byte: u8, at: usize },
    /// A line without its newline.
    #[error("the last line has no end")]
    Unended,
    /// A line is missing, unknown, repeated or in the wrong place.
    #[error("`{found}` where `{expected}=` was due")]
    Key { expected: &'static str, found: String },
    /// The payload ends too early.
    #[error("`{expected}=` is missing")]
    Missing { expected: &'static str },
    /// The payload should have ended.
    #[error("`{found}` after the last line")]
    Trailing { found: String },
    /// A value that its key cannot have.
    #[error("`{value}` is no value of `{key}`")]
    Value { key: &'static str, value: String },
}

/// The lines of a payload that are not taken yet.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn new(payload: &'a [u8]) -> Result<Lines<'a>, TextProblem> {
        let allowed = |byte: &u8| matches!(byte, b'\n' | 0x20..=0x7e);
        if let Some(at) = payload.iter().position(|byte| !allowed(byte)) {
            let byte = payload.get(at).copied().unwrap_or_default();
            return Err(TextProblem::Byte { byte, at });
        }
        match std::str::from_utf8(payload) {
            Ok(rest) if rest.is_empty() || rest.ends_with('\n') => Ok(Lines { rest }),
            _ => Err(TextProblem::Unended),
        }
    }

    /// The value of the next line, which must have this key.
    fn take(&mut self, key: &'static str) -> Result<&'a str, TextProblem> {
        let (line, rest) = self.rest.split_once('\n').ok_or(TextProblem::Missing { expected: key })?;
        let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        self.rest = rest;
        value.ok_or_else(|| TextProblem::Key { expected: key, found: line.to_owned() })
    }

    fn value<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, TextProblem> {
        let value = self.take(key)?;
        parse(value).ok_or_else(|| TextProblem::Value { key, value: value.to_owned() })
    }

    fn string(&mut self, key: &'static str) -> Result<String, TextProblem> {
        self.value(key, |text| (1..=STRING_MAX).contains(&text.len()).then(|| text.to_owned()))
    }

    fn number<T: TryFrom<u64>>(&mut self, key: &'static str) -> Result<T, TextProblem> {
        self.value(key, decimal)
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, TextProblem> {
        self.value(key, |text| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        })
    }

    fn end(&self) -> Result<(), TextProblem> {
        match self.rest.split_once('\n') {
            None => Ok(()),
            Some((line, _)) => Err(TextProblem::Trailing { found: line.to_owned() }),
        }
    }
}

/// Digits only, and one way to write each number.
fn decimal<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse::<u64>().ok())
        .flatten()
        .and_then(|number| T::try_from(number).ok())
}

fn hex8(text: &str) -> Option<u32> {
    let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 8 && text.bytes().all(lower_hex)).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// `ARCH:NR`, as in PLAN and END.
pub(super) struct WireDoor(pub(super) Door);

impl fmt::Display for WireDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:{}", self.0.arch, self.0.nr)
    }
}

fn parse_door(arch: &str, nr: &str) -> Option<Door> {
    Some(Door { arch: hex8(arch)?, nr: decimal(nr)? })
}

/// Doors for a person to compare.
pub(super) fn doors(doors: &[Door]) -> String {
    doors.iter().map(|door| WireDoor(*door).to_string()).collect::<Vec<_>>().join(" ")
}

pub(super) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Plain => "plain",
        Mode::Traced => "traced",
    }
}

fn parse_mode(text: &str) -> Option<Mode> {
    [Mode::Plain, Mode::Traced].into_iter().find(|mode| mode_word(*mode) == text)
}

fn stream_byte(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

/// The payload that says `message`.
pub(super) fn payload(message: &GuestMessage) -> Vec<u8> {
    let text = match message {
        GuestMessage::Hello(hello) => format_hello(hello),
        GuestMessage::Start { mode, pid, tainted, .. } => {
            format!("what={}\npid={pid}\ntainted={tainted}\n", mode_word(*mode))
        }
        GuestMessage::Output { stream, bytes, .. } => {
            return [&[stream_byte(*stream)], bytes.as_slice()].concat();
        }
        GuestMessage::End(end) => format_end(end),
        GuestMessage::Beat { uptime_ms, tainted, .. } => {
            format!("uptime_ms={uptime_ms}\ntainted={tainted}\n")
        }
        GuestMessage::Bye { runs, frames, digest } => {
            format!("runs={runs}\nframes={frames}\ndigest={digest:08x}\n")
        }
        GuestMessage::Refuse { reason, line } => format!("reason={reason}\nline={line}\n"),
    };
    text.into_bytes()
}

pub(super) fn parse_start(payload: &[u8]) -> Result<(Mode, u32, u64), TextProblem> {
    let mut lines = Lines::new(payload)?;
    let mode = lines.value("what", parse_mode)?;
    let start = (mode, lines.number("pid")?, lines.number("tainted")?);
    lines.end()?;
    Ok(start)
}

pub(super) fn parse_output(payload: &[u8]) -> Result<(Stream, &[u8]), TextProblem> {
    let (stream, bytes) = payload.split_first().ok_or(TextProblem::NoOutput)?;
    let stream = [Stream::Stdout, Stream::Stderr]
        .into_iter()
        .find(|known| stream_byte(*known) == *stream)
        .ok_or(TextProblem::Stream { found: *stream })?;
    match bytes {
        [] => Err(TextProblem::NoOutput),
        bytes => Ok((stream, bytes)),
    }
}

pub(super) fn parse_beat(payload: &[u8]) -> Result<(u64, u64), TextProblem> {
    let mut lines = Lines::new(payload)?;
    let beat = (lines.number("uptime_ms")?, lines.number("tainted")?);
    lines.end()?;
    Ok(beat)
}

pub(super) fn parse_bye(payload: &[u8]) -> Result<(u32, u32, u32), TextProblem> {
    let mut lines = Lines::new(payload)?;
    let bye = (lines.number("runs")?, lines.number("frames")?, lines.value("digest", hex8)?);
    lines.end()?;
    Ok(bye)
}

pub(super) fn parse_refuse(payload: &[u8]) -> Result<(String, u32), TextProblem> {
    let mut lines = Lines::new(payload)?;
    let refusal = (lines.string("reason")?, lines.number("line")?);
    lines.end()?;
    Ok(refusal)
}

fn format_hello(hello: &Hello) -> String {
    let Hello { machine, release, version, boot_id, tainted, cpus, smap, smep, mem_kb } = hello;
    format!(
        "agent=1\nmachine={machine}\nrelease={release}\nversion={version}\nboot_id={boot_id}\n\
         tainted={tainted}\ncpus={cpus}\nsmap={}\nsmep={}\nmem_kb={mem_kb}\n",
        u8::from(*smap),
        u8::from(*smep),
    )
}

pub(super) fn parse_hello(payload: &[u8]) -> Result<Hello, TextProblem> {
    let mut lines = Lines::new(payload)?;
    lines.value("agent", |text| (text == "1").then_some(()))?;
    let hello = Hello {
        machine: lines.string("machine")?,
        release: lines.string("release")?,
        version: lines.string("version")?,
        boot_id: lines.value("boot_id", |text| is_uuid(text).then(|| text.to_owned()))?,
        tainted: lines.number("tainted")?,
        cpus: lines.number("cpus")?,
        smap: lines.flag("smap")?,
        smep: lines.flag("smep")?,
        mem_kb: lines.number("mem_kb")?,
    };
    lines.end()?;
    Ok(hello)
}

fn format_end(end: &RunEnd) -> String {
    let (word, code) = match end.outcome {
        Outcome::Exit { code } => ("exit", u16::from(code)),
        Outcome::Signal { signal } => ("signal", u16::from(signal)),
        Outcome::Timeout { signal } => ("timeout", u16::from(signal.unwrap_or(0))),
        Outcome::NoExec { errno } => ("noexec", errno),
        Outcome::Stuck => ("stuck", 0),
        Outcome::Untraced { errno } => ("untraced", errno),
    };
    let mut text = format!("outcome={word}\ncode={code}\n");
    let numbers = [
        ("tainted_before", end.tainted_before),
        ("tainted_after", end.tainted_after),
        ("wall_us", end.wall_us),
        ("user_us", end.user_us),
        ("sys_us", end.sys_us),
        ("maxrss_kb", end.maxrss_kb),
        ("stdout_bytes", end.stdout_bytes),
        ("stderr_bytes", end.stderr_bytes),
        ("leaked", u64::from(end.leaked)),
    ];
    let traced = end.trace.iter().map(|trace| ("traced_syscalls", trace.syscalls));
    for (key, number) in numbers.into_iter().chain(traced) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key}={number}");
    }
    for DoorEntries { door, count } in end.trace.iter().flat_map(|trace| &trace.entries) {
        let _ = writeln!(text, "entry={}:{count}", WireDoor(*door));
    }
    text
}

/// The outcome that `word` and `code` stand for, if there is one in a run of this mode.
fn outcome(word: &str, code: u16, mode: Mode) -> Option<Outcome> {
    let byte = u8::try_from(code).ok();
    let signal = byte.filter(|signal| (1..=127).contains(signal));
    let errno = Some(code).filter(|errno| (1..=4095).contains(errno));
    match word {
        "exit" => byte.map(|code| Outcome::Exit { code }),
        "signal" => signal.map(|signal| Outcome::Signal { signal }),
        "timeout" if code == 0 => Some(Outcome::Timeout { signal: None }),
        "timeout" => signal.map(|signal| Outcome::Timeout { signal: Some(signal) }),
        "noexec" => errno.map(|errno| Outcome::NoExec { errno }),
        "stuck" => (code == 0).then_some(Outcome::Stuck),
        "untraced" if mode == Mode::Traced => errno.map(|errno| Outcome::Untraced { errno }),
        _ => None,
    }
}

pub(super) fn parse_end(run: u16, mode: Mode, payload: &[u8]) -> Result<RunEnd, TextProblem> {
    let mut lines = Lines::new(payload)?;
    let word = lines.take("outcome")?;
    let code = lines.number("code")?;
    let outcome = outcome(word, code, mode)
        .ok_or_else(|| TextProblem::Value { key: "outcome", value: format!("{word} with code {code}") })?;
    let end = RunEnd {
        run,
        outcome,
        tainted_before: lines.number("tainted_before")?,
        tainted_after: lines.number("tainted_after")?,
        wall_us: lines.number("wall_us")?,
        user_us: lines.number("user_us")?,
        sys_us: lines.number("sys_us")?,
        maxrss_kb: lines.number("maxrss_kb")?,
        stdout_bytes: lines.number("stdout_bytes")?,
        stderr_bytes: lines.number("stderr_bytes")?,
        leaked: lines.number("leaked")?,
        trace: match mode {
            Mode::Plain => None,
            Mode::Traced => Some(parse_trace(&mut lines)?),
        },
    };
    lines.end()?;
    Ok(end)
}

fn parse_trace(lines: &mut Lines<'_>) -> Result<Trace, TextProblem> {
    let syscalls = lines.number("traced_syscalls")?;
    let mut entries = Vec::new();
    while !lines.rest.is_empty() {
        entries.push(lines.value("entry", |text| {
            let (arch, rest) = text.split_once(':')?;
            let (nr, count) = rest.split_once(':')?;
            Some(DoorEntries { door: parse_door(arch, nr)?, count: decimal(count)? })
        })?);
    }
    Ok(Trace { syscalls, entries })
}
