//! `repro --gdb`, `--gdb-script`: a cell's machine under a debugger.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use harness::boot::gdb::COMMANDS;
use harness::build::debuginfo::{self, DebugKernel};
use harness::judge::console::sanitize_lines;
use harness::limits;
use harness::model::{CellId, ProgramId};
use harness::plan::host;
use harness::process::{Cmd, Ctx, ProcessError, StopSwitch, describe, unquote};
use harness::report::kselftest::KselftestRecord;
use harness::report::record::RunRecord;
use harness::report::sealed::AnyRun;
use harness::report::text;
use harness::run::attend::Errand;
use harness::run::debugger::{self, Aim, Debuggee, Sources};
use harness::run::stored::{StoredCell, StoredRun};

use crate::cli::{Cli, Command, Exit, Repro, TestSelftest, TestSyscall, TransportChoice};
use crate::terminal::{self, Lent};
use crate::{clean, progress, repro, runs, say, session, test_selftest, test_syscall};

/// Builds what a debugger reads, if it is not there; makes the machine; and runs gdb on the terminal, or
/// by the commands of a file.
pub fn run(run: &StoredRun, cell: &StoredCell, args: &Repro) -> Result<Exit> {
    let (script, common) = (args.gdb_script.as_deref(), &args.common);
    // Whatever would end it is told before minutes are spent.
    if script.is_none() {
        terminal::demand("--gdb", "; without one, --gdb-script FILE has what gdb is to do")?;
    }
    let script = script.map(std::path::absolute).transpose()?;
    if let Some(file) = script.as_deref().filter(|file| !file.is_file()) {
        anyhow::bail!("--gdb-script {}: there is no such file", file.display());
    }
    Aim::of(cell, &run.record)?;
    let ready = session::run_suspendable(progress::events(common), |mut ctx| async move {
        let ready = prepare(&mut ctx, run, cell, args).await?;
        Ok(match session::stopped(&ctx.stop) {
            Some(signal) => Err(Exit::Interrupted(signal)),
            None => ready.ok_or(Exit::Nothing),
        })
    })?;
    let (debuggee, gdb) = match ready {
        Ok(ready) => ready,
        Err(exit) => return Ok(exit),
    };
    let _held = clean::hold(&run.folder);
    debuggee.notes.iter().for_each(|note| say::aside(format_args!("note: {note}")));
    say::aside(sanitize_lines(&format!("gdb.commands, console and logs: {}", debuggee.folder.display())));
    match &script {
        Some(script) => session::run(progress::events(common), |ctx| batch(ctx, debuggee, gdb, script)),
        None => session::run_beside(progress::events(common), |ctx| on_terminal(ctx, debuggee, gdb)),
    }
}

/// The machine that is to be debugged, and where gdb is.
async fn prepare(
    ctx: &mut Ctx,
    run: &StoredRun,
    cell: &StoredCell,
    args: &Repro,
) -> Result<Option<(Debuggee, PathBuf)>> {
    let store = session::store(args.common.cache.as_deref(), ctx)?;
    let project = session::project(args.common.project.as_deref())?;
    let host = host::look(ctx, &store).await;
    runs::complain(&host.missing_for_debugging())?;
    let gdb = host.program("gdb").context("gdb is missing")?;
    let errand = Errand::of(cell, &repro::here(ctx, &store, run).await?)?;
    let aim = Aim::of(cell, &run.record)?;
    let folder = repro::new_folder(&run.folder)?;
    let sources = Sources { project: &project, store: &store, host: &host, logs: folder.join("build") };
    let Some(kernel) = kernel(ctx, &sources, (run, cell, &aim)).await? else { return Ok(None) };
    Ok(Some((Debuggee::new(&errand, (&aim, &args.breaks), &kernel, &folder)?, gdb)))
}

/// The cell's kernel with debug info; none if the user wants it all to end.
async fn kernel(
    ctx: &Ctx,
    sources: &Sources<'_>,
    (run, cell, aim): (&StoredRun, &StoredCell, &Aim),
) -> Result<Option<DebugKernel>> {
    let name = cell.record.name();
    let then = run.kernel_of(&cell.record);
    let (then, _) = then.with_context(|| format!("{name}: the run built no kernel"))?;
    if let Some(kernel) = debuginfo::at_hand(ctx, sources.store, sources.project, then)? {
        return Ok(Some(kernel));
    }
    say::aside(format_args!("{name}: its kernel is compiled once more, with debug info (minutes, once)"));
    // As the run was typed: what the kernel was made of is found by the same way.
    let built = match (&run.record, aim) {
        (AnyRun::Syscall(record), Aim::Call { cell, .. }) => {
            of_syscall(ctx, sources, record, cell, then).await
        }
        (AnyRun::Kselftest(record), Aim::Program(id)) => of_selftest(ctx, sources, record, id, then).await,
        _ => unreachable!("an aim is of its run's kind"),
    };
    match built {
        Err(_) if session::stopped(&ctx.stop).is_some() => Ok(None),
        built => built,
    }
}

async fn of_syscall(
    ctx: &Ctx,
    sources: &Sources<'_>,
    record: &RunRecord,
    cell: &CellId,
    then: &str,
) -> Result<Option<DebugKernel>> {
    let mut args = as_syscall(record, cell)?;
    args.run.transport = TransportChoice::Serial;
    // The objects of that kernel are the user's, and no place for others.
    args.run.kernels.build_folder = None;
    let ready = test_syscall::prepare(&args, ctx, sources.store, sources.project).await?;
    let Some(ready) = ready else { return Ok(None) };
    runs::complain(&test_syscall::lacks(&args, &ready.host, &[]))?;
    let planned = (&ready.plan, ready.looked);
    Ok(Some(debugger::kernel_of_cell(ctx, sources, cell, then, planned).await?))
}

async fn of_selftest(
    ctx: &Ctx,
    sources: &Sources<'_>,
    record: &KselftestRecord,
    program: &ProgramId,
    then: &str,
) -> Result<Option<DebugKernel>> {
    let mut args = as_selftest(record)?;
    args.run.transport = TransportChoice::Serial;
    args.run.kernels.build_folder = None;
    // The newest is perhaps another one by now.
    if args.run.kernels.tree.is_none() {
        args.run.kernels.kernel = vec![program.kernel.clone()];
    }
    let (host, plan) = test_selftest::plan(&args, ctx, sources.store, sources.project).await?;
    runs::complain(&test_selftest::missing(&host, &plan))?;
    Ok(Some(debugger::kernel_of_program(ctx, sources, program, then, &plan).await?))
}

fn as_syscall(record: &RunRecord, cell: &CellId) -> Result<TestSyscall> {
    match typed(&format!("xtask {}", text::again_words(record, cell).join(" ")))? {
        Command::TestSyscall(args) => Ok(*args),
        _ => unreachable!("the second word says which command"),
    }
}

fn as_selftest(record: &KselftestRecord) -> Result<TestSelftest> {
    match typed(record.command.trim_start_matches("cargo "))? {
        Command::TestSelftest(args) => Ok(*args),
        _ => anyhow::bail!("the run's own command is none of test-selftest: {}", record.command),
    }
}

fn typed(line: &str) -> Result<Command> {
    Ok(Cli::try_parse_from(unquote(line))?.command)
}

/// gdb with the user. What is typed is gdb's, Ctrl-C too.
async fn on_terminal(ctx: Ctx, debuggee: Debuggee, gdb: PathBuf) -> Result<Exit> {
    let lent = Lent::as_it_is(&ctx.guard).context("the terminal cannot be lent")?;
    let term = std::env::var_os("TERM").unwrap_or_else(|| "dumb".into());
    let gdb = Cmd::new(gdb).args(["-q", "-x", COMMANDS]).dir(&debuggee.folder).env("TERM", term);
    let ended = beside(&ctx, debuggee, gdb.on_terminal(&ctx)).await;
    drop(lent);
    match ended {
        Ok(_) => Ok(Exit::Passed),
        Err(ProcessError::Interrupted { signal }) => Ok(Exit::Interrupted(signal)),
        Err(error) => Err(anyhow::Error::new(error).context(Exit::Incomplete)),
    }
}

/// gdb by a file of commands; 0 if it did them all.
async fn batch(ctx: Ctx, debuggee: Debuggee, gdb: PathBuf, script: &Path) -> Result<Exit> {
    let gdb = Cmd::new(gdb).args(["-nx", "-q", "-batch", "-x", COMMANDS, "-x"]).arg(script);
    let gdb = gdb.dir(&debuggee.folder).deadline(limits::DEBUGGER_DEADLINE);
    match beside(&ctx, debuggee, gdb.status(&ctx)).await {
        Ok(output) => {
            say::listing(&sanitize_lines(&output.text()))?;
            say::aside(sanitize_lines(output.stderr.trim_end()));
            if !output.status.success() {
                say::aside(format_args!("gdb {}", describe(output.status)));
            }
            Ok(if output.status.success() { Exit::Passed } else { Exit::Failed })
        }
        Err(ProcessError::Interrupted { signal }) => Ok(Exit::Interrupted(signal)),
        Err(error) => Err(anyhow::Error::new(error).context(Exit::Incomplete)),
    }
}

/// Has the machine for as long as its debugger is there.
async fn beside<T>(
    ctx: &Ctx,
    debuggee: Debuggee,
    gdb: impl Future<Output = Result<T, ProcessError>>,
) -> Result<T, ProcessError> {
    let (switch, stop) = StopSwitch::new();
    let of_guest = Ctx { stop, ..ctx.clone() };
    let debugger = async {
        let ended = gdb.await;
        switch.press("its debugger's end");
        ended
    };
    let (seen, ended) = tokio::join!(debuggee.run(&of_guest), debugger);
    if let Err(error) = seen {
        say::aside(sanitize_lines(&format!("the machine: {error}")));
    }
    ended
}
