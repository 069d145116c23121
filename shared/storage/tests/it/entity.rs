//! Tables of a service that exists in tests only.

use cwpp_contracts::common::v1::DataClass;
use cwpp_storage::migrate::{Migration, Table};
use cwpp_storage::{Registry, StoreResult, TenantTx, Tenanted};
use uuid::Uuid;

/// Things on machines.
pub(crate) mod item {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "item")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) app_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) machine_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) item_key: Uuid,
        pub(crate) name: String,
        #[sea_orm(column_type = "custom(\"datetime(6)\")")]
        pub(crate) seen_at: DateTimeUtc,
        pub(crate) score: Option<f64>,
        pub(crate) live: bool,
        pub(crate) size: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
    impl cwpp_storage::Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Settings by name.
pub(crate) mod setting {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "setting")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) app_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) value: String,
        pub(crate) spec: Json,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
    impl cwpp_storage::Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Knowledge that belongs to nobody.
pub(crate) mod fact {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "fact")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) name: String,
        pub(crate) value: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) fn migrations() -> Vec<Migration> {
    vec![
        Migration::table(
            "1001_item",
            Table::of_tenant("item")
                .uuid("machine_id")
                .uuid("item_key")
                .varchar("name", 255)
                .time("seen_at")
                .double_null("score")
                .bool("live")
                .int("size")
                .key(&["app_id", "machine_id", "item_key"]),
        ),
        Migration::index("1002_item_name", "item_name", "item", &["app_id", "name", "machine_id", "item_key"]),
        Migration::table(
            "1003_setting",
            Table::of_tenant("setting").varchar("name", 64).text("value").key(&["app_id", "name"]),
        ),
        Migration::column(
            "1004_setting_spec",
            "setting",
            cwpp_storage::migrate::column("spec", cwpp_storage::Type::Json).null(),
        ),
        Migration::table("1005_fact", Table::global("fact").varchar("name", 64).big("value").key(&["name"])),
    ]
}

pub(crate) fn registry() -> Registry {
    Registry::new("test")
        .erasable(item::Entity, DataClass::Resource)
        .erasable(setting::Entity, DataClass::Configuration)
        .global(fact::Entity, "knowledge that belongs to nobody")
        .migrations(migrations())
}

pub(crate) fn an_item(app_id: i64, machine_id: Uuid, name: &str) -> item::Model {
    item::Model {
        app_id,
        machine_id,
        item_key: Uuid::new_v4(),
        name: name.to_owned(),
        seen_at: chrono::DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(),
        score: None,
        live: true,
        size: -7,
    }
}

pub(crate) async fn add_item(tx: &TenantTx, machine_id: Uuid, name: &str) -> StoreResult<()> {
    use sea_orm::IntoActiveModel;
    let row = an_item(tx.app_id().get(), machine_id, name);
    Ok(item::Entity::insert_of(tx, row.into_active_model()).await?)
}
