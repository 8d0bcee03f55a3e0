use super::*;

const KERNEL: &str = "kernel: linux-6.12\nsource:\n  debian: linux-source-6.12\nconfigs: [base.config]\n";
const SPEC: &str = "syscall: xyzzy\nnumber: 463\noption: CONFIG_XYZZY_SYSCALL\nselftest: xyzzy\npatches:\n  - 0001-a.patch\n";

fn project(kernel: &str, spec: &str) -> (tempfile::TempDir, Project) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("kernels/linux-6.12/xyzzy");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(root.path().join("configs")).unwrap();
    fs::write(root.path().join("configs/base.config"), "").unwrap();
    fs::write(root.path().join("kernels/linux-6.12/kernel.yaml"), kernel).unwrap();
    fs::write(folder.join("spec.yaml"), spec).unwrap();
    fs::write(folder.join("0001-a.patch"), "").unwrap();
    let project = Project::new(root.path().to_owned());
    (root, project)
}

#[track_caller]
fn kernel_error(text: &str) -> String {
    let (root, project) = project(text, SPEC);
    let error = project.kernel(&"linux-6.12".parse().unwrap()).unwrap_err().to_string();
    error.replace(&root.path().display().to_string(), "")
}

#[track_caller]
fn spec_error(text: &str) -> String {
    let (root, project) = project(KERNEL, text);
    let names = ("linux-6.12".parse().unwrap(), "xyzzy".parse().unwrap());
    let error = project.spec(&names.0, &names.1).unwrap_err().to_string();
    error.replace(&root.path().display().to_string(), "")
}

#[test]
fn good_files_load() {
    let (_root, project) = project(KERNEL, SPEC);
    let kernel = project.kernel(&project.kernels().unwrap()[0]).unwrap();
    assert_eq!(kernel.source, Source::Debian("linux-source-6.12".parse().unwrap()));
    let spec = project.spec(&kernel.name, &"xyzzy".parse().unwrap()).unwrap();
    assert_eq!(spec.numbers.values().collect::<Vec<_>>(), [&463; 3]);
}

#[test]
fn every_mistake_has_its_place_and_the_allowed_values() {
    let at = |text: &str, line: &str, word: &str| {
        assert!(text.contains(&format!("kernel.yaml:{line}")) && text.contains(word), "{text}");
    };
    at(&kernel_error(&format!("{KERNEL}colour: red\n")), "5:1", "command_line");
    at(&kernel_error(&format!("{KERNEL}kernel: linux-6.12\n")), "5:1", "duplicate");
    at(&kernel_error(&KERNEL.replace("debian", "suse")), "3:3", "tarball");
    at(&kernel_error(&KERNEL.replace("[base.config]", "7")), "4:10", "");
    at(&kernel_error(&KERNEL.replace("base.config", "../../etc/passwd")), "4:", "..");
    at(&kernel_error("kernel: [\n"), "", "");
    let text = kernel_error(&KERNEL.replace("kernel: linux-6.12", "kernel: linux-6.1"));
    assert!(text.contains("lies in the folder"), "{text}");
    let text = kernel_error(&KERNEL.replace("base.config", "bass.config"));
    assert!(text.contains("no configs/bass.config"), "{text}");
    let text = spec_error(&SPEC.replace("xyzzy\nnumber: 463", "xyzzy\nnumber: 1073742287"));
    assert!(text.contains("without the x32 bit"), "{text}");
    let text = spec_error(&SPEC.replace("CONFIG_XYZZY_SYSCALL", "XYZZY"));
    assert!(text.contains("spec.yaml:3:9") && text.contains("CONFIG_ and then"), "{text}");
    let text = spec_error(&SPEC.replace("0001-a.patch", "0002-b.patch"));
    assert!(text.contains("0001-a.patch lies beside it"), "{text}");
}

#[test]
fn a_file_that_nobody_wrote_is_refused_without_being_read_whole() {
    let text = kernel_error(&"# x\n".repeat(1 << 19));
    assert!(text.contains("larger than"), "{text}");
    let bomb =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    kernel_error(bomb);
}

#[test]
fn what_yaml_can_do_beyond_plain_values_is_refused_in_one_line() {
    let deep = format!("configs: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    let anchors = format!("a: &a {{kernel: linux-6.12}}\n<<: *a\n{KERNEL}");
    for (name, text) in [
        ("a tag", KERNEL.replace("[base", "!!python/object:os.system [base")),
        ("a tag of its own", KERNEL.replace("linux-6.12\nsource", "!x linux-6.12\nsource")),
        ("deep nesting", deep),
        ("a merge", anchors),
        ("two documents", format!("{KERNEL}---\n{KERNEL}")),
        ("a tab for blanks", KERNEL.replace("  debian", "\tdebian")),
        ("a key that is none", format!("? [a, b]\n: c\n{KERNEL}")),
        ("an escape in a key", format!("{KERNEL}\"\\e[2J\\u202e\": 1\n")),
        ("an escape in a value", KERNEL.replace("base.config", "\"\\e[2J\\u202e\"")),
        ("a NUL", KERNEL.replace("base.config", "\"a\\0\"")),
        ("a long key", format!("{KERNEL}{}: 1\n", "k".repeat(100_000))),
        ("a word with a blank", format!("{KERNEL}command_line: [a b]\n")),
        ("a word with a quote", format!("{KERNEL}command_line: ['a\"b']\n")),
        ("a word with a newline", format!("{KERNEL}command_line: [\"a\\nb\"]\n")),
        ("a word with a comma", format!("{KERNEL}command_line: ['a,b']\n")),
        ("a word that is none", format!("{KERNEL}command_line: ['']\n")),
        (
            "an option for git",
            KERNEL.replace("debian: linux-source-6.12", "git: {repository: --x, revision: v1}"),
        ),
        ("nothing", String::new()),
    ] {
        let (root, project) = project(&text, SPEC);
        let error = project.kernel(&"linux-6.12".parse().unwrap()).expect_err(name).to_string();
        let error = error.replace(&root.path().display().to_string(), "");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
        assert!(error.len() < 2000 && error.chars().all(|c| (' '..='~').contains(&c)), "{name}: {error}");
    }
    // What editors do to a file is no mistake.
    for text in [format!("\u{feff}{KERNEL}"), KERNEL.replace('\n', "\r\n")] {
        let (_root, project) = project(&text, SPEC);
        project.kernel(&"linux-6.12".parse().unwrap()).unwrap();
    }
}

/// Where a file should be may be anything else, and none of it is waited for.
#[test]
fn what_is_named_is_a_plain_file_of_the_project() {
    use std::os::unix::fs::symlink;
    let (root, project) = project(KERNEL, SPEC);
    let (kernel, syscall) = ("linux-6.12".parse().unwrap(), "xyzzy".parse().unwrap());
    let outside = tempfile::NamedTempFile::new().unwrap();
    let patch = root.path().join("kernels/linux-6.12/xyzzy/0001-a.patch");
    let config = root.path().join("configs/base.config");
    let fifo = |path: &Path| {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    let put = |path: &Path, kind: &str| {
        fs::remove_file(path).or_else(|_| fs::remove_dir(path)).unwrap();
        match kind {
            "folder" => fs::create_dir(path).unwrap(),
            "pipe" => fifo(path),
            "device" => symlink("/dev/zero", path).unwrap(),
            "away" => symlink(outside.path(), path).unwrap(),
            "upwards" => symlink("../../../../../../../../etc/passwd", path).unwrap(),
            "loop" => symlink(path, path).unwrap(),
            _ => fs::write(path, "").unwrap(),
        }
    };
    for kind in ["folder", "pipe", "device", "away", "upwards", "loop"] {
        put(&patch, kind);
        let error = project.spec(&kernel, &syscall).expect_err(kind).to_string();
        assert!(error.contains("it names 0001-a.patch, "), "{kind}: {error}");
        put(&config, kind);
        let error = project.kernel(&kernel).expect_err(kind).to_string();
        assert!(error.contains("`configs` names `base.config`, "), "{kind}: {error}");
        // Were it put there just now, it would still not be read for ever.
        if kind != "away" && kind != "upwards" {
            Patch::File(patch.clone()).read().expect_err(kind);
        }
    }
    let inside = root.path().join("kernels/shared.patch");
    fs::write(&inside, "").unwrap();
    fs::remove_file(&patch).unwrap();
    symlink("../../shared.patch", &patch).unwrap();
    project.spec(&kernel, &syscall).unwrap();
    let yaml = root.path().join("kernels/linux-6.12/kernel.yaml");
    put(&yaml, "pipe");
    assert!(project.kernel(&kernel).unwrap_err().to_string().contains("not a plain file"));
}

#[test]
fn a_huge_file_is_refused_by_its_size() {
    let (root, project) = project(KERNEL, SPEC);
    let yaml = fs::File::create(root.path().join("kernels/linux-6.12/kernel.yaml")).unwrap();
    // No block of it is on the disk; reading it would take a while all the same.
    yaml.set_len(1 << 40).unwrap();
    let error = project.kernel(&"linux-6.12".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[test]
fn versions_sort_as_people_count() {
    let mut names = ["linux-6.12", "linux-6.2", "linux-6.1", "linux-next"];
    names.sort_by_key(|name| version_key(name));
    assert_eq!(names, ["linux-6.1", "linux-6.2", "linux-6.12", "linux-next"]);
}

#[test]
fn known_issues_are_read_strictly() {
    let (root, project) = project(KERNEL, SPEC);
    let name = "linux-6.12".parse().unwrap();
    assert_eq!(project.known_issues(&name).unwrap(), []);
    let path = root.path().join("kernels/linux-6.12/known-issues.yaml");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        project.known_issues(&name).map_err(|error| error.to_string())
    };
    let good = "- splat: WARNING at kernel/x.c in f\n  reason: r\n  link: l\n  expires: 2026-12-31\n\
                - case: bigger*\n  abi: m32\n  leg: patched\n  syscall: xyzzy\n  reason: r\n  link: l\n  expires: 2026-12-31\n";
    let issues = read(good).unwrap();
    assert_eq!(issues[0].symptom, Symptom::Splat("WARNING at kernel/x.c in f".to_owned()));
    assert_eq!((issues[1].abi, issues[1].leg), (Some(Abi::M32), Some(Leg::Patched)));
    for (from, to, word) in [
        ("expires: 2026-12-31", "expires: soon", "YYYY-MM-DD"),
        ("  link: l\n", "", "link"),
        ("abi: m32", "abi: x86", "m32"),
        ("case: bigger*", "case: '*'", "many things"),
        ("splat: WARNING at kernel/x.c in f", "splat: WARNING*", "many things"),
        ("case: bigger*", "colour: red", "colour"),
        ("- case: bigger*", "- case: bigger*\n  splat: WARNING", "either"),
        ("reason: r", "reason: ' '", "empty"),
    ] {
        let error = read(&good.replace(from, to)).unwrap_err();
        assert!(error.contains(word) && error.contains("known-issues.yaml"), "{word}: {error}");
    }
}

#[test]
fn a_tree_is_named_after_its_folder() {
    for (path, name) in [
        ("/home/u/linux", "linux"),
        ("/src/Linux-6.13 RC", "linux-6.13-rc"),
        ("/src/6.12", "tree-6.12"),
        ("/src/a..b", "a-b"),
        ("/", "tree-"),
    ] {
        assert_eq!(tree_name(Path::new(path)).as_str(), name, "{path}");
    }
}

#[test]
fn a_tree_is_configured_by_the_fragments_of_all_kernels() {
    let spec = "syscall: xyzzy\nnumber: 463\noption: CONFIG_A\nselftest: xyzzy\npatches: [a.patch]\n";
    let (root, project) =
        project("kernel: linux-6.12\nsource: { debian: linux-source-6.12 }\nconfigs: [base.config]\n", spec);
    let folder = root.path().join("kernels/linux-6.1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(root.path().join("configs/old.config"), "").unwrap();
    let text = "kernel: linux-6.1\nsource: { debian: x }\nconfigs: [base.config, old.config]\n";
    fs::write(folder.join("kernel.yaml"), text).unwrap();
    let kernel = project.tree(Path::new("/home/u/linux")).unwrap();
    let names: Vec<_> = kernel.fragments.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["base.config", "old.config"]);
    assert!(kernel.is_users && kernel.source == Source::Directory("/home/u/linux".into()));
}
