//! `test-selftest`: the kernel's own selftests by every ABI.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::model::{Transport, Verdict};
use harness::plan::files::Project;
use harness::plan::host::{self, Host};
use harness::plan::kselftest::{self, KselftestPlan, Selection};
use harness::plan::tools::{Need, Tool};
use harness::process::{Ctx, quote};
use harness::report::attempts::Attempted;
use harness::report::format::Format;
use harness::report::kselftest::KselftestRecord;
use harness::report::record::State;
use harness::report::sealed::AnyRun;
use harness::run::{Budget, Means, kselftest as conductor};
use harness::store::Store;

use crate::cli::{Exit, Flaky, TestSelftest};
use crate::compare::Against;
use crate::{clean, doctor, progress, recipe, report, runs, say, session, setup, shell};

/// Runs the programs and prints what came of them.
pub fn run(args: &TestSelftest) -> Result<Exit> {
    runs::choose_color(&args.run.common);
    report::prepare(&args.run, !args.run.dry_run && !args.list && args.from.is_empty())?;
    if !args.from.is_empty() {
        return again(args);
    }
    let mut failed = None;
    let failed_in = &mut failed;
    let exit = session::run_suspendable(progress::events(&args.run.common), |mut ctx| async move {
        let store = session::store(args.run.common.cache.as_deref(), &mut ctx)?;
        let project = session::project(args.run.common.project.as_deref())?;
        // Before any work, and before this run is the latest one.
        let against = Against::read(&args.run.again, "test-selftest")?;
        let ran = run_once(args, &ctx, &store, &project, None).await?;
        let stopped = session::stopped(&ctx.stop);
        match (ran, stopped) {
            (Ran::Judged(record), _) => {
                let folder = PathBuf::from(&record.folder);
                let exit = tell(*record, args, against, stopped)?;
                *failed_in = Some(folder).filter(|_| exit.asks_for_a_look());
                Ok(exit)
            }
            (Ran::Listed(_), Some(signal)) => Ok(Exit::Interrupted(signal)),
            (Ran::Listed(exit), None) => Ok(exit),
        }
    })?;
    if let Some(folder) = failed.filter(|_| args.run.shell_on_fail) {
        shell::on_fail(&folder, &args.run.common);
    }
    Ok(exit)
}

/// What an invocation came to.
pub enum Ran {
    /// A run, whole or interrupted.
    Judged(Box<KselftestRecord>),
    /// The plan or the programs' names were all that was asked for, or it was interrupted before it began.
    Listed(Exit),
}

/// Runs the programs.
pub async fn run_once(
    args: &TestSelftest,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
    budget: Option<Budget>,
) -> Result<Ran> {
    let (host, plan) = prepare(args, ctx, store, project).await?;
    if let Some(signal) = session::stopped(&ctx.stop) {
        return Ok(Ran::Listed(Exit::Interrupted(signal)));
    }
    if args.run.dry_run {
        return Ok(Ran::Listed(Exit::Passed));
    }
    runs::complain(&missing(&host, &plan))?;
    let qemu = host.qemu.as_ref().context("QEMU is missing")?;
    let (accel, attempts, host) = (args.run.accel, args.run.again.attempts(), &host);
    let means = |out| Means { project, store, host, qemu, accel, attempts, budget, out };
    if args.list {
        return Ok(Ran::Listed(list(ctx, &means(Path::new("")), &plan).await?));
    }
    let out = runs::out_folder(args.run.out.as_deref(), "kselftest", project)?;
    let _held = clean::hold(&out);
    let record = conductor::run(ctx, &means(&out), &plan).await.map_err(|error| {
        // The run could not be written down: that is not the user's mistake.
        anyhow::Error::new(error).context(Exit::Incomplete)
    })?;
    Ok(Ran::Judged(Box::new(record)))
}

/// `--from`: earlier runs, joined, with what is known about disagreements now.
fn again(args: &TestSelftest) -> Result<Exit> {
    let project = session::project(args.run.common.project.as_deref())?;
    let mut joined: Option<KselftestRecord> = None;
    for folder in &args.from {
        let at = || format!("{} cannot be taken", folder.display());
        let record = KselftestRecord::read(folder).with_context(at)?;
        joined = Some(match joined {
            None => record,
            Some(before) => before.join(record).map_err(anyhow::Error::msg).with_context(at)?,
        });
    }
    let mut record = joined.context("no run is named")?;
    record.explain(&kselftest::explanations(&project)?);
    tell(record, args, None, None)
}

/// Looks at the host, plans and says what will be done.
async fn prepare(
    args: &TestSelftest,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
) -> Result<(Host, KselftestPlan)> {
    let (host, plan) = self::plan(args, ctx, store, project).await?;
    let accelerator = runs::accelerator(store, &host, args.run.accel);
    let said = format!("kselftest:\n{plan}\n  {accelerator}");
    if args.run.dry_run {
        say::result(said)?;
    } else if !args.list {
        say::aside(said);
    }
    Ok((host, plan))
}

/// Looks at the host and plans; installs what is missing if that was asked for, and plans again.
pub async fn plan(
    args: &TestSelftest,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
) -> Result<(Host, KselftestPlan)> {
    let mut selection = Selection {
        dirs: args.dirs.clone(),
        kernels: args.run.kernels.kernel.clone(),
        tree: recipe::tree(&args.run.kernels)?,
        recipe: recipe::recipe(&args.run, None, ctx).await?,
        abis: args.run.abi.clone(),
        jobs: args.run.jobs,
        timeout: args.run.timeout,
        // A list is made here, and reaches nobody.
        transports: if args.list { Vec::new() } else { args.run.transport.transports() },
        no_sanitizers: args.no_sanitizers,
        command: String::new(),
    };
    selection.command = command(&selection);
    let mut host = host::look(ctx, store).await;
    let mut plan = kselftest::plan(project, &selection, &host)?;
    // After a Ctrl-C nothing is installed.
    if args.run.common.setup && !args.run.dry_run && session::stopped(&ctx.stop).is_none() {
        let mut wanted = doctor::missing(&host, &runs::sources(plan.kernels.iter()));
        wanted.retain(|tool| tool.need != Need::Ssh || plan.transports.contains(&Transport::Ssh));
        wanted.retain(|tool| tool.need != Need::Debugger);
        if !wanted.is_empty() {
            // On another thread, so that signals are heard meanwhile.
            tokio::task::spawn_blocking(move || setup::install(&wanted)).await??;
            host = host::look(ctx, store).await;
            plan = kselftest::plan(project, &selection, &host)?;
        }
    }
    Ok((host, plan))
}

/// What this machine lacks of what the run needs, and why it counts as absent.
pub fn missing(host: &Host, plan: &KselftestPlan) -> Vec<(Tool, String)> {
    let mut missing = host.missing(&runs::sources(plan.kernels.iter()));
    missing.extend(host.missing_for_selftests());
    if plan.transports.contains(&Transport::Ssh) {
        missing.extend(host.missing_for_ssh());
    }
    missing
}

/// `--list`: kernel, directory and program, a line each; of no directory, the directories there are, and
/// whether they are in the named set.
async fn list(ctx: &Ctx, means: &Means<'_>, plan: &KselftestPlan) -> Result<Exit> {
    let mut text = String::new();
    if plan.dirs.is_empty() {
        let set = kselftest::set(kselftest::ALL_SYSCALLS).unwrap_or_default();
        for (kernel, dirs) in conductor::directories(ctx, means, plan).await? {
            for dir in dirs {
                let of_set = if set.contains(&dir) { kselftest::ALL_SYSCALLS } else { "-" };
                text += &format!("{} {dir} {of_set}\n", kernel.name);
            }
        }
    } else {
        for (kernel, dirs) in conductor::list(ctx, means, plan).await? {
            for (dir, programs) in dirs {
                programs.iter().for_each(|program| text += &format!("{} {dir} {program}\n", kernel.name));
            }
        }
    }
    say::listing(&text)?;
    Ok(if text.is_empty() { Exit::Nothing } else { Exit::Passed })
}

fn tell(
    record: KselftestRecord,
    args: &TestSelftest,
    against: Option<Against>,
    stopped: Option<&'static str>,
) -> Result<Exit> {
    let own = exit(&record, stopped, args.run.again.flaky);
    let (folder, errors) = (record.folder.clone(), record.count(Verdict::Error));
    report::tell(&AnyRun::Kselftest(Box::new(record)), args.format.0, &args.run.report)?;
    match against {
        None => Ok(own),
        Some(against) => against.hold(&folder, (own, errors), args.format.0 == Format::Text),
    }
}

/// The command as it could be typed again, without what changes nothing of the page.
fn command(selection: &Selection) -> String {
    let mut words = vec!["cargo xtask test-selftest".to_owned()];
    words.extend(selection.dirs.iter().map(|dir| quote(dir.as_str())));
    words.extend(selection.kernels.iter().map(|kernel| format!("--kernel {kernel}")));
    words.extend(selection.tree.iter().map(|tree| format!("--tree {}", quote(&tree.display().to_string()))));
    words.extend(selection.recipe.words());
    words.extend(selection.abis.iter().map(|abi| format!("--abi {abi}")));
    words.extend(selection.timeout.iter().map(|timeout| format!("--timeout {}", timeout.as_secs())));
    words.extend(Transport::options(&selection.transports));
    words.extend(selection.no_sanitizers.then(|| "--no-sanitizers".to_owned()));
    words.join(" ")
}

fn exit(record: &KselftestRecord, stopped: Option<&'static str>, flaky: Flaky) -> Exit {
    let flaky_fails = flaky == Flaky::Fail && record.cells.iter().any(Attempted::is_flaky);
    if record.state == State::Interrupted
        && let Some(signal) = stopped
    {
        Exit::Interrupted(signal)
    } else if record.count(Verdict::Fail) > 0 || flaky_fails {
        Exit::Failed
    } else if record.selected == 0 && record.kernels.len() == record.kernels_selected {
        Exit::Nothing
    } else if record.all_passed() {
        Exit::Passed
    } else {
        Exit::Incomplete
    }
}
