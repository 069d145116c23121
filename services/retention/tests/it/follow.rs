//! New tenants are opened everywhere.

use std::time::{Duration, Instant};

use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::configuration::v1 as wire;
use uuid::Uuid;

use crate::world::*;

fn announce(world: &World, app_id: u64, state: TenantState) -> Tenant {
    let incarnation = Uuid::now_v7().to_string();
    world.tenants.tell(wire::Tenant {
        app_id,
        incarnation: incarnation.clone(),
        state: state.into(),
        ..Default::default()
    });
    Tenant { app_id, incarnation }
}

/// Waits until a tenant is open in these services; returns how long that took.
async fn opened(world: &World, services: &[&str], tenant: &Tenant) -> Duration {
    let start = Instant::now();
    for service in services {
        while world.fence(service, tenant).await != 2 {
            assert!(start.elapsed() < Duration::from_secs(20), "not open in {service}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    start.elapsed()
}

async fn pending(world: &World) -> i64 {
    world.number("retention", "SELECT COUNT(*) FROM tenant_opening").await
}

both! {
    async fn a_new_tenant_is_open_everywhere_within_a_second(world: World) {
        world.start().await;
        let first = announce(world, 71, TenantState::Opening);
        opened(world, &SERVICES, &first).await;
        // The first one also waited for the connection.
        let second = announce(world, 72, TenantState::Opening);
        let took = opened(world, &SERVICES, &second).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        let other = announce(world, 73, TenantState::Active);
        let third = announce(world, 74, TenantState::Opening);
        opened(world, &SERVICES, &third).await;
        assert_eq!(world.fence("retention", &other).await, 0, "only what is opening is opened");
    }

    async fn a_service_that_is_away_holds_up_nobody_else(world: World) {
        world.start().await;
        world.lose("incidents").await;
        let first = announce(world, 81, TenantState::Opening);
        let second = announce(world, 82, TenantState::Opening);
        opened(world, &["inventory", "retention"], &first).await;
        opened(world, &["inventory", "retention"], &second).await;
        // Not while the first attempt is under way, but once it has failed.
        let tried = "SELECT COUNT(*) FROM tenant_opening WHERE attempt > 0";
        let start = Instant::now();
        while world.number("retention", tried).await < 2 {
            assert!(start.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(pending(world).await, 2);
        for tenant in [&first, &second] {
            assert_eq!(world.fence("configuration", tenant).await, 0, "what is not open everywhere is not shown as open");
        }
        world.bring("incidents").await;
        opened(world, &SERVICES, &first).await;
        opened(world, &SERVICES, &second).await;
        let start = Instant::now();
        while pending(world).await != 0 {
            assert!(start.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn a_restarted_follower_goes_on_where_it_was(world: World) {
        world.start().await;
        let first = announce(world, 91, TenantState::Opening);
        opened(world, &SERVICES, &first).await;
        world.stop().await;
        let second = announce(world, 92, TenantState::Opening);
        world.start().await;
        opened(world, &SERVICES, &second).await;
        assert_eq!(*world.tenants.cursors.lock().unwrap(), ["", "1"]);
    }

    async fn an_expired_cursor_is_followed_from_the_beginning(world: World) {
        world.sql("retention", "INSERT INTO tenant_cursor (source, position) VALUES ('configuration.tenants', 'expired')").await;
        let first = announce(world, 95, TenantState::Opening);
        world.start().await;
        opened(world, &SERVICES, &first).await;
    }

    async fn two_followers_do_no_harm(world: World) {
        world.start().await;
        world.start().await;
        let mut tenants = Vec::new();
        for app_id in 101..111 {
            tenants.push(announce(world, app_id, TenantState::Opening));
        }
        for tenant in &tenants {
            opened(world, &SERVICES, tenant).await;
        }
        assert_eq!(world.tenants.cursors.lock().unwrap().len(), 1, "one of them follows");
    }

    async fn a_tenant_that_is_over_is_not_opened_again(world: World) {
        world.start().await;
        let tenant = announce(world, 121, TenantState::Opening);
        opened(world, &SERVICES, &tenant).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        world.certify(&deletion).await;
        // Told once more by a configuration that was restored, and its number taken by a new life.
        world.tenants.tell(wire::Tenant {
            app_id: tenant.app_id,
            incarnation: tenant.incarnation.clone(),
            state: TenantState::Opening.into(),
            ..Default::default()
        });
        let back = announce(world, tenant.app_id, TenantState::Opening);
        opened(world, &SERVICES, &back).await;
        let sql = format!("SELECT COUNT(*) FROM closed_incarnation WHERE incarnation = x'{}'", tenant.incarnation.replace('-', ""));
        assert_eq!(world.number("inventory", &sql).await, 1);
    }
}
