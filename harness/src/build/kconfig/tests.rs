use proptest::prelude::*;

use super::*;

fn fragment(text: &str) -> Fragment {
    Fragment::parse("a.config", text).unwrap_or_else(|error| panic!("{error}"))
}

fn parse_error(text: &str) -> String {
    match Fragment::parse("a.config", text) {
        Ok(fragment) => panic!("{text:?} was taken as {fragment:?}"),
        Err(error) => error.to_string(),
    }
}

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).unwrap()
}

fn requested(text: &str) -> Requested {
    merge(&[fragment(text)]).unwrap()
}

#[test]
fn a_fragment_has_every_kind_of_value_with_its_line() {
    let text = "# a comment\n\nCONFIG_A=y\nCONFIG_B=m\r\nCONFIG_C=n  \n# CONFIG_D is not set\n\
                CONFIG_E=-12\nCONFIG_F=0x00AbC\nCONFIG_G=\"a \\\"b\\\" \\\\c # d\"\nCONFIG_H=\"\"\n  # e\n\
                CONFIG_64BIT=0\nCONFIG_snd_x=0x0";
    let got: Vec<(String, Value, u32)> = fragment(text)
        .entries
        .into_iter()
        .map(|entry| (entry.symbol.as_str().to_owned(), entry.value, entry.line.unwrap()))
        .collect();
    let text = |text: &str| Value::Str(text.to_owned());
    let expected = [
        ("A", Value::Yes, 3),
        ("B", Value::Module, 4),
        ("C", Value::No, 5),
        ("D", Value::No, 6),
        ("E", Value::Int("-12".into()), 7),
        ("F", Value::Hex("0xabc".into()), 8),
        ("G", text("a \"b\" \\c # d"), 9),
        ("H", text(""), 10),
        ("64BIT", Value::Int("0".into()), 12),
        ("snd_x", Value::Hex("0x0".into()), 13),
    ];
    assert_eq!(got, expected.map(|(name, value, line)| (name.to_owned(), value, line)));
}

#[test]
fn what_kconfig_would_skip_or_misread_is_an_error_with_file_and_line() {
    for (text, expected) in [
        ("\nFOO=y", "a.config:2: expected CONFIG_NAME=value"),
        (" CONFIG_A=y", "a.config:1: expected CONFIG_NAME=value"),
        ("CONFIG_A", "a.config:1: expected CONFIG_NAME=value"),
        ("config_A=y", "expected CONFIG_NAME=value"),
        ("CONFIG_=y", "\"CONFIG_\" is not a config symbol: the name is empty"),
        ("CONFIG_A =y", "\"CONFIG_A \" is not a config symbol: ' ' does not belong"),
        ("CONFIG_Ä=y", "'Ä' does not belong"),
        ("CONFIG_CONFIG_A=y", "CONFIG_ is there twice"),
        ("CONFIG_A=", "\"\" is not a value"),
        ("CONFIG_A= y", "\" y\" is not a value"),
        ("CONFIG_A=Y", "\"Y\" is not a value"),
        ("CONFIG_A=yes", "\"yes\" is not a value"),
        ("CONFIG_A=y # why", "\"y # why\" is not a value"),
        ("CONFIG_A=007", "\"007\" is not a value"),
        ("CONFIG_A=-", "\"-\" is not a value"),
        ("CONFIG_A=0x", "\"0x\" is not a value"),
        ("CONFIG_A=0xg", "\"0xg\" is not a value"),
        ("CONFIG_A=1f", "\"1f\" is not a value"),
        ("CONFIG_A=\"b\" c", "is not a value"),
        ("CONFIG_A=\"b\rc\"", "is not a value"),
        ("CONFIG_A=\"b", "a.config:1: the string has no closing quote"),
        ("CONFIG_A=\"b\\", "no closing quote"),
        ("CONFIG_A=\"b\\\"", "no closing quote"),
        ("#CONFIG_A is not set", "write exactly"),
        (" # CONFIG_A is not set", "write exactly"),
        ("# CONFIG_A is not set by default", "reword the comment"),
        ("# CONFIG_A  is not set", "write exactly"),
        (
            "CONFIG_A=y\n# CONFIG_A is not set",
            "a.config:2: `# CONFIG_A is not set`, but line 1 has `CONFIG_A=y`",
        ),
        ("CONFIG_A=\"1\"\nCONFIG_A=1", "a.config:2: `CONFIG_A=1`, but line 1 has `CONFIG_A=\"1\"`"),
    ] {
        let error = parse_error(text);
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(error.starts_with("a.config:"), "{error}");
    }
}

#[test]
fn an_error_quotes_a_strange_line_escaped_and_short() {
    let error = parse_error(&format!("\u{1b}[31m{}", "x".repeat(10_000)));
    assert!(!error.contains('\u{1b}') && error.len() < 300, "{error}");
}

#[test]
fn plain_comments_and_repeated_requests_are_fine() {
    let text = "# CONFIG_A=y would be nice\n## is not set\n# CONFIG_B\nCONFIG_A=y\nCONFIG_A=y\n";
    assert_eq!(fragment(text).entries.len(), 1);
    assert_eq!(fragment("").entries, []);
}

#[test]
fn merging_keeps_the_first_origin_and_renders_sorted() {
    let a = Fragment::parse("a", "CONFIG_Z=y\n# CONFIG_B is not set\n").unwrap();
    let b = Fragment::parse("b", "CONFIG_C=\"x\\\\\\\"\"\n\nCONFIG_Z=y\nCONFIG_N=5").unwrap();
    let leg = Fragment::made("the leg patched", [(symbol("XYZZY"), Value::Yes)]);
    let merged = merge(&[a.clone(), b.clone(), leg.clone()]).unwrap();
    let text = "# CONFIG_B is not set\nCONFIG_C=\"x\\\\\\\"\"\nCONFIG_N=5\nCONFIG_XYZZY=y\nCONFIG_Z=y\n";
    assert_eq!(merged.render(), text);
    assert_eq!(merge(&[leg, b, a]).unwrap().render(), text);
    let origin = |name: &str| merged.get(name).unwrap().origin.to_string();
    assert_eq!(origin("Z"), "a:1");
    assert_eq!(origin("XYZZY"), "the leg patched");
    assert_eq!(merged.iter().count(), 5);
}

#[test]
fn all_conflicts_are_told_with_both_places_and_values() {
    let a = Fragment::parse("a", "CONFIG_A=y\nCONFIG_B=1\n").unwrap();
    let b = Fragment::parse("b", "\nCONFIG_A=m\nCONFIG_B=1\n").unwrap();
    let c = Fragment::made(
        "the leg config-off",
        [(symbol("A"), Value::No), (symbol("B"), Value::Int("2".into()))],
    );
    let error = merge(&[a, b, c]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "b:2: CONFIG_A=m, but a:1 has CONFIG_A=y\n\
         the leg config-off: CONFIG_A=n, but a:1 has CONFIG_A=y\n\
         the leg config-off: CONFIG_B=2, but a:2 has CONFIG_B=1"
    );
}

#[test]
fn a_leg_can_take_back_what_a_fragment_asks_for() {
    let mut config = fragment("CONFIG_XYZZY_SYSCALL=y\nCONFIG_NET=y\n");
    let taken = config.remove(&symbol("XYZZY_SYSCALL")).unwrap();
    assert_eq!((taken.value, taken.line), (Value::Yes, Some(1)));
    assert_eq!(config.remove(&symbol("XYZZY_SYSCALL")), None);
    let off = Fragment::made("the leg config-off", [(symbol("XYZZY_SYSCALL"), Value::No)]);
    let merged = merge(&[config, off]).unwrap();
    assert_eq!(merged.render(), "CONFIG_NET=y\n# CONFIG_XYZZY_SYSCALL is not set\n");
}

#[test]
fn a_final_config_reads_what_kconfig_writes() {
    let text = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.12.57 Kernel Configuration\n#\n\
                CONFIG_CC_VERSION_TEXT=\"gcc (Debian) 12.2.0\"\nCONFIG_GCC_VERSION=120200\n\n\
                # CONFIG_WERROR is not set\nCONFIG_ILLEGAL_POINTER_VALUE=0xdead000000000000\n\
                CONFIG_A=m\nCONFIG_BARE_HEX=1F\n# end of General setup\n";
    let config = FinalConfig::parse(text).unwrap();
    assert_eq!(config.get("CC_VERSION_TEXT"), &Value::Str("gcc (Debian) 12.2.0".into()));
    assert_eq!(config.get("GCC_VERSION"), &Value::Int("120200".into()));
    assert_eq!(config.get("WERROR"), &Value::No);
    assert_eq!(config.get("ABSENT"), &Value::No);
    assert!(config.mentions("WERROR") && !config.mentions("ABSENT"));
    assert_eq!(config.get("BARE_HEX"), &Value::Hex("0x1f".into()));
    let error = FinalConfig::parse("CONFIG_A=y\nCONFIG_B=zzz").unwrap_err().to_string();
    assert!(error.starts_with(".config:2: \"zzz\" is not a value"), "{error}");
}

#[test]
fn check_finds_what_was_dropped_changed_or_forced_on() {
    let requested = requested(
        "CONFIG_KEPT=y\nCONFIG_LOST=y\nCONFIG_MOD=m\nCONFIG_MOD_UP=m\nCONFIG_DOWN=y\nCONFIG_OFF=n\n\
         CONFIG_FORCED=n\nCONFIG_INT=5\nCONFIG_HEX=0x0A\nCONFIG_STR=\"a\"\nCONFIG_ABSENT=n\n\
         CONFIG_EMPTY=\"\"\n",
    );
    let config = FinalConfig::parse(
        "CONFIG_KEPT=y\n# CONFIG_LOST is not set\nCONFIG_MOD=m\nCONFIG_MOD_UP=y\nCONFIG_DOWN=m\n\
         CONFIG_FORCED=m\nCONFIG_INT=6\nCONFIG_HEX=0xa\nCONFIG_STR=\"b\"\nCONFIG_EMPTY=\"\"\n",
    );
    let dropped = check(&requested, &config.unwrap());
    let lines: Vec<String> = dropped.iter().map(Dropped::to_string).collect();
    assert_eq!(
        lines,
        [
            "a.config:5: CONFIG_DOWN=y was changed by Kconfig (got: m)",
            "a.config:7: CONFIG_FORCED was switched on by Kconfig (got: m)",
            "a.config:8: CONFIG_INT=5 was changed by Kconfig (got: 6)",
            "a.config:2: CONFIG_LOST=y was dropped by Kconfig (got: not set)",
            "a.config:10: CONFIG_STR=\"a\" was changed by Kconfig (got: \"b\")",
        ]
    );
}

#[test]
fn symbols_are_checked() {
    assert_eq!(Symbol::new("64BIT").unwrap().to_string(), "CONFIG_64BIT");
    assert_eq!(Symbol::new(""), Err(BadSymbol::Empty));
    assert_eq!(Symbol::new("A\n"), Err(BadSymbol::Character('\n')));
    assert_eq!(Symbol::new("A-B"), Err(BadSymbol::Character('-')));
    assert_eq!(Symbol::new(&"A".repeat(129)), Err(BadSymbol::TooLong));
    assert_eq!(Symbol::new("CONFIG_A"), Err(BadSymbol::Prefix));
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Yes),
        Just(Value::Module),
        Just(Value::No),
        any::<i64>().prop_map(|n| Value::Int(n.to_string())),
        any::<u64>().prop_map(|n| Value::Hex(format!("{n:#x}"))),
        "[^\\p{Cc}]*".prop_map(Value::Str),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>()) {
        let _ = Fragment::parse("f", &text);
        let _ = FinalConfig::parse(&text);
    }

    #[test]
    fn no_text_of_the_right_letters_makes_them_panic(text in "([ #\"\\\\=ymn0x\r\n]|CONFIG_|is not set|A){0,60}") {
        let _ = Fragment::parse("f", &text);
        let _ = FinalConfig::parse(&text);
    }

    #[test]
    fn what_is_rendered_reads_back_as_it_was_and_passes_the_check(
        wanted in proptest::collection::btree_map("[A-Z0-9_]{1,12}", any_value(), 0..20),
    ) {
        let entries = wanted.iter().filter_map(|(name, value)| Some((Symbol::new(name).ok()?, value.clone())));
        let merged = merge(&[Fragment::made("made", entries)]).unwrap();
        let text = merged.render();
        let again = merge(&[Fragment::parse("f", &text).unwrap()]).unwrap();
        prop_assert_eq!(again.render(), text.clone());
        prop_assert_eq!(check(&merged, &FinalConfig::parse(&text).unwrap()), vec![]);
    }

    #[test]
    fn a_request_that_is_missing_is_always_found(name in "[A-Z]{1,12}", value in any_value()) {
        let fragment = Fragment::made("made", [(Symbol::new(&name).unwrap(), value.clone())]);
        let dropped = check(&merge(&[fragment]).unwrap(), &FinalConfig::default());
        prop_assert_eq!(dropped.len(), usize::from(value != Value::No));
    }
}

#[test]
fn a_wish_changes_nothing_that_is_asked_for_and_keeps_its_place() {
    let mut all = requested("CONFIG_A=y\n# CONFIG_B is not set\n");
    let wish = |name: &str, text: &str| Fragment::parse(name, text).unwrap();
    all.wish(&[wish("proc", "CONFIG_B=y\nCONFIG_C=y\n"), wish("mount", "CONFIG_C=y\nCONFIG_D=y\n")]);
    assert_eq!(all.render(), "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_D=y\n");
    assert_eq!(all.get("C").unwrap().origin.to_string(), "proc:2");
    let config = FinalConfig::parse("CONFIG_A=y\nCONFIG_C=y\n").unwrap();
    let dropped: Vec<String> = check(&all, &config).iter().map(ToString::to_string).collect();
    assert_eq!(dropped, ["mount:2: CONFIG_D=y was dropped by Kconfig (got: not set)"]);
}
