//! What every command begins with: the project, the environment, the signals, the guard, the cache.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::limits;
use harness::model::Events;
use harness::plan::files::Project;
use harness::process::{Ctx, Guard, Stop, StopSwitch};
use harness::store::Store;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// The variables of the caller's that reach a child. Everything else (MAKEFLAGS, KBUILD_*, CFLAGS,
/// LD_PRELOAD, …) could change what is built.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "CCACHE_DIR", "XDG_CACHE_HOME"];

/// The project: the folder that was named, or the checkout that this program was built from.
pub fn project(named: Option<&Path>) -> Result<Project> {
    let root = match named {
        Some(path) => path.canonicalize().with_context(|| format!("--project {}", path.display()))?,
        None => checkout(),
    };
    for folder in ["configs", "guest", "kernels"] {
        if !root.join(folder).is_dir() {
            anyhow::bail!("{} is not a project: it has no {folder}/", root.display());
        }
    }
    Ok(Project::new(root))
}

/// The checkout that this program was built from.
pub fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Runs a command's work on one thread, with signals heard and a guard beside it.
///
/// Once heard, a signal is never again what it was to this process: what runs children of its own
/// afterwards looks at how they ended, see [`interrupted`].
pub fn run<T, F: Future<Output = Result<T>>>(events: Events, work: impl FnOnce(Ctx) -> F) -> Result<T> {
    drive(events, work, Typed::Ends)
}

/// The same for long work, which Ctrl-Z suspends together with its guests.
pub fn run_suspendable<T, F: Future<Output = Result<T>>>(
    events: Events,
    work: impl FnOnce(Ctx) -> F,
) -> Result<T> {
    drive(events, work, Typed::EndsOrSuspends)
}

/// The same for work that another program on the terminal is a part of: what is typed there is for that.
pub fn run_beside<T, F: Future<Output = Result<T>>>(
    events: Events,
    work: impl FnOnce(Ctx) -> F,
) -> Result<T> {
    drive(events, work, Typed::IsAnothers)
}

/// What Ctrl-C and Ctrl-Z on the terminal mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typed {
    /// The first is a wish that it all ends; the second does what it does by itself.
    Ends,
    /// The second suspends the guests, too.
    EndsOrSuspends,
    /// The first is for another program; the second does what it does by itself, to both.
    IsAnothers,
}

/// The signal that ended a child, if it is one that a person ends a program by.
pub fn interrupted(status: std::process::ExitStatus) -> Option<&'static str> {
    let names = [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")];
    let ended = |(signal, _): &(Signal, _)| status.signal() == Some(signal.as_raw());
    names.into_iter().find(ended).map(|(_, name)| name)
}

fn drive<T, F: Future<Output = Result<T>>>(
    events: Events,
    work: impl FnOnce(Ctx) -> F,
    typed: Typed,
) -> Result<T> {
    // One thread: children die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let program = std::env::current_exe().context("cannot find this very program")?;
    let guard = Guard::start(&program).context("cannot start the guard process")?;
    runtime.block_on(async {
        let (switch, stop) = StopSwitch::new();
        let ctx = Ctx { events, stop, guard, env: environment() };
        let work = work(ctx);
        tokio::pin!(work);
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let mut hup = signal(SignalKind::hangup())?;
        let suspendable = typed == Typed::EndsOrSuspends;
        let mut tstp = match suspendable {
            true => Some(signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?),
            false => None,
        };
        loop {
            let name = tokio::select! {
                done = &mut work => return done,
                _ = int.recv() => match typed {
                    Typed::Ends | Typed::EndsOrSuspends => "SIGINT",
                    Typed::IsAnothers => continue,
                },
                _ = term.recv() => "SIGTERM",
                _ = hup.recv() => "SIGHUP",
                _ = async { tstp.as_mut()?.recv().await }, if suspendable => {
                    switch.pause(true);
                    tokio::select! {
                        done = &mut work => return done,
                        () = tokio::time::sleep(limits::PAUSE_GRACE) => suspend()?,
                    }
                    switch.pause(false);
                    continue;
                }
            };
            switch.press(name);
        }
    })
}

/// Does what SIGTSTP does to a process that does not hear it, and returns when it is continued.
fn suspend() -> Result<()> {
    if is_job()? {
        rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)?;
    }
    Ok(())
}

/// Whether a shell gave this process a group of its own, and would continue it. In the group of its
/// session's leader there is nobody who would: the kernel does not stop such a process either.
fn is_job() -> Result<bool> {
    // Not by getsid(2): a session that began outside of this PID namespace has no number in it.
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // state, parent, group, session
    Ok(fields.get(2) != fields.get(3))
}

/// The environment that children get.
fn environment() -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> =
        PASSED_ON.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect();
    env.push(("LC_ALL".into(), "C".into()));
    // /sbin is where some of the kernel's tools lie, and not on every user's path.
    if let Some((_, path)) = env.iter_mut().find(|(name, _)| name == OsStr::new("PATH")) {
        path.push(":/usr/sbin:/sbin");
    }
    env
}

/// Opens the cache, and has children put their temporary files into its scratch: a compiler that is
/// killed does not remove its own.
pub fn store(cache: Option<&Path>, ctx: &mut Ctx) -> Result<Store> {
    let root = match cache {
        Some(path) => path.to_owned(),
        None => cache_home()?.join("abimatrix"),
    };
    let store = Store::open(&root, &ctx.guard)?;
    ctx.env.push(("TMPDIR".into(), store.temporary()?.into()));
    Ok(store)
}

/// Where caches go.
pub fn cache_home() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set: say --cache DIR")
}

/// The signal that the user ended the run by, if any.
pub fn stopped(stop: &Stop) -> Option<&'static str> {
    Some(stop.level().signal()).filter(|signal| !signal.is_empty())
}
