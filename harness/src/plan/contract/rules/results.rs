//! What comes back: descriptors above all, and that nothing is left behind.

use super::Rules;
use crate::limits;
use crate::plan::contract::scene::Wrong;
use crate::plan::contract::schema::{OnExec, Poll};

/// O_NONBLOCK as F_GETFL shows it.
const NONBLOCK: &str = "getfl 0x800 0x800";

impl Rules<'_> {
    pub(super) fn results(&mut self) -> Result<(), Wrong> {
        let promises = &self.contract.promises;
        let good = self.good.clone();
        let fine = self.gives("good")?;
        let is_descriptor = promises.returns.is == "descriptor";
        let cite = match (&promises.descriptor, is_descriptor) {
            (Some(result), true) => result.cite.as_str(),
            (None, false) => promises.returns.cite.as_str(),
            (None, true) => {
                return Err("it returns a descriptor, and there is no section `descriptor`".to_owned());
            }
            (Some(_), false) => return Err("there is a section `descriptor`, and it returns none".to_owned()),
        };
        let times = if is_descriptor { limits::CONTRACT_REPEATS } else { limits::CONTRACT_REPEATS / 10 };
        self.special(
            &format!("result: {times} calls leave no descriptor behind"),
            cite,
            &format!("repeat {times}"),
            &fine,
            |_| Ok(Ok(good.clone())),
        )?;
        let Some(result) = &promises.descriptor else { return Ok(()) };
        match &result.cloexec {
            OnExec::Always => {
                let name = "result: closed by execve";
                self.special(name, cite, "cloexec set", &fine, |_| Ok(Ok(good.clone())))?;
            }
            OnExec::Flag(flag) => {
                let set = good.clone().or(&flag.place, self.bits(&flag.bit)?)?;
                let name = format!("result: closed by execve with {}", flag.bit);
                self.special(&name, cite, "cloexec set", &fine, |_| Ok(Ok(set.clone())))?;
                let name = format!("result: open after execve without {}", flag.bit);
                self.special(&name, cite, "cloexec clear", &fine, |_| Ok(Ok(good.clone())))?;
            }
        }
        let lowest = "result: the lowest number that is free";
        self.special(lowest, cite, "lowest", &fine, |_| Ok(Ok(good.clone())))?;
        let full = self.gives("EMFILE")?;
        let name = "result: EMFILE at RLIMIT_NOFILE";
        self.special(name, cite, "nofile", &full, |_| Ok(Ok(good.clone())))?;
        if let Some((mask, value)) = &result.status {
            let run = format!("getfl {:#x} {:#x}", self.bits(mask)?, self.bits(value)?);
            let name = format!("result: F_GETFL gives {value} of {mask}");
            self.special(&name, cite, &run, &fine, |_| Ok(Ok(good.clone())))?;
        }
        if let Some(flag) = &result.nonblock {
            let set = good.clone().or(&flag.place, self.bits(&flag.bit)?)?;
            let name = format!("result: does not block with {}", flag.bit);
            self.special(&name, cite, NONBLOCK, &fine, |_| Ok(Ok(set.clone())))?;
        }
        match result.poll {
            Poll::Never => {
                self.special("result: epoll refuses it", cite, "nopoll", &fine, |_| Ok(Ok(good.clone())))
            }
            Poll::Gives(events, given) => {
                let run = format!("poll {events:#x} {given:#x}");
                self.special("result: poll and epoll", cite, &run, &fine, |_| Ok(Ok(good.clone())))
            }
        }
    }
}
