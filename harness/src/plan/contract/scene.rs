//! One call, set up: its arguments and the memory they point to, before an ABI lays it out.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::ctype::CType;
use super::value::{Term, Value};
use super::{Body, Contract};
use crate::broken::broken;
use crate::model::Abi;

/// Where an object lies; see `guest/contract/FORMAT.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Plain,
    Odd,
    /// Only its first bytes are mapped.
    Cross(u64),
    ReadOnly,
    NoAccess,
    At(u64),
}

/// Something in memory.
#[derive(Debug, Clone)]
struct Object {
    name: String,
    body: Body,
    place: Place,
    /// Another size than its body's.
    size: Option<u64>,
    /// Bytes that are laid over it, by offset.
    over: Vec<(u64, u8)>,
}

/// A call that is set up.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    arguments: Vec<(String, CType, Value)>,
    /// Whole registers, by argument and which of its registers, whatever its type.
    raw: Vec<(String, usize, Value)>,
    objects: Vec<Object>,
}

/// Why a scene cannot be laid out for an ABI; a mistake of the contract.
pub(super) type Wrong = String;

impl Scene {
    /// The good call of a contract.
    pub(super) fn good(contract: &Contract) -> Scene {
        let object = |(name, body): &(String, Body)| Object {
            name: name.clone(),
            body: body.clone(),
            place: Place::Plain,
            size: None,
            over: Vec::new(),
        };
        Scene {
            arguments: contract.arguments.clone(),
            raw: Vec::new(),
            objects: contract.objects.iter().map(object).collect(),
        }
    }

    /// What stands at `place`: an argument, or `object.field`.
    pub(super) fn at(&self, place: &str) -> Result<(&CType, &Value), Wrong> {
        if let Some((_, ctype, value)) = self.arguments.iter().find(|(name, _, _)| name == place) {
            return Ok((ctype, value));
        }
        let field = place.split_once('.').and_then(|(object, field)| match &self.find(object)?.body {
            Body::Fields(fields) => fields.iter().find(|found| found.name == field),
            Body::Bytes(_) | Body::Size(_) => None,
        });
        field.map(|field| (&field.ctype, &field.value)).ok_or_else(|| nothing(place))
    }

    /// Puts another value there.
    pub(super) fn set(mut self, place: &str, value: Value) -> Result<Scene, Wrong> {
        if let Some((_, _, old)) = self.arguments.iter_mut().find(|(name, _, _)| name == place) {
            *old = value;
            return Ok(self);
        }
        let (object, field) = place.split_once('.').ok_or_else(|| nothing(place))?;
        let body = self.objects.iter_mut().find(|found| found.name == object).map(|found| &mut found.body);
        let Some(Body::Fields(fields)) = body else { return Err(nothing(place)) };
        let field = fields.iter_mut().find(|found| found.name == field).ok_or_else(|| nothing(place))?;
        field.value = value;
        Ok(self)
    }

    /// Adds bits to the number that is there.
    pub(super) fn or(self, place: &str, bits: u64) -> Result<Scene, Wrong> {
        let number = self.at(place)?.1.as_number();
        let number =
            number.ok_or_else(|| format!("`{place}` has no number to which a flag could be added"))?;
        self.set(place, Value::number(number | bits))
    }

    /// Fills a whole register of an argument: the first, or the second of two.
    pub(super) fn raw(mut self, argument: &str, which: usize, register: Value) -> Scene {
        self.raw.push((argument.to_owned(), which, register));
        self
    }

    /// Whether an ABI has room for all that stands in registers and memory, and for what is to stand in
    /// `after` afterwards. What has no room would be cut, and be another call.
    pub(super) fn has_room(
        &self,
        after: &BTreeMap<String, String>,
        constants: &BTreeMap<String, Value>,
        abi: Abi,
    ) -> Result<bool, Wrong> {
        if broken("contract-room") {
            return Ok(true);
        }
        let arguments = self.arguments.iter().map(|(_, ctype, value)| (ctype, value));
        let fields = self.objects.iter().flat_map(|object| match &object.body {
            Body::Fields(fields) => &fields[..],
            Body::Bytes(_) | Body::Size(_) => &[],
        });
        let fields = fields.map(|field| (&field.ctype, &field.value));
        for (ctype, value) in arguments.chain(fields) {
            if !self.holds(ctype, value, abi)? {
                return Ok(false);
            }
        }
        for (place, text) in after.iter().filter(|(place, _)| place.contains('.')) {
            if !self.holds(self.at(place)?.0, &Value::parse(text, constants)?, abi)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds(&self, ctype: &CType, value: &Value, abi: Abi) -> Result<bool, Wrong> {
        Ok(match self.resolved(value, abi)? {
            Some(number) => ctype.holds(abi, number),
            // What is added to an address below 2 GiB, or to a descriptor, is not to wrap.
            None => ctype.bytes(abi) == 8 || i32::try_from(value.offset() as i64).is_ok(),
        })
    }

    /// Moves an object.
    pub(super) fn place(mut self, object: &str, place: Place) -> Result<Scene, Wrong> {
        let found = self.objects.iter_mut().find(|found| found.name == object);
        found.ok_or_else(|| nothing(object))?.place = place;
        Ok(self)
    }

    /// Gives an object another size; what comes new is zero.
    pub(super) fn resize(mut self, object: &str, bytes: u64) -> Result<Scene, Wrong> {
        let found = self.objects.iter_mut().find(|found| found.name == object);
        found.ok_or_else(|| nothing(object))?.size = Some(bytes);
        Ok(self)
    }

    /// Lays a byte over an object.
    pub(super) fn over(mut self, object: &str, offset: u64, byte: u8) -> Result<Scene, Wrong> {
        let found = self.objects.iter_mut().find(|found| found.name == object);
        found.ok_or_else(|| nothing(object))?.over.push((offset, byte));
        Ok(self)
    }

    /// Puts text and a NUL in an object's stead.
    pub(super) fn text(mut self, object: &str, text: &str) -> Result<Scene, Wrong> {
        let found = self.objects.iter_mut().find(|found| found.name == object);
        found.ok_or_else(|| nothing(object))?.body = Body::Bytes([text.as_bytes(), &[0]].concat());
        Ok(self)
    }

    fn find(&self, object: &str) -> Option<&Object> {
        self.objects.iter().find(|found| found.name == object)
    }

    /// The object to which `place` points.
    pub(super) fn pointed_to(&self, place: &str) -> Result<String, Wrong> {
        let object = self.at(place)?.1.object();
        object.map(str::to_owned).ok_or_else(|| format!("`{place}` points to no object"))
    }

    /// An object's bytes by an ABI.
    pub(super) fn bytes(&self, object: &str, abi: Abi) -> Result<u64, Wrong> {
        let object = self.find(object).ok_or_else(|| nothing(object))?;
        Ok(object.size.unwrap_or_else(|| object.body.bytes(abi)))
    }

    /// The prober's lines for memory and arguments, as a caller of `abi` lays them out.
    pub(super) fn lines(&self, abi: Abi) -> Result<String, Wrong> {
        let mut lines = String::new();
        let mut put = |line: String| {
            lines.push_str(&line);
            lines.push('\n');
        };
        for (id, object) in self.objects.iter().enumerate() {
            let bytes = object.size.unwrap_or_else(|| object.body.bytes(abi));
            put(format!("obj {id} {bytes} {}", object.place));
        }
        for (id, object) in self.objects.iter().enumerate() {
            let bytes = object.size.unwrap_or(u64::MAX);
            match &object.body {
                Body::Size(_) => {}
                Body::Bytes(text) => {
                    let text = &text[..text.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))];
                    for (part, chunk) in text.chunks(1024).enumerate() {
                        put(format!("hex {id} {} {}", part * 1024, hex(chunk)));
                    }
                }
                Body::Fields(fields) => {
                    for (field, offset) in fields.iter().zip(super::offsets(fields, abi)) {
                        let width = field.ctype.bytes(abi);
                        let zero = field.value.as_number() == Some(0);
                        // A shorter structure ends where it ends.
                        if !zero && offset + width <= bytes {
                            put(format!("put {id} {offset} {width} {}", self.word(&field.value, abi)?));
                        }
                    }
                }
            }
            for (offset, byte) in &object.over {
                put(format!("put {id} {offset} 1 {byte:#x}"));
            }
        }
        let mut register = 0;
        for (name, ctype, value) in &self.arguments {
            let words = match self.resolved(value, abi)? {
                Some(number) => {
                    ctype.in_registers(abi, number).iter().map(|part| format!("{part:#x}")).collect()
                }
                None => vec![self.word(value, abi)?],
            };
            let raw = |which: usize| self.raw.iter().rfind(|(of, at, _)| of == name && *at == which);
            if self.raw.iter().any(|(of, at, _)| of == name && *at >= words.len()) {
                return Err(format!("`{name}` is to have a number in the good call: it takes two registers"));
            }
            for (which, word) in words.into_iter().enumerate() {
                let word = raw(which).map_or(Ok(word), |(_, _, raw)| self.word(raw, abi))?;
                put(format!("arg {} {word}", register + which));
            }
            register += ctype.registers(abi);
        }
        if register > 6 {
            return Err(format!("the arguments take {register} registers by {abi}; a call has six"));
        }
        Ok(lines)
    }

    /// The prober's line for what stands in memory afterwards: text in an object, a number in a field.
    pub(super) fn after(
        &self,
        place: &str,
        text: &str,
        constants: &BTreeMap<String, Value>,
        abi: Abi,
    ) -> Result<String, Wrong> {
        let (object, field) =
            place.split_once('.').map_or((place, None), |(object, field)| (object, Some(field)));
        let id = self.objects.iter().position(|found| found.name == object).ok_or_else(|| nothing(place))?;
        let Some(field) = field else { return Ok(format!("after {id} 0 {}\n", hex(text.as_bytes()))) };
        let Body::Fields(fields) = &self.objects[id].body else { return Err(nothing(place)) };
        let found = fields.iter().zip(super::offsets(fields, abi)).find(|(found, _)| found.name == field);
        let (found, offset) = found.ok_or_else(|| nothing(place))?;
        let value = Value::parse(text, constants)?;
        let number = self.resolved(&value, abi)?.ok_or_else(|| format!("`{text}` is no number"))?;
        let bytes = &number.to_le_bytes()[..found.ctype.bytes(abi) as usize];
        Ok(format!("after {id} {offset} {}\n", hex(bytes)))
    }

    /// The number that a value comes to, if no guest is needed to tell.
    fn resolved(&self, value: &Value, abi: Abi) -> Result<Option<u64>, Wrong> {
        let mut sum: u64 = 0;
        for term in &value.0 {
            sum = sum.wrapping_add(match term {
                Term::Number(number) => *number,
                Term::SizeOf(object) => self.bytes(object, abi)?,
                Term::Address(_) | Term::Unmapped | Term::Made(_) => return Ok(None),
            });
        }
        Ok(Some(sum))
    }

    /// A value in the prober's words.
    fn word(&self, value: &Value, abi: Abi) -> Result<String, Wrong> {
        let mut words = Vec::new();
        for term in &value.0 {
            words.push(match term {
                Term::Number(number) => format!("{number:#x}"),
                Term::SizeOf(object) => self.bytes(object, abi)?.to_string(),
                Term::Address(object) => {
                    let id = self.objects.iter().position(|found| found.name == *object);
                    format!("@{}", id.ok_or_else(|| nothing(object))?)
                }
                Term::Unmapped => "unmapped".to_owned(),
                Term::Made(made) => made.clone(),
            });
        }
        Ok(words.join("+"))
    }
}

fn nothing(place: &str) -> Wrong {
    format!("there is no argument, object or field `{place}`")
}

/// Bytes as the prober reads them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Plain => f.write_str("plain"),
            Place::Odd => f.write_str("odd"),
            Place::Cross(bytes) => write!(f, "cross:{bytes}"),
            Place::ReadOnly => f.write_str("ro"),
            Place::NoAccess => f.write_str("none"),
            Place::At(address) => write!(f, "at:{address:#x}"),
        }
    }
}
