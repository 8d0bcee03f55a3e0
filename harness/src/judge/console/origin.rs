//! Whose line it is: what a log's other lines tell about one that looks like the kernel's.
//!
//! - **Dress.** What is before the kernel's lines, is before all of them. Once it is known, a line
//!   in another dress (none, mostly) is a program's.
//! - **Time.** The clock of a boot that is seen from its banner on does not jump. Lines that do,
//!   until the clock is back, are a quotation: an old report that a script shows. A quotation is
//!   known only when it is over; then what was found in it is taken back.
//! - **Banner.** A second one is a reset, unless the kernel announced it, or the log is a system's,
//!   which goes on over boots, or what follows are the very lines of the first boot: `dmesg` in the
//!   console.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::message::{Dress, Message};

/// Seconds by which a line may be late: CPUs read the clock before they wait for the console.
const LATE: f64 = 1.0;
/// Seconds that a quotation may span. A report is printed in less; another boot lasts longer.
const QUOTATION: f64 = 10.0;
/// Lines that are remembered of a boot. Their microseconds are never all the same in the next.
const FIRST_LINES: usize = 8;

/// What a line's words begin with when the kernel is about to restart, or has to.
const GOODBYES: [&str; 10] = [
    "reboot: ",
    "Rebooting in ",
    "Restarting system",
    "Power down",
    "Power off",
    "System halted",
    "sysrq: Resetting",
    "sysrq: SysRq : Resetting",
    "SysRq : Resetting",
    "kexec_core: Starting new kernel",
];

/// What is known of a log so far.
#[derive(Debug, Default)]
pub(super) struct Origin {
    dress: Option<Dress>,
    /// The clock, since a banner with a time.
    clock: Option<Clock>,
    latest: f64,
    goodbye: bool,
    /// Hashes of the first lines after the first banner that have a time after 0.
    first: Vec<u64>,
    /// The number of findings at a second banner that may be of a log that is shown again.
    again: Option<usize>,
}

#[derive(Debug, Default)]
struct Clock {
    now: f64,
    /// The last jump forward: the time before it, the time after it, the number of findings.
    jump: Option<(f64, f64, usize)>,
    past: Option<Past>,
}

/// Lines that are earlier than those before them: a quotation, or what follows one from the future.
#[derive(Debug)]
struct Past {
    from: f64,
    to: f64,
    /// The number of findings before it.
    found: usize,
    /// The number of findings before what may be a quotation from the future.
    future: Option<usize>,
}

/// What a line tells.
pub(super) struct Seen {
    /// It is the kernel's, as far as can be told.
    pub(super) believed: bool,
    /// These findings were quotations.
    pub(super) quoted: Option<Range<usize>>,
}

impl Origin {
    /// Takes the next line; `found` is the number of findings before it.
    pub(super) fn see(&mut self, message: &Message, found: usize) -> Seen {
        let mut seen = Seen { believed: self.wears(message), quoted: None };
        let Some(at) = message.at.filter(|_| seen.believed && message.exact) else { return seen };
        self.latest = self.latest.max(at);
        if message.behind_text && self.clock.as_ref().is_some_and(|clock| at < clock.now - LATE) {
            seen.believed = false; // quoted in a program's line
            return seen;
        }
        self.goodbye |= GOODBYES.iter().any(|word| message.text.starts_with(word));
        if at > 0.0 && self.clock.is_some() && self.known(at, message) {
            // The boot's own lines once more: of the past until they are through.
            let since = self.again.take().unwrap_or(found);
            seen.quoted = Some(since..found);
        }
        let found = seen.quoted.as_ref().map_or(found, |quoted| quoted.start);
        let quoted = self.clock.as_mut().and_then(|clock| clock.tick(at, found));
        seen.quoted = seen.quoted.or(quoted);
        seen
    }

    /// The log is at its end: these findings were quotations.
    pub(super) fn finish(&mut self, found: usize) -> Option<Range<usize>> {
        let past = self.clock.as_mut()?.past.take()?;
        // One of the two is a quotation. The one without findings is the kernel's, and if both
        // have some, nothing is taken back.
        past.future.filter(|_| past.found == found).map(|first| first..past.found)
    }

    /// Whether a line is dressed as the log's first lines are. A banner without anything before it
    /// says that the kernel prints no times; then whatever looks like its line is believed.
    fn wears(&mut self, message: &Message) -> bool {
        match self.dress {
            Some(Dress::Bare) => true,
            Some(dress) => dress == message.dress,
            None => {
                let telling = match message.dress {
                    Dress::Bare => message.text.starts_with(super::BANNER),
                    Dress::Printk => message.exact && !message.behind_text,
                    Dress::Dmesg | Dress::Syslog => true,
                };
                self.dress = telling.then_some(message.dress);
                true
            }
        }
    }

    /// Keeps a boot's first lines; after a second banner, says whether the line is one of them.
    fn known(&mut self, at: f64, message: &Message) -> bool {
        if self.again.is_none() && self.first.len() == FIRST_LINES {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        (at.to_bits(), &*message.text).hash(&mut hasher);
        let hash = hasher.finish();
        match self.again {
            None => {
                self.first.push(hash);
                false
            }
            Some(_) if self.first.contains(&hash) => true,
            Some(_) => {
                // Another boot.
                self.again = None;
                self.clock = Some(Clock { now: at, ..Clock::default() });
                false
            }
        }
    }

    /// The banner of a boot; whether it is of an unexpected one, as far as can be told now.
    pub(super) fn banner(&mut self, message: &Message, first: bool, found: usize) -> bool {
        let expected = std::mem::take(&mut self.goodbye);
        if first {
            self.clock = message.exact.then(Clock::default);
            // The log may begin in the middle of a boot.
            let earlier = message.at.is_some_and(|at| at < self.latest - LATE);
            return earlier && !expected && self.dress == Some(Dress::Printk);
        }
        if self.clock.is_some() {
            self.again = Some(found);
        }
        !expected && matches!(self.dress, None | Some(Dress::Bare | Dress::Printk))
    }
}

impl Clock {
    /// Goes on; the findings of a quotation, if one has just ended.
    fn tick(&mut self, at: f64, found: usize) -> Option<Range<usize>> {
        if at < self.now - LATE {
            if let Some(past) = &mut self.past {
                (past.from, past.to) = (past.from.min(at), past.to.max(at));
                return None;
            }
            let jump = self.jump.filter(|(before, after, _)| *before <= at && self.now - after <= QUOTATION);
            let future = jump.map(|(_, _, found)| found);
            self.past = Some(Past { from: at, to: at, found, future });
            return None;
        }
        let quoted = self.past.take().and_then(|past| match past.future {
            _ if past.to - past.from <= QUOTATION => Some(past.found..found),
            Some(first) => Some(first..past.found),
            None => None,
        });
        if at > self.now + LATE {
            let taken = quoted.as_ref().map_or(0, ExactSizeIterator::len);
            self.jump = Some((self.now, at, found - taken));
        }
        self.now = self.now.max(at);
        quoted
    }
}
