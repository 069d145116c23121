//! Tables of deletions. None names a tenant but by its incarnation.

/// A deletion.
pub mod deletion {
    use sea_orm::entity::prelude::*;

    /// A deletion.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deletion")]
    pub struct Model {
        /// The id; UUIDv7, so that the newest come first by it.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// The life of the tenant.
        pub incarnation: Uuid,
        /// The incarnation while it is not over; unique, so that a tenant has one deletion at a time.
        pub running_of: Option<Uuid>,
        /// Why; the contract's number.
        pub cause: i16,
        /// Where it stands; the contract's number.
        pub state: i16,
        /// Whether it cannot go on for now.
        pub stalled: bool,
        /// What it waits for.
        pub blocker: String,
        /// T0.
        pub effective_time: DateTimeUtc,
        /// When it was asked for.
        pub request_time: DateTimeUtc,
        /// When it entered its state.
        pub state_time: DateTimeUtc,
        /// When there is something to do, by the wall clock; none when there is nothing.
        pub due_time: Option<DateTimeUtc>,
        /// Not before this time by the database's clock, in microseconds: the wait after a failed step.
        pub retry_micros: i64,
        /// Failed steps in a row.
        pub attempt: i32,
        /// The token of the last claim.
        pub token: i64,
        /// The token under which the purge ended; counting takes another.
        pub purge_token: i64,
        /// When it entered SEALING first; the brake counts these.
        pub sealing_time: Option<DateTimeUtc>,
        /// When it was sealed everywhere.
        pub sealed_time: Option<DateTimeUtc>,
        /// When the last row was deleted.
        pub purged_time: Option<DateTimeUtc>,
        /// When two passes had found nothing.
        pub verified_time: Option<DateTimeUtc>,
        /// When the last count, after copies had expired, had found nothing; what is left is closing.
        pub confirmed_time: Option<DateTimeUtc>,
        /// When it was certified.
        pub certified_time: Option<DateTimeUtc>,
        /// Rises with each change.
        pub version: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The progress of a deletion in one service.
pub mod service {
    use sea_orm::entity::prelude::*;

    /// The progress of a deletion in one service.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deletion_service")]
    pub struct Model {
        /// The deletion.
        #[sea_orm(primary_key, auto_increment = false)]
        pub deletion_id: Uuid,
        /// The service.
        #[sea_orm(primary_key, auto_increment = false)]
        pub service: String,
        /// Whether its fence was told READ_ONLY; a cancelled deletion lifts that.
        pub fenced: bool,
        /// The epoch of its seal; 0 before.
        pub epoch: i64,
        /// Whether the purge has reached its last row.
        pub purged: bool,
        /// When the first pass found nothing, by its database's clock, in microseconds.
        pub passed_micros: Option<i64>,
        /// Whether both passes found nothing.
        pub verified: bool,
        /// Whether its fence row is gone.
        pub closed: bool,
        /// Tables counted in the last pass.
        pub tables_counted: i64,
        /// Hash of its registry in the last pass (hex).
        pub registry_hash: String,
        /// Identity of its database server in the last pass.
        pub server_id: String,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Rows deleted, per table.
pub mod count {
    use sea_orm::entity::prelude::*;

    /// Rows deleted of one table.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deletion_count")]
    pub struct Model {
        /// The deletion.
        #[sea_orm(primary_key, auto_increment = false)]
        pub deletion_id: Uuid,
        /// The service.
        #[sea_orm(primary_key, auto_increment = false)]
        pub service: String,
        /// The table.
        #[sea_orm(primary_key, auto_increment = false)]
        pub table_name: String,
        /// The data class of its rows; the contract's number.
        pub data_class: i16,
        /// The number of rows.
        pub row_count: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
