//! Structures that may grow, and every way in which an address can be wrong.

use super::{Made, NARROW, Rules};
use crate::model::Abi;
use crate::plan::contract::scene::{Place, Scene, Wrong};
use crate::plan::contract::schema::{Access, Pointer, Struct};
use crate::plan::contract::value::{Term, Value};

/// A page of x86.
const PAGE: u64 = 4096;
/// Bytes behind the structure that are each tried alone.
const TAIL: u64 = 16;
/// The kernel's map of all memory, without KASLR: canonical, and no user's.
const KERNEL: u64 = 0xffff_8880_0000_0000;
/// Between the halves of the address space: a use of it faults in its own way.
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;
/// Where signed and unsigned 32 bits part, and where i386 kernels used to begin.
const EDGES: [(&str, u64); 2] = [("2 GiB", 0x8000_0000), ("3 GiB", 0xc000_0000)];

impl Rules<'_> {
    pub(super) fn structs(&mut self) -> Result<(), Wrong> {
        for section in &self.contract.promises.structs {
            self.grown(section)?;
        }
        Ok(())
    }

    fn grown(&mut self, section: &Struct) -> Result<(), Wrong> {
        let Struct { object, size, versions, cite, .. } = section;
        let whole = self.good.bytes(object, Abi::M64)?;
        for abi in Abi::ALL {
            let bytes = self.good.bytes(object, abi)?;
            if bytes != whole || versions.last() != Some(&bytes) {
                return Err(format!(
                    "{object} has {bytes} bytes by {abi}, and the last of its versions {:?}: an extensible structure has one layout",
                    versions.last().unwrap_or(&0)
                ));
            }
        }
        let good = self.good.clone();
        let sized = |bytes: u64| -> Result<Scene, Wrong> {
            good.clone().resize(object, bytes.min(2 * PAGE))?.set(size, Value::number(bytes))
        };
        let (small, tail, page) =
            (self.gives(&section.small)?, self.gives(&section.tail)?, self.gives(&section.page)?);
        let fine = self.gives("good")?;
        let not_size = self.gives(&format!("not {} {}", section.small, section.tail))?;
        let first = versions.first().copied().unwrap_or(whole);
        for bytes in [0, 1, first - 1] {
            let name = format!("struct {object}: size {bytes}, less than the first version");
            self.call(&name, cite, &small, |_| Ok(Ok(sized(bytes)?)))?;
        }
        for &version in versions {
            let name = format!("struct {object}: size {version}, a version that was published");
            let expect = if version == whole { &fine } else { &not_size };
            self.call(&name, cite, expect, |_| Ok(Ok(sized(version)?)))?;
        }
        for more in [1, 8, TAIL] {
            let name = format!("struct {object}: {more} more bytes, all zero");
            self.call(&name, cite, &fine, |_| Ok(Ok(sized(whole + more)?)))?;
        }
        for at in 0..TAIL {
            let name = format!("struct {object}: {TAIL} more bytes, byte {at} of them not zero");
            let make = |_| -> Made { Ok(Ok(sized(whole + TAIL)?.over(object, whole + at, 1)?)) };
            self.call(&name, cite, &tail, make)?;
        }
        self.call(&format!("struct {object}: a page, the rest zero"), cite, &fine, |_| Ok(Ok(sized(PAGE)?)))?;
        self.call(&format!("struct {object}: a page, its last byte not zero"), cite, &tail, |_| {
            Ok(Ok(sized(PAGE)?.over(object, PAGE - 1, 1)?))
        })?;
        self.call(&format!("struct {object}: larger than a page"), cite, &page, |_| {
            Ok(Ok(sized(PAGE + 1)?))
        })?;
        self.call(&format!("struct {object}: size -1, which wraps"), cite, &page, |_| {
            Ok(Ok(good.clone().set(size, Value::number(u64::MAX))?))
        })?;
        self.call(&format!("struct {object}: unaligned"), cite, &fine, |_| {
            Ok(Ok(good.clone().place(object, Place::Odd)?))
        })
    }

    pub(super) fn pointers(&mut self) -> Result<(), Wrong> {
        for section in &self.contract.promises.pointers {
            self.pointer(section)?;
        }
        Ok(())
    }

    fn pointer(&mut self, section: &Pointer) -> Result<(), Wrong> {
        let (place, cite) = (section.place.as_str(), section.cite.as_str());
        let object = self.good.pointed_to(place)?;
        let good = self.good.clone();
        let fault = self.gives(&section.gives)?;
        let fine = self.gives("good")?;
        let set = |value: Value| good.clone().set(place, value);
        let name = |what: &str| format!("pointer {place}: {what}");
        match section.zero.as_deref() {
            Some("blocks") => {
                self.not_applicable(name("NULL"), "it makes the call sleep: see the section `blocks`");
            }
            gives => {
                let null = self.gives(gives.unwrap_or(&section.gives))?;
                self.call(&name("NULL"), cite, &null, |_| Ok(Ok(set(Value::number(0))?)))?;
            }
        }
        self.call(&name("not mapped"), cite, &fault, |_| Ok(Ok(set(Value(vec![Term::Unmapped]))?)))?;
        let bytes_of = |layout| -> Result<u64, Wrong> { Ok(self.good.at(place)?.0.bytes(layout)) };
        let registers = [bytes_of(Abi::M64)?, bytes_of(Abi::M32)?, bytes_of(Abi::Mx32)?];
        // x32 hands its pointers over in whole registers, in which it could put anything.
        let narrow = |layout: Abi| match layout {
            Abi::M64 => false,
            Abi::M32 => registers[1] < 8,
            Abi::Mx32 => registers[2] < 8 && place.contains('.'),
        };
        let is_argument = !place.contains('.');
        for (what, address) in [("an address of the kernel", KERNEL), ("not canonical", NON_CANONICAL)] {
            self.call(&name(what), cite, &fault, |layout| {
                let scene = match is_argument {
                    true => good.clone().raw(place, 0, Value::number(address)),
                    false => set(Value::number(address))?,
                };
                Ok(if narrow(layout) { Err(NARROW) } else { Ok(scene) })
            })?;
        }
        let at = |to: Place| -> Result<Scene, Wrong> { good.clone().place(&object, to) };
        self.call(&name("no access"), cite, &fault, |_| Ok(Ok(at(Place::NoAccess)?)))?;
        if section.access != Access::Read {
            self.call(&name("read-only"), cite, &fault, |_| Ok(Ok(at(Place::ReadOnly)?)))?;
        }
        match &section.partly {
            Some(why) => self.not_applicable(name("one byte short"), why),
            None => self.call(&name("one byte short"), cite, &fault, |layout| {
                let bytes = good.bytes(&object, layout)?;
                Ok(Ok(at(Place::Cross(bytes.saturating_sub(1)))?))
            })?,
        }
        for (edge, address) in EDGES {
            self.call(&name(&format!("at {edge}")), cite, &fine, |_| Ok(Ok(at(Place::At(address))?)))?;
        }
        Ok(())
    }
}
