//! Making what a cell boots: source tree, kernel, selftests, images.
//!
//! One type per arrow: a [`source::Pristine`] tree and a [`series::Overlay`] select a
//! [`tree::WorkTree`]; that is configured ([`config::Configured`]) and compiled
//! ([`kernel::BuiltKernel`]); the selftest of a patched tree becomes [`selftest::Programs`], and
//! programs and agent an [`initramfs::Image`]. What was not built cannot be booted.

pub mod config;
pub mod debuginfo;
pub mod elf;
pub mod initramfs;
pub mod kconfig;
pub mod kernel;
pub mod kselftest;
pub mod libraries;
pub mod selftest;
pub mod series;
pub mod shell;
pub mod snapshot;
pub mod source;
pub mod ssh;
pub mod tree;
pub mod userland;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::broken::broken;
use crate::model::{Abi, Cause, Events, RunEvent, Stage};
use crate::plan::{InputError, host};
use crate::process::{Ctx, ProcessError};
use crate::store::{Store, StoreError};

/// Why a stage has nothing to hand on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The cells that wanted it get this cause.
    #[error("{0}")]
    Cause(Cause),
    /// The user wants it all to end.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
}

impl Trouble {
    /// The cause that a cell gets.
    pub fn cause(&self) -> Cause {
        match self {
            Trouble::Cause(cause) => cause.clone(),
            Trouble::Interrupted(signal) => Cause::Interrupted { signal: (*signal).to_owned() },
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        match error {
            StoreError::Interrupted { signal } => Trouble::Interrupted(signal),
            other => Trouble::Cause(Cause::Harness { detail: other.to_string() }),
        }
    }
}

impl From<ProcessError> for Trouble {
    fn from(error: ProcessError) -> Trouble {
        match error {
            ProcessError::Interrupted { signal } => Trouble::Interrupted(signal),
            other => Trouble::Cause(Cause::Harness { detail: other.to_string() }),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Cause(Cause::Harness { detail: error.to_string() })
    }
}

impl From<InputError> for Trouble {
    fn from(error: InputError) -> Trouble {
        Trouble::Cause(Cause::Harness { detail: error.to_string() })
    }
}

impl From<Cause> for Trouble {
    fn from(cause: Cause) -> Trouble {
        Trouble::Cause(cause)
    }
}

/// What every stage of the build needs.
#[derive(Debug)]
pub struct Workshop<'a> {
    /// Spawning, stopping, telling.
    pub ctx: &'a Ctx,
    /// The cache.
    pub store: &'a Store,
    /// What the compiler and linker say of themselves: part of every key.
    pub compiler: String,
    /// The C libraries of each ABI, as far as a static program takes them in.
    pub libraries: BTreeMap<Abi, String>,
    /// Whether to compile through ccache.
    pub ccache: bool,
    /// make's `-j`.
    pub make_jobs: usize,
    /// Where logs of builds go: a folder of the run.
    pub logs: PathBuf,
    /// The machine's turns: a guest takes one, a compilation takes all of them.
    pub machine: Rc<Semaphore>,
    /// How many turns there are.
    pub guests: usize,
}

impl Workshop<'_> {
    /// What stands for the C library of an ABI in a key.
    fn libraries(&self, abi: Abi) -> &str {
        self.libraries.get(&abi).map_or("", String::as_str)
    }

    /// The log of a build step of this run.
    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{}.log", name.replace(' ', ".")))
    }

    /// Moves something of the cache that is not as it should be out of the way, and says where to.
    fn set_aside(&self, what: &Path, name: &str) -> Result<PathBuf, Trouble> {
        for n in 0.. {
            let bad = self.store.place("bad", &format!("{name}-{}-{n}", std::process::id()));
            if !bad.exists() {
                std::fs::rename(what, &bad)?;
                return Ok(bad);
            }
        }
        unreachable!("the names do not end")
    }

    /// Waits until no guest runs, and keeps it so: a compiler would starve it.
    async fn quiet(&self) -> Option<SemaphorePermit<'_>> {
        self.machine.acquire_many(self.guests as u32).await.ok()
    }
}

/// Tells the begin and the end of a stage.
struct StageTimer<'a> {
    events: &'a Events,
    stage: Stage,
    what: String,
    started: Instant,
}

impl StageTimer<'_> {
    fn start<'a>(events: &'a Events, stage: Stage, what: &str) -> StageTimer<'a> {
        events.send(RunEvent::StageStarted { stage, what: what.to_owned() });
        StageTimer { events, stage, what: what.to_owned(), started: Instant::now() }
    }

    fn end(self, ok: bool) {
        let elapsed = self.started.elapsed();
        self.events.send(RunEvent::StageEnded {
            stage: self.stage,
            what: self.what,
            cached: false,
            ok,
            elapsed,
        });
    }
}

/// Says that a stage had nothing to do.
fn cached(events: &Events, stage: Stage, what: &str) {
    let elapsed = std::time::Duration::ZERO;
    events.send(RunEvent::StageEnded { stage, what: what.to_owned(), cached: true, ok: true, elapsed });
}

/// Why `what` was not built, by how the command ended and what was said: the compiler's own death
/// before all else, since the code may be right.
fn build_failed(what: &str, status: &str, stderr: &str, log: &Path) -> Cause {
    let (what, log) = (what.to_owned(), log.display().to_string());
    match compiler_death(status, stderr) {
        Some(words) => Cause::CompilerDied { what, words, log },
        None => Cause::BuildFailed { what, first_error: host::first_error(stderr), log },
    }
}

/// The words that tell that a command did not fail by itself.
fn compiler_death(status: &str, stderr: &str) -> Option<String> {
    let killed = status.contains("killed by signal").then(|| status.to_owned());
    host::compiler_death(stderr).or(killed)
}

/// Refuses to begin what the disk cannot hold.
fn check_disk(path: &Path) -> Result<(), Trouble> {
    let stat = rustix::fs::statvfs(path).map_err(std::io::Error::from)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < crate::limits::DISK_FREE_BYTES && !broken("disk-free") {
        let detail = format!(
            "only {} MiB are free in {}: a kernel's source and objects need {} MiB",
            free >> 20,
            path.display(),
            crate::limits::DISK_FREE_BYTES >> 20
        );
        return Err(Cause::Harness { detail }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_cannot_hold_a_kernel_is_told_before_it_is_filled() {
        // A file system without blocks has none that are free.
        let text = check_disk(Path::new("/proc")).unwrap_err().to_string();
        assert!(text.contains("only 0 MiB are free in /proc"), "{text}");
    }
}
