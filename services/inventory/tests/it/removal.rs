//! Machines that are removed: with everything that is known of them, and with exact counts.

use std::num::NonZeroU16;
use std::time::Duration;

use cwpp_access::{Job, SystemScope};
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_contracts::configuration::v1::OfflineMachineRemoval;
use cwpp_contracts::inventory::v1::report_assets_request::Part;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::CLASSES;
use cwpp_inventory::machine::{removal, sweep};
use cwpp_inventory::policy::entity::policy;
use cwpp_inventory::policy::store;
use cwpp_inventory::{config, registry};
use sea_orm::{ConnectionTrait, Statement, Value};
use tonic::Status;
use uuid::Uuid;

use crate::fixture::{Which, everything, item, varied};
use crate::policy::put;
use crate::world::*;

const PACKAGES: [AssetClass; 1] = [AssetClass::SystemPackage];

async fn delete(w: &World, request: DeleteMachinesRequest) -> Result<DeleteMachinesResponse, Status> {
    Ok(w.machines.clone().delete_machines(request).await?.into_inner())
}

fn all(tenant: &Tenant, hosts: &[&Host]) -> DeleteMachinesRequest {
    let machine_ids = hosts.iter().map(|h| h.id.clone()).collect();
    DeleteMachinesRequest { app_id: tenant.app_id, machine_ids, ..Default::default() }
}

/// Counts a machine's rows in every table that the registry knows to name machines; tables without rows are left out.
async fn left(w: &World, tenant: &Tenant, host: &Host) -> Vec<(String, i64)> {
    let db = w.db().await;
    let id = Uuid::parse_str(&host.id).unwrap();
    let mut found = Vec::new();
    for table in registry().erasable_tables().filter(|t| t.has_machine()) {
        let sql = format!("SELECT COUNT(*) AS n FROM {} WHERE app_id = ? AND machine_id = ?", table.table);
        let (sql, scope) = (&sql, scope(tenant));
        let rows = db.read(&scope, |read| async move {
            let values: [Value; 2] = [read.app_id().get().into(), id.into()];
            let statement = Statement::from_sql_and_values(read.get_database_backend(), sql.clone(), values);
            Ok(read.query_one_raw(statement).await?.unwrap().try_get::<i64>("", "n")?)
        });
        let rows = rows.await.unwrap();
        if rows > 0 {
            found.push((table.table.clone(), rows));
        }
    }
    db.close().await;
    found
}

/// Makes a machine that has rows wherever a machine can have any.
async fn full(w: &World, tenant: &Tenant, name: &str, packages: usize) -> Host {
    let host = w.host(tenant, name).await;
    let classes: Vec<AssetClass> = CLASSES.iter().map(|c| c.class()).collect();
    let mut items: Vec<AssetItem> = classes.iter().map(|c| item(*c, 1)).collect();
    items.extend((0..packages).map(|n| package(&format!("p{n:05}"), "1")));
    w.report(&host, &classes, &items).await;
    let changed = [varied(AssetClass::Account, Which { n: 1, steady: 1, volatile: 0 })];
    w.report(&host, &[AssetClass::Account], &changed).await;
    let beat = MachineHeartbeat {
        machine_id: host.id.clone(),
        instance_nonce: vec![1; 16],
        cpu_percent: Some(1.0),
        ..Default::default()
    };
    w.machines.clone().heartbeat(HeartbeatRequest { app_id: host.app_id, heartbeats: vec![beat] }).await.unwrap();
    let tags = MachineTags { machine_id: host.id.clone(), tags: (0..50).map(|n| format!("t{n}")).collect() };
    w.machines.clone().set_tags(SetTagsRequest { app_id: host.app_id, machines: vec![tags] }).await.unwrap();
    w.unread(&host, &[], &[(AssetClass::KernelModule, "/proc/modules: no such file")]).await.unwrap();
    let policy = policy::Model {
        app_id: tenant.app_id.cast_signed(),
        policy_id: Uuid::now_v7(),
        kind: 2,
        scope_kind: 2,
        tags: serde_json::json!([]),
        spec: Vec::new(),
        since: 1,
    };
    let (db, scope, ids) = (w.db().await, scope(tenant), [Uuid::parse_str(&host.id).unwrap()]);
    let (policy, ids) = (&policy, &ids);
    db.write(&scope, |tx| async move { store::put(&tx, policy.clone(), ids).await }).await.unwrap();
    db.close().await;
    let other = RegisterMachineRequest { instance_nonce: vec![9; 16], ..registration(tenant, name) };
    assert!(w.register(other).await.unwrap().contested);
    host
}

both! {
    async fn nothing_of_a_removed_machine_is_left_and_the_counts_are_exact(w: World) {
        let tenant = w.tenant().await;
        let (gone, stays) = (full(w, &tenant, "gone", 2_500).await, full(w, &tenant, "stays", 30).await);
        let before = left(w, &tenant, &stays).await;
        let tables: Vec<String> = left(w, &tenant, &gone).await.into_iter().map(|(table, _)| table).collect();
        let known: Vec<String> = registry().erasable_tables().filter(|t| t.has_machine() && t.table != "machine_removal").map(|t| t.table.clone()).collect();
        assert_eq!(tables, known, "the test fills every table that names machines");
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (2_532, 2));

        let assets = Some(2_500 + CLASSES.len() as u64);
        let stranger = Uuid::now_v7().to_string();
        let mut request = all(&tenant, &[&gone]);
        request.machine_ids.push(stranger);
        let preview = delete(w, DeleteMachinesRequest { validate_only: true, ..request.clone() }).await.unwrap();
        assert_eq!((preview.machines, preview.assets), (1, assets));
        assert_eq!(left(w, &tenant, &gone).await.len(), tables.len(), "a preview removes nothing");
        let answer = delete(w, request).await.unwrap();
        assert_eq!((answer.machines, answer.assets), (1, assets));
        assert_eq!(answer.results.iter().map(|r| (r.ok, r.reason.as_str())).collect::<Vec<_>>(), [(true, ""), (false, "MACHINE_UNKNOWN")]);
        assert_eq!(answer.results, preview.results);

        assert_eq!(left(w, &tenant, &gone).await, []);
        assert_eq!(left(w, &tenant, &stays).await, before);
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (31, 1));
        assert_eq!(w.count(tenant.app_id, "", AssetClass::Account).await, (1, 1));
        let get = GetMachineRequest { app_id: tenant.app_id, machine_id: gone.id.clone() };
        assert_eq!(reason(w.machines.get_machine(get).await), Reason::MachineUnknown);
        let again = w.host(&tenant, "gone").await;
        assert_ne!(again.id, gone.id, "an agent that lives on comes back as a new machine");
    }

    async fn a_report_in_flight_finds_no_machine(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-0").await;
        let items = [package("bash", "5")];
        let classes = offers(&PACKAGES, &items);
        let token = w.negotiate(&host, classes.clone()).await.unwrap().report_token;
        let parts = messages(&host, &token, classes.clone(), &items);
        let (send, receive) = futures::channel::mpsc::unbounded();
        let mut assets = w.assets.clone();
        let call = tokio::spawn(async move { assets.report_assets(receive).await });
        send.unbounded_send(parts[0].clone()).unwrap();
        send.unbounded_send(parts[1].clone()).unwrap();
        // The header was looked at once the service asks for more of another stream of the same machine.
        assert_eq!(reason(w.send(vec![part(&host, Part::End(ReportEnd {}))]).await), Reason::StreamIncomplete);
        delete(w, all(&tenant, &[&host])).await.unwrap();
        send.unbounded_send(parts[2].clone()).unwrap();
        drop(send);
        assert_eq!(reason(call.await.unwrap()), Reason::MachineUnknown);
        assert_eq!(left(w, &tenant, &host).await, []);
        assert_eq!(reason(w.negotiate(&host, classes).await), Reason::MachineUnknown);
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (0, 0));
    }

    async fn removals_amid_reports_and_signs_of_life_leave_nothing(w: World) {
        let tenant = w.tenant().await;
        for round in 0..3 {
            let host = w.host(&tenant, "web-0").await;
            let agent = |n: usize| {
                let (w, host) = (&*w, &host);
                async move {
                    for step in 0..6 {
                        let items: Vec<AssetItem> = (0..50).map(|i| package(&format!("p{i}"), &format!("{n}-{step}"))).collect();
                        let offered = offers(&PACKAGES, &items);
                        let Ok(answer) = w.negotiate(host, offered.clone()).await else { continue };
                        let _ = w.send(messages(host, &answer.report_token, offered, &items)).await;
                    }
                }
            };
            let remove = async {
                tokio::task::yield_now().await;
                delete(w, all(&tenant, &[&host])).await.unwrap();
            };
            futures::join!(agent(1), agent(2), remove, agent(3));
            assert_eq!(left(w, &tenant, &host).await, [], "round {round}");
            assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (0, 0));
        }
    }

    async fn a_removal_may_be_repeated(w: World) {
        let tenant = w.tenant().await;
        let (first, second) = (w.host(&tenant, "web-0").await, w.host(&tenant, "web-1").await);
        let request = DeleteMachinesRequest { request_id: Uuid::now_v7().to_string(), ..all(&tenant, &[&first]) };
        let done = delete(w, request.clone()).await.unwrap();
        let again = delete(w, request.clone()).await.unwrap();
        assert_eq!((again.results, again.machines, again.assets), (done.results, 1, None));
        let other = DeleteMachinesRequest { machine_ids: vec![second.id.clone()], ..request };
        assert_eq!(reason(delete(w, other).await), Reason::RequestIdReused);
        let without = delete(w, all(&tenant, &[&first])).await.unwrap();
        assert_eq!((without.machines, without.results[0].reason.as_str()), (0, "MACHINE_UNKNOWN"));
    }

    async fn a_removal_that_is_wrong_removes_nothing(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let host = w.host(&tenant, "web-0").await;
        let wrong = DeleteMachinesRequest { request_id: "x".into(), machine_ids: vec![host.id.clone(), "y".into()], ..all(&tenant, &[]) };
        assert_eq!(fields(delete(w, wrong).await), ["machine_ids[1]", "request_id"]);
        assert_eq!(fields(delete(w, all(&tenant, &[])).await), ["machine_ids"]);
        assert_eq!(fields(delete(w, all(&tenant, &[&host; 101])).await), ["machine_ids"]);
        assert_eq!(reason(delete(w, all(&tenant, &[&host, &host])).await), Reason::DuplicateItem);
        let foreign = delete(w, all(&neighbour, &[&host])).await.unwrap();
        assert_eq!((foreign.machines, foreign.results[0].reason.as_str()), (0, "MACHINE_UNKNOWN"));
        assert_eq!(reason(delete(w, all(&w.nobody(), &[&host])).await), Reason::TenantUnknown);
        assert!(!left(w, &tenant, &host).await.is_empty());
    }

    async fn machines_offline_for_long_are_removed_only_by_the_rule(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let db = w.db().await;
        let system = SystemScope::job(Job::Harness);
        let silent = full(w, &tenant, "silent", 10).await;
        let elsewhere = w.host(&neighbour, "elsewhere").await;
        w.clock.advance(Duration::from_secs(9 * 86_400));
        let live = w.host(&tenant, "live").await;
        w.clock.advance(Duration::from_secs(86_400));
        w.host(&tenant, "heard").await;
        let sweep = async |days: Option<u16>| {
            let rule = config::Machines { remove_after_days_offline: days.and_then(NonZeroU16::new), ..Default::default() };
            sweep::once(&db, &w.clock, &rule, &system).await.unwrap();
        };
        sweep(None).await;
        sweep(Some(11)).await;
        assert!(!left(w, &tenant, &silent).await.is_empty() && !left(w, &neighbour, &elsewhere).await.is_empty());
        sweep(Some(9)).await;
        assert_eq!(left(w, &tenant, &silent).await, []);
        assert!(!left(w, &neighbour, &elsewhere).await.is_empty(), "none of that tenant is heard of: it may be the service that is deaf");
        w.host(&neighbour, "heard").await;
        sweep(Some(9)).await;
        assert_eq!(left(w, &neighbour, &elsewhere).await, []);
        assert!(!left(w, &tenant, &live).await.is_empty());
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (0, 0));
        let days = w.machines.list_machine_days(ListMachineDaysRequest { app_id: tenant.app_id, days: 1 }).await.unwrap();
        let days: Vec<_> = days.into_inner().days.iter().map(|day| (day.removed_machines, day.retired_machines)).collect();
        assert_eq!(days, [(0, 1)], "the number is kept");
        db.close().await;
    }

    async fn a_tenant_has_rules_of_its_own_for_machines_offline_for_long(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let db = w.db().await;
        let system = SystemScope::job(Job::Harness);
        let mut hosts = Vec::new();
        for name in ["tagged", "named", "other"] {
            hosts.push(w.host(&tenant, name).await);
        }
        hosts.push(w.host(&neighbour, "elsewhere").await);
        let tags = vec![MachineTags { machine_id: hosts[0].id.clone(), tags: vec!["web".into()] }];
        w.machines.clone().set_tags(SetTagsRequest { app_id: tenant.app_id, machines: tags }).await.unwrap();
        let rule = |days: u32| OfflineMachineRemoval { days };
        let put_rule = async |scope: (MachineScopeKind, &[&Host]), days: u32| put(w, &tenant, Uuid::now_v7(), scope, rule(days), 1).await;
        let there = async || {
            let mut names = Vec::new();
            for host in &hosts {
                let get = GetMachineRequest { app_id: host.app_id, machine_id: host.id.clone() };
                if let Ok(answer) = w.machines.clone().get_machine(get).await {
                    names.push(answer.into_inner().machine.unwrap().facts.unwrap().name);
                }
            }
            names
        };
        let sweep = async |days: Option<u16>| {
            let all = config::Machines { remove_after_days_offline: days.and_then(NonZeroU16::new), ..Default::default() };
            sweep::once(&db, &w.clock, &all, &system).await.unwrap();
        };
        w.clock.advance(Duration::from_secs(3 * 86_400 + 1));
        w.host(&tenant, "heard").await;
        w.host(&neighbour, "heard").await;
        sweep(None).await;
        assert_eq!(there().await.len(), 4, "there is no rule");
        put_rule((MachineScopeKind::Tagged, &[]), 3).await;
        put_rule((MachineScopeKind::Selected, &[&hosts[1]]), 4).await;
        sweep(None).await;
        assert_eq!(there().await, ["named", "other", "elsewhere"]);
        put_rule((MachineScopeKind::Selected, &[&hosts[1]]), 2).await;
        sweep(Some(30)).await;
        assert_eq!(there().await, ["other", "elsewhere"], "the fewest days hold");
        put_rule((MachineScopeKind::All, &[]), 60).await;
        sweep(None).await;
        assert_eq!(there().await, ["other", "elsewhere"]);
        w.clock.advance(Duration::from_secs(57 * 86_400));
        w.host(&tenant, "heard").await;
        w.host(&neighbour, "heard").await;
        sweep(None).await;
        assert_eq!(there().await, ["elsewhere"], "another tenant has no rule");
        db.close().await;
    }

    async fn a_removal_that_was_cut_is_finished_by_the_sweep(w: World) {
        let tenant = w.tenant().await;
        let host = full(w, &tenant, "web-0", 2_100).await;
        let db = w.db().await;
        let id = Uuid::parse_str(&host.id).unwrap();
        let registry = registry();
        let registry = &registry;
        // As if the process had ended after the first chunk.
        let scope = scope(&tenant);
        db.write(&scope, |tx| async move {
            removal::take(&tx, &[id], None, noon()).await?;
            removal::chunk(&tx, registry, id).await
        })
        .await
        .map(|done| assert!(!done))
        .unwrap();
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await.1, 1);
        let (items, _) = w.count(tenant.app_id, "", AssetClass::SystemPackage).await;
        let stored = left(w, &tenant, &host).await.into_iter().find(|(t, _)| t == "asset_system_package").unwrap().1;
        assert_eq!(items, stored.unsigned_abs(), "the counts are exact in between");
        // What is left of it is shown by no list, and told to no follower.
        assert_eq!(w.list(ask(tenant.app_id, everything(AssetClass::SystemPackage))).await.0, []);
        let mut told = w.assets.clone().watch_packages(WatchPackagesRequest::default()).await.unwrap().into_inner();
        let message = told.message().await.unwrap().unwrap();
        assert_eq!((message.machine_id, message.packages, message.last), (host.id.clone(), vec![], true));
        sweep::once(&db, &w.clock, &config::Machines::default(), &SystemScope::job(Job::Harness)).await.unwrap();
        assert_eq!(left(w, &tenant, &host).await, []);
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (0, 0));
        db.close().await;
    }
}
