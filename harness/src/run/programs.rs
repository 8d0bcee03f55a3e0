//! The tests of a syscall's cell: whose they are, how they are built, and how each is run and judged.
//!
//! A directory that a series brings is new, and held to what the rule book asks of new tests. One that the
//! tree has had is run as the kselftest runner would run it, scripts and all. A test that the series adds has
//! to report its cases wherever it lies; the others may say by their exit status what they found, as hundreds
//! of them do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Means;
use super::cell::Packed;
use crate::broken::broken;
use crate::build::Trouble;
use crate::build::initramfs::{self, TEST_DIR};
use crate::build::kernel::Bench;
use crate::build::kselftest::{self as directories, Built, Program, Recipe};
use crate::build::selftest::{self, Programs};
use crate::build::series::Overlay;
use crate::build::source::Pristine;
use crate::build::userland::{self, Userland};
use crate::judge::verdict::Rules;
use crate::limits;
use crate::model::{Abi, Cause, Door, Mode, PlannedRun, RelPath, Tests};
use crate::plan::Plan;
use crate::plan::files::Spec;
use crate::plan::kselftest::{deadline, timeout};

/// The tests of one ABI.
pub(super) struct Selftest {
    /// What runs, in the order in which the directory lists it.
    pub(super) tests: Vec<Test>,
    /// Of the others, why they do not.
    pub(super) absent: Vec<Cause>,
    /// What should lie beside them and was not built, with the first error.
    pub(super) helpers: Vec<(String, String)>,
    /// Whether there are several, by this ABI or another.
    pub(super) many: bool,
    /// What the directory lists for this ABI, if all of it is asked for; and for this one or another, as far
    /// as that is known.
    listed: Vec<String>,
    anywhere: Vec<String>,
    made: Made,
}

/// What an image of them is made of.
enum Made {
    Programs(Programs),
    Installed(Userland, Built),
}

/// What a test has under TCG, in a guest that is as fast as the host, and where it is not judged.
#[derive(Clone, Copy)]
struct Times {
    tcg: Duration,
    kvm: Duration,
    unjudged: Duration,
}

/// One test.
pub(super) struct Test {
    /// Its file name.
    pub(super) program: String,
    /// How it is judged.
    pub(super) rules: Rules,
    /// How it is run by itself, under TCG.
    run: PlannedRun,
    times: Times,
}

impl Test {
    /// How it is run by itself.
    pub(super) fn run(&self, under_tcg: bool) -> PlannedRun {
        let deadline = if under_tcg { self.times.tcg } else { self.times.kvm };
        PlannedRun { deadline, ..self.run.clone() }
    }

    /// How it is run where its end is written down and not weighed.
    pub(super) fn recorded(&self, under_tcg: bool) -> PlannedRun {
        let run = self.run(under_tcg);
        PlannedRun { deadline: run.deadline.min(self.times.unjudged), ..run }
    }

    /// How it is run under ptrace.
    pub(super) fn traced(&self, doors: Vec<Door>) -> PlannedRun {
        PlannedRun { mode: Mode::Traced, deadline: self.times.unjudged, doors, ..self.run.clone() }
    }
}

/// What the installed tests of all ABIs share, once there are some.
pub(super) struct Shared {
    headers: PathBuf,
    userland: Userland,
    lists: Lists,
}

/// What a directory lists as its tests for one ABI or another: with the series, and without it.
struct Lists {
    now: Vec<String>,
    before: Vec<String>,
}

/// Builds the tests of one ABI, or finds them.
pub(super) async fn build(
    bench: &mut Bench<'_>,
    (means, plan): (&Means<'_>, &Plan),
    series: &Overlay,
    (spec, asked): (&Spec, &Tests),
    (abi, shared): (Abi, &mut Option<Shared>),
) -> Result<Selftest, Trouble> {
    let tree = bench.pristine.with(series);
    if !directories::exists(&tree, &asked.dir) {
        let detail = format!("the tree has no {}/{}/Makefile", directories::SELFTESTS, asked.dir);
        return Err(Cause::Source { detail }.into());
    }
    let is_new = !directories::exists(&bench.pristine, &asked.dir);
    if is_new && let Some(programs) = selftest::build(bench, series, spec, asked, abi).await? {
        return Selftest::of_programs(asked, programs, plan.deadline);
    }
    let shared = match shared {
        Some(shared) => shared,
        None => {
            if let Some((tool, why)) = means.host.missing_for_selftests().into_iter().next() {
                // That a series has scripts is known only now.
                let detail = format!("{}: {why} (package {})", tool.name, tool.packages.join(", "));
                return Err(Cause::Harness { detail }.into());
            }
            let headers = directories::headers(bench, series).await?;
            let userland = userland::userland(bench.shop, means.project).await?;
            let lists = Lists::read(bench, &tree, (asked, is_new), series).await?;
            shared.insert(Shared { headers, userland, lists })
        }
    };
    let recipe = Recipe {
        pristine: &tree,
        headers: &shared.headers,
        dir: &asked.dir,
        also: asked.only.as_ref(),
        abi,
        libraries: &directories::libraries_of_host(bench.shop, abi).await?,
        sanitizers: true,
    };
    let built = directories::build(bench.shop, &recipe).await?;
    let own = timeout(directories::file(&tree, &asked.dir, "settings").as_deref());
    let times = if is_new { Times::of_new(plan.deadline) } else { Times::of_old(plan, own) };
    // Where a user's tree has the call already, nobody knows which of its tests are new.
    let unknown = bench.kernel.is_users && !spec.adds_call && !plan.exit_status;
    let Shared { userland, lists, .. } = shared;
    let reports = |program: &str| is_new || unknown || is_added(bench, series, lists, &asked.dir, program);
    // What is asked for is a test, and absent by itself.
    let other = |name: &String| asked.only.as_ref().is_some_and(|only| only.as_str() != name);
    let unbuilt = built.unbuilt().filter(|(name, _)| other(name));
    let helpers: Vec<_> = built.helpers.iter().cloned().chain(unbuilt).collect();
    let mut selftest =
        Selftest::of_directory(asked, (userland.clone(), built, lists), abi, (times, reports))?;
    if is_new && !broken("new-helpers") {
        // A new test that can do without what lies beside it would not have it there.
        let absent = |(helper, first_error): (String, String)| {
            let program = asked.dir.to_string();
            Cause::HelperNotBuilt { abi, program, helper, first_error }
        };
        selftest.absent.extend(helpers.into_iter().map(absent));
    }
    Ok(selftest)
}

/// Whether a directory's program is one that the series adds.
fn is_added(bench: &Bench<'_>, series: &Overlay, lists: &Lists, dir: &RelPath, program: &str) -> bool {
    if lists.now.iter().any(|name| name == program) {
        return !lists.before.iter().any(|name| name == program);
    }
    // One that no Makefile lists is known by its source.
    let is_there = |ending: &&str| {
        let path = format!("{}/{dir}/{program}{ending}", directories::SELFTESTS);
        bench.pristine.read(&path).is_some()
    };
    !series.is_empty() && !["", ".c", ".cpp", ".S"].iter().any(is_there)
}

/// Tells each ABI of the tests that the directory lists for another one alone.
pub(super) fn compare_lists(packed: &mut BTreeMap<Abi, Packed>) {
    let selftests = packed.values().filter_map(|packed| packed.selftest.as_ref());
    let all: BTreeSet<String> = selftests.flat_map(|selftest| selftest.anywhere.clone()).collect();
    for (&abi, packed) in packed.iter_mut() {
        let Some(selftest) = &mut packed.selftest else { continue };
        selftest.many |= all.len() > 1;
        let missing = all.iter().filter(|name| !selftest.listed.contains(name));
        let told = missing.map(|program| Cause::NotListed { abi, program: program.clone() });
        selftest.absent.extend(told.collect::<Vec<_>>());
    }
}

impl Lists {
    async fn read(
        bench: &Bench<'_>,
        tree: &Pristine,
        (asked, is_new): (&Tests, bool),
        series: &Overlay,
    ) -> Result<Lists, Trouble> {
        let now = directories::list(bench.shop, tree, &asked.dir, &Abi::ALL).await?;
        let before = match series.is_empty() {
            _ if is_new => Vec::new(),
            true => now.clone(),
            false => match directories::list(bench.shop, &bench.pristine, &asked.dir, &Abi::ALL).await {
                Ok(before) => before,
                Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
                // What the series repairs has listed nothing before.
                Err(Trouble::Cause(_)) => Vec::new(),
            },
        };
        Ok(Lists { now, before })
    }
}

impl Times {
    fn of_new(deadline: Duration) -> Times {
        // A stop at every entry into the kernel makes a program slower, not faster.
        let unjudged = (deadline * 2).min(limits::TEST_DEADLINE_MAX);
        Times { tcg: deadline, kvm: deadline, unjudged }
    }

    /// `settings` is what the directory gives its programs, in the kselftest runner's seconds.
    fn of_old(plan: &Plan, settings: Option<u64>) -> Times {
        let patience = match (&plan.profile, plan.timeout) {
            (Some(profile), None) => profile.patience,
            _ => 1,
        };
        let stretched = |time: Duration| (time * patience).min(limits::TEST_DEADLINE_MAX);
        let [tcg, kvm] =
            [true, false].map(|under_tcg| stretched(deadline(settings, plan.timeout, under_tcg)));
        let unjudged = match plan.timeout {
            Some(asked) => Times::of_new(asked).unjudged.min(asked.max(limits::UNJUDGED_DEADLINE)),
            None => tcg.min(stretched(limits::UNJUDGED_DEADLINE)),
        };
        Times { tcg, kvm, unjudged }
    }
}

impl Selftest {
    fn of_programs(asked: &Tests, programs: Programs, deadline: Duration) -> Result<Selftest, Trouble> {
        let times = Times::of_new(deadline);
        let test = |name: &String| {
            let args = vec![format!("{TEST_DIR}/{name}")];
            let (dir, env, doors) = (None, Vec::new(), Vec::new());
            let run = PlannedRun { mode: Mode::Plain, deadline, dir, args, env, doors };
            Test { program: name.clone(), rules: Rules::Cell, run, times }
        };
        let tests: Vec<Test> = programs.names.iter().map(test).collect();
        let listed = if asked.only.is_some() { Vec::new() } else { programs.names.clone() };
        let (absent, helpers, anywhere) = (Vec::new(), Vec::new(), listed.clone());
        let made = Made::Programs(programs);
        Selftest { tests, absent, helpers, many: false, listed, anywhere, made }.bounded(asked)
    }

    /// One of which nothing can be run is none.
    fn of_directory(
        asked: &Tests,
        (userland, built, lists): (Userland, Built, &Lists),
        abi: Abi,
        (times, reports): (Times, impl Fn(&str) -> bool),
    ) -> Result<Selftest, Trouble> {
        let (mut tests, mut absent) = (Vec::new(), Vec::new());
        let is_asked = |name: &str| asked.only.as_ref().is_none_or(|only| only.as_str() == name);
        for program in built.programs.iter().filter(|program| is_asked(&program.name)) {
            if let Some(cause) = cannot_run(program, abi, &built.log, &userland.commands) {
                absent.push(cause);
                continue;
            }
            let name = program.name.clone();
            let rules = Rules::Kselftest { script: program.interpreter.is_some(), reports: reports(&name) };
            let run = planned(program, &asked.dir, times.tcg);
            tests.push(Test { program: name, rules, run, times });
        }
        match absent.first() {
            Some(cause) if tests.is_empty() => return Err(cause.clone().into()),
            None if tests.is_empty() => {
                if let Some(program) = lists.now.first().cloned() {
                    return Err(Cause::NotListed { abi, program }.into());
                }
                let detail = format!("the Makefile of {} lists no program by {}", asked.dir, abi.flag());
                return Err(Cause::Source { detail }.into());
            }
            _ => {}
        }
        let helpers = built.helpers.iter().cloned().chain(built.unbuilt()).collect();
        let (listed, anywhere) = match asked.only {
            Some(_) => (Vec::new(), Vec::new()),
            None => (built.programs.iter().map(|program| program.name.clone()).collect(), lists.now.clone()),
        };
        let made = Made::Installed(userland, built);
        Selftest { tests, absent, helpers, many: false, listed, anywhere, made }.bounded(asked)
    }

    fn bounded(self, asked: &Tests) -> Result<Selftest, Trouble> {
        let (count, dir) = (self.tests.len(), &asked.dir);
        if count <= limits::CELL_TESTS {
            return Ok(self);
        }
        let detail = format!(
            "the Makefile of {dir} lists {count} programs, and a cell runs up to {}: --selftest {dir}:PROGRAM \
             names one",
            limits::CELL_TESTS
        );
        Err(Cause::Source { detail }.into())
    }

    /// The most that a guest needs for them.
    pub(super) fn longest(&self) -> Duration {
        self.tests.iter().map(|test| test.times.tcg + test.times.unjudged).sum()
    }

    /// What an image is packed of.
    pub(super) fn packed(&self) -> initramfs::Tests<'_> {
        match &self.made {
            Made::Programs(programs) => initramfs::Tests::Programs(programs),
            Made::Installed(userland, built) => initramfs::Tests::Installed(userland, built),
        }
    }

    /// What a reader should know of it: what was to lie beside its tests.
    pub(super) fn notes(&self, abi: Abi) -> Vec<String> {
        let note =
            |(helper, why): &(String, String)| format!("{helper} was not built for {}: {why}", abi.flag());
        match &self.made {
            Made::Installed(_, built) => built.helpers.iter().map(note).collect(),
            Made::Programs(_) => Vec::new(),
        }
    }
}

/// Why a program of a directory cannot be run, if that is known before.
pub(super) fn cannot_run(
    program: &Program,
    abi: Abi,
    log: &Path,
    commands: &BTreeSet<String>,
) -> Option<Cause> {
    let missing = program.interpreter.as_ref().filter(|name| !commands.contains(*name));
    let missing =
        missing.map(|name| Cause::NoCommand { program: program.name.clone(), command: name.clone() });
    program.cause(abi, log).or(missing)
}

/// The run of a program as the kselftest runner would have it: in the directory where it is installed,
/// a script that cannot be executed by its interpreter.
pub(super) fn planned(program: &Program, dir: &RelPath, deadline: Duration) -> PlannedRun {
    let dir = format!("/{}/{dir}", directories::ROOT);
    let path = format!("{dir}/{}", program.name);
    let args = match &program.interpreter {
        Some(interpreter) if !program.executable => vec![format!("/bin/{interpreter}"), path],
        _ => vec![path],
    };
    let env = userland::ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    PlannedRun { mode: Mode::Plain, deadline, dir: Some(dir), args, env, doors: Vec::new() }
}
