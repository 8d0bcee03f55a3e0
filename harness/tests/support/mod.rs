//! What the tests of the boot side share: a guest to start, what was seen of it, who is still there.

#![allow(dead_code, reason = "each test program uses its part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::boot::journal::{self, JournalError};
use harness::boot::qemu::{Accel, Guest, Machine, Size};
use harness::boot::vm;
use harness::build::initramfs::PROBE;
use harness::judge::verdict::{Expectation, ExpectedRun, Role, Rules, judge};
use harness::judge::watch::{Deadlines, Evidence};
use harness::model::{Abi, Cause, Events, Judged, Leg, Mode, Plan, PlannedRun, Verdict};
use harness::process::{Ctx, Guard, Stop, StopSwitch};

/// The program of `fake_qemu.rs`.
pub const FAKE_QEMU: &str = env!("CARGO_BIN_EXE_fake-qemu");
/// The syscall that the guests are about.
const NUMBER: u32 = 463;

/// No deadline of these is ever reached by a guest that does what it should, on any host.
pub const PATIENT: Deadlines = all(Duration::from_secs(60));
/// For guests that are to be ended.
pub const SHORT: Deadlines = all(Duration::from_millis(400));

const fn all(time: Duration) -> Deadlines {
    Deadlines { boot: time, stall: time, power_off: time, panic_drain: time, overrun: time }
}

/// A name that no other process on this host has.
pub fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("abimatrix-test.{}.{count}", std::process::id())
}

/// The processes that have `marker` among their arguments. Those that have ended and only wait to
/// be reaped have no arguments any more.
pub fn processes(marker: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().parse();
        let (Ok(pid), Ok(args)) = (pid, std::fs::read(entry.path().join("cmdline"))) else { continue };
        if args.split(|&byte| byte == 0).any(|arg| arg == marker.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// Polls until `done`; false if it takes longer than `limit`.
pub fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if done() {
            return true;
        }
        if started.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nobody with `marker` is left, a moment after its end.
#[track_caller]
pub fn assert_nobody(marker: &str) {
    let gone = within(Duration::from_secs(1), || processes(marker).is_empty());
    assert!(gone, "still there: {:?}", processes(marker));
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a stage of a run has, and the switch that stops it.
pub fn ctx() -> (StopSwitch, Ctx) {
    let (switch, stop) = StopSwitch::new();
    (switch, with_stop(stop))
}

fn with_stop(stop: Stop) -> Ctx {
    let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    Ctx { events: Events::silent(), stop, guard: Guard::none(), env }
}

/// A guest that can be started.
pub struct Scene {
    pub folder: tempfile::TempDir,
    pub guest: Guest,
    pub deadlines: Deadlines,
    /// Where the logs go.
    pub logs: PathBuf,
}

impl Scene {
    /// The real QEMU, with `image` for a kernel.
    pub fn bare_metal(machine: Machine, image: &[u8]) -> Scene {
        let path = std::env::split_paths("/usr/local/bin:/usr/bin:/bin")
            .map(|folder| folder.join("qemu-system-x86_64"))
            .find(|path| path.exists())
            .expect("this test needs qemu-system-x86_64 (Debian: qemu-system-x86)");
        Scene::new(path, machine, image, "no image")
    }

    /// A fake QEMU with this script.
    pub fn fake(script: &str) -> Scene {
        Scene::new(FAKE_QEMU.into(), Machine::Q35, b"no kernel", script)
    }

    fn new(qemu: PathBuf, machine: Machine, kernel: &[u8], initramfs: &str) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kernel"), kernel).unwrap();
        std::fs::write(folder.path().join("script"), initramfs).unwrap();
        let guest = Guest {
            qemu,
            name: marker(),
            accel: Accel::Tcg,
            machine,
            kernel: folder.path().join("kernel"),
            initramfs: folder.path().join("script"),
            command_line: Vec::new(),
            tsc_khz: None,
            size: Size::default(),
            ssh: None,
        };
        Scene { logs: folder.path().join("logs"), folder, guest, deadlines: PATIENT }
    }

    pub fn deadlines(mut self, deadlines: Deadlines) -> Scene {
        self.deadlines = deadlines;
        self
    }

    /// Starts it, waits for its end, and makes sure that nothing of it is left.
    #[track_caller]
    pub fn play(&self) -> Seen {
        self.play_with(async |_| ())
    }

    /// The same while `meanwhile` happens, which may press the switch.
    #[track_caller]
    pub fn play_with(&self, meanwhile: impl AsyncFnOnce(&StopSwitch)) -> Seen {
        let seen = block_on(async {
            let (switch, ctx) = ctx();
            let (seen, ()) = tokio::join!(self.start(&ctx), meanwhile(&switch));
            seen
        });
        assert_nobody(&self.guest.name);
        seen
    }

    pub async fn start(&self, ctx: &Ctx) -> Seen {
        let started = Instant::now();
        let (plan, expectation) = agenda();
        let evidence = vm::run(ctx, &self.guest, &plan, self.deadlines, &self.logs).await.unwrap();
        assert_eq!(self.replayed(&plan).unwrap(), evidence, "its journal tells another life");
        let judged = judge(&expectation, &evidence);
        Seen { evidence, judged, elapsed: started.elapsed() }
    }

    /// What the journal and the logs of this guest make of it.
    pub fn replayed(&self, plan: &Plan) -> Result<Evidence, JournalError> {
        let journal = String::from_utf8(self.log(vm::log::JOURNAL)).unwrap();
        journal::replay(&journal, plan, &self.log(vm::log::CONSOLE), &self.log(vm::log::RESULTS))
    }

    pub fn log(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.logs.join(name)).unwrap()
    }

    /// What the fake QEMU wrote to a channel.
    pub fn sent(&self, channel: &str) -> Vec<u8> {
        std::fs::read(self.guest.initramfs.with_extension(channel)).unwrap()
    }

    /// Every byte of both channels is in its log, and nothing else is.
    #[track_caller]
    pub fn assert_logged(&self) {
        let console = self.log(vm::log::CONSOLE);
        assert!(console == self.sent("console"), "{:?}", String::from_utf8_lossy(&console));
        let results = self.log(vm::log::RESULTS);
        assert!(results == self.sent("results"), "{:?}", String::from_utf8_lossy(&results));
    }

    /// Waits until the console's log has this text.
    pub async fn printed(&self, text: &str) {
        let started = Instant::now();
        let log = self.logs.join(vm::log::CONSOLE);
        while !std::fs::read(&log).is_ok_and(|log| contains(&log, text)) {
            assert!(started.elapsed() < Duration::from_secs(60), "{text:?} was never printed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What came of a guest.
#[derive(Debug)]
pub struct Seen {
    pub evidence: Evidence,
    pub judged: Judged,
    pub elapsed: Duration,
}

impl Seen {
    #[track_caller]
    pub fn assert_pass(&self) {
        assert_eq!(self.judged.verdict, Verdict::Pass, "{:#?}", self.judged);
    }

    /// The cause that decides.
    #[track_caller]
    pub fn cause(&self) -> &Cause {
        self.judged.cause.as_ref().expect("this cannot pass")
    }

    #[track_caller]
    pub fn assert_bad_frame(&self, name: &str) {
        let found = self.evidence.bad_frame.as_ref().map(|(found, _)| *found);
        assert_eq!(found, Some(name));
        assert!(matches!(self.cause(), Cause::BadFrames { .. }), "{:#?}", self.judged);
    }

    #[track_caller]
    pub fn assert_sooner_than(&self, limit: Duration) {
        assert!(self.elapsed < limit, "it took {:?}", self.elapsed);
    }
}

/// A cell of the patched leg: the selftest, the same traced, the probe.
pub fn agenda() -> (Plan, Expectation) {
    let roles = [(Role::Judged, Mode::Plain), (Role::Traced, Mode::Traced), (Role::Wired, Mode::Plain)];
    let doors = |mode| match mode {
        Mode::Traced => Abi::ALL.map(|abi| abi.door(NUMBER)).to_vec(),
        Mode::Plain => Vec::new(),
    };
    let args = |role| match role {
        Role::Wired => vec![PROBE.to_owned(), "door=m64".to_owned(), format!("nr={NUMBER}")],
        _ => vec!["/bin/xyzzy".to_owned()],
    };
    let run = |&(role, mode): &(Role, Mode)| PlannedRun {
        mode,
        deadline: Duration::from_secs(5),
        dir: None,
        args: args(role),
        env: Vec::new(),
        doors: doors(mode),
    };
    let expected = |&(role, _): &(Role, Mode)| ExpectedRun {
        role,
        program: "xyzzy".to_owned(),
        deadline_ms: 5000,
        rules: Rules::Cell,
        cases: Vec::new(),
    };
    let plan = Plan { runs: roles.iter().map(run).collect() };
    let expectation = Expectation {
        leg: Leg::Patched,
        abi: Abi::M64,
        number: NUMBER,
        table: "syscall_64.tbl".to_owned(),
        runs: roles.iter().map(expected).collect(),
        known: Vec::new(),
        many: false,
        absent: Vec::new(),
        helpers: Vec::new(),
        not_applicable: Vec::new(),
    };
    (plan, expectation)
}

/// A folder far below `root`: no socket could have a path there.
pub fn deep(root: &Path) -> PathBuf {
    (0..8).fold(root.to_owned(), |path, _| path.join("d".repeat(100)))
}
