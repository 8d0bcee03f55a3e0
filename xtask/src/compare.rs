//! `compare`, `baseline`, and `--baseline` of the commands that run cells. What is a regression is
//! `harness::report::compare`'s to say.

use std::path::Path;

use anyhow::{Context, Result, bail};
use harness::report::compare::{self, Comparison, Rules, Side};
use harness::report::text::Paint;
use harness::store::write_atomic;

use crate::cli::{Again, Baseline, Compare, Exit, Flaky, Format};
use crate::say;

/// Compares two runs; 1 if something is worse.
pub fn run(args: &Compare) -> Result<Exit> {
    let (base, new) = (compare::base(&args.base)?, compare::run(&args.new)?);
    let found = compare::compare(&base, &new, rules(args.flaky))?;
    let text = match args.format {
        Format::Text => text(&found),
        Format::Json => serde_json::to_string_pretty(&found)?,
    };
    say::listing(&(text + "\n"))?;
    Ok(if found.is_worse() { Exit::Failed } else { Exit::Passed })
}

/// Makes a baseline of a run.
pub fn write_baseline(args: &Baseline) -> Result<Exit> {
    let text = compare::run(&args.run)?.baseline()?;
    if args.file.is_dir() {
        bail!("{} is a folder: name a file", args.file.display());
    }
    // A bare name has an empty parent.
    let file = std::path::absolute(&args.file)?;
    let written = write_atomic(&file, text.as_bytes());
    written.with_context(|| format!("cannot write {}", file.display())).context(Exit::Incomplete)?;
    Ok(Exit::Passed)
}

fn rules(flaky: Flaky) -> Rules {
    Rules { flaky_fails: flaky == Flaky::Fail }
}

fn text(found: &Comparison) -> String {
    // anstream takes the colours out again where they do not belong.
    compare::render(found, Paint::Colour).trim_end_matches('\n').to_owned()
}

/// `--baseline`: what a run is held against.
pub struct Against {
    base: Side,
    rules: Rules,
}

impl Against {
    /// Reads it, if one is named; it has to be of the same thing.
    pub fn read(args: &Again, of: &str) -> Result<Option<Against>> {
        let Some(path) = &args.baseline else { return Ok(None) };
        let base = compare::base(path)?;
        if base.subject() != of {
            bail!("--baseline {}: it is of {}, and this run is of {of}", path.display(), base.subject());
        }
        Ok(Some(Against { base, rules: rules(args.flaky) }))
    }

    /// Prints what a run's folder comes to against it; with the code that the run has by itself, and how many
    /// of its cells are in error, that gives the code. With `as_result` it goes where results go.
    pub fn hold(&self, folder: &str, (own, errors): (Exit, usize), as_result: bool) -> Result<Exit> {
        let new = compare::run(Path::new(folder)).context(Exit::Incomplete)?;
        let found = compare::compare(&self.base, &new, self.rules)?;
        match as_result {
            true => say::result(format_args!("\n{}", text(&found)))?,
            false => say::aside(text(&found)),
        }
        Ok(match own {
            Exit::Interrupted(_) | Exit::Nothing | Exit::Usage => own,
            Exit::Passed | Exit::Failed | Exit::Incomplete if found.is_worse() => Exit::Failed,
            Exit::Passed | Exit::Failed | Exit::Incomplete if errors > 0 => Exit::Incomplete,
            Exit::Passed | Exit::Failed | Exit::Incomplete => Exit::Passed,
        })
    }
}
