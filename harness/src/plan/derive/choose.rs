//! From what the files say to what is taken: one definition for each entry, one option, one folder.

use std::collections::{BTreeMap, BTreeSet};

use super::define::{Function, Site, Sites, find};
use super::expr::Needs;
use super::kconfig::Options;
use super::{
    AbiEntry, Condition, Definition, DeriveError, Derived, How, Place, Switch, Target, TreeFiles, makefile,
    selftest,
};
use crate::broken::broken;
use crate::model::{Abi, OptionName, SyscallName};
use crate::plan::near::near;
use crate::plan::tables::{Entry, Generic, LEGACY_X32, TABLE_32, TABLE_64, TABLE_GENERIC, Tables, Tag};

/// The options of the ABIs themselves: without them there is no such entry, whatever the call.
const OF_THE_ABI: [&str; 4] =
    ["CONFIG_COMPAT", "CONFIG_IA32_EMULATION", "CONFIG_X86_X32_ABI", "CONFIG_X86_X32"];

/// The last number that may differ between ABIs: since 5.0 a new call gets the same everywhere.
const LAST_UNEVEN: u32 = 423;

pub(super) fn derive(syscall: &SyscallName, tree: &dyn TreeFiles) -> Result<Derived, DeriveError> {
    let table = |table| tree.read(table).ok_or(DeriveError::NoTable { table });
    let (t64, t32) = (table(TABLE_64)?, table(TABLE_32)?);
    let tables = Tables::parse(&t64, &t32, None)?;
    let name = syscall.as_str();
    let lines: BTreeMap<Abi, Entry> =
        Abi::ALL.into_iter().filter_map(|abi| Some((abi, tables.lookup(name, abi)?.clone()))).collect();
    if lines.is_empty() {
        let near = near(name, tables.names()).into_iter().map(str::to_owned).collect();
        return Err(DeriveError::Unknown { syscall: syscall.clone(), near });
    }
    let functions: BTreeSet<Function> =
        lines.values().filter_map(|entry| Function::of(entry.function()?)).collect();
    let sites = find(tree, &functions);
    let mut notes = table_notes(syscall, &lines, tree);
    let mut needs = NeedsOf { tree, files: BTreeMap::new() };
    let mut entries = BTreeMap::new();
    let mut choices = BTreeMap::new();
    for (abi, entry) in lines {
        let choice = choose(&entry, &sites, &mut needs);
        entries.insert(abi, AbiEntry { entry, target: choice.target.clone() });
        choices.insert(abi, choice);
    }
    let conditional = Abi::ALL.iter().find_map(|abi| {
        let function = Function::of(entries.get(abi)?.entry.function()?)?;
        sites.conditional.get(&function).cloned()
    });
    let options: BTreeSet<OptionName> = choices
        .values()
        .filter_map(|choice| choice.definition())
        .flat_map(|definition| definition.conditions.iter().map(|condition| condition.option.clone()))
        .collect();
    let options = Options::read(tree, &options);
    let switch = switch(&choices, conditional.as_ref(), &options, &mut notes);
    let selftest = selftest::find(syscall, tree);
    Ok(Derived { syscall: syscall.clone(), entries, switch, conditional, selftest, notes })
}

/// What the tables alone say that a reader may not expect.
fn table_notes(syscall: &SyscallName, lines: &BTreeMap<Abi, Entry>, tree: &dyn TreeFiles) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(x32) = lines.get(&Abi::Mx32) {
        if LEGACY_X32.contains(&x32.number) {
            notes.push(format!(
                "{x32} is in the closed legacy range of x32, {} to {}",
                LEGACY_X32.start(),
                LEGACY_X32.end()
            ));
        } else if x32.tag == Tag::Common {
            notes.push(format!("x32 shares the line of 64 bit: {x32}"));
        }
    }
    let numbers: BTreeSet<u32> = lines.values().map(|entry| entry.number).collect();
    let newest = lines.values().all(|entry| entry.number > LAST_UNEVEN);
    if newest && numbers.len() > 1 {
        notes.push("its number is not the same by every ABI, as it is for new calls".to_owned());
    }
    if let Some(text) = tree.read(TABLE_GENERIC)
        && let Ok(tables) = Tables::parse("", "", Some(Generic::Table(&text)))
        && let Some(m64) = lines.get(&Abi::M64).filter(|entry| entry.number > LAST_UNEVEN)
    {
        match tables.generic(syscall.as_str()) {
            None => notes
                .push(format!("{TABLE_GENERIC}, the table of most other architectures, does not have it")),
            Some(other) if other.number != m64.number => notes.push(format!(
                "{TABLE_GENERIC}:{}, the table of most other architectures, gives it the number {}",
                other.line, other.number
            )),
            Some(_) => {}
        }
    }
    notes
}

/// The Makefiles' answers, asked once for each file.
struct NeedsOf<'a> {
    tree: &'a dyn TreeFiles,
    files: BTreeMap<String, Result<super::expr::Expr, String>>,
}

impl NeedsOf<'_> {
    fn of(&mut self, site: &Site) -> Result<Option<Needs>, String> {
        let file = &site.place.file;
        let built = self.files.entry(file.clone()).or_insert_with(|| makefile::needs(self.tree, file));
        Ok(site.guard.clone().and(built.clone()?).needs())
    }
}

/// What was found for one entry.
struct Choice {
    target: Target,
    /// What else decides, and cannot be told.
    unclear: Vec<Place>,
    /// Why the Makefiles gave no answer.
    problem: Option<String>,
    /// There is a definition with an option set and another with it unset: these do not switch it.
    either_way: BTreeSet<OptionName>,
}

impl Choice {
    fn definition(&self) -> Option<&Definition> {
        match &self.target {
            Target::Defined { definition, .. } => Some(definition),
            Target::NotImplemented | Target::NotBuilt { .. } | Target::NotFound { .. } => None,
        }
    }
}

/// Chooses among the definitions of an entry's function.
fn choose(entry: &Entry, sites: &Sites, needs: &mut NeedsOf) -> Choice {
    let mut choice = Choice {
        target: Target::NotImplemented,
        unclear: Vec::new(),
        problem: None,
        either_way: BTreeSet::new(),
    };
    let Some(name) = entry.function().filter(|name| *name != "sys_ni_syscall") else { return choice };
    let function = name.to_owned();
    let found = Function::of(name).and_then(|wanted| sites.defined.get_key_value(&wanted));
    let Some((wanted, all)) = found else {
        choice.target = Target::NotFound { function };
        return choice;
    };
    let definition = |site: &Site, conditions| Definition {
        macro_name: site.macro_name.clone(),
        name: wanted.name.clone(),
        place: site.place.clone(),
        conditions,
    };
    let mut built: Vec<(Definition, Vec<Place>)> = Vec::new();
    let mut problems: Vec<(Definition, String)> = Vec::new();
    for site in all {
        match needs.of(site) {
            Ok(None) => {}
            Ok(Some(found)) => built.push((definition(site, found.conditions), found.unclear)),
            // Its own guard counts, whatever builds the file.
            Err(problem) => {
                if let Some(guard) = site.guard.needs() {
                    problems.push((definition(site, guard.conditions), problem));
                }
            }
        }
    }
    // A file that nothing builds (process_32.c) is no rival of one that is built.
    if built.is_empty()
        && let Some((definition, problem)) = problems.into_iter().next()
    {
        built.push((definition, Vec::new()));
        choice.problem = Some(problem);
    }
    let wants = |definition: &Definition, set: bool| -> BTreeSet<OptionName> {
        definition.conditions.iter().filter(|c| c.set == set).map(|c| c.option.clone()).collect()
    };
    for (one, _) in &built {
        for (other, _) in &built {
            choice.either_way.extend(wants(one, true).intersection(&wants(other, false)).cloned());
        }
    }
    // The one that an option brings, not the one for its absence.
    built.sort_by_key(|(definition, _)| !wants(definition, false).is_empty());
    choice.target = match built.into_iter().next() {
        Some((definition, unclear)) => {
            choice.unclear = unclear;
            Target::Defined { function, definition }
        }
        None => Target::NotBuilt { function, definition: definition(&all[0], Vec::new()) },
    };
    choice
}

/// The option that switches the call, by what the first ABI that has it needs.
fn switch(
    choices: &BTreeMap<Abi, Choice>,
    conditional: Option<&Place>,
    options: &Options,
    notes: &mut Vec<String>,
) -> Switch {
    let decisive = |choice: &Choice| -> Vec<Condition> {
        let conditions = choice.definition().map(|definition| definition.conditions.clone());
        let mut conditions = conditions.unwrap_or_default();
        conditions.retain(|c| {
            let of_the_call = !OF_THE_ABI.contains(&c.option.as_str()) && !options.is_always_on(&c.option);
            c.set && of_the_call && !choice.either_way.contains(&c.option)
        });
        conditions
    };
    let Some((main, choice)) = Abi::ALL.iter().find_map(|abi| {
        let choice = choices.get(abi)?;
        choice.definition().is_some().then_some((abi, choice))
    }) else {
        return Switch::Unknown(absence(choices));
    };
    let conditions = decisive(choice);
    for (abi, other) in choices.iter().filter(|(abi, _)| *abi != main) {
        for condition in decisive(other) {
            if !conditions.iter().any(|known| known.option == condition.option) {
                let Condition { option, how, place, .. } = &condition;
                notes.push(format!("by {abi} it needs {option}, too: {how} ({place})"));
            }
        }
    }
    if let Some(problem) = &choice.problem {
        return Switch::Unknown(problem.clone());
    }
    if !choice.either_way.is_empty() {
        let names: Vec<&str> = choice.either_way.iter().map(OptionName::as_str).collect();
        notes.push(format!("it is defined with {} and without", names.join(" and ")));
    }
    let by_body = |condition: &Condition| condition.how == How::Body;
    let asked_for = conditions.iter().find(|condition| options.can_be_asked_for(&condition.option));
    match asked_for {
        Some(condition) if conditional.is_some() || by_body(condition) || broken("cond-syscall") => {
            for nearer in conditions.iter().take_while(|nearer| *nearer != condition) {
                notes.push(format!(
                    "{} has no prompt; it {}",
                    nearer.option,
                    options.follows(&nearer.option)
                ));
            }
            let prompt_if = options.of(&condition.option).iter().find_map(|defined| {
                Some((&defined.place, defined.prompt_if.as_deref().filter(|_| defined.prompt)?))
            });
            if let Some((place, expr)) = prompt_if {
                notes.push(format!("{} can be switched only with {expr} ({place})", condition.option));
            }
            Switch::Option(condition.clone())
        }
        Some(condition) => Switch::Unknown(format!(
            "{} guards it ({}), but there is no COND_SYSCALL for it in kernel/sys_ni.c: a kernel without the option would not link",
            condition.option, condition.place
        )),
        None if !conditions.is_empty() => {
            for Condition { option, .. } in &conditions {
                notes.push(format!("{option} has no prompt; it {}", options.follows(option)));
            }
            Switch::Fixed(conditions)
        }
        None => match choice.unclear.first() {
            Some(place) => Switch::Unknown(format!("what {place} asks for is not one option")),
            None => Switch::Always,
        },
    }
}

/// Why no ABI has a definition.
fn absence(choices: &BTreeMap<Abi, Choice>) -> String {
    let words = choices.values().map(|choice| match &choice.target {
        Target::NotImplemented | Target::Defined { .. } => {
            "the tables name no function for it but sys_ni_syscall, which gives ENOSYS".to_owned()
        }
        Target::NotBuilt { function, definition } => {
            format!("{function} is defined at {}, which a 64-bit kernel leaves out", definition.place)
        }
        Target::NotFound { function } => format!("there is no SYSCALL_DEFINE of {function}"),
    });
    words.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}
