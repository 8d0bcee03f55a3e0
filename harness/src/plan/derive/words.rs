//! What was derived, in lines for a reader.

use super::{Candidate, Condition, Derived, Switch, Target, Why};
use crate::model::{Abi, OptionName, Tests};

/// Candidates that a message lists.
const LISTED_MAX: usize = 6;

pub(super) fn option(derived: &Derived) -> Result<&OptionName, String> {
    let syscall = &derived.syscall;
    let fix = "--option CONFIG_X names one";
    match &derived.switch {
        Switch::Option(condition) => Ok(&condition.option),
        Switch::Fixed(conditions) => {
            let names: Vec<&str> = conditions.iter().map(|condition| condition.option.as_str()).collect();
            let names = names.join(" and ");
            Err(format!(
                "{syscall} needs {names}, which has no prompt: no configuration can switch it off; {fix}"
            ))
        }
        Switch::Always => Err(format!("no option switches {syscall}: it is in every kernel")),
        Switch::Unknown(why) => Err(format!("which option switches {syscall} is not known: {why}; {fix}")),
    }
}

pub(super) fn tests(derived: &Derived) -> Result<&Tests, String> {
    let syscall = &derived.syscall;
    let candidates = &derived.selftest.candidates;
    if let Some(chosen) = &derived.selftest.chosen {
        return Ok(chosen);
    }
    if candidates.is_empty() {
        return Err(format!(
            "nothing in tools/testing/selftests is named after {syscall} or mentions it; --selftest DIR names a folder"
        ));
    }
    // Where one reason is better than the rest, only those that have it are worth a look.
    let best = candidates[0].why;
    let rivals = candidates.iter().filter(|candidate| best >= Why::Mentions || candidate.why == best);
    let names: Vec<&str> = rivals.map(|candidate| candidate.folder.as_str()).collect();
    let more = match names.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = match best {
        Why::Named => "has the name of",
        Why::Program => "has a program with the name of",
        Why::Family => "has the name of the family of",
        Why::Mentions | Why::Calls => "is named after",
    };
    let which = if best >= Why::Mentions { "no folder" } else { "more than one folder" };
    Err(format!(
        "{which} of tools/testing/selftests {what} {syscall}; these {}: {}{more}; --selftest DIR names one",
        match best {
            Why::Named | Why::Program | Why::Family => "do",
            Why::Mentions => "mention it",
            Why::Calls => "may use it",
        },
        names[..names.len().min(LISTED_MAX)].join(", ")
    ))
}

pub(super) fn describe(derived: &Derived) -> Vec<String> {
    let mut lines = Vec::new();
    for (abi, entry) in &derived.entries {
        let noreturn = if entry.entry.noreturn { ", noreturn" } else { "" };
        let leads = match &entry.target {
            Target::NotImplemented => "not implemented: it gives ENOSYS".to_owned(),
            Target::Defined { function, definition } => {
                format!("{function}, {}({}) at {}", definition.macro_name, definition.name, definition.place)
            }
            Target::NotBuilt { function, definition } => {
                format!("{function}, whose definition at {} a 64-bit kernel leaves out", definition.place)
            }
            Target::NotFound { function } => format!("{function}, whose definition was not found"),
        };
        lines.push(format!("{abi}: {}: {leads}{noreturn}", entry.entry));
    }
    let absent: Vec<&str> = derived.absent().into_iter().map(Abi::name).collect();
    if !absent.is_empty() {
        lines.push(format!("no entry: {}", absent.join(", ")));
    }
    lines.push(match (&derived.switch, option(derived)) {
        (Switch::Option(Condition { option, how, place, .. }), _) => {
            let link = derived.conditional.as_ref().map(|place| format!("; {place} lets it be left out"));
            format!("option: {option}: {how} ({place}){}", link.unwrap_or_default())
        }
        (_, Err(why)) => format!("option: none: {why}"),
        (_, Ok(option)) => format!("option: {option}"),
    });
    lines.push(match tests(derived) {
        Ok(tests) => {
            let why = derived.selftest.candidates.first().map(reason).unwrap_or_default();
            let alone =
                tests.only.as_ref().map_or("", |_| ", and it is none of the tests that its Makefile lists");
            format!("selftest: {tests}: {why}{alone}")
        }
        Err(why) => format!("selftest: none: {why}"),
    });
    lines.extend(derived.notes.iter().map(|note| format!("note: {note}")));
    lines
}

fn reason(candidate: &Candidate) -> String {
    let file = candidate.file.as_deref().unwrap_or("a source");
    match candidate.why {
        Why::Named => "it has the call's name".to_owned(),
        Why::Program => format!("its program {file} has the call's name"),
        Why::Family => format!("it has the name of the call's family, and {file} calls it"),
        Why::Mentions => format!("{file} mentions the call"),
        Why::Calls => "a source calls a function of that name".to_owned(),
    }
}
