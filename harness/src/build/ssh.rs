//! What the ssh transport adds to an image: sshd with its libraries, the relay, and keys that are
//! made for one run and good for nothing else.
//!
//! It is an archive of its own, which the kernel unpacks after the image: that is cached and the same
//! for every run, and no key may be. Both private keys stay with the run, the guests' in their images and the
//! other one beside them, so that `repro` can boot those images again. They open nothing but these guests,
//! which can be reached from this host's loopback alone and only while a run goes on.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;

use super::initramfs::{Node, archive};
use super::selftest::{self, files_below};
use super::{Trouble, Workshop, elf, libraries, userland};
use crate::model::{Abi, Cause};
use crate::plan::files::Project;
use crate::plan::host::Host;
use crate::process::Cmd;

/// Where all of it lies in the guest. `guest/agent/ssh.c` knows it too.
const HOME: &str = "ssh";

/// Root by a name, a home and a shell of its own: what a kselftest finds out of root is the same over either
/// transport.
pub const USER: &str = "abimatrix";

/// What a guest needs to be reached over ssh, and the harness to reach it.
#[derive(Debug)]
pub struct Kit {
    /// The private key that the guests of this run let in.
    pub client_key: PathBuf,
    /// The guests' public key: its type and base64.
    pub host_key: String,
    archive: Vec<u8>,
}

impl Kit {
    /// Makes the keys, of which the client's goes to `folder`, and gathers the rest.
    pub async fn make(
        shop: &Workshop<'_>,
        project: &Project,
        host: &Host,
        folder: &Path,
    ) -> Result<Kit, Trouble> {
        // In the scratch: what a signal leaves half-made there goes by itself.
        let keys = shop.store.scratch("ssh-keys-")?;
        let (host_file, host_key) = key(shop, &keys.path().join("host_key")).await?;
        let (made, public) = key(shop, &keys.path().join("client_key.dropbear")).await?;
        let converted = keys.path().join("client_key");
        let convert = Cmd::new("dropbearconvert").args(["dropbear", "openssh"]).arg(&made).arg(&converted);
        convert.output(shop.ctx).await?;
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
        let client_key = folder.join("client_key");
        private_file(&client_key, &fs::read(&converted)?)?;

        let dropbear = host.program("dropbear").ok_or_else(|| lacks("dropbear is not found"))?;
        let dropbear = fs::read(dropbear)?;
        let facts =
            elf::prove(&dropbear, Abi::M64).map_err(|found| lacks(&format!("dropbear is {found}")))?;
        let root = shop.store.scratch("ssh-")?;
        libraries::bring(shop, root.path(), facts, Abi::M64).await?;
        let relay = selftest::relay(shop, project).await?;

        let mut nodes = BTreeMap::new();
        let mut add = |path: &str, mode: u32, bytes: Vec<u8>| {
            nodes.insert(path.to_owned(), Node::File { mode, bytes });
        };
        for (inside, path) in files_below(root.path())? {
            add(&inside, 0o755, fs::read(path)?);
        }
        add(&format!("{HOME}/dropbear"), 0o755, dropbear);
        add(&format!("{HOME}/relay"), 0o755, fs::read(&relay.path)?);
        add(&format!("{HOME}/host_key"), 0o600, fs::read(&host_file)?);
        // One command and nothing else. The command starts by the login shell, which is the same.
        let only = format!("restrict,command=\"/{HOME}/relay\" {public}\n");
        add(&format!("{HOME}/.ssh/authorized_keys"), 0o600, only.into_bytes());
        let users = format!("{}{USER}:x:0:0:the harness:/{HOME}:/{HOME}/relay\n", userland::PASSWD);
        add("etc/passwd", 0o644, users.into_bytes());
        add("etc/shells", 0o644, format!("/{HOME}/relay\n").into_bytes());
        Ok(Kit { client_key, host_key, archive: archive(nodes)? })
    }

    /// Writes `image` with this behind it to `into`, which only its owner may read.
    pub fn append(&self, image: &Path, into: &Path) -> std::io::Result<()> {
        let mut both = fs::read(image)?;
        // An archive begins at a multiple of four.
        both.resize(both.len().next_multiple_of(4), 0);
        both.extend(&self.archive);
        private_file(into, &both)
    }
}

/// Writes a file that only its owner may read.
fn private_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    std::io::Write::write_all(&mut file.open(path)?, bytes)
}

fn lacks(detail: &str) -> Trouble {
    Cause::Harness { detail: format!("{detail} (package dropbear-bin)") }.into()
}

/// Makes a key in dropbear's format; the file, and its public half.
async fn key(shop: &Workshop<'_>, file: &Path) -> Result<(PathBuf, String), Trouble> {
    let made = Cmd::new("dropbearkey").args(["-t", "ed25519", "-f"]).arg(file).output(shop.ctx).await?;
    let public = public_half(&made.text()).ok_or_else(|| lacks("dropbearkey tells no public key"))?;
    Ok((file.to_owned(), public))
}

/// Type and base64 of the key that dropbearkey tells among its words, without the comment.
fn public_half(words: &str) -> Option<String> {
    let line = words.lines().find(|line| line.starts_with("ssh-ed25519 "))?;
    let mut fields = line.split(' ');
    Some(format!("{} {}", fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_appended_is_an_archive_of_its_own_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (image, both) = (folder.path().join("image"), folder.path().join("both"));
        let file = |name: &str, text: &[u8]| {
            archive(BTreeMap::from([(name.to_owned(), Node::File { mode: 0o600, bytes: text.to_vec() })]))
                .unwrap()
        };
        let first = file("init", b"abc");
        // Whatever length the image has.
        for more in 0..4 {
            fs::write(&image, [&first[..], &b"\0\0\0"[..more.min(3)]].concat()).unwrap();
            let kit = Kit {
                client_key: PathBuf::new(),
                host_key: String::new(),
                archive: file("ssh/host_key", b"secret"),
            };
            kit.append(&image, &both).unwrap();
            let bytes = fs::read(&both).unwrap();
            let second = bytes.len() - kit.archive.len();
            assert_eq!((second % 4, &bytes[second..]), (0, &kit.archive[..]));
            assert!(bytes.starts_with(&first) && bytes[first.len()..second].iter().all(|byte| *byte == 0));
            assert_eq!(fs::metadata(&both).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_public_half_is_told_from_the_words_around_it() {
        let words = "Generating 256 bit ed25519 key\nPublic key portion is:\nssh-ed25519 AAAAC3Nz root@vm\nFingerprint: x\n";
        assert_eq!(public_half(words).as_deref(), Some("ssh-ed25519 AAAAC3Nz"));
        assert_eq!(public_half("Failed\n"), None);
    }
}
