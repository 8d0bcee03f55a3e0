//! A headless Chromium, driven through chromedriver's WebDriver protocol: HTTP and JSON on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::within;

/// Starting it takes a second alone on the host, and ten beside other loads.
const ANSWER: Duration = Duration::from_secs(60);

/// One browser with one window. Dropped, it leaves no process and no file.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    folder: tempfile::TempDir,
}

impl Browser {
    /// Starts it, with nothing of the user's.
    #[track_caller]
    pub fn start() -> Browser {
        let folder = tempfile::Builder::new().prefix("abimatrix-browser.").tempdir().unwrap();
        for need in ["chromium", "chromedriver"] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|path| path.join(need).is_file());
            assert!(
                found,
                "there is no {need}: Debian's packages chromium and chromium-driver have it \
                 (`cargo xtask test --setup` installs them)"
            );
        }
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("HOME", folder.path()).env("TMPDIR", folder.path()).env_remove("XDG_CONFIG_HOME");
        command.env_remove("XDG_CACHE_HOME").process_group(0);
        let ended =
            || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?);
        // SAFETY: prctl(2) alone, which is safe to call between fork and exec.
        unsafe { command.pre_exec(ended) };
        let mut driver = command.spawn().unwrap_or_else(|error| panic!("chromedriver: {error}"));
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let mut browser = Browser { driver, port: 0, session: String::new(), folder };
        let mut line = String::new();
        while browser.port == 0 {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "chromedriver ended");
            let port = line.trim().strip_suffix('.').and_then(|line| line.rsplit_once("on port "));
            browser.port = port.and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
        }
        // Somebody has to read what it says later.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let data = format!("--user-data-dir={}", browser.folder.path().join("data").display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-breakpad",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            &data,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    /// One request; its value, if it is no error.
    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.ask(method, path, body).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(status, 200, "{path} {body}: {value}");
        value
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        let body = if method == "POST" { body.to_string() } else { String::new() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut length = 0;
        while line.trim() != "" {
            line.clear();
            stream.read_line(&mut line)?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let mut answer: Value = serde_json::from_slice(&body)?;
        Ok((status, answer["value"].take()))
    }

    #[track_caller]
    fn of_session(&self, path: &str, body: Value) -> Value {
        self.call("POST", &format!("{}/{path}", self.session), &body)
    }

    /// Opens a file.
    #[track_caller]
    pub fn open(&self, file: &Path) {
        self.of_session("url", json!({"url": format!("file://{}", file.display())}));
    }

    /// What a script returns. It is not the page's: the page's policy does not hold it up.
    #[track_caller]
    pub fn eval(&self, script: &str) -> Value {
        self.of_session("execute/sync", json!({"script": script, "args": []}))
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn until(&self, script: &str) {
        let done = within(Duration::from_secs(10), || self.eval(script) == Value::Bool(true));
        assert!(done, "it does not come true: {script}");
    }

    /// Clicks on the first that this selector finds.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let found = self.of_session("element", json!({"using": "css selector", "value": selector}));
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.of_session(&format!("element/{element}/click"), json!({}));
    }

    /// Presses and releases keys, one after another.
    #[track_caller]
    pub fn keys(&self, keys: &[&str]) {
        let press =
            |key: &&str| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let actions: Vec<Value> = keys.iter().flat_map(press).collect();
        let source = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.of_session("actions", json!({"actions": [source]}));
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, params: Value) -> Value {
        self.of_session("goog/cdp/execute", json!({"cmd": command, "params": params}))
    }

    /// What came to the console of the browser since it was last asked.
    #[track_caller]
    pub fn said(&self) -> Vec<Value> {
        self.of_session("se/log", json!({"type": "browser"})).as_array().unwrap().clone()
    }

    /// The processes that this one stands on.
    pub fn processes(&self) -> Vec<i32> {
        let (group, mark) = (self.driver.id().to_string(), self.folder.path().display().to_string());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let fields: Vec<&str> =
                stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
            let (state, of) = (fields.first().copied(), fields.get(2).copied());
            let marked = [read("cmdline"), read("environ")].iter().any(|text| has(text, &mark));
            if (of == Some(&group) || marked) && state != Some("Z") {
                found.push(pid);
            }
        }
        found
    }
}

fn has(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &self.session, &Value::Null);
        }
        let gone = within(Duration::from_secs(10), || {
            for pid in self.processes() {
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            let _ = self.driver.try_wait();
            self.processes().is_empty()
        });
        if gone {
            let _ = self.driver.wait();
        }
        if !std::thread::panicking() {
            assert!(gone, "left behind: {:?}", self.processes());
        }
    }
}
