//! `report`: an earlier run once more, in any format; and `--report FORMAT=FILE` of the commands
//! that run cells.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use harness::broken::broken;
use harness::report::format::Format;
use harness::report::sealed::AnyRun;
use harness::report::text::Paint;
use harness::report::view::View;

use crate::cli::{Exit, Report, ReportTo, RunArgs};
use crate::{clean, formats, runs, say, session};

/// Prints an earlier run.
pub fn run(args: &Report) -> Result<Exit> {
    runs::choose_color(&args.common);
    let (at, run) = match &args.run {
        Some(at) => (at.clone(), AnyRun::read(at)?),
        None => {
            let latest = latest(args.common.project.as_deref())?;
            let run =
                AnyRun::read(&latest).context("no run is named, and there is none to be taken for it")?;
            (latest, run)
        }
    };
    // The record may be named itself; its folder may lie elsewhere than where the run wrote it.
    let home = if at.is_dir() { at.as_path() } else { folder(&at) };
    // Who closes the pipe has read enough: what the run came to was told when it ended.
    say::listing(&formats::render(&run, home, args.format.0, Paint::Colour))?;
    Ok(Exit::Passed)
}

/// The run that ended last, of this checkout.
fn latest(project: Option<&Path>) -> Result<PathBuf> {
    Ok(clean::runs_folder(session::project(project)?.root()).join("latest"))
}

/// Before any work: what is asked for can be written, and nothing of an earlier run stands there.
/// Were this run to come to nothing, that would be taken for its report.
pub fn prepare(args: &RunArgs, runs_cells: bool) -> Result<()> {
    for (n, to) in args.report.iter().enumerate() {
        let file = to.file.display();
        let wrong = |what: String| anyhow::anyhow!("--report {}={file}: {what}", to.format);
        let folder = folder(&to.file);
        // The run's own folder is made when it begins.
        let is_out = args.out.as_deref().is_some_and(|out| same(out, folder));
        if !folder.is_dir() && !is_out {
            return Err(wrong(format!("there is no folder {}: make it first", folder.display())));
        }
        if args.report[..n].iter().any(|other| same(&other.file, &to.file)) {
            return Err(wrong("another report is to go there, too".to_owned()));
        }
        match std::fs::metadata(&to.file) {
            Ok(there) if !there.is_file() => return Err(wrong("is no file that can be replaced".to_owned())),
            Ok(_) if runs_cells && !broken("stale-report") => std::fs::remove_file(&to.file)
                .map_err(|error| wrong(format!("cannot be replaced: {error}")))?,
            _ => {}
        }
    }
    Ok(())
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || std::path::absolute(one).ok() == std::path::absolute(other).ok()
}

/// Writes the reports that were asked for, and prints the result. Who waits for a file gets it,
/// whatever becomes of the standard output.
pub fn tell(run: &AnyRun, format: Format, reports: &[ReportTo]) -> Result<()> {
    let home = Path::new(View::of(run).folder).to_owned();
    let written: Vec<Result<()>> = reports.iter().map(|to| write(run, &home, to)).collect();
    // anstream takes the colours out again where they do not belong.
    say::result(formats::render(run, &home, format, Paint::Colour).trim_end_matches('\n'))?;
    written.into_iter().collect()
}

/// Whole or not at all.
pub fn write(run: &AnyRun, home: &Path, to: &ReportTo) -> Result<()> {
    let text = formats::render(run, home, to.format, Paint::Plain);
    let write = || -> std::io::Result<()> {
        // A report is for others to read, as any file that a program makes.
        let mode = Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder(&to.file))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&to.file)?;
        Ok(())
    };
    write()
        .with_context(|| format!("cannot write the report {}={}", to.format, to.file.display()))
        .context(Exit::Incomplete)
}

/// The value of `--report`.
pub fn parse_to(text: &str) -> Result<ReportTo> {
    let Some((format, file)) = text.split_once('=') else {
        bail!("it is FORMAT=FILE, such as junit=report.xml");
    };
    let format: Format = format.parse().map_err(anyhow::Error::msg)?;
    if file.is_empty() {
        bail!("no file is named after `{format}=`");
    }
    Ok(ReportTo { format, file: file.into() })
}
