use std::collections::BTreeMap;
use std::time::Duration;

use cwpp_access::{AppId, TenantScope};
use cwpp_chassis::{Reason, Result};
use cwpp_storage::{Db, mark, watch};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{Tenant, World, both};

/// A stream that says which things changed, two messages each.
struct Things;

#[derive(Debug, Clone, Default, PartialEq)]
struct Message {
    app_id: Option<AppId>,
    key: Uuid,
    cursor: String,
}

#[async_trait::async_trait]
impl watch::Watched for Things {
    const FEED: &'static str = "thing";
    const AT_ONCE: usize = 3;
    type Message = Message;

    async fn read(&self, db: &Db, tenant: &TenantScope, keys: &[Uuid]) -> Result<Vec<Vec<Message>>> {
        db.read(tenant, |_| async move { Ok(()) }).await?;
        let message = |key: &Uuid| Message { app_id: Some(tenant.app_id()), key: *key, cursor: String::new() };
        Ok(keys.iter().map(|key| vec![message(key); 2]).collect())
    }

    fn stamp(message: &mut Message, cursor: String) {
        message.cursor = cursor;
    }

    fn alive() -> Message {
        Message::default()
    }
}

fn key(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn set(w: &World, t: &Tenant, keys: &[Uuid], gone: bool) {
    w.db.write(&t.scope, |tx| async move { mark::set(&tx, "thing", keys, gone).await }).await.unwrap();
}

/// Reads a stream until it says that all was sent; returns its messages with the last cursor.
async fn all(w: &World, cursor: &str) -> Result<(Vec<Message>, String)> {
    let mut stream = watch::open(w.db.clone(), w.system(), cursor, CancellationToken::new(), Things).await?;
    let mut messages = Vec::new();
    while let Some(message) = stream.next().await {
        let message = message?;
        if message.app_id.is_none() {
            return Ok((messages, message.cursor));
        }
        messages.push(message);
    }
    panic!("a stream that nobody stops has no end");
}

both! {
    async fn a_thing_has_one_mark_however_often_it_changed(w: World) {
        let (a, b) = (w.tenant().await, w.tenant().await);
        for n in 0..50 {
            set(&w, &a, &[key(n % 5)], false).await;
            set(&w, &b, &[key(n % 2)], false).await;
            if n % 7 == 0 {
                w.db.relay_once(&w.system()).await.unwrap();
            }
        }
        w.db.relay_once(&w.system()).await.unwrap();
        let counted = w.count(&a).await.unwrap().tables.into_iter().find(|t| t.table == "feed_mark").unwrap();
        assert_eq!(counted.rows, 5);
        let (messages, end) = all(&w, "").await.unwrap();
        let mut seen: BTreeMap<(Option<AppId>, Uuid), usize> = BTreeMap::new();
        for message in &messages {
            *seen.entry((message.app_id, message.key)).or_default() += 1;
        }
        assert!(seen.len() == 7 && seen.values().all(|n| *n == 2), "{seen:?}");
        assert_eq!(all(&w, &end).await.unwrap(), (Vec::new(), end.clone()));
        // From any cursor on the rest is there, and what was not sent whole again.
        for (at, message) in messages.iter().enumerate() {
            let (rest, _) = all(&w, &message.cursor).await.unwrap();
            assert_eq!(rest.len(), messages.len() - at.div_ceil(2) * 2, "after message {at}");
        }
        // A change moves a thing behind all others.
        set(&w, &a, &[key(3)], false).await;
        w.db.relay_once(&w.system()).await.unwrap();
        let (more, _) = all(&w, &end).await.unwrap();
        assert_eq!(more.iter().map(|m| (m.app_id, m.key)).collect::<Vec<_>>(), [(Some(a.scope.app_id()), key(3)); 2]);
    }

    async fn no_mark_is_missed_however_late_it_commits(w: World) {
        const WRITERS: usize = 12;
        let t = w.tenant().await;
        let mut stream = watch::open(w.db.clone(), w.system(), "", CancellationToken::new(), Things).await.unwrap();
        let relay = tokio::spawn(w.db.clone().relay());
        let writers = (0..WRITERS).map(|n| {
            let (db, scope) = (w.db.clone(), t.scope.clone());
            tokio::spawn(async move {
                for i in 0..10 {
                    let thing = [key((n * 100 + i) as u128)];
                    let thing = &thing;
                    db.write(&scope, |tx| async move {
                        mark::set(&tx, "thing", thing, false).await?;
                        // Those that began first commit last, now and then.
                        tokio::time::sleep(Duration::from_millis((n % 4) as u64)).await;
                        Ok(())
                    }).await.unwrap();
                    db.feed_grew();
                }
            })
        });
        let writers = futures::future::join_all(writers.collect::<Vec<_>>());
        let reader = async {
            let mut seen = std::collections::BTreeSet::new();
            while seen.len() < WRITERS * 10 {
                let message = stream.next().await.unwrap().unwrap();
                if message.app_id.is_some() {
                    seen.insert(message.key);
                }
            }
        };
        let (_, seen) = tokio::join!(writers, tokio::time::timeout(Duration::from_secs(60), reader));
        relay.abort();
        seen.expect("every thing is sent");
    }

    async fn what_is_gone_is_forgotten_and_older_cursors_expire(w: World) {
        let t = w.tenant().await;
        set(&w, &t, &[key(1)], false).await;
        w.db.relay_once(&w.system()).await.unwrap();
        let (_, old) = all(&w, "").await.unwrap();
        set(&w, &t, &[key(2)], true).await;
        w.db.relay_once(&w.system()).await.unwrap();
        let (_, new) = all(&w, &old).await.unwrap();
        assert_eq!(w.db.forget_marks(&w.system(), Duration::from_secs(3600)).await.unwrap(), 0, "it is young");
        assert_eq!(w.db.forget_marks(&w.system(), Duration::ZERO).await.unwrap(), 1);
        assert_eq!(all(&w, &old).await.unwrap_err().reason(), Reason::CursorExpired);
        assert_eq!(all(&w, &new).await.unwrap().0, []);
        assert_eq!(all(&w, "").await.unwrap().0.len(), 2, "what is there is still marked");
        let beyond = new.replace("thing.", "thing.f");
        assert_eq!(all(&w, &beyond).await.unwrap_err().reason(), Reason::CursorExpired);
        assert_eq!(all(&w, "thing.x").await.unwrap_err().reason(), Reason::InvalidField);
    }
}
