//! Whitelists as followed.

/// A login whitelist that is in force.
pub mod whitelist {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// A login whitelist.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "login_policy")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The policy.
        #[sea_orm(primary_key, auto_increment = false)]
        pub policy_id: Uuid,
        /// How its machines are chosen: the number of `MachineScopeKind`.
        pub scope_kind: i16,
        /// The tags of `TAGGED`, a list of texts.
        pub tags: Json,
        /// Its conditions, as the contract encodes them.
        pub spec: Vec<u8>,
        /// The tenant's revision that it is of.
        pub revision: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// The machines that a whitelist lists.
pub mod machine {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// A machine of a whitelist. The key serves the question which whitelists list a machine.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "login_policy_machine")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The machine.
        #[sea_orm(primary_key, auto_increment = false)]
        pub machine_id: Uuid,
        /// The policy.
        #[sea_orm(primary_key, auto_increment = false)]
        pub policy_id: Uuid,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}
