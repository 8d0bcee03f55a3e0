//! One run with a bug that x32 alone shows, in every format; and what the kernel's own reader of KTAP
//! makes of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::report::format::Format;
use harness::report::outcome::{self, Totals};
use harness::report::sealed::AnyRun;
use harness::report::view::View;
use serde_json::Value;

use super::KERNEL;
use super::support::{self, xtask};

/// On the kernel of the examples: one object is compiled.
pub fn seeded() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let patch = format!("{}/kernels/{KERNEL}/mutants/v-x32-taken-for-native.patch", support::checkout());
    let syscall = ["test-syscall", "xyzzyv", "--kernel", KERNEL, "--stacked", "--leg", "patched"];
    for (name, more, code) in [("good", &[][..], 0), ("bad", &["--extra-patch", &patch][..], 1)] {
        let out = at(name).display().to_string();
        let mut args = [&syscall[..], &["--out", &out], more].concat();
        let reports = Format::ALL.map(|format| format!("{format}={out}/report.{format}"));
        reports.iter().for_each(|to| args.extend(["--report", to]));
        let run = xtask(&args);
        assert_eq!(run.code, Some(code), "{run}");
        let told =
            |format: Format| std::fs::read_to_string(at(name).join(format!("report.{format}"))).unwrap();
        for format in Format::ALL.into_iter().filter(|_| code == 1) {
            let text = told(format);
            assert!(text.contains("one_vector") && text.contains("mx32"), "{format}: {text}");
        }
        assert_valid(&serde_json::from_str(&told(Format::Json)).unwrap());
        let record = AnyRun::read(&at(name)).unwrap();
        let totals = outcome::totals(&View::of(&record));
        assert!(totals.pass > 50, "{totals:?}");
        kunit_agrees(&kunit(scratch.path()), &at(name).join("report.ktap"), totals);
    }
}

#[track_caller]
fn assert_valid(record: &Value) {
    let schema = std::fs::read(Path::new(&support::checkout()).join("docs/run.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let errors: Vec<String> = schema.iter_errors(record).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// The program, from the kernel's source in the cache. It is copied, since python writes beside what it
/// runs, to where it finds its place in a tree.
fn kunit(scratch: &Path) -> PathBuf {
    let sources = std::fs::read_dir(support::cache().join("source")).unwrap().flatten();
    let mut folders = sources.map(|entry| entry.path().join("tree/tools/testing/kunit"));
    let folder = folders.find(|folder| folder.join("kunit.py").exists());
    let folder = folder.expect("this test needs a kernel's source in the cache, with tools/testing/kunit");
    let copy = scratch.join("tools/testing/kunit");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-rT").arg(folder).arg(&copy).status().unwrap();
    assert!(copied.success());
    copy.join("kunit.py")
}

/// It knows no errors: they failed. Where nothing passed it is not content, and neither are we.
#[track_caller]
fn kunit_agrees(kunit: &Path, file: &Path, totals: Totals) {
    let mut command = Command::new("python3");
    let output = command.arg(kunit).arg("parse").arg(file).output().expect("this test needs python3");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let Totals { pass, fail, skip, error } = totals;
    let counts = [("passed", pass), ("failed", fail + error), ("skipped", skip)];
    let counts: Vec<String> =
        counts.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{word}: {n}")).collect();
    let line = format!("Testing complete. Ran {} tests: {}\n", pass + fail + skip + error, counts.join(", "));
    assert!(text.contains(&line), "no {line:?} in {text}");
    let content = fail + error == 0 && pass > 0;
    assert_eq!(output.status.code(), Some(i32::from(!content)), "{text}");
}
