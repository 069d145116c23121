//! Reads what sshd wrote into the system's log, and makes authentication events of it.
//!
//! **Which lines count.** `Accepted …` is a login. `Failed METHOD for …` is an attempt, times N inside `message
//! repeated N times: [ … ]`; the method `none`, with which a client only asks what is possible, is not. A connection
//! that sshd gave up or that was closed before a login counts once if no failed attempt was written for it: its user
//! is unknown (`Invalid user …`), or sshd names the user as it closes (`… by authenticating user …`, `maximum
//! authentication attempts exceeded …`). PAM's own lines say the same once more and do not count, nor do `Postponed`
//! and `Partial`, which are steps of one login.
//!
//! **Forged lines.** A client chooses the user's name, so names that look like log text are expected: a message is
//! read from its right end, where sshd itself wrote the address, and only if the line's own program is sshd. What
//! stays ambiguous (name and certificate both made up to look alike) yields no event but is counted.

mod attempt;
mod clock;
mod line;
mod message;

use std::io::{self, BufRead, Write};
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use clock::{YearRule, Zone};
pub use line::{MAX_LINE, Reader, ReaderState, Statistics};

/// What was logged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Service {
    /// OpenSSH's server.
    Ssh,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The account exists and was not opened.
    Failed,
    /// There is no such account, or it may not log in.
    FailedUnknownAccount,
    /// Logged in.
    Accepted,
}

/// How somebody tried to prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// A password.
    Password,
    /// A key or a certificate.
    PublicKey,
    /// Questions and answers, most often PAM asking for a password.
    KeyboardInteractive,
    /// The key of the client's host.
    HostBased,
    /// Kerberos.
    Gssapi,
    /// Another one.
    Other,
}

/// One authentication event, or several equal ones that the log counts together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthEvent {
    /// When it was logged.
    pub time: DateTime<Utc>,
    /// The account's name as the client sent it; may be empty.
    pub account: String,
    /// Where the client is.
    pub source_address: IpAddr,
    /// The client's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// What was logged into.
    pub service: Service,
    /// How it ended.
    pub outcome: Outcome,
    /// The method; absent when the connection ended before one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// How many attempts this stands for, at least one.
    pub count: u32,
    /// True when the name held bytes that are no UTF-8, shown as `\xNN`.
    pub escaped: bool,
    /// True when the name was too long and was cut.
    pub truncated: bool,
}

/// Reads a whole log, as it stands.
pub fn read_events(input: impl BufRead, reader: &mut Reader, mut event: impl FnMut(AuthEvent)) -> io::Result<()> {
    let mut lines = lines(input);
    while let Some(line) = lines.next(true)? {
        reader.line(&line, &mut event);
    }
    reader.finish(&mut event);
    Ok(())
}

/// The lines of a log, for the spool.
pub(crate) fn lines<R: BufRead>(input: R) -> line::Lines<R> {
    line::Lines::new(input)
}

/// Prints events as JSON, one object a line.
pub fn print_events<'a>(events: impl IntoIterator<Item = &'a AuthEvent>, mut out: impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
