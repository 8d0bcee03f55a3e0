//! What the real trees of both kernels say of syscalls that are wired in every way there is. The
//! tables here are written by hand, from the kernels' own tables, Makefiles and folders.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::model::Abi;
use harness::plan::derive::{DeriveError, Derived, Switch, Target, TreeFiles, derive};
use harness::plan::tree::TreeFolder;

/// Name; number and function of m64, m32 and mx32 (a `-` where there is none); the option that
/// switches it and the folder of its tests (a `-` where nothing can be told).
const BOTH: &str = "
    exit               60:sys_exit              1:sys_exit                   60:sys_exit                      -                  -
    readv              19:sys_readv             145:sys_readv                515:sys_readv                    -                  -
    execve             59:sys_execve            11:compat_sys_execve         520:compat_sys_execve            -                  -
    ioctl              16:sys_ioctl             54:compat_sys_ioctl          514:compat_sys_ioctl             -                  -
    io_setup           206:sys_io_setup         245:compat_sys_io_setup      543:compat_sys_io_setup          AIO                -
    preadv2            327:sys_preadv2          378:compat_sys_preadv2       546:compat_sys_preadv64v2        -                  -
    rt_sigreturn       15:sys_rt_sigreturn      173:compat_sys_rt_sigreturn  513:compat_sys_x32_rt_sigreturn  -                  -
    recvmsg            47:sys_recvmsg           372:compat_sys_recvmsg       519:compat_sys_recvmsg           NET                -
    timer_create       222:sys_timer_create     259:compat_sys_timer_create  526:compat_sys_timer_create      POSIX_TIMERS       timers
    mq_notify          244:sys_mq_notify        281:compat_sys_mq_notify     527:compat_sys_mq_notify         POSIX_MQUEUE       -
    process_vm_readv   310:sys_process_vm_readv 347:sys_process_vm_readv     539:sys_process_vm_readv         CROSS_MEMORY_ATTACH -
    waitpid            -                        7:sys_waitpid                -                                -                  -
    socketcall         -                        102:compat_sys_socketcall    -                                NET                -
    stat               4:sys_newstat            106:compat_sys_newstat       4:sys_newstat                    -                  -
    mmap               9:sys_mmap               90:compat_sys_ia32_mmap      9:sys_mmap                       -                  -
    arch_prctl         158:sys_arch_prctl       384:compat_sys_arch_prctl    158:sys_arch_prctl               -                  -
    modify_ldt         154:sys_modify_ldt       123:sys_modify_ldt           154:sys_modify_ldt               MODIFY_LDT_SYSCALL -
    keyctl             250:sys_keyctl           288:compat_sys_keyctl        250:sys_keyctl                   KEYS               -
    clock_gettime      228:sys_clock_gettime    265:sys_clock_gettime32      228:sys_clock_gettime            -                  -
    futex              202:sys_futex            240:sys_futex_time32         202:sys_futex                    FUTEX              futex
    futex_waitv        449:sys_futex_waitv      449:sys_futex_waitv          449:sys_futex_waitv              FUTEX              futex/functional
    close_range        436:sys_close_range      436:sys_close_range          436:sys_close_range              -                  core
    openat2            437:sys_openat2          437:sys_openat2              437:sys_openat2                  -                  openat2
    clone3             435:sys_clone3           435:sys_clone3               435:sys_clone3                   -                  clone3
    pidfd_open         434:sys_pidfd_open       434:sys_pidfd_open           434:sys_pidfd_open               -                  pidfd
    io_uring_setup     425:sys_io_uring_setup   425:sys_io_uring_setup       425:sys_io_uring_setup           IO_URING           -
    rseq               334:sys_rseq             386:sys_rseq                 334:sys_rseq                     RSEQ               rseq
    epoll_create1      291:sys_epoll_create1    329:sys_epoll_create1        291:sys_epoll_create1            EPOLL              filesystems/epoll
    membarrier         324:sys_membarrier       375:sys_membarrier           324:sys_membarrier               MEMBARRIER         membarrier
    kcmp               312:sys_kcmp             349:sys_kcmp                 312:sys_kcmp                     KCMP               kcmp
    bpf                321:sys_bpf              357:sys_bpf                  321:sys_bpf                      BPF_SYSCALL        bpf
    seccomp            317:sys_seccomp          354:sys_seccomp              317:sys_seccomp                  SECCOMP            seccomp
    getrandom          318:sys_getrandom        355:sys_getrandom            318:sys_getrandom                -                  -
    name_to_handle_at  303:sys_name_to_handle_at 341:sys_name_to_handle_at   303:sys_name_to_handle_at        FHANDLE            -
    perf_event_open    298:sys_perf_event_open  336:sys_perf_event_open      298:sys_perf_event_open          -                  perf_events
    landlock_create_ruleset 444:sys_landlock_create_ruleset 444:sys_landlock_create_ruleset 444:sys_landlock_create_ruleset SECURITY_LANDLOCK landlock
";

/// Options that got a prompt later, folders that moved.
const IN_6_1: &str = "
    memfd_create       319:sys_memfd_create     356:sys_memfd_create         319:sys_memfd_create             -                  memfd
    memfd_secret       447:sys_memfd_secret     447:sys_memfd_secret         447:sys_memfd_secret             -                  vm:memfd_secret
    userfaultfd        323:sys_userfaultfd      374:sys_userfaultfd          323:sys_userfaultfd              USERFAULTFD        vm:userfaultfd
    mlock2             325:sys_mlock2           376:sys_mlock2               325:sys_mlock2                   -                  vm:mlock2-tests
";

const IN_6_12: &str = "
    memfd_create       319:sys_memfd_create     356:sys_memfd_create         319:sys_memfd_create             MEMFD_CREATE       memfd
    memfd_secret       447:sys_memfd_secret     447:sys_memfd_secret         447:sys_memfd_secret             SECRETMEM          mm:memfd_secret
    userfaultfd        323:sys_userfaultfd      374:sys_userfaultfd          323:sys_userfaultfd              USERFAULTFD        -
    mlock2             325:sys_mlock2           376:sys_mlock2               325:sys_mlock2                   -                  mm:mlock2-tests
    uretprobe          335:sys_uretprobe        -                            335:sys_uretprobe                -                  -
    cachestat          451:sys_cachestat        451:sys_cachestat            451:sys_cachestat                CACHESTAT_SYSCALL  cachestat
    fchmodat2          452:sys_fchmodat2        452:sys_fchmodat2            452:sys_fchmodat2                -                  fchmodat2
    map_shadow_stack   453:sys_map_shadow_stack 453:sys_map_shadow_stack     453:sys_map_shadow_stack         X86_USER_SHADOW_STACK -
    statmount          457:sys_statmount        457:sys_statmount            457:sys_statmount                -                  filesystems/statmount
    lsm_get_self_attr  459:sys_lsm_get_self_attr 459:sys_lsm_get_self_attr   459:sys_lsm_get_self_attr        SECURITY           lsm
    mseal              462:sys_mseal            462:sys_mseal                462:sys_mseal                    -                  mm:mseal_test
";

/// Warm, one syscall took 0.1 s; this is for a busy host.
const WARM: Duration = Duration::from_secs(1);

/// Both kernels, some forty syscalls each.
pub fn both_kernels() {
    std::thread::scope(|scope| {
        scope.spawn(|| one_kernel(1, IN_6_1));
        scope.spawn(|| one_kernel(12, IN_6_12));
    });
}

fn one_kernel(patchlevel: u32, own: &str) {
    let root = tree(patchlevel);
    let tree = TreeFolder::new(root);
    let get = |name: &str| derive(&name.parse().unwrap(), &tree);
    let mut fastest = Duration::MAX;
    let rows = BOTH.lines().chain(own.lines()).map(|line| line.split_whitespace().collect::<Vec<_>>());
    for row in rows.filter(|row| !row.is_empty()) {
        let [name, m64, m32, mx32, option, selftest] = row[..] else { panic!("{row:?}") };
        let started = Instant::now();
        let derived = get(name).unwrap_or_else(|error| panic!("6.{patchlevel} {name}: {error}"));
        fastest = fastest.min(started.elapsed());
        let about = format!("6.{patchlevel} {name}:\n{}", derived.describe().join("\n"));
        let found = Abi::ALL.map(|abi| entry(&derived, abi));
        assert_eq!(found, [m64, m32, mx32], "{about}");
        let switched = derived.option().map_or("-", |option| option.symbol());
        assert_eq!(switched, option, "{about}");
        assert_eq!(derived.selftest().map_or("-".to_owned(), ToString::to_string), selftest, "{about}");
        places_hold(&derived, &tree, &about);
    }
    assert!(fastest < WARM, "6.{patchlevel}: {fastest:?} for a syscall at best");
    // The column of 6.10 and later.
    let exit = get("exit").unwrap();
    assert!(exit.entries.values().all(|entry| entry.entry.noreturn == (patchlevel == 12)));
    // There, and not implemented: by one ABI, or by all of a 64-bit kernel.
    let uselib = get("uselib").unwrap();
    assert_eq!(uselib.entries[&Abi::M64].target, Target::NotImplemented);
    assert_eq!(uselib.option().unwrap().as_str(), "CONFIG_USELIB");
    assert_eq!(get("vm86").unwrap().entries[&Abi::M32].target, Target::NotImplemented);
    let time32 = "by m32 it needs CONFIG_COMPAT_32BIT_TIME, too";
    assert!(get("futex").unwrap().notes.iter().any(|note| note.contains(time32)));
    for name in ["cachestat", "fchmodat2", "mseal", "statmount", "uretprobe", "nosuchcall"] {
        let unknown = matches!(get(name), Err(DeriveError::Unknown { .. }));
        assert_eq!(unknown, patchlevel == 1 || name == "nosuchcall", "6.{patchlevel} {name}");
    }
    let fixed = |name: &str| matches!(get(name).unwrap().switch, Switch::Fixed(_));
    assert_eq!(fixed("memfd_create"), patchlevel == 1);
}

/// `number:function` of an entry.
fn entry(derived: &Derived, abi: Abi) -> String {
    let Some(entry) = derived.entries.get(&abi) else { return "-".to_owned() };
    let Target::Defined { function, .. } = &entry.target else { panic!("{:?}", entry.target) };
    format!("{}:{function}", entry.entry.number)
}

/// Every line that is named says what it is named for.
fn places_hold(derived: &Derived, tree: &TreeFolder, about: &str) {
    let line = |file: &str, line: u32| {
        let text = tree.read(file).unwrap_or_else(|| panic!("no {file}: {about}"));
        text.lines().nth(line as usize - 1).unwrap_or_default().to_owned()
    };
    for entry in derived.entries.values() {
        let row = line(entry.entry.file(), entry.entry.line);
        assert!(row.split_whitespace().any(|word| word == derived.syscall.as_str()), "{row}: {about}");
    }
    for definition in derived.definitions() {
        let head = line(&definition.place.file, definition.place.line);
        assert!(
            head.starts_with(&format!("{}({}", definition.macro_name, definition.name)),
            "{head}: {about}"
        );
    }
    for condition in derived.needs() {
        let row = line(&condition.place.file, condition.place.line);
        assert!(row.contains(condition.option.as_str()), "{row}: {about}");
    }
}

/// The tree that the tests before this one have unpacked into the cache.
fn tree(patchlevel: u32) -> PathBuf {
    let sources = crate::support::cache().join("source");
    let folders =
        std::fs::read_dir(&sources).unwrap_or_else(|error| panic!("{}: {error}", sources.display()));
    let is_it = |tree: &PathBuf| {
        let makefile = std::fs::read_to_string(tree.join("Makefile")).unwrap_or_default();
        makefile.contains("VERSION = 6\n") && makefile.contains(&format!("PATCHLEVEL = {patchlevel}\n"))
    };
    folders.flatten().map(|entry| entry.path().join("tree")).find(is_it).unwrap_or_else(|| {
        panic!("no tree of 6.{patchlevel} in {}: the first test unpacks it", sources.display())
    })
}
