//! A kselftest run as a page to keep.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::text::{abis, cell_text, counts, reasons_of};
use super::{Disagreement, KernelPart, KselftestRecord, ProgramRecord, rows};
use crate::limits;
use crate::model::{Abi, KernelName};
use crate::report::markdown::escape;
use crate::report::record::State;
use crate::report::text::{how_reached, origin};

/// The whole page. Nothing of it names the folder of the run, so that two runs can be compared.
pub fn render(run: &KselftestRecord) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# The kernel's own selftests by three ABIs\n");
    let _ = writeln!(out, "Generated from what `{}` gave; not edited by hand.\n", run.command);
    let state = if run.state == State::Complete { "" } else { " NOT COMPLETE." };
    let _ = writeln!(out, "{} of {} cells: {}.{state}", run.cells.len(), run.selected, counts(run));
    let host = &run.host;
    let _ = writeln!(out, "{}, {}, accel {}.", host.qemu, host.machine, host.accel);
    let _ = writeln!(out, "{}.\n", host.compiler.replace('\n', ", "));
    if let Some(words) = how_reached(run.cells.iter().map(|cell| &cell.transports)) {
        let _ = writeln!(out, "{}{}.\n", words[..1].to_uppercase(), &words[1..]);
    }
    let _ = writeln!(
        out,
        "A cell is one program in one fresh guest. `pass 7/7` counts the cases of its report; `pass, exit 0` \
         is a program without one, whose exit status is all the evidence there is. There is no proof of \
         entry here: a program of kselftest is not about one call.\n"
    );
    let _ = writeln!(
        out,
        "Programs run as root, with {} processors, {} MiB and no performance counters; the root is an \
         initramfs with busybox and bash, which are of 64 bits whatever the column. So a script is of an ABI only \
         in the programs that it runs. What fails alike by all ABIs is no disagreement: it stands below, with \
         what is known of it.",
        limits::KSELFTEST_CPUS,
        limits::KSELFTEST_MEMORY_MIB,
    );
    disagreements(run, &mut out);
    for part in &run.kernels {
        of_kernel(run, part, &mut out);
    }
    out
}

fn disagreements(run: &KselftestRecord, out: &mut String) {
    let found = &run.disagreements;
    let _ = writeln!(out, "\n## Where the ABIs disagree\n");
    if found.is_empty() {
        let _ = writeln!(out, "Nowhere.");
        return;
    }
    let _ = writeln!(
        out,
        "`whose` is where it comes from: the kernel, the test, the toolchain, the config of the guest, or the host \
         and how fast it is.\n"
    );
    let abis = abis(run);
    let flags: Vec<&str> = abis.iter().map(|abi| abi.flag()).collect();
    let _ =
        writeln!(out, "| directory/program | case | kernels | {} | whose | what it is |", flags.join(" | "));
    let _ = writeln!(out, "| --- | --- | --- |{} --- | --- |", " --- |".repeat(abis.len()));
    for Row { first, cases, kernels } in grouped(found) {
        let said: Vec<String> = abis.iter().map(|abi| word(first, *abi)).collect();
        let (what, why) = match &first.note {
            Some(note) => (note.what.to_string(), escape(&note.why)),
            None => ("?".to_owned(), "not explained".to_owned()),
        };
        let case = |case: &Option<&str>| case.map_or("(the program)".to_owned(), escape);
        let cases: Vec<String> = cases.iter().map(case).collect();
        let _ = writeln!(
            out,
            "| {}/{} | {} | {} | {} | {what} | {why} |",
            first.dir,
            first.program,
            cases.join("<br>"),
            kernels.join(", "),
            said.join(" | ")
        );
    }
}

/// A row of the table: disagreements of one program that are the same but for the case and the kernel.
struct Row<'a> {
    first: &'a Disagreement,
    cases: Vec<Option<&'a str>>,
    kernels: Vec<&'a str>,
}

/// First the kernels side by side, since most of it is the same in all of them; then the cases.
fn grouped(found: &[Disagreement]) -> Vec<Row<'_>> {
    let alike = |one: &Disagreement, other: &Disagreement| {
        let what = |item: &Disagreement| item.note.as_ref().map(|note| (note.what, note.why.clone()));
        (&one.dir, &one.program, &one.said) == (&other.dir, &other.program, &other.said)
            && what(one) == what(other)
    };
    let mut by_case: Vec<Row<'_>> = Vec::new();
    for item in found {
        let (case, kernel) = (item.case.as_deref(), item.kernel.as_str());
        match by_case.iter_mut().find(|row| row.cases == [case] && alike(row.first, item)) {
            Some(row) => row.kernels.push(kernel),
            None => by_case.push(Row { first: item, cases: vec![case], kernels: vec![kernel] }),
        }
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for row in by_case {
        let same = |other: &&mut Row<'_>| other.kernels == row.kernels && alike(other.first, row.first);
        match rows.iter_mut().find(same) {
            Some(other) => other.cases.extend(row.cases),
            None => rows.push(row),
        }
    }
    rows
}

fn word(item: &Disagreement, abi: Abi) -> String {
    match item.said.get(&abi) {
        Some(Some(verdict)) => verdict.to_string(),
        Some(None) => "not reported".to_owned(),
        None => "miss".to_owned(),
    }
}

fn of_kernel(run: &KselftestRecord, part: &KernelPart, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n", part.kernel);
    for line in origin(&part.kernel, part.tree.as_ref(), &part.recipe) {
        let _ = writeln!(out, "{}.\n", escape(&line));
    }
    let options: Vec<String> = part.options.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    let _ = writeln!(out, "{} directories. Options: {}.\n", part.dirs.len(), options.join(" "));
    let abis = abis(run);
    let flags: Vec<&str> = abis.iter().map(|abi| abi.flag()).collect();
    let _ = writeln!(out, "| directory | program | {} |", flags.join(" | "));
    let _ = writeln!(out, "| --- | --- |{}", " --- |".repeat(abis.len()));
    let of_kernel: Vec<BTreeMap<Abi, &ProgramRecord>> = rows_of(run, &part.kernel);
    for row in &of_kernel {
        let Some(first) = row.values().next() else { continue };
        let said: Vec<String> = abis
            .iter()
            .map(|abi| row.get(abi).map_or("not run".to_owned(), |cell| cell_text(cell)))
            .collect();
        let _ = writeln!(out, "| {} | {} | {} |", first.dir, first.program, said.join(" | "));
    }
    let _ = writeln!(out, "\n### Why not, {}\n", part.kernel);
    for row in &of_kernel {
        for (abis, cell) in reasons_of(row) {
            let flags: Vec<&str> = abis.iter().map(|abi| abi.flag()).collect();
            let cause = cell.cause.as_ref().map_or("", |cause| &cause.text);
            let cause = without_log(cause);
            let known = run.known_of(cell);
            let known = known.map(|note| format!(" ({}: {})", note.what, escape(&note.why)));
            let _ = writeln!(
                out,
                "- {}/{} {}: **{}**: {}{}",
                cell.dir,
                cell.program,
                flags.join(" "),
                cell.verdict,
                escape(&cause),
                known.unwrap_or_default()
            );
        }
    }
    if !part.dropped.is_empty() || part.dirs.iter().any(|dir| !dir.notes.is_empty()) {
        let _ = writeln!(out, "\n### What the directories ask for and this kernel lacks, {}\n", part.kernel);
    }
    for dropped in &part.dropped {
        let _ = writeln!(out, "- {}: {}", dropped.dir, escape(&dropped.text));
    }
    for dir in &part.dirs {
        for note in &dir.notes {
            let _ = writeln!(out, "- {}: {}", dir.dir, escape(note));
        }
    }
}

fn rows_of<'a>(run: &'a KselftestRecord, kernel: &KernelName) -> Vec<BTreeMap<Abi, &'a ProgramRecord>> {
    let of_kernel = |row: &BTreeMap<Abi, &ProgramRecord>| row.values().all(|cell| cell.kernel == *kernel);
    rows(run).into_iter().filter(of_kernel).collect()
}

/// A build's log lies somewhere else on each machine.
fn without_log(text: &str) -> String {
    match text.rsplit_once(" (log: ") {
        Some((before, _)) => before.to_owned(),
        None => text.to_owned(),
    }
}
