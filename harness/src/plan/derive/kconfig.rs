//! What Kconfig says of a few options: whether they exist, and whether a configuration can ask for
//! them. Why Kconfig drops a request is `build::kconfig`'s business.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, TreeFiles};
use crate::model::OptionName;

/// Where the architecture has its own options.
const ARCH: &str = "arch/x86/Kconfig";
/// Files that are followed: Linux has 1700.
const FILES_MAX: usize = 20_000;

/// One `config X` of a Kconfig file.
#[derive(Debug, Clone)]
pub(super) struct Defined {
    pub place: Place,
    /// A line by which a person can choose; without one the option follows others.
    pub prompt: bool,
    /// What stands right of `if` after the prompt: without it, nobody can choose.
    pub prompt_if: Option<String>,
    /// All its lines but the help, and the `if`s around it: what may tie it to another option.
    pub text: String,
}

/// The options that were looked for, as the Kconfig files of x86 define them; one may have many.
#[derive(Debug, Default)]
pub(super) struct Options {
    found: BTreeMap<OptionName, Vec<Defined>>,
    /// What the architecture selects without a condition: it is on in every kernel.
    selected: BTreeSet<OptionName>,
}

impl Options {
    /// Follows the `source` lines from the top.
    pub fn read(tree: &dyn TreeFiles, wanted: &BTreeSet<OptionName>) -> Options {
        let mut options = Options::default();
        let mut seen = BTreeSet::new();
        let mut todo = vec!["Kconfig".to_owned()];
        while let Some(path) = todo.pop() {
            if seen.len() >= FILES_MAX || !seen.insert(path.clone()) {
                continue;
            }
            if let Some(text) = tree.read(&path) {
                options.scan(&path, &text, wanted, &mut todo);
            }
        }
        options
    }

    fn scan(&mut self, path: &str, text: &str, wanted: &BTreeSet<OptionName>, todo: &mut Vec<String>) {
        let mut ifs: Vec<&str> = Vec::new();
        // The option whose lines are read, and whether they have come to its help.
        let mut current: Option<(OptionName, bool)> = None;
        let mut is_arch = false;
        for (line, number) in text.lines().zip(1u32..) {
            let trimmed = line.trim();
            let (word, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
            let at_start = !line.starts_with([' ', '\t']) && !trimmed.is_empty();
            if at_start {
                current = None;
            }
            match (word, &mut current) {
                ("source", _) if at_start || rest.starts_with('"') => {
                    let file = rest.trim().trim_matches('"').replace("$(SRCARCH)", "x86");
                    todo.push(file);
                }
                ("select", None) if is_arch && !rest.contains(" if ") => {
                    self.selected.extend(format!("CONFIG_{}", rest.trim()).parse::<OptionName>());
                }
                ("config" | "menuconfig", _) if at_start => {
                    is_arch = path == ARCH && matches!(rest.trim(), "X86" | "X86_64");
                    let option = format!("CONFIG_{}", rest.trim()).parse::<OptionName>().ok();
                    let Some(option) = option.filter(|option| wanted.contains(option)) else { continue };
                    let place = Place { file: path.to_owned(), line: number };
                    let text = ifs.join("\n");
                    let defined = Defined { place, prompt: false, prompt_if: None, text };
                    self.found.entry(option.clone()).or_default().push(defined);
                    current = Some((option, false));
                }
                ("if", _) if at_start => ifs.push(rest),
                ("endif", _) if at_start => drop(ifs.pop()),
                ("help" | "---help---", Some((_, in_help))) => *in_help = true,
                (_, Some((option, false))) => {
                    let Some(defined) = self.found.get_mut(option).and_then(|all| all.last_mut()) else {
                        continue;
                    };
                    defined.text.push('\n');
                    defined.text.push_str(trimmed);
                    let asks = matches!(word, "prompt" | "bool" | "tristate" | "int" | "hex" | "string");
                    if let Some(prompt) = rest.trim().strip_prefix('"').filter(|_| asks) {
                        defined.prompt = true;
                        let after = prompt.rsplit_once('"').map_or("", |(_, after)| after).trim();
                        defined.prompt_if = after.strip_prefix("if ").map(str::to_owned);
                    }
                }
                _ => {}
            }
        }
    }

    /// Its definitions; empty if there is no such option.
    pub fn of(&self, option: &OptionName) -> &[Defined] {
        self.found.get(option).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a configuration can ask for it.
    pub fn can_be_asked_for(&self, option: &OptionName) -> bool {
        self.of(option).iter().any(|defined| defined.prompt)
    }

    /// Whether it is on in every kernel of x86: selected by it, or `def_bool y` with nothing to
    /// depend on.
    pub fn is_always_on(&self, option: &OptionName) -> bool {
        let free = |defined: &Defined| !defined.text.lines().any(|line| line.starts_with("depends on"));
        let on = |defined: &Defined| defined.text.lines().any(|line| line == "def_bool y");
        self.selected.contains(option)
            || self.of(option).iter().any(|defined| !defined.prompt && on(defined) && free(defined))
    }

    /// For a reader: what an option without a prompt follows.
    pub fn follows(&self, option: &OptionName) -> String {
        let Some(defined) = self.of(option).first() else { return "is not in Kconfig".to_owned() };
        let default =
            defined.text.lines().find(|line| line.starts_with("def_") || line.starts_with("default "));
        let default = default.filter(|line| !line.ends_with(" n"));
        let default =
            default.map_or_else(|| "is what others select".to_owned(), |line| format!("is `{line}`"));
        format!("{default} ({})", defined.place)
    }

    /// Whether one of the two options names the other in its Kconfig lines: depends on it, selects
    /// it, follows it by default.
    pub fn are_tied(&self, one: &OptionName, other: &OptionName) -> bool {
        let names = |defined: &Defined, symbol: &str| {
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            defined.text.split(word).any(|word| word == symbol)
        };
        self.of(one).iter().any(|defined| names(defined, other.symbol()))
            || self.of(other).iter().any(|defined| names(defined, one.symbol()))
    }
}
