//! How a terminal was set before somebody else got it, so that it can be set so again: by who
//! changed it, or by the guard if that one is killed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex as Code, Termios,
    tcgetattr, tcsetattr, ttyname,
};

use crate::broken::broken;

/// The special characters that a program may change.
const CODES: [Code; 17] = [
    Code::VINTR,
    Code::VQUIT,
    Code::VERASE,
    Code::VKILL,
    Code::VEOF,
    Code::VTIME,
    Code::VMIN,
    Code::VSWTC,
    Code::VSTART,
    Code::VSTOP,
    Code::VSUSP,
    Code::VEOL,
    Code::VREPRINT,
    Code::VDISCARD,
    Code::VWERASE,
    Code::VLNEXT,
    Code::VEOL2,
];

/// A terminal and how it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    path: PathBuf,
    modes: [u32; 4],
    codes: [u8; CODES.len()],
}

impl Settings {
    /// Of this terminal, as it is now.
    pub fn of(terminal: impl AsFd) -> io::Result<Settings> {
        let path = ttyname(&terminal, Vec::new())?.into_bytes();
        let now = tcgetattr(&terminal)?;
        Ok(Settings {
            path: PathBuf::from(std::ffi::OsString::from_vec(path)),
            modes: [
                now.input_modes.bits(),
                now.output_modes.bits(),
                now.control_modes.bits(),
                now.local_modes.bits(),
            ],
            codes: CODES.map(|code| now.special_codes[code]),
        })
    }

    /// Sets it so again. What was typed meanwhile stays.
    pub fn restore(&self) -> io::Result<()> {
        if broken("terminal-back") {
            return Ok(());
        }
        // By its path: the guard has no descriptor of it. Never to become its controlling terminal.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(&self.path, flags, Mode::empty())?;
        // Speeds are nobody's to change here.
        let mut wanted = tcgetattr(&terminal)?;
        self.put(&mut wanted);
        Ok(tcsetattr(&terminal, OptionalActions::Now, &wanted)?)
    }

    fn put(&self, into: &mut Termios) {
        let [input, output, control, local] = self.modes;
        into.input_modes = InputModes::from_bits_retain(input);
        into.output_modes = OutputModes::from_bits_retain(output);
        into.control_modes = ControlModes::from_bits_retain(control);
        into.local_modes = LocalModes::from_bits_retain(local);
        for (code, value) in CODES.into_iter().zip(self.codes) {
            into.special_codes[code] = value;
        }
    }

    /// As the guard is told: numbers, and the path at the end.
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = self.modes.iter().copied().chain(self.codes.iter().map(|code| u32::from(*code)));
        let mut text: Vec<u8> = numbers.flat_map(|number| format!("{number} ").into_bytes()).collect();
        text.extend(self.path.as_os_str().as_bytes());
        text
    }

    /// The other way round; none if it is nothing of the kind.
    pub(super) fn decode(text: &[u8]) -> Option<Settings> {
        let mut words = text.splitn(4 + CODES.len() + 1, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u32>().ok();
        let modes = [number()?, number()?, number()?, number()?];
        let mut codes = [0; CODES.len()];
        for code in &mut codes {
            *code = u8::try_from(number()?).ok()?;
        }
        let path = PathBuf::from(OsStr::from_bytes(words.next()?));
        path.is_absolute().then_some(Settings { path, modes, codes })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Both ends of a new terminal: the one who shows it, and the one who uses it.
    fn pty() -> (OwnedFd, OwnedFd) {
        let shown = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&shown).unwrap();
        unlockpt(&shown).unwrap();
        let name = ptsname(&shown, Vec::new()).unwrap();
        let used = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        (shown, used)
    }

    #[test]
    fn a_terminal_is_set_as_it_was_by_who_has_only_been_told_of_it() {
        let (_shown, used) = pty();
        let before = Settings::of(&used).unwrap();
        let mut raw = tcgetattr(&used).unwrap();
        raw.make_raw();
        tcsetattr(&used, OptionalActions::Now, &raw).unwrap();
        assert_ne!(Settings::of(&used).unwrap(), before);
        let told = Settings::decode(&before.encode()).unwrap();
        assert_eq!(told, before);
        told.restore().unwrap();
        assert_eq!(Settings::of(&used).unwrap(), before);
    }

    #[test]
    fn what_is_no_terminal_is_told_and_what_is_no_message_is_none() {
        assert!(Settings::of(std::fs::File::open("/dev/null").unwrap()).is_err());
        for text in [&b""[..], b"1 2 3", b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 256 /dev/tty"] {
            assert_eq!(Settings::decode(text), None);
        }
    }
}
