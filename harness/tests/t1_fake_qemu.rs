//! Tier 1: every way in which a guest's process can go wrong, played by a fake QEMU through the
//! real code that spawns, reads, judges and ends it.

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::boot::accel::{self, AccelChoice, Known};
use harness::boot::qemu::Accel;
use harness::boot::vm::{self, VmError, log};
use harness::judge::watch::{Abort, Deadlines};
use harness::limits;
use harness::model::Cause;
use harness::plan::host::Qemu;
use harness::process::{Guard, ProcessError};
use harness::store::Store;
use support::{PATIENT, SHORT, Scene, agenda, assert_nobody, block_on, contains, ctx, deep};

const LIFE: &str = "\
    console Linux version 6.12.0-fake (gcc) #1 SMP
    hello
    plan
    run-all
    bye
    close
    console <6>[    0.500000] reboot: Power down
    shutdown guest-shutdown
    exit 0";

/// A life with `more` before its `at`.
fn life_with(at: &str, more: &str) -> String {
    LIFE.replacen(at, &format!("{more}\n{at}"), 1)
}

const PANIC: &str = "console <0>[    0.400000] Kernel panic - not syncing: sysrq triggered crash";
const OOPS: &str = "\
    console <1>[    0.400000] BUG: kernel NULL pointer dereference, address: 0000000000000000
    console <4>[    0.400001] Oops: Oops: 0000 [#1] PREEMPT SMP
    console <4>[    0.400002] RIP: 0010:__x64_sys_xyzzy+0x5/0x10
    console <4>[    0.400003] ---[ end trace 0000000000000000 ]---";

// ---- lives that end well

#[test]
fn a_perfect_life_passes() {
    let scene = Scene::fake(LIFE);
    let seen = scene.play();
    seen.assert_pass();
    scene.assert_logged();
    assert_eq!(seen.judged.passed(), (1, 1));
    let (how, success, _) = seen.evidence.exit.unwrap();
    assert!(success && seen.evidence.abort.is_none(), "{how}");
    assert_eq!(seen.evidence.shutdown, Some((true, "guest-shutdown".to_owned())));
    let argv = String::from_utf8(scene.log(log::ARGV)).unwrap();
    assert!(argv.contains(&scene.guest.name) && argv.contains("-no-reboot"), "{argv}");
}

#[test]
fn binary_garbage_on_the_console_disturbs_nothing() {
    let noise = r"console \xff\xfe\x00\x1b[2J\x1b]0;title\x07\xc3\x28\r\r not ok 1 ABX1 # SKIP";
    let scene = Scene::fake(&life_with("run-all", noise));
    scene.play().assert_pass();
    scene.assert_logged();
    assert!(contains(&scene.log(log::CONSOLE), "\x1b[2J"));
}

#[test]
fn a_console_that_closes_early_is_no_harm() {
    let scene = Scene::fake(&LIFE.replace("console <6>[    0.500000] reboot: Power down", "shut console"));
    scene.play().assert_pass();
    scene.assert_logged();
}

#[test]
fn two_guests_at_once_do_not_meet() {
    let (good, bad) =
        (Scene::fake(LIFE), Scene::fake(&life_with("bye", "console the other one\nnonce other")));
    let (_switch, ctx) = ctx();
    let (good_seen, bad_seen) = block_on(async { tokio::join!(good.start(&ctx), bad.start(&ctx)) });
    good_seen.assert_pass();
    bad_seen.assert_bad_frame("nonce");
    for scene in [good, bad] {
        scene.assert_logged();
        assert_nobody(&scene.guest.name);
    }
}

#[test]
fn a_folder_far_down_is_as_good_as_any() {
    let mut scene = Scene::fake(LIFE);
    scene.logs = deep(&scene.logs);
    scene.play().assert_pass();
    scene.assert_logged();
}

// ---- QEMU itself

#[test]
fn a_qemu_that_is_not_there_is_named() {
    let mut scene = Scene::fake("");
    scene.guest.qemu = PathBuf::from("/no/such/qemu");
    let (_switch, ctx) = ctx();
    let ran = block_on(vm::run(&ctx, &scene.guest, &agenda().0, PATIENT, &scene.logs));
    let Err(VmError::Process(error @ ProcessError::Spawn { .. })) = ran else { panic!("{ran:?}") };
    assert!(error.to_string().contains("/no/such/qemu"), "{error}");
}

#[test]
fn a_qemu_that_exits_at_once_is_lost_with_its_last_words() {
    let scene = Scene::fake("stderr warning: old\nstderr qemu: no such machine\nexit 1");
    let seen = scene.play();
    let Cause::LostVm { detail } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert!(detail.contains("status 1") && detail.contains("no such machine"), "{detail}");
    assert_eq!(scene.log(log::QEMU), b"warning: old\nqemu: no such machine\n");
    scene.assert_logged();
}

#[test]
fn a_qemu_that_complains_without_end_is_kept_in_bounds() {
    let scene = Scene::fake("flood stderr 1000000\nstderr last words\nexit 1");
    let seen = scene.play();
    let (_, _, stderr) = seen.evidence.exit.unwrap();
    assert_eq!(stderr.len(), limits::QEMU_STDERR_BYTES);
    assert!(stderr.ends_with("last words\n"));
}

#[test]
fn a_crash_in_mid_run_is_a_lost_machine() {
    let scene = Scene::fake("hello\nplan\nstart 0\nout ok 1\nsegv");
    let seen = scene.play();
    let Cause::LostVm { detail } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert!(detail.contains("killed by signal 11"), "{detail}");
    assert_eq!(seen.evidence.runs[0].stdout, b"ok 1");
    scene.assert_logged();
}

#[test]
fn status_0_without_a_bye_proves_nothing() {
    let seen = Scene::fake("hello\nplan\nrun-all\nexit 0").play();
    assert!(matches!(seen.cause(), Cause::LostVm { .. }), "{:#?}", seen.judged);
}

#[test]
fn a_bad_end_after_bye_is_no_pass() {
    let seen = Scene::fake(&LIFE.replace("exit 0", "exit 3")).play();
    let Cause::LostVm { detail } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert!(detail.contains("after bye") && detail.contains("status 3"), "{detail}");
}

// ---- guests that have to be ended

#[test]
fn a_guest_that_never_says_hello_hangs_in_its_boot() {
    let scene = Scene::fake("console Booting paravirtualized kernel\nforever").deadlines(SHORT);
    let seen = scene.play();
    let Cause::BootHang { last_line, .. } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert_eq!(last_line, "Booting paravirtualized kernel");
    // Quit was enough: it ended by itself.
    assert_eq!(seen.evidence.shutdown, Some((false, "host-qmp-quit".to_owned())));
    seen.assert_sooner_than(Duration::from_secs(3));
    scene.assert_logged();
}

#[test]
fn a_guest_that_falls_silent_in_a_run_hangs() {
    let scene = Scene::fake("hello\nplan\nstart 0\nbeat\nforever").deadlines(SHORT);
    let seen = scene.play();
    assert!(matches!(seen.cause(), Cause::Hang { .. }), "{:#?}", seen.judged);
    assert!(seen.evidence.runs[0].started && seen.evidence.runs[0].end.is_none());
    // QEMU was asked where it hangs before it was ended.
    assert_eq!(seen.evidence.instruction, Some(0xffff_ffff_8123_4567));
    assert!(contains(&scene.log(log::REGISTERS), "RIP="));
    seen.assert_sooner_than(Duration::from_secs(3));
    scene.assert_logged();
}

#[test]
fn a_guest_that_stays_on_after_bye_is_ended() {
    let scene = Scene::fake("hello\nplan\nrun-all\nbye\nclose\nforever").deadlines(SHORT);
    let seen = scene.play();
    assert!(matches!(seen.evidence.abort, Some(Abort::PowerOff { .. })));
    assert!(matches!(seen.cause(), Cause::Hang { .. }), "{:#?}", seen.judged);
    scene.assert_logged();
}

#[test]
fn what_ignores_quit_and_sigterm_is_killed_in_bounded_time() {
    for monitor in ["monitor stubborn", "monitor mute"] {
        let script = format!("ignore-term\n{monitor}\nconsole on and on\nforever");
        let scene = Scene::fake(&script).deadlines(SHORT);
        let seen = scene.play();
        assert!(matches!(seen.cause(), Cause::BootHang { .. }), "{:#?}", seen.judged);
        let (how, _, _) = seen.evidence.exit.as_ref().unwrap();
        assert!(how.contains("signal 9"), "{how}");
        // The deadline, the monitor's half second, one grace; and the time that it has for an answer.
        let most = SHORT.boot + Duration::from_millis(500) + limits::TERM_GRACE + limits::MONITOR_ANSWER;
        seen.assert_sooner_than(most + Duration::from_secs(1));
        scene.assert_logged();
    }
}

#[test]
fn a_process_that_keeps_the_channels_open_is_not_waited_for() {
    for how in ["", " stubborn"] {
        let scene = Scene::fake(&life_with("hello", &format!("leave-behind{how}")));
        let seen = scene.play();
        seen.assert_pass();
        seen.assert_sooner_than(limits::TERM_GRACE * 2 + Duration::from_secs(2));
        scene.assert_logged();
    }
}

#[test]
fn a_hung_guest_takes_what_it_left_behind_along() {
    let script = "leave-behind stubborn\nconsole hm\nforever";
    let seen = Scene::fake(script).deadlines(SHORT).play();
    assert!(matches!(seen.cause(), Cause::BootHang { .. }), "{:#?}", seen.judged);
}

// ---- the agent's stream

#[test]
fn a_frame_that_is_cut_off_is_no_result() {
    let scene = Scene::fake("hello\nplan\nstart 0\ncut 50\nend 0\nshutdown guest-shutdown\nexit 0");
    let seen = scene.play();
    // How the machine went says more than what it tore.
    assert_eq!(*seen.cause(), Cause::EarlyPowerOff);
    assert_eq!(seen.evidence.bad_frame.map(|(name, _)| name), Some("truncated"));
    scene.assert_logged();
}

#[test]
fn damage_is_noticed_and_ends_the_guest() {
    for (damage, name) in
        [("damage crc", "crc"), ("damage magic", "magic"), ("results garbage\\x00", "magic")]
    {
        let scene = Scene::fake(&life_with("bye", damage));
        let seen = scene.play();
        seen.assert_bad_frame(name);
        // `close` waits for a CLOSE that never comes.
        assert_eq!(seen.evidence.abort, Some(Abort::BadFrames));
        scene.assert_logged();
    }
}

#[test]
fn frames_of_another_machine_are_no_result() {
    let scene = Scene::fake(&life_with("bye", "nonce other"));
    scene.play().assert_bad_frame("nonce");
    scene.assert_logged();
}

#[test]
fn a_second_hello_is_a_reset() {
    let scene = Scene::fake("hello\nplan\nstart 0\nhello\nforever");
    let seen = scene.play();
    assert_eq!(*seen.cause(), Cause::Reset);
    scene.assert_logged();
}

#[test]
fn a_refusal_and_last_words_are_the_agents() {
    let refused = Scene::fake("hello\nplan\nrefuse plan-door\nclose\nshutdown guest-shutdown\nexit 0").play();
    let Cause::AgentRefused { detail } = refused.cause() else { panic!("{:#?}", refused.judged) };
    assert!(detail.contains("plan-door"), "{detail}");
    let words = "console <12>[    0.3] abimatrix-agent: no result port\nshutdown guest-shutdown\nexit 0";
    let gave_up = Scene::fake(words).play();
    assert_eq!(*gave_up.cause(), Cause::AgentRefused { detail: "no result port".to_owned() });
}

#[test]
fn what_comes_in_one_piece_with_bad_bytes_does_not_hide_them() {
    // Both deadlines are far off: only the bad bytes can end these.
    for script in [
        "hold\nhello\nresults garbage, and more of it than a header has\nrelease\nforever",
        "hello\nplan\nrun-all\nhold\nbye\nresults x\nrelease\nforever",
    ] {
        let scene = Scene::fake(script);
        let started = Instant::now();
        let seen = scene.play_with(async |switch| {
            // The way out if it does not end: nobody wants to wait for the deadline.
            while started.elapsed() < Duration::from_secs(5)
                && !support::processes(&scene.guest.name).is_empty()
                || started.elapsed() < Duration::from_secs(1)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            switch.press("SIGTERM");
        });
        assert_eq!(seen.evidence.abort, Some(Abort::BadFrames), "{:#?}", seen.judged);
        seen.assert_sooner_than(Duration::from_secs(3));
        scene.assert_logged();
    }
}

// ---- floods

#[test]
fn a_flood_of_the_console_is_cut_at_its_limit() {
    let scene = Scene::fake("flood console 70000000\nforever");
    let seen = scene.play();
    let Cause::OutputLimit { stream, limit_bytes } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert_eq!((stream.as_str(), *limit_bytes), ("console", limits::CONSOLE_BYTES));
    let logged = scene.log(log::CONSOLE);
    assert_eq!(logged.len() as u64, limits::CONSOLE_BYTES);
    assert!(scene.sent("console").starts_with(&logged), "the log is not what was sent");
}

#[test]
fn a_flood_of_results_is_cut_at_its_limit() {
    let scene = Scene::fake("hello\nplan\nstart 0\nflood results 17000000\nforever");
    let seen = scene.play();
    let Cause::OutputLimit { stream, limit_bytes } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert_eq!((stream.as_str(), *limit_bytes), ("result port", limits::RESULT_BYTES));
    let logged = scene.log(log::RESULTS);
    assert_eq!(logged.len() as u64, limits::RESULT_BYTES);
    assert!(scene.sent("results").starts_with(&logged), "the log is not what was sent");
}

// ---- the monitor is advisory

#[test]
fn garbage_on_the_monitor_disturbs_nothing() {
    let more = r#"qmp {"event": 5}
        qmp {"event": "SHUTDOWN"
        qmp \x00\xff\n\n[]\n{"error": {}}\n"QMP"
        qmp-line 200000"#;
    Scene::fake(&life_with("plan", more)).play().assert_pass();
    Scene::fake(&life_with("plan", "shut monitor").replace("shutdown guest-shutdown", ""))
        .play()
        .assert_pass();
    let mute = LIFE.replace("shutdown guest-shutdown", "");
    Scene::fake(&format!("monitor mute\n{mute}")).play().assert_pass();
}

#[test]
fn a_monitor_that_greets_for_ever_holds_nothing_up() {
    let mute = LIFE.replace("shutdown guest-shutdown", "");
    let seen = Scene::fake(&format!("monitor mute\nqmp-greetings 3000\n{mute}")).play();
    seen.assert_pass();
    seen.assert_sooner_than(Duration::from_secs(5));
}

// ---- what the kernel does

#[test]
fn a_power_off_before_bye_is_no_pass() {
    let seen = Scene::fake("hello\nplan\nrun-all\nshutdown guest-shutdown\nexit 0").play();
    assert_eq!(*seen.cause(), Cause::EarlyPowerOff);
}

#[test]
fn the_monitors_last_words_are_read_however_fast_qemu_ends() {
    // Many at once, so that the harness is late for everything.
    let scenes: Vec<Scene> = (0..40).map(|_| Scene::fake("shutdown guest-reset\nexit 0")).collect();
    let (_switch, ctx) = ctx();
    let causes = block_on(async {
        let local = tokio::task::LocalSet::new();
        let mut guests = tokio::task::JoinSet::new();
        for scene in scenes {
            let ctx = ctx.clone();
            guests.spawn_local_on(async move { scene.start(&ctx).await.cause().clone() }, &local);
        }
        local.run_until(guests.join_all()).await
    });
    let lost = causes.iter().filter(|cause| **cause != Cause::Reset).count();
    assert_eq!(lost, 0, "{causes:#?}");
}

#[test]
fn a_panic_decides_whatever_qemu_says() {
    let scene = Scene::fake(&format!("hello\nplan\nstart 0\n{PANIC}\nshutdown guest-reset\nexit 0"));
    let seen = scene.play();
    assert!(matches!(seen.cause(), Cause::Panic { .. }), "{:#?}", seen.judged);
    scene.assert_logged();
    // One that does not reset has its time to say why, and is ended then.
    let drain = Duration::from_millis(600);
    let deadlines = Deadlines { panic_drain: drain, ..PATIENT };
    let rest = "sleep 200\nconsole <4>[    0.41] CPU: 0 PID: 1\nforever";
    let scene = Scene::fake(&format!("hello\nplan\n{PANIC}\n{rest}")).deadlines(deadlines);
    let seen = scene.play();
    assert!(matches!(seen.cause(), Cause::Panic { .. }), "{:#?}", seen.judged);
    assert_eq!(seen.evidence.abort, Some(Abort::Panicked));
    assert!(seen.elapsed >= drain && contains(&scene.log(log::CONSOLE), "CPU: 0"));
    scene.assert_logged();
}

#[test]
fn a_panic_that_cuts_a_frame_is_a_panic() {
    let script =
        format!("hello\nplan\nstart 0\n{PANIC}\nsleep 100\ncut 40\nend 0\nshutdown guest-reset\nexit 0");
    let seen = Scene::fake(&script).play();
    assert!(matches!(seen.cause(), Cause::Panic { .. }), "{:#?}", seen.judged);
}

#[test]
fn an_oops_after_bye_still_counts() {
    let scene = Scene::fake(&life_with("console <6>", OOPS));
    let seen = scene.play();
    let Cause::KernelFault { fault } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert!(fault.title.contains("xyzzy"), "{fault}");
    scene.assert_logged();
}

// ---- the user

#[test]
fn a_stop_during_boot_and_in_a_run_leaves_nothing() {
    for script in ["console up\nforever", "hello\nplan\nstart 0\nconsole up\nforever"] {
        let scene = Scene::fake(script);
        let seen = scene.play_with(async |switch| {
            scene.printed("up").await;
            switch.press("SIGINT");
        });
        assert_eq!(*seen.cause(), Cause::Interrupted { signal: "SIGINT".to_owned() });
        assert_eq!(seen.evidence.shutdown, Some((false, "host-qmp-quit".to_owned())));
        seen.assert_sooner_than(Duration::from_secs(3));
        scene.assert_logged();
    }
}

#[test]
fn a_second_stop_does_not_wait_for_the_stubborn() {
    let scene = Scene::fake("ignore-term\nmonitor stubborn\nleave-behind stubborn\nconsole up\nforever");
    let mut pressed = Instant::now();
    let seen = scene.play_with(async |switch| {
        scene.printed("up").await;
        switch.press("SIGINT");
        tokio::time::sleep(Duration::from_millis(700)).await;
        pressed = Instant::now();
        switch.press("SIGINT");
    });
    assert!(pressed.elapsed() < Duration::from_millis(1500), "{:?} after the second", pressed.elapsed());
    assert!(matches!(seen.cause(), Cause::Interrupted { .. }), "{:#?}", seen.judged);
}

#[test]
fn two_stops_at_once_kill_at_once() {
    let scene = Scene::fake("ignore-term\nmonitor stubborn\nconsole up\nforever");
    let mut pressed = Instant::now();
    let seen = scene.play_with(async |switch| {
        scene.printed("up").await;
        pressed = Instant::now();
        switch.press("SIGTERM");
        switch.press("SIGTERM");
    });
    assert!(pressed.elapsed() < Duration::from_millis(1000), "{:?}", pressed.elapsed());
    let (how, _, _) = seen.evidence.exit.unwrap();
    assert!(how.contains("signal 9"), "{how}");
}

#[test]
fn a_run_that_is_dropped_leaves_nothing() {
    let scene = Scene::fake("ignore-term\nleave-behind stubborn\nconsole up\nforever");
    let (_switch, ctx) = ctx();
    block_on(async {
        tokio::select! {
            _ = scene.start(&ctx) => panic!("it never ends"),
            () = scene.printed("up") => {}
        }
    });
    assert_nobody(&scene.guest.name);
}

// ---- the trial of KVM

/// What a trial decides, and what is then known.
fn trial(script: &str) -> (accel::Decision, Known) {
    let scene = Scene::fake(script);
    let store = Store::open(&scene.folder.path().join("store"), &Guard::none()).unwrap();
    let qemu = Qemu { path: scene.guest.qemu.clone(), version: "7.2".to_owned(), microvm: true };
    let (_switch, ctx) = ctx();
    let decision = block_on(accel::try_kvm(&ctx, &scene.guest, &agenda().0, &scene.logs));
    accel::remember(&store, &qemu, &decision);
    assert_nobody(&scene.guest.name);
    let argv = String::from_utf8(scene.log(log::ARGV)).unwrap();
    assert!(argv.contains("-accel kvm"), "{argv}");
    let host = harness::plan::host::Host {
        cpus: 2,
        memory_free_mib: 4096,
        qemu: None,
        compiler: None,
        cannot_link: Default::default(),
        kvm: harness::plan::host::KvmDevice::Opens,
        ccache: false,
        found: Vec::new(),
    };
    (decision, accel::known(&store, &host, &qemu, AccelChoice::Auto))
}

#[test]
fn kvm_is_used_and_remembered_when_a_guest_came_up_under_it() {
    let (decision, known) = trial(LIFE);
    assert_eq!(decision.accel, Accel::Kvm, "{}", decision.why);
    assert_eq!(known, Known::Decided(decision));
}

#[test]
fn kvm_is_not_used_when_qemu_refuses_it() {
    let (decision, _) = trial("stderr qemu: failed to initialize kvm: Permission denied\nexit 1");
    assert_eq!(decision.accel, Accel::Tcg);
    assert!(decision.why.contains("Permission denied"), "{}", decision.why);
}

#[test]
fn kvm_is_not_used_when_its_guest_hangs() {
    let started = Instant::now();
    let (decision, known) = trial("console Booting\nforever");
    assert_eq!(decision.accel, Accel::Tcg);
    assert_eq!(known, Known::Decided(decision));
    assert!(started.elapsed() < limits::KVM_PROBE_DEADLINE + Duration::from_secs(3));
}
