//! The words about a kernel's configuration and compiler, read and checked before any work.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::build::{config, tree};
use harness::plan::files::read_fragment;
use harness::plan::host;
use harness::plan::profile::Profile;
use harness::plan::recipe::{Asked, BaseConfig, Recipe};
use harness::process::Ctx;

use crate::cli::{Kernels, RunArgs};
use crate::{runs, session, setup};

/// What the command line says of configuring and compiling. Files are read here, once. A program that
/// it chooses has to be there, or is installed if that was asked for: what it says of itself is part of
/// what is built.
pub async fn recipe(run: &RunArgs, profile: Option<&Profile>, ctx: &Ctx) -> Result<Recipe> {
    let args = &run.kernels;
    let mut asked = Vec::new();
    for path in &args.config {
        let (path, text) = read(path)?;
        asked.push(Asked::File { path, text });
    }
    asked.extend(args.config_item.iter().cloned().map(Asked::Item));
    let base = match args.base_config.as_deref().map(|base| (base, base.to_str())) {
        None => BaseConfig::AllNo,
        Some((_, Some("defconfig"))) => BaseConfig::Defconfig,
        Some((_, Some("kvm_guest"))) => BaseConfig::KvmGuest,
        Some((file, _)) => {
            let (path, text) = read(file)?;
            BaseConfig::File { path, text }
        }
    };
    let build_folder = args.build_folder.as_deref().map(std::path::absolute).transpose()?;
    if let Some(folder) = &build_folder {
        tree::check_build_folder(folder, tree(args)?.as_deref()).map_err(anyhow::Error::msg)?;
    }
    if let Some(out) = run.out.as_deref().map(std::path::absolute).transpose()? {
        tree::check_outside("--out", &out, tree(args)?.as_deref()).map_err(anyhow::Error::msg)?;
    }
    let of_profile = profile.map(|profile| profile.make.clone()).unwrap_or_default();
    let make = args.make.clone();
    let mut recipe = Recipe { base, asked, of_profile, make, build_folder, toolchain: None };
    config::asked(&recipe)?;
    at_hand(&recipe, run.common.setup && !run.dry_run, ctx).await?;
    recipe.toolchain = host::toolchain(ctx, &recipe).await.map_err(anyhow::Error::msg)?;
    Ok(recipe)
}

/// Makes sure that the programs which a recipe chooses are there, by installing them if that was asked for.
pub async fn at_hand(recipe: &Recipe, setup: bool, ctx: &Ctx) -> Result<()> {
    let mut lacks = host::missing_of_choice(ctx, recipe);
    // After a Ctrl-C nothing is installed.
    if setup && !lacks.is_empty() && session::stopped(&ctx.stop).is_none() {
        let wanted: Vec<_> = lacks.into_iter().map(|(tool, _)| tool).collect();
        // On another thread, so that signals are heard meanwhile.
        tokio::task::spawn_blocking(move || setup::install(&wanted)).await??;
        lacks = host::missing_of_choice(ctx, recipe);
    }
    runs::complain(&lacks)
}

/// The user's tree: where it really is, so that it is the same one however it was named.
pub fn tree(args: &Kernels) -> Result<Option<PathBuf>> {
    let real = |path: &Path| path.canonicalize().with_context(|| format!("--tree {}", path.display()));
    args.tree.as_deref().map(real).transpose()
}

fn read(path: &Path) -> Result<(PathBuf, String)> {
    let path = std::path::absolute(path)?;
    let text = read_fragment(&path)?;
    Ok((path, text))
}
