//! Keys: the hash of everything that went into an entry, with the inputs readable beside it.

use std::collections::BTreeMap;
use std::fmt;

use super::STORE_VERSION;
use crate::broken::broken_one;

/// A content hash, shortened to 128 bits: enough against accident, short enough to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash::short(blake3::hash(bytes))
    }

    fn short(hash: blake3::Hash) -> Hash {
        Hash(hash.to_hex()[..32].to_owned())
    }

    /// In lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The key of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    hash: Hash,
    inputs: BTreeMap<String, String>,
}

impl Key {
    /// Its text, fit for a file name.
    pub fn as_str(&self) -> &str {
        self.hash.as_str()
    }

    /// What it was made of, for people.
    pub fn inputs(&self) -> &BTreeMap<String, String> {
        &self.inputs
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.hash, f)
    }
}

/// Gathers the inputs of a key.
#[derive(Debug)]
pub struct KeyBuilder {
    hasher: blake3::Hasher,
    inputs: BTreeMap<String, String>,
}

/// An input up to this size is kept as it is in the manifest, a larger one as its hash.
const READABLE_BYTES: usize = 200;

impl KeyBuilder {
    /// Begins the key of an entry of this kind.
    pub fn new(kind: &str) -> KeyBuilder {
        let builder = KeyBuilder { hasher: blake3::Hasher::new(), inputs: BTreeMap::new() };
        builder.input("store version", STORE_VERSION).input("kind", kind)
    }

    /// Adds one input. Lengths are hashed too: no two lists of inputs run together.
    #[must_use]
    pub fn input(mut self, name: &str, value: impl AsRef<[u8]>) -> KeyBuilder {
        let value = if broken_one("key", name) { &[] } else { value.as_ref() };
        for part in [name.as_bytes(), value] {
            self.hasher.update(&(part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
        let readable = match std::str::from_utf8(value) {
            Ok(text) if text.len() <= READABLE_BYTES => text.to_owned(),
            _ => format!("{} bytes, blake3 {}", value.len(), Hash::of(value)),
        };
        self.inputs.insert(name.to_owned(), readable);
        self
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key { hash: Hash::short(self.hasher.finalize()), inputs: self.inputs }
    }
}
