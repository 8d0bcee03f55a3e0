//! Kernel config fragments: read them, merge them, and prove that Kconfig kept what they ask for.
//!
//! Kconfig drops a request that it cannot grant without a word. Here every request keeps the
//! file and line it came from, so that [`check`] can name it once the final `.config` is there.
//! Why it was dropped is answered by [`depends`]. Pure: running `make` is somebody else's job.

pub mod depends;
mod expr;
mod tree;

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;

use serde::Serialize;

use crate::broken::broken;
use depends::Reason;
pub use tree::{Problem, Site, Tree};

/// The longest symbol. Linux' own stay below 64 bytes.
const SYMBOL_BYTES_MAX: usize = 128;
/// What an error quotes of a line that somebody else wrote.
const EXCERPT_CHARS_MAX: usize = 60;

/// A Kconfig symbol, checked once, without its `CONFIG_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Symbol(String);

/// What is wrong with a name that was to become a [`Symbol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSymbol {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Longer than any symbol of a kernel.
    #[error("the name is longer than {SYMBOL_BYTES_MAX} bytes")]
    TooLong,
    /// Not `[A-Za-z0-9_]`.
    #[error("{0:?} does not belong in a symbol")]
    Character(char),
    /// `CONFIG_CONFIG_…`, or a name that was to come without its prefix.
    #[error("CONFIG_ is there twice")]
    Prefix,
}

impl Symbol {
    /// Checks a name that comes without its `CONFIG_`.
    pub fn new(name: &str) -> Result<Symbol, BadSymbol> {
        let stranger = name.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '_'));
        match stranger {
            _ if name.is_empty() => Err(BadSymbol::Empty),
            _ if name.len() > SYMBOL_BYTES_MAX => Err(BadSymbol::TooLong),
            Some(c) => Err(BadSymbol::Character(c)),
            None if name.starts_with("CONFIG_") => Err(BadSymbol::Prefix),
            None => Ok(Symbol(name.to_owned())),
        }
    }

    /// The name without `CONFIG_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CONFIG_{}", self.0)
    }
}

impl Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A value that a fragment asks for or a `.config` holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// `n`, `is not set`, or absent.
    No,
    /// `m`.
    Module,
    /// `y`.
    Yes,
    /// A decimal number, as Kconfig spells it: no leading zeros.
    Int(String),
    /// A hexadecimal number: `0x`, lower case, no leading zeros.
    Hex(String),
    /// A string, without its quotes and escapes.
    Str(String),
}

impl Value {
    /// Reads what stands right of the `=`. Kconfig tolerates more than this; it also ignores what
    /// it does not understand, which is the reason not to.
    fn parse(text: &str) -> Result<Value, LineError> {
        let bad = || LineError::BadValue { text: excerpt(text) };
        match text {
            "y" => return Ok(Value::Yes),
            "m" => return Ok(Value::Module),
            "n" => return Ok(Value::No),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix('"') {
            return quoted(rest);
        }
        if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return Value::hex(digits).ok_or_else(bad);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        // sym_string_valid() of Kconfig refuses a leading zero, and the request would be lost.
        let spelled = digits == "0" || !digits.starts_with('0');
        if plain && spelled { Ok(Value::Int(text.to_owned())) } else { Err(bad()) }
    }

    fn hex(digits: &str) -> Option<Value> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0').to_ascii_lowercase();
        let digits = if digits.is_empty() { "0" } else { &digits };
        Some(Value::Hex(format!("0x{digits}")))
    }
}

/// The value as a `.config` spells it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::No => f.write_str("n"),
            Value::Module => f.write_str("m"),
            Value::Yes => f.write_str("y"),
            Value::Int(text) | Value::Hex(text) => f.write_str(text),
            Value::Str(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }
}

/// One request of a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What is to be set.
    pub symbol: Symbol,
    /// To which value.
    pub value: Value,
    /// The line of the file, from 1; none for what the tool asks for by itself.
    pub line: Option<u32>,
}

/// A list of requests that came from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The path, or what else tells a reader where the requests come from.
    pub name: String,
    /// In the order of the file, each symbol once.
    pub entries: Vec<Entry>,
}

/// A line of a fragment or `.config` that cannot be taken as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct ParseError {
    /// The fragment's name.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// What is wrong there.
    pub what: LineError,
}

/// What can be wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Kconfig would skip the line in silence.
    #[error("expected CONFIG_NAME=value, `# CONFIG_NAME is not set` or a comment, got {text:?}")]
    NotARequest {
        /// The line, shortened.
        text: String,
    },
    /// The name left of the `=`.
    #[error("{text:?} is not a config symbol: {why}")]
    BadSymbol {
        /// The name with its prefix, shortened.
        text: String,
        /// The rule it breaks.
        why: BadSymbol,
    },
    /// The text right of the `=`.
    #[error("{text:?} is not a value: expected y, m, n, 42, 0x2a or \"text\", with nothing after it")]
    BadValue {
        /// The text, shortened.
        text: String,
    },
    /// A quoted string that does not end on its line.
    #[error("the string has no closing quote")]
    Unterminated,
    /// A comment that Kconfig, or its reader, would take for `is not set`.
    #[error("write exactly `# CONFIG_NAME is not set`, or reword the comment: {text:?}")]
    AlmostUnset {
        /// The line, shortened.
        text: String,
    },
    /// The file contradicts itself.
    #[error("`{this}`, but line {earlier_line} has `{earlier}`")]
    Twice {
        /// The request.
        this: String,
        /// The line before it that wants something else.
        earlier_line: u32,
        /// What that one wants.
        earlier: String,
    },
}

impl Fragment {
    /// Reads the text of a fragment; `name` is what messages call it.
    pub fn parse(name: &str, text: &str) -> Result<Fragment, ParseError> {
        let mut seen: BTreeMap<Symbol, (Value, u32)> = BTreeMap::new();
        let mut entries = Vec::new();
        for (line, text) in numbered(text) {
            let error = |what| ParseError { file: name.to_owned(), line, what };
            let Some((symbol, value)) = parse_line(text).map_err(error)? else { continue };
            match seen.entry(symbol.clone()) {
                btree_map::Entry::Vacant(slot) => {
                    slot.insert((value.clone(), line));
                    entries.push(Entry { symbol, value, line: Some(line) });
                }
                btree_map::Entry::Occupied(slot) if slot.get().0 == value => {}
                btree_map::Entry::Occupied(slot) => {
                    let (before, earlier_line) = slot.get();
                    let this = config_line(&symbol, &value);
                    let earlier = config_line(&symbol, before);
                    return Err(error(LineError::Twice { this, earlier_line: *earlier_line, earlier }));
                }
            }
        }
        Ok(Fragment { name: name.to_owned(), entries })
    }

    /// A fragment that the tool itself makes, such as the switch of a leg.
    pub fn made(name: &str, requests: impl IntoIterator<Item = (Symbol, Value)>) -> Fragment {
        let requests = requests.into_iter();
        let entries = requests.map(|(symbol, value)| Entry { symbol, value, line: None }).collect();
        Fragment { name: name.to_owned(), entries }
    }

    /// Takes back what this fragment asks for `symbol`, for a leg that decides it by itself.
    pub fn remove(&mut self, symbol: &Symbol) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.symbol == *symbol)?;
        Some(self.entries.remove(at))
    }
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// The fragment's name.
    pub fragment: String,
    /// Its line, if it is a file.
    pub line: Option<u32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.fragment),
            None => f.write_str(&self.fragment),
        }
    }
}

/// A value with the place that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The value.
    pub value: Value,
    /// The first fragment that asks for it.
    pub origin: Origin,
}

/// Two fragments that want different values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {symbol}={}, but {} has {symbol}={}", second.origin, second.value, first.origin, first.value)]
pub struct Conflict {
    /// What they disagree on.
    pub symbol: Symbol,
    /// The earlier fragment.
    pub first: Wanted,
    /// The later one.
    pub second: Wanted,
}

/// Everything that a list of fragments disagrees on; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Conflicts(pub Vec<Conflict>);

/// What all fragments together ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requested {
    wanted: BTreeMap<Symbol, Wanted>,
}

/// Puts fragments together. Their order decides nothing but who is named first.
pub fn merge(fragments: &[Fragment]) -> Result<Requested, Conflicts> {
    let mut wanted: BTreeMap<Symbol, Wanted> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for fragment in fragments {
        for Entry { symbol, value, line } in &fragment.entries {
            let origin = Origin { fragment: fragment.name.clone(), line: *line };
            let second = Wanted { value: value.clone(), origin };
            match wanted.entry(symbol.clone()) {
                btree_map::Entry::Vacant(slot) => {
                    slot.insert(second);
                }
                btree_map::Entry::Occupied(slot) if slot.get().value == *value => {}
                btree_map::Entry::Occupied(slot) => {
                    let first = slot.get().clone();
                    conflicts.push(Conflict { symbol: symbol.clone(), first, second });
                }
            }
        }
    }
    if conflicts.is_empty() || broken("config-conflict") {
        Ok(Requested { wanted })
    } else {
        Err(Conflicts(conflicts))
    }
}

impl Requested {
    /// All requests, sorted by symbol.
    pub fn iter(&self) -> impl Iterator<Item = (&Symbol, &Wanted)> {
        self.wanted.iter()
    }

    /// The request for one symbol (named without `CONFIG_`).
    pub fn get(&self, symbol: &str) -> Option<&Wanted> {
        self.wanted.get(symbol)
    }

    /// Adds what these ask for, as far as nobody has asked for something else before.
    pub fn wish(&mut self, wishes: &[Fragment]) {
        for Fragment { name, entries } in wishes {
            for Entry { symbol, value, line } in entries {
                let origin = Origin { fragment: name.clone(), line: *line };
                let wanted = || Wanted { value: value.clone(), origin };
                self.wanted.entry(symbol.clone()).or_insert_with(wanted);
            }
        }
    }

    /// The text for KCONFIG_ALLCONFIG: sorted, and free of anything that differs between two
    /// checkouts, so that it can be part of a cache key.
    pub fn render(&self) -> String {
        self.iter().map(|(symbol, wanted)| config_line(symbol, &wanted.value) + "\n").collect()
    }
}

/// A `.config` as Kconfig wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalConfig {
    values: BTreeMap<Symbol, Value>,
}

impl FinalConfig {
    /// Reads a whole `.config`.
    pub fn parse(text: &str) -> Result<FinalConfig, ParseError> {
        let mut values = BTreeMap::new();
        for (line, text) in numbered(text) {
            let error = |what| ParseError { file: ".config".to_owned(), line, what };
            if let Some((symbol, value)) = parse_final_line(text).map_err(error)? {
                values.insert(symbol, value);
            }
        }
        Ok(FinalConfig { values })
    }

    /// The value of a symbol (named without `CONFIG_`). What is absent is [`Value::No`].
    pub fn get(&self, symbol: &str) -> &Value {
        self.values.get(symbol).unwrap_or(&Value::No)
    }

    /// Whether the file mentions the symbol at all, be it as `is not set`.
    pub fn mentions(&self, symbol: &str) -> bool {
        self.values.contains_key(symbol)
    }
}

/// A request that Kconfig did not keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// What was asked for.
    pub symbol: Symbol,
    /// The value in the fragment.
    pub wanted: Value,
    /// The value in the `.config`.
    pub got: Value,
    /// The fragment and line.
    pub origin: Origin,
    /// Why, once [`Tree::explain`] has been asked.
    pub reason: Option<Reason>,
}

/// Compares what was asked for with what Kconfig made of it; an empty list is success.
///
/// `m` that became `y` is kept: the code is there (without modules, Kconfig always does that).
/// `y` that became `m` is not: a guest without modules to load would lack it. A number or string
/// has to be the same, and what was to be off has to be off.
pub fn check(requested: &Requested, config: &FinalConfig) -> Vec<Dropped> {
    let mut dropped = Vec::new();
    for (symbol, Wanted { value, origin }) in requested.iter() {
        let got = config.get(symbol.as_str());
        if broken("config-check") || value == got || (*value == Value::Module && *got == Value::Yes) {
            continue;
        }
        dropped.push(Dropped {
            symbol: symbol.clone(),
            wanted: value.clone(),
            got: got.clone(),
            origin: origin.clone(),
            reason: None,
        });
    }
    dropped
}

/// One line of what happened, then the reason on lines of its own, indented by four.
impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dropped { symbol, wanted, got, origin, reason } = self;
        match (wanted, got) {
            (Value::No, _) => write!(f, "{origin}: {symbol} was switched on by Kconfig (got: {got})")?,
            (_, Value::No) => {
                write!(f, "{origin}: {symbol}={wanted} was dropped by Kconfig (got: not set)")?;
            }
            _ => write!(f, "{origin}: {symbol}={wanted} was changed by Kconfig (got: {got})")?,
        }
        for line in reason.iter().flat_map(Reason::lines) {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// A request or setting, a comment or blank (`None`), or neither.
fn parse_line(text: &str) -> Result<Option<(Symbol, Value)>, LineError> {
    let Some(setting) = text.strip_prefix("CONFIG_") else {
        return match text.trim_start().strip_prefix('#') {
            Some(comment) => parse_comment(text, comment),
            None if text.is_empty() => Ok(None),
            None => Err(LineError::NotARequest { text: excerpt(text) }),
        };
    };
    let Some((name, value)) = setting.split_once('=') else {
        return Err(LineError::NotARequest { text: excerpt(text) });
    };
    let symbol = parse_symbol(name)?;
    Ok(Some((symbol, Value::parse(value)?)))
}

/// A `.config` may hold a hex value without `0x`, from a default in some Kconfig file.
fn parse_final_line(text: &str) -> Result<Option<(Symbol, Value)>, LineError> {
    parse_line(text).or_else(|error| match text.split_once('=') {
        Some((name, digits)) if matches!(error, LineError::BadValue { .. }) => {
            let symbol = parse_symbol(name.strip_prefix("CONFIG_").unwrap_or(name))?;
            Value::hex(digits).map(|value| Some((symbol, value))).ok_or(error)
        }
        _ => Err(error),
    })
}

fn parse_comment(text: &str, comment: &str) -> Result<Option<(Symbol, Value)>, LineError> {
    let exact = text.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
    if let Some(name) = exact
        && !name.contains(' ')
    {
        return Ok(Some((parse_symbol(name)?, Value::No)));
    }
    let mut words = comment.split_whitespace();
    let looks_unset = words.next().is_some_and(|word| word.starts_with("CONFIG_"))
        && ["is", "not", "set"].iter().all(|expected| words.next() == Some(expected));
    if looks_unset { Err(LineError::AlmostUnset { text: excerpt(text) }) } else { Ok(None) }
}

fn parse_symbol(name: &str) -> Result<Symbol, LineError> {
    Symbol::new(name).map_err(|why| LineError::BadSymbol { text: excerpt(&format!("CONFIG_{name}")), why })
}

/// What follows an opening quote: a backslash takes the next character as it is.
fn quoted(rest: &str) -> Result<Value, LineError> {
    let mut text = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(Value::Str(text)),
            '"' => return Err(LineError::BadValue { text: excerpt(&format!("\"{rest}")) }),
            '\\' => text.push(chars.next().ok_or(LineError::Unterminated)?),
            // Kconfig reads C strings, line by line.
            c if c.is_control() => {
                return Err(LineError::BadValue { text: excerpt(&format!("\"{rest}")) });
            }
            c => text.push(c),
        }
    }
    Err(LineError::Unterminated)
}

fn config_line(symbol: &Symbol, value: &Value) -> String {
    match value {
        Value::No => format!("# {symbol} is not set"),
        value => format!("{symbol}={value}"),
    }
}

/// Lines with their numbers, without white space at the end (a CR included).
fn numbered(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.lines().zip(1..).map(|(text, line)| (line, text.trim_end()))
}

fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn lines<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}
