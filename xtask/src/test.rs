//! `test`: this project's own tests, tier by tier, with minutes per stage and one closing line.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use harness::plan::host;
use harness::plan::tools::{Need, Tool};

use crate::cli::{Exit, Test};
use crate::{breaks, cargo, doctor, mutants, progress, session, setup};

/// One stage: what it is called, and what cargo is asked to do.
struct StageOf {
    name: &'static str,
    work: Work,
}

impl StageOf {
    fn has_tests(&self) -> bool {
        matches!(self.work, Work::Tests(words, _) if !words.contains(&"--no-run"))
    }
}

/// What cargo is asked to do.
enum Work {
    /// These words, which want a component of the toolchain that a small installation may lack.
    Look { component: &'static str, words: &'static [&'static str] },
    /// These of the tests (see [`cargo::test`]): words for cargo, and files of integration tests.
    Tests(&'static [&'static str], &'static [&'static str]),
}

const LINT: [StageOf; 2] = [
    StageOf {
        name: "format",
        work: Work::Look { component: "rustfmt", words: &["fmt", "--all", "--check"] },
    },
    StageOf {
        name: "lint",
        work: Work::Look {
            component: "clippy",
            words: &[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--features",
                "xtask/ssh",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        },
    },
];

const FAST: [StageOf; 4] = [
    StageOf { name: "compile the tests", work: Work::Tests(&["--no-run"], &[]) },
    StageOf {
        name: "T0-T2 library",
        work: Work::Tests(
            &["--lib"],
            &[
                "t0_faults",
                "t0_fuzz_corpus",
                "t0_guest_codec",
                "t0_life",
                "t0_tidy",
                "t1_contract",
                "t1_fake_qemu",
                "t1_page",
                "t1_process",
                "t2_boot_sector",
            ],
        ),
    },
    StageOf {
        name: "T0 program",
        work: Work::Tests(&["--bin", "xtask"], &["cli", "cli_report", "cli_scan_log"]),
    },
    StageOf {
        name: "T1 program",
        work: Work::Tests(&[], &["t1_host", "t1_kill", "t1_night", "t1_repro", "t1_terminal"]),
    },
];

/// On the program as a user runs it: this one.
const KERNELS: StageOf = StageOf { name: "T3 real kernels", work: Work::Tests(&[], &["t3"]) };

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// The program that tests start, if it is not the one that was compiled with them: see
/// `tests/support/mod.rs`.
const TESTED: &str = "ABIMATRIX_TESTED";

/// When no test begins any more that may wait, by [`now`]: see the same file.
const UNTIL: &str = "ABIMATRIX_UNTIL";

/// Seconds of a clock that nobody sets, the same for all processes.
fn now() -> u64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec.unsigned_abs()
}

/// Runs the tiers; 0 if all passed.
pub fn run(args: &Test) -> Result<Exit> {
    let until = args.within.map(|minutes| now() + 60 * minutes);
    prepare(args)?;
    if args.mutants {
        return mutants::run(args);
    }
    let tested = if args.fast || args.breaks { None } else { Some(copy_of_this_program()?) };
    let mut table: Vec<(&str, Duration, Counts)> = Vec::new();
    let mut tier = |name: &'static str, work: &dyn Fn() -> Result<Counts>| -> Result<()> {
        anstream::println!("== {name}");
        let started = Instant::now();
        let counts = work()?;
        table.push((name, started.elapsed(), counts));
        Ok(())
    };
    if !args.breaks {
        for stage in LINT.iter().chain(&FAST) {
            tier(stage.name, &|| run_stage(stage, &[]))?;
        }
    }
    if !args.fast {
        tier("break", &|| match breaks::run() {
            Ok((passed, failed)) => Ok(Counts { passed, failed, skipped: 0 }),
            Err(error) if error.is::<Exit>() => Err(error),
            Err(error) => {
                anstream::println!("FAILED: {error:#}");
                Ok(Counts { failed: 1, ..Counts::default() })
            }
        })?;
    }
    // Last, since it is the one that may have to leave something out.
    if let Some(tested) = tested {
        let mut env = vec![(TESTED, tested.into_os_string())];
        env.extend(until.map(|until| (UNTIL, until.to_string().into())));
        tier(KERNELS.name, &|| run_stage(&KERNELS, &env))?;
    }
    let mut total = Counts::default();
    anstream::println!("\n== minutes per stage");
    for (name, time, counts) in table {
        let Counts { passed, failed, skipped } = counts;
        let minutes = time.as_secs_f64() / 60.0;
        anstream::println!(
            "{name:20} {minutes:6.1} min   {passed} passed, {failed} failed, {skipped} skipped"
        );
        total.passed += passed;
        total.failed += failed;
        total.skipped += skipped;
    }
    let Counts { passed, failed, skipped } = total;
    anstream::println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 && passed > 0 { Exit::Passed } else { Exit::Failed })
}

/// What T3 starts, made before anything else: this program's place may have another one by then.
fn copy_of_this_program() -> Result<PathBuf> {
    let folder = cargo::target()?.join("tests");
    let copy = folder.join("xtask-under-test");
    fs::create_dir_all(&folder)?;
    // One that somebody still runs cannot be written to.
    let _ = fs::remove_file(&copy);
    fs::copy("/proc/self/exe", &copy).context("cannot copy this very program")?;
    Ok(copy)
}

/// Names what is missing before any work starts, or installs it.
fn prepare(args: &Test) -> Result<()> {
    let project = session::project(args.common.project.as_deref())?;
    let sources = doctor::sources(&project)?;
    let missing = |host: &host::Host| -> Vec<Tool> {
        // The tests look at all three ABIs: a column that is only missed elsewhere is needed here.
        let helpful = |tool: &Tool| tool.need == Need::Helpful && !args.common.setup;
        let absent = host.found.iter().filter(|found| found.state.is_err()).map(|found| found.tool.clone());
        let of_tests = absent.filter(|tool| tool.need == Need::Tests);
        doctor::missing(host, &sources).into_iter().chain(of_tests).filter(|tool| !helpful(tool)).collect()
    };
    session::run(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        let mut wanted = missing(&host::look(&ctx, &store).await);
        if args.common.setup && !wanted.is_empty() {
            setup::install(&wanted)?;
            wanted = missing(&host::look(&ctx, &store).await);
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = wanted
            .iter()
            .map(|tool| format!("{} (package {})", tool.name, tool.packages.join(" and ")))
            .collect();
        anyhow::bail!("the tests need what this machine lacks: {}; --setup installs it", names.join(", "))
    })
}

fn run_stage(stage: &StageOf, env: &[(&str, OsString)]) -> Result<Counts> {
    let mut command = match stage.work {
        Work::Look { component, .. } if !has_component(component) => {
            let ci = std::env::var_os("CI").is_some();
            anstream::println!("{}: the toolchain has no {component}", if ci { "FAILED" } else { "skipped" });
            return Ok(if ci {
                Counts { failed: 1, ..Counts::default() }
            } else {
                Counts { skipped: 1, ..Counts::default() }
            });
        }
        Work::Look { words, .. } => {
            let mut cargo = cargo::in_checkout();
            cargo.args(words);
            cargo
        }
        Work::Tests(words, files) => {
            let mut cargo = cargo::test()?;
            cargo.args(words).args(files.iter().flat_map(|file| ["--test", file]));
            cargo
        }
    };
    command.envs(env.iter().map(|(name, value)| (name, value))).stdout(Stdio::piped());
    // Insta-like helpers and corpora are rewritten by hand only.
    command.env_remove("UPDATE_CORPUS");
    let mut child = command.spawn().context("cannot start cargo")?;
    let mut counts = Counts::default();
    let mut results = 0;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line?;
            anstream::println!("{line}");
            if let Some(of_binary) = read_result(&line) {
                results += 1;
                counts.passed += of_binary.passed;
                counts.failed += of_binary.failed;
                counts.skipped += of_binary.skipped;
            }
        }
    }
    let status = child.wait()?;
    if let Some(signal) = session::interrupted(status) {
        return Err(anyhow::anyhow!("interrupted by {signal}").context(Exit::Interrupted(signal)));
    }
    // A stage without tests of its own counts as one; one that broke before its tests ran as well.
    match (results, status.success()) {
        (0, true) if !stage.has_tests() => counts.passed = 1,
        (0, true) => counts.failed = 1,
        (_, false) if counts.failed == 0 => counts.failed = 1,
        _ => {}
    }
    Ok(counts)
}

fn has_component(component: &str) -> bool {
    let program = if component == "clippy" { "cargo-clippy" } else { component };
    let asked = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| output.status.success())
}

/// Reads libtest's closing line.
fn read_result(line: &str) -> Option<Counts> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let part = rest.split([';', '.']).find_map(|part| part.trim().strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Counts { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_binary_is_read() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 1.2s";
        assert_eq!(read_result(line), Some(Counts { passed: 12, failed: 1, skipped: 2 }));
        assert_eq!(read_result("test result of mine"), None);
    }
}
