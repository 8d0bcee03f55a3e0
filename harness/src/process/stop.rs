//! The user's wish that it all ends, or pauses, as a value that every wait can look at.

use tokio::sync::watch;

/// How urgently the run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopLevel {
    /// Not at all.
    Run,
    /// After the first SIGINT or SIGTERM: end children, write down what is finished.
    Gently(&'static str),
    /// After the second: kill, and leave.
    AtOnce(&'static str),
}

impl StopLevel {
    /// The signal's name; empty while nobody wants to stop.
    pub fn signal(self) -> &'static str {
        match self {
            StopLevel::Run => "",
            StopLevel::Gently(signal) | StopLevel::AtOnce(signal) => signal,
        }
    }
}

/// The side that hears the signals.
#[derive(Debug)]
pub struct StopSwitch {
    level: watch::Sender<StopLevel>,
    paused: watch::Sender<bool>,
}

impl StopSwitch {
    /// A switch and what it controls.
    pub fn new() -> (StopSwitch, Stop) {
        let (level, level_seen) = watch::channel(StopLevel::Run);
        let (paused, paused_seen) = watch::channel(false);
        (StopSwitch { level, paused }, Stop { level: level_seen, paused: paused_seen })
    }

    /// One signal more.
    pub fn press(&self, signal: &'static str) {
        self.level.send_modify(|level| {
            *level = match *level {
                StopLevel::Run => StopLevel::Gently(signal),
                StopLevel::Gently(_) | StopLevel::AtOnce(_) => StopLevel::AtOnce(signal),
            }
        });
    }

    /// This process is about to be suspended, or has come back.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }
}

/// The side that has to end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop {
    level: watch::Receiver<StopLevel>,
    paused: watch::Receiver<bool>,
}

impl Stop {
    /// The wish as it is now.
    pub fn level(&self) -> StopLevel {
        *self.level.borrow()
    }

    /// Waits until somebody wants to stop.
    pub async fn wanted(&mut self) -> StopLevel {
        match self.level.wait_for(|level| *level != StopLevel::Run).await {
            Ok(level) => *level,
            // The switch is gone: nobody can want it any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for the second signal.
    pub async fn at_once(&mut self) {
        let second = |level: &StopLevel| matches!(level, StopLevel::AtOnce(_));
        if self.level.wait_for(second).await.is_err() {
            std::future::pending().await
        }
    }

    /// The pauses from now on.
    pub fn pauses(&self) -> Pauses {
        let mut paused = self.paused.clone();
        paused.mark_unchanged();
        Pauses(paused)
    }
}

/// The pauses that a child has to be told of.
#[derive(Debug)]
pub struct Pauses(watch::Receiver<bool>);

impl Pauses {
    /// Waits for the next change: whether it is to pause, or to go on.
    pub async fn next(&mut self) -> bool {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow_and_update(),
            Err(_) => std::future::pending().await,
        }
    }
}
