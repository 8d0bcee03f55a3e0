//! `docs/faults.md` and the code agree: every row has its test and its switch, and both exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rows of the fault table.
const FAULTS: u32 = 63;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

struct Row {
    number: u32,
    switch: String,
    test: String,
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse() else { continue };
        let &[_, fault, _, handling, switch, test] = &cells[..] else { panic!("six cells: {line}") };
        assert!(!fault.is_empty() && !handling.is_empty(), "{line}");
        rows.push(Row { number, switch: switch.to_owned(), test: test.to_owned() });
    }
    rows
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// All sources of the library and the program, tests left out.
fn sources() -> String {
    let mut text = String::new();
    let mut todo = vec![root().join("harness/src"), root().join("xtask/src")];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// The words that `function` is called with as its first argument.
fn called_with<'a>(text: &'a str, function: &str) -> BTreeSet<&'a str> {
    let call = format!("{function}(");
    let calls = text.split(call.as_str()).skip(1);
    calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

#[test]
fn every_fault_has_its_row_in_order() {
    let mut numbers: Vec<u32> = rows().iter().map(|row| row.number).collect();
    // A fault may have more than one line of defence.
    numbers.dedup();
    assert_eq!(numbers, (1..=FAULTS).collect::<Vec<_>>());
}

#[test]
fn every_row_names_a_test_that_exists_or_says_why_it_has_none() {
    for Row { number, switch, test } in rows() {
        let Some(name) = code(&test) else {
            assert!(test.starts_with("none") && switch.starts_with("none"), "row {number}: {test}");
            continue;
        };
        let (target, path) = name.split_once(' ').unwrap_or_else(|| panic!("row {number}: {name}"));
        let (module, function) = path.rsplit_once("::").unwrap_or(("", path));
        let mut files = vec![
            root().join(format!("harness/tests/{target}.rs")),
            root().join(format!("xtask/tests/{target}.rs")),
        ];
        if target == "lib" {
            let module = module.replace("::", "/");
            files = vec![root().join(format!("harness/src/{module}.rs"))];
            let parent = module.strip_suffix("/tests").unwrap_or(&module);
            files.push(root().join(format!("harness/src/{parent}.rs")));
            files.push(root().join(format!("harness/src/{parent}/mod.rs")));
        }
        let exists = files.iter().any(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            // A runner of our own has its tests by sentences.
            text.contains(&format!("fn {function}(")) || text.contains(&format!("\"{path}\","))
        });
        assert!(exists, "row {number}: there is no {name}");
    }
}

#[test]
fn switches_of_the_page_and_of_the_code_are_the_same() {
    let text = sources();
    let (single, groups) = (called_with(&text, "broken"), called_with(&text, "broken_one"));
    let mut used = BTreeSet::new();
    for Row { number, switch, .. } in rows() {
        let Some(switch) = code(&switch) else {
            assert!(switch.starts_with("none"), "row {number}: {switch}");
            continue;
        };
        match switch.split_once(':') {
            _ if single.contains(switch) => used.insert(switch.to_owned()),
            Some((group, _)) if groups.contains(group) => used.insert(group.to_owned()),
            _ => panic!("row {number}: nothing in the code asks for {switch:?}"),
        };
    }
    for switch in single.iter().chain(&groups) {
        assert!(used.contains(*switch), "docs/faults.md does not know the switch {switch:?}");
    }
}
