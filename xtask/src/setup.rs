//! `--setup`: installing what is missing through apt, once, after saying what.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use harness::plan::tools::Tool;

/// Installs the packages of `tools`. Refuses if apt would remove anything.
pub fn install(tools: &[Tool]) -> Result<()> {
    let mut packages: Vec<&str> =
        tools.iter().flat_map(|tool| tool.packages.iter().map(String::as_str)).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    anstream::eprintln!("setup: {} packages are wanted: {}", packages.len(), packages.join(" "));
    // A machine that was just made has no package lists yet, and an old one stale ones.
    apt(&["update", "-q"], true).context("apt-get update failed")?;
    let arguments = ["install", "--no-install-recommends", "-q", "-y"];
    let simulated = simulate(&arguments, &packages)?;
    let plan = read_simulation(&simulated);
    if !plan.removed.is_empty() {
        // Which of them is in the way is asked one by one: a person has to decide about that one alone.
        let conflicts = |package: &&str| {
            simulate(&arguments, &[*package]).is_ok_and(|said| !read_simulation(&said).removed.is_empty())
        };
        let culprits: Vec<&str> = packages.iter().copied().filter(conflicts).collect();
        let removed = plan.removed.join(" ");
        bail!(
            "nothing was installed: for {} apt would remove {removed}, and that is for you to decide; \
             after `apt-get remove {removed}`, run this again",
            if culprits.is_empty() { packages.join(" ") } else { culprits.join(" ") },
        );
    }
    anstream::eprintln!(
        "setup: apt installs {} packages: {}",
        plan.installed.len(),
        plan.installed.join(" ")
    );
    for line in sizes(&arguments, &packages) {
        anstream::eprintln!("setup: {line}");
    }
    let all: Vec<&str> = arguments.iter().copied().chain(packages).collect();
    apt(&all, true).context("apt-get install failed")?;
    anstream::eprintln!("setup: done");
    Ok(())
}

/// What apt says it would do.
#[derive(Debug, PartialEq, Eq, Default)]
struct Simulation {
    installed: Vec<String>,
    removed: Vec<String>,
}

/// Reads `apt-get --simulate`: `Inst NAME …`, `Remv NAME …`.
fn read_simulation(text: &str) -> Simulation {
    let mut plan = Simulation::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Inst"), Some(name)) => plan.installed.push(name.to_owned()),
            (Some("Remv" | "Purg"), Some(name)) => plan.removed.push(name.to_owned()),
            _ => {}
        }
    }
    plan
}

fn command(args: &[&str]) -> Command {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

fn apt(args: &[&str], quiet: bool) -> Result<()> {
    let mut command = command(args);
    if quiet {
        command.stdout(Stdio::null());
    }
    let status = command.status().context("cannot start apt-get: is this Debian?")?;
    if !status.success() {
        bail!("`apt-get {}` {}", args.join(" "), harness::process::describe(status));
    }
    Ok(())
}

fn simulate(arguments: &[&str], packages: &[&str]) -> Result<String> {
    let all: Vec<&str> = ["--simulate"].iter().chain(arguments).chain(packages).copied().collect();
    let output = command(&all).output().context("cannot start apt-get: is this Debian?")?;
    if !output.status.success() {
        bail!(
            "apt cannot install {}: {}",
            packages.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// apt's own words on how much is fetched and how much disk it takes.
fn sizes(arguments: &[&str], packages: &[&str]) -> Vec<String> {
    let yes: Vec<&str> = arguments.iter().copied().filter(|arg| !matches!(*arg, "-y" | "-q")).collect();
    let all: Vec<&str> = ["--assume-no"].iter().chain(&yes).chain(packages).copied().collect();
    let Ok(output) = command(&all).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = |line: &&str| line.starts_with("Need to get") || line.starts_with("After this operation");
    text.lines().filter(told).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_seen_in_what_apt_would_do() {
        let text = "Reading package lists...\nRemv gcc-12-aarch64-linux-gnu [12.2.0]\n\
                    Inst gcc-multilib (4:12.2.0-3 Debian:12 [amd64])\nConf gcc-multilib (4:12.2.0-3)\n";
        let plan = read_simulation(text);
        assert_eq!(plan.installed, ["gcc-multilib"]);
        assert_eq!(plan.removed, ["gcc-12-aarch64-linux-gnu"]);
    }
}
