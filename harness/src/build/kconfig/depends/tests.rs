use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::expr::{Parser, tokens};
use super::super::{Fragment, check, merge};
use super::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    Tree::read(&Tree::X86, |path| files.get(path).map(|text| (*text).to_owned()))
}

/// What a person would be told when these requests became this config.
fn told(kconfig: &str, requests: &str, config: &str) -> String {
    let tree = tree(&[("Kconfig", kconfig)]);
    assert_eq!(tree.problems(), []);
    let requested = merge(&[Fragment::parse("a.config", requests).unwrap()]).unwrap();
    let config = FinalConfig::parse(config).unwrap();
    let mut dropped = check(&requested, &config);
    tree.explain_all(&mut dropped, &config);
    dropped.iter().map(|dropped| format!("{dropped}\n")).collect()
}

fn holds(expr: &str, config: &str) -> Option<Tri> {
    let tree = tree(&[("Kconfig", "config S\n\tstring\nconfig I\n\tint\nconfig C\n\tbool\n")]);
    let config = FinalConfig::parse(config).unwrap();
    let known = Known { tree: &tree, config: &config };
    let expr = Parser::new(tokens(expr, &|_| None)).expr().unwrap_or_else(|| panic!("{expr}"));
    let Bounds { low, high } = expr.bounds(&known);
    (low == high).then_some(low)
}

#[test]
fn expressions_have_kconfigs_values() {
    use Tri::{Module, No, Yes};
    let config = "CONFIG_A=y\nCONFIG_B=m\nCONFIG_I=20\nCONFIG_H=0x10\nCONFIG_S=\"gcc\"\n";
    for (expr, value) in [
        ("A", Yes),
        ("B", Module),
        ("C", No),
        ("!B", Module),
        ("!C && A", Yes),
        ("A && B", Module),
        ("B || C", Module),
        ("A || B && C", Yes),
        ("(A || B) && C", No),
        ("!(A && C)", Yes),
        ("!!A", Yes),
        ("y", Yes),
        ("m", No), // `m && MODULES`
        ("\"y\"", Yes),
        ("I", No),
        ("A = y", Yes),
        ("A=n", No),
        ("C = n", Yes),
        ("UNDEFINED = n", No),
        ("UNDEFINED || UNDEFINED != y", Yes),
        ("I2 = \"\" || S = \"\"", No),
        ("B != y", Yes),
        ("I >= 20", Yes),
        ("I > 20", No),
        ("I < 100", Yes), // as text it would not be
        ("H = 16", Yes),
        ("H <= 0x0f", No),
        ("S = \"gcc\"", Yes),
        ("S = 'clang' || S = gcc", Yes),
        ("NOT_SET > 3", Yes), // an undefined symbol is its own name, compared as text
        ("I < 21 && !(A = n)", Yes),
        ("A # && C", Yes),
    ] {
        assert_eq!(holds(expr, config), Some(value), "{expr}");
    }
    assert_eq!(holds("m", "CONFIG_MODULES=y"), Some(Module));
    assert_eq!(holds("$(success,true)", config), None);
    assert_eq!(holds("C && $(success,true)", config), Some(No));
    assert_eq!(holds("A || $(cc-option,-mfoo (x))", config), Some(Yes));
    assert_eq!(holds("A && !$(cc-option,-mfoo)", config), None);
    assert_eq!(holds("\"$(ARCH)\" = x86", config), None);
}

#[test]
fn unreadable_expressions_have_none() {
    let deep = format!("{}A{}", "(".repeat(100), ")".repeat(100));
    let nots = format!("{}A", "!".repeat(100_000));
    for text in ["", "&& A", "A &&", "A || )", "(A", "!", "A =", "= B", deep.as_str(), nots.as_str()] {
        assert_eq!(Parser::new(tokens(text, &|_| None)).expr(), None, "{:.20}", text);
    }
}

#[test]
fn a_missing_parent_is_named_from_the_outside_in_and_once() {
    let kconfig = "\
menuconfig NET
	bool \"Networking\"
if NET
menu \"Devices\"
	depends on NETDEVICES && NET
config NETDEVICES
	bool \"x\"
config E1000
	tristate \"Intel\"
	depends on PCI && \\
		HAS_IOPORT && NET
	help
	  depends on NOTHING

	  endif
endmenu
endif
config PCI
	bool \"PCI\"
config HAS_IOPORT
	def_bool PCI
";
    assert_eq!(
        told(kconfig, "CONFIG_E1000=y\n", "# CONFIG_NET is not set\n"),
        "a.config:1: CONFIG_E1000=y was dropped by Kconfig (got: not set)
    Kconfig:3: `if NET`, but NET=n
    Kconfig:5: `depends on NETDEVICES && NET`, but NETDEVICES=n
    Kconfig:10: `depends on PCI && HAS_IOPORT && NET`, but PCI=n, HAS_IOPORT=n
      HAS_IOPORT has no prompt
      set by Kconfig:21: `def_bool PCI`
"
    );
    assert_eq!(
        told(
            kconfig,
            "CONFIG_E1000=y\n",
            "CONFIG_NET=y\nCONFIG_NETDEVICES=y\nCONFIG_HAS_IOPORT=y\nCONFIG_PCI=m\nCONFIG_E1000=m\n"
        ),
        "a.config:1: CONFIG_E1000=y was changed by Kconfig (got: m)
    Kconfig:10: `depends on PCI && HAS_IOPORT && NET`, but PCI=m
"
    );
}

#[test]
fn a_check_of_the_toolchain_is_shown_verbatim_and_accused_only_if_nothing_else_is() {
    let kconfig = "\
config X86_64
	bool
config X86_X32_ABI
	bool \"x32 ABI for 64-bit mode\"
	depends on X86_64
	# llvm-objcopy does not convert \\
	depends on $(success,$(OBJCOPY) --version | head -n1 | grep -qv llvm)
config MIXED
	bool \"mixed\"
	depends on X86_64 && $(cc-option,-mfoo) && (FOO || !$(as-instr,nop # x))
";
    let line = "Kconfig:7: `depends on $(success,$(OBJCOPY) --version | head -n1 | grep -qv llvm)`";
    assert_eq!(
        told(kconfig, "CONFIG_X86_X32_ABI=y\n", "CONFIG_X86_64=y\n"),
        format!(
            "a.config:1: CONFIG_X86_X32_ABI=y was dropped by Kconfig (got: not set)
    {line}, a check of the toolchain that fails\n"
        )
    );
    let off = told(kconfig, "CONFIG_X86_X32_ABI=y\n", "");
    assert!(off.contains("`depends on X86_64`, but X86_64=n\n      X86_64 has no prompt"), "{off}");
    assert!(!off.contains("OBJCOPY"), "{off}");
    let mixed = told(kconfig, "CONFIG_MIXED=y\n", "CONFIG_X86_64=y\n");
    assert!(mixed.ends_with("but a check of the toolchain fails: $(cc-option,-mfoo), FOO=n, a check of the toolchain fails: $(as-instr,nop # x)\n"), "{mixed}");
}

#[test]
fn a_prompt_for_experts_is_named_for_what_is_stuck_off_and_stuck_on() {
    let kconfig = "\
config EXPERT
	bool \"Expert\"
config BUG
	bool \"BUG() support\" if EXPERT
	default y
config ODD
	bool
	prompt \"Odd\" if EXPERT
";
    assert_eq!(
        told(kconfig, "CONFIG_BUG=n\nCONFIG_ODD=y\n", "CONFIG_BUG=y\n"),
        "a.config:1: CONFIG_BUG was switched on by Kconfig (got: y)
    set by Kconfig:5: `default y`
    its prompt is not shown, so nobody can switch it off
    Kconfig:4: `bool \"BUG() support\" if EXPERT`, but EXPERT=n
a.config:2: CONFIG_ODD=y was dropped by Kconfig (got: not set)
    Kconfig:8: `prompt \"Odd\" if EXPERT`, but EXPERT=n
"
    );
}

#[test]
fn what_has_no_prompt_says_what_could_set_it() {
    let kconfig = "\
config CRC16
	tristate
config EXT4
	tristate \"ext4\"
	select CRC16 if BLOCK
config BTRFS
	tristate \"btrfs\"
	imply CRC16
config COMPAT
	def_bool y
	depends on EXT4
";
    assert_eq!(
        told(kconfig, "CONFIG_CRC16=y\n", "CONFIG_BTRFS=m\n"),
        "a.config:1: CONFIG_CRC16=y was dropped by Kconfig (got: not set)
    Kconfig:1: it has no prompt, so nobody can ask for it
    set by BTRFS=m (Kconfig:8: `imply CRC16`)
    set by EXT4=n (Kconfig:5: `select CRC16 if BLOCK`)
"
    );
    assert_eq!(
        told(kconfig, "CONFIG_COMPAT=n\n", "CONFIG_EXT4=y\nCONFIG_COMPAT=y\n"),
        "a.config:1: CONFIG_COMPAT was switched on by Kconfig (got: y)
    set by Kconfig:10: `def_bool y`
    it has no prompt, so nobody can switch it off
"
    );
}

#[test]
fn who_selects_a_symbol_that_was_to_be_off_is_named_with_its_value() {
    let kconfig = "\
config DEBUG_KERNEL
	bool \"debug\"
config EXPERT
	bool \"expert\"
	select DEBUG_KERNEL
config OTHER
	bool \"other\"
	select DEBUG_KERNEL if NEVER
config OFF
	bool \"off\"
	select DEBUG_KERNEL
";
    assert_eq!(
        told(kconfig, "CONFIG_DEBUG_KERNEL=n\n", "CONFIG_DEBUG_KERNEL=y\nCONFIG_EXPERT=y\nCONFIG_OTHER=y\n"),
        "a.config:1: CONFIG_DEBUG_KERNEL was switched on by Kconfig (got: y)
    selected by EXPERT=y (Kconfig:5: `select DEBUG_KERNEL`)
"
    );
}

const CHOICE: &str = "\
choice
	prompt \"Unwinder\" if !COMPILE_TEST
	default ORC
	help
	  Which one.
config ORC
	bool \"ORC\"
if y
config FP
	bool \"frame pointer\"
endif
config GUESS
	bool \"guess\"
	depends on EXPERT
endchoice
";

#[test]
fn members_of_a_choice_name_each_other() {
    assert_eq!(
        told(CHOICE, "CONFIG_ORC=y\nCONFIG_FP=y\n", "CONFIG_FP=y\n"),
        "a.config:1: CONFIG_ORC=y was dropped by Kconfig (got: not set)\n    Kconfig:1: of this choice, FP is on\n"
    );
    assert_eq!(
        told(CHOICE, "CONFIG_ORC=n\n", "CONFIG_ORC=y\n"),
        "a.config:1: CONFIG_ORC was switched on by Kconfig (got: y)
    Kconfig:1: one member of this choice has to be on; switch on another: FP, GUESS\n"
    );
    let hidden = told(CHOICE, "CONFIG_FP=y\n", "CONFIG_ORC=y\nCONFIG_COMPILE_TEST=y\n");
    assert!(
        hidden.ends_with("Kconfig:2: `prompt \"Unwinder\" if !COMPILE_TEST`, but COMPILE_TEST=y\n"),
        "{hidden}"
    );
    let stuck = told(CHOICE, "CONFIG_ORC=n\n", "CONFIG_ORC=y\nCONFIG_COMPILE_TEST=y\n");
    assert!(stuck.contains("nobody can switch it off\n    Kconfig:2: `prompt"), "{stuck}");
    let unmet = told(CHOICE, "CONFIG_GUESS=y\n", "CONFIG_ORC=y\n");
    assert!(
        unmet.ends_with("`depends on EXPERT`, but EXPERT=n\n      EXPERT is not defined in this tree\n"),
        "{unmet}"
    );
}

#[test]
fn numbers_types_and_unknown_names() {
    let kconfig = "\
config X86_X32_ABI
	bool \"x32\"
config NR_CPUS
	int \"cpus\" if SMP
	range 2 TOP
	default 8
config TOP
	int
	default 512
config SMP
	bool \"smp\"
config NAME
	string \"name\"
config NEW
	bool \"new\"
	depends on NR_CPUS > 4 && SMP if X86_X32_ABI
";
    let config = "CONFIG_NR_CPUS=512\nCONFIG_TOP=512\nCONFIG_SMP=y\nCONFIG_NAME=\"\"\n";
    assert_eq!(
        told(kconfig, "CONFIG_NR_CPUS=9999\nCONFIG_NAME=5\nCONFIG_SMP=m\nCONFIG_X86_X32=y\n", config),
        "a.config:2: CONFIG_NAME=5 was changed by Kconfig (got: \"\")
    Kconfig:12: it is a string
a.config:1: CONFIG_NR_CPUS=9999 was changed by Kconfig (got: 512)
    Kconfig:5: `range 2 TOP`, which is 2 to 512
a.config:4: CONFIG_X86_X32=y was dropped by Kconfig (got: not set)
    no such symbol in this tree, for this architecture
    similar names: CONFIG_X86_X32_ABI
"
    );
    let new = told(kconfig, "CONFIG_NEW=y\n", "CONFIG_NR_CPUS=3\nCONFIG_X86_X32_ABI=y\n");
    assert!(new.ends_with("but NR_CPUS=3, SMP=n, X86_X32_ABI=y\n"), "{new}");
    assert!(told(kconfig, "CONFIG_NEW=y\n", "").contains("do not tell why"));
}

#[test]
fn a_symbol_with_two_definitions_needs_one_of_them() {
    let kconfig = "\
config A
	bool \"a\"
	depends on B
config A
	bool \"a again\"
	depends on C
config A
	default y
";
    let both = told(kconfig, "CONFIG_A=y\n", "");
    assert!(
        both.contains("Kconfig:3: `depends on B`") && both.contains("Kconfig:6: `depends on C`"),
        "{both}"
    );
    assert!(told(kconfig, "CONFIG_A=y\n", "CONFIG_B=y\n").contains("do not tell why"));
}

#[test]
fn files_are_followed_inside_the_tree_only() {
    let tree = tree(&[
        (
            "Kconfig",
            "mainmenu \"x $(KERNELVERSION)\"\nsource \"scripts/Kconfig.include\"\nsource \"arch/$(SRCARCH)/Kconfig\"\nsource 'gone/Kconfig'\nsource \"/etc/passwd\"\nsource \"a/../../b\"\nsource \"um/$(UM)/Kconfig\"\nif OPEN\nsource \"unclosed\"\nendif\nconfig LAST\n\tbool \"last\"\n",
        ),
        (
            "scripts/Kconfig.include",
            "# $(success,…)\ncomma := ,\nsquote := '\nif-success = $(shell,{ $(1); } && echo \"$(2)\")\nerror-if += x\n$(error-if,$(failure,command -v $(LD)),linker '$(LD)' not found)\n",
        ),
        (
            "arch/x86/Kconfig",
            "config X86\n\tdef_bool \"$(ARCH)\" = \"x86\"\n\tmodules\nsource \"Kconfig\"\nfrobnicate\nselect\nconfig\n",
        ),
        ("unclosed", "if ALSO\nmenu \"m\"\nconfig IN\n\tbool \"in\"\n"),
    ]);
    let problems: Vec<String> = tree.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "arch/x86/Kconfig:4: Kconfig is not followed",
            "arch/x86/Kconfig:5: cannot read \"frobnicate\"",
            "arch/x86/Kconfig:6: cannot read \"select\"",
            "arch/x86/Kconfig:7: cannot read \"config\"",
            "Kconfig:4: gone/Kconfig cannot be read",
            "Kconfig:5: /etc/passwd is not followed",
            "Kconfig:6: a/../../b is not followed",
            "Kconfig:7: um/$(UM)/Kconfig is not followed",
        ]
    );
    assert_eq!((tree.files(), tree.symbols()), (4, 3));
    assert_eq!(tree.definitions["IN"][0].depends.len(), 2);
    assert_eq!(tree.definitions["LAST"][0].depends.len(), 0, "a block ends with its file");
    assert_eq!(tree.sites("X86").map(ToString::to_string).collect::<Vec<_>>(), ["arch/x86/Kconfig:1"]);
}

#[test]
fn help_ends_where_the_indentation_does() {
    let kconfig = "\
config A
	bool \"a\"
	help
	  config NOT
	    deeper

	  if NEITHER
	depends on B
config C
	bool
	help

config D
	bool
      ---help---
        config NO
config E
	bool
";
    let tree = tree(&[("Kconfig", kconfig)]);
    assert_eq!(tree.problems(), []);
    assert_eq!(tree.definitions.keys().collect::<Vec<_>>(), ["A", "C", "D", "E"]);
    assert_eq!(tree.definitions["A"][0].depends.len(), 1);
}

#[test]
fn limits_end_the_walk_with_a_problem() {
    let ends = |tree: Tree, what: &str| {
        let text = tree.problems().last().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains(what), "{what}: {:?}", tree.problems());
    };
    let nothing = Tree::read(&[], |_| None);
    ends(nothing.clone(), "Kconfig cannot be read");
    assert_eq!((nothing.files(), nothing.symbols()), (0, 0));
    let mut next = 0;
    let deeper = |_: &str| {
        next += 1;
        Some(format!("source \"f{next}\"\n").repeat(3))
    };
    ends(Tree::read(&[], deeper), "files are nested too deep");
    let wide = |path: &str| {
        Some(if path == "Kconfig" {
            (0..10_000).map(|n| format!("source \"f{n}\"\n")).collect()
        } else {
            String::new()
        })
    };
    ends(Tree::read(&[], wide), "too many files");
    let blocks = "if A\n".repeat(1000);
    ends(tree(&[("Kconfig", &blocks)]), "nested too deep");
    let many = format!("config A\n{}", "depends on B\n".repeat(1000));
    ends(tree(&[("Kconfig", &many)]), "depends on too much");
    let long = "config A \\\n".repeat(100_000);
    ends(tree(&[("Kconfig", &long)]), "statement is too long");
    let closed = tree(&[("Kconfig", &"endif\n".repeat(1000))]);
    assert_eq!(closed.problems().len(), 100);
}

#[test]
fn a_symbol_that_may_be_in_a_missing_file_is_not_denied() {
    let tree = tree(&[("Kconfig", "source \"gone\"\n")]);
    let requested = merge(&[Fragment::parse("f", "CONFIG_A=y").unwrap()]).unwrap();
    let config = FinalConfig::default();
    let reason = tree.explain(&check(&requested, &config)[0], &config);
    assert_eq!(reason, Reason::NoSuchSymbol { near: vec![], incomplete: true });
}

proptest! {
    #[test]
    fn no_text_makes_the_walk_or_an_explanation_panic(
        text in "(config A\n|config B\n|choice\n|endchoice\n|menu |endmenu\n|if |endif\n|help\n|depends on |visible if |select |imply |range |default |def_bool |bool |int |prompt |source |A|B|m|y|5|\\$\\(|\\)|\"|'|\\(|!| && | \\|\\| | = | < |\\\\\n|\n|\t| |#|é){0,120}",
        wanted in "CONFIG_A=(y|m|n|5|0x5|\"s\")",
        got in "(CONFIG_A=(y|m|6)\n)?(CONFIG_B=(y|m)\n)?",
    ) {
        let tree = Tree::read(&Tree::X86, |path| (path == "Kconfig").then(|| text.clone()));
        let requested = merge(&[Fragment::parse("f", &wanted).unwrap()]).unwrap();
        let config = FinalConfig::parse(&got).unwrap();
        let mut dropped = check(&requested, &config);
        tree.explain_all(&mut dropped, &config);
        for dropped in dropped {
            prop_assert!(dropped.to_string().lines().count() > 1);
        }
    }

    #[test]
    fn no_text_makes_the_tokens_panic(text in any::<String>()) {
        let _ = Parser::new(tokens(&text, &|name| Some(name.to_owned()))).expr();
        let _ = tree(&[("Kconfig", &text)]);
    }

    /// Every accused atom is really in the way: with all of them right, the expression holds.
    #[test]
    fn blame_is_empty_exactly_if_the_expression_holds(expr in "(!?(A|B|C|D) (&&|\\|\\|) ){0,6}!?(A|B|C|D)", on in "[ABCD]{0,4}") {
        let config: String = on.chars().collect::<std::collections::BTreeSet<_>>().into_iter().map(|c| format!("CONFIG_{c}=y\n")).collect();
        let config = FinalConfig::parse(&config).unwrap();
        let tree = Tree::default();
        let known = Known { tree: &tree, config: &config };
        let parsed = Parser::new(tokens(&expr, &|_| None)).expr().unwrap();
        let holds = parsed.bounds(&known).low == Tri::Yes;
        prop_assert_eq!(parsed.blame(Tri::Yes, &known).is_empty(), holds);
    }
}
