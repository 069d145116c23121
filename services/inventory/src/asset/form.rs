//! The form in which this server stores each class, and since when. A release that stores a class otherwise than the one
//! before asks every machine for it, each at its own moment of the day after: not all at once.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_access::{Job, SystemScope};
use cwpp_chassis::Result;
use cwpp_storage::Db;
use sea_orm::IntoActiveModel;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use super::class::{CLASSES, Class};
use super::natural_key::short;

/// Within this time every machine is asked.
const SPREAD: TimeDelta = TimeDelta::hours(24);

/// The form of a class, of the release that started last.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "class_form")]
pub struct Model {
    /// The class (`AssetClass`).
    #[sea_orm(primary_key, auto_increment = false)]
    pub asset_class: i16,
    /// Its form.
    pub form: i64,
    /// Since when.
    pub since: DateTimeUtc,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Hashes how this release stores a class, whatever the tenant.
pub fn of(class: &dyn Class) -> i64 {
    let mut hash = blake3::Hasher::new();
    hash.update(class.table().as_bytes());
    hash.update(&class.revision().to_le_bytes());
    hash.update(&cwpp_redaction::REVISION.to_le_bytes());
    hash.update(&class.cap().to_le_bytes());
    for column in class.columns() {
        hash.update(&[u8::from(column.volatile) + u8::from(column.coarse)]);
        hash.update(column.name.as_bytes());
    }
    short(&hash.finalize()).as_u64_pair().0.cast_signed()
}

/// Since when each class has the form that it has.
#[derive(Debug, Clone, Default)]
pub struct Forms {
    since: HashMap<i16, DateTime<Utc>>,
}

impl Forms {
    /// Reads them, and notes those that are new with this release.
    #[allow(clippy::disallowed_methods, reason = "the table is of no tenant")]
    pub async fn load(db: &Db, now: DateTime<Utc>) -> Result<Self> {
        db.system(&SystemScope::job(Job::Startup), |tx| async move {
            let stored: HashMap<i16, Model> =
                Entity::find().all(&tx).await?.into_iter().map(|row| (row.asset_class, row)).collect();
            let mut since = HashMap::new();
            for class in CLASSES {
                let (asset_class, form) = (class.class() as i16, of(class));
                if let Some(row) = stored.get(&asset_class).filter(|row| row.form == form) {
                    since.insert(asset_class, row.since);
                    continue;
                }
                let mut anew = OnConflict::column(Column::AssetClass);
                anew.update_columns([Column::Form, Column::Since]);
                let row = Model { asset_class, form, since: now }.into_active_model();
                Entity::insert(row).on_conflict(anew).exec_without_returning(&tx).await?;
                since.insert(asset_class, now);
            }
            Ok(Self { since })
        })
        .await
    }

    /// Says whether it is a machine's turn to be asked for a class that is stored in another form.
    pub fn is_due(&self, asset_class: i16, machine_id: Uuid, now: DateTime<Utc>) -> bool {
        self.since.get(&asset_class).is_none_or(|since| *since + wait(machine_id) <= now)
    }
}

/// How long after a release a machine's turn comes.
pub fn wait(machine_id: Uuid) -> TimeDelta {
    let (part, _) = short(&blake3::hash(machine_id.as_bytes())).as_u64_pair();
    TimeDelta::seconds((part % SPREAD.num_seconds().cast_unsigned()).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_take_turns_all_over_the_day() {
        let mut hours = [0; 24];
        for _ in 0..2400 {
            hours[usize::try_from(wait(Uuid::new_v4()).num_hours()).unwrap()] += 1;
        }
        assert!(hours.iter().all(|machines| (50..200).contains(machines)), "{hours:?}");
    }
}
