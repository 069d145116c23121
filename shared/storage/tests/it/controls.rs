//! Controls: what would leak without the guards, made certain by the order of the steps. If one of these stops leaking,
//! the proofs in `seal.rs` prove nothing.

use uuid::Uuid;

use crate::world::{Raw, Tenant, World, both};

fn insert(t: &Tenant) -> String {
    let (machine, key) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
    format!(
        "INSERT INTO item (app_id, machine_id, item_key, name, seen_at, live, size) VALUES ({}, X'{machine}', X'{key}', 'late', '2026-01-01 00:00:00', 1, 1)",
        t.app_id.get()
    )
}

fn fence(t: &Tenant) -> String {
    format!("SELECT COUNT(*) FROM tenant_fence WHERE app_id = {}", t.app_id.get())
}

/// Seals and purges, as retention would.
async fn seal_and_purge(w: &World, t: &Tenant) {
    let fence = w.seal(t, 1).await.unwrap();
    w.erase(t, 2, fence.epoch, false).await.unwrap();
    assert_eq!(w.rows(t).await, 0);
}

async fn begin(raw: &mut Raw, w: &World) {
    raw.run(if w.is_mysql() { "START TRANSACTION" } else { "BEGIN IMMEDIATE" }).await;
}

both! {
    async fn a_plain_read_of_the_fence_leaks(w: World) {
        let t = w.tenant().await;
        let mut writer = w.raw().await;
        if w.is_mysql() {
            // Inside the transaction, as it is meant to be, but without a lock.
            begin(&mut writer, &w).await;
            assert_eq!(writer.number(&fence(&t)).await, Some(1));
            seal_and_purge(&w, &t).await;
        } else {
            // SQLite has one writer: the check is outside of its transaction.
            assert_eq!(writer.number(&fence(&t)).await, Some(1));
            seal_and_purge(&w, &t).await;
            begin(&mut writer, &w).await;
        }
        writer.run(&insert(&t)).await;
        writer.run("COMMIT").await;
        assert_eq!(w.rows(&t).await, 1, "the control must leak");
    }

    async fn a_locking_read_of_a_missing_row_leaks(w: World) {
        let t = w.nobody();
        let mut writer = w.raw().await;
        let locking = if w.is_mysql() { format!("{} LOCK IN SHARE MODE", fence(&t)) } else { fence(&t) };
        if w.is_mysql() {
            begin(&mut writer, &w).await;
        }
        // "No fence, so nothing forbids it": the row that would have been locked is not there.
        assert_eq!(writer.number(&locking).await, Some(0));
        w.open_tenant(&t).await.unwrap();
        seal_and_purge(&w, &t).await;
        if !w.is_mysql() {
            begin(&mut writer, &w).await;
        }
        writer.run(&insert(&t)).await;
        writer.run("COMMIT").await;
        assert_eq!(w.rows(&t).await, 1, "the control must leak");
    }
}
