//! C's types as far as a system call has them: how wide an ABI makes them, and how they are aligned.

use std::fmt;

use crate::model::Abi;

/// A type of an argument or of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CType {
    /// As it is written.
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As many bytes by every ABI; aligned to them, but for 64 bits on i386.
    Fixed {
        bytes: u64,
        signed: bool,
    },
    /// `__aligned_u64`.
    Aligned64,
    /// A `loff_t` as preadv(2) and its kin have it by two arguments, `pos_l` and `pos_h`.
    LoHi,
    /// As wide as a register of C's model: `long`, `size_t`.
    Word {
        signed: bool,
    },
    Pointer,
}

const fn fixed(bytes: u64, signed: bool) -> Kind {
    Kind::Fixed { bytes, signed }
}

/// The types that have a name of their own, `__` left out in front.
const TYPES: [(&str, Kind); 34] = [
    ("char", fixed(1, true)),
    ("u8", fixed(1, false)),
    ("s8", fixed(1, true)),
    ("u16", fixed(2, false)),
    ("s16", fixed(2, true)),
    ("short", fixed(2, true)),
    ("u32", fixed(4, false)),
    ("s32", fixed(4, true)),
    ("int", fixed(4, true)),
    ("unsigned int", fixed(4, false)),
    ("unsigned", fixed(4, false)),
    ("pid_t", fixed(4, true)),
    ("uid_t", fixed(4, false)),
    ("gid_t", fixed(4, false)),
    ("mode_t", fixed(4, false)),
    ("umode_t", fixed(2, false)),
    ("clockid_t", fixed(4, true)),
    ("key_t", fixed(4, true)),
    ("rwf_t", fixed(4, true)),
    ("socklen_t", fixed(4, false)),
    ("u64", fixed(8, false)),
    ("s64", fixed(8, true)),
    ("loff_t", fixed(8, true)),
    ("time64_t", fixed(8, true)),
    ("unsigned long long", fixed(8, false)),
    ("long long", fixed(8, true)),
    ("aligned_u64", Kind::Aligned64),
    // glibc's macro, which is what a caller writes there.
    ("LO_HI_LONG", Kind::LoHi),
    ("long", Kind::Word { signed: true }),
    ("ssize_t", Kind::Word { signed: true }),
    ("unsigned long", Kind::Word { signed: false }),
    ("size_t", Kind::Word { signed: false }),
    ("kernel_ulong_t", fixed(8, false)),
    ("kernel_long_t", fixed(8, true)),
];

impl CType {
    /// Reads a type's name; anything with a `*` is a pointer.
    pub(super) fn parse(text: &str) -> Result<CType, String> {
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain = name.trim_start_matches("__");
        let kind = match TYPES.iter().find(|(known, _)| *known == plain) {
            _ if name.ends_with('*') => Kind::Pointer,
            Some((_, kind)) => *kind,
            None => {
                let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
                return Err(format!("`{name}` is no type that is known: {}, or a pointer", known.join(", ")));
            }
        };
        Ok(CType { name, kind })
    }

    /// Bytes by this ABI.
    pub(super) fn bytes(&self, abi: Abi) -> u64 {
        match (self.kind, abi) {
            (Kind::Fixed { bytes, .. }, _) => bytes,
            (Kind::Aligned64 | Kind::LoHi, _) => 8,
            (Kind::Word { .. } | Kind::Pointer, Abi::M64) => 8,
            (Kind::Word { .. } | Kind::Pointer, Abi::M32 | Abi::Mx32) => 4,
        }
    }

    /// Alignment in a structure by this ABI: i386 aligns 64 bits to 4 bytes.
    pub(super) fn align(&self, abi: Abi) -> u64 {
        match (self.kind, abi) {
            (Kind::Fixed { bytes: 8, .. }, Abi::M32) => 4,
            _ => self.bytes(abi),
        }
    }

    /// It is less than a register of a 64-bit program, whose upper half nothing may look at.
    pub(super) fn is_narrow(&self) -> bool {
        matches!(self.kind, Kind::Fixed { bytes: 1..=4, .. })
    }

    /// It stands for more than one argument, and nothing in memory is like it.
    pub(super) fn is_argument_only(&self) -> bool {
        self.kind == Kind::LoHi
    }

    /// Whether this ABI has room for `number`, be it with a sign or without. A `long` has its sign elsewhere
    /// by each, so that bit 31 is a negative number by some.
    pub(super) fn holds(&self, abi: Abi, number: u64) -> bool {
        let bits = 8 * self.bytes(abi);
        let positive = match self.kind {
            Kind::Word { signed: true } => bits - 1,
            _ => bits,
        };
        bits == 64 || number >> positive == 0 || (number as i64) >> (bits - 1) == -1
    }

    /// Negative values keep their sign in a register.
    pub(super) fn is_signed(&self) -> bool {
        matches!(self.kind, Kind::Fixed { signed: true, .. } | Kind::Word { signed: true } | Kind::LoHi)
    }

    /// Registers that an argument takes: i386 splits 64 bits, low half first, and aligns no pair. The two
    /// arguments of [`Kind::LoHi`] are there by m64, too; x32's entry takes one.
    pub(super) fn registers(&self, abi: Abi) -> usize {
        match (abi, self.kind) {
            (Abi::M64, Kind::LoHi) => 2,
            (Abi::M32, _) if self.bytes(abi) == 8 => 2,
            _ => 1,
        }
    }

    /// What a caller of this ABI puts into the registers of an argument for `number`.
    pub(super) fn in_registers(&self, abi: Abi, number: u64) -> Vec<u64> {
        match (abi, self.registers(abi)) {
            (Abi::M32, 2) => vec![number & 0xffff_ffff, number >> 32],
            // The first has all of it already, and the kernel shifts the second out.
            (_, 2) => vec![number, number >> 32],
            _ => vec![self.in_register(abi, number)],
        }
    }

    /// What a caller of this ABI puts into a 64-bit register for `number`.
    fn in_register(&self, abi: Abi, number: u64) -> u64 {
        match (self.bytes(abi), self.is_signed()) {
            (8, _) => number,
            (bytes, true) => {
                let shift = 64 - 8 * bytes;
                (((number << shift) as i64) >> shift) as u64
            }
            (bytes, false) => number & ((1 << (8 * bytes)) - 1),
        }
    }
}

impl fmt::Display for CType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A declaration with a value, `type name = value`: the type, the name, an array's length, and the
/// value's text. Without one it is 0.
pub(super) struct Declaration<'a> {
    pub(super) ctype: CType,
    pub(super) name: &'a str,
    pub(super) count: u64,
    pub(super) value: Option<&'a str>,
}

/// Reads a declaration.
pub(super) fn declaration(text: &str) -> Result<Declaration<'_>, String> {
    let (left, value) = match text.split_once('=') {
        Some((left, value)) => (left.trim(), Some(value.trim())),
        None => (text.trim(), None),
    };
    let (left, count) = match left.strip_suffix(']').and_then(|left| left.rsplit_once('[')) {
        Some((left, count)) => {
            let count = count.trim().parse().ok().filter(|count| (1..=4096).contains(count));
            (left.trim(), count.ok_or_else(|| format!("`{text}`: an array has 1 to 4096 elements"))?)
        }
        None => (left, 1),
    };
    let start = left.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    let (ctype, name) = left.split_at(start);
    if name.is_empty() || ctype.trim().is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{text}` is no declaration: it reads `type name = value`"));
    }
    Ok(Declaration { ctype: CType::parse(ctype)?, name, count, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abi_decides_width_alignment_and_registers() {
        // name, (bytes, align, registers) by m64, m32, mx32
        for (name, expected) in [
            ("int", [(4, 4, 1), (4, 4, 1), (4, 4, 1)]),
            ("size_t", [(8, 8, 1), (4, 4, 1), (4, 4, 1)]),
            ("struct x *", [(8, 8, 1), (4, 4, 1), (4, 4, 1)]),
            ("__u64", [(8, 8, 1), (8, 4, 2), (8, 8, 1)]),
            ("loff_t", [(8, 8, 1), (8, 4, 2), (8, 8, 1)]),
            ("__aligned_u64", [(8, 8, 1), (8, 8, 2), (8, 8, 1)]),
            ("LO_HI_LONG", [(8, 8, 2), (8, 8, 2), (8, 8, 1)]),
            ("unsigned  long", [(8, 8, 1), (4, 4, 1), (4, 4, 1)]),
        ] {
            let ctype = CType::parse(name).unwrap();
            let found = Abi::ALL.map(|abi| (ctype.bytes(abi), ctype.align(abi), ctype.registers(abi)));
            assert_eq!(found, expected, "{name}");
        }
        assert!(CType::parse("struct x").is_err());
    }

    #[test]
    fn a_register_holds_what_a_caller_of_the_abi_would_put_there() {
        let minus = -100_i64 as u64;
        for (name, abi, number, expected) in [
            ("int", Abi::M64, minus, minus),
            ("unsigned int", Abi::M64, minus, 0xffff_ff9c),
            ("size_t", Abi::M64, u64::MAX, u64::MAX),
            ("size_t", Abi::Mx32, u64::MAX, 0xffff_ffff),
            ("long", Abi::Mx32, minus, minus),
            ("loff_t", Abi::Mx32, minus, minus),
            ("u16", Abi::M64, 0x12345, 0x2345),
        ] {
            assert_eq!(CType::parse(name).unwrap().in_registers(abi, number), [expected], "{name} {abi}");
        }
        let number = 0x1_8000_0002;
        for (name, abi, expected) in [
            ("loff_t", Abi::M64, &[number][..]),
            ("loff_t", Abi::M32, &[0x8000_0002, 1]),
            ("loff_t", Abi::Mx32, &[number]),
            ("LO_HI_LONG", Abi::M64, &[number, 1]),
            ("LO_HI_LONG", Abi::M32, &[0x8000_0002, 1]),
            ("LO_HI_LONG", Abi::Mx32, &[number]),
        ] {
            assert_eq!(CType::parse(name).unwrap().in_registers(abi, number), expected, "{name} {abi}");
        }
    }

    #[test]
    fn a_number_has_room_by_an_abi_or_not() {
        // name, number, by m64, m32, mx32
        for (name, number, expected) in [
            ("size_t", 1 << 32, [true, false, false]),
            ("size_t", 0xffff_ffff, [true; 3]),
            ("size_t", u64::MAX, [true; 3]),
            ("long", (-0x8000_0001_i64) as u64, [true, false, false]),
            ("long", (-0x8000_0000_i64) as u64, [true; 3]),
            ("long", 0x8000_0000, [true, false, false]),
            ("int", 0x8000_0000, [true; 3]),
            ("int", 1 << 32, [false; 3]),
            ("u16", 0x1_0000, [false; 3]),
            ("loff_t", 1 << 63, [true; 3]),
            ("LO_HI_LONG", 1 << 32, [true; 3]),
        ] {
            let ctype = CType::parse(name).unwrap();
            assert_eq!(Abi::ALL.map(|abi| ctype.holds(abi, number)), expected, "{name} {number:#x}");
        }
    }

    #[test]
    fn declarations_are_those_of_c() {
        let read = |text| {
            declaration(text)
                .map(|d| (d.ctype.to_string(), d.name.to_owned(), d.count, d.value.map(str::to_owned)))
        };
        let some = |ctype: &str, name: &str, count, value: Option<&str>| {
            Ok((ctype.to_owned(), name.to_owned(), count, value.map(str::to_owned)))
        };
        assert_eq!(read("unsigned int flags = A|B"), some("unsigned int", "flags", 1, Some("A|B")));
        assert_eq!(read("const char *path = &name"), some("const char *", "path", 1, Some("&name")));
        assert_eq!(read("u32 pad[3]"), some("u32", "pad", 3, None));
        for wrong in ["flags", "int", "u8 x[0]", "int 1x = 2", "widget w = 1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
