//! A run in any format: what its record does not have is read from its folder.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use harness::limits;
use harness::model::RelPath;
use harness::report::format::{Beside, Format};
use harness::report::html::Logs;
use harness::report::sealed::AnyRun;
use harness::report::text::Paint;
use harness::report::view::View;

use crate::runs;

/// The report of a run whose record lies in `folder`.
pub fn render(run: &AnyRun, folder: &Path, format: Format, paint: Paint) -> String {
    let logs = |logs: &str| {
        // A record names its folders itself, and may have been written by anybody.
        let Ok(of_cell) = logs.parse::<RelPath>() else { return Logs::default() };
        let of_cell = folder.join(of_cell);
        let argv = read(&of_cell.join("argv"), limits::INPUT_FILE_BYTES);
        Logs {
            console: read(&of_cell.join("console.log"), limits::CONSOLE_BYTES),
            argv: argv.map(|argv| String::from_utf8_lossy(&argv).into_owned()),
        }
    };
    let began = runs::in_words(View::of(run).started_unix_s);
    format.render(run, paint, &Beside { began, logs: &logs })
}

/// The beginning of a file, if it is one and no link to another.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    if !std::fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
