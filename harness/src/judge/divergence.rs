//! Where the ABIs disagree. Pure.

use std::collections::BTreeMap;

use crate::model::{Abi, CaseResult, Verdict};

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
        for (&abi, cases) in cells {
            let case = cases.iter().find(|case| case.name == name);
            said.insert(abi, case.map(|case| (case.verdict, case.message.clone())));
        }
        let mut verdicts = said.values().map(|said| said.as_ref().map(|said| said.0));
        let first = verdicts.next().flatten();
        if verdicts.any(|verdict| verdict != first) {
            found.push(Divergence { case: name.to_owned(), said });
        }
    }
    found
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
}
