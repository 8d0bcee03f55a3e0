//! Every limit of the tool, with the reason for its number.
//!
//! Times are for a TCG guest on two cores, the slowest host that is supported; KVM only makes
//! them more generous. None of them is a measurement: they bound what is wrong, not what is slow.

use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Files in which a user's tree may differ from its base in the cache: they are held in memory, and a
/// tree that has moved on by as much as this is compiled anew in any case.
pub const TREE_EDITS: usize = 3000;
/// Bytes of those edits: a patch of the largest file of a kernel (24 MB) ten times over.
pub const TREE_EDITS_BYTES: u64 = 256 * MIB;
/// A file of a user's tree that git does not track: twice the largest source file of a kernel, a header of
/// registers. What is larger is a disk image, a core or an archive, and left out.
pub const TREE_UNTRACKED_BYTES: u64 = 64 * MIB;
/// A file that a person writes (YAML, fragment): a thousand times the largest real one.
pub const INPUT_FILE_BYTES: u64 = MIB;
/// One patch. The largest kernel patches on the lists are below it; a generated one is a mistake.
pub const PATCH_BYTES: u64 = 10 * MIB;
/// A patch's name in the run's folder: some are subjects of mails, and a file's name has 255 bytes.
pub const PATCH_NAME_CHARS: usize = 100;
/// Patches of one series: the longest series on the lists have about two hundred.
pub const SERIES_PATCHES: usize = 512;
/// Series that stand on one another: the tables of a tree have fewer numbers that are free and below 512.
pub const STACK_SERIES: usize = 32;
/// A mailbox with one thread: the longest, with all replies, have a few megabytes.
pub const MBOX_BYTES: u64 = 64 * MIB;
/// A syscall table or Kconfig file of a kernel tree: the largest is about 100 KiB.
pub const TREE_FILE_BYTES: u64 = 8 * MIB;
/// A log that `ktap` reads: it is held in memory, and the longest that CI systems keep is shorter.
/// A longer one is refused, not cut.
pub const KTAP_LOG_BYTES: u64 = 256 * MIB;
/// Free disk that a kernel needs before it is unpacked and built: 1.7 GB of source, the same in
/// hard links that a file system may copy, under 1 GB of objects.
pub const DISK_FREE_BYTES: u64 = 5 * 1024 * MIB;

/// What a source archive may unpack to: four times a kernel's 1.7 GB. A bomb has a thousand times.
pub const UNPACKED_BYTES: u64 = 8 * 1024 * MIB;
/// Files of a source archive: a kernel has 90 000.
pub const UNPACKED_FILES: u64 = 1_000_000;

/// From SIGTERM to SIGKILL for a child that is to end: make removes its half-made target in this
/// time, QEMU needs a few milliseconds.
pub const TERM_GRACE: Duration = Duration::from_secs(2);
/// From SIGKILL to giving up on a child: only a process in uninterruptible sleep needs longer.
pub const KILL_GRACE: Duration = Duration::from_secs(10);
/// What is kept in memory of a command's output; the whole goes to its log.
pub const COMMAND_OUTPUT_BYTES: usize = 4 * MIB as usize;
/// A quick question to a tool (`gcc --version`, `qemu -M help`): they answer in milliseconds, and
/// a first run from a cold disk may take seconds.
pub const QUERY_DEADLINE: Duration = Duration::from_secs(60);
/// Unpacking 1.7 GB of xz took 40 s on two cores; a slow disk may need ten times as long.
pub const UNPACK_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Configuring took 10 s.
pub const CONFIGURE_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// A minimal kernel took 220 s; an allmodconfig that somebody brings takes hours.
pub const COMPILE_DEADLINE: Duration = Duration::from_secs(6 * 3600);
/// A selftest directory took 2 s per ABI.
pub const SELFTEST_DEADLINE: Duration = Duration::from_secs(20 * 60);
/// How often progress of a build is told: a person sees no more.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// From spawn to the agent's hello. It took 0.5 s under TCG alone, and 3 s beside other loads. Over ssh it
/// counts anew once the agent listens: an agent that lives gives up well before, 30 s without a session
/// (`SSH_WAIT_MS`) and 10 s without a plan (`PLAN_WAIT_MS` in guest/agent/agent.h), and says so.
pub const BOOT_DEADLINE: Duration = Duration::from_secs(60);
/// From spawn to the hello when KVM is tried: 0.2 s where KVM works, never where it does not.
pub const KVM_PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the first byte of the guest's sshd is awaited at first: it took 0.1 s under TCG.
pub const SSH_ANSWER_FIRST: Duration = Duration::from_secs(1);
/// The same after some tries, each of which waits twice as long: for a guest on a busy host.
pub const SSH_ANSWER_MAX: Duration = Duration::from_secs(5);
/// From spawn to the first try, if the guest's console does not say that it listens (`quiet` on the
/// command line). QEMU takes connections before the guest does, and hands it the dead ones later.
pub const SSH_UNASKED: Duration = Duration::from_secs(10);
/// One step of an ssh dialogue (handshake, authentication, a command): they took 0.1 s under TCG.
pub const SSH_STEP: Duration = Duration::from_secs(10);
/// Without a frame for so long, a running guest is hung. The agent's heart beats every 2 s, and the
/// kernel's soft-lockup detector (`watchdog_thresh` below) has then had time to say where.
pub const STALL: Duration = Duration::from_secs(20);
/// `watchdog_thresh` on the guest's command line, in seconds: a soft lockup is reported after twice
/// this time, well before [`STALL`].
pub const WATCHDOG_THRESH_S: u32 = 5;
/// `hung_task_timeout_secs` in the guest: well before the 45 s that a program has.
pub const HUNG_TASK_S: u32 = 20;
/// A whole test program, unless `--timeout` says otherwise: the kselftest runner's 45 s.
pub const TEST_DEADLINE: Duration = Duration::from_secs(45);
/// The most that `--timeout` takes, and the agent: an hour.
pub const TEST_DEADLINE_MAX: Duration = Duration::from_secs(3600);
/// A test that a tree has had, where it is not judged: under ptrace, where one entry is proof and the end is not
/// needed, and on a control leg. One that hangs would hang twice.
pub const UNJUDGED_DEADLINE: Duration = Duration::from_secs(60);
/// Tests of a directory in one cell: each is two of the 64 runs that a plan has at most, and the tool's own
/// programs are two.
pub const CELL_TESTS: usize = 31;
/// From here on it is said beforehand how long a cell's tests may take: nobody at a desk waits for it unprepared.
pub const LONG_CELL: Duration = Duration::from_secs(30 * 60);
/// A shell at a guest's console, and a program while a debugger holds the guest: the most that the agent
/// takes, a day of the guest's own time. The person there is who ends it.
pub const SHELL_DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// What gdb does by a file of commands: it may step through a whole test, and ends in the end.
pub const DEBUGGER_DEADLINE: Duration = Duration::from_secs(3600);
/// Addresses of a console that are looked up in the debug info: a splat has some twenty, and what floods the
/// console repeats them. They are arguments of one command, which may have megabytes.
pub const DECODED_ADDRESSES: usize = 4096;
/// Reading debug info: a distribution's kernel has a gigabyte of it, which binutils goes through in half a
/// minute, and a cold disk is slower.
pub const DECODE_DEADLINE: Duration = Duration::from_secs(600);
/// Symbols of a kernel as text: a distribution's has 12 MiB, and KASAN doubles that.
pub const SYMBOLS_BYTES: usize = 64 * MIB as usize;
/// Lines of a decoded splat that are shown; the whole is in a file. The longest without inlined functions
/// have sixty.
pub const DECODED_LINES: usize = 100;
/// The tool's probe makes a handful of calls.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(10);
/// What the agent may need beyond a program's own deadline: its TERM and KILL graces and a margin.
pub const AGENT_MARGIN: Duration = Duration::from_secs(15);
/// From bye (or a panic line) to QEMU's end: power-off takes milliseconds; a report that is still
/// being printed takes up to two seconds.
pub const POWER_OFF_DEADLINE: Duration = Duration::from_secs(10);
/// After a panic the rest of its report is awaited so long, in case the machine does not reset.
pub const PANIC_DRAIN: Duration = Duration::from_secs(5);
/// How often the state machine is told the time.
pub const TICK: Duration = Duration::from_millis(100);

/// The most that counts of the time between two looks at a clock, which are due every [`TICK`]: in a
/// longer gap this process was suspended, or starved, and could not have heard a guest.
pub const UNSEEN: Duration = Duration::from_secs(2);
/// From SIGTSTP to our own stop: guests and compilers are told first, which takes a system call each.
pub const PAUSE_GRACE: Duration = Duration::from_millis(50);

/// Damaged things that are kept for a look at them: the newest, since each may be a whole source tree.
pub const BAD_KEPT: usize = 3;
/// Runs kept below target/abimatrix: a week of a busy desk.
pub const RUNS_KEPT: usize = 50;
/// What `clean` removes unless it is told otherwise: unused for a month.
pub const CLEAN_DAYS: u64 = 30;

/// Console bytes of one cell: a normal boot writes 15 KiB, and a flood comes at 1.5 MB/s.
pub const CONSOLE_BYTES: u64 = 64 * MIB;
/// Bytes on the result port of one cell.
pub const RESULT_BYTES: u64 = 16 * MIB;
/// How long QEMU's monitor has for an answer: it takes milliseconds, and a hung QEMU none.
pub const MONITOR_ANSWER: Duration = Duration::from_millis(500);
/// QMP lines are below 1 KiB; a peer that sends more is not QEMU.
pub const QMP_LINE_BYTES: usize = 64 * KIB as usize;
/// Console lines shown under a cell that did not pass.
pub const TAIL_LINES: usize = 12;
/// QEMU's own words (stderr) kept for a message.
pub const QEMU_STDERR_BYTES: usize = 16 * KIB as usize;

/// A guest's memory, in MiB: the images need 60, and AddressSanitizer, with which some of the
/// kernel's own selftests are built, keeps 256 of freed memory in quarantine.
pub const GUEST_MEMORY_MIB: u64 = 512;
/// The same of a guest for kselftests, in MiB: the programs of `exec` take 100 in the image alone, of
/// which the root file system may have a half.
pub const KSELFTEST_MEMORY_MIB: u64 = 1024;
/// Processors of such a guest: two threads that wait for each other in a loop, as those of `epoll`, get
/// nowhere on one.
pub const KSELFTEST_CPUS: u32 = 2;
/// The most memory that a profile may give a guest, in MiB: two of them fit into a small host.
pub const PROFILE_MEMORY_MIB: u64 = 4096;
/// The most by which a profile may stretch deadlines: what is slower by more hangs.
pub const PROFILE_PATIENCE: u32 = 10;
/// Guests at once at most, whatever `--jobs` says.
pub const JOBS_MAX: usize = 64;
/// How long two readings of the time-stamp counter lie apart: the clock's error is then below 1e-6.
pub const TSC_MEASURE: Duration = Duration::from_millis(100);

/// Cases that may follow from one contract by one ABI: the kinds of rules with two doors more give
/// about a thousand for a call with two words of flags, and each costs a guest about a millisecond.
pub const CONTRACT_CASES: usize = 4000;

/// Up to so many flags all subsets are tried (64); beyond, singles, pairs and the whole.
pub const FLAG_SUBSETS_OF: usize = 6;

/// Calls in a row that must leave no descriptor behind: what leaks once in a thousand shows.
pub const CONTRACT_REPEATS: u32 = 10_000;

/// Threads that make the good call at once, and for how many milliseconds: more threads than a guest
/// has processors, and long enough for some ten time slices of each.
pub const CONTRACT_THREADS: (u32, u32) = (4, 300);

/// Allocations and copies of one call that are refused in turn: openat2() has about thirty.
pub const CONTRACT_FAILURES: u32 = 400;

/// The deadline of a contract's cases together: a thousand of them take a guest under TCG about ten
/// seconds, and those that sleep or repeat as much again; a debug kernel is ten times slower.
pub const CONTRACT_DEADLINE: Duration = Duration::from_secs(300);
/// The largest `run.json` that is read back: 500 kselftest cells with all their cases are 4 MB.
pub const RECORD_BYTES: u64 = 256 * MIB;
/// Cells without a verdict that JUnit and KTAP list one by one: twice what the largest run selects.
pub const ABSENT_SHOWN: usize = 1000;
/// A report as Markdown: the step summary of a CI system takes 1 MiB, and there may be a line before it.
pub const MARKDOWN_BYTES: usize = 1000 * KIB as usize;
/// A column of a mail: what git and the kernel's lists wrap at.
pub const MAIL_COLUMNS: usize = 72;
/// Cells and disagreements that a cover letter tells one by one: a reader of a mail looks at no more.
pub const COVER_LETTER_SHOWN: usize = 20;

/// Console lines on one HTML page, shared by its cells: six cells show theirs whole, of five hundred
/// each has what matters.
pub const PAGE_CONSOLE_LINES: usize = 12_000;
/// Bytes of consoles on one page, whatever is in them: with more a telephone takes seconds to open it.
pub const PAGE_CONSOLE_BYTES: usize = 3 * MIB as usize;
/// Cases on one page, shared likewise.
pub const PAGE_CASES: usize = 30_000;
/// Cases of one row on which the ABIs disagree that are shown side by side.
pub const PAGE_DIVERGENCES: usize = 40;
/// How often `repro` runs a cell at most: a night of guests that take half a minute.
pub const REPRO_TIMES: u32 = 1000;
/// The journal of one guest: one that prints a byte each millisecond fills it in five minutes, and a boot
/// takes a few KiB. A fuller one is cut and says so: its cell cannot be replayed.
pub const JOURNAL_BYTES: u64 = 16 * MIB;
/// What `repro` reads of an order: one with a contract's cases has a few hundred KiB.
pub const ORDER_BYTES: u64 = 64 * MIB;
/// The most that `--retries` takes: what the host does to a cell more often than that is no bad luck.
pub const RETRIES_MAX: u32 = 10;
/// The most that `--repeat` takes, and where `--until-fail` gives up: a cell takes about a second and leaves
/// 30 KiB of logs, so that six of them come to an hour or two and to 200 MB.
pub const ATTEMPTS_MAX: u32 = 1000;
/// A baseline that is read: 500 kselftest cells with the names of all their cases are 2 MB.
pub const BASELINE_BYTES: u64 = 32 * MIB;
/// The longest night, in minutes: a day. The next one begins then.
pub const NIGHT_MINUTES: u64 = 24 * 60;
/// What a night says of itself: a line a job, and of each cell what became worse.
pub const NIGHT_BYTES: u64 = 32 * MIB;
/// The most nights that are kept: a night of both kernels and all selftests is 600 MB of logs and images.
pub const NIGHTS_KEPT: usize = 100;
