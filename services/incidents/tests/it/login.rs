//! Logins that fail the tenant's whitelists.

use cwpp_contracts::common::v1::{MachineScopeKind, ProcessingStatus, Severity};
use cwpp_contracts::configuration::v1::{LoginWhitelist, TimeWindow};
use cwpp_contracts::incidents::v1::*;

use crate::peer::{Peer, office, policy};
use crate::world::*;

/// The flags of a login: place, account, time, source.
fn flags(of: &AbnormalLogin) -> [bool; 4] {
    [of.risky_place, of.risky_account, of.risky_time, of.risky_source]
}

both! {
    async fn without_a_whitelist_no_login_is_abnormal(w: World) {
        let tenant = w.tenant().await;
        w.send(&mut tenant.spool(), vec![accept("203.0.113.9", "root", 0)]).await;
        assert!(w.all(&tenant).await.is_empty());
    }

    async fn a_login_that_fails_the_whitelist_is_one_incident(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        peer.tell(&tenant, &office("192.0.2.0/24"));
        peer.followed(w, &tenant, 1).await;

        let mut spool = tenant.spool();
        let events = vec![accept("192.0.2.7", "alice", 0), accept("203.0.113.9", "alice", 5)];
        let found = w.send(&mut spool, events.clone()).await.incident_ids;
        // The same login told by another log of the machine, or twice in one, is the same incident.
        assert!(w.send(&mut spool.beside(), [events.clone(), events].concat()).await.incident_ids.is_empty());
        let all = w.all(&tenant).await;
        let expected = Incident {
            incident_id: found[0].clone(),
            machine_id: spool.machine_id.clone(),
            severity: Severity::Medium.into(),
            status: ProcessingStatus::Open.into(),
            first_time: Some(time(5)),
            last_time: Some(time(5)),
            create_time: Some(time(0)),
            update_time: Some(time(0)),
            etag: "1".into(),
            details: Some(incident::Details::AbnormalLogin(AbnormalLogin {
                account: "alice".into(),
                source_address: "203.0.113.9".into(),
                service: "ssh".into(),
                login_time: Some(time(5)),
                risky_source: true,
                ..Default::default()
            })),
        };
        assert_eq!(all, [expected]);
        // The same login on another machine, or at another time, is another one.
        w.send(&mut tenant.spool(), vec![accept("203.0.113.9", "alice", 5)]).await;
        w.send(&mut spool, vec![accept("203.0.113.9", "alice", 6)]).await;
        assert_eq!(w.all(&tenant).await.len(), 3);
        // Another tenant has no whitelist.
        w.send(&mut neighbour.spool(), vec![accept("203.0.113.9", "alice", 5)]).await;
        assert!(w.all(&neighbour).await.is_empty());
        follower.end().await;
    }

    async fn the_four_flags_tell_what_fails(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let tenant = w.tenant().await;
        let spec = LoginWhitelist {
            source_networks: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
            accounts: vec!["deploy".into()],
            windows: vec![TimeWindow { start_minute: 22 * 60, end_minute: 2 * 60 }],
            time_zone: "Asia/Tokyo".into(),
            countries: Vec::new(),
        };
        peer.tell(&tenant, &policy(MachineScopeKind::All, &[], spec));
        peer.followed(w, &tenant, 1).await;
        // Noon here is 21:00 in Tokyo.
        let hour = 3600;
        let cases = [
            ("192.0.2.1", "deploy", hour, None),
            ("2001:db8::7", "deploy", 4 * hour, None),
            ("192.0.2.1", "deploy", 5 * hour, Some([false, false, true, false])),
            ("192.0.2.1", "deploy", 0, Some([false, false, true, false])),
            ("192.0.2.1", "root", hour, Some([false, true, false, false])),
            ("198.51.100.1", "root", hour, Some([false, true, false, true])),
            ("198.51.100.1", "root", 0, Some([false, true, true, true])),
        ];
        for (source, account, at, expected) in cases {
            let mut spool = tenant.spool();
            let found = w.send(&mut spool, vec![accept(source, account, at)]).await.incident_ids;
            let seen = match found.first() {
                Some(incident) => {
                    let incident = w.get(&tenant, incident).await.unwrap();
                    let severe = incident.severity() == Severity::High;
                    let flags = flags(login(&incident));
                    assert_eq!(severe, flags.into_iter().filter(|flag| *flag).count() > 1);
                    Some(flags)
                }
                None => None,
            };
            assert_eq!(seen, expected, "{source} {account} {at}");
        }
        follower.end().await;
    }

    async fn a_country_cannot_be_held_against_an_unknown_place(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let tenant = w.tenant().await;
        let spec = LoginWhitelist { countries: vec!["DE".into()], ..Default::default() };
        peer.tell(&tenant, &policy(MachineScopeKind::All, &[], spec));
        peer.followed(w, &tenant, 1).await;
        w.send(&mut tenant.spool(), vec![accept("192.0.2.1", "alice", 0)]).await;
        assert_eq!(flags(login(&w.all(&tenant).await[0])), [true, false, false, false]);
        follower.end().await;
    }

    async fn one_admitting_whitelist_that_covers_the_machine_is_enough(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let tenant = w.tenant().await;
        let (selected, excepted, other) = (tenant.spool(), tenant.spool(), tenant.spool());
        let only = |network: &str| LoginWhitelist { source_networks: vec![network.into()], ..Default::default() };
        peer.tell(&tenant, &policy(MachineScopeKind::Selected, &[&selected.machine_id], only("192.0.2.0/24")));
        peer.tell(&tenant, &policy(MachineScopeKind::AllExcept, &[&excepted.machine_id], only("198.51.100.0/24")));
        let mut by_tag = policy(MachineScopeKind::Tagged, &[], only("203.0.113.0/24"));
        by_tag.machines.as_mut().unwrap().tags = vec!["lab".into(), "office".into()];
        peer.tell(&tenant, &by_tag);
        w.tag(&tenant, &other, "office").await;
        w.tag(&tenant, &selected, "official").await;
        peer.tell(&tenant, &cwpp_contracts::configuration::v1::Policy { enabled: false, ..office("203.0.113.0/24") });
        peer.tell(&tenant, &office("10.0.0.0/8"));
        // The one in the end tells that all others were taken in; the disabled one is not kept.
        peer.followed(w, &tenant, 4).await;
        let cases = [
            (&selected, "192.0.2.1", true),
            (&selected, "198.51.100.1", true),
            (&selected, "203.0.113.1", false),
            (&excepted, "192.0.2.1", false),
            (&excepted, "198.51.100.1", false),
            (&excepted, "10.1.1.1", true),
            (&other, "203.0.113.1", true),
            (&excepted, "203.0.113.1", false),
            (&other, "198.51.100.1", true),
            (&other, "192.0.2.1", false),
        ];
        for (index, (spool, source, normal)) in cases.into_iter().enumerate() {
            let events = vec![accept(source, "alice", i64::try_from(index).unwrap())];
            let found = w.send(&mut spool.beside(), events).await.incident_ids;
            assert_eq!(found.is_empty(), normal, "{index}: {source}");
        }
        follower.end().await;
    }
}
