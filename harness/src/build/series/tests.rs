//! Series as their authors would rather not send them, on a small tree with real git.

use std::os::unix::fs::symlink;

use super::*;
use crate::model::Events;
use crate::process::{Ctx, Guard, StopSwitch};
use crate::store::Store;

/// A tree with `a.c`, `folder/b.c`, `link` to a file beside the tree and `away` to a folder there.
async fn applied(patches: &[String]) -> (tempfile::TempDir, Result<Overlay, String>) {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir_all(path("tree/folder")).unwrap();
    fs::create_dir_all(path("outside")).unwrap();
    for (name, text) in [("tree/a.c", "a\n"), ("tree/folder/b.c", "b\n"), ("outside/x", "x\n")] {
        fs::write(path(name), text).unwrap();
    }
    symlink("../outside/x", path("tree/link")).unwrap();
    symlink(path("outside"), path("tree/away")).unwrap();
    symlink("folder", path("tree/near")).unwrap();
    let (_switch, stop) = StopSwitch::new();
    let env = std::env::var_os("PATH").map(|path| ("PATH".into(), path)).into_iter().collect();
    let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env };
    let store = Store::open(&path("cache"), &Guard::none()).unwrap();
    let shop = Workshop {
        ctx: &ctx,
        store: &store,
        compiler: String::new(),
        libraries: std::collections::BTreeMap::new(),
        ccache: false,
        make_jobs: 1,
        logs: path("logs"),
        machine: std::rc::Rc::new(tokio::sync::Semaphore::new(1)),
        guests: 1,
    };
    let mut files = Vec::new();
    for (index, text) in patches.iter().enumerate() {
        files.push(Patch::File(path(&format!("{index}.patch"))));
        fs::write(path(&format!("{index}.patch")), text).unwrap();
    }
    let pristine = Pristine::new(Hash::of(b"x"), path("tree"));
    let overlay = apply(&shop, "k", &pristine, &files).await.map_err(|trouble| trouble.to_string());
    assert_eq!(fs::read_to_string(path("outside/x")).unwrap(), "x\n", "written outside of the tree");
    assert_eq!(fs::read_to_string(path("tree/a.c")).unwrap(), "a\n", "the pristine tree is");
    assert_eq!(fs::read_dir(path("outside")).unwrap().count(), 1, "something new outside of the tree");
    for scratch in fs::read_dir(path("cache/scratch")).unwrap() {
        let scratch = scratch.unwrap().path();
        let left: Vec<_> =
            fs::read_dir(&scratch).into_iter().flatten().map(|left| left.unwrap().path()).collect();
        assert!(left.iter().all(|left| left.is_file()), "something stays behind: {left:?}");
    }
    (root, overlay)
}

fn change(path: &str, from: &str, to: &str) -> String {
    format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{from}\n+{to}\n")
}

fn create(path: &str, mode: &str, text: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"
    )
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_series_may_not_do_is_refused_and_leaves_nothing() {
    let rename = |from: &str, to: &str| {
        format!("diff --git a/a.c b/a.c\nsimilarity index 100%\nrename from {from}\nrename to {to}\n")
    };
    let copy =
        |to: &str| format!("diff --git a/a.c b/x\nsimilarity index 100%\ncopy from a.c\ncopy to {to}\n");
    let hunk = format!("@@ -1 +1,{} @@\n-a\n{}", 1 << 20, "+0123456789\n".repeat(1 << 20));
    let huge = format!("diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n{hunk}");
    let then = [create("new", "120000", "/etc"), create("new/x", "100644", "x")];
    let cases: &[(&str, &[String], &str)] = &[
        ("absolute", &[change("/etc/passwd", "a", "b")], "does not stay inside"),
        ("upwards", &[change("../outside/x", "x", "y")], "does not stay inside"),
        ("upwards inside", &[change("folder/../../outside/x", "x", "y")], "does not stay inside"),
        ("git's own", &[create(".git/hooks/pre-commit", "100755", "x")], "does not stay inside"),
        ("git's own, elsewhere", &[create("folder/.GIT/config", "100644", "x")], "does not stay inside"),
        ("renamed out", &[rename("a.c", "../outside/y")], "does not stay inside"),
        ("renamed in", &[rename("../outside/x", "a.c")], "does not stay inside"),
        ("copied out", &[copy("/tmp/x")], "does not stay inside"),
        ("a new link", &[create("new", "120000", "/etc")], "symbolic link"),
        ("a new link, then through it", &then, "symbolic link"),
        ("a submodule", &[create("sub", "160000", "Subproject commit 0")], "submodule"),
        ("a device", &[create("dev", "020000", "x")], "unknown kind"),
        ("over a link", &[change("link", "x", "y")], "link is not a plain file"),
        ("through a link", &[change("away/x", "x", "y")], "away/x is beyond a symbolic link"),
        ("a new file through a link", &[create("away/y", "100644", "y")], "beyond a symbolic link"),
        ("through a link inside", &[change("near/b.c", "b", "c")], "beyond a symbolic link"),
        ("a folder", &[change("folder", "x", "y")], "not a plain file"),
        ("binary", &["diff --git a/a.c b/a.c\nGIT binary patch\nliteral 0\n".to_owned()], "binary patch"),
        ("10 MB of hunk", &[huge], "larger than"),
        ("a quoted name", &["--- \"a/a\\tb\"\n+++ \"b/a\\tb\"\n@@ -1 +1 @@\n-a\n+b\n".to_owned()], "inside"),
        ("NUL in a name", &[change("a\0.c", "a", "b")], "inside"),
        ("the wrong line ends", &[change("a.c", "a", "b").replace('\n', "\r\n")], "does not apply"),
        ("cut off", &["--- a/a.c\n+++ b/a.c\n@@ -1,2 +1,2 @@\n-a\n".to_owned()], "in the middle of a hunk"),
        ("twice", &[change("a.c", "a", "b"), change("a.c", "a", "b")], "patch 2/2"),
    ];
    for (name, patches, words) in cases {
        let (_root, overlay) = applied(patches).await;
        let message = overlay.expect_err(name);
        assert!(message.contains(words), "{name}: {message}");
        assert!(message.len() < 1000, "{name}: {} bytes", message.len());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_series_may_do_is_all_in_the_overlay() {
    let file = |bytes: &[u8], executable: bool| Content::File { bytes: bytes.to_vec(), executable };
    let no_newline =
        "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n";
    let (_root, overlay) = applied(&[no_newline.to_owned(), create("new/n", "100755", "a\0b")]).await;
    let overlay = overlay.unwrap();
    assert_eq!(overlay.get("a.c"), Some(&file(b"b", false)));
    assert_eq!(overlay.get("new/n"), Some(&file(b"a\0b\n", true)));
    let moved = "diff --git a/a.c b/z\nsimilarity index 100%\nrename from a.c\nrename to z\n";
    let gone = "diff --git a/folder/b.c b/folder/b.c\ndeleted file mode 100644\n--- a/folder/b.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n";
    let (_root, overlay) = applied(&[moved.to_owned(), gone.to_owned()]).await;
    let files: Vec<_> =
        overlay.as_ref().unwrap().files().map(|(path, content)| (path, content.clone())).collect();
    assert_eq!(
        files,
        [("a.c", Content::Deleted), ("folder/b.c", Content::Deleted), ("z", file(b"a\n", false))]
    );
}
