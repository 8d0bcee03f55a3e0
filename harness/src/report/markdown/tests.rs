use super::*;
use crate::model::CaseResult;
use crate::report::record::State;
use crate::report::view::tests::syscall;

#[test]
fn a_run_as_a_step_summary() {
    let run = syscall();
    let expected = "\
## xyzzy: 1 fail, 1 error, 1 miss, 1 skip, 2 pass

| kernel | leg | -m64 | -m32 | -mx32 |
| --- | --- | --- | --- | --- |
| linux-6.12 | patched | pass 3/3 | **fail** 1/3 | **miss** |
| linux-6.12 | config-off | pass 1/1 | **skip** 0/1 | **error** |

### linux-6.12 patched: the ABIs disagree

| case | -m64 | -m32 |
| --- | --- | --- |
| big values | pass | fail: \\# expected 1; \\# got \\\\x1b\\[31m0 \\<b\\> |
| \\<script\\>alert(1)\\</script\\> &amp; \\\\x1b\\[31m\\]\\]\\> \\# SKIP | pass | skip: no \\<such\\> thing |

### linux-6.12 config-off: the ABIs disagree

| case | -m64 | -m32 |
| --- | --- | --- |
| number 463 gives -ENOSYS | pass | not reported |
| a | not reported | skip: no time |

<details><summary><b>linux-6.12 patched m32: fail</b>: 1 of 3 cases failed; first: big values</summary>

1 of 3 cases failed; first: big values

- also: the kernel reported a fault: WARNING in do\\_xyzzy (console line 2)
- fail big values: \\# expected 1; \\# got \\\\x1b\\[31m0 \\<b\\>
- skip \\<script\\>alert(1)\\</script\\> &amp; \\\\x1b\\[31m\\]\\]\\> \\# SKIP: no \\<such\\> thing

<pre>[    1.0] ---[ end trace 0000000000000000 ]---</pre>

logs: /runs/1/linux-6.12.patched.m32

<pre>cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched --abi m32 --extra-patch '/tmp/a b.patch'</pre>

</details>

<details><summary><b>linux-6.12 patched mx32: miss</b>: programs of this ABI cannot run on this kernel: CONFIG_X86_X32_ABI: dropped by Kconfig</summary>

programs of this ABI cannot run on this kernel: CONFIG\\_X86\\_X32\\_ABI: dropped by Kconfig


<pre>cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched --abi mx32 --extra-patch '/tmp/a b.patch'</pre>

</details>

<details><summary><b>linux-6.12 config-off m32: skip</b>: the selftest skipped: the kernel has no &lt;time&gt;</summary>

the selftest skipped: the kernel has no \\<time\\>

- skip a: no time

logs: /runs/1/linux-6.12.config-off.m32

<pre>cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg config-off --abi m32 --extra-patch '/tmp/a b.patch'</pre>

</details>

<details><summary><b>linux-6.12 config-off mx32: error</b>: the harness failed: out of disk</summary>

the harness failed: out of disk


<pre>cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg config-off --abi mx32 --extra-patch '/tmp/a b.patch'</pre>

</details>

QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18), microvm, accel tcg (there is no /dev/kvm).
gcc (Debian 12.2.0-14+deb12u1) 12.2.0; GNU ld (GNU Binutils for Debian) 2.40.

Note: a note with \\<markup\\>

abimatrix 0.1.0; logs and `run.json`: /runs/1
";
    assert_eq!(render(&View::of_syscall(&run)), expected);
}

/// What Markdown, a table, or a browser takes for something, in each place that a guest's words reach.
#[test]
fn nothing_of_a_guests_is_markup() {
    let evil = "|`*_<img src=x onerror=alert(1)>[a](javascript:b)&lt;\n</pre></details>\n# x\n\n\u{1b}[31m\u{202e}~~$x$";
    let mut run = syscall();
    let cell = &mut run.cells[1];
    cell.cases[1] =
        CaseResult { name: evil.to_owned(), verdict: Verdict::Fail, message: Some(evil.to_owned()) };
    cell.console_tail = vec![evil.to_owned(), "```".to_owned()];
    cell.cause.as_mut().unwrap().text = evil.to_owned();
    run.notes = vec![evil.to_owned()];
    let text = render(&View::of_syscall(&run)).replace("\\<", "");
    for tag in ["<img", "</pre></details>", "&lt;\n", "\n# x"] {
        assert!(!text.contains(tag), "{tag}: {text}");
    }
    assert!(!text.chars().any(|c| matches!(c, '\u{1b}' | '\u{202e}')), "{text}");
    let ours = ["<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>", "<pre>", "</pre>"];
    let tags = ours.iter().map(|tag| text.matches(tag).count()).sum::<usize>();
    assert_eq!(text.matches('<').count(), tags, "a tag that is not ours: {text}");
    // Each row of a table has as many cells as its head.
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    for row in &rows {
        let bars = row.replace("\\|", "").matches('|').count();
        assert!(bars == 6 || bars == 4, "{row}");
    }
    assert_eq!(rows.len(), 4 + 2 + 3 + 2 + 2, "{text}");
}

#[test]
fn a_long_report_is_cut_between_two_sections_and_says_so() {
    let mut run = syscall();
    let cell = run.cells[1].clone();
    for n in 0..3000 {
        let mut more = cell.clone();
        more.kernel = format!("linux-{n}").parse().unwrap();
        more.console_tail = vec!["x".repeat(1000)];
        run.cells.push(more);
    }
    run.selected = run.cells.len();
    let text = render(&View::of_syscall(&run));
    assert!(
        text.len() <= limits::MARKDOWN_BYTES && text.len() > limits::MARKDOWN_BYTES / 2,
        "{}",
        text.len()
    );
    assert!(text.contains("\n**Cut: "), "it does not say so");
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    let long = "a line\n".repeat(limits::MARKDOWN_BYTES / 7 + 1);
    let text = bounded(long);
    assert!(text.len() <= limits::MARKDOWN_BYTES && text.contains("a line\n\n**Cut: "));
    assert_eq!(bounded("short\n".to_owned()), "short\n");
}

#[test]
fn an_interrupted_run_says_so_at_its_head() {
    let mut run = syscall();
    run.state = State::Interrupted;
    run.cells.truncate(1);
    let text = render(&View::of_syscall(&run));
    let head = "## xyzzy: 1 pass, 5 without a verdict\n\n**INTERRUPTED: 5 of 6 cells have no verdict**\n";
    assert!(text.starts_with(head), "{text}");
}
