//! What the guest of a syscall's cell is asked to do, and what the judge is to expect of it.

use std::path::Path;
use std::time::Duration;

use super::file_name;
use super::programs::{Selftest, Test};
use crate::build::initramfs::{CASES, Image, PROBE, PROBER};
use crate::judge::verdict::{Expectation, ExpectedRun, Role, Rules};
use crate::limits;
use crate::model::{Abi, Leg, Mode, PlannedRun};
use crate::plan::files::Spec;
use crate::plan::numbers;

/// What the guests of one ABI have in them.
pub(super) struct Packed {
    /// What they boot.
    pub(super) image: Image,
    /// The selftest in it, if there is one.
    pub(super) selftest: Option<Selftest>,
}

/// What a guest is asked to do, and what is expected of it.
pub(super) fn agenda(
    spec: &Spec,
    leg: Leg,
    (abi, number): (Abi, u32),
    Packed { image, selftest }: &Packed,
    under_tcg: bool,
) -> (Vec<PlannedRun>, Expectation) {
    let own = |role: Role, deadline: Duration, args: Vec<String>| {
        let program = file_name(Path::new(&args[0]));
        let (mode, dir, env, doors) = (Mode::Plain, None, Vec::new(), Vec::new());
        let run = PlannedRun { mode, deadline, dir, args, env, doors };
        Part { role, rules: Rules::Cell, program, run }
    };
    let probe = |role: Role, expect: &str| {
        let args =
            vec![PROBE.to_owned(), format!("door={abi}"), format!("nr={number}"), format!("expect={expect}")];
        own(role, limits::PROBE_DEADLINE, args)
    };
    let prober = |role: Role, how: Option<&str>| {
        let args = [PROBER, CASES].into_iter().chain(how).map(str::to_owned).collect();
        own(role, limits::CONTRACT_DEADLINE, args)
    };
    let test = |role: Role, rules: Rules, test: &Test, run: PlannedRun| {
        let program = test.program.clone();
        Part { role, rules, program, run }
    };
    let doors: Vec<_> = spec.numbers.iter().map(|(abi, number)| abi.door(*number)).collect();
    let tests = || selftest.iter().flat_map(|selftest| &selftest.tests);
    let mut agenda = Vec::new();
    if leg.is_control() {
        agenda.push(probe(Role::Judged, "enosys"));
        agenda.extend(image.cases.iter().map(|_| prober(Role::Contract, Some("enosys"))));
        agenda.extend(tests().map(|one| test(Role::Recorded, Rules::Cell, one, one.recorded(under_tcg))));
    } else {
        agenda.extend(tests().map(|one| test(Role::Judged, one.rules, one, one.run(under_tcg))));
        // Before what may be cut short, and leave something behind.
        agenda.extend(image.cases.iter().map(|_| prober(Role::Contract, None)));
        agenda.extend(tests().map(|one| test(Role::Traced, Rules::Cell, one, one.traced(doors.clone()))));
        if tests().next().is_none() {
            // A selftest that never makes the call is not excused by a prober that does.
            let Part { role, rules, program, run } = prober(Role::Traced, Some("good"));
            let run = PlannedRun { mode: Mode::Traced, doors, ..run };
            agenda.push(Part { role, rules, program, run });
        }
        agenda.push(probe(Role::Wired, "wired"));
    }
    let mut expected = Vec::new();
    let mut runs = Vec::new();
    for Part { role, rules, program, run } in agenda {
        let cases = image.cases.iter().filter(|_| role == Role::Contract).flat_map(|cases| &cases.cases);
        let cases = cases.map(|case| case.planned.clone()).collect();
        let deadline_ms = run.deadline.as_millis() as u64;
        expected.push(ExpectedRun { role, program, deadline_ms, rules, cases });
        runs.push(run);
    }
    let not_applicable = image.cases.as_ref().map(|cases| cases.not_applicable.clone()).unwrap_or_default();
    let (many, absent, helpers) = match selftest {
        Some(Selftest { many, absent, helpers, .. }) => (*many, absent.clone(), helpers.clone()),
        None => (false, Vec::new(), Vec::new()),
    };
    let expectation = Expectation {
        leg,
        abi,
        number,
        table: numbers::table(abi).to_owned(),
        runs: expected,
        known: Vec::new(),
        many: many && !leg.is_control(),
        absent,
        helpers,
        not_applicable,
    };
    (runs, expectation)
}

/// One run of a guest's plan, and what it is for.
struct Part {
    role: Role,
    rules: Rules,
    program: String,
    run: PlannedRun,
}
