//! Time as far as this process was awake to see it.
//!
//! A run that is suspended, or starved by its host, finds on its return that deadlines have passed
//! in which it could not have heard anything. What lies unheard in the pipes then would come too late.

use std::time::{Duration, Instant};

use crate::broken::broken;
use crate::limits;

/// A stopwatch that is looked at often, and does not count what passed while nobody could look.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
    passed: Duration,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Clock {
        Clock { last: Instant::now(), passed: Duration::ZERO }
    }

    /// The time that has passed, of each gap between two looks [`limits::UNSEEN`] at most.
    pub fn passed(&mut self) -> Duration {
        self.look(Instant::now())
    }

    fn look(&mut self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.last);
        self.last = now;
        self.passed += if broken("unseen-time") { gap } else { gap.min(limits::UNSEEN) };
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_which_nobody_looked_does_not_count() {
        let mut clock = Clock::start();
        let mut now = clock.last;
        let mut after = |ms: u64, expected_ms: u64| {
            now += Duration::from_millis(ms);
            assert_eq!(clock.look(now), Duration::from_millis(expected_ms), "after {ms} ms more");
        };
        after(100, 100);
        after(1900, 2000);
        // Suspended over night: as much counts as a late look would have been.
        after(36_000_000, 2000 + limits::UNSEEN.as_millis() as u64);
        after(100, 2100 + limits::UNSEEN.as_millis() as u64);
        after(0, 2100 + limits::UNSEEN.as_millis() as u64);
    }
}
