//! Login whitelists by tag: configuration keeps them, inventory the tags, incidents judges.

use anyhow::{Context, ensure};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind};
use cwpp_contracts::configuration::v1::policy_service_client::PolicyServiceClient;
use cwpp_contracts::configuration::v1::{CreatePolicyRequest, LoginWhitelist, Policy, policy};
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::incidents::v1::{AuthEvent, AuthOutcome, ReportAuthEventsRequest};
use cwpp_contracts::inventory::v1::ChangeTagsRequest;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_tests::host::Host;
use cwpp_tests::on_every_backend;
use cwpp_tests::world::{Backend, PATIENCE, World};
use uuid::Uuid;

on_every_backend![a_whitelist_by_tag_covers_the_machines_that_have_it_now];

const TENANT: u64 = 12;

/// A login from outside of every whitelist. Where one covers the machine, it is an incident.
async fn is_judged(world: &World, host: &Host) -> anyhow::Result<bool> {
    let event = AuthEvent {
        event_time: Some(std::time::SystemTime::now().into()),
        account: "alice".into(),
        source_address: "198.51.100.1".into(),
        service: "ssh".into(),
        outcome: AuthOutcome::Accepted.into(),
        method: "publickey".into(),
        count: 1,
        ..Default::default()
    };
    let request = ReportAuthEventsRequest {
        app_id: TENANT,
        machine_id: host.machine_id.clone(),
        spool_id: Uuid::new_v4().to_string(),
        first_sequence: 1,
        events: vec![event],
    };
    let answer = IncidentServiceClient::new(world.incidents()?).report_auth_events(request).await?.into_inner();
    Ok(!answer.incident_ids.is_empty())
}

async fn until_judged(world: &World, host: &Host, wanted: bool) -> anyhow::Result<()> {
    let start = std::time::Instant::now();
    while is_judged(world, host).await? != wanted {
        ensure!(start.elapsed() < PATIENCE, "what changed is not followed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn a_whitelist_by_tag_covers_the_machines_that_have_it_now(backend: Backend) -> anyhow::Result<()> {
    let world = World::new(backend).await?;
    world.tenant(TENANT).await?;
    let tagged = Host::enrol(world.inventory()?, TENANT, "web-1").await?;
    let other = Host::enrol(world.inventory()?, TENANT, "web-2").await?;
    let mut machines = MachineServiceClient::new(world.inventory()?);
    let mut change = async |add: &[&str], remove: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let machine_ids = vec![tagged.machine_id.clone()];
        let request = ChangeTagsRequest { app_id: TENANT, machine_ids, add: names(add), remove: names(remove) };
        machines.change_tags(request).await.map(|_| ())
    };
    change(&["office", "blue"], &[]).await?;
    let spec = LoginWhitelist { source_networks: vec!["192.0.2.0/24".into()], ..Default::default() };
    let scope = MachineScope {
        kind: MachineScopeKind::Tagged.into(),
        tags: vec!["lab".into(), "office".into()],
        ..Default::default()
    };
    let policy = Policy {
        name: "office".into(),
        enabled: true,
        machines: Some(scope),
        spec: Some(policy::Spec::LoginWhitelist(spec)),
        ..Default::default()
    };
    let request_id = Uuid::new_v4().to_string();
    let request = CreatePolicyRequest { app_id: TENANT, request_id, policy: Some(policy) };
    PolicyServiceClient::new(world.configuration()?).create_policy(request).await?.into_inner().policy.context("it")?;

    until_judged(&world, &tagged, true).await?;
    assert!(!is_judged(&world, &other).await?, "it does not cover a machine without the tag");
    change(&[], &["office"]).await?;
    until_judged(&world, &tagged, false).await?;
    change(&["lab"], &[]).await?;
    until_judged(&world, &tagged, true).await?;
    world.end().await
}
