use std::time::Duration;

use cwpp_storage::feed;

use crate::world::{World, both};

both! {
    async fn no_committed_entry_is_missed_however_late_it_commits(w: World) {
        const WRITERS: usize = 16;
        const EACH: usize = 12;
        let t = w.tenant().await;
        let writers = (0..WRITERS).map(|n| {
            let (db, scope) = (w.db.clone(), t.scope.clone());
            tokio::spawn(async move {
                for i in 0..EACH {
                    db.write(&scope, |tx| async move {
                        feed::append(&tx, "test", format!("{n}/{i}").into_bytes()).await?;
                        // Those that began first commit last, now and then.
                        tokio::time::sleep(Duration::from_millis((n % 4) as u64)).await;
                        Ok(())
                    }).await.unwrap();
                }
            })
        });
        let writers = futures::future::join_all(writers.collect::<Vec<_>>());
        let reader = async {
            let (mut seen, mut after, mut idle) = (Vec::new(), 0, 0);
            while seen.len() < WRITERS * EACH && idle < 200 {
                w.db.relay_once(&w.system()).await.unwrap();
                let new = w.db.read(&t.scope, |tx| async move { feed::changes(&tx, "test", after, 50).await }).await.unwrap();
                idle = if new.is_empty() { idle + 1 } else { 0 };
                for change in new {
                    assert_eq!(change.position, after + 1, "positions have no gap");
                    after = change.position;
                    seen.push(String::from_utf8(change.body).unwrap());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            seen
        };
        let (_, mut seen) = tokio::join!(writers, reader);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), WRITERS * EACH, "each entry once");
    }

    async fn heads_rise_in_one_sequence_over_all_tenants(w: World) {
        let (a, b) = (w.tenant().await, w.tenant().await);
        for t in [&a, &b, &a] {
            w.db.write(&t.scope, |tx| async move { feed::append(&tx, "test", vec![1]).await }).await.unwrap();
            assert_eq!(w.db.relay_once(&w.system()).await.unwrap(), 1);
        }
        let heads = |after| {
            let (db, scope) = (w.db.clone(), w.system());
            async move { db.system_read(&scope, |tx| async move { feed::heads_after(&tx, "test", after, 10).await }).await.unwrap() }
        };
        let all = heads(0).await;
        assert_eq!(all.iter().map(|h| (h.app_id, h.position)).collect::<Vec<_>>(), [(b.app_id, 1), (a.app_id, 2)]);
        assert_eq!(heads(all[0].sequence).await.len(), 1);
        assert!(heads(all[1].sequence).await.is_empty());
    }

    async fn a_cursor_of_a_follower_never_goes_back(w: World) {
        let t = w.tenant().await;
        let advance = |to| w.db.write(&t.scope, move |tx| async move { feed::advance(&tx, "there", to).await });
        assert!(advance(3).await.unwrap());
        assert!(!advance(3).await.unwrap(), "another replica was here first");
        assert!(!advance(2).await.unwrap());
        assert!(advance(4).await.unwrap());
        let cursor = w.db.write(&t.scope, |tx| async move { feed::cursor(&tx, "there").await }).await.unwrap();
        assert_eq!(cursor, 4);
    }
}
