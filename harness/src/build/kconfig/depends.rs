//! Why Kconfig did not keep a request: read from the tree's Kconfig files and the final `.config`.
//!
//! The answer names the line that decides and the symbols that would have to change. It is an
//! explanation and not a proof: whether a request was kept is known from the `.config` alone.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use crate::plan::near::near;

pub use super::expr::Unmet;
use super::expr::{Atom, Bounds, Expr, Tri, Values, compare};
use super::tree::{Condition, Definition, Kind, Prompt, Property, Push};
use super::{Dropped, FinalConfig, Site, Tree, Value};

/// What a message lists of one sort; some symbols are selected by a hundred others.
const LISTED_MAX: usize = 6;

/// Why a symbol has another value than the one it was asked to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No Kconfig file of this tree and architecture defines it.
    NoSuchSymbol {
        /// Symbols with a similar name.
        near: Vec<String>,
        /// Some Kconfig files could not be followed, so it may be in there.
        incomplete: bool,
    },
    /// The symbol is of another type.
    WrongType {
        /// Where it is defined.
        at: Site,
        /// As what.
        kind: Kind,
    },
    /// Its dependencies, or the condition of its prompt, are not met.
    Unmet {
        /// One for each definition that has a prompt.
        definitions: Vec<Blocked>,
    },
    /// Nobody can ask for it: it has no prompt.
    NoPrompt {
        /// Where it is defined.
        at: Site,
        /// What could set it, on lines of their own.
        set_by: Vec<Setter>,
    },
    /// Another member of its choice is on.
    OtherChoice {
        /// Where the choice is.
        at: Site,
        /// The members that are on.
        taken_by: Vec<String>,
    },
    /// The number is outside of its range.
    OutOfRange {
        /// The `range` line.
        at: Site,
        /// Its text.
        range: String,
        /// The least and the greatest value it stands for.
        limits: (String, String),
    },
    /// It was to be off, and these symbols select it.
    Selected {
        /// The lines that select it and count.
        by: Vec<Setter>,
    },
    /// It was to be off, and is the member of a choice that has to have one.
    ChoiceMember {
        /// Where the choice is.
        at: Site,
        /// What could be on in its place.
        others: Vec<String>,
    },
    /// Nobody can ask for another value than the default: no prompt is shown.
    Default {
        /// The lines that set it; none for the default of a choice.
        set_by: Vec<Setter>,
        /// What hides its prompts; empty where it has none.
        hidden: Vec<Blocked>,
    },
    /// Nothing in the Kconfig files tells.
    Unexplained {
        /// Where the symbol is defined.
        at: Site,
    },
}

/// A definition whose prompt is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// Where it starts.
    pub at: Site,
    /// What is not met, from the outermost block to the prompt.
    pub conditions: Vec<UnmetCondition>,
}

/// A line that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnmetCondition {
    /// The line.
    pub at: Site,
    /// Its text: `depends on …`, `if …`, `visible if …` or a prompt with its `if`.
    pub text: String,
    /// What of it is not met.
    pub unmet: Vec<Obstacle>,
}

/// An atom that is not met, with what a reader has to know about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The atom.
    pub what: Unmet,
    /// Why it cannot simply be asked for.
    pub hint: Option<Hint>,
}

/// Why a symbol cannot simply be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// It is not defined in this tree, or for another architecture only.
    NotInTree,
    /// It has no prompt; some of the lines that could set it.
    NoPrompt(Vec<Setter>),
}

/// A line that can set a symbol: `select`, `imply` or `default`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setter {
    /// The line.
    pub at: Site,
    /// Its text.
    pub text: String,
    /// The symbol that selects or implies, with its value.
    pub by: Option<(String, String)>,
}

impl Tree {
    /// Why `dropped` is not what was asked for, given the config that Kconfig made of it.
    pub fn explain(&self, dropped: &Dropped, config: &FinalConfig) -> Reason {
        let name = dropped.symbol.as_str();
        let definitions = self.definitions.get(name).map(Vec::as_slice).unwrap_or_default();
        let Some(first) = definitions.first() else {
            let near = near(name, self.definitions.keys().map(String::as_str));
            return Reason::NoSuchSymbol {
                near: near.into_iter().map(str::to_owned).collect(),
                incomplete: !self.problems().is_empty(),
            };
        };
        let known = Known { tree: self, config };
        if let Some(kind) = known.kind(name)
            && !suits(kind, &dropped.wanted)
        {
            return Reason::WrongType { at: first.at.clone(), kind };
        }
        let found = match dropped.wanted {
            Value::No => known.why_on(name, definitions),
            _ => known.why_not(dropped, definitions),
        };
        found.unwrap_or_else(|| Reason::Unexplained { at: first.at.clone() })
    }

    /// Gives each of them its reason.
    pub fn explain_all(&self, dropped: &mut [Dropped], config: &FinalConfig) {
        for dropped in dropped {
            dropped.reason = Some(self.explain(dropped, config));
        }
    }
}

fn suits(kind: Kind, wanted: &Value) -> bool {
    match wanted {
        Value::No | Value::Yes => matches!(kind, Kind::Bool | Kind::Tristate),
        Value::Module => kind == Kind::Tristate,
        // Kconfig takes 10 for a hex symbol, too, and means 16.
        Value::Int(_) => matches!(kind, Kind::Int | Kind::Hex),
        Value::Hex(_) => kind == Kind::Hex,
        Value::Str(_) => kind == Kind::String,
    }
}

/// The tree and the values its symbols came to have.
struct Known<'a> {
    tree: &'a Tree,
    config: &'a FinalConfig,
}

impl Values for Known<'_> {
    fn tri(&self, symbol: &str) -> Tri {
        match self.config.get(symbol) {
            Value::Yes => Tri::Yes,
            Value::Module => Tri::Module,
            Value::No | Value::Int(_) | Value::Hex(_) | Value::Str(_) => Tri::No,
        }
    }

    fn text(&self, symbol: &str) -> String {
        match (self.config.get(symbol), self.kind(symbol)) {
            (Value::Str(text), _) => text.clone(),
            (Value::No, Some(Kind::Int | Kind::Hex | Kind::String)) => String::new(),
            // To Kconfig a word that it does not know is text.
            (Value::No, None) => symbol.to_owned(),
            (value, _) => value.to_string(),
        }
    }
}

impl Known<'_> {
    fn kind(&self, symbol: &str) -> Option<Kind> {
        self.tree.definitions.get(symbol)?.iter().find_map(|definition| definition.kind)
    }

    /// It was asked for, and is off or has another value.
    fn why_not(&self, dropped: &Dropped, definitions: &[Definition]) -> Option<Reason> {
        let name = dropped.symbol.as_str();
        // A bool is y as soon as its prompt is visible at all.
        let need = match (&dropped.wanted, self.kind(name)) {
            (Value::Yes, Some(Kind::Tristate)) => Tri::Yes,
            _ => Tri::Module,
        };
        let (prompts, blocked) = self.prompts(definitions, need);
        if prompts == 0 {
            let at = definitions.first()?.at.clone();
            return Some(Reason::NoPrompt { at, set_by: self.setters(name) });
        }
        if blocked.len() == prompts {
            return Some(Reason::Unmet { definitions: blocked });
        }
        let taken = definitions.iter().find_map(|definition| self.choice(definition));
        if let Some((at, others)) = taken {
            let is_on = |other: &String| self.tri(other) > Tri::No;
            let taken_by = others.into_iter().filter(is_on).collect::<Vec<_>>();
            if !taken_by.is_empty() {
                return Some(Reason::OtherChoice { at, taken_by });
            }
        }
        let mut ranges = definitions.iter().flat_map(|definition| &definition.ranges);
        ranges.find_map(|range| self.out_of_range(dropped, range))
    }

    /// It was to be off, and is on.
    fn why_on(&self, name: &str, definitions: &[Definition]) -> Option<Reason> {
        let selected = self.pushed(name, &|push| !push.imply && self.is_active(push));
        if !selected.is_empty() {
            return Some(Reason::Selected { by: selected });
        }
        let (prompts, hidden) = self.prompts(definitions, Tri::Module);
        let is_hidden = hidden.len() == prompts;
        let choice = definitions.iter().find_map(|definition| self.choice(definition));
        if let Some((at, others)) = choice
            && !is_hidden
        {
            return Some(Reason::ChoiceMember { at, others });
        }
        let set_by = self.active_setters(name);
        let is_known = !set_by.is_empty() || !hidden.is_empty();
        (is_hidden && is_known).then_some(Reason::Default { set_by, hidden })
    }

    /// How many of the definitions have a prompt, and which prompts are not shown.
    fn prompts(&self, definitions: &[Definition], need: Tri) -> (usize, Vec<Blocked>) {
        let with_prompt = definitions.iter().filter_map(|definition| {
            let prompt = definition.prompt.as_ref()?;
            Some(Blocked { at: definition.at.clone(), conditions: self.unmet(definition, prompt, need) })
        });
        let all: Vec<Blocked> = with_prompt.collect();
        let prompts = all.len();
        (prompts, all.into_iter().filter(|blocked| !blocked.conditions.is_empty()).collect())
    }

    /// The conditions of a prompt that are not met. Where some certainly are not, those that
    /// merely may not be (macros) are left out.
    fn unmet(&self, definition: &Definition, prompt: &Prompt, need: Tri) -> Vec<UnmetCondition> {
        let choice = definition.choice.and_then(|at| self.tree.choices.get(at));
        let of_choice = choice.and_then(|choice| choice.prompt.only_if.as_ref());
        let conditions: Vec<&Condition> = (definition.depends.iter().map(Arc::as_ref))
            .chain(definition.visible.iter().map(Arc::as_ref))
            .chain(of_choice)
            .chain(&prompt.only_if)
            .collect();
        let certain = conditions.iter().any(|one| one.expr.bounds(self).high < need);
        let mut unmet: Vec<UnmetCondition> = Vec::new();
        for Condition { at, text, expr } in conditions {
            let Bounds { low, high } = expr.bounds(self);
            if low >= need || (certain && high >= need) {
                continue;
            }
            let mut atoms = expr.blame(need, self);
            // An outer block was named already for the same atom.
            atoms.retain(|atom| !unmet.iter().any(|outer| outer.unmet.iter().any(|o| o.what == *atom)));
            if !atoms.is_empty() {
                let unmet_here = atoms.into_iter().map(|what| self.obstacle(what)).collect();
                unmet.push(UnmetCondition { at: at.clone(), text: text.clone(), unmet: unmet_here });
            }
        }
        unmet
    }

    fn obstacle(&self, what: Unmet) -> Obstacle {
        let hint = match &what {
            Unmet::Symbol { name, value } if value == "n" => match self.tree.definitions.get(name) {
                None => Some(Hint::NotInTree),
                Some(all) if all.iter().all(|definition| definition.prompt.is_none()) => {
                    Some(Hint::NoPrompt(self.setters(name)))
                }
                Some(_) => None,
            },
            _ => None,
        };
        Obstacle { what, hint }
    }

    /// The choice that a definition is a member of, and its other members.
    fn choice(&self, definition: &Definition) -> Option<(Site, Vec<String>)> {
        let choice = self.tree.choices.get(definition.choice?)?;
        let others = choice.members.iter().filter(|member| **member != definition.symbol);
        Some((choice.at.clone(), others.cloned().collect()))
    }

    /// Lines that can set a symbol without being asked: selects, implies and defaults.
    fn setters(&self, name: &str) -> Vec<Setter> {
        let mut setters = self.pushed(name, &|_| true);
        let never = Expr::Atom(Atom::Constant("n".to_owned()));
        setters.extend(self.defaults(name, &|default| default.value != never));
        setters
    }

    /// Those of them that have set it.
    fn active_setters(&self, name: &str) -> Vec<Setter> {
        let mut setters = self.pushed(name, &|push| self.is_active(push));
        let switches = matches!(self.kind(name), Some(Kind::Bool | Kind::Tristate));
        setters.extend(self.defaults(name, &|default| {
            let gives = !switches || default.value.bounds(self).high > Tri::No;
            gives && self.counts(&default.only_if)
        }));
        setters
    }

    fn defaults(&self, name: &str, filter: &dyn Fn(&Property<Expr>) -> bool) -> Vec<Setter> {
        let definitions = self.tree.definitions.get(name).into_iter().flatten();
        let defaults = definitions.flat_map(|definition| &definition.defaults);
        let setter = |default: &Property<Expr>| Setter {
            at: default.at.clone(),
            text: default.text.clone(),
            by: None,
        };
        defaults.filter(|default| filter(default)).map(setter).collect()
    }

    fn pushed(&self, name: &str, filter: &dyn Fn(&Push) -> bool) -> Vec<Setter> {
        let pushes = self.tree.pushes.get(name).into_iter().flatten().filter(|push| filter(push));
        let setter = |push: &Push| Setter {
            at: push.at.clone(),
            text: push.text.clone(),
            by: Some((push.by.clone(), self.text(&push.by))),
        };
        let mut setters: Vec<Setter> = pushes.map(setter).collect();
        // Those that are on come first: only a few are shown.
        setters.sort_by_key(|setter| setter.by.as_ref().is_some_and(|(_, value)| value == "n"));
        setters
    }

    fn is_active(&self, push: &Push) -> bool {
        self.tri(&push.by) > Tri::No && self.counts(&push.only_if)
    }

    /// Whether a property with this `if` may be in force.
    fn counts(&self, only_if: &Option<Expr>) -> bool {
        only_if.as_ref().is_none_or(|expr| expr.bounds(self).high > Tri::No)
    }

    fn out_of_range(&self, dropped: &Dropped, range: &Property<(Atom, Atom)>) -> Option<Reason> {
        let value = |atom: &Atom| match atom {
            Atom::Symbol(name) => self.text(name),
            Atom::Constant(text) | Atom::Macro(text) => text.clone(),
        };
        let limits = (value(&range.value.0), value(&range.value.1));
        let wanted = dropped.wanted.to_string();
        let is_out = compare(&wanted, "<", &limits.0) || compare(&wanted, ">", &limits.1);
        (is_out && self.counts(&range.only_if)).then(|| Reason::OutOfRange {
            at: range.at.clone(),
            range: range.text.clone(),
            limits,
        })
    }
}

impl Reason {
    /// The explanation, one thought a line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Reason::NoSuchSymbol { near, incomplete } => {
                let mut lines = vec!["no such symbol in this tree, for this architecture".to_owned()];
                if !near.is_empty() {
                    let names = near.iter().map(|name| format!("CONFIG_{name}")).collect::<Vec<_>>();
                    lines.push(format!("similar names: {}", names.join(", ")));
                }
                if *incomplete {
                    lines.push("some Kconfig files could not be followed".to_owned());
                }
                lines
            }
            Reason::WrongType { at, kind } => vec![format!("{at}: it is {kind}")],
            Reason::Unmet { definitions } => definitions.iter().flat_map(Blocked::lines).collect(),
            Reason::NoPrompt { at, set_by } => {
                let mut lines = vec![format!("{at}: it has no prompt, so nobody can ask for it")];
                lines.extend(listed(set_by, "set by "));
                lines
            }
            Reason::OtherChoice { at, taken_by } => {
                vec![format!("{at}: of this choice, {} is on", taken_by.join(", "))]
            }
            Reason::OutOfRange { at, range, limits: (low, high) } => {
                vec![format!("{at}: `{range}`, which is {low} to {high}")]
            }
            Reason::Selected { by } => listed(by, "selected by "),
            Reason::ChoiceMember { at, others } => vec![format!(
                "{at}: one member of this choice has to be on; switch on another: {}",
                some_of(others)
            )],
            Reason::Default { set_by, hidden } => {
                let mut lines = listed(set_by, "set by ");
                match hidden.as_slice() {
                    [] => lines.push("it has no prompt, so nobody can switch it off".to_owned()),
                    hidden => {
                        lines.push("its prompt is not shown, so nobody can switch it off".to_owned());
                        lines.extend(hidden.iter().flat_map(Blocked::lines));
                    }
                }
                lines
            }
            Reason::Unexplained { at } => {
                vec![format!("{at}: its conditions seem met; the Kconfig files do not tell why")]
            }
        }
    }
}

impl Blocked {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for UnmetCondition { at, text, unmet } in &self.conditions {
            if let [Obstacle { what: Unmet::Toolchain { check }, .. }] = unmet.as_slice()
                && text.ends_with(check)
            {
                lines.push(format!("{at}: `{text}`, a check of the toolchain that fails"));
                continue;
            }
            let atoms: Vec<String> = unmet.iter().map(|obstacle| obstacle.what.to_string()).collect();
            lines.push(format!("{at}: `{text}`, but {}", some_of(&atoms)));
            for Obstacle { what, hint } in unmet.iter().take(LISTED_MAX) {
                let (Unmet::Symbol { name, .. }, Some(hint)) = (what, hint) else { continue };
                match hint {
                    // In a list of architectures nearly all of them are not in the tree.
                    Hint::NotInTree if unmet.len() > 1 => {}
                    Hint::NotInTree => lines.push(format!("  {name} is not defined in this tree")),
                    Hint::NoPrompt(setters) => {
                        lines.push(format!("  {name} has no prompt"));
                        let more = listed(setters, "set by ");
                        lines.extend(more.into_iter().map(|line| format!("  {line}")));
                    }
                }
            }
        }
        lines
    }
}

fn listed(setters: &[Setter], verb: &str) -> Vec<String> {
    let line = |Setter { at, text, by }: &Setter| match by {
        Some((name, value)) => format!("{verb}{name}={value} ({at}: `{text}`)"),
        None => format!("{verb}{at}: `{text}`"),
    };
    let mut lines: Vec<String> = setters.iter().take(LISTED_MAX).map(line).collect();
    if setters.len() > LISTED_MAX {
        lines.push(format!("and {} more", setters.len() - LISTED_MAX));
    }
    lines
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
