//! The end of a tenant: nothing is left, and the neighbours keep what is theirs.

use std::collections::BTreeSet;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::erasure::v1::EraseRequest;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::CLASSES;
use cwpp_inventory::machine::removal;
use cwpp_storage::Tenanted;
use sea_orm::IntoActiveModel;

use crate::fixture::item;
use crate::world::*;

/// The tables beside those of the classes that hold tenants' data.
const OTHERS: [&str; 20] = [
    "account_change",
    "asset_class_count",
    "asset_count_delta",
    "asset_day_count",
    "asset_snapshot",
    "asset_unread",
    "asset_value_count",
    "feed_mark",
    "followed_policy",
    "followed_policy_machine",
    "machine",
    "machine_address",
    "machine_claim",
    "machine_day",
    "machine_liveness",
    "machine_load",
    "machine_removal",
    "machine_removed_day",
    "machine_tag",
    "machine_tag_count",
];

fn tables() -> Vec<&'static str> {
    let mut tables: Vec<_> = CLASSES.iter().map(|c| c.table()).chain(OTHERS).collect();
    tables.sort_unstable();
    tables
}

/// Fills the tables of machines that an enrolment and a report leave empty.
async fn fill(w: &World, db: &cwpp_storage::Db, tenant: &Tenant, host: &Host) {
    let app_id = tenant.app_id;
    let another = RegisterMachineRequest { instance_nonce: vec![2; 16], ..registration(tenant, "web-1") };
    assert!(w.register(another).await.unwrap().contested);
    let beat = MachineHeartbeat {
        machine_id: host.id.clone(),
        instance_nonce: vec![1; 16],
        cpu_percent: Some(1.0),
        ..Default::default()
    };
    w.machines.clone().heartbeat(HeartbeatRequest { app_id, heartbeats: vec![beat] }).await.unwrap();
    let tags = MachineTags { machine_id: host.id.clone(), tags: vec!["blue".into()] };
    w.machines.clone().set_tags(SetTagsRequest { app_id, machines: vec![tags] }).await.unwrap();
    w.unread(host, &[], &[(AssetClass::KernelModule, "/proc/modules: no such file")]).await.unwrap();
    let gone = w.host(tenant, "web-0").await;
    let request = DeleteMachinesRequest { app_id, machine_ids: vec![gone.id], ..Default::default() };
    w.machines.clone().delete_machines(request).await.unwrap();
    let machine_id = uuid::Uuid::now_v7();
    let row = removal::Model { app_id: app_id.cast_signed(), machine_id, removed_at: noon() };
    let row = &row;
    db.write(&scope(tenant), |tx| async move {
        Ok(removal::Entity::insert_of(&tx, row.clone().into_active_model()).await?)
    })
    .await
    .unwrap();
}

both! {
    async fn a_purge_leaves_no_row(w: World) {
        // The service's own folder would leave no change of a count pending.
        let calm = w.replica(|config| config.counts.fold_interval = std::time::Duration::from_secs(3600)).await;
        let tenants = [w.tenant().await, w.tenant().await];
        let db = w.db().await;
        let system = cwpp_access::SystemScope::job(cwpp_access::Job::Harness);
        for tenant in &tenants {
            let host = calm.host(tenant, "web-1").await;
            let classes: Vec<_> = CLASSES.iter().map(|c| c.class()).collect();
            for n in 1..3 {
                let items: Vec<_> = classes.iter().map(|c| item(*c, n)).collect();
                calm.report(&host, &classes, &items).await;
            }
            fill(&calm, &db, tenant, &host).await;
        }
        for tenant in &tenants {
            let policy = cwpp_inventory::policy::entity::policy::Model {
                app_id: tenant.app_id as i64,
                policy_id: uuid::Uuid::now_v7(),
                kind: 2,
                scope_kind: 2,
                tags: serde_json::json!([]),
                spec: Vec::new(),
                since: 1,
            };
            let (policy, ids) = (&policy, [uuid::Uuid::now_v7()]);
            let ids = &ids;
            let put = |tx| async move { cwpp_inventory::policy::store::put(&tx, policy.clone(), ids).await };
            db.write(&scope(tenant), put).await.unwrap();
        }
        cwpp_inventory::asset::fold::once(&db, &system).await.unwrap();
        cwpp_inventory::machine::day::count(&db, &system, noon()).await.unwrap();
        db.relay_once(&system).await.unwrap();
        let [tenant, neighbour] = &tenants;
        let scope = scope(tenant);
        db.write(&scope, |tx| async move {
            let mut change = cwpp_inventory::asset::count::Change::default();
            change.total.machines = 1;
            let changes = std::collections::BTreeMap::from([(2, change)]);
            cwpp_inventory::asset::count::add(&tx, &changes).await
        })
        .await
        .unwrap();
        let before = w.rows(neighbour).await;
        let fence = w.fence(tenant, TenantState::Sealed).await;
        let full: Vec<String> = w.rows(tenant).await.into_keys().filter(|t| t != "asset_count_delta").collect();
        let expected: Vec<&str> = tables().into_iter().filter(|t| *t != "asset_count_delta").collect();
        assert_eq!(full, expected, "every table is filled before the purge");
        let registry = cwpp_inventory::registry();
        let is_own = |table: &&str| table.starts_with("asset_") || table.starts_with("machine");
        let own: BTreeSet<&str> = registry.erasable_tables().map(|table| table.table.as_str()).filter(is_own).collect();
        let named = tables();
        assert_eq!(own.into_iter().filter(|table| !named.contains(table)).collect::<Vec<_>>(), [""; 0], "and none is left out here");
        let Tenant { app_id, incarnation } = tenant.clone();
        for close in [false, true] {
            let request = EraseRequest {
                app_id,
                incarnation: incarnation.clone(),
                token: 1,
                epoch: fence.epoch,
                budget: None,
                pause: None,
                close,
            };
            let mut progress = w.erasure.erase(request).await.unwrap().into_inner();
            while let Some(message) = progress.message().await.unwrap() {
                assert!(!message.more);
            }
            if !close {
                assert!(w.rows(tenant).await.is_empty());
            }
        }
        assert_eq!(w.rows(neighbour).await.get("asset_account"), before.get("asset_account"));
        assert_eq!(w.count(neighbour.app_id, "", AssetClass::Account).await, (1, 1));
        assert_eq!(reason(w.register(registration(tenant, "web-1")).await), Reason::TenantUnknown);
        db.close().await;
        calm.end().await;
    }
}
