//! A night: what each of its jobs came to, in `night.json` beside their folders, and as a page.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record::State;
use super::sealed::{self, ReadError};
use super::view::View;
use crate::broken::broken;
use crate::judge::console::sanitize;
use crate::limits;
use crate::model::Verdict;

/// The version of this format: raised when a reader of the one before would misread it.
pub const SCHEMA: u32 = 2;
/// The file's name in the night's folder.
pub const FILE: &str = "night.json";

/// One night.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NightRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the tool.
    pub tool: String,
    /// How far it is.
    pub state: State,
    /// When it began, in seconds since 1970.
    pub started_unix_s: u64,
    /// How long it took so far, in milliseconds.
    pub elapsed_ms: u64,
    /// The time after which nothing began, in minutes.
    pub budget_minutes: u64,
    /// How many jobs it has.
    pub selected: usize,
    /// Those that are over, in the order of the file.
    pub jobs: Vec<JobRecord>,
}

/// One job of a night.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its name, the same every night; a run has its folder under it.
    pub name: String,
    /// The command.
    pub command: String,
    /// What it came to.
    pub came: Came,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Against the last night that has it: that night's folder name, regressions, fixes.
    #[serde(default)]
    pub compared: Option<ComparedRecord>,
}

/// What a job came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Came {
    /// A run, whose record is in its folder.
    Run {
        /// The worst of its verdicts; a cell without one counts as an error.
        worst: Verdict,
        /// How many cells came to what, in words.
        counts: String,
        /// How many cells were left out since the time was over.
        left_out: usize,
    },
    /// A check without a matrix of its own.
    Check {
        /// In words.
        said: String,
        /// What it looked at, each by itself.
        parts: Vec<PartRecord>,
    },
    /// Nothing: it could not even begin.
    Trouble {
        /// Why.
        why: String,
    },
}

/// One thing that a check looks at: a seeded bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// Its name, the same every night.
    pub name: String,
    /// `fail` if it was not seen as it is to be, `miss` if the time was over before it was looked for.
    pub verdict: Verdict,
    /// What was seen instead; nothing if it passed.
    pub why: String,
}

/// How a job compares with the last night that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedRecord {
    /// That night's folder, by name.
    pub night: String,
    /// What became worse, one line each.
    pub regressions: Vec<String>,
    /// What became better, one line each.
    pub fixes: Vec<String>,
}

impl Came {
    /// What a run came to.
    pub fn of(view: &View<'_>) -> Came {
        // From the worst on: an error hides what a fail would say, but a fail is the kernel's.
        let order = [Verdict::Fail, Verdict::Error, Verdict::Miss, Verdict::Skip];
        let worst = order.into_iter().find(|verdict| view.count(*verdict) > 0);
        let nothing = view.selected == 0 || view.absent() > 0;
        let worst = match worst {
            Some(Verdict::Fail) => Verdict::Fail,
            _ if nothing => Verdict::Error,
            Some(worst) => worst,
            None => Verdict::Pass,
        };
        let is_left_out = |kind: Option<&str>| kind == Some("budget");
        let left_out = view.cells().filter(|c| is_left_out(c.cause.map(|cause| cause.kind.as_str()))).count();
        let counts = if view.counts().is_empty() { "no cells".to_owned() } else { view.counts() };
        Came::Run { worst, counts, left_out }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Came::Run { worst, .. } => *worst,
            // One that looked at nothing has found nothing.
            Came::Check { parts, .. } => {
                let parts = parts.iter().map(|part| part.verdict);
                parts.max_by_key(|verdict| verdict.weight()).unwrap_or(Verdict::Error)
            }
            Came::Trouble { .. } => Verdict::Error,
        }
    }

    fn said(&self) -> String {
        match self {
            Came::Run { counts, left_out: 0, .. } => counts.clone(),
            Came::Run { counts, left_out, .. } => format!("{counts} ({left_out} left out: budget)"),
            Came::Check { said, .. } => said.clone(),
            Came::Trouble { why } => why.clone(),
        }
    }

    /// Whether all of it is as it should be.
    pub fn is_pass(&self) -> bool {
        self.verdict() == Verdict::Pass
    }

    /// Whether the kernel or a syscall was found wrong.
    pub fn is_fail(&self) -> bool {
        self.verdict() == Verdict::Fail
    }
}

impl ComparedRecord {
    /// The parts of a check against those of an earlier night, by the rules of
    /// [`compare`](super::compare): worse is worse, one that is not there any more is worse than any, and one
    /// that is new is worse if it fails.
    pub fn of_parts(night: &str, base: &[PartRecord], new: &[PartRecord]) -> ComparedRecord {
        let (mut regressions, mut fixes) = (Vec::new(), Vec::new());
        let said = |was: Option<&PartRecord>| was.map_or("not there", |part| part.verdict.name());
        for is in new {
            let was = base.iter().find(|was| was.name == is.name);
            let before = was.map_or(Verdict::Error.weight(), |was| was.verdict.weight());
            let line = |why: &str| format!("{}: {} -> {}: {why}", is.name, said(was), is.verdict);
            if is.verdict.weight() > before && !broken("unseen-bug") {
                regressions.push(line(&is.why));
            } else if let Some(was) = was.filter(|_| is.verdict == Verdict::Pass && before > 0) {
                fixes.push(line(&format!("it was: {}", was.why)));
            }
        }
        let vanished = base.iter().filter(|was| !new.iter().any(|is| is.name == was.name));
        regressions.extend(vanished.map(|was| format!("{}: {} -> not there", was.name, was.verdict)));
        ComparedRecord { night: night.to_owned(), regressions, fixes }
    }
}

impl NightRecord {
    /// Reads the record of an earlier night.
    pub fn read(folder: &Path) -> Result<NightRecord, ReadError> {
        sealed::read(&folder.join(FILE), limits::NIGHT_BYTES)
    }

    /// Writes the record into the night's folder, whole or not at all.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        sealed::write_as(&folder.join(FILE), self)
    }

    /// Whether every job was as it should be. One that is not there was not.
    pub fn all_passed(&self) -> bool {
        self.selected > 0
            && self.jobs.len() == self.selected
            && self.jobs.iter().all(|job| job.came.is_pass())
    }

    /// How many regressions there are against the last night.
    pub fn regressions(&self) -> usize {
        self.jobs.iter().filter_map(|job| job.compared.as_ref()).map(|c| c.regressions.len()).sum()
    }
}

/// Regressions and fixes shown of a job; the rest is counted, and `compare` lists it.
const LINES_SHOWN: usize = 20;

/// The night as a page: Markdown, which a terminal shows as well.
pub fn render(night: &NightRecord) -> String {
    let mut out = String::from("# The night\n\n");
    let passed = night.jobs.iter().filter(|job| job.came.is_pass()).count();
    let state = match night.state {
        State::Complete => "",
        State::Interrupted => "; INTERRUPTED",
        State::Running => "; NOT FINISHED",
    };
    let minutes = night.elapsed_ms / 60_000;
    let _ = writeln!(
        out,
        "{passed} of {} jobs passed in {minutes} of {} minutes{state}; {}.",
        night.selected,
        night.budget_minutes,
        against(night)
    );
    let _ = writeln!(out, "\n| job | | cells | minutes | against the last night |");
    let _ = writeln!(out, "| --- | --- | --- | --- | --- |");
    for JobRecord { name, came, elapsed_ms, compared, .. } in &night.jobs {
        let compared = compared.as_ref().map_or("not in an earlier night".to_owned(), |compared| {
            match (compared.regressions.len(), compared.fixes.len()) {
                (0, 0) => "the same".to_owned(),
                (worse, better) => format!("{worse} worse, {better} better"),
            }
        });
        let (word, said) = (came.verdict().name(), cell(&came.said()));
        let minutes = *elapsed_ms as f64 / 60_000.0;
        let _ = writeln!(out, "| {name} | {word} | {said} | {minutes:.1} | {compared} |");
    }
    for job in &night.jobs {
        let Some(compared) = &job.compared else { continue };
        for (what, lines) in [("Worse", &compared.regressions), ("Better", &compared.fixes)] {
            if lines.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n## {what} than in {}: {}\n", compared.night, job.name);
            for line in lines.iter().take(LINES_SHOWN) {
                let _ = writeln!(out, "    {}", sanitize(line));
            }
            if lines.len() > LINES_SHOWN {
                let _ = writeln!(out, "    and {} more", lines.len() - LINES_SHOWN);
            }
        }
    }
    out
}

/// What the comparison came to; a job that no earlier night has is none that did not get worse.
fn against(night: &NightRecord) -> String {
    let compared = night.jobs.iter().filter(|job| job.compared.is_some()).count();
    let found = match night.regressions() {
        _ if compared == 0 => return "there is no earlier night to compare with".to_owned(),
        0 => "no regression".to_owned(),
        1 => "1 regression".to_owned(),
        n => format!("{n} regressions"),
    };
    let of_all = match night.jobs.len() - compared {
        0 => String::new(),
        new => format!(" ({new} of the jobs are in none)"),
    };
    format!("{found} against the last night{of_all}")
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    let text: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    sanitize(&text).replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::view::tests::syscall;

    fn job(name: &str, came: Came) -> JobRecord {
        let command = format!("cargo xtask test-syscall {name}");
        JobRecord { name: name.to_owned(), command, came, elapsed_ms: 90_000, compared: None }
    }

    fn part(name: &str, verdict: Verdict) -> PartRecord {
        PartRecord { name: name.to_owned(), verdict, why: format!("why {name}") }
    }

    fn night(jobs: Vec<JobRecord>) -> NightRecord {
        NightRecord {
            schema: SCHEMA,
            tool: "0.1.0".to_owned(),
            state: State::Complete,
            started_unix_s: 0,
            elapsed_ms: 3_600_000,
            budget_minutes: 60,
            selected: jobs.len(),
            jobs,
        }
    }

    #[test]
    fn a_run_comes_to_its_worst_and_a_cell_without_a_verdict_is_never_a_pass() {
        let mut run = syscall();
        let came = |run: &_| Came::of(&View::of_syscall(run));
        assert!(came(&run).is_fail());
        run.cells.retain(|cell| cell.verdict == Verdict::Pass);
        assert!(!came(&run).is_pass(), "four cells have no verdict");
        run.selected = run.cells.len();
        assert!(came(&run).is_pass());
        run.cells.clear();
        run.selected = 0;
        assert!(!came(&run).is_pass(), "nothing is no pass");
    }

    #[test]
    fn the_page_has_a_line_for_each_job_and_the_regressions() {
        let run = Came::Run { worst: Verdict::Fail, counts: "1 fail, 5 pass".to_owned(), left_out: 0 };
        let late = Came::Run { worst: Verdict::Miss, counts: "6 miss".to_owned(), left_out: 6 };
        let mut worse = job("xyzzy.linux-6.12", run);
        worse.compared = Some(ComparedRecord {
            night: "20261126T010000Z-night".to_owned(),
            regressions: vec!["linux-6.12 patched m32: pass, now fail: \u{1b}[31m".to_owned()],
            fixes: Vec::new(),
        });
        let trouble = job("bad", Came::Trouble { why: "no kernel <x> | y".to_owned() });
        let parts = vec![part("fd-leak", Verdict::Pass)];
        let checked = job("mutants", Came::Check { said: "54 of 54 caught".to_owned(), parts });
        let text = render(&night(vec![worse, job("late", late), trouble, checked]));
        let expected = "\
# The night

1 of 4 jobs passed in 60 of 60 minutes; 1 regression against the last night (3 of the jobs are in none).

| job | | cells | minutes | against the last night |
| --- | --- | --- | --- | --- |
| xyzzy.linux-6.12 | fail | 1 fail, 5 pass | 1.5 | 1 worse, 0 better |
| late | miss | 6 miss (6 left out: budget) | 1.5 | not in an earlier night |
| bad | error | no kernel &lt;x> \\| y | 1.5 | not in an earlier night |
| mutants | pass | 54 of 54 caught | 1.5 | not in an earlier night |

## Worse than in 20261126T010000Z-night: xyzzy.linux-6.12

    linux-6.12 patched m32: pass, now fail: \\x1b[31m
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_night_is_read_back_as_it_was_written_and_lacks_no_job() {
        let folder = tempfile::tempdir().unwrap();
        let ok = || Came::Check { said: "all".to_owned(), parts: vec![part("a", Verdict::Pass)] };
        let mut night = night(vec![job("a", ok()), job("b", ok())]);
        assert!(night.all_passed());
        night.jobs.pop();
        assert!(!night.all_passed());
        night.write(folder.path()).unwrap();
        assert_eq!(NightRecord::read(folder.path()).unwrap(), night);
    }

    #[test]
    fn a_seeded_bug_that_is_not_seen_any_more_fails_the_night_and_is_a_regression() {
        let was = [
            part("seen", Verdict::Pass),
            part("unseen", Verdict::Fail),
            part("late", Verdict::Miss),
            part("gone", Verdict::Fail),
            part("same", Verdict::Fail),
        ];
        let is = [
            part("seen", Verdict::Fail),
            part("unseen", Verdict::Pass),
            part("late", Verdict::Fail),
            part("same", Verdict::Fail),
            part("new", Verdict::Fail),
            part("new and late", Verdict::Miss),
        ];
        let found = ComparedRecord::of_parts("n", &was, &is);
        assert_eq!(
            found.regressions,
            [
                "seen: pass -> fail: why seen",
                "late: miss -> fail: why late",
                "new: not there -> fail: why new",
                "gone: fail -> not there"
            ]
        );
        assert_eq!(found.fixes, ["unseen: fail -> pass: it was: why unseen"]);
        let came = |parts: &[PartRecord]| Came::Check { said: String::new(), parts: parts.to_vec() };
        assert!(came(&is).is_fail());
        assert_eq!(came(&[part("a", Verdict::Pass), part("b", Verdict::Miss)]).verdict(), Verdict::Miss);
        assert!(!came(&[]).is_pass() && came(&is[1..2]).is_pass());
    }
}
