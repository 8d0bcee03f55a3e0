//! The result port's wire format: frames in, messages out, and the plan the other way.
//!
//! `guest/PROTOCOL.md` is the description and `guest/vectors/frames.txt` its examples, which the
//! agent's C codec is tested against as well. Pure: no I/O, no clock, no source of randomness.
//!
//! The decoder is strict. It stops at the first violation and says where it was; it never searches
//! for the next sound frame, since what follows damage proves nothing. A stream is a result only if
//! it ended with [`GuestMessage::Bye`].

mod plan;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::mem;
use std::str::FromStr;

use thiserror::Error;

use crate::broken::broken;
use crate::judge::watch::Event;
use crate::model::{Door, GuestMessage, Mode, Outcome, Plan, PlannedRun, RunEnd, Stream};

pub use plan::{EncodeError, encode_plan};
pub use text::TextProblem;

const MAGIC: [u8; 4] = *b"ABX1";
const HEADER_BYTES: usize = 36;
/// The checksum covers the header up to itself.
const CRC_AT: usize = 32;
const PAYLOAD_MAX: usize = 65536;
const NO_RUN: u16 = 0xffff;
const ZERO_NONCE: [u8; 16] = [0; 16];

const TYPE_PLAN: u8 = 65;
const TYPE_CLOSE: u8 = 66;

/// What ties a stream to one machine: random, and new for each that is started or restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// Takes 16 random bytes; all zero is no nonce, since HELLO carries that.
    pub fn new(bytes: [u8; 16]) -> Option<Nonce> {
        (bytes != ZERO_NONCE).then_some(Nonce(bytes))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        // Only what Display writes: from_str_radix alone would take a sign and capitals.
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(NonceError);
        }
        u128::from_str_radix(text, 16)
            .ok()
            .and_then(|number| Nonce::new(number.to_be_bytes()))
            .ok_or(NonceError)
    }
}

/// Not a nonce as [`Nonce`] displays itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a nonce is 32 lower-case hex digits and not zero")]
pub struct NonceError;

/// The first violation in a stream, and the end of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("result stream, byte {offset}: {kind}")]
pub struct FrameProblem {
    /// Where the frame in question begins.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

impl Event<'_> {
    /// What a decoder made of the agent's stream, as the watch is told of it.
    pub fn decoded(decoded: Result<GuestMessage, FrameProblem>) -> Event<'static> {
        match decoded {
            Ok(message) => Event::Message(message),
            Err(problem) => Event::BadFrame { name: problem.kind.name(), text: problem.to_string() },
        }
    }
}

/// What can be wrong with a frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "fields are what their names say")]
pub enum ProblemKind {
    /// The stream ended inside the frame.
    #[error("the stream ends after {bytes} bytes of a frame")]
    Truncated { bytes: usize },
    /// It does not start like one.
    #[error("no frame starts with {found:02x?}")]
    Magic { found: [u8; 4] },
    /// A byte that must be zero is not.
    #[error("the reserved byte is {found}")]
    Reserved { found: u8 },
    /// The payload would be longer than any may be.
    #[error("a payload of {length} bytes, where {PAYLOAD_MAX} are the limit")]
    TooLong { length: u32 },
    /// Header or payload are damaged.
    #[error("checksum {found:08x}, where the bytes give {computed:08x}")]
    Crc { found: u32, computed: u32 },
    /// No message of the guest has this type.
    #[error("type {found} is no message of a guest")]
    Type { found: u8 },
    /// A machine says hello once; this one was reset.
    #[error("a second hello: the guest was reset")]
    SecondHello,
    /// A frame of another machine, or of none.
    #[error("foreign nonce")]
    Nonce,
    /// A frame is missing, repeated or out of order.
    #[error("frame number {found}, where {expected} was due")]
    Sequence { expected: u32, found: u32 },
    /// A message that may not come here.
    #[error("{message} {state}")]
    Order { message: &'static str, state: &'static str },
    /// A message about another run than the one that is due.
    #[error("{message} about run {found}, where {expected} was due")]
    Run { message: &'static str, expected: u16, found: u16 },
    /// The payload is not what the message asks for.
    #[error("{message}: {problem}")]
    Text { message: &'static str, problem: TextProblem },
    /// A value differs from what the stream so far, or the plan, says.
    #[error("{message}: `{key}` is {found}, where it must be {expected}")]
    Contradiction { message: &'static str, key: &'static str, expected: String, found: String },
    /// Bytes after the last message.
    #[error("bytes after the last message")]
    AfterEnd,
}

impl ProblemKind {
    /// The name in `guest/PROTOCOL.md`, for reports and comparisons.
    pub fn name(&self) -> &'static str {
        match self {
            ProblemKind::Truncated { .. } => "truncated",
            ProblemKind::Magic { .. } => "magic",
            ProblemKind::Reserved { .. } => "reserved",
            ProblemKind::TooLong { .. } => "too-long",
            ProblemKind::Crc { .. } => "crc",
            ProblemKind::Type { .. } => "type",
            ProblemKind::SecondHello => "second-hello",
            ProblemKind::Nonce => "nonce",
            ProblemKind::Sequence { .. } => "sequence",
            ProblemKind::Order { .. } => "order",
            ProblemKind::Run { .. } => "run",
            ProblemKind::Text { .. } => "text",
            ProblemKind::Contradiction { .. } => "contradiction",
            ProblemKind::AfterEnd => "after-end",
        }
    }
}

/// The types of the guest's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Hello = 1,
    Start = 2,
    Out = 3,
    End = 4,
    Beat = 5,
    Bye = 6,
    Refuse = 7,
}

impl Type {
    const ALL: [Type; 7] =
        [Type::Hello, Type::Start, Type::Out, Type::End, Type::Beat, Type::Bye, Type::Refuse];

    fn from_byte(byte: u8) -> Option<Type> {
        Type::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    fn name(self) -> &'static str {
        match self {
            Type::Hello => "HELLO",
            Type::Start => "START",
            Type::Out => "OUT",
            Type::End => "END",
            Type::Beat => "BEAT",
            Type::Bye => "BYE",
            Type::Refuse => "REFUSE",
        }
    }
}

/// What the plan says about one run, as far as a stream can contradict it.
#[derive(Debug, Clone)]
struct Expected {
    mode: Mode,
    doors: Vec<Door>,
}

/// The run between START and END.
#[derive(Debug, Clone, Copy)]
struct Running {
    run: u16,
    tainted: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
}

/// Where in the dialogue a stream is.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing was received yet.
    Silent,
    /// Between two runs; `next` is due.
    Idle { next: u16 },
    /// Inside a run.
    Running(Running),
    /// The last of `ended` runs was stuck: only BYE may follow.
    Stuck { ended: u16 },
    /// BYE or REFUSE came.
    Ended,
    /// There was a problem.
    Broken,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Silent => "before the hello",
            State::Idle { .. } => "between two runs",
            State::Running(_) => "inside a run",
            State::Stuck { .. } => "after a run that is stuck",
            State::Ended => "after the end",
            State::Broken => "after a problem",
        }
    }
}

/// Turns the bytes of one machine's result port into messages.
#[derive(Debug, Clone)]
pub struct Decoder {
    nonce: Nonce,
    planned: Vec<Expected>,
    state: State,
    /// The frame that is being received; never more than one.
    frame: Vec<u8>,
    /// Where in the stream it begins.
    offset: u64,
    /// The number it must have.
    sequence: u32,
    /// CRC-32 over all frames before it.
    digest: u32,
}

impl Decoder {
    /// For a machine that is asked by `nonce` to do `plan`.
    ///
    /// For one restored from a snapshot, [`push`](Self::push) the bytes of the HELLO that was
    /// received before the snapshot was taken.
    pub fn new(nonce: Nonce, plan: &Plan) -> Decoder {
        let expected = |run: &PlannedRun| Expected { mode: run.mode, doors: run.doors.clone() };
        Decoder {
            nonce,
            planned: plan.runs.iter().map(expected).collect(),
            state: State::Silent,
            frame: Vec::new(),
            offset: 0,
            sequence: 0,
            digest: 0,
        }
    }

    /// Takes the next bytes, however they were cut, and returns what they complete.
    ///
    /// An `Err` is the last there is: all bytes after it are ignored.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Result<GuestMessage, FrameProblem>> {
        let mut results = Vec::new();
        while !bytes.is_empty() && !matches!(self.state, State::Broken) {
            match self.take(&mut bytes) {
                Ok(None) => {}
                Ok(Some(message)) => results.push(Ok(message)),
                Err(kind) => results.push(Err(self.broken(kind))),
            }
        }
        results
    }

    /// No more bytes will come. Says so if that was in the middle of a frame.
    ///
    /// A stream that ends between two frames has no problem; whether it is a result is said by
    /// its BYE alone.
    pub fn finish(&mut self) -> Option<FrameProblem> {
        match self.frame.len() {
            0 => None,
            bytes => Some(self.broken(ProblemKind::Truncated { bytes })),
        }
    }

    fn broken(&mut self, kind: ProblemKind) -> FrameProblem {
        self.state = State::Broken;
        self.frame = Vec::new();
        FrameProblem { offset: self.offset, kind }
    }

    /// Moves bytes into the frame; a message, if that completes it.
    fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<GuestMessage>, ProblemKind> {
        if matches!(self.state, State::Ended) {
            return Err(ProblemKind::AfterEnd);
        }
        if self.frame.len() < HEADER_BYTES {
            if !fill(&mut self.frame, bytes, HEADER_BYTES) {
                return Ok(None);
            }
            Header::read(&self.frame).check()?;
        }
        let header = Header::read(&self.frame);
        if !fill(&mut self.frame, bytes, HEADER_BYTES + header.length as usize) {
            return Ok(None);
        }
        let mut frame = mem::take(&mut self.frame);
        let message = self.decode(&header, &frame)?;
        self.offset += frame.len() as u64;
        self.sequence = self.sequence.wrapping_add(1);
        self.digest = crc32(self.digest, &frame);
        frame.clear();
        self.frame = frame;
        Ok(Some(message))
    }

    fn decode(&mut self, header: &Header, frame: &[u8]) -> Result<GuestMessage, ProblemKind> {
        let payload = frame.get(HEADER_BYTES..).unwrap_or_default();
        let computed = frame_crc(frame);
        if computed != header.crc && !broken("frame:crc") {
            return Err(ProblemKind::Crc { found: header.crc, computed });
        }
        let kind = Type::from_byte(header.kind).ok_or(ProblemKind::Type { found: header.kind })?;
        let nonce = match kind {
            Type::Hello if !matches!(self.state, State::Silent) => {
                return Err(ProblemKind::SecondHello);
            }
            Type::Hello => ZERO_NONCE,
            _ => self.nonce.0,
        };
        if header.nonce != nonce && !broken("frame:nonce") {
            return Err(ProblemKind::Nonce);
        }
        if header.sequence != self.sequence && !broken("frame:sequence") {
            let (expected, found) = (self.sequence, header.sequence);
            return Err(ProblemKind::Sequence { expected, found });
        }
        self.message(kind, header.run, payload)
    }

    /// The dialogue: what may come when, about which run.
    fn message(&mut self, kind: Type, run: u16, payload: &[u8]) -> Result<GuestMessage, ProblemKind> {
        let message = kind.name();
        let due = |expected: u16| match run == expected {
            true => Ok(()),
            false => Err(ProblemKind::Run { message, expected, found: run }),
        };
        let text = |problem| ProblemKind::Text { message, problem };
        match (kind, self.state) {
            (Type::Hello, State::Silent) => {
                due(NO_RUN)?;
                let hello = text::parse_hello(payload).map_err(text)?;
                self.state = State::Idle { next: 0 };
                Ok(GuestMessage::Hello(hello))
            }
            (Type::Start, State::Idle { next }) if usize::from(next) < self.planned.len() => {
                due(next)?;
                let (mode, pid, tainted) = text::parse_start(payload).map_err(text)?;
                let planned = self.planned.get(usize::from(next)).map_or(mode, |run| run.mode);
                check(message, "what", text::mode_word(planned), text::mode_word(mode))?;
                let running = Running { run, tainted, stdout_bytes: 0, stderr_bytes: 0 };
                self.state = State::Running(running);
                Ok(GuestMessage::Start { run, mode, pid, tainted })
            }
            (Type::Out, State::Running(mut running)) => {
                due(running.run)?;
                let (stream, bytes) = text::parse_output(payload).map_err(text)?;
                match stream {
                    Stream::Stdout => running.stdout_bytes += bytes.len() as u64,
                    Stream::Stderr => running.stderr_bytes += bytes.len() as u64,
                }
                self.state = State::Running(running);
                Ok(GuestMessage::Output { run, stream, bytes: bytes.to_vec() })
            }
            (Type::Beat, State::Running(running)) => {
                due(running.run)?;
                let (uptime_ms, tainted) = text::parse_beat(payload).map_err(text)?;
                Ok(GuestMessage::Beat { run, uptime_ms, tainted })
            }
            (Type::End, State::Running(running)) => {
                due(running.run)?;
                self.end(running, payload).map(GuestMessage::End)
            }
            (Type::Bye, State::Idle { next: ended } | State::Stuck { ended }) => {
                due(NO_RUN)?;
                self.bye(ended, payload)
            }
            (Type::Refuse, State::Idle { next: 0 }) => {
                due(NO_RUN)?;
                let (reason, line) = text::parse_refuse(payload).map_err(text)?;
                self.state = State::Ended;
                Ok(GuestMessage::Refuse { reason, line })
            }
            (_, state) => Err(ProblemKind::Order { message, state: state.name() }),
        }
    }

    fn end(&mut self, running: Running, payload: &[u8]) -> Result<RunEnd, ProblemKind> {
        let message = Type::End.name();
        let planned = self.planned.get(usize::from(running.run));
        let mode = planned.map_or(Mode::Plain, |expected| expected.mode);
        let end = text::parse_end(running.run, mode, payload)
            .map_err(|problem| ProblemKind::Text { message, problem })?;
        check(message, "tainted_before", running.tainted, end.tainted_before)?;
        check(message, "stdout_bytes", running.stdout_bytes, end.stdout_bytes)?;
        check(message, "stderr_bytes", running.stderr_bytes, end.stderr_bytes)?;
        if let (Some(expected), Some(trace)) = (planned, &end.trace) {
            let counted: Vec<Door> = trace.entries.iter().map(|entry| entry.door).collect();
            check(message, "entry", text::doors(&expected.doors), text::doors(&counted))?;
        }
        let ended = running.run + 1;
        self.state = match end.outcome {
            Outcome::Stuck => State::Stuck { ended },
            _ => State::Idle { next: ended },
        };
        Ok(end)
    }

    fn bye(&mut self, ended: u16, payload: &[u8]) -> Result<GuestMessage, ProblemKind> {
        let message = Type::Bye.name();
        let (runs, frames, digest) =
            text::parse_bye(payload).map_err(|problem| ProblemKind::Text { message, problem })?;
        let due = match self.state {
            State::Stuck { .. } => usize::from(ended),
            _ => self.planned.len(),
        };
        check(message, "runs", u32::from(ended), runs)?;
        check(message, "runs", due, usize::from(ended))?;
        check(message, "frames", self.sequence, frames)?;
        check(message, "digest", format!("{:08x}", self.digest), format!("{digest:08x}"))?;
        self.state = State::Ended;
        Ok(GuestMessage::Bye { runs, frames, digest })
    }
}

/// A value that a message must have.
fn check<T: PartialEq + ToString>(
    message: &'static str,
    key: &'static str,
    expected: T,
    found: T,
) -> Result<(), ProblemKind> {
    match expected == found {
        true => Ok(()),
        false => Err(ProblemKind::Contradiction {
            message,
            key,
            expected: expected.to_string(),
            found: found.to_string(),
        }),
    }
}

/// Moves bytes until `frame` has `want`; false if there are not enough.
fn fill(frame: &mut Vec<u8>, bytes: &mut &[u8], want: usize) -> bool {
    let missing = want.saturating_sub(frame.len());
    let (now, later) = bytes.split_at(missing.min(bytes.len()));
    frame.extend_from_slice(now);
    *bytes = later;
    frame.len() >= want
}

/// The header of a frame, not yet checked.
struct Header {
    magic: [u8; 4],
    kind: u8,
    reserved: u8,
    run: u16,
    sequence: u32,
    length: u32,
    nonce: [u8; 16],
    crc: u32,
}

impl Header {
    fn read(frame: &[u8]) -> Header {
        let [kind, reserved] = field(frame, 4);
        Header {
            magic: field(frame, 0),
            kind,
            reserved,
            run: u16::from_le_bytes(field(frame, 6)),
            sequence: u32::from_le_bytes(field(frame, 8)),
            length: u32::from_le_bytes(field(frame, 12)),
            nonce: field(frame, 16),
            crc: u32::from_le_bytes(field(frame, CRC_AT)),
        }
    }

    /// What must hold before the payload is worth waiting for.
    fn check(&self) -> Result<(), ProblemKind> {
        if self.magic != MAGIC {
            return Err(ProblemKind::Magic { found: self.magic });
        }
        if self.reserved != 0 {
            return Err(ProblemKind::Reserved { found: self.reserved });
        }
        if self.length as usize > PAYLOAD_MAX {
            return Err(ProblemKind::TooLong { length: self.length });
        }
        Ok(())
    }
}

/// The `N` bytes at `at`. Only called with a whole header; zeros would be caught as bad magic.
fn field<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
    frame.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// The frame for `payload`, whose length the caller has checked.
fn put_frame(kind: u8, run: u16, sequence: u32, nonce: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend(MAGIC);
    frame.extend([kind, 0]);
    frame.extend(run.to_le_bytes());
    frame.extend(sequence.to_le_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend(nonce);
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    let crc = frame_crc(&frame).to_le_bytes();
    frame.iter_mut().skip(CRC_AT).zip(crc).for_each(|(place, byte)| *place = byte);
    frame
}

/// The frame that answers a BYE or a REFUSE: the host has everything, the machine may go off.
pub fn encode_close(nonce: Nonce) -> Vec<u8> {
    put_frame(TYPE_CLOSE, NO_RUN, 1, nonce.0, &[])
}

/// The agent's side, for guests that are played by tests.
///
/// It sends what it is told to, in any order: whether that makes sense is for a [`Decoder`] to say.
#[derive(Debug, Clone)]
pub struct GuestEncoder {
    nonce: Nonce,
    sequence: u32,
    digest: u32,
}

impl GuestEncoder {
    /// For the machine that got its plan with `nonce`.
    pub fn new(nonce: Nonce) -> GuestEncoder {
        GuestEncoder { nonce, sequence: 0, digest: 0 }
    }

    /// The next frame of the guest.
    pub fn frame(&mut self, message: &GuestMessage) -> Vec<u8> {
        let (kind, run) = match message {
            GuestMessage::Hello(_) => (Type::Hello, NO_RUN),
            GuestMessage::Start { run, .. } => (Type::Start, *run),
            GuestMessage::Output { run, .. } => (Type::Out, *run),
            GuestMessage::End(end) => (Type::End, end.run),
            GuestMessage::Beat { run, .. } => (Type::Beat, *run),
            GuestMessage::Bye { .. } => (Type::Bye, NO_RUN),
            GuestMessage::Refuse { .. } => (Type::Refuse, NO_RUN),
        };
        let nonce = match kind {
            Type::Hello => ZERO_NONCE,
            _ => self.nonce.0,
        };
        let frame = put_frame(kind as u8, run, self.sequence, nonce, &text::payload(message));
        self.sequence = self.sequence.wrapping_add(1);
        self.digest = crc32(self.digest, &frame);
        frame
    }

    /// The BYE that is true for the frames so far.
    pub fn bye(&mut self, runs: u32) -> Vec<u8> {
        let (frames, digest) = (self.sequence, self.digest);
        self.frame(&GuestMessage::Bye { runs, frames, digest })
    }
}

/// What the header's checksum must be: over the header before it and the payload behind it.
fn frame_crc(frame: &[u8]) -> u32 {
    let (header, rest) = frame.split_at(CRC_AT.min(frame.len()));
    crc32(crc32(0, header), rest.get(HEADER_BYTES - CRC_AT..).unwrap_or_default())
}

/// IEEE 802.3 CRC-32; starts with 0, and goes on from an earlier result.
fn crc32(start: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!start, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        // A byte is always an index of the table.
        CRC_TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default() ^ (crc >> 8)
    })
}

static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
