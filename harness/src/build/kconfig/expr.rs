//! The expressions of the Kconfig language: tokens, parser, three-valued evaluation, and which
//! atoms keep an expression below the value that somebody needs.
//!
//! A macro such as `$(success,…)` is a question to the toolchain that was answered when Kconfig
//! ran; its answer is not in the `.config`. Evaluation therefore works with bounds: an expression
//! is at least `low` and at most `high`.

use serde::Serialize;

/// Parentheses and negations below each other. Linux' own Kconfig files stay below ten.
const DEPTH_MAX: u32 = 64;

/// `n`, `m`, `y`, in the order in which Kconfig compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tri {
    No,
    Module,
    Yes,
}

impl Tri {
    pub(super) fn of(text: &str) -> Option<Tri> {
        match text {
            "n" => Some(Tri::No),
            "m" => Some(Tri::Module),
            "y" => Some(Tri::Yes),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Tri::No => "n",
            Tri::Module => "m",
            Tri::Yes => "y",
        }
    }

    fn not(self) -> Tri {
        match self {
            Tri::No => Tri::Yes,
            Tri::Module => Tri::Module,
            Tri::Yes => Tri::No,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Bare word; a macro stands in it verbatim.
    Word(String),
    /// Quoted text.
    Text(String),
    /// One of `&& || ! ( ) = != < <= > >=`.
    Op(&'static str),
}

/// Longer ones first, so that `<=` is not `<` and then `=`.
const OPERATORS: [&str; 11] = ["&&", "||", "!=", "<=", ">=", "!", "(", ")", "=", "<", ">"];

/// Cuts the rest of a statement into tokens. `expand` knows the value of plain variables; other
/// macros stay as they are. Characters that Kconfig ignores are ignored.
pub(super) fn tokens(line: &str, expand: &dyn Fn(&str) -> Option<String>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '#' {
            break;
        } else if first == '"' || first == '\'' {
            let (text, after) = take_quoted(&rest[1..], first, expand);
            tokens.push(Token::Text(text));
            rest = after;
        } else if is_word(first) || first == '$' {
            let (word, after) = take_word(rest, expand);
            if !word.is_empty() {
                tokens.push(Token::Word(word));
            }
            rest = after;
        } else if let Some(op) = OPERATORS.into_iter().find(|op| rest.starts_with(op)) {
            tokens.push(Token::Op(op));
            rest = &rest[op.len()..];
        } else {
            rest = &rest[first.len_utf8()..];
        }
        rest = rest.trim_start();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A word goes on over the macros in it.
fn take_word<'a>(mut rest: &'a str, expand: &dyn Fn(&str) -> Option<String>) -> (String, &'a str) {
    let mut word = String::new();
    while let Some(c) = rest.chars().next() {
        if c == '$' {
            rest = take_macro(rest, &mut word, expand);
        } else if is_word(c) {
            word.push(c);
            rest = &rest[1..];
        } else {
            break;
        }
    }
    (word, rest)
}

fn take_quoted<'a>(
    mut rest: &'a str,
    quote: char,
    expand: &dyn Fn(&str) -> Option<String>,
) -> (String, &'a str) {
    let mut text = String::new();
    while let Some(c) = rest.chars().next() {
        if c == '$' {
            rest = take_macro(rest, &mut text, expand);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            c if c == quote => break,
            '\\' => {
                let mut chars = rest.chars();
                text.extend(chars.next());
                rest = chars.as_str();
            }
            c => text.push(c),
        }
    }
    (text, rest)
}

/// Appends the value of the `$(…)` at the start of `rest`, or the macro itself, and returns what
/// follows it. Always moves on by one character at least.
fn take_macro<'a>(rest: &'a str, out: &mut String, expand: &dyn Fn(&str) -> Option<String>) -> &'a str {
    let (whole, after) = rest.split_at(macro_len(rest));
    let name = whole.strip_prefix("$(").and_then(|name| name.strip_suffix(')'));
    match name.and_then(expand) {
        Some(value) => out.push_str(&value),
        None => out.push_str(whole),
    }
    after
}

/// How long the `$(…)` at the start of `text` is; an open one goes on to the end, and a lone `$`
/// is one character.
pub(super) fn macro_len(text: &str) -> usize {
    if !text.starts_with("$(") {
        return 1;
    }
    let mut depth = 0u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// A symbol, defined or not.
    Symbol(String),
    /// `y`, `m`, `n`, a number or quoted text.
    Constant(String),
    /// Text with a macro in it.
    Macro(String),
}

impl Atom {
    fn word(word: String) -> Atom {
        if word.contains('$') {
            Atom::Macro(word)
        } else if Tri::of(&word).is_some() || number(&word).is_some() {
            Atom::Constant(word)
        } else {
            Atom::Symbol(word)
        }
    }

    fn text(text: String) -> Atom {
        if text.contains("$(") { Atom::Macro(text) } else { Atom::Constant(text) }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Atom::Symbol(text) | Atom::Constant(text) | Atom::Macro(text) => text,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    Atom(Atom),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Atom, &'static str, Atom),
}

/// Reads expressions from the tokens of a statement, which may go on with `if` and another one.
pub(super) struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    pub(super) fn new(tokens: Vec<Token>) -> Parser {
        Parser { tokens: tokens.into_iter().peekable() }
    }

    /// The next token if it is a word or text.
    pub(super) fn atom(&mut self) -> Option<Atom> {
        match self.tokens.next_if(|token| !matches!(token, Token::Op(_)))? {
            Token::Word(word) => Some(Atom::word(word)),
            Token::Text(text) => Some(Atom::text(text)),
            Token::Op(_) => None,
        }
    }

    /// Consumes the keyword if it is next.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(w) if w == word)).is_some()
    }

    /// The next token if it is quoted text: the title of a prompt.
    pub(super) fn title(&mut self) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Text(_))).is_some()
    }

    /// One expression; `None` where the language has none.
    pub(super) fn expr(&mut self) -> Option<Expr> {
        self.any(0)
    }

    fn op(&mut self, op: &'static str) -> bool {
        self.tokens.next_if_eq(&Token::Op(op)).is_some()
    }

    fn any(&mut self, depth: u32) -> Option<Expr> {
        let first = self.all(depth)?;
        let mut sides = vec![first];
        while self.op("||") {
            sides.push(self.all(depth)?);
        }
        if sides.len() == 1 { sides.pop() } else { Some(Expr::Or(sides)) }
    }

    fn all(&mut self, depth: u32) -> Option<Expr> {
        let first = self.unary(depth)?;
        let mut sides = vec![first];
        while self.op("&&") {
            sides.push(self.unary(depth)?);
        }
        if sides.len() == 1 { sides.pop() } else { Some(Expr::And(sides)) }
    }

    fn unary(&mut self, depth: u32) -> Option<Expr> {
        if depth == DEPTH_MAX {
            return None;
        }
        if self.op("!") {
            return Some(Expr::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.op("(") {
            let inner = self.any(depth + 1)?;
            return self.op(")").then_some(inner);
        }
        let left = self.atom()?;
        for op in ["=", "!=", "<", "<=", ">", ">="] {
            if self.op(op) {
                return Some(Expr::Compare(left, op, self.atom()?));
            }
        }
        Some(Expr::Atom(left))
    }
}

/// Where the values of symbols come from.
pub(super) trait Values {
    /// The value of a bool or tristate symbol; `No` for every other one.
    fn tri(&self, symbol: &str) -> Tri;
    /// The value as the language compares it; of a word that is no symbol, the word.
    fn text(&self, symbol: &str) -> String;
}

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) low: Tri,
    pub(super) high: Tri,
}

impl Bounds {
    const UNKNOWN: Bounds = Bounds { low: Tri::No, high: Tri::Yes };

    fn exactly(value: Tri) -> Bounds {
        Bounds { low: value, high: value }
    }
}

impl Expr {
    pub(super) fn bounds(&self, values: &dyn Values) -> Bounds {
        match self {
            Expr::Atom(Atom::Symbol(name)) => Bounds::exactly(values.tri(name)),
            // Kconfig reads a bare `m` as `m && MODULES`.
            Expr::Atom(Atom::Constant(text)) if text == "m" => {
                Bounds::exactly(values.tri("MODULES").min(Tri::Module))
            }
            Expr::Atom(Atom::Constant(text)) => Bounds::exactly(Tri::of(text).unwrap_or(Tri::No)),
            Expr::Atom(Atom::Macro(_)) => Bounds::UNKNOWN,
            Expr::Not(inner) => {
                let Bounds { low, high } = inner.bounds(values);
                Bounds { low: high.not(), high: low.not() }
            }
            Expr::And(sides) => sides.iter().fold(Bounds::exactly(Tri::Yes), |all, side| {
                let Bounds { low, high } = side.bounds(values);
                Bounds { low: all.low.min(low), high: all.high.min(high) }
            }),
            Expr::Or(sides) => sides.iter().fold(Bounds::exactly(Tri::No), |any, side| {
                let Bounds { low, high } = side.bounds(values);
                Bounds { low: any.low.max(low), high: any.high.max(high) }
            }),
            Expr::Compare(left, op, right) => match (text_of(left, values), text_of(right, values)) {
                (Some(left), Some(right)) if compare(&left, op, &right) => Bounds::exactly(Tri::Yes),
                (Some(_), Some(_)) => Bounds::exactly(Tri::No),
                _ => Bounds::UNKNOWN,
            },
        }
    }

    /// The atoms because of which the expression is not known to be at least `need`. Where some
    /// are certain, the uncertain ones (macros) are not accused.
    pub(super) fn blame(&self, need: Tri, values: &dyn Values) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        self.accuse(Goal::AtLeast(need), values, &mut unmet);
        unmet
    }

    fn accuse(&self, goal: Goal, values: &dyn Values, unmet: &mut Vec<Unmet>) {
        let bounds = self.bounds(values);
        if goal.met(bounds) {
            return;
        }
        match self {
            Expr::Not(inner) => inner.accuse(goal.negated(), values, unmet),
            Expr::And(sides) | Expr::Or(sides) => {
                // Where every side has to be right, a side that is certainly wrong explains it.
                let every = matches!(self, Expr::And(_)) == matches!(goal, Goal::AtLeast(_));
                let certain = every && sides.iter().any(|side| goal.hopeless(side.bounds(values)));
                for side in sides {
                    if !certain || goal.hopeless(side.bounds(values)) {
                        side.accuse(goal, values, unmet);
                    }
                }
            }
            leaf => {
                let accused = leaf.unmet(values);
                if !unmet.contains(&accused) {
                    unmet.push(accused);
                }
            }
        }
    }

    fn unmet(&self, values: &dyn Values) -> Unmet {
        match self {
            Expr::Atom(Atom::Symbol(name)) => {
                Unmet::Symbol { name: name.clone(), value: values.tri(name).name().to_owned() }
            }
            Expr::Atom(Atom::Macro(text)) => Unmet::Toolchain { check: text.clone() },
            Expr::Compare(left, op, right) => {
                let text = format!("{} {op} {}", left.as_str(), right.as_str());
                if matches!(left, Atom::Macro(_)) || matches!(right, Atom::Macro(_)) {
                    return Unmet::Toolchain { check: text };
                }
                let mut known = Vec::new();
                for side in [left, right] {
                    if let Atom::Symbol(name) = side
                        && values.text(name) != *name
                    {
                        known.push((name.clone(), values.text(name)));
                    }
                }
                Unmet::Comparison { text, known }
            }
            Expr::Atom(Atom::Constant(text)) => Unmet::Never { constant: text.clone() },
            // Inner nodes are never accused themselves.
            Expr::Not(_) | Expr::And(_) | Expr::Or(_) => Unmet::Never { constant: String::new() },
        }
    }
}

/// What an expression is wanted to be; negation turns one kind into the other.
#[derive(Clone, Copy)]
enum Goal {
    AtLeast(Tri),
    AtMost(Tri),
}

impl Goal {
    fn met(self, bounds: Bounds) -> bool {
        match self {
            Goal::AtLeast(need) => bounds.low >= need,
            Goal::AtMost(limit) => bounds.high <= limit,
        }
    }

    fn hopeless(self, bounds: Bounds) -> bool {
        match self {
            Goal::AtLeast(need) => bounds.high < need,
            Goal::AtMost(limit) => bounds.low > limit,
        }
    }

    fn negated(self) -> Goal {
        match self {
            Goal::AtLeast(need) => Goal::AtMost(need.not()),
            Goal::AtMost(limit) => Goal::AtLeast(limit.not()),
        }
    }
}

/// One atom of an expression that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmet {
    /// A symbol with its value in the final config (under a negation, one that is on).
    Symbol {
        /// Without `CONFIG_`.
        name: String,
        /// `n`, `m` or `y`.
        value: String,
    },
    /// A comparison, with the values of the symbols in it.
    Comparison {
        /// The comparison as written.
        text: String,
        /// Each symbol that is defined, with its value.
        known: Vec<(String, String)>,
    },
    /// A macro that asked the toolchain, and must have been answered with `n`.
    Toolchain {
        /// The macro as written.
        check: String,
    },
    /// A constant.
    Never {
        /// `n`, as a rule.
        constant: String,
    },
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unmet::Symbol { name, value } => write!(f, "{name}={value}"),
            Unmet::Comparison { text, known } if known.is_empty() => {
                write!(f, "`{text}` is not so")
            }
            Unmet::Comparison { known, .. } => {
                let value = |(name, value): &(String, String)| match value.as_str() {
                    "" => format!("{name} has no value"),
                    value => format!("{name}={value}"),
                };
                f.write_str(&known.iter().map(value).collect::<Vec<_>>().join(", "))
            }
            Unmet::Toolchain { check } => write!(f, "a check of the toolchain fails: {check}"),
            Unmet::Never { constant } => write!(f, "it is always {constant}"),
        }
    }
}

fn text_of(atom: &Atom, values: &dyn Values) -> Option<String> {
    match atom {
        Atom::Symbol(name) => Some(values.text(name)),
        Atom::Constant(text) => Some(text.clone()),
        Atom::Macro(_) => None,
    }
}

/// Like Kconfig: numbers as numbers (`n`, `m`, `y` are 0, 1, 2), everything else as text.
pub(super) fn compare(left: &str, op: &str, right: &str) -> bool {
    let rank = |text: &str| Tri::of(text).map(|tri| tri as i128).or_else(|| number(text));
    let order = match (rank(left), rank(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    };
    match op {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// A decimal or hexadecimal number, as far as Kconfig's 64 bits go.
pub(super) fn number(text: &str) -> Option<i128> {
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i128::from(u64::from_str_radix(digits, 16).ok()?),
        None => text.parse().ok()?,
    };
    let in_range = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value);
    // parse() takes a plus sign; Kconfig's lexer has none.
    (in_range && !text.contains('+')).then_some(value)
}
