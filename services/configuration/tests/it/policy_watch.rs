//! The stream of policies over all tenants.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::configuration::v1::*;

use crate::world::*;

both! {
    async fn changes_of_all_tenants_are_told_as_they_are_now(w: World) {
        let (one, two) = (w.tenant().await, w.tenant().await);
        let mut stream = w.watch_policies("").await;
        let first = w.policy(&one, whitelist("office")).await.unwrap();
        let told = next(&mut stream).await;
        assert_eq!((told.app_id, told.policy.as_ref()), (one.app_id, Some(&first)));
        let second = w.policy(&two, whitelist("office")).await.unwrap();
        let told = next(&mut stream).await;
        assert_eq!((told.app_id, told.policy), (two.app_id, Some(second)));
        let off = w.update(&one, Policy { enabled: false, ..first }, &["enabled"]).await.unwrap();
        assert_eq!(next(&mut stream).await.policy, Some(off.clone()));
        w.delete(&one, &off).await.unwrap();
        let told = next(&mut stream).await;
        assert_eq!((told.app_id, told.policy_id, told.policy), (one.app_id, off.policy_id, None));
    }

    async fn a_stream_goes_on_from_its_cursor(w: World) {
        let tenant = w.tenant().await;
        let neighbour = w.tenant().await;
        let made = w.policy(&tenant, whitelist("office")).await.unwrap();
        w.policy(&neighbour, whitelist("office")).await.unwrap();
        let mut stream = w.watch_policies("").await;
        next(&mut stream).await;
        let seen = next(&mut stream).await;
        drop(stream);
        let changed = w.update(&tenant, Policy { enabled: false, ..made }, &["enabled"]).await.unwrap();
        let mut stream = w.watch_policies(&seen.cursor).await;
        let told = next(&mut stream).await;
        assert_eq!((told.app_id, told.policy), (tenant.app_id, Some(changed)));
        let later = w.policy(&neighbour, whitelist("later")).await.unwrap();
        // The neighbour is new to this stream and told whole; what was known already is told as it is.
        let (repeated, told) = (next(&mut stream).await, next(&mut stream).await);
        assert_eq!((repeated.app_id, told.app_id), (neighbour.app_id, neighbour.app_id));
        assert_ne!(repeated.cursor, told.cursor);
        assert_eq!(told.policy, Some(later));
    }

    async fn only_the_last_message_of_a_tenant_moves_the_cursor(w: World) {
        let tenant = w.tenant().await;
        for name in ["a", "b", "c"] {
            w.policy(&tenant, whitelist(name)).await.unwrap();
        }
        while w.rows(&tenant, "feed").await < 4 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let mut stream = w.watch_policies("").await;
        let mut told = Vec::new();
        for _ in 0..3 {
            let message = next(&mut stream).await;
            told.push((message.policy.unwrap().name, message.cursor.is_empty()));
        }
        assert_eq!(told, [("a".to_owned(), true), ("b".to_owned(), true), ("c".to_owned(), false)]);
    }

    async fn policies_of_a_sealed_tenant_are_told_as_deleted(w: World) {
        let tenant = w.tenant().await;
        let made = w.policy(&tenant, whitelist("office")).await.unwrap();
        let mut stream = w.watch_policies("").await;
        assert!(next(&mut stream).await.policy.is_some());
        w.fence(&tenant, TenantState::Sealed).await;
        let mut stream = w.watch_policies("").await;
        let told = next(&mut stream).await;
        assert_eq!((told.policy_id, told.policy), (made.policy_id, None));
    }

    async fn a_foreign_cursor_is_refused(w: World) {
        let watch = |cursor: &str| WatchPoliciesRequest { cursor: cursor.into() };
        assert_eq!(fields(w.policies.watch_policies(watch("tenant.1")).await), ["cursor"]);
        assert_eq!(reason(w.policies.watch_policies(watch("policy.ffff")).await), Reason::CursorExpired);
    }
}
