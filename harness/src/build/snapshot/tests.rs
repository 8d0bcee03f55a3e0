//! Trees as users have them, made with real git: nothing of them changes, and all that is theirs is
//! in the snapshot.

use std::cell::RefCell;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::rc::Rc;

use tokio::sync::Semaphore;

use super::*;
use crate::model::Events;
use crate::plan::derive::TreeFiles;
use crate::plan::files::Source;
use crate::plan::recipe::Recipe;
use crate::process::{Ctx, Guard, StopSwitch};
use crate::store::Store;

struct Bench {
    root: tempfile::TempDir,
    ctx: Ctx,
    store: Store,
    _switch: StopSwitch,
}

const IGNORED: &str = ".*\n!.gitignore\n*.o\n/vmlinux\n/include/config/\n";

impl Bench {
    /// A tree `linux` of a few files, without git.
    fn new() -> Bench {
        let root = tempfile::tempdir().unwrap();
        let (switch, stop) = StopSwitch::new();
        let env = std::env::var_os("PATH").map(|path| ("PATH".into(), path)).into_iter().collect();
        let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env };
        let store = Store::open(&root.path().join("cache"), &Guard::none()).unwrap();
        let bench = Bench { root, ctx, store, _switch: switch };
        for (path, text) in
            [("Kbuild", "top\n"), ("kernel/a.c", "a\n"), ("kernel/b.c", "b\n"), (".gitignore", IGNORED)]
        {
            bench.write(path, text);
        }
        bench.write("scripts/run.sh", "#!/bin/sh\n");
        let program = bench.tree().join("scripts/run.sh");
        fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../kernel/a.c", bench.tree().join("scripts/link.c")).unwrap();
        bench
    }

    /// The same as a repository with one commit.
    fn with_git() -> Bench {
        let bench = Bench::new();
        bench.git(&["init", "--quiet", "--initial-branch=main"]);
        bench.commit("base");
        bench
    }

    fn tree(&self) -> PathBuf {
        self.root.path().join("linux")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.tree().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.tree()).args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(args);
        let said = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }

    fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
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
            machine: Rc::new(Semaphore::new(1)),
            guests: 1,
        }
    }

    fn kernel(&self, tree: &Path) -> Kernel {
        Kernel {
            name: "linux".parse().unwrap(),
            source: Source::Directory(tree.to_owned()),
            fragments: Vec::new(),
            command_line: Vec::new(),
            recipe: Recipe::default(),
            is_users: true,
        }
    }

    async fn try_take(&self, tree: &Path) -> Result<Pristine, String> {
        snapshot(&self.shop(), &self.kernel(tree), tree).await.map_err(|trouble| trouble.to_string())
    }

    /// A snapshot, for which nothing of the tree may have changed: names, modes, sizes, times, content.
    async fn take(&self) -> Pristine {
        let before = everything(&self.tree());
        let taken = self.try_take(&self.tree()).await.unwrap();
        assert_eq!(everything(&self.tree()), before, "the user's tree was written to");
        taken
    }
}

type Facts = BTreeMap<PathBuf, (u32, u64, i64, i64, Vec<u8>)>;

fn everything(tree: &Path) -> Facts {
    let mut found = Facts::new();
    let mut todo = vec![tree.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let times = (meta.mtime(), meta.mtime_nsec());
        found.insert(path, (meta.mode(), meta.len(), times.0, times.1, content));
    }
    found
}

/// All files that a snapshot stands for.
fn files(pristine: &Pristine) -> Vec<String> {
    let none = Overlay::none();
    let patched = super::super::series::Patched { pristine, series: &none };
    let mut found: Vec<String> = ["kernel", "scripts", "include", "new", "folder"]
        .iter()
        .flat_map(|folder| patched.files(folder, 3))
        .collect();
    found.extend(
        ["Kbuild", ".config", "vmlinux"].iter().filter(|f| patched.read(f).is_some()).map(|f| f.to_string()),
    );
    found.sort();
    found
}

fn dirty(pristine: &Pristine) -> Option<String> {
    pristine.tree.as_ref().unwrap().dirty.clone()
}

#[tokio::test(flavor = "current_thread")]
async fn a_dirty_tree_is_taken_as_it_is_and_said_to_be_dirty() {
    let bench = Bench::with_git();
    let clean = bench.take().await;
    assert_eq!((dirty(&clean), clean.edits.files().count()), (None, 0));
    assert_eq!(
        clean.tree.as_ref().unwrap().commit,
        Some(bench.git(&["rev-parse", "HEAD"]).trim().to_owned())
    );
    bench.write("kernel/a.c", "edited\n");
    bench.write("kernel/new.c", "new\n");
    fs::remove_file(bench.tree().join("kernel/b.c")).unwrap();
    let edited = bench.take().await;
    assert_ne!(edited.id, clean.id);
    // The work tree stays where it is, and differs in what was edited alone.
    assert_eq!((&edited.base, &edited.path), (&clean.base, &clean.path));
    let names: Vec<&str> = edited.edits.files().map(|(path, _)| path).collect();
    assert_eq!(names, ["kernel/a.c", "kernel/b.c", "kernel/new.c"]);
    assert_eq!(edited.read("kernel/a.c").as_deref(), Some("edited\n"));
    assert_eq!(edited.read("kernel/b.c"), None);
    assert_eq!(files(&edited), ["Kbuild", "kernel/a.c", "kernel/new.c", "scripts/run.sh"]);
    assert_eq!(dirty(&edited).as_deref(), Some("2 files changed, 1 untracked"));
    // The same content is the same tree, whatever its times.
    bench.write("kernel/a.c", "a\n");
    bench.write("kernel/b.c", "b\n");
    fs::remove_file(bench.tree().join("kernel/new.c")).unwrap();
    let again = bench.take().await;
    assert_eq!((&again.id, dirty(&again)), (&clean.id, None));
}

#[tokio::test(flavor = "current_thread")]
async fn an_edit_that_keeps_size_and_time_is_seen() {
    let bench = Bench::with_git();
    let file = bench.tree().join("kernel/a.c");
    let old = SystemTime::now() - Duration::from_secs(3600);
    let set = |time| std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    set(old);
    let before = bench.take().await;
    bench.write("kernel/a.c", "z\n");
    set(old);
    let after = bench.take().await;
    assert_ne!(after.id, before.id);
    assert_eq!(after.read("kernel/a.c").as_deref(), Some("z\n"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_build_in_place_left_is_no_source() {
    for bench in [Bench::with_git(), Bench::new()] {
        let before = bench.take().await;
        for path in [".config", "kernel/a.o", "vmlinux", "include/config/auto.conf", "kernel/.a.o.cmd"] {
            bench.write(path, "built\n");
        }
        let after = bench.take().await;
        assert_eq!(after.id, before.id);
        assert_eq!(files(&after), ["Kbuild", "kernel/a.c", "kernel/b.c", "scripts/run.sh"]);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn without_git_it_is_the_gitignore_that_tells_and_without_that_nothing() {
    let bench = Bench::new();
    // As in the sources of a package, of which git tracks the packaging alone.
    bench.write(".gitignore", &format!("{IGNORED}/*\n!/debian/\n"));
    bench.write("debian/rules", "x\n");
    bench.write(".config", "built\n");
    bench.write("kernel/a.o", "built\n");
    let taken = bench.take().await;
    assert_eq!(files(&taken), ["Kbuild", "kernel/a.c", "kernel/b.c", "scripts/run.sh"]);
    assert_eq!(*taken.tree.unwrap(), TreeState::default());
    fs::remove_file(bench.tree().join(".gitignore")).unwrap();
    let error = bench.try_take(&bench.tree()).await.unwrap_err();
    assert!(error.contains("built in place") && error.contains("mrproper"), "{error}");
    fs::remove_file(bench.tree().join(".config")).unwrap();
    assert!(files(&bench.take().await).contains(&"kernel/a.o".to_owned()));
    let error = bench.try_take(&bench.tree().join("kernel")).await.unwrap_err();
    assert!(error.contains("no Kbuild"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn modes_and_links_are_kept_and_nothing_is_read_through_a_link() {
    let bench = Bench::with_git();
    bench.write("folder/x.c", "x\n");
    bench.commit("a folder");
    let first = bench.take().await;
    let link = first.path.join("scripts/link.c");
    assert_eq!(std::fs::read_link(link).unwrap(), Path::new("../kernel/a.c"));
    let mode = |path: &str| fs::metadata(first.path.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("scripts/run.sh"), mode("kernel/a.c")), (0o755, 0o644));
    // A mode is content.
    fs::set_permissions(bench.tree().join("kernel/a.c"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let second = bench.take().await;
    let program = Content::File { bytes: b"a\n".to_vec(), executable: true };
    assert_eq!(second.edits.get("kernel/a.c"), Some(&program));
    // A folder that has become a link to elsewhere: git would not go through it either.
    let outside = bench.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x.c"), "secret\n").unwrap();
    fs::remove_dir_all(bench.tree().join("folder")).unwrap();
    symlink(&outside, bench.tree().join("folder")).unwrap();
    let third = bench.take().await;
    // A link cannot be laid over: there is a new base.
    assert_eq!((third.edits.files().count(), &third.base), (0, &third.id));
    assert!(third.path.join("folder").is_symlink());
    assert_eq!(third.read("kernel/b.c").as_deref(), Some("b\n"));
    let listing: Base =
        Place::open(&bench.shop(), &bench.tree()).await.unwrap().recall::<Option<Base>>("base").unwrap();
    assert!(!listing.listing.contains_key("folder/x.c"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_linked_work_tree_is_a_tree_of_its_own() {
    let bench = Bench::with_git();
    let other = bench.root.path().join("other");
    bench.git(&["worktree", "add", "--quiet", "-b", "topic", other.to_str().unwrap()]);
    fs::write(other.join("kernel/a.c"), "topic\n").unwrap();
    let (before, main) = (everything(bench.root.path().join("linux").as_path()), everything(&other));
    let taken = bench.try_take(&other).await.unwrap();
    assert_eq!((everything(&bench.tree()), everything(&other)), (before, main));
    assert_eq!(taken.read("kernel/a.c").as_deref(), Some("topic\n"));
    assert_eq!(dirty(&taken).as_deref(), Some("1 files changed"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_git_is_told_not_to_look_at_is_looked_at() {
    let bench = Bench::with_git();
    bench.write("kernel/c.c", "c\n");
    bench.commit("one");
    bench.git(&["update-index", "--assume-unchanged", "kernel/a.c"]);
    bench.git(&["update-index", "--skip-worktree", "kernel/b.c"]);
    bench.write("kernel/a.c", "hidden\n");
    bench.write("kernel/b.c", "hidden\n");
    let taken = bench.take().await;
    assert_eq!(taken.read("kernel/a.c").as_deref(), Some("hidden\n"));
    assert_eq!(taken.read("kernel/b.c").as_deref(), Some("hidden\n"));
    // And git's `status`, which says nothing of them, is not believed.
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert_eq!(dirty(&taken).as_deref(), Some("2 files changed"));
    let found = range(&bench.shop(), &bench.tree(), "HEAD~1..HEAD").await.unwrap();
    assert_eq!(found.state.untested.as_deref(), Some("kernel/a.c, kernel/b.c"));
    // git takes one that is gone for unchanged even when it looks anew.
    std::fs::remove_file(bench.tree().join("kernel/a.c")).unwrap();
    assert_eq!(bench.git(&["status", "--porcelain"]), "");
    assert_eq!(dirty(&bench.take().await).as_deref(), Some("2 files changed"));
    let found = range(&bench.shop(), &bench.tree(), "HEAD~1..HEAD").await.unwrap();
    assert!(found.state.untested.as_deref().unwrap().contains("kernel/a.c"));
    bench.write("kernel/b.c", "b\n");
    bench.write("kernel/a.c", "a\n");
    assert_eq!(dirty(&bench.take().await), None);
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_sparse_checkout_leaves_out_is_told() {
    for index in ["--no-sparse-index", "--sparse-index"] {
        let mut bench = Bench::with_git();
        bench.write("scripts/more/x.c", "x\n");
        bench.commit("more");
        let notes = note_down(&mut bench);
        bench.git(&["sparse-checkout", "set", "--cone", index, "kernel"]);
        assert!(!bench.tree().join("scripts").exists());
        // Not `take`: git renews the times of the objects that it expands an index from.
        let taken = bench.try_take(&bench.tree()).await.unwrap();
        assert_eq!(dirty(&taken).as_deref(), Some("3 files left out by a sparse checkout"), "{index}");
        assert_eq!(files(&taken), ["Kbuild", "kernel/a.c", "kernel/b.c"]);
        let note = notes.borrow().join("\n");
        assert!(note.contains("sparse checkout") && note.contains("3 files"), "{note}");
        assert!(note.contains("scripts/link.c the first"), "{note}");
        bench.git(&["sparse-checkout", "disable"]);
        assert_eq!(dirty(&bench.take().await), None);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_large_file_that_git_does_not_track_is_left_out() {
    let mut bench = Bench::with_git();
    let before = bench.take().await;
    let notes = note_down(&mut bench);
    let large = |path: &str, bytes: u64| {
        bench.write(path, "");
        std::fs::File::options().write(true).open(bench.tree().join(path)).unwrap().set_len(bytes).unwrap();
    };
    large("kernel/disk.img", limits::TREE_UNTRACKED_BYTES + 1);
    let after = bench.try_take(&bench.tree()).await.unwrap();
    assert_eq!(after.id, before.id);
    assert_eq!(dirty(&after).as_deref(), Some("1 untracked files"));
    let note = notes.borrow().join("\n");
    assert!(note.contains("left out kernel/disk.img (64 MiB): not tracked by git"), "{note}");
    // One that is tracked is somebody's source.
    bench.git(&["add", "--intent-to-add", "kernel/disk.img"]);
    let tracked = bench.try_take(&bench.tree()).await.unwrap();
    assert_ne!(tracked.id, before.id);
    assert_eq!(tracked.edits.files().map(|(path, _)| path).collect::<Vec<_>>(), ["kernel/disk.img"]);
}

/// The notes from here on.
fn note_down(bench: &mut Bench) -> Rc<RefCell<Vec<String>>> {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let kept = notes.clone();
    bench.ctx.events = Events::new(move |event| {
        if let crate::model::RunEvent::Note(note) = event {
            kept.borrow_mut().push(note);
        }
    });
    notes
}

#[test]
fn a_tree_of_too_many_bytes_is_refused_by_its_largest_files_and_none_is_read() {
    let bench = Bench::new();
    let mut names = Names::default();
    for n in 0..140 {
        let path = format!("kernel/{n:03}.img");
        bench.write(&path, "");
        let file = std::fs::File::options().write(true).open(bench.tree().join(&path)).unwrap();
        file.set_len(if n == 77 { 64 << 20 } else { 63 << 20 }).unwrap();
        names.untracked.insert(path.clone());
        names.paths.push(path);
    }
    assert!(size_of(&bench.tree(), &names.paths) > limits::TREE_EDITS_BYTES);
    let error = scan(&bench.tree(), &names, &Seen::new()).err().unwrap();
    assert!(error.contains("more than 8192 MiB"), "{error}");
    assert!(error.contains("the largest are kernel/077.img (64 MiB), kernel/000.img (63 MiB)"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_hostile_repository_runs_nothing() {
    let bench = Bench::with_git();
    let mark = bench.root.path().join("ran");
    let hook = bench.root.path().join("hook");
    fs::write(&hook, format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", mark.display())).unwrap();
    fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let hook = hook.to_str().unwrap().to_owned();
    bench.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    for key in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.editor",
        "core.pager",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "gpg.program",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
    ] {
        bench.git(&["config", key, &hook]);
    }
    bench.git(&["config", "core.hooksPath", bench.root.path().to_str().unwrap()]);
    bench.git(&["config", "filter.evil.required", "true"]);
    for name in
        ["post-index-change", "pre-commit", "post-checkout", "fsmonitor-watchman", "reference-transaction"]
    {
        let path = bench.tree().join(".git/hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&hook, &path).unwrap();
    }
    bench.write("kernel/a.c", "edited\n");
    let base = fs::read_to_string(bench.tree().join(".git/refs/heads/main")).unwrap();
    let taken = bench.take().await;
    assert_eq!(taken.read("kernel/a.c").as_deref(), Some("edited\n"));
    let kernel = bench.kernel(&bench.tree());
    commit(&bench.shop(), &kernel, &bench.tree(), base.trim()).await.unwrap();
    range(&bench.shop(), &bench.tree(), "HEAD..HEAD").await.unwrap_err();
    assert!(!mark.exists(), "{}", fs::read_to_string(&mark).unwrap());
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_file_of_a_kernel_is_left_out() {
    let bench = Bench::with_git();
    let before = bench.take().await;
    bench.write("kernel/a\nb.c", "odd\n");
    let nested = bench.tree().join("nested");
    fs::create_dir(&nested).unwrap();
    for args in [
        &["init", "--quiet"][..],
        &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x", "--allow-empty"],
    ] {
        assert!(Command::new("git").arg("-C").arg(&nested).args(args).status().unwrap().success());
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, bench.tree().join("kernel/fifo.c"), 0o644.into()).unwrap();
    assert_eq!(bench.try_take(&bench.tree()).await.unwrap().id, before.id);
}

#[tokio::test(flavor = "current_thread")]
async fn a_tree_that_has_moved_far_away_gets_a_new_base() {
    let bench = Bench::with_git();
    let before = bench.take().await;
    for n in 0..=limits::TREE_EDITS {
        bench.write(&format!("new/{n}.c"), "x\n");
    }
    let after = bench.take().await;
    assert_eq!((&after.base, after.edits.files().count()), (&after.id, 0));
    assert_ne!(after.base, before.base);
    // And from there on, small edits again.
    bench.write("new/0.c", "y\n");
    let edited = bench.take().await;
    assert_eq!((&edited.base, edited.edits.files().count()), (&after.id, 1));
}

#[tokio::test(flavor = "current_thread")]
async fn a_range_is_a_commit_and_a_patch_for_each_after_it() {
    let bench = Bench::with_git();
    let base = bench.git(&["rev-parse", "HEAD"]).trim().to_owned();
    bench.write("kernel/a.c", "one\n");
    bench.commit("kernel: one");
    bench.write("new/c.c", "two\n");
    bench.commit("kernel: two");
    bench.write("kernel/b.c", "not committed\n");
    let before = everything(&bench.tree());
    let shop = bench.shop();
    let found = range(&shop, &bench.tree(), "HEAD~2..HEAD").await.unwrap();
    let pristine = commit(&shop, &bench.kernel(&bench.tree()), &bench.tree(), &found.base).await.unwrap();
    let series = super::super::series::apply(&shop, "linux", &pristine, &found.patches).await.unwrap();
    assert_eq!(everything(&bench.tree()), before);
    assert_eq!(found.base, base);
    let names: Vec<String> = found.patches.iter().map(crate::plan::files::Patch::name).collect();
    assert_eq!(names, ["0001-kernel-one.patch", "0002-kernel-two.patch"]);
    assert_eq!(series.read(&pristine, "kernel/a.c").as_deref(), Some("one\n"));
    assert_eq!(series.read(&pristine, "new/c.c").as_deref(), Some("two\n"));
    assert_eq!(series.read(&pristine, "kernel/b.c").as_deref(), Some("b\n"));
    for (words, why) in [
        ("HEAD", "it is BASE..HEAD"),
        ("HEAD~1...HEAD", "it is BASE..HEAD"),
        ("HEAD..HEAD", "no commit in it"),
        ("HEAD..HEAD~1", "no ancestor"),
        ("nonsense..HEAD", "no commit nonsense"),
        ("--output=x..HEAD", "no commit --output=x"),
    ] {
        let error = range(&shop, &bench.tree(), words).await.unwrap_err().to_string();
        assert!(error.contains(why), "{words}: {error}");
    }
    bench.git(&["checkout", "--quiet", "-f", "-b", "side", "HEAD~1"]);
    bench.write("kernel/side.c", "side\n");
    bench.commit("side");
    bench.git(&["merge", "--quiet", "--no-edit", "main"]);
    let error = range(&shop, &bench.tree(), "HEAD~2..HEAD").await.unwrap_err().to_string();
    assert!(error.contains("merges"), "{error}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_range_names_both_ends_and_what_is_not_committed() {
    let bench = Bench::with_git();
    let base = bench.git(&["rev-parse", "HEAD"]).trim().to_owned();
    bench.write("kernel/a.c", "one\n");
    let head = bench.commit("kernel: one");
    let ends = TreeState { commit: Some(head), base: Some(base), ..TreeState::default() };
    let clean = range(&bench.shop(), &bench.tree(), "HEAD~1..").await.unwrap();
    assert_eq!((&clean.state, clean.notes.len()), (&ends, 0));
    bench.write("kernel/a.c", "two\n");
    bench.write("kernel/new.c", "new\n");
    let dirty = range(&bench.shop(), &bench.tree(), "HEAD~1..main").await.unwrap();
    let names = "kernel/a.c, kernel/new.c (untracked)";
    assert_eq!(dirty.state, TreeState { untested: Some(names.to_owned()), ..ends });
    let note = format!("uncommitted changes are no part of HEAD~1..main and are not tested: {names}");
    assert_eq!(dirty.notes, [note]);
    for n in 0..20 {
        bench.write(&format!("new/{n}.c"), "x\n");
    }
    let untested = range(&bench.shop(), &bench.tree(), "HEAD~1..").await.unwrap().state.untested.unwrap();
    assert!(untested.ends_with(", 14 more"), "{untested}");
}

/// A git that is ended by a signal, or fails, when it is asked one thing.
fn failing_git(bench: &mut Bench, asked: &str, how: &str) {
    let path = std::env::var_os("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("git")).find(|git| git.is_file());
    let bin = bench.root.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' {asked} '*) {how};; esac\nexec {} \"$@\"\n",
        real.unwrap().display()
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
    bench.ctx.env = vec![("PATH".into(), path)];
}

#[tokio::test(flavor = "current_thread")]
async fn a_git_that_does_not_answer_says_nothing_of_the_tree() {
    let mut bench = Bench::with_git();
    bench.write("kernel/a.c", "one\n");
    bench.commit("kernel: one");
    bench.git(&["update-index", "--assume-unchanged", "kernel/a.c"]);
    let killed = "kill -KILL $$";
    let fatal = "echo 'fatal: no memory' >&2; exit 128";
    for (asked, how, words) in [
        ("merge-base", killed, "was killed by signal 9"),
        ("merge-base", fatal, "exited with status 128: fatal: no memory"),
        ("rev-parse", killed, "was killed by signal 9"),
        ("rev-parse", fatal, "exited with status 128: fatal: no memory"),
        ("status", killed, "was killed by signal 9"),
        ("update-index", killed, "was killed by signal 9"),
        ("ls-files", killed, "was killed by signal 9"),
    ] {
        failing_git(&mut bench, asked, how);
        let error = range(&bench.shop(), &bench.tree(), "HEAD~1..HEAD").await.unwrap_err().to_string();
        assert!(error.contains(asked) && error.contains(words), "{asked}: {error}");
        for wrong in ["no ancestor", "no commit"] {
            assert!(!error.contains(wrong), "{asked}: {error}");
        }
    }
    for asked in ["update-index", "ls-files"] {
        // Not cut off, and yet it has no answer: that is none of "unchanged".
        failing_git(&mut bench, asked, fatal);
        let found = range(&bench.shop(), &bench.tree(), "HEAD~1..HEAD").await.unwrap();
        assert_eq!(found.state.untested.as_deref(), Some("git cannot tell whether there are any"), "{asked}");
    }
    for asked in ["rev-parse", "status", "ls-files", "update-index"] {
        failing_git(&mut bench, asked, killed);
        let error = bench.try_take(&bench.tree()).await.unwrap_err();
        assert!(error.contains(asked) && error.contains("killed by signal 9"), "{asked}: {error}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_tree_without_a_commit_is_taken() {
    let bench = Bench::new();
    bench.git(&["init", "--quiet"]);
    assert_eq!(dirty(&bench.take().await).as_deref(), Some("there is no commit yet"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_range_may_stand_on_the_end_of_a_shallow_clone() {
    let bench = Bench::with_git();
    bench.write("kernel/b.c", "base\n");
    let base = bench.commit("base of the series");
    let whole = bench.root.path().join("whole");
    fs::rename(bench.tree(), &whole).unwrap();
    let from = format!("file://{}", whole.display());
    let cloned =
        Command::new("git").args(["clone", "--quiet", "--depth", "1", &from]).arg(bench.tree()).status();
    assert!(cloned.unwrap().success());
    assert!(bench.tree().join(".git/shallow").is_file());
    bench.write("kernel/a.c", "one\n");
    bench.commit("kernel: one");
    let found = range(&bench.shop(), &bench.tree(), "HEAD~1..HEAD").await.unwrap();
    assert_eq!((found.base, found.patches.len()), (base, 1));
}

#[test]
fn what_was_hashed_is_hashed_again_when_anything_of_it_differs() {
    let bench = Bench::new();
    let (tree, path) = (bench.tree(), "kernel/a.c");
    let now = stat(&tree, Path::new(path), &mut HashSet::new()).unwrap().unwrap();
    let item = Item { kind: Kind::File, hash: "as it was".to_owned() };
    let hash_after = |then: Stat| {
        let seen = Seen::from([(path.to_owned(), (then, item.clone()))]);
        let names = Names { paths: vec![path.to_owned()], ..Names::default() };
        let Scanned { listing, seen: found, .. } = scan(&tree, &names, &seen).unwrap();
        // Written just now: its times do not tell the next change yet.
        assert!(found.is_empty());
        listing[path].hash.clone()
    };
    assert_eq!(hash_after(now), "as it was");
    for part in 0..now.len() {
        let mut then = now;
        then[part] += 1;
        assert_eq!(hash_after(then), hash(b"a\n"), "{part}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let bench = Bench::new();
    let item = Item { kind: Kind::File, hash: hash(b"before\n") };
    let listing = Listing::from([("kernel/a.c".to_owned(), item)]);
    let into = bench.root.path().join("copy");
    let error = copy(&bench.tree(), &into, &listing).unwrap_err();
    assert!(error.contains("kernel/a.c changed while it was read"), "{error}");
    let error = read_edits(&bench.tree(), &listing, vec!["kernel/a.c".to_owned()]).unwrap_err();
    assert!(error.contains("run the same again"), "{error}");
}
