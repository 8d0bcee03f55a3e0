//! Which ABI a binary really has, and what it needs to run: read from its ELF header. Pure.

use std::collections::BTreeSet;

use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind, Object as _, ObjectKind, ObjectSymbol as _};

use crate::broken::broken;
use crate::model::Abi;

/// What an executable says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfFacts {
    /// The ABI, by class and machine.
    pub abi: Abi,
    /// Its dynamic loader; none for a static program.
    pub interpreter: Option<String>,
    /// The shared libraries it names.
    pub needed: Vec<String>,
}

/// Reads an executable or library. The error says what it is instead, in words.
pub fn read(bytes: &[u8]) -> Result<ElfFacts, String> {
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf64) => facts::<elf::FileHeader64<Endianness>>(bytes),
        Ok(FileKind::Elf32) => facts::<elf::FileHeader32<Endianness>>(bytes),
        Ok(other) => Err(format!("a file of the kind {other:?}, not ELF")),
        Err(_) => Err("not an ELF file".to_owned()),
    }
}

fn facts<Header: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<ElfFacts, String> {
    let wrong = |error: object::Error| format!("a damaged ELF file: {error}");
    let header = Header::parse(bytes).map_err(wrong)?;
    let endian = header.endian().map_err(wrong)?;
    let (wide, machine) = (header.is_type_64(), header.e_machine(endian));
    let abi = match (wide, machine) {
        (true, elf::EM_X86_64) => Abi::M64,
        (false, elf::EM_386) => Abi::M32,
        (false, elf::EM_X86_64) => Abi::Mx32,
        _ => {
            let class = if wide { 64 } else { 32 };
            return Err(format!("ELF{class} for machine {machine:?}, no ABI of x86"));
        }
    };
    let (mut interpreter, mut needed) = (None, Vec::new());
    for segment in header.program_headers(endian, bytes).map_err(wrong)? {
        if let Some(path) = segment.interpreter(endian, bytes).map_err(wrong)? {
            interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, bytes).map_err(wrong)?;
    if let Some((dynamic, link)) = sections.dynamic(endian, bytes).map_err(wrong)? {
        let strings = sections.strings(endian, bytes, link).map_err(wrong)?;
        for entry in dynamic.iter().take(10_000) {
            if entry.tag32(endian).map(i64::from) == Some(elf::DT_NEEDED.0) {
                let name = entry.string(endian, strings).map_err(wrong)?;
                needed.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(ElfFacts { abi, interpreter, needed })
}

/// Whether an executable runs at the addresses that its symbols have: linked statically, and not to be
/// moved.
pub fn is_fixed(bytes: &[u8]) -> bool {
    let is_static = read(bytes).is_ok_and(|facts| facts.interpreter.is_none());
    is_static && kind(bytes) == Some(ObjectKind::Executable)
}

/// Whether it is a program or a shared library for some ABI of x86, and no object that is still to be linked.
pub fn is_executable(bytes: &[u8]) -> bool {
    read(bytes).is_ok() && matches!(kind(bytes), Some(ObjectKind::Executable | ObjectKind::Dynamic))
}

fn kind(bytes: &[u8]) -> Option<ObjectKind> {
    object::File::parse(bytes).ok().map(|file| file.kind())
}

/// What a debugger has to know of an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The lowest address of what is executable in the file. The kernel takes it for where code begins.
    pub begins: u64,
    /// Its functions, if it has symbols.
    pub functions: BTreeSet<String>,
}

/// Reads that; none if it is no executable of x86, or damaged.
pub fn code(bytes: &[u8]) -> Option<Code> {
    fn of<Header: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> object::Result<Option<u64>> {
        let header = Header::parse(bytes)?;
        let endian = header.endian()?;
        let segments = header.program_headers(endian, bytes)?.iter();
        let executable = segments.filter(|segment| {
            segment.p_type(endian) == elf::PT_LOAD && (segment.p_flags(endian) & elf::PF_X).0 != 0
        });
        Ok(executable.map(|segment| segment.p_vaddr(endian).into()).min())
    }
    read(bytes).ok()?;
    let begins = match FileKind::parse(bytes).ok()? {
        FileKind::Elf64 => of::<elf::FileHeader64<Endianness>>(bytes),
        FileKind::Elf32 => of::<elf::FileHeader32<Endianness>>(bytes),
        _ => return None,
    };
    let symbols = object::File::parse(bytes).ok()?;
    let functions = symbols
        .symbols()
        .filter(|symbol| symbol.is_definition() && symbol.kind() == object::SymbolKind::Text);
    let functions = functions.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
    Some(Code { begins: begins.ok()??, functions })
}

/// Proves that a binary is of `abi`; the error says what it is instead.
pub fn prove(bytes: &[u8], abi: Abi) -> Result<ElfFacts, String> {
    let facts = read(bytes)?;
    if facts.abi == abi || broken("elf-proof") {
        Ok(facts)
    } else {
        Err(format!("a {} binary", facts.abi.flag()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_debugger_learns_where_code_begins_and_what_functions_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let [source, program] = ["t.c", "t"].map(|name| folder.path().join(name));
        std::fs::write(
            &source,
            "static int helper(void) { return 0; }\nint main(void) { return helper(); }\n",
        )
        .unwrap();
        let gcc = |how: &[&str]| {
            let mut gcc = std::process::Command::new("gcc");
            assert!(gcc.args(how).arg("-o").arg(&program).arg(&source).status().unwrap().success());
            std::fs::read(&program).unwrap()
        };
        for (how, low) in [(&["-O0", "-pie", "-fPIE"][..], true), (&["-O0", "-static", "-no-pie"], false)] {
            let code = code(&gcc(how)).unwrap();
            // Of one that can be moved the addresses begin with zero, which is no code.
            assert_eq!(code.begins < 0x10_0000, low, "{how:?}: {code:x?}");
            assert!(code.begins > 0, "{how:?}");
            assert!(["main", "helper"].iter().all(|name| code.functions.contains(*name)), "{how:?}");
        }
        assert_eq!(code(&gcc(&["-s"])).unwrap().functions, BTreeSet::new());
        assert_eq!(code(b"#!/bin/sh\n"), None);
    }

    /// The smallest header that has a class and a machine.
    fn header(class: u8, machine: u16) -> Vec<u8> {
        let mut bytes = vec![0u8; 64];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
        bytes[16] = 2;
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[20] = 1;
        bytes
    }

    #[test]
    fn an_object_of_bpf_or_one_to_be_linked_is_no_executable() {
        for (class, machine, kind, expected) in
            [(2, 62, 2, true), (1, 3, 3, true), (1, 62, 2, true), (2, 62, 1, false), (2, 247, 2, false)]
        {
            let mut bytes = header(class, machine);
            bytes[16] = kind;
            assert_eq!(is_executable(&bytes), expected, "{class} {machine} {kind}");
        }
        assert!(!is_executable(b"#!/bin/sh\n"));
    }

    #[test]
    fn class_and_machine_together_are_the_abi() {
        for (class, machine, abi) in [(2, 62, Abi::M64), (1, 3, Abi::M32), (1, 62, Abi::Mx32)] {
            let bytes = header(class, machine);
            assert_eq!(read(&bytes).unwrap().abi, abi);
            for other in Abi::ALL.into_iter().filter(|other| *other != abi) {
                assert_eq!(prove(&bytes, other), Err(format!("a {} binary", abi.flag())));
            }
        }
        assert!(read(&header(2, 183)).unwrap_err().contains("no ABI of x86"));
        assert_eq!(read(b"#!/bin/sh\n"), Err("not an ELF file".to_owned()));
    }

    #[test]
    fn this_very_test_is_a_dynamic_program() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let facts = read(&bytes).unwrap();
        assert!(facts.interpreter.is_some() && facts.needed.iter().any(|name| name.starts_with("libc.so")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(class in 1u8..3, tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = header(class, 62);
            bytes.truncate(20);
            bytes.extend(tail);
            let _ = read(&bytes);
        }
    }
}
