//! Any two reports of a machine: what is stored equals the second, first sight survives, and only the difference is
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::{Account, AssetClass, AssetItem};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::world::*;

/// Pairs of reports per database.
const PAIRS: usize = 24;

/// A snapshot: accounts by name, packages by name; few names and values, so that reports overlap.
type Snapshot = (BTreeMap<String, (u32, String, bool)>, BTreeMap<(String, u8), (Option<i64>, String)>);

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let text = prop_oneof![Just(String::new()), "[a-zä' \\\\%_]{0,12}", Just("\u{0}☃".to_owned())];
    (
        btree_map("[a-f]{1,2}", (0..4u32, text.clone(), any::<bool>()), 0..20),
        btree_map(("[A-Fa-f ]{1,2}", 0..3u8), (prop::option::of(0..3i64), text), 0..60),
    )
}

fn items(snapshot: &Snapshot) -> Vec<AssetItem> {
    let accounts = snapshot.0.iter().map(|(name, (uid, comment, enabled))| {
        let AssetItem { item: Some(Item::Account(a)) } = account(name, *uid) else { unreachable!() };
        let account = Account { comment: comment.clone(), enabled: Some(*enabled), ..a };
        AssetItem { item: Some(Item::Account(account)) }
    });
    let packages = snapshot.1.iter().map(|((name, version), (installed, purl))| {
        let AssetItem { item: Some(Item::SystemPackage(mut p)) } = package(name, &version.to_string()) else {
            unreachable!()
        };
        p.install_time = installed.map(|s| prost_types::Timestamp { seconds: s, nanos: 1000 });
        p.purl.clone_from(purl);
        AssetItem { item: Some(Item::SystemPackage(p)) }
    });
    accounts.chain(packages).collect()
}

/// What makes an item the same item.
fn key(item: &AssetItem) -> (i32, String, String) {
    match item.item.as_ref().unwrap() {
        Item::Account(a) => (2, a.name.clone(), String::new()),
        Item::SystemPackage(p) => (16, p.name.clone(), p.version.clone()),
        other => panic!("not in these reports: {other:?}"),
    }
}

const CLASSES: [AssetClass; 2] = [AssetClass::SystemPackage, AssetClass::Account];

both! {
    async fn any_two_reports_leave_the_second_and_write_the_difference(w: World) {
        let tenant = w.tenant().await;
        let mut runner = TestRunner::deterministic();
        for case in 0..PAIRS {
            let host = w.host(&tenant, &format!("host-{case}")).await;
            let (old, new) = (snapshots().new_tree(&mut runner).unwrap().current(), snapshots().new_tree(&mut runner).unwrap().current());
            let (old, new) = (items(&old), items(&new));
            let first = w.clock.now();
            w.report(&host, &CLASSES, &old).await;
            w.clock.advance(Duration::from_secs(60));
            let second = w.clock.now();
            let results = w.report(&host, &CLASSES, &new).await;

            let before: BTreeMap<_, _> = old.iter().map(|i| (key(i), i)).collect();
            let wanted: BTreeMap<_, _> = new.iter().map(|i| (key(i), i)).collect();
            for (class, result) in CLASSES.into_iter().zip(&results) {
                assert_eq!(result.asset_class, class as i32, "in the order of the header");
                let of = |map: &BTreeMap<(i32, String, String), &AssetItem>| -> BTreeSet<_> {
                    map.keys().filter(|k| k.0 == class as i32).cloned().collect()
                };
                let (had, has) = (of(&before), of(&wanted));
                let same = had.intersection(&has).filter(|k| before[k] == wanted[k]).count() as u32;
                let both = had.intersection(&has).count() as u32;
                let told = (result.added, result.changed, result.removed, result.unchanged);
                assert_eq!(told, (has.len() as u32 - both, both - same, had.len() as u32 - both, same), "case {case}");

                let stored = w.stored(&host, class).await;
                let got: BTreeMap<_, _> = stored.iter().map(|a| (key(a.item.as_ref().unwrap()), a)).collect();
                assert_eq!(got.len(), stored.len(), "no item is there twice");
                assert_eq!(got.keys().cloned().collect::<BTreeSet<_>>(), has, "case {case}");
                for (k, asset) in got {
                    assert_eq!(asset.item.as_ref(), Some(wanted[&k]), "case {case}");
                    let seen = if had.contains(&k) { first } else { second };
                    assert_eq!(asset.first_seen_time, Some(timestamp(seen)), "case {case}: {k:?}");
                    let written = if before.get(&k) == wanted.get(&k) { first } else { second };
                    assert_eq!(asset.update_time, Some(timestamp(written)), "case {case}: {k:?}");
                }
                assert_eq!(w.count(tenant.app_id, &host.id, class).await, (has.len() as u64, 1));
            }
        }
    }
}
