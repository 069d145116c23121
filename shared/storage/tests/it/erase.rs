use cwpp_access::ops::ErasureServiceOps;
use cwpp_chassis::Reason;
use futures::TryStreamExt;
use uuid::Uuid;

use crate::entity::add_item;
use crate::world::{Tenant, World, both};

async fn fill(w: &World, t: &Tenant, machines: usize, items: usize) {
    for _ in 0..machines {
        let machine = Uuid::now_v7();
        w.db.write(&t.scope, |tx| async move {
            for _ in 0..items {
                add_item(&tx, machine, "a").await?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
}

both! {
    async fn a_purge_leaves_nothing_and_closes_the_incarnation(w: World) {
        let (t, neighbour) = (w.tenant().await, w.tenant().await);
        fill(&w, &t, 5, 30).await;
        fill(&w, &neighbour, 2, 10).await;
        let fence = w.seal(&t, 1).await.unwrap();
        let last = w.erase(&t, 2, fence.epoch, false).await.unwrap();
        assert_eq!(last.deleted.iter().map(|d| d.rows).sum::<u64>(), 150);
        assert_eq!(w.rows(&t).await, 0);
        assert!(w.erase(&t, 2, fence.epoch, true).await.unwrap().closed);
        assert_eq!(w.rows(&neighbour).await, 20, "the neighbour keeps its rows");
        assert!(w.count(&t).await.unwrap().fence.is_none());
        assert_eq!(w.open_tenant(&t).await.unwrap_err().reason(), Reason::TenantClosing, "this life is over");
        let returning = w.named(t.app_id);
        w.open_tenant(&returning).await.expect("a new life may begin");
    }

    async fn only_the_holder_of_the_highest_token_erases_a_tenant_at_its_epoch(w: World) {
        let t = w.tenant().await;
        fill(&w, &t, 1, 3).await;
        assert_eq!(w.erase(&t, 1, 1, false).await.unwrap_err().reason(), Reason::EpochMismatch, "not sealed");
        let fence = w.seal(&t, 5).await.unwrap();
        assert_eq!(w.erase(&t, 5, fence.epoch + 1, false).await.unwrap_err().reason(), Reason::EpochMismatch);
        assert_eq!(w.rows(&t).await, 3);
        w.erase(&t, 7, fence.epoch, false).await.unwrap();
        assert_eq!(w.erase(&t, 6, fence.epoch, false).await.unwrap_err().reason(), Reason::LeaseLost);
        assert_eq!(w.seal(&t, 6).await.unwrap_err().reason(), Reason::LeaseLost);
    }

    async fn a_purge_that_stopped_between_chunks_goes_on_with_its_counts(w: World) {
        let t = w.tenant().await;
        fill(&w, &t, 6, 40).await;
        let fence = w.seal(&t, 1).await.unwrap();
        // The first message of a stream that is then dropped: whoever called is gone.
        let mut replies = w.eraser.erase(w.system(), w.erase_request(&t, 2, fence.epoch, false)).await.unwrap();
        let first = replies.try_next().await.unwrap().unwrap();
        drop(replies);
        let before: u64 = first.deleted.iter().map(|d| d.rows).sum();
        let again = w.again(|_| ()).await;
        let last = again.erase(&t, 3, fence.epoch, false).await.unwrap();
        let after: u64 = last.deleted.iter().map(|d| d.rows).sum();
        assert!(before <= after);
        assert_eq!(after, 240, "each row is counted once");
        assert_eq!(w.rows(&t).await, 0);
    }

    async fn closing_is_refused_while_a_row_is_left(w: World) {
        let t = w.tenant().await;
        fill(&w, &t, 1, 1).await;
        let fence = w.seal(&t, 1).await.unwrap();
        w.erase(&t, 2, fence.epoch, false).await.unwrap();
        // Somebody who goes around the guards.
        let (machine, key) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
        w.raw().await.run(&format!(
            "INSERT INTO item (app_id, machine_id, item_key, name, seen_at, live, size) VALUES ({}, X'{machine}', X'{key}', 'late', '2026-01-01 00:00:00', 1, 1)",
            t.app_id.get()
        )).await;
        let request = w.erase_request(&t, 2, fence.epoch, true);
        let closed: Result<Vec<_>, _> = match w.eraser.erase(w.system(), request).await {
            Ok(replies) => replies.try_collect().await,
            Err(e) => Err(e),
        };
        match closed {
            Err(e) => assert_eq!(e.reason(), Reason::InvalidTransition),
            // It may as well take the row first; it must not close over it.
            Ok(replies) => assert!(replies.last().is_some_and(|r| !r.closed || r.deleted.iter().map(|d| d.rows).sum::<u64>() == 2)),
        }
    }
}
