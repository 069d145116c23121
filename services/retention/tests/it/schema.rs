//! The schema against the registry, and the queries against their indexes.

use chrono::TimeDelta;
use cwpp_retention::deletion::store;
use cwpp_storage::Dialect;
use sea_orm::{DbBackend, QueryTrait};
use uuid::Uuid;

use crate::world::*;

both! {
    async fn every_table_is_in_the_registry(world: World) {
        let db = world.db().await;
        assert_eq!(db.registry().compare(&db).await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn each_search_has_an_index_that_spells_its_order() {
    let Some(world) = World::mysql().await else { return };
    let now = world.clock.now();
    let row = |at: i64| {
        let time = now - TimeDelta::minutes(at);
        let time = time.format("%Y-%m-%d %H:%M:%S");
        format!(
            "(UUID_TO_BIN(UUID()), UUID_TO_BIN(UUID()), 1, 8, 0, '', '{time}', '{time}', '{time}', '{time}', 0, 0, 1, 1, '{time}', 1)"
        )
    };
    let rows: Vec<String> = (0..2000).map(row).collect();
    world
        .sql(
            "retention",
            &format!(
                "INSERT INTO deletion (id, incarnation, cause, state, stalled, blocker, effective_time, request_time, \
                 state_time, due_time, retry_micros, attempt, token, purge_token, sealing_time, version) VALUES {}",
                rows.join(", ")
            ),
        )
        .await;
    world.sql("retention", "ANALYZE TABLE deletion").await;
    let searches = [
        ("PRIMARY", store::list_query(None, 51)),
        ("PRIMARY", store::list_query(Some(Uuid::now_v7()), 51)),
        ("deletion_due", store::due_query(Dialect::MySql, now - TimeDelta::minutes(1900), 64)),
        ("deletion_sealing", store::sealed_query(now - TimeDelta::hours(1))),
    ];
    for (index, search) in searches {
        let sql = search.build(DbBackend::MySql).to_string();
        let plan = world.text("retention", &format!("EXPLAIN FORMAT=TREE {sql}")).await;
        assert!(plan.contains(index) && !plan.contains("Sort"), "{sql}\n{plan}");
    }
    world.end().await;
}
