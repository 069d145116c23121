//! Takes secrets out of command lines before they leave the host. What is known to carry a secret is replaced by
//! [`REDACTED`], name and shape stay: `--password=***`. Rather too much than too little: a name that speaks of a
//! secret loses its value even if that was none, unless it names a file or a number (`--token-file`, `--max-tokens`).

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::text::Fields;

/// Stands for what was taken out.
pub(crate) const REDACTED: &str = "***";
/// The most bytes of a command line that are looked at; what is kept of it is far less, so no secret is cut in two.
const WINDOW: usize = 16 << 10;

/// Words that make a name the name of a secret, wherever in it they stand.
const SECRET_WORDS: &str = "passw(?:or)?d|passphrase|passwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|account[-_.]?key|credential|bearer|signature";
/// Words that do so when they are the whole name, or a part of it between `-`, `_` and `.`.
const SECRET_PARTS: [&str; 10] = ["pass", "pwd", "auth", "passin", "passout", "cookie", "jwt", "pw", "psk", "sig"];
/// Ends of names whose values are no secret, though the name speaks of one.
const HARMLESS_ENDS: [&str; 12] =
    ["file", "path", "dir", "directory", "tokens", "ttl", "timeout", "expiry", "length", "endpoint", "issuer", "type"];

static SECRET_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i){SECRET_WORDS}")).ok());

/// Shapes that are secrets whatever stands before them, and where the secret is: its whole, or around a name.
static SHAPES: LazyLock<Vec<(Regex, &'static str)>> =
    LazyLock::new(|| shapes().into_iter().filter_map(|(shape, by)| Some((Regex::new(&shape).ok()?, by))).collect());

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\w.-]+").ok());

/// What stands between a name and its value, and the value: `name=value`, `name: value`, `"name":"value"`, `--name value`.
static VALUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?s)^(\s*=\s*|["']?\s*:\s*|\s+)("[^"]*"?|'[^']*'?|[^\s&;,"'|)}]+)"#).ok());

fn shapes() -> Vec<(String, &'static str)> {
    let rule = |shape: &str, by| (shape.to_owned(), by);
    vec![
        rule(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", "***"),
        rule(r"([A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@", "${1}:***@"),
        rule(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@]{16,}@", "${1}***@"),
        rule(
            r#"(?i)\b((?:proxy-)?authorization|x-auth-token|x-api-key|(?:set-)?cookie)(\s*[:=]\s*)[^"'\n]+"#,
            "${1}${2}***",
        ),
        rule(r"(?i)\b(bearer|basic|negotiate)\s+[A-Za-z0-9+/_.~=-]{8,}", "${1} ***"),
        rule(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", "***"),
        rule(r"\bgh[pousr]_[A-Za-z0-9]{20,}", "***"),
        rule(r"\bgithub_pat_[A-Za-z0-9_]{20,}", "***"),
        rule(r"\bglpat-[A-Za-z0-9_-]{16,}", "***"),
        rule(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", "***"),
        rule(r"\bsk-[A-Za-z0-9_-]{20,}", "***"),
        rule(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?", "***"),
        // Programs whose short options take a secret, inside a line for a shell.
        rule(r"\b((?:mysql|mariadb)\w*(?:-\w+)*\b[^|;&\n]*?\s-p)[^\s|;&]+", "${1}***"),
        rule(r"\b(sshpass\b[^|;&\n]*?\s-p\s*)[^\s|;&]+", "${1}***"),
        rule(r"\b(redis-cli\b[^|;&\n]*?\s-a\s*)[^\s|;&]+", "${1}***"),
        rule(r"\b(ldap\w+\b[^|;&\n]*?\s-w\s*)[^\s|;&]+", "${1}***"),
        rule(r"(\s|^)((?:-u|-U|--user|--proxy-user)[\s=]*[^\s:%]+[:%])[^\s|;&]+", "${1}${2}***"),
        rule(r"\b(pass:)[^\s|;&]+", "${1}***"),
    ]
}

/// Redacts a text for a shell, such as a job's command.
pub(crate) fn text(text: &str) -> String {
    let (Some(names), Some(values)) = (&*NAME, &*VALUE) else { return REDACTED.to_owned() };
    let mut out = String::with_capacity(text.len());
    let (mut copied, mut at) = (0, 0);
    while let Some(name) = names.find_at(text, at) {
        at = name.end();
        let found = values.captures(&text[at..]).filter(|_| is_secret_name(name.as_str()));
        let Some((between, value)) = found.and_then(|found| Some((found.get(1)?, found.get(2)?))) else { continue };
        // Without `=` or `:` only an option takes the next word for its value.
        let is_option = name.as_str().starts_with('-') && !value.as_str().starts_with('-');
        if between.as_str().trim().is_empty() && !is_option {
            continue;
        }
        out.push_str(&text[copied..at + between.end()]);
        out.push_str(REDACTED);
        at += value.end();
        copied = at;
    }
    out.push_str(&text[copied..]);
    for (shape, by) in &*SHAPES {
        if let Cow::Owned(replaced) = shape.replace_all(&out, *by) {
            out = replaced;
        }
    }
    out
}

/// Puts arguments together as one line without secrets, at most `cap` bytes. A word after an option that takes a
/// secret is gone whole, whatever it holds.
pub(crate) fn arguments<'a>(
    args: impl Iterator<Item = &'a [u8]>,
    fields: &mut Fields,
    name: &str,
    cap: usize,
) -> String {
    let (mut line, mut seen) = (String::new(), 0);
    let mut program = String::new();
    let mut next_is_secret = false;
    let mut cut = false;
    for (at, arg) in args.enumerate() {
        if seen >= WINDOW {
            cut = true;
            break;
        }
        let shown = &arg[..arg.len().min(WINDOW - seen)];
        cut |= shown.len() < arg.len();
        seen += shown.len() + 1;
        let arg = fields.text(name, shown, WINDOW * 4);
        if at == 0 {
            program = arg.rsplit('/').next().unwrap_or_default().to_owned();
        } else {
            line.push(' ');
        }
        if next_is_secret && !arg.starts_with("--") {
            line.push_str(REDACTED);
            next_is_secret = false;
            continue;
        }
        next_is_secret = at > 0 && takes_secret(&program, &arg);
        match attached_secret(&program, &arg) {
            Some(option) if at > 0 => {
                line.push_str(option);
                line.push_str(REDACTED);
            }
            _ => line.push_str(&text(&arg)),
        }
    }
    // Options and their values in two words, as a shell would have them.
    let mut line = text(&line);
    if crate::text::cap(&mut line, cap) || cut {
        fields.truncated.push(name.to_owned());
    }
    fields.truncated.dedup();
    line
}

/// True for an option whose value is the next word, and a secret.
fn takes_secret(program: &str, arg: &str) -> bool {
    if arg.starts_with('-') && !arg.contains(['=', ':', ' ']) && is_secret_name(arg) {
        return true;
    }
    match arg {
        "-p" => program == "sshpass" || program == "useradd" || program == "usermod",
        "-a" => program == "redis-cli",
        "-w" => program.starts_with("ldap"),
        _ => false,
    }
}

/// The option of an argument like `-psecret`.
fn attached_secret<'a>(program: &str, arg: &'a str) -> Option<&'a str> {
    let option = arg.get(..2)?;
    let takes = match option {
        "-p" => program.starts_with("mysql") || program.starts_with("mariadb") || program == "sshpass",
        "-a" => program == "redis-cli",
        "-w" => program.starts_with("ldap"),
        _ => false,
    };
    (takes && arg.len() > 2).then_some(option)
}

/// True when a name speaks of a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    let lower = name.to_ascii_lowercase();
    if HARMLESS_ENDS.iter().any(|end| lower.ends_with(end)) {
        return false;
    }
    SECRET_NAME.as_ref().is_none_or(|words| words.is_match(name))
        || lower.split(['-', '_', '.']).any(|part| SECRET_PARTS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(args: &[&str]) -> String {
        arguments(args.iter().map(|arg| arg.as_bytes()), &mut Fields::default(), "command_line", 4_096)
    }

    #[test]
    fn every_rule_is_a_valid_expression() {
        assert_eq!(SHAPES.len(), shapes().len());
        assert!(NAME.is_some() && VALUE.is_some() && SECRET_NAME.is_some());
    }

    #[test]
    fn no_secret_of_a_known_shape_stays_in_a_command_line() {
        let lines: &[&[&str]] = &[
            &["app", "--password=S3CRET"],
            &["app", "--db-password", "S3CRET with spaces"],
            &["app", "-Djavax.net.ssl.keyStorePassword=S3CRET"],
            &["app", "PGPASSWORD=S3CRET"],
            &["app", "--api-key", "S3CRET", "--port", "80"],
            &["app", "--token", "-S3CRET"],
            &["/usr/bin/mysql", "-uroot", "-pS3CRET", "db"],
            &["sshpass", "-p", "S3CRET", "ssh", "host"],
            &["redis-cli", "-a", "S3CRET"],
            &["curl", "-u", "ann:S3CRET", "https://example.org"],
            &["curl", "--user", "ann:S3CRET"],
            &["curl", "-H", "Authorization: Bearer S3CRETS3CRET"],
            &["git", "clone", "https://ann:S3CRET@example.org/x"],
            &["git", "clone", "https://S3CRETS3CRETS3CRET@example.org/x"],
            &["sh", "-c", "mysqldump --single-transaction -pS3CRET db | gzip"],
            &["sh", "-c", "export TOKEN='S3CRET S3CRET'; run"],
            &["sh", "-c", "run --secret S3CRET --port 80"],
            &["run", r#"{"password": "S3CRET", "port": 1}"#],
            &["run", "Server=db;Password=S3CRET;Port=1"],
            &["run", "https://example.org/?access_token=S3CRET&x=1"],
            &["openssl", "rsa", "-passin", "pass:S3CRET"],
            &["run", "-----BEGIN RSA PRIVATE KEY-----\nS3CRET\n-----END RSA PRIVATE KEY-----"],
        ];
        for line in lines {
            let shown = joined(line);
            assert!(!shown.contains("S3CRET"), "{shown}");
            assert!(shown.contains(REDACTED), "{shown}");
        }
        assert!(!joined(&["run", "AKIAIOSFODNN7EXAMPLE"]).contains("AKIA"));
    }

    #[test]
    fn what_is_no_secret_stays() {
        for line in [
            &["/usr/sbin/nginx", "-g", "daemon off;"][..],
            &["java", "-Xmx1g", "-jar", "/opt/a.jar", "--server.port=8080"],
            &["kubelet", "--token-file=/var/run/token", "--max-tokens=7"],
            &["docker", "run", "-p", "80:80", "image"],
            &["ssh", "-p", "22", "ann@host"],
            &["curl", "https://example.org:8080/a@b"],
            &["mysqld", "--datadir=/var/lib/mysql", "--port=3306"],
        ] {
            assert_eq!(joined(line), line.join(" "));
        }
    }

    #[test]
    fn a_long_line_is_cut_and_never_through_a_secret() {
        let mut fields = Fields::default();
        let password = format!("--password={}", "S3CRET".repeat(200_000));
        let args = [b"run".as_slice(), password.as_bytes(), b"tail"];
        let line = arguments(args.into_iter(), &mut fields, "command_line", 4_096);
        assert!(!line.contains("S3CRET"));
        assert_eq!(fields.truncated, ["command_line"]);
        let many = vec![b"x".as_slice(); 100_000];
        assert_eq!(arguments(many.into_iter(), &mut Fields::default(), "command_line", 4_096).len(), 4_096);
    }
}
