//! What a kernel is asked to be: by its own fragments and the user's, by the series, and by the directories
//! of selftests that run on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::kconfig::{Fragment, ParseError, Symbol, Value};
use crate::build::kernel::Bench;
use crate::build::series::Overlay;
use crate::build::{Trouble, kselftest as directories};
use crate::model::{Cause, Leg, RelPath};
use crate::plan::files::{Spec, read_fragment};
use crate::plan::recipe::Recipe;

/// The fragments of a kernel.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Every line of these is kept, or it is an error.
    pub fragments: Vec<Fragment>,
    /// Of these Kconfig may drop some.
    pub wishes: Vec<Fragment>,
    /// Directories whose `config` cannot be merged, and why.
    pub unread: Vec<(RelPath, String)>,
}

impl Request {
    /// Of directories that are run together. Nothing else, so that it is the kernel that test-syscall runs
    /// if they ask for nothing more.
    pub fn of_directories<'a>(
        bench: &Bench<'_>,
        dirs: impl Iterator<Item = &'a RelPath>,
    ) -> Result<Request, Trouble> {
        let mut request = Request { fragments: base(bench)?, ..Request::default() };
        for dir in dirs {
            let Some(text) = directories::file(&bench.pristine, dir, "config") else { continue };
            match Fragment::parse(dir.as_str(), &text) {
                Ok(fragment) => request.wish(fragment),
                Err(error) => request.unread.push((dir.clone(), error.to_string())),
            }
        }
        request.fragments.retain(|fragment| !fragment.entries.is_empty());
        Ok(request)
    }

    /// Of a leg: what the kernel, the user and each series' selftest ask for, and the leg's switch. A directory
    /// that the tree has had wishes, and one that a series brings has to get what it asks for.
    pub fn of_leg<'a>(
        bench: &Bench<'_>,
        layers: impl Iterator<Item = &'a Spec>,
        leg: Leg,
        series: &Overlay,
    ) -> Result<Request, Trouble> {
        let dropped = |detail: String| Trouble::from(Cause::ConfigDropped { detail });
        let layers: Vec<&Spec> = layers.collect();
        let options = layers.iter().filter_map(|layer| layer.option.as_ref());
        let options: Vec<Symbol> = options
            .map(|option| Symbol::new(option.symbol()))
            .collect::<Result<_, _>>()
            .map_err(|error| dropped(error.to_string()))?;
        let remove = |fragment: &mut Fragment, symbols: &[Symbol]| {
            symbols.iter().for_each(|symbol| _ = fragment.remove(symbol));
        };
        let mut request = Request { fragments: base(bench)?, ..Request::default() };
        if leg == Leg::ConfigOff {
            // Of a call that every kernel has: ours ask for it, since some test needs it.
            request.fragments.iter_mut().for_each(|fragment| remove(fragment, &options));
        }
        // The same in every leg: a control differs from the patched kernel in the options alone.
        for dir in layers.iter().filter_map(|layer| Some(&layer.selftest.as_ref()?.dir)) {
            let own = format!("{}/{dir}/config", directories::SELFTESTS);
            let Some(text) = series.read(&bench.pristine, &own) else { continue };
            let is_old = directories::exists(&bench.pristine, dir);
            let mut fragment = match Fragment::parse(if is_old { dir.as_str() } else { &own }, &text) {
                Ok(fragment) => fragment,
                Err(error) if is_old => {
                    request.unread.push((dir.clone(), error.to_string()));
                    continue;
                }
                Err(error) => return Err(dropped(error.to_string())),
            };
            if leg != Leg::Patched {
                remove(&mut fragment, &options);
            }
            if leg == Leg::Unpatched {
                let symbols = defined_by(bench, series);
                let symbols: Vec<Symbol> = symbols.iter().filter_map(|name| Symbol::new(name).ok()).collect();
                remove(&mut fragment, &symbols);
            }
            match is_old {
                true => request.wish(fragment),
                false => request.fragments.push(fragment),
            }
        }
        let switch = match leg {
            Leg::Patched => Value::Yes,
            Leg::ConfigOff => Value::No,
            Leg::Unpatched => return Ok(request),
        };
        let switched = options.into_iter().map(|option| (option, switch.clone()));
        request.fragments.push(Fragment::made(&format!("the leg {leg}"), switched));
        Ok(request)
    }

    /// Adds what a directory of the tree's own selftests asks for.
    fn wish(&mut self, mut fragment: Fragment) {
        // There are no modules in the guest to load.
        for entry in fragment.entries.iter_mut().filter(|entry| entry.value == Value::Module) {
            entry.value = Value::Yes;
        }
        self.wishes.push(fragment);
    }

    /// Lines of two fragments that want different values: the first that asked has it.
    pub fn contradictions(&self) -> Vec<String> {
        let mut first: BTreeMap<&str, (&str, &Value)> = BTreeMap::new();
        let mut found = Vec::new();
        for Fragment { name, entries } in self.fragments.iter().chain(&self.wishes) {
            for entry in entries {
                let (by, value) = *first.entry(entry.symbol.as_str()).or_insert((name, &entry.value));
                if *value != entry.value {
                    found.push(format!(
                        "{name} asks for {}={}, and {by} for {value}",
                        entry.symbol, entry.value
                    ));
                }
            }
        }
        found
    }
}

/// What every leg of a kernel asks for: our own fragments, and the user's, before which ours give way.
fn base(bench: &Bench<'_>) -> Result<Vec<Fragment>, Trouble> {
    let dropped = |detail: String| Trouble::from(Cause::ConfigDropped { detail });
    let mut ours = Vec::new();
    for path in &bench.kernel.fragments {
        let text = read_fragment(path).map_err(|error| dropped(error.to_string()))?;
        let name = format!("configs/{}", path.file_name().unwrap_or_default().to_string_lossy());
        ours.push(Fragment::parse(&name, &text).map_err(|error| dropped(error.to_string()))?);
    }
    let users = asked(&bench.kernel.recipe).map_err(|error| dropped(error.to_string()))?;
    Ok(give_way(ours, users))
}

/// Ours give way to the user's, and of those the earlier to the later, as in the kernel's merge_config.sh.
fn give_way(mut fragments: Vec<Fragment>, users: Vec<Fragment>) -> Vec<Fragment> {
    for later in users {
        for entry in &later.entries {
            fragments.iter_mut().for_each(|fragment| _ = fragment.remove(&entry.symbol));
        }
        fragments.push(later);
    }
    fragments
}

/// The user's own fragments.
pub fn asked(recipe: &Recipe) -> Result<Vec<Fragment>, ParseError> {
    recipe.asked.iter().map(|asked| Fragment::parse(&asked.name(), asked.text())).collect()
}

/// The symbols that only the series defines.
fn defined_by(bench: &Bench<'_>, series: &Overlay) -> BTreeSet<String> {
    let symbols = |text: &str| -> BTreeSet<String> {
        let name = |line: &str| {
            let line = line.trim_start();
            line.strip_prefix("config ")
                .or_else(|| line.strip_prefix("menuconfig "))
                .map(|n| n.trim().to_owned())
        };
        text.lines().filter_map(name).collect()
    };
    let mut found = BTreeSet::new();
    for (path, _) in series.files().filter(|(path, _)| path.contains("Kconfig")) {
        let after = symbols(&series.read(&bench.pristine, path).unwrap_or_default());
        let before = symbols(&bench.pristine.read(path).unwrap_or_default());
        found.extend(after.difference(&before).cloned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(name: &str, text: &str) -> Fragment {
        Fragment::parse(name, text).unwrap()
    }

    #[test]
    fn of_two_lines_for_one_option_the_later_counts() {
        let ours = vec![fragment("configs/base.config", "CONFIG_A=y\nCONFIG_B=y\n")];
        let users =
            vec![fragment("a.config", "CONFIG_A=n\nCONFIG_C=y\n"), fragment("b.config", "CONFIG_C=n\n")];
        let left: Vec<String> = give_way(ours, users)
            .iter()
            .flat_map(|f| f.entries.iter().map(|e| format!("{} {}={}", f.name, e.symbol, e.value)))
            .collect();
        assert_eq!(left, ["configs/base.config CONFIG_B=y", "a.config CONFIG_A=n", "b.config CONFIG_C=n"]);
    }
}
