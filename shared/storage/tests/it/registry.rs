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
}
