//! Both sides of a comparison from disk: a run with its kernels' configurations, or a baseline.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use super::baseline::{self, BaselineError};
use super::side::Side;
use crate::limits;
use crate::model::RelPath;
use crate::report::sealed::{AnyRun, ReadError};

/// Why what a run is held against cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[expect(missing_docs, reason = "each variant's message is its error's")]
pub enum BaseError {
    Run(#[from] ReadError),
    Baseline(#[from] BaselineError),
}

/// A run: its folder, or the file in it.
pub fn run(path: &Path) -> Result<Side, ReadError> {
    let run = AnyRun::read(path)?;
    let folder = if path.is_dir() { Some(path) } else { path.parent() };
    Ok(Side::of(&path.display().to_string(), &run, &configs(folder.unwrap_or(Path::new(".")), &run)))
}

/// A run, or a file that was made of one by [`Side::baseline`].
pub fn base(path: &Path) -> Result<Side, BaseError> {
    if !path.is_file() {
        return Ok(run(path)?);
    }
    let io = |error| ReadError::Io { file: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(limits::BASELINE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    match baseline::is_one(&bytes) {
        true if bytes.len() as u64 > limits::BASELINE_BYTES => Err(BaselineError::too_large(path).into()),
        true => Ok(baseline::parse(&path.display().to_string(), &bytes)?),
        false => Ok(run(path)?),
    }
}

/// The configurations that lie in a run's folder, by kernel and leg. What is not there any more is
/// not compared.
pub(super) fn configs(folder: &Path, run: &AnyRun) -> BTreeMap<String, String> {
    let named: Vec<(String, &str)> = match run {
        AnyRun::Syscall(run) => {
            let legs = run.kernels.iter().flat_map(|k| k.legs.iter().map(move |leg| (k, leg)));
            legs.map(|(k, leg)| (format!("{} {}", k.kernel, leg.leg), leg.config.as_str())).collect()
        }
        AnyRun::Kselftest(run) => {
            run.kernels.iter().map(|part| (part.kernel.to_string(), part.config.as_str())).collect()
        }
    };
    let mut found = BTreeMap::new();
    for (name, config) in named {
        // A record is a file that somebody may have sent.
        let Ok(config) = config.parse::<RelPath>() else { continue };
        let Ok(file) = std::fs::File::open(folder.join(&config)) else { continue };
        let mut text = String::new();
        if file.take(limits::TREE_FILE_BYTES).read_to_string(&mut text).is_ok() {
            found.insert(name, text);
        }
    }
    found
}
