//! The demonstration's log of sshd, of our own making: an ordinary morning, and an attack in it.
//!
//! Addresses are those set aside for documentation (RFC 5737, RFC 3849).

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

/// The network that the demonstration's login whitelist expects.
pub(crate) const OFFICE: &str = "192.0.2.0/24";

/// Writes the log as sshd would have written it in the hour before `now`.
pub(crate) fn log(now: DateTime<Utc>) -> String {
    let mut log = Log { text: String::new(), time: now - TimeDelta::minutes(55), pid: 4100 };
    log.line(60, "Accepted publickey for deploy from 192.0.2.17 port 50112 ssh2: ED25519 SHA256:2b7e151628aed2a6");
    log.line(40, "Failed password for alice from 192.0.2.18 port 50410 ssh2");
    log.line(5, "Accepted password for alice from 192.0.2.18 port 50410 ssh2");
    // One source guesses one password after another, and finds it.
    for attempt in 0..6 {
        log.line(4, &format!("Failed password for root from 203.0.113.9 port {} ssh2", 41000 + attempt));
        log.more(3, "message repeated 2 times: [ Failed password for root from 203.0.113.9 port 41000 ssh2]");
    }
    log.line(6, "Accepted password for root from 203.0.113.9 port 41999 ssh2");
    // Another tries one password on many accounts.
    for (i, account) in
        ["admin", "backup", "ftp", "git", "guest", "mysql", "oracle", "pi", "postgres", "test", "ubuntu", "www"]
            .into_iter()
            .enumerate()
    {
        log.line(9, &format!("Invalid user {account} from 198.51.100.23 port {}", 52000 + i));
        log.more(1, &format!("Failed password for invalid user {account} from 198.51.100.23 port {} ssh2", 52000 + i));
    }
    // A third tries to pass for somebody else: the name is made to look like the end of a line.
    for i in 0..12 {
        log.line(
            7,
            &format!(
                "Failed password for invalid user x from 192.0.2.17 port 22 ssh2 from 2001:db8::bad port {} ssh2",
                60000 + i
            ),
        );
    }
    log.line(300, "Accepted publickey for deploy from 192.0.2.17 port 50999 ssh2: ED25519 SHA256:2b7e151628aed2a6");
    log.text
}

struct Log {
    text: String,
    time: DateTime<Utc>,
    pid: u32,
}

impl Log {
    /// Adds a line of a new connection, some seconds after the line before.
    fn line(&mut self, after_seconds: i64, message: &str) {
        self.pid += 1;
        self.more(after_seconds, message);
    }

    /// Adds a further line of the same connection.
    fn more(&mut self, after_seconds: i64, message: &str) {
        self.time += TimeDelta::seconds(after_seconds);
        let time = self.time.format("%Y-%m-%dT%H:%M:%S%.6f%:z");
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{time} web-1 sshd[{}]: {message}", self.pid);
    }
}
