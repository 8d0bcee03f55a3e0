//! `scan-log`: what a kernel said was wrong, from any log of it.

use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, bail};
use harness::judge::console::{Finding, Kind, Scanner, extents_of_any_log, sanitize, sanitize_lines};
use harness::limits;
use harness::model::Events;
use harness::run::decoded;

use crate::cli::{Exit, Format, ScanLog};
use crate::{say, session};

/// Bytes that are read at once: more gains nothing over a pipe's own 64 KiB.
const CHUNK: usize = 64 << 10;

/// Prints the findings, in order.
pub fn run(args: &ScanLog) -> Result<Exit> {
    let cannot = || format!("cannot read {}", name(&args.file));
    let (scanner, places) = match &args.vmlinux {
        None => (scan(&args.file).with_context(cannot)?, Vec::new()),
        Some(vmlinux) => {
            let log = whole(&args.file).with_context(cannot)?;
            let (scanner, lines) = extents_of_any_log(&log);
            match decoded(vmlinux, &log, &lines)? {
                Ok(places) => (scanner, places),
                Err(exit) => return Ok(exit),
            }
        }
    };
    let wrong = |finding: &&Finding| !finding.kind.is_note();
    let mut places = places.into_iter();
    let with_places = scanner.findings().iter().map(|finding| (finding, places.next().unwrap_or_default()));
    let listed: Vec<(&Finding, Vec<String>)> =
        with_places.filter(|(finding, _)| args.notes || wrong(finding)).collect();
    say::listing(&match args.format {
        Format::Text => listed.iter().map(|(finding, places)| text(finding, places)).collect(),
        Format::Json => {
            let of_programs = |(finding, decoded)| Listed { finding, decoded };
            serde_json::to_string_pretty(&listed.into_iter().map(of_programs).collect::<Vec<_>>())? + "\n"
        }
    })?;
    if scanner.left_out() > 0 {
        say::aside(format_args!("note: {} more findings were left out", scanner.left_out()));
    }
    if scanner.findings().iter().any(|finding| finding.kind == Kind::MessagesDropped) {
        say::aside(format_args!("note: the console dropped messages: what they said is not known"));
    }
    if scanner.lines() == 0 {
        say::aside(format_args!("note: {} is empty", name(&args.file)));
    }
    let found = scanner.left_out() > 0 || scanner.findings().iter().any(|finding| wrong(&finding));
    Ok(if found { Exit::Failed } else { Exit::Passed })
}

/// A finding, for programs.
#[derive(serde::Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    /// Its lines, with places of the source below those that name code; only with `--vmlinux`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decoded: Vec<String>,
}

/// A log that is looked at more than once.
fn whole(path: &Path) -> Result<Vec<u8>> {
    let mut log = Vec::new();
    let limit = limits::CONSOLE_BYTES;
    let from: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin().lock()) } else { Box::new(File::open(path)?) };
    from.take(limit + 1).read_to_end(&mut log)?;
    if log.len() as u64 > limit {
        bail!("with --vmlinux it may have {} MiB: cut out what is of interest", limit >> 20);
    }
    match unpacker(&log) {
        Some(tool) => bail!(compressed(tool)),
        None => Ok(log),
    }
}

/// The lines of each report, with places of the source.
fn decoded(
    vmlinux: &Path,
    log: &[u8],
    reports: &[RangeInclusive<u64>],
) -> Result<Result<Vec<Vec<String>>, Exit>> {
    if !vmlinux.is_file() {
        bail!("--vmlinux {}: there is no such file", name(vmlinux));
    }
    let vmlinux = std::path::absolute(vmlinux)?;
    session::run(Events::new(|_| ()), |ctx| async move {
        let text = String::from_utf8_lossy(log);
        let decoded = match decoded::log(&ctx, &vmlinux, &text).await {
            Ok(decoded) => decoded,
            Err(_) if session::stopped(&ctx.stop).is_some() => {
                return Ok(Err(Exit::Interrupted(session::stopped(&ctx.stop).unwrap_or_default())));
            }
            Err(error) => {
                let what = "it has to be the ELF file vmlinux with its symbols, not bzImage";
                let error = sanitize_lines(&error.to_string());
                bail!("--vmlinux {}: {what}: {error}", name(&vmlinux));
            }
        };
        decoded.notes.iter().for_each(|note| say::aside(format_args!("note: {}: {note}", name(&vmlinux))));
        let of = |lines: &RangeInclusive<u64>| {
            let first = decoded.lines.partition_point(|(number, _)| number < lines.start());
            let lines = decoded.lines[first..].iter().take_while(|(number, _)| number <= lines.end());
            lines.map(|(_, line)| line.clone()).collect()
        };
        Ok(Ok(reports.iter().map(of).collect()))
    })
}

/// The file's name as a person may see it.
fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "the standard input".to_owned()
    } else {
        sanitize(path.display().to_string())
    }
}

fn scan(path: &Path) -> Result<Scanner> {
    if path == Path::new("-") { read(std::io::stdin().lock()) } else { read(File::open(path)?) }
}

fn read(mut from: impl Read) -> Result<Scanner> {
    let mut scanner = Scanner::of_any_log();
    let mut chunk = vec![0; CHUNK];
    let mut first = true;
    loop {
        let n = match from.read(&mut chunk) {
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if std::mem::take(&mut first)
            && let Some(tool) = unpacker(&chunk[..n])
        {
            bail!(compressed(tool));
        }
        if n == 0 {
            scanner.finish();
            return Ok(scanner);
        }
        scanner.push(&chunk[..n]);
    }
}

fn compressed(tool: &str) -> String {
    format!("it is compressed: `{tool} FILE | cargo xtask scan-log -`")
}

/// What unpacks a file that begins so. A compressed log would be silent about everything.
fn unpacker(head: &[u8]) -> Option<&'static str> {
    let magic: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "zcat"),
        (b"\xfd7zXZ\0", "xzcat"),
        (b"\x28\xb5\x2f\xfd", "zstdcat"),
        (b"BZh", "bzcat"),
    ];
    magic.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, tool)| tool)
}

/// The finding's line, and its report below it where that was decoded.
fn text(finding: &Finding, places: &[String]) -> String {
    let mut text = line(finding) + "\n";
    let shown = places.iter().take(limits::DECODED_LINES);
    shown.for_each(|line| text += &format!("    | {line}\n"));
    if places.len() > limits::DECODED_LINES {
        text += &format!("    | and {} lines more\n", places.len() - limits::DECODED_LINES);
    }
    text
}

/// `12: oops: BUG: kernel NULL pointer dereference in f (by test/42, fatal)`
fn line(finding: &Finding) -> String {
    let by = finding.task.as_ref().map(|task| format!("by {task}"));
    let fatal = finding.fatal.then(|| "fatal".to_owned());
    let more: Vec<String> = by.into_iter().chain(fatal).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    format!("{}: {}: {}{more}", finding.line, finding.kind, finding.title)
}
