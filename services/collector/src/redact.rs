//! Arguments as one line without secrets. The shapes of secrets are those of `cwpp-redaction`, which the server uses again;
//! here, where the arguments are still apart, a value that is a secret is also known as a whole, whatever it holds.

use std::sync::LazyLock;

use cwpp_redaction::{MASK, command_line};
use regex::Regex;

use crate::text::Fields;

/// The most bytes of a command line that are looked at; what is kept of it is far less, so no secret is cut in two.
const WINDOW: usize = 16 << 10;

/// Options whose value is a secret: a word for one stands in them, and they name no file and no number.
static SECRET_OPTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^--?[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|account[-_.]?key|credentials?|(?:^|[-_.])(?:pass|pwd|auth|passin|passout|psk))$").ok()
});

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
            line.push_str(MASK);
            next_is_secret = false;
            continue;
        }
        next_is_secret = at > 0 && takes_secret(&program, &arg);
        match attached_secret(&program, &arg) {
            Some(option) if at > 0 => {
                line.push_str(option);
                line.push_str(MASK);
            }
            _ => line.push_str(&command_line(&arg)),
        }
    }
    // Options and their values in two words, as a shell would have them.
    let mut line = command_line(&line).into_owned();
    if crate::text::cap(&mut line, cap) || cut {
        fields.truncated.push(name.to_owned());
    }
    fields.truncated.dedup();
    line
}

/// True for an option whose value is the next word, and a secret.
fn takes_secret(program: &str, arg: &str) -> bool {
    if SECRET_OPTION.as_ref().is_none_or(|options| options.is_match(arg)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(args: &[&str]) -> String {
        arguments(args.iter().map(|arg| arg.as_bytes()), &mut Fields::default(), "command_line", 4_096)
    }

    #[test]
    fn the_expression_is_valid() {
        assert!(SECRET_OPTION.is_some());
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
        let shown: Vec<String> = lines.iter().map(|line| joined(line)).collect();
        let told: Vec<&String> = shown.iter().filter(|line| line.contains("S3CRET") || !line.contains(MASK)).collect();
        assert!(told.is_empty(), "{told:#?}");
        assert!(!joined(&["run", "AKIAIOSFODNN7EXAMPLE"]).contains("AKIA"));
    }

    #[test]
    fn what_is_no_secret_stays() {
        for line in [
            &["/usr/sbin/nginx", "-g", "daemon off;"][..],
            &["java", "-Xmx1g", "-jar", "/opt/a.jar", "--server.port=8080"],
            &["kubelet", "--token-file", "/var/run/token", "--max-tokens=7"],
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
