//! What every method answers to a request that it must refuse.
//!
//! The requests are made without the method's own type: field 1 of every request of scope TENANT is the tenant's number.

use std::collections::BTreeMap;

use cwpp_access::ops::RULES;
use cwpp_access::rule::{Rule, ScopeKind};
use cwpp_chassis::client::Channel;
use cwpp_chassis::{Reason, status};
use cwpp_contracts::codec::ProstCodec;
use cwpp_contracts::configuration::v1::GetTenantRequest;
use cwpp_tests::on_every_backend;
use cwpp_tests::world::{Backend, World};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

on_every_backend![no_method_answers_for_an_unknown_tenant, no_method_takes_what_is_no_message, every_refusal_says_why];

/// A message whose first field is a text, which no request of ours has there.
#[derive(Clone, PartialEq, prost::Message)]
struct Nonsense {
    #[prost(bytes = "vec", tag = "1")]
    text: Vec<u8>,
}

/// Returns the connection to the service that has this method.
pub(crate) fn channel(world: &World, rule: &Rule) -> anyhow::Result<Vec<Channel>> {
    if rule.path.starts_with("/cwpp.erasure") {
        return Ok(vec![world.inventory()?, world.incidents()?, world.configuration()?, world.retention()?]);
    }
    Ok(vec![match rule.path.split('.').nth(1) {
        Some("inventory") => world.inventory()?,
        Some("incidents") => world.incidents()?,
        Some("configuration") => world.configuration()?,
        _ => world.retention()?,
    }])
}

/// Calls any method with any message; an answer is the outcome of its first message.
pub(crate) async fn call<M: prost::Message + 'static>(
    channel: Channel,
    rule: &'static Rule,
    message: M,
) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(rule.path);
    let requests = Request::new(tokio_stream::once(message));
    let mut replies = client.streaming(requests, path, ProstCodec::<M, ()>::default()).await?.into_inner();
    replies.message().await.map(|_| ())
}

async fn no_method_answers_for_an_unknown_tenant(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    let mut seen = BTreeMap::new();
    for rule in RULES.iter().filter(|r| r.scope == ScopeKind::Tenant) {
        for channel in channel(&world, rule)? {
            let refused = call(channel, rule, GetTenantRequest { app_id: 4242 }).await.expect_err(rule.path);
            let reason = status::reason(&refused).unwrap_or_else(|| panic!("{}: no reason in {refused:?}", rule.path));
            // A request that lacks what the method needs may be told so first: that says nothing of the tenant.
            let fine =
                [Reason::TenantUnknown, Reason::InvalidField, Reason::StreamIncomplete, Reason::ReportTokenInvalid];
            assert!(fine.contains(&reason), "{}: {reason:?}", rule.path);
            *seen.entry(reason.as_str()).or_insert(0) += 1;
        }
    }
    assert!(seen["TENANT_UNKNOWN"] > 0, "{seen:?}");
    world.end().await
}

async fn no_method_takes_what_is_no_message(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    for rule in RULES.iter().filter(|r| r.scope == ScopeKind::Tenant) {
        for channel in channel(&world, rule)? {
            let refused = call(channel, rule, Nonsense { text: vec![0xff, 0xfe] }).await.expect_err(rule.path);
            assert_eq!(refused.code(), Code::InvalidArgument, "{}", rule.path);
            assert_eq!(status::reason(&refused), Some(Reason::MalformedMessage), "{}", rule.path);
        }
    }
    world.end().await
}

async fn every_refusal_says_why(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    for rule in RULES.iter().filter(|r| r.scope != ScopeKind::System || r.path.starts_with("/cwpp.erasure")) {
        for channel in channel(&world, rule)? {
            // No tenant, no id: nothing that is asked for can be there.
            let Err(refused) = call(channel, rule, GetTenantRequest { app_id: 0 }).await else { continue };
            assert!(!matches!(refused.code(), Code::Internal | Code::Unknown), "{}: {refused:?}", rule.path);
            let details = refused.get_error_details();
            let info = details.error_info().unwrap_or_else(|| panic!("{}: no ErrorInfo in {refused:?}", rule.path));
            assert_eq!(info.domain, "cwpp", "{}", rule.path);
            assert!(details.request_info().is_some(), "{}: no RequestInfo", rule.path);
            if refused.code() == Code::InvalidArgument {
                let violations = details.bad_request().map(|b| b.field_violations.len()).unwrap_or_default();
                assert!(violations > 0, "{}: no violation named", rule.path);
            }
        }
    }
    world.end().await
}
