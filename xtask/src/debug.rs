//! `repro --gdb`: a cell's machine under a debugger.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use harness::boot::gdb::COMMANDS;
use harness::build::debuginfo::{self, DebugKernel};
use harness::judge::console::sanitize_lines;
use harness::limits;
use harness::model::CellId;
use harness::plan::files::Project;
use harness::plan::host::{self, Host};
use harness::process::{Cmd, Ctx, ProcessError, StopSwitch, describe, unquote};
use harness::report::record::RunRecord;
use harness::report::sealed::AnyRun;
use harness::report::text;
use harness::run::attend::{self, Debuggee, Errand, Sources};
use harness::run::stored::{StoredCell, StoredRun};
use harness::store::Store;

use crate::cli::{Cli, Command, Common, Exit, TransportChoice};
use crate::terminal::{self, Lent};
use crate::{clean, progress, repro, runs, say, session, test_syscall};

/// Builds what a debugger reads, if it is not there; makes the machine; and runs gdb on the terminal, or
/// by the commands of a file.
pub fn run(run: &StoredRun, cell: &StoredCell, script: Option<&Path>, common: &Common) -> Result<Exit> {
    // Whatever would end it is told before minutes are spent.
    if script.is_none() {
        terminal::demand("--gdb", "; without one, --gdb-script FILE has what gdb is to do")?;
    }
    let script = script.map(std::path::absolute).transpose()?;
    if let Some(file) = script.as_deref().filter(|file| !file.is_file()) {
        anyhow::bail!("--gdb-script {}: there is no such file", file.display());
    }
    attend::call(cell, &run.record)?;
    let ready = session::run_suspendable(progress::events(common), |mut ctx| async move {
        let ready = prepare(&mut ctx, run, cell, common).await?;
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
    common: &Common,
) -> Result<Option<(Debuggee, PathBuf)>> {
    let store = session::store(common.cache.as_deref(), ctx)?;
    let project = session::project(common.project.as_deref())?;
    let host = host::look(ctx, &store).await;
    runs::complain(&host.missing_for_debugging())?;
    let gdb = host.program("gdb").context("gdb is missing")?;
    let errand = Errand::of(cell, &repro::here(ctx, &store, run).await?)?;
    let (id, syscall, number) = attend::call(cell, &run.record)?;
    let AnyRun::Syscall(record) = &run.record else { anyhow::bail!("a run of test-selftest") };
    let folder = repro::new_folder(&run.folder)?;
    let Some(kernel) = kernel(ctx, &store, &project, &host, (record, &id), &folder).await? else {
        return Ok(None);
    };
    Ok(Some((Debuggee::new(&errand, (&id, &syscall, number), &kernel, &folder)?, gdb)))
}

/// The cell's kernel with debug info; none if the user wants it all to end.
async fn kernel(
    ctx: &Ctx,
    store: &Store,
    project: &Project,
    host: &Host,
    (record, id): (&RunRecord, &CellId),
    folder: &Path,
) -> Result<Option<DebugKernel>> {
    let of_cell = record.kernels.iter().filter(|kernel| kernel.kernel == id.kernel);
    let then = of_cell.flat_map(|kernel| &kernel.legs).find(|leg| leg.leg == id.leg);
    let then = then.map(|leg| leg.key.as_str()).with_context(|| format!("{id}: the run built no kernel"))?;
    if let Some(kernel) = debuginfo::at_hand(ctx, store, project, then)? {
        return Ok(Some(kernel));
    }
    say::aside(format_args!("{id}: its kernel is compiled once more, with debug info (minutes, once)"));
    // As the run was typed: what the kernel was made of is found by the same way.
    let typed = text::again_words(record, id);
    let words = ["xtask".to_owned()].into_iter().chain(typed.iter().map(|word| unquote(word)));
    let Command::TestSyscall(mut args) = Cli::try_parse_from(words)?.command else {
        unreachable!("the second word says which command")
    };
    args.transport = TransportChoice::Serial;
    // The objects of that kernel are the user's, and no place for others.
    args.run.kernels.build_folder = None;
    let Some(ready) = test_syscall::prepare(&args, ctx, store, project).await? else { return Ok(None) };
    runs::complain(&test_syscall::lacks(&args, &ready.host, &[]))?;
    let (plan, looked) = (&ready.plan, ready.looked);
    let sources = Sources { project, store, host, plan, looked, logs: folder.join("build") };
    match attend::debug_kernel(ctx, sources, id, then).await {
        Err(_) if session::stopped(&ctx.stop).is_some() => Ok(None),
        built => Ok(Some(built?)),
    }
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
