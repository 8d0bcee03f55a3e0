//! A series as it lies on a disk: a folder, an mbox, a diff.

use super::*;

const DIFF: &str = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n";

/// Patches by their names and texts.
type Applied = Vec<(String, String)>;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new(files: &[(&str, &str)]) -> Bench {
        let bench = Bench(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(bench.0.path().join(name), text).unwrap();
        }
        bench
    }

    /// What is applied, and notes; or the error.
    fn read(&self, name: &str) -> Result<(Applied, Vec<String>), String> {
        let mut notes = Vec::new();
        let patches =
            read_series(&self.0.path().join(name), &mut notes).map_err(|error| error.to_string())?;
        let text = |patch: &Patch| (patch.name(), patch.read().unwrap());
        Ok((patches.iter().map(text).collect(), notes))
    }
}

fn mail(subject: &str) -> String {
    format!(
        "From 5effbcf379039bcbbd7a14cba668bd4ede453d55 Mon Sep 17 00:00:00 2001\nSubject: {subject}\n\n---\n{DIFF}"
    )
}

#[test]
fn a_diff_is_a_series_alone_and_in_a_folder() {
    let bench = Bench::new(&[("my.diff", DIFF), ("words", "just some words\n")]);
    let patch = ("my.diff".to_owned(), DIFF.to_owned());
    assert_eq!(bench.read("my.diff"), Ok((vec![patch.clone()], Vec::new())));
    assert_eq!(bench.read(""), Ok((vec![patch], Vec::new())));
    let error = bench.read("words").unwrap_err();
    assert!(error.contains("it is no mbox"), "{error}");
}

#[test]
fn a_folder_is_decoded_and_counted_like_an_mbox() {
    let (first, second) = (mail("[PATCH 1/2] a"), mail("[PATCH 2/2] b"));
    let encoded = second.replace('\n', "\r\n");
    let bench = Bench::new(&[("0001-a.patch", &first), ("0002-b.patch", &encoded)]);
    let (patches, notes) = bench.read("").unwrap();
    let name = |at: usize| patches[at].0.as_str();
    assert_eq!((name(0), name(1), notes.len()), ("0001-a.patch", "0002-b.patch", 0));
    assert_eq!((&patches[0].1, &patches[1].1), (&first, &second));
    let bench = Bench::new(&[("0001-a.patch", &first)]);
    let error = bench.read("").unwrap_err();
    assert!(error.contains("part 2 of 2 is missing: there is 0001-a.patch"), "{error}");
}
