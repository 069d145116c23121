use cwpp_access::ops::ErasureServiceOps;
use cwpp_chassis::Reason;
use cwpp_contracts::erasure::v1 as wire;
use cwpp_storage::Tenanted;
use futures::TryStreamExt;
use sea_orm::IntoActiveModel;
use uuid::Uuid;

use crate::entity::{an_item, item};
use crate::world::{Tenant, World, both};

async fn fill(w: &World, t: &Tenant, machines: usize, items: usize) {
    for _ in 0..machines {
        let machine = Uuid::now_v7();
        w.db.write(&t.scope, |tx| async move {
            let rows = (0..items).map(|_| an_item(tx.app_id().get(), machine, "a").into_active_model()).collect();
            Ok(item::Entity::insert_all_of(&tx, rows).await?)
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

    async fn closing_is_refused_while_a_row_is_left_in_a_table_that_nobody_registered(w: World) {
        let t = w.tenant().await;
        fill(&w, &t, 1, 1).await;
        let fence = w.seal(&t, 1).await.unwrap();
        let mut raw = w.raw().await;
        raw.run("CREATE TABLE stray (app_id BIGINT PRIMARY KEY)").await;
        raw.run(&format!("INSERT INTO stray (app_id) VALUES ({})", t.app_id.get())).await;
        let refused = w.erase(&t, 2, fence.epoch, true).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::InvalidTransition);
        assert_eq!(refused.metadata().get("table").map(String::as_str), Some("stray"));
        let left = w.count(&t).await.unwrap();
        assert_eq!(left.tables.iter().filter(|t| t.rows > 0).map(|t| t.table.as_str()).collect::<Vec<_>>(), ["stray"]);
        raw.run("DELETE FROM stray").await;
        assert!(w.erase(&t, 2, fence.epoch, true).await.unwrap().closed);
        assert!(w.erase(&t, 2, fence.epoch, true).await.unwrap().closed, "safe to repeat");
    }

    async fn a_purge_takes_chunk_after_chunk_and_stops_with_its_budget(w: World) {
        let t = w.tenant().await;
        fill(&w, &t, 3, 900).await;
        let fence = w.seal(&t, 1).await.unwrap();
        let short = Some(prost_types::Duration { seconds: 0, nanos: 1 });
        let mut told = Vec::new();
        loop {
            let request = wire::EraseRequest { budget: short, ..w.erase_request(&t, 2, fence.epoch, false) };
            let messages: Vec<_> = w.eraser.erase(w.system(), request).await.unwrap().try_collect().await.unwrap();
            let last = messages.last().unwrap().clone();
            told.push(last.deleted.iter().map(|d| d.rows).sum::<u64>());
            if !last.more {
                break;
            }
        }
        assert_eq!(told, [1000, 2000, 2700], "about a thousand a transaction, each counted once");
        assert_eq!(w.rows(&t).await, 0);
    }

    async fn an_export_holds_every_row_with_its_columns_by_name(w: World) {
        let (t, neighbour) = (w.tenant().await, w.tenant().await);
        fill(&w, &t, 3, 150).await;
        fill(&w, &neighbour, 1, 1).await;
        let request = wire::ExportTenantRequest { app_id: t.app_id.to_request(), incarnation: t.incarnation.to_string() };
        let parts: Vec<_> = w.eraser.export_tenant(w.system(), request.clone()).await.unwrap().try_collect().await.unwrap();
        let rows: Vec<serde_json::Value> =
            parts.iter().filter(|p| p.table == "item").flat_map(|p| &p.rows).map(|r| serde_json::from_str(r).unwrap()).collect();
        assert_eq!(rows.len(), 450);
        let keys: std::collections::BTreeSet<_> = rows.iter().map(|r| r["item_key"].as_str().unwrap()).collect();
        assert_eq!(keys.len(), 450, "each once");
        assert_eq!(rows[0]["seen_at"], "2026-09-21T14:13:20.123456Z");
        assert_eq!((&rows[0]["app_id"], &rows[0]["live"], &rows[0]["size"]), (&t.app_id.get().into(), &true.into(), &(-7).into()));
        assert!(rows[0]["score"].is_null() && Uuid::parse_str(rows[0]["machine_id"].as_str().unwrap()).is_ok());
        assert!(parts.iter().all(|p| p.data_class != 0 && !p.rows.is_empty()));
        w.seal(&t, 1).await.unwrap();
        let refused = w.eraser.export_tenant(w.system(), request).await.err().unwrap();
        assert_eq!(refused.reason(), Reason::TenantFenced);
    }
}
