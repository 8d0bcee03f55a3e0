//! The shared libraries that travel with a dynamic program: exactly those that it names, and theirs.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Trouble, Workshop, elf};
use crate::model::{Abi, Cause};
use crate::process::Cmd;

/// Puts the dynamic loader and every shared library, and theirs, where the loader looks for them.
/// Returns which files of the host they are.
pub async fn bring(
    shop: &Workshop<'_>,
    root: &Path,
    facts: elf::ElfFacts,
    abi: Abi,
) -> Result<Vec<PathBuf>, Trouble> {
    let missing = |name: &str| {
        let detail = format!("its programs need {name}, which this host does not have for that ABI");
        Trouble::from(Cause::NoCompiler { abi, packages: abi.packages().join(" and "), detail })
    };
    let mut brought = Vec::new();
    if let Some(loader) = &facts.interpreter {
        let bytes = std::fs::read(loader).map_err(|_| missing(loader))?;
        put(root, Path::new(loader), &bytes)?;
        brought.push(PathBuf::from(loader));
    }
    let mut todo = facts.needed;
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let asked = Cmd::new("gcc").arg(abi.flag()).arg(format!("-print-file-name={name}"));
        let path = PathBuf::from(asked.output(shop.ctx).await?.text().trim());
        // The compiler echoes a name that it does not know.
        if !path.is_absolute() {
            return Err(missing(&name));
        }
        let bytes = fs::read(&path)?;
        let library = elf::prove(&bytes, abi).map_err(|_| missing(&name))?;
        let folder = fs::canonicalize(path.parent().unwrap_or(Path::new("/")))?;
        put(root, &folder.join(&name), &bytes)?;
        todo.extend(library.needed);
        brought.push(path);
    }
    Ok(brought)
}

fn put(root: &Path, inside: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let target = root.join(inside.strip_prefix("/").unwrap_or(inside));
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&target, bytes)?;
    // The loader is executed by the kernel.
    fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))
}
