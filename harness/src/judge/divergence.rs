//! Where the ABIs disagree. Pure.

use std::collections::BTreeMap;

use super::contract;
use crate::broken::broken;
use crate::model::{Abi, CaseResult, Cause, Verdict};

/// One case on which the ABIs do not agree.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Divergence {
    /// The case.
    pub case: String,
    /// What each ABI said of it: verdict and message; `None` where the case did not appear.
    pub said: BTreeMap<Abi, Option<(Verdict, Option<String>)>>,
}

/// Compares the cases of one kernel and leg across the ABIs that ran. A case agrees when each ABI
/// has it with the same verdict; what it prints beside that may name an address or a size.
///
/// A contract's case agrees when what the call returned is the same. An ABI that cannot express it
/// has no part in it; that one did not vanish was seen when the cell was judged.
pub fn divergences(cells: &BTreeMap<Abi, &[CaseResult]>) -> Vec<Divergence> {
    let mut names: Vec<&str> = Vec::new();
    for cases in cells.values() {
        for case in *cases {
            if !names.contains(&case.name.as_str()) {
                names.push(&case.name);
            }
        }
    }
    let mut found = Vec::new();
    for name in names {
        let mut said = BTreeMap::new();
        let of_contract = contract::is_case(name);
        for (&abi, cases) in cells {
            let case = cases.iter().find(|case| case.name == name);
            if of_contract && case.is_none() {
                continue;
            }
            said.insert(abi, case.map(|case| (case.verdict, case.message.clone())));
        }
        let value = |message: &Option<String>| match of_contract {
            true => contract::returned(message.as_deref()).map(str::to_owned),
            false => None,
        };
        let mut all = said.values().map(|said| said.as_ref().map(|(verdict, text)| (verdict, value(text))));
        let first = all.next().flatten();
        if all.any(|one| one != first) {
            found.push(Divergence { case: name.to_owned(), said });
        }
    }
    found
}

/// The contract's cases in which the ABIs gave different answers and each passed, as a cause.
pub fn in_value(cells: &BTreeMap<Abi, &[CaseResult]>) -> Option<Cause> {
    let passed = |said: &Option<(Verdict, Option<String>)>| matches!(said, Some((Verdict::Pass, _)));
    let mut found = divergences(cells);
    found.retain(|found| contract::is_case(&found.case) && found.said.values().all(passed));
    let first = found.first().filter(|_| !broken("value-divergence"))?;
    let said = first.said.iter().map(|(abi, said)| {
        let message = said.as_ref().and_then(|(_, message)| message.as_deref());
        format!("{abi} {}", contract::returned(message).unwrap_or("said nothing"))
    });
    let first = format!("{}: {}", first.case, said.collect::<Vec<_>>().join(", "));
    Some(Cause::AbisDiffer { cases: found.len() as u64, first })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, verdict: Verdict) -> CaseResult {
        CaseResult { name: name.to_owned(), verdict, message: Some(format!("{name} {verdict}")) }
    }

    #[test]
    fn only_what_differs_in_verdict_or_presence_is_a_divergence() {
        let m64 = [case("a", Verdict::Pass), case("b", Verdict::Pass), case("c", Verdict::Pass)];
        let m32 = [case("a", Verdict::Pass), case("b", Verdict::Fail)];
        let cells = BTreeMap::from([(Abi::M64, &m64[..]), (Abi::M32, &m32[..])]);
        let found = divergences(&cells);
        assert_eq!(found.iter().map(|d| d.case.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(found[0].said[&Abi::M32], Some((Verdict::Fail, Some("b fail".to_owned()))));
        assert_eq!(found[1].said[&Abi::M32], None);
        assert!(divergences(&BTreeMap::from([(Abi::M64, &m64[..])])).is_empty());
    }

    #[test]
    fn a_contracts_answers_are_compared_where_an_abi_can_ask() {
        let case = |name: &str, message: &str| CaseResult {
            name: format!("contract/{name}"),
            verdict: Verdict::Pass,
            message: Some(message.to_owned()),
        };
        let m64 = [case("a", "returned 3"), case("b", "returned -22 (EINVAL)"), case("c", "returned 0")];
        let m32 = [case("a", "returned 3"), case("b", "returned -14 (EFAULT)")];
        let cells = BTreeMap::from([(Abi::M64, &m64[..]), (Abi::M32, &m32[..])]);
        let found = divergences(&cells);
        assert_eq!(found.iter().map(|d| d.case.as_str()).collect::<Vec<_>>(), ["contract/b"]);
        let Some(Cause::AbisDiffer { cases: 1, first }) = in_value(&cells) else { panic!("{:?}", in_value(&cells)) };
        assert_eq!(first, "contract/b: m64 returned -22 (EINVAL), m32 returned -14 (EFAULT)");
        assert_eq!(in_value(&BTreeMap::from([(Abi::M64, &m64[..])])), None);
    }
}
