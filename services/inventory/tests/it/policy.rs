//! Policies as they are obeyed, once they were followed.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_contracts::configuration::v1::{ClassCollection, CollectionSettings, OfflineMachineRemoval, PolicyKind};
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::policy::{entity::policy, store};
use prost::Message;
use uuid::Uuid;

use crate::world::*;

const BOTH: [AssetClass; 2] = [AssetClass::Account, AssetClass::SystemPackage];

/// What one policy says of packages.
pub(crate) fn packages(enabled: bool, seconds: Option<i64>) -> CollectionSettings {
    let interval = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let asset_class = AssetClass::SystemPackage.into();
    CollectionSettings { classes: vec![ClassCollection { asset_class, enabled, interval }] }
}

/// What a policy says, which tells its kind.
pub(crate) trait Spec: Message {
    fn kind(&self) -> PolicyKind;
}

impl Spec for CollectionSettings {
    fn kind(&self) -> PolicyKind {
        PolicyKind::CollectionSettings
    }
}

impl Spec for OfflineMachineRemoval {
    fn kind(&self) -> PolicyKind {
        PolicyKind::OfflineMachineRemoval
    }
}

/// Puts a policy where following would put it.
pub(crate) async fn put(
    w: &World,
    tenant: &Tenant,
    id: Uuid,
    (kind, machines): (MachineScopeKind, &[&Host]),
    spec: impl Spec,
    revision: i64,
) {
    let row = policy::Model {
        app_id: tenant.app_id as i64,
        policy_id: id,
        kind: spec.kind() as i16,
        scope_kind: kind as i16,
        tags: serde_json::json!(if kind == MachineScopeKind::Tagged { vec!["web"] } else { vec![] }),
        spec: spec.encode_to_vec(),
        since: revision,
    };
    let ids: Vec<Uuid> = machines.iter().map(|host| host.id.parse().unwrap()).collect();
    let (row, ids) = (&row, &ids);
    let db = w.db().await;
    db.write(&scope(tenant), |tx| async move { store::put(&tx, row.clone(), ids).await }).await.unwrap();
    db.close().await;
}

async fn delete(w: &World, tenant: &Tenant, id: Uuid) {
    let db = w.db().await;
    db.write(&scope(tenant), |tx| async move { store::delete(&tx, id).await }).await.unwrap();
    db.close().await;
}

/// What is decided of accounts and packages, and how often packages are wanted.
async fn decided(w: &World, host: &Host, items: &[AssetItem]) -> ([Decision; 2], Option<i64>) {
    let answer = w.negotiate(host, offers(&BOTH, items)).await.unwrap().decisions;
    let interval = answer[1].interval.as_ref().map(|interval| interval.seconds);
    ([answer[0].decision(), answer[1].decision()], interval)
}

both! {
    async fn a_class_that_is_off_is_not_asked_for_and_not_taken(w: World) {
        use Decision::{Disabled, Send, Unchanged};
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (host, other) = (w.host(&tenant, "web-1").await, w.host(&neighbour, "web-1").await);
        let items = [account("root", 0), package("ssl", "1")];
        w.report(&host, &BOTH, &items).await;
        assert_eq!(decided(w, &host, &items).await, ([Unchanged, Unchanged], None));

        let id = Uuid::now_v7();
        put(w, &tenant, id, (MachineScopeKind::All, &[]), packages(false, None), 1).await;
        assert_eq!(decided(w, &host, &items).await, ([Unchanged, Disabled], None));
        assert_eq!(decided(w, &other, &items).await.0, [Send, Send], "another tenant's");
        let offered = offers(&BOTH, &items);
        let token = w.negotiate(&host, offered.clone()).await.unwrap().report_token;
        let refused = w.send(messages(&host, &token, offered, &items)).await;
        assert_eq!(fields(refused.clone()), ["header.classes[1]"]);
        assert_eq!(reason(refused), Reason::CollectionDisabled);
        w.report(&host, &[AssetClass::Account], &[account("root", 0), account("alice", 1000)]).await;
        assert_eq!(w.stored(&host, AssetClass::SystemPackage).await.len(), 1, "what was there stays until it is deleted");
        let request = ListAssetCountsRequest { app_id: tenant.app_id, machine_id: host.id.clone() };
        let counts = w.assets.list_asset_counts(request).await.unwrap().into_inner().counts;
        let off: Vec<_> = counts.iter().filter(|c| c.disabled).map(|c| (c.asset_class(), c.items)).collect();
        assert_eq!(off, [(AssetClass::SystemPackage, 1)]);

        // Nor is it told why it could not be read.
        w.unread(&host, &[], &[(AssetClass::SystemPackage, "not read: /home/alice"), (AssetClass::Account, "no right")]).await.unwrap();
        let request = ListUnreadClassesRequest { app_id: tenant.app_id, ..Default::default() };
        let unread = w.assets.list_unread_classes(request).await.unwrap().into_inner().unread;
        assert_eq!(unread.iter().map(|row| row.unread.as_ref().unwrap().asset_class()).collect::<Vec<_>>(), [AssetClass::Account]);

        // On again, it is pulled although the host has what is stored; another interval alone pulls nothing.
        put(w, &tenant, id, (MachineScopeKind::All, &[]), packages(true, Some(3600)), 2).await;
        assert_eq!(decided(w, &host, &items).await, ([Send, Send], Some(3600)));
        w.report(&host, &BOTH, &items).await;
        put(w, &tenant, id, (MachineScopeKind::All, &[]), packages(true, Some(600)), 3).await;
        assert_eq!(decided(w, &host, &items).await, ([Unchanged, Unchanged], Some(600)));
        delete(w, &tenant, id).await;
        assert_eq!(decided(w, &host, &items).await, ([Unchanged, Send], None));
    }

    async fn a_host_may_ask_which_classes_are_on_before_it_reads_them(w: World) {
        use AssetClass::{Account, SystemPackage};
        let tenant = w.tenant().await;
        let (host, items) = (w.host(&tenant, "web-1").await, [account("root", 0), package("ssl", "1")]);
        let asked: Vec<_> = BOTH.map(|class| ClassDigest { asset_class: class.into(), ..Default::default() }).into();
        let answer = async || {
            let decisions = w.negotiate(&host, asked.clone()).await.unwrap().decisions;
            [0, 1].map(|i| (decisions[i].decision(), decisions[i].interval.as_ref().map(|interval| interval.seconds)))
        };
        let checked = async || {
            let request = GetMachineRequest { app_id: tenant.app_id, machine_id: host.id.clone() };
            w.machines.clone().get_machine(request).await.unwrap().into_inner().machine.unwrap().last_checked_time
        };
        w.unread(&host, &[], &[(Account, "no right")]).await.unwrap();
        assert_eq!(answer().await, [(Decision::Send, None); 2]);
        assert_eq!(checked().await, None, "nothing was read");
        w.report(&host, &BOTH, &items).await;
        assert_eq!(answer().await, [(Decision::Send, None); 2], "what it has is not known");
        let id = Uuid::now_v7();
        put(w, &tenant, id, (MachineScopeKind::All, &[]), packages(false, None), 1).await;
        assert_eq!(answer().await, [(Decision::Send, None), (Decision::Disabled, None)]);

        // What could not be read is so until it is read, or off.
        w.unread(&host, &[], &[(Account, "no right")]).await.unwrap();
        answer().await;
        let request = ListUnreadClassesRequest { app_id: tenant.app_id, ..Default::default() };
        let unread = w.assets.clone().list_unread_classes(request.clone()).await.unwrap().into_inner().unread;
        assert_eq!(unread.iter().map(|row| row.unread.as_ref().unwrap().asset_class()).collect::<Vec<_>>(), [Account]);
        delete(w, &tenant, id).await;
        w.unread(&host, &[], &[(SystemPackage, "no right")]).await.unwrap();
        put(w, &tenant, id, (MachineScopeKind::All, &[]), packages(false, None), 2).await;
        answer().await;
        let unread = w.assets.clone().list_unread_classes(request).await.unwrap().into_inner().unread;
        assert_eq!(unread.iter().map(|row| row.unread.as_ref().unwrap().asset_class()).collect::<Vec<_>>(), [Account]);

        // A report names what it has read.
        let token = w.negotiate(&host, asked.clone()).await.unwrap().report_token;
        let refused = w.send(messages(&host, &token, asked[..1].to_vec(), &[])).await;
        assert_eq!(fields(refused), ["header.classes[0].digest"]);
        let counted = ClassDigest { items: 1, found: 2, ..asked[0].clone() };
        let refused = w.negotiate(&host, vec![counted]).await;
        assert_eq!(fields(refused), ["classes[0].items", "classes[0].found"]);
    }

    async fn a_login_is_not_kept_where_accounts_are_off(w: World) {
        let tenant = w.tenant().await;
        let mut agent = registration(&tenant, "web-1");
        agent.facts.as_mut().unwrap().last_user_login_time = Some(timestamp(noon()));
        let told = async |agent: &RegisterMachineRequest| {
            w.register(agent.clone()).await.unwrap().machine.unwrap().facts.unwrap().last_user_login_time
        };
        assert_eq!(told(&agent).await, Some(timestamp(noon())));
        let off = ClassCollection { asset_class: AssetClass::Account.into(), ..Default::default() };
        put(w, &tenant, Uuid::now_v7(), (MachineScopeKind::All, &[]), CollectionSettings { classes: vec![off] }, 1).await;
        assert_eq!(told(&agent).await, None);
        assert_eq!(told(&agent).await, None);
        agent.quuid = "web-2".into();
        assert_eq!(told(&agent).await, None, "nor of a new machine");
    }

    async fn settings_hold_for_the_machines_that_they_cover_and_off_wins(w: World) {
        let tenant = w.tenant().await;
        let (one, two) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await);
        let off = async |host: &Host| decided(w, host, &[]).await.0[1] == Decision::Disabled;
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        put(w, &tenant, a, (MachineScopeKind::Selected, &[&one]), packages(false, None), 1).await;
        assert!(off(&one).await && !off(&two).await);
        put(w, &tenant, a, (MachineScopeKind::AllExcept, &[&one]), packages(false, None), 2).await;
        assert!(!off(&one).await && off(&two).await);
        put(w, &tenant, b, (MachineScopeKind::All, &[]), packages(true, Some(60)), 3).await;
        assert!(!off(&one).await && off(&two).await);
        assert_eq!(decided(w, &one, &[]).await.1, Some(60));
        delete(w, &tenant, a).await;
        assert!(!off(&one).await && !off(&two).await);

        // Tags are the machine's own, and may change after the policy.
        put(w, &tenant, a, (MachineScopeKind::Tagged, &[]), packages(false, None), 4).await;
        assert!(!off(&one).await && !off(&two).await);
        let tagged = async |host: &Host, tag: &str| {
            let machines = vec![MachineTags { machine_id: host.id.clone(), tags: vec!["blue".into(), tag.into()] }];
            w.machines.clone().set_tags(SetTagsRequest { app_id: tenant.app_id, machines }).await.unwrap();
        };
        tagged(&one, "web").await;
        tagged(&two, "webs").await;
        assert!(off(&one).await && !off(&two).await);
        tagged(&one, "db").await;
        assert!(!off(&one).await);
    }
}
