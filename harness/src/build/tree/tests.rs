use std::time::{Duration, SystemTime};

use super::*;
use crate::model::Events;
use crate::process::{Guard, StopSwitch};
use crate::store::{Hash, Store};

/// A work tree over a pristine one of two files, and all that it stands on.
struct Bench {
    _root: tempfile::TempDir,
    ctx: Ctx,
    _switch: StopSwitch,
    tree: WorkTree,
}

async fn bench() -> Bench {
    let root = tempfile::tempdir().unwrap();
    let (switch, stop) = StopSwitch::new();
    let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env: Vec::new() };
    let store = Store::open(&root.path().join("cache"), &Guard::none()).unwrap();
    let pristine = Pristine::new(Hash::of(b"x"), root.path().join("pristine"));
    let place = root.path().join("place");
    for folder in [&pristine.path, &place.join("src"), &place.join("obj/kernel")] {
        fs::create_dir_all(folder).unwrap();
    }
    for name in ["a.c", "b.c"] {
        fs::write(pristine.path.join(name), name).unwrap();
        fs::hard_link(pristine.path.join(name), place.join("src").join(name)).unwrap();
    }
    let lock = store.lock(&ctx, "tree").await.unwrap();
    let (src, obj) = (place.join("src"), place.join("obj"));
    let scratch = tempfile::tempdir_in(root.path()).unwrap();
    let tree = WorkTree { src, obj, pristine, place, scratch, _lock: lock, _build_lock: None };
    Bench { _root: root, ctx, _switch: switch, tree }
}

fn overlay(files: &[(&str, Option<&str>)]) -> Overlay {
    let content = |text: &Option<&str>| match text {
        Some(text) => Content::File { bytes: text.as_bytes().to_vec(), executable: false },
        None => Content::Deleted,
    };
    Overlay::of(files.iter().map(|(path, text)| ((*path).to_owned(), content(text))))
}

fn read(bench: &Bench, name: &str) -> Option<String> {
    std::fs::read_to_string(bench.tree.src.join(name)).ok()
}

#[tokio::test(flavor = "current_thread")]
async fn a_leg_is_selected_by_content_and_the_pristine_tree_is_never_touched() {
    let bench = bench().await;
    let time = |name: &str| fs::metadata(bench.tree.src.join(name)).unwrap().modified().unwrap();
    let before = time("b.c");
    let patched = overlay(&[("a.c", Some("changed")), ("new/dir/c.c", Some("new")), ("b.c", Some("b.c"))]);
    assert_eq!(bench.tree.select(&patched).unwrap(), 2);
    assert_eq!(read(&bench, "a.c").unwrap(), "changed");
    assert_eq!(time("b.c"), before, "an unchanged file keeps its time");
    assert_eq!(fs::read_to_string(bench.tree.pristine.path.join("a.c")).unwrap(), "a.c");
    assert_eq!(bench.tree.select(&patched).unwrap(), 0);
    assert_eq!(bench.tree.select(&overlay(&[("b.c", None)])).unwrap(), 3);
    assert_eq!((read(&bench, "a.c").as_deref(), read(&bench, "b.c")), (Some("a.c"), None));
    assert!(!bench.tree.src.join("new").exists());
    assert_eq!(bench.tree.select(&Overlay::none()).unwrap(), 1);
    assert_eq!(read(&bench, "b.c").as_deref(), Some("b.c"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_selection_that_was_cut_off_is_repaired_by_the_next() {
    let bench = bench().await;
    // As a run leaves it that was killed after its list and its first file.
    fs::write(bench.tree.place.join("deviating"), "a.c\nnew.c\n").unwrap();
    fs::remove_file(bench.tree.src.join("a.c")).unwrap();
    fs::write(bench.tree.src.join("a.c"), "half").unwrap();
    assert_eq!(bench.tree.select(&Overlay::none()).unwrap(), 1);
    assert_eq!(read(&bench, "a.c").as_deref(), Some("a.c"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_killed_make_wrote_is_not_taken_for_done() {
    let bench = bench().await;
    let old = bench.tree.obj.join("kernel/old.o");
    fs::write(&old, "whole").unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
    bench.tree.begin().unwrap().done().unwrap();
    let _killed = bench.tree.begin().unwrap();
    let half = bench.tree.obj.join("kernel/half.o");
    fs::write(&half, "ha").unwrap();
    bench.tree.forget_unfinished(&bench.ctx).unwrap();
    assert!(old.exists() && !half.exists());
    // The same within one run, when the mark of the first is still there.
    let _killed = bench.tree.begin().unwrap();
    fs::write(&half, "ha").unwrap();
    bench.tree.begin().unwrap().done().unwrap();
    assert!(old.exists() && !half.exists());
    // Once is enough.
    fs::write(&half, "whole").unwrap();
    bench.tree.forget_unfinished(&bench.ctx).unwrap();
    assert!(half.exists());
}

#[tokio::test(flavor = "current_thread")]
async fn a_named_build_folder_does_not_outlive_its_source() {
    let bench = bench().await;
    let object = bench.tree.obj.join("kernel/a.o");
    fs::write(bench.tree.obj.join(super::BUILD_MARK), "").unwrap();
    bench.tree.settle(&bench.ctx).unwrap();
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(&object, "of this source").unwrap();
    bench.tree.settle(&bench.ctx).unwrap();
    assert!(object.exists());
    // The source was made anew.
    fs::remove_file(bench.tree.place.join("token")).unwrap();
    bench.tree.settle(&bench.ctx).unwrap();
    assert!(!object.exists() && bench.tree.obj.join(super::BUILD_MARK).exists());
}

#[test]
fn a_build_folder_behind_dots_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("out/../linux/obj");
    assert!(super::check_build_folder(&named, None).unwrap_err().contains("`..`"));
    assert_eq!(super::check_build_folder(&folder.path().join("out"), None), Ok(()));
}

#[tokio::test(flavor = "current_thread")]
async fn what_somebody_else_wrote_into_a_tree_is_seen() {
    let bench = bench().await;
    let facts = async |path: &Path| TreeFacts::read(path).await.unwrap();
    let reference = facts(&bench.tree.pristine.path).await;
    bench.tree.select(&overlay(&[("a.c", Some("changed")), ("new.c", Some("new"))])).unwrap();
    let ours = facts(&bench.tree.src).await;
    assert_eq!(ours.difference(&reference, &bench.tree.deviating().unwrap()), None);
    fs::write(bench.tree.src.join("stray.c"), "x").unwrap();
    let found = facts(&bench.tree.src).await;
    assert_eq!(found.difference(&reference, &bench.tree.deviating().unwrap()), Some(Path::new("stray.c")));
    fs::remove_file(bench.tree.src.join("stray.c")).unwrap();
    // In place, through the hard link: both trees have it, and the pristine one's facts do not.
    fs::write(bench.tree.src.join("b.c"), "poisoned").unwrap();
    let found = facts(&bench.tree.src).await;
    assert_eq!(found.difference(&reference, &bench.tree.deviating().unwrap()), Some(Path::new("b.c")));
    assert_ne!(facts(&bench.tree.pristine.path).await, reference);
}

#[test]
fn what_is_written_lies_outside_of_the_users_tree() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let tree = root.join("linux");
    fs::create_dir_all(tree.join("sub")).unwrap();
    std::os::unix::fs::symlink(tree.join("sub"), root.join("link")).unwrap();
    let check = |folder: &str| super::check_outside("--out", &root.join(folder), Some(&tree));
    for inside in ["linux", "linux/run", "linux/sub/new/run", "link/run", "linux/sub/../run"] {
        assert!(check(inside).unwrap_err().contains("never written to"), "{inside}");
    }
    assert!(check("new/../linux/run").unwrap_err().contains("`..`"));
    for outside in ["run", "linux/../run", "linux-next/run"] {
        assert_eq!(check(outside), Ok(root.clone()), "{outside}");
    }
    assert!(super::check_outside("--out", &tree.join("run"), None).is_ok());
}
