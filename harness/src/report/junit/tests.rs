use super::*;
use crate::model::Verdict;
use crate::report::outcome::Totals;
use crate::report::record::State;
use crate::report::view::tests::{kselftest, syscall};

#[track_caller]
fn read(view: &View<'_>) -> Report {
    let text = render(view);
    let illegal = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    assert_eq!(text.chars().find(|c| illegal(*c)), None, "{text}");
    Report::deserialize_from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_run_is_a_suite_per_cell() {
    let run = syscall();
    let expected = r##"
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="abimatrix xyzzy" tests="12" skipped="3" failures="2" errors="2" timestamp="2026-11-21T23:03:01.000+00:00" time="61.234">
    <testsuite name="linux-6.12 patched m64" tests="3" skipped="0" errors="0" failures="0" time="1.371">
        <properties>
            <property name="verdict" value="pass"/>
            <property name="qemu" value="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"/>
            <property name="accelerator" value="tcg"/>
            <property name="again" value="cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched --abi m64 --extra-patch &apos;/tmp/a b.patch&apos;"/>
            <property name="logs" value="/runs/1/linux-6.12.patched.m64"/>
        </properties>
        <testcase name="basic" classname="linux-6.12.patched.m64"/>
        <testcase name="big values" classname="linux-6.12.patched.m64"/>
        <testcase name="&lt;script&gt;alert(1)&lt;/script&gt; &amp; \x1b[31m]]&gt; # SKIP" classname="linux-6.12.patched.m64"/>
    </testsuite>
    <testsuite name="linux-6.12 patched m32" tests="4" skipped="1" errors="0" failures="2" time="1.371">
        <properties>
            <property name="verdict" value="fail"/>
            <property name="cause" value="case-failed"/>
            <property name="qemu" value="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"/>
            <property name="accelerator" value="tcg"/>
            <property name="again" value="cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched --abi m32 --extra-patch &apos;/tmp/a b.patch&apos;"/>
            <property name="logs" value="/runs/1/linux-6.12.patched.m32"/>
        </properties>
        <testcase name="basic" classname="linux-6.12.patched.m32"/>
        <testcase name="big values" classname="linux-6.12.patched.m32">
            <failure message="# expected 1" type="fail"># expected 1
# got \x1b[31m0 &lt;b&gt;</failure>
            <system-out>[    1.0] ---[ end trace 0000000000000000 ]---
</system-out>
        </testcase>
        <testcase name="&lt;script&gt;alert(1)&lt;/script&gt; &amp; \x1b[31m]]&gt; # SKIP" classname="linux-6.12.patched.m32">
            <skipped message="no &lt;such&gt; thing" type="skip">no &lt;such&gt; thing</skipped>
        </testcase>
        <testcase name="verdict: kernel-fault" classname="linux-6.12.patched.m32">
            <failure message="the kernel reported a fault: WARNING in do_xyzzy (console line 2)" type="kernel-fault">the kernel reported a fault: WARNING in do_xyzzy (console line 2)</failure>
        </testcase>
        <system-out>[    1.0] ---[ end trace 0000000000000000 ]---
</system-out>
    </testsuite>
    <testsuite name="linux-6.12 patched mx32" tests="1" skipped="0" errors="1" failures="0" time="0.000">
        <properties>
            <property name="verdict" value="miss"/>
            <property name="cause" value="no-kernel-abi"/>
            <property name="qemu" value="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"/>
            <property name="accelerator" value="tcg"/>
            <property name="again" value="cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg patched --abi mx32 --extra-patch &apos;/tmp/a b.patch&apos;"/>
        </properties>
        <testcase name="verdict: no-kernel-abi" classname="linux-6.12.patched.mx32">
            <error message="programs of this ABI cannot run on this kernel: CONFIG_X86_X32_ABI: dropped by Kconfig" type="no-kernel-abi">programs of this ABI cannot run on this kernel: CONFIG_X86_X32_ABI: dropped by Kconfig</error>
        </testcase>
    </testsuite>
    <testsuite name="linux-6.12 config-off m64" tests="1" skipped="0" errors="0" failures="0" time="1.371">
        <properties>
            <property name="verdict" value="pass"/>
            <property name="qemu" value="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"/>
            <property name="accelerator" value="tcg"/>
            <property name="again" value="cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg config-off --abi m64 --extra-patch &apos;/tmp/a b.patch&apos;"/>
            <property name="logs" value="/runs/1/linux-6.12.config-off.m64"/>
        </properties>
        <testcase name="number 463 gives -ENOSYS" classname="linux-6.12.config-off.m64"/>
    </testsuite>
    <testsuite name="linux-6.12 config-off m32" tests="2" skipped="2" errors="0" failures="0" time="1.371">
        <properties>
            <property name="verdict" value="skip"/>
            <property name="cause" value="skipped"/>
            <property name="qemu" value="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"/>
            <property name="accelerator" value="tcg"/>
            <property name="again" value="cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg config-off --abi m32 --extra-patch &apos;/tmp/a b.patch&apos;"/>
            <property name="logs" value="/runs/1/linux-6.12.config-off.m32"/>
        </properties>
        <testcase name="a" classname="linux-6.12.config-off.m32">
            <skipped message="no time" type="skip">no time</skipped>
        </testcase>
        <testcase name="verdict: skipped" classname="linux-6.12.config-off.m32">
            <skipped message="the selftest skipped: the kernel has no &lt;time&gt;" type="skipped">the selftest skipped: the kernel has no &lt;time&gt;</skipped>
        </testcase>
    </testsuite>
    <testsuite name="linux-6.12 config-off mx32" tests="1" skipped="0" errors="1" failures="0" time="0.000">
        <properties>
            <property name="verdict" value="error"/>
            <property name="cause" value="harness"/>
            <property name="qemu" value="QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"/>
            <property name="accelerator" value="tcg"/>
            <property name="again" value="cargo xtask test-syscall xyzzy --kernel linux-6.12 --leg config-off --abi mx32 --extra-patch &apos;/tmp/a b.patch&apos;"/>
        </properties>
        <testcase name="verdict: harness" classname="linux-6.12.config-off.mx32">
            <error message="the harness failed: out of disk" type="harness">the harness failed: out of disk</error>
        </testcase>
    </testsuite>
</testsuites>
"##;
    assert_eq!(render(&View::of_syscall(&run)), expected.trim_start());
}

#[test]
fn a_kselftest_run_is_a_suite_per_program_and_abi() {
    let run = kselftest();
    let report = read(&View::of_kselftest(&run));
    let suites: Vec<_> = report.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(
        suites,
        ["linux-6.12 futex/functional/futex_wait m64", "linux-6.12 futex/functional/futex_wait m32"]
    );
    assert_eq!((report.tests, report.failures, report.errors, report.skipped), (4, 1, 0, 0));
}

/// The counts that CI systems show are the outcomes', and no cell looks better than it is.
#[test]
fn no_suite_is_greener_than_its_cell() {
    let mut interrupted = syscall();
    interrupted.state = State::Interrupted;
    interrupted.cells.truncate(2);
    for run in [syscall(), interrupted] {
        let view = View::of_syscall(&run);
        let report = read(&view);
        let Totals { pass, fail, skip, error } = outcome::totals(&view);
        assert_eq!(
            (report.tests, report.failures, report.errors, report.skipped),
            (pass + fail + skip + error, fail, error, skip)
        );
        let suite = |name: &str| report.test_suites.iter().find(|suite| suite.name.as_str() == name).unwrap();
        for cell in view.cells() {
            let suite = suite(&cell.name);
            let passed = suite.tests - suite.failures - suite.errors - suite.skipped;
            let told = match cell.verdict {
                Verdict::Pass => passed > 0 && suite.failures + suite.errors == 0,
                Verdict::Fail => suite.failures > 0,
                Verdict::Skip => suite.skipped > 0,
                Verdict::Miss | Verdict::Error => suite.errors > 0,
            };
            assert!(told, "{}: {suite:?}", cell.name);
        }
        if run.state == State::Interrupted {
            assert_eq!(suite("xyzzy: the run").errors, 1 + view.absent());
        }
    }
}

#[test]
fn what_xml_forbids_is_spelled_out() {
    let mut run = syscall();
    let evil = "\u{0}\u{1b}[31m<a>&]]>\u{fffe}\u{ffff}\u{b}\"'\u{202e}";
    let cell = &mut run.cells[1];
    cell.cases[1].name = evil.to_owned();
    cell.cases[1].message = Some(format!("{evil}\n{evil}"));
    cell.console_tail = vec![evil.to_owned()];
    cell.cause.as_mut().unwrap().text = evil.to_owned();
    run.folder = evil.to_owned();
    let report = read(&View::of_syscall(&run));
    let case = &report.test_suites[1].test_cases[1];
    let name = "\\x00\\x1b[31m<a>&]]>\\u{fffe}\\u{ffff}\\x0b\"'\\u{202e}";
    assert_eq!(case.name.as_str(), name);
    assert_eq!(case.system_out.as_ref().unwrap().as_str().trim(), name);
}
