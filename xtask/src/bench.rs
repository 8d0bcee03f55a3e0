//! `bench`: this tool against bare QEMU and bare make, as ratios measured in one run.
//!
//! The bare side of the warm run does the same work in the guest with nothing around it: QEMU is
//! spawned with the arguments of the cell, the plan waits in its socket, the output is thrown
//! away. What is left is what this tool costs: start, plan, cache, watching, judging, reporting.

mod console;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use harness::boot::frames::{self, Nonce};
use harness::boot::qemu::Channels;
use harness::boot::qmp;
use harness::boot::vm;
use harness::judge::watch::Deadlines;
use harness::model::Verdict;
use harness::report::record::RunRecord;
use harness::run::WorkOrder;

use crate::cli::{Bench, Exit};
use crate::{progress, session};

/// The syscall, kernel and guests at once that everything is measured with.
const SYSCALL: &str = "xyzzy";
const JOBS: usize = 2;

/// Prints the ratios.
pub fn run(args: &Bench) -> Result<Exit> {
    if args.console {
        console::run(|| high_water("/proc/self/status"))?;
        return Ok(Exit::Passed);
    }
    let scratch = tempfile::tempdir()?;
    let first = scratch.path().join("first");
    // Builds what is not built; the orders of its cells are what the bare side runs.
    let record = tool(args, &first, &[])?.0;
    if !record.all_passed() {
        bail!("the matrix is not green: run `cargo xtask test-syscall {SYSCALL}` first");
    }
    let orders: Vec<WorkOrder> =
        record.cells.iter().map(|cell| WorkOrder::read(&first.join(&cell.logs))).collect::<Result<_, _>>()?;
    warm(args, scratch.path(), &orders)?;
    if let Some(boots) = args.boots {
        lost_boots(args, scratch.path(), &orders[0], boots)?;
    }
    if args.build {
        cold_build(args, &record)?;
    }
    Ok(Exit::Passed)
}

/// Runs this very program's main job; its record, how long it took, and its largest resident set.
fn tool(args: &Bench, out: &Path, more: &[&str]) -> Result<(RunRecord, Duration, u64)> {
    let started = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["test-syscall", SYSCALL, "--jobs", &JOBS.to_string(), "--out"]).arg(out).args(more);
    if let Some(cache) = &args.common.cache {
        command.arg("--cache").arg(cache);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    while child.try_wait()?.is_none() {
        peak_kib = peak_kib.max(high_water(&status));
        std::thread::sleep(Duration::from_millis(2));
    }
    let elapsed = started.elapsed();
    let text = std::fs::read(out.join(harness::report::record::FILE)).context("the run wrote no run.json")?;
    Ok((serde_json::from_slice(&text)?, elapsed, peak_kib))
}

fn high_water(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn warm(args: &Bench, scratch: &Path, orders: &[WorkOrder]) -> Result<()> {
    let (mut ours, mut bare, mut peak) = (Vec::new(), Vec::new(), 0);
    for round in 0..args.rounds.max(1) {
        // In turn, so that whatever else the machine does falls on both.
        let (record, time, kib) = tool(args, &scratch.join(format!("warm-{round}")), &[])?;
        if !record.all_passed() {
            bail!("round {round} was not green");
        }
        ours.push(time);
        peak = peak.max(kib);
        bare.push(bare_boots(orders)?);
    }
    let (ours, bare) = (median(ours), median(bare));
    anstream::println!(
        "warm run of {} cells, {JOBS} at once: {:.2} s; bare QEMU: {:.2} s; ratio {:.2} (median of {})",
        orders.len(),
        ours.as_secs_f64(),
        bare.as_secs_f64(),
        ours.as_secs_f64() / bare.as_secs_f64(),
        args.rounds.max(1),
    );
    anstream::println!("largest resident set of the tool: {:.1} MiB", peak as f64 / 1024.0);
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Boots every order once, `JOBS` at a time, and waits for the last to power off.
fn bare_boots(orders: &[WorkOrder]) -> Result<Duration> {
    let queue: Mutex<VecDeque<&WorkOrder>> = Mutex::new(orders.iter().collect());
    let next = || queue.lock().map(|mut queue| queue.pop_front()).unwrap_or(None);
    let started = Instant::now();
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            while let Some(order) = next() {
                bare_boot(order)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..JOBS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|w| w.join().unwrap_or_else(|_| bail!("a worker panicked"))).collect()
    });
    let elapsed = started.elapsed();
    ended.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(elapsed)
}

fn bare_boot(order: &WorkOrder) -> Result<()> {
    let nonce = Nonce::new([7; 16]).context("a nonce")?;
    let pairs = [UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?];
    for (_, theirs) in &pairs {
        rustix::io::fcntl_setfd(theirs, rustix::io::FdFlags::empty())?;
    }
    let [(console, c), (results, r), (monitor, m)] = pairs;
    let channels =
        Channels { console: c.as_raw_fd(), results: Some(r.as_raw_fd()), qmp: m.as_raw_fd(), gdb: None };
    // The whole dialogue is known before: plan, and close for its end.
    (&results).write_all(&frames::encode_plan(nonce, &order.plan)?)?;
    (&results).write_all(&frames::encode_close(nonce))?;
    for opening in qmp::Command::OPENING {
        (&monitor).write_all(opening.line())?;
    }
    let mut command = Command::new(&order.guest.qemu);
    command.args(order.guest.args(channels)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    drop((c, r, m));
    let drains: Vec<_> = [console, results, monitor]
        .into_iter()
        .map(|mut stream| {
            std::thread::spawn(move || {
                let mut sink = vec![0u8; 1 << 16];
                while stream.read(&mut sink).is_ok_and(|n| n > 0) {}
            })
        })
        .collect();
    let status = child.wait()?;
    drains.into_iter().for_each(|drain| drop(drain.join()));
    if !status.success() {
        bail!("a bare guest {}", harness::process::describe(status));
    }
    Ok(())
}

/// Boots `boots` guests beside a thread that burns a processor and counts those that were lost.
fn lost_boots(args: &Bench, scratch: &Path, order: &WorkOrder, boots: usize) -> Result<()> {
    let burning = Arc::new(AtomicBool::new(true));
    let flag = burning.clone();
    let burner = std::thread::spawn(move || {
        while flag.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let counted = session::run(progress::events(&args.common), |ctx| async move {
        let (mut lost, mut slowest, mut done) = (Vec::new(), Duration::ZERO, 0);
        while done < boots {
            let batch = JOBS.min(boots - done);
            let folder = |n: usize| scratch.join(format!("boot-{n}"));
            let one = async |n: usize| {
                let seen = vm::run(&ctx, &order.guest, &order.plan, Deadlines::default(), &folder(n)).await;
                std::fs::remove_dir_all(folder(n)).map(|()| seen)
            };
            let (a, b) =
                tokio::join!(one(done), async { if batch > 1 { Some(one(done + 1).await) } else { None } });
            for seen in [Some(a), b].into_iter().flatten() {
                let seen = seen??;
                let judged = order.judge(&seen);
                if judged.verdict != Verdict::Pass {
                    lost.push(judged.cause.map(|cause| cause.to_string()).unwrap_or_default());
                }
                slowest = slowest.max(seen.over_at);
            }
            done += batch;
            if session::stopped(&ctx.stop).is_some() {
                bail!("interrupted after {done} boots");
            }
        }
        Ok((lost, slowest))
    });
    burning.store(false, Ordering::Relaxed);
    let _ = burner.join();
    let (lost, slowest) = counted?;
    anstream::println!(
        "{boots} boots on {}, {JOBS} at once, beside a processor burner: {} lost; slowest {:.2} s",
        order.guest.machine,
        lost.len(),
        slowest.as_secs_f64()
    );
    lost.iter().for_each(|cause| anstream::println!("  {cause}"));
    Ok(())
}

/// A cold build in an empty cache against `make` in the same tree with the same configuration.
fn cold_build(args: &Bench, warm: &RunRecord) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("abimatrix-bench-").tempdir_in(big_folder(args)?)?;
    let cache = scratch.path().join("cache");
    let out = scratch.path().join("cold");
    let tool = |out: &Path, more: &[&OsStr]| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["test-syscall", SYSCALL, "--leg", "patched", "--abi", "m64", "--cache"]).arg(&cache);
        command.arg("--out").arg(out).args(more).env("CCACHE_DIR", scratch.path().join("ccache"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.output()
    };
    // A first run that ends when the source is unpacked, by a patch that is none: what the disk has
    // to write then would otherwise fall on the first of the two builds.
    let none = scratch.path().join("none.patch");
    std::fs::write(&none, "")?;
    tool(&scratch.path().join("unpacked"), &[OsStr::new("--extra-patch"), none.as_os_str()])?;
    rustix::fs::sync();
    let output = tool(&out, &[])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours =
        said.lines().find_map(compile_seconds).with_context(|| format!("nothing was compiled:\n{said}"))?;
    let kernel = warm.kernels.first().context("no kernel in the record")?;
    let tree = std::fs::read_dir(cache.join("tree"))?.next().context("no work tree")??.path();
    let obj = scratch.path().join("bare");
    std::fs::create_dir(&obj)?;
    std::fs::copy(out.join("images").join(format!("{}.patched.config", kernel.kernel)), obj.join(".config"))?;
    let make = |target: &str| -> Result<Duration> {
        let started = Instant::now();
        let mut command = Command::new("make");
        command.arg("-C").arg(tree.join("src")).arg(format!("O={}", obj.display()));
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        command.args([&format!("-j{jobs}"), "ARCH=x86", target]).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status()?;
        if !status.success() {
            bail!("the bare make {}", harness::process::describe(status));
        }
        Ok(started.elapsed())
    };
    make("olddefconfig")?;
    let bare = make("vmlinux")?;
    let ours = Duration::from_secs_f64(ours);
    anstream::println!(
        "cold build of {}: {:.0} s; bare make: {:.0} s; ratio {:.2}",
        kernel.kernel,
        ours.as_secs_f64(),
        bare.as_secs_f64(),
        ours.as_secs_f64() / bare.as_secs_f64()
    );
    Ok(())
}

/// Two trees and their objects are too much for a /tmp in memory: they go beside the cache.
fn big_folder(args: &Bench) -> Result<PathBuf> {
    let folder = match &args.common.cache {
        Some(cache) => cache.clone(),
        None => session::cache_home()?,
    };
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The seconds in `compile    linux-6.12 patched: done in 4 min 13 s`.
fn compile_seconds(line: &str) -> Option<f64> {
    let rest = line.strip_prefix("compile ")?.split_once(": done in ")?.1.trim_end_matches(" s");
    match rest.split_once(" min ") {
        Some((minutes, seconds)) => Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?),
        None => rest.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_compilation_is_read_from_what_was_said() {
        assert_eq!(compile_seconds("compile    linux-6.12 patched: done in 4 min 13 s"), Some(253.0));
        assert_eq!(compile_seconds("compile    linux-6.12 patched: done in 7.3 s"), Some(7.3));
        assert_eq!(compile_seconds("compile    linux-6.12 patched \u{2026}"), None);
    }
}
