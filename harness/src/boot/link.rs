//! The way to a guest's agent over ssh, as far as the rest of the harness sees it: a socket from
//! which the agent's stream is read as from a result port, and why it ended.
//!
//! libssh2 blocks, hence a thread of its own ([`super::ssh`], with the feature `ssh` alone). Every wait
//! of it is bounded, and it ends as soon as the harness closes its end of the socket.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::judge::watch::LinkFailure;

/// Whether this program was built with the ssh transport.
pub const BUILT: bool = cfg!(feature = "ssh");

/// What it takes to get into a guest, and to know that it is that guest. Made for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAccess {
    /// Who it goes in as.
    #[serde(default = "of_older_guests")]
    pub user: String,
    /// The private key that the guest lets in.
    pub client_key: PathBuf,
    /// The guest's own public key: its type and base64, as in an `authorized_keys` file.
    pub host_key: String,
}

/// Guests of an older version have no other account.
fn of_older_guests() -> String {
    "root".to_owned()
}

/// The thread that carries the bytes.
#[derive(Debug)]
pub struct Bridge {
    ended: oneshot::Receiver<Option<LinkFailure>>,
}

impl Bridge {
    /// Connects to the loopback port in the background, again and again until there is a session, and
    /// carries what comes to `socket` and back. What it meets on the way goes to `log`.
    pub fn start(
        port: u16,
        access: &SshAccess,
        socket: UnixStream,
        log: fs::File,
    ) -> std::io::Result<Bridge> {
        let (tell, ended) = oneshot::channel();
        let access = access.clone();
        let work = move || {
            let mut log = log;
            let failure = carry(port, &access, &socket, &mut log);
            // Told before the socket closes. Nobody may be there to hear it.
            let _ = tell.send(failure);
        };
        std::thread::Builder::new().name("ssh".to_owned()).spawn(work)?;
        Ok(Bridge { ended })
    }

    /// Waits for its end: why, or nothing if it was the harness that closed its end.
    pub async fn ended(&mut self) -> Option<LinkFailure> {
        (&mut self.ended).await.ok().flatten()
    }
}

#[cfg(feature = "ssh")]
use super::ssh::carry;

#[cfg(not(feature = "ssh"))]
fn carry(_: u16, _: &SshAccess, _: &UnixStream, _: &mut impl std::io::Write) -> Option<LinkFailure> {
    None
}
