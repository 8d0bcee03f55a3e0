use super::super::host::{Compiler, KvmDevice};
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

fn cells(selection: &Selection) -> Vec<String> {
    let (_root, project) = project();
    let plan = plan(&project, "xyzzy", selection, &host()).unwrap();
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
    let text = plan(&project, "xyzy", &Selection::default(), &host()).unwrap_err().to_string();
    assert!(text.contains("did you mean xyzzy?"), "{text}");
    let text = plan(&project, "$(reboot)", &Selection::default(), &host()).unwrap_err().to_string();
    assert!(text.contains("known: plugh, xyzzy"), "{text}");
    let selection = Selection { kernels: vec!["linux-6.11".parse().unwrap()], ..Selection::default() };
    let text = plan(&project, "xyzzy", &selection, &host()).unwrap_err().to_string();
    assert!(text.contains("did you mean linux-6.1"), "{text}");
    let both = ["linux-6.12", "linux-6.1"].map(|name| name.parse().unwrap()).to_vec();
    let selection = Selection { kernels: both, ..Selection::default() };
    let text = plan(&project, "plugh", &selection, &host()).unwrap_err().to_string();
    assert!(text.contains("linux-6.1 has no series for `plugh`"), "{text}");
    let selection = Selection { kernels: vec!["linux-6.1".parse().unwrap()], ..Selection::default() };
    let error = plan(&project, "plugh", &selection, &host()).unwrap_err();
    assert!(matches!(error, PlanError::Nothing(_)), "{error}");
}

#[test]
fn an_abi_that_does_not_link_is_a_miss_with_its_package() {
    let (_root, project) = project();
    let cannot_link = BTreeMap::from([(Abi::Mx32, "cannot find -lc".to_owned())]);
    let plan = plan(&project, "xyzzy", &Selection::default(), &Host { cannot_link, ..host() }).unwrap();
    let missed: Vec<_> = plan.cells.iter().filter(|cell| cell.miss.is_some()).collect();
    assert_eq!(missed.len(), 2);
    let text = plan.to_string();
    assert!(text.contains("mx32: miss") && text.contains("libc6-dev-x32"), "{text}");
}

#[test]
fn memory_bounds_the_guests_at_once() {
    let (_root, project) = project();
    let selection = Selection { jobs: Some(8), ..Selection::default() };
    let little = Host { memory_free_mib: 600, ..host() };
    let plan = plan(&project, "xyzzy", &selection, &little).unwrap();
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
        plan(&project, "xyzzy", &selection, &host()).unwrap()
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
