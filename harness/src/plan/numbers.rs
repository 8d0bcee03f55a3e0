//! The syscall's number against the tables of the tree, before and after the series. Pure.

use super::files::Spec;
use super::tables::{Generic, TableError, Tables};
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
        let number = spec.number(abi);
        if let Some(holder) = unpatched.holder(number, abi) {
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
