//! `--transport ssh`: this program once more, built with the crate that speaks ssh.
//!
//! That crate needs OpenSSL's headers, which nothing else does; so the feature is on only where ssh
//! is asked for, and the program with it lies in a folder of its own, where neither undoes the other.

use std::os::unix::process::CommandExt;

use anyhow::Result;
use harness::plan::host;

use crate::cli::{Common, Exit, TestSyscall, TransportChoice};
use crate::{cargo, doctor, progress, report, runs, say, session, setup};

/// Whether this program speaks ssh. By its own feature and not the library's: in this project's tests
/// the library has it, and the program goes its usual way.
pub const BUILT: bool = cfg!(feature = "ssh");

/// Whether these arguments ask for what this program was built without.
pub fn is_needed(args: &TestSyscall) -> bool {
    args.transport != TransportChoice::Serial && !args.run.dry_run && !BUILT
}

/// The same command once more, by this program with ssh.
pub fn run(args: &TestSyscall) -> Result<Exit> {
    report::prepare(&args.run, true)?;
    become_it(&args.run.common)
}

/// Looks for what that takes, builds this program with ssh and becomes it.
pub fn become_it(common: &Common) -> Result<Exit> {
    let stopped = session::run(progress::events(common), |mut ctx| async move {
        let store = session::store(common.cache.as_deref(), &mut ctx)?;
        let mut host = host::look(&ctx, &store).await;
        let wanted = doctor::missing(&host, &[]);
        if common.setup && !wanted.is_empty() && session::stopped(&ctx.stop).is_none() {
            tokio::task::spawn_blocking(move || setup::install(&wanted)).await??;
            host = host::look(&ctx, &store).await;
        }
        let mut lacks = host.missing(&[]);
        lacks.extend(host.missing_for_ssh());
        runs::complain(&lacks)?;
        Ok(session::stopped(&ctx.stop))
    })?;
    if let Some(signal) = stopped {
        return Ok(Exit::Interrupted(signal));
    }
    // Paths among the arguments are as seen from where this program was started.
    let mut cargo = cargo::here();
    cargo.args(["run", "--locked", "--package", "xtask", "--features", "ssh", "--manifest-path"]);
    cargo.arg(session::checkout().join("Cargo.toml"));
    let folder = cargo::apart(&mut cargo, &cargo::target()?, "ssh");
    cargo.arg("--").args(std::env::args_os().skip(1));
    say::aside(format_args!(
        "ssh is asked for: this program builds itself with the ssh2 crate, in {} (a minute the first time)",
        folder.display()
    ));
    Err(anyhow::Error::new(cargo.exec()).context("cannot start cargo").context(Exit::Incomplete))
}
