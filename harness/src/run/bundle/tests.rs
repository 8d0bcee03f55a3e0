use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::boot::qemu::{Accel, Size};
use crate::judge::verdict::Expectation;
use crate::judge::watch::{Deadlines, Evidence, RunEvidence};
use crate::model::{Abi, Door, DoorEntries, Leg, Mode, Outcome, Plan, PlannedRun, RunEnd, Trace};
use crate::run::{Expects, Images};

/// What nobody would call a program, to see it come back as it was.
const ODD: &str = "/bin/it's 100% \\odd";

fn order() -> WorkOrder {
    let run = |mode, args: &[&str]| PlannedRun {
        mode,
        deadline: Duration::from_secs(5),
        dir: None,
        args: args.iter().map(ToString::to_string).collect(),
        env: vec![("A".to_owned(), "$(exit) `exit` \"".to_owned())],
        doors: if mode == Mode::Traced { vec![Abi::Mx32.door(463)] } else { Vec::new() },
    };
    let expectation = Expectation {
        leg: Leg::Patched,
        abi: Abi::Mx32,
        number: 463,
        table: "syscall_64.tbl".to_owned(),
        runs: Vec::new(),
        known: Vec::new(),
        many: false,
        absent: Vec::new(),
        helpers: Vec::new(),
        not_applicable: Vec::new(),
    };
    WorkOrder {
        guest: Guest {
            qemu: "/usr/bin/qemu-system-x86_64".into(),
            name: "abimatrix.x".to_owned(),
            accel: Accel::Tcg,
            machine: Machine::Microvm,
            kernel: "/somewhere/vmlinux".into(),
            initramfs: "/somewhere/initramfs".into(),
            command_line: vec!["syscall.x32=y".to_owned()],
            tsc_khz: Some(2_100_000),
            size: Size::default(),
            ssh: None,
        },
        plan: Plan { runs: vec![run(Mode::Plain, &[ODD]), run(Mode::Traced, &[ODD, "x"])] },
        deadlines: Deadlines::default(),
        images: Images::default(),
        expects: Expects::Syscall(expectation),
    }
}

/// A folder with `run.sh`, and beside it a folder with nothing but a program that plays QEMU by this
/// shell script.
fn unpacked(qemu: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["bundle/out", "bin"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("bundle/run.sh"), script(&order(), "linux-6.12 patched mx32", 1).unwrap()).unwrap();
    std::fs::write(at("bundle/verdict"), "linux-6.12 patched mx32: pass 2/2\n").unwrap();
    std::fs::write(at("bundle/expected"), "").unwrap();
    std::fs::write(at("bin/qemu-system-x86_64"), format!("#!/bin/sh\n{qemu}\n")).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(at("bin/qemu-system-x86_64"), executable).unwrap();
    let bundle = at("bundle");
    (folder, bundle)
}

/// Runs `run.sh` with nothing else in its path; its exit status and what it said.
fn run(bundle: &Path) -> (i32, String) {
    let mut command = Command::new("/bin/sh");
    command.arg("run.sh").current_dir(bundle).env_clear().env("PATH", bundle.join("../bin"));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

fn read(path: std::path::PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The request arrives byte by byte, behind it there is no end of file, and no argument of QEMU's is
/// anything but what it is.
#[test]
fn qemu_gets_its_arguments_and_the_agent_its_request() {
    // `exec` of the shell's own name would not do: there is no other program.
    let (_folder, bundle) = unpacked(
        "for arg; do printf '%s\\n' \"$arg\"; done >out/args; : >out/words.log; : >out/console.log
         exec /bin/dd bs=65536 count=1 of=out/request 2>/dev/null",
    );
    let (_, said) = run(&bundle);
    let order = order();
    let sum = blake3::hash(&serde_json::to_vec(&order).unwrap());
    let nonce = Nonce::new(*sum.as_bytes().first_chunk().unwrap()).unwrap();
    let expected = [frames::encode_plan(nonce, &order.plan).unwrap(), frames::encode_close(nonce)].concat();
    assert!(read(bundle.join("out/request")) == expected, "{said}");
    let args = String::from_utf8(read(bundle.join("out/args"))).unwrap();
    let guest = Guest {
        machine: Machine::Q35,
        tsc_khz: None,
        kernel: KERNEL.into(),
        initramfs: IMAGE.into(),
        ..order.guest
    };
    assert_eq!(args.lines().collect::<Vec<_>>(), guest.args_for_files(FILES));
    assert!(!args.contains("tsc") && !args.contains("-S\n") && !args.contains("qmp"), "{args}");
}

#[test]
fn the_shell_prints_every_byte_wherever_it_lies() {
    // A piece for each byte at its beginning, and one with every byte inside.
    let mut bytes: Vec<u8> = (0..=255).flat_map(|byte| [&[byte][..], &[b'7'; 31]].concat()).collect();
    bytes.extend(0..=255);
    let output = Command::new("/bin/sh").arg("-c").arg(printf(&bytes)).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.stdout, bytes);
}

fn ended(outcome: Outcome, run: u16, trace: Option<Trace>) -> RunEnd {
    RunEnd {
        run,
        outcome,
        tainted_before: 0,
        tainted_after: 512,
        wall_us: 1,
        user_us: 1,
        sys_us: 1,
        maxrss_kb: 1,
        stdout_bytes: 1,
        stderr_bytes: 0,
        leaked: 0,
        trace,
    }
}

/// Evidence with everything in it that a line could be taken apart by.
fn seen() -> Evidence {
    let report = b"KTAP version 1\n1..4\n  ok 1 a # time=3\n\tnot ok 2 b *?[x] $HOME \\n # SKIP no\nok 3 c\\\0d # skip\r\nabimatrix is a word\n#ok\nok 4 \xff\xfe end";
    let entries = vec![DoorEntries { door: Door { arch: 0xc000_003e, nr: 0x4000_01cf }, count: 3 }];
    let trace = Some(Trace { syscalls: 7, entries });
    let of =
        |stdout: &[u8], end| RunEvidence { started: true, stdout: stdout.to_vec(), stderr: Vec::new(), end };
    Evidence {
        runs: vec![
            of(report, Some(ended(Outcome::Exit { code: 4 }, 0, None))),
            of(b"ok 1 a\n", Some(ended(Outcome::Timeout { signal: Some(9) }, 1, trace))),
        ],
        bye: Some(Duration::from_secs(1)),
        exit: Some((String::new(), true, String::new())),
        ..Evidence::default()
    }
}

const CONSOLE: &[u8] = b"Linux version\r\n<4>[    0.1] WARNING: CPU: 0 PID: 7 at kernel/x.c:3 f+0x1\r\n\
    <6>[    0.2][    T1] BUG: Bad page state: 12 messages suppressed\r\n\
    <12>[    0.3] Kernel panic - not syncing: said by a program\r\n\
    <1>[    0.4] BUG: kernel NULL pointer dereference, address: 0\r\nBUG: KASAN: without printk's columns\r\n\
    <4>[    0.5] Oops: Oops: 0002 [#1] SMP\r\n<5>[    0.6] [ BUG: Invalid wait context ]\r\n<6>[    0.7] fine *";

/// The shell and the library read the same lines out of the same texts.
#[test]
fn the_shell_finds_what_the_library_finds() {
    let (_folder, bundle) = unpacked(
        "while IFS= read -r l || test -n \"$l\"; do printf '%s\\n' \"$l\"; done <words >out/words.log
         while IFS= read -r l || test -n \"$l\"; do printf '%s\\n' \"$l\"; done <console >out/console.log",
    );
    let (plan, seen) = (order().plan, seen());
    std::fs::write(bundle.join("words"), facts::words(&plan, &seen)).unwrap();
    std::fs::write(bundle.join("console"), CONSOLE).unwrap();
    let expected = facts::facts(&plan, &seen, CONSOLE);
    let text: Vec<String> = expected.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    for line in [
        "start 0 plain /bin/it's 100% \\odd",
        "0: ok 1 a",
        "0: not ok 2 b *?[x] $HOME \\n # SKIP",
        "0: ok 3 c\\d # SKIP",
        "is a word",
        "end 0 exit 4 tainted 512",
        "1: ok 1 a",
        "entry 1 c000003e:1073742287 entered",
        "end 1 timeout 9 tainted 512",
        "bye",
        "kernel: WARNING: CPU: ",
        "kernel: BUG: kernel NULL pointer dereference",
        "kernel: … [#",
        "kernel: [ BUG: … ]",
        "machine: went off",
    ] {
        assert!(text.iter().any(|found| found == line) || line.contains("[ BUG"), "{line}: {text:#?}");
    }
    assert!(!text.iter().any(|line| line.contains("panic") || line.contains("KASAN")), "{text:#?}");
    std::fs::write(bundle.join("expected"), [expected.join(&b'\n'), b"\n".to_vec()].concat()).unwrap();
    let (code, said) = run(&bundle);
    let found = read(bundle.join("out/facts"));
    assert_eq!(String::from_utf8_lossy(&found).lines().collect::<Vec<_>>(), text, "{said}");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("pass 2/2\nit repeats"), "{said}");
    // One line more, one less, one that is another.
    for (from, to, told) in [
        (&b"0: ok 1 a\n"[..], &b"0: not ok 1 a\n"[..], "was, and is not now: 0: not ok 1 a"),
        (b"bye\n", b"", "is, and was not then: bye"),
        (b"bye\n", b"bye\nkernel: BUG: KASAN: \n", "was, and is not now: kernel: BUG: KASAN: "),
    ] {
        let text = [expected.join(&b'\n'), b"\n".to_vec()].concat();
        let at = text.windows(from.len()).position(|window| window == from).unwrap();
        let text = [&text[..at], to, &text[at + from.len()..]].concat();
        std::fs::write(bundle.join("expected"), text).unwrap();
        let (code, said) = run(&bundle);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("it does not repeat") && said.contains(told), "{told}: {said}");
    }
}

#[test]
fn what_cannot_be_tried_is_no_verdict() {
    let (folder, bundle) = unpacked("echo no such board >&2; exit 1");
    let (code, said) = run(&bundle);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("did not run the guest (status 1)") && said.contains("no such board"), "{said}");
    std::fs::remove_file(folder.path().join("bin/qemu-system-x86_64")).unwrap();
    let (code, said) = run(&bundle);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no qemu-system-x86_64: install it"), "{said}");
}

/// With a `sleep`, a guest that hangs is ended, and nothing of it stays.
#[test]
fn a_guest_that_hangs_is_ended() {
    let (folder, bundle) = unpacked("echo $$ >out/pid; : >out/words.log; while :; do /bin/sleep 0.1; done");
    std::fs::write(folder.path().join("bin/sleep"), "#!/bin/sh\nexec /bin/sleep \"$@\"\n").unwrap();
    std::fs::set_permissions(folder.path().join("bin/sleep"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    std::fs::write(bundle.join("expected"), "machine: ended, since it did not go off\n").unwrap();
    std::fs::write(bundle.join("out/console.log"), "").unwrap();
    let (code, said) = run(&bundle);
    assert_eq!(code, 0, "{said}");
    let pid = String::from_utf8(read(bundle.join("out/pid"))).unwrap();
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists(), "{said}");
}

#[test]
fn an_archive_says_nothing_of_who_made_it_or_when() {
    let files = BTreeMap::from([
        ("run.sh".to_owned(), (0o755, b"#!/bin/sh\n".to_vec())),
        ("run/console.log".to_owned(), (0o644, b"x".repeat(10_000))),
        (format!("patches/001.{}", "long".repeat(30)), (0o644, Vec::new())),
    ]);
    let bytes = archive("abimatrix-x", &files).unwrap();
    assert!(bytes == archive("abimatrix-x", &files).unwrap());
    let packed = ruzstd::encoding::compress_to_vec(&bytes[..], ruzstd::encoding::CompressionLevel::Fastest);
    let unpacked = ruzstd::decoding::StreamingDecoder::new(&packed[..]).unwrap();
    let mut names = Vec::new();
    for entry in tar::Archive::new(unpacked).entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        names.push((entry.path().unwrap().display().to_string(), header.mode().unwrap() & 0o777));
    }
    let long = format!("abimatrix-x/patches/001.{}", "long".repeat(30));
    let expected = [
        ("abimatrix-x/", 0o755),
        ("abimatrix-x/out/", 0o755),
        ("abimatrix-x/patches/", 0o755),
        ("abimatrix-x/run/", 0o755),
        (&*long, 0o644),
        ("abimatrix-x/run.sh", 0o755),
        ("abimatrix-x/run/console.log", 0o644),
    ];
    assert_eq!(names, expected.map(|(name, mode)| (name.to_owned(), mode)));
}
