//! The syscall's number against the tables of the tree, before and after the series. Pure.

use super::files::Spec;
use super::tables::{Generic, TableError, Tables};
use crate::broken::broken;
use crate::model::{Abi, KernelName};

/// A number that cannot be right. Nothing is built.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum NumberError {
    #[error(
        "{kernel}: the number {number} is taken in the unpatched tree: {table}:{line} gives it to `{holder}`; the next free one is {free}"
    )]
    Taken { kernel: KernelName, number: u32, table: &'static str, line: u32, holder: String, free: u32 },
    #[error(
        "{kernel}: the spec says that {syscall} is number {spec} by {abi}, and the patched {table}:{line} says {found}"
    )]
    Contradiction {
        kernel: KernelName,
        syscall: String,
        abi: Abi,
        spec: u32,
        found: u32,
        table: &'static str,
        line: u32,
    },
    #[error("{kernel}: {source}")]
    Table { kernel: KernelName, source: TableError },
    #[error("{kernel}: there is no {table} in its source")]
    NoTable { kernel: KernelName, table: &'static str },
}

const TABLE_64: &str = "arch/x86/entry/syscalls/syscall_64.tbl";
const TABLE_32: &str = "arch/x86/entry/syscalls/syscall_32.tbl";

/// The table in which the entry of an ABI belongs.
pub fn table(abi: Abi) -> &'static str {
    match abi {
        Abi::M64 | Abi::Mx32 => TABLE_64,
        Abi::M32 => TABLE_32,
    }
}

/// Checks the numbers of a spec. A missing entry is no error: a cell will show it.
pub fn check(
    kernel: &KernelName,
    spec: &Spec,
    abis: &[Abi],
    before: impl Fn(&str) -> Option<String>,
    after: impl Fn(&str) -> Option<String>,
) -> Result<(), NumberError> {
    let unpatched = tables(kernel, before)?;
    let patched = tables(kernel, after)?;
    for &abi in abis {
        let Some(number) = spec.number(abi) else { continue };
        if let Some(holder) = unpatched.holder(number, abi)
            && spec.adds_call
            && !broken("number-taken")
        {
            return Err(NumberError::Taken {
                kernel: kernel.clone(),
                number,
                table: table(abi),
                line: holder.line,
                holder: holder.name.clone(),
                free: unpatched.next_free(),
            });
        }
        if let Some(entry) = patched.lookup(spec.syscall.as_str(), abi)
            && entry.number != number
        {
            return Err(NumberError::Contradiction {
                kernel: kernel.clone(),
                syscall: spec.syscall.to_string(),
                abi,
                spec: number,
                found: entry.number,
                table: table(abi),
                line: entry.line,
            });
        }
    }
    Ok(())
}

fn tables(kernel: &KernelName, read: impl Fn(&str) -> Option<String>) -> Result<Tables, NumberError> {
    let table = |table| read(table).ok_or_else(|| NumberError::NoTable { kernel: kernel.clone(), table });
    let (t64, t32) = (table(TABLE_64)?, table(TABLE_32)?);
    let none: Option<Generic> = None;
    Tables::parse(&t64, &t32, none).map_err(|source| NumberError::Table { kernel: kernel.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "syscall: xyzzy\nnumber: 463\noption: CONFIG_X\nselftest: xyzzy\npatches: [a.patch]\n";

    /// Checks the spec above with `text` added against tables whose last entries are these.
    fn check_with(more: &str, before: [&str; 2], after: [&str; 2]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let xyzzy = folder.path().join("kernels/k/xyzzy");
        std::fs::create_dir_all(&xyzzy).unwrap();
        std::fs::write(xyzzy.join("spec.yaml"), format!("{SPEC}{more}")).unwrap();
        std::fs::write(xyzzy.join("a.patch"), "").unwrap();
        let project = crate::plan::files::Project::new(folder.path().to_owned());
        let kernel: KernelName = "k".parse().unwrap();
        let spec = project.spec(&kernel, &"xyzzy".parse().unwrap()).unwrap();
        let read = |[t64, t32]: [&str; 2]| {
            let t64 = format!("0 common read sys_read\n{t64}");
            let t32 = format!("3 i386 read sys_read\n{t32}");
            move |path: &str| match path {
                TABLE_64 => Some(t64.clone()),
                TABLE_32 => Some(t32.clone()),
                _ => None,
            }
        };
        check(&kernel, &spec, &Abi::ALL, read(before), read(after)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_is_free_before_the_series_and_the_tables_agree_with_the_spec_after_it() {
        let wired = ["463 common xyzzy sys_xyzzy\n", "463 i386 xyzzy sys_xyzzy\n"];
        assert_eq!(check_with("", ["", ""], wired), Ok(()));
        // An entry that is not there at all is found by running: by that ABI alone.
        assert_eq!(check_with("", ["", ""], [wired[0], ""]), Ok(()));
        let taken = check_with("", ["", "463 i386 plugh sys_plugh\n"], wired).unwrap_err();
        for word in ["463", "taken in the unpatched tree", "syscall_32.tbl:2", "plugh", "464"] {
            assert!(taken.contains(word), "{word}: {taken}");
        }
        let other = check_with("numbers: {m32: 500}\n", ["", ""], wired).unwrap_err();
        for word in ["xyzzy", "number 500 by m32", "syscall_32.tbl:2", "463"] {
            assert!(other.contains(word), "{word}: {other}");
        }
    }

    #[test]
    fn a_tree_without_tables_is_named() {
        let kernel: KernelName = "k".parse().unwrap();
        let error = tables(&kernel, |_| None).unwrap_err().to_string();
        assert!(error.contains("syscall_64.tbl"), "{error}");
    }
}
