use super::*;
use crate::boot::link::SshAccess;
use crate::boot::qemu::{Accel, Guest, Machine, Size};
use crate::judge::kselftest::Expected;
use crate::judge::watch::Deadlines;
use crate::model::{Abi, Plan};
use crate::report::record::RunRecord;
use crate::report::record::transports::OverTransports;
use crate::report::view::tests::{self as examples, kselftest};
use crate::run::{Expects, Images, order};

fn syscall() -> RunRecord {
    let mut record = examples::syscall();
    record
        .cells
        .iter_mut()
        .filter(|cell| !cell.logs.is_empty())
        .for_each(|cell| cell.over(Transport::Serial));
    record
}

fn stored(record: AnyRun) -> StoredRun {
    StoredRun { folder: "/nowhere".into(), record }
}

#[track_caller]
fn picked(run: &StoredRun, words: &str) -> String {
    let words: Vec<String> = words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    run.pick(&words).map(|cell| cell.slug()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn a_cell_is_named_as_it_is_printed_or_by_what_it_alone_has() {
    let run = stored(AnyRun::Syscall(Box::new(syscall())));
    for (words, slug) in [
        ("linux-6.12 patched m32", "linux-6.12.patched.m32"),
        ("linux-6.12.patched.m32", "linux-6.12.patched.m32"),
        ("patched m64", "linux-6.12.patched.m64"),
        ("m32 patched", "linux-6.12.patched.m32"),
        // The first that ran and did not pass; x32 is a miss, and never did.
        ("", "linux-6.12.patched.m32"),
    ] {
        assert_eq!(picked(&run, words), slug, "{words}");
    }
    for (words, said) in [
        ("patched", "`patched` are several cells: name one of them\n  linux-6.12 patched m64"),
        ("m33", "no cell of the run is called `m33`; it has\n  linux-6.12 patched m64"),
        ("linux-6.1 patched m64", "no cell of the run"),
    ] {
        let error = picked(&run, words);
        assert!(error.contains(said), "{words}: {error}");
    }
    let run = stored(AnyRun::Kselftest(Box::new(kselftest())));
    let names: Vec<String> = run.records().iter().map(AnyCell::name).collect();
    for name in &names {
        assert_eq!(run.pick(std::slice::from_ref(name)).unwrap().name(), *name);
    }
}

#[test]
fn a_run_without_anything_red_or_without_its_end_says_so() {
    let mut record = syscall();
    record.cells.retain(|cell| cell.verdict == Verdict::Pass);
    let green = stored(AnyRun::Syscall(Box::new(record.clone())));
    assert!(picked(&green, "").contains("every cell of the run passed: name one of them\n  linux-6.12"));
    record.state = State::Running;
    let killed = stored(AnyRun::Syscall(Box::new(record.clone())));
    assert!(picked(&killed, "mx32").contains("it goes on, or was killed"), "{}", picked(&killed, "mx32"));
    record.cells.clear();
    record.state = State::Interrupted;
    let empty = stored(AnyRun::Syscall(Box::new(record)));
    assert!(
        picked(&empty, "")
            .contains("it has none with a verdict\nThe run is not complete: it was interrupted")
    );
    let mut missed = syscall();
    missed.cells.retain(|cell| cell.verdict == Verdict::Miss);
    let missed = stored(AnyRun::Syscall(Box::new(missed)));
    assert!(picked(&missed, "").contains("no guest of it ever ran"), "{}", picked(&missed, ""));
}

#[test]
fn an_image_that_is_not_what_was_booted_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("images").join(name);
    std::fs::create_dir(folder.path().join("images")).unwrap();
    for name in ["k", "i"] {
        std::fs::write(at(name), name).unwrap();
    }
    let order = WorkOrder {
        guest: Guest {
            qemu: "qemu".into(),
            name: "x".to_owned(),
            accel: Accel::Tcg,
            machine: Machine::Q35,
            kernel: "/elsewhere/images/k".into(),
            initramfs: "/elsewhere/images/i".into(),
            command_line: Vec::new(),
            tsc_khz: None,
            size: Size::default(),
            ssh: None,
        },
        plan: Plan { runs: Vec::new() },
        deadlines: Deadlines::default(),
        images: Images { kernel: order::hash(&at("k")).unwrap(), initramfs: order::hash(&at("i")).unwrap() },
        expects: Expects::Kselftest(Expected {
            abi: Abi::M64,
            program: "x".to_owned(),
            deadline_ms: 1,
            script: false,
            helpers: Vec::new(),
        }),
    };
    // A run that was moved finds its images where it is now.
    assert!(order.changed_image().unwrap().contains("/elsewhere/images/k"));
    let order = order.below(folder.path());
    assert_eq!(order.changed_image(), None);
    std::fs::write(at("i"), "j").unwrap();
    let said = order.changed_image().unwrap();
    assert!(said.contains("images/i is not what the run booted"), "{said}");
    std::fs::remove_file(at("i")).unwrap();
    assert!(order.changed_image().unwrap().contains("images/i"));
    std::fs::write(at("i"), "i").unwrap();
    assert_eq!(order.changed_image(), None);

    // So is the key to a guest over ssh looked for there.
    let mut order = order;
    let access = SshAccess {
        user: "abimatrix".to_owned(),
        client_key: "/elsewhere/ssh/client_key".into(),
        host_key: String::new(),
    };
    order.guest.ssh = Some(access);
    // An order of an older version has no name in it, and its guest knows none but root's.
    let mut older = serde_json::to_value(&order).unwrap();
    older["guest"]["ssh"].as_object_mut().unwrap().remove("user").unwrap();
    let older: WorkOrder = serde_json::from_value(older).unwrap();
    assert_eq!(older.guest.ssh.unwrap().user, "root");
    let order = order.below(folder.path());
    let key = folder.path().join("ssh/client_key");
    let said = order.changed_image().unwrap();
    assert!(said.contains(key.to_str().unwrap()), "{said}");
    std::fs::create_dir(folder.path().join("ssh")).unwrap();
    std::fs::write(&key, "key").unwrap();
    assert_eq!(order.changed_image(), None);
}

#[test]
fn a_kselftest_has_a_guest_over_each_transport_and_one_of_an_older_version_over_serial() {
    let mut cell = kselftest().cells.remove(0);
    (cell.logs, cell.transports) = ("a".to_owned(), Vec::new());
    let logs = |cell: &ProgramRecord| AnyCell::Kselftest(Box::new(cell.clone())).logs();
    assert_eq!(logs(&cell), [(Transport::Serial, "a".to_owned())]);
    cell.over(Transport::Ssh);
    assert_eq!(logs(&cell), [(Transport::Ssh, "a".to_owned())]);
    let half = |transport: Transport| {
        let mut half = cell.clone();
        half.logs = format!("a/{transport}");
        half.over(transport);
        half
    };
    let mut both = half(Transport::Serial).merge(half(Transport::Ssh));
    both.logs = "a".to_owned();
    assert_eq!(
        logs(&both),
        [(Transport::Serial, "a/serial".to_owned()), (Transport::Ssh, "a/ssh".to_owned())]
    );
    // What was not built never ran.
    cell.logs = String::new();
    cell.transports.clear();
    assert_eq!(logs(&cell), []);
}
