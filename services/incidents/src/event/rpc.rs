//! Validates and translates `ReportAuthEvents`.

use std::net::IpAddr;

use cwpp_access::TenantScope;
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::incidents::v1::{AuthEvent, AuthOutcome, ReportAuthEventsRequest, ReportAuthEventsResponse};

use super::{Batch, Event, Outcome, ops};
use crate::rpc::Rpc;
use crate::time;

/// Most events of a batch.
const EVENTS: usize = 1_000;
/// Most attempts that one event stands for.
const ATTEMPTS: u32 = 10_000;

pub(crate) async fn report(
    rpc: &Rpc,
    scope: TenantScope,
    request: ReportAuthEventsRequest,
) -> Result<ReportAuthEventsResponse> {
    let batch = batch(request)?;
    let taken = ops::report(&rpc.db, &rpc.clock, &rpc.detection, &scope, &batch).await?;
    Ok(ReportAuthEventsResponse {
        next_sequence: taken.next_sequence.unsigned_abs(),
        taken: u32::try_from(taken.taken).unwrap_or(u32::MAX),
        incident_ids: taken.incident_ids.iter().map(ToString::to_string).collect(),
    })
}

fn batch(request: ReportAuthEventsRequest) -> Result<Batch> {
    let mut violations = Violations::new();
    let machine_id = violations.uuid("machine_id", &request.machine_id);
    let spool_id = violations.uuid("spool_id", &request.spool_id);
    // The number after the last event must still be one that can be stored.
    let most = i64::MAX - i64::try_from(EVENTS).unwrap_or_default();
    let first = i64::try_from(request.first_sequence).ok().filter(|first| (1..=most).contains(first));
    violations.check(first.is_some(), "first_sequence", format!("must be 1 to {most}"));
    let number = request.events.len();
    violations.check((1..=EVENTS).contains(&number), "events", format!("must have 1 to {EVENTS} items, has {number}"));
    let events: Vec<Option<Event>> = request
        .events
        .into_iter()
        .take(EVENTS)
        .enumerate()
        .map(|(index, event)| self::event(&mut violations, index, event))
        .collect();
    violations.finish()?;
    Ok(Batch {
        machine_id: machine_id.unwrap_or_default(),
        spool_id: spool_id.unwrap_or_default(),
        first_sequence: first.unwrap_or_default(),
        events: events.into_iter().flatten().collect(),
    })
}

fn event(violations: &mut Violations, index: usize, event: AuthEvent) -> Option<Event> {
    let field = |name: &str| format!("events[{index}].{name}");
    let moment = event.event_time.as_ref().and_then(time::stored);
    violations.check(moment.is_some(), field("event_time"), "must be a time of the years 1970 to 9999");
    violations.length(field("account"), &event.account, 1, 255);
    let source = source_address(&event.source_address);
    violations.check(source.is_some(), field("source_address"), "must be an IPv4 or IPv6 address");
    violations.check(event.source_port <= 65_535, field("source_port"), "must be at most 65535");
    violations.length(field("service"), &event.service, 1, 63);
    let outcome = match AuthOutcome::try_from(event.outcome) {
        Ok(AuthOutcome::Failed) => Some(Outcome::Failed),
        Ok(AuthOutcome::FailedUnknownAccount) => Some(Outcome::FailedUnknownAccount),
        Ok(AuthOutcome::Accepted) => Some(Outcome::Accepted),
        Ok(AuthOutcome::Unspecified) | Err(_) => None,
    };
    violations.check(outcome.is_some(), field("outcome"), "must be FAILED, FAILED_UNKNOWN_ACCOUNT or ACCEPTED");
    violations.length(field("method"), &event.method, 0, 63);
    violations.check((1..=ATTEMPTS).contains(&event.count), field("count"), format!("must be 1 to {ATTEMPTS}"));
    Some(Event {
        time: moment?,
        account: event.account,
        source: source?,
        service: event.service,
        outcome: outcome?,
        count: u64::from(event.count),
    })
}

/// Reads an address; an IPv4 address in IPv6 form is the IPv4 address.
pub(crate) fn source_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_of_every_event_is_named_at_once() {
        let bad = AuthEvent {
            source_address: "evil.example".into(),
            source_port: 70_000,
            method: "x".repeat(64),
            count: 10_001,
            outcome: 9,
            account: "a".repeat(256),
            ..Default::default()
        };
        let request = ReportAuthEventsRequest { events: vec![bad, AuthEvent::default()], ..Default::default() };
        let error = batch(request).unwrap_err();
        let fields: Vec<&str> = error.violations().iter().map(|violation| violation.field.as_str()).collect();
        let of =
            |index: usize, names: &[&str]| names.iter().map(|n| format!("events[{index}].{n}")).collect::<Vec<_>>();
        let mut expected: Vec<String> = ["machine_id", "spool_id", "first_sequence"].map(str::to_owned).into();
        expected.extend(of(
            0,
            &["event_time", "account", "source_address", "source_port", "service", "outcome", "method", "count"],
        ));
        expected.extend(of(1, &["event_time", "account", "source_address", "service", "outcome", "count"]));
        assert_eq!(fields, expected);
    }

    #[test]
    fn addresses_have_one_form() {
        assert_eq!(source_address("::ffff:192.0.2.1"), source_address("192.0.2.1"));
        assert_eq!(source_address("2001:DB8:0::1"), source_address("2001:db8::1"));
        for text in ["", "192.0.2", "192.0.2.1 port 22", "fe80::1%eth0"] {
            assert_eq!(source_address(text), None, "{text}");
        }
    }
}
