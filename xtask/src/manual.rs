//! `completions` and `man`: made from what clap knows, so that they say what `--help` says.

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::{Cli, Completions, Exit, Man};
use crate::say;

/// Prints a shell's completions.
pub fn completions(args: &Completions) -> Result<Exit> {
    // The name becomes a part of a script that a shell reads.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if args.name.is_empty() || !args.name.chars().all(is_name) {
        anyhow::bail!("--name is letters, digits, - and _");
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), &args.name, &mut script);
    say::listing(&String::from_utf8(script)?)?;
    Ok(Exit::Passed)
}

/// Writes a page for the tool and one for each of its commands.
pub fn pages(args: &Man) -> Result<Exit> {
    let at = || format!("{}: no folder for man pages", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(at)?;
    // As cargo calls the pages of its commands.
    clap_mangen::generate_to(Cli::command().display_name("cargo-xtask"), &args.folder).with_context(at)?;
    say::result(format_args!("see `man -l {}/cargo-xtask.1`", args.folder.display()))?;
    Ok(Exit::Passed)
}
