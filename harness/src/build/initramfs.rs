//! The image a guest boots: agent, probe and the selftest's programs of one ABI.
//!
//! Deterministic: the same programs give the same bytes, whoever packs them and when.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, trailer};
use fs_err as fs;

use super::kselftest::Built;
use super::selftest::{GuestProgram, Programs};
use super::userland::Userland;
use super::{Trouble, Workshop};
use crate::plan::contract::Cases;
use crate::store::{Key, KeyBuilder};

/// Where the selftest's programs lie in the guest.
pub const TEST_DIR: &str = "/test";
/// Where the tool's own probe lies.
pub const PROBE: &str = "/probe";
/// Where the prober of contracts lies.
pub const PROBER: &str = "/contract";
/// Where the cases lie that it runs.
pub const CASES: &str = "/contract.cases";

/// An image that can be booted.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its key in the cache.
    pub key: Key,
    /// The archive.
    pub path: PathBuf,
    /// The cases of the contract, if that is tried.
    pub cases: Option<Cases>,
}

/// What an image is made of.
#[derive(Debug)]
pub struct Contents<'a> {
    /// PID 1.
    pub agent: &'a GuestProgram,
    /// The tool's own probe.
    pub probe: &'a GuestProgram,
    /// The selftest, if there is one.
    pub tests: Option<Tests<'a>>,
    /// The prober and the cases that it runs, if there is a contract.
    pub contract: Option<(&'a GuestProgram, Cases)>,
}

/// A selftest, as it was built.
#[derive(Debug, Clone, Copy)]
pub enum Tests<'a> {
    /// Programs that need nothing beside them.
    Programs(&'a Programs),
    /// A directory as it is installed, in a userland.
    Installed(&'a Userland, &'a Built),
}

/// One thing in the archive.
#[derive(Debug)]
pub(super) enum Node {
    Folder,
    File { mode: u32, bytes: Vec<u8> },
    Link { to: String },
    CharDevice { major: u32, minor: u32 },
}

/// Packs an image, or finds it.
pub fn pack(shop: &Workshop<'_>, contents: Contents<'_>) -> Result<Image, Trouble> {
    let Contents { agent, probe, tests, contract } = contents;
    let mut key =
        KeyBuilder::new("image").input("agent", agent.key.as_str()).input("probe", probe.key.as_str());
    key = match tests {
        None => key,
        Some(Tests::Programs(programs)) => key.input("selftest", programs.key.as_str()),
        Some(Tests::Installed(userland, built)) => {
            key.input("userland", userland.key.as_str()).input("kselftest", built.key.as_str())
        }
    };
    let text = contract.as_ref().map(|(_, cases)| cases.text());
    if let (Some((prober, _)), Some(text)) = (&contract, &text) {
        key = key.input("prober", prober.key.as_str()).input("cases", text);
    }
    let key = key.finish();
    let image = |path: PathBuf, key: Key, contract: Option<(&GuestProgram, Cases)>| {
        let (path, cases) = (path.join("initramfs"), contract.map(|(_, cases)| cases));
        Image { key, path, cases }
    };
    if let Some(entry) = shop.store.find(shop.ctx, "image", &key)? {
        return Ok(image(entry.path, key, contract));
    }
    let mut nodes = world(agent)?;
    let program =
        |path: &PathBuf| -> io::Result<Node> { Ok(Node::File { mode: 0o755, bytes: fs::read(path)? }) };
    nodes.insert(PROBE.trim_start_matches('/').to_owned(), program(&probe.path)?);
    if let Some(Tests::Programs(programs)) = tests {
        for (inside, path) in programs.files()? {
            nodes.insert(inside, program(&path)?);
        }
    }
    if let (Some((prober, _)), Some(text)) = (&contract, text) {
        nodes.insert(PROBER.trim_start_matches('/').to_owned(), program(&prober.path)?);
        let cases = Node::File { mode: 0o444, bytes: text.into_bytes() };
        nodes.insert(CASES.trim_start_matches('/').to_owned(), cases);
    }
    let mut bytes = archive(nodes)?;
    if let Some(Tests::Installed(userland, built)) = tests {
        append(&mut bytes, userland, built)?;
    }
    let made = shop.store.scratch("image-")?;
    fs::write(made.path().join("initramfs"), bytes)?;
    let entry = shop.store.publish("image", &key, made)?;
    Ok(image(entry.path, key, contract))
}

/// Packs what the programs of a kselftest directory run in, or finds it.
pub fn pack_kselftest(
    shop: &Workshop<'_>,
    agent: &GuestProgram,
    userland: &Userland,
    built: &Built,
) -> Result<PathBuf, Trouble> {
    let key = KeyBuilder::new("image")
        .input("agent", agent.key.as_str())
        .input("userland", userland.key.as_str())
        .input("kselftest", built.key.as_str())
        .finish();
    if let Some(entry) = shop.store.find(shop.ctx, "image", &key)? {
        return Ok(entry.path.join("initramfs"));
    }
    let mut bytes = archive(world(agent)?)?;
    append(&mut bytes, userland, built)?;
    let made = shop.store.scratch("image-")?;
    fs::write(made.path().join("initramfs"), bytes)?;
    let entry = shop.store.publish("image", &key, made)?;
    Ok(entry.path.join("initramfs"))
}

/// Userland and programs are archives already, and the kernel unpacks several in a row.
fn append(image: &mut Vec<u8>, userland: &Userland, built: &Built) -> io::Result<()> {
    for part in [&userland.archive, &built.archive] {
        // Each begins where a header may.
        image.resize(image.len().next_multiple_of(4), 0);
        image.extend(fs::read(part)?);
    }
    Ok(())
}

/// What every image has: the agent, and the folders it mounts file systems on.
fn world(agent: &GuestProgram) -> io::Result<BTreeMap<String, Node>> {
    let mut nodes = BTreeMap::new();
    // The agent's own output before it has mounted /dev goes here.
    nodes.insert("dev/console".to_owned(), Node::CharDevice { major: 5, minor: 1 });
    for folder in ["proc", "sys", "tmp", "run", "root"] {
        nodes.insert(folder.to_owned(), Node::Folder);
    }
    nodes.insert("init".to_owned(), Node::File { mode: 0o755, bytes: fs::read(&agent.path)? });
    Ok(nodes)
}

/// A folder's contents as nodes below `inside`, modes and links kept.
pub(super) fn nodes_of(root: &Path) -> io::Result<BTreeMap<String, Node>> {
    let mut nodes = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let meta = fs::symlink_metadata(&path)?;
            let node = if meta.is_dir() {
                todo.push(path);
                Node::Folder
            } else if meta.is_symlink() {
                Node::Link { to: fs::read_link(&path)?.to_string_lossy().into_owned() }
            } else if meta.is_file() {
                Node::File { mode: meta.permissions().mode() & 0o777, bytes: fs::read(&path)? }
            } else {
                continue;
            };
            nodes.insert(name, node);
        }
    }
    Ok(nodes)
}

/// The files in the archives of an image whose paths, from the root of the guest, `is_wanted` picks.
pub fn files_in(image: &Path, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut rest = Cursor::new(fs::read(image)?);
    loop {
        let mut reader = cpio::NewcReader::new(rest)?;
        let path = format!("/{}", reader.entry().name());
        let is_last = reader.entry().is_trailer();
        if !is_last && is_wanted(&path) && reader.entry().mode() & 0o170_000 == 0o100_000 {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut reader, &mut bytes)?;
            found.push((path, bytes));
        }
        rest = reader.finish()?;
        // The next archive begins where a header may.
        let at = rest.position() as usize;
        let zeros = rest.get_ref()[at.min(rest.get_ref().len())..].iter().take_while(|byte| **byte == 0);
        let begins = at + if is_last { zeros.count() } else { 0 };
        if is_last && begins >= rest.get_ref().len() {
            return Ok(found);
        }
        rest.set_position(begins as u64);
    }
}

/// The bytes of an archive of `nodes` and of the folders in which they lie.
pub(super) fn archive(nodes: BTreeMap<String, Node>) -> io::Result<Vec<u8>> {
    let mut all: BTreeMap<String, Node> = BTreeMap::new();
    for (path, node) in nodes {
        let mut folder = path.as_str();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            all.entry(parent.to_owned()).or_insert(Node::Folder);
            folder = parent;
        }
        all.insert(path, node);
    }
    // Sorted by path, a folder comes before what is in it.
    let mut out = Cursor::new(Vec::new());
    for (inode, (path, node)) in (1u32..).zip(all) {
        let entry = Builder::new(&path).ino(inode).nlink(1).mtime(0);
        let none: &[u8] = &[];
        let (entry, bytes) = match &node {
            Node::Folder => (entry.mode(0o040_755), none),
            Node::File { mode, bytes } => (entry.mode(0o100_000 | mode), bytes.as_slice()),
            Node::Link { to } => (entry.mode(0o120_777), to.as_bytes()),
            Node::CharDevice { major, minor } => {
                (entry.mode(0o020_600).rdev_major(*major).rdev_minor(*minor), none)
            }
        };
        let size =
            u32::try_from(bytes.len()).map_err(|_| io::Error::other(format!("{path} is too large")))?;
        let mut writer = entry.write(out, size);
        io::Write::write_all(&mut writer, bytes)?;
        out = writer.finish()?;
    }
    Ok(trailer(out)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selftests_programs_are_found_in_an_image() {
        let file = |text: &str| Node::File { mode: 0o755, bytes: text.as_bytes().to_vec() };
        let nodes = [("init", "agent"), ("probe", "probe"), ("test/a_test", "one"), ("test/b_test", "two")];
        let nodes = nodes.map(|(path, text)| (path.to_owned(), file(text)));
        let image = tempfile::NamedTempFile::new().unwrap();
        fs::write(image.path(), archive(nodes.into()).unwrap()).unwrap();
        let tests = || files_in(image.path(), |path| path.starts_with("/test/"));
        let found = |names: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
            names.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect()
        };
        assert_eq!(tests().unwrap(), found(&[("/test/a_test", "one"), ("/test/b_test", "two")]));
        // Behind it another one, as an image of kselftests has them.
        let mut both = fs::read(image.path()).unwrap();
        both.resize(both.len().next_multiple_of(512), 0);
        both.extend(archive([("test/c".to_owned(), file("three"))].into()).unwrap());
        fs::write(image.path(), both).unwrap();
        assert_eq!(tests().unwrap()[2..], found(&[("/test/c", "three")]));
        // What is no image is told, whatever it is.
        fs::write(image.path(), "no archive").unwrap();
        assert!(tests().is_err());
    }

    #[test]
    fn the_same_nodes_give_the_same_bytes_with_folders_first() {
        let nodes = || {
            BTreeMap::from([
                ("a/b/c".to_owned(), Node::File { mode: 0o755, bytes: b"hello".to_vec() }),
                ("dev/console".to_owned(), Node::CharDevice { major: 5, minor: 1 }),
            ])
        };
        let bytes = archive(nodes()).unwrap();
        assert_eq!(bytes, archive(nodes()).unwrap());
        let mut names = Vec::new();
        let mut rest = Cursor::new(bytes);
        loop {
            let reader = cpio::NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode(), reader.entry().mtime()));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("a", 0o040_755),
            ("a/b", 0o040_755),
            ("a/b/c", 0o100_755),
            ("dev", 0o040_755),
            ("dev/console", 0o020_600),
        ];
        assert_eq!(names, expected.map(|(name, mode)| (name.to_owned(), mode, 0)));
    }
}
