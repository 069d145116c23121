//! Sealing under load: after the seal nothing commits, and after the purge nothing is left.

use std::sync::Arc;
use std::time::Instant;

use cwpp_chassis::Reason;
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::entity::add_item;
use crate::world::{Tenant, World, both};

/// Callers; each tries again and again until it is refused.
const WRITERS: usize = 128;
/// Transactions that are in flight on the server at once.
const IN_FLIGHT: u32 = 64;
/// Rows that are written before the seal comes.
const BEFORE: u64 = 64;
const SEALS: usize = 500;
const OVERLAPPING: usize = 100_000;

/// One tenant: every writer writes until it is refused, and the seal comes in the midst of it.
struct Bout {
    overlapping: usize,
    written: u64,
}

async fn bout(w: &World, t: &Tenant) -> Bout {
    let start = Arc::new(Barrier::new(WRITERS + 1));
    let (wrote, mut has_written) = tokio::sync::watch::channel(0_u64);
    let wrote = Arc::new(wrote);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (db, scope, start, wrote) = (w.db.clone(), t.scope.clone(), start.clone(), wrote.clone());
            tokio::spawn(async move {
                start.wait().await;
                let (mut attempts, mut written, mut unsure) = (Vec::new(), 0, 0);
                loop {
                    let began = Instant::now();
                    let done = db.write(&scope, |tx| async move { add_item(&tx, Uuid::new_v4(), "a").await }).await;
                    attempts.push((began, Instant::now()));
                    match done {
                        Ok(()) => {
                            written += 1;
                            wrote.send_modify(|n| *n += 1);
                        }
                        Err(e) if e.reason() == Reason::TenantFenced => return (attempts, written, unsure),
                        // Cut at the limit of a transaction, perhaps in its commit: the caller cannot know.
                        Err(e) if e.reason() == Reason::DeadlineExceeded => unsure += 1,
                        // Not its turn within the time that it had: an attempt all the same.
                        Err(e) if matches!(e.reason(), Reason::Conflict | Reason::Overloaded) => {}
                        Err(e) => panic!("{e:?}"),
                    }
                }
            })
        })
        .collect();
    start.wait().await;
    has_written.wait_for(|n| *n >= BEFORE).await.unwrap();
    let began = Instant::now();
    w.seal(t, 1).await.unwrap();
    let ended = Instant::now();
    let at_the_seal = w.rows(t).await;
    let mut bout = Bout { overlapping: 0, written: 0 };
    let mut unsure = 0;
    for writer in writers {
        let (attempts, written, cut) = writer.await.unwrap();
        unsure += cut;
        bout.overlapping += attempts.iter().filter(|(from, to)| *from < ended && *to > began).count();
        bout.written += written;
    }
    assert_eq!(w.rows(t).await, at_the_seal, "a row came after the seal");
    let there = bout.written..=bout.written + unsure;
    assert!(
        there.contains(&at_the_seal),
        "what was answered as written is there, and nothing else: {at_the_seal} of {there:?}"
    );
    bout
}

both! {
    async fn no_row_comes_after_a_seal_and_none_is_left_after_the_purge(w: World) {
        // More than a process would admit, so that they meet in the database and not before it.
        let w = w.again(|config| config.write_permits = IN_FLIGHT).await;
        let (mut seals, mut overlapping, mut written) = (0, 0, 0);
        while seals < SEALS || overlapping < OVERLAPPING {
            let t = w.tenant().await;
            let bout = bout(&w, &t).await;
            w.erase(&t, 2, 1, true).await.unwrap();
            assert_eq!(w.rows(&t).await, 0);
            seals += 1;
            overlapping += bout.overlapping;
            written += bout.written;
        }
        println!("{seals} seals, {overlapping} attempts overlapping one, {written} rows written before one");
        assert!(written > 0);
        let mut raw = w.raw().await;
        for table in ["item", "setting", "tenant_fence", "erasure_run", "feed", "feed_pending", "feed_head", "idempotency"] {
            assert_eq!(raw.number(&format!("SELECT COUNT(*) FROM {table}")).await, Some(0), "{table}");
        }
        assert_eq!(raw.number("SELECT COUNT(*) FROM closed_incarnation").await, Some(seals as i64));
        w.db.close().await;
    }
}
