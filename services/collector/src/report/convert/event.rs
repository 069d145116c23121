//! Events of sshd's log.

use cwpp_contracts::incidents::v1 as incidents;

use super::time;
use crate::authlog::{AuthEvent, Method, Outcome, Service};

/// Stands for a user's name of no letters, which sshd admits and the contract does not.
const NO_NAME: &str = "(empty)";

pub(in crate::report) fn event(event: &AuthEvent) -> incidents::AuthEvent {
    let outcome = match event.outcome {
        Outcome::Failed => incidents::AuthOutcome::Failed,
        Outcome::FailedUnknownAccount => incidents::AuthOutcome::FailedUnknownAccount,
        Outcome::Accepted => incidents::AuthOutcome::Accepted,
    };
    let method = match event.method {
        None => "",
        Some(Method::Password) => "password",
        Some(Method::PublicKey) => "publickey",
        Some(Method::KeyboardInteractive) => "keyboard-interactive",
        Some(Method::HostBased) => "hostbased",
        Some(Method::Gssapi) => "gssapi",
        Some(Method::Other) => "other",
    };
    let service = match event.service {
        Service::Ssh => "ssh",
    };
    incidents::AuthEvent {
        event_time: Some(time(event.time)),
        account: if event.account.is_empty() { NO_NAME.to_owned() } else { event.account.clone() },
        source_address: event.source_address.to_string(),
        source_port: event.source_port.map_or(0, u32::from),
        service: service.to_owned(),
        outcome: outcome.into(),
        method: method.to_owned(),
        count: event.count,
        escaped: event.escaped,
    }
}
