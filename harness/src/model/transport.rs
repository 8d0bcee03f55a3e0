//! How the harness reaches a guest's agent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How requests and frames travel. They are the same on either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// By a virtio-serial port.
    Serial,
    /// By a network card and an ssh session.
    Ssh,
}

impl Transport {
    /// The word in flags, files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Serial => "serial",
            Transport::Ssh => "ssh",
        }
    }

    /// What is typed for a run over these; nothing for serial, which is how a run goes otherwise.
    pub fn options(these: &[Transport]) -> Vec<String> {
        let how = match these {
            [] | [Transport::Serial] => return Vec::new(),
            [one] => one.name(),
            _ => "both",
        };
        vec!["--transport".to_owned(), how.to_owned()]
    }

    /// What a plan says of a run over these, behind what it says of the cells.
    pub fn in_words(these: &[Transport]) -> String {
        match these {
            [] | [Transport::Serial] => String::new(),
            [one] => format!(", over {one}"),
            _ => ", each over serial and over ssh".to_owned(),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
