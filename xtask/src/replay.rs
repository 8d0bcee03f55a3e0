//! `replay`: the logs of an earlier run, judged again by today's rules.

use std::path::{Path, PathBuf};

use anyhow::Result;
use harness::report::record::State;
use harness::run::replay;
use harness::run::stored::StoredRun;

use crate::cli::{Exit, Replay};
use crate::{clean, say, session};

/// Judges and lists what is not as it was.
pub fn run(args: &Replay) -> Result<Exit> {
    let run = open(&args.run, args.project.as_deref())?;
    let only = match args.cell.is_empty() {
        true => None,
        false => Some(run.pick(&args.cell)?),
    };
    let replayed = replay(&run, only.as_ref())?;
    let mut text = String::new();
    let mut differ = 0;
    for cell in &replayed {
        let differences = cell.differs_in_words();
        if differences.is_empty() {
            continue;
        }
        differ += 1;
        text += &format!("{}:\n", cell.was.name());
        differences.iter().for_each(|line| text += &format!("  {}\n", line.replace('\n', "\n    ")));
    }
    text += &format!("{} cells judged again, {differ} are not what they were", replayed.len());
    match run.state() {
        State::Complete => {}
        State::Running => text += " (the run is not complete: it goes on, or was killed)",
        State::Interrupted => text += " (the run is not complete: it was interrupted)",
    }
    say::result(harness::judge::console::sanitize_lines(&text))?;
    Ok(if differ == 0 { Exit::Passed } else { Exit::Failed })
}

/// An earlier run by its folder, or as `latest`.
pub fn open(run: &Path, project: Option<&Path>) -> Result<StoredRun> {
    let latest = run == Path::new("latest") && !run.exists();
    let folder: PathBuf = match latest {
        true => clean::runs_folder(session::project(project)?.root()).join("latest"),
        false => run.to_owned(),
    };
    Ok(StoredRun::open(&folder)?)
}
