use super::super::files::Source;
use super::super::host::{Compiler, KvmDevice};
use super::*;

fn dir(name: &str) -> RelPath {
    name.parse().unwrap()
}

#[test]
fn the_set_has_each_directory_once_and_in_order() {
    let dirs = set(ALL_SYSCALLS).unwrap();
    assert!(dirs.len() >= 25);
    let mut sorted: Vec<String> = dirs.iter().map(|dir| dir.as_str().to_lowercase()).collect();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted, dirs.iter().map(|dir| dir.as_str().to_lowercase()).collect::<Vec<_>>());
    assert_eq!(set("proc"), None);
}

#[test]
fn settings_are_read_as_the_runner_reads_them() {
    for (settings, expected) in [
        (None, Some(45)),
        (Some(""), Some(45)),
        (Some("timeout=180\n"), Some(180)),
        (Some("# timeout=1\nother=2\ntimeout=90"), Some(90)),
        (Some("timeout=5\ntimeout=7\n"), Some(7)),
        (Some("timeout=0\n"), None),
        (Some("  timeout=600\n"), Some(600)),
        (Some("timeout=\"10m\" # why\n"), Some(600)),
        (Some("timeout=2h"), Some(7200)),
        (Some("timeout=5w"), Some(45)),
        (Some("timeout=soon\n"), Some(45)),
    ] {
        assert_eq!(timeout(settings), expected, "{settings:?}");
    }
    let s = Duration::from_secs;
    assert_eq!(deadline(Some(45), None, true), s(45 * TCG_FACTOR));
    assert_eq!(deadline(Some(45), None, false), s(45));
    for under_tcg in [true, false] {
        assert_eq!(deadline(None, None, under_tcg), s(UNLIMITED_S));
        assert_eq!(deadline(None, Some(s(3)), under_tcg), s(3));
        assert_eq!(deadline(Some(u64::MAX), None, under_tcg), limits::TEST_DEADLINE_MAX);
    }
}

#[test]
fn the_interpreter_is_the_one_of_the_first_line() {
    for (text, expected) in [
        (&b"#!/bin/sh\n"[..], Some("sh")),
        (b"#! /bin/bash -e\n", Some("bash")),
        (b"#!/usr/bin/env python3\nx", Some("python3")),
        (b"#!/usr/bin/env -S LC_ALL=C python3 -B\n", Some("python3")),
        (b"#!/usr/bin/env\n", None),
        (b"#!", None),
        (b"\x7fELF", None),
        (b"", None),
    ] {
        assert_eq!(interpreter(text).as_deref(), expected, "{:?}", String::from_utf8_lossy(text));
    }
}

fn project(notes: Option<&str>) -> (tempfile::TempDir, Project) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("configs/base.config", "");
    for kernel in ["linux-6.1", "linux-6.12"] {
        let text = format!("kernel: {kernel}\nsource: {{ debian: linux-source }}\nconfigs: [base.config]\n");
        write(&format!("kernels/{kernel}/kernel.yaml"), &text);
    }
    if let Some(notes) = notes {
        write(EXPLANATIONS, notes);
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
        cannot_link: BTreeMap::from([(Abi::Mx32, "no libc".to_owned())]),
        kvm: KvmDevice::Absent,
        ccache: false,
        found: Vec::new(),
    }
}

#[test]
fn a_directory_of_a_set_may_be_absent_and_one_that_was_named_may_not() {
    let (_root, project) = project(None);
    let dirs = vec![dir("acct"), dir(ALL_SYSCALLS), dir("net")];
    let plan = plan(&project, &Selection { dirs, ..Selection::default() }, &host()).unwrap();
    assert_eq!(plan.kernels.iter().map(|kernel| kernel.name.as_str()).collect::<Vec<_>>(), ["linux-6.12"]);
    assert_eq!(plan.dirs.iter().filter(|d| **d == dir("acct")).count(), 1);
    assert!(plan.of_sets.contains(&dir("proc")));
    assert!(!plan.of_sets.contains(&dir("acct")) && !plan.of_sets.contains(&dir("net")));
    assert_eq!(plan.abis, Abi::ALL);
    assert_eq!(plan.misses.keys().copied().collect::<Vec<_>>(), [Abi::Mx32]);
}

#[test]
fn a_users_tree_is_taken_instead_of_a_kernel_and_built_as_was_asked() {
    let (root, project) = project(None);
    let tree = root.path().join("my-linux");
    let recipe = Recipe { make: vec!["LLVM=1".parse().unwrap()], ..Recipe::default() };
    let selection = Selection { tree: Some(tree.clone()), recipe: recipe.clone(), ..Selection::default() };
    let plan = plan(&project, &selection, &host()).unwrap();
    let [kernel] = &plan.kernels[..] else { panic!("{:?}", plan.kernels) };
    assert_eq!((kernel.name.as_str(), kernel.is_users), ("my-linux", true));
    assert_eq!(kernel.source, Source::Directory(tree));
    assert_eq!(kernel.recipe, recipe);
}

#[test]
fn explanations_are_read_strictly() {
    let good = "- dir: proc\n  program: read*\n  case: a case\n  what: kernel\n  why: because\n";
    let (_root, read) = project(Some(good));
    let plan = |project: &Project| plan(project, &Selection::default(), &host());
    assert_eq!(plan(&read).unwrap().explanations.len(), 1);
    let (_root, wrong) = project(Some(&good.replace("kernel", "cosmic rays")));
    assert!(plan(&wrong).unwrap_err().to_string().contains("kselftest-abi.notes.yaml:"));
}

#[test]
fn the_explanations_that_are_shipped_can_be_read() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    explanations(&Project::new(root.to_owned())).unwrap_or_else(|error| panic!("{error}"));
}
