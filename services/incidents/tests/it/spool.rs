//! Batches of spools: each event counts once, whatever is repeated, cut off or sent at once.

use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::incidents::v1::*;
use tonic_types::StatusExt as _;

use crate::world::*;

const SOURCE: &str = "203.0.113.9";

both! {
    async fn a_batch_that_comes_again_or_overlaps_counts_once(w: World) {
        let tenant = w.tenant().await;
        let spool = tenant.spool();
        let events = guesses(SOURCE, "root", 0, 12);
        let first = w.report(spool.batch(1, events.clone())).await.unwrap();
        assert_eq!((first.next_sequence, first.taken, first.incident_ids.len()), (13, 12, 1));
        let before = w.all(&tenant).await;

        let again = w.report(spool.batch(1, events.clone())).await.unwrap();
        assert_eq!((again.next_sequence, again.taken), (13, 0));
        assert_eq!(again.incident_ids, Vec::<String>::new());
        assert_eq!(w.all(&tenant).await, before);

        let overlap = [&events[6..], &guesses(SOURCE, "root", 30, 3)].concat();
        let third = w.report(spool.batch(7, overlap)).await.unwrap();
        assert_eq!((third.next_sequence, third.taken, third.incident_ids), (16, 3, first.incident_ids));
        let after = w.all(&tenant).await;
        assert_eq!((after.len(), cracking(&after[0]).attempts), (1, 15));
        assert_ne!(after[0].etag, before[0].etag);
    }

    async fn a_gap_is_refused_with_the_number_to_go_on_with(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        for (first, next) in [(2, 1), (5, 3)] {
            let refused = w.report(spool.batch(first, guesses(SOURCE, "root", 0, 20))).await.expect_err("a gap");
            let info = refused.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.metadata["next_sequence"].as_str()), ("SPOOL_GAP", next.to_string().as_str()));
            assert!(w.all(&tenant).await.is_empty());
            if spool.next == 1 {
                w.send(&mut spool, guesses(SOURCE, "root", 0, 2)).await;
            }
        }
    }

    async fn spools_of_a_machine_count_together_in_whatever_order_they_come(w: World) {
        let tenant = w.tenant().await;
        let batches = [guesses(SOURCE, "root", 0, 6), guesses(SOURCE, "root", 20, 6), vec![accept(SOURCE, "root", 40)]];
        let mut seen = Vec::new();
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let spool = tenant.spool();
            for index in order {
                w.send(&mut spool.beside(), batches[index].clone()).await;
            }
            let filter = list_incidents_request::Filter::MachineId(spool.machine_id);
            let found = w.list(ListIncidentsRequest { app_id: tenant.app_id, filter: Some(filter), ..Default::default() }).await;
            assert_eq!(found.len(), 1);
            seen.push(Incident { machine_id: String::new(), ..gist(&found[0]) });
        }
        assert_eq!((cracking(&seen[0]).attempts, cracking(&seen[0]).cracked), (12, true));
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0], seen[2]);
    }

    async fn events_in_a_batch_need_no_order(w: World) {
        let tenant = w.tenant().await;
        let mut events = guesses(SOURCE, "root", 0, 12);
        events.push(accept(SOURCE, "root", 50));
        let mut reversed = events.clone();
        reversed.reverse();
        let (one, other) = (tenant.spool(), tenant.spool());
        w.send(&mut one.clone(), events).await;
        w.send(&mut other.clone(), reversed).await;
        let found = w.all(&tenant).await;
        let bare = |incident: &Incident| Incident { machine_id: String::new(), ..gist(incident) };
        assert_eq!(found.len(), 2);
        assert_eq!(bare(&found[0]), bare(&found[1]));
    }

    async fn a_call_that_was_cut_off_is_repeated_without_a_trace(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        for round in 0..24_u64 {
            let events = guesses(SOURCE, "root", i64::try_from(round).unwrap() * 2, 1);
            let request = spool.batch(spool.next, [events, vec![accept("198.51.100.1", "ops", 5)]].concat());
            // Cut off at one moment or another: before, in, or after the transaction.
            let _ = tokio::time::timeout(Duration::from_micros(round * 250), w.report(request.clone())).await;
            let taken = w.report(request).await.unwrap();
            spool.next += 2;
            assert_eq!(taken.next_sequence, spool.next);
        }
        let found = w.all(&tenant).await;
        assert_eq!((found.len(), cracking(&found[0]).attempts), (1, 24));
        let buckets = w.rows(&tenant).await;
        assert_eq!(buckets.iter().find(|(table, _)| table == "auth_bucket").map(|(_, rows)| *rows), Some(2));
    }

    async fn two_replicas_take_batches_of_one_spool_at_once(w: World) {
        let other = w.replica("").await;
        let tenant = w.tenant().await;
        let spool = tenant.spool();
        let batches: Vec<_> =
            (0..20_u64).map(|n| spool.batch(1 + n * 5, guesses(SOURCE, "root", i64::try_from(n).unwrap() * 10, 5))).collect();
        let agent = |mut client: Client| {
            let batches = batches.clone();
            async move {
                for request in batches {
                    loop {
                        match client.report_auth_events(request.clone()).await {
                            Ok(_) => break,
                            // The other one has not sent what comes before, or both wrote at once: an agent tries again.
                            Err(status) => {
                                let reason = cwpp_chassis::status::reason(&status).unwrap();
                                assert!(matches!(reason, Reason::SpoolGap | Reason::Conflict | Reason::Overloaded), "{reason}");
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                        }
                    }
                }
            }
        };
        let agents = [&*w, &other].repeat(2).into_iter().map(|w| tokio::spawn(agent(w.incidents.clone())));
        for agent in agents.collect::<Vec<_>>() {
            agent.await.unwrap();
        }
        let found = w.all(&tenant).await;
        assert_eq!((found.len(), cracking(&found[0]).attempts), (1, 100));
        other.end().await;
    }

    async fn two_replicas_take_different_spools_of_one_machine_at_once(w: World) {
        let other = w.replica("").await;
        let tenant = w.tenant().await;
        let spool = tenant.spool();
        let mut agents = Vec::new();
        for (index, mut client) in [&*w, &other].repeat(3).into_iter().map(|w| w.incidents.clone()).enumerate() {
            let mut spool = spool.beside();
            agents.push(tokio::spawn(async move {
                for round in 0..10 {
                    let events = guesses(SOURCE, "root", round * 7 + i64::try_from(index).unwrap(), 3);
                    client.report_auth_events(spool.batch(spool.next, events)).await.unwrap();
                    spool.next += 3;
                }
            }));
        }
        for agent in agents {
            agent.await.unwrap();
        }
        let found = w.all(&tenant).await;
        assert_eq!((found.len(), cracking(&found[0]).attempts), (1, 180));
        other.end().await;
    }

    async fn a_host_clock_more_than_a_day_ahead_is_not_believed(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        let week = 7 * 86_400;
        w.send(&mut spool, guesses(SOURCE, "root", week, 12)).await;
        let found = w.all(&tenant).await;
        assert_eq!((found[0].first_time, found[0].last_time), (Some(time(0)), Some(time(0))));
        // Less than a day is what the host says.
        w.send(&mut spool.beside(), guesses("203.0.113.10", "root", 80_000, 12)).await;
        assert_eq!(w.all(&tenant).await[0].first_time, Some(time(80_000)));
        let clamped = sum(w, "SELECT CAST(SUM(clamped_events) AS SIGNED) AS n FROM auth_spool").await;
        assert_eq!(clamped, 12);
    }

    async fn an_old_log_is_taken_as_it_is(w: World) {
        let tenant = w.tenant().await;
        let year = -365 * 86_400;
        w.send(&mut tenant.spool(), guesses(SOURCE, "root", year, 12)).await;
        assert_eq!(w.all(&tenant).await[0].first_time, Some(time(year)));
    }

    async fn every_wrong_field_is_named_at_once_and_nothing_is_taken(w: World) {
        let tenant = w.tenant().await;
        let spool = tenant.spool();
        let good = guesses(SOURCE, "root", 0, 12);
        let bad = AuthEvent { account: String::new(), count: 0, ..good[0].clone() };
        let mut request = spool.batch(0, [good.clone(), vec![bad]].concat());
        request.machine_id = "{web-1}".into();
        let wrong = fields(w.report(request).await);
        assert_eq!(wrong, ["machine_id", "first_sequence", "events[12].account", "events[12].count"]);
        assert_eq!(fields(w.report(spool.batch(1, Vec::new())).await), ["events"]);
        assert_eq!(fields(w.report(spool.batch(1, vec![good[0].clone(); 1001])).await), ["events"]);
        assert_eq!(fields(w.report(spool.batch(u64::MAX, good)).await), ["first_sequence"]);
        assert!(w.all(&tenant).await.is_empty());
        assert!(w.rows(&tenant).await.is_empty());
    }

    async fn a_full_batch_from_as_many_sources_is_taken_in_time(w: World) {
        let tenant = w.tenant().await;
        let events = (0..1000_i64).map(|n| fail(&format!("198.18.{}.{}", n / 250, n % 250), &format!("user{n}"), n)).collect();
        w.send(&mut tenant.spool(), events).await;
        assert!(w.all(&tenant).await.is_empty());
        assert_eq!(sum(w, "SELECT COUNT(*) AS n FROM auth_bucket").await, 1000);
    }

    async fn a_batch_for_no_tenant_or_a_fenced_one_is_refused(w: World) {
        let spool = w.nobody().spool();
        assert_eq!(reason(w.report(spool.batch(1, guesses(SOURCE, "root", 0, 1))).await), Reason::TenantUnknown);
        let tenant = w.tenant().await;
        let spool = tenant.spool();
        for (state, refusal) in
            [(TenantState::ReadOnly, Reason::TenantReadOnly), (TenantState::Sealed, Reason::TenantFenced)]
        {
            w.fence(&tenant, state).await;
            assert_eq!(reason(w.report(spool.batch(1, guesses(SOURCE, "root", 0, 1))).await), refusal);
        }
    }

    async fn tenants_do_not_see_or_count_each_others_events(w: World) {
        let (one, other) = (w.tenant().await, w.tenant().await);
        let mut mine = one.spool();
        let mut theirs = Spool { app_id: other.app_id, ..mine.clone() };
        w.send(&mut mine, guesses(SOURCE, "root", 0, 6)).await;
        w.send(&mut theirs, guesses(SOURCE, "root", 20, 6)).await;
        assert!(w.all(&one).await.is_empty() && w.all(&other).await.is_empty());
        w.send(&mut mine, guesses(SOURCE, "root", 40, 6)).await;
        assert_eq!(w.all(&one).await.len(), 1);
        assert!(w.all(&other).await.is_empty());
        let foreign = w.all(&one).await.remove(0).incident_id;
        assert_eq!(reason(w.get(&other, &foreign).await), Reason::IncidentUnknown);
    }
}

type Client = incident_service_client::IncidentServiceClient<cwpp_chassis::client::Channel>;

/// Reads one number behind the service's back.
async fn sum(w: &World, sql: &'static str) -> i64 {
    use cwpp_access::{Job, SystemScope};
    use sea_orm::{ConnectionTrait, Statement};
    let db = w.db().await;
    let read = db
        .system_read(&SystemScope::job(Job::Harness), |tx| async move {
            let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await?.unwrap();
            Ok(row.try_get::<i64>("", "n")?)
        })
        .await
        .unwrap();
    db.close().await;
    read
}
