//! `test --mutants`: each seeded bug on a real kernel, held against what it says must be seen of it.
//!
//! Each is a run of test-syscall as a user would make it: the stack of series with the mutant's patch
//! on top. So the kernel is compiled once, and of each mutant the objects that it changes.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Parser;
use harness::model::Verdict;
use harness::plan::files::Project;
use harness::plan::mutants::{MutantPatch, Mutants};
use harness::plan::recipe::Recipe;
use harness::process::Ctx;
use harness::report::mutants::{Outcome, render};
use harness::report::night::{Came, PartRecord};
use harness::report::text::Paint;
use harness::run::Budget;
use harness::store::Store;

use crate::cli::{Cli, Command, Exit, Test, TestSyscall};
use crate::test_syscall::{self, Ran};
use crate::{progress, recipe, runs, say, session};

/// Runs the mutants whose names or syscalls contain one of the words, or all; 0 if each was caught.
pub fn run(args: &Test) -> Result<Exit> {
    runs::choose_color(&args.common);
    session::run_suspendable(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        let project = session::project(args.common.project.as_deref())?;
        let chosen = choose(&project, &args.words)?;
        if chosen.is_empty() {
            say::aside("no mutant has these words in its name, or says what is to be seen of it");
            return Ok(Exit::Nothing);
        }
        let Some(outcomes) = try_all(&chosen, args, &ctx, &store, &project, None).await? else {
            return Ok(Exit::Interrupted(session::stopped(&ctx.stop).unwrap_or("SIGINT")));
        };
        say::result(render(&outcomes, Paint::Colour).trim_end())?;
        Ok(if outcomes.iter().all(Outcome::is_caught) { Exit::Passed } else { Exit::Failed })
    })
}

/// Tries each; nothing if the user ended it. What has not begun when the time is over is not caught.
async fn try_all(
    chosen: &[MutantPatch],
    args: &Test,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
    budget: Option<Budget>,
) -> Result<Option<Vec<Outcome>>> {
    // Before the first, and not when its turn comes: hours later, perhaps.
    let profiles: BTreeSet<&String> = chosen.iter().filter_map(|m| m.mutant.profile.as_ref()).collect();
    // One that is not there is told of the mutant that names it.
    for profile in profiles.into_iter().filter_map(|name| project.profile(name).ok()) {
        let recipe = Recipe { of_profile: profile.make, ..Recipe::default() };
        recipe::at_hand(&recipe, args.common.setup, ctx).await?;
    }
    let mut outcomes = Vec::new();
    for mutant in chosen {
        let outcome = if budget.is_some_and(|budget| budget.is_spent()) {
            Outcome::left_out(&mutant.name)
        } else {
            let ran = test_syscall::run_once(&as_typed(mutant, args)?, ctx, store, project, budget).await;
            if session::stopped(&ctx.stop).is_some() {
                return Ok(None);
            }
            match ran {
                Ok(Ran::Judged(record)) => Outcome::of(&mutant.name, &mutant.mutant, &record),
                Ok(Ran::Planned | Ran::Nothing) => Outcome::without_run(&mutant.name, "nothing was selected"),
                // One that does not apply any more is not caught; the others may be.
                Err(error) => Outcome::without_run(&mutant.name, &format!("{error:#}")),
            }
        };
        let word = match (outcome.left_out, outcome.is_caught()) {
            (true, _) => "left out",
            (false, true) => "caught",
            (false, false) => "NOT CAUGHT",
        };
        say::aside(format_args!("{word:10} {}", mutant.name));
        outcomes.push(outcome);
    }
    Ok(Some(outcomes))
}

/// The same as a job of a night.
pub async fn run_once(
    args: &Test,
    ctx: &Ctx,
    store: &Store,
    project: &Project,
    budget: Option<Budget>,
) -> Result<Option<Vec<Outcome>>> {
    let chosen = choose(project, &args.words)?;
    try_all(&chosen, args, ctx, store, project, budget).await
}

/// What such a job came to.
pub fn came(outcomes: &[Outcome]) -> Came {
    let parts: Vec<PartRecord> = outcomes.iter().map(Outcome::part).collect();
    let count = |verdict| parts.iter().filter(|part| part.verdict == verdict).count();
    let mut said =
        format!("{} of {} seeded bugs caught as they are to be", count(Verdict::Pass), parts.len());
    let unseen: Vec<&str> =
        parts.iter().filter(|part| part.verdict == Verdict::Fail).map(|part| part.name.as_str()).collect();
    if !unseen.is_empty() {
        said += &format!("; not: {}", unseen.join(", "));
    }
    if count(Verdict::Miss) > 0 {
        said += &format!(" ({} left out: budget)", count(Verdict::Miss));
    }
    Came::Check { said, parts }
}

fn choose(project: &Project, words: &[String]) -> Result<Vec<MutantPatch>> {
    let mut chosen = Vec::new();
    for kernel in project.kernels()? {
        let Mutants { named, silent } = project.mutants(&kernel)?;
        if words.is_empty() && !silent.is_empty() {
            say::aside(format_args!("{kernel}: without `Mutant-of`, left to T3: {}", silent.join(", ")));
        }
        let has = |mutant: &MutantPatch, word: &String| {
            mutant.name.contains(word) || mutant.mutant.of.as_str().contains(word)
        };
        chosen
            .extend(named.into_iter().filter(|m| words.is_empty() || words.iter().any(|word| has(m, word))));
    }
    Ok(chosen)
}

/// The run, as a user would type it.
fn as_typed(mutant: &MutantPatch, args: &Test) -> Result<TestSyscall> {
    let patch = mutant.path.display().to_string();
    let (of, kernel) = (mutant.mutant.of.as_str(), mutant.kernel.as_str());
    let leg = mutant.mutant.leg.name();
    let mut words = vec!["xtask", "test-syscall", of, "--kernel", kernel, "--leg", leg, "--stacked"];
    words.extend(["--extra-patch", &patch]);
    words.extend(mutant.mutant.profile.iter().flat_map(|profile| ["--profile", profile]));
    let project = args.common.project.as_ref().map(|path| path.display().to_string());
    words.extend(project.iter().flat_map(|path| ["--project", path]));
    words.extend(args.common.setup.then_some("--setup"));
    match Cli::try_parse_from(words)?.command {
        Command::TestSyscall(args) => Ok(*args),
        _ => unreachable!("the second word says which command"),
    }
}
