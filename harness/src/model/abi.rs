//! The three ABIs of an x86-64 kernel and the three legs a syscall is tried on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bit 30 of the number marks a call made by the x32 ABI (`__X32_SYSCALL_BIT` in the kernel).
pub const X32_BIT: u32 = 0x4000_0000;

/// `AUDIT_ARCH_X86_64`: what seccomp, audit and ptrace call the 64-bit entry, x32 included.
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`: the same for the 32-bit entry.
const AUDIT_ARCH_I386: u32 = 0x4000_0003;

/// How a program is compiled, and so by which entry it enters the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Abi {
    /// `-m64`: LP64, `syscall`.
    M64,
    /// `-m32`: ILP32 on the i386 instruction set, `int $0x80` or `sysenter`.
    M32,
    /// `-mx32`: ILP32 on the x86-64 instruction set, `syscall` with bit 30 set in the number.
    Mx32,
}

impl Abi {
    /// All of them, in the order of the matrix's columns.
    pub const ALL: [Abi; 3] = [Abi::M64, Abi::M32, Abi::Mx32];

    /// The name used in files, flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Abi::M64 => "m64",
            Abi::M32 => "m32",
            Abi::Mx32 => "mx32",
        }
    }

    /// The compiler's flag.
    pub fn flag(self) -> &'static str {
        match self {
            Abi::M64 => "-m64",
            Abi::M32 => "-m32",
            Abi::Mx32 => "-mx32",
        }
    }

    /// The target triple by which the `cc` crate knows this ABI.
    pub fn triple(self) -> &'static str {
        match self {
            Abi::M64 => "x86_64-unknown-linux-gnu",
            Abi::M32 => "i686-unknown-linux-gnu",
            Abi::Mx32 => "x86_64-unknown-linux-gnux32",
        }
    }

    /// Debian's packages without which this ABI does not link.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Abi::M64 => &["gcc", "libc6-dev"],
            Abi::M32 => &["gcc-multilib", "libc6-dev-i386"],
            Abi::Mx32 => &["gcc-multilib", "libc6-dev-x32"],
        }
    }

    /// The kernel options of which one has to be on for programs of this ABI: today's name, and one of
    /// before linux-5.18. `m64` needs none.
    pub fn kernel_options(self) -> &'static [&'static str] {
        match self {
            Abi::M64 => &[],
            Abi::M32 => &["IA32_EMULATION"],
            Abi::Mx32 => &["X86_X32_ABI", "X86_X32"],
        }
    }

    /// The option by which a kernel comes up with this ABI's door closed, until its command line opens it.
    pub fn closing_option(self) -> Option<&'static str> {
        match self {
            Abi::M64 => None,
            Abi::M32 => Some("IA32_EMULATION_DEFAULT_DISABLED"),
            // A patch of Debian's.
            Abi::Mx32 => Some("X86_X32_DISABLED"),
        }
    }

    /// Whether this word of a kernel's command line opens the ABI's door or closes it; none if it is
    /// about something else.
    pub fn opened_by(self, word: &str) -> Option<bool> {
        let name = match self {
            Abi::M64 => return None,
            Abi::M32 => "ia32_emulation",
            Abi::Mx32 => "syscall.x32",
        };
        let value = word.strip_prefix(name)?.strip_prefix('=')?;
        // As kstrtobool() has it.
        let two = value.get(..2).unwrap_or_default().to_ascii_lowercase();
        match (value.bytes().next()?.to_ascii_lowercase(), two.as_str()) {
            (b'n' | b'f' | b'0', _) | (_, "of") => Some(false),
            (b'y' | b't' | b'1', _) | (_, "on") => Some(true),
            _ => None,
        }
    }

    /// What the kernel sees at its door when a program of this ABI makes call `number`.
    pub fn door(self, number: u32) -> Door {
        match self {
            Abi::M64 => Door { arch: AUDIT_ARCH_X86_64, nr: number },
            Abi::M32 => Door { arch: AUDIT_ARCH_I386, nr: number },
            Abi::Mx32 => Door { arch: AUDIT_ARCH_X86_64, nr: number | X32_BIT },
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Abi {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        // `x32` and `i386` are what the syscall tables call them.
        match word.trim_start_matches('-') {
            "m64" | "64" | "x86_64" => Ok(Abi::M64),
            "m32" | "32" | "i386" => Ok(Abi::M32),
            "mx32" | "x32" => Ok(Abi::Mx32),
            _ => Err(format!("`{word}` is not an ABI: m64, m32 or mx32")),
        }
    }
}

/// Architecture and number of a call as the kernel sees them (ptrace, seccomp, audit).
///
/// The architecture alone cannot tell x32 from 64-bit: bit 30 of the number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Door {
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The number, bit 30 included.
    pub nr: u32,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nr & X32_BIT {
            0 => write!(f, "{:08x}/{}", self.arch, self.nr),
            _ => write!(f, "{:08x}/0x{:x}", self.arch, self.nr),
        }
    }
}

/// What is built: which sources, with the syscall's option on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Leg {
    /// The series, its option on: the selftest is judged.
    Patched,
    /// The series, its option off: every ABI must get -ENOSYS.
    ConfigOff,
    /// No series: -ENOSYS again, or the number was never free.
    Unpatched,
}

impl Leg {
    /// All of them, in the order in which they are built.
    pub const ALL: [Leg; 3] = [Leg::Patched, Leg::ConfigOff, Leg::Unpatched];

    /// The name used in files, flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Leg::Patched => "patched",
            Leg::ConfigOff => "config-off",
            Leg::Unpatched => "unpatched",
        }
    }

    /// A control leg: the syscall must be absent, and the tool's own probe is what is judged.
    pub fn is_control(self) -> bool {
        match self {
            Leg::Patched => false,
            Leg::ConfigOff | Leg::Unpatched => true,
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Leg {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Leg::ALL
            .into_iter()
            .find(|leg| leg.name() == word)
            .ok_or_else(|| format!("`{word}` is not a leg: patched, config-off or unpatched"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_what_the_kernel_reports() {
        assert_eq!(Abi::M64.door(463).to_string(), "c000003e/463");
        assert_eq!(Abi::M32.door(463).to_string(), "40000003/463");
        assert_eq!(Abi::Mx32.door(463).to_string(), "c000003e/0x400001cf");
    }

    #[test]
    fn a_door_is_closed_and_opened_by_its_own_word() {
        for (abi, word, opened) in [
            (Abi::Mx32, "syscall.x32=n", Some(false)),
            (Abi::Mx32, "syscall.x32=off", Some(false)),
            (Abi::Mx32, "syscall.x32=y", Some(true)),
            (Abi::Mx32, "syscall.x32=On", Some(true)),
            (Abi::Mx32, "syscall.x32=", None),
            (Abi::M32, "ia32_emulation=0", Some(false)),
            (Abi::M32, "ia32_emulation=1", Some(true)),
            (Abi::M32, "ia32_emulation=perhaps", None),
            (Abi::M32, "syscall.x32=n", None),
            (Abi::M64, "syscall.x32=n", None),
        ] {
            assert_eq!(abi.opened_by(word), opened, "{abi} {word}");
        }
    }

    #[test]
    fn names_round_trip() {
        for abi in Abi::ALL {
            assert_eq!(abi.name().parse(), Ok(abi));
            assert_eq!(abi.flag().parse(), Ok(abi));
        }
        for leg in Leg::ALL {
            assert_eq!(leg.name().parse(), Ok(leg));
        }
        assert!("x33".parse::<Abi>().is_err());
        assert!("patch".parse::<Leg>().is_err());
    }
}
