//! The contract of a system call: what it promises, in the words of its prototype and its man page,
//! as `guest/selftests/<name>/spec.yaml` has it.
//!
//! From a contract follow cases ([`rules`]), for each ABI those that it can express, each with the
//! rule it tests and what that rule is taken from. Pure but for [`load`]. How a case is run is the
//! prober's (`guest/contract`), what its answer means the judge's.

mod ctype;
mod rules;
mod scene;
mod schema;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use self::ctype::CType;
use self::schema::File;
use self::value::Value;
use super::yaml::{InputError, load as load_yaml};
use crate::model::{Abi, NotApplicable, PlannedCase, SyscallName};

/// What a call promises. Made by [`load`], which has checked it against every ABI.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The call.
    pub syscall: SyscallName,
    arguments: Vec<(String, CType, Value)>,
    objects: Vec<(String, Body)>,
    constants: BTreeMap<String, Value>,
    promises: schema::Promises,
}

/// What is in an object.
#[derive(Debug, Clone)]
enum Body {
    /// A structure, laid out as C does.
    Fields(Vec<Field>),
    /// These bytes by every ABI.
    Bytes(Vec<u8>),
    /// So many bytes of zero.
    Size(u64),
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    ctype: CType,
    count: u64,
    value: Value,
}

/// The offset of each field, as C lays a structure out.
fn offsets(fields: &[Field], abi: Abi) -> Vec<u64> {
    let mut end = 0u64;
    let place = |field: &Field| {
        let offset = end.next_multiple_of(field.ctype.align(abi));
        end = offset + field.ctype.bytes(abi) * field.count;
        offset
    };
    fields.iter().map(place).collect()
}

impl Body {
    fn bytes(&self, abi: Abi) -> u64 {
        match self {
            Body::Size(bytes) => *bytes,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Fields(fields) => {
                let last = offsets(fields, abi).pop().zip(fields.last());
                let end = last.map_or(0, |(offset, last)| offset + last.ctype.bytes(abi) * last.count);
                end.next_multiple_of(fields.iter().map(|field| field.ctype.align(abi)).max().unwrap_or(1))
            }
        }
    }
}

/// One case of a contract, as it is run by one ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What the judge has to know of it.
    pub planned: PlannedCase,
    /// The prober's lines between `case` and `end`.
    lines: String,
}

/// The cases of a contract by one ABI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cases {
    /// Those that are run, in their order.
    pub cases: Vec<Case>,
    /// Those that this ABI cannot express, each with the reason.
    pub not_applicable: Vec<NotApplicable>,
}

impl Cases {
    /// What the prober reads.
    pub fn text(&self) -> String {
        let mut text = "contract 1\n".to_owned();
        for case in &self.cases {
            let _ = write!(text, "case {}\n{}end\n", case.planned.name, case.lines);
        }
        text
    }
}

impl Contract {
    /// The cases by `abi`. `numbers` are the call's by each ABI that has it; `closed` are the ABIs
    /// whose door the kernel does not have.
    pub fn cases(&self, abi: Abi, numbers: &BTreeMap<Abi, u32>, closed: &BTreeSet<Abi>) -> Cases {
        // `load` has asked for all of them.
        rules::cases(self, abi, numbers, closed).unwrap_or_default()
    }
}

/// Reads a contract and makes sure that cases follow from it for every ABI.
pub fn load(path: &Path, syscall: &SyscallName) -> Result<Contract, InputError> {
    let file: File = load_yaml(path)?;
    let wrong = |what: String| InputError::Content { path: path.to_owned(), what };
    if file.syscall != *syscall {
        return Err(wrong(format!("it says `syscall: {}` but lies in the folder `{syscall}`", file.syscall)));
    }
    let contract = schema::contract(file).map_err(wrong)?;
    let numbers = Abi::ALL.map(|abi| (abi, 1)).into();
    // What a type cuts by one ABI is for the others to try. By all of them it is a mistake, and so it
    // is of the call that everything else begins with.
    let mut nowhere: Option<BTreeSet<String>> = None;
    for abi in Abi::ALL {
        let cases = rules::cases(&contract, abi, &numbers, &BTreeSet::new())
            .map_err(|what| wrong(format!("by {abi}: {what}")))?;
        let cut = cases
            .not_applicable
            .into_iter()
            .filter(|not| [rules::NO_ROOM, rules::NARROW].contains(&&*not.reason));
        let cut: BTreeSet<String> = cut.map(|not| not.name).collect();
        if cut.contains(rules::GOOD) {
            return Err(wrong(format!("by {abi}: the good call: {}", rules::NO_ROOM)));
        }
        nowhere = Some(nowhere.map_or(cut.clone(), |nowhere| &nowhere & &cut));
    }
    match nowhere.into_iter().flatten().next() {
        Some(name) => Err(wrong(format!("`{name}`: {} by any ABI", rules::NO_ROOM))),
        None => Ok(contract),
    }
}

#[cfg(test)]
mod tests;
