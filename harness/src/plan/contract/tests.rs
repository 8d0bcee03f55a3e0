use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;
use crate::plan::files::Project;

fn project() -> Project {
    Project::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

fn numbers() -> BTreeMap<Abi, u32> {
    Abi::ALL.map(|abi| (abi, 463)).into()
}

fn load_text(yaml: &str) -> Result<Contract, String> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("spec.yaml");
    std::fs::write(&path, yaml).unwrap();
    load(&path, &"frotz".parse().unwrap())
        .map_err(|error| error.to_string().replace(&format!("{}", path.display()), "spec.yaml"))
}

const SMALL: &str = "\
syscall: frotz
contract:
  constants: {A: 1, B: 2}
  arguments:
    - int fd = fd:file
    - loff_t offset = 0x100000002
    - struct frotz *area = &it
    - unsigned int flags = 0
  objects:
    - {name: it, fields: [u32 a = 1, u64 b = &text, long c = -1, __aligned_u64 d = 5]}
    - {name: text, text: hi}
  returns: {is: \"7\", after: {text: ho, it.d: \"6\"}, cite: here}
  flags:
    - {in: flags, valid: [A, B], refused: [{bits: A|B, cite: there}], cite: here}
  cannot_be_refused: it is small
  one_at_a_time: so it is
";

fn case<'a>(cases: &'a Cases, name: &str) -> &'a str {
    let found = cases.cases.iter().find(|case| case.planned.name == name);
    &found.unwrap_or_else(|| panic!("no case {name:?}")).lines
}

#[test]
fn a_call_is_laid_out_as_each_abi_does() {
    let contract = load_text(SMALL).unwrap();
    let good = |abi| case(&contract.cases(abi, &numbers(), &BTreeSet::new()), "good").to_owned();
    assert_eq!(
        good(Abi::M64),
        "obj 0 32 plain\nobj 1 3 plain\n\
         put 0 0 4 0x1\nput 0 8 8 @1\nput 0 16 8 0xffffffffffffffff\nput 0 24 8 0x5\nhex 1 0 686900\n\
         arg 0 fd:file\narg 1 0x100000002\narg 2 @0\narg 3 0x0\n\
         number 463\nexpect 7\nafter 0 24 0600000000000000\nafter 1 0 686f\n"
    );
    // i386 aligns a u64 to four bytes, and takes a loff_t in two registers.
    assert_eq!(
        good(Abi::M32),
        "obj 0 24 plain\nobj 1 3 plain\n\
         put 0 0 4 0x1\nput 0 4 8 @1\nput 0 12 4 0xffffffffffffffff\nput 0 16 8 0x5\nhex 1 0 686900\n\
         arg 0 fd:file\narg 1 0x2\narg 2 0x1\narg 3 @0\narg 4 0x0\n\
         number 463\nexpect 7\nafter 0 16 0600000000000000\nafter 1 0 686f\n"
    );
    // x32 has i386's words and the alignment and registers of 64 bits.
    assert_eq!(
        good(Abi::Mx32),
        "obj 0 32 plain\nobj 1 3 plain\n\
         put 0 0 4 0x1\nput 0 8 8 @1\nput 0 16 4 0xffffffffffffffff\nput 0 24 8 0x5\nhex 1 0 686900\n\
         arg 0 fd:file\narg 1 0x100000002\narg 2 @0\narg 3 0x0\n\
         number 463\nexpect 7\nafter 0 24 0600000000000000\nafter 1 0 686f\n"
    );
}

#[test]
fn another_door_is_another_abis_call() {
    let contract = load_text(SMALL).unwrap();
    let m64 = contract.cases(
        Abi::M64,
        &[(Abi::M64, 463), (Abi::M32, 464), (Abi::Mx32, 465)].into(),
        &BTreeSet::new(),
    );
    let i386 = case(&m64, "int 0x80: good");
    assert!(i386.contains("arg 1 0x2\narg 2 0x1\n") && i386.contains("number 464\ndoor i386\n"), "{i386}");
    let x32 = case(&m64, "x32 number: good");
    assert!(x32.contains("put 0 16 4 ") && x32.contains("number 465\ndoor x32\n"), "{x32}");
    let m32 = contract.cases(Abi::M32, &numbers(), &BTreeSet::new());
    assert!(m32.cases.iter().all(|case| !case.lines.contains("door")));
    assert_eq!(m32.not_applicable.iter().filter(|not| not.name.ends_with(": every case")).count(), 3);
}

#[test]
fn a_door_that_the_kernel_does_not_have_is_not_knocked_at() {
    let contract = load_text(SMALL).unwrap();
    let cases = contract.cases(Abi::M64, &numbers(), &[Abi::Mx32].into());
    assert!(!cases.cases.iter().any(|case| case.planned.name.starts_with("x32 number")));
    assert!(cases.cases.iter().any(|case| case.planned.name == "int 0x80: good"));
    let good = cases.not_applicable.iter().find(|not| not.name == "x32 number: good").unwrap();
    assert_eq!(good.reason, "this kernel has no door for mx32");
}

#[test]
fn what_an_abi_cannot_express_is_said_with_the_reason() {
    let contract = load_text(SMALL).unwrap();
    let dirty = "registers: garbage in the upper half of fd's";
    let m64 = contract.cases(Abi::M64, &numbers(), &BTreeSet::new());
    assert!(case(&m64, dirty).contains("arg 0 fd:file+0xdeadbeef00000000\n"));
    for abi in Abi::ALL {
        let cases = contract.cases(abi, &numbers(), &BTreeSet::new());
        let says = |name: &str| {
            cases.not_applicable.iter().find(|not| not.name == name).map(|not| not.reason.as_str())
        };
        let dirty = "registers: garbage in the upper half of flags's";
        assert_eq!(says(dirty).is_some(), abi == Abi::M32, "{abi}");
        assert_eq!(says("crowd: each allocation and copy refused in turn"), Some("it is small"));
        assert!(says("registers: garbage in the upper half of offset's").is_some());
    }
}

#[test]
fn a_call_is_made_where_its_types_have_room_for_it() {
    let given = |given: &str| {
        let given = format!("  values: [{{{given}, cite: here}}]\n  cannot_be");
        load_text(&SMALL.replace("  cannot_be", &given))
    };
    for (text, name) in [
        ("in: it.c, value: 1<<32, gives: 7", "values: it.c = 1<<32"),
        ("in: flags, value: A, with: {it.c: 1<<32}, gives: 7", "values: flags = A, it.c = 1<<32"),
        ("in: area, value: \"&it+0x100000000\", gives: EFAULT", "values: area = &it+0x100000000"),
        ("in: area, value: \"&it+0xffffffff\", gives: EFAULT", "values: area = &it+0xffffffff"),
        ("in: it.c, value: sizeof(it)+0x7fffffff, gives: 7", "values: it.c = sizeof(it)+0x7fffffff"),
        // What it is to leave behind, too: half of it would be nothing.
        ("in: flags, value: A, gives: 7, after: {it.c: 1<<32}", "values: flags = A"),
    ] {
        let contract = given(text).unwrap();
        for abi in Abi::ALL {
            let cases = contract.cases(abi, &numbers(), &BTreeSet::new());
            let runs = cases.cases.iter().any(|case| case.planned.name == name);
            let not = cases.not_applicable.iter().find(|not| not.name == name);
            assert_eq!((runs, not.is_none()), (abi == Abi::M64, abi == Abi::M64), "{abi}: {text}");
        }
    }
    let error = given("in: flags, value: 1<<32, gives: 7").unwrap_err();
    let told = "`values: flags = 1<<32`: a type has no room for its value by any ABI";
    assert!(error.contains(told), "{error}");
    let wide = SMALL.replace("B: 2}", "B: 1<<32}").replace("refused: [{bits: A|B, cite: there}], ", "");
    let error = load_text(&wide).unwrap_err();
    assert!(error.contains("`flags: A|B of flags`: ") && error.contains("by any ABI"), "{error}");
    let error = load_text(&SMALL.replace("long c = -1", "long c = 1<<40")).unwrap_err();
    assert!(error.contains("by m32: the good call: a type has no room for its value"), "{error}");
}

#[test]
fn two_arguments_are_one_by_x32() {
    let contract = load_text(&SMALL.replace("loff_t offset", "LO_HI_LONG offset")).unwrap();
    let arguments = |abi, name: &str| {
        let cases = contract.cases(abi, &numbers(), &BTreeSet::new());
        let lines = case(&cases, name).lines().filter(|line| line.starts_with("arg"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let good = |abi| arguments(abi, "good");
    assert_eq!(good(Abi::M64), ["arg 0 fd:file", "arg 1 0x100000002", "arg 2 0x1", "arg 3 @0", "arg 4 0x0"]);
    assert_eq!(good(Abi::M32), ["arg 0 fd:file", "arg 1 0x2", "arg 2 0x1", "arg 3 @0", "arg 4 0x0"]);
    assert_eq!(good(Abi::Mx32), ["arg 0 fd:file", "arg 1 0x100000002", "arg 2 @0", "arg 3 0x0"]);
    assert_eq!(
        arguments(Abi::M64, "registers: garbage in the second of offset's")[1..3],
        ["arg 1 0x100000002", "arg 2 0xdeadbeefdeadbeef"]
    );
    let address = SMALL.replace("loff_t offset = 0x100000002", "LO_HI_LONG offset = &it");
    let error = load_text(&address).unwrap_err();
    assert!(error.contains("`offset` is to have a number in the good call"), "{error}");
    let error = load_text(&SMALL.replace("u64 b = &text", "LO_HI_LONG b = 0")).unwrap_err();
    assert!(error.contains("LO_HI_LONG is a type of arguments alone"), "{error}");
}

#[test]
fn flags_are_tried_alone_together_and_unknown() {
    let contract = load_text(SMALL).unwrap();
    let cases = contract.cases(Abi::M64, &numbers(), &BTreeSet::new());
    assert!(case(&cases, "flags: unknown bit 31 of flags").contains("arg 3 0x80000000\n"));
    assert!(case(&cases, "flags: unknown bit 31 of flags").contains("expect EINVAL\n"));
    assert!(case(&cases, "flags: all unknown bits of flags").contains("arg 3 0xfffffffc\n"));
    assert!(case(&cases, "flags: A of flags").contains("arg 3 0x1\n"));
    assert!(case(&cases, "flags: A of flags").contains("expect not EINVAL\n"));
    assert!(case(&cases, "flags: A|B of flags do not go together").contains("expect EINVAL\n"));
    assert!(!cases.cases.iter().any(|case| case.planned.name == "flags: A|B of flags"));
}

#[test]
fn a_mistake_is_told_with_the_file() {
    for (from, to, told) in [
        ("int fd = fd:file", "int fd", "`int fd`: the good call needs a value"),
        ("int fd = fd:file", "int fd = fd:moon", "nothing that the prober can make"),
        ("&it", "&that", "by m64: there is no argument, object or field `that`"),
        ("in: flags", "in: flog", "by m64: there is no argument, object or field `flog`"),
        ("is: \"7\"", "is: seven", "by m64: `seven` is neither `good`, a number, nor an error"),
        ("syscall: frotz", "syscall: xyzzy", "it says `syscall: xyzzy` but lies in the folder `frotz`"),
        ("it.d: \"6\"", "it.e: \"6\"", "by m64: there is no argument, object or field `it.e`"),
        ("valid: [A, B]", "valid: [A, C]", "by m64: `C` is neither a number nor one of `constants`"),
        ("  one_at", "  two_at", "spec.yaml:16:3: unknown field"),
        (
            "- {name: text, text: hi}",
            "- {name: text, text: hi, size: 3}",
            "one of `fields`, `text` and `size`",
        ),
        ("is: \"7\"", "is: descriptor", "it returns a descriptor, and there is no section `descriptor`"),
    ] {
        let error = load_text(&SMALL.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(told), "{to}: {error}");
    }
}

/// Every contract of the project is sound, and each case has a name, lines and what it is taken from.
#[test]
fn the_contracts_of_the_project() {
    let project = project();
    let names = project.contracts().unwrap();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let contract = project.contract(&name).unwrap().unwrap();
        for abi in Abi::ALL {
            let cases = contract.cases(abi, &numbers(), &BTreeSet::new());
            assert!(cases.cases.len() > 20, "{name} {abi}: {}", cases.cases.len());
            assert!(cases.cases.iter().all(|case| !case.planned.cite.trim().is_empty()), "{name}");
            assert!(cases.text().len() < 4 << 20, "{name}");
            println!("{name} {abi}: {} cases, {} n/a", cases.cases.len(), cases.not_applicable.len());
        }
    }
}
