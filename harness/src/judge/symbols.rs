//! Where in the kernel a guest hung: a name for an address.

/// The first address that is the kernel's on x86-64.
const KERNEL_SPACE: u64 = 0xffff_8000_0000_0000;

/// No function of a kernel is larger: what lies further behind a symbol is something else.
const FUNCTION_BYTES: u64 = 1 << 20;

/// `xyzzy_run+0x12` for an address, by the kernel's `System.map`; in words where it has no name.
pub fn name(map: &str, address: u64) -> String {
    if address < KERNEL_SPACE {
        return format!("{address:#x}, outside of the kernel's addresses");
    }
    let text = |line: &'_ str| -> Option<(u64, String)> {
        let mut words = line.split_whitespace();
        let (at, kind, name) = (words.next()?, words.next()?, words.next()?);
        // Only what is code: t, T, and weak W.
        let at = u64::from_str_radix(at, 16).ok().filter(|_| matches!(kind, "t" | "T" | "w" | "W"))?;
        Some((at, name.to_owned()))
    };
    let before = map.lines().filter_map(text).filter(|(at, _)| *at <= address);
    let near = |(at, _): &(u64, String)| address - at < FUNCTION_BYTES;
    match before.max_by_key(|(at, _)| *at).filter(near) {
        Some((at, name)) => format!("{name}+{:#x}", address - at),
        None => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_name_of_the_code_before_it() {
        let map = "0000000000000000 D fixed_percpu_data\nffffffff81000000 T _text\nffffffff81000100 t xyzzy_run\n\
                   ffffffff81000180 D a_table\nffffffff81000200 W weak\n";
        for (address, expected) in [
            (0xffff_ffff_8100_0100, "xyzzy_run+0x0"),
            (0xffff_ffff_8100_01ff, "xyzzy_run+0xff"),
            (0xffff_ffff_8100_0210, "weak+0x10"),
            (0xffff_ffff_8000_0000, "0xffffffff80000000"),
            (0xffff_ffff_ff00_0000, "0xffffffffff000000"),
            (0x40_1000, "0x401000, outside of the kernel's addresses"),
        ] {
            assert_eq!(name(map, address), expected);
        }
    }
}
