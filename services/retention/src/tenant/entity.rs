//! Tables of the follower.

/// A tenant that is not yet open in every service.
pub mod opening {
    use sea_orm::entity::prelude::*;

    /// A tenant that is not yet open in every service.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenant_opening")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// Its life.
        pub incarnation: Uuid,
        /// Failed tries in a row.
        pub attempt: i32,
        /// Not before this time by the database's clock, in microseconds.
        pub retry_micros: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl cwpp_storage::Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// How far a feed was followed.
pub mod cursor {
    use sea_orm::entity::prelude::*;

    /// How far a feed was followed.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenant_cursor")]
    pub struct Model {
        /// The feed.
        #[sea_orm(primary_key, auto_increment = false)]
        pub source: String,
        /// The cursor, as its service gave it.
        pub position: String,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
