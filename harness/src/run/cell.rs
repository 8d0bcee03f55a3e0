//! What the guest of a syscall's cell is asked to do, and what the judge is to expect of it.

use std::path::Path;
use std::time::Duration;

use super::file_name;
use crate::build::initramfs::{CASES, Image, PROBE, PROBER};
use crate::judge::verdict::{Expectation, ExpectedRun, Role};
use crate::limits;
use crate::model::{Abi, Leg, Mode, PlannedRun};
use crate::plan::files::Spec;
use crate::plan::numbers;

/// What a guest is asked to do, and what is expected of it.
pub(super) fn agenda(
    spec: &Spec,
    leg: Leg,
    (abi, number): (Abi, u32),
    image: &Image,
    deadline: Duration,
) -> (Vec<PlannedRun>, Expectation) {
    let probe = |role: Role, expect: &str| {
        let args =
            vec![PROBE.to_owned(), format!("door={abi}"), format!("nr={number}"), format!("expect={expect}")];
        (role, Mode::Plain, limits::PROBE_DEADLINE, args)
    };
    let tests = |role: Role, mode: Mode, deadline: Duration| {
        image.tests.iter().map(move |test| (role, mode, deadline, vec![test.clone()]))
    };
    let prober = |role: Role, mode: Mode, how: Option<&str>| {
        let args = [PROBER, CASES].into_iter().chain(how).map(str::to_owned).collect();
        (role, mode, limits::CONTRACT_DEADLINE, args)
    };
    let mut agenda = Vec::new();
    if leg.is_control() {
        agenda.push(probe(Role::Judged, "enosys"));
        agenda.extend(image.cases.iter().map(|_| prober(Role::Contract, Mode::Plain, Some("enosys"))));
        agenda.extend(tests(Role::Recorded, Mode::Plain, deadline));
    } else {
        agenda.extend(tests(Role::Judged, Mode::Plain, deadline));
        // A stop at every entry into the kernel makes a program slower, not faster.
        let traced = (deadline * 2).min(limits::TEST_DEADLINE_MAX);
        agenda.extend(tests(Role::Traced, Mode::Traced, traced));
        agenda.extend(image.cases.iter().map(|_| prober(Role::Contract, Mode::Plain, None)));
        if image.tests.is_empty() {
            // A selftest that never makes the call is not excused by a prober that does.
            agenda.push(prober(Role::Traced, Mode::Traced, Some("good")));
        }
        agenda.push(probe(Role::Wired, "wired"));
    }
    let mut expected = Vec::new();
    let mut runs = Vec::new();
    for (role, mode, deadline, args) in agenda {
        let program = file_name(Path::new(&args[0]));
        let cases = image.cases.iter().filter(|_| role == Role::Contract).flat_map(|cases| &cases.cases);
        let cases = cases.map(|case| case.planned.clone()).collect();
        expected.push(ExpectedRun { role, program, deadline_ms: deadline.as_millis() as u64, cases });
        let doors = match mode {
            Mode::Traced => spec.numbers.iter().map(|(abi, number)| abi.door(*number)).collect(),
            Mode::Plain => Vec::new(),
        };
        runs.push(PlannedRun { mode, deadline, dir: None, args, env: Vec::new(), doors });
    }
    let (table, known) = (numbers::table(abi).to_owned(), Vec::new());
    let not_applicable = image.cases.as_ref().map(|cases| cases.not_applicable.clone()).unwrap_or_default();
    (runs, Expectation { leg, abi, number, table, runs: expected, known, not_applicable })
}
