use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

fn expectations(mbox: &[u8]) -> String {
    let mut out = String::new();
    match read_mbox(mbox) {
        Ok(MailSeries { version, patches, notes }) => {
            let _ = writeln!(out, "# expect: version={version} patches={}", patches.len());
            for PatchText { subject, number, of, text } in &patches {
                // The same diff has the same mark, however it was mailed.
                let mark = &blake3::hash(diff_of(text).as_bytes()).to_hex()[..8];
                let _ = writeln!(out, "# expect: {number}/{of} diff={mark} | {subject}");
            }
            for note in notes {
                let _ = writeln!(out, "# expect: note={note}");
            }
        }
        Err(error) => {
            let _ = writeln!(out, "# expect: error={error}");
        }
    }
    out
}

fn corpus_files() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/mbox"));
    let entries = fs::read_dir(dir).expect("the corpus is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(&path).expect("readable"))).collect()
}

/// The header and the mbox below it.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let split = bytes.windows(2).position(|two| two == b"\n\n").expect("a blank line");
    (&bytes[..split + 1], &bytes[split + 2..])
}

/// UPDATE_CORPUS=1 rewrites the headers; what else reads the files then waits for the next run.
fn updating() -> bool {
    std::env::var_os("UPDATE_CORPUS").is_some()
}

#[test]
fn corpus() {
    let files = corpus_files();
    for (path, bytes) in &files {
        let (header, mbox) = cut(bytes);
        let expected = expectations(mbox);
        if updating() {
            fs::write(path, [expected.as_bytes(), b"\n", mbox].concat()).expect("written");
        } else {
            assert_eq!(String::from_utf8_lossy(header), expected, "{path}");
        }
    }
    assert!(files.len() >= 16, "only {} files", files.len());
}

/// Whatever dress it came in, it is the diff that `git format-patch` wrote.
#[test]
fn every_way_to_mail_a_series_gives_the_same_diffs() {
    if updating() {
        return;
    }
    let diffs = |name: &str| -> Vec<String> {
        let files = corpus_files();
        let (_, bytes) = files.iter().find(|(path, _)| path.ends_with(&format!("/{name}.mbox"))).expect(name);
        let series = read_mbox(cut(bytes).1).expect(name);
        series.patches.iter().map(|patch| diff_of(&patch.text).to_owned()).collect()
    };
    let plain = diffs("plain");
    assert_eq!(plain.len(), 2);
    assert!(plain[0].starts_with("diff --git a/kernel/plugh.c"), "{}", plain[0]);
    for name in [
        "b4",
        "thread",
        "crlf",
        "base64",
        "quoted-printable",
        "wrong-order",
        "attached",
        "attached-octets",
        "latin1",
        "twice-the-same",
        "from-quoted",
        "no-tags",
        "list-tag",
        "one-mail-two-attachments",
        "no-numbers",
        "no-numbers-and-twice",
        "fixup-without-a-number",
        "flowed",
        "flowed-delsp",
    ] {
        assert_eq!(diffs(name), plain, "{name}");
    }
}

/// No mbox that is cut off looks whole: a part is missing, or its diff is shorter.
#[test]
fn a_part_is_never_lost_in_silence() {
    if updating() {
        return;
    }
    let files = corpus_files();
    let (_, bytes) = files.iter().find(|(path, _)| path.ends_with("/plain.mbox")).expect("plain");
    let mbox = cut(bytes).1;
    let second = mbox.windows(5).rposition(|five| five == b"From ").expect("a second mail");
    for end in (0..second).step_by(7) {
        assert!(read_mbox(&mbox[..end]).is_err(), "the first {end} bytes pass for the series");
    }
}

#[test]
fn subjects_say_version_and_place() {
    #[track_caller]
    fn says(text: &str, version: u32, number: Option<u32>, of: u32, title: &str) {
        let subject = Subject::parse(text);
        assert!(subject.is_patch && !subject.is_reply, "{subject:?}");
        assert_eq!((subject.version, subject.number, subject.of), (version, number, of), "{text}");
        assert_eq!(subject.title, title);
    }
    says("[PATCH] a: b", 1, None, 1, "a: b");
    says("[PATCH v3 02/11] a: b", 3, Some(2), 11, "a: b");
    says("[RFC PATCH net-next v2 1/2] a: [b] c", 2, Some(1), 2, "a: [b] c");
    says("[PATCHv4,RESEND 1/2] a", 4, Some(1), 2, "a");
    says("[linux-x86] [PATCH 1/2]  a\n\tb", 1, Some(1), 2, "a b");
    says("[RFC v2 1/1] a", 2, Some(1), 1, "a");
    for reply in ["Re: [PATCH 1/2] a", "[list] RE: [PATCH] a", "Aw: Re: [PATCH] a", "Fwd: [PATCH] a"] {
        assert!(Subject::parse(reply).is_reply, "{reply}");
    }
    for other in ["a: b", "[ANNOUNCE] a", "arm: dts: fix [PATCH] words", "[PULL 3/2] a"] {
        assert!(!Subject::parse(other).is_patch, "{other}");
    }
}

#[test]
fn a_sentence_that_begins_with_from_is_no_separator() {
    let mbox = b"From a@example.org Tue Nov 24 10:00:00 2026\nSubject: [PATCH] a\n\nFrom here on:\nFrom 10:00 to 12:00 we\n\
        diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n";
    let series = read_mbox(mbox).unwrap();
    assert!(series.patches[0].text.contains("From here on:"));
    assert_eq!(series.patches.len(), 1);
}

#[test]
fn what_is_too_large_or_no_mail_is_refused() {
    assert_eq!(read_mbox(b"\x7fELF...\n"), Err(MailError::NoMail { line: 1 }));
    assert_eq!(read_mbox(b""), Err(MailError::NoPatch { mails: 0, replies: 0 }));
    let large = vec![b'a'; usize::try_from(limits::MBOX_BYTES).unwrap() + 1];
    assert_eq!(read_mbox(&large), Err(MailError::TooLarge));
    let many = "From a Tue Nov 24 10:00:00 2026\nSubject: [PATCH 1/4000000000] a\n\ndiff --git a/a b/a\n";
    assert!(matches!(read_mbox(many.as_bytes()), Err(MailError::TooMany { .. })));
}

#[track_caller]
fn ordered(names: &[&str], expected: &[&str]) -> Vec<String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let (order, notes) = order_folder(&names).unwrap();
    assert_eq!(order, expected);
    notes
}

#[test]
fn a_folder_is_ordered_by_gits_numbers() {
    let notes = ordered(
        &["0002-b.patch", "0000-cover-letter.patch", "0001-a.patch", "README"],
        &["0001-a.patch", "0002-b.patch"],
    );
    assert!(notes[0].contains("cover letter"), "{notes:?}");
    let notes = ordered(&["v2-0001-a.patch", "0001-a.patch", "0002-b.patch"], &["v2-0001-a.patch"]);
    assert!(notes[0].contains("v2") && notes[0].contains("v1"), "{notes:?}");
    ordered(&["fix.patch"], &["fix.patch"]);
    let refused = |names: &[&str]| {
        order_folder(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&["0001-a.patch", "0003-c.patch"]).contains("no patch 0002"));
    assert!(refused(&["0001-a.patch", "0001-b.patch"]).contains("same number"));
    assert!(refused(&["0001-a.patch", "extra.patch"]).contains("extra.patch has no number"));
    assert!(refused(&["README"]).contains("no patch in the folder"));
    assert!(refused(&["0000-cover-letter.patch"]).contains("no patch in the folder"));
}

#[test]
fn a_patch_of_the_man_pages_is_told_from_one_of_the_kernel() {
    let git = |paths: &[&str]| -> bool {
        let diff = |path: &&str| {
            format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
        };
        is_man_page(&format!(
            "Subject: x\n\nman2/a.2: see man(1)\n{}",
            paths.iter().map(diff).collect::<String>()
        ))
    };
    assert!(git(&["man2/xyzzy.2"]) && git(&["man/man2/xyzzy.2", "man7/a.7"]));
    assert!(
        !git(&["man2/xyzzy.2", "kernel/xyzzy.c"]) && !git(&["Documentation/man2/a.2"]) && !git(&["manual/a"])
    );
    assert!(is_man_page("--- /dev/null\n+++ b/man2/a.2\n@@ -0,0 +1 @@\n+a\n"));
    assert!(
        !is_man_page("--- a/kernel/a.c\n+++ b/man2/a.2\n@@ -1 +1 @@\n-a\n+b\n") && !is_man_page("man2/a.2")
    );
}

/// The mails of a file of the corpus, each as `git format-patch` writes it to a file of its own.
fn patch_files(name: &str) -> Vec<Vec<u8>> {
    let files = corpus_files();
    let (_, bytes) = files.iter().find(|(path, _)| path.ends_with(&format!("/{name}.mbox"))).expect(name);
    let mbox = cut(bytes).1;
    let lines: Vec<&[u8]> = mbox.split_inclusive(|byte| *byte == b'\n').collect();
    let starts: Vec<usize> =
        mbox::split(mbox).expect(name).iter().map(|mail| mail.line - 1).chain([lines.len()]).collect();
    starts.windows(2).map(|two| lines[two[0]..two[1]].concat()).collect()
}

#[test]
fn a_file_of_a_folder_is_decoded_like_a_mail() {
    if updating() {
        return;
    }
    let plain = patch_files("plain");
    assert_eq!(plain.len(), 2);
    for (file, number) in plain.iter().zip(1..) {
        let as_it_lies = FilePatch { place: Some((number, 2)), decoded: None };
        assert_eq!(read_file("x", file), Ok(as_it_lies));
    }
    for name in ["base64", "quoted-printable", "crlf", "flowed", "latin1", "attached"] {
        let files = patch_files(name);
        assert_eq!(files.len(), 2, "{name}");
        for ((file, plain), number) in files.iter().zip(&plain).zip(1..) {
            let FilePatch { place, decoded } = read_file("x", file).unwrap();
            assert_eq!(place, Some((number, 2)), "{name}");
            let decoded = decoded.expect(name);
            assert_eq!(diff_of(&decoded), diff_of(std::str::from_utf8(plain).unwrap()), "{name}");
        }
    }
}

#[test]
fn a_file_of_a_folder_that_is_no_mail_is_taken_as_it_lies() {
    let diff = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n";
    let read = |text: &str| read_file("x", text.as_bytes()).unwrap();
    assert_eq!(read(diff), FilePatch { place: None, decoded: None });
    // By a program that ends all lines so; and about a file that has such a line.
    assert_eq!(read(&diff.replace('\n', "\r\n")).decoded.as_deref(), Some(diff));
    assert_eq!(read(&diff.replace("+b\n", "+b\r\n")).decoded, None);
    assert!(is_diff(diff.as_bytes()) && !is_diff(b"just some words\n") && !is_diff(b"\xff\n"));
    let encoded = b"Subject: [PATCH] a\nContent-Transfer-Encoding: base64\n\nYQo=\n";
    assert!(matches!(read_file("x", encoded), Err(MailError::NoDiffInFile { .. })));
    let two = patch_files("plain").concat();
    assert!(matches!(read_file("x", &two), Err(MailError::SeveralMails { mails: 2, .. })));
}

#[test]
fn a_folder_is_a_whole_series_by_its_subjects() {
    let check = |places: &[Option<(u32, u32)>]| {
        let name = |number| format!("{number:04}-x.patch");
        let files: Vec<_> = (1..).map(name).zip(places.iter().copied()).collect();
        check_parts(&files).map_err(|error| error.to_string())
    };
    let part = |number, of| Some((number, of));
    for whole in [
        &[part(1, 2), part(2, 2)][..],
        &[None, None],
        &[part(1, 1)],
        // And one more on top.
        &[part(1, 2), part(2, 2), None],
    ] {
        assert_eq!(check(whole), Ok(Vec::new()), "{whole:?}");
    }
    // One that was made anew, or something else: who reads it knows.
    let note = "by the subjects part 2 of 2 is not there: 0002-x.patch without a number is taken for that";
    assert_eq!(check(&[part(1, 2), None]), Ok(vec![note.to_owned()]));
    let error = check(&[part(1, 4), part(2, 4)]).unwrap_err();
    assert!(error.contains("parts 3, 4 of 4 are missing: there is 0001-x.patch, 0002-x.patch"), "{error}");
    assert!(check(&[part(1, 2), part(1, 2)]).unwrap_err().contains("part 2 of 2 is missing"));
    assert!(check(&[part(1, u32::MAX)]).unwrap_err().contains("has 512 patches at most"));
    assert!(check(&[part(2, 2), part(1, 2)]).unwrap()[0].contains("0002-x.patch calls itself part 1 of 2"));
    assert!(check(&[part(1, 2), part(1, 3)]).unwrap()[0].contains("different lengths"));
}
