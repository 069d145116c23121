//! The fence: one row per tenant that says what may happen to its data.

use cwpp_contracts::common::v1::TenantState;
use sea_orm::entity::prelude::*;

/// The states of a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum State {
    /// Known, not usable yet.
    #[sea_orm(num_value = 1)]
    Opening,
    /// Reads and writes.
    #[sea_orm(num_value = 2)]
    Active,
    /// Reads, and the few writes that a scheduled termination still admits.
    #[sea_orm(num_value = 3)]
    ReadOnly,
    /// Nothing but the purge.
    #[sea_orm(num_value = 4)]
    Sealed,
}

impl State {
    /// Every state.
    pub const ALL: [State; 4] = [Self::Opening, Self::Active, Self::ReadOnly, Self::Sealed];

    /// Reads a stored number.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.number() == number)
    }

    /// Returns the stored number.
    pub fn number(self) -> i16 {
        match self {
            Self::Opening => 1,
            Self::Active => 2,
            Self::ReadOnly => 3,
            Self::Sealed => 4,
        }
    }

    /// Returns the contract's word for it.
    pub fn to_contract(self) -> TenantState {
        match self {
            Self::Opening => TenantState::Opening,
            Self::Active => TenantState::Active,
            Self::ReadOnly => TenantState::ReadOnly,
            Self::Sealed => TenantState::Sealed,
        }
    }
}

/// A tenant's fence as stored.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant_fence")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The tenant's life; a returning customer gets another.
    pub incarnation: Uuid,
    /// What may happen.
    pub state: State,
    /// Rises by one with each sealing.
    pub epoch: i64,
    /// Rises by one with each scoped deletion.
    pub scope_epoch: i64,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
