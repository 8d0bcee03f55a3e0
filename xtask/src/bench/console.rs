//! `bench --console`: a gigabyte of console through the scanner.
//!
//! The mixture is what a guest of ours or a stranger's log may hold: two thirds are the kernel's
//! lines, in printk's two dresses; then programs' output, some of it with a fault's words in it,
//! some with colours; and lines without an end. Nothing in it is a fault, but for the last line.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use harness::judge::console::{Kind, Scanner};

/// What the scanner is fed.
const BYTES: usize = 1_000_000_000;
/// The stream repeats itself after so much: larger than the caches that would make it too easy.
const BLOCK: usize = 16 << 20;
/// What is pushed at once: what a pipe or a socket gives.
const CHUNK: usize = 64 << 10;
/// Of a line that a program never ends.
const LONG_LINE: usize = 200_000;

const KERNEL: [&str; 8] = [
    "usb 1-1: new high-speed USB device number 2 using xhci_hcd",
    "pci 0000:00:1f.2: reg 0x24: [mem 0xfeb80000-0xfeb80fff]",
    "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable",
    "WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!",
    "rcu: Hierarchical RCU implementation.",
    "audit: type=1326 audit(1486238739.637:135): auid=4294967295 uid=0 gid=0 ses=4294967295",
    "systemd[1]: Started Journal Service.",
    "INFO: all is well",
];
const PROGRAM: [&str; 5] = [
    "ok 12 selftests: timers: posix_timers # SKIP",
    "    make[2]: Entering directory '/root/linux/tools/testing'",
    "[  OK  ] Started Daily Cleanup of Temporary Directories.",
    "# a test says Kernel panic - not syncing: not really",
    "\x1b[0;32mgreen\x1b[0m text of a program with BUG: in it",
];
const LAST: &str = "[99999.000000] Kernel panic - not syncing: the end\n";

/// Prints the rates, and the largest resident set of this process, in KiB at the end.
pub fn run(high_water: impl Fn() -> u64) -> Result<()> {
    let block = block();
    for (who, new) in [("a guest", Scanner::new as fn() -> Scanner), ("any log", Scanner::of_any_log)] {
        let (started, worked) = (Instant::now(), processor_time());
        let mut scanner = new();
        let mut pushed = 0;
        while pushed < BYTES {
            for chunk in block.chunks(CHUNK) {
                scanner.push(chunk);
            }
            pushed += block.len();
        }
        scanner.push(LAST.as_bytes());
        scanner.finish();
        let (elapsed, worked) = (started.elapsed(), processor_time() - worked);
        if !matches!(scanner.findings(), [only] if only.kind == Kind::Panic) {
            bail!("the scanner found {:?}", scanner.findings());
        }
        let rate = |time: Duration| pushed as f64 / 1e6 / time.as_secs_f64();
        anstream::println!(
            "console of {who}: {:.2} GB in {:.2} s: {:.0} MB/s; per second of processor time: {:.0} MB",
            pushed as f64 / 1e9,
            elapsed.as_secs_f64(),
            rate(elapsed),
            rate(worked)
        );
    }
    anstream::println!("largest resident set: {:.1} MiB", high_water() as f64 / 1024.0);
    Ok(())
}

/// What this process has worked so far: on a busy machine, the rate that means something.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The stream's text, always the same.
fn block() -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK + LONG_LINE);
    let mut time = 0.0;
    let mut n = 0;
    while block.len() < BLOCK {
        n += 1;
        time += 0.0003;
        let (kernel, program) = (KERNEL[n % KERNEL.len()], PROGRAM[n % PROGRAM.len()]);
        match n % 6 {
            0..3 => block.extend_from_slice(format!("[{time:12.6}] {kernel}").as_bytes()),
            3 => block.extend_from_slice(format!("<6>[{time:12.6}][ T{:4}] {kernel}", n % 9999).as_bytes()),
            _ => block.extend_from_slice(program.as_bytes()),
        }
        if n % 20_000 == 0 {
            block.resize(block.len() + LONG_LINE, b'x');
        }
        block.push(b'\n');
    }
    block
}
