//! The end of a tenant: nothing is left, and the neighbours keep what is theirs.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{ProcessingStatus, TenantState};
use cwpp_contracts::erasure::v1::*;

use crate::peer::{Peer, office, policy};
use crate::world::*;

/// Every table of the service that holds tenants' data.
const TABLES: [&str; 9] = [
    "incident_account",
    "incident",
    "auth_bucket",
    "auth_spool",
    "auth_machine",
    "login_policy_machine",
    "login_policy",
    "machine_tag",
    "idempotency",
];

both! {
    async fn a_purge_leaves_no_row(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let tenants = [w.tenant().await, w.tenant().await];
        for tenant in &tenants {
            let mut spool = tenant.spool();
            let selected = office("192.0.2.0/24");
            let Some(cwpp_contracts::configuration::v1::policy::Spec::LoginWhitelist(spec)) = selected.spec else {
                panic!("a whitelist");
            };
            let kind = cwpp_contracts::common::v1::MachineScopeKind::Selected;
            peer.tell(tenant, &policy(kind, &[&spool.machine_id], spec));
            peer.followed(w, tenant, 1).await;
            w.tag(tenant, &spool, "office").await;
            let mut events = guesses("203.0.113.9", "root", 0, 12);
            events.push(accept("203.0.113.8", "alice", 0));
            events.extend((0..12).map(|n| fail("203.0.113.7", &format!("user{n}"), n)));
            let found = w.send(&mut spool, events).await.incident_ids;
            assert_eq!(found.len(), 3);
            assert_eq!(w.set(tenant, &found[0], ProcessingStatus::Resolved).await, "");
        }
        let [tenant, neighbour] = &tenants;
        let before = w.rows(neighbour).await;
        let mut full: Vec<_> = w.rows(tenant).await.into_iter().map(|(table, _)| table).collect();
        full.sort();
        let mut expected = TABLES.to_vec();
        expected.sort_unstable();
        assert_eq!(full, expected, "every table is filled before the purge");

        let fence = w.fence(tenant, TenantState::Sealed).await;
        assert_eq!(reason(w.page(Default::default()).await), Reason::InvalidField);
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
                assert_eq!(w.rows(tenant).await, []);
            }
        }
        assert_eq!(w.rows(neighbour).await, before);
        assert_eq!(w.all(neighbour).await.len(), 3);
        let refused = w.report(tenant.spool().batch(1, guesses("203.0.113.9", "root", 0, 1))).await;
        assert_eq!(reason(refused), Reason::TenantUnknown);
        follower.end().await;
    }
}
