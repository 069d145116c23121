//! The messages of sshd.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use super::Method;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// An attempt that failed.
    Failed { method: Method, user: &'a str, unknown: bool, from: From },
    /// A login.
    Accepted { method: Method, user: &'a str, from: From },
    /// The user is unknown or not allowed; the attempts follow, if any.
    InvalidUser { user: &'a str, from: From },
    /// A connection ended before a login.
    Closed { user: &'a str, unknown: bool, from: From },
    /// The message could be read in two ways, and one of them is a forgery.
    Ambiguous,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct From {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
}

// The user's name is greedy in each: of several places where it could end, the last one counts. (?s) lets it hold anything.

/// sshd's `auth_log`. What may follow the port is a principal or a key's fingerprint, of which no word is free text.
static RESULT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?s)^(Failed|Accepted) (\S+) for (invalid user )?(.*) from (\S+) port (\d{1,5})(?: ssh2)?(?:: (?:\S+|\S+ (?:SHA256:[A-Za-z0-9+/=]+|MD5:[0-9a-f:]+|[0-9a-f:]{47})))?$").ok()
});
/// The same with a certificate, whose id is free text of the client's as well.
static RESULT_WITH_CERTIFICATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?s)^(Failed|Accepted) (\S+) for (invalid user )?(.*) from (\S+) port (\d{1,5}) ssh2: \S+ ID .* \(serial \d+\) CA \S+ \S+$").ok()
});
/// A place in such a message where the user's name could end.
static CERTIFICATE_END: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r" from \S+ port \d{1,5} ssh2: \S+ ID\b").ok());
static INVALID_USER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^(?:Invalid|Illegal) user (.*) from (\S+?)(?: port (\d{1,5}))?$").ok());
static CLOSED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?s)^(?:Connection (?:closed|reset) by|Disconnected from|Disconnecting) (authenticating|invalid) user (.*) (\S+) port (\d{1,5})(?:: Too many authentication failures)?(?: \[preauth\])?$").ok()
});
static TOO_MANY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?s)^(?:error: )?maximum authentication attempts exceeded for (invalid user )?(.*) from (\S+) port (\d{1,5})(?: ssh2)?(?: \[preauth\])?$").ok()
});
static REPEATED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^message repeated (\d{1,9}) times: \[ ?(.*)\]$").ok());

/// No log counts more at once; a line that says so is not believed.
const REPEATED_CAP: u32 = 1_000_000;

/// Takes a message out of `message repeated N times: [ … ]`.
pub(super) fn repeated(message: &str) -> (&str, u32) {
    let captures = REPEATED.as_ref().and_then(|regex| regex.captures(message));
    let inner = captures.and_then(|c| Some((c.get(2)?.as_str(), c.get(1)?.as_str().parse::<u32>().ok()?)));
    match inner {
        Some((inner, count)) if (1..=REPEATED_CAP).contains(&count) => (inner.trim_end(), count),
        _ => (message, 1),
    }
}

/// Reads a message; none when it is not about a login.
pub(super) fn parse(message: &str) -> Option<Message<'_>> {
    // A look at the first word spares most lines the regular expressions.
    let first = message.split(' ').next().unwrap_or_default();
    match first {
        "Failed" | "Accepted" => result(message),
        "Invalid" | "Illegal" => {
            let captures = INVALID_USER.as_ref()?.captures(message)?;
            let user = captures.get(1)?.as_str();
            Some(Message::InvalidUser {
                user,
                from: from(captures.get(2)?.as_str(), captures.get(3).map(|m| m.as_str()))?,
            })
        }
        "Connection" | "Disconnected" | "Disconnecting" => {
            let captures = CLOSED.as_ref()?.captures(message)?;
            let unknown = captures.get(1)?.as_str() == "invalid";
            let user = captures.get(2)?.as_str();
            Some(Message::Closed {
                user,
                unknown,
                from: from(captures.get(3)?.as_str(), Some(captures.get(4)?.as_str()))?,
            })
        }
        "error:" | "maximum" => {
            let captures = TOO_MANY.as_ref()?.captures(message)?;
            let user = captures.get(2)?.as_str();
            let from = from(captures.get(3)?.as_str(), Some(captures.get(4)?.as_str()))?;
            Some(Message::Closed { user, unknown: captures.get(1).is_some(), from })
        }
        _ => None,
    }
}

fn result(message: &str) -> Option<Message<'_>> {
    let captures = match RESULT.as_ref()?.captures(message) {
        Some(captures) => captures,
        None => {
            let captures = RESULT_WITH_CERTIFICATE.as_ref()?.captures(message)?;
            if CERTIFICATE_END.as_ref()?.find_iter(message).nth(1).is_some() {
                return Some(Message::Ambiguous);
            }
            captures
        }
    };
    let method = method(captures.get(2)?.as_str())?;
    let unknown = captures.get(3).is_some();
    let user = captures.get(4)?.as_str();
    let from = from(captures.get(5)?.as_str(), Some(captures.get(6)?.as_str()))?;
    Some(match captures.get(1)?.as_str() {
        "Accepted" => Message::Accepted { method, user, from },
        _ => Message::Failed { method, user, unknown, from },
    })
}

/// None for the method `none`, which is no attempt.
fn method(name: &str) -> Option<Method> {
    let name = name.split('/').next().unwrap_or(name);
    Some(match name {
        "none" => return None,
        "password" => Method::Password,
        "publickey" => Method::PublicKey,
        "keyboard-interactive" | "challenge-response" => Method::KeyboardInteractive,
        "hostbased" => Method::HostBased,
        "gssapi-with-mic" | "gssapi-keyex" | "gssapi" => Method::Gssapi,
        _ => Method::Other,
    })
}

fn from(address: &str, port: Option<&str>) -> Option<From> {
    // A link-local address carries its interface.
    let address = address.split('%').next().unwrap_or(address);
    let address: IpAddr = address.parse().ok()?;
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    Some(From { address: address.to_canonical(), port })
}
