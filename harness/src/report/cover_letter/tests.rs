use super::*;
use crate::report::record::State;
use crate::report::view::tests::{kselftest, syscall};

#[test]
fn a_run_for_a_cover_letter() {
    let run = syscall();
    let expected = "\
xyzzy() was tested on linux-6.12 by 64-bit (-m64), 32-bit (-m32), x32
(-mx32) programs, each cell in a QEMU guest of its own. Of 6 cells: 1
fail, 1 error, 1 miss, 1 skip, 2 pass.

                         -m64         -m32         -mx32
  linux-6.12 patched     pass 3/3     fail 1/3     miss
  linux-6.12 config-off  pass 1/1     skip 0/1     error

The ABIs disagree on 4 cases:

  linux-6.12 patched: big values
    -m64   pass
    -m32   fail: # expected 1; # got \\x1b[31m0 <b>
  linux-6.12 patched: <script>alert(1)</script> & \\x1b[31m]]> # SKIP
    -m64   pass
    -m32   skip: no <such> thing
  linux-6.12 config-off: number 463 gives -ENOSYS
    -m64   pass
    -m32   did not report it
  linux-6.12 config-off: a
    -m64   did not report it
    -m32   skip: no time

Not passed:

  linux-6.12 patched m32: fail: 1 of 3 cases failed; first: big values
    also: the kernel reported a fault: WARNING in do_xyzzy (console line
      2)
  linux-6.12 patched mx32: miss: programs of this ABI cannot run on this
    kernel: CONFIG_X86_X32_ABI: dropped by Kconfig
  linux-6.12 config-off m32: skip: the selftest skipped: the kernel has
    no <time>
  linux-6.12 config-off mx32: error: the harness failed: out of disk

Tested on:

  Linux 6.1.0 x86_64
  QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)
  microvm, accelerator tcg (there is no /dev/kvm)
  gcc (Debian 12.2.0-14+deb12u1) 12.2.0
  GNU ld (GNU Binutils for Debian) 2.40
  abimatrix 0.1.0
";
    assert_eq!(render(&View::of_syscall(&run)), expected);
}

/// What a mail is: ASCII, at most 72 columns, no control characters, and no line that git or a
/// reader of mail takes for something else.
#[track_caller]
fn assert_mail(text: &str) {
    for line in text.lines() {
        assert!(line.len() <= 72, "{} columns: {line}", line.len());
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line:?}");
        assert_eq!(line, line.trim_end());
        for word in ["---", "-- ", "diff ", "From ", "Index:", "@@ "] {
            assert!(!line.starts_with(word), "{line}");
        }
    }
}

#[test]
fn hostile_and_very_long_words_stay_within_a_mail() {
    let evil = [
        "\u{1b}[31m\u{202e}\u{e9}\u{1f600}".to_owned(),
        "x".repeat(5000),
        "--- a\ndiff --git\nFrom me\n\n-- \n".to_owned(),
        "\u{e9}".repeat(400),
        " ".repeat(300),
        "a\tb\u{2026}\u{d7}\u{a0}c ".repeat(60),
        String::new(),
    ];
    for evil in evil {
        let mut run = syscall();
        for cell in &mut run.cells {
            for case in &mut cell.cases {
                case.name = evil.clone();
                case.message = Some(evil.clone());
            }
            if let Some(cause) = &mut cell.cause {
                cause.text = evil.clone();
            }
            cell.also = cell.cause.iter().cloned().collect();
        }
        run.host.qemu = evil.clone();
        run.host.system = evil.clone();
        run.host.accel_why = evil.clone();
        run.host.compiler = format!("{evil}\n{evil}");
        run.tool = evil.clone();
        assert_mail(&render(&View::of_syscall(&run)));
        let mut run = kselftest();
        let long = format!("{}/{}", "d".repeat(120), "e".repeat(120));
        for cell in &mut run.cells {
            cell.kernel = "k".repeat(48).parse().unwrap();
            cell.dir = long.parse().unwrap();
            cell.cases[1].name = evil.clone();
        }
        assert_mail(&render(&View::of_kselftest(&run)));
    }
}

#[test]
fn a_long_matrix_is_told_by_what_did_not_pass() {
    let mut run = kselftest();
    let cells = run.cells.clone();
    for n in 0..200 {
        for cell in &cells {
            let mut cell = cell.clone();
            cell.program = format!("program_{n}").parse().unwrap();
            if n >= 30 {
                (cell.verdict, cell.cause) = (Verdict::Pass, None);
            }
            run.cells.push(cell);
        }
    }
    run.selected = run.cells.len();
    let text = render(&View::of_kselftest(&run));
    assert_mail(&text);
    assert!(text.lines().count() < 200, "{text}");
    for words in
        ["  and 11 more rows with a cell that did not pass\n", "All cells of 170 more rows passed.\n"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn an_interrupted_run_says_so_before_its_matrix() {
    let mut run = syscall();
    run.state = State::Interrupted;
    run.cells.truncate(1);
    let text = render(&View::of_syscall(&run)).replace('\n', " ");
    let mark = "1 pass, 5 without a verdict.  INTERRUPTED: 5 of 6 cells have no verdict. What follows is not a whole";
    assert!(text.find(mark).unwrap() < text.find("-m64 ").unwrap(), "{text}");
}
