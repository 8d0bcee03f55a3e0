//! `test-syscall`: the main job.

use std::path::PathBuf;

use anyhow::{Context, Result};
use harness::build::Trouble;
use harness::model::{Cause, Verdict};
use harness::plan::files::Project;
use harness::plan::host::{self, Host};
use harness::plan::target::{self, Target, Targets};
use harness::plan::tools::{Need, Tool};
use harness::plan::{self, Plan, PlanError, Selection};
use harness::process::Ctx;
use harness::report::attempts::Attempted;
use harness::report::format::Format;
use harness::report::record::{RunRecord, State};
use harness::report::sealed::AnyRun;
use harness::run::{self, Budget, Looked, Means, RunError};
use harness::store::Store;

use crate::cli::{Exit, Flaky, TestSyscall, TransportChoice};
use crate::compare::Against;
use crate::{clean, doctor, progress, recipe, report, runs, say, session, setup, shell};

/// Runs the matrix and prints it.
pub fn run(args: &TestSyscall) -> Result<Exit> {
    runs::choose_color(&args.run.common);
    report::prepare(&args.run, !args.run.dry_run)?;
    let mut failed = None;
    let failed_in = &mut failed;
    let exit = session::run_suspendable(progress::events(&args.run.common), |mut ctx| async move {
        let store = session::store(args.run.common.cache.as_deref(), &mut ctx)?;
        let project = session::project(args.run.common.project.as_deref())?;
        // Before any work, and before this run is the latest one.
        let against = Against::read(&args.run.again, &format!("test-syscall {}", args.syscall))?;
        let ran = run_once(args, &ctx, &store, &project, None).await?;
        let stopped = session::stopped(&ctx.stop);
        Ok(match (ran, stopped) {
            (Ran::Judged(record), _) => {
                let own = exit(&record, stopped, args.run.again.flaky);
                let (folder, errors) = (record.folder.clone(), record.count(Verdict::Error));
                report::tell(&AnyRun::Syscall(record), args.format.0, &args.run.report)?;
                let exit = match against {
                    None => own,
                    Some(against) => against.hold(&folder, (own, errors), args.format.0 == Format::Text)?,
                };
                *failed_in = Some(PathBuf::from(folder)).filter(|_| exit.asks_for_a_look());
                exit
            }
            (Ran::Planned | Ran::Nothing, Some(signal)) => Exit::Interrupted(signal),
            (Ran::Planned, None) => Exit::Passed,
            (Ran::Nothing, None) => Exit::Nothing,
        })
    })?;
    if let Some(folder) = failed.filter(|_| args.run.shell_on_fail) {
        shell::on_fail(&folder, &args.run.common);
    }
    Ok(exit)
}

/// What an invocation came to.
pub enum Ran {
    /// A run, whole or interrupted.
    Judged(Box<RunRecord>),
    /// The plan was all that was asked for.
    Planned,
    /// Nothing was selected, or it was interrupted before it began.
    Nothing,
}

/// Runs the matrix.
pub async fn run_once(
    args: &TestSyscall,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
    budget: Option<Budget>,
) -> Result<Ran> {
    let planned = prepare(args, ctx, store, project).await?;
    let Some(Ready { host, plan, mut looked }) = planned else { return Ok(Ran::Nothing) };
    announce(args, store, &host, &plan)?;
    if session::stopped(&ctx.stop).is_some() {
        return Ok(Ran::Nothing);
    }
    if args.run.dry_run {
        return Ok(Ran::Planned);
    }
    let sources = runs::sources(plan.kernels.iter().map(|part| &part.kernel));
    let mut lacks = lacks(args, &host, &sources);
    if plan.has_tests_of_a_tree() {
        lacks.extend(host.missing_for_selftests());
    }
    runs::complain(&lacks)?;
    let qemu = host.qemu.as_ref().context("QEMU is missing")?;
    let out = runs::out_folder(args.run.out.as_deref(), &args.syscall, project)?;
    let _held = clean::hold(&out);
    let (accel, attempts) = (args.run.accel, args.run.again.attempts());
    let means = Means { project, store, host: &host, qemu, accel, attempts, budget, out: &out };
    match run::run(ctx, &means, &plan, &mut looked).await {
        Ok(record) => Ok(Ran::Judged(Box::new(record))),
        // The run could not be written down: that is not the user's mistake.
        Err(error @ RunError::Record(_)) => Err(anyhow::Error::new(error).context(Exit::Incomplete)),
        Err(error @ (RunError::Number(_) | RunError::Contradiction { .. })) => Err(error.into()),
    }
}

/// What a run begins with.
pub struct Ready {
    /// This machine.
    pub host: Host,
    /// What is to be run.
    pub plan: Plan,
    /// The trees that were read for it.
    pub looked: Looked,
}

/// Looks at the host, and at the trees that nothing else says enough of; plans; installs what is
/// missing if that was asked for.
pub async fn prepare(
    args: &TestSyscall,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
) -> Result<Option<Ready>> {
    let profile = args.profile.as_deref().map(|name| project.profile(name)).transpose()?;
    let selection = Selection {
        kernels: args.run.kernels.kernel.clone(),
        tree: recipe::tree(&args.run.kernels)?,
        range: args.range.clone(),
        patches: args.patches.as_deref().map(std::path::absolute).transpose()?,
        option: args.option.clone(),
        selftest: args.selftest.clone(),
        exit_status: args.exit_status,
        contract: args.contract.0,
        recipe: recipe::recipe(&args.run, profile.as_ref(), ctx).await?,
        legs: args.leg.clone(),
        abis: args.run.abi.clone(),
        jobs: args.run.jobs,
        timeout: args.run.timeout,
        transports: args.run.transport.transports(),
        today: Some(runs::today()),
        profile,
        stacked: args.stacked,
        extra_patches: args.extra_patch.iter().map(std::path::absolute).collect::<Result<_, _>>()?,
    };
    let mut targets = target::targets(project, &args.syscall, &selection)?;
    let mut host = host::look(ctx, store).await;
    // After a Ctrl-C nothing is installed.
    if args.run.common.setup && !args.run.dry_run && session::stopped(&ctx.stop).is_none() {
        let mut wanted = doctor::missing(&host, &sources(&targets));
        wanted.retain(|tool| tool.need != Need::Ssh || args.run.transport != TransportChoice::Serial);
        wanted.retain(|tool| tool.need != Need::Debugger);
        if !wanted.is_empty() {
            // On another thread, so that signals are heard meanwhile.
            tokio::task::spawn_blocking(move || setup::install(&wanted)).await??;
            host = host::look(ctx, store).await;
        }
    }
    let mut looked = Looked::new();
    if targets.kernels.iter().any(Target::needs_look) {
        runs::complain(&lacks(args, &host, &sources(&targets)))?;
        looked = match run::survey(ctx, store, &host, &mut targets).await {
            Ok(looked) => looked,
            // The signal is heard by who called.
            Err(Trouble::Interrupted(_)) => return Ok(None),
            Err(trouble @ Trouble::Cause(Cause::Harness { .. })) => {
                return Err(anyhow::Error::new(trouble).context(Exit::Incomplete));
            }
            Err(trouble @ Trouble::Cause(_)) => return Err(trouble.into()),
        };
    }
    let plan = match plan::plan(project, &targets, &selection, &host) {
        Ok(plan) => plan,
        Err(PlanError::Nothing(why)) => {
            say::aside(format_args!("nothing is selected: {why}"));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Ready { host, plan, looked }))
}

fn announce(args: &TestSyscall, store: &Store, host: &Host, plan: &Plan) -> Result<()> {
    let accelerator = runs::accelerator(store, host, args.run.accel);
    if args.run.dry_run {
        say::result(format_args!("{}:\n{plan}\n  {accelerator}", plan.syscall))?;
    } else {
        say::aside(format_args!("{}:\n{plan}\n  {accelerator}", plan.syscall));
    }
    Ok(())
}

/// The packages that the kernels come from.
fn sources(targets: &Targets) -> Vec<Tool> {
    runs::sources(targets.kernels.iter().map(|target| &target.kernel))
}

/// What this machine lacks of what the run needs, and why it counts as absent.
pub fn lacks(args: &TestSyscall, host: &Host, sources: &[Tool]) -> Vec<(Tool, String)> {
    let mut lacks = host.missing(sources);
    if args.run.transport != TransportChoice::Serial {
        lacks.extend(host.missing_for_ssh());
    }
    lacks
}

fn exit(record: &RunRecord, stopped: Option<&'static str>, flaky: Flaky) -> Exit {
    let flaky_fails = flaky == Flaky::Fail && record.cells.iter().any(Attempted::is_flaky);
    if record.state == State::Interrupted
        && let Some(signal) = stopped
    {
        Exit::Interrupted(signal)
    } else if record.count(Verdict::Fail) > 0 || flaky_fails {
        Exit::Failed
    } else if record.all_passed() {
        Exit::Passed
    } else {
        Exit::Incomplete
    }
}
