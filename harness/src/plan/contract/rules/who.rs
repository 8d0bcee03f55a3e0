//! Who may call, what interrupts a call, and what many of them at once do.

use std::collections::BTreeMap;

use super::{Expect, Rules};
use crate::limits;
use crate::plan::contract::scene::Wrong;
use crate::plan::contract::value::{Term, Value};

/// The kernel's capabilities by their numbers: include/uapi/linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

impl Rules<'_> {
    pub(super) fn who(&mut self) -> Result<(), Wrong> {
        let good = self.good.clone();
        if let Some(gate) = &self.contract.promises.capability {
            let number = CAPABILITIES.iter().position(|name| *name == gate.needs);
            let number = number.ok_or_else(|| format!("`{}` is no capability", gate.needs))?;
            let needs = &gate.needs;
            for (what, creds, gives) in [
                ("as root".to_owned(), "root".to_owned(), "good"),
                (format!("with {needs} alone"), format!("cap:{number}"), "good"),
                (format!("with all but {needs}"), format!("nocap:{number}"), gate.without.as_str()),
                ("with none".to_owned(), "none".to_owned(), gate.without.as_str()),
                ("as root of a user namespace".to_owned(), "userns".to_owned(), gate.user_namespace.as_str()),
            ] {
                let (expect, run) = (self.gives(gives)?, format!("creds {creds}"));
                self.special(&format!("capability: {what}"), &gate.cite, &run, &expect, |_| {
                    Ok(Ok(good.clone()))
                })?;
            }
        }
        if let Some(gate) = &self.contract.promises.ptrace {
            for (what, creds, thing, gives) in [
                ("itself", "none", "pidfd-self", "good"),
                ("its child", "none", "pidfd-child", "good"),
                ("another user's process", "none", "pidfd-other", gate.denied.as_str()),
                ("a process that is not dumpable", "none", "pidfd-undumpable", gate.denied.as_str()),
                ("another user's process, as root", "root", "pidfd-other", "good"),
                ("a process that is not dumpable, as root", "root", "pidfd-undumpable", "good"),
                ("a process that has been reaped", "root", "pidfd-dead", gate.dead.as_str()),
            ] {
                let (expect, run) = (self.gives(gives)?, format!("creds {creds}"));
                let scene = good.clone().set(&gate.place, Value(vec![Term::Made(format!("fd:{thing}"))]))?;
                let name = format!("ptrace: {what}");
                self.special(&name, &gate.cite, &run, &expect, |_| Ok(Ok(scene.clone())))?;
            }
        }
        Ok(())
    }

    pub(super) fn signals(&mut self) -> Result<(), Wrong> {
        let Some(blocks) = &self.contract.promises.blocks else { return Ok(()) };
        let scene = self.with(&blocks.with)?;
        let interrupted = self.gives("EINTR")?;
        let name = "signals: a handler without SA_RESTART";
        self.special(name, &blocks.cite, "interrupt eintr", &interrupted, |_| Ok(Ok(scene.clone())))?;
        let (name, run) = match blocks.restarts {
            true => ("signals: goes on after a handler with SA_RESTART", "interrupt restart"),
            false => ("signals: EINTR even with SA_RESTART", "interrupt always"),
        };
        self.special(name, &blocks.cite, run, &interrupted, |_| Ok(Ok(scene.clone())))
    }

    /// Many at once, and failed allocations.
    pub(super) fn crowd(&mut self) -> Result<(), Wrong> {
        let promises = &self.contract.promises;
        let good = self.good.clone();
        let fine = self.gives("good")?;
        let cite = promises.returns.cite.as_str();
        let (threads, ms) = limits::CONTRACT_THREADS;
        let name = format!("crowd: {threads} threads for {ms} ms");
        match &promises.one_at_a_time {
            Some(why) => self.not_applicable(name, why),
            None => {
                let run = format!("threads {threads} {ms}");
                self.special(&name, cite, &run, &fine, |_| Ok(Ok(good.clone())))?;
            }
        }
        let name = "crowd: each allocation and copy refused in turn";
        match &promises.cannot_be_refused {
            Some(why) => self.not_applicable(name, why),
            None => {
                let run = format!("failnth {}", limits::CONTRACT_FAILURES);
                let cite = "Documentation/fault-injection/fault-injection.rst, fail-nth";
                self.special(name, cite, &run, &fine, |_| Ok(Ok(good.clone())))?;
            }
        }
        Ok(())
    }

    pub(super) fn seccomp(&mut self) -> Result<(), Wrong> {
        let Some(door) = self.door() else { return Ok(()) };
        let cite = "seccomp(2): a filter sees the architecture and the number by which the call came in";
        let (good, fine) = (self.good.clone(), self.gives("good")?);
        let run = format!("seccomp {:#x} {:#x}", door.arch, door.nr);
        let name = "seccomp: a filter for this door sees the call";
        // It is trapped and never made.
        let trapped = Expect { words: "any".to_owned(), after: BTreeMap::new() };
        self.special(name, cite, &run, &trapped, |_| Ok(Ok(good.clone())))?;
        for (abi, number) in self.numbers {
            let other = abi.door(*number);
            if other == door {
                continue;
            }
            let run = format!("seccomp-other {:#x} {:#x}", other.arch, other.nr);
            let name = format!("seccomp: a filter for the {abi} door does not");
            self.special(&name, cite, &run, &fine, |_| Ok(Ok(good.clone())))?;
        }
        Ok(())
    }
}
