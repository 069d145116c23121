//! Connections before their login, so that one that ends without a failed attempt is counted once.

use std::collections::VecDeque;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::message::{From, Message};
use super::{AuthEvent, Outcome, Service};
use crate::text;

/// sshd itself cuts names at 100 bytes, each of which it may write as four characters; the contract takes this much.
const ACCOUNT_CAP: usize = 255;
/// One event stands for at most so many attempts; a line that counts more becomes several events.
const COUNT_CAP: u32 = 10_000;
/// sshd allows 100 such connections at once by default.
const OPEN_CAP: usize = 256;
/// No connection stays without a login for longer (sshd gives up after two minutes).
const OPEN_FOR: TimeDelta = TimeDelta::minutes(10);

/// The connections that are open, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connections {
    open: VecDeque<Connection>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Connection {
    pid: Option<u32>,
    address: IpAddr,
    port: Option<u16>,
    since: DateTime<Utc>,
    /// The event to give if nothing better comes; none once an attempt was written.
    pending: Option<AuthEvent>,
}

/// A line's facts beside its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) time: DateTime<Utc>,
    pub(super) pid: Option<u32>,
    pub(super) count: u32,
    pub(super) escaped: bool,
}

impl Connections {
    pub(super) fn message(&mut self, message: Message<'_>, at: Context, give: &mut impl FnMut(AuthEvent)) {
        self.expire(at.time, give);
        match message {
            Message::Failed { method, user, unknown, from } => {
                let outcome = if unknown { Outcome::FailedUnknownAccount } else { Outcome::Failed };
                let mut left = at.count;
                while left > 0 {
                    let count = left.min(COUNT_CAP);
                    left -= count;
                    give(AuthEvent { method: Some(method), count, ..event(user, from, outcome, at) });
                }
                match self.find(at.pid, from) {
                    Some(index) => self.open[index].pending = None,
                    None => self.remember(at, from, None, give),
                }
            }
            Message::Accepted { method, user, from } => {
                let mut event = event(user, from, Outcome::Accepted, at);
                event.method = Some(method);
                give(event);
                if let Some(index) = self.find(at.pid, from) {
                    self.open.remove(index);
                }
            }
            Message::InvalidUser { user, from } => {
                let event = event(user, from, Outcome::FailedUnknownAccount, at);
                self.remember(at, from, Some(event), give);
            }
            Message::Closed { user, unknown, from } => {
                let outcome = if unknown { Outcome::FailedUnknownAccount } else { Outcome::Failed };
                let pending = match self.find(at.pid, from) {
                    // Kept without its event: sshd writes two such lines for some connections.
                    Some(index) => self.open[index].pending.take(),
                    None => {
                        self.remember(at, from, None, give);
                        Some(event(user, from, outcome, at))
                    }
                };
                pending.into_iter().for_each(give);
            }
            Message::Ambiguous => {}
        }
    }

    /// Gives what is pending, at the end of a log.
    pub(super) fn finish(&mut self, give: &mut impl FnMut(AuthEvent)) {
        self.open.drain(..).filter_map(|connection| connection.pending).for_each(give);
    }

    fn find(&self, pid: Option<u32>, from: From) -> Option<usize> {
        self.open.iter().rposition(|open| {
            let same_port = open.port == from.port || open.port.is_none() || from.port.is_none();
            open.pid == pid && open.address == from.address && same_port
        })
    }

    fn remember(&mut self, at: Context, from: From, pending: Option<AuthEvent>, give: &mut impl FnMut(AuthEvent)) {
        if self.open.len() >= OPEN_CAP {
            self.open.pop_front().and_then(|oldest| oldest.pending).into_iter().for_each(give);
        }
        self.open.push_back(Connection {
            pid: at.pid,
            address: from.address,
            port: from.port,
            since: at.time,
            pending,
        });
    }

    fn expire(&mut self, now: DateTime<Utc>, give: &mut impl FnMut(AuthEvent)) {
        while self.open.front().is_some_and(|oldest| now - oldest.since > OPEN_FOR) {
            self.open.pop_front().and_then(|oldest| oldest.pending).into_iter().for_each(&mut *give);
        }
    }
}

fn event(user: &str, from: From, outcome: Outcome, at: Context) -> AuthEvent {
    let mut account = user.replace('\0', "\\x00");
    let escaped = at.escaped || account.len() != user.len();
    let truncated = text::cap(&mut account, ACCOUNT_CAP);
    AuthEvent {
        time: at.time,
        account,
        source_address: from.address,
        source_port: from.port,
        service: Service::Ssh,
        outcome,
        method: None,
        count: 1,
        escaped,
        truncated,
    }
}
