//! Takes secrets out of command lines.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexBuilder};

/// Rises whenever [`SHAPES`] change, so that what was redacted otherwise is collected again.
pub const REVISION: u32 = 2;

/// What stands for a secret.
pub const MASK: &str = "***";

/// A secret as it stands behind `=` or `:`: quoted parts and plain ones, up to the next blank.
macro_rules! value {
    () => {
        r#"(?:"[^"]*"?|'[^']*'?|[^\s"'&;]+)+"#
    };
}

/// Words that name a secret, alone or at the end of a longer name.
macro_rules! word {
    () => {
        r"(?:password|passwd|passphrase|passwort|pwd|pass|secret|token|api[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key|account[-_]?key|credentials?|auth)"
    };
}

/// The shapes of secrets.
const SHAPES: &[&str] = &[
    // The password of a URL: scheme://user:password@host.
    r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@'\x22]*:)(?P<secret>[^\s/@'\x22]+)@",
    // The user of a URL, where it is long enough for a token: https://TOKEN@host.
    r"(?P<keep>\b[a-z][a-z0-9+.-]*://)(?P<secret>[^\s/:@'\x22]{16,})@",
    // Authorization headers.
    r"(?P<keep>\bauthorization\s*[:=]\s*(?:(?:bearer|basic|token|digest)\s+)?)(?P<secret>[^\s'\x22]+)",
    r"(?P<keep>\bbearer\s+)(?P<secret>[^\s'\x22]+)",
    // NAME=value, --name=value, name: value, "name": "value", also in a query of a URL. The name may begin or go on with
    // other words, with or without anything between them.
    concat!(r"(?P<keep>[\w.-]*", word!(), r"(?:[-_](?:file|id))?[\x22']?\s*[=:]\s*)(?P<secret>", value!(), ")"),
    // --name value, -name value.
    concat!(
        r"(?P<keep>(?:^|\s)--?[\w.-]*",
        word!(),
        r"\s+)(?P<secret>(?:\x22[^\x22]*\x22?|'[^']*'?|[^\s\x22'-])(?:\x22[^\x22]*\x22?|'[^']*'?|[^\s\x22'])*)"
    ),
    // curl's user:password.
    r"(?P<keep>(?:^|\s)(?:-u|--user|--proxy-user|-U)[\s=]*[^\s:'\x22]+:)(?P<secret>[^\s'\x22]+)",
    // The clients of databases and sshpass take -pSECRET.
    r"(?P<keep>(?:^|[\s/])(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|mariadb-admin|sshpass)\b(?:.*?\s)?-p\s?)(?P<secret>[^\s'\x22-][^\s'\x22]*)",
    // redis-cli takes -a SECRET.
    r"(?P<keep>(?:^|[\s/])redis-cli\b(?:.*?\s)?-a\s+)(?P<secret>[^\s]+)",
    // Things that are secrets by their looks: JSON web tokens, keys of clouds and forges, private keys.
    r"(?P<keep>)(?P<secret>\beyJ[a-z0-9_-]{8,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?)",
    r"(?P<keep>)(?P<secret>\b(?:AKIA|ASIA|AKID)[a-z0-9]{12,}\b)",
    r"(?P<keep>)(?P<secret>\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-)[a-z0-9_-]{10,})",
    r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<secret>[^-]+)",
];

static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |shape: &&str| RegexBuilder::new(shape).case_insensitive(true).build();
    // A shape that does not compile fails the tests of this crate, not a caller.
    SHAPES.iter().filter_map(|shape| compile(shape).ok()).collect()
});

/// Replaces every known shape of a secret by [`MASK`].
pub fn command_line(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for shape in COMPILED.iter() {
        let replaced = shape.replace_all(&text, |found: &Captures<'_>| {
            let whole = found.get(0).map_or(0..0, |m| m.range());
            let secret = found.name("secret").map_or(whole.clone(), |m| m.range());
            let text = text.as_ref();
            format!("{}{MASK}{}", &text[whole.start..secret.start], &text[secret.end..whole.end])
        });
        if let Cow::Owned(replaced) = replaced
            && replaced != *text
        {
            text = Cow::Owned(replaced);
        }
    }
    text
}

/// Replaces a value whose name says that it is a secret, or that is one by its looks.
pub fn named(name: &str, value: &str) -> String {
    let line = format!("{name}={value}");
    match command_line(&line).strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
        // One whose first word is a secret is one to its end, blanks or not.
        Some(value) if !value.starts_with(MASK) => value.to_owned(),
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_shapes_are_another_revision() {
        let shapes = blake3::hash(SHAPES.join("\n").as_bytes()).to_hex();
        assert_eq!((REVISION, &shapes[..16]), (2, "cc303a3a7f8564eb"), "raise REVISION, and write both down here");
    }

    #[test]
    fn a_value_is_a_secret_by_its_name_or_its_looks() {
        for (name, value, wanted) in [
            ("passphrase", "open sesame", MASK),
            ("auth_token", "1", MASK),
            ("url", "https://bob:hunter2@example.org", "https://bob:***@example.org"),
            ("debug", "0", "0"),
            ("debug", "", ""),
        ] {
            assert_eq!(named(name, value), wanted, "{name}={value}");
        }
    }

    #[test]
    fn every_shape_compiles() {
        assert_eq!(COMPILED.len(), SHAPES.len());
    }

    #[test]
    fn secrets_are_replaced_and_the_rest_stays() {
        for (text, wanted) in [
            ("/usr/bin/app --password=hunter2 -v", "/usr/bin/app --password=*** -v"),
            ("app --password hunter2 --port 80", "app --password *** --port 80"),
            ("app --db-password 'two words' x", "app --db-password *** x"),
            (
                "app -Djavax.net.ssl.keyStorePassword=changeit -jar a.jar",
                "app -Djavax.net.ssl.keyStorePassword=*** -jar a.jar",
            ),
            (r#"run {"password": "a b", "port": 1}"#, r#"run {"password": *** "port": 1}"#),
            ("git clone https://0123456789abcdef@example.org", "git clone https://***@example.org"),
            ("PGPASSWORD=a1 psql -h db", "PGPASSWORD=*** psql -h db"),
            ("AWS_SECRET_ACCESS_KEY=abc/def= run", "AWS_SECRET_ACCESS_KEY=*** run"),
            ("curl https://bob:s3cret@example.org/x", "curl https://bob:***@example.org/x"),
            ("curl -u bob:s3cret https://example.org", "curl -u bob:*** https://example.org"),
            ("curl -H 'Authorization: Bearer abc.def' x", "curl -H 'Authorization: Bearer ***' x"),
            ("curl https://example.org/?token=abc&x=1", "curl https://example.org/?token=***&x=1"),
            ("mysql -h db -uroot -phunter2 shop", "mysql -h db -uroot -p*** shop"),
            ("sshpass -p hunter2 ssh db", "sshpass -p *** ssh db"),
            ("redis-cli -h x -a hunter2 ping", "redis-cli -h x -a *** ping"),
            ("run AKIAIOSFODNN7EXAMPLE now", "run *** now"),
            ("run eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln now", "run *** now"),
        ] {
            assert_eq!(command_line(text), wanted);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "/usr/sbin/nginx -g daemon off;",
            "nc -p 8080 -l",
            "/usr/bin/python3 -m http.server 8000",
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
            "ssh -p 22 bob@example.org",
            "docker run -p 80:80 nginx",
            "postgres: writer process",
        ] {
            assert_eq!(command_line(text), text);
        }
    }

    proptest! {
        #[test]
        fn redacting_twice_gives_what_redacting_once_gives(
            text in "(--|-| |[a-z]{0,4}|password|token|=|:|'|\"|://|@|-p|mysql|curl|-u|\\*\\*\\*|ü){0,24}"
        ) {
            let once = command_line(&text).into_owned();
            prop_assert_eq!(command_line(&once).into_owned(), once);
        }
    }
}
