//! A splat with lines of the source: what the kernel names as `xyzzy_run+0x1c/0x60`, as file and line,
//! with the functions that the compiler has put into that one.
//!
//! Pure: [`wanted`] says which addresses a console names, somebody looks them up in the kernel's debug
//! info, and [`decode`] writes what was found below the lines that name them. The console stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::console::sanitize;
use crate::limits;

/// One function at an address: the innermost first, then those that it was put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name.
    pub function: String,
    /// `kernel/xyzzy.c:54`.
    pub place: String,
}

/// What is known of the addresses.
pub type Frames = BTreeMap<u64, Vec<Frame>>;

/// The functions of a kernel: addresses and sizes, by name. Static ones may share a name.
#[derive(Debug, Default)]
pub struct Functions<'a>(BTreeMap<&'a str, Vec<(u64, u64)>>);

impl<'a> Functions<'a> {
    /// By its `System.map`. A function is as long as it is to the next symbol: so kallsyms sees it, too.
    pub fn of(map: &'a str) -> Functions<'a> {
        let mut symbols: Vec<(u64, &str, &str)> = Vec::new();
        for line in map.lines() {
            let mut words = line.split(' ');
            if let (Some(at), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
                && let Ok(at) = u64::from_str_radix(at, 16)
            {
                symbols.push((at, kind, name));
            }
        }
        symbols.sort_by_key(|(at, ..)| *at);
        let mut functions: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for (index, (at, kind, name)) in symbols.iter().enumerate() {
            // Several names of one address have the size of what is there.
            let next = symbols[index..].iter().map(|(next, ..)| *next).find(|next| next > at);
            if matches!(*kind, "t" | "T" | "w" | "W") {
                functions.entry(name).or_default().push((*at, next.unwrap_or(*at) - at));
            }
        }
        Functions(functions)
    }

    /// Where a function is, if there is one of that name.
    pub fn of_name(&self, name: &str) -> Option<u64> {
        match self.0.get(name).map(Vec::as_slice) {
            Some([(at, _)]) => Some(*at),
            _ => None,
        }
    }

    /// The functions that a console gives another length than all that have the name: if there are any, it is
    /// the console of another kernel.
    pub fn misfits<'c>(&self, console: &'c str) -> BTreeSet<&'c str> {
        let is_misfit = |spot: &Spot<'_>| {
            let known = self.0.get(spot.function);
            known.is_some_and(|known| known.iter().all(|(_, size)| *size != spot.size))
        };
        console.lines().flat_map(spots).filter(is_misfit).map(|spot| spot.function).collect()
    }

    /// Where that is; none if there is no such function, or more than one that it could be.
    fn address(&self, spot: &Spot<'_>) -> Option<u64> {
        let candidates = self.0.get(spot.function)?;
        let of_size: Vec<&(u64, u64)> = candidates.iter().filter(|(_, size)| *size == spot.size).collect();
        // A name that there is once is that one, however the kernel counted.
        let [(at, _)] = (if candidates.len() == 1 { candidates.iter().collect() } else { of_size })[..]
        else {
            return None;
        };
        // A return address is behind the call that is meant, perhaps in the next line already.
        let back = u64::from(spot.returns && spot.offset > 0);
        at.checked_add(spot.offset)?.checked_sub(back)
    }
}

/// `xyzzy_run+0x1c/0x60` in a line.
#[derive(Debug, PartialEq, Eq)]
struct Spot<'a> {
    function: &'a str,
    offset: u64,
    size: u64,
    /// It is where a call returns to, and not where something went wrong.
    returns: bool,
}

fn spots(line: &str) -> Vec<Spot<'_>> {
    let exact = line.contains("RIP: ") || line.contains("WARNING: ") || line.contains("kernel BUG at ");
    let mut found = Vec::new();
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        // A module's code is not in the kernel's file.
        if words.peek().is_some_and(|next| next.starts_with('[')) {
            continue;
        }
        // RIP: 0010:xyzzy_run+0x1c/0x60
        let word = word.rsplit(':').next().unwrap_or(word);
        found.extend(spot(word, !exact));
    }
    found
}

fn spot(word: &str, returns: bool) -> Option<Spot<'_>> {
    let (function, numbers) = word.split_once("+0x")?;
    let (offset, size) = numbers.split_once("/0x")?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.$".contains(c);
    let named = !function.is_empty() && function.chars().all(plain);
    named.then_some(Spot { function, offset: hex(offset)?, size: hex(size)?, returns })
}

/// The addresses that a console names, as many as are looked up at once.
pub fn wanted(console: &str, functions: &Functions<'_>) -> BTreeSet<u64> {
    let addresses = console.lines().flat_map(spots).filter_map(|spot| functions.address(&spot));
    let mut wanted = BTreeSet::new();
    for address in addresses {
        if wanted.len() == limits::DECODED_ADDRESSES {
            break;
        }
        wanted.insert(address);
    }
    wanted
}

/// The console's lines, with what is known of the addresses below those that name them. Each with the
/// number that it, or the line above it, has in the console, from 1. They can be shown: see [`sanitize`].
pub fn decode(console: &str, functions: &Functions<'_>, frames: &Frames) -> Vec<(u64, String)> {
    let mut out = Vec::new();
    for (number, line) in (1..).zip(console.lines()) {
        let shown = sanitize(line);
        let indent = shown.len() - shown.trim_start().len();
        let column = shown.find("]  ").map_or(indent, |at| at + 3) + 4;
        out.push((number, shown));
        for spot in spots(line) {
            let Some(found) = functions.address(&spot).and_then(|address| frames.get(&address)) else {
                continue;
            };
            for (index, Frame { function, place }) in found.iter().enumerate() {
                let inlined = if index + 1 < found.len() { ", inlined" } else { "" };
                let text = sanitize(format!("{place} ({function}{inlined})"));
                out.push((number, " ".repeat(column) + &text));
            }
        }
    }
    out
}

/// Reads what `addr2line -a -f -i` says: an address, then function and place by turns. `source` is what
/// places begin with that is no part of a name in the tree.
pub fn read_addr2line(said: &str, source: &str) -> Frames {
    let mut frames = Frames::new();
    let mut lines = said.lines();
    let mut address = None;
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            address = Some(found);
            continue;
        }
        let (Some(address), Some(place)) = (address, lines.next()) else { continue };
        // kernel/xyzzy.c:54 (discriminator 3)
        let place = place.split(" (").next().unwrap_or(place);
        // Without debug info there is still a file's name among the symbols, and no line.
        if line == "??" || place.starts_with("??") || place.ends_with(":?") {
            continue;
        }
        let place = match place.strip_prefix(source).filter(|_| !source.is_empty()) {
            Some(place) => place.trim_start_matches('/'),
            None => place,
        };
        let place = place.strip_prefix("./").unwrap_or(place).to_owned();
        frames.entry(address).or_default().push(Frame { function: line.to_owned(), place });
    }
    frames
}

/// A function that every kernel has, and where.
pub const LANDMARK: (&str, &str) = ("start_kernel", "init/main.c");

/// What places begin with in a kernel whose source lay nobody knows where, by the place of the [`LANDMARK`].
pub fn source_by_landmark(frames: &Frames, landmark: u64) -> &str {
    let frame = frames.get(&landmark).and_then(|frames| frames.last());
    let file = frame.and_then(|frame| frame.place.rsplit_once(':'));
    file.and_then(|(file, _)| file.strip_suffix(LANDMARK.1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "ffffffff81000000 T _text\nffffffff81000100 t xyzzy_run\n\
                       ffffffff81000160 T __x64_sys_xyzzy\nffffffff81000160 T __ia32_sys_xyzzy\n\
                       ffffffff810001a0 t twice\nffffffff810001c0 t twice\n\
                       ffffffff810001f0 D data\nffffffff810001f8 T last\n";
    const CONSOLE: &str = "<1>[    9.000111] BUG: kernel NULL pointer dereference, address: 8\n\
                           <4>[    9.000666] RIP: 0010:xyzzy_run+0x1c/0x60\n\
                           <4>[    9.001443]  __x64_sys_xyzzy+0x2a/0x40\n\
                           <4>[    9.001444]  ? twice+0x10/0x30\n\
                           <4>[    9.001445]  in_a_module+0x10/0x30 [xyzzy]\n\
                           <4>[    9.001446]  __x64_sys_xyzzy+0x1/0x40 [xyzzy]\n\
                           \x1b[2Jnobody+0x1/0x2\n";

    #[test]
    fn where_it_went_wrong_is_taken_exactly_and_where_it_returns_to_is_the_call_before() {
        let functions = Functions::of(MAP);
        let addresses = [0xffff_ffff_8100_011c, 0xffff_ffff_8100_0189, 0xffff_ffff_8100_01cf];
        assert_eq!(wanted(CONSOLE, &functions).into_iter().collect::<Vec<_>>(), addresses);
        // Where two have one name, and neither is so long, it could be either.
        assert!(wanted("twice+0x1/0x999", &functions).is_empty());
        assert!(wanted("last+0x0/0x8 xyzzy_run+0x1c xyzzy_run+0xzz/0x60 +0x1/0x2", &functions).len() == 1);
    }

    #[test]
    fn the_places_stand_below_the_line_and_the_line_stays() {
        let said = "0xffffffff8100011c\nxyzzy_sum\n/c/src/kernel/xyzzy.c:34 (discriminator 3)\n\
                    xyzzy_run\n/c/src/./kernel/xyzzy.c:71\n\
                    0xffffffff81000189\n__do_sys_xyzzy\n/c/src/kernel/xyzzy.c:116\n\
                    0xffffffff810001cf\n??\n??:0\n0xffffffff810001d0\ntwice\nxyzzy.c:?\n";
        let frames = read_addr2line(said, "/c/src");
        assert_eq!(frames.len(), 2, "{frames:?}");
        let text = decode(CONSOLE, &Functions::of(MAP), &frames);
        let lines: Vec<&str> = text.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines[1], "<4>[    9.000666] RIP: 0010:xyzzy_run+0x1c/0x60");
        assert_eq!(lines[2].trim_start(), "kernel/xyzzy.c:34 (xyzzy_sum, inlined)");
        assert_eq!(lines[3].trim_start(), "kernel/xyzzy.c:71 (xyzzy_run)");
        assert_eq!(lines[5].trim_start(), "kernel/xyzzy.c:116 (__do_sys_xyzzy)");
        assert_eq!(lines.len(), CONSOLE.lines().count() + 3);
        assert_eq!(text.iter().map(|(number, _)| *number).take(6).collect::<Vec<_>>(), [1, 2, 2, 2, 3, 3]);
        assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:?}");
    }

    #[test]
    fn another_kernel_and_another_tree_are_found_out() {
        let functions = Functions::of(MAP);
        assert!(functions.misfits(CONSOLE).is_empty());
        let other = "RIP: 0010:xyzzy_run+0x1c/0x70\n nobody+0x1/0x2\n twice+0x1/0x20 twice+0x1/0x30\n";
        assert_eq!(functions.misfits(other).into_iter().collect::<Vec<_>>(), ["xyzzy_run"]);
        assert_eq!(functions.of_name("xyzzy_run"), Some(0xffff_ffff_8100_0100));
        assert_eq!(functions.of_name("twice"), None);
        let said =
            "0x10\nstart_kernel\n/somebodys/tree/init/main.c:907\n0x20\nf\n/somebodys/tree/kernel/x.c:1\n";
        let frames = read_addr2line(said, "");
        assert_eq!(frames[&0x20][0].place, "/somebodys/tree/kernel/x.c:1");
        assert_eq!(source_by_landmark(&frames, 0x10), "/somebodys/tree/");
        assert_eq!(read_addr2line(said, "/somebodys/tree/")[&0x20][0].place, "kernel/x.c:1");
        assert_eq!(source_by_landmark(&frames, 0x20), "");
    }

    #[test]
    fn a_flood_of_names_is_not_looked_up_whole() {
        let map: String =
            (0..10_000u64).map(|n| format!("{:016x} T f{n}\n", 0xffff_ffff_8100_0000 + n * 16)).collect();
        let console: String = (0..10_000).map(|n| format!("f{n}+0x4/0x10\n")).collect();
        assert_eq!(wanted(&console, &Functions::of(&map)).len(), limits::DECODED_ADDRESSES);
    }
}
