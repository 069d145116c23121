//! The orders against what their ecosystems document, against dpkg itself, and against the laws of a total order.
#![allow(missing_docs, clippy::unwrap_used)]

use std::cmp::Ordering::{self, Equal, Greater, Less};
use std::process::{Command, Stdio};

use cwpp_versions::Ecosystem::{self, Dpkg, Maven, PyPi, Rpm, SemVer};
use cwpp_versions::{Version, compare, is_version};
use proptest::prelude::*;

/// Holds every pair of a list that ascends, both ways round.
fn ascends(ecosystem: Ecosystem, list: &[&str]) {
    for (i, a) in list.iter().enumerate() {
        assert!(is_version(ecosystem, a), "{ecosystem:?}: {a}");
        for (j, b) in list.iter().enumerate() {
            assert_eq!(compare(ecosystem, a, b), i.cmp(&j), "{ecosystem:?}: {a} and {b}");
        }
    }
}

fn equal(ecosystem: Ecosystem, list: &[&str]) {
    for a in list {
        for b in list {
            assert!(is_version(ecosystem, a), "{ecosystem:?}: {a}");
            assert_eq!(compare(ecosystem, a, b), Equal, "{ecosystem:?}: {a} and {b}");
        }
    }
}

fn is(ecosystem: Ecosystem, table: &[(&str, Ordering, &str)]) {
    for (a, order, b) in table {
        assert_eq!(compare(ecosystem, a, b), *order, "{ecosystem:?}: {a} and {b}");
        assert_eq!(compare(ecosystem, b, a), order.reverse(), "{ecosystem:?}: {b} and {a}");
    }
}

#[test]
fn dpkg_orders_epochs_tildes_letters_and_revisions() {
    ascends(
        Dpkg,
        &["0~~", "0~~a", "0~", "0", "0a", "0+", "1.0~beta1~svn1245-1", "1.0~beta1-1", "1.0-1", "1.0-1+b1", "1.0-1.1"],
    );
    ascends(Dpkg, &["2.9-1", "2.10-1", "2.10.1", "1:0.1", "1:1.0~rc1", "1:1.0", "2:0"]);
    ascends(Dpkg, &["1.2.3-1~deb9u1", "1.2.3-1", "1.2.3-1ubuntu0.1", "1.2.3-1ubuntu1", "1.2.3-2"]);
    // Numbers of any length, a hyphen in the upstream version, underscores as they are found.
    ascends(Dpkg, &["99999999999999999998", "99999999999999999999", "100000000000000000000"]);
    ascends(Dpkg, &["1.0-2-1", "1.0-3-1", "1.0_beta-1", "1.0_beta-2"]);
    equal(Dpkg, &["1.0", "0:1.0", "1.0-0", "1.00", "01.0"]);
}

#[test]
fn rpm_orders_epochs_tildes_carets_and_segments() {
    is(
        Rpm,
        &[
            ("1.0", Less, "2.0"),
            ("2.0.1", Greater, "2.0"),
            ("2.0.1a", Greater, "2.0.1"),
            ("5.5p1", Less, "5.5p2"),
            ("5.5p10", Greater, "5.5p1"),
            ("10xyz", Less, "10.1xyz"),
            ("xyz10", Less, "xyz10.1"),
            ("xyz.4", Less, "8"),
            ("xyz.4", Less, "2"),
            ("5.5p2", Less, "5.6p1"),
            ("5.6p1", Less, "6.5p1"),
            ("6.0.rc1", Greater, "6.0"),
            ("10b2", Greater, "10a1"),
            ("1.0a", Less, "1.0aa"),
            ("10.0001", Equal, "10.1"),
            ("10.0001", Less, "10.0039"),
            ("4.999.9", Less, "5.0"),
            ("20101121", Less, "20101122"),
            ("2_0", Equal, "2.0"),
            ("a+", Equal, "a_"),
            ("1.0~rc1", Less, "1.0"),
            ("1.0~rc1", Less, "1.0~rc2"),
            ("1.0~rc1~git123", Less, "1.0~rc1"),
            ("1.0^", Greater, "1.0"),
            ("1.0^git1", Less, "1.0^git2"),
            ("1.0^git1", Less, "1.01"),
            ("1.0^20160101", Less, "1.0.1"),
            ("1.0~rc1^git1", Greater, "1.0~rc1"),
            ("1.0^git1~pre", Less, "1.0^git1"),
        ],
    );
    ascends(Rpm, &["1.0-1.el9", "1.0-2.el9", "1.0-10.el9", "1.1-1.el9", "1:0.1-1", "2:0.0-0"]);
    equal(Rpm, &["1.0-1", "0:1.0-1"]);
}

#[test]
fn pypi_orders_as_pep_440_lists_it() {
    ascends(
        PyPi,
        &[
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.0.15",
            "1.1.dev1",
            "1!0.1",
        ],
    );
    equal(PyPi, &["1.0", "1.0.0", "1", "v1.0", "0!1.0"]);
    equal(PyPi, &["1.0a1", "1.0alpha1", "1.0-a.1", "1.0.A1"]);
    equal(PyPi, &["1.0rc1", "1.0c1", "1.0-preview1"]);
    equal(PyPi, &["1.0-1", "1.0.post1", "1.0-r1"]);
}

#[test]
fn maven_orders_as_its_reference_states() {
    ascends(Maven, &["1-alpha", "1-beta", "1-milestone", "1-rc", "1-snapshot", "1", "1-sp", "1-foo", "1-1", "1.1"]);
    ascends(Maven, &["1-foo2", "1-foo10"]);
    ascends(Maven, &["1-sp-1", "1-ga-1"]);
    ascends(Maven, &["1-ga.1", "1-sp.1"]);
    ascends(Maven, &["2.0-alpha-1", "2.0-alpha-2", "2.0-beta-1", "2.0", "2.0-1", "2.0.1", "2.1", "10"]);
    ascends(Maven, &["31.0-android", "31.0.1-android", "31.1-android", "31.1-jre", "32.0.0-android"]);
    ascends(Maven, &["4.1.99.Final", "4.1.100.Final", "4.2.0.Alpha1", "4.2.0.Final"]);
    ascends(Maven, &["99999999999999999998", "99999999999999999999", "100000000000000000000"]);
    // Not transitive if a word behind a dot were another than one behind a hyphen.
    ascends(Maven, &["1.0.alpha", "1", "1-1"]);
    equal(Maven, &["1", "1.0", "1.0.0", "1.ga", "1-ga", "1.final", "1-0", "1.", "1-", "1.0.0-0.0.0", "1-RELEASE"]);
    equal(Maven, &["1.foo", "1-foo", "1foo", "1.0.0-foo.0.0", "1-FOO"]);
    equal(Maven, &["1-a1", "1-alpha-1", "1.0alpha1", "1a1"]);
    equal(Maven, &["1-1.foo-bar1baz-.1", "1-1.foo-bar-1-baz-0.1"]);
    equal(Maven, &["1-cr2", "1-rc2", "1.0.RC2"]);
    equal(Maven, &["1.01", "1.1", "1.001.0"]);
    assert_eq!(compare(Maven, "1-a", "1-alpha"), Greater, "a stands for alpha only before a number");
}

#[test]
fn semver_orders_as_its_rules_state() {
    ascends(
        SemVer,
        &[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.9.0",
            "1.10.0",
            "2.0.0",
            "v2.1.0",
        ],
    );
    equal(SemVer, &["1.0.0", "1.0.0+build.1", "v1.0.0+incompatible"]);
    for none in ["1", "1.0", "01.0.0", "1.0.0-01", "1.0.0.0", "vv1.0.0", "18446744073709551616.0.0"] {
        assert!(!is_version(SemVer, none), "{none}");
    }
}

#[test]
fn what_is_no_version_comes_before_all_that_are() {
    for ecosystem in Ecosystem::ALL {
        for none in ["", " ", "~", "\u{0}", "\u{1f980}", "--", ":"] {
            assert!(!is_version(ecosystem, none), "{ecosystem:?}: {none:?}");
            assert_eq!(compare(ecosystem, none, "0.0.0-0"), Less, "{ecosystem:?}: {none:?}");
        }
        assert_eq!(compare(ecosystem, "", " "), Less);
    }
    assert!(!is_version(Dpkg, "4294967296:1"), "an epoch that no package manager takes");
    assert!(!is_version(Rpm, "x:1"));
    assert!(!is_version(PyPi, "2004d"));
}

#[test]
fn dpkg_itself_agrees_on_the_versions_of_this_host() {
    let shown = Command::new("dpkg-query").args(["-W", "-f", "${Version}\\n"]).output().expect("dpkg is needed");
    let shown = String::from_utf8(shown.stdout).unwrap();
    let mut versions: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    versions.sort_unstable();
    versions.dedup();
    assert!(versions.len() > 50, "{} versions", versions.len());
    // Near neighbours share a beginning, where the order is decided late; far ones decide early.
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (i, a) in versions.iter().enumerate() {
        pairs.extend([1, 2, 3, 7, 97].iter().map(|step| (*a, versions[(i + step) % versions.len()])));
    }
    pairs.truncate(3000);
    // One shell for many calls of dpkg.
    let mut script = String::from("set -f\n");
    for (a, b) in &pairs {
        script += &format!(
            "if dpkg --compare-versions '{a}' lt '{b}'; then echo lt; elif dpkg --compare-versions '{a}' eq '{b}'; then echo eq; else echo gt; fi\n"
        );
    }
    let mut child = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, script.as_bytes()));
    let said = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let said: Vec<Ordering> = said
        .lines()
        .map(|line| match line {
            "lt" => Less,
            "eq" => Equal,
            _ => Greater,
        })
        .collect();
    assert_eq!(said.len(), pairs.len());
    let wrong: Vec<_> = pairs.iter().zip(&said).filter(|((a, b), order)| compare(Dpkg, a, b) != **order).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Texts made of what versions are made of, and now and then of anything.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[0-9]{1,3}",
        6 => "[.-]",
        2 => prop::sample::select(vec!["~", "^", "+", ":", "_", "!", "v", "a", "b", "c", "rc", "alpha", "beta", "m"])
            .prop_map(str::to_owned),
        2 => prop::sample::select(vec!["ga", "final", "sp", "snapshot", "foo", "dev", "post", "el9", "00", ".0", "-0"])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec!["18446744073709551616", "99999999999999999999999", "é", " ", "\u{0}", "٣"])
            .prop_map(str::to_owned),
    ];
    prop_oneof![
        9 => prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_is_total(a in text(), b in text(), c in text()) {
        for ecosystem in Ecosystem::ALL {
            let (x, y, z) = (Version::new(ecosystem, &a), Version::new(ecosystem, &b), Version::new(ecosystem, &c));
            prop_assert_eq!(x.cmp(&x.clone()), Equal);
            prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse(), "{:?}", ecosystem);
            let mut sorted = [&x, &y, &z];
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[1] && sorted[1] <= sorted[2] && sorted[0] <= sorted[2], "{:?}: {:?}", ecosystem, sorted);
            // What is equal is equal to a third in the same way.
            if x == y {
                prop_assert_eq!(x.cmp(&z), y.cmp(&z), "{:?}", ecosystem);
            }
        }
    }
}
