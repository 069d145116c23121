use cwpp_chassis::Reason;
use cwpp_storage::{Db, migrate};

use crate::world::{World, both};

both! {
    async fn a_second_run_changes_nothing(w: World) {
        assert!(migrate::up(&w.config, w.db.registry()).await.unwrap().is_empty());
        assert!(migrate::plan(&w.config, w.db.registry()).await.unwrap().is_empty());
        assert!(migrate::status(&w.config, w.db.registry()).await.unwrap().iter().all(|s| s.at.is_some()));
        w.db.ready().await.unwrap();
    }

    async fn steps_whose_record_was_lost_are_recorded_again(w: World) {
        w.forget_migrations().await;
        assert_eq!(w.db.ready().await.unwrap_err().reason(), Reason::SchemaNotReady);
        assert!(!migrate::plan(&w.config, w.db.registry()).await.unwrap().is_empty());
        migrate::up(&w.config, w.db.registry()).await.unwrap();
        w.db.ready().await.unwrap();
        assert_eq!(w.db.registry().compare(&w.db).await.unwrap(), Vec::<String>::new());
    }

    async fn two_migrators_at_once_do_each_step_once(w: World) {
        let fresh = w.empty().await;
        let all = w.db.registry().all_migrations().len();
        let one = migrate::up(&fresh, w.db.registry());
        let two = migrate::up(&fresh, w.db.registry());
        let three = migrate::up(&fresh, w.db.registry());
        let (one, two, three) = tokio::join!(one, two, three);
        assert_eq!(one.unwrap().len() + two.unwrap().len() + three.unwrap().len(), all);
        let db = Db::connect(&fresh, w.db.registry().clone()).await.unwrap();
        db.ready().await.unwrap();
        db.close().await;
        w.drop_schema(&fresh).await;
    }

    async fn an_empty_database_is_not_ready(w: World) {
        let fresh = w.empty().await;
        let db = Db::connect(&fresh, w.db.registry().clone()).await.unwrap();
        let answer = db.ready().await.unwrap_err();
        assert_eq!(answer.reason(), Reason::SchemaNotReady);
        db.close().await;
        w.drop_schema(&fresh).await;
    }
}

#[tokio::test]
async fn a_server_without_shared_locks_is_refused() {
    let Some(w) = World::mysql().await else { return };
    // An engine that takes no locks of rows, in place of a server that does not.
    w.raw().await.run("ALTER TABLE schema_migration ENGINE = MyISAM").await;
    let refused = Db::connect(&w.config, w.db.registry().clone()).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::InvalidArgument);
    assert!(refused.message().contains("shared lock"), "{refused:?}");
    w.raw().await.run("ALTER TABLE schema_migration ENGINE = InnoDB").await;
    Db::connect(&w.config, w.db.registry().clone()).await.unwrap().close().await;
    w.end().await;
}

#[tokio::test]
async fn a_database_that_is_away_says_so_at_once() {
    let config = cwpp_storage::Database::at("mysql://nobody@127.0.0.1:9/none");
    let started = std::time::Instant::now();
    let answer = Db::connect(&config, std::sync::Arc::new(crate::entity::registry())).await.unwrap_err();
    assert_eq!(answer.reason(), Reason::DatabaseUnavailable);
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}
