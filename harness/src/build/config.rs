//! Configuring: fragments onto allnoconfig, and proof that Kconfig kept every line of them.

mod request;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::kconfig::depends::Reason;
use super::kconfig::{self, FinalConfig, Fragment};
use super::kernel::{Bench, make, toolchain};
use super::series::Overlay;
use super::tree::{WorkTree, ended_by_itself};
use super::{StageTimer, Trouble, Workshop, build_failed, cached};
use crate::limits;
use crate::model::{Abi, Cause, Stage};
use crate::plan::files::Kernel;
use crate::plan::recipe::{BaseConfig, Recipe};
use crate::process::ProcessError;
use crate::store::KeyBuilder;
pub use request::{Request, asked};

/// A `.config` that holds all that was asked for.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The text, as Kconfig wrote it.
    pub text: String,
    /// What was asked for, as it was merged.
    pub requested: String,
    /// The ABIs whose option is not on in the end, and why: their column is missed, and the others
    /// can still be run.
    pub lost: BTreeMap<Abi, String>,
    /// Lines of our own fragments whose symbol a user's tree does not define, in words.
    pub left_out: Vec<String>,
    /// What of the wishes Kconfig did not keep, and why.
    pub dropped: Vec<DroppedWish>,
}

/// A line that was wished for and that Kconfig did not keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedWish {
    /// The fragment that asks for it.
    pub fragment: String,
    /// The option, with `CONFIG_`.
    pub option: String,
    /// What became of it and why, in Kconfig's own words.
    pub text: String,
}

impl Configured {
    /// Whether an option (named without `CONFIG_`) is on.
    pub fn is_on(&self, symbol: &str) -> bool {
        let line = format!("CONFIG_{symbol}=y");
        self.text.lines().any(|have| have == line)
    }

    /// Whoever has a say in the configuration may turn an ABI off, and Kconfig keeps that: what is asked
    /// of it does not tell, and what came out does.
    fn lose_what_is_off(&mut self, fragments: &[Fragment], command_line: &[String]) {
        // Kconfig does not know one of an option's two names.
        let is_on = |abi: &Abi| abi.kernel_options().iter().any(|option| self.is_on(option));
        let on: Vec<Abi> = Abi::ALL.into_iter().filter(is_on).collect();
        self.lost.retain(|abi, _| !on.contains(abi));
        for abi in Abi::ALL {
            let options = abi.kernel_options();
            let Some(option) = options.first().filter(|_| !self.lost.contains_key(&abi)) else { continue };
            let opened = command_line.iter().filter_map(|word| abi.opened_by(word)).next_back();
            let closed = abi.closing_option().filter(|closing| self.is_on(closing) && opened.is_none());
            let why = match closed {
                _ if !options.iter().any(|option| self.is_on(option)) => {
                    format!("CONFIG_{option} is not on in its .config: {}", who_asked(options, fragments))
                }
                Some(closing) => format!("CONFIG_{closing}=y in its .config turns it off at boot"),
                None => continue,
            };
            self.lost.insert(abi, why);
        }
    }
}

/// The last word on one of these options.
fn who_asked(options: &[&str], fragments: &[Fragment]) -> String {
    let mut lines = fragments.iter().flat_map(|of| of.entries.iter().map(move |entry| (of, entry)));
    let last = lines.rfind(|(_, entry)| options.contains(&entry.symbol.as_str()));
    last.map_or("nobody asks for it".to_owned(), |(fragment, entry)| {
        let line = entry.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line} has {}={}", fragment.name, entry.symbol, entry.value)
    })
}

/// A list beside a configuration; one that is not there is empty.
fn read_list<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, Trouble> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&fs::read(path)?).map_err(std::io::Error::from)?)
}

/// Writes such a list, if there is anything in it.
fn write_list<T: Serialize>(path: &Path, list: &[T]) -> Result<(), Trouble> {
    if list.is_empty() {
        return Ok(());
    }
    Ok(fs::write(path, serde_json::to_vec(list).map_err(std::io::Error::from)?)?)
}

/// Merges the fragments, lets Kconfig make a `.config` of them, and checks that it kept each line. What it
/// does not keep of the wishes is told in [`Configured::dropped`]; what the fragments decide, a wish does not
/// change.
pub async fn configure(
    bench: &mut Bench<'_>,
    what: &str,
    overlay: &Overlay,
    Request { fragments, wishes, .. }: &Request,
) -> Result<Configured, Trouble> {
    let (shop, kernel) = (bench.shop, bench.kernel);
    let recipe = &kernel.recipe;
    let dropped = |detail: String| Trouble::from(Cause::ConfigDropped { detail });
    let mut merged = kconfig::merge(fragments).map_err(|error| dropped(error.to_string()))?;
    merged.wish(wishes);
    let requested = merged.render();
    let (compiler, vars) = toolchain(shop, recipe);
    let mut key = KeyBuilder::new("config")
        .input("source", bench.pristine.id.as_str())
        .input("series", overlay.identity())
        .input("requested", &requested)
        .input("compiler", compiler)
        .input("make variables", vars);
    match &recipe.base {
        BaseConfig::AllNo => {}
        BaseConfig::Defconfig | BaseConfig::KvmGuest => key = key.input("base", recipe.base.to_string()),
        BaseConfig::File { text, .. } => key = key.input("base", text),
    }
    if kernel.is_users {
        // What is left out there is an error elsewhere.
        key = key.input("unknown symbols", "left out");
    }
    let wished = wishes.iter().map(|wish| wish.name.as_str()).collect::<Vec<_>>();
    if !wishes.is_empty() {
        key = key.input("wishes", wished.join(" "));
    }
    let key = key.finish();
    let read = |path: PathBuf| -> Result<Configured, Trouble> {
        let text = fs::read_to_string(path.join("config"))?;
        let lost = serde_json::from_slice(&fs::read(path.join("lost"))?).map_err(std::io::Error::from)?;
        let (left_out, dropped) = (read_list(&path.join("left-out"))?, read_list(&path.join("dropped"))?);
        let mut made = Configured { text, requested: requested.clone(), lost, left_out, dropped };
        made.lose_what_is_off(fragments, &kernel.command_line);
        Ok(made)
    };
    let find = || match recipe.build_folder {
        None => shop.store.find(shop.ctx, "config", &key),
        Some(_) => Ok(None),
    };
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
    let log = shop.log(&format!("{what}.configure"));
    let unfinished = tree.begin()?;
    let output = run_kconfig(shop, recipe, tree, &requested, scratch.path()).await;
    if ended_by_itself(&output) {
        unfinished.done()?;
    }
    timer.end(output.is_ok());
    let said = match output {
        Ok(said) => said,
        Err(ProcessError::Failed { status, stderr, .. }) => {
            fs::write(&log, &stderr)?;
            return Err(build_failed("the configuration", &status, &stderr, &log).into());
        }
        Err(other) => return Err(other.into()),
    };
    fs::write(&log, said)?;
    let text = fs::read_to_string(tree.obj.join(".config"))?;
    let config = FinalConfig::parse(&text).map_err(|error| dropped(error.to_string()))?;
    let mut wrong = kconfig::check(&merged, &config);
    if !wrong.is_empty() {
        let read = |path: &str| overlay.read(&bench.pristine, path);
        kconfig::Tree::read(&kconfig::Tree::X86, read).explain_all(&mut wrong, &config);
    }
    let left_out: Vec<String> = match kernel.is_users {
        true => wrong.extract_if(.., |dropped| is_unknown(kernel, dropped)).map(|d| request(&d)).collect(),
        false => Vec::new(),
    };
    let mut lost = BTreeMap::new();
    for abi in Abi::ALL {
        let of_abi = |dropped: &kconfig::Dropped| abi.kernel_options().contains(&dropped.symbol.as_str());
        lost.extend(
            wrong.extract_if(.., |dropped| of_abi(dropped)).map(|dropped| (abi, dropped.to_string())),
        );
    }
    let is_wish = |line: &mut kconfig::Dropped| wished.contains(&line.origin.fragment.as_str());
    let not_kept: Vec<DroppedWish> = wrong
        .extract_if(.., is_wish)
        .map(|line| DroppedWish {
            fragment: line.origin.fragment.clone(),
            option: line.symbol.to_string(),
            text: line.to_string(),
        })
        .collect();
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        return Err(dropped(lines.join("\n")));
    }
    let made = shop.store.scratch("config-")?;
    fs::write(made.path().join("lost"), serde_json::to_vec(&lost).map_err(std::io::Error::from)?)?;
    write_list(&made.path().join("left-out"), &left_out)?;
    write_list(&made.path().join("dropped"), &not_kept)?;
    fs::write(made.path().join("config"), &text)?;
    let entry = shop.store.publish("config", &key, made)?;
    read(entry.path)
}

/// Makes the work tree's `.config`, and returns what was said on the way.
async fn run_kconfig(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    tree: &WorkTree,
    requested: &str,
    scratch: &Path,
) -> Result<Vec<u8>, ProcessError> {
    let io = |source| ProcessError::Io { argv: "make".to_owned(), source };
    let mut said = Vec::new();
    let mut run = async |args: &[OsString]| {
        let command = make(shop, recipe, tree).args(args).deadline(limits::CONFIGURE_DEADLINE);
        let output = command.output(shop.ctx).await?;
        said.extend(output.stdout);
        said.extend(output.stderr.into_bytes());
        Ok::<_, ProcessError>(())
    };
    let config = tree.obj.join(".config");
    match &recipe.base {
        BaseConfig::AllNo => {
            let request = scratch.join("requested");
            fs::write(&request, requested).map_err(io)?;
            let mut allconfig = OsString::from("KCONFIG_ALLCONFIG=");
            allconfig.push(&request);
            run(&[allconfig, "allnoconfig".into()]).await?;
            return Ok(said);
        }
        BaseConfig::Defconfig => run(&["defconfig".into()]).await?,
        BaseConfig::KvmGuest => {
            // One after the other: with two such goals make runs itself for each.
            run(&["defconfig".into()]).await?;
            run(&["kvm_guest.config".into()]).await?;
        }
        BaseConfig::File { text, .. } => fs::write(&config, text).map_err(io)?,
    }
    // Of two lines for one symbol, Kconfig takes the last.
    let base = fs::read_to_string(&config).map_err(io)?;
    fs::write(&config, format!("{base}\n{requested}")).map_err(io)?;
    run(&["olddefconfig".into()]).await?;
    Ok(said)
}

/// A line of a fragment, with its place.
fn request(dropped: &kconfig::Dropped) -> String {
    format!("{}: {}={}", dropped.origin, dropped.symbol, dropped.wanted)
}

/// Whether a line of ours asks for what this tree does not define at all.
fn is_unknown(kernel: &Kernel, dropped: &kconfig::Dropped) -> bool {
    let ours = kernel.fragments.iter().filter_map(|path| path.file_name()?.to_str());
    let ours = ours.map(|name| format!("configs/{name}")).any(|name| name == dropped.origin.fragment);
    ours && matches!(dropped.reason, Some(Reason::NoSuchSymbol { incomplete: false, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(name: &str, text: &str) -> Fragment {
        Fragment::parse(name, text).unwrap()
    }

    #[test]
    fn what_is_not_on_in_the_end_is_lost_whoever_turned_it_off() {
        let lost_beside = |unknown: &[Abi], text: &str, lines: &str, command_line: &[&str]| {
            let (text, requested) = (text.to_owned(), String::new());
            let (left_out, dropped) = (Vec::new(), Vec::new());
            let lost = unknown.iter().map(|abi| (*abi, "no such symbol".to_owned())).collect();
            let mut made = Configured { text, requested, lost, left_out, dropped };
            let command_line: Vec<String> = command_line.iter().map(|word| (*word).to_owned()).collect();
            made.lose_what_is_off(&[fragment("mine.config", lines)], &command_line);
            made.lost.into_iter().map(|(abi, why)| format!("{abi}: {why}")).collect::<Vec<_>>()
        };
        let lost =
            |text: &str, lines: &str, command_line: &[&str]| lost_beside(&[], text, lines, command_line);
        let both = "CONFIG_IA32_EMULATION=y\nCONFIG_X86_X32_ABI=y\n";
        assert_eq!(lost(both, both, &[]), [""; 0]);
        // A kernel of before 5.18.
        let old = "CONFIG_IA32_EMULATION=y\nCONFIG_X86_X32=y\n";
        assert_eq!(lost(old, "", &[]), [""; 0]);
        assert_eq!(lost_beside(&[Abi::Mx32], old, both, &[]), [""; 0]);
        let off = lost_beside(&[Abi::Mx32], "CONFIG_IA32_EMULATION=y\n", both, &[]);
        assert_eq!(off, ["mx32: no such symbol"]);
        assert_eq!(
            lost("CONFIG_IA32_EMULATION=y\n", "CONFIG_IA32_EMULATION=y\n\nCONFIG_X86_X32_ABI=n\n", &[]),
            ["mx32: CONFIG_X86_X32_ABI is not on in its .config: mine.config:3 has CONFIG_X86_X32_ABI=n"]
        );
        assert_eq!(
            lost("CONFIG_X86_X32_ABI=y\n", "", &[]),
            ["m32: CONFIG_IA32_EMULATION is not on in its .config: nobody asks for it"]
        );
        let closed = format!("{both}CONFIG_IA32_EMULATION_DEFAULT_DISABLED=y\n");
        let why = "m32: CONFIG_IA32_EMULATION_DEFAULT_DISABLED=y in its .config turns it off at boot";
        assert_eq!(lost(&closed, both, &[]), [why]);
        assert_eq!(lost(&closed, both, &["ia32_emulation=1"]), [""; 0]);
    }
}
