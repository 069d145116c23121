//! Tenants: registered once, in one region, with a UIN of their own.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{Page, TenantState};
use cwpp_contracts::configuration::v1::*;
use prost_types::Timestamp;

use crate::world::*;

both! {
    async fn a_new_tenant_is_opening_until_it_is_opened(w: World) {
        let request = new_tenant();
        let tenant = w.create(request.clone()).await.unwrap();
        assert_eq!(tenant.state(), TenantState::Opening);
        assert_eq!((tenant.app_id, tenant.uin), (request.app_id, request.uin));
        assert_eq!(tenant.agreement_accepted_time, request.agreement_accepted_time);
        assert_eq!(w.get(tenant.app_id).await.unwrap(), tenant);
        let opened = Opened { app_id: tenant.app_id, incarnation: tenant.incarnation.clone() };
        assert_eq!(reason(w.policy(&opened, whitelist("early")).await), Reason::TenantOpening);
        w.open_tenant(&opened).await;
        let active = Tenant { state: TenantState::Active.into(), ..tenant };
        assert_eq!(w.get(active.app_id).await.unwrap(), active);
    }

    async fn the_same_request_answers_the_same_tenant(w: World) {
        let request = new_tenant();
        let tenant = w.create(request.clone()).await.unwrap();
        assert_eq!(w.create(request.clone()).await.unwrap(), tenant);
        let other = CreateTenantRequest { agreement_version: "2026-02".into(), ..request.clone() };
        assert_eq!(reason(w.create(other).await), Reason::RequestIdReused);
        let later = CreateTenantRequest { request_id: id(), ..request };
        assert_eq!(reason(w.create(later).await), Reason::TenantExists);
    }

    async fn of_many_requests_for_one_tenant_one_makes_it(w: World) {
        let request = new_tenant();
        let calls = (0..8).map(|_| {
            let mut tenants = w.tenants.clone();
            let request = CreateTenantRequest { request_id: id(), ..request.clone() };
            tokio::spawn(async move { tenants.create_tenant(request).await })
        });
        let mut made = 0;
        for call in futures::future::join_all(calls).await {
            match call.unwrap() {
                Ok(_) => made += 1,
                Err(status) => assert_eq!(reason::<()>(Err(status)), Reason::TenantExists),
            }
        }
        assert_eq!(made, 1);
    }

    async fn two_tenants_have_two_uins(w: World) {
        let first = new_tenant();
        w.create(first.clone()).await.unwrap();
        let second = CreateTenantRequest { uin: first.uin, ..new_tenant() };
        let refused = w.create(second.clone()).await;
        assert_eq!(fields(refused.clone()), ["uin"]);
        assert_eq!(reason(refused), Reason::AlreadyExists);
        assert_eq!(reason(w.get(second.app_id).await), Reason::TenantUnknown);
    }

    async fn a_tenant_of_another_region_is_refused(w: World) {
        let request = CreateTenantRequest { region: "us-east".into(), ..new_tenant() };
        assert_eq!(reason(w.create(request.clone()).await), Reason::RegionRefused);
        assert_eq!(reason(w.get(request.app_id).await), Reason::TenantUnknown);
    }

    async fn every_wrong_field_of_a_tenant_is_named(w: World) {
        let nothing = w.create(CreateTenantRequest::default()).await;
        let expected = ["app_id", "request_id", "uin", "region", "agreement_version", "agreement_accepted_time"];
        assert_eq!(fields(nothing), expected);
        let ahead = chrono::Utc::now().timestamp() + 86_400;
        let wrong = CreateTenantRequest {
            app_id: 1 << 63,
            request_id: "0198c5a27d4e7c3b9a102f6b8e1d4c55".into(),
            uin: u64::MAX,
            region: "x".repeat(64),
            agreement_version: "2026 01".into(),
            agreement_accepted_time: Some(Timestamp { seconds: ahead, nanos: 0 }),
        };
        assert_eq!(fields(w.create(wrong).await), expected);
    }

    async fn tenants_are_listed_in_pages_by_number(w: World) {
        let mut numbers = Vec::new();
        for _ in 0..5 {
            numbers.push(w.create(new_tenant()).await.unwrap().app_id);
        }
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = Some(Page { page_size: 2, page_token: token });
            let reply = w.tenants.list_tenants(ListTenantsRequest { page }).await.unwrap().into_inner();
            assert!(reply.tenants.len() <= 2);
            found.extend(reply.tenants.into_iter().map(|tenant| tenant.app_id));
            token = reply.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        numbers.sort_unstable();
        assert_eq!(found, numbers);
        let forged = ListTenantsRequest { page: Some(Page { page_size: 2, page_token: "forged".into() }) };
        assert_eq!(reason(w.tenants.list_tenants(forged).await), Reason::PageTokenInvalid);
        let negative = ListTenantsRequest { page: Some(Page { page_size: -1, page_token: String::new() }) };
        assert_eq!(fields(w.tenants.list_tenants(negative).await), ["page.page_size"]);
    }

    async fn an_unknown_tenant_has_no_policies_to_change(w: World) {
        let nobody = Opened { app_id: new_tenant().app_id, incarnation: id() };
        assert_eq!(reason(w.get(nobody.app_id).await), Reason::TenantUnknown);
        assert_eq!(reason(w.policy(&nobody, whitelist("lost")).await), Reason::TenantUnknown);
        let list = ListPoliciesRequest { app_id: nobody.app_id, ..Default::default() };
        assert_eq!(reason(w.policies.list_policies(list).await), Reason::TenantUnknown);
    }
}
