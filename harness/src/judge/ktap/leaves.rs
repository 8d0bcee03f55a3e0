//! The cases that carry a result of their own, named and counted.

use std::borrow::Cow;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use serde::Serialize;

use super::{Case, Report, Status};

/// A case without subtests, or a parent whose own status its subtests do not explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The names from the outermost case down, joined by `/`, made unique by ` (2)`, ` (3)` ….
    /// A case without a name is called `case N` by its place in the list.
    pub name: String,
    /// The case.
    pub case: &'a Case,
}

/// Leaves per status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "one field per status; Status documents them")]
pub struct Counts {
    pub ok: usize,
    pub not_ok: usize,
    pub skip: usize,
    pub todo: usize,
    pub xfail: usize,
    pub xpass: usize,
    pub timeout: usize,
    pub error: usize,
    pub missing: usize,
}

impl Counts {
    /// All leaves.
    pub fn total(&self) -> usize {
        self.ok + self.skip + self.todo + self.xfail + self.bad()
    }

    /// The leaves for which [`Status::is_bad`] holds.
    pub fn bad(&self) -> usize {
        self.not_ok + self.xpass + self.timeout + self.error + self.missing
    }

    pub(super) fn add(&mut self, status: Status) {
        let field = match status {
            Status::Ok => &mut self.ok,
            Status::NotOk => &mut self.not_ok,
            Status::Skip => &mut self.skip,
            Status::Todo => &mut self.todo,
            Status::Xfail => &mut self.xfail,
            Status::Xpass => &mut self.xpass,
            Status::Timeout => &mut self.timeout,
            Status::Error => &mut self.error,
            Status::Missing => &mut self.missing,
        };
        *field += 1;
    }
}

impl Case {
    pub(super) fn any(&self, of: &impl Fn(Status) -> bool) -> bool {
        self.cases.iter().any(|case| of(case.status) || case.any(of))
    }
}

impl Report {
    /// The cases that carry a result of their own, flattened. A parent is among them, after its
    /// subtests, only if its status is not `ok` and none of them accounts for it: a program whose
    /// cases all pass and which then dies has failed.
    pub fn leaves(&self) -> std::vec::IntoIter<Leaf<'_>> {
        let mut leaves = Vec::new();
        flatten(&self.cases, "", &mut leaves);
        make_unique(&mut leaves);
        leaves.into_iter()
    }

    /// The leaves, counted by status.
    pub fn counts(&self) -> Counts {
        let mut leaves = Vec::new();
        flatten(&self.cases, "", &mut leaves);
        let mut counts = Counts::default();
        for leaf in leaves {
            counts.add(leaf.case.status);
        }
        counts
    }
}

fn flatten<'a>(cases: &'a [Case], path: &str, leaves: &mut Vec<Leaf<'a>>) {
    for (at, case) in cases.iter().enumerate() {
        let own = match case.name.as_str() {
            "" => Cow::Owned(format!("case {}", at + 1)),
            name => Cow::Borrowed(name),
        };
        let name = if path.is_empty() { own.into_owned() } else { format!("{path}/{own}") };
        flatten(&case.cases, &name, leaves);
        let status = case.status;
        let explained = case.any(&|of| of == status || (status.is_bad() && of.is_bad()));
        if case.cases.is_empty() || (status != Status::Ok && !explained) {
            leaves.push(Leaf { name, case });
        }
    }
}

fn make_unique(leaves: &mut [Leaf<'_>]) {
    // Names that stand in the output win over names that are made here.
    let taken: HashSet<String> = leaves.iter().map(|leaf| leaf.name.clone()).collect();
    let mut next: HashMap<String, u64> = HashMap::new();
    for leaf in leaves {
        match next.entry(leaf.name.clone()) {
            Entry::Vacant(first) => {
                first.insert(2);
            }
            Entry::Occupied(mut again) => loop {
                let name = format!("{} ({})", leaf.name, again.get());
                *again.get_mut() += 1;
                if !taken.contains(&name) {
                    leaf.name = name;
                    break;
                }
            },
        }
    }
}
