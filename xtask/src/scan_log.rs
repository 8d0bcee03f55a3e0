//! `scan-log`: what a kernel said was wrong, from any log of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use harness::judge::console::{Finding, Kind, Scanner, sanitize};

use crate::cli::{Exit, Format, ScanLog};
use crate::say;

/// Bytes that are read at once: more gains nothing over a pipe's own 64 KiB.
const CHUNK: usize = 64 << 10;

/// Prints the findings, in order.
pub fn run(args: &ScanLog) -> Result<Exit> {
    let scanner = scan(&args.file).with_context(|| format!("cannot read {}", name(&args.file)))?;
    let wrong = |finding: &&Finding| !finding.kind.is_note();
    let listed: Vec<&Finding> =
        scanner.findings().iter().filter(|finding| args.notes || wrong(finding)).collect();
    say::listing(&match args.format {
        Format::Text => listed.iter().map(|finding| line(finding) + "\n").collect(),
        Format::Json => serde_json::to_string_pretty(&listed)? + "\n",
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
            bail!("it is compressed: `{tool} FILE | cargo xtask scan-log -`");
        }
        if n == 0 {
            scanner.finish();
            return Ok(scanner);
        }
        scanner.push(&chunk[..n]);
    }
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

/// `12: oops: BUG: kernel NULL pointer dereference in f (by test/42, fatal)`
fn line(finding: &Finding) -> String {
    let by = finding.task.as_ref().map(|task| format!("by {task}"));
    let fatal = finding.fatal.then(|| "fatal".to_owned());
    let more: Vec<String> = by.into_iter().chain(fatal).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    format!("{}: {}: {}{more}", finding.line, finding.kind, finding.title)
}
