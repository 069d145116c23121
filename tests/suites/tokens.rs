//! Services that want to know who calls: what they answer to each caller, and how they call each other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::Utc;
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_chassis::{Reason, status};
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::configuration::v1::tenant_service_client::TenantServiceClient;
use cwpp_contracts::configuration::v1::{CreateTenantRequest, GetTenantRequest};
use cwpp_contracts::incidents::v1::ListIncidentsRequest;
use cwpp_contracts::incidents::v1::incident_service_client::IncidentServiceClient;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::{AccountQuery, AssetQuery, ListAssetsRequest, ListMachinesRequest, asset_query};
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::{CancelTerminationRequest, TerminateSubscriptionRequest};
use cwpp_tests::host::{Content, Host};
use cwpp_tests::issuer::{self, Issuer, claims, client, publish, replace};
use cwpp_tests::services::{Plan, Services, Setting};
use cwpp_tests::world::{PATIENCE, mysql_server, open_tenant};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Status;
use uuid::Uuid;

const TENANT: u64 = 41;
const OTHER: u64 = 42;

/// The services with authentication, and the files that rule them.
pub(crate) struct Guarded {
    pub(crate) services: Services,
    pub(crate) issuer: Issuer,
    /// The keys that are believed.
    jwks: PathBuf,
    /// The token that the services show each other.
    token: PathBuf,
    folder: TempDir,
}

impl Guarded {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_as(&issuer::service(), Vec::new()).await
    }

    /// Starts them with more settings; the services and the tests show tokens with these claims.
    pub(crate) async fn start_as(claims: &Value, more: Vec<Setting>) -> anyhow::Result<Self> {
        let (folder, issuer) = (tempfile::tempdir()?, Issuer::new("first", 1));
        let file = |name: &str| folder.path().join(name);
        let (jwks, token, signing) = (file("jwks.json"), file("services.token"), file("signing.pem"));
        publish(&jwks, &[&issuer])?;
        replace(&token, &issuer.token(claims)?)?;
        replace(&signing, &Issuer::new("signing", 9).pem()?)?;
        let client = client(folder.path(), "tests", &issuer.token(claims)?)?;
        let files = (jwks.clone(), token.clone());
        let settings = move |name: &str| {
            let mut settings = issuer::settings(name, files.0.clone(), files.1.clone(), signing.clone());
            settings.extend(more.iter().cloned());
            settings
        };
        let plan = Plan { settings: Box::new(settings), client, ..Plan::on(mysql_server()?) };
        Ok(Self { services: Services::start(plan).await?, issuer, jwks, token, folder })
    }

    /// Makes a caller with this token.
    pub(crate) fn caller(&self, token: &str) -> anyhow::Result<ClientConfig> {
        client(self.folder.path(), &Uuid::new_v4().to_string(), token)
    }

    pub(crate) fn as_claims(&self, claims: &Value) -> anyhow::Result<ClientConfig> {
        self.caller(&self.issuer.token(claims)?)
    }

    fn channel(&self, name: &str, caller: &ClientConfig) -> anyhow::Result<Channel> {
        self.services.channel_as(name, caller)
    }
}

/// Asks each service for something of a tenant; returns what is answered.
pub(crate) async fn ask(
    world: &Guarded,
    caller: &ClientConfig,
    app_id: u64,
) -> anyhow::Result<[Result<(), Status>; 4]> {
    let query = Some(AssetQuery { query: Some(asset_query::Query::Account(AccountQuery::default())) });
    let list = ListAssetsRequest { app_id, query, ..Default::default() };
    let found = ListIncidentsRequest { app_id, ..Default::default() };
    // Retention reads no tenant's data; that there is nothing to cancel says that the caller was let in.
    let cancel = CancelTerminationRequest { app_id, deletion_id: Uuid::new_v4().to_string() };
    let cancelled =
        match RetentionServiceClient::new(world.channel("retention", caller)?).cancel_termination(cancel).await {
            Err(status) if status::reason(&status) == Some(Reason::DeletionUnknown) => Ok(()),
            other => other.map(drop),
        };
    Ok([
        AssetServiceClient::new(world.channel("inventory", caller)?).list_assets(list).await.map(drop),
        IncidentServiceClient::new(world.channel("incidents", caller)?).list_incidents(found).await.map(drop),
        TenantServiceClient::new(world.channel("configuration", caller)?)
            .get_tenant(GetTenantRequest { app_id })
            .await
            .map(drop),
        cancelled,
    ])
}

fn refused(answers: [Result<(), Status>; 4], reason: Reason, who: &str) {
    for (answer, service) in answers.into_iter().zip(["inventory", "incidents", "configuration", "retention"]) {
        let status = answer.expect_err(who);
        assert_eq!(status::reason(&status), Some(reason), "{who} in {service}: {status:?}");
        assert_eq!(status.code(), reason.code(), "{who} in {service}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_gets_what_its_token_admits_from_every_service() -> anyhow::Result<()> {
    let world = Guarded::start().await?;
    // That a tenant is opened at all shows that the services' own token is shown and believed.
    for app_id in [TENANT, OTHER] {
        world.services.tenant(app_id).await?;
    }
    for answer in ask(&world, &world.as_claims(&issuer::service())?, TENANT).await? {
        answer.context("a service")?;
    }

    let user = |app_id: u64| claims("tenant_user", json!([app_id]), &["*"]);
    let with = |claim: &str, value: Value| {
        let mut claims = user(TENANT);
        claims[claim] = value;
        claims
    };
    let nobody = [
        ("no token", ClientConfig::default()),
        ("another key of the same name", world.caller(&Issuer::new("first", 2).token(&user(TENANT))?)?),
        ("an unknown key", world.caller(&Issuer::new("second", 1).token(&user(TENANT))?)?),
        ("another audience", world.as_claims(&with("aud", json!("another")))?),
        ("another issuer", world.as_claims(&with("iss", json!("https://another.test")))?),
        ("an expired token", world.as_claims(&with("exp", json!(Utc::now().timestamp() - 600)))?),
        ("a token of tomorrow", world.as_claims(&with("nbf", json!(Utc::now().timestamp() + 86_400)))?),
        ("what is no token", world.caller("not.a.token")?),
    ];
    for (who, caller) in &nobody {
        refused(ask(&world, caller, TENANT).await?, Reason::Unauthenticated, who);
    }

    for answer in ask(&world, &world.as_claims(&user(TENANT))?, TENANT).await? {
        answer.context("the tenant's own user")?;
    }
    let foreign = world.as_claims(&user(OTHER))?;
    refused(ask(&world, &foreign, TENANT).await?, Reason::TenantUnknown, "another tenant's user");
    // Nor can it tell that tenant from one that is not there.
    refused(ask(&world, &foreign, 4_000_000).await?, Reason::TenantUnknown, "another tenant's user");
    let weak = claims("tenant_user", json!([TENANT]), &["inventory.nothing"]);
    refused(ask(&world, &world.as_claims(&weak)?, TENANT).await?, Reason::PermissionDenied, "a user without rights");
    world.services.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_acts_for_its_own_machine_alone() -> anyhow::Result<()> {
    let world = Guarded::start().await?;
    world.services.tenant(TENANT).await?;
    let inventory = world.services.channel("inventory")?;
    let own = Host::enrol(inventory.clone(), TENANT, "web-1").await?;
    let other = Host::enrol(inventory.clone(), TENANT, "web-2").await?;
    let mut agent = claims("agent", json!([TENANT]), &["*"]);
    agent["cwpp_machine_id"] = json!(own.machine_id);
    let agent = world.as_claims(&agent)?;
    let content = Content { accounts: 0..3, packages: 0..10, version: "1.0" };

    let mut mine = own.at(world.channel("inventory", &agent)?);
    mine.report(&content).await.context("its own machine")?;
    let mut theirs = other.at(world.channel("inventory", &agent)?);
    let denied = theirs.negotiate(content.digests()).await.expect_err("another machine");
    assert_eq!(status::reason(&denied), Some(Reason::PermissionDenied));
    // Also with a token that was made for the one whose machine it is.
    let token = other.clone().negotiate(content.digests()).await?.report_token;
    let messages = theirs.messages(&token, content.digests(), &content.items(), 5);
    let denied = theirs.send(messages).await.expect_err("another machine's report");
    assert_eq!(status::reason(&denied), Some(Reason::PermissionDenied));
    assert_eq!(other.clone().stored().await?.len(), 0, "nothing was written");
    // It finds its own machine again, but neither takes another's nor makes a new one.
    let again = Host::enrol(world.channel("inventory", &agent)?, TENANT, "web-1").await?;
    assert_eq!(again.machine_id, own.machine_id);
    for name in ["web-2", "web-3"] {
        let denied = Host::enrol(world.channel("inventory", &agent)?, TENANT, name).await.expect_err(name);
        assert_eq!(status::reason(&denied), Some(Reason::PermissionDenied), "{name}");
    }
    let all = ListMachinesRequest { app_id: TENANT, ..Default::default() };
    let all = MachineServiceClient::new(inventory).list_machines(all).await?.into_inner();
    assert_eq!(all.machines.len(), 2, "no machine was made");
    refused(ask(&world, &agent, TENANT).await?, Reason::PermissionDenied, "an agent that reads");
    world.services.end().await
}

fn new_tenant(app_id: u64) -> CreateTenantRequest {
    CreateTenantRequest {
        app_id,
        request_id: Uuid::new_v4().to_string(),
        uin: app_id + 1_000_000,
        region: "default".into(),
        agreement_version: "1".into(),
        agreement_accepted_time: Some(std::time::SystemTime::now().into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_keys_are_exchanged_while_the_services_run() -> anyhow::Result<()> {
    let mut world = Guarded::start().await?;
    world.services.tenant(TENANT).await?;

    // A token that has run out: retention opens no tenant with it, and says why.
    let mut expired = issuer::service();
    expired["exp"] = json!(Utc::now().timestamp() - 600);
    replace(&world.token, &world.issuer.token(&expired)?)?;
    let mut tenants = TenantServiceClient::new(world.services.channel("configuration")?);
    // The former token is still shown for a moment, so tenants are made until one cannot be opened.
    let (start, mut last) = (Instant::now(), OTHER);
    while !world.services.process("retention")?.log().contains("inventory: UNAUTHENTICATED") {
        ensure!(start.elapsed() < PATIENCE, "nothing is said: {}", world.services.process("retention")?.log());
        last += 1;
        tenants.create_tenant(new_tenant(last)).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let state = tenants.get_tenant(GetTenantRequest { app_id: last }).await?.into_inner().tenant.context("a tenant")?;
    assert_eq!(state.state(), TenantState::Opening, "opened by nobody");

    // Another key: believed beside the old one, and then alone.
    let next = Issuer::new("second", 2);
    publish(&world.jwks, &[&world.issuer, &next])?;
    replace(&world.token, &next.token(&issuer::service())?)?;
    let start = Instant::now();
    loop {
        let answer = tenants.get_tenant(GetTenantRequest { app_id: last }).await?.into_inner();
        if answer.tenant.is_some_and(|t| t.state() == TenantState::Active) {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "the tenant is not opened with the new token");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    publish(&world.jwks, &[&next])?;
    let new = world.caller(&next.token(&issuer::service())?)?;
    let old = world.as_claims(&issuer::service())?;
    let start = Instant::now();
    loop {
        let answers = ask(&world, &old, TENANT).await?;
        if answers.iter().all(|a| a.as_ref().is_err_and(|s| status::reason(s) == Some(Reason::Unauthenticated))) {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "the old key is still believed: {answers:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for answer in ask(&world, &new, TENANT).await? {
        answer.context("the new key")?;
    }
    // And the services still reach each other: the fence of a termination goes through all of them.
    open_tenant(world.channel("configuration", &new)?, last + 1, Utc::now()).await?;
    let request = TerminateSubscriptionRequest { app_id: TENANT, confirm_app_id: TENANT, ..Default::default() };
    RetentionServiceClient::new(world.channel("retention", &new)?).terminate_subscription(request).await?;
    let start = Instant::now();
    loop {
        match Host::enrol(world.channel("inventory", &new)?, TENANT, "late").await {
            Err(s) if status::reason(&s) == Some(Reason::TenantReadOnly) => break,
            other => ensure!(start.elapsed() < PATIENCE, "the fence does not come: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.services.end().await
}
