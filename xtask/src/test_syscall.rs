//! `test-syscall`: the main job.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use harness::boot::accel::{self, AccelChoice, Known};
use harness::build::Trouble;
use harness::model::{Cause, Date, Verdict};
use harness::plan::files::{Kernel, Project, Source};
use harness::plan::host::{self, Host};
use harness::plan::target::{self, Target};
use harness::plan::tools::{self, Need, Tool};
use harness::plan::{self, Plan, PlanError, Selection};
use harness::process::Ctx;
use harness::report::record::{RunRecord, State};
use harness::report::text::{self, Paint};
use harness::run::{self, Looked, Means, RunError};
use harness::store::Store;

use crate::cli::{Color, Common, Exit, Format, TestSyscall, TransportChoice};
use crate::{clean, doctor, progress, recipe, say, session, setup};

/// Runs the matrix and prints it.
pub fn run(args: &TestSyscall) -> Result<Exit> {
    choose_color(&args.common);
    session::run_suspendable(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        let project = session::project(args.common.project.as_deref())?;
        let planned = prepare(args, &ctx, &store, &project).await?;
        if let Some(signal) = session::stopped(&ctx.stop) {
            return Ok(Exit::Interrupted(signal));
        }
        let Some(Ready { host, plan, mut looked }) = planned else { return Ok(Exit::Nothing) };
        if args.dry_run {
            return Ok(Exit::Passed);
        }
        let kernels: Vec<&Kernel> = plan.kernels.iter().map(|part| &part.kernel).collect();
        complain(&lacks(args, &host, &sources(&kernels)))?;
        let qemu = host.qemu.as_ref().context("QEMU is missing")?;
        let out = out_folder(args, &project)?;
        let _held = clean::hold(&out);
        let means =
            Means { project: &project, store: &store, host: &host, qemu, accel: args.accel, out: &out };
        let record = match run::run(&ctx, &means, &plan, &mut looked).await {
            Ok(record) => record,
            // The run could not be written down: that is not the user's mistake.
            Err(error @ RunError::Record(_)) => {
                return Err(anyhow::Error::new(error).context(Exit::Incomplete));
            }
            Err(error @ (RunError::Number(_) | RunError::Contradiction { .. })) => return Err(error.into()),
        };
        print(&record, args)?;
        Ok(exit(&record, session::stopped(&ctx.stop)))
    })
}

/// What a run begins with.
struct Ready {
    host: Host,
    plan: Plan,
    looked: Looked,
}

/// Looks at the host, and at the trees that nothing else says enough of; plans and says what will
/// be done; installs what is missing if that was asked for.
async fn prepare(args: &TestSyscall, ctx: &Ctx, store: &Store, project: &Project) -> Result<Option<Ready>> {
    let selection = Selection {
        kernels: args.kernels.kernel.clone(),
        tree: recipe::tree(&args.kernels)?,
        range: args.range.clone(),
        patches: args.patches.as_deref().map(std::path::absolute).transpose()?,
        option: args.option.clone(),
        selftest: args.selftest.clone(),
        recipe: recipe::recipe(&args.kernels, ctx).await?,
        legs: args.leg.clone(),
        abis: args.abi.clone(),
        jobs: args.jobs,
        timeout: args.timeout,
        transports: args.transport.transports(),
        today: Some(today()),
        extra_patches: args.extra_patch.iter().map(std::path::absolute).collect::<Result<_, _>>()?,
    };
    let mut targets = target::targets(project, &args.syscall, &selection)?;
    let mut host = host::look(ctx, store).await;
    // After a Ctrl-C nothing is installed.
    if args.common.setup && !args.dry_run && session::stopped(&ctx.stop).is_none() {
        let kernels: Vec<&Kernel> = targets.kernels.iter().map(|target| &target.kernel).collect();
        let mut wanted = doctor::missing(&host, &sources(&kernels));
        wanted.retain(|tool| tool.need != Need::Ssh || args.transport != TransportChoice::Serial);
        if !wanted.is_empty() {
            // On another thread, so that signals are heard meanwhile.
            tokio::task::spawn_blocking(move || setup::install(&wanted)).await??;
            host = host::look(ctx, store).await;
        }
    }
    let mut looked = Looked::new();
    if targets.kernels.iter().any(Target::needs_look) {
        let kernels: Vec<&Kernel> = targets.kernels.iter().map(|target| &target.kernel).collect();
        complain(&lacks(args, &host, &sources(&kernels)))?;
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
    announce(args, store, &host, &plan)?;
    Ok(Some(Ready { host, plan, looked }))
}

fn announce(args: &TestSyscall, store: &Store, host: &Host, plan: &Plan) -> Result<()> {
    let accelerator = accelerator(store, host, args.accel);
    if args.dry_run {
        say::result(format_args!("{}:\n{plan}\n  {accelerator}", plan.syscall))?;
    } else {
        say::aside(format_args!("{}:\n{plan}\n  {accelerator}", plan.syscall));
    }
    Ok(())
}

/// The packages that kernels come from.
fn sources(kernels: &[&Kernel]) -> Vec<Tool> {
    let package = |kernel: &&Kernel| match &kernel.source {
        Source::Debian(package) => Some(tools::debian_source(package.as_str())),
        Source::Tarball { .. } | Source::Directory(_) | Source::Git { .. } => None,
    };
    kernels.iter().filter_map(package).collect()
}

/// What this machine lacks of what the run needs, and why it counts as absent.
pub fn lacks(args: &TestSyscall, host: &Host, sources: &[Tool]) -> Vec<(Tool, String)> {
    let mut lacks = host.missing(sources);
    if args.transport != TransportChoice::Serial {
        lacks.extend(host.missing_for_ssh());
    }
    lacks
}

/// An error that names it all, with the packages, if there is any.
pub fn complain(lacks: &[(Tool, String)]) -> Result<()> {
    if lacks.is_empty() {
        return Ok(());
    }
    let mut text = String::from("this machine lacks what the run needs:");
    for (tool, why) in lacks {
        text.push_str(&format!("\n  {}: {why} (package {})", tool.name, tool.packages.join(" and ")));
    }
    text.push_str("\nrun the same command with --setup to install it, or see `cargo xtask doctor`");
    Err(anyhow::anyhow!(text).context(Exit::Incomplete))
}

fn accelerator(store: &Store, host: &Host, choice: AccelChoice) -> String {
    match host.qemu.as_ref().map(|qemu| accel::known(store, host, qemu, choice)) {
        Some(Known::Decided(decision)) => format!("accelerator {} ({})", decision.accel, decision.why),
        Some(Known::Untried) => "accelerator kvm, if the first guest runs under it; otherwise tcg".to_owned(),
        None => "accelerator not known: QEMU is missing".to_owned(),
    }
}

/// The run's folder: the one that was asked for, or a new one with `latest` pointing at it.
fn out_folder(args: &TestSyscall, project: &Project) -> Result<PathBuf> {
    if let Some(out) = &args.out {
        let out = std::path::absolute(out)?;
        if std::fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some()) {
            anyhow::bail!("{} is not empty (a run, perhaps): name a new folder", out.display());
        }
        std::fs::create_dir_all(&out).map_err(|error| cannot_make(&out, error))?;
        return Ok(out);
    }
    let runs = clean::runs_folder(project.root());
    std::fs::create_dir_all(&runs).map_err(|error| cannot_make(&runs, error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let stamp = stamp(now);
    for n in 0..1000 {
        let suffix = if n == 0 { String::new() } else { format!(".{n}") };
        let name = format!("{stamp}-{}{suffix}", args.syscall);
        let out = runs.join(&name);
        match std::fs::create_dir(&out) {
            Ok(()) => {
                point_latest(&runs, &name);
                clean::keep_newest(&runs);
                return Ok(out);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_make(&out, error)),
        }
    }
    anyhow::bail!("{} is full of runs of this very second", runs.display())
}

/// A disk that does not let the run be written down is not the user's mistake.
fn cannot_make(folder: &Path, error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot make {}", folder.display())).context(Exit::Incomplete)
}

/// The link is a convenience: two runs at once leave it at one of them.
fn point_latest(runs: &Path, name: &str) {
    let new = runs.join(format!(".latest-{}", std::process::id()));
    let linked =
        std::os::unix::fs::symlink(name, &new).and_then(|()| std::fs::rename(&new, runs.join("latest")));
    if linked.is_err() {
        let _ = std::fs::remove_file(new);
    }
}

fn today() -> Date {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let stamp = stamp(now);
    let day = format!("{}-{}-{}", &stamp[..4], &stamp[4..6], &stamp[6..8]);
    day.parse().expect("a stamp begins with a day")
}

/// `20261121T230301Z`: sorts as time does.
fn stamp(unix_s: u64) -> String {
    let (days, s) = (unix_s / 86_400, unix_s % 86_400);
    // Howard Hinnant's civil_from_days, for days since 1970.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

fn choose_color(common: &Common) {
    match common.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

fn print(record: &RunRecord, args: &TestSyscall) -> Result<()> {
    match args.format {
        // anstream takes the colours out again where they do not belong.
        Format::Text => say::result(text::render(record, Paint::Colour).trim_end_matches('\n')),
        Format::Json => say::result(serde_json::to_string_pretty(record)?),
    }
}

fn exit(record: &RunRecord, stopped: Option<&'static str>) -> Exit {
    if record.state == State::Interrupted
        && let Some(signal) = stopped
    {
        Exit::Interrupted(signal)
    } else if record.count(Verdict::Fail) > 0 {
        Exit::Failed
    } else if record.all_passed() {
        Exit::Passed
    } else {
        Exit::Incomplete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates() {
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_782_400), "20000229T000000Z");
        assert_eq!(stamp(1_795_302_181), "20261121T230301Z");
    }
}
