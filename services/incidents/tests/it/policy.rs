//! Following the whitelists of configuration, which comes and goes.

use std::time::Duration;

use cwpp_contracts::common::v1::TenantState;

use crate::peer::{Peer, office};
use crate::world::*;

both! {
    async fn changes_and_deletions_are_followed(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let tenant = w.tenant().await;
        let mut policy = office("192.0.2.0/24");
        peer.tell(&tenant, &policy);
        peer.followed(w, &tenant, 1).await;
        assert_eq!(w.send(&mut tenant.spool(), vec![accept("203.0.113.9", "alice", 0)]).await.incident_ids.len(), 1);
        policy.spec = office("203.0.113.0/24").spec;
        policy.revision = 2;
        let marker = office("203.0.113.0/24");
        peer.tell(&tenant, &policy);
        peer.tell(&tenant, &marker);
        peer.followed(w, &tenant, 2).await;
        assert!(w.send(&mut tenant.spool(), vec![accept("203.0.113.9", "alice", 0)]).await.incident_ids.is_empty());
        peer.delete(&tenant, &policy);
        peer.delete(&tenant, &marker);
        peer.followed(w, &tenant, 0).await;
        assert!(w.send(&mut tenant.spool(), vec![accept("198.51.100.9", "alice", 0)]).await.incident_ids.is_empty());
        follower.end().await;
    }

    async fn the_service_is_ready_without_its_peer_and_goes_on_where_it_was(w: World) {
        let mut peer = Peer::absent().await;
        // `replica` waits until it is ready.
        let mut follower = w.replica(&peer.target()).await;
        let tenant = w.tenant().await;
        assert_eq!(w.send(&mut tenant.spool(), guesses("203.0.113.9", "root", 0, 12)).await.incident_ids.len(), 1);
        peer.tell(&tenant, &office("192.0.2.0/24"));
        peer.arrive().await;
        peer.followed(w, &tenant, 1).await;
        peer.leave().await;
        // What was followed last is obeyed while the peer is away.
        assert_eq!(w.send(&mut tenant.spool(), vec![accept("203.0.113.9", "alice", 0)]).await.incident_ids.len(), 1);
        peer.tell(&tenant, &office("198.51.100.0/24"));
        peer.arrive().await;
        peer.followed(w, &tenant, 2).await;
        follower.stop().await;
        let again = w.replica(&peer.target()).await;
        peer.tell(&tenant, &office("203.0.113.0/24"));
        peer.followed(w, &tenant, 3).await;
        // The cursor is kept with what was taken in: nobody began from the beginning again.
        let asked = peer.asked();
        assert_eq!((asked.first().map(String::as_str), asked.last().map(String::as_str)), (Some(""), Some("2")));
        again.end().await;
    }

    async fn of_two_replicas_one_follows(w: World) {
        let peer = Peer::start().await;
        let mut replicas = [w.replica(&peer.target()).await, w.replica(&peer.target()).await];
        let tenant = w.tenant().await;
        peer.tell(&tenant, &office("192.0.2.0/24"));
        peer.followed(w, &tenant, 1).await;
        assert_eq!(peer.asked().len(), 1);
        // Whoever it is, the other goes on when it ends.
        for (number, replica) in replicas.iter_mut().enumerate() {
            replica.stop().await;
            if number == 0 {
                peer.tell(&tenant, &office("198.51.100.0/24"));
                peer.followed(w, &tenant, 2).await;
            }
        }
    }

    async fn a_tenant_that_is_not_open_yet_keeps_nobody_waiting_and_loses_nothing(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let (late, never, tenant) = (w.nobody(), w.nobody(), w.tenant().await);
        peer.tell(&late, &office("192.0.2.0/24"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        w.open_tenant(&late).await;
        peer.followed(w, &late, 1).await;
        peer.tell(&never, &office("192.0.2.0/24"));
        peer.tell(&tenant, &office("192.0.2.0/24"));
        peer.followed(w, &tenant, 1).await;
        // The cursor stands before the tenant that was passed over, so that the next stream tells its policies again.
        w.open_tenant(&never).await;
        follower.end().await;
        let again = w.replica(&peer.target()).await;
        peer.followed(w, &never, 1).await;
        assert_eq!(peer.asked().last().map(String::as_str), Some("1"));
        again.end().await;
    }

    async fn policies_of_a_sealed_tenant_are_passed_over(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let (sealed, tenant) = (w.tenant().await, w.tenant().await);
        w.fence(&sealed, TenantState::Sealed).await;
        peer.tell(&sealed, &office("192.0.2.0/24"));
        peer.tell(&tenant, &office("192.0.2.0/24"));
        peer.followed(w, &tenant, 1).await;
        assert!(w.rows(&sealed).await.is_empty());
        follower.end().await;
    }
}
