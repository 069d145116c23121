//! What callers may ask, and what bad input gets.

use cwpp_chassis::{Reason, status};
use cwpp_contracts::common::v1::Page;
use cwpp_contracts::retention::v1::*;
use uuid::Uuid;

use crate::world::*;

fn timestamp(time: chrono::DateTime<chrono::Utc>) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: time.timestamp(), nanos: 0 })
}

both! {
    async fn every_wrong_field_of_a_termination_is_named(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let now = world.clock.now();
        let wrong = TerminateSubscriptionRequest {
            confirm_app_id: tenant.app_id + 1,
            effective_time: timestamp(now + chrono::TimeDelta::seconds(1)),
            ..termination(&tenant)
        };
        let refused = world.client().terminate_subscription(wrong).await.unwrap_err();
        assert_eq!(status::reason(&refused), Some(Reason::InvalidField));
        let fields: Vec<String> = status::violations(&refused).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["confirm_app_id", "effective_time"]);
        for effective_time in [
            timestamp(now - chrono::TimeDelta::hours(24) - chrono::TimeDelta::seconds(1)),
            Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
        ] {
            let wrong = TerminateSubscriptionRequest { effective_time, ..termination(&tenant) };
            assert_eq!(reason(world.client().terminate_subscription(wrong).await), Reason::InvalidField);
        }
        let confirm = DeleteAccountRequest { app_id: tenant.app_id, ..Default::default() };
        assert_eq!(reason(world.client().delete_account(confirm).await), Reason::InvalidField);
        let zero = TerminateSubscriptionRequest::default();
        assert_eq!(reason(world.client().terminate_subscription(zero).await), Reason::InvalidField);
        assert_eq!(world.ledger().await, [], "nothing was written");
    }

    async fn an_unknown_tenant_is_not_terminated(world: World) {
        world.start().await;
        let nobody = Tenant { app_id: 999_999, incarnation: Uuid::now_v7().to_string() };
        assert_eq!(reason(world.client().terminate_subscription(termination(&nobody)).await), Reason::TenantUnknown);
        let request = CancelTerminationRequest { app_id: nobody.app_id, deletion_id: Uuid::now_v7().to_string() };
        assert_eq!(reason(world.client().cancel_termination(request).await), Reason::TenantUnknown);
    }

    async fn a_repeated_termination_answers_the_one_that_goes_on(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let calls = (0..8).map(|_| {
            let (mut client, request) = (world.client(), termination(&tenant));
            async move { client.terminate_subscription(request).await.unwrap().into_inner().deletion.unwrap().deletion_id }
        });
        let ids = futures::future::join_all(calls).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let account = DeleteAccountRequest { app_id: tenant.app_id, confirm_app_id: tenant.app_id, validate_only: false };
        let same = world.client().delete_account(account).await.unwrap().into_inner().deletion.unwrap();
        assert_eq!(same.deletion_id, ids[0]);
        assert_eq!(same.cause(), DeletionCause::Termination);
        // Also when the tenant is sealed already.
        world.purge(&same).await;
        assert_eq!(world.terminate(&tenant).await.deletion_id, ids[0]);
        assert_eq!(world.number("retention", "SELECT COUNT(*) FROM deletion").await, 1);
    }

    async fn only_validating_changes_nothing(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let request = TerminateSubscriptionRequest { validate_only: true, ..termination(&tenant) };
        let answer = world.client().terminate_subscription(request).await.unwrap().into_inner().deletion.unwrap();
        assert_eq!((answer.deletion_id.as_str(), answer.state()), ("", DeletionState::Scheduled));
        assert_eq!(answer.incarnation, tenant.incarnation);
        assert_eq!(world.number("retention", "SELECT COUNT(*) FROM deletion").await, 0);
        assert_eq!(world.fence("inventory", &tenant).await, 2);
    }

    async fn the_effective_time_counts_not_the_arrival(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let effective_time = timestamp(world.clock.now() - chrono::TimeDelta::hours(24));
        let request = TerminateSubscriptionRequest { effective_time, ..termination(&tenant) };
        let deletion = world.client().terminate_subscription(request).await.unwrap().into_inner().deletion.unwrap();
        assert_eq!(deletion.effective_time, effective_time);
        // The grace is over already.
        world.until_state(&deletion, DeletionState::ResidueWait).await;
    }

    async fn what_nobody_knows_is_unknown(world: World) {
        world.start().await;
        let (one, other) = (world.tenant(1).await, world.tenant(1).await);
        let deletion = world.terminate(&one).await;
        for deletion_id in ["", "nonsense", "{0198c5a2-7d4e-7c3b-9a10-2f6b8e1d4c55}"] {
            let request = GetDeletionRequest { deletion_id: deletion_id.into() };
            assert_eq!(reason(world.client().get_deletion(request).await), Reason::InvalidField);
        }
        let deletion_id = Uuid::now_v7().to_string();
        assert_eq!(reason(world.client().get_deletion(GetDeletionRequest { deletion_id: deletion_id.clone() }).await), Reason::DeletionUnknown);
        assert_eq!(reason(world.client().watch_deletion(WatchDeletionRequest { deletion_id: deletion_id.clone() }).await), Reason::DeletionUnknown);
        assert_eq!(reason(world.client().retry_deletion(RetryDeletionRequest { deletion_id: deletion_id.clone() }).await), Reason::DeletionUnknown);
        assert_eq!(reason(world.client().get_certificate(GetCertificateRequest { deletion_id }).await), Reason::DeletionUnknown);
        // A deletion of another tenant is none.
        assert_eq!(reason(world.client().cancel_termination(cancellation(&other, &deletion)).await), Reason::DeletionUnknown);
        assert_eq!(reason(world.certificate(&deletion).await), Reason::CertificateNotReady);
    }

    async fn deletions_are_listed_page_by_page_newest_first(world: World) {
        world.start().await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            let tenant = world.tenant(0).await;
            ids.push(world.terminate(&tenant).await.deletion_id);
        }
        ids.reverse();
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListDeletionsRequest { page: Some(Page { page_size: 2, page_token }) };
            let answer = world.client().list_deletions(request).await.unwrap().into_inner();
            assert!(answer.deletions.len() <= 2);
            listed.extend(answer.deletions.into_iter().map(|deletion| deletion.deletion_id));
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, ids);
        for (page, why) in [
            (Page { page_size: -1, page_token: String::new() }, Reason::InvalidField),
            (Page { page_size: 0, page_token: "nonsense".into() }, Reason::PageTokenInvalid),
        ] {
            assert_eq!(reason(world.client().list_deletions(ListDeletionsRequest { page: Some(page) }).await), why);
        }
    }
}
