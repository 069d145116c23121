//! Policies as followed.

/// Policies that are in force.
pub mod policy {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// A policy.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "followed_policy")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The policy.
        #[sea_orm(primary_key, auto_increment = false)]
        pub policy_id: Uuid,
        /// What it is about: the number of `PolicyKind`.
        pub kind: i16,
        /// How its machines are chosen: the number of `MachineScopeKind`.
        pub scope_kind: i16,
        /// The tags of `TAGGED`, a list of texts.
        pub tags: Json,
        /// What it says, as the contract encodes it.
        pub spec: Vec<u8>,
        /// The tenant's revision since when it holds; of collection settings, since when it switches the classes on and off
        /// that it does.
        pub since: i64,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// The machines that policies list.
pub mod machine {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// A machine of a policy. The key serves the question which policies list a machine.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "followed_policy_machine")]
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
