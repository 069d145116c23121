//! What holds deletions back, and what stops the start.

use cwpp_chassis::Clock;
use cwpp_chassis::app::start;
use cwpp_chassis::config::Settings;
use cwpp_contracts::retention::v1::*;
use cwpp_retention::{Config, Retention};

use crate::world::*;

both! {
    async fn a_pause_holds_back_seals_and_purges(world: World) {
        world.config.brakes.paused = true;
        world.start().await;
        let tenant = world.tenant(3).await;
        let deletion = world.terminate(&tenant).await;
        world.clock.advance(24 * HOUR);
        let held = world.until(&deletion, |now| now.stalled).await;
        assert_eq!((held.state(), held.blocker.as_str()), (DeletionState::Scheduled, "brakes: paused"));
        // Then it can still be called off.
        world.client().cancel_termination(cancellation(&tenant, &deletion)).await.unwrap();
        assert_eq!(world.notes("inventory", &tenant).await, 3);
    }

    async fn no_more_than_so_many_tenants_are_sealed_in_an_hour(world: World) {
        world.config.brakes.seals_per_hour = 2;
        world.start().await;
        let mut deletions = Vec::new();
        for _ in 0..4 {
            let tenant = world.tenant(1).await;
            deletions.push(world.terminate(&tenant).await);
        }
        let beyond = async |world: &World| {
            let mut count = 0;
            for deletion in &deletions {
                count += usize::from(world.get(deletion).await.state() != DeletionState::Scheduled);
            }
            count
        };
        world.clock.advance(24 * HOUR);
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(beyond(world).await, 2);
        world.clock.advance(HOUR);
        for deletion in &deletions {
            world.until_state(deletion, DeletionState::ResidueWait).await;
        }
    }
}

#[tokio::test]
async fn a_configuration_over_the_promise_stops_the_start() {
    let mut config = Config::default();
    config.backup.external_horizon = Some(97 * HOUR);
    let refused = start::<Retention>(Settings::local(config), Clock::system()).await;
    let error = refused.err().expect("a refusal").to_string();
    assert!(error.contains("144 h"), "{error}");
}
