//! What changes in accounts is kept from the second report of a machine on.

use std::time::Duration;

use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::{
    Account, AccountChange, AccountChangeKind, AssetClass, AssetItem, DeleteMachinesRequest, ListAccountChangesRequest,
};

use cwpp_inventory::asset::account_change;
use uuid::Uuid;

use crate::world::*;

const CLASS: [AssetClass; 1] = [AssetClass::Account];

fn with(name: &str, change: impl FnOnce(&mut Account)) -> AssetItem {
    let AssetItem { item: Some(Item::Account(mut account)) } = account(name, 1000) else { unreachable!() };
    change(&mut account);
    AssetItem { item: Some(Item::Account(account)) }
}

fn all(tenant: &Tenant) -> ListAccountChangesRequest {
    let page = Some(Page { page_size: 2, ..Default::default() });
    ListAccountChangesRequest { app_id: tenant.app_id, page, ..Default::default() }
}

/// What a change says in short.
fn short(change: &AccountChange) -> String {
    let kind = change.kind().as_str_name().rsplit('_').next().unwrap();
    let host = change.host.as_ref().map_or("", |host| &host.name);
    format!("{host} {kind} {} {}", change.account_name, change.changed_fields.join(",")).trim_end().to_owned()
}

async fn list(w: &World, request: ListAccountChangesRequest) -> Vec<String> {
    w.changes(request).await.iter().map(short).collect()
}

both! {
    async fn history_is_forgotten_in_chunks_also_where_one_report_changed_more(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "one").await;
        let accounts = |gid| (0..12).map(|n| with(&format!("a{n:02}"), |a| a.gid = gid)).collect::<Vec<_>>();
        w.report(&host, &CLASS, &accounts(1)).await;
        w.report(&host, &CLASS, &accounts(2)).await;
        let (db, id) = (w.db().await, Uuid::parse_str(&host.id).unwrap());
        let forget = async || db.write(&scope(&tenant), |tx| async move { account_change::forget(&tx, id, 5).await }).await.unwrap();
        for (is_all, left) in [(false, 7), (false, 2), (true, 0)] {
            assert_eq!((forget().await, list(w, all(&tenant)).await.len()), (is_all, left));
        }
        db.close().await;
    }

    async fn changes_of_accounts_are_kept_newest_first(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (one, two) = (w.host(&tenant, "one").await, w.host(&tenant, "two").await);
        let other = w.host(&neighbour, "other").await;
        for host in [&one, &two, &other] {
            w.report(host, &CLASS, &[account("alice", 1000), account("bob", 1001)]).await;
        }
        assert_eq!(list(w, all(&tenant)).await, Vec::<String>::new(), "the first report is where history begins");

        let start = w.clock.now();
        w.clock.advance(Duration::from_secs(60));
        let login = with("alice", |a| {
            a.last_login_time = Some(timestamp(noon()));
            a.last_login_source = "192.0.2.1".into();
        });
        w.report(&one, &CLASS, &[login.clone(), account("bob", 1001)]).await;
        assert_eq!(list(w, all(&tenant)).await, Vec::<String>::new(), "a login is no change");

        w.report(&one, &CLASS, &[with("alice", |a| { a.groups = vec!["sudo".into()]; a.sudo = Some(true) }), account("eve", 0)]).await;
        w.clock.advance(Duration::from_secs(60));
        let middle = w.clock.now();
        w.report(&two, &CLASS, &[account("alice", 7)]).await;
        w.report(&other, &CLASS, &[]).await;
        w.report(&one, &CLASS, &[account("alice", 1000), account("eve", 0)]).await;
        w.report(&one, &CLASS, &[account("alice", 1000), account("eve", 0)]).await;

        let mut early = list(w, ListAccountChangesRequest { end_time: Some(timestamp(middle)), ..all(&tenant) }).await;
        early.sort();
        assert_eq!(early, ["one CREATE eve", "one DELETE bob", "one MODIFY alice groups,sudo"]);
        let mut late = list(w, ListAccountChangesRequest { begin_time: Some(timestamp(middle)), ..all(&tenant) }).await;
        late.sort();
        assert_eq!(late, ["one MODIFY alice groups,sudo", "two DELETE bob", "two MODIFY alice uid"]);
        let everything = w.changes(all(&tenant)).await;
        assert_eq!(everything.len(), 6);
        let times: Vec<_> = everything.iter().map(|c| c.change_time.unwrap().seconds).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        assert_eq!(times[5], start.timestamp() + 60);

        let of = |machine: &str, name: &str| ListAccountChangesRequest { machine_id: machine.into(), account_name: name.into(), ..all(&tenant) };
        assert_eq!(list(w, of("", "bob")).await, ["two DELETE bob", "one DELETE bob"]);
        assert_eq!(list(w, of(&one.id, "alice")).await, ["one MODIFY alice groups,sudo", "one MODIFY alice groups,sudo"]);
        let of_two = list(w, of(&two.id, "")).await;
        assert_eq!(of_two.len(), 2, "{of_two:?}");
        assert_eq!(list(w, of(&two.id, "nobody")).await, Vec::<String>::new());
        let kind = |kind: AccountChangeKind, of: ListAccountChangesRequest| ListAccountChangesRequest { kind: kind.into(), ..of };
        assert_eq!(list(w, kind(AccountChangeKind::Create, all(&tenant))).await, ["one CREATE eve"]);
        assert_eq!(list(w, kind(AccountChangeKind::Delete, all(&tenant))).await, ["two DELETE bob", "one DELETE bob"]);
        assert_eq!(list(w, kind(AccountChangeKind::Delete, of(&one.id, "bob"))).await, ["one DELETE bob"]);
        assert_eq!(w.changes(all(&neighbour)).await.len(), 2);

        // With the machine its history goes, and only its own.
        let request = DeleteMachinesRequest { app_id: tenant.app_id, machine_ids: vec![one.id.clone()], ..Default::default() };
        w.machines.clone().delete_machines(request).await.unwrap();
        assert_eq!(w.changes(all(&tenant)).await.len(), 2);
    }

    async fn a_first_report_in_slices_has_no_history(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "one").await;
        let items: Vec<_> = (0..5100).map(|n| account(&format!("u{n}"), n)).collect();
        w.report(&host, &CLASS, &items).await;
        let page = Some(Page { page_size: 1000, ..Default::default() });
        let all = ListAccountChangesRequest { app_id: tenant.app_id, page, ..Default::default() };
        assert_eq!(w.changes(all.clone()).await.len(), 0);
        w.report(&host, &CLASS, &items[..5090]).await;
        let gone = w.changes(all).await;
        assert_eq!(gone.len(), 10);
        assert!(gone.iter().all(|change| change.kind() == AccountChangeKind::Delete));
    }

    async fn wrong_questions_for_changes_name_every_field(w: World) {
        let tenant = w.tenant().await;
        let request = ListAccountChangesRequest {
            machine_id: "x".into(),
            account_name: "n".repeat(256),
            begin_time: Some(timestamp(noon())),
            end_time: Some(timestamp(noon())),
            kind: 9,
            page: Some(Page { page_size: -1, ..Default::default() }),
            ..all(&tenant)
        };
        let mut named = fields(w.assets.clone().list_account_changes(request).await);
        named.sort();
        assert_eq!(named, ["account_name", "end_time", "kind", "machine_id", "page.page_size"]);
    }
}
