//! The stream of tenants.

use std::time::{Duration, Instant};

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::configuration::v1::*;

use crate::world::*;

both! {
    async fn a_new_tenant_is_told_while_it_is_opening(w: World) {
        let mut stream = w.watch_tenants("").await;
        let made = w.create(new_tenant()).await.unwrap();
        let started = Instant::now();
        let told = next(&mut stream).await;
        assert!(started.elapsed() < Duration::from_secs(1), "told after {:?}", started.elapsed());
        assert_eq!(told.tenant, Some(made));
        assert!(!told.cursor.is_empty());
    }

    async fn a_stream_goes_on_from_its_cursor_and_tells_what_is_true_now(w: World) {
        let first = w.tenant().await;
        let mut stream = w.watch_tenants("").await;
        let told = next(&mut stream).await;
        let tenant = told.tenant.unwrap();
        assert_eq!((tenant.app_id, tenant.state()), (first.app_id, TenantState::Active));
        drop(stream);
        let second = w.create(new_tenant()).await.unwrap();
        let mut stream = w.watch_tenants(&told.cursor).await;
        assert_eq!(next(&mut stream).await.tenant, Some(second));
        let mut again = w.watch_tenants("").await;
        assert_eq!(next(&mut again).await.tenant.unwrap().app_id, first.app_id);
    }

    async fn a_replica_tells_what_another_was_told(w: World) {
        let mut other = w.replica().await;
        let mut stream = other.watch_tenants("").await;
        let made = w.create(new_tenant()).await.unwrap();
        assert_eq!(next(&mut stream).await.tenant, Some(made));
        drop(stream);
        other.stop().await;
    }

    async fn a_cursor_of_another_stream_or_another_time_is_refused(w: World) {
        let watch = |cursor: &str| WatchTenantsRequest { cursor: cursor.into() };
        assert_eq!(fields(w.tenants.watch_tenants(watch("policy.1")).await), ["cursor"]);
        assert_eq!(reason(w.tenants.watch_tenants(watch("tenant.ffff")).await), Reason::CursorExpired);
    }

    async fn a_silent_stream_shows_that_it_lives_and_ends_with_the_service(w: World) {
        let mut stream = w.watch_tenants("").await;
        let alive = tokio::time::timeout(Duration::from_secs(15), stream.message()).await.unwrap().unwrap();
        assert_eq!(alive, Some(WatchTenantsResponse::default()));
        w.stop().await;
        assert_eq!(stream.message().await.unwrap(), None);
    }
}
