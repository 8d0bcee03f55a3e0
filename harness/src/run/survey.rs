//! What trees say before the plan is made, and whether a spec file agrees with them.
//!
//! A kernel without a spec file is unpacked (a user's tree is copied), its series applied, and what
//! it says of the syscall read from it. A user's tree is read once: the run takes what was read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::RunError;
use crate::build::series::{self, Overlay, Patched};
use crate::build::snapshot;
use crate::build::source::{self, Pristine};
use crate::build::{Trouble, Workshop};
use crate::model::{KernelName, SyscallName};
use crate::plan::derive::{self, TreeFiles};
use crate::plan::files::{Source, Spec};
use crate::plan::host::Host;
use crate::plan::target::{Found, Target, Targets};
use crate::process::Ctx;
use crate::store::{Hash, Store};

/// The trees that were read for a plan.
pub type Looked = BTreeMap<KernelName, Pristine>;

/// Looks at the trees that the plan needs to know, and writes what they say into `targets`.
pub async fn survey(ctx: &Ctx, store: &Store, host: &Host, targets: &mut Targets) -> Result<Looked, Trouble> {
    let shop = Workshop {
        ctx,
        store,
        compiler: host.compiler.as_ref().map(|c| c.version.clone()).unwrap_or_default(),
        libraries: BTreeMap::new(),
        ccache: false,
        make_jobs: host.cpus,
        logs: PathBuf::new(),
        machine: Rc::new(Semaphore::new(1)),
        guests: 1,
    };
    let mut looked = Looked::new();
    for target in &mut targets.kernels {
        if target.needs_look() {
            let pristine = look(&shop, &targets.syscall, target).await?;
            looked.insert(target.kernel.name.clone(), pristine);
        }
    }
    Ok(looked)
}

async fn look(shop: &Workshop<'_>, syscall: &SyscallName, target: &mut Target) -> Result<Pristine, Trouble> {
    let mut ends = None;
    if let (Some(range), Some(tree)) = (&target.range, &target.tree) {
        let range = snapshot::range(shop, tree, range).await?;
        let repository = tree.display().to_string();
        target.kernel.source = Source::Git { repository, revision: range.base };
        target.patches = range.patches;
        target.notes.extend(range.notes);
        ends = Some(Arc::new(range.state));
    }
    let mut pristine = source::pristine(shop, &target.kernel).await?;
    // What is tested is the last commit, and the source alone is the one below the first.
    pristine.tree = ends.or(pristine.tree);
    let name = target.kernel.name.as_str();
    let series = match &target.patches[..] {
        [] => Overlay::none(),
        patches => series::apply(shop, name, &pristine, patches).await?,
    };
    let patched = Patched { pristine: &pristine, series: &series };
    let none = Overlay::none();
    let in_base = target.patches.is_empty()
        || derive::derive(syscall, &Patched { pristine: &pristine, series: &none }).is_ok();
    target.found = Some(Found { derived: derive::derive(syscall, &patched), in_base });
    Ok(pristine)
}

/// Holds what a spec file says against its tree, the series applied. Once is enough for the same of
/// both: looking through a tree takes longer than all else of a warm run.
pub(super) fn check(
    shop: &Workshop<'_>,
    kernel: &KernelName,
    spec: &Spec,
    pristine: &Pristine,
    series: &Overlay,
) -> Result<(), RunError> {
    let asked =
        format!("spec agrees:{}:{:?}:{}:{}", env!("CARGO_PKG_VERSION"), spec, pristine.id, series.identity());
    let asked = Hash::of(asked.as_bytes());
    if shop.store.fact(&asked).is_some() {
        return Ok(());
    }
    let tree: &dyn TreeFiles = &Patched { pristine, series };
    if let Ok(derived) = derive::derive(&spec.syscall, tree) {
        let found = derive::check(spec, &derived, tree);
        if !found.is_empty() {
            let kernel = kernel.clone();
            let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
            return Err(RunError::Contradiction { kernel, what: lines.join("\n  ") });
        }
    }
    // A fact that is not written down is found out again.
    let _ = shop.store.remember(&asked, "yes");
    Ok(())
}
