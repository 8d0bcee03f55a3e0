//! Tier 0: the fuzz targets on their stored corpora, on the project's own files, and on a few
//! thousand mutations of both. The same on every machine: the seeds of the mutations are fixed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

/// The limit of all stored inputs together: they are read by people, too.
const CORPUS_BYTES: usize = 300 * 1024;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: PathBuf, ending: &str) -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && path.to_str().unwrap().ends_with(ending))
        .collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Inputs that are good for something else in this project.
fn own_files(target: &str) -> Vec<(String, Vec<u8>)> {
    let kernel = |path: &str| top().join("kernels/linux-6.12").join(path);
    match target {
        "ktap" | "console" => files(top().join("harness/tests/corpus").join(target), ".log"),
        "mbox" => files(top().join("harness/tests/corpus/mbox"), ".mbox")
            .into_iter()
            .map(|(name, text)| {
                // What is expected stands above the first empty line.
                let start = text.windows(2).position(|two| two == b"\n\n").unwrap_or(0) + 2;
                (name, text[start..].to_vec())
            })
            .collect(),
        "patch" | "patch-git" => {
            [files(kernel("xyzzy"), ".patch"), files(kernel("mutants"), ".patch")].concat()
        }
        "yaml" => {
            let mut all = files(kernel(""), ".yaml");
            let specs = files(kernel("xyzzy"), ".yaml").into_iter();
            all.extend(specs.map(|(name, text)| (name, [b"s".as_slice(), &text].concat())));
            all
        }
        "kconfig" => {
            let fragments = files(top().join("configs"), ".config").into_iter();
            fragments.map(|(name, text)| (name, [b"\0".as_slice(), &text, b"\0"].concat())).collect()
        }
        "frames" | "tables" | "plan" => Vec::new(),
        other => panic!("which files are like inputs of {other}?"),
    }
}

fn stored(target: &str) -> Vec<(String, Vec<u8>)> {
    let inputs = files(top().join("harness/fuzz/corpus").join(target), "");
    assert!(!inputs.is_empty(), "no corpus for {target}");
    inputs
}

/// A small generator of numbers that look random (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    fn range(&mut self, of: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(of.len() + 1);
        start..(start + self.below(40)).min(of.len())
    }
}

/// One to four changes: bytes, ranges, whole lines, and pieces of another input.
fn mutate(input: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.below(3) {
        let range = numbers.range(&bytes);
        match numbers.below(7) {
            0 if !range.is_empty() => bytes[range.start] = numbers.below(256) as u8,
            1 if !range.is_empty() => bytes[range.start] ^= 1 << numbers.below(8),
            2 => drop(bytes.drain(range)),
            3 => {
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            4 => {
                let piece = other[numbers.range(other)].to_vec();
                bytes.splice(range, piece);
            }
            5 => bytes.truncate(range.start),
            _ => {
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let (from, to) = (numbers.below(lines.len()), numbers.below(lines.len()));
                if from < lines.len() {
                    let line = lines[from];
                    lines.insert(to, line);
                }
                bytes = lines.concat();
            }
        }
    }
    bytes.truncate(16 << 10);
    bytes
}

#[track_caller]
fn run(body: fn(&[u8]), name: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        let shown = input.escape_ascii();
        panic!("the input is {name}, {} bytes:\n{shown}", input.len());
    }
}

/// How many mutations a target gets: what it does in a third of a second.
fn mutations(target: &str) -> usize {
    match target {
        "ktap" | "console" => 300,
        "yaml" => 600,
        "patch-git" => 60,
        "mbox" => 1000,
        _ => 2000,
    }
}

#[test]
fn what_holds_for_all_inputs_holds_for_these() {
    for (target, body) in fuzz::TARGETS {
        let inputs = [stored(target), own_files(target)].concat();
        for (name, input) in &inputs {
            run(body, name, input);
        }
        let mut numbers = Numbers(1);
        for round in 0..mutations(target) {
            let (name, input) = &inputs[numbers.below(inputs.len())];
            let (_, other) = &inputs[numbers.below(inputs.len())];
            let input = mutate(input, other, &mut numbers);
            run(body, &format!("mutation {round} of {name}"), &input);
        }
    }
}

#[test]
fn the_corpus_is_small_and_has_a_folder_per_target() {
    let folders = fs::read_dir(top().join("harness/fuzz/corpus")).unwrap();
    let mut names: Vec<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut targets = fuzz::TARGETS.map(|(name, _)| name);
    targets.sort();
    assert_eq!(names, targets);
    let bytes: usize = targets.iter().flat_map(|target| stored(target)).map(|(_, input)| input.len()).sum();
    assert!(bytes < CORPUS_BYTES, "{bytes} bytes");
    for (target, _) in fuzz::TARGETS {
        let file = top().join(format!("harness/fuzz/fuzz_targets/{target}.rs"));
        let call = format!("harness_fuzz::{}(bytes)", target.replace('-', "_"));
        assert!(fs::read_to_string(file).unwrap().contains(&call), "{call}");
    }
}
