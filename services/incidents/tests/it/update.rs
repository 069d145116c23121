//! Changing the status of incidents.

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{ProcessingStatus, TenantState};

use crate::world::*;

both! {
    async fn each_incident_succeeds_or_fails_alone(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        let one = w.send(&mut spool, guesses("203.0.113.1", "root", 0, 12)).await.incident_ids.remove(0);
        let other = w.send(&mut spool, guesses("203.0.113.2", "root", 0, 12)).await.incident_ids.remove(0);
        assert_eq!(w.set(&tenant, &other, ProcessingStatus::Ignored).await, "");
        let nobody = id();
        let request = change(&tenant, &[&nobody, &one, &other], ProcessingStatus::InProgress);
        let expected = [(false, "INCIDENT_UNKNOWN"), (true, ""), (false, "INVALID_TRANSITION")]
            .map(|(ok, reason)| (ok, reason.to_owned()));
        assert_eq!(w.update(request.clone()).await.unwrap(), expected);
        let changed = w.get(&tenant, &one).await.unwrap();
        assert_eq!((changed.status(), changed.etag.as_str()), (ProcessingStatus::InProgress, "2"));
        assert_eq!(w.get(&tenant, &other).await.unwrap().status(), ProcessingStatus::Ignored);

        // The same request again answers the same and changes nothing, also after others changed the incident.
        assert_eq!(w.update(request.clone()).await.unwrap(), expected);
        assert_eq!(w.get(&tenant, &one).await.unwrap(), changed);
        assert_eq!(w.set(&tenant, &one, ProcessingStatus::Resolved).await, "");
        assert_eq!(w.update(request.clone()).await.unwrap(), expected);
        assert_eq!(w.get(&tenant, &one).await.unwrap().status(), ProcessingStatus::Resolved);
        let reused = cwpp_contracts::incidents::v1::UpdateIncidentsRequest { note: "other".into(), ..request };
        assert_eq!(reason(w.update(reused).await), Reason::RequestIdReused);
    }

    async fn the_status_machine_holds(w: World) {
        use ProcessingStatus::{Ignored, InProgress, Open, Resolved, Whitelisted};
        let tenant = w.tenant().await;
        let incident = w.send(&mut tenant.spool(), guesses("203.0.113.1", "root", 0, 12)).await.incident_ids.remove(0);
        let steps = [
            (Open, true),
            (InProgress, true),
            (Open, true),
            (Resolved, true),
            (Resolved, true),
            (Ignored, false),
            (Open, true),
            (Ignored, true),
            (InProgress, false),
            (Open, true),
            (Whitelisted, true),
            (Resolved, false),
        ];
        for (index, (status, admitted)) in steps.into_iter().enumerate() {
            let refused = w.set(&tenant, &incident, status).await;
            assert_eq!(refused, if admitted { "" } else { "INVALID_TRANSITION" }, "{index}");
        }
        assert_eq!(w.get(&tenant, &incident).await.unwrap().status(), Whitelisted);
    }

    async fn every_wrong_field_of_a_change_is_named_at_once(w: World) {
        let tenant = w.tenant().await;
        let twice = id();
        let mut request = change(&tenant, &[&twice, "x", &twice.to_uppercase()], ProcessingStatus::Trusted);
        request.request_id = String::new();
        request.note = "ü".repeat(256);
        let wrong = fields(w.update(request.clone()).await);
        assert_eq!(wrong, ["request_id", "incident_ids[1]", "incident_ids[2]", "status", "note"]);
        request.incident_ids = (0..101).map(|_| id()).collect();
        request.status = 99;
        assert_eq!(fields(w.update(request.clone()).await), ["request_id", "incident_ids", "status", "note"]);
        request.incident_ids = Vec::new();
        request.request_id = id();
        request.note = "ü".repeat(255);
        request.status = ProcessingStatus::Open.into();
        assert_eq!(fields(w.update(request).await), ["incident_ids"]);
    }

    async fn the_incidents_of_another_tenant_are_unknown(w: World) {
        let (tenant, other) = (w.tenant().await, w.tenant().await);
        let incident = w.send(&mut tenant.spool(), guesses("203.0.113.1", "root", 0, 12)).await.incident_ids.remove(0);
        assert_eq!(w.set(&other, &incident, ProcessingStatus::Resolved).await, "INCIDENT_UNKNOWN");
        assert_eq!(w.get(&tenant, &incident).await.unwrap().status(), ProcessingStatus::Open);
        let nobody = w.nobody();
        let refused = w.update(change(&nobody, &[&incident], ProcessingStatus::Resolved)).await;
        assert_eq!(reason(refused), Reason::TenantUnknown);
        assert_eq!(reason(w.get(&nobody, &incident).await), Reason::TenantUnknown);
        assert_eq!(fields(w.get(&tenant, "17").await), ["incident_id"]);
    }

    async fn a_tenant_whose_end_is_scheduled_can_be_read_and_not_changed(w: World) {
        let tenant = w.tenant().await;
        let incident = w.send(&mut tenant.spool(), guesses("203.0.113.1", "root", 0, 12)).await.incident_ids.remove(0);
        w.fence(&tenant, TenantState::ReadOnly).await;
        let refused = w.update(change(&tenant, &[&incident], ProcessingStatus::Resolved)).await;
        assert_eq!(reason(refused), Reason::TenantReadOnly);
        assert_eq!(w.all(&tenant).await.len(), 1);
        assert!(w.get(&tenant, &incident).await.is_ok());
    }

    async fn attempts_that_arrive_while_people_work_lose_neither(w: World) {
        let tenant = w.tenant().await;
        let mut spool = tenant.spool();
        let incident = w.send(&mut spool, guesses("203.0.113.1", "root", 0, 12)).await.incident_ids.remove(0);
        for round in 0..10 {
            let status = if round % 2 == 0 { ProcessingStatus::InProgress } else { ProcessingStatus::Open };
            let request = spool.batch(spool.next, guesses("203.0.113.1", "root", 30 + round, 1));
            let (taken, refused) = tokio::join!(w.report(request), w.set(&tenant, &incident, status));
            assert_eq!((taken.unwrap().taken, refused.as_str()), (1, ""));
            spool.next += 1;
            let found = w.get(&tenant, &incident).await.unwrap();
            assert_eq!(found.status(), status);
            assert_eq!(cracking(&found).attempts, 13 + u64::try_from(round).unwrap());
        }
    }
}
