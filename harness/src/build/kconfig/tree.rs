//! A walk over the Kconfig files of a kernel tree, keeping what decides whether a symbol can be
//! set: its definitions with everything they depend on, its prompts, and who selects it.
//!
//! Absent on purpose: computing a configuration. Kconfig has done that; the `.config` tells.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::excerpt;
use super::expr::{Atom, Expr, Parser, Token, macro_len, tokens};

/// `source` within `source`. Linux nests six deep.
const SOURCE_DEPTH_MAX: usize = 32;
/// Files of one walk. Linux 6.12 has 1200 for x86.
const FILES_MAX: usize = 8192;
/// Bytes of one walk. Linux 6.12 has 5 MB for x86.
const BYTES_MAX: usize = 64 << 20;
/// Conditions of one symbol, those of the blocks around it included, and blocks within each other.
const CONDITIONS_MAX: usize = 128;
/// `config` blocks of one walk. Linux 6.12 has 20000 for x86.
const DEFINITIONS_MAX: usize = 200_000;
/// One statement with its continuation lines. Linux stays below 2000.
const STATEMENT_BYTES_MAX: usize = 64 << 10;
/// Problems kept; a reader needs the first few.
const PROBLEMS_MAX: usize = 100;

/// A line of a Kconfig file. Serialized as it is shown, `file:line`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// The path below the tree's root.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Serialize for Site {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Something that the walk could not follow. What was understood is still there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file that cannot be read.
    #[error("{}{file} cannot be read", from(.by))]
    Unreadable {
        /// The path.
        file: String,
        /// The `source` line; none for the root.
        by: Option<Site>,
    },
    /// A file that sources itself, or whose name holds a macro without a known value.
    #[error("{at}: {file} is not followed")]
    NotFollowed {
        /// The `source` line.
        at: Site,
        /// The path as far as known.
        file: String,
    },
    /// A statement this reader does not know, or an expression it cannot take apart.
    #[error("{at}: cannot read {text:?}")]
    Statement {
        /// The line.
        at: Site,
        /// The statement, shortened.
        text: String,
    },
    /// The walk ended early.
    #[error("{at}: gave up, {what}")]
    Limit {
        /// Where.
        at: Site,
        /// Which limit.
        what: &'static str,
    },
}

fn from(by: &Option<Site>) -> String {
    by.as_ref().map(|site| format!("{site}: ")).unwrap_or_default()
}

/// The type of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `y` or `n`.
    Bool,
    /// `y`, `m` or `n`.
    Tristate,
    /// A decimal number.
    Int,
    /// A hexadecimal number.
    Hex,
    /// Text.
    String,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Bool => "a bool",
            Kind::Tristate => "a tristate",
            Kind::Int => "an int",
            Kind::Hex => "a hex number",
            Kind::String => "a string",
        })
    }
}

/// A condition with its place and its words, `depends on FOO && BAR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) at: Site,
    pub(super) text: String,
    pub(super) expr: Expr,
}

/// A `default` or `range` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property<T> {
    pub(super) at: Site,
    pub(super) text: String,
    pub(super) value: T,
    pub(super) only_if: Option<Expr>,
}

/// `prompt` of a symbol or choice, with its `if`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) only_if: Option<Condition>,
}

/// One `config` or `menuconfig` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) at: Site,
    pub(super) symbol: String,
    pub(super) kind: Option<Kind>,
    /// Enclosing blocks first, from the outside.
    pub(super) depends: Vec<Arc<Condition>>,
    /// `visible if` of the enclosing menus.
    pub(super) visible: Vec<Arc<Condition>>,
    pub(super) prompt: Option<Prompt>,
    pub(super) defaults: Vec<Property<Expr>>,
    pub(super) ranges: Vec<Property<(Atom, Atom)>>,
    /// Index into the tree's choices.
    pub(super) choice: Option<usize>,
}

/// One `select` or `imply` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) at: Site,
    /// The symbol whose definition has the line.
    pub(super) by: String,
    pub(super) only_if: Option<Expr>,
    pub(super) text: String,
    pub(super) imply: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) at: Site,
    pub(super) prompt: Prompt,
    pub(super) members: Vec<String>,
}

/// The symbols of a kernel tree and what decides about them.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub(super) definitions: BTreeMap<String, Vec<Definition>>,
    pub(super) pushes: BTreeMap<String, Vec<Push>>,
    pub(super) choices: Vec<Choice>,
    problems: Vec<Problem>,
    files: usize,
}

impl Tree {
    /// The variables that Kconfig files use in paths and conditions, for a plain `make` on x86.
    /// (`make ARCH=x86_64` has another `ARCH`, and then no prompt for 64BIT.)
    pub const X86: [(&'static str, &'static str); 2] = [("SRCARCH", "x86"), ("ARCH", "x86")];

    /// Reads `Kconfig` at the root of a tree and all it sources. `read` takes a path below that
    /// root. Never fails: what could not be followed is among the [`problems`](Tree::problems).
    pub fn read(variables: &[(&str, &str)], read: impl FnMut(&str) -> Option<String>) -> Tree {
        let mut walk = Walk {
            tree: Tree::default(),
            read,
            variables,
            bytes: 0,
            sources: Vec::new(),
            blocks: Vec::new(),
            current: Current::Nothing,
            definitions: 0,
            over: false,
        };
        walk.file("Kconfig", None);
        walk.tree
    }

    /// What the walk could not follow, the first hundred.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many files were read.
    pub fn files(&self) -> usize {
        self.files
    }

    /// How many symbols have a definition.
    pub fn symbols(&self) -> usize {
        self.definitions.len()
    }

    /// The lines that define a symbol (named without `CONFIG_`).
    pub fn sites(&self, symbol: &str) -> impl Iterator<Item = &Site> {
        self.definitions.get(symbol).into_iter().flatten().map(|definition| &definition.at)
    }
}

/// An open `if`, `menu` or `choice`.
struct Block {
    /// The word that ends it.
    end: &'static str,
    depends: Vec<Arc<Condition>>,
    visible: Vec<Arc<Condition>>,
    choice: Option<usize>,
}

/// What the next property line belongs to.
enum Current {
    /// A comment, the root menu, or the end of a block.
    Nothing,
    Definition(Box<Definition>),
    Block,
}

struct Walk<'a, R> {
    tree: Tree,
    read: R,
    variables: &'a [(&'a str, &'a str)],
    bytes: usize,
    /// The files that are being read, outermost first.
    sources: Vec<Arc<str>>,
    blocks: Vec<Block>,
    current: Current,
    definitions: usize,
    /// A limit was reached: nothing more is read.
    over: bool,
}

impl<R: FnMut(&str) -> Option<String>> Walk<'_, R> {
    fn file(&mut self, path: &str, by: Option<Site>) {
        let file: Arc<str> = Arc::from(path);
        let here = by.clone().unwrap_or(Site { file: file.clone(), line: 1 });
        if self.sources.contains(&file) {
            return self.problem(Problem::NotFollowed { at: here, file: path.to_owned() });
        }
        if self.sources.len() == SOURCE_DEPTH_MAX {
            return self.give_up(here, "files are nested too deep");
        }
        if self.tree.files == FILES_MAX {
            return self.give_up(here, "there are too many files");
        }
        let Some(text) = (self.read)(path) else {
            return self.problem(Problem::Unreadable { file: path.to_owned(), by });
        };
        self.tree.files += 1;
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > BYTES_MAX {
            return self.give_up(here, "the files are too large");
        }
        self.sources.push(file.clone());
        let blocks = self.blocks.len();
        self.statements(&file, &text);
        self.finish();
        // A block ends in the file that opened it.
        self.blocks.truncate(blocks);
        self.sources.pop();
    }

    fn statements(&mut self, file: &Arc<str>, text: &str) {
        let mut lines = text.lines().zip(1u32..).peekable();
        while !self.over
            && let Some((first, line)) = lines.next()
        {
            let at = Site { file: file.clone(), line };
            let (head, mut open) = strip(first);
            let mut statement = Cow::Borrowed(head);
            while open && let Some((next, _)) = lines.next() {
                let (more, goes_on) = strip(next);
                statement.to_mut().push_str(more);
                open = goes_on && statement.len() <= STATEMENT_BYTES_MAX;
            }
            let statement = statement.trim();
            if statement.len() > STATEMENT_BYTES_MAX {
                self.give_up(at, "a statement is too long");
            } else if matches!(first_word(statement), "help" | "---help---") {
                let mut indent = None;
                while lines.next_if(|(text, _)| is_help(text, &mut indent)).is_some() {}
            } else if !statement.is_empty() {
                self.statement(at, statement);
            }
        }
    }

    fn statement(&mut self, at: Site, statement: &str) {
        let word = first_word(statement);
        let rest = &statement[word.len()..];
        let is_assignment = ["=", ":=", "+="].iter().any(|op| rest.trim_start().starts_with(op));
        if statement.starts_with('$') || (!word.is_empty() && is_assignment) {
            return; // Kconfig.include: `name = value`, `$(error-if,…)`
        }
        match word {
            "config" | "menuconfig" => self.define(at, statement, rest),
            "menu" | "if" | "choice" => self.open(at, statement, word, rest),
            "endmenu" | "endif" | "endchoice" => {
                self.finish();
                match self.blocks.pop_if(|block| block.end == word) {
                    Some(_) => {}
                    None => self.unreadable(at, statement),
                }
            }
            "source" => self.source(at, statement, rest),
            "comment" | "mainmenu" => self.finish(),
            _ => self.property(at, statement, word, rest),
        }
    }

    /// Ends the definition that is being read.
    fn finish(&mut self) {
        if let Current::Definition(done) = mem::replace(&mut self.current, Current::Nothing) {
            self.tree.definitions.entry(done.symbol.clone()).or_default().push(*done);
        }
    }

    fn define(&mut self, at: Site, statement: &str, name: &str) {
        self.finish();
        let Some(Atom::Symbol(symbol)) = self.parser(name).atom() else {
            return self.unreadable(at, statement);
        };
        self.definitions += 1;
        if self.definitions > DEFINITIONS_MAX {
            return self.give_up(at, "there are too many symbols");
        }
        let choice = self.blocks.iter().rev().find_map(|block| block.choice);
        if let Some(choice) = choice.and_then(|at| self.tree.choices.get_mut(at)) {
            choice.members.push(symbol.clone());
        }
        let every = |conditions: fn(&Block) -> &Vec<Arc<Condition>>| {
            self.blocks.iter().flat_map(conditions).cloned().collect::<Vec<_>>()
        };
        let depends = every(|block| &block.depends);
        let visible = every(|block| &block.visible);
        if depends.len() + visible.len() > CONDITIONS_MAX {
            return self.give_up(at, "blocks are nested too deep");
        }
        self.current = Current::Definition(Box::new(Definition {
            at,
            symbol,
            kind: None,
            depends,
            visible,
            prompt: None,
            defaults: Vec::new(),
            ranges: Vec::new(),
            choice,
        }));
    }

    fn open(&mut self, at: Site, statement: &str, word: &str, rest: &str) {
        self.finish();
        if self.blocks.len() == CONDITIONS_MAX {
            return self.give_up(at, "blocks are nested too deep");
        }
        let mut block = Block { end: "endmenu", depends: vec![], visible: vec![], choice: None };
        if word == "if" {
            block.end = "endif";
            let mut parser = self.parser(rest);
            block.depends.push(Arc::new(self.condition(&at, statement, &mut parser)));
        } else if word == "choice" {
            block.end = "endchoice";
            block.choice = Some(self.tree.choices.len());
            self.tree.choices.push(Choice { at, prompt: Prompt::default(), members: vec![] });
        }
        self.blocks.push(block);
        self.current = Current::Block;
    }

    fn source(&mut self, at: Site, statement: &str, rest: &str) {
        self.finish();
        let file = match self.tokens(rest).into_iter().next() {
            Some(Token::Text(text)) => text,
            _ => rest.trim().to_owned(),
        };
        let inside = |file: &str| {
            !file.starts_with('/') && !file.split('/').any(|part| matches!(part, "" | "." | ".."))
        };
        if file.contains('$') || !inside(&file) {
            let file = if file.is_empty() { statement.to_owned() } else { file };
            return self.problem(Problem::NotFollowed { at, file });
        }
        self.file(&file, Some(at));
    }

    /// A line that belongs to the current definition or block.
    fn property(&mut self, at: Site, statement: &str, word: &str, rest: &str) {
        let mut parser = self.parser(rest);
        match word {
            "depends" | "visible" => {
                if !parser.keyword("on") && !parser.keyword("if") {
                    return self.unreadable(at, statement);
                }
                let condition = Arc::new(self.condition(&at, statement, &mut parser));
                self.restrict(at, condition, word == "visible");
            }
            "bool" | "boolean" => self.typed(at, statement, Kind::Bool, parser),
            "tristate" => self.typed(at, statement, Kind::Tristate, parser),
            "int" => self.typed(at, statement, Kind::Int, parser),
            "hex" => self.typed(at, statement, Kind::Hex, parser),
            "string" => self.typed(at, statement, Kind::String, parser),
            "prompt" => self.prompt(at, statement, parser),
            "def_bool" => self.default(at, statement, Some(Kind::Bool), parser),
            "def_tristate" => self.default(at, statement, Some(Kind::Tristate), parser),
            "default" => self.default(at, statement, None, parser),
            "select" | "imply" => self.push(at, statement, word == "imply", parser),
            "range" => {
                let (Some(low), Some(high)) = (parser.atom(), parser.atom()) else {
                    return self.unreadable(at, statement);
                };
                let only_if = self.only_if(&at, statement, &mut parser).map(|found| found.expr);
                if let Current::Definition(definition) = &mut self.current {
                    let (text, value) = (one_line(statement), (low, high));
                    definition.ranges.push(Property { at, text, value, only_if });
                }
            }
            "optional" | "modules" | "option" | "transitional" => {}
            _ => self.unreadable(at, statement),
        }
    }

    fn restrict(&mut self, at: Site, condition: Arc<Condition>, is_visible: bool) {
        let (depends, visible) = match &mut self.current {
            Current::Nothing => return,
            Current::Definition(definition) => (&mut definition.depends, &mut definition.visible),
            Current::Block => match self.blocks.last_mut() {
                Some(block) => (&mut block.depends, &mut block.visible),
                None => return,
            },
        };
        if depends.len() + visible.len() >= CONDITIONS_MAX {
            return self.give_up(at, "a symbol depends on too much");
        }
        if is_visible { visible.push(condition) } else { depends.push(condition) }
    }

    fn typed(&mut self, at: Site, statement: &str, kind: Kind, parser: Parser) {
        if let Current::Definition(definition) = &mut self.current {
            definition.kind = definition.kind.or(Some(kind));
        }
        self.prompt(at, statement, parser);
    }

    fn prompt(&mut self, at: Site, statement: &str, mut parser: Parser) {
        if !parser.title() {
            return; // a type without a prompt
        }
        let prompt = Prompt { only_if: self.only_if(&at, statement, &mut parser) };
        match &mut self.current {
            Current::Nothing => {}
            Current::Definition(definition) => definition.prompt = Some(prompt),
            Current::Block => {
                let choice = self.blocks.last().and_then(|block| block.choice);
                if let Some(choice) = choice.and_then(|at| self.tree.choices.get_mut(at)) {
                    choice.prompt = prompt;
                }
            }
        }
    }

    fn default(&mut self, at: Site, statement: &str, kind: Option<Kind>, mut parser: Parser) {
        let value = self.condition(&at, statement, &mut parser).expr;
        let only_if = self.only_if(&at, statement, &mut parser).map(|found| found.expr);
        if let Current::Definition(definition) = &mut self.current {
            definition.kind = definition.kind.or(kind);
            definition.defaults.push(Property { at, text: one_line(statement), value, only_if });
        }
    }

    fn push(&mut self, at: Site, statement: &str, imply: bool, mut parser: Parser) {
        let Some(Atom::Symbol(target)) = parser.atom() else {
            return self.unreadable(at, statement);
        };
        let only_if = self.only_if(&at, statement, &mut parser).map(|found| found.expr);
        if let Current::Definition(definition) = &self.current {
            let by = definition.symbol.clone();
            let push = Push { at, by, only_if, text: one_line(statement), imply };
            self.tree.pushes.entry(target).or_default().push(push);
        }
    }

    /// `if EXPR`, when the statement goes on with it.
    fn only_if(&mut self, at: &Site, statement: &str, parser: &mut Parser) -> Option<Condition> {
        parser.keyword("if").then(|| self.condition(at, statement, parser))
    }

    /// The expression that is next. One that cannot be read has no known value.
    fn condition(&mut self, at: &Site, statement: &str, parser: &mut Parser) -> Condition {
        let expr = parser.expr().unwrap_or_else(|| {
            self.unreadable(at.clone(), statement);
            Expr::Atom(Atom::Macro(one_line(statement)))
        });
        // Since 6.19: `depends on FOO if BAR`.
        let expr = match statement.starts_with("depends") && parser.keyword("if") {
            true => match parser.expr() {
                Some(only_if) => Expr::Or(vec![expr, Expr::Not(Box::new(only_if))]),
                None => expr,
            },
            false => expr,
        };
        Condition { at: at.clone(), text: one_line(statement), expr }
    }

    fn tokens(&self, text: &str) -> Vec<Token> {
        let variables = self.variables;
        tokens(text, &|name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| (*value).to_owned())
        })
    }

    fn parser(&self, text: &str) -> Parser {
        Parser::new(self.tokens(text))
    }

    fn unreadable(&mut self, at: Site, statement: &str) {
        self.problem(Problem::Statement { at, text: excerpt(statement) });
    }

    fn give_up(&mut self, at: Site, what: &'static str) {
        self.over = true;
        self.problem(Problem::Limit { at, what });
    }

    fn problem(&mut self, problem: Problem) {
        if self.tree.problems.len() < PROBLEMS_MAX {
            self.tree.problems.push(problem);
        }
    }
}

/// A line without its comment, and whether the statement goes on in the next one.
fn strip(line: &str) -> (&str, bool) {
    let mut quote = None;
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        match c {
            '$' => {
                at += macro_len(&line[at..]);
                continue;
            }
            '#' if quote.is_none() => return (&line[..at], false),
            '\\' if line.len() == at + 1 => return (&line[..at], true),
            '\\' => at += line[at + 1..].chars().next().map_or(0, char::len_utf8),
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            _ => {}
        }
        at += c.len_utf8();
    }
    (line, false)
}

/// Whether a line after `help` still belongs to the text: it is blank, or indented at least as
/// deep as the text's first line.
fn is_help(line: &str, indent: &mut Option<usize>) -> bool {
    let text = line.trim_start_matches([' ', '\t']);
    if text.is_empty() {
        return true;
    }
    let column = line[..line.len() - text.len()].bytes().fold(0, |column, byte| match byte {
        b'\t' => (column & !7) + 8,
        _ => column + 1,
    });
    column > 0 && column >= *indent.get_or_insert(column)
}

fn first_word(statement: &str) -> &str {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    statement.split(|c| !is_word(c)).next().unwrap_or_default()
}

fn one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}
