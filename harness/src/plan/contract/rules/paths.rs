//! Descriptors and paths that a call is given.

use super::Rules;
use crate::plan::contract::scene::Wrong;
use crate::plan::contract::schema::PathArgument;
use crate::plan::contract::value::{Term, Value};

fn made(thing: &str) -> Value {
    Value(vec![Term::Made(thing.to_owned())])
}

impl Rules<'_> {
    pub(super) fn descriptors(&mut self) -> Result<(), Wrong> {
        let good = self.good.clone();
        for section in &self.contract.promises.descriptors {
            let place = section.place.as_str();
            let closed = self.gives(&section.closed)?;
            for (what, value) in [("closed", made("fd:closed")), ("-1", Value::number(u64::MAX))] {
                let scene = good.clone().set(place, value)?;
                self.call(&format!("descriptor {place}: {what}"), &section.cite, &closed, |_| {
                    Ok(Ok(scene.clone()))
                })?;
            }
            for (thing, gives) in &section.others {
                let value = self.value(&format!("fd:{thing}"))?;
                let (expect, scene) = (self.gives(gives)?, good.clone().set(place, value)?);
                self.call(&format!("descriptor {place}: {thing}"), &section.cite, &expect, |_| {
                    Ok(Ok(scene.clone()))
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn paths(&mut self) -> Result<(), Wrong> {
        for section in &self.contract.promises.paths {
            self.path(section)?;
        }
        Ok(())
    }

    fn path(&mut self, section: &PathArgument) -> Result<(), Wrong> {
        let PathArgument { path, dirfd, cite, .. } = section;
        let object = self.good.pointed_to(path)?;
        let good = self.good.clone();
        let scene = |folder: Value, text: &str| good.clone().set(dirfd, folder)?.text(&object, text);
        let here = Value::number(-100_i64 as u64);
        let long = "x".repeat(256);
        let longer = "x/".repeat(2048);
        let link = section.link.as_deref().unwrap_or("good");
        let cases: Vec<(&str, Value, &str, &str)> = vec![
            ("from AT_FDCWD", here.clone(), "file", "good"),
            ("from a descriptor", made("fd:cwd"), "file", "good"),
            ("through the folder", made("fd:dir"), "../file", "good"),
            ("absolute, the descriptor closed", made("fd:closed"), "/dev/null", "not EBADF ENOTDIR"),
            ("from a closed descriptor", made("fd:closed"), "file", "EBADF"),
            ("from a file", made("fd:file"), "file", "ENOTDIR"),
            ("through a file", here.clone(), "file/x", "ENOTDIR"),
            ("nothing there", here.clone(), "nowhere", "ENOENT"),
            ("a link", here.clone(), "link", link),
            ("a link to nothing", here.clone(), "dangling", if link == "good" { "ENOENT" } else { link }),
            ("a link to itself", here.clone(), "loop/x", "ELOOP"),
            ("a name of 256 bytes", here.clone(), &long, "ENAMETOOLONG"),
            ("4096 bytes", here.clone(), &longer, "ENAMETOOLONG"),
            ("empty", here.clone(), "", "ENOENT"),
        ];
        for (what, folder, text, gives) in cases {
            let (expect, scene) = (self.gives(gives)?, scene(folder, text)?);
            self.call(&format!("path {path}: {what}"), cite, &expect, |_| Ok(Ok(scene.clone())))?;
        }
        if let Some(flag) = &section.empty {
            let bits = self.bits(&flag.bit)?;
            for (what, folder, gives) in [
                ("the descriptor itself", made("fd:file"), "good"),
                ("of a path descriptor itself", made("fd:path"), "good"),
                ("the descriptor itself, closed", made("fd:closed"), "EBADF"),
            ] {
                let (expect, scene) = (self.gives(gives)?, scene(folder, "")?.or(&flag.place, bits)?);
                let name = format!("path {path}: empty with {}: {what}", flag.bit);
                self.call(&name, cite, &expect, |_| Ok(Ok(scene.clone())))?;
            }
            let (expect, scene) = (self.gives("good")?, scene(here.clone(), "file")?.or(&flag.place, bits)?);
            let name = format!("path {path}: not empty, with {}", flag.bit);
            self.call(&name, cite, &expect, |_| Ok(Ok(scene.clone())))?;
        }
        if let Some((flag, gives)) = &section.nofollow {
            let bits = self.bits(&flag.bit)?;
            for (what, text, gives) in [("a link", "link", gives.as_str()), ("a file", "file", "good")] {
                let (expect, scene) = (self.gives(gives)?, scene(here.clone(), text)?.or(&flag.place, bits)?);
                let name = format!("path {path}: {what} with {}", flag.bit);
                self.call(&name, cite, &expect, |_| Ok(Ok(scene.clone())))?;
            }
        }
        Ok(())
    }
}
