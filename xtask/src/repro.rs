//! `repro`: one cell of an earlier run again, and whether its verdict repeats.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::boot::accel;
use harness::boot::vm::log;
use harness::judge::console::sanitize_lines;
use harness::limits;
use harness::model::{Transport, Verdict};
use harness::plan::files::Project;
use harness::plan::host;
use harness::process::Ctx;
use harness::run::decoded::{self, Decoded};
use harness::run::stored::{AnyCell, StoredCell, StoredError, StoredRun};
use harness::run::{Again, Replayed, again};
use harness::store::Store;

use crate::cli::{Exit, Repro};
use crate::{clean, debug, progress, replay, runs, say, session, shell, with_ssh};

/// Runs the cell and compares.
pub fn run(args: &Repro) -> Result<Exit> {
    runs::choose_color(&args.common);
    let run = replay::open(&args.run, args.common.project.as_deref())?;
    let cell = run.cell(run.pick(&args.cell)?)?;
    cell.can_run()?;
    if let Some(file) = &args.bundle {
        return bundle(&run, &cell, file);
    }
    if let Some(name) = &args.case
        && cell.record.case(name).is_none()
    {
        let cases = cell.record.cases().iter().map(|case| case.name.clone()).collect();
        return Err(StoredError::NoCase { cell: cell.record.name(), asked: name.clone(), cases }.into());
    }
    if args.shell {
        return shell::run(&run, &cell, &args.common);
    }
    if args.gdb || args.gdb_script.is_some() {
        return debug::run(&run, &cell, args);
    }
    if !with_ssh::BUILT && cell.parts.iter().any(|part| part.transport == Transport::Ssh) {
        return with_ssh::become_it(&args.common);
    }
    session::run_suspendable(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        let project = session::project(args.common.project.as_deref())?;
        let here = here(&ctx, &store, &run).await?;
        if args.case.is_some() {
            say::aside("the whole program is run; the one case is looked at");
        }
        repeat(args, &ctx, (&store, &project), (&run, &cell), &here).await
    })
}

/// `--bundle`: the cell as one file.
fn bundle(run: &StoredRun, cell: &StoredCell, file: &Path) -> Result<Exit> {
    use std::io::Write as _;
    let at = |what: &str| format!("{what} {}", file.display());
    if file.symlink_metadata().is_ok() {
        anyhow::bail!("{} is there already: name a new file", file.display());
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bytes = harness::run::bundle(run, cell)?;
    let mut whole = tempfile::NamedTempFile::new_in(folder).with_context(|| at("cannot write"))?;
    whole.write_all(&bytes).with_context(|| at("cannot write")).context(Exit::Incomplete)?;
    // Not over what somebody else has put there meanwhile, and readable as any file.
    let whole = whole.persist_noclobber(file).with_context(|| at("cannot write"))?;
    whole.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let (name, mib) = (cell.record.name(), bytes.len() >> 20);
    say::result(sanitize_lines(&format!(
        "{name}: {} ({mib} MiB): unpack it with `tar --zstd -xf` and start run.sh in it",
        file.display()
    )))?;
    Ok(Exit::Passed)
}

/// What this host has for the run's guests.
pub async fn here(ctx: &Ctx, store: &Store, run: &StoredRun) -> Result<Again> {
    let qemu = host::look(ctx, store).await.qemu;
    let missing = || anyhow::anyhow!("QEMU is missing: see `cargo xtask doctor`").context(Exit::Incomplete);
    let qemu = qemu.ok_or_else(missing)?;
    if qemu.version != run.qemu() {
        say::aside(sanitize_lines(&format!("QEMU is {}, and was {}", qemu.version, run.qemu())));
    }
    Ok(Again { qemu: qemu.path, tsc_khz: accel::tsc_khz(store) })
}

/// Once or several times; what repeats leaves the logs of the last time only.
async fn repeat(
    args: &Repro,
    ctx: &Ctx,
    tools: (&Store, &Project),
    (run, cell): (&StoredRun, &StoredCell),
    here: &Again,
) -> Result<Exit> {
    let name = cell.record.name();
    let out = new_folder(&run.folder)?;
    let _held = clean::hold(&run.folder);
    let times = if args.until_fail && args.times == 1 { limits::REPRO_TIMES } else { args.times };
    let (mut done, mut same, mut others) = (0, 0, Vec::<(String, u32)>::new());
    let mut last: Option<PathBuf> = None;
    let mut red = false;
    say::aside(sanitize_lines(&format!("{name} was {}", words(args, &cell.record))));
    for n in 1..=times {
        let logs = if times == 1 { out.clone() } else { out.join(n.to_string()) };
        let ran = match again(ctx, run, cell, here, &logs).await? {
            Ok(ran) => ran,
            Err(error) => return Err(anyhow::Error::new(error).context(Exit::Incomplete)),
        };
        if let Some(signal) = session::stopped(&ctx.stop) {
            say::aside(format_args!("interrupted after {done} of {times}"));
            return Ok(Exit::Interrupted(signal));
        }
        done += 1;
        let differences = differences(args, &ran);
        let repeats = differences.is_empty();
        let is = words(args, &ran.is);
        if times == 1 || !repeats {
            say::aside(sanitize_lines(&format!("{n}: is {is} (logs: {})", logs.display())));
            differences.iter().for_each(|line| say::aside(sanitize_lines(&format!("    {line}"))));
            // Over both transports each guest has a folder of its own.
            let shown = if cell.parts.len() > 1 { logs.join(ran.is.evidence()) } else { logs.clone() };
            show_decoded(ctx, tools, run, &ran.is, &shown).await?;
        }
        if repeats {
            same += 1;
            // Of guests that were all alike one is enough to look at.
            if let Some(before) = last.replace(logs) {
                let _ = std::fs::remove_dir_all(before);
            }
        } else {
            match others.iter_mut().find(|(other, _)| *other == is) {
                Some((_, count)) => *count += 1,
                None => others.push((is, 1)),
            }
        }
        red = verdict(args, &ran) != Verdict::Pass;
        if args.until_fail && red {
            break;
        }
    }
    let mut text = match (times, same) {
        (1, 1) => format!("{name}: it repeats: {}", words(args, &cell.record)),
        (1, _) => format!("{name}: it does not repeat: was {}", words(args, &cell.record)),
        _ => format!("{name}: {same} of {done} the same: {}", words(args, &cell.record)),
    };
    others.iter().for_each(|(is, count)| text += &format!("\n  {count} of {done}: {is}"));
    text += &format!("\n  logs: {}", out.display());
    say::result(sanitize_lines(&text))?;
    let failed = if args.until_fail { red } else { same < done };
    Ok(if failed { Exit::Failed } else { Exit::Passed })
}

/// What the kernel said, with lines of its source, if its debug info is at hand.
async fn show_decoded(
    ctx: &Ctx,
    tools: (&Store, &Project),
    run: &StoredRun,
    cell: &AnyCell,
    logs: &Path,
) -> Result<()> {
    if cell.findings().is_empty() || !logs.join(log::CONSOLE).is_file() {
        return Ok(());
    }
    let Some((key, image)) = run.kernel_of(cell) else { return Ok(()) };
    if let Some(Decoded { file, lines }) = decoded::console(ctx, tools, (key, &image), logs).await? {
        // From the first thing that was wrong; before it, every boot is the same.
        let here = cell.findings().iter().map(|found| found.line).filter(|line| *line > 0);
        let first = here.min().unwrap_or(0);
        let shown = lines.iter().filter(|(number, _)| *number >= first).take(limits::DECODED_LINES);
        shown.for_each(|(_, line)| say::aside(format_args!("    | {line}")));
        say::aside(sanitize_lines(&format!("    all of it: {}", file.display())));
    }
    Ok(())
}

/// A folder of its own beside the run's cells, which nobody writes to again.
pub fn new_folder(run: &Path) -> Result<PathBuf> {
    for n in 1..=limits::REPRO_TIMES {
        let out = run.join(format!("repro.{n}"));
        match std::fs::create_dir(&out) {
            Ok(()) => return Ok(out),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let at = format!("cannot make {}", out.display());
                return Err(anyhow::Error::new(error).context(at).context(Exit::Incomplete));
            }
        }
    }
    anyhow::bail!("{} has {} folders repro.N: remove some", run.display(), limits::REPRO_TIMES)
}

/// What is looked at: the cell, or one case of it.
fn words(args: &Repro, cell: &harness::run::stored::AnyCell) -> String {
    match args.case.as_deref().map(|name| (name, cell.case(name))) {
        None => cell.in_words(),
        Some((name, Some(case))) => {
            let message = case.message.as_deref().map(|text| format!(" ({})", text.trim_end()));
            format!("{name}: {}{}", case.verdict, message.unwrap_or_default())
        }
        Some((name, None)) => format!("{name}: not there ({})", cell.in_words()),
    }
}

fn verdict(args: &Repro, ran: &Replayed) -> Verdict {
    match &args.case {
        None => ran.is.verdict(),
        Some(name) => ran.is.case(name).map_or(Verdict::Error, |case| case.verdict),
    }
}

fn differences(args: &Repro, ran: &Replayed) -> Vec<String> {
    let Some(name) = &args.case else { return ran.differs() };
    let of = |cell: &harness::run::stored::AnyCell| cell.case(name).map(|case| case.verdict);
    let told =
        |verdict: Option<Verdict>| verdict.map_or("not there".to_owned(), |verdict| verdict.to_string());
    let (was, is) = (of(&ran.was), of(&ran.is));
    if was == is { Vec::new() } else { vec![format!("case {name}: was {}, is {}", told(was), told(is))] }
}
