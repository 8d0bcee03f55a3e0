use super::*;
use crate::plan::files::{Project, Spec};

/// A small tree of our own, with `more` laid over it; no text removes a file.
fn tree(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (path, text) in BASE.iter().chain(more) {
        if text.is_empty() {
            files.remove(*path);
        } else {
            files.insert((*path).to_owned(), (*text).to_owned());
        }
    }
    files
}

const BASE: [(&str, &str); 14] = [
    (
        "arch/x86/entry/syscalls/syscall_64.tbl",
        "1\tcommon\tgrue\tsys_grue\n2\t64\tlamp\tsys_newlamp\n3\tcommon\tleave\tsys_leave\t-\tnoreturn\n\
         4\tcommon\tgone\n450\tcommon\tplugh\tsys_plugh\n515\tx32\tlamp\tcompat_sys_lamp\n",
    ),
    (
        "arch/x86/entry/syscalls/syscall_32.tbl",
        "7\ti386\tgrue\tsys_grue_time32\n8\ti386\tlamp\tsys_newlamp\tcompat_sys_lamp\n\
         9\ti386\told\tsys_old\tsys_ni_syscall\n450\ti386\tplugh\tsys_plugh\n",
    ),
    ("Kbuild", "obj-y += kernel/\nobj-y += arch/$(SRCARCH)/\nobj-$(CONFIG_CAVE) += fs/\n"),
    ("arch/x86/Kbuild", "obj-y += kernel/\n"),
    ("arch/x86/kernel/Makefile", "obj-y += lamp_$(BITS).o\n"),
    ("arch/x86/kernel/lamp_32.c", "SYSCALL_DEFINE1(newlamp, int, fd)\n{\n}\n"),
    (
        "arch/x86/kernel/lamp_64.c",
        "SYSCALL_DEFINE1(newlamp, int, fd)\n{\n}\nCOMPAT_SYSCALL_DEFINE1(lamp, int, fd)\n{\n}\n",
    ),
    (
        "kernel/Makefile",
        "obj-y := grue.o \\\n\tleave.o\ncave-y := none.o\ncave-$(CONFIG_CAVE) := plugh.o\nobj-y += $(cave-y)\n",
    ),
    (
        "kernel/grue.c",
        "#ifdef CONFIG_GRUE /* it eats */\nSYSCALL_DEFINE1(grue, int, flags)\n{\n}\n# if defined(CONFIG_TIME32) && defined(__ARCH_WANT_GRUE)\n\
         SYSCALL_DEFINE1(\n\tgrue_time32, int, flags)\n{\n}\n# endif\n#else\n#endif\n",
    ),
    ("kernel/leave.c", "SYSCALL_DEFINE0(leave)\n{\n}\n"),
    ("kernel/plugh.c", "SYSCALL_DEFINE0(plugh)\n{\n}\n"),
    ("kernel/sys_ni.c", "COND_SYSCALL(grue);\nCOND_SYSCALL(grue_time32);\nCOND_SYSCALL(plugh);\n"),
    ("Kconfig", "source \"kernel/Kconfig\"\n"),
    (
        "kernel/Kconfig",
        "config GRUE\n\tbool \"Enable grue()\" if EXPERT\n\thelp\n\t  bool \"not this\"\n\nconfig CAVE\n\tbool\n\tdefault y if GRUE\n\
         config TIME32\n\tbool \"Old time\"\nif GRUE\nconfig TWIST\n\tbool \"Twisty\"\nendif\n",
    ),
];

#[track_caller]
fn of(name: &str, more: &[(&str, &str)]) -> Derived {
    derive(&name.parse().unwrap(), &tree(more)).unwrap()
}

fn place(definition: Option<&Definition>) -> String {
    definition.map(|definition| definition.place.to_string()).unwrap_or_default()
}

#[test]
fn numbers_and_functions_of_each_abi_come_from_its_line() {
    let grue = of("grue", &[]);
    assert_eq!(Abi::ALL.map(|abi| grue.number(abi)), [Some(1), Some(7), Some(1)]);
    assert!(grue.notes.iter().any(|note| note.contains("shares the line")), "{:?}", grue.notes);
    let lamp = of("lamp", &[]);
    assert_eq!(Abi::ALL.map(|abi| lamp.number(abi)), [Some(2), Some(8), Some(515)]);
    let places: Vec<String> = lamp.definitions().map(|definition| place(Some(definition))).collect();
    // The table says sys_newlamp; lamp_32.c is not built, and compat_sys_lamp is the 32-bit one.
    let (native, compat) = ("arch/x86/kernel/lamp_64.c:1", "arch/x86/kernel/lamp_64.c:4");
    assert_eq!(places, [native, compat, compat]);
    assert!(lamp.notes.iter().any(|note| note.contains("legacy range")), "{:?}", lamp.notes);
    let leave = of("leave", &[]);
    assert!(leave.entries[&Abi::M64].entry.noreturn);
    assert_eq!(leave.absent(), [Abi::M32]);
}

#[test]
fn what_is_not_implemented_or_not_there_is_said() {
    assert_eq!(of("gone", &[]).entries[&Abi::M64].target, Target::NotImplemented);
    assert_eq!(of("old", &[]).entries[&Abi::M32].target, Target::NotImplemented);
    let lost = of("leave", &[("kernel/leave.c", "")]);
    assert!(
        matches!(&lost.entries[&Abi::M64].target, Target::NotFound { function } if function == "sys_leave")
    );
    let left_out =
        of("leave", &[("kernel/leave.c", "#ifdef CONFIG_X86_32\nSYSCALL_DEFINE0(leave)\n#endif\n")]);
    assert!(matches!(left_out.entries[&Abi::M64].target, Target::NotBuilt { .. }));
    let error = derive(&"gru".parse().unwrap(), &tree(&[])).unwrap_err().to_string();
    assert!(error.contains("no gru") && error.contains("grue"), "{error}");
    let none = derive(&"gru".parse().unwrap(), &BTreeMap::new()).unwrap_err().to_string();
    assert!(none.contains("syscall_64.tbl"), "{none}");
}

#[track_caller]
fn switched_by(derived: &Derived, option: &str, how: How, at: &str) {
    let Switch::Option(condition) = &derived.switch else { panic!("{:?}", derived.switch) };
    assert_eq!((condition.option.as_str(), condition.how), (option, how));
    assert_eq!(condition.place.to_string(), at);
}

#[test]
fn a_guard_is_the_option_and_another_abi_may_need_more() {
    let grue = of("grue", &[]);
    switched_by(&grue, "CONFIG_GRUE", How::Guard, "kernel/grue.c:1");
    assert_eq!(grue.conditional.as_ref().unwrap().to_string(), "kernel/sys_ni.c:1");
    let notes = grue.notes.join("\n");
    assert!(
        notes.contains("by m32 it needs CONFIG_TIME32, too") && notes.contains("kernel/grue.c:5"),
        "{notes}"
    );
    assert!(notes.contains("only with EXPERT"), "{notes}");
}

#[test]
fn makefiles_give_the_option_of_a_file_and_of_its_folders() {
    let cond = ("kernel/sys_ni.c", "COND_SYSCALL(leave);\n");
    let object = of(
        "leave",
        &[cond, ("kernel/Makefile", "leaves-y := a.o leave.o\nobj-$(CONFIG_GRUE) += leaves.o\n")],
    );
    switched_by(&object, "CONFIG_GRUE", How::Object, "kernel/Makefile:2");
    let block = "ifeq ($(CONFIG_GRUE),y)\nobj-y += leave.o\nelse\nobj-y += other.o\nendif\n";
    switched_by(
        &of("leave", &[cond, ("kernel/Makefile", block)]),
        "CONFIG_GRUE",
        How::Block,
        "kernel/Makefile:1",
    );
    let folder = of("leave", &[cond, ("Kbuild", "obj-$(CONFIG_GRUE) += kernel/\n")]);
    switched_by(&folder, "CONFIG_GRUE", How::Folder, "Kbuild:1");
    let core = of("leave", &[cond, ("Kbuild", ""), ("Makefile", "core-$(CONFIG_GRUE) += kernel/\n")]);
    switched_by(&core, "CONFIG_GRUE", How::Folder, "Makefile:1");
    let include = "#if IS_ENABLED(CONFIG_GRUE)\n# include \"leave.c\"\n#endif\n";
    let included = of("leave", &[cond, ("kernel/Makefile", "obj-y += all.o\n"), ("kernel/all.c", include)]);
    switched_by(&included, "CONFIG_GRUE", How::Include, "kernel/all.c:1");
    let body = "SYSCALL_DEFINE0(leave)\n{\n\tif (!IS_ENABLED(CONFIG_GRUE))\n\t\treturn -ENOSYS;\n}\n";
    switched_by(&of("leave", &[("kernel/leave.c", body)]), "CONFIG_GRUE", How::Body, "kernel/leave.c:3");
    let orphan = of("leave", &[("kernel/Makefile", "obj-y += grue.o\n")]);
    assert!(matches!(&orphan.switch, Switch::Unknown(why) if why.contains("leave.o")), "{:?}", orphan.switch);
}

#[test]
fn an_option_that_does_not_switch_is_none() {
    assert_eq!(of("leave", &[]).switch, Switch::Always);
    // No prompt: nobody can ask for it.
    let plugh = of("plugh", &[]);
    assert!(
        matches!(&plugh.switch, Switch::Fixed(all) if all[0].option.as_str() == "CONFIG_CAVE"),
        "{plugh:?}"
    );
    assert!(plugh.notes.iter().any(|note| note.contains("default y if GRUE")), "{:?}", plugh.notes);
    // Selected by the architecture: asking for it off is in vain.
    let arch = ("arch/x86/Kconfig", "config X86_64\n\tdef_bool y\n\tselect GRUE\n\tselect TWIST if CAVE\n");
    let sources = ("Kconfig", "source \"kernel/Kconfig\"\nsource \"arch/$(SRCARCH)/Kconfig\"\n");
    assert_eq!(of("grue", &[arch, sources]).switch, Switch::Always);
    // With the option and without it.
    let both =
        "#ifdef CONFIG_GRUE\nSYSCALL_DEFINE0(leave)\n{\n}\n#else\nSYSCALL_DEFINE0(leave)\n{\n}\n#endif\n";
    assert_eq!(of("leave", &[("kernel/leave.c", both)]).switch, Switch::Always);
    // Without COND_SYSCALL such a kernel would not link.
    let unlinked = of("grue", &[("kernel/sys_ni.c", "int x;\n")]);
    assert!(matches!(&unlinked.switch, Switch::Unknown(why) if why.contains("COND_SYSCALL")), "{unlinked:?}");
    let choice = "#if defined(CONFIG_GRUE) || defined(CONFIG_TWIST)\nSYSCALL_DEFINE0(leave)\n#endif\n";
    let unclear = of("leave", &[("kernel/leave.c", choice)]);
    assert!(
        matches!(&unclear.switch, Switch::Unknown(why) if why.contains("kernel/leave.c:1")),
        "{unclear:?}"
    );
}

const T: &str = "tools/testing/selftests";

fn selftest(name: &str, files: &[(&str, &str)]) -> Selftest {
    let paths: Vec<(String, &str)> =
        files.iter().map(|(path, text)| (format!("{T}/{path}"), *text)).collect();
    let more: Vec<(&str, &str)> = paths.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    of(name, &more).selftest
}

#[track_caller]
fn tested_in(selftest: &Selftest, folder: &str, why: Why) {
    assert_eq!(selftest.chosen.as_ref().map(ToString::to_string).as_deref(), Some(folder), "{selftest:?}");
    assert_eq!(selftest.candidates[0].why, why);
}

#[test]
fn the_selftest_is_the_folder_or_the_program_of_that_name() {
    const USE: &str = "syscall(__NR_grue, 0);\n";
    let own = ("grue/Makefile", "TEST_GEN_PROGS := a\n");
    let (core, core_test) = (("core/Makefile", "TEST_GEN_PROGS := grue_test\n"), ("core/grue_test.c", USE));
    tested_in(&selftest("grue", &[own, ("grue/a.c", USE), core, core_test]), "grue", Why::Named);
    tested_in(
        &selftest("grue", &[core, core_test, ("net/Makefile", "x"), ("net/a.c", USE)]),
        "core",
        Why::Program,
    );
    let family = [("grue/Makefile", "x"), ("grue/a.h", "SYS_grue_time32")];
    let derived = selftest("grue", &family);
    // Its sources know another call: no evidence of this one.
    assert_eq!(derived.chosen, None, "{derived:?}");
    // Two programs of that name, or mentions alone: somebody has to say.
    let twice = selftest("grue", &[core, core_test, ("mm/Makefile", "grue_test"), ("mm/grue_test.c", USE)]);
    assert_eq!((twice.chosen.is_none(), twice.candidates.len()), (true, 2), "{twice:?}");
    let mention = of("grue", &[(&format!("{T}/net/Makefile"), "x"), (&format!("{T}/net/a.c"), USE)]);
    let message = mention.selftest().unwrap_err();
    assert!(message.contains("net") && message.contains("--selftest DIR"), "{message}");
    // Another architecture's, a program that is not built, one that only has the name of a verb.
    let arm = [("arm64/Makefile", "grue_test"), ("arm64/grue_test.c", USE)];
    let mut foreign = tree(&[("arch/arm64/Kconfig", "x")]);
    foreign.extend(arm.map(|(path, text)| (format!("{T}/{path}"), text.to_owned())));
    assert_eq!(derive(&"grue".parse().unwrap(), &foreign).unwrap().selftest.candidates, []);
    let unbuilt = selftest("grue", &[("core/Makefile", "TEST_GEN_PROGS := b\n"), core_test]);
    assert_eq!(unbuilt.chosen, None);
    let verb = selftest("grue", &[("proc/Makefile", "grue"), ("proc/grue.c", "grue(1);"), ("proc/b.c", USE)]);
    assert_eq!(verb.chosen, None, "{verb:?}");
    // The test of a family, and the program whose header knows the number.
    let leave = selftest(
        "grue",
        &[("cave/Makefile", "grue"), ("cave/grue.c", "#include \"g.h\"\ngrue(1);"), ("cave/g.h", USE)],
    );
    tested_in(&leave, "cave", Why::Program);
}

#[test]
fn a_program_that_no_makefile_lists_as_a_test_is_run_alone() {
    let of = |makefile: &str| {
        let found = selftest("grue", &[("mm/Makefile", makefile), ("mm/grue_test.c", "__NR_grue")]);
        found.chosen.unwrap().to_string()
    };
    let script = "TEST_PROGS := run_vmtests.sh\n";
    for (makefile, chosen) in [
        ("TEST_GEN_PROGS := a grue_test\n", "mm"),
        ("TEST_GEN_FILES += grue_test\n", "mm:grue_test"),
        ("TEST_GEN_PROGS_EXTENDED := b \\\n\tc grue_test\n", "mm:grue_test"),
        // What is a test beside that is one.
        ("TEST_GEN_FILES = grue_test\nTEST_GEN_PROGS = grue_test\n", "mm"),
        // What builds it is not known.
        ("BINARIES := grue_test\nTEST_GEN_PROGS = $(BINARIES)\n", "mm"),
        ("TEST_GEN_FILES := a\nOTHERS := grue_test\n", "mm"),
    ] {
        assert_eq!(of(&format!("{makefile}{script}")), chosen, "{makefile}");
    }
}

#[test]
fn a_family_has_the_tests_of_its_calls() {
    let files = [("timers/Makefile", "x"), ("timers/a.c", "timer_grue(1);")];
    let mut files: BTreeMap<String, String> =
        files.iter().map(|(path, text)| (format!("{T}/{path}"), (*text).to_owned())).collect();
    files.extend(tree(&[(
        "arch/x86/entry/syscalls/syscall_64.tbl",
        "1\tcommon\ttimer_grue\tsys_timer_grue\n",
    )]));
    let derived = derive(&"timer_grue".parse().unwrap(), &files).unwrap();
    tested_in(&derived.selftest, "timers", Why::Family);
}

/// A spec as a file gives it.
fn spec(syscall: &str, number: u32, option: &str, selftest: &str) -> Spec {
    let folder = tempfile::tempdir().unwrap();
    let of_call = folder.path().join("kernels/k").join(syscall);
    std::fs::create_dir_all(&of_call).unwrap();
    let text = format!(
        "syscall: {syscall}\nnumber: {number}\noption: {option}\nselftest: {selftest}\npatches: [a.patch]\n"
    );
    std::fs::write(of_call.join("spec.yaml"), text).unwrap();
    std::fs::write(of_call.join("a.patch"), "").unwrap();
    Project::new(folder.path().to_owned()).spec(&"k".parse().unwrap(), &syscall.parse().unwrap()).unwrap()
}

#[test]
fn a_spec_that_contradicts_the_tree_is_told_with_both_sides() {
    let tests = format!("{T}/grue/Makefile");
    let more = [(tests.as_str(), "x")];
    let contradictions = |spec: &Spec, more: &[(&str, &str)]| -> Vec<String> {
        let tree = tree(more);
        let derived = derive(&spec.syscall, &tree).unwrap();
        check(spec, &derived, &tree).iter().map(Contradiction::to_string).collect()
    };
    assert_eq!(contradictions(&spec("plugh", 450, "CONFIG_CAVE", "grue"), &more), [""; 0]);
    #[track_caller]
    fn says(found: &[String], words: &[&str]) {
        assert_eq!(found.len(), 1, "{found:?}");
        for word in words {
            assert!(found[0].contains(word), "{word}: {found:?}");
        }
    }
    let number =
        contradictions(&spec("leave", 4, "CONFIG_GRUE", "grue"), &[more[0], GUARDED_LEAVE, COND_LEAVE]);
    // Once for m64 and once for x32, which share the line.
    says(&number[..1], &["number 4 by m64", "syscall_64.tbl:3: 3 common leave"]);
    let unknown = contradictions(&spec("plugh", 450, "CONFIG_NOWHERE", "grue"), &more);
    says(&unknown, &["CONFIG_NOWHERE", "no Kconfig file", "CONFIG_CAVE"]);
    let leave = [more[0], GUARDED_LEAVE, COND_LEAVE, LEAVE_32];
    let other = contradictions(&spec("leave", 3, "CONFIG_TIME32", "grue"), &leave);
    says(&other, &["CONFIG_TIME32", "CONFIG_GRUE does", "kernel/leave.c:1"]);
    let nothing = contradictions(&spec("leave", 3, "CONFIG_GRUE", "grue"), &[more[0], LEAVE_32]);
    says(&nothing, &["CONFIG_GRUE", "nothing does", "kernel/leave.c:1", "COND_SYSCALL"]);
    let moved = contradictions(&spec("plugh", 450, "CONFIG_CAVE", "plugh"), &more);
    says(&moved, &["plugh", "there is no tools/testing/selftests/plugh"]);
    // What could not be derived is no contradiction, nor is an option that the found one is tied to.
    let tied = contradictions(&spec("leave", 3, "CONFIG_TWIST", "grue"), &leave);
    assert_eq!(tied, [""; 0]);
    let lost = contradictions(
        &spec("leave", 3, "CONFIG_TIME32", "grue"),
        &[more[0], LEAVE_32, ("kernel/leave.c", "")],
    );
    assert_eq!(lost, [""; 0]);
}

const GUARDED_LEAVE: (&str, &str) =
    ("kernel/leave.c", "#ifdef CONFIG_GRUE\nSYSCALL_DEFINE0(leave)\n{\n}\n#endif\n");
const COND_LEAVE: (&str, &str) = ("kernel/sys_ni.c", "COND_SYSCALL(leave);\n");
const LEAVE_32: (&str, &str) = ("arch/x86/entry/syscalls/syscall_32.tbl", "3\ti386\tleave\tsys_leave\n");

#[test]
fn a_description_has_every_fact_with_its_place() {
    let text = of("grue", &[]).describe().join("\n");
    for word in [
        "m64: ",
        "m32: ",
        "mx32: ",
        "kernel/grue.c:2",
        "kernel/grue.c:6",
        "option: CONFIG_GRUE",
        "selftest: none",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_tree_on_disk_is_read_as_the_map_is() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in tree(&[]) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("/etc", folder.path().join("kernel/away")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("kernel/passwd.c")).unwrap();
    let on_disk = crate::plan::tree::TreeFolder::new(folder.path().to_owned());
    for name in ["grue", "lamp", "leave", "plugh", "old"] {
        assert_eq!(derive(&name.parse().unwrap(), &on_disk).unwrap(), of(name, &[]));
    }
    assert_eq!(on_disk.files("kernel", 3), tree(&[]).files("kernel", 3));
    for outside in ["../x", "/etc/passwd", "kernel/passwd.c", "kernel/away/passwd"] {
        assert_eq!(on_disk.read(outside), None, "{outside}");
    }
}
