//! Which accelerator and which board: decided by what a guest has really done on this host.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::qemu::{Accel, Guest, Machine};
use super::vm;
use crate::broken::broken;
use crate::judge::watch::{Deadlines, Evidence};
use crate::limits;
use crate::model::{Plan, RunEvent, Stage};
use crate::plan::host::{Host, KvmDevice, Qemu};
use crate::process::Ctx;
use crate::store::{Hash, Store};

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccelChoice {
    /// KVM if a guest has run under it, otherwise TCG.
    #[default]
    Auto,
    /// This one, or nothing.
    Only(Accel),
}

/// What is used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The accelerator.
    pub accel: Accel,
    /// Why, in words for the report.
    pub why: String,
}

/// What is known before a guest has been tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// No guest needs to be tried.
    Decided(Decision),
    /// KVM can be opened, and whether a guest runs under it is not known yet.
    Untried,
}

/// Decides without running anything: by the user's word, the device, or a remembered trial.
pub fn known(store: &Store, host: &Host, qemu: &Qemu, choice: AccelChoice) -> Known {
    let decided = |accel, why: String| Known::Decided(Decision { accel, why });
    match (choice, &host.kvm) {
        (AccelChoice::Only(accel), _) => decided(accel, format!("--accel {accel}")),
        (AccelChoice::Auto, KvmDevice::Absent) => decided(Accel::Tcg, "there is no /dev/kvm".to_owned()),
        (AccelChoice::Auto, KvmDevice::Refused(why)) => decided(Accel::Tcg, format!("/dev/kvm: {why}")),
        (AccelChoice::Auto, _) if broken("kvm-trial") => decided(Accel::Kvm, String::new()),
        (AccelChoice::Auto, KvmDevice::Opens) => {
            match store.fact(&trial_name(qemu)).and_then(|text| serde_json::from_str(&text).ok()) {
                Some(decision) => Known::Decided(decision),
                None => Known::Untried,
            }
        }
    }
}

/// A trial holds for this processor, host kernel and QEMU.
fn trial_name(qemu: &Qemu) -> Hash {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    let text = format!("kvm:{}:{}:{cpu}:{}", qemu.version, qemu.path.display(), read("/proc/version"));
    Hash::of(text.as_bytes())
}

/// Boots `guest` under KVM, has it run `plan`, and says what came of it.
///
/// /dev/kvm can exist, open, make machines, even run a boot sector, and still never bring up a
/// kernel. So the trial is the very kernel that is to be tested.
pub async fn try_kvm(ctx: &Ctx, guest: &Guest, plan: &Plan, folder: &Path) -> Decision {
    let what = "kvm".to_owned();
    ctx.events.send(RunEvent::StageStarted { stage: Stage::Probe, what: what.clone() });
    let started = Instant::now();
    let guest = Guest { accel: Accel::Kvm, ..guest.clone() };
    let limit = limits::KVM_PROBE_DEADLINE;
    let deadlines =
        Deadlines { boot: limit, stall: limit, power_off: limit, panic_drain: limit, overrun: limit };
    let ran = vm::run(ctx, &guest, plan, deadlines, folder).await;
    let decision = match ran {
        Ok(seen) => weigh(&seen, limit),
        Err(error) => no(&error.to_string()),
    };
    let elapsed = started.elapsed();
    ctx.events.send(RunEvent::StageEnded { stage: Stage::Probe, what, cached: false, ok: true, elapsed });
    decision
}

/// Remembers a decision for this host and QEMU. A "no" is to be remembered only once the same
/// kernel has come up under TCG: a kernel that is broken itself says nothing about KVM.
pub fn remember(store: &Store, qemu: &Qemu, decision: &Decision) {
    if let Ok(text) = serde_json::to_string(decision) {
        // Not remembered is tried again.
        let _ = store.remember(&trial_name(qemu), &text);
    }
}

fn no(why: &str) -> Decision {
    Decision { accel: Accel::Tcg, why: format!("a guest does not run under KVM here: {why}") }
}

/// What a trial showed.
fn weigh(seen: &Evidence, limit: Duration) -> Decision {
    match (seen.bye, &seen.abort, &seen.exit) {
        (Some(at), _, _) => {
            Decision { accel: Accel::Kvm, why: format!("a guest ran under KVM in {} ms", at.as_millis()) }
        }
        (None, Some(_), _) if broken("kvm-too-slow") => Decision { accel: Accel::Kvm, why: String::new() },
        (None, Some(_), _) => no(&format!("it was not done after {} s", limit.as_secs())),
        (None, None, Some((how, _, stderr))) => {
            let words = stderr.lines().last().unwrap_or("it said nothing");
            no(&format!("QEMU {how}: {words}"))
        }
        (None, None, None) => no("QEMU did not end"),
    }
}

/// The board: microvm where its clock can be told to it, otherwise q35.
///
/// Under TCG microvm has no timer to calibrate against, and its boots stop at random unless the
/// kernel is told the rate of the time-stamp counter, which under TCG is the host's.
pub fn machine(qemu: &Qemu, accel: Accel, tsc_khz: Option<u64>) -> Machine {
    match (qemu.microvm, accel, tsc_khz) {
        (true, Accel::Kvm, _) | (true, Accel::Tcg, Some(_)) => Machine::Microvm,
        _ if broken("board") => Machine::Microvm,
        _ => Machine::Q35,
    }
}

/// The rate of this host's time-stamp counter, measured once and remembered.
pub fn tsc_khz(store: &Store) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // A new boot may be another machine of the same name.
    let name = Hash::of(format!("tsc:{}", read("/proc/sys/kernel/random/boot_id")).as_bytes());
    if let Some(known) = store.fact(&name).and_then(|text| text.parse().ok()) {
        return Some(known);
    }
    let khz = measure_tsc(limits::TSC_MEASURE)?;
    let _ = store.remember(&name, &khz.to_string());
    Some(khz)
}

#[cfg(target_arch = "x86_64")]
fn measure_tsc(over: Duration) -> Option<u64> {
    let read = || -> (Instant, u64) {
        // SAFETY: the instruction exists on every x86-64 processor and touches no memory.
        (Instant::now(), unsafe { core::arch::x86_64::_rdtsc() })
    };
    let (from, ticks_from) = read();
    std::thread::sleep(over);
    let (to, ticks_to) = read();
    let ticks = ticks_to.checked_sub(ticks_from)? as u128;
    let khz = ticks * 1_000_000 / (to - from).as_nanos().max(1);
    u64::try_from(khz).ok().filter(|khz| (100_000..100_000_000).contains(khz))
}

#[cfg(not(target_arch = "x86_64"))]
fn measure_tsc(_over: Duration) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Guard;

    fn qemu() -> Qemu {
        Qemu { path: "/usr/bin/qemu-system-x86_64".into(), version: "7.2".into(), microvm: true }
    }

    fn host(kvm: KvmDevice) -> Host {
        Host {
            cpus: 2,
            memory_free_mib: 4096,
            qemu: None,
            compiler: None,
            cannot_link: Default::default(),
            kvm,
            ccache: false,
            found: Vec::new(),
        }
    }

    #[test]
    fn kvm_is_never_taken_on_the_word_of_its_device() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), &Guard::none()).unwrap();
        let ask = |kvm, choice| known(&store, &host(kvm), &qemu(), choice);
        assert_eq!(ask(KvmDevice::Opens, AccelChoice::Auto), Known::Untried);
        for kvm in [KvmDevice::Absent, KvmDevice::Refused("permission".into())] {
            let Known::Decided(decision) = ask(kvm, AccelChoice::Auto) else { panic!("undecided") };
            assert_eq!(decision.accel, Accel::Tcg);
        }
        let no = Decision { accel: Accel::Tcg, why: "it hung".into() };
        store.remember(&trial_name(&qemu()), &serde_json::to_string(&no).unwrap()).unwrap();
        assert_eq!(ask(KvmDevice::Opens, AccelChoice::Auto), Known::Decided(no));
        let Known::Decided(forced) = ask(KvmDevice::Opens, AccelChoice::Only(Accel::Kvm)) else { panic!() };
        assert_eq!(forced.accel, Accel::Kvm);
    }

    #[test]
    fn microvm_is_used_only_where_it_has_a_clock() {
        let without = Qemu { microvm: false, ..qemu() };
        assert_eq!(machine(&qemu(), Accel::Tcg, Some(2_000_000)), Machine::Microvm);
        assert_eq!(machine(&qemu(), Accel::Tcg, None), Machine::Q35);
        assert_eq!(machine(&qemu(), Accel::Kvm, None), Machine::Microvm);
        assert_eq!(machine(&without, Accel::Tcg, Some(2_000_000)), Machine::Q35);
    }

    #[test]
    fn the_counter_is_measured_alike_twice() {
        if let (Some(a), Some(b)) =
            (measure_tsc(Duration::from_millis(50)), measure_tsc(Duration::from_millis(50)))
        {
            assert!(a.abs_diff(b) < a / 1000, "{a} and {b} kHz");
        }
    }
}
