//! Tables of the ledger. They are only ever appended to.

/// An entry.
pub mod entry {
    use sea_orm::entity::prelude::*;

    /// An entry.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ledger")]
    pub struct Model {
        /// Its number, from 1 without a gap.
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        /// The life of the tenant.
        pub incarnation: Uuid,
        /// The state that was entered, by name.
        pub state: String,
        /// The hash of the certificate (hex), where there is one.
        pub certificate: Option<String>,
        /// The entry in canonical JSON; what was hashed.
        pub body: String,
        /// Its hash (hex).
        pub hash: String,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The last entry: one row, whose lock puts writers in order.
pub mod head {
    use sea_orm::entity::prelude::*;

    /// The last entry.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "ledger_head")]
    pub struct Model {
        /// Always 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i16,
        /// The number of the last entry.
        pub seq: i64,
        /// Its hash (hex).
        pub hash: String,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
