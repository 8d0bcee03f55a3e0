//! `run.json` on disk: written whole and sealed, read back only as it was written.
//!
//! The seal is a hash over everything else in the file. It is no secret and keeps no one out who
//! makes a new one; it tells a file that was touched up by hand, or cut by a tool, from a result.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kselftest::KselftestRecord;
use super::record::{FILE, RunRecord};
use crate::broken::broken;
use crate::limits;
use crate::store::write_atomic;

const SEAL: &str = "seal";

/// Why an earlier run cannot be read. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum ReadError {
    #[error("{}: no such run", .0.display())]
    Absent(PathBuf),
    #[error("{}: no run: there is no {FILE} in it", .0.display())]
    NoRun(PathBuf),
    #[error("{}: cannot be read: {error}", .file.display())]
    Io { file: PathBuf, error: io::Error },
    #[error("{}: {bytes} bytes are more than any run writes ({})", .file.display(), limits::RECORD_BYTES)]
    TooLarge { file: PathBuf, bytes: u64 },
    #[error("{}: no record of a run: {error}", .file.display())]
    Foreign { file: PathBuf, error: String },
    #[error("{}: of schema {found}, by version {tool} of this tool; this one reads {own}", .file.display())]
    Newer { file: PathBuf, found: u64, own: u32, tool: String },
    #[error("{}: was changed after the run had written it (its seal does not fit): run it again, or take the original", .0.display())]
    Edited(PathBuf),
    #[error("{}: a run of {found}; this needs one of {wanted}", .file.display())]
    OtherKind { file: PathBuf, found: &'static str, wanted: &'static str },
}

/// The text of a record with its seal.
pub fn seal(record: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut value = serde_json::to_value(record)?;
    let seal = hash(&value);
    if let Value::Object(fields) = &mut value {
        fields.insert(SEAL.to_owned(), Value::String(seal));
    }
    let mut text = serde_json::to_vec_pretty(&value)?;
    text.push(b'\n');
    Ok(text)
}

/// The same, for whoever prints it.
pub fn text(record: &impl Serialize) -> String {
    // A record is made of fields and strings: there is nothing in it that JSON does not have.
    let bytes = seal(record).expect("a record is JSON");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// Writes a record into the run's folder, whole or not at all.
pub fn write(folder: &Path, record: &impl Serialize) -> io::Result<()> {
    write_as(&folder.join(FILE), record)
}

/// The same into any file.
pub fn write_as(file: &Path, record: &impl Serialize) -> io::Result<()> {
    match write_atomic(file, &seal(record)?) {
        Err(_) if broken("record-errors") => Ok(()),
        written => written,
    }
}

/// Maps are sorted by name in a [`Value`], so that the order of fields does not matter.
fn hash(unsealed: &Value) -> String {
    blake3::hash(unsealed.to_string().as_bytes()).to_hex().to_string()
}

/// A run of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyRun {
    /// Of `test-syscall`.
    Syscall(Box<RunRecord>),
    /// Of `test-selftest`.
    Kselftest(Box<KselftestRecord>),
}

impl AnyRun {
    /// Reads the record of an earlier run: its folder, or the file in it.
    pub fn read(run: &Path) -> Result<AnyRun, ReadError> {
        let file = file(run)?;
        let value = value(&file, &["schema", "cells"])?;
        // Each kind has a field that the other has not.
        match value.get("syscall").is_some() {
            true => Ok(AnyRun::Syscall(Box::new(typed(&file, value, super::record::SCHEMA)?))),
            false => Ok(AnyRun::Kselftest(Box::new(typed(&file, value, super::kselftest::SCHEMA)?))),
        }
    }
}

impl RunRecord {
    /// Reads the record of an earlier run of `test-syscall`: its folder, or the file in it.
    pub fn read(run: &Path) -> Result<RunRecord, ReadError> {
        match AnyRun::read(run)? {
            AnyRun::Syscall(record) => Ok(*record),
            AnyRun::Kselftest(_) => Err(ReadError::OtherKind {
                file: run.to_owned(),
                found: "test-selftest",
                wanted: "test-syscall",
            }),
        }
    }
}

impl KselftestRecord {
    /// Reads the record of an earlier run of `test-selftest`: its folder, or the file in it.
    pub fn read(run: &Path) -> Result<KselftestRecord, ReadError> {
        match AnyRun::read(run)? {
            AnyRun::Kselftest(record) => Ok(*record),
            AnyRun::Syscall(_) => Err(ReadError::OtherKind {
                file: run.to_owned(),
                found: "test-syscall",
                wanted: "test-selftest",
            }),
        }
    }
}

fn file(run: &Path) -> Result<PathBuf, ReadError> {
    let there = std::fs::metadata(run).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Absent(run.to_owned()),
        _ => ReadError::Io { file: run.to_owned(), error },
    })?;
    let file = if there.is_dir() { run.join(FILE) } else { run.to_owned() };
    match std::fs::metadata(&file) {
        Ok(meta) if !meta.is_file() => Err(ReadError::NoRun(run.to_owned())),
        Ok(meta) if meta.len() > limits::RECORD_BYTES => Err(ReadError::TooLarge { file, bytes: meta.len() }),
        Ok(_) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadError::NoRun(run.to_owned())),
        Err(error) => Err(ReadError::Io { file, error }),
    }
}

/// Reads another sealed file of a run, of at most so many bytes.
pub fn read<T: DeserializeOwned>(file: &Path, limit: u64) -> Result<T, ReadError> {
    let io = |error| ReadError::Io { file: file.to_owned(), error };
    let bytes = std::fs::metadata(file).map_err(io)?.len();
    if bytes > limit {
        return Err(ReadError::TooLarge { file: file.to_owned(), bytes });
    }
    let foreign =
        |error: serde_json::Error| ReadError::Foreign { file: file.to_owned(), error: error.to_string() };
    serde_json::from_value(value(file, &[])?).map_err(foreign)
}

/// The file's content, if it has these fields and the seal on it fits.
fn value(file: &Path, with: &[&str]) -> Result<Value, ReadError> {
    let bytes = std::fs::read(file).map_err(|error| ReadError::Io { file: file.to_owned(), error })?;
    let foreign = |error: String| ReadError::Foreign { file: file.to_owned(), error };
    let mut value: Value = serde_json::from_slice(&bytes).map_err(|error| foreign(error.to_string()))?;
    let Some(fields) = value.as_object_mut() else {
        return Err(foreign("it is no JSON object".to_owned()));
    };
    if !with.iter().all(|name| fields.contains_key(*name)) {
        return Err(foreign(format!("it has no `{}`", with.join("` and `"))));
    }
    let seal = fields.remove(SEAL);
    let seal = seal.as_ref().and_then(Value::as_str).map(str::to_owned);
    if seal != Some(hash(&value)) && !broken("run-seal") {
        return Err(ReadError::Edited(file.to_owned()));
    }
    Ok(value)
}

fn typed<T: DeserializeOwned>(file: &Path, value: Value, own: u32) -> Result<T, ReadError> {
    let found = value["schema"].as_u64().unwrap_or_default();
    if found != u64::from(own) {
        let tool = value["tool"].as_str().unwrap_or("?").to_owned();
        return Err(ReadError::Newer { file: file.to_owned(), found, own, tool });
    }
    let foreign =
        |error: serde_json::Error| ReadError::Foreign { file: file.to_owned(), error: error.to_string() };
    serde_json::from_value(value).map_err(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::view::tests::{kselftest, syscall};

    fn kept(text: &[u8]) -> (tempfile::TempDir, Result<AnyRun, ReadError>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let read = AnyRun::read(folder.path());
        (folder, read)
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let run = syscall();
        write(folder.path(), &run).unwrap();
        assert_eq!(RunRecord::read(folder.path()).unwrap(), run);
        assert_eq!(RunRecord::read(&folder.path().join(FILE)).unwrap(), run);
        let other = KselftestRecord::read(folder.path()).unwrap_err();
        assert!(other.to_string().contains("a run of test-syscall"), "{other}");
        let selftests = kselftest();
        write(folder.path(), &selftests).unwrap();
        assert_eq!(AnyRun::read(folder.path()).unwrap(), AnyRun::Kselftest(Box::new(selftests)));
    }

    #[test]
    fn what_was_not_written_by_a_run_is_told_apart() {
        let text = String::from_utf8(seal(&syscall()).unwrap()).unwrap();
        let touched_up = text.replace("\"verdict\": \"fail\"", "\"verdict\": \"pass\"");
        assert_ne!(text, touched_up);
        let newer = {
            let mut value: Value = serde_json::from_str(&text).unwrap();
            value.as_object_mut().unwrap().remove(SEAL);
            value["schema"] = 99.into();
            String::from_utf8(seal(&value).unwrap()).unwrap()
        };
        let unsealed = serde_json::to_string(&syscall()).unwrap();
        for (text, said) in [
            (touched_up.as_str(), "was changed after the run"),
            (&unsealed, "was changed after the run"),
            (&newer, "of schema 99"),
            (&text[..text.len() / 2], "no record of a run: EOF"),
            ("", "no record of a run: EOF"),
            ("[]", "no JSON object"),
            ("{\"tests\": 1}", "no `schema` and `cells`"),
        ] {
            let (_folder, read) = kept(text.as_bytes());
            let error = read.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(AnyRun::read(empty.path()), Err(ReadError::NoRun(_))));
        assert!(matches!(AnyRun::read(&empty.path().join("nothing")), Err(ReadError::Absent(_))));
    }
}
