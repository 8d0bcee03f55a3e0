use super::super::derive::derive;
use super::super::host::{Compiler, KvmDevice};
use super::super::target::targets;
use super::*;

fn project() -> (tempfile::TempDir, Project) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("configs/base.config", "");
    for (kernel, calls) in [("linux-6.1", &["xyzzy"][..]), ("linux-6.12", &["xyzzy", "plugh"])] {
        let text = format!("kernel: {kernel}\nsource: {{ debian: linux-source }}\nconfigs: [base.config]\n");
        write(&format!("kernels/{kernel}/kernel.yaml"), &text);
        for call in calls {
            let folder = format!("kernels/{kernel}/{call}");
            let text = format!(
                "syscall: {call}\nnumber: 463\noption: CONFIG_A\nselftest: {call}\npatches: [0001-a.patch]\n"
            );
            write(&format!("{folder}/spec.yaml"), &text);
            write(&format!("{folder}/0001-a.patch"), "");
        }
    }
    let project = Project::new(root.path().to_owned());
    (root, project)
}

fn host() -> Host {
    Host {
        cpus: 2,
        memory_free_mib: 4096,
        qemu: None,
        compiler: Some(Compiler { version: "gcc 12".into(), libraries: BTreeMap::new() }),
        cannot_link: BTreeMap::new(),
        kvm: KvmDevice::Absent,
        ccache: false,
        found: Vec::new(),
    }
}

/// The plan, with each tree that has to be looked at being [`tree`].
fn planned(project: &Project, syscall: &str, selection: &Selection, host: &Host) -> Result<Plan, PlanError> {
    planned_in(tree(), project, syscall, selection, host)
}

fn planned_in(
    tree: BTreeMap<String, String>,
    project: &Project,
    syscall: &str,
    selection: &Selection,
    host: &Host,
) -> Result<Plan, PlanError> {
    let mut targets = targets(project, syscall, selection)?;
    for target in targets.kernels.iter_mut().filter(|target| target.needs_look()) {
        let derived = derive(&targets.syscall, &tree);
        target.found = Some(Found { derived, in_base: target.patches.is_empty() });
    }
    plan(project, &targets, selection, host)
}

/// A tree in which there is one call of each sort.
fn tree() -> BTreeMap<String, String> {
    let files = [
        (
            "arch/x86/entry/syscalls/syscall_64.tbl",
            "0\tcommon\tread\tsys_read\n1\tcommon\told\tsys_old\n463\tcommon\tfrotz\tsys_frotz\n464\tcommon\tgnusto\tsys_gnusto\n",
        ),
        ("arch/x86/entry/syscalls/syscall_32.tbl", "3\ti386\tread\tsys_read\n463\ti386\tfrotz\tsys_frotz\n"),
        ("kernel/Makefile", "obj-y = old.o gnusto.o\nobj-$(CONFIG_FROTZ) += frotz.o\n"),
        ("kernel/old.c", "SYSCALL_DEFINE0(old)\n{\n\treturn 0;\n}\n"),
        ("kernel/gnusto.c", "SYSCALL_DEFINE0(gnusto)\n{\n\treturn 0;\n}\n"),
        ("kernel/frotz.c", "SYSCALL_DEFINE0(frotz)\n{\n\treturn 0;\n}\n"),
        ("kernel/sys_ni.c", "COND_SYSCALL(frotz);\n"),
        ("Kconfig", "source \"init/Kconfig\"\n"),
        ("init/Kconfig", "config FROTZ\n\tbool \"frotz\"\n"),
        ("Makefile", ""),
        ("Kbuild", "obj-y += kernel/\n"),
        ("tools/testing/selftests/frotz/Makefile", "TEST_GEN_PROGS := frotz_test\n"),
        ("tools/testing/selftests/frotz/frotz_test.c", "int n = __NR_frotz;\n"),
        ("tools/testing/selftests/old/Makefile", "TEST_GEN_PROGS := old_test\n"),
        ("tools/testing/selftests/old/old_test.c", "int n = __NR_old;\n"),
    ];
    files.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
}

/// `--tree`.
fn of_tree() -> Selection {
    Selection { tree: Some("/home/u/linux".into()), ..Selection::default() }
}

fn cells(selection: &Selection) -> Vec<String> {
    let (_root, project) = project();
    let plan = planned(&project, "xyzzy", selection, &host()).unwrap();
    plan.cells.iter().map(|cell| cell.id.to_string()).collect()
}

#[test]
fn the_default_is_the_newest_kernel_two_legs_three_abis() {
    assert_eq!(
        cells(&Selection::default()),
        [
            "linux-6.12 patched m64",
            "linux-6.12 patched m32",
            "linux-6.12 patched mx32",
            "linux-6.12 config-off m64",
            "linux-6.12 config-off m32",
            "linux-6.12 config-off mx32",
        ]
    );
}

#[test]
fn a_selection_is_what_runs_each_once() {
    let kernel = || "linux-6.1".parse().unwrap();
    let selection = Selection {
        kernels: vec![kernel(), kernel()],
        legs: vec![Leg::Unpatched, Leg::Unpatched],
        abis: vec![Abi::Mx32, Abi::M64],
        ..Selection::default()
    };
    assert_eq!(cells(&selection), ["linux-6.1 unpatched m64", "linux-6.1 unpatched mx32"]);
}

#[test]
fn wrong_names_get_the_near_ones() {
    let (_root, project) = project();
    let text = planned(&project, "xyzy", &Selection::default(), &host()).unwrap_err().to_string();
    assert!(text.contains("did you mean xyzzy?"), "{text}");
    let text = planned(&project, "$(reboot)", &Selection::default(), &host()).unwrap_err().to_string();
    assert!(text.contains("known: plugh, xyzzy"), "{text}");
    let selection = Selection { kernels: vec!["linux-6.11".parse().unwrap()], ..Selection::default() };
    let text = planned(&project, "xyzzy", &selection, &host()).unwrap_err().to_string();
    assert!(text.contains("did you mean linux-6.1"), "{text}");
    let both = ["linux-6.12", "linux-6.1"].map(|name| name.parse().unwrap()).to_vec();
    let selection = Selection { kernels: both, ..Selection::default() };
    let text = planned(&project, "plugh", &selection, &host()).unwrap_err().to_string();
    for word in
        ["linux-6.1 has no series for `plugh` (linux-6.12 has one)", "the tables of this tree have no plugh"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let selection = Selection { kernels: vec!["linux-6.1".parse().unwrap()], ..Selection::default() };
    let error = planned(&project, "plugh", &selection, &host()).unwrap_err();
    assert!(matches!(error, PlanError::Nothing(_)), "{error}");
}

#[test]
fn an_abi_that_does_not_link_is_a_miss_with_its_package() {
    let (_root, project) = project();
    let cannot_link = BTreeMap::from([(Abi::Mx32, "cannot find -lc".to_owned())]);
    let plan = planned(&project, "xyzzy", &Selection::default(), &Host { cannot_link, ..host() }).unwrap();
    let missed: Vec<_> = plan.cells.iter().filter(|cell| cell.miss.is_some()).collect();
    assert_eq!(missed.len(), 2);
    let text = plan.to_string();
    assert!(text.contains("mx32: miss") && text.contains("libc6-dev-x32"), "{text}");
}

#[test]
fn memory_bounds_the_guests_at_once() {
    let (_root, project) = project();
    let selection = Selection { jobs: Some(8), ..Selection::default() };
    let little = Host { memory_free_mib: 1100, ..host() };
    let plan = planned(&project, "xyzzy", &selection, &little).unwrap();
    assert_eq!((plan.jobs, plan.notes.len()), (2, 1));
}

#[test]
fn an_issue_is_known_until_its_day_and_told_after_it() {
    let (root, project) = project();
    let path = root.path().join("kernels/linux-6.12/known-issues.yaml");
    let entry = "- case: basic\n  reason: r\n  link: l\n  expires: 2026-11-24\n";
    std::fs::write(path, entry).unwrap();
    let on = |day: &str| {
        let selection = Selection { today: Some(day.parse().unwrap()), ..Selection::default() };
        planned(&project, "xyzzy", &selection, &host()).unwrap()
    };
    let before = on("2026-11-24");
    assert_eq!((before.kernels[0].known.len(), before.notes.len()), (1, 0));
    let after = on("2026-11-25");
    assert_eq!(after.kernels[0].known, []);
    assert!(
        after.notes[0].contains("no longer excused") && after.notes[0].contains("basic"),
        "{:?}",
        after.notes
    );
}

#[test]
fn a_call_that_a_kernel_has_needs_no_spec() {
    let (_root, project) = project();
    let selection = Selection { kernels: vec!["linux-6.1".parse().unwrap()], ..Selection::default() };
    let plan = planned(&project, "frotz", &selection, &host()).unwrap();
    let part = &plan.kernels[0];
    assert_eq!(part.spec.numbers, Abi::ALL.map(|abi| (abi, 463)).into());
    assert_eq!(part.spec.option.as_ref().unwrap().as_str(), "CONFIG_FROTZ");
    assert_eq!(
        (part.spec.selftest.as_ref().unwrap().to_string().as_str(), part.spec.patches.len()),
        ("frotz", 0)
    );
    // Without a series there is no leg without it.
    assert_eq!(part.legs, [Leg::Patched, Leg::ConfigOff]);
    let text = plan.to_string();
    for word in
        ["no patches, number 463, CONFIG_FROTZ; selftest frotz", "kernel/frotz.c:1", "no leg unpatched"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let selection = Selection { legs: vec![Leg::Unpatched], ..of_tree() };
    let error = planned(&project, "frotz", &selection, &host()).unwrap_err().to_string();
    assert!(error.contains("no leg unpatched") && error.contains("no series is applied"), "{error}");
}

#[test]
fn a_call_that_no_option_switches_has_no_leg_without_it() {
    let (_root, project) = project();
    let plan = planned(&project, "old", &of_tree(), &host()).unwrap();
    assert_eq!(plan.kernels[0].legs, [Leg::Patched]);
    assert!(plan.notes.iter().any(|note| note.contains("no leg config-off")), "{:?}", plan.notes);
    let selection = Selection { legs: vec![Leg::ConfigOff], ..of_tree() };
    let error = planned(&project, "old", &selection, &host()).unwrap_err().to_string();
    assert!(error.contains("no leg config-off") && error.contains("--option"), "{error}");
    let selection = Selection { option: Some("CONFIG_OLD".parse().unwrap()), ..of_tree() };
    let plan = planned(&project, "old", &selection, &host()).unwrap();
    assert_eq!(plan.kernels[0].legs, [Leg::Patched, Leg::ConfigOff]);
    assert_eq!(plan.options[..4], ["--tree", "/home/u/linux", "--option", "CONFIG_OLD"]);
}

#[test]
fn an_abi_without_an_entry_is_a_miss_below_the_shared_numbers_and_is_run_above() {
    let (_root, project) = project();
    let plan = planned(&project, "old", &of_tree(), &host()).unwrap();
    let missed: Vec<_> = plan.cells.iter().filter(|cell| cell.miss.is_some()).collect();
    assert_eq!((missed.len(), missed[0].id.abi), (1, Abi::M32));
    let cause = missed[0].miss.as_ref().unwrap();
    let words = "old is no call of -m32: arch/x86/entry/syscalls/syscall_32.tbl has no line for it";
    assert_eq!((cause.to_string().as_str(), cause.verdict()), (words, crate::model::Verdict::Miss));
    // Forgotten: number 464 is i386's, too, and the cell will show that it is not wired.
    let selection = Selection { selftest: Some("frotz".parse().unwrap()), ..of_tree() };
    let plan = planned(&project, "gnusto", &selection, &host()).unwrap();
    assert_eq!(plan.kernels[0].spec.number(Abi::M32), Some(464));
    assert!(plan.cells.iter().all(|cell| cell.miss.is_none()));
}

#[test]
fn a_call_without_tests_is_an_error_that_says_how_to_name_them() {
    let (_root, project) = project();
    let error = planned(&project, "gnusto", &of_tree(), &host()).unwrap_err().to_string();
    assert!(error.contains("--selftest"), "{error}");
    let error = planned(&project, "rezrov", &of_tree(), &host()).unwrap_err().to_string();
    assert!(error.contains("/home/u/linux") && error.contains("no rezrov"), "{error}");
    let error = planned(&project, "rezrov", &Selection::default(), &host()).unwrap_err().to_string();
    assert!(error.contains("--kernel") && error.contains("--tree"), "{error}");
}

#[test]
fn a_spec_of_the_trees_name_wins_and_its_series_is_in_the_tree() {
    let (_root, project) = project();
    let selection = Selection { tree: Some("/src/linux-6.12".into()), ..Selection::default() };
    let plan = planned(&project, "xyzzy", &selection, &host()).unwrap();
    let spec = &plan.kernels[0].spec;
    assert_eq!((spec.number(Abi::M32), spec.patches.len(), spec.adds_call), (Some(463), 0, false));
    assert_eq!(plan.kernels[0].legs, [Leg::Patched, Leg::ConfigOff]);
}

#[test]
fn a_series_that_comes_with_the_command_line_has_its_unpatched_leg() {
    let (root, project) = project();
    let patches = root.path().join("mine");
    std::fs::create_dir(&patches).unwrap();
    for name in ["0002-b.patch", "0001-a.patch", "0000-cover-letter.patch"] {
        std::fs::write(patches.join(name), "diff --git a/a b/a\n").unwrap();
    }
    let selection = Selection { patches: Some(patches.clone()), legs: vec![Leg::Unpatched], ..of_tree() };
    let plan = planned(&project, "frotz", &selection, &host()).unwrap();
    assert_eq!(plan.kernels[0].legs, [Leg::Unpatched]);
    let names: Vec<String> = plan.kernels[0].spec.patches.iter().map(Patch::name).collect();
    assert_eq!(names, ["0001-a.patch", "0002-b.patch"]);
    // A kernel whose folder has a series needs no second one.
    let selection = Selection { patches: Some(patches), ..Selection::default() };
    let error = planned(&project, "xyzzy", &selection, &host()).unwrap_err().to_string();
    assert!(error.contains("--extra-patch"), "{error}");
}
