//! Assets that are deleted without their machine: chosen ones, and those of classes that are switched off.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_contracts::configuration::v1::{ClassCollection, CollectionSettings};
use cwpp_contracts::inventory::v1::*;
use tonic::Status;
use uuid::Uuid;

use crate::policy::{packages, put};
use crate::world::*;

const PACKAGES: [AssetClass; 1] = [AssetClass::SystemPackage];

async fn delete(w: &World, request: DeleteAssetsRequest) -> Result<DeleteAssetsResponse, Status> {
    Ok(w.assets.clone().delete_assets(request).await?.into_inner())
}

fn of(tenant: &Tenant) -> DeleteAssetsRequest {
    DeleteAssetsRequest { app_id: tenant.app_id, asset_class: AssetClass::SystemPackage.into(), ..Default::default() }
}

/// Names an asset of a host as its list does.
async fn named(w: &World, host: &Host, package: &str) -> AssetName {
    let stored = w.stored(host, AssetClass::SystemPackage).await;
    let asset = stored.iter().find(|asset| name(asset) == package).unwrap();
    AssetName { machine_id: host.id.clone(), asset_id: asset.asset_id.clone() }
}

async fn names(w: &World, host: &Host) -> Vec<String> {
    let mut names: Vec<String> = w.stored(host, AssetClass::SystemPackage).await.iter().map(name).collect();
    names.sort();
    names
}

fn outcomes(answer: &DeleteAssetsResponse) -> Vec<(bool, &str)> {
    answer.results.iter().map(|result| (result.ok, result.reason.as_str())).collect()
}

both! {
    async fn chosen_assets_go_and_come_back_with_the_next_report(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (one, two) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await);
        let foreign = w.host(&neighbour, "web-1").await;
        let items = [package("bash", "5"), package("curl", "8"), package("ssl", "3")];
        for host in [&one, &two, &foreign] {
            w.report(host, &PACKAGES, &items).await;
        }
        let (bash, ssl) = (named(w, &one, "bash").await, named(w, &two, "ssl").await);
        let elsewhere = AssetName { asset_id: Uuid::now_v7().to_string(), ..bash.clone() };
        let request = DeleteAssetsRequest { assets: vec![ssl.clone(), elsewhere, bash.clone()], ..of(&tenant) };

        let preview = delete(w, DeleteAssetsRequest { validate_only: true, ..request.clone() }).await.unwrap();
        assert_eq!((outcomes(&preview), preview.assets, preview.machines, preview.more),
            (vec![(true, ""), (false, "ASSET_UNKNOWN"), (true, "")], 2, 2, false));
        assert_eq!((names(w, &one).await.len(), names(w, &two).await.len()), (3, 3), "a preview deletes nothing");
        assert_eq!(delete(w, request.clone()).await.unwrap(), preview);
        assert_eq!((names(w, &one).await, names(w, &two).await), (vec!["curl".to_owned(), "ssl".into()], vec!["bash".to_owned(), "curl".into()]));
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (4, 2));
        assert_eq!(w.check(tenant.app_id, false).await.total, 0);
        assert_eq!(names(w, &foreign).await.len(), 3);
        assert_eq!(w.top(ListTopValuesRequest { app_id: tenant.app_id, asset_class: AssetClass::SystemPackage.into(), value: Some(exact("bash")), ..Default::default() }).await, [("bash".to_owned(), 1, 1)]);

        let again = delete(w, request).await.unwrap();
        assert_eq!((again.assets, again.machines, outcomes(&again)), (0, 0, vec![(false, "ASSET_UNKNOWN"); 3]));
        // What the host still has, although its digest is the one that was stored.
        let results = w.report(&one, &PACKAGES, &items).await;
        assert_eq!((results[0].added, results[0].unchanged), (1, 2));
        assert_eq!(named(w, &one, "bash").await, bash, "it has the id that it had");
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (5, 2));
    }

    async fn the_history_of_a_deleted_account_goes_with_it(w: World) {
        let tenant = w.tenant().await;
        let (host, other) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await);
        for host in [&host, &other] {
            for uid in [1000, 1001, 1002] {
                w.report(host, &[AssetClass::Account], &[account("alice", uid), account("bob", uid)]).await;
                w.clock.advance(std::time::Duration::from_secs(60));
            }
        }
        let history = async |host: &Host| {
            let of = ListAccountChangesRequest { app_id: tenant.app_id, machine_id: host.id.clone(), ..Default::default() };
            let mut names: Vec<String> = w.changes(of).await.into_iter().map(|change| change.account_name).collect();
            names.sort();
            names
        };
        assert_eq!(history(&host).await, ["alice", "alice", "bob", "bob"]);
        let stored = w.stored(&host, AssetClass::Account).await;
        let alice = stored.iter().find(|asset| name(asset) == "alice").unwrap();
        let assets = vec![AssetName { machine_id: host.id.clone(), asset_id: alice.asset_id.clone() }];
        let request = DeleteAssetsRequest { asset_class: AssetClass::Account.into(), assets, ..of(&tenant) };
        delete(w, DeleteAssetsRequest { validate_only: true, ..request.clone() }).await.unwrap();
        assert_eq!(history(&host).await.len(), 4, "a preview deletes nothing");
        assert_eq!(delete(w, request).await.unwrap().assets, 1);
        assert_eq!((history(&host).await, history(&other).await.len()), (vec!["bob".to_owned(); 2], 4));
    }

    async fn a_deleted_account_that_comes_back_is_no_change(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let accounts = [account("root", 0), account("alice", 1000)];
        w.report(&host, &[AssetClass::Account], &accounts).await;
        let stored = w.stored(&host, AssetClass::Account).await;
        let assets = vec![AssetName { machine_id: host.id.clone(), asset_id: stored[0].asset_id.clone() }];
        let request = DeleteAssetsRequest { asset_class: AssetClass::Account.into(), assets, ..of(&tenant) };
        assert_eq!(delete(w, request).await.unwrap().assets, 1);
        assert_eq!(w.report(&host, &[AssetClass::Account], &accounts).await[0].added, 1);
        let changes = async || {
            let all = ListAccountChangesRequest { app_id: tenant.app_id, ..Default::default() };
            w.changes(all).await.into_iter().map(|change| change.account_name).collect::<Vec<_>>()
        };
        assert!(changes().await.is_empty());
        w.report(&host, &[AssetClass::Account], &accounts[..1]).await;
        assert_eq!(changes().await, ["alice"], "the history goes on");

        // With a class that is off its history goes, and the last login.
        let mut agent = registration(&tenant, "web-1");
        agent.facts.as_mut().unwrap().last_user_login_time = Some(timestamp(noon()));
        assert_eq!(w.register(agent).await.unwrap().machine.unwrap().machine_id, host.id);
        // Also of a machine of which nothing but that is known.
        let unread = w.host(&tenant, "web-2").await;
        for host in [&host, &unread] {
            w.unread(host, &[], &[(AssetClass::Account, "not read: /home/alice")]).await.unwrap();
        }
        let reasons = async || {
            let request = ListUnreadClassesRequest { app_id: tenant.app_id, ..Default::default() };
            w.assets.clone().list_unread_classes(request).await.unwrap().into_inner().unread.len()
        };
        assert_eq!(reasons().await, 2);
        let off = CollectionSettings { classes: vec![ClassCollection { asset_class: AssetClass::Account.into(), ..Default::default() }] };
        put(w, &tenant, Uuid::now_v7(), (MachineScopeKind::All, &[]), off, 1).await;
        let request = DeleteAssetsRequest { asset_class: AssetClass::Account.into(), switched_off: true, ..of(&tenant) };
        assert_eq!(delete(w, request).await.unwrap().assets, 1);
        assert!(changes().await.is_empty());
        assert_eq!(reasons().await, 0);
        let get = GetMachineRequest { app_id: tenant.app_id, machine_id: host.id.clone() };
        let machine = w.machines.clone().get_machine(get).await.unwrap().into_inner().machine.unwrap();
        assert_eq!(machine.facts.unwrap().last_user_login_time, None);
    }

    async fn a_report_on_its_way_brings_nothing_back_of_a_class_that_is_off(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let items = [package("bash", "5")];
        w.report(&host, &PACKAGES, &items).await;
        let items = [package("bash", "6"), package("curl", "8")];
        let classes = offers(&PACKAGES, &items);
        let token = w.negotiate(&host, classes.clone()).await.unwrap().report_token;
        let mut parts = messages(&host, &token, classes, &items);
        let end = parts.pop().unwrap();
        let (send, receive) = futures::channel::mpsc::unbounded();
        let mut assets = w.assets.clone();
        let call = tokio::spawn(async move { assets.report_assets(receive).await });
        parts.into_iter().for_each(|part| send.unbounded_send(part).unwrap());
        // The header was looked at long before.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        put(w, &tenant, Uuid::now_v7(), (MachineScopeKind::All, &[]), packages(false, None), 1).await;
        assert_eq!(delete(w, DeleteAssetsRequest { switched_off: true, ..of(&tenant) }).await.unwrap().assets, 1);
        send.unbounded_send(end).unwrap();
        drop(send);
        assert_eq!(reason(call.await.unwrap()), Reason::CollectionDisabled);
        assert!(names(w, &host).await.is_empty());
    }

    async fn what_a_class_that_is_off_has_left_can_be_deleted(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (one, two) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await);
        let foreign = w.host(&neighbour, "web-1").await;
        let many: Vec<_> = (0..2_100).map(|n| package(&format!("p{n:05}"), "1")).collect();
        w.report(&one, &[AssetClass::SystemPackage, AssetClass::Account], &[many.clone(), vec![account("root", 0)]].concat()).await;
        w.report(&two, &PACKAGES, &many[..3]).await;
        w.report(&foreign, &PACKAGES, &many[..2]).await;
        let request = DeleteAssetsRequest { switched_off: true, ..of(&tenant) };
        assert_eq!(delete(w, request.clone()).await.unwrap(), DeleteAssetsResponse::default(), "it is on");

        let id = Uuid::now_v7();
        put(w, &tenant, id, (MachineScopeKind::Selected, &[&one]), packages(false, None), 1).await;
        put(w, &neighbour, Uuid::now_v7(), (MachineScopeKind::All, &[]), packages(false, None), 1).await;
        let preview = delete(w, DeleteAssetsRequest { validate_only: true, ..request.clone() }).await.unwrap();
        assert_eq!((preview.assets, preview.machines, preview.more), (2_100, 1, false));
        assert_eq!(names(w, &one).await.len(), 2_100);
        let accounts = DeleteAssetsRequest { asset_class: AssetClass::Account.into(), ..request.clone() };
        assert_eq!(delete(w, accounts).await.unwrap().assets, 0, "another class is on");
        assert_eq!(delete(w, request.clone()).await.unwrap(), preview);
        assert_eq!(delete(w, request).await.unwrap(), DeleteAssetsResponse::default(), "a repeat finds nothing");

        assert_eq!((names(w, &one).await.len(), names(w, &two).await.len(), names(w, &foreign).await.len()), (0, 3, 2));
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (3, 1));
        assert_eq!(w.count(tenant.app_id, "", AssetClass::Account).await, (1, 1));
        assert_eq!(w.check(tenant.app_id, false).await.total, 0);
        put(w, &tenant, id, (MachineScopeKind::Selected, &[&one]), packages(true, None), 2).await;
        w.report(&one, &PACKAGES, &many).await;
        assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (2_103, 2));
    }

    async fn a_deletion_that_is_wrong_deletes_nothing(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let host = w.host(&tenant, "web-1").await;
        w.report(&host, &PACKAGES, &[package("bash", "5")]).await;
        let bash = named(w, &host, "bash").await;
        let with = |assets: Vec<AssetName>| DeleteAssetsRequest { assets, ..of(&tenant) };

        let wrong = AssetName { machine_id: "x".into(), asset_id: String::new() };
        let wrong = DeleteAssetsRequest { asset_class: 99, ..with(vec![bash.clone(), wrong]) };
        assert_eq!(fields(delete(w, wrong).await), ["asset_class", "assets[1].machine_id", "assets[1].asset_id"]);
        assert_eq!(fields(delete(w, with(vec![])).await), ["assets"]);
        assert_eq!(fields(delete(w, with(vec![bash.clone(); 101])).await), ["assets"]);
        assert_eq!(reason(delete(w, with(vec![bash.clone(), bash.clone()])).await), Reason::DuplicateItem);
        let both = DeleteAssetsRequest { switched_off: true, ..with(vec![bash.clone()]) };
        assert_eq!(fields(delete(w, both).await), ["assets"]);
        let foreign = DeleteAssetsRequest { assets: vec![bash.clone()], ..of(&neighbour) };
        assert_eq!(outcomes(&delete(w, foreign).await.unwrap()), [(false, "ASSET_UNKNOWN")]);
        let other = DeleteAssetsRequest { asset_class: AssetClass::Account.into(), ..with(vec![bash]) };
        assert_eq!(outcomes(&delete(w, other).await.unwrap()), [(false, "ASSET_UNKNOWN")]);
        assert_eq!(reason(delete(w, DeleteAssetsRequest { switched_off: true, ..of(&w.nobody()) }).await), Reason::TenantUnknown);
        assert_eq!(names(w, &host).await, ["bash"]);
    }
}
