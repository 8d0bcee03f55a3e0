//! T3: the main job on real kernels, and the bugs that it must find.
//!
//! In the order below, one after another: a test finds in the cache what the one before it built,
//! and those that touch the syscall tables (700 objects each) come late. Everything goes through the
//! program itself, as a user would run it.

#[path = "t3/attend.rs"]
mod attend;
#[path = "t3/ended.rs"]
mod ended;
#[path = "t3/mistakes.rs"]
mod mistakes;
#[path = "t3/mutants.rs"]
mod mutants;
#[path = "t3/reports.rs"]
mod reports;
#[path = "t3/repro.rs"]
mod repro;
#[path = "t3/seeded.rs"]
mod seeded;
mod support;
#[path = "t3/wiring.rs"]
mod wiring;

use std::collections::{BTreeMap, BTreeSet};

use support::{project_copy, xtask};

const KERNEL: &str = "linux-6.12";

fn main() {
    let always: support::Tests<'_> = &[
        ("both kernels pass in all twelve cells with proof of entry", twelve_cells),
        ("the same again builds nothing", warm),
        ("what both real trees say of some forty syscalls", wiring::both_kernels),
        ("an unknown flag that is accepted fails by every ABI", seeded::flags_unchecked),
        ("a seeded bug is worse than the baseline, and its cases are named", against_a_baseline),
        ("a body that panics is a panic, not a lost guest", seeded::panics),
        ("a body that follows a null pointer is an oops", seeded::oops_null),
        ("a cell of an earlier run is judged and run again", repro::again),
        ("a bundle gives the same verdict with QEMU and a shell alone", repro::bundles),
        (
            "a shell at a cell's console computes, runs the selftest, and leaves the terminal as it was",
            attend::shell,
        ),
        ("both transports give the same, side by side", both_transports),
        ("an oops over ssh is the oops and no lost connection", seeded::oops_over_ssh),
        (
            "an sshd that dies in mid-test is told apart, and no difference of the transports",
            seeded::sshd_dies,
        ),
        ("a kernel that does not drive the network card says so", no_network),
        ("a body that touches user memory directly is caught by SMAP", seeded::smap_deref),
        ("a body that warns fails although every case passed", seeded::warns),
        ("a warning that is known does not fail until its day", seeded::known_until_its_day),
        ("a body that loops for ever is a hang with the lockup named", seeded::loops_forever),
        ("a body that spins with interrupts off is a hang with its function named", seeded::spins_deaf),
        ("a body that sleeps for ever meets the program's deadline", seeded::hangs_in_sleep),
        ("a body that cannot be killed is named by the hung task detector", seeded::hangs_for_good),
        ("a body that kills init is a panic that says so", seeded::kills_init),
        ("a selftest that crashes was ended by its signal", seeded::selftest_segfaults),
        ("a selftest that eats all memory was ended by the oom killer", seeded::selftest_eats_memory),
        ("a selftest that cannot be linked statically brings its libraries", seeded::selftest_dynamic),
        ("a script of a series' selftest runs beside its programs, and is heard", seeded::selftest_script),
        ("a kernel with x32 turned off misses that column", x32_off),
        ("a selftest with fewer cases than planned is an error", seeded::selftest_short),
        ("a selftest with more cases than planned is an error", seeded::selftest_extra),
        ("a selftest that never makes the call is an error", seeded::selftest_no_call),
        ("a patch that does not apply names patch, file and hunk", mistakes::patch_does_not_apply),
        ("a build error names file and line and leaves the other leg alone", mistakes::build_error),
        ("an option that Kconfig drops names the fragment's line and the reason", mistakes::config_dropped),
        ("a number that is taken is refused before any build", mistakes::number_taken),
        ("ctrl-c while guests run ends them and keeps what was finished", ended::interrupt_in_boot),
        ("ctrl-c while the compiler runs leaves no make behind", ended::interrupt_in_compile),
        ("sigkill of the tool leaves no process and no scratch behind", ended::killed),
        ("a missing i386 entry fails by that ABI alone", seeded::i386_entry_missing),
    ];
    // What a slow machine may leave out (`--within`): the last of them first.
    let may_wait: support::Tests<'_> = &[
        ("seven directories of kselftest give what is known of them by each ABI", kselftests),
        ("a series without a spec is derived from what it changes, and both legs pass", without_a_spec),
        ("the unpatched leg gives enosys by every door", unpatched),
        ("kselftests come to the same over ssh, and so they do again", kselftests_over_ssh),
        ("calls that the kernel has need no series, no spec and no build", in_the_kernel_already),
        ("a script proves nothing by what its shell calls", of_the_shell),
        ("a body that looks at one bit too few fails by its contract", against_the_contract),
        ("the examples of the rule book are green on one kernel, contracts and all", examples),
        (
            "a seeded x32 bug is told in every format, and the kernel's kunit.py counts as we do",
            reports::seeded,
        ),
        ("six seeded bugs are caught by what they name, by the doors that lead to them", mutants::caught),
        ("a seeded bug that is seen by something else is not caught", mutants::uncaught),
        (
            "memory that is lost is found by a kernel that looks, and one that does not is no pass",
            mutants::lost_memory,
        ),
        ("gdb stops at the entry of each abi and reads the arguments", attend::debugger),
        (
            "by hand: gdb stops where a kselftest begins, in its main, and in a function of the kernel",
            attend::of_selftest,
        ),
        ("a splat has lines of the source once its debug info is there", attend::decoded),
    ];
    support::run_all_within(always, may_wait);
}

fn twelve_cells() {
    let run =
        xtask(&["test-syscall", "xyzzy", "--kernel", KERNEL, "--kernel", "linux-6.1", "--format", "json"]);
    assert_eq!(run.code, Some(0), "{run}");
    let cells = run.cells();
    assert_eq!(cells.len(), 12, "{run}");
    repro::replays_alike("latest");
    for cell in &cells {
        assert_eq!(cell["verdict"], "pass", "{cell:#}");
        assert!(cell["cause"].is_null(), "{cell:#}");
        assert!(cell["cases"].as_array().is_some_and(|cases| !cases.is_empty()), "{cell:#}");
        assert_eq!(cell["guest"]["smap"], true, "{cell:#}");
        let entries = cell["entries"].as_array().unwrap();
        let of_contract = cell["cases"].as_array().unwrap().iter();
        let of_contract =
            of_contract.filter(|case| case["name"].as_str().unwrap().starts_with("contract/")).count();
        assert!(of_contract >= 50, "a contract holds for each kernel and leg: {cell:#}");
        if cell["leg"] != "patched" {
            assert!(entries.is_empty(), "{cell:#}");
            continue;
        }
        for entry in entries {
            let own = entry["abi"] == cell["abi"];
            assert_eq!(entry["count"].as_u64().unwrap() > 0, own, "{cell:#}");
        }
        let own = entries.iter().find(|entry| entry["abi"] == cell["abi"]).unwrap();
        let number = if cell["kernel"] == KERNEL { 463 } else { 451 };
        let (arch, nr) = match cell["abi"].as_str().unwrap() {
            "m64" => (0xc000_003eu64, number),
            "m32" => (0x4000_0003, number),
            _ => (0xc000_003e, number | 0x4000_0000),
        };
        assert_eq!((own["arch"].as_u64(), own["nr"].as_u64()), (Some(arch), Some(nr)), "{cell:#}");
    }
}

fn warm() {
    let run = xtask(&["test-syscall", "xyzzy", "--kernel", KERNEL, "--kernel", "linux-6.1", "-v"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("cached"), "{run}");
    for stage in ["unpack", "configure", "compile", "selftests"] {
        let worked = run.stderr.lines().find(|line| line.starts_with(stage) && !line.ends_with("cached"));
        assert_eq!(worked, None, "{run}");
    }
    for word in [
        "linux-6.12",
        "linux-6.1",
        "-m64",
        "-m32",
        "-mx32",
        "config-off",
        "cases of the contract",
        "proof of entry",
    ] {
        assert!(run.stdout.contains(word), "{word}: {run}");
    }
    assert!(!run.stdout.contains('\u{1b}'), "colour in a pipe: {run}");
}

/// The kernel with the bug is the one of the test before.
fn against_a_baseline() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let (good, bad, file) = (path("good"), path("bad"), path("xyzzy.baseline"));
    let args = ["test-syscall", "xyzzy", "--kernel", KERNEL, "--leg", "patched", "--contract=no"];
    let run = xtask(&[&args[..], &["--out", &good, "--repeat", "2"]].concat());
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stdout.contains("pass 19/19 (2 of 2)"), "{run}");
    let run = xtask(&["baseline", &good, &file]);
    assert_eq!(run.code, Some(0), "{run}");
    let patch = format!("{}/kernels/{KERNEL}/mutants/flags-unchecked.patch", support::checkout());
    let more = ["--out", &bad, "--extra-patch", &patch, "--baseline", &file, "--retries", "2"];
    let run = xtask(&[&args[..], &more].concat());
    assert_eq!(run.code, Some(1), "{run}");
    let compared = xtask(&["compare", &good, &bad]);
    assert_eq!(compared.code, Some(1), "{compared}");
    for text in [&run.stdout, &compared.stdout] {
        for word in [
            "new failures (a regression)",
            "linux-6.12 patched m32: pass -> fail",
            "unknown_flags",
            "worse: 3 cells",
            "linux-6.12 patches: ",
            "flags-unchecked.patch",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    // The bug is in a function's body: not an option of the kernel differs.
    assert!(!compared.stdout.contains("CONFIG_"), "{compared}");
    let found = xtask(&["compare", &bad, &good]);
    assert!(found.code == Some(0) && found.stdout.contains("fixes:"), "{found}");
}

/// The first run with ssh builds the program once more, as it would for a user.
fn both_transports() {
    let run =
        xtask(&["test-syscall", "xyzzy", "--kernel", KERNEL, "--transport", "both", "--format", "json"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("builds itself with the ssh2 crate"), "{run}");
    let cells = run.cells();
    assert_eq!(cells.len(), 6, "{run}");
    for cell in cells {
        assert_eq!(cell["verdict"], "pass", "{cell:#}");
        let [serial, ssh] = &cell["transports"].as_array().unwrap()[..] else { panic!("{cell:#}") };
        assert_eq!((&serial["transport"], &ssh["transport"]), (&"serial".into(), &"ssh".into()), "{cell:#}");
        for transport in [serial, ssh] {
            assert_eq!((&transport["verdict"], &transport["passed"]), (&cell["verdict"], &serial["passed"]));
            assert!(transport["durations"]["run_ms"].as_u64().is_some(), "{cell:#}");
        }
    }
    // What else comes to a guest over ssh does so by the same program.
    let run = xtask(&["repro", "latest", "patched mx32"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("builds itself with the ssh2 crate"), "{run}");
    let nights = tempfile::tempdir().unwrap();
    let run = xtask(&["nightly", "transports", "--nights", nights.path().to_str().unwrap()]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("builds itself with the ssh2 crate"), "{run}");
}

fn no_network() {
    let (_scratch, project) = project_copy();
    let kernel = project.join("kernels/linux-6.12/kernel.yaml");
    let text = std::fs::read_to_string(&kernel).unwrap();
    let word = "command_line: [initcall_blacklist=virtio_net_driver_init]\n";
    std::fs::write(&kernel, text + word).unwrap();
    let args = ["test-syscall", "xyzzy", "--leg", "patched", "--abi", "m64", "--format", "json", "--project"];
    let run = xtask(&[&args[..], &[project.to_str().unwrap(), "--transport", "both"]].concat());
    let cell = &run.cells()[0];
    let ssh = &cell["transports"][1]["cause"];
    assert_eq!(
        (&cell["transports"][0]["verdict"], &ssh["kind"]),
        (&"pass".into(), &"no-network".into()),
        "{run}"
    );
    assert!(ssh["text"].as_str().unwrap().contains("CONFIG_VIRTIO_NET"), "{run}");
    assert_eq!(
        (&cell["verdict"], &cell["cause"]["kind"]),
        (&"fail".into(), &"transports-differ".into()),
        "{run}"
    );
    assert_eq!(run.code, Some(1), "{run}");
}

fn x32_off() {
    let (_scratch, project) = project_copy();
    let kernel = project.join("kernels/linux-6.12/kernel.yaml");
    let text = std::fs::read_to_string(&kernel).unwrap();
    std::fs::write(&kernel, format!("{text}command_line: [syscall.x32=n]\n")).unwrap();
    let args = ["test-syscall", "xyzzy", "--leg", "patched", "--format", "json", "--project"];
    let run = xtask(&[&args[..], &[project.to_str().unwrap()]].concat());
    let verdicts: Vec<_> = run.cells().iter().map(|cell| cell["verdict"].clone()).collect();
    assert_eq!(verdicts, ["pass", "pass", "miss"], "{run}");
    assert_eq!(run.cells()[2]["cause"]["kind"], "no-kernel-abi", "{run}");
    assert_eq!(run.code, Some(3), "{run}");
}

/// The unpatched kernel, and directories whose `config` asks for little: what is known of them by reading the
/// code stands in docs/kselftest-abi.notes.yaml.
fn kselftests() {
    let run = xtask(&[
        "test-selftest",
        "clone3",
        "core",
        "futex/functional",
        "rlimits",
        "rseq",
        "sigaltstack",
        "timens",
        "--kernel",
        KERNEL,
        "--timeout",
        "15",
        "--format",
        "json",
    ]);
    repro::replays_alike("latest");
    let cells = run.cells();
    let cell = |dir: &str, program: &str, abi: &str| {
        let is = |cell: &&serde_json::Value| {
            cell["dir"] == dir && cell["program"] == program && cell["abi"] == abi
        };
        cells.iter().find(is).unwrap_or_else(|| panic!("no {dir}/{program} {abi}: {run}"))
    };
    let verdict =
        |dir: &str, program: &str, abi: &str| cell(dir, program, abi)["verdict"].as_str().unwrap().to_owned();
    for (dir, program, expected) in [
        ("core", "close_range_test", ["pass"; 3]),
        ("core", "unshare_test", ["pass"; 3]),
        // With 32-bit times (CONFIG_COMPAT_32BIT_TIME) i386 is like the others,
        ("futex/functional", "futex_wait", ["pass"; 3]),
        ("futex/functional", "futex_wait_wouldblock", ["pass"; 3]),
        // but the test hands its own timespec to a call that takes 64-bit times by every ABI.
        ("futex/functional", "futex_waitv", ["pass", "fail", "pass"]),
        ("rlimits", "rlimits-per-userns", ["pass"; 3]),
        ("sigaltstack", "sas", ["pass"; 3]),
        ("rseq", "basic_test", ["pass"; 3]),
        // Assembly for LP64, which the header takes x32 for.
        ("rseq", "param_test", ["pass", "pass", "error"]),
        // -Werror, and a time_t that is no long.
        ("timens", "timens", ["pass", "pass", "error"]),
        // They fork with words in the buffer of stdio: line by line, as the runner has it, none comes twice.
        ("timens", "timer", ["pass", "pass", "error"]),
        ("timens", "vfork_exec", ["pass", "pass", "error"]),
    ] {
        let found = ["m64", "m32", "mx32"].map(|abi| verdict(dir, program, abi));
        assert_eq!(found, expected.map(str::to_owned), "{dir}/{program}: {run}");
    }
    // What does not build is told by the compiler's own words, and what is lacking by its package.
    for (dir, program, abi, kind, words) in [
        ("rseq", "param_test", "mx32", "selftest-build", "rseq-x86-bits.h"),
        ("timens", "timens", "mx32", "selftest-build", "-Werror=format"),
        ("clone3", "clone3", "m32", "no-library", "libcap-dev:i386"),
        ("clone3", "clone3", "mx32", "no-library", "libcap-dev"),
    ] {
        let cause = &cell(dir, program, abi)["cause"];
        assert_eq!(cause["kind"], kind, "{dir}/{program} {abi}: {run}");
        assert!(cause["text"].as_str().unwrap().contains(words), "{dir}/{program} {abi}: {cause:#}");
    }
    assert_eq!(verdict("clone3", "clone3", "m64"), "pass", "{run}");
    assert_eq!(run.code, Some(1), "{run}");
    let record: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    // No ABI differs from the others but where it is known why; what is a matter of luck comes and goes.
    let mut known = std::collections::BTreeSet::new();
    // On a slow machine programs that take ten seconds on this one meet a deadline of fifteen, by one ABI or by
    // another: that is our deadline's doing, and the notes are of what kselftest's own gives time for. The
    // others have to agree all the same.
    let met_deadline = |item: &serde_json::Value| {
        let is_of_it =
            |cell: &&serde_json::Value| cell["dir"] == item["dir"] && cell["program"] == item["program"];
        let of_it: Vec<_> = cells.iter().filter(is_of_it).collect();
        let is_late = |abi: &str| {
            of_it.iter().any(|cell| cell["abi"] == abi && cell["cause"]["kind"] == "test-timeout")
        };
        let fell_over = |cell: &serde_json::Value| {
            let also = cell["also"].as_array().unwrap().iter().map(|cause| &cause["kind"]);
            also.chain([&cell["cause"]["kind"]]).any(|kind| kind == "kernel-fault" || kind == "tainted")
        };
        let said = item["said"].as_object().unwrap();
        let mut in_time = said.iter().filter(|(abi, _)| !is_late(abi)).map(|(_, said)| said);
        let first = in_time.next();
        said.keys().any(|abi| is_late(abi))
            && in_time.all(|other| Some(other) == first)
            && !of_it.iter().any(|cell| fell_over(cell))
    };
    for item in record["disagreements"].as_array().unwrap() {
        let Some(what) = item["note"]["what"].as_str() else {
            assert!(met_deadline(item), "not explained: {item:#} {run}");
            continue;
        };
        if what != "host" {
            known.insert(format!("{} {what}", item["dir"].as_str().unwrap()));
        }
    }
    assert_eq!(known.into_iter().collect::<Vec<_>>(), ["futex/functional test", "rseq test", "timens test"]);
    assert_eq!(record["kernels"][0]["options"]["CONFIG_COMPAT_32BIT_TIME"], "y", "{run}");
}

fn unpatched() {
    let run = xtask(&["test-syscall", "xyzzy", "--kernel", KERNEL, "--leg", "unpatched", "--format", "json"]);
    assert_eq!(run.code, Some(0), "{run}");
    for cell in run.cells() {
        assert_eq!(cell["verdict"], "pass", "{cell:#}");
        // A good selftest skips where the call is absent: that is written down, and not what passed.
        let said = &cell["recorded"][0];
        assert!(said["outcome"].as_str().unwrap().contains("status 4"), "{cell:#}");
    }
    // It is the one kernel of kselftests that ask for nothing which it lacks.
    let args = ["test-selftest", "core", "timens", "--kernel", KERNEL, "--abi", "m64", "--format", "json"];
    let selftests = xtask(&args);
    assert_eq!(selftests.code, Some(0), "{selftests}");
    let key = |run: &support::Run, pointer: &str| {
        let record: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        record.pointer(pointer).and_then(|key| key.as_str()).unwrap().to_owned()
    };
    assert_eq!(key(&run, "/kernels/0/legs/0/key"), key(&selftests, "/kernels/0/key"));
}

/// By the kernels of the first test: the same series on the same source.
fn without_a_spec() {
    let (_scratch, project) = project_copy();
    let kernel = project.join("kernels/linux-6.12");
    let series = project.join("series");
    std::fs::rename(kernel.join("xyzzy"), &series).unwrap();
    std::fs::remove_file(series.join("spec.yaml")).unwrap();
    let args = ["test-syscall", "xyzzy", "--kernel", KERNEL, "--format", "json", "-v", "--patches"];
    let (series, project) = (series.to_str().unwrap(), project.to_str().unwrap());
    let run = xtask(&[&args[..], &[series, "--project", project]].concat());
    assert_eq!(run.code, Some(0), "{run}");
    let compiled: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("compile")).collect();
    assert!(compiled.len() == 2 && compiled.iter().all(|line| line.ends_with("cached")), "{run}");
    let record: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let of_kernel = &record["kernels"][0];
    assert_eq!(of_kernel["option"], "CONFIG_XYZZY_SYSCALL", "{run}");
    assert_eq!(of_kernel["selftest"], "xyzzy", "{run}");
    let legs: Vec<_> = run.cells().iter().map(|cell| cell["leg"].clone()).collect();
    assert_eq!(legs, ["patched", "patched", "patched", "config-off", "config-off", "config-off"], "{run}");
}

/// By the kernel of the test before: these directories ask for nothing that it lacks.
fn kselftests_over_ssh() {
    let dirs = ["core", "sigaltstack", "--kernel", KERNEL, "--transport", "both", "--format", "json"];
    let run = xtask(&[&["test-selftest"][..], &dirs].concat());
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("builds itself with the ssh2 crate"), "{run}");
    let cells = run.cells();
    assert_eq!(cells.len(), 9, "{run}");
    for cell in &cells {
        let [serial, ssh] = &cell["transports"].as_array().unwrap()[..] else { panic!("{cell:#}") };
        assert_eq!((&serial["transport"], &ssh["transport"]), (&"serial".into(), &"ssh".into()), "{cell:#}");
        for transport in [serial, ssh] {
            assert_eq!((&transport["verdict"], &transport["passed"]), (&"pass".into(), &serial["passed"]));
            assert!(transport["durations"]["run_ms"].as_u64().is_some(), "{cell:#}");
        }
    }
    repro::replays_alike("latest");
    let run = xtask(&["repro", "latest", "sas mx32"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("builds itself with the ssh2 crate"), "{run}");
}

/// Found by the cases that follow from the contract, and told with what the rule is taken from.
fn against_the_contract() {
    let patch = format!("{}/kernels/{KERNEL}/mutants/flags-unchecked.patch", support::checkout());
    let args = ["test-syscall", "xyzzy", "--leg", "patched", "--contract=only", "--format", "json"];
    let run = xtask(&[&args[..], &["--extra-patch", &patch]].concat());
    assert_eq!(run.code, Some(1), "{run}");
    for cell in run.cells() {
        assert_eq!(cell["cause"]["kind"], "case-failed", "{cell:#}");
        let text = cell["cause"]["text"].as_str().unwrap();
        assert!(text.contains("flags: unknown bit ") && text.contains("[xyzzy(2), ERRORS: EINVAL"), "{text}");
    }
}

/// Each alone would be a kernel of its own; stacked, the second finds all objects there.
fn examples() {
    let all = ["xyzzy", "xyzzyfd", "xyzzyat", "xyzzyv", "xyzzyoff", "xyzzypriv", "xyzzypid", "xyzzyret"];
    for syscall in all {
        let run =
            xtask(&["test-syscall", syscall, "--kernel", KERNEL, "--stacked", "-v", "--format", "json"]);
        assert_eq!(run.code, Some(0), "{syscall}: {run}");
        let cells = run.cells();
        assert_eq!(cells.len(), 6, "{run}");
        let mut own_cases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for cell in &cells {
            let names = cell["cases"].as_array().unwrap().iter().map(|case| case["name"].as_str().unwrap());
            let (of_contract, own): (Vec<&str>, Vec<&str>) =
                names.partition(|name| name.starts_with("contract/"));
            assert!(of_contract.len() > 20, "{cell:#}");
            // A case that one ABI alone reports is a disagreement.
            let own: BTreeSet<String> = own.into_iter().map(str::to_owned).collect();
            let of_leg = own_cases.entry(cell["leg"].to_string()).or_insert_with(|| own.clone());
            assert_eq!(*of_leg, own, "{syscall} {} {}", cell["leg"], cell["abi"]);
        }
        if syscall != all[0] {
            let compiled = |line: &&str| line.starts_with("compile") && !line.ends_with("cached");
            assert_eq!(run.stderr.lines().find(compiled), None, "{run}");
        }
    }
}

/// The kernel without a series is the one of the unpatched leg: nothing is compiled.
fn in_the_kernel_already() {
    let of = |syscall: &str, more: &[&str]| {
        xtask(&[&["test-syscall", syscall, "--kernel", KERNEL, "-v"], more].concat())
    };
    // The second has another number, entry and way to take its offset by each ABI.
    for syscall in ["close_range", "preadv2"] {
        let run = of(syscall, &["--contract=only", "--format", "json"]);
        assert_eq!(run.code, Some(0), "{run}");
        let cells = run.cells();
        assert_eq!(cells.len(), 3, "{run}");
        assert!(cells.iter().all(|cell| cell["cases"].as_array().unwrap().len() > 40), "{run}");
    }
    let run = of("close_range", &["--contract=no", "--format", "json"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("compile    linux-6.12 patched: cached"), "{run}");
    let cells = run.cells();
    assert_eq!(cells.len(), 3, "no option, so no leg without it: {run}");
    for cell in cells {
        assert_eq!(
            (&cell["verdict"], cell["cases"].as_array().unwrap().len()),
            (&"pass".into(), 10),
            "{cell:#}"
        );
    }
    // Since 6.6 no file system changes the mode of a link: its test skips that case, by every ABI.
    let run = of("fchmodat2", &["--format", "json"]);
    assert_eq!(run.code, Some(3), "{run}");
    for cell in run.cells() {
        assert_eq!(
            (&cell["verdict"], &cell["cause"]["kind"]),
            (&"skip".into(), &"cases-skipped".into()),
            "{run}"
        );
        assert!(cell["entries"].as_array().unwrap().iter().any(|e| e["count"].as_u64() > Some(0)), "{run}");
        assert!(
            cell["console_tail"].as_array().unwrap().is_empty(),
            "a good boot explains no skip: {cell:#}"
        );
    }
    // One of its programs races for minutes under TCG: what is read of it has to do here.
    let run = of("openat2", &["--contract=no", "--dry-run"]);
    assert_eq!(run.code, Some(0), "{run}");
    for word in ["number 437, no option; selftest openat2; legs patched", "fs/open.c", "3 cells"] {
        assert!(run.stdout.contains(word), "{word}: {run}");
    }
}

/// The script runs a program that makes the one call, and its shell makes the other.
fn of_the_shell() {
    let of = |syscall: &str| {
        let selftest = ["--selftest", "splice:default_file_splice_read.sh", "--format", "json"];
        xtask(&[&["test-syscall", syscall, "--kernel", KERNEL, "--leg", "patched"], &selftest[..]].concat())
    };
    let run = of("splice");
    assert_eq!(run.code, Some(0), "{run}");
    let cells = run.cells();
    assert_eq!(cells.len(), 3, "{run}");
    for cell in cells {
        let [case] = &cell["cases"].as_array().unwrap()[..] else { panic!("one case: {cell:#}") };
        assert_eq!((&cell["verdict"], &case["name"]), (&"pass".into(), &"exit status".into()), "{cell:#}");
    }
    assert!(run.stdout.contains("by exit status alone"), "{run}");
    let run = of("getppid");
    assert_eq!(run.code, Some(3), "{run}");
    for cell in run.cells() {
        let cause = &cell["cause"];
        assert_eq!((&cell["verdict"], &cause["kind"]), (&"error".into(), &"not-entered".into()), "{cell:#}");
    }
}
