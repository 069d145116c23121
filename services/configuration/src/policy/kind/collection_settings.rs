//! Which classes of assets are collected, and how often.

use std::collections::HashSet;

use cwpp_chassis::Violations;
use cwpp_contracts::configuration::v1::{self as wire, PolicyKind};
use cwpp_contracts::inventory::v1::AssetClass;
use serde::{Deserialize, Serialize};

use super::Kind;

/// Most classes: more than there will be.
const MAX_CLASSES: usize = 50;
/// Shortest and longest interval in seconds.
const INTERVAL: std::ops::RangeInclusive<i64> = 60..=7 * 24 * 3600;

/// The kind.
pub(crate) struct CollectionSettings;

/// The document.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stored {
    classes: Vec<Class>,
}

/// The collection of one class.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Class {
    asset_class: i32,
    enabled: bool,
    interval_seconds: Option<i64>,
}

impl Kind for CollectionSettings {
    const KIND: PolicyKind = PolicyKind::CollectionSettings;
    const FIELD: &'static str = "collection_settings";
    type Message = wire::CollectionSettings;
    type Stored = Stored;

    fn check(message: &wire::CollectionSettings, at: &str, violations: &mut Violations) -> Stored {
        let at = format!("{at}.classes");
        let count = message.classes.len();
        if !violations.check(
            (1..=MAX_CLASSES).contains(&count),
            &at,
            format!("must have 1 to {MAX_CLASSES} entries, has {count}"),
        ) {
            return Stored::default();
        }
        let mut seen = HashSet::new();
        for (index, class) in message.classes.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let known = AssetClass::try_from(class.asset_class).is_ok_and(|class| class != AssetClass::Unspecified);
            if violations.check(known, format!("{at}.asset_class"), "must be a class of assets") {
                let first = seen.insert(class.asset_class);
                violations.check(first, format!("{at}.asset_class"), "repeats an earlier entry");
            }
            if let Some(interval) = &class.interval {
                let at = format!("{at}.interval");
                let whole = interval.nanos == 0 && INTERVAL.contains(&interval.seconds);
                violations.check(whole, &at, "must be whole seconds, a minute to 7 days");
                violations.check(class.enabled, at, "must be absent where the class is not collected");
            }
        }
        let class = |class: &wire::ClassCollection| Class {
            asset_class: class.asset_class,
            enabled: class.enabled,
            interval_seconds: class.interval.as_ref().map(|interval| interval.seconds),
        };
        Stored { classes: message.classes.iter().map(class).collect() }
    }

    fn message(stored: Stored) -> wire::CollectionSettings {
        let class = |class: Class| wire::ClassCollection {
            asset_class: class.asset_class,
            enabled: class.enabled,
            interval: class.interval_seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        };
        wire::CollectionSettings { classes: stored.classes.into_iter().map(class).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(class: i32, enabled: bool, interval: Option<(i64, i32)>) -> wire::ClassCollection {
        let interval = interval.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos });
        wire::ClassCollection { asset_class: class, enabled, interval }
    }

    fn violated(classes: Vec<wire::ClassCollection>) -> Vec<String> {
        let mut violations = Violations::new();
        CollectionSettings::check(&wire::CollectionSettings { classes }, "policy.it", &mut violations);
        match violations.finish() {
            Ok(()) => Vec::new(),
            Err(error) => error.violations().iter().map(|v| v.field.clone()).collect(),
        }
    }

    #[test]
    fn every_wrong_entry_is_named() {
        let account = AssetClass::Account as i32;
        assert_eq!(violated(Vec::new()), ["policy.it.classes"]);
        assert_eq!(violated(vec![class(account, true, None); MAX_CLASSES + 1]), ["policy.it.classes"]);
        let wrong = violated(vec![
            class(account, true, Some((60, 0))),
            class(account, false, None),
            class(0, true, None),
            class(9_999, true, None),
            class(AssetClass::SystemPackage as i32, false, Some((59, 0))),
        ]);
        let fields = ["[1].asset_class", "[2].asset_class", "[3].asset_class", "[4].interval", "[4].interval"];
        assert_eq!(wrong, fields.map(|field| format!("policy.it.classes{field}")));
        for interval in [(60, 1), (-60, 0), (7 * 24 * 3600 + 1, 0), (i64::MAX, 0)] {
            assert_eq!(violated(vec![class(account, true, Some(interval))]), ["policy.it.classes[0].interval"]);
        }
    }

    #[test]
    fn what_is_stored_comes_back() {
        let classes = vec![class(2, false, None), class(16, true, Some((3600, 0))), class(16, true, None)];
        let message = wire::CollectionSettings { classes };
        let stored = CollectionSettings::check(&message, "spec", &mut Violations::new());
        let document = serde_json::to_value(stored).expect("json");
        let stored = serde_json::from_value(document).expect("the same document");
        assert_eq!(CollectionSettings::message(stored), message);
    }
}
