//! `--transport ssh` before there is a program that speaks it.

use super::assert_says;
use super::support::mini::World;

const BUILDS: &str = "builds itself";

/// Arguments of a run over ssh, and a cargo that fails as cargo does.
fn over_ssh(world: &mut World) -> Vec<String> {
    world.program("cargo", "#!/bin/sh\necho 'error: no' >&2\nexit 101\n");
    world.env = vec![("CARGO".to_owned(), world.bin().join("cargo").display().to_string())];
    let mut args = world.args("ssh");
    args.extend(["--transport", "ssh"].map(str::to_owned));
    args
}

pub fn before_it_is_built() {
    let mut world = World::new();
    let args = over_ssh(&mut world);
    // What would end it afterwards ends it before.
    let script = "mount -t tmpfs none /usr/include/openssl; exec \"$@\"";
    let run = world.run_in_namespace(script, &args);
    assert_says(&run, 3, &["OpenSSL's headers", "package libssl-dev", "--setup"]);
    assert!(!run.stderr.contains(BUILDS), "{run}");
    let mut typo = args.clone();
    typo[1] = "xyzzzy".to_owned();
    let nowhere = [&args[..], &["--tree".to_owned(), "/nowhere".to_owned()]].concat();
    let no_variable = [&args[..], &["--make".to_owned(), "no variable".to_owned()]].concat();
    let mut selftests = nowhere.clone();
    selftests.splice(..2, ["test-selftest", "core"].map(str::to_owned));
    for (args, words) in
        [(typo, "xyzzzy"), (nowhere, "/nowhere"), (no_variable, "no variable"), (selftests, "/nowhere")]
    {
        let run = world.run(&args);
        assert_says(&run, 2, &[words]);
        assert!(!run.stderr.contains(BUILDS), "{run}");
    }
    assert!(!world.out("ssh").exists());
}

pub fn that_does_not_build() {
    let mut world = World::new();
    let args = over_ssh(&mut world);
    let run = world.run(&args);
    assert_says(&run, 3, &[BUILDS, "error: no", "could not be built with ssh"]);
    // Who is to end takes cargo along.
    world.program("cargo", "#!/bin/sh\necho builds >&2\nexec sleep 600\n");
    let mut started = world.start(&args);
    started.wait_for("builds");
    started.signal("TERM");
    let run = started.finish();
    assert_eq!(run.code, Some(143), "{run}");
    assert_eq!(world.processes(), []);
}
