//! Conditions of the preprocessor and of Makefiles as expressions over options, for a kernel of
//! x86-64: what must hold for a line to be compiled.

use super::{Condition, How, Place};
use crate::model::OptionName;

/// The longest condition that is read; Linux' own have a handful of terms.
const TERMS_MAX: usize = 64;

/// What an expression is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    True,
    False,
    Option(Condition),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// Not an option: `__ARCH_WANT_SYS_ALARM`, a version of the compiler. x86 defines what it wants,
    /// so it is taken not to matter.
    Opaque,
}

/// What has to hold: all of the conditions, and something about each place that is unclear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub conditions: Vec<Condition>,
    pub unclear: Vec<Place>,
}

impl Expr {
    /// An option that is set. The architecture's own are known.
    pub fn option(symbol: &str, how: How, place: &Place) -> Expr {
        match symbol {
            "CONFIG_X86" | "CONFIG_X86_64" | "CONFIG_64BIT" => Expr::True,
            "CONFIG_X86_32" | "CONFIG_UML" => Expr::False,
            _ => match symbol.parse::<OptionName>() {
                Ok(option) => Expr::Option(Condition { option, set: true, how, place: place.clone() }),
                Err(_) => Expr::Opaque,
            },
        }
    }

    pub fn and(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::True, one) | (one, Expr::True) => one,
            (Expr::False, _) | (_, Expr::False) => Expr::False,
            (Expr::And(mut all), one) => {
                all.push(one);
                Expr::And(all)
            }
            (one, other) => Expr::And(vec![one, other]),
        }
    }

    pub fn or(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::False, one) | (one, Expr::False) => one,
            (Expr::True, _) | (_, Expr::True) => Expr::True,
            (Expr::Or(mut any), one) => {
                any.push(one);
                Expr::Or(any)
            }
            (one, other) => Expr::Or(vec![one, other]),
        }
    }

    pub fn not(self) -> Expr {
        match self {
            Expr::True => Expr::False,
            Expr::False => Expr::True,
            Expr::Opaque => Expr::Opaque,
            Expr::Option(condition) => Expr::Option(Condition { set: !condition.set, ..condition }),
            Expr::And(all) => all.into_iter().map(Expr::not).fold(Expr::False, Expr::or),
            Expr::Or(any) => any.into_iter().map(Expr::not).fold(Expr::True, Expr::and),
        }
    }

    /// What must hold; none if it never does.
    pub fn needs(&self) -> Option<Needs> {
        let mut needs = Needs::default();
        self.collect(&mut needs)?;
        Some(needs)
    }

    fn collect(&self, needs: &mut Needs) -> Option<()> {
        match self {
            Expr::False => return None,
            Expr::True | Expr::Opaque => {}
            Expr::Option(condition) => {
                let same = |known: &Condition| known.option == condition.option;
                match needs.conditions.iter().find(|known| same(known)) {
                    // Asked for both ways: such a line is never compiled.
                    Some(known) if known.set != condition.set => return None,
                    Some(_) => {}
                    None => needs.conditions.push(condition.clone()),
                }
            }
            Expr::And(all) => {
                for one in all {
                    one.collect(needs)?;
                }
            }
            Expr::Or(any) => {
                let mut ways: Vec<Needs> = any.iter().filter_map(Expr::needs).collect();
                match ways.pop() {
                    None => return None,
                    Some(only) if ways.is_empty() => {
                        let all = only.conditions.into_iter().map(Expr::Option).collect();
                        Expr::And(all).collect(needs)?;
                        needs.unclear.extend(only.unclear);
                    }
                    // What every way needs is needed; the rest is a choice.
                    Some(first) => {
                        let everywhere = |wanted: &&Condition| {
                            let same = |c: &Condition| c.option == wanted.option && c.set == wanted.set;
                            ways.iter().all(|way| way.conditions.iter().any(same))
                        };
                        let common: Vec<Condition> =
                            first.conditions.iter().filter(everywhere).cloned().collect();
                        let free =
                            |way: &Needs| way.conditions.len() == common.len() && way.unclear.is_empty();
                        if common.is_empty() || !ways.iter().chain([&first]).any(free) {
                            needs.unclear.extend(self.place());
                        }
                        Expr::And(common.into_iter().map(Expr::Option).collect()).collect(needs)?;
                    }
                }
            }
        }
        Some(())
    }

    /// The place of the first option in it.
    fn place(&self) -> Option<Place> {
        match self {
            Expr::True | Expr::False | Expr::Opaque => None,
            Expr::Option(condition) => Some(condition.place.clone()),
            Expr::And(all) | Expr::Or(all) => all.iter().find_map(Expr::place),
        }
    }

    /// Reads what stands right of `#if`.
    pub fn preprocessor(text: &str, how: How, place: &Place) -> Expr {
        let text = text.split("/*").next().unwrap_or(text);
        let text = text.split("//").next().unwrap_or(text);
        let mut parser = Parser { words: words(text), at: 0, how, place };
        if parser.words.len() > TERMS_MAX {
            return Expr::Opaque;
        }
        let expr = parser.any();
        if parser.at == parser.words.len() { expr } else { Expr::Opaque }
    }
}

/// Names and operators, one by one.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_alphanumeric() || first == '_' {
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else if rest.starts_with("&&") || rest.starts_with("||") {
            2
        } else {
            first.len_utf8()
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    how: How,
    place: &'a Place,
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self) -> Expr {
        let mut expr = self.all();
        while self.take("||") {
            expr = expr.or(self.all());
        }
        expr
    }

    fn all(&mut self) -> Expr {
        let mut expr = self.one();
        while self.take("&&") {
            expr = expr.and(self.one());
        }
        expr
    }

    fn one(&mut self) -> Expr {
        if self.take("!") {
            return self.one().not();
        }
        if self.take("(") {
            let inner = self.any();
            return if self.take(")") { inner } else { Expr::Opaque };
        }
        let Some(&word) = self.words.get(self.at) else { return Expr::Opaque };
        self.at += 1;
        let asks = matches!(word, "defined" | "IS_ENABLED" | "IS_BUILTIN" | "IS_REACHABLE");
        if asks {
            let bracket = self.take("(");
            let Some(&symbol) = self.words.get(self.at) else { return Expr::Opaque };
            self.at += 1;
            if bracket && !self.take(")") {
                return Expr::Opaque;
            }
            return Expr::option(symbol, self.how, self.place);
        }
        match word {
            "0" => Expr::False,
            "1" => Expr::True,
            // A comparison or a macro with arguments: not ours to evaluate.
            _ => {
                while self.words.get(self.at).is_some_and(|word| !matches!(*word, "&&" | "||" | ")")) {
                    let bracket = self.take("(");
                    if bracket {
                        let mut deep = 1;
                        while deep > 0 && self.at < self.words.len() {
                            deep += i32::from(self.words[self.at] == "(");
                            deep -= i32::from(self.words[self.at] == ")");
                            self.at += 1;
                        }
                    } else {
                        self.at += 1;
                    }
                }
                Expr::Opaque
            }
        }
    }
}

/// The conditionals that are open at a line: each with what its branch needs and what the branches
/// before it took.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    open: Vec<(Expr, Expr)>,
}

impl Blocks {
    pub fn open(&mut self, condition: Expr) {
        self.open.push((condition, Expr::False));
    }

    /// `else`, with a condition of its own or none.
    pub fn otherwise(&mut self, condition: Expr) {
        if let Some((taken, before)) = self.open.pop() {
            let before = before.or(taken);
            self.open.push((before.clone().not().and(condition), before));
        }
    }

    pub fn close(&mut self) {
        self.open.pop();
    }

    /// What a line here needs, the innermost first.
    pub fn here(&self) -> Expr {
        self.open.iter().rev().map(|(taken, _)| taken.clone()).fold(Expr::True, Expr::and)
    }
}
