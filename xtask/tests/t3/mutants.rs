//! A few of the seeded bugs by the command that runs all: on the kernel of the examples, one object each.
//! The night runs the whole list.

use super::KERNEL;
use super::support::{project_copy, xtask};

/// Each with the ABIs whose programs show it: by their own door, or by another that the contract knocks at.
const SOME: [(&str, &[&str]); 6] = [
    ("fd-cloexec-ignored", &["m64", "m32", "mx32"]),
    // The i386 entry: m64 and mx32 come there by int 0x80.
    ("off-halves-swapped", &["m64", "m32", "mx32"]),
    ("off-register-cut", &["m64", "mx32"]),
    ("priv-capability-missing", &["m64", "m32", "mx32"]),
    // That of the reports, whose kernel is there. m64 comes to x32's entry by its number.
    ("v-x32-taken-for-native", &["m64", "mx32"]),
    // A flag of the program where the door is meant: m64's own door has it right, and int 0x80 does not.
    ("v-thread-flag-asked", &["m64"]),
];

pub fn caught() {
    let words = SOME.map(|(name, _)| name);
    let run = xtask(&[&["test", "--mutants"], &words[..]].concat());
    assert_eq!(run.code, Some(0), "{run}");
    for (name, shown_by) in SOME {
        assert!(run.stderr.contains(&format!("caught     {name}\n")), "{name}: {run}");
        let row = run.stdout.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{run}"));
        let columns: Vec<&str> = row.split('┆').map(str::trim).collect();
        for (abi, said) in ["m64", "m32", "mx32"].iter().zip(&columns[2..]) {
            let verdict = if shown_by.contains(abi) { "fail case-failed" } else { "pass" };
            assert!(said.starts_with(verdict), "{name} {abi}: {run}");
        }
    }
    assert!(run.stdout.contains("6 of 6 mutants caught by what they name"), "{run}");
}

/// A bug that is seen by something else than it names is not caught, nor is one that is not there.
pub fn uncaught() {
    let (_scratch, project) = project_copy();
    let file = project.join(format!("kernels/{KERNEL}/mutants/v-x32-taken-for-native.patch"));
    let patch = std::fs::read_to_string(&file).unwrap();
    let lines = patch.lines().filter(|line| !line.starts_with("Expect"));
    let other = "Expect: fail case-failed \"one_vector\"\nExpect-mx32: fail case-failed \"no_such_case\"\n";
    let mut text = lines.fold(String::new(), |text, line| text + line + "\n");
    text = text.replacen("Signed-off-by:", &format!("{other}Signed-off-by:"), 1);
    std::fs::write(&file, text).unwrap();
    let run = xtask(&["test", "--mutants", "v-x32-taken-for-native", "--project", project.to_str().unwrap()]);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stderr.contains("NOT CAUGHT v-x32-taken-for-native\n"), "{run}");
    assert_eq!(run.stdout.matches("not as named:").count(), 3, "{run}");
    assert!(run.stdout.contains("0 of 1 mutants caught by what they name"), "{run}");
}

/// A kernel more, since no other one remembers its allocations. The unbroken example is the control: what
/// the kernel itself loses would be held against each call.
pub fn lost_memory() {
    let args = ["test-syscall", "xyzzyfd", "--stacked", "--leg", "patched", "--profile", "leaks"];
    let run = xtask(&[&args[..], &["--contract=no", "--format", "json"]].concat());
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(run.cells().len(), 3, "{run}");
    let run = xtask(&["test", "--mutants", "fd-latch-leaked"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(run.stdout.matches("fail kernel-fault:").count(), 3, "{run}");
    assert!(run.stdout.contains("1 of 1 mutants caught by what they name"), "{run}");
    // The same kernel, which does not look: silence is no answer.
    let (_scratch, project) = project_copy();
    let file = project.join("configs/profiles.yaml");
    let profiles = std::fs::read_to_string(&file).unwrap();
    let off = profiles.replace("[kmemleak=on, kmemleak.verbose=1]", "[kmemleak=on, kmemleak=off]");
    assert_ne!(off, profiles);
    std::fs::write(&file, off).unwrap();
    let more = ["--abi", "m64", "--contract=no", "--format", "json", "--project", project.to_str().unwrap()];
    let run = xtask(&[&args[..], &more].concat());
    assert_eq!(run.code, Some(3), "{run}");
    assert_eq!(run.cells()[0]["verdict"], "error", "{run}");
    let cause = run.cells()[0]["cause"]["text"].as_str().unwrap().to_owned();
    assert!(cause.contains("kmemleak does not look: scan: Operation not permitted"), "{run}");
}
