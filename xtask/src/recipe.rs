//! The words about a kernel's configuration and compiler, read and checked before any work.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harness::build::{config, tree};
use harness::plan::files::read_fragment;
use harness::plan::host;
use harness::plan::recipe::{Asked, BaseConfig, Recipe};
use harness::process::Ctx;

use crate::cli::Kernels;

/// What the command line says of configuring and compiling. Files are read here, once.
pub async fn recipe(args: &Kernels, ctx: &Ctx) -> Result<Recipe> {
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
    let mut recipe = Recipe { base, asked, make: args.make.clone(), build_folder, toolchain: None };
    config::asked(&recipe)?;
    recipe.toolchain = host::toolchain(ctx, &recipe).await.map_err(anyhow::Error::msg)?;
    Ok(recipe)
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
