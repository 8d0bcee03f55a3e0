//! The PLAN frame. What it cannot say exactly is refused here: nothing turns into syntax.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use thiserror::Error;

use super::text::{WireDoor, mode_word};
use super::{NO_RUN, Nonce, PAYLOAD_MAX, TYPE_PLAN, put_frame};
use crate::model::{Mode, Plan, PlannedRun};

// The bounds of `guest/PROTOCOL.md`; the agent checks the same ones.
const RUNS_MAX: usize = 64;
const ARGS_MAX: usize = 32;
const ENVS_MAX: usize = 32;
const DOORS_MAX: usize = 16;
const LINE_MAX: usize = 4096;
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a plan cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "fields are what their names say")]
pub enum EncodeError {
    /// Nothing to do, or too much.
    #[error("a plan has 1 to {RUNS_MAX} runs, not {count}")]
    Runs { count: usize },
    /// Less than a millisecond, or more than a day.
    #[error("run {run}: a deadline is between 1 ms and a day, not {deadline:?}")]
    Deadline { run: usize, deadline: Duration },
    /// No program, or too many arguments.
    #[error("run {run}: a program and its arguments are 1 to {ARGS_MAX}, not {count}")]
    Args { run: usize, count: usize },
    /// The agent has no directory to start from.
    #[error("run {run}: the directory `{dir}` is not an absolute path")]
    Dir { run: usize, dir: String },
    /// The agent searches no path.
    #[error("run {run}: `{program}` is not an absolute path")]
    Program { run: usize, program: String },
    /// Too many variables.
    #[error("run {run}: at most {ENVS_MAX} variables, not {count}")]
    Envs { run: usize, count: usize },
    /// A name that is empty, has a `=`, or comes twice.
    #[error("run {run}: bad or repeated variable `{name}`")]
    EnvName { run: usize, name: String },
    /// Doors where nothing counts them, or none where they are to be counted.
    #[error("run {run}: a {} run has {}, not {count}", mode_word(*mode), door_counts(*mode))]
    Doors { run: usize, mode: Mode, count: usize },
    /// A door that comes twice.
    #[error("run {run}: door {door} comes twice")]
    DoorTwice { run: usize, door: String },
    /// A newline would start another line, a NUL end the argument.
    #[error("run {run}: {text:?} has something else than printable ASCII")]
    Byte { run: usize, text: String },
    /// An argument or variable that is too long.
    #[error("run {run}: a line of {bytes} bytes, where {LINE_MAX} are the limit")]
    LongLine { run: usize, bytes: usize },
    /// All runs together are too long.
    #[error("a plan of {bytes} bytes, where {PAYLOAD_MAX} are the limit")]
    TooLong { bytes: usize },
}

fn door_counts(mode: Mode) -> &'static str {
    match mode {
        Mode::Plain => "no doors",
        Mode::Traced => "1 to 16 doors",
    }
}

/// The frame that asks a guest to do `plan`, and gives it its nonce.
///
/// # Errors
///
/// If the wire format has no way to say it.
pub fn encode_plan(nonce: Nonce, plan: &Plan) -> Result<Vec<u8>, EncodeError> {
    let count = plan.runs.len();
    if !(1..=RUNS_MAX).contains(&count) {
        return Err(EncodeError::Runs { count });
    }
    let mut text = String::new();
    for (index, run) in plan.runs.iter().enumerate() {
        check_run(index, run)?;
        write_run(index, run, &mut text)?;
    }
    if text.len() > PAYLOAD_MAX {
        return Err(EncodeError::TooLong { bytes: text.len() });
    }
    Ok(put_frame(TYPE_PLAN, NO_RUN, 0, nonce.0, text.as_bytes()))
}

fn check_run(index: usize, planned: &PlannedRun) -> Result<(), EncodeError> {
    let PlannedRun { mode, deadline, dir, args, env, doors } = planned;
    let run = index;
    if deadline.as_millis() == 0 || *deadline > DEADLINE_MAX {
        return Err(EncodeError::Deadline { run, deadline: *deadline });
    }
    if let Some(dir) = dir.as_ref().filter(|dir| !dir.starts_with('/')) {
        return Err(EncodeError::Dir { run, dir: dir.clone() });
    }
    match args.first() {
        Some(_) if args.len() > ARGS_MAX => {
            return Err(EncodeError::Args { run, count: args.len() });
        }
        None => return Err(EncodeError::Args { run, count: 0 }),
        Some(program) if !program.starts_with('/') => {
            return Err(EncodeError::Program { run, program: program.clone() });
        }
        Some(_) => {}
    }
    if env.len() > ENVS_MAX {
        return Err(EncodeError::Envs { run, count: env.len() });
    }
    let mut names = HashSet::new();
    for (name, _) in env {
        if name.is_empty() || name.contains('=') || !names.insert(name) {
            return Err(EncodeError::EnvName { run, name: name.clone() });
        }
    }
    let count = doors.len();
    let fits = match mode {
        Mode::Plain => count == 0,
        Mode::Traced => (1..=DOORS_MAX).contains(&count),
    };
    if !fits {
        return Err(EncodeError::Doors { run, mode: *mode, count });
    }
    let mut seen = HashSet::new();
    match doors.iter().find(|door| !seen.insert(**door)) {
        Some(door) => Err(EncodeError::DoorTwice { run, door: WireDoor(*door).to_string() }),
        None => Ok(()),
    }
}

fn write_run(index: usize, run: &PlannedRun, text: &mut String) -> Result<(), EncodeError> {
    // Writing to a String cannot fail.
    let _ = write!(text, "run={}\ndeadline_ms={}\n", mode_word(run.mode), run.deadline.as_millis());
    let dir = run.dir.iter().map(|dir| format!("dir={dir}"));
    let args = run.args.iter().map(|arg| format!("arg={arg}"));
    let env = run.env.iter().map(|(name, value)| format!("env={name}={value}"));
    for line in dir.chain(args).chain(env) {
        if !line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return Err(EncodeError::Byte { run: index, text: line });
        }
        if line.len() > LINE_MAX {
            return Err(EncodeError::LongLine { run: index, bytes: line.len() });
        }
        text.push_str(&line);
        text.push('\n');
    }
    for door in &run.doors {
        let _ = writeln!(text, "door={}", WireDoor(*door));
    }
    text.push_str("end\n");
    Ok(())
}
