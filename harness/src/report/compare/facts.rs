//! What a run was built from and run with, as names and values, and where two runs differ in that.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::side::Side;
use crate::report::kselftest::KselftestRecord;
use crate::report::record::{HostRecord, KernelRecord, RecipeRecord, RunRecord, TreeRecord};

/// A name whose value is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Its name: `linux-6.12 patches`, `qemu`.
    pub name: String,
    /// What it was.
    pub was: Option<String>,
    /// What it is.
    pub is: Option<String>,
}

/// Names and values.
pub(super) type Facts = BTreeMap<String, String>;

/// A kernel's configuration: its digest, and its lines where they are at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) digest: String,
    pub(super) options: Option<Facts>,
}

impl Config {
    /// Of a `.config`.
    pub(super) fn of(text: &str) -> Config {
        let mut options = Facts::new();
        for line in text.lines() {
            let off = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
            if let Some((name, value)) = off.map(|name| (name, "n")).or(line.split_once('='))
                && name.starts_with("CONFIG_")
            {
                options.insert(name.to_owned(), value.to_owned());
            }
        }
        let digest = blake3::hash(text.as_bytes()).to_hex().as_str()[..16].to_owned();
        Config { digest, options: Some(options) }
    }
}

/// The tools of a run.
pub(super) fn tools(tool: &str, host: &HostRecord) -> Facts {
    let facts = [
        ("abimatrix", tool.to_owned()),
        ("accelerator", host.accel.clone()),
        ("board", host.machine.clone()),
        ("compiler", host.compiler.replace('\n', "; ")),
        ("qemu", host.qemu.clone()),
    ];
    keep(facts.map(|(name, value)| (name.to_owned(), value)))
}

fn keep(facts: impl IntoIterator<Item = (String, String)>) -> Facts {
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// What the kernels of a run of `test-syscall` were built from.
pub(super) fn of_syscall(run: &RunRecord) -> Facts {
    let mut facts = keep([("options".to_owned(), words(&run.options))]);
    for record in &run.kernels {
        let KernelRecord { kernel, source, tree, series, patches, numbers, option, selftest, recipe, .. } =
            record;
        let series: Vec<&str> = series.iter().map(|syscall| syscall.as_str()).collect();
        let numbers: Vec<String> = numbers.iter().map(|(abi, number)| format!("{abi} {number}")).collect();
        let own = [
            ("source", source.clone()),
            ("series", series.join(" ")),
            ("patches", patches.join(" ")),
            ("numbers", numbers.join(", ")),
            ("option", option.clone().unwrap_or_default()),
            ("selftest", selftest.clone()),
        ];
        let own = own.into_iter().chain(of_recipe(recipe)).chain(of_tree(tree.as_ref()));
        facts.extend(keep(own.map(|(name, value)| (format!("{kernel} {name}"), value))));
        let keys = record.legs.iter().map(|leg| (format!("{kernel} {} key", leg.leg), key(&leg.key)));
        facts.extend(keep(keys));
    }
    facts
}

/// The same of a run of `test-selftest`.
pub(super) fn of_kselftest(run: &KselftestRecord) -> Facts {
    let mut facts = keep([("transport".to_owned(), run.reached().unwrap_or_default())]);
    for part in &run.kernels {
        let own = [("source", part.source.clone()), ("key", key(&part.key))];
        let own = own.into_iter().chain(of_recipe(&part.recipe)).chain(of_tree(part.tree.as_ref()));
        facts.extend(keep(own.map(|(name, value)| (format!("{} {name}", part.kernel), value))));
    }
    facts
}

/// As much of a key as tells it from others.
fn key(key: &str) -> String {
    key.chars().take(16).collect()
}

fn of_recipe(recipe: &RecipeRecord) -> Vec<(&'static str, String)> {
    vec![
        ("profile", recipe.profile.clone().unwrap_or_default()),
        ("base configuration", words(std::slice::from_ref(&recipe.base_config))),
        ("configuration items", words(&recipe.configs)),
        ("make", words(&recipe.make)),
        ("toolchain", recipe.toolchain.as_deref().unwrap_or_default().replace('\n', "; ")),
    ]
}

fn of_tree(tree: Option<&TreeRecord>) -> Vec<(&'static str, String)> {
    let Some(tree) = tree else { return Vec::new() };
    vec![
        ("commit", tree.commit.clone().unwrap_or_default()),
        ("base commit", tree.base.clone().unwrap_or_default()),
        ("dirty", tree.dirty.clone().unwrap_or_default()),
    ]
}

/// Words of a command line without the folders in them, which are each machine's own.
fn words(words: &[String]) -> String {
    let without = |word: &String| match word.rsplit_once('/') {
        Some((_, name)) => name.trim_end_matches('\'').to_owned(),
        None => word.clone(),
    };
    words.iter().map(without).collect::<Vec<_>>().join(" ")
}

/// The names whose values differ.
pub(super) fn differences(was: &Facts, is: &Facts) -> Vec<Fact> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let fact =
        |name: &String| Fact { name: name.clone(), was: was.get(name).cloned(), is: is.get(name).cloned() };
    names.into_iter().filter(|name| was.get(*name) != is.get(*name)).map(fact).collect()
}

/// In what the kernels differ that both sides have, and what could not be compared.
pub(super) fn options(base: &Side, new: &Side) -> (Vec<Fact>, Vec<String>) {
    let mut facts = differences(&base.built, &new.built);
    let mut notes = Vec::new();
    for (kernel, is) in &new.configs {
        let Some(was) = base.configs.get(kernel) else { continue };
        match (&was.options, &is.options) {
            (Some(was), Some(is)) => facts.extend(
                differences(was, is)
                    .into_iter()
                    .map(|fact| Fact { name: format!("{kernel} {}", fact.name), ..fact }),
            ),
            _ if was.digest != is.digest => {
                let name = format!("{kernel} configuration");
                facts.push(Fact { name, was: Some(was.digest.clone()), is: Some(is.digest.clone()) });
                notes.push(format!(
                    "{kernel}: which options differ is told by a comparison with the run itself"
                ));
            }
            _ => {}
        }
    }
    (facts, notes)
}
