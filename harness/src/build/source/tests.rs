//! Archives as their authors would rather not send them, with real tar.

use super::*;
use crate::model::Events;
use crate::process::{Ctx, Guard, StopSwitch};
use crate::store::Store;

/// A member of a tar archive: its name, its type and where it leads.
fn member(name: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000777\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(329, b"0000001\0");
    put(337, b"0000003\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

struct Bench {
    root: tempfile::TempDir,
    ctx: Ctx,
    store: Store,
    _switch: StopSwitch,
}

impl Bench {
    fn new() -> Bench {
        let root = tempfile::tempdir().unwrap();
        let (switch, stop) = StopSwitch::new();
        let env = std::env::var_os("PATH").map(|path| ("PATH".into(), path)).into_iter().collect();
        let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env };
        let store = Store::open(&root.path().join("cache"), &Guard::none()).unwrap();
        fs::create_dir(root.path().join("outside")).unwrap();
        fs::write(root.path().join("outside/x"), "x").unwrap();
        Bench { root, ctx, store, _switch: switch }
    }

    fn shop(&self) -> Workshop<'_> {
        Workshop {
            ctx: &self.ctx,
            store: &self.store,
            compiler: String::new(),
            libraries: BTreeMap::new(),
            ccache: false,
            make_jobs: 1,
            logs: self.root.path().join("logs"),
            machine: std::rc::Rc::new(tokio::sync::Semaphore::new(1)),
            guests: 1,
        }
    }

    fn kernel(&self, archive: &Path) -> Kernel {
        let sha256 = Sha256::digest(fs::read(archive).unwrap());
        let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Kernel {
            name: "linux".parse().unwrap(),
            source: Source::Tarball { path: archive.to_owned(), sha256 },
            fragments: Vec::new(),
            command_line: Vec::new(),
            recipe: crate::plan::recipe::Recipe::default(),
            is_users: false,
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn no_archive_writes_beside_its_tree_or_brings_more_than_files() {
    let file = |name: &str| member(name, b'0', "", b"evil");
    for (name, members, good) in [
        ("plain", vec![file("k/a")], true),
        ("upwards", vec![file("k/../../outside/y")], false),
        ("absolute", vec![file("/outside/y")], true),
        ("through its own link", vec![member("k/l", b'2', "../../outside", b""), file("k/l/x")], false),
        ("through its own absolute link", vec![member("k/l", b'2', "{outside}", b""), file("k/l/x")], false),
        ("over its own link", vec![member("k/l", b'2', "../../outside/x", b""), file("k/l")], true),
        ("a hard link out", vec![member("k/h", b'1', "../../outside/x", b""), file("k/h")], false),
        ("a device", vec![member("k/d", b'3', "", b"")], false),
        ("a pipe", vec![member("k/p", b'6', "", b"")], false),
        ("no archive", vec![vec![b'x'; 4096]], false),
        ("cut off", vec![file("k/a")[..600].to_vec()], false),
    ] {
        let bench = Bench::new();
        let outside = bench.root.path().join("outside");
        let archive = bench.root.path().join("k.tar");
        let mut bytes = member("k/Kbuild", b'0', "", b"");
        bytes.extend(members.concat());
        if name != "cut off" {
            bytes.extend([0; 1024]);
        }
        fs::write(&archive, &bytes).unwrap();
        let made = pristine(&bench.shop(), &bench.kernel(&archive)).await;
        assert_eq!(made.is_ok(), good, "{name}: {made:?}");
        assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "x", "{name}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{name}");
        let published = bench.store.place("source", "x").parent().unwrap().to_owned();
        let trees = std::fs::read_dir(published).map_or(0, Iterator::count);
        assert_eq!(trees, usize::from(good), "{name}: a tree that is none is in the cache");
    }
}

#[test]
fn nothing_beside_the_tree_is_read() {
    let bench = Bench::new();
    let pristine = Pristine::new(Hash::of(b"x"), bench.root.path().join("outside"));
    assert_eq!(pristine.read("x").as_deref(), Some("x"));
    let beside = bench.root.path().join("outside/x");
    for path in ["../outside/x", "./../outside/x", "y/../x", "/etc/passwd", beside.to_str().unwrap()] {
        assert_eq!(pristine.read(path), None, "{path}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_archive_of_more_than_a_kernel_is_stopped_on_its_way() {
    let bench = Bench::new();
    let path = |name: &str| bench.root.path().join(name);
    fs::create_dir_all(path("k/many")).unwrap();
    fs::File::create(path("k/zeros")).unwrap().set_len(200 << 20).unwrap();
    let archive = path("bomb.tar.gz");
    let tar = Cmd::new("tar").args(["--create", "--gzip", "--file"]).arg(&archive);
    tar.arg("--directory").arg(bench.root.path()).arg("k").output(&bench.ctx).await.unwrap();
    assert!(fs::metadata(&archive).unwrap().len() < 1 << 20, "it is small");
    let (shop, kernel) = (bench.shop(), bench.kernel(&archive));
    for (most, good) in [((300 << 20, 100), true), ((20 << 20, 100), false), ((300 << 20, 1), false)] {
        let into = tempfile::tempdir().unwrap();
        let ended = extract_bounded(&shop, &kernel, &archive, into.path(), most).await;
        match ended {
            Ok(()) => assert!(good, "{most:?}"),
            Err(trouble) => {
                assert!(!good && trouble.to_string().contains("unpacks to more than"), "{trouble}")
            }
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_archive_with_another_sum_is_refused_before_it_is_unpacked() {
    let bench = Bench::new();
    let archive = bench.root.path().join("k.tar");
    fs::write(&archive, [member("k/Kbuild", b'0', "", b""), vec![0; 1024]].concat()).unwrap();
    let mut kernel = bench.kernel(&archive);
    kernel.source = Source::Tarball { path: archive, sha256: "0".repeat(64) };
    let refused = pristine(&bench.shop(), &kernel).await.unwrap_err().to_string();
    assert!(refused.contains("has the SHA-256") && refused.contains("kernel.yaml says 000"), "{refused}");
    assert!(!bench.store.place("source", "x").parent().unwrap().exists());
}
