//! From a contract to its cases: a rule per section, in the order in which a reader would ask.

mod memory;
mod paths;
mod results;
mod who;

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Scene, Wrong};
use super::schema::Flags;
use super::value::{Value, number};
use super::{Case, Cases, Contract};
use crate::limits;
use crate::model::{Abi, Door, NotApplicable, PlannedCase};

/// The errors that a contract may name, as the prober knows them.
const ERRNOS: [&str; 57] = [
    "EPERM",
    "ENOENT",
    "ESRCH",
    "EINTR",
    "EIO",
    "ENXIO",
    "E2BIG",
    "ENOEXEC",
    "EBADF",
    "ECHILD",
    "EAGAIN",
    "ENOMEM",
    "EACCES",
    "EFAULT",
    "ENOTBLK",
    "EBUSY",
    "EEXIST",
    "EXDEV",
    "ENODEV",
    "ENOTDIR",
    "EISDIR",
    "EINVAL",
    "ENFILE",
    "EMFILE",
    "ENOTTY",
    "ETXTBSY",
    "EFBIG",
    "ENOSPC",
    "ESPIPE",
    "EROFS",
    "EMLINK",
    "EPIPE",
    "EDOM",
    "ERANGE",
    "EDEADLK",
    "ENAMETOOLONG",
    "ENOLCK",
    "ENOSYS",
    "ENOTEMPTY",
    "ELOOP",
    "ENODATA",
    "ETIME",
    "EOVERFLOW",
    "EBADFD",
    "EILSEQ",
    "EUSERS",
    "ENOTSOCK",
    "EMSGSIZE",
    "EPROTO",
    "EOPNOTSUPP",
    "EADDRINUSE",
    "ENOBUFS",
    "ENOTCONN",
    "ETIMEDOUT",
    "EALREADY",
    "ESTALE",
    "ECANCELED",
];

/// What a call is to give.
#[derive(Debug, Clone)]
struct Expect {
    /// The prober's words behind `expect`.
    words: String,
    /// What stands in memory afterwards.
    after: BTreeMap<String, String>,
}

/// A call as a caller of some ABI sets it up, or why it cannot.
type Made = Result<Result<Scene, &'static str>, Wrong>;

/// The doors that a program can use which are not its ABI's own: how the prober calls each, and the
/// ABI as whose call the kernel has to take it.
fn other_doors(abi: Abi) -> &'static [(&'static str, &'static str, Abi)] {
    match abi {
        Abi::M64 => &[("int 0x80", "i386", Abi::M32), ("x32 number", "x32", Abi::Mx32)],
        Abi::Mx32 => &[("int 0x80", "i386", Abi::M32), ("64-bit number", "x64", Abi::M64)],
        Abi::M32 => &[],
    }
}

/// What a 32-bit layout has no room for.
pub(super) const NARROW: &str = "the register has 32 bits";
/// What is ignored of two registers, where both count or there is one.
const NO_SECOND: &str = "no register is left over here";
/// What a type of this ABI would cut.
pub(super) const NO_ROOM: &str = "a type has no room for its value";
/// The case that everything else begins with.
pub(super) const GOOD: &str = "good";

struct Rules<'a> {
    contract: &'a Contract,
    abi: Abi,
    numbers: &'a BTreeMap<Abi, u32>,
    closed: &'a BTreeSet<Abi>,
    good: Scene,
    out: Cases,
}

/// All cases of a contract by one ABI.
pub(super) fn cases(
    contract: &Contract,
    abi: Abi,
    numbers: &BTreeMap<Abi, u32>,
    closed: &BTreeSet<Abi>,
) -> Result<Cases, Wrong> {
    let good = Scene::good(contract);
    let mut rules = Rules { contract, abi, numbers, closed, good, out: Cases::default() };
    let as_is = rules.good.clone();
    let expect = rules.gives("good")?;
    rules.call(GOOD, &contract.promises.returns.cite, &expect, |_| Ok(Ok(as_is.clone())))?;
    rules.flags()?;
    rules.registers()?;
    rules.structs()?;
    rules.pointers()?;
    rules.values()?;
    rules.descriptors()?;
    rules.paths()?;
    rules.results()?;
    rules.who()?;
    rules.signals()?;
    rules.crowd()?;
    rules.seccomp()?;
    rules.doors();
    let mut names = BTreeSet::new();
    for Case { planned: case, .. } in &rules.out.cases {
        let plain = case.name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'#');
        if !plain || case.name.len() > 160 {
            return Err(format!(
                "the case {:?} cannot be called that: printable ASCII without `#`",
                case.name
            ));
        }
        if !names.insert(&case.name) {
            return Err(format!("two cases are called {:?}", case.name));
        }
    }
    if rules.out.cases.len() > limits::CONTRACT_CASES {
        return Err(format!(
            "{} cases follow from it; {} are the limit",
            rules.out.cases.len(),
            limits::CONTRACT_CASES
        ));
    }
    Ok(rules.out)
}

impl Rules<'_> {
    /// What a contract writes behind `gives`: `good`, a number, errors, or `not` and errors.
    fn gives(&self, text: &str) -> Result<Expect, Wrong> {
        let returns = &self.contract.promises.returns;
        if text == "good" {
            let words = match returns.is.as_str() {
                "descriptor" => "fd".to_owned(),
                "pid" | "positive" | "any" => returns.is.clone(),
                other => self.words(other)?,
            };
            return Ok(Expect { words, after: returns.after.clone() });
        }
        Ok(Expect { words: self.words(text)?, after: BTreeMap::new() })
    }

    fn words(&self, text: &str) -> Result<String, Wrong> {
        let (not, list) = match text.strip_prefix("not ") {
            Some(list) => ("not ", list),
            None => ("", text),
        };
        let mut words = Vec::new();
        for word in list.split_whitespace() {
            let value = self.contract.constants.get(word).and_then(Value::as_number).or_else(|| number(word));
            match value {
                _ if ERRNOS.contains(&word) => words.push(word.to_owned()),
                Some(number) => words.push((number as i64).to_string()),
                None => {
                    return Err(format!("`{word}` is neither `good`, a number, nor an error that is known"));
                }
            }
        }
        if words.is_empty() {
            return Err("it says nothing of what is given".to_owned());
        }
        Ok(format!("{not}{}", words.join(" ")))
    }

    fn value(&self, text: &str) -> Result<Value, Wrong> {
        Value::parse(text, &self.contract.constants)
    }

    fn bits(&self, text: &str) -> Result<u64, Wrong> {
        self.value(text)?.as_number().ok_or_else(|| format!("`{text}` is no number"))
    }

    /// The good call with some changes.
    fn with(&self, changes: &BTreeMap<String, String>) -> Result<Scene, Wrong> {
        changes
            .iter()
            .try_fold(self.good.clone(), |scene, (place, value)| scene.set(place, self.value(value)?))
    }

    /// A case that is one call, by this ABI's own door and by the others that its programs can use.
    fn call(
        &mut self,
        name: &str,
        cite: &str,
        expect: &Expect,
        make: impl Fn(Abi) -> Made,
    ) -> Result<(), Wrong> {
        self.special(name, cite, "call", expect, &make)?;
        for (called, door, of) in other_doors(self.abi) {
            let Some(number) = self.numbers.get(of) else { continue };
            let name = format!("{called}: {name}");
            if self.closed.contains(of) {
                self.not_applicable(name, format!("this kernel has no door for {of}"));
                continue;
            }
            match self.made(expect, *of, &make)? {
                Ok(scene) => {
                    let door = format!("number {number}\ndoor {door}\n");
                    self.push(name, cite, (&door, "call"), expect, &scene, *of)?;
                }
                Err(reason) => self.not_applicable(name, reason),
            }
        }
        Ok(())
    }

    /// A case by this ABI's own door alone, with what the prober is to do.
    fn special(
        &mut self,
        name: &str,
        cite: &str,
        run: &str,
        expect: &Expect,
        make: impl Fn(Abi) -> Made,
    ) -> Result<(), Wrong> {
        let Some(number) = self.numbers.get(&self.abi) else { return Ok(()) };
        match self.made(expect, self.abi, &make)? {
            Ok(scene) => {
                let door = format!("number {number}\n");
                self.push(name.to_owned(), cite, (&door, run), expect, &scene, self.abi)
            }
            Err(reason) => {
                self.not_applicable(name, reason);
                Ok(())
            }
        }
    }

    /// A call as a caller of `layout` sets it up, if its types have room for it.
    fn made(&self, expect: &Expect, layout: Abi, make: impl Fn(Abi) -> Made) -> Made {
        let scene = match make(layout)? {
            Ok(scene) => scene,
            Err(reason) => return Ok(Err(reason)),
        };
        let room = scene.has_room(&expect.after, &self.contract.constants, layout)?;
        Ok(if room { Ok(scene) } else { Err(NO_ROOM) })
    }

    /// A case that this ABI cannot express, or that the contract says there is none of.
    fn not_applicable(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.out.not_applicable.push(NotApplicable { name: name.into(), reason: reason.into() });
    }

    fn push(
        &mut self,
        name: String,
        cite: &str,
        (door, run): (&str, &str),
        expect: &Expect,
        scene: &Scene,
        layout: Abi,
    ) -> Result<(), Wrong> {
        let run = if run == "call" { String::new() } else { format!("run {run}\n") };
        let mut after = String::new();
        for (place, value) in &expect.after {
            after.push_str(&scene.after(place, value, &self.contract.constants, layout)?);
        }
        let lines = format!("{}{door}{run}expect {}\n{after}", scene.lines(layout)?, expect.words);
        let planned = PlannedCase { name, cite: cite.to_owned() };
        self.out.cases.push(Case { planned, lines });
        Ok(())
    }

    /// Unknown bits, known bits and what they make together.
    fn flags(&mut self) -> Result<(), Wrong> {
        for section in &self.contract.promises.flags {
            self.flags_in(section)?;
        }
        Ok(())
    }

    fn flags_in(&mut self, section: &Flags) -> Result<(), Wrong> {
        let place = section.place.as_str();
        let (ctype, value) = self.good.at(place)?;
        let ctype = ctype.clone();
        let old =
            value.as_number().ok_or_else(|| format!("`{place}` is to have a number in the good call"))?;
        let good = self.good.clone();
        let mut known: Vec<(&str, u64)> = Vec::new();
        for name in &section.valid {
            known.push((name, self.bits(name)?));
        }
        let ignored =
            section.ignored.iter().try_fold(0, |all, name| Ok::<_, Wrong>(all | self.bits(name)?))?;
        let valid = known.iter().fold(old | ignored, |all, (_, bits)| all | bits);
        let refuse = self.gives(&section.unknown)?;
        let width = |layout: Abi| 8 * ctype.bytes(layout);
        let fits = |bits: u64, layout: Abi| match bits.checked_shr(width(layout) as u32) {
            None | Some(0) => Ok(()),
            Some(_) => Err(NARROW),
        };
        for bit in (0..width(Abi::M64)).filter(|bit| valid & (1 << bit) == 0) {
            self.call(&format!("flags: unknown bit {bit} of {place}"), &section.cite, &refuse, |layout| {
                let scene = good.clone().set(place, Value::number(old | 1 << bit))?;
                Ok(fits(1 << bit, layout).map(|()| scene))
            })?;
        }
        self.call(&format!("flags: all unknown bits of {place}"), &section.cite, &refuse, |layout| {
            let unknown = !valid & (u64::MAX >> (64 - width(layout)));
            Ok(Ok(good.clone().set(place, Value::number(old | unknown))?))
        })?;
        let mut refused = Vec::new();
        for together in &section.refused {
            let bits = self.bits(&together.bits)?;
            refused.push(bits);
            let expect = self.gives(&together.gives)?;
            let name = format!("flags: {} of {place} do not go together", together.bits);
            self.call(&name, &together.cite, &expect, |layout| {
                let scene = good.clone().set(place, Value::number(old | bits))?;
                Ok(fits(bits, layout).map(|()| scene))
            })?;
        }
        let accept = self.gives(&format!("not {}", section.unknown))?;
        for chosen in subsets(&known) {
            let bits = chosen.iter().fold(0, |all, (_, bits)| all | bits);
            if refused.iter().any(|refused| bits & refused == *refused) {
                continue;
            }
            let names = chosen.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("|");
            let mut scene = good.clone();
            for (name, _) in &chosen {
                for (changed, value) in section.with.get(*name).into_iter().flatten() {
                    scene = scene.set(changed, self.value(value)?)?;
                }
            }
            let scene = scene.or(place, bits)?;
            self.call(&format!("flags: {names} of {place}"), &section.cite, &accept, |layout| {
                Ok(fits(bits, layout).map(|()| scene.clone()))
            })?;
        }
        Ok(())
    }

    /// The upper half of a register whose argument is narrower says nothing.
    fn registers(&mut self) -> Result<(), Wrong> {
        let cite = "the wrapper of SYSCALL_DEFINEn() casts each argument to its type: include/linux/syscalls.h, __SC_CAST";
        let expect = self.gives("good")?;
        let good = self.good.clone();
        for (name, ctype, value) in &self.contract.arguments {
            if ctype.is_argument_only() {
                let cite = "pos_from_hilo() in fs/read_write.c: a kernel of 64 bits shifts the second out";
                let name_of = format!("registers: garbage in the second of {name}'s");
                self.special(&name_of, cite, "call", &expect, |layout| {
                    let dirty = good.clone().raw(name, 1, Value::number(0xdead_beef_dead_beef));
                    Ok(if layout == Abi::M64 { Ok(dirty) } else { Err(NO_SECOND) })
                })?;
            }
            let name_of = format!("registers: garbage in the upper half of {name}'s");
            if !ctype.is_narrow() {
                self.not_applicable(name_of, format!("{ctype} takes the register whole"));
                continue;
            }
            // A negative number has bits there already.
            let clean = value.as_number().map_or(value.clone(), |number| Value::number(number & 0xffff_ffff));
            let dirty = clean.plus(0xdead_beef_0000_0000);
            self.special(&name_of, cite, "call", &expect, |layout| {
                Ok(if layout == Abi::M32 {
                    Err(NARROW)
                } else {
                    Ok(good.clone().raw(name, 0, dirty.clone()))
                })
            })?;
        }
        Ok(())
    }

    /// More values, and what they give.
    fn values(&mut self) -> Result<(), Wrong> {
        for given in &self.contract.promises.values {
            let mut expect = self.gives(&given.gives)?;
            if !given.after.is_empty() {
                expect.after.clone_from(&given.after);
            }
            let value = self.value(&given.value)?;
            let scene = self.with(&given.with)?.set(&given.place, value)?;
            let mut name = format!("values: {} = {}", given.place, given.value);
            for (place, value) in &given.with {
                name.push_str(&format!(", {place} = {value}"));
            }
            self.call(&name, &given.cite, &expect, |_| Ok(Ok(scene.clone())))?;
        }
        Ok(())
    }

    /// What the other doors are for an ABI, where it has none or where they are its own.
    fn doors(&mut self) {
        for (called, own) in [("int 0x80", Abi::M32), ("x32 number", Abi::Mx32), ("64-bit number", Abi::M64)]
        {
            let reason = match self.abi {
                abi if abi == own => "that is this ABI's own door",
                Abi::M32 => "a 32-bit program has no `syscall` instruction that enters the 64-bit kernel",
                Abi::M64 | Abi::Mx32 => continue,
            };
            self.not_applicable(format!("{called}: every case"), reason);
        }
    }

    /// The door as the kernel sees this ABI's call.
    fn door(&self) -> Option<Door> {
        self.numbers.get(&self.abi).map(|number| self.abi.door(*number))
    }
}

/// All subsets but the empty one where there are few; singles, pairs and the whole where there are many.
fn subsets<'a>(all: &[(&'a str, u64)]) -> Vec<Vec<(&'a str, u64)>> {
    if all.len() <= limits::FLAG_SUBSETS_OF {
        let chosen = |mask: usize| all.iter().enumerate().filter(move |(i, _)| mask & (1 << i) != 0);
        return (1..1 << all.len()).map(|mask| chosen(mask).map(|(_, flag)| *flag).collect()).collect();
    }
    let mut found: Vec<Vec<(&str, u64)>> = all.iter().map(|flag| vec![*flag]).collect();
    for (index, one) in all.iter().enumerate() {
        found.extend(all[index + 1..].iter().map(|other| vec![*one, *other]));
    }
    found.push(all.to_vec());
    found
}
