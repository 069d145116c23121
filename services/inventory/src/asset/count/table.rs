//! The tables of the counts.

/// Folded counts per class.
pub mod folded {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// The folded count of a class of a tenant. Its lock is the right to fold the class.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "asset_class_count")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The class (`AssetClass`).
        #[sea_orm(primary_key, auto_increment = false)]
        pub asset_class: i16,
        /// Number of items.
        pub items: i64,
        /// Number of machines that reported the class.
        pub machines: i64,
        /// Rises with each repair, so that two that saw the same fault do not both mend it.
        pub repairs: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Folded counts per class and day of first sight.
pub mod day {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// How many of the stored items of a class were first seen on a day.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "asset_day_count")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The day (UTC), counted from 1970.
        #[sea_orm(primary_key, auto_increment = false)]
        pub day: i32,
        /// The class (`AssetClass`).
        #[sea_orm(primary_key, auto_increment = false)]
        pub asset_class: i16,
        /// Number of items; never zero.
        pub items: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Folded counts per class and value.
pub mod value {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// How many items and machines have a value of a class.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "asset_value_count")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The class (`AssetClass`).
        #[sea_orm(primary_key, auto_increment = false)]
        pub asset_class: i16,
        /// The value: what the class's counted column holds, a number as its digits.
        #[sea_orm(primary_key, auto_increment = false)]
        pub value: String,
        /// Number of items.
        pub items: i64,
        /// Number of machines, negated: so an ascending index lists the largest first, and equal ones by value.
        pub machines_negated: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Changes of counts that are not folded yet.
pub mod delta {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// What one transaction changed in one class.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "asset_count_delta")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The class (`AssetClass`).
        #[sea_orm(primary_key, auto_increment = false)]
        pub asset_class: i16,
        /// A UUIDv7.
        #[sea_orm(primary_key, auto_increment = false)]
        pub delta_id: Uuid,
        /// Items more, or less.
        pub items: i64,
        /// Machines more, or less.
        pub machines: i64,
        /// Items more, or less, per day of first sight; packed.
        pub days: Vec<u8>,
        /// How many values `changes` holds.
        pub weight: i32,
        /// Items and machines more, or less, per value; packed.
        pub changes: Vec<u8>,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}
