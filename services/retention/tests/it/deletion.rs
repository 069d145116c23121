//! A deletion's whole way, and what may happen on it.

use cwpp_contracts::retention::v1::*;

use crate::world::*;

const ACTIVE: i64 = 2;
const READ_ONLY: i64 = 3;
const SEALED: i64 = 4;

both! {
    async fn a_terminated_tenant_is_gone_everywhere_and_its_neighbour_untouched(world: World) {
        world.start().await;
        let (tenant, neighbour) = (world.tenant(2500).await, world.tenant(30).await);
        let deletion = world.terminate(&tenant).await;
        assert_eq!(deletion.state(), DeletionState::Scheduled);
        assert!(!deletion.stalled);
        for service in SERVICES {
            assert_eq!(world.fence(service, &tenant).await, READ_ONLY, "{service} refuses writes when the call answers");
        }
        let effective = time(deletion.effective_time);
        assert_eq!(time(deletion.state_deadline) - effective, chrono::TimeDelta::hours(24));
        assert_eq!(time(deletion.deadline) - effective, chrono::TimeDelta::hours(144));

        let waiting = world.purge(&deletion).await;
        assert_eq!(time(waiting.state_deadline) - effective, chrono::TimeDelta::hours(120));
        for service in &SERVICES[..3] {
            assert_eq!(world.notes(service, &tenant).await, 0);
            assert_eq!(world.fence(service, &tenant).await, SEALED);
        }
        assert_eq!(waiting.services.iter().map(|s| s.rows_deleted).collect::<Vec<_>>(), [2500, 2500, 2500, 0]);
        assert!(waiting.services.iter().all(|service| service.verified && service.epoch == 1));

        world.certify(&deletion).await;
        for service in SERVICES {
            assert_eq!(world.fence(service, &tenant).await, 0, "{service} has no fence row");
            assert_eq!(world.fence(service, &neighbour).await, ACTIVE);
        }
        assert_eq!(world.notes("inventory", &neighbour).await, 30);
        let states: Vec<String> = world.ledger().await.into_iter().map(|(state, _)| state).collect();
        assert_eq!(
            states,
            ["SCHEDULED", "SEALING", "SEALED", "PURGING", "VERIFYING", "RESIDUE_WAIT", "CERTIFIED"]
        );
        assert_eq!(reason(world.client().terminate_subscription(termination(&tenant)).await), cwpp_chassis::Reason::TenantUnknown);
    }

    async fn a_deletion_waits_for_the_ends_of_grace_and_of_copies(world: World) {
        world.start().await;
        let tenant = world.tenant(5).await;
        let deletion = world.terminate(&tenant).await;
        world.clock.advance(24 * HOUR - std::time::Duration::from_secs(1));
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert_eq!(world.get(&deletion).await.state(), DeletionState::Scheduled);
        world.clock.advance(std::time::Duration::from_secs(1));
        world.until_state(&deletion, DeletionState::ResidueWait).await;
        world.clock.advance(72 * HOUR - std::time::Duration::from_secs(1));
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert_eq!(world.get(&deletion).await.state(), DeletionState::ResidueWait);
        world.clock.advance(std::time::Duration::from_secs(1));
        world.until_state(&deletion, DeletionState::Certified).await;
    }

    async fn a_cancelled_deletion_leaves_everything_and_another_may_follow(world: World) {
        world.start().await;
        let tenant = world.tenant(7).await;
        let first = world.terminate(&tenant).await;
        let cancelled = world.client().cancel_termination(cancellation(&tenant, &first)).await.unwrap().into_inner();
        assert_eq!(cancelled.deletion.unwrap().state(), DeletionState::Cancelled);
        for service in SERVICES {
            assert_eq!(world.fence(service, &tenant).await, ACTIVE, "{service} admits writes when the call answers");
        }
        // A day later nothing has been sealed.
        world.clock.advance(48 * HOUR);
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert_eq!(world.notes("inventory", &tenant).await, 7);
        assert_eq!(reason(world.certificate(&first).await), cwpp_chassis::Reason::CertificateNotReady);

        let second = world.terminate(&tenant).await;
        assert_ne!(second.deletion_id, first.deletion_id);
        assert_eq!(second.incarnation, first.incarnation);
        world.purge(&second).await;
        assert_eq!(reason(world.client().cancel_termination(cancellation(&tenant, &second)).await), cwpp_chassis::Reason::InvalidTransition);
        world.certify(&second).await;
        assert_eq!(world.notes("inventory", &tenant).await, 0);
    }

    async fn a_cancelled_deletion_is_lifted_in_a_service_that_was_away(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let deletion = world.terminate(&tenant).await;
        world.lose("incidents").await;
        let answer = world.client().cancel_termination(cancellation(&tenant, &deletion)).await.unwrap().into_inner();
        assert_eq!(answer.deletion.unwrap().state(), DeletionState::Cancelled);
        assert_eq!(world.fence("incidents", &tenant).await, READ_ONLY);
        world.bring("incidents").await;
        let start = std::time::Instant::now();
        while world.fence("incidents", &tenant).await != ACTIVE {
            assert!(start.elapsed() < std::time::Duration::from_secs(20));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn a_service_that_is_away_stalls_the_deletion_until_it_is_back(world: World) {
        world.start().await;
        let tenant = world.tenant(10).await;
        let deletion = world.terminate(&tenant).await;
        world.lose("inventory").await;
        world.clock.advance(24 * HOUR);
        let stalled = world.until(&deletion, |now| now.stalled).await;
        assert_eq!(stalled.state(), DeletionState::Sealing);
        assert!(stalled.blocker.starts_with("inventory: PEER_UNAVAILABLE"), "{}", stalled.blocker);
        // The others are sealed meanwhile: nothing is written there any more.
        assert_eq!(world.fence("configuration", &tenant).await, SEALED);
        world.bring("inventory").await;
        let request = RetryDeletionRequest { deletion_id: deletion.deletion_id.clone() };
        world.client().retry_deletion(request).await.unwrap();
        let waiting = world.until_state(&deletion, DeletionState::ResidueWait).await;
        assert!(!waiting.stalled && waiting.blocker.is_empty());
        // Away again at the very end, when fence rows go.
        world.lose("configuration").await;
        world.clock.advance(72 * HOUR);
        let stalled = world.until(&deletion, |now| now.stalled).await;
        assert!(stalled.blocker.starts_with("configuration:"), "{}", stalled.blocker);
        world.bring("configuration").await;
        world.until_state(&deletion, DeletionState::Certified).await;
    }

    async fn a_service_that_never_saw_the_tenant_is_closed_to_it_too(world: World) {
        world.start().await;
        let tenant = world.tenant(3).await;
        world.sql("incidents", &format!("DELETE FROM tenant_fence WHERE app_id = {}", tenant.app_id)).await;
        world.sql("incidents", &format!("DELETE FROM note WHERE app_id = {}", tenant.app_id)).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        world.certify(&deletion).await;
        let late = cwpp_contracts::erasure::v1::OpenTenantRequest { app_id: tenant.app_id, incarnation: tenant.incarnation.clone() };
        for service in SERVICES {
            let opened = world.erasure(service).open_tenant(late.clone()).await;
            assert_eq!(reason(opened), cwpp_chassis::Reason::TenantClosing, "a late opening in {service}");
        }
    }

    async fn a_row_that_appears_after_the_purge_is_found_and_sent_back(world: World) {
        world.start().await;
        let tenant = world.tenant(4).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        world.write_notes("incidents", &tenant, 100, 3).await;
        world.clock.advance(72 * HOUR);
        // Deleted, counted twice, and the copies' time begins anew.
        let again = world.until(&deletion, |now| now.services[1].rows_deleted == 7 && now.state() == DeletionState::ResidueWait).await;
        assert_eq!(world.notes("incidents", &tenant).await, 0);
        assert_eq!(time(again.state_time) - time(deletion.effective_time), chrono::TimeDelta::hours(96));
        let found = world.ledger().await.into_iter().find_map(|(_, detail)| detail).unwrap();
        assert_eq!(found, "incidents.note: 3 rows");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(world.get(&deletion).await.state(), DeletionState::ResidueWait);
        let certificate = world.certify(&deletion).await.certificate;
        assert!(certificate.contains("\"rows\":7"), "{certificate}");
    }

    async fn a_lost_seal_is_set_anew_before_anything_goes_on(world: World) {
        world.start().await;
        let tenant = world.tenant(4).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        // A server came up that has neither the seal nor the purge.
        world.sql("inventory", &format!("UPDATE tenant_fence SET state = 2, epoch = 0 WHERE app_id = {}", tenant.app_id)).await;
        world.write_notes("inventory", &tenant, 0, 4).await;
        world.clock.advance(72 * HOUR);
        world.until(&deletion, |now| now.services[0].rows_deleted == 8 && now.state() == DeletionState::ResidueWait).await;
        assert_eq!(world.fence("inventory", &tenant).await, SEALED);
        let details: Vec<String> = world.ledger().await.into_iter().filter_map(|(_, detail)| detail).collect();
        assert_eq!(details, ["inventory: not sealed at the expected epoch"]);
        world.certify(&deletion).await;
    }

    async fn a_watcher_sees_every_state_and_the_end(world: World) {
        world.start().await;
        let tenant = world.tenant(2).await;
        let deletion = world.terminate(&tenant).await;
        let request = WatchDeletionRequest { deletion_id: deletion.deletion_id.clone() };
        let mut watch = world.client().watch_deletion(request).await.unwrap().into_inner();
        let seen = tokio::spawn(async move {
            let mut states = Vec::new();
            while let Some(message) = watch.message().await.unwrap() {
                states.push(message.deletion.unwrap().state());
            }
            states.dedup();
            states
        });
        world.purge(&deletion).await;
        world.certify(&deletion).await;
        let seen = tokio::time::timeout(std::time::Duration::from_secs(10), seen).await.unwrap().unwrap();
        assert_eq!(seen.first(), Some(&DeletionState::Scheduled));
        assert_eq!(seen.last(), Some(&DeletionState::Certified));
        assert!(seen.contains(&DeletionState::ResidueWait), "{seen:?}");
    }
}
