//! `ktap`: reads a test log that anybody wrote. What it means is `harness::judge::ktap::log`'s.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use harness::judge::console::sanitize;
use harness::judge::ktap::log::{Totals, case_verdict};
use harness::judge::ktap::{Case, Limits, Log, Problem, Status, read_log};
use harness::limits::KTAP_LOG_BYTES;
use harness::model::Verdict;
use serde::Serialize;

use crate::cli::{Exit, Format, Ktap};
use crate::say;

/// Prints what the log says; 0 if nothing in it is wrong.
pub fn run(args: &Ktap) -> Result<Exit> {
    let bytes = read(&args.file)?;
    let log = read_log(&bytes, Limits::LOG);
    let text = match args.format {
        Format::Text => text(&log),
        Format::Json => serde_json::to_string_pretty(&Json::new(&log))? + "\n",
    };
    say::listing(&text)?;
    Ok(match log.verdict() {
        Verdict::Pass | Verdict::Skip => Exit::Passed,
        Verdict::Fail | Verdict::Miss | Verdict::Error => Exit::Failed,
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let result = match path.to_str() {
        Some("-") => io::stdin().lock().take(KTAP_LOG_BYTES + 1).read_to_end(&mut bytes),
        _ => File::open(path).and_then(|file| file.take(KTAP_LOG_BYTES + 1).read_to_end(&mut bytes)),
    };
    result.with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > KTAP_LOG_BYTES {
        let max = KTAP_LOG_BYTES >> 20;
        bail!("{} has more than {max} MiB: cut out the part with the tests", path.display());
    }
    Ok(bytes)
}

fn text(log: &Log) -> String {
    let mut out = String::new();
    tree(log.cases(), 0, &mut out);
    if let Some(reason) = log.skip_all() {
        let _ = writeln!(out, "skipped as a whole: {}", sanitize(reason));
    }
    if let Some(reason) = log.bail() {
        let _ = writeln!(out, "bailed out: {}", sanitize(reason));
    }
    if !log.problems().is_empty() {
        out.push_str("problems:\n");
    }
    for problem in log.problems() {
        let accepted = if problem.is_accepted() { " (accepted)" } else { "" };
        let _ = writeln!(out, "  {problem}{accepted}");
    }
    let Totals { pass, fail, skip, xfail } = log.totals();
    let _ = writeln!(out, "totals: pass {pass}, fail {fail}, skip {skip}, xfail {xfail}");
    let _ = writeln!(out, "verdict: {}", log.verdict());
    out
}

/// Cases with their subtests below and to the right of them; why, where a case did not pass.
fn tree(cases: &[Case], depth: usize, out: &mut String) {
    for case in cases {
        let name = if case.name.is_empty() { "(no name)".into() } else { sanitize(&case.name) };
        let _ = write!(out, "{:indent$}{:7} {name}", "", case.status, indent = 2 * depth);
        let why = case.message.as_deref().and_then(|message| message.lines().next());
        match why.filter(|_| case.status != Status::Ok) {
            Some(why) => {
                let _ = writeln!(out, "  # {} (line {})", sanitize(why), case.line);
            }
            None if case.status.is_bad() => {
                let _ = writeln!(out, "  (line {})", case.line);
            }
            None => out.push('\n'),
        }
        tree(&case.cases, depth + 1, out);
    }
}

/// What `--format json` prints; `cargo xtask ktap --help` says what the fields mean.
#[derive(Serialize)]
struct Json<'a> {
    verdict: Verdict,
    totals: Totals,
    skipped: Option<&'a str>,
    problems: Vec<JsonProblem<'a>>,
    cases: Vec<JsonCase<'a>>,
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    text: String,
    accepted: bool,
}

#[derive(Serialize)]
struct JsonCase<'a> {
    name: String,
    verdict: Verdict,
    status: Status,
    line: u64,
    message: Option<&'a str>,
}

impl<'a> Json<'a> {
    fn new(log: &'a Log) -> Json<'a> {
        let problem = |problem: &'a Problem| JsonProblem {
            problem,
            text: problem.kind.to_string(),
            accepted: problem.is_accepted(),
        };
        let cases = log.leaves().map(|leaf| JsonCase {
            name: leaf.name,
            verdict: case_verdict(leaf.case.status),
            status: leaf.case.status,
            line: leaf.case.line,
            message: leaf.case.message.as_deref(),
        });
        Json {
            verdict: log.verdict(),
            totals: log.totals(),
            skipped: log.skip_all(),
            problems: log.problems().iter().map(problem).collect(),
            cases: cases.collect(),
        }
    }
}
