//! What is collected of a machine, and how often.

use std::collections::{BTreeMap, HashMap};

use cwpp_chassis::{Error, Reason};
use cwpp_contracts::configuration::v1::{CollectionSettings, PolicyKind};
use cwpp_storage::{HasTenant, StoreResult};
use prost::Message;
use prost_types::Duration;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::store;

/// What several policies say together of the classes that they name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    classes: BTreeMap<i16, Class>,
}

/// What holds for one class. Without settings it is collected, as often as the agent likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Class {
    /// Whether it is not collected.
    pub off: bool,
    /// How often, in seconds.
    interval: Option<i64>,
    /// The newest revision since when it is on or off; 0 where nothing names it.
    pub since: i64,
}

impl Class {
    /// Returns how often it is collected, where that is said.
    pub fn interval(&self) -> Option<Duration> {
        self.interval.filter(|_| !self.off).map(|seconds| Duration { seconds, nanos: 0 })
    }
}

impl Settings {
    /// Takes a policy that covers the machine: off wins, and so does the shortest interval.
    pub fn take(&mut self, spec: &CollectionSettings, since: i64) {
        for named in &spec.classes {
            let Ok(number) = i16::try_from(named.asset_class) else { continue };
            let class = self.classes.entry(number).or_default();
            class.off |= !named.enabled;
            class.since = class.since.max(since);
            let interval = named.interval.as_ref().map(|interval| interval.seconds);
            class.interval = class.interval.into_iter().chain(interval).min();
        }
    }

    /// Returns what holds for a class.
    pub fn class(&self, number: i16) -> Class {
        self.classes.get(&number).copied().unwrap_or_default()
    }
}

/// Reads what holds for machines; those for which nothing is said may be left out.
pub async fn settings(db: &(impl ConnectionTrait + HasTenant), ids: &[Uuid]) -> StoreResult<HashMap<Uuid, Settings>> {
    let policies = store::of_kind(db, PolicyKind::CollectionSettings).await?;
    let mut found: HashMap<Uuid, Settings> = HashMap::new();
    for (id, policies) in store::covering(db, &policies, ids).await? {
        for policy in policies {
            found.entry(id).or_default().take(&decoded(&policy.spec)?, policy.since);
        }
    }
    Ok(found)
}

/// Says whether any policy switches a class off on some machine.
pub async fn is_off_anywhere(db: &(impl ConnectionTrait + HasTenant), class: i16) -> StoreResult<bool> {
    for policy in store::of_kind(db, PolicyKind::CollectionSettings).await? {
        if flags(&policy.spec)?.get(&i32::from(class)) == Some(&false) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says whether two specs switch the same classes on and off. Another interval alone does not make what is stored out of
/// date.
pub(super) fn collects_the_same(one: &[u8], other: &[u8]) -> StoreResult<bool> {
    Ok(flags(one)? == flags(other)?)
}

fn flags(spec: &[u8]) -> StoreResult<BTreeMap<i32, bool>> {
    Ok(decoded(spec)?.classes.iter().map(|class| (class.asset_class, class.enabled)).collect())
}

fn decoded(spec: &[u8]) -> StoreResult<CollectionSettings> {
    Ok(CollectionSettings::decode(spec).map_err(Error::internal)?)
}

/// Refuses a report of a class that is off.
pub fn switched_off() -> Error {
    Error::new(Reason::CollectionDisabled, "the tenant switched a class of the report off: negotiate again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cwpp_contracts::configuration::v1::ClassCollection;

    fn spec(classes: &[(i32, bool, Option<i64>)]) -> CollectionSettings {
        let class = |(asset_class, enabled, seconds): &(i32, bool, Option<i64>)| ClassCollection {
            asset_class: *asset_class,
            enabled: *enabled,
            interval: seconds.map(|seconds| Duration { seconds, nanos: 0 }),
        };
        CollectionSettings { classes: classes.iter().map(class).collect() }
    }

    #[test]
    fn off_wins_and_so_does_the_shortest_interval() {
        let mut settings = Settings::default();
        settings.take(&spec(&[(2, true, Some(600)), (16, true, Some(60))]), 3);
        settings.take(&spec(&[(2, true, Some(120)), (16, false, None)]), 2);
        let seconds = |class: i16| settings.class(class).interval().map(|interval| interval.seconds);
        assert_eq!((settings.class(2).off, seconds(2), settings.class(2).since), (false, Some(120), 3));
        assert_eq!((settings.class(16).off, seconds(16)), (true, None));
        assert_eq!(settings.class(7), Class::default());
    }
}
