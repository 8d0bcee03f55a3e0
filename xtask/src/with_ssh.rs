//! `--transport ssh`: this program once more, built with the crate that speaks ssh.
//!
//! That crate needs OpenSSL's headers, which nothing else does; so the feature is on only where ssh
//! is asked for, and the program with it lies in a folder of its own, where neither undoes the other.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use harness::plan::files::Project;
use harness::plan::host;
use harness::plan::tools::{Need, Tool};
use harness::process::{Cmd, Ctx, ProcessError};
use harness::store::Store;

use crate::cli::{Command as Verb, Common, Exit, RunArgs, TestSelftest, TestSyscall, TransportChoice};
use crate::compare::Against;
use crate::test_syscall::{self, Ready};
use crate::{cargo, doctor, progress, report, runs, say, session, setup, test_selftest};

/// Whether this program speaks ssh. By its own feature and not the library's: in this project's tests
/// the library has it, and the program goes its usual way.
pub const BUILT: bool = cfg!(feature = "ssh");

/// Whether this command asks for what this program was built without.
pub fn is_needed(command: &Verb) -> bool {
    run_of(command).is_some() && !BUILT
}

/// What of a command runs guests over ssh; none of one that does not.
fn run_of(command: &Verb) -> Option<&RunArgs> {
    let run = match command {
        Verb::TestSyscall(args) => &args.run,
        Verb::TestSelftest(args) if !args.list && args.from.is_empty() => &args.run,
        _ => return None,
    };
    Some(run).filter(|run| run.transport != TransportChoice::Serial && !run.dry_run)
}

/// The same command once more, by this program with ssh: once it is clear that it can do something, since
/// building takes a minute.
pub fn run(command: &Verb) -> Result<Exit> {
    let run = run_of(command).context("this command runs nothing over ssh")?;
    report::prepare(run, true)?;
    let ended = session::run(progress::events(&run.common), |mut ctx| async move {
        let store = session::store(run.common.cache.as_deref(), &mut ctx)?;
        let project = session::project(run.common.project.as_deref())?;
        let lacks = match command {
            Verb::TestSyscall(args) => of_syscall(args, &ctx, &store, &project).await?,
            Verb::TestSelftest(args) => Some(of_selftests(args, &ctx, &store, &project).await?),
            _ => None,
        };
        if let Some(signal) = session::stopped(&ctx.stop) {
            return Ok(Some(Exit::Interrupted(signal)));
        }
        let Some(lacks) = lacks else { return Ok(Some(Exit::Nothing)) };
        runs::complain(&lacks)?;
        Ok(None)
    })?;
    match ended {
        Some(exit) => Ok(exit),
        None => build_and_become(&run.common),
    }
}

/// What the machine lacks for the run; nothing if there is nothing to be run.
async fn of_syscall(
    args: &TestSyscall,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
) -> Result<Option<Vec<(Tool, String)>>> {
    Against::read(&args.run.again, &format!("test-syscall {}", args.syscall))?;
    let ready = test_syscall::prepare(args, ctx, store, project).await?;
    let Some(Ready { host, plan, .. }) = ready else { return Ok(None) };
    let sources = runs::sources(plan.kernels.iter().map(|part| &part.kernel));
    Ok(Some(test_syscall::lacks(args, &host, &sources)))
}

/// The same of kselftests.
async fn of_selftests(
    args: &TestSelftest,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
) -> Result<Vec<(Tool, String)>> {
    Against::read(&args.run.again, "test-selftest")?;
    let (host, plan) = test_selftest::plan(args, ctx, store, project).await?;
    Ok(test_selftest::missing(&host, &plan))
}

/// Looks for what that takes, builds this program with ssh and becomes it.
pub fn become_it(common: &Common) -> Result<Exit> {
    let stopped = session::run(progress::events(common), |mut ctx| async move {
        let store = session::store(common.cache.as_deref(), &mut ctx)?;
        let mut host = host::look(&ctx, &store).await;
        let mut wanted = doctor::missing(&host, &[]);
        wanted.retain(|tool| tool.need != Need::Debugger);
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
    build_and_become(common)
}

/// Builds it, and becomes it. Two steps, since cargo's own exit code is none of ours.
fn build_and_become(common: &Common) -> Result<Exit> {
    let (build, folder) = cargo("build")?;
    say::aside(format_args!(
        "ssh is asked for: this program builds itself with the ssh2 crate, in {} (a minute the first time)",
        folder.display()
    ));
    // Cargo is the user's, with all that the user has set for it; what a run starts gets a list.
    let given = std::env::vars_os();
    let own = build.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let cmd = Cmd::new(build.get_program()).args(build.get_args());
    let build = given.chain(own).fold(cmd, |cmd, (name, value)| cmd.env(name, value));
    let built =
        session::run_beside(
            progress::events(common),
            |ctx| async move { Ok(build.on_terminal(&ctx).await) },
        )?;
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => match session::interrupted(status) {
            Some(signal) => return Ok(Exit::Interrupted(signal)),
            None => {
                let what = "this program could not be built with ssh: see above for what cargo says";
                return Err(anyhow::anyhow!(what).context(Exit::Incomplete));
            }
        },
        Err(ProcessError::Interrupted { signal }) => return Ok(Exit::Interrupted(signal)),
        Err(error) => {
            return Err(anyhow::Error::new(error).context("cannot start cargo").context(Exit::Incomplete));
        }
    }
    let (mut run, _) = cargo("run")?;
    run.args(["--quiet", "--"]).args(std::env::args_os().skip(1));
    Err(anyhow::Error::new(run.exec()).context("cannot start cargo").context(Exit::Incomplete))
}

/// Cargo, to `build` or `run` this program with ssh, and where that then lies. It is started here: paths
/// among the arguments are as seen from where this program was started.
fn cargo(what: &str) -> Result<(Command, PathBuf)> {
    let mut cargo = cargo::here();
    cargo.args([what, "--locked", "--package", "xtask", "--features", "ssh", "--manifest-path"]);
    cargo.arg(session::checkout().join("Cargo.toml"));
    let folder = cargo::apart(&mut cargo, &cargo::target()?, "ssh");
    Ok((cargo, folder))
}
