//! A contract's file as serde reads it, and what of it can be checked at once.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ctype::declaration;
use super::value::Value;
use super::{Body, Contract, Field};
use crate::model::SyscallName;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) syscall: SyscallName,
    contract: Promises,
}

/// What a call promises, section by section. Each section says what it is taken from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promises {
    /// Numbers by the names that the call's headers give them.
    #[serde(default)]
    constants: BTreeMap<String, String>,
    /// `type name = value` each, in the prototype's order: together the good call.
    arguments: Vec<String>,
    #[serde(default)]
    objects: Vec<ObjectFile>,
    pub(super) returns: Returns,
    #[serde(default)]
    pub(super) descriptor: Option<Result>,
    #[serde(default)]
    pub(super) flags: Vec<Flags>,
    #[serde(default)]
    pub(super) structs: Vec<Struct>,
    #[serde(default)]
    pub(super) pointers: Vec<Pointer>,
    #[serde(default)]
    pub(super) descriptors: Vec<Descriptor>,
    #[serde(default)]
    pub(super) paths: Vec<PathArgument>,
    #[serde(default)]
    pub(super) values: Vec<Given>,
    #[serde(default)]
    pub(super) capability: Option<Capability>,
    #[serde(default)]
    pub(super) ptrace: Option<Ptrace>,
    #[serde(default)]
    pub(super) blocks: Option<Blocks>,
    /// The good call cannot be made by many threads at once, for this reason.
    #[serde(default)]
    pub(super) one_at_a_time: Option<String>,
    /// The call allocates nothing and copies nothing, for this reason.
    #[serde(default)]
    pub(super) cannot_be_refused: Option<String>,
}

/// Something in memory: one of the three.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectFile {
    name: String,
    fields: Option<Vec<String>>,
    text: Option<String>,
    size: Option<u64>,
}

/// What the good call gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Returns {
    /// `descriptor`, `pid`, `positive`, `any` or a number.
    pub(super) is: String,
    /// What stands in memory afterwards: text in an object, a number in `object.field`.
    #[serde(default)]
    pub(super) after: BTreeMap<String, String>,
    pub(super) cite: String,
}

/// What is promised of a descriptor that is returned.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Result {
    pub(super) cloexec: OnExec,
    /// `[mask, value]` of F_GETFL without any flag.
    #[serde(default)]
    pub(super) status: Option<(String, String)>,
    /// Which flag of the call sets O_NONBLOCK.
    #[serde(default)]
    pub(super) nonblock: Option<Bit>,
    pub(super) poll: Poll,
    pub(super) cite: String,
}

/// Whether a descriptor is closed by execve(2).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum OnExec {
    Always,
    Flag(Bit),
}

/// A bit of an argument or field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bit {
    #[serde(rename = "in")]
    pub(super) place: String,
    pub(super) bit: String,
}

/// What poll(2) says of a descriptor.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Poll {
    /// It is a file like any other; epoll refuses it.
    Never,
    /// `[events, revents]` right after the good call.
    Gives(u32, u32),
}

/// An argument or field that is made of flags.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flags {
    #[serde(rename = "in")]
    pub(super) place: String,
    pub(super) valid: Vec<String>,
    /// Bits that are neither known nor refused; the cite says why.
    #[serde(default)]
    pub(super) ignored: Vec<String>,
    /// What has to change in the good call for a bit to be good.
    #[serde(default)]
    pub(super) with: BTreeMap<String, BTreeMap<String, String>>,
    /// Combinations of valid bits that are refused.
    #[serde(default)]
    pub(super) refused: Vec<Refused>,
    #[serde(default = "einval")]
    pub(super) unknown: String,
    pub(super) cite: String,
}

/// Valid bits that do not go together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    pub(super) bits: String,
    #[serde(default = "einval")]
    pub(super) gives: String,
    pub(super) cite: String,
}

/// A structure whose size is passed along, and that may grow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Struct {
    pub(super) object: String,
    /// The argument that has the size.
    pub(super) size: String,
    /// The sizes that were published, the first first.
    pub(super) versions: Vec<u64>,
    #[serde(default = "einval")]
    pub(super) small: String,
    #[serde(default = "e2big")]
    pub(super) tail: String,
    /// More than a page.
    #[serde(default = "e2big")]
    pub(super) page: String,
    pub(super) cite: String,
}

/// An argument or field that is an address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pointer {
    #[serde(rename = "in")]
    pub(super) place: String,
    pub(super) access: Access,
    #[serde(default = "efault")]
    pub(super) gives: String,
    /// What 0 gives, if it is not that: an errno, `good`, or `blocks`.
    #[serde(default)]
    pub(super) zero: Option<String>,
    /// Less than the whole object is touched: no case of an object that is cut short.
    #[serde(default)]
    pub(super) partly: Option<String>,
    pub(super) cite: String,
}

/// What the kernel does with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Access {
    Read,
    Write,
    Both,
}

/// An argument or field that is a descriptor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Descriptor {
    #[serde(rename = "in")]
    pub(super) place: String,
    #[serde(default = "ebadf")]
    pub(super) closed: String,
    /// What other things give.
    #[serde(default)]
    pub(super) others: BTreeMap<String, String>,
    pub(super) cite: String,
}

/// A path, and the folder from which it starts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PathArgument {
    pub(super) path: String,
    pub(super) dirfd: String,
    /// The flag by which an empty path means the descriptor itself.
    #[serde(default)]
    pub(super) empty: Option<Bit>,
    /// What the last component's being a link gives without any flag, if it is not `good`.
    #[serde(default)]
    pub(super) link: Option<String>,
    /// The flag by which it is not followed, and what it then gives.
    #[serde(default)]
    pub(super) nofollow: Option<(Bit, String)>,
    pub(super) cite: String,
}

/// One more value of an argument or field, and what it gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    #[serde(rename = "in")]
    pub(super) place: String,
    pub(super) value: String,
    /// What else changes.
    #[serde(default)]
    pub(super) with: BTreeMap<String, String>,
    pub(super) gives: String,
    #[serde(default)]
    pub(super) after: BTreeMap<String, String>,
    pub(super) cite: String,
}

/// A capability without which the call is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capability {
    /// `CAP_…`.
    pub(super) needs: String,
    #[serde(default = "eperm")]
    pub(super) without: String,
    /// As root of a user namespace: `good` where `ns_capable()` is asked.
    pub(super) user_namespace: String,
    pub(super) cite: String,
}

/// The call works on another process, as far as `ptrace_may_access()` lets it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ptrace {
    /// The pidfd.
    #[serde(rename = "in")]
    pub(super) place: String,
    #[serde(default = "eperm")]
    pub(super) denied: String,
    /// A process that has been reaped.
    #[serde(default = "esrch")]
    pub(super) dead: String,
    pub(super) cite: String,
}

/// A way in which the call sleeps until something comes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blocks {
    /// What makes the good call one that sleeps.
    #[serde(default)]
    pub(super) with: BTreeMap<String, String>,
    /// It goes on after a handler with SA_RESTART.
    pub(super) restarts: bool,
    pub(super) cite: String,
}

fn einval() -> String {
    "EINVAL".to_owned()
}

fn e2big() -> String {
    "E2BIG".to_owned()
}

fn efault() -> String {
    "EFAULT".to_owned()
}

fn ebadf() -> String {
    "EBADF".to_owned()
}

fn eperm() -> String {
    "EPERM".to_owned()
}

fn esrch() -> String {
    "ESRCH".to_owned()
}

/// Objects of a contract; so many ids the prober has.
const OBJECTS: usize = 32;
/// The bytes that an object has at most, and can grow to in a case: the prober's bound.
const OBJECT_BYTES: u64 = 65536;

/// Reads declarations and values; the rest is asked for when cases are made.
pub(super) fn contract(file: File) -> std::result::Result<Contract, String> {
    let promises = file.contract;
    let mut constants = BTreeMap::new();
    // A constant may be made of others, whatever their order.
    for _ in 0..=promises.constants.len() {
        for (name, text) in &promises.constants {
            if let Ok(value) = Value::parse(text, &constants) {
                constants.insert(name.clone(), value);
            }
        }
    }
    if let Some((name, text)) = promises.constants.iter().find(|(name, _)| !constants.contains_key(*name)) {
        let why = Value::parse(text, &constants).err().unwrap_or_default();
        return Err(format!("the constant {name}: {why}"));
    }
    let mut arguments = Vec::new();
    for text in &promises.arguments {
        let declared = declaration(text)?;
        if declared.count != 1 {
            return Err(format!("`{text}`: an argument is no array"));
        }
        let value = declared.value.ok_or_else(|| format!("`{text}`: the good call needs a value"))?;
        arguments.push((declared.name.to_owned(), declared.ctype, Value::parse(value, &constants)?));
    }
    let mut objects = Vec::new();
    for object in &promises.objects {
        let body = match object {
            ObjectFile { fields: Some(fields), text: None, size: None, .. } => Body::Fields(
                fields.iter().map(|text| field(text, &constants)).collect::<std::result::Result<_, _>>()?,
            ),
            ObjectFile { fields: None, text: Some(text), size: None, .. } => {
                Body::Bytes([text.as_bytes(), &[0]].concat())
            }
            ObjectFile { fields: None, text: None, size: Some(size), .. } => Body::Size(*size),
            _ => return Err(format!("the object {} has one of `fields`, `text` and `size`", object.name)),
        };
        if body.bytes(crate::model::Abi::M64) > OBJECT_BYTES / 2 {
            return Err(format!("the object {} is larger than {} bytes", object.name, OBJECT_BYTES / 2));
        }
        objects.push((object.name.clone(), body));
    }
    if objects.len() > OBJECTS {
        return Err(format!("more than {OBJECTS} objects"));
    }
    let mut names: Vec<&str> = arguments.iter().map(|(name, _, _)| name.as_str()).collect();
    names.extend(objects.iter().map(|(name, _)| name.as_str()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() != count {
        return Err("two arguments or objects have one name".to_owned());
    }
    Ok(Contract { syscall: file.syscall, arguments, objects, constants, promises })
}

fn field(text: &str, constants: &BTreeMap<String, Value>) -> std::result::Result<Field, String> {
    let declared = declaration(text)?;
    if declared.ctype.is_argument_only() {
        return Err(format!("`{text}`: {} is a type of arguments alone", declared.ctype));
    }
    let value = match declared.value {
        Some(_) if declared.count != 1 => return Err(format!("`{text}`: an array has no value, it is zero")),
        Some(value) => Value::parse(value, constants)?,
        None => Value::number(0),
    };
    Ok(Field { name: declared.name.to_owned(), ctype: declared.ctype, count: declared.count, value })
}
