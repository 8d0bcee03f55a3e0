//! `nightly`: what configs/nightly.yaml lists, one job after the other, within a night's time.
//!
//! A job is the command that a person would type, in this process. One that cannot begin takes
//! nothing else with it. `night.json` and the page are written anew after every job.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Parser;
use harness::plan::files::Project;
use harness::plan::nightly::{self as plan, NightJob};
use harness::process::Ctx;
use harness::report::compare::{self, Rules};
use harness::report::format::Format;
use harness::report::mutants as mutant_reports;
use harness::report::night::{Came, ComparedRecord, JobRecord, NightRecord, SCHEMA, render};
use harness::report::record::State;
use harness::report::sealed::AnyRun;
use harness::report::text::Paint;
use harness::report::view::View;
use harness::run::Budget;
use harness::store::Store;

use crate::cli::{Cli, Command, Exit, Gate, Nightly, ReportTo};
use crate::{clean, mutants, progress, report, runs, say, session, test_selftest, test_syscall, with_ssh};

/// The page beside `night.json`.
const PAGE: &str = "night.md";
/// What is made of every run, and how its file ends.
const REPORTS: [(Format, &str); 3] =
    [(Format::Html, "html"), (Format::Markdown, "md"), (Format::Junit, "junit.xml")];

/// Runs the night and prints its page.
pub fn run(args: &Nightly) -> Result<Exit> {
    runs::choose_color(&args.common);
    let project = session::project(args.common.project.as_deref())?;
    let file = args.file.clone().unwrap_or_else(|| project.root().join("configs/nightly.yaml"));
    let mut night = plan::nightly(&file)?;
    night.budget_minutes = args.budget.unwrap_or(night.budget_minutes);
    night.jobs.retain(|job| args.words.is_empty() || args.words.iter().any(|word| job.name.contains(word)));
    if night.jobs.is_empty() {
        say::aside("nothing is selected: no job has these words in its name");
        return Ok(Exit::Nothing);
    }
    // A mistake in a job's words is told before the first begins, not in the middle of the night.
    let mut over_ssh = false;
    for job in &night.jobs {
        let command = typed(job, args, Path::new("out"))
            .with_context(|| format!("{}: job `{}`", file.display(), job.name))?;
        over_ssh |= with_ssh::is_needed(&command);
    }
    if args.dry_run {
        for job in &night.jobs {
            say::result(format_args!("{}: {job}", job.name))?;
        }
        return Ok(Exit::Passed);
    }
    if over_ssh {
        return with_ssh::become_it(&args.common);
    }
    let nights = args.nights.clone().unwrap_or_else(|| clean::runs_folder(project.root()).join("nights"));
    let nights = std::path::absolute(nights)?;
    if let Some(page) = &args.reports {
        // Reports of another night would be taken for this one's.
        if std::fs::read_dir(page).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("--reports {}: the folder is not empty", page.display());
        }
        std::fs::create_dir_all(page).with_context(|| format!("--reports {}", page.display()))?;
    }
    let out = runs::new_folder(&nights, "night")?;
    session::run_suspendable(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        let _held = clean::hold(&out);
        let means = Means { args, ctx: &ctx, store: &store, project: &project, nights: &nights, out: &out };
        let record = means.night(&night).await?;
        clean::keep_newest(&nights, night.nights_kept);
        say::result(render(&record).trim_end())?;
        say::result(format_args!("\nreports, logs and night.json: {}", out.display()))?;
        Ok(exit(&record, args.gate, session::stopped(&ctx.stop)))
    })
}

fn exit(night: &NightRecord, gate: Gate, stopped: Option<&'static str>) -> Exit {
    let trouble = night.jobs.iter().any(|job| matches!(job.came, Came::Trouble { .. }));
    match (stopped, gate) {
        (Some(signal), _) => Exit::Interrupted(signal),
        (None, Gate::Regressions) if night.regressions() > 0 => Exit::Failed,
        (None, Gate::Regressions) if trouble => Exit::Incomplete,
        (None, Gate::Regressions) => Exit::Passed,
        (None, Gate::All) if night.jobs.iter().any(|job| job.came.is_fail()) => Exit::Failed,
        (None, Gate::All) if night.all_passed() => Exit::Passed,
        (None, Gate::All) => Exit::Incomplete,
    }
}

/// A job, as it was typed.
fn typed(job: &NightJob, args: &Nightly, out: &Path) -> Result<Command> {
    let mut words = vec!["xtask".to_owned()];
    words.extend(job.words.iter().cloned());
    let is_run = job.words.first().is_some_and(|word| word != "test");
    words.extend(is_run.then(|| ["--out".to_owned(), out.display().to_string()]).into_iter().flatten());
    let folders = [("--project", &args.common.project), ("--cache", &args.common.cache)];
    for (flag, folder) in folders {
        words.extend(folder.iter().flat_map(|path| [flag.to_owned(), path.display().to_string()]));
    }
    words.extend(args.common.setup.then(|| "--setup".to_owned()));
    Ok(Cli::try_parse_from(words)?.command)
}

struct Means<'a> {
    args: &'a Nightly,
    ctx: &'a Ctx,
    store: &'a Store,
    project: &'a Project,
    nights: &'a Path,
    out: &'a Path,
}

impl Means<'_> {
    async fn night(&self, night: &plan::Nightly) -> Result<NightRecord> {
        let began = Instant::now();
        let whole = Duration::from_secs(night.budget_minutes * 60);
        let budget = Budget { until: began + whole, whole };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut record = NightRecord {
            schema: SCHEMA,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            state: State::Running,
            started_unix_s: since.as_secs(),
            elapsed_ms: 0,
            budget_minutes: night.budget_minutes,
            selected: night.jobs.len(),
            jobs: Vec::new(),
        };
        self.write(&record)?;
        for job in &night.jobs {
            if session::stopped(&self.ctx.stop).is_some() {
                break;
            }
            say::aside(format_args!("job        {}: {job}", job.name));
            let started = Instant::now();
            let folder = self.out.join(&job.name);
            let came = match self.job(job, &folder, budget).await {
                Ok(Some(came)) => came,
                // Interrupted before it began.
                Ok(None) => break,
                Err(error) => Came::Trouble { why: format!("{error:#}") },
            };
            let compared = self.compare(&job.name, &folder, &came);
            record.jobs.push(JobRecord {
                name: job.name.clone(),
                command: job.to_string(),
                came,
                elapsed_ms: started.elapsed().as_millis() as u64,
                compared,
            });
            record.elapsed_ms = began.elapsed().as_millis() as u64;
            self.write(&record)?;
        }
        record.state = match session::stopped(&self.ctx.stop) {
            Some(_) => State::Interrupted,
            None => State::Complete,
        };
        record.elapsed_ms = began.elapsed().as_millis() as u64;
        self.write(&record)?;
        Ok(record)
    }

    fn write(&self, record: &NightRecord) -> Result<()> {
        let mut pages = [Some(self.out), self.args.reports.as_deref()].into_iter().flatten();
        let written = record
            .write(self.out)
            .and_then(|()| pages.try_for_each(|folder| std::fs::write(folder.join(PAGE), render(record))));
        written.context("the night cannot be written down").context(Exit::Incomplete)
    }

    async fn job(&self, job: &NightJob, folder: &Path, budget: Budget) -> Result<Option<Came>> {
        let (ctx, store, project, budget) = (self.ctx, self.store, self.project, Some(budget));
        let run = match typed(job, self.args, folder)? {
            Command::TestSyscall(args) => {
                match test_syscall::run_once(&args, ctx, store, project, budget).await? {
                    test_syscall::Ran::Judged(record) => AnyRun::Syscall(record),
                    _ if session::stopped(&ctx.stop).is_some() => return Ok(None),
                    _ => bail!("nothing is selected"),
                }
            }
            Command::TestSelftest(args) => {
                match test_selftest::run_once(&args, ctx, store, project, budget).await? {
                    test_selftest::Ran::Judged(record) => AnyRun::Kselftest(record),
                    test_selftest::Ran::Listed(_) => return Ok(None),
                }
            }
            Command::Test(args) => {
                let began = Instant::now();
                let ran = mutants::run_once(&args, ctx, store, project, budget).await?;
                let Some(outcomes) = ran else { return Ok(None) };
                let junit = mutant_reports::junit(&outcomes, began.elapsed());
                let table = mutant_reports::render(&outcomes, Paint::Plain);
                std::fs::create_dir_all(folder)?;
                for (ending, text) in [("junit.xml", junit), ("txt", table)] {
                    std::fs::write(folder.join(format!("report.{ending}")), &text)?;
                    if let Some(page) = &self.args.reports {
                        std::fs::write(page.join(format!("{}.{ending}", job.name)), &text)?;
                    }
                }
                return Ok(Some(mutants::came(&outcomes)));
            }
            _ => bail!("no command of a night"),
        };
        self.reports(&run, &job.name, folder)?;
        Ok(Some(Came::of(&View::of(&run))))
    }

    /// The reports of a run: in its own folder, and where they were asked for.
    fn reports(&self, run: &AnyRun, name: &str, folder: &Path) -> Result<()> {
        for (format, ending) in REPORTS {
            let to = |file: PathBuf| report::write(run, folder, &ReportTo { format, file });
            to(folder.join(format!("report.{ending}")))?;
            if let Some(page) = &self.args.reports {
                to(page.join(format!("{name}.{ending}")))?;
            }
        }
        Ok(())
    }

    /// A job against the last night that has it.
    fn compare(&self, name: &str, folder: &Path, came: &Came) -> Option<ComparedRecord> {
        let parts = match came {
            Came::Check { parts, .. } => Some(parts),
            Came::Run { .. } | Came::Trouble { .. } => None,
        };
        let new = match parts {
            Some(_) => None,
            None => Some(compare::run(folder).ok()?),
        };
        let mut nights: Vec<PathBuf> =
            std::fs::read_dir(self.nights).ok()?.flatten().map(|e| e.path()).collect();
        nights.retain(|night| night.as_path() != self.out && !night.is_symlink());
        // The names sort as time does.
        nights.sort();
        for night in nights.into_iter().rev() {
            let of_night = night.file_name()?.to_string_lossy().into_owned();
            // One that was cut short, or is of an older tool, says nothing.
            if let Some(new) = &new {
                let Ok(base) = compare::base(&night.join(name)) else { continue };
                let Ok(found) = compare::compare(&base, new, Rules::default()) else { continue };
                let [regressions, fixes] = found.in_lines();
                return Some(ComparedRecord { night: of_night, regressions, fixes });
            }
            let Ok(base) = NightRecord::read(&night) else { continue };
            let base = base.jobs.into_iter().find(|job| job.name == name).map(|job| job.came);
            let (Some(Came::Check { parts: base, .. }), Some(new)) = (base, parts) else { continue };
            return Some(ComparedRecord::of_parts(&of_night, &base, new));
        }
        None
    }
}
