//! What the commands share that run guests: the run's folder, the date, what is missing, the colour.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use harness::boot::accel::{self, AccelChoice, Known};
use harness::limits;
use harness::model::Date;
use harness::plan::files::{Kernel, Project, Source};
use harness::plan::host::Host;
use harness::plan::tools::{self, Tool};
use harness::store::Store;

use crate::clean;
use crate::cli::{Color, Common, Exit};

/// `--color`.
pub fn choose_color(common: &Common) {
    match common.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// The packages that these kernels come from.
pub fn sources<'a>(kernels: impl Iterator<Item = &'a Kernel>) -> Vec<Tool> {
    let package = |source: &Source| match source {
        Source::Debian(package) => Some(tools::debian_source(package.as_str())),
        Source::Tarball { .. } | Source::Directory(_) | Source::Git { .. } => None,
    };
    kernels.filter_map(|kernel| package(&kernel.source)).collect()
}

/// An error that names it all, with the packages, if there is any.
pub fn complain(lacks: &[(Tool, String)]) -> Result<()> {
    if lacks.is_empty() {
        return Ok(());
    }
    let mut text = String::from("this machine lacks what the run needs:");
    for (tool, why) in lacks {
        let package = match tool.packages.is_empty() {
            true => tool.purpose.to_owned(),
            false => format!("package {}", tool.packages.join(" and ")),
        };
        text.push_str(&format!("\n  {}: {why} ({package})", tool.name));
    }
    if lacks.iter().any(|(tool, _)| !tool.packages.is_empty()) {
        text.push_str("\nrun the same command with --setup to install it, or see `cargo xtask doctor`");
    }
    Err(anyhow::anyhow!(text).context(Exit::Incomplete))
}

/// How guests will be run, as far as it is known.
pub fn accelerator(store: &Store, host: &Host, choice: AccelChoice) -> String {
    match host.qemu.as_ref().map(|qemu| accel::known(store, host, qemu, choice)) {
        Some(Known::Decided(decision)) => format!("accelerator {} ({})", decision.accel, decision.why),
        Some(Known::Untried) => "accelerator kvm, if the first guest runs under it; otherwise tcg".to_owned(),
        None => "accelerator not known: QEMU is missing".to_owned(),
    }
}

/// The run's folder: the one that was asked for, or a new one with `latest` pointing at it.
pub fn out_folder(asked: Option<&Path>, name: &str, project: &Project) -> Result<PathBuf> {
    if let Some(out) = asked {
        let out = std::path::absolute(out)?;
        if std::fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some()) {
            anyhow::bail!("{} is not empty (a run, perhaps): name a new folder", out.display());
        }
        std::fs::create_dir_all(&out).map_err(|error| cannot_make(&out, error))?;
        return Ok(out);
    }
    let runs = clean::runs_folder(project.root());
    let out = new_folder(&runs, name)?;
    clean::keep_newest(&runs, limits::RUNS_KEPT);
    Ok(out)
}

/// A new folder among these, called by the time and `name`, with `latest` pointing at it.
pub fn new_folder(runs: &Path, name: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(runs).map_err(|error| cannot_make(runs, error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let stamp = stamp(now);
    for n in 0..1000 {
        let suffix = if n == 0 { String::new() } else { format!(".{n}") };
        let name = format!("{stamp}-{name}{suffix}");
        let out = runs.join(&name);
        match std::fs::create_dir(&out) {
            Ok(()) => {
                point_latest(runs, &name);
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

/// The day of the run.
pub fn today() -> Date {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let stamp = stamp(now);
    let day = format!("{}-{}-{}", &stamp[..4], &stamp[4..6], &stamp[6..8]);
    day.parse().expect("a stamp begins with a day")
}

/// `2026-11-21 23:03:01 UTC`.
pub fn in_words(unix_s: u64) -> String {
    let stamp = stamp(unix_s);
    let part = |range: std::ops::Range<usize>| &stamp[range];
    let (day, time) = ([part(0..4), part(4..6), part(6..8)], [part(9..11), part(11..13), part(13..15)]);
    format!("{} {} UTC", day.join("-"), time.join(":"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates() {
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_782_400), "20000229T000000Z");
        assert_eq!(stamp(1_795_302_181), "20261121T230301Z");
        assert_eq!(in_words(1_795_302_181), "2026-11-21 23:03:01 UTC");
    }
}
