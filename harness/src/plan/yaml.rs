//! The one place where YAML is read: strict, bounded, with line and column in every complaint.

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

/// A value with its place in the file.
pub(super) use serde_yaml::Spanned;

use crate::broken::broken;
use crate::limits;

/// A mistake in a file that a person wrote.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum InputError {
    #[error("{0}")]
    Read(std::io::Error),
    #[error("{}: larger than {limit} bytes: this is not a file that somebody wrote", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{}: not UTF-8 at byte {at}", path.display())]
    NotText { path: PathBuf, at: usize },
    #[error("{}:{line}:{column}: {what}", path.display())]
    Yaml { path: PathBuf, line: u64, column: u64, what: String },
    #[error("{}: {what}", path.display())]
    Content { path: PathBuf, what: String },
}

/// Reads a text file of bounded size.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, InputError> {
    String::from_utf8(read_bytes(path, limit)?)
        .map_err(|error| InputError::NotText { path: path.to_owned(), at: error.utf8_error().valid_up_to() })
}

/// Reads a file of bounded size.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    let limit = if broken("input-size") { u64::MAX - 1 } else { limit };
    // Without waiting for the other end, should it be a pipe.
    let nonblock = OFlags::NONBLOCK.bits() as i32;
    let file =
        fs::OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(InputError::Read)?;
    let meta = file.metadata().map_err(InputError::Read)?;
    if !meta.is_file() {
        return Err(InputError::Content { path: path.to_owned(), what: "not a plain file".to_owned() });
    }
    if meta.len() > limit {
        return Err(InputError::TooLarge { path: path.to_owned(), limit });
    }
    file.take(limit + 1).read_to_end(&mut bytes).map_err(InputError::Read)?;
    if bytes.len() as u64 > limit {
        return Err(InputError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Reads one value from a YAML file. Unknown and duplicate keys are errors.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<T, InputError> {
    let text = read_text(path, limits::INPUT_FILE_BYTES)?;
    parse(path, &text)
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, InputError> {
    // A tag would ask for a type; by default it is passed over.
    let options = serde_yaml::options! { reject_unsupported_tags: true, reject_tagged_field_names: true };
    serde_yaml::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        // The first line is the message; what follows is a rendered excerpt of the file.
        let what = error.without_snippet().to_string();
        let what = escape(what.lines().next().unwrap_or_default());
        InputError::Yaml { path: path.to_owned(), line, column, what }
    })
}

/// Characters of a parser's complaint that are kept: it quotes the file, be it a single word.
const COMPLAINT_CHARS: usize = 1000;

/// A text that quotes a file, on its way to a terminal.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars().take(COMPLAINT_CHARS) {
        match c {
            '"' | '\'' | '\\' => escaped.push(c),
            c => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}
