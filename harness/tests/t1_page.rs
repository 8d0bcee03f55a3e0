//! T1: the HTML report in a real browser, as its readers use it: filtered, opened, by keyboard, on a
//! telephone, in the dark, and without the script.

#[path = "support/browser.rs"]
mod browser;
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::path::{Path, PathBuf};

use browser::Browser;
use harness::report::html;
use harness::report::view::View;
use runs::{logs, many, page, run};
use serde_json::{Value, json};
use support::within;

/// Where the page of a test lies. With ABIMATRIX_PAGES=DIR it stays there, to be looked at.
struct Place {
    folder: PathBuf,
    _kept: Option<tempfile::TempDir>,
}

impl Place {
    fn new() -> Place {
        match std::env::var_os("ABIMATRIX_PAGES") {
            Some(folder) => Place { folder: folder.into(), _kept: None },
            None => {
                let folder = tempfile::tempdir().unwrap();
                Place { folder: folder.path().to_owned(), _kept: Some(folder) }
            }
        }
    }

    fn write(&self, name: &str, page: &str) -> PathBuf {
        let file = self.folder.join(name);
        std::fs::write(&file, page).unwrap();
        file
    }
}

const FAILED: &str = "linux-6.12.patched.m32";

#[track_caller]
fn assert_silent(browser: &Browser) {
    assert_eq!(browser.said(), Vec::<Value>::new());
}

/// Each verdict's word stands inside the window.
const PLACED: &str = "return [...document.querySelectorAll('.v')].filter((e) => { \
    const { left, right } = e.getBoundingClientRect(); \
    return e.checkVisibility() && (left < 0 || right > innerWidth); }).map((e) => e.outerHTML)";

/// What a reader finds wherever it is that the page was opened.
fn shown(browser: &Browser, file: &Path) {
    browser.open(file);
    assert_eq!(browser.eval("return document.title"), "xyzzy: 1 fail, 1 error, 1 miss, 1 skip, 2 pass");
    assert_eq!(browser.eval("return document.querySelectorAll('table.matrix tbody td a').length"), 6);
    assert_eq!(
        browser
            .eval("return document.images.length + document.querySelectorAll('a:not([href^=\"#\"])').length"),
        0
    );
    assert_eq!(browser.eval(PLACED), json!([]));
    assert_eq!(
        browser.eval("return getComputedStyle(document.body).maxWidth"),
        "1216px",
        "the style is in force"
    );
}

const VISIBLE: &str =
    "const seen = (s) => [...document.querySelectorAll(s)].filter((e) => e.checkVisibility()).length;";

fn filtered(browser: &Browser) {
    browser.click("#filter input[value=fail]");
    browser.until(&format!("{VISIBLE} return seen('details.cell') === 1"));
    assert_eq!(browser.eval(&format!("{VISIBLE} return seen('table.matrix tbody tr')")), 1);
    assert_eq!(browser.eval("return document.querySelector('#filter output').textContent"), "1 of 6 cells");
    browser.click("#filter input[value=error]");
    browser.until(&format!("{VISIBLE} return seen('details.cell') === 2"));
    browser.click("#filter button[type=reset]");
    browser.until("return document.querySelector('#filter output').textContent === 'all 6 cells'");
    browser.click("#filter input[type=search]");
    browser.keys(&["c", "o", "n", "f", "i", "g", "-"]);
    browser.until(&format!("{VISIBLE} return seen('details.cell') === 3"));
    browser.eval("const f = document.getElementById('filter'); f.elements.abi.value = 'mx32'; f.dispatchEvent(new Event('input'))");
    browser.until("return document.querySelector('#filter output').textContent === '1 of 6 cells'");
    browser.click("#filter button[type=reset]");
    browser.until("return document.querySelector('#filter output').textContent === 'all 6 cells'");
}

/// The failing cell is open and shows what it has.
fn opened(browser: &Browser) {
    let body = format!("document.getElementById('{FAILED}')");
    browser.until(&format!("return {body}.checkVisibility()"));
    let text = browser.eval(&format!("return {body}.innerText")).as_str().unwrap().to_owned();
    for word in [
        "the kernel reported: WARNING at kernel/xyzzy.c in __do_sys_xyzzy",
        "[    0.612346] ---[ end trace 0000000000000000 ]---",
        "\\x1b[31mreboot: Power down",
        "Memory: 1 K, <b>linux-6.12 patched m32</b>",
        "xyzzy_test/values above 32 bits",
        "expected 0x100000000 == 0x0",
        "40000003/463",
        "ssh",
        "20261121T230301Z-xyzzy/linux-6.12.patched.m32.ssh",
        "0.41 s",
        "--leg patched --abi m32",
        "/20261121T230301Z-xyzzy/linux-6.12.patched.m32",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let marked = format!(
        "const lines = document.getElementById('{FAILED}.splat1').querySelectorAll('[data-n]'); \
         return [lines.length, lines[0].dataset.n, lines[lines.length - 1].dataset.n]"
    );
    assert_eq!(browser.eval(&marked), json!([10, "31", "40"]));
}

fn by_keyboard(browser: &Browser, file: &Path) {
    browser.open(file);
    let first =
        "return document.activeElement.matches('table.matrix tbody tr:first-child td:nth-child(2) a')";
    // The link that skips to the matrix is the first thing that Tab reaches.
    browser.keys(&["\u{e004}"]);
    assert_eq!(browser.eval("return document.activeElement.className"), "to-matrix");
    browser.keys(&["\u{e007}"]);
    let reached = (0..20).any(|_| {
        browser.keys(&["\u{e004}"]);
        browser.eval(first) == true
    });
    assert!(reached, "{}", browser.eval("return document.activeElement.outerHTML"));
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.eval(outline), "solid", "the focus is seen");
    browser.keys(&["\u{e004}", "\u{e007}"]);
    opened(browser);
    let summary = "return document.activeElement.matches('details.cell > summary')";
    browser.until(summary);
    browser.keys(&["\u{e007}"]);
    browser.until(&format!("return !document.getElementById('{FAILED}').checkVisibility()"));
}

/// Each text on the page against what is behind it, as WCAG 2.2 has it.
const CONTRAST: &str = r#"
    const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
    const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
    const low = [], verdicts = new Set(); let count = 0;
    for (const e of document.querySelectorAll("body *")) {
        if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        if (e.matches("option, select")) continue;
        const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        count += 1;
        const verdict = e.closest(".v"); if (verdict) verdicts.add(verdict.classList[1]);
        if (ratio < 4.5) low.push([ratio.toFixed(2), e.outerHTML.slice(0, 120)]);
    }
    return { low, verdicts: [...verdicts].sort(), count, scheme: getComputedStyle(document.body).backgroundColor };
"#;

fn legible(browser: &Browser, file: &Path) {
    let mut schemes = Vec::new();
    for scheme in ["light", "dark"] {
        let feature = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.devtools("Emulation.setEmulatedMedia", json!({"features": feature}));
        browser.open(file);
        browser.eval("for (const d of document.querySelectorAll('details')) d.open = true");
        let found = browser.eval(CONTRAST);
        assert_eq!(found["low"], json!([]), "{scheme}");
        assert_eq!(found["verdicts"], json!(["error", "fail", "miss", "pass", "skip"]));
        assert!(found["count"].as_u64().unwrap() > 100, "{found}");
        schemes.push(found["scheme"].clone());
    }
    assert_ne!(schemes[0], schemes[1]);
    browser.devtools("Emulation.setEmulatedMedia", json!({"features": []}));
}

/// No line of the page is wider than a narrow telephone, whatever is open.
fn on_a_telephone(browser: &Browser, files: [&Path; 2]) {
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    browser.devtools("Emulation.setDeviceMetricsOverride", phone);
    for file in files {
        browser.open(file);
        browser.eval("for (const d of document.querySelectorAll('details:is(#not-passed *, #divergences *)')) d.open = true");
        let widths = browser.eval("return [document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(widths, json!([360, 360]), "{}", file.display());
        assert_eq!(browser.eval(PLACED), json!([]));
    }
    browser.devtools("Emulation.clearDeviceMetricsOverride", json!({}));
}

fn without_the_script(browser: &Browser, file: &Path) {
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(file);
    assert_eq!(browser.eval("return document.getElementById('filter').checkVisibility()"), false);
    // The link alone opens what it leads to.
    browser.click(&format!("td a[href='#{FAILED}']"));
    opened(browser);
    browser.click("#passed details.cell summary");
    browser.click("#passed details.cell details.inner summary");
    browser.until("return document.querySelector('#passed details.cell .cases li').checkVisibility()");
    browser.click("#passed details.cell:last-of-type > summary");
    let text = browser.eval("return document.querySelector('#passed details.cell:last-of-type').innerText");
    for word in
        ["a <bug> of the tree (https://example.com/1, until 2026-12-31)", "xyzzy_test exited with status 4"]
    {
        assert!(text.as_str().unwrap().contains(word), "{word}: {text}");
    }
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": false}));
}

#[test]
fn a_page_is_read_filtered_and_opened_by_all_means() {
    let place = Place::new();
    let file = place.write("xyzzy.html", &page(&run()));
    let text = html::render(&View::of_kselftest(&many()), "2026-11-21 23:03:01 UTC", &logs);
    assert!(text.len() < 4 << 20, "{} bytes", text.len());
    let long = place.write("kselftest.html", &text);
    let browser = Browser::start();
    shown(&browser, &file);
    filtered(&browser);
    browser.click(&format!("td a[href='#{FAILED}']"));
    opened(&browser);
    // Its console is longer than its box, and shows the splat.
    browser.until(&format!(
        "const [box, splat] = ['.console', '.splat'].map((s) => \
         document.getElementById('{FAILED}').querySelector(s).getBoundingClientRect()); \
         return box.top <= splat.top && splat.top < box.bottom - 20"
    ));
    by_keyboard(&browser, &file);
    legible(&browser, &file);
    on_a_telephone(&browser, [&file, &long]);
    without_the_script(&browser, &file);
    assert_silent(&browser);

    browser.open(&long);
    assert_eq!(browser.eval("return document.querySelector('header').firstElementChild.className"), "banner");
    browser.click("#filter input[value=fail]");
    browser.until("return document.querySelector('#filter output').textContent === '10 of 510 cells'");
    assert_eq!(browser.eval(&format!("{VISIBLE} return seen('table.matrix tbody tr')")), 10);
    assert_silent(&browser);

    // A page that a hand has touched runs nothing of what was put into it.
    let touched = page(&run()).replacen("<main>", "<main><script>document.title = 'touched'</script>", 1);
    browser.open(&place.write("touched.html", &touched));
    assert_ne!(browser.eval("return document.title"), "touched");
    assert!(browser.said()[0]["message"].as_str().unwrap().contains("Content Security Policy"));

    let pid = browser.processes();
    assert!(pid.len() > 2, "the browser is not looked for where it is: {pid:?}");
    drop(browser);
    // Who has ended and is waited for by nobody has no arguments any more.
    let runs = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| !args.is_empty());
    assert!(within(std::time::Duration::from_secs(5), || !pid.iter().any(runs)), "{pid:?}");
}
