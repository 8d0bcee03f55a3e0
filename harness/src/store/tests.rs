use proptest::prelude::*;

use super::*;
use crate::model::{Events, RunEvent};
use crate::process::StopSwitch;

fn ctx_with_notes() -> (Ctx, std::rc::Rc<std::cell::RefCell<Vec<String>>>, StopSwitch) {
    let notes = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let sink = notes.clone();
    let events = Events::new(move |event| {
        if let RunEvent::Note(text) = event {
            sink.borrow_mut().push(text);
        }
    });
    let (switch, stop) = StopSwitch::new();
    (Ctx { events, stop, guard: Guard::none(), env: Vec::new() }, notes, switch)
}

fn published(store: &Store, key: &Key) -> Entry {
    let folder = store.scratch("t-").unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("a"), "hello").unwrap();
    std::fs::write(folder.path().join("sub/b"), vec![7; 5000]).unwrap();
    store.publish("thing", key, folder).unwrap()
}

#[test]
fn an_entry_is_found_after_it_was_published_and_not_before() {
    let root = tempfile::tempdir().unwrap();
    let (ctx, notes, _switch) = ctx_with_notes();
    let store = Store::open(root.path(), &Guard::none()).unwrap();
    let key = KeyBuilder::new("thing").input("x", "1").finish();
    assert!(store.find(&ctx, "thing", &key).unwrap().is_none());
    let entry = published(&store, &key);
    assert_eq!(store.find(&ctx, "thing", &key).unwrap().unwrap().path, entry.path);
    assert!(notes.borrow().is_empty());
    let scratch = store.scratch.clone();
    drop(store);
    assert!(!scratch.exists(), "a run leaves no scratch");
}

#[test]
fn what_a_dead_run_left_is_swept_and_a_living_one_keeps_its_own() {
    let root = tempfile::tempdir().unwrap();
    let living = Store::open(root.path(), &Guard::none()).unwrap();
    let dead = root.path().join("scratch/run-dead");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    let _second = Store::open(root.path(), &Guard::none()).unwrap();
    assert!(!dead.exists());
    assert!(living.scratch.exists());
}

#[test]
fn every_change_of_an_input_changes_the_key() {
    let key = |inputs: &[(&str, &str)]| {
        let fold = |b: KeyBuilder, (n, v): &(&str, &str)| b.input(n, v);
        inputs.iter().fold(KeyBuilder::new("k"), fold).finish()
    };
    let base = key(&[("config", "a"), ("gcc", "12")]);
    assert_eq!(base, key(&[("config", "a"), ("gcc", "12")]));
    for other in [
        key(&[("config", "b"), ("gcc", "12")]),
        key(&[("config", "a"), ("gcc", "13")]),
        key(&[("config", "a")]),
        key(&[("config", "ag"), ("cc", "12")]),
        KeyBuilder::new("l").input("config", "a").input("gcc", "12").finish(),
    ] {
        assert_ne!(base.as_str(), other.as_str());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_second_run_waits_for_the_lock_and_names_its_holder() {
    let root = tempfile::tempdir().unwrap();
    let (ctx, notes, switch) = ctx_with_notes();
    let store = Store::open(root.path(), &Guard::none()).unwrap();
    let lock = store.lock(&ctx, "kernel-x").await.unwrap();
    let waiting = store.lock(&ctx, "kernel-x");
    let give_up = tokio::time::timeout(std::time::Duration::from_millis(250), waiting).await;
    assert!(give_up.is_err(), "the lock was not held");
    let expected = format!("waiting for kernel-x: held by process {}", std::process::id());
    assert_eq!(*notes.borrow(), [expected]);
    drop(lock);
    let held = store.lock(&ctx, "kernel-x").await.unwrap();
    switch.press("SIGTERM");
    let stopped = store.lock(&ctx, "kernel-x").await;
    assert!(matches!(stopped, Err(StoreError::Interrupted { signal: "SIGTERM" })));
    drop(held);
}

#[test]
fn a_read_only_cache_is_one_clear_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("not-a-folder");
    std::fs::write(&file, "").unwrap();
    let text = Store::open(&file, &Guard::none()).unwrap_err().to_string();
    assert!(text.contains("not-a-folder") && text.contains("not writable"), "{text}");
}

#[test]
fn cleaning_takes_what_is_old_and_nothing_that_is_in_use() {
    let root = tempfile::tempdir().unwrap();
    let (ctx, _notes, _switch) = ctx_with_notes();
    let store = Store::open(root.path(), &Guard::none()).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(40 * 86_400);
    let date = |path: &Path| std::fs::File::open(path).unwrap().set_modified(old).unwrap();
    let key = |name: &str| KeyBuilder::new("thing").input("name", name).finish();
    let [used, forgotten, fresh] = ["used", "forgotten", "fresh"].map(|name| published(&store, &key(name)));
    date(&used.path);
    date(&forgotten.path);
    // A hit is a use.
    store.find(&ctx, "thing", &key("used")).unwrap().unwrap();
    for (name, mark) in [("old", true), ("young", false)] {
        let tree = store.place("source", name).join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(store.place("source", name).join("digest"), "x").unwrap();
        if mark {
            date(&store.place("source", name).join("digest"));
        }
    }
    let mut held = None;
    for name in ["idle", "busy"] {
        std::fs::create_dir_all(store.place("tree", name)).unwrap();
        let lock = root.path().join(format!("lock/tree-{name}.lock"));
        let file = std::fs::File::create(&lock).unwrap();
        date(&lock);
        if name == "busy" {
            file.lock().unwrap();
            held = Some(file);
        }
    }
    let month = tidy::Rule::OlderThan(std::time::Duration::from_secs(30 * 86_400));
    let cleaned = store.clean(month).unwrap();
    assert_eq!(cleaned.things, 3, "{cleaned:?}");
    assert!(cleaned.bytes > 5000, "{cleaned:?}");
    let there = |kind: &str, name: &str| store.place(kind, name).exists();
    assert!(!forgotten.path.exists() && used.path.exists() && fresh.path.exists());
    assert!(!there("source", "old") && there("source", "young"));
    assert!(!there("tree", "idle") && there("tree", "busy"));
    let second = Store::open(root.path(), &Guard::none()).unwrap();
    assert!(matches!(store.clean(tidy::Rule::All), Err(StoreError::InUse)));
    drop((second, held));
    store.clean(tidy::Rule::All).unwrap();
    assert!(!used.path.exists() && !there("tree", "busy") && !there("source", "young"));
    assert_eq!(store.damaged().unwrap(), []);
}

#[test]
fn of_what_was_set_aside_the_newest_are_kept() {
    let root = tempfile::tempdir().unwrap();
    for day in 0..6u64 {
        let bad = root.path().join(format!("bad/tree-{day}"));
        std::fs::create_dir_all(bad.join("src")).unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(day * 86_400);
        std::fs::File::open(&bad).unwrap().set_modified(then).unwrap();
    }
    let _store = Store::open(root.path(), &Guard::none()).unwrap();
    let mut kept: Vec<_> =
        std::fs::read_dir(root.path().join("bad")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    kept.sort();
    assert_eq!(kept, ["tree-0", "tree-1", "tree-2"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_flipped_byte_anywhere_makes_a_rebuild_said_aloud(which in 0usize..3, at in 0usize..5000, bit in 0u8..8) {
        let root = tempfile::tempdir().unwrap();
        let (ctx, notes, _switch) = ctx_with_notes();
        let store = Store::open(root.path(), &Guard::none()).unwrap();
        let key = KeyBuilder::new("thing").finish();
        let entry = published(&store, &key);
        let file = entry.path.join(["a", "sub/b", "manifest.json"][which]);
        let mut bytes = std::fs::read(&file).unwrap();
        let at = at % bytes.len();
        // In the manifest, only what is not white space or an input's text is evidence.
        prop_assume!(which < 2 || (bytes[at].is_ascii_hexdigit() && bytes[at - 1].is_ascii_hexdigit()));
        bytes[at] ^= 1 << bit;
        std::fs::write(&file, &bytes).unwrap();
        prop_assert!(store.find(&ctx, "thing", &key).unwrap().is_none());
        prop_assert!(notes.borrow()[0].contains("made again"));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_system_without_locks_is_told_and_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let (ctx, notes, _switch) = ctx_with_notes();
    let no = |_: &std::fs::File| Err(std::fs::TryLockError::Error(io::ErrorKind::Unsupported.into()));
    lock::take_by(&root.path().join("a.lock"), &ctx, "a", no).await.unwrap();
    assert!(notes.borrow()[0].contains("no locks"), "{notes:?}");
    // Any other error is one.
    let no = |_: &std::fs::File| Err(std::fs::TryLockError::Error(io::ErrorKind::PermissionDenied.into()));
    lock::take_by(&root.path().join("a.lock"), &ctx, "a", no).await.unwrap_err();
}
