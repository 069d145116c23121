use std::time::Duration;

use cwpp_chassis::{Reason, deadline};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::entity::add_item;
use crate::world::{World, both};

both! {
    async fn a_call_that_is_dropped_rolls_back_and_its_connection_is_not_used_again(w: World) {
        let t = w.tenant().await;
        for _ in 0..20 {
            let write = w.db.write(&t.scope, |tx| async move {
                add_item(&tx, Uuid::new_v4(), "a").await?;
                std::future::pending().await
            });
            let cut: Result<cwpp_chassis::Result<()>, _> = tokio::time::timeout(Duration::from_millis(30), write).await;
            assert!(cut.is_err());
        }
        let after = w.db.write(&t.scope, |tx| async move { add_item(&tx, Uuid::new_v4(), "b").await });
        tokio::time::timeout(Duration::from_secs(5), after).await.expect("connections and permits came back").unwrap();
        assert_eq!(w.rows(&t).await, 1);
    }

    async fn no_statement_outlives_its_deadline_by_a_second(w: World) {
        if !w.is_mysql() {
            return;
        }
        let t = w.tenant().await;
        let slow = "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c WHERE a.column_name < b.column_name AND SLEEP(0.001) = 0";
        let until = tokio::time::Instant::now() + Duration::from_millis(300);
        let read = deadline::scope(until, w.db.read(&t.scope, |tx| async move {
            let statement = sea_orm::Statement::from_string(tx.get_database_backend(), slow);
            Ok(tx.query_one_raw(statement).await.map(|_| ())?)
        }));
        let error = tokio::time::timeout(Duration::from_secs(3), read).await.expect("it ends by itself").unwrap_err();
        assert_eq!(error.reason(), Reason::DeadlineExceeded);
        tokio::time::sleep(Duration::from_millis(1000)).await;
        let running = w.raw().await
            .number("SELECT COUNT(*) FROM performance_schema.threads WHERE processlist_info LIKE '%SLEEP(0.001)%' AND processlist_info NOT LIKE '%processlist%'")
            .await;
        assert_eq!(running, Some(0), "the server works on for nobody");
    }

    async fn connections_that_broke_in_the_pool_fail_no_call(w: World) {
        if !w.is_mysql() {
            return;
        }
        let t = w.tenant().await;
        let calls = || async {
            let reads = (0..8).map(|_| w.db.read(&t.scope, |tx| async move { Ok(tx.incarnation()) }));
            futures::future::join_all(reads).await.into_iter().for_each(|r| assert_eq!(r.unwrap(), t.incarnation));
            let writes = (0..8).map(|_| w.db.write(&t.scope, |tx| async move { add_item(&tx, Uuid::new_v4(), "a").await }));
            futures::future::join_all(writes).await.into_iter().for_each(|r| r.unwrap());
        };
        calls().await;
        // What a restart of the server does to them.
        let mut raw = w.raw().await;
        // `information_schema.processlist` fails where a statement of anybody holds bytes that are no text.
        let others = format!("SELECT CAST(COUNT(*) AS SIGNED) FROM performance_schema.threads WHERE processlist_db = '{}' AND processlist_id <> CONNECTION_ID()", w.config.name);
        let one = format!("{} ORDER BY processlist_id LIMIT 1", others.replace("COUNT(*)", "processlist_id"));
        assert!(raw.number(&others).await.unwrap() > 4);
        // One that was killed may be gone before the next is looked for.
        while let Some(id) = raw.number(&one).await {
            let _ = raw.try_run(&format!("KILL {id}")).await;
        }
        calls().await;
        assert_eq!(w.rows(&t).await, 16);
    }

    async fn the_time_that_is_left_stands_in_every_select(w: World) {
        if !w.is_mysql() {
            return;
        }
        let t = w.tenant().await;
        let until = tokio::time::Instant::now() + Duration::from_millis(2_000);
        let seen = deadline::scope(until, w.db.read(&t.scope, |tx| async move {
            let own = "SELECT processlist_info AS info FROM performance_schema.threads WHERE processlist_id = CONNECTION_ID()";
            let row = tx.query_one_raw(sea_orm::Statement::from_string(tx.get_database_backend(), own)).await?;
            Ok(row.unwrap().try_get::<String>("", "info")?)
        })).await.unwrap();
        assert!(seen.starts_with("SELECT /*+ MAX_EXECUTION_TIME(2500) */"), "{seen}");
    }
}
