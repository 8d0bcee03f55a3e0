//! Where the ABIs disagree, or the transports. Pure.

use std::collections::{BTreeMap, HashMap};

use super::contract;
use crate::broken::broken;
use crate::model::{Abi, CaseResult, Cause, Verdict};

/// One case on which the ABIs do not agree, or whoever else reports the same cases.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Divergence<By: Ord = Abi> {
    /// The case.
    pub case: String,
    /// What each ABI said of it: verdict and message; `None` where the case did not appear.
    pub said: BTreeMap<By, Option<(Verdict, Option<String>)>>,
}

/// Compares the cases of one kernel and leg across the ABIs that ran. A case agrees when each ABI
/// has it with the same verdict; what it prints beside that may name an address or a size.
///
/// A name that comes again is another case each time. One that not every ABI has may have a number
/// of its process in it: at the same place in all reports, names that differ in their numbers alone
/// are one case, shown by the first ABI's.
///
/// A contract's case agrees when what the call returned is the same. An ABI that cannot express it
/// has no part in it; that none vanished was seen when the cell was judged.
pub fn divergences<By: Ord + Copy>(cells: &BTreeMap<By, &[CaseResult]>) -> Vec<Divergence<By>> {
    let mut rows: Vec<(String, BTreeMap<By, &CaseResult>)> = Vec::new();
    let mut places: HashMap<(&str, usize), usize> = HashMap::new();
    for (&abi, cases) in cells {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for case in *cases {
            let nth = times.entry(&case.name).or_default();
            *nth += 1;
            let row = *places.entry((&case.name, *nth)).or_insert_with(|| {
                rows.push((case.name.clone(), BTreeMap::new()));
                rows.len() - 1
            });
            rows[row].1.insert(abi, case);
        }
    }
    join_numbered(&mut rows, cells);
    let mut found = Vec::new();
    for (case, row) in rows {
        let of_contract = contract::is_case(&case);
        let asked = || cells.keys().filter(|abi| !of_contract || row.contains_key(abi));
        let said = |abi: &By| {
            let case = row.get(abi)?;
            let returned = contract::returned(case.message.as_deref()).filter(|_| of_contract);
            Some((case.verdict, returned))
        };
        let mut all = asked().map(said);
        let first = all.next().flatten();
        if all.any(|one| one != first) {
            let said = |abi: &By| row.get(abi).map(|case| (case.verdict, case.message.clone()));
            found.push(Divergence { case, said: asked().map(|abi| (*abi, said(abi))).collect() });
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

/// Makes one of the rows that stand at the same place in every report and differ in numbers alone.
fn join_numbered<By: Ord>(
    rows: &mut Vec<(String, BTreeMap<By, &CaseResult>)>,
    cells: &BTreeMap<By, &[CaseResult]>,
) {
    let place = |abi: &By, case: &CaseResult| cells[abi].iter().position(|other| std::ptr::eq(other, case));
    let is_numbered =
        |name: &str, row: &BTreeMap<By, &CaseResult>| row.len() < cells.len() && !contract::is_case(name);
    let mut first: HashMap<(Option<usize>, String), usize> = HashMap::new();
    let mut kept: Vec<(String, BTreeMap<By, &CaseResult>)> = Vec::new();
    for (name, row) in rows.drain(..) {
        // Who is not in every report may have its like in the others; a contract's case knows its name.
        let mut places =
            row.iter().map(|(abi, case)| place(abi, case)).take_while(|_| is_numbered(&name, &row));
        if let Some(at) = places.next()
            && places.all(|other| other == at)
        {
            let key = (at, without_numbers(&name));
            let known = first.get(&key).map(|&known| &mut kept[known].1);
            if let Some(like) = known.filter(|like| row.keys().all(|abi| !like.contains_key(abi))) {
                like.extend(row);
                continue;
            }
            first.insert(key, kept.len());
        }
        kept.push((name, row));
    }
    *rows = kept;
}

fn without_numbers(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
    }
    out
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
        let Some(Cause::AbisDiffer { cases: 1, first }) = in_value(&cells) else {
            panic!("{:?}", in_value(&cells))
        };
        assert_eq!(first, "contract/b: m64 returned -22 (EINVAL), m32 returned -14 (EFAULT)");
        assert_eq!(in_value(&BTreeMap::from([(Abi::M64, &m64[..])])), None);
    }

    #[test]
    fn a_number_that_differs_at_the_same_place_is_no_divergence() {
        let m64 = [case("open /proc/117/exe", Verdict::Pass), case("b", Verdict::Pass)];
        let m32 = [case("open /proc/9/exe", Verdict::Pass), case("b", Verdict::Pass)];
        let compare = |m64: &[CaseResult], m32: &[CaseResult]| {
            divergences(&BTreeMap::from([(Abi::M64, m64), (Abi::M32, m32)]))
        };
        assert_eq!(compare(&m64, &m32), []);
        let worse = [case("open /proc/9/exe", Verdict::Fail), case("b", Verdict::Pass)];
        let found = compare(&m64, &worse);
        assert_eq!((found.len(), found[0].case.as_str()), (1, "open /proc/117/exe"));
        assert_eq!(found[0].said[&Abi::M32].as_ref().unwrap().0, Verdict::Fail);
        // Whoever has the same number by chance.
        let three = BTreeMap::from([(Abi::M64, &m64[..]), (Abi::M32, &m32[..]), (Abi::Mx32, &m64[..])]);
        assert_eq!(divergences(&three), []);
        // Elsewhere it is another case, and so is one that both have.
        let moved = [case("b", Verdict::Pass), case("open /proc/9/exe", Verdict::Pass)];
        assert_eq!(compare(&m64, &moved).len(), 2);
        let (five, six) =
            ([case("test 5", Verdict::Pass)], [case("test 5", Verdict::Pass), case("test 6", Verdict::Fail)]);
        assert_eq!(compare(&five, &six)[0].case, "test 6");
    }

    #[test]
    fn a_name_that_comes_again_is_another_case() {
        let good = [case("a", Verdict::Pass), case("a", Verdict::Pass)];
        let bad = [case("a", Verdict::Pass), case("a", Verdict::Fail)];
        let found = divergences(&BTreeMap::from([(Abi::M64, &good[..]), (Abi::M32, &bad[..])]));
        assert_eq!(found.len(), 1);
    }
}
