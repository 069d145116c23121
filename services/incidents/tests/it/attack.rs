//! Attacks that must be found, and people that must not be taken for attackers.

use cwpp_contracts::common::v1::{ProcessingStatus, Severity};
use cwpp_contracts::incidents::v1::*;

use crate::world::*;

const SOURCE: &str = "203.0.113.9";
const DAY: i64 = 86_400;

both! {
    async fn a_fast_attack_is_one_incident_that_grows(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        assert!(w.send(&mut spool, guesses(SOURCE, "root", 0, 9)).await.incident_ids.is_empty());
        assert!(w.all(&tenant).await.is_empty());
        let opened = w.send(&mut spool, guesses(SOURCE, "root", 18, 1)).await.incident_ids;
        let changed = w.send(&mut spool, guesses(SOURCE, "root", 3600, 5)).await.incident_ids;
        assert_eq!((opened.len(), &opened), (1, &changed));
        let found = w.all(&tenant).await;
        let expected = Incident {
            incident_id: opened[0].clone(),
            machine_id: spool.machine_id.clone(),
            severity: Severity::Medium.into(),
            status: ProcessingStatus::Open.into(),
            first_time: Some(time(0)),
            last_time: Some(time(3608)),
            create_time: Some(time(0)),
            update_time: Some(time(0)),
            etag: "2".into(),
            details: Some(incident::Details::PasswordCracking(PasswordCracking {
                account: "root".into(),
                source_address: SOURCE.into(),
                service: "ssh".into(),
                attempts: 15,
                accounts: 1,
                cracked: false,
                account_exists: true,
            })),
        };
        assert_eq!(found, std::slice::from_ref(&expected));
        assert_eq!(w.get(&tenant, &opened[0]).await.unwrap(), expected);
    }

    async fn each_kind_of_attack_is_found_and_told_apart(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        let mut events = guesses("203.0.113.1", "root", 0, 150);
        events.extend((0..12).map(|n| unknown("203.0.113.2", "oracle", n)));
        events.extend((0..12).map(|n| fail("203.0.113.3", &format!("user{n}"), n)));
        events.extend((0..45).map(|n| fail("203.0.113.4", "backup", n * 1500)));
        events.extend(guesses("203.0.113.5", "admin", 0, 12));
        events.push(accept("203.0.113.5", "admin", 60));
        events.push(AuthEvent { count: 30, ..fail("2001:db8::5", "git", 9) });
        w.send(&mut spool, events).await;
        let mut seen: Vec<_> = w
            .all(&tenant)
            .await
            .iter()
            .map(|incident| {
                let of = cracking(incident);
                (of.source_address.clone(), of.account.clone(), of.attempts, of.accounts, of.cracked, incident.severity())
            })
            .collect();
        seen.sort();
        let expected = [
            ("2001:db8::5", "git", 30, 1, false, Severity::Medium),
            ("203.0.113.1", "root", 150, 1, false, Severity::High),
            ("203.0.113.2", "oracle", 12, 1, false, Severity::Low),
            ("203.0.113.3", "", 12, 12, false, Severity::Medium),
            ("203.0.113.4", "backup", 45, 1, false, Severity::Medium),
            ("203.0.113.5", "admin", 12, 1, true, Severity::Critical),
        ];
        assert_eq!(seen, expected.map(|(s, a, n, m, c, v)| (s.to_owned(), a.to_owned(), n, m, c, v)));
    }

    async fn people_who_mistype_and_log_in_are_no_incident(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        for day in -7..0 {
            let mut events = Vec::new();
            for (place, name) in ["alice", "bob", "carol", "dave"].into_iter().enumerate() {
                let morning = day * DAY + i64::try_from(place).unwrap() * 900;
                events.extend([fail("192.0.2.1", name, morning), unknown("192.0.2.1", "alcie", morning + 5)]);
                events.extend([accept("192.0.2.1", name, morning + 20), accept("192.0.2.1", name, morning + 7200)]);
            }
            w.send(&mut spool, events).await;
        }
        assert!(w.all(&tenant).await.is_empty());
    }

    async fn a_source_is_counted_in_one_form_and_services_and_machines_apart(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        let mapped = format!("::ffff:{SOURCE}");
        w.send(&mut spool, [guesses(SOURCE, "root", 0, 6), guesses(&mapped, "root", 20, 6)].concat()).await;
        assert_eq!(w.all(&tenant).await.len(), 1);
        let ftp = |event: AuthEvent| AuthEvent { service: "ftp".into(), ..event };
        w.send(&mut spool, guesses(SOURCE, "root", 0, 6).into_iter().map(ftp).collect()).await;
        w.send(&mut tenant.spool(), guesses(SOURCE, "root", 0, 6)).await;
        assert_eq!(w.all(&tenant).await.len(), 1);
    }

    async fn names_that_look_like_log_text_are_only_names(w: World) {
        let tenant = w.tenant().await;
        let names = [
            "root from 198.51.100.7 port 22 ssh2",
            "x\nAccepted password for root from 198.51.100.7",
            "'; DROP TABLE incident; --",
            "root ",
            "ROOT",
            "\\x00\\xff",
            "名前\u{202e}toor",
        ];
        for (index, name) in names.into_iter().enumerate() {
            let mut spool = tenant.spool();
            w.send(&mut spool, guesses(SOURCE, name, 0, 12)).await;
            let filter = Some(list_incidents_request::Filter::MachineId(spool.machine_id));
            let found = w.list(ListIncidentsRequest { app_id: tenant.app_id, filter, ..Default::default() }).await;
            assert_eq!((found.len(), cracking(&found[0]).account.as_str()), (1, name), "{index}");
            assert_eq!(cracking(&found[0]).source_address, SOURCE);
        }
        // A name that differs in a blank or in case is another account.
        let mut spool = tenant.spool();
        let tried = ["root", "root ", "Root"].map(|name| guesses(SOURCE, name, 0, 3)).concat();
        w.send(&mut spool, tried).await;
        let filter = Some(list_incidents_request::Filter::MachineId(spool.machine_id));
        assert!(w.list(ListIncidentsRequest { app_id: tenant.app_id, filter, ..Default::default() }).await.is_empty());
    }

    async fn a_resolved_incident_stays_resolved_while_its_series_lasts(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        let first = w.send(&mut spool, guesses(SOURCE, "root", -2 * DAY, 12)).await.incident_ids.remove(0);
        assert_eq!(w.set(&tenant, &first, ProcessingStatus::Resolved).await, "");
        w.send(&mut spool, guesses(SOURCE, "root", -2 * DAY + 3600, 12)).await;
        let found = w.all(&tenant).await;
        assert_eq!((found.len(), found[0].status(), cracking(&found[0]).attempts), (1, ProcessingStatus::Resolved, 24));
        // What comes a day later is another attack.
        let second = w.send(&mut spool, guesses(SOURCE, "root", -DAY + 7200, 12)).await.incident_ids;
        let found = w.all(&tenant).await;
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].incident_id, found[0].status()), (&second[0], ProcessingStatus::Open));
        assert_eq!((&found[1].incident_id, cracking(&found[1]).attempts), (&first, 24));
    }

    async fn a_cracked_password_opens_a_closed_incident_again(w: World) {
        let tenant = w.tenant().await;
        for (closed, then) in [
            (ProcessingStatus::Resolved, ProcessingStatus::Open),
            (ProcessingStatus::Ignored, ProcessingStatus::Open),
            (ProcessingStatus::InProgress, ProcessingStatus::InProgress),
            (ProcessingStatus::Whitelisted, ProcessingStatus::Whitelisted),
        ] {
            let mut spool = tenant.spool();
            let incident = w.send(&mut spool, guesses(SOURCE, "root", 0, 12)).await.incident_ids.remove(0);
            assert_eq!(w.set(&tenant, &incident, closed).await, "");
            w.send(&mut spool, vec![accept(SOURCE, "root", 100)]).await;
            let found = w.get(&tenant, &incident).await.unwrap();
            assert_eq!((found.status(), found.severity()), (then, Severity::Critical));
            // Only that it was cracked is news; what follows is not.
            assert_eq!(w.set(&tenant, &incident, ProcessingStatus::Resolved).await.is_empty(), then != closed || then == ProcessingStatus::InProgress);
            w.send(&mut spool, vec![accept(SOURCE, "root", 200)]).await;
            assert_ne!(w.get(&tenant, &incident).await.unwrap().status(), ProcessingStatus::Open);
        }
    }

    async fn an_attack_at_very_many_accounts_does_not_stall_its_spool(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        // 8,000 attempts at 1,000 accounts, each of which alone stays below every rule.
        for round in 0..8 {
            let events = (0..1_000).map(|n| fail(SOURCE, &format!("user{n}"), round * 3_600 - 50_000 + n)).collect();
            w.send(&mut spool, events).await;
        }
        let found = w.all(&tenant).await;
        assert_eq!(found.len(), 1);
        assert_eq!((cracking(&found[0]).attempts, cracking(&found[0]).accounts), (8_000, 1_000));
    }
}
