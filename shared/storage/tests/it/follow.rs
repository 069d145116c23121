use std::sync::{Arc, Mutex};
use std::time::Duration;

use cwpp_access::Outgoing;
use cwpp_chassis::{Error, Reason, Result};
use cwpp_storage::follow::{self, Followed};
use cwpp_storage::{StoreResult, TenantTx, Tenanted};
use futures::{StreamExt, stream};
use sea_orm::ActiveValue::Set;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::entity::setting;
use crate::world::{Tenant, World, both};

/// A service that tells settings of tenants; each message's number is its cursor.
#[derive(Clone)]
struct Far {
    told: watch::Sender<Vec<(u64, String)>>,
    /// Cursors with which it was asked.
    asked: Arc<Mutex<Vec<String>>>,
    /// The oldest cursor that it keeps.
    kept: Arc<Mutex<usize>>,
}

impl Far {
    fn new() -> Self {
        Self { told: watch::channel(Vec::new()).0, asked: Arc::default(), kept: Arc::default() }
    }

    fn tell(&self, tenant: &Tenant, name: &str) {
        self.told.send_modify(|told| told.push((tenant.app_id.to_request(), name.to_owned())));
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn follow(&self, w: &World) -> (JoinHandle<()>, CancellationToken) {
        let stop = CancellationToken::new();
        (tokio::spawn(follow::run(w.db.clone(), self.clone(), stop.clone())), stop)
    }
}

#[async_trait::async_trait]
impl Followed for Far {
    const SOURCE: &'static str = "far.settings";
    type Message = (u64, String, String);

    async fn open(&self, cursor: String) -> Result<Outgoing<Self::Message>> {
        self.asked.lock().unwrap().push(cursor.clone());
        let sent = cursor.parse::<usize>().unwrap_or(0);
        if sent > 0 && sent < *self.kept.lock().unwrap() {
            return Err(Error::new(Reason::CursorExpired, "too old"));
        }
        let messages = stream::unfold((self.told.subscribe(), sent), |(mut told, sent)| async move {
            loop {
                let next = told.borrow_and_update().get(sent).cloned();
                if let Some((app_id, name)) = next {
                    return Some((Ok((app_id, name, (sent + 1).to_string())), (told, sent + 1)));
                }
                told.changed().await.ok()?;
            }
        });
        Ok(messages.boxed())
    }

    fn place(message: &Self::Message) -> (u64, &str) {
        (message.0, &message.2)
    }

    fn keeps(_: &Self::Message) -> bool {
        true
    }

    async fn take(&self, tx: &TenantTx, message: &Self::Message) -> StoreResult<()> {
        let row = setting::ActiveModel {
            app_id: Set(tx.app_id().get()),
            name: Set(message.1.clone()),
            value: Set(String::new()),
            spec: Set(serde_json::json!({})),
        };
        Ok(setting::Entity::upsert_all_of(tx, vec![row], &[setting::Column::Value]).await?)
    }
}

/// Waits until a tenant has these settings.
async fn has(w: &World, t: &Tenant, names: &[&str]) {
    for _ in 0..800 {
        let rows = w.db.read(&t.scope, |tx| async move { Ok(setting::Entity::of(&tx).all(&tx).await?) }).await;
        let mut found: Vec<String> = rows.unwrap_or_default().into_iter().map(|row| row.name).collect();
        found.sort();
        if found == names {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{names:?} were not followed in time");
}

async fn stop((job, token): (JoinHandle<()>, CancellationToken)) {
    token.cancel();
    job.await.unwrap();
}

both! {
    async fn a_follower_goes_on_where_any_replica_stopped(w: World) {
        let (a, b) = (w.tenant().await, w.tenant().await);
        let far = Far::new();
        let job = far.follow(&w);
        far.tell(&a, "one");
        far.tell(&b, "two");
        has(&w, &a, &["one"]).await;
        has(&w, &b, &["two"]).await;
        stop(job).await;
        far.tell(&a, "three");
        let other = w.again(|_| ()).await;
        let job = far.follow(&other);
        has(&w, &a, &["one", "three"]).await;
        stop(job).await;
        other.db.close().await;
        assert_eq!(far.asked(), ["", "2"]);
    }

    async fn a_tenant_that_opens_a_little_later_is_waited_for(w: World) {
        let (late, open) = (w.nobody(), w.tenant().await);
        let far = Far::new();
        far.tell(&late, "one");
        far.tell(&open, "two");
        let job = far.follow(&w);
        while far.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        w.open_tenant(&late).await.unwrap();
        has(&w, &late, &["one"]).await;
        has(&w, &open, &["two"]).await;
        stop(job).await;
    }

    async fn a_cursor_that_has_expired_is_begun_anew(w: World) {
        let t = w.tenant().await;
        let far = Far::new();
        let job = far.follow(&w);
        far.tell(&t, "one");
        has(&w, &t, &["one"]).await;
        stop(job).await;
        far.tell(&t, "two");
        *far.kept.lock().unwrap() = 2;
        let job = far.follow(&w);
        has(&w, &t, &["one", "two"]).await;
        stop(job).await;
        assert_eq!(far.asked(), ["", "1", ""]);
    }
}
