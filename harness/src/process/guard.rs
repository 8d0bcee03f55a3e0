//! The guard: a small process that cleans up if this one is killed.
//!
//! `PR_SET_PDEATHSIG` reaches direct children only; a make that is killed leaves its makes
//! behind, and a scratch folder has no parent at all. The guard holds the reading end of a pipe.
//! It is told the process groups, folders and terminals that are in use, and when the pipe closes,
//! whatever closed it, it ends the groups, removes the folders and sets back the terminals that it
//! still knows. It sits in a session of its own, so that a Ctrl-C on the terminal does not reach it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::rc::Rc;

use rustix::process::{Pid, Signal};

use super::terminal::Settings;
use crate::broken::broken;

/// The hidden argument by which the program is started as a guard.
pub const GUARD_ARG: &str = "__guard";

/// The side that tells the guard what to clean up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Option<Rc<RefCell<ChildStdin>>>);

impl Guard {
    /// Starts `program` with [`GUARD_ARG`] as the guard of this process.
    pub fn start(program: &Path) -> std::io::Result<Guard> {
        if broken("guard") {
            return Ok(Guard::none());
        }
        let mut command = Command::new(program);
        command.arg(GUARD_ARG).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A session, and with it a group, of its own: what a terminal, a shell or a CI runner sends
        // to the parent's does not reach it. Not later, in the guard: a signal could come first.
        super::own_session(&mut command);
        let mut child = command.spawn()?;
        let pipe = child.stdin.take().map(|pipe| Rc::new(RefCell::new(pipe)));
        Ok(Guard(pipe))
    }

    /// No guard: for tests that end their own children.
    pub fn none() -> Guard {
        Guard(None)
    }

    /// Guards a process group until the returned value is dropped.
    pub fn group(&self, group: Pid) -> Guarded {
        self.hold(b'g', group.as_raw_nonzero().to_string().into_bytes())
    }

    /// Guards a folder until the returned value is dropped: it is removed with all that is in it.
    pub fn folder(&self, folder: &Path) -> Guarded {
        self.hold(b'd', folder.as_os_str().as_bytes().to_vec())
    }

    /// Guards a terminal until the returned value is dropped: it is set as it was.
    pub fn terminal(&self, was: &Settings) -> Guarded {
        // The guard has nothing of this process's environment, and so no switch of its own.
        let guard = if broken("terminal-back") { Guard::none() } else { self.clone() };
        guard.hold(b't', was.encode())
    }

    fn hold(&self, kind: u8, what: Vec<u8>) -> Guarded {
        self.tell(b'+', kind, &what);
        Guarded { guard: self.clone(), kind, what }
    }

    fn tell(&self, sign: u8, kind: u8, what: &[u8]) {
        if let Some(pipe) = &self.0 {
            let mut message = vec![sign, kind];
            message.extend_from_slice(what);
            message.push(0);
            // A guard that somebody killed is a belt without its braces, not a reason to fail.
            let _ = pipe.borrow_mut().write_all(&message);
        }
    }
}

/// Something in the guard's care.
#[derive(Debug)]
pub struct Guarded {
    guard: Guard,
    kind: u8,
    what: Vec<u8>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.guard.tell(b'-', self.kind, &self.what);
    }
}

/// What the guard process does: reads until the pipe closes, then cleans up.
pub fn main(pipe: impl Read) {
    let mut groups = BTreeSet::<i32>::new();
    let mut folders = BTreeSet::new();
    let mut terminals = BTreeSet::new();
    for message in BufReader::new(pipe).split(0).map_while(Result::ok) {
        match message.as_slice() {
            [sign, b'g', what @ ..] => {
                let group = std::str::from_utf8(what).ok().and_then(|s| s.parse::<i32>().ok());
                keep(&mut groups, *sign, group.filter(|group| *group > 1));
            }
            [sign, b'd', what @ ..] => {
                let folder = PathBuf::from(std::ffi::OsStr::from_bytes(what));
                keep(&mut folders, *sign, Some(folder).filter(|path| path.is_absolute()));
            }
            [sign, b't', what @ ..] => keep(&mut terminals, *sign, Some(what.to_vec())),
            _ => {}
        }
    }
    for terminal in terminals.iter().filter_map(|told| Settings::decode(told)) {
        let _ = terminal.restore();
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    for folder in folders {
        // Twice: a killed process may have been in the middle of creating a file.
        let _ = std::fs::remove_dir_all(&folder).or_else(|_| std::fs::remove_dir_all(&folder));
    }
}

fn keep<T: Ord>(set: &mut BTreeSet<T>, sign: u8, what: Option<T>) {
    match (sign, what) {
        (b'+', Some(what)) => {
            set.insert(what);
        }
        (b'-', Some(what)) => {
            set.remove(&what);
        }
        _ => {}
    }
}
