use super::super::near::near;
use super::*;

use proptest::prelude::*;

/// Lines of Debian's 6.12, columns as they are there.
const T64: &str = "\
# SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
#
# The abi is \"common\", \"64\" or \"x32\" for this file.
#
0	common	read			sys_read
13	64	rt_sigaction		sys_rt_sigaction
59	64	execve			sys_execve
60	common	exit			sys_exit			-			noreturn
174	64	create_module
334	common	rseq			sys_rseq
# don't use numbers 387 through 423, add new calls after the last
# 'common' entry
424	common	pidfd_send_signal	sys_pidfd_send_signal
461	common	lsm_list_modules	sys_lsm_list_modules
462 	common  mseal			sys_mseal

#
# Due to a historical design error, certain syscalls are numbered differently
512	x32	rt_sigaction		compat_sys_rt_sigaction
515	x32	readv			sys_readv
520	x32	execve			compat_sys_execve
547	x32	pwritev2		compat_sys_pwritev64v2
# This is the end of the legacy x32 range.
";

const T32: &str = "\
0	i386	restart_syscall		sys_restart_syscall
1	i386	exit			sys_exit			-			noreturn
3	i386	read			sys_read
11	i386	execve			sys_execve			compat_sys_execve
17	i386	break
386	i386	rseq			sys_rseq
462	i386	mseal 			sys_mseal
";

/// Lines of 6.12's scripts/syscall.tbl.
const GENERIC: &str = "\
0	common	io_setup			sys_io_setup			compat_sys_io_setup
4	time32	io_getevents			sys_io_getevents_time32
4	64	io_getevents			sys_io_getevents
38	renameat renameat			sys_renameat
462	common	mseal				sys_mseal
";

/// Lines of 6.1's asm-generic/unistd.h.
const HEADER: &str = "\
/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * This file contains the system call numbers,
__SYSCALL(__NR_in_a_comment, sys_in_a_comment)
 */
#ifndef __SYSCALL
#define __SYSCALL(x, y)
#endif
#define __SC_COMP(_nr, _sys, _comp) __SYSCALL(_nr, _comp)
#define __NR_io_setup 0
__SC_COMP(__NR_io_setup, sys_io_setup, compat_sys_io_setup)
#if defined(__ARCH_WANT_TIME32_SYSCALLS) || __BITS_PER_LONG != 32
#define __NR_io_getevents 4
__SC_3264(__NR_io_getevents, sys_io_getevents_time32, sys_io_getevents)
#endif
#define __NR3264_statfs 43
__SC_COMP_3264(__NR3264_statfs, sys_statfs64, sys_statfs, \\
	       compat_sys_statfs64)
#define __NR_arch_specific_syscall 244
#define __NR_recvmmsg_time64 417
__SC_COMP(__NR_recvmmsg_time64, sys_recvmmsg, compat_sys_recvmmsg_time64)
#define __NR_set_mempolicy_home_node 450
__SYSCALL(__NR_set_mempolicy_home_node, sys_set_mempolicy_home_node)

#undef __NR_syscalls
#define __NR_syscalls 451
#define __NR_fcntl __NR3264_fcntl
";

fn tables() -> Tables {
    Tables::parse(T64, T32, Some(Generic::Table(GENERIC))).unwrap()
}

fn line(name: &str, abi: Abi) -> String {
    tables().lookup(name, abi).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn each_abi_sees_its_own_lines() {
    assert_eq!(line("read", Abi::M64), "arch/x86/entry/syscalls/syscall_64.tbl:5: 0 common read");
    assert_eq!(line("read", Abi::Mx32), line("read", Abi::M64));
    assert_eq!(line("read", Abi::M32), "arch/x86/entry/syscalls/syscall_32.tbl:3: 3 i386 read");
    assert_eq!(line("execve", Abi::M64), "arch/x86/entry/syscalls/syscall_64.tbl:7: 59 64 execve");
    assert_eq!(line("execve", Abi::Mx32), "arch/x86/entry/syscalls/syscall_64.tbl:21: 520 x32 execve");
    assert_eq!(line("readv", Abi::M64), "");
    assert_eq!(line("create_module", Abi::Mx32), "");
    assert_eq!(line("nothing", Abi::M32), "");
    let count = |abi| tables().entries(abi).count();
    assert_eq!(Abi::ALL.map(count), [9, 7, 10]);
}

#[test]
fn entry_symbols_are_those_of_the_wrappers() {
    let symbol = |name, abi| tables().entry_symbol(name, abi).unwrap_or_default();
    assert_eq!(symbol("mseal", Abi::M64), "__x64_sys_mseal");
    assert_eq!(symbol("mseal", Abi::Mx32), "__x64_sys_mseal");
    assert_eq!(symbol("mseal", Abi::M32), "__ia32_sys_mseal");
    assert_eq!(symbol("execve", Abi::M64), "__x64_sys_execve");
    assert_eq!(symbol("execve", Abi::M32), "__ia32_compat_sys_execve");
    assert_eq!(symbol("execve", Abi::Mx32), "__x64_compat_sys_execve");
    assert_eq!(symbol("exit", Abi::M32), "__ia32_sys_exit");
    assert_eq!(symbol("create_module", Abi::M64), "");
    assert_eq!(symbol("break", Abi::M32), "");
}

#[test]
fn a_number_has_a_holder_per_abi() {
    let tables = tables();
    let holder = |number, abi| tables.holder(number, abi).map(|entry| entry.name.as_str());
    assert_eq!(holder(0, Abi::M64), Some("read"));
    assert_eq!(holder(0, Abi::M32), Some("restart_syscall"));
    assert_eq!(holder(520, Abi::Mx32), Some("execve"));
    assert_eq!(holder(520, Abi::M64), None);
    assert_eq!(holder(463, Abi::M64), None);
    assert!(LEGACY_X32.contains(&512) && LEGACY_X32.contains(&547) && !LEGACY_X32.contains(&548));
}

#[test]
fn a_64_line_and_an_x32_line_may_share_name_and_number() {
    let xyzzy = T64.replace("# This is the end", "# end").replace(
        "\n#\n# Due",
        "463\t64\txyzzy\tsys_xyzzy\n463\tx32\txyzzy\tcompat_sys_xyzzy\n464\t64\tplugh\tsys_plugh\n465\tx32\tplugh\tcompat_sys_plugh\n\n#\n# Due",
    );
    let tables = Tables::parse(&xyzzy, T32, None).unwrap();
    let find = |name, abi| tables.lookup(name, abi).map(|entry| entry.number);
    assert_eq!((find("xyzzy", Abi::M64), find("xyzzy", Abi::Mx32)), (Some(463), Some(463)));
    assert_eq!((find("plugh", Abi::M64), find("plugh", Abi::Mx32)), (Some(464), Some(465)));
    assert_eq!(tables.entry_symbol("xyzzy", Abi::M64).as_deref(), Some("__x64_sys_xyzzy"));
    assert_eq!(tables.entry_symbol("xyzzy", Abi::Mx32).as_deref(), Some("__x64_compat_sys_xyzzy"));
    assert_eq!(tables.holder(464, Abi::Mx32), None);
    assert_eq!(tables.next_free(), 466);
}

#[test]
fn the_next_free_number_is_after_the_last_one_and_skips_the_legacy_range() {
    assert_eq!(tables().next_free(), 463);
    let next = |t64: &str| Tables::parse(t64, "", None).unwrap().next_free();
    assert_eq!(next(""), 0);
    assert_eq!(next("511\tcommon\ta\tsys_a\n"), 548);
    assert_eq!(next("511\tcommon\ta\tsys_a\n547\tx32\tb\tsys_b\n560\t64\tc\tsys_c\n"), 561);
    let generic = Some(Generic::Table("470\tcommon\tz\tsys_z\n"));
    assert_eq!(Tables::parse(T64, T32, generic).unwrap().next_free(), 471);
}

#[test]
fn the_generic_table_and_the_older_header_are_read() {
    let table = tables();
    assert_eq!(table.generic_entries().len(), 5);
    assert_eq!(table.generic("mseal").map(|entry| (entry.number, entry.line)), Some((462, 5)));
    assert_eq!(table.generic("xyzzy"), None);
    let old = Tables::parse(T64, T32, Some(Generic::Header(HEADER))).unwrap();
    let names: Vec<&str> = old.generic_entries().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["io_setup", "io_getevents", "statfs", "recvmmsg_time64", "set_mempolicy_home_node"]);
    let statfs = old.generic("statfs").unwrap();
    assert_eq!((statfs.number, statfs.line), (43, 17));
    assert_eq!(statfs.entry.as_deref(), Some("sys_statfs"));
    assert_eq!(statfs.compat.as_deref(), Some("compat_sys_statfs64"));
    assert_eq!(old.generic("io_getevents").unwrap().entry.as_deref(), Some("sys_io_getevents"));
    assert_eq!(old.generic_holder(450).map(|entry| entry.name.as_str()), Some("set_mempolicy_home_node"));
    assert_eq!(old.generic_holder(244), None);
}

#[test]
fn what_the_kernels_scripts_refuse_or_skip_is_an_error_with_file_and_line() {
    let file = "arch/x86/entry/syscalls/syscall_64.tbl";
    for (text, expected) in [
        (" 1\tcommon\ta\tsys_a", ":1: the line does not start with a number"),
        ("#\nxyzzy", ":2: the line does not start with a number"),
        ("+1\tcommon\ta\tsys_a", "does not start with a number"),
        ("1x\tcommon\ta\tsys_a", "\"1x\" is not a syscall number"),
        ("1073741824\tcommon\ta\tsys_a", "is not a syscall number"),
        ("99999999999\tcommon\ta\tsys_a", "is not a syscall number"),
        ("1\tcomon\ta\tsys_a", "\"comon\" is not an ABI of this table"),
        ("1\ti386\ta\tsys_a", "\"i386\" is not an ABI of this table"),
        ("1", "\"\" is not a name"),
        ("1\tcommon", "\"\" is not a name"),
        ("1\tcommon\ta-b\tsys_a", "\"a-b\" is not a name"),
        ("1\tcommon\ta\tsys_a,", "\"sys_a,\" is not a name"),
        ("1\tcommon\ta\tsys_a # why", "\"#\" is not a name"),
        ("1\tcommon\ta\tsys_a\t-\treturns", "\"returns\" does not belong here"),
        ("1\tcommon\ta\tsys_a\t-\tnoreturn\tx", "\"x\" does not belong here"),
        ("1\tcommon\ta\tsys_a\n\n1\t64\tb\tsys_b", ":3: number 1 comes after 1 of line 1"),
        ("2\t64\ta\tsys_a\n1\tcommon\tb\tsys_b", ":2: number 1 comes after 2 of line 1"),
        ("1\tcommon\ta\tsys_a\n2\tx32\ta\tsys_a", ":2: a has a line for mx32 already, line 1"),
    ] {
        let error = Tables::parse(text, "", None).unwrap_err().to_string();
        assert!(error.starts_with(file) && error.contains(expected), "{text:?}: {error}");
    }
    let error = Tables::parse("", "1\tcommon\ta\tsys_a", None).unwrap_err().to_string();
    assert!(error.starts_with("arch/x86/entry/syscalls/syscall_32.tbl:1: \"common\""), "{error}");
    let error = Tables::parse("", "", Some(Generic::Table("a"))).unwrap_err().to_string();
    assert!(error.starts_with("scripts/syscall.tbl:1: "), "{error}");
}

#[test]
fn errors_of_the_header() {
    for (text, expected) in [
        ("__SYSCALL(__NR_x, sys_x)", "unistd.h:1: __NR_x has no number above"),
        ("#define __NR_x 1\n__SYSCALL(__NR_x, sys_x", ":2: the call is not closed"),
        ("#define __NR_x 1\n__SYSCALL(__NR_x)", ":2: \"\" is not a name"),
        ("#define __NR_x 1\n__SC_COMP(__NR_x, sys_x)", ":2: \"\" is not a name"),
        ("#define __NR_x 1x", ":1: \"1x\" is not a syscall number"),
    ] {
        let error = Tables::parse("", "", Some(Generic::Header(text))).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn near_names() {
    let tables = tables();
    let suggest = |word: &str| near(word, tables.names());
    assert_eq!(suggest("msael"), ["mseal"]);
    assert_eq!(suggest("execv"), ["execve"]);
    assert_eq!(suggest("send_signal"), ["pidfd_send_signal"]);
    assert_eq!(suggest("pidfd"), ["pidfd_send_signal"]);
    assert_eq!(suggest("mseal"), [""; 0], "the word itself is no suggestion");
    assert_eq!(suggest("xyzzy"), [""; 0]);
    assert_eq!(suggest(""), [""; 0]);
    assert_eq!(near("READ", ["read", "reed", "bread", "lead", "head"]), ["read", "bread", "head"]);
    assert_eq!(near("a", ["b", "a", "bb"]), ["b"]);
    assert_eq!(near(&"x".repeat(1000), [&*"x".repeat(999)]), [""; 0]);
}

proptest! {
    #[test]
    fn no_text_panics(t64 in any::<String>(), t32 in any::<String>(), generic in any::<String>()) {
        let _ = Tables::parse(&t64, &t32, Some(Generic::Table(&generic)));
        let _ = Tables::parse("", "", Some(Generic::Header(&generic)));
    }

    #[test]
    fn no_text_of_the_right_words_panics(
        text in "([0-9]{1,4}|common|64|x32|sys_a|a|b|-|noreturn|\t|\n|#define|__NR_a|__SYSCALL\\(|__SC_COMP\\(|,|\\)| |/\\*|\\*/){0,60}",
    ) {
        if let Ok(tables) = Tables::parse(&text, "", None) {
            let next = tables.next_free();
            prop_assert!(Abi::ALL.iter().all(|abi| tables.holder(next, *abi).is_none()));
        }
        let _ = Tables::parse("", "", Some(Generic::Header(&text)));
    }

    #[test]
    fn near_is_bounded_and_finds_a_single_slip(word in "[a-z]{4,30}", at in 0usize..30, c in "[a-z]") {
        let mut slip = word.clone();
        slip.insert_str(at.min(word.len()), &c);
        prop_assert_eq!(near(&slip, [word.as_str()]), vec![word.as_str()]);
        prop_assert!(near(&word, [""; 10]).is_empty());
    }
}
