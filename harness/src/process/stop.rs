//! The user's wish that it all ends, as a value that every wait can look at.

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
pub struct StopSwitch(watch::Sender<StopLevel>);

impl StopSwitch {
    /// A switch and what it controls.
    pub fn new() -> (StopSwitch, Stop) {
        let (sender, receiver) = watch::channel(StopLevel::Run);
        (StopSwitch(sender), Stop(receiver))
    }

    /// One signal more.
    pub fn press(&self, signal: &'static str) {
        self.0.send_modify(|level| {
            *level = match *level {
                StopLevel::Run => StopLevel::Gently(signal),
                StopLevel::Gently(_) | StopLevel::AtOnce(_) => StopLevel::AtOnce(signal),
            }
        });
    }
}

/// The side that has to end. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<StopLevel>);

impl Stop {
    /// The wish as it is now.
    pub fn level(&self) -> StopLevel {
        *self.0.borrow()
    }

    /// Waits until somebody wants to stop.
    pub async fn wanted(&mut self) -> StopLevel {
        match self.0.wait_for(|level| *level != StopLevel::Run).await {
            Ok(level) => *level,
            // The switch is gone: nobody can want it any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for the second signal.
    pub async fn at_once(&mut self) {
        let second = |level: &StopLevel| matches!(level, StopLevel::AtOnce(_));
        if self.0.wait_for(second).await.is_err() {
            std::future::pending().await
        }
    }
}
