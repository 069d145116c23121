//! What changed in the accounts of machines: written in the transaction of the report that shows it.
//!
//! The first report of a machine is where its history begins, and writes nothing. A volatile column is no change.

use chrono::{DateTime, Utc};
use cwpp_contracts::inventory::v1::AccountChangeKind;
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Condition;
use sea_orm::{IntoActiveModel, QueryOrder, QuerySelect, QueryTrait, Value};

use super::class::{Account, Class, Item};
use crate::keyset::{By, List, Of};

/// A change of an account.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "account_change")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// When the report came that showed it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub changed_at: DateTimeUtc,
    /// A UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub change_id: Uuid,
    /// Name of the account.
    pub name: String,
    /// What happened (`AccountChangeKind`).
    pub kind: i16,
    /// Which fields of the contract's `Account` changed, a JSON array.
    pub fields: Json,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// Names of fields in the contract, where the column is called otherwise.
const FIELDS: [(&str, &str); 5] = [
    ("account_expires_at", "account_expire_time"),
    ("authorized_keys", "keys"),
    ("further_groups", "groups"),
    ("password_changed_at", "password_change_time"),
    ("password_expires_at", "password_expire_time"),
];

/// Names the fields in which two states of an account differ.
pub fn differing(old: &Item, new: &Item) -> Vec<&'static str> {
    let values = |item: &Item| {
        let mut values: Vec<Value> = Vec::new();
        Account.store(item, &mut values);
        values
    };
    let pairs = values(old).into_iter().zip(values(new));
    let changed = Account.columns().iter().zip(pairs).filter(|(column, (old, new))| !column.volatile && old != new);
    changed.map(|(column, _)| field(column.name)).collect()
}

fn field(column: &'static str) -> &'static str {
    FIELDS.iter().find(|(name, _)| *name == column).map_or(column, |(_, field)| field)
}

/// Deletes at most so many changes of a machine's accounts, the oldest first; says whether that was all.
pub async fn forget(tx: &TenantTx, machine_id: Uuid, most: usize) -> StoreResult<bool> {
    let of = Entity::of(tx).filter(Column::MachineId.eq(machine_id));
    let oldest = of.order_by_asc(Column::ChangedAt).limit(most as u64).all(tx).await?;
    let Some(last) = oldest.last() else { return Ok(true) };
    let of = Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id));
    // The time chooses the range of the key, the ids what goes of it: one report may have changed more than is deleted.
    let of = of.filter(Column::ChangedAt.lte(last.changed_at));
    of.filter(Column::ChangeId.is_in(oldest.iter().map(|row| row.change_id))).exec(tx).await?;
    Ok(oldest.len() < most)
}

/// Deletes at most so many changes of these accounts of a machine; says whether that was all.
pub async fn forget_named(tx: &TenantTx, machine_id: Uuid, names: &[String], most: usize) -> StoreResult<bool> {
    let named = || Condition::all().add(Column::MachineId.eq(machine_id)).add(Column::Name.is_in(names));
    let some = Entity::of(tx).filter(named()).limit(most as u64).all(tx).await?;
    if !some.is_empty() {
        let among = Column::ChangeId.is_in(some.iter().map(|row| row.change_id));
        Entity::delete_of(tx).filter(named()).filter(among).exec(tx).await?;
    }
    Ok(some.len() < most)
}

/// Collects what a transaction finds out about a machine's accounts.
#[derive(Debug)]
pub struct History {
    machine_id: Uuid,
    at: DateTime<Utc>,
    rows: Vec<Model>,
}

impl History {
    /// Starts with nothing.
    pub fn new(machine_id: Uuid, at: DateTime<Utc>) -> Self {
        Self { machine_id, at, rows: Vec::new() }
    }

    /// Adds what happened to an account, out of what it was and what it is.
    pub fn add(&mut self, old: Option<&Item>, new: Option<&Item>) {
        use AccountChangeKind::{Create, Delete, Modify};
        let (kind, fields) = match (old, new) {
            (None, Some(_)) => (Create, Vec::new()),
            (Some(_), None) => (Delete, Vec::new()),
            (Some(old), Some(new)) => (Modify, differing(old, new)),
            (None, None) => return,
        };
        let Some(Item::Account(account)) = new.or(old) else { return };
        if kind == Modify && fields.is_empty() {
            // It is only stored in another way than before.
            return;
        }
        self.rows.push(Model {
            app_id: 0,
            machine_id: self.machine_id,
            changed_at: self.at,
            change_id: Uuid::now_v7(),
            name: account.name.clone(),
            kind: kind as i16,
            fields: fields.into(),
        });
    }

    /// Writes what was collected.
    pub async fn write(self, tx: &TenantTx) -> StoreResult<()> {
        let app_id = tx.app_id().get();
        let rows = self.rows.into_iter().map(|row| Model { app_id, ..row }.into_active_model()).collect();
        Ok(Entity::insert_all_of(tx, rows).await?)
    }
}

/// Which changes are asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Of this machine.
    pub machine_id: Option<Uuid>,
    /// Of accounts of this name.
    pub name: Option<String>,
    /// From then on.
    pub begin: Option<DateTime<Utc>>,
    /// Before then.
    pub end: Option<DateTime<Utc>>,
    /// Of this kind.
    pub kind: Option<AccountChangeKind>,
}

impl Asked {
    /// Spells the list, newest first.
    pub fn list(&self, whose: &impl HasTenant) -> List {
        let mut range = Condition::all();
        range = range.add_option(self.machine_id.map(|id| Column::MachineId.eq(id)));
        range = range.add_option(self.name.as_ref().map(|name| Column::Name.eq(name.as_str())));
        range = range.add_option(self.begin.map(|begin| Column::ChangedAt.gte(begin)));
        range = range.add_option(self.end.map(|end| Column::ChangedAt.lt(end)));
        let by = |column, of| By { column, of };
        let mut order = vec![by("changed_at", Of::Moment), by("change_id", Of::Key)];
        if self.machine_id.is_none() {
            order.insert(1, by("machine_id", Of::Key));
        }
        List {
            range: Entity::of(whose).filter(range).into_query(),
            order,
            descending: true,
            index: Some(self.index()),
            residual: self.kind.map(|kind| Condition::all().add(Column::Kind.eq(kind as i16))),
        }
    }

    /// Names the index that spells the list.
    pub fn index(&self) -> &'static str {
        match (self.machine_id.is_some(), self.name.is_some()) {
            (false, false) => "account_change_time",
            (false, true) => "account_change_name",
            (true, true) => "account_change_machine_name",
            (true, false) => "PRIMARY",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cwpp_contracts::inventory::v1 as api;

    #[test]
    fn every_column_that_can_change_is_named_as_in_the_contract() {
        let pool = prost_reflect::DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
        let account = pool.get_message_by_name("cwpp.inventory.v1.Account").unwrap();
        for column in Account.columns().iter().filter(|column| !column.volatile) {
            assert!(account.get_field_by_name(field(column.name)).is_some(), "{}", column.name);
        }
    }

    #[test]
    fn a_login_is_no_change_and_fields_are_named_as_in_the_contract() {
        let old = api::Account { name: "alice".into(), uid: 1, ..Default::default() };
        let at = Some(prost_types::Timestamp { seconds: 9, nanos: 0 });
        let login = api::Account { last_login_time: at, last_login_source: "here".into(), ..old.clone() };
        let change = api::Account { groups: vec!["wheel".into()], uid: 2, password_change_time: at, ..login.clone() };
        let of = |account: &api::Account| Item::Account(account.clone());
        assert!(differing(&of(&old), &of(&login)).is_empty());
        assert_eq!(differing(&of(&old), &of(&change)), ["uid", "groups", "password_change_time"]);
    }
}
