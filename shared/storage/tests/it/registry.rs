use std::collections::BTreeSet;

use crate::world::{World, both};

both! {
    async fn every_table_with_a_tenant_is_erasable_and_counted(w: World) {
        let t = w.tenant().await;
        let counted: BTreeSet<String> = w.count(&t).await.unwrap().tables.into_iter().map(|t| t.table).collect();
        let erasable: BTreeSet<String> = w.db.registry().erasable_tables().map(|t| t.table.clone().to_string()).collect();
        // The catalogue is asked apart from the registry: what one has and the other lacks would escape.
        assert_eq!(counted, erasable);
        assert!(erasable.contains("item") && erasable.contains("idempotency"));
    }

    async fn the_registry_and_the_catalogue_are_compared_both_ways(w: World) {
        let compare = || async { w.db.registry().compare(&w.db).await.unwrap() };
        assert_eq!(compare().await, Vec::<String>::new());
        let mut raw = w.raw().await;
        raw.run("CREATE TABLE stray (app_id BIGINT, id BIGINT PRIMARY KEY)").await;
        raw.run("ALTER TABLE fact ADD COLUMN app_id BIGINT").await;
        raw.run("ALTER TABLE setting ADD COLUMN more BIGINT").await;
        raw.run("CREATE INDEX item_seen ON item (seen_at)").await;
        let found = compare().await;
        for told in ["stray: neither", "fact: global, but", "setting: entity and table differ", "item: index item_seen begins with seen_at"] {
            assert!(found.iter().any(|f| f.starts_with(told)), "{told}: {found:?}");
        }
    }
}
