//! Series that stand on one another: what `after` in their spec files makes of them.
//!
//! A series is applied on top of the one that it names, and so on down to one that names none. Two
//! cannot be made for the same tree any other way: each adds its lines to the same tables.

use super::files::{Project, Spec};
use super::near::near;
use super::yaml::InputError;
use crate::limits;
use crate::model::{Abi, KernelName, SyscallName};

/// What is applied to a kernel beside the series under test.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// What that series stands on, in the order in which it is applied.
    pub below: Vec<Spec>,
    /// What stands on it, in that order; nothing unless it was asked for.
    pub above: Vec<Spec>,
}

impl Project {
    /// The series that the one of `spec` stands on; with `whole`, also those that stand on it.
    pub fn stack(&self, kernel: &KernelName, spec: &Spec, whole: bool) -> Result<Stack, InputError> {
        let mut stack = Stack { below: self.below(kernel, spec)?, above: Vec::new() };
        if whole {
            stack.above = self.above(kernel, spec, &stack.below)?;
        }
        let line: Vec<&Spec> = stack.below.iter().chain([spec]).chain(&stack.above).collect();
        for (place, upper) in line.iter().enumerate() {
            let taken = line[..place].iter().find_map(|lower| {
                let shared =
                    |abi: &Abi| lower.number(*abi).is_some() && lower.number(*abi) == upper.number(*abi);
                Some((Abi::ALL.into_iter().find(shared)?, &lower.syscall))
            });
            if let Some((abi, lower)) = taken {
                let number = upper.number(abi).unwrap_or_default();
                let what = format!("its number by {abi} is {number}, which {lower} has, on which it stands");
                return Err(InputError::Content { path: self.spec_file(kernel, &upper.syscall), what });
            }
        }
        Ok(stack)
    }

    fn below(&self, kernel: &KernelName, spec: &Spec) -> Result<Vec<Spec>, InputError> {
        let mut below: Vec<Spec> = Vec::new();
        loop {
            let top = below.last().unwrap_or(spec);
            let Some(after) = &top.after else { break };
            let path = self.spec_file(kernel, &top.syscall);
            let wrong =
                |what: String| InputError::Yaml { path, line: after.line, column: after.column, what };
            let met = [spec]
                .into_iter()
                .chain(&below)
                .map(|met| &met.syscall)
                .position(|met| *met == after.syscall);
            if let Some(from) = met {
                let circle = [spec].into_iter().chain(&below).skip(from).map(|met| met.syscall.as_str());
                let circle: Vec<&str> = circle.chain([after.syscall.as_str()]).collect();
                return Err(wrong(format!("`after` goes round in a circle: {}", circle.join(" after "))));
            }
            if below.len() + 1 == limits::STACK_SERIES {
                return Err(wrong(format!("more than {} series stand on one another", limits::STACK_SERIES)));
            }
            let Some(next) = self.spec_if_any(kernel, &after.syscall)? else {
                let known = self.syscalls(kernel)?;
                let near = near(after.syscall.as_str(), known.iter().map(SyscallName::as_str));
                let hint = match near.is_empty() {
                    true => String::new(),
                    false => format!("; did you mean {}?", near.join(" or ")),
                };
                return Err(wrong(format!("{kernel} has no series for `{}`{hint}", after.syscall)));
            };
            below.push(next);
        }
        below.reverse();
        Ok(below)
    }

    /// Every member of the line is looked at: one kernel is to serve them all, whichever is tested.
    fn above(&self, kernel: &KernelName, spec: &Spec, below: &[Spec]) -> Result<Vec<Spec>, InputError> {
        let mut others = Vec::new();
        for syscall in self.syscalls(kernel)? {
            others.push(self.spec(kernel, &syscall)?);
        }
        let mut line: Vec<Spec> = below.iter().chain([spec]).cloned().collect();
        let mut place = 0;
        while let Some(lower) = line.get(place).map(|lower| lower.syscall.clone()) {
            let on = |other: &&Spec| other.after.as_ref().is_some_and(|after| after.syscall == lower);
            let mut on = others.iter().filter(on);
            let (first, second) = (on.next(), on.next());
            if let (Some(first), Some(second)) = (first, second)
                && let Some(after) = &second.after
            {
                return Err(InputError::Yaml {
                    path: self.spec_file(kernel, &second.syscall),
                    line: after.line,
                    column: after.column,
                    what: format!("{} stands on {lower}, too: a stack is one line", first.syscall),
                });
            }
            place += 1;
            if let Some(first) = first
                && place == line.len()
            {
                if place == limits::STACK_SERIES {
                    let what = format!("more than {place} series stand on one another");
                    return Err(InputError::Content { path: self.spec_file(kernel, &first.syscall), what });
                }
                line.push(first.clone());
            }
        }
        Ok(line.split_off(below.len() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "k";

    /// A project whose series are these, each with what it stands on; the numbers are 500 and more.
    fn project(series: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        let root = tempfile::tempdir().unwrap();
        for (number, (syscall, after)) in series.iter().enumerate() {
            let folder = root.path().join("kernels").join(KERNEL).join(syscall);
            std::fs::create_dir_all(&folder).unwrap();
            let after = if after.is_empty() { String::new() } else { format!("after: {after}\n") };
            let number = 500 + number;
            let text = format!(
                "syscall: {syscall}\nnumber: {number}\noption: CONFIG_A\nselftest: {syscall}\npatches: [a.patch]\n{after}"
            );
            std::fs::write(folder.join("spec.yaml"), text).unwrap();
            std::fs::write(folder.join("a.patch"), "").unwrap();
        }
        let project = Project::new(root.path().to_owned());
        (root, project)
    }

    /// The stack of a series, from the bottom up, its own name in brackets.
    fn stack(series: &[(&str, &str)], syscall: &str, whole: bool) -> Result<String, String> {
        let (root, project) = project(series);
        let kernel: KernelName = KERNEL.parse().unwrap();
        let spec = project.spec(&kernel, &syscall.parse().unwrap()).unwrap();
        let folder = format!("{}/kernels/{KERNEL}/", root.path().display());
        let stack =
            project.stack(&kernel, &spec, whole).map_err(|error| error.to_string().replace(&folder, ""))?;
        let names = |specs: &[Spec]| specs.iter().map(|spec| spec.syscall.to_string()).collect::<Vec<_>>();
        let line = [names(&stack.below), vec![format!("[{syscall}]")], names(&stack.above)].concat();
        Ok(line.join(" "))
    }

    #[test]
    fn a_series_brings_what_it_stands_on_and_on_demand_what_stands_on_it() {
        let line = [("d", "c"), ("a", ""), ("b", "a"), ("alone", ""), ("c", "b")];
        for (syscall, whole, expected) in [
            ("a", false, "[a]"),
            ("c", false, "a b [c]"),
            ("a", true, "[a] b c d"),
            ("b", true, "a [b] c d"),
            ("d", true, "a b c [d]"),
            ("alone", true, "[alone]"),
        ] {
            assert_eq!(stack(&line, syscall, whole).as_deref(), Ok(expected), "{syscall} {whole}");
        }
    }

    #[test]
    fn what_is_no_line_is_named_with_its_place() {
        let circle = [("a", "c"), ("b", "a"), ("c", "b"), ("below", "a"), ("self", "self")];
        let fork = [("a", ""), ("b", "a"), ("c", "a"), ("d", "c")];
        for (series, syscall, whole, expected) in [
            (
                &circle[..],
                "a",
                false,
                "b/spec.yaml:6:8: `after` goes round in a circle: a after c after b after a",
            ),
            // The circle is found by who only stands on it.
            (
                &circle,
                "below",
                false,
                "b/spec.yaml:6:8: `after` goes round in a circle: a after c after b after a",
            ),
            (&circle, "self", true, "self/spec.yaml:6:8: `after` goes round in a circle: self after self"),
            (&fork, "a", true, "c/spec.yaml:6:8: b stands on a, too: a stack is one line"),
            (&fork, "d", true, "c/spec.yaml:6:8: b stands on a, too: a stack is one line"),
            (
                &[("xyzzyat", ""), ("b", "xyzyat")],
                "b",
                false,
                "b/spec.yaml:6:8: k has no series for `xyzyat`; did you mean xyzzyat?",
            ),
        ] {
            assert_eq!(stack(series, syscall, whole), Err(expected.to_owned()), "{syscall}");
        }
        // Alone, a branch is as good as a line.
        assert_eq!(stack(&fork, "d", false).as_deref(), Ok("a c [d]"));
    }

    #[test]
    fn a_stack_is_bounded_and_its_numbers_are_distinct() {
        let name = |n: usize| if n == 0 { String::new() } else { format!("s{n}") };
        let names: Vec<(String, String)> =
            (0..=limits::STACK_SERIES).map(|n| (name(n + 1), name(n))).collect();
        let series: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let last = series.last().unwrap().0;
        for (syscall, whole) in [(last, false), ("s1", true)] {
            let error = stack(&series, syscall, whole).unwrap_err();
            assert!(error.contains("more than") && error.contains("stand on one another"), "{error}");
        }
        let (root, project) = project(&[("a", ""), ("b", "a")]);
        let path = root.path().join("kernels/k/b/spec.yaml");
        let text = std::fs::read_to_string(&path).unwrap() + "numbers: {m32: 500}\n";
        std::fs::write(&path, text).unwrap();
        let kernel: KernelName = KERNEL.parse().unwrap();
        for syscall in ["a", "b"] {
            let spec = project.spec(&kernel, &syscall.parse().unwrap()).unwrap();
            let error = project.stack(&kernel, &spec, true).unwrap_err().to_string();
            assert!(error.contains("b/spec.yaml: its number by m32 is 500, which a has"), "{error}");
        }
    }
}
