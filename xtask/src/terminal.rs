//! The user's terminal, lent to a guest's console or a debugger, and given back as it was.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use harness::build::shell::Window;
use harness::process::Guard;
use harness::process::guard::Guarded;
use harness::process::terminal::Settings;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::unix::AsyncFd;

/// Whether there is a person: keys come from a terminal, and what is said is seen on one.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// An error unless there is a terminal; `instead` says what one can do without.
pub fn demand(option: &str, instead: &str) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    anyhow::bail!("{option} needs a terminal, as standard input and standard output{instead}")
}

/// A terminal that somebody else has. When this is dropped, or this process is killed, it is as it was.
#[derive(Debug)]
pub struct Lent {
    was: Settings,
    raw: bool,
    _guarded: Guarded,
}

impl Lent {
    /// To a program that sets it by itself.
    pub fn as_it_is(guard: &Guard) -> io::Result<Lent> {
        let was = Settings::of(io::stdin())?;
        let guarded = guard.terminal(&was);
        Ok(Lent { was, raw: false, _guarded: guarded })
    }

    /// To a guest: each key goes there, Ctrl-C too.
    pub fn raw(guard: &Guard) -> io::Result<Lent> {
        let mut lent = Lent::as_it_is(guard)?;
        lent.raw = true;
        lent.again()?;
        Ok(lent)
    }

    /// After [`Lent::back`]: as it was lent.
    pub fn again(&self) -> io::Result<()> {
        if self.raw {
            let mut raw = tcgetattr(io::stdin())?;
            raw.make_raw();
            tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        }
        Ok(())
    }

    /// Takes it back for a while.
    pub fn back(&self) -> io::Result<()> {
        self.was.restore()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.was.restore();
        if self.raw {
            // Whatever colour the guest wrote in last.
            show(b"\x1b[0m\r\n");
        }
    }
}

/// The size of the terminal; zeros if it has none.
pub fn window() -> Window {
    let size = tcgetwinsize(io::stdout()).map(|size| (size.ws_row, size.ws_col));
    let (rows, columns) = size.unwrap_or_default();
    Window { rows, columns }
}

/// Shows bytes of a guest as they are: escaping them would make a terminal of it no more.
pub fn show(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    // Who closed the terminal sees nothing, and is heard by SIGHUP.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// What is typed.
#[derive(Debug)]
pub struct Keyboard {
    stdin: AsyncFd<OwnedFd>,
}

impl Keyboard {
    /// Of a terminal in raw mode, where a read that has something to read does not wait. It is not made
    /// non-blocking: that would outlast this process.
    pub fn new() -> io::Result<Keyboard> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        #[expect(deprecated, reason = "its successor is unsafe because of descriptors that are not owned")]
        let stdin = AsyncFd::new(stdin)?;
        Ok(Keyboard { stdin })
    }

    /// The next keys; none when the terminal is gone.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut ready = self.stdin.readable().await?;
            // Asked again: a read that waits would hold up the guest's end, too.
            let mut asked = [PollFd::new(self.stdin.get_ref(), PollFlags::IN)];
            if poll(&mut asked, Some(&Timespec::default()))? == 0 {
                ready.clear_ready();
                continue;
            }
            let mut keys = vec![0; 256];
            let n = rustix::io::read(self.stdin.get_ref(), &mut keys[..])?;
            keys.truncate(n);
            return Ok((n > 0).then_some(keys));
        }
    }
}

/// The key that what follows is for us: Ctrl-A, as in QEMU and screen.
const ESCAPE: u8 = 1;

/// Tells the keys for the guest from those for us.
#[derive(Debug, Default)]
pub struct Escape {
    escaped: bool,
}

impl Escape {
    /// The keys that the guest gets, and whether its user wants to leave. Ctrl-A twice is one for the guest.
    pub fn take(&mut self, keys: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        for &key in keys {
            match (std::mem::take(&mut self.escaped), key) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'x' | b'X') => return (out, true),
                (true, ESCAPE) | (false, _) => out.push(key),
                // Nothing of ours: both were meant.
                (true, _) => out.extend([ESCAPE, key]),
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_a_x_leaves_and_everything_else_is_the_guests() {
        let take = |chunks: &[&[u8]]| {
            let mut escape = Escape::default();
            let mut out = Vec::new();
            for chunk in chunks {
                let (keys, leave) = escape.take(chunk);
                out.extend(keys);
                if leave {
                    return (out, true);
                }
            }
            (out, false)
        };
        assert_eq!(take(&[b"ls\r\x03"]), (b"ls\r\x03".to_vec(), false));
        assert_eq!(take(&[b"a\x01xb"]), (b"a".to_vec(), true));
        assert_eq!(take(&[b"\x01", b"X"]), (Vec::new(), true));
        assert_eq!(take(&[b"\x01\x01", b"x"]), (b"\x01x".to_vec(), false));
        assert_eq!(take(&[b"\x01", b"e"]), (b"\x01e".to_vec(), false));
    }
}
