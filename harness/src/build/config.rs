//! Configuring: fragments onto allnoconfig, and proof that Kconfig kept every line of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fs_err as fs;

use super::kconfig::{self, FinalConfig, Fragment, Symbol, Value};
use super::kernel::{Bench, MAKE_VARS, make};
use super::{StageTimer, Trouble, build_failed, cached};
use crate::limits;
use crate::model::{Abi, Cause, Leg, Stage};
use crate::plan::files::{Spec, read_fragment};
use crate::process::ProcessError;
use crate::store::KeyBuilder;

use super::series::Overlay;

/// A `.config` that holds all that was asked for.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The text, as Kconfig wrote it.
    pub text: String,
    /// What was asked for, as it was merged.
    pub requested: String,
    /// The ABIs whose option Kconfig dropped, and its words: their column is missed, and the
    /// others can still be run.
    pub lost: BTreeMap<Abi, String>,
}

impl Configured {
    /// Whether an option (named without `CONFIG_`) is on.
    pub fn is_on(&self, symbol: &str) -> bool {
        let line = format!("CONFIG_{symbol}=y");
        self.text.lines().any(|have| have == line)
    }
}

/// The fragments of a leg: the kernel's, the selftest's own `config`, and the leg's switch.
pub fn fragments(
    bench: &Bench<'_>,
    spec: &Spec,
    leg: Leg,
    series: &Overlay,
) -> Result<Vec<Fragment>, Trouble> {
    let dropped = |detail: String| Trouble::from(Cause::ConfigDropped { detail });
    let mut fragments = Vec::new();
    for path in &bench.kernel.fragments {
        let text = read_fragment(path).map_err(|error| dropped(error.to_string()))?;
        let name = format!("configs/{}", path.file_name().unwrap_or_default().to_string_lossy());
        fragments.push(Fragment::parse(&name, &text).map_err(|error| dropped(error.to_string()))?);
    }
    let option = Symbol::new(spec.option.symbol()).map_err(|error| dropped(error.to_string()))?;
    // The same in every leg: a control differs from the patched kernel in the option alone.
    let own = format!("tools/testing/selftests/{}/config", spec.selftest);
    if let Some(text) = series.read(&bench.pristine, &own) {
        let mut fragment = Fragment::parse(&own, &text).map_err(|error| dropped(error.to_string()))?;
        if leg != Leg::Patched {
            fragment.remove(&option);
        }
        if leg == Leg::Unpatched {
            for symbol in defined_by(bench, series) {
                if let Ok(symbol) = Symbol::new(&symbol) {
                    fragment.remove(&symbol);
                }
            }
        }
        fragments.push(fragment);
    }
    let switch = match leg {
        Leg::Patched => Some(Value::Yes),
        Leg::ConfigOff => Some(Value::No),
        Leg::Unpatched => None,
    };
    if let Some(value) = switch {
        fragments.push(Fragment::made(&format!("the leg {leg}"), [(option, value)]));
    }
    Ok(fragments)
}

/// The symbols that only the series defines.
fn defined_by(bench: &Bench<'_>, series: &Overlay) -> BTreeSet<String> {
    let symbols = |text: &str| -> BTreeSet<String> {
        let name = |line: &str| {
            let line = line.trim_start();
            line.strip_prefix("config ")
                .or_else(|| line.strip_prefix("menuconfig "))
                .map(|n| n.trim().to_owned())
        };
        text.lines().filter_map(name).collect()
    };
    let mut found = BTreeSet::new();
    for (path, _) in series.files().filter(|(path, _)| path.contains("Kconfig")) {
        let after = symbols(&series.read(&bench.pristine, path).unwrap_or_default());
        let before = symbols(&bench.pristine.read(path).unwrap_or_default());
        found.extend(after.difference(&before).cloned());
    }
    found
}

/// Merges the fragments, lets Kconfig make a `.config` of them, and checks that it kept each line.
pub async fn configure(
    bench: &mut Bench<'_>,
    what: &str,
    overlay: &Overlay,
    fragments: &[Fragment],
) -> Result<Configured, Trouble> {
    let shop = bench.shop;
    let dropped = |detail: String| Trouble::from(Cause::ConfigDropped { detail });
    let merged = kconfig::merge(fragments).map_err(|error| dropped(error.to_string()))?;
    let requested = merged.render();
    let key = KeyBuilder::new("config")
        .input("source", bench.pristine.id.as_str())
        .input("series", overlay.identity())
        .input("requested", &requested)
        .input("compiler", &shop.compiler)
        .input("make variables", MAKE_VARS.join(" "))
        .finish();
    let read = |path: PathBuf| -> Result<Configured, Trouble> {
        let text = fs::read_to_string(path.join("config"))?;
        let lost = fs::read(path.join("lost"))?;
        let lost = serde_json::from_slice(&lost).map_err(std::io::Error::from)?;
        Ok(Configured { text, requested: requested.clone(), lost })
    };
    let find = || shop.store.find(shop.ctx, "config", &key);
    if let Some(entry) = find()? {
        cached(&shop.ctx.events, Stage::Configure, what);
        return read(entry.path);
    }
    let tree = bench.tree(overlay).await?;
    if let Some(entry) = find()? {
        cached(&shop.ctx.events, Stage::Configure, what);
        return read(entry.path);
    }
    let _quiet = shop.quiet().await;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Configure, what);
    let scratch = shop.store.scratch("config-")?;
    let request = scratch.path().join("requested");
    fs::write(&request, &requested)?;
    let log = shop.log(&format!("{what}.configure"));
    let mut allconfig = std::ffi::OsString::from("KCONFIG_ALLCONFIG=");
    allconfig.push(&request);
    let mut command = make(shop, tree).arg(allconfig).arg("allnoconfig");
    command = command.deadline(limits::CONFIGURE_DEADLINE);
    let unfinished = tree.begin()?;
    let output = command.output(shop.ctx).await;
    if matches!(output, Ok(_) | Err(ProcessError::Failed { .. })) {
        unfinished.done()?;
    }
    timer.end(output.is_ok());
    let output = match output {
        Ok(output) => output,
        Err(ProcessError::Failed { status, stderr, .. }) => {
            fs::write(&log, &stderr)?;
            return Err(build_failed("the configuration", &status, &stderr, &log).into());
        }
        Err(other) => return Err(other.into()),
    };
    fs::write(&log, [output.stdout, output.stderr.into_bytes()].concat())?;
    let text = fs::read_to_string(tree.obj.join(".config"))?;
    let config = FinalConfig::parse(&text).map_err(|error| dropped(error.to_string()))?;
    let mut wrong = kconfig::check(&merged, &config);
    if !wrong.is_empty() {
        let read = |path: &str| overlay.read(&bench.pristine, path);
        kconfig::Tree::read(&kconfig::Tree::X86, read).explain_all(&mut wrong, &config);
    }
    let mut lost = BTreeMap::new();
    for abi in Abi::ALL {
        let of_abi = |dropped: &kconfig::Dropped| Some(dropped.symbol.as_str()) == abi.kernel_option();
        lost.extend(
            wrong.extract_if(.., |dropped| of_abi(dropped)).map(|dropped| (abi, dropped.to_string())),
        );
    }
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        return Err(dropped(lines.join("\n")));
    }
    let made = shop.store.scratch("config-")?;
    fs::write(made.path().join("lost"), serde_json::to_vec(&lost).map_err(std::io::Error::from)?)?;
    fs::write(made.path().join("config"), &text)?;
    let entry = shop.store.publish("config", &key, made)?;
    read(entry.path)
}
