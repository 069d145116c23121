//! Workers that die or sleep: the next one goes on, the sleeper changes nothing.

use cwpp_contracts::retention::v1::*;
use cwpp_retention::State;
use cwpp_retention::deletion::run::{Halt, Hold, Next, Note};
use cwpp_retention::deletion::store::Due;
use cwpp_retention::deletion::{purge, worker};
use uuid::Uuid;

use crate::world::*;

fn due(deletion: &Deletion) -> Due {
    Due {
        id: Uuid::parse_str(&deletion.deletion_id).unwrap(),
        incarnation: Uuid::parse_str(&deletion.incarnation).unwrap(),
    }
}

both! {
    async fn every_step_may_be_the_last_of_its_process(world: World) {
        let (tenant, deletion) = world.terminated(3).await;
        // Each step by a process of its own, which dies behind it without giving its lease back.
        let (mut seen, mut tokens) = (vec![State::Scheduled], Vec::new());
        for step in 0..400 {
            assert!(step < 399, "no end after {seen:?}");
            let desk = world.desk().await;
            world.expire_leases().await;
            match Hold::claim(&desk, due(&deletion)).await.unwrap() {
                Some(mut hold) => {
                    tokens.push(hold.token());
                    worker::step(&mut hold).await.unwrap();
                    let state = hold.state().unwrap();
                    if seen.last() != Some(&state) {
                        seen.push(state);
                    }
                    if state == State::Certified {
                        break;
                    }
                }
                None if seen.last() == Some(&State::ResidueWait) => world.clock.advance(24 * HOUR),
                None => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
        use State::{Certified, Purging, ResidueWait, Scheduled, Sealed, Sealing, Verifying};
        assert_eq!(seen, [Scheduled, Sealing, Sealed, Purging, Verifying, ResidueWait, Certified]);
        assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
        world.start().await;
        world.certificate(&deletion).await.unwrap();
        for service in &SERVICES[..3] {
            assert_eq!(world.notes(service, &tenant).await, 0);
        }
    }

    async fn a_step_that_was_done_but_not_written_down_is_done_again(world: World) {
        let (_, deletion) = world.terminated(3).await;
        // Each step is done twice: once by a worker whose last word was lost (its row is set back), once by the next.
        let mut state = State::Scheduled;
        for round in 0..400 {
            assert!(round < 399, "no end after {state}");
            let desk = world.desk().await;
            world.expire_leases().await;
            let Some(mut lost) = Hold::claim(&desk, due(&deletion)).await.unwrap() else {
                match state {
                    State::ResidueWait => world.clock.advance(24 * HOUR),
                    _ => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                }
                continue;
            };
            // Taken over while it works: what it did in the services stands, what it wanted to write does not.
            world.expire_leases().await;
            let first = worker::step(&mut lost).await;
            assert!(matches!(first, Err(Halt::Lost)), "{first:?}");
            world.expire_leases().await;
            let mut next = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
            worker::step(&mut next).await.unwrap();
            state = next.state().unwrap();
            if state == State::Certified {
                break;
            }
        }
        world.start().await;
        let certificate = world.certificate(&deletion).await.unwrap().certificate;
        assert!(certificate.contains("\"rows\":3"), "counted once: {certificate}");
    }

    async fn a_worker_that_wakes_up_late_changes_nothing(world: World) {
        let (tenant, deletion) = world.terminated(3).await;
        let desk = world.desk().await;
        let mut sleeper = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        while sleeper.state().unwrap() != State::Purging {
            worker::step(&mut sleeper).await.unwrap();
        }
        // Its lease runs out; another takes over and shows its token to the services.
        world.expire_leases().await;
        let mut other = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        assert!(other.token() > sleeper.token());
        purge::purging(&mut other).await.unwrap();
        assert_eq!(world.notes("inventory", &tenant).await, 0);
        let before = world.ledger().await;

        // The sleeper goes on where it was: the services refuse its token, and the database its word.
        let refused = purge::purging(&mut sleeper).await;
        assert!(matches!(&refused, Err(Halt::Blocked(blocker)) if blocker.starts_with("inventory: LEASE_LOST")), "{refused:?}");
        assert!(matches!(sleeper.stall("asleep").await, Err(Halt::Lost)));
        assert!(matches!(sleeper.save(Note::default()).await, Err(Halt::Lost)));
        assert!(matches!(sleeper.renew().await, Err(Halt::Lost)));
        assert_eq!(world.notes("incidents", &tenant).await, 3);
        assert_eq!(world.ledger().await, before);

        // One that is not held up by anybody still cannot take it while the other has it.
        assert!(Hold::claim(&desk, due(&deletion)).await.unwrap().is_none());
        other.release().await.unwrap();
    }

    async fn a_purge_is_held_back_while_a_service_is_busy_and_goes_on_after(world: World) {
        let (tenant, deletion) = world.terminated(3).await;
        world.restart_with_places("inventory", 1).await;
        let desk = world.desk().await;
        let mut hold = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        while hold.state().unwrap() != State::Purging {
            worker::step(&mut hold).await.unwrap();
        }
        let busy = world.occupy("inventory").await;
        // More than once: each time it is still in the same state, which the ledger tells once.
        for _ in 0..3 {
            assert_eq!(purge::purging(&mut hold).await.unwrap(), Next::Rest);
            assert_eq!(hold.state().unwrap(), State::Throttled);
        }
        assert!(!hold.run.deletion.stalled, "it is slowed, not stopped");
        assert!(hold.run.deletion.retry_micros > 0, "it waits before it asks again");
        assert_eq!(world.notes("inventory", &tenant).await, 3);
        hold.release().await.unwrap();
        drop(busy);
        world.start().await;
        world.until_state(&deletion, DeletionState::ResidueWait).await;
        assert_eq!(world.notes("inventory", &tenant).await, 0);
        let states: Vec<_> = world.ledger().await.into_iter().map(|(state, _)| state).collect();
        let at = states.iter().position(|state| state == "THROTTLED").unwrap();
        assert_eq!(states[at - 1..=at + 2], ["PURGING", "THROTTLED", "PURGING", "VERIFYING"]);
        assert_eq!(states.iter().filter(|state| *state == "THROTTLED").count(), 1);
    }

    async fn what_the_purge_counts_under_its_own_token_is_not_believed(world: World) {
        let (tenant, deletion) = world.terminated(2).await;
        let desk = world.desk().await;
        let mut hold = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        while hold.state().unwrap() != State::Verifying {
            worker::step(&mut hold).await.unwrap();
        }
        worker::step(&mut hold).await.unwrap();
        assert!(hold.run.services.iter().all(|service| service.passed_micros.is_none()));
        hold.release().await.unwrap();
        let mut other = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        worker::step(&mut other).await.unwrap();
        assert!(other.run.services.iter().all(|service| service.passed_micros.is_some()));
        // A row between the two passes.
        world.write_notes("configuration", &tenant, 50, 1).await;
        other.release().await.unwrap();
        tokio::time::sleep(world.config.verify.gap).await;
        let mut third = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        worker::step(&mut third).await.unwrap();
        assert_eq!(third.state().unwrap(), State::Purging);
        third.release().await.unwrap();
    }

    async fn two_replicas_take_many_deletions_to_their_end_once_each(world: World) {
        world.start().await;
        world.start().await;
        let mut deletions = Vec::new();
        for _ in 0..6 {
            let tenant = world.tenant(20).await;
            deletions.push(world.terminate(&tenant).await);
        }
        for deletion in &deletions {
            world.until(deletion, |now| now.state() == DeletionState::Scheduled && !now.stalled).await;
        }
        world.clock.advance(24 * HOUR);
        for deletion in &deletions {
            world.until_state(deletion, DeletionState::ResidueWait).await;
        }
        world.clock.advance(72 * HOUR);
        for deletion in &deletions {
            world.until_state(deletion, DeletionState::Certified).await;
        }
        assert_eq!(world.ledger().await.len(), 6 * 7, "every state was entered once");
    }

    async fn a_killed_worker_is_followed_by_another_when_its_lease_is_over(world: World) {
        world.config.purge.call = std::time::Duration::from_secs(1);
        world.config.worker.lease = std::time::Duration::from_secs(6);
        let (_, deletion) = world.terminated(3).await;
        let desk = world.desk().await;
        let mut killed = Hold::claim(&desk, due(&deletion)).await.unwrap().unwrap();
        worker::step(&mut killed).await.unwrap();
        drop(killed);
        let start = std::time::Instant::now();
        world.start().await;
        world.until_state(&deletion, DeletionState::ResidueWait).await;
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
    }
}
