//! Tier 2: the real QEMU with guests of a few bytes, on both boards.
//!
//! A guest is a 64-bit ELF image with a PVH note, as a kernel is, so that the very arguments of a
//! cell start it. Its code runs in 32-bit protected mode, flat, without paging or interrupts.

mod support;

use std::time::Duration;

use harness::boot::qemu::{Accel, Machine};
use harness::boot::vm::log;
use harness::judge::watch::Deadlines;
use harness::model::Cause;
use support::{PATIENT, Scene, Seen, deep, processes};

const BOARDS: [Machine; 2] = [Machine::Microvm, Machine::Q35];

/// Where the image is loaded, and where its code begins.
const BASE: u32 = 0x10_0000;
const CODE: u32 = BASE + 0x200;

/// A guest's code, put together by bytes.
#[derive(Default)]
struct Code(Vec<u8>);

impl Code {
    fn here(&self) -> u32 {
        CODE + self.0.len() as u32
    }

    fn bytes(mut self, bytes: &[u8]) -> Code {
        self.0.extend(bytes);
        self
    }

    /// Writes `text` to the first serial port, waiting for room before each byte.
    fn print(self, text: &[u8]) -> Code {
        let after_jump = self.here() + 5;
        let jump_over = [&[0xe9][..], &(text.len() as u32).to_le_bytes()].concat();
        self.bytes(&jump_over)
            .bytes(text)
            .bytes(&[0xfc, 0xbe]) // cld; mov esi, text
            .bytes(&after_jump.to_le_bytes())
            .bytes(&[0xb9]) // mov ecx, length
            .bytes(&(text.len() as u32).to_le_bytes())
            .bytes(&[0xac, 0x88, 0xc4]) // next: lodsb; mov ah, al
            .bytes(&[0x66, 0xba, 0xfd, 0x03]) // mov dx, 0x3fd
            .bytes(&[0xec, 0xa8, 0x20, 0x74, 0xfb]) // wait: in al, dx; test al, 0x20; jz wait
            .bytes(&[0x88, 0xe0, 0x66, 0xba, 0xf8, 0x03]) // mov al, ah; mov dx, 0x3f8
            .bytes(&[0xee, 0xe2, 0xeb]) // out dx, al; loop next
    }

    /// cli; spin: jmp spin
    fn spin(self) -> Code {
        self.bytes(&[0xfa, 0xeb, 0xfe])
    }

    /// cli; halt: hlt; jmp halt
    fn halt(self) -> Code {
        self.bytes(&[0xfa, 0xf4, 0xeb, 0xfd])
    }

    /// jmp to the very beginning
    fn again(self) -> Code {
        let back = CODE.wrapping_sub(self.here() + 5);
        self.bytes(&[0xe9]).bytes(&back.to_le_bytes())
    }

    /// lidt with nothing in it, and an exception.
    fn triple_fault(self) -> Code {
        let table = self.here() + 8;
        self.bytes(&[0x0f, 0x01, 0x1d]).bytes(&table.to_le_bytes()).bytes(&[0xcc]).bytes(&[0; 6])
    }

    /// As the ACPI tables of the board say it.
    fn power_off(self, machine: Machine) -> Code {
        match machine {
            // mov byte [GED's sleep control], enable | type 5
            Machine::Microvm => self.bytes(&[0xc6, 0x05, 0x00, 0x02, 0xa0, 0xfe, 0x34]),
            // mov dx, PM1a control; mov ax, enable; out dx, ax
            Machine::Q35 => self.bytes(&[0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]),
        }
        .halt()
    }

    /// The ELF image.
    fn image(&self) -> Vec<u8> {
        let end = u64::from(CODE - BASE) + self.0.len() as u64;
        let mut image = Vec::new();
        // ELFCLASS64, little endian; ET_EXEC, EM_X86_64; two program headers.
        image.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
        for word in [u64::from(CODE), 64, 0] {
            image.extend(word.to_le_bytes());
        }
        image.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
        let note_at = 0x100u64;
        for (kind, offset, size, align) in [(1u32, 0, end, 0x1000), (4, note_at, 24, 4)] {
            image.extend(kind.to_le_bytes());
            image.extend(7u32.to_le_bytes());
            let address = u64::from(BASE) + offset;
            for word in [offset, address, address, size, size, align] {
                image.extend(word.to_le_bytes());
            }
        }
        image.resize(note_at as usize, 0);
        // XEN_ELFNOTE_PHYS32_ENTRY: the name, and the address as 64 bits.
        for word in [4u32, 8, 18] {
            image.extend(word.to_le_bytes());
        }
        image.extend(*b"Xen\0");
        image.extend(u64::from(CODE).to_le_bytes());
        image.resize((CODE - BASE) as usize, 0);
        image.extend(&self.0);
        image
    }
}

fn code() -> Code {
    Code::default()
}

fn scene(machine: Machine, code: &Code) -> Scene {
    Scene::bare_metal(machine, &code.image())
}

fn no_boot_within(time: Duration) -> Deadlines {
    Deadlines { boot: time, ..PATIENT }
}

#[track_caller]
fn assert_quit(seen: &Seen) {
    assert_eq!(seen.evidence.shutdown, Some((false, "host-qmp-quit".to_owned())));
}

#[test]
fn a_triple_fault_is_a_reset_on_both_boards() {
    for machine in BOARDS {
        let scene = scene(machine, &code().print(b"hello from bare metal\r\n").triple_fault());
        let seen = scene.play();
        assert_eq!(*seen.cause(), Cause::Reset, "{machine}: {:#?}", seen.evidence);
        assert_eq!(seen.evidence.shutdown, Some((true, "guest-reset".to_owned())));
        let (_, success, stderr) = seen.evidence.exit.unwrap();
        assert!(
            success && stderr.is_empty(),
            "status 0 proves nothing, and QEMU took every argument: {stderr}"
        );
        assert_eq!(scene.log(log::CONSOLE), b"hello from bare metal\r\n");
        assert_eq!(seen.evidence.last_line, "hello from bare metal");
    }
}

#[test]
fn a_panic_before_a_triple_fault_is_a_panic_on_both_boards() {
    for machine in BOARDS {
        let words = b"<0>[    1.000000] Kernel panic - not syncing: bare metal\r\n";
        let seen = scene(machine, &code().print(words).triple_fault()).play();
        assert!(matches!(seen.cause(), Cause::Panic { .. }), "{machine}: {:#?}", seen.judged);
    }
}

#[test]
fn a_power_off_without_a_bye_is_early_on_both_boards() {
    for machine in BOARDS {
        let seen = scene(machine, &code().power_off(machine)).play();
        assert_eq!(*seen.cause(), Cause::EarlyPowerOff, "{machine}: {:#?}", seen.evidence);
    }
}

#[test]
fn a_silent_guest_that_halts_is_ended_on_both_boards() {
    for machine in BOARDS {
        let code = code().halt();
        let scene = scene(machine, &code).deadlines(no_boot_within(Duration::from_secs(1)));
        let seen = scene.play();
        let at = seen.evidence.instruction.expect("QEMU knows where it is");
        assert!((u64::from(CODE)..=u64::from(code.here())).contains(&at), "{at:#x}");
        let Cause::BootHang { last_line, .. } = seen.cause() else { panic!("{:#?}", seen.judged) };
        assert_eq!(last_line, "");
        assert_quit(&seen);
        seen.assert_sooner_than(Duration::from_secs(3));
    }
}

#[test]
fn a_guest_that_spins_without_interrupts_is_ended_by_the_monitor_on_both_boards() {
    for machine in BOARDS {
        let scene = scene(machine, &code().print(b"spinning\n").spin());
        let seen = scene.play_with(async |switch| {
            scene.printed("spinning").await;
            switch.press("SIGINT");
        });
        assert_eq!(*seen.cause(), Cause::Interrupted { signal: "SIGINT".to_owned() });
        assert_quit(&seen);
    }
}

#[test]
fn two_stops_kill_a_guest_at_once() {
    let scene = scene(Machine::Microvm, &code().print(b"spinning\n").spin());
    let seen = scene.play_with(async |switch| {
        scene.printed("spinning").await;
        switch.press("SIGINT");
        switch.press("SIGINT");
    });
    let (how, _, _) = seen.evidence.exit.unwrap();
    assert!(how.contains("signal 9"), "{how}");
}

#[test]
fn a_guest_that_floods_its_console_is_ended_in_time_on_both_boards() {
    let line = [&[b'x'; 99][..], b"\n"].concat();
    for machine in BOARDS {
        let flood = code().print(&line).again();
        let scene = scene(machine, &flood).deadlines(no_boot_within(Duration::from_secs(2)));
        let seen = scene.play();
        assert!(matches!(seen.cause(), Cause::BootHang { .. }), "{machine}: {:#?}", seen.judged);
        assert_quit(&seen);
        seen.assert_sooner_than(Duration::from_secs(4));
        let console = scene.log(log::CONSOLE);
        assert!(console.len() > 10_000, "{machine}: only {} bytes", console.len());
        assert!(console.chunks(line.len()).all(|chunk| line.starts_with(chunk)), "a byte was lost");
    }
}

#[test]
fn every_byte_value_reaches_the_log_on_both_boards() {
    let bytes: Vec<u8> = (0..=255).rev().cycle().take(4096).collect();
    for machine in BOARDS {
        let scene = scene(machine, &code().print(&bytes).triple_fault());
        assert_eq!(*scene.play().cause(), Cause::Reset);
        assert!(scene.log(log::CONSOLE) == bytes, "{machine}");
    }
}

#[test]
fn a_guest_runs_in_its_sandbox_and_its_name_is_its_own() {
    let scene = scene(Machine::Microvm, &code().print(b"spinning\n").spin());
    let mut status = String::new();
    scene.play_with(async |switch| {
        scene.printed("spinning").await;
        let pids = processes(&scene.guest.name);
        assert_eq!(pids.len(), 1);
        status = std::fs::read_to_string(format!("/proc/{}/status", pids[0])).unwrap();
        switch.press("SIGINT");
    });
    let has = |line: &str| status.lines().any(|found| found.replace('\t', " ") == line);
    assert!(has("Seccomp: 2") && has("NoNewPrivs: 1"), "{status}");
}

#[test]
fn a_folder_far_down_with_commas_is_as_good_as_any_on_both_boards() {
    for machine in BOARDS {
        let mut scene = scene(machine, &code().print(b"deep\n").triple_fault());
        let folder = deep(scene.folder.path()).join("a,b=c,,id=x");
        std::fs::create_dir_all(&folder).unwrap();
        let moved = |path: &mut std::path::PathBuf| {
            let to = folder.join(path.file_name().unwrap());
            std::fs::rename(&*path, &to).unwrap();
            *path = to;
        };
        moved(&mut scene.guest.kernel);
        moved(&mut scene.guest.initramfs);
        scene.logs = folder.join("logs");
        assert_eq!(*scene.play().cause(), Cause::Reset, "{machine}");
        assert_eq!(scene.log(log::CONSOLE), b"deep\n");
    }
}

#[test]
fn an_image_that_is_no_kernel_is_a_lost_machine_with_qemus_words() {
    for machine in BOARDS {
        let scene = Scene::bare_metal(machine, &[0; 4096]);
        let seen = scene.deadlines(no_boot_within(Duration::from_secs(2))).play();
        let Cause::LostVm { detail } = seen.cause() else { panic!("{machine}: {:#?}", seen.judged) };
        assert!(detail.contains("qemu"), "{detail}");
    }
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let mut scene = scene(Machine::Q35, &code().halt());
    scene.guest.kernel = scene.folder.path().join("absent");
    let seen = scene.play();
    let Cause::LostVm { detail } = seen.cause() else { panic!("{:#?}", seen.judged) };
    assert!(detail.contains("status 1") && detail.contains("absent"), "{detail}");
}

#[test]
fn kvm_ends_in_bounded_time_and_is_never_replaced_in_silence() {
    let opens = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    let mut scene = scene(Machine::Q35, &code().spin()).deadlines(no_boot_within(Duration::from_secs(2)));
    scene.guest.accel = Accel::Kvm;
    let seen = scene.play();
    seen.assert_sooner_than(Duration::from_secs(4));
    match seen.cause() {
        Cause::LostVm { detail } => assert!(opens || detail.to_lowercase().contains("kvm"), "{detail}"),
        // It spins, or hangs in some way of its own.
        cause => assert!(opens && matches!(cause, Cause::BootHang { .. }), "{cause}"),
    }
}
