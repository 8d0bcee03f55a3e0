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
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
