//! Tier 1: the contract prober against calls that this kernel has, and against files that are wrong.
//!
//! The cases of `guest/contract/tests` are written for all ABIs: `$NAME` is the number of a call,
//! `$NAME+bit` the same as a seccomp filter sees it, `$i386:NAME` that of another door, `$long` the
//! bytes of a long, `$arch` and `$otherarch` audit's names. What the prober must say stands beside
//! them, with the same words, once for all ABIs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::model::Abi;

/// Numbers of calls: of x86-64 (x32 has the same ones here), of i386.
const NUMBERS: [(&str, u32, u32); 25] = [
    ("close_range", 436, 436),
    ("eventfd2", 290, 328),
    ("exit_group", 231, 252),
    ("fcntl", 72, 55),
    ("fork", 57, 2),
    ("getpid", 39, 20),
    ("kill", 62, 37),
    ("mincore", 27, 218),
    ("mmap_pgoff", 9, 192),
    ("nanosleep", 35, 162),
    ("nothing", 0x3fff_fff0, 0x3fff_fff0),
    ("openat2", 437, 437),
    ("pidfd_getfd", 438, 438),
    ("pipe2", 293, 331),
    ("ppoll", 271, 309),
    ("pread64", 17, 180),
    ("pselect6", 270, 308),
    ("read", 0, 3),
    ("sethostname", 170, 74),
    ("write", 1, 4),
    // These have other entries on x32, for their arrays of pointers.
    ("readv", 19, 145),
    ("writev", 20, 146),
    ("x32:eventfd2", 0x4000_0122, 0x4000_0122),
    ("x32:readv", 515, 515),
    ("x32:writev", 516, 516),
];

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest")
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(guest().join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    paths
}

#[track_caller]
fn compile(options: &[&str], sources: &[PathBuf], output: &Path) {
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(options);
    gcc.arg("-I").arg(guest().join("contract")).args(sources).arg("-o").arg(output);
    let made = gcc.output().expect("this test needs gcc (Debian: gcc)");
    assert!(made.status.success(), "gcc {options:?}:\n{}", String::from_utf8_lossy(&made.stderr));
}

/// A prober of one ABI, and a folder to run it in.
struct Prober {
    abi: Abi,
    folder: tempfile::TempDir,
}

impl Prober {
    /// None: programs of this ABI do not run here.
    fn new(abi: Abi) -> Option<Prober> {
        let prober = Prober { abi, folder: tempfile::tempdir().unwrap() };
        compile(&[abi.flag(), "-static"], &sources("contract"), &prober.program());
        let runs = Command::new(prober.program()).output().is_ok();
        if !runs {
            eprintln!("this kernel runs no {abi} program: not tested");
        }
        runs.then_some(prober)
    }

    fn all() -> Vec<Prober> {
        let all: Vec<Prober> = Abi::ALL.into_iter().filter_map(Prober::new).collect();
        assert!(all.iter().any(|prober| prober.abi == Abi::M64));
        all
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("contract")
    }

    fn word(&self, word: &str) -> String {
        let i386 = self.abi == Abi::M32;
        let number = |name: &str, i386: bool| -> u32 {
            let found = NUMBERS.iter().find(|(known, ..)| *known == name);
            let (_, x86_64, other) = found.unwrap_or_else(|| panic!("no number for ${name}"));
            if i386 { *other } else { *x86_64 }
        };
        let own = |name: &str| match (self.abi, name) {
            (Abi::Mx32, "readv" | "writev") => number(&format!("x32:{name}"), false),
            _ => number(name, i386),
        };
        match word {
            "long" => if self.abi == Abi::M64 { "8" } else { "4" }.to_owned(),
            "arch" => if i386 { "0x40000003" } else { "0xc000003e" }.to_owned(),
            "otherarch" => if i386 { "0xc000003e" } else { "0x40000003" }.to_owned(),
            word => match (word.strip_prefix("i386:"), word.strip_suffix("+bit")) {
                (Some(name), _) => number(name, true).to_string(),
                (None, Some(name)) if self.abi == Abi::Mx32 => (own(name) | 0x4000_0000).to_string(),
                (None, name) => own(name.unwrap_or(word)).to_string(),
            },
        }
    }

    /// The text of a file of `guest/contract/tests`, for this ABI.
    fn text(&self, name: &str) -> String {
        let text = std::fs::read_to_string(guest().join("contract/tests").join(name)).unwrap();
        let mut parts = text.split('$');
        let mut made = parts.next().unwrap().to_owned();
        for part in parts {
            let is_end = |c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c);
            let mut end = part.find(is_end).unwrap_or(part.len());
            if part[end..].starts_with("+bit") {
                end += "+bit".len();
            }
            write!(made, "{}{}", self.word(&part[..end]), &part[end..]).unwrap();
        }
        made
    }

    fn run(&self, text: &str, mode: &[&str]) -> Output {
        let file = self.folder.path().join("file");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(self.program());
        command.current_dir(self.folder.path()).arg(&file).args(mode).output().unwrap()
    }

    /// Runs a file and holds what is said against what it should be.
    #[track_caller]
    fn check(&self, name: &str, mode: &[&str], status: i32) {
        let ran = self.run(&self.text(&format!("{name}.case")), mode);
        let said = String::from_utf8(ran.stdout).unwrap();
        let wanted = self.text(&format!("{name}.ktap"));
        let differs = said.lines().zip(wanted.lines()).find(|(said, wanted)| said != wanted);
        assert_eq!(differs, None, "{}: {name}.ktap is not what is said:\n{said}", self.abi);
        assert_eq!(said, wanted, "{}: {name}.ktap", self.abi);
        assert_eq!(ran.status.code(), Some(status), "{}: {name}", self.abi);
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{}: {name}", self.abi);
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "{}: folders of cases are left: {left:?}", self.abi);
    }
}

#[test]
fn what_keeps_its_contract_is_ok() {
    for prober in Prober::all() {
        prober.check("good", &[], 0);
    }
}

#[test]
fn each_kind_of_check_can_fail() {
    for prober in Prober::all() {
        prober.check("bad", &[], 1);
    }
}

#[test]
fn calls_go_by_the_door_that_is_named() {
    for prober in Prober::all().iter().filter(|prober| prober.abi == Abi::M64) {
        prober.check("doors", &[], 1);
    }
}

#[test]
fn without_fault_injection_its_cases_are_skipped() {
    if Path::new("/proc/thread-self/fail-nth").exists() {
        eprintln!("this kernel has fault injection: not tested");
        return;
    }
    for prober in Prober::all() {
        prober.check("fail", &[], 0);
    }
}

#[test]
fn on_a_control_leg_each_call_must_be_absent() {
    for prober in Prober::all() {
        prober.check("enosys", &["enosys"], 1);
    }
}

#[test]
fn a_good_call_that_is_not_ok_ends_the_run() {
    for prober in Prober::all() {
        prober.check("bail", &[], 1);
    }
}

#[test]
fn the_good_call_is_made_alone() {
    for prober in Prober::all() {
        let ran = prober.run(&prober.text("good.case"), &["good"]);
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(said, "KTAP version 1\n1..1\n# returned a descriptor\nok 1 good\n");
        assert_eq!(ran.status.code(), Some(0));
    }
}

/// Whether this process has what the credentials of the cases need: root's usual capabilities.
fn is_root() -> bool {
    const NEEDED: [u32; 5] = [6, 7, 19, 21, 22];
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let effective = mask("CapEff:");
    NEEDED.iter().all(|bit| effective >> bit & 1 == 1) && effective == mask("CapBnd:")
}

#[test]
fn a_case_has_the_credentials_that_it_asks_for() {
    if !is_root() {
        eprintln!("this is not root: not tested");
        return;
    }
    for prober in Prober::all() {
        prober.check("creds", &[], 1);
    }
}

#[test]
fn a_wrong_file_is_refused_by_its_line_and_nothing_is_run() {
    let case = |lines: &str| format!("contract 1\ncase good\nnumber 1\n{lines}\nexpect 0\nend\n");
    let long = |count: usize, line: &str| vec![line; count].join("\n");
    let wrong = [
        (String::new(), 0, "the first line is not"),
        ("contract 2\n".to_owned(), 1, "the first line is not"),
        ("contract 1\n".to_owned(), 1, "there is no case"),
        ("contract 1".to_owned(), 1, "has no end"),
        ("contract 1\n\n".to_owned(), 2, "an empty line"),
        ("contract 1\nend\n".to_owned(), 2, "no case begins here"),
        ("contract 1\ncase other\nnumber 1\nexpect 0\nend\n".to_owned(), 5, "not `good`"),
        ("contract 1\ncase good\nnumber 1\nexpect 0\n".to_owned(), 4, "the last case has no end"),
        ("contract 1\ncase good\nexpect 0\nend\n".to_owned(), 4, "has no number"),
        ("contract 1\ncase good\nnumber 1\nend\n".to_owned(), 4, "expects nothing"),
        ("contract 1\ncase a # b\n".to_owned(), 2, "bad name"),
        (format!("contract 1\ncase {}\n", "a".repeat(241)), 2, "bad name"),
        (case("what"), 4, "no such line"),
        (case("number 2"), 4, "a second line"),
        (case("door  own"), 4, "a space too many"),
        (case("door own\t"), 4, "printable"),
        (case("door here"), 4, "no such door"),
        (case("obj 1 4 plain"), 4, "in order"),
        (case("obj 0 65537 plain"), 4, "bad size"),
        (case("obj 0 4 there"), 4, "no such place"),
        (case("obj 0 4 cross:5"), 4, "cross:"),
        (case("obj 0 4 at:0x1001"), 4, "page-aligned"),
        (case("put 0 0 4 1"), 4, "no such object"),
        (case("obj 0 4 plain\nput 0 1 4 1"), 5, "beyond"),
        (case("obj 0 4 plain\nput 0 0 3 1"), 5, "width"),
        (case("obj 0 4 plain\nput 0 0 4 @1"), 5, "no such object"),
        (case("obj 0 4 plain\nhex 0 0 1"), 5, "bad digits"),
        (case("obj 0 4 plain\nhex 0 0 1G"), 5, "bad digits"),
        (case("obj 0 4 plain\nhex 0 4294967295 11"), 5, "bad offset"),
        (case(&format!("obj 0 9 plain\n{}", long(1025, "hex 0 0 11"))), 1029, "more than 1024"),
        (case(&format!("obj 0 9 plain\n{}", long(65, "after 0 0 11"))), 69, "more than 64"),
        (case("obj 0 4 cross:2\nafter 0 2 11"), 5, "beyond what is there"),
        (case("arg 6 1"), 4, "from 0 to 5"),
        (case("arg 0 1\narg 0 1"), 5, "a second line"),
        (case("arg 0 fd:nothing"), 4, "bad value"),
        (case("arg 0 pid:file"), 4, "bad value"),
        (case("arg 0 1+"), 4, "bad value"),
        (case("arg 0 1+1+1+1+1+1+1+1+1"), 4, "bad value"),
        (case("arg 0 0x10000000000000000"), 4, "bad value"),
        (case("arg 0 -9223372036854775809"), 4, "bad value"),
        (case("arg 0 @0"), 4, "no such object"),
        (case("run jump"), 4, "no such run"),
        (case("run exec"), 4, "no such run"),
        (case("run repeat"), 4, "too few or too many"),
        (case("run repeat 0"), 4, "bad number"),
        (case("run threads 65 1"), 4, "bad number"),
        (case("run cloexec maybe"), 4, "set or clear"),
        (case("run interrupt me"), 4, "eintr, restart or always"),
        (case("run creds cap:64"), 4, "creds takes"),
        (case("run lowest"), 6, "needs `expect fd`"),
        (case("deadline 0"), 4, "a deadline"),
        (case("expect ENOTHING"), 4, "errno's name"),
        (case("expect not"), 4, "no results"),
        (case("expect fd 1"), 4, "stands alone"),
        (case(&format!("hex 0 0 {}", "11".repeat(2090))), 4, "too long"),
    ];
    let prober = Prober::new(Abi::M64).unwrap();
    for (text, line, problem) in wrong {
        let ran = prober.run(&text, &[]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let right = said.starts_with(&format!("contract: line {line}: ")) && said.contains(problem);
        assert!(right, "wanted line {line}, {problem:?}, got {said:?} of\n{text}");
        assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(2), &b""[..]), "{text}");
    }
    for mode in [&["all"][..], &["enosys", "good"]] {
        assert_eq!(prober.run(&prober.text("good.case"), mode).status.code(), Some(2), "{mode:?}");
    }
    if let Some(prober) = Prober::new(Abi::M32) {
        let said = prober.run(&case("door x64"), &[]).stderr;
        assert!(String::from_utf8_lossy(&said).contains("line 4: no way to this door"));
    }
}

#[test]
fn no_file_makes_the_reader_leave_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["tests/contract_mutations.c", "contract/read.c", "contract/names.c"];
    let program = folder.path().join("contract_mutations");
    let sanitized = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    compile(&sanitized, &parts.map(|name| guest().join(name)), &program);
    let mut command = Command::new(&program);
    command.args(["50000", "1"]);
    let prober = Prober { abi: Abi::M64, folder };
    for name in ["good", "bad", "creds", "doors"] {
        let file = prober.folder.path().join(name);
        std::fs::write(&file, prober.text(&format!("{name}.case"))).unwrap();
        command.arg(file);
    }
    let ran = command.env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && said.contains("50000 files"), "{said}");
}

/// The option that takes the call away takes the thing that it is called with, too, or what C needs.
#[test]
fn a_call_that_is_not_there_needs_nothing_that_is_not_there() {
    let prober = Prober { abi: Abi::M64, folder: tempfile::tempdir().unwrap() };
    let mut parts = sources("contract");
    parts.push(guest().join("tests/contract_without.c"));
    compile(&["-static", "-Wl,--wrap=epoll_create1,--wrap=pthread_create"], &parts, &prober.program());
    let file = prober.folder.path().join("file");
    // Behind no door.
    let call = "arg 0 fd:epoll\nnumber 0x3fffffff\nexpect 0\nend\n";
    let crowd = call.replace("expect", "run threads 4 100\nexpect");
    std::fs::write(&file, format!("contract 1\ncase good\n{call}case crowd\n{crowd}")).unwrap();
    let said = |mode: Option<&str>| {
        let mut command = Command::new(prober.program());
        let ran = command.current_dir(prober.folder.path()).arg(&file).args(mode).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let control = said(Some("enosys"));
    assert!(control.contains("\nok 1 good\n") && control.contains("\nok 2 crowd\n"), "{control}");
    let absent = "# ERROR a thing for the case cannot be made: Function not implemented";
    let there = said(None);
    assert!(there.contains(absent) && there.contains("Bail out!"), "{there}");
}

/// This kernel injects nothing: what the prober makes of a kernel that does is shown by a played one.
#[test]
fn a_failure_that_is_injected_is_told_from_one_that_is_not() {
    const WRAPPED: &str = "-Wl,--wrap=open,--wrap=pwrite,--wrap=pread,--wrap=call_make";
    let prober = Prober { abi: Abi::M64, folder: tempfile::tempdir().unwrap() };
    let mut parts = sources("contract");
    parts.push(guest().join("tests/contract_failnth.c"));
    compile(&["-static", WRAPPED], &parts, &prober.program());
    let leaked =
        "returned -12 (ENOMEM)|when failure 1 was injected: 4 descriptors were open before, 5 afterwards";
    let unmet = "returned 4|expected EINVAL|4 descriptors were open before, 5 afterwards|injected 3";
    let endless =
        "returned -12 (ENOMEM)|expected a descriptor|after 5 failures it still meets one|injected 5";
    let nothing = "returned a descriptor|injected 0: nothing of the call could be made to fail";
    let other = "returned -22 (EINVAL)|expected a descriptor|\
                 when failure 1 was injected; ENOMEM and EFAULT are good, too";
    for (points, error, leak, expect, ok, wanted) in [
        ("3", "12", "0", "fd", true, "returned a descriptor|injected 3"),
        // The failure that the fourth call has no place for is left to the prober's own write.
        ("3 4", "12", "0", "fd", true, "returned a descriptor|injected 3"),
        ("3", "14", "0", "fd", true, "returned a descriptor|injected 3"),
        ("3", "22", "0", "fd", false, other),
        ("3", "12", "1", "fd", false, leaked),
        ("3", "12", "0", "EINVAL", false, unmet),
        ("0", "12", "0", "fd", false, nothing),
        ("9", "12", "0", "fd", false, endless),
    ] {
        let file = prober.folder.path().join("file");
        let good = "contract 1\ncase good\nnumber 290\nexpect fd\nend\n";
        let text = format!("{good}case fails\nnumber 290\nrun failnth 5\nexpect {expect}\nend\n");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(prober.program());
        let (points, less) = points.split_once(' ').unwrap_or((points, "0"));
        command.env("POINTS", points).env("LESS", less).env("ERROR", error).env("LEAK", leak);
        let ran = command.current_dir(prober.folder.path()).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let found = said.splitn(5, '\n').nth(4).unwrap();
        let result = if ok { "ok" } else { "not ok" };
        let wanted = format!("# {}\n{result} 2 fails\n", wanted.replace('|', "\n# "));
        assert_eq!(found, wanted, "{points} points, error {error}, leak {leak}, {expect}");
    }
}
