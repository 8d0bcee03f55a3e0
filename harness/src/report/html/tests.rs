//! What is on the page and what never is. What a browser makes of it: `tests/t1_page.rs`.

use super::*;
use crate::model::{NotApplicable, Symptom};
use crate::report::record::RunRecord;
use crate::report::view::tests::{kselftest, syscall};

/// What a guest writes that wants to be more than text.
const HOSTILE: [&str; 7] = [
    "</pre></details><script>alert(1)</script>",
    "\" onmouseover=\"alert(1)\" x='",
    "--></title><!-- ]]> <![CDATA[",
    "</style><img src=http://example.com/x>",
    "\u{1b}[31mred\u{1b}[0m \u{1b}]8;;http://example.com\u{7}link",
    "a\u{202e}txt.exe \u{200b}",
    "&lt;b&gt; {{ title }} {% raw %}",
];

fn no_logs(_: &CellView<'_>) -> Logs {
    Logs::default()
}

fn page(run: &RunRecord, logs: &dyn Fn(&CellView<'_>) -> Logs) -> String {
    render(&View::of_syscall(run), "2026-11-21 23:03:01 UTC", logs)
}

/// Each tag that is opened is closed, in order; no attribute is without quotes. Returns the tags.
#[track_caller]
fn tags(page: &str) -> Vec<String> {
    const VOID: [&str; 5] = ["meta", "link", "input", "br", "!doctype"];
    let (mut open, mut all): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let (tag, after) = rest[at + 1..].split_once('>').expect("a tag that does not end");
        rest = after;
        all.push(tag.to_owned());
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "before {:.200}", rest);
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if matches!(name, "script" | "style") {
            let end = rest.find(&format!("</{name}>")).unwrap();
            rest = &rest[end..];
        }
        if !VOID.contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, Vec::<String>::new());
    all
}

fn escaped(text: &str) -> String {
    Shown::line(text).to_string().chars().fold(String::new(), |out, c| match c {
        '<' | '>' | '&' | '"' | '\'' => format!("{out}&#{};", u32::from(c)),
        c => out + &c.to_string(),
    })
}

#[test]
fn every_cell_and_case_is_on_the_page_and_opens() {
    let run = syscall();
    let text = page(&run, &no_logs);
    tags(&text);
    for cell in &run.cells {
        let slug = cell.id().slug();
        assert!(text.contains(&format!("href=\"#{slug}\"")) && text.contains(&format!("id=\"{slug}\"")));
        for case in &cell.cases {
            assert!(text.contains(&format!("<code>{}</code>", escaped(&case.name))), "{}", case.name);
        }
        for cause in cell.cause.iter().chain(&cell.also) {
            assert!(text.contains(&escaped(&cause.text)), "{}", cause.text);
        }
    }
    for word in [
        "<title>xyzzy: 1 fail, 1 error, 1 miss, 1 skip, 2 pass</title>",
        "6 of 6 cells judged",
        "<code>c000003e/463</code></td><td>72</td>",
        "--leg patched --abi m32 --extra-patch &#39;/tmp/a b.patch&#39;",
        "xyzzy_test exited with status 4",
        "a note with &#60;markup&#62;",
        "<code>/runs/1/linux-6.12.patched.m32</code>",
        "<dt>-m32</dt><dd><span class=\"v fail\">",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(!text.contains("UNFINISHED") && !text.contains("class=\"banner\""));
    // Divergences come before the matrix, what did not pass before what did.
    let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("{word}"));
    let order = ["id=\"divergences\"", "id=\"matrix\"", "id=\"not-passed\"", "id=\"passed\"", "id=\"notes\""];
    assert!(order.map(at).is_sorted());
}

#[test]
fn what_a_guest_writes_is_text_wherever_it_stands() {
    let mut run = syscall();
    let plain = tags(&page(&run, &no_logs)).len();
    let clean = run.clone();
    for hostile in HOSTILE {
        run = clean.clone();
        let cell = &mut run.cells[1];
        let cause = cell.cause.as_mut().unwrap();
        cause.text = hostile.to_owned();
        cause.kind = hostile.to_owned();
        cell.also[0].text = hostile.to_owned();
        cell.cases[0].name = hostile.to_owned();
        cell.cases[1].message = Some(hostile.to_owned());
        cell.findings[0].title = hostile.to_owned();
        cell.findings[0].kind = hostile.to_owned();
        cell.logs = hostile.to_owned();
        run.cells[3].recorded[0].program = hostile.to_owned();
        run.notes = vec![hostile.to_owned()];
        run.host.qemu = hostile.to_owned();
        run.folder = hostile.to_owned();
        run.options = vec![hostile.to_owned()];
        let logs = |cell: &CellView<'_>| Logs {
            console: (cell.abi == Abi::M32).then(|| {
                let mut log = hostile.as_bytes().to_vec();
                log.extend(b"\nWARNING: \xff\xfe\0\r\n");
                log.extend(hostile.as_bytes());
                log
            }),
            argv: Some(hostile.to_owned()),
        };
        let text = page(&run, &logs);
        let tags = tags(&text);
        for tag in &tags {
            // What is left are names of tags and of attributes.
            let names: Vec<&str> = tag.split('"').step_by(2).collect();
            let names = names.join("");
            assert!(!["img", "src", "onmouse", "CDATA"].iter().any(|no| names.contains(no)), "{tag}");
        }
        assert_eq!(tags.iter().filter(|tag| *tag == "script").count(), 1, "{hostile}");
        assert!(tags.len() > plain);
        let script = &text[text.find("<script>").unwrap()..];
        assert_eq!(script.split_once("</script>").unwrap().0, format!("<script>{SCRIPT}"));
        for bad in ['\u{1b}', '\0', '\u{7}', '\u{202e}', '\u{200b}', '\r'] {
            assert!(!text.contains(bad), "{bad:?}");
        }
        assert!(text.contains("\\xff\\xfe\\x00"));
    }
}

#[test]
fn the_page_asks_for_nothing() {
    let mut run = syscall();
    run.cells[1].not_applicable =
        vec![NotApplicable { name: "a flag above 2^32".to_owned(), reason: "no <room>".to_owned() }];
    run.cells[0].known = vec![crate::model::KnownIssue {
        symptom: Symptom::Case("big*".to_owned()),
        syscall: None,
        leg: None,
        abi: None,
        reason: "the <reason>".to_owned(),
        link: "https://example.com/known".to_owned(),
        expires: "2026-12-31".parse().unwrap(),
    }];
    let text = page(&run, &no_logs);
    assert!(text.contains("the &#60;reason&#62; (https://example.com/known, until 2026-12-31)"));
    assert!(text.contains("no &#60;room&#62;"));
    for tag in tags(&text) {
        for attribute in ["src=", "srcset=", "action=", "style=", " on", "http:", "https:"] {
            assert!(!tag.contains(attribute), "{tag}");
        }
        if let Some((_, href)) = tag.split_once("href=\"") {
            assert!(href.starts_with('#') || href.starts_with("data:"), "{tag}");
        }
    }
    for text in [STYLE, SCRIPT] {
        for word in ["http:", "https:", "url(", "@import", "fetch(", "innerHTML", "eval(", "</"] {
            assert!(!text.contains(word), "{word}");
        }
    }
    // As openssl has it.
    assert_eq!(base64(&Sha256::digest(b"abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert_eq!((base64(b"a").as_str(), base64(b"ab").as_str(), base64(b"").as_str()), ("YQ==", "YWI=", ""));
    let (style, script) =
        (base64(&Sha256::digest(STYLE.as_bytes())), base64(&Sha256::digest(SCRIPT.as_bytes())));
    assert!(text.contains(&format!("style-src &#39;sha256-{}", escaped(&style))));
    assert!(text.contains(&format!("script-src &#39;sha256-{}", escaped(&script))));
}

#[test]
fn a_run_that_did_not_come_to_its_end_is_marked_first_of_all() {
    for (state, word) in [(State::Interrupted, "INTERRUPTED"), (State::Running, "NOT FINISHED")] {
        let mut run = syscall();
        run.state = state;
        run.cells.truncate(2);
        let text = page(&run, &no_logs);
        let body = text.split_once("<header>").unwrap().1;
        let banner = format!("<p class=\"banner\"><strong>{word}: 4 of 6 selected cells have no verdict");
        assert!(body.trim_start().starts_with(&banner), "{:.300}", body);
        assert!(text.contains("<title>UNFINISHED: xyzzy: 1 fail, 1 pass</title>"), "{:.900}", text);
        assert!(text.contains("<b>4</b> without a verdict"));
    }
    let empty = RunRecord { cells: Vec::new(), selected: 6, state: State::Interrupted, ..syscall() };
    tags(&page(&empty, &no_logs));
}

#[test]
fn a_splat_is_marked_and_a_long_console_is_cut_around_it() {
    let mut log = String::new();
    for line in 1..=9000 {
        match line {
            5000 => log.push_str("[    2.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:1 do_xyzzy+0x1/0x2\n"),
            5001 => log.push_str("[    2.0] Call Trace:\n"),
            5002 => log.push_str("[    2.0] ---[ end trace 0000000000000000 ]---\n"),
            _ => log.push_str(&format!("[    1.0] line {line}\n")),
        }
    }
    let mut run = syscall();
    run.cells[1].findings[0].line = 5000;
    let logs = |cell: &CellView<'_>| Logs {
        console: (cell.slug == "linux-6.12.patched.m32").then(|| log.clone().into_bytes()),
        argv: None,
    };
    let text = page(&run, &logs);
    tags(&text);
    assert!(text.contains("<span class=\"n\">2000 of 9000 lines</span>"));
    let splat = text.split_once("id=\"linux-6.12.patched.m32.splat1\"").unwrap().1;
    let splat = splat.split_once("</div>").unwrap().0;
    assert!(splat.contains("the kernel reported: WARNING in do_xyzzy"));
    let numbers: Vec<&str> =
        splat.split("data-n=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(numbers, ["5000", "5001", "5002"]);
    assert!(text.contains("line 4996\n") && !text.contains("line 4995\n") && !text.contains("line 5003\n"));
    assert!(
        text.contains("line 1\n") && text.contains("line 9000\n") && text.contains(" lines left out</p>")
    );
}

#[test]
fn a_page_of_many_cells_is_bounded_and_says_what_it_left_out() {
    let mut run = kselftest();
    let template = run.cells[1].clone();
    run.cells.clear();
    for program in 0..500 {
        let mut cell = template.clone();
        cell.program = format!("program_{program}").parse().unwrap();
        cell.logs = "x".to_owned();
        let case = cell.cases[0].clone();
        cell.cases.extend(std::iter::repeat_n(case, 100));
        run.cells.push(cell);
    }
    run.selected = run.cells.len();
    let flood = "\u{1b}[31m".repeat(20) + "\n";
    let logs = |_: &CellView<'_>| Logs { console: Some(flood.repeat(4000).into_bytes()), argv: None };
    let text = render(&View::of_kselftest(&run), "then", &logs);
    tags(&text);
    assert!(text.len() < 12 << 20, "{}", text.len());
    assert!(text.contains("and 41 more, which are in run.json"));
    assert!(text.contains("left out: this page has as much of consoles as it takes"));
    assert!(text.contains("<option>futex/functional</option>") || !text.contains("name=\"group\""));
}

#[test]
fn a_command_line_is_cut_at_its_options_and_stays_one() {
    let shown = Shown::command("qemu -name a.m64 -append 'a -b c' -device x,y -S\n");
    assert_eq!(shown.to_string(), "qemu \\\n  -name a.m64 \\\n  -append 'a -b c' \\\n  -device x,y \\\n  -S");
    assert_eq!(Shown::lines("a\nb\nc", 2).to_string(), "a\nb\n… and 1 lines more");
}

#[test]
fn what_is_known_of_a_disagreement_stands_beside_it() {
    let mut run = kselftest();
    run.cells[1].cases.clear();
    let note = crate::model::Explanation {
        kernel: None,
        dir: "futex/functional".parse().unwrap(),
        program: "futex_wait".to_owned(),
        case: None,
        abis: Vec::new(),
        what: crate::model::Doing::Test,
        why: "it takes <long> for 64 bits".to_owned(),
    };
    run.disagreements = crate::report::kselftest::disagreements(&run, std::slice::from_ref(&note));
    let text = render(&View::of_kselftest(&run), "then", &no_logs);
    tags(&text);
    assert!(text.contains("the cell as a whole"));
    let why = "<b>test:</b> it takes &#60;long&#62; for 64 bits";
    assert!(text.contains(why));

    // Beside several cases in a row it stands once.
    run.cells[1].cases = vec![run.cells[0].cases[0].clone()];
    run.cells[1].cases[0].verdict = Verdict::Fail;
    run.disagreements = crate::report::kselftest::disagreements(&run, &[note]);
    let text = render(&View::of_kselftest(&run), "then", &no_logs);
    assert_eq!((run.disagreements.len(), text.matches(why).count()), (2, 1));
}
