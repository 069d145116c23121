//! When a machine that was not heard of for long is removed.

use std::collections::HashMap;
use std::num::NonZeroU16;

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_chassis::Error;
use cwpp_contracts::configuration::v1::{OfflineMachineRemoval, PolicyKind};
use cwpp_storage::{HasTenant, StoreResult};
use prost::Message;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{entity::policy, store};

/// What holds for a tenant: the days that hold for all, and its policies. The fewest days hold.
#[derive(Debug)]
pub struct Rules {
    all: Option<u32>,
    policies: Vec<policy::Model>,
}

impl Rules {
    /// Reads the policies of a tenant, beside what holds for all tenants.
    pub async fn read(db: &(impl ConnectionTrait + HasTenant), all: Option<NonZeroU16>) -> StoreResult<Self> {
        let policies = store::of_kind(db, PolicyKind::OfflineMachineRemoval).await?;
        Ok(Self { all: all.map(|days| days.get().into()), policies })
    }

    /// Says since when a machine must have been silent at least for any rule to remove it; none where there is no rule.
    pub fn shortest(&self, now: DateTime<Utc>) -> StoreResult<Option<DateTime<Utc>>> {
        let mut days: Vec<u32> = self.all.into_iter().collect();
        for policy in &self.policies {
            days.push(decoded(policy)?);
        }
        Ok(days.into_iter().min().map(|days| before(now, days)))
    }

    /// Says since when each machine must have been silent to be removed; those that no rule covers are left out.
    pub async fn silent_since(
        &self,
        db: &(impl ConnectionTrait + HasTenant),
        ids: &[Uuid],
        now: DateTime<Utc>,
    ) -> StoreResult<HashMap<Uuid, DateTime<Utc>>> {
        let covering = store::covering(db, &self.policies, ids).await?;
        let mut since = HashMap::new();
        for id in ids {
            let mut fewest = self.all;
            for policy in covering.get(id).into_iter().flatten() {
                let days = decoded(policy)?;
                fewest = Some(fewest.map_or(days, |fewest| fewest.min(days)));
            }
            since.extend(fewest.map(|days| (*id, before(now, days))));
        }
        Ok(since)
    }
}

fn decoded(policy: &policy::Model) -> StoreResult<u32> {
    // Zero days are refused where the policy is made; they would remove every machine.
    let spec = OfflineMachineRemoval::decode(policy.spec.as_slice()).map_err(Error::internal)?;
    Ok(spec.days.max(1))
}

fn before(now: DateTime<Utc>, days: u32) -> DateTime<Utc> {
    now - TimeDelta::days(days.into())
}
