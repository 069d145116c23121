//! The end of a tenant: nothing is shown, nothing is left, and the customer may come back.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{MachineScopeKind, TenantState};
use cwpp_contracts::configuration::v1::*;
use cwpp_contracts::erasure::v1::*;

use crate::world::*;

both! {
    async fn of_a_sealed_tenant_only_its_state_is_shown(w: World) {
        let tenant = w.tenant().await;
        w.fence(&tenant, TenantState::Sealed).await;
        let seen = w.get(tenant.app_id).await.unwrap();
        let bare = Tenant {
            app_id: tenant.app_id,
            incarnation: tenant.incarnation,
            state: TenantState::Sealed.into(),
            ..Default::default()
        };
        assert_eq!(seen, bare);
    }

    async fn after_the_purge_no_row_is_left_and_the_customer_may_come_back(w: World) {
        let request = new_tenant();
        let made = w.create(request.clone()).await.unwrap();
        let tenant = Opened { app_id: made.app_id, incarnation: made.incarnation };
        w.open_tenant(&tenant).await;
        let neighbour = w.tenant().await;
        let machine = id();
        for name in ["a", "b"] {
            let policy = Policy { machines: machines(MachineScopeKind::Selected, &[&machine]), ..whitelist(name) };
            w.policy(&tenant, policy.clone()).await.unwrap();
            w.policy(&neighbour, policy).await.unwrap();
        }
        let again = CreateTenantRequest { request_id: id(), ..request };
        let fence = w.fence(&tenant, TenantState::Sealed).await;
        assert_eq!(reason(w.create(again.clone()).await), Reason::TenantClosing);
        for close in [false, true] {
            let erase = EraseRequest {
                app_id: tenant.app_id,
                incarnation: tenant.incarnation.clone(),
                token: 1,
                epoch: fence.epoch,
                budget: None,
                pause: None,
                close,
            };
            let mut progress = w.erasure.erase(erase).await.unwrap().into_inner();
            let mut last = EraseResponse::default();
            while let Some(message) = progress.message().await.unwrap() {
                last = message;
            }
            assert_eq!((last.more, last.closed), (false, close));
        }
        for table in ["tenant", "policy", "policy_machine", "policy_revision", "policy_head", "feed", "idempotency"] {
            assert_eq!(w.rows(&tenant, table).await, 0, "{table}");
        }
        assert_eq!(w.rows(&neighbour, "policy").await, 2);
        assert_eq!(reason(w.get(tenant.app_id).await), Reason::TenantUnknown);
        let back = w.create(again).await.unwrap();
        assert_ne!(back.incarnation, tenant.incarnation);
    }
}
