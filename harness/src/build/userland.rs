//! The small userland that kselftests run in: busybox by all its names, bash, a few files of /etc.
//!
//! It is m64 whatever ABI is tested: a script is there to run the programs beside it, and those are
//! of the ABI. One that runs nothing but commands is the same by each.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::initramfs::{Node, archive, nodes_of};
use super::{Trouble, Workshop, elf, libraries};
use crate::model::{Abi, Cause};
use crate::plan::files::Project;
use crate::process::{Cmd, Ctx, ProcessError};
use crate::store::{Key, KeyBuilder};

/// A userland, as an archive.
#[derive(Debug, Clone)]
pub struct Userland {
    /// Its key in the cache.
    pub key: Key,
    /// The archive.
    pub archive: PathBuf,
    /// The commands it has.
    pub commands: BTreeSet<String>,
}

/// What a kselftest finds in its environment. `$LIB` is the loader's: each ABI's programs get a library
/// of theirs. It does what the kselftest runner asks of stdbuf, so that what a program has said is not
/// said again by a child that it forks. The address sanitizer wants to be the first library, and says so
/// by ending the program; that ours comes before it does no harm, since it has a constructor and nothing else.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("PATH", "/bin:/sbin:/usr/bin:/usr/sbin"),
    ("TERM", "dumb"),
    ("LD_PRELOAD", "/lines/$LIB/lines.so"),
    ("ASAN_OPTIONS", "verify_asan_link_order=0"),
];

/// What `$LIB` is in the loaders of Debian and of others.
fn lib(abi: Abi) -> &'static [&'static str] {
    match abi {
        Abi::M64 => &["lib/x86_64-linux-gnu", "lib64"],
        Abi::M32 => &["lib32", "lib/i386-linux-gnu"],
        Abi::Mx32 => &["libx32", "lib/x86_64-linux-gnux32"],
    }
}

/// What tput says of a terminal that can do nothing, as $TERM has it.
const TPUT: &str = "#!/bin/sh\nexit 1\n";

/// The users of a guest.
pub const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";

/// Files that programs look for: users by their names, and the mounts where mount(8) has them.
const FILES: [(&str, &str); 4] = [
    ("etc/passwd", PASSWD),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];
/// Folders that every system has.
const FOLDERS: [&str; 5] = ["home", "mnt", "opt", "usr/lib", "var/tmp"];

/// Packs the userland of this host, or finds it.
pub async fn userland(shop: &Workshop<'_>, project: &Project) -> Result<Userland, Trouble> {
    let (busybox, applets) = busybox(shop.ctx).await?;
    let bash = fs::read(program(shop.ctx, "bash")?)?;
    let facts = elf::prove(&bash, Abi::M64).map_err(|found| wrong("bash", found))?;
    let scratch = shop.store.scratch("userland-")?;
    libraries::bring(shop, scratch.path(), facts, Abi::M64).await?;
    for abi in Abi::ALL {
        // No program names it; glibc opens it by itself when a thread is cancelled, and aborts without.
        let opened = elf::ElfFacts { abi, interpreter: None, needed: vec!["libgcc_s.so.1".to_owned()] };
        match libraries::bring(shop, scratch.path(), opened, abi).await {
            // An ABI that is not here runs no program.
            Ok(_) | Err(Trouble::Cause(_)) => {}
            Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
        }
    }
    let mut nodes = nodes_of(scratch.path())?;
    let source = project.root().join("guest/lines/lines.c");
    for abi in Abi::ALL {
        let library = scratch.path().join("lines.so");
        let gcc = Cmd::new("gcc").args([abi.flag(), "-shared", "-fPIC", "-O2", "-Wl,--build-id=none", "-o"]);
        match gcc.arg(&library).arg(&source).output(shop.ctx).await {
            Ok(_) => {}
            Err(error @ ProcessError::Interrupted { .. }) => return Err(error.into()),
            Err(error) if abi == Abi::M64 => return Err(error.into()),
            // The same.
            Err(_) => continue,
        }
        let bytes = fs::read(&library)?;
        elf::prove(&bytes, abi).map_err(|found| wrong("lines.so", found))?;
        for lib in lib(abi) {
            let node = Node::File { mode: 0o755, bytes: bytes.clone() };
            nodes.insert(format!("lines/{lib}/lines.so"), node);
        }
    }
    nodes.insert("usr/bin/tput".to_owned(), Node::File { mode: 0o755, bytes: TPUT.as_bytes().to_vec() });
    for (name, text) in FILES {
        nodes.insert(name.to_owned(), Node::File { mode: 0o644, bytes: text.as_bytes().to_vec() });
    }
    for folder in FOLDERS {
        nodes.insert(folder.to_owned(), Node::Folder);
    }
    let mut commands = BTreeSet::new();
    for path in applets {
        commands.insert(path.rsplit('/').next().unwrap_or(&path).to_owned());
        nodes.insert(path, Node::Link { to: "/bin/busybox".to_owned() });
    }
    nodes.insert("bin/busybox".to_owned(), Node::File { mode: 0o755, bytes: busybox });
    nodes.insert("bin/bash".to_owned(), Node::File { mode: 0o755, bytes: bash });
    // Scripts ask for it by either path.
    nodes.insert("usr/bin/bash".to_owned(), Node::Link { to: "/bin/bash".to_owned() });
    commands.extend(["bash", "tput"].map(str::to_owned));
    let bytes = archive(nodes)?;
    let key = KeyBuilder::new("userland").input("archive", &bytes).finish();
    if let Some(entry) = shop.store.find(shop.ctx, "userland", &key)? {
        return Ok(Userland { key, archive: entry.path.join("archive"), commands });
    }
    let made = shop.store.scratch("userland-")?;
    fs::write(made.path().join("archive"), bytes)?;
    let entry = shop.store.publish("userland", &key, made)?;
    Ok(Userland { key, archive: entry.path.join("archive"), commands })
}

/// busybox of this host, which has to be static, and the paths of its applets.
pub(super) async fn busybox(ctx: &Ctx) -> Result<(Vec<u8>, Vec<String>), Trouble> {
    let advice = |what: String| Trouble::from(Cause::Harness { detail: what + ": install busybox-static" });
    let path = program(ctx, "busybox").map_err(|error| advice(error.to_string()))?;
    let bytes = fs::read(&path)?;
    let own = elf::prove(&bytes, Abi::M64).map_err(|found| wrong("busybox", found))?;
    if own.interpreter.is_some() {
        return Err(advice(format!("{} is not static", path.display())));
    }
    let listed = Cmd::new(&path).arg("--list-full").output(ctx).await?.text();
    Ok((bytes, listed.lines().map(str::to_owned).collect()))
}

fn wrong(name: &str, found: String) -> Trouble {
    Cause::WrongElf { abi: Abi::M64, program: name.to_owned(), found }.into()
}

/// A program of the host, on the search path that children get.
fn program(ctx: &Ctx, name: &str) -> io::Result<PathBuf> {
    let path = ctx.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.clone());
    let mut folders = std::env::split_paths(&path.unwrap_or_default()).collect::<Vec<_>>().into_iter();
    let found = folders.find_map(|folder| Some(Path::new(&folder).join(name)).filter(|file| file.is_file()));
    found.ok_or_else(|| io::Error::other(format!("{name} is not here")))
}
