use super::*;

fn ctx() -> (StopSwitch, Ctx) {
    let (switch, stop) = StopSwitch::new();
    let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    (switch, Ctx { events: Events::silent(), stop, guard: Guard::none(), env })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn alive(pid: i32) -> bool {
    rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

#[test]
fn output_and_failure_carry_what_was_said() {
    let (_switch, ctx) = ctx();
    block_on(async {
        let output = Cmd::new("sh").args(["-c", "echo $#:$1:$FOO", "x", "a b"]).env("FOO", "bar");
        assert_eq!(output.output(&ctx).await.unwrap().text(), "1:a b:bar\n");
        let failed = Cmd::new("sh").args(["-c", "echo why >&2; exit 3"]).output(&ctx).await;
        let text = failed.unwrap_err().to_string();
        assert!(text.contains("status 3") && text.contains("why"), "{text}");
        let absent = Cmd::new("/no/such/program").output(&ctx).await.unwrap_err();
        assert!(matches!(absent, ProcessError::Spawn { .. }), "{absent}");
    });
}

#[test]
fn the_callers_environment_does_not_reach_a_child() {
    let (_switch, ctx) = ctx();
    let text = block_on(Cmd::new("env").output(&ctx)).unwrap().text();
    assert_eq!(text, "PATH=/usr/bin:/bin\n");
}

#[test]
fn a_deadline_ends_the_whole_group_and_what_ignores_sigterm() {
    let (_switch, ctx) = ctx();
    block_on(async {
        let script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & wait";
        let mut said = String::new();
        let cmd = Cmd::new("sh").args(["-c", script]).deadline(Duration::from_millis(300));
        let ended = cmd.stream(&ctx, |_, b| said.push_str(&String::from_utf8_lossy(b))).await;
        assert!(matches!(ended, Err(ProcessError::Deadline { .. })), "{ended:?}");
        let grandchild: i32 = said.trim().parse().unwrap();
        assert!(gone(grandchild).await, "{grandchild} outlived its group's end");
    });
}

/// A killed orphan is reaped by init in its own time.
async fn gone(pid: i32) -> bool {
    for _ in 0..100 {
        let zombie =
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        if zombie || !alive(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[test]
fn a_signal_ends_a_command_at_once() {
    let (switch, ctx) = ctx();
    block_on(async {
        let sleeping = Cmd::new("sleep").arg("100").output(&ctx);
        let press = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            switch.press("SIGINT");
        };
        let started = std::time::Instant::now();
        let (ended, ()) = tokio::join!(sleeping, press);
        assert!(matches!(ended, Err(ProcessError::Interrupted { signal: "SIGINT" })));
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hold_the_run() {
    let (_switch, ctx) = ctx();
    let started = std::time::Instant::now();
    let output = block_on(Cmd::new("sh").args(["-c", "sleep 100 & echo done"]).output(&ctx));
    assert_eq!(output.unwrap().text(), "done\n");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn words_are_quoted_only_where_a_shell_needs_it() {
    assert_eq!(quote("-kernel"), "-kernel");
    assert_eq!(quote("a b"), "'a b'");
    assert_eq!(quote("it's"), r"'it'\''s'");
    assert_eq!(quote(""), "''");
}

#[test]
fn a_tail_keeps_the_end() {
    let mut tail = Tail::new(4);
    tail.push(b"ab");
    tail.push(b"cdefg");
    assert_eq!(tail.text(), "defg");
    tail.push(b"h");
    assert_eq!(tail.text(), "efgh");
}

#[test]
fn what_was_quoted_is_read_back() {
    let words = ["", "plain", "two words", "it's", "'", "''", "a'b'c", "--option=x y", ""];
    words.iter().for_each(|word| assert_eq!(unquote(&quote(word)), [*word]));
    assert_eq!(unquote(&words.map(quote).join(" ")), words);
    assert_eq!(unquote(" "), [""; 0]);
}
