//! Any two reports of a machine: what is stored equals the second, first sight survives, and only the difference is
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::{Account, AssetClass, AssetItem};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use cwpp_inventory::asset::class;

use crate::fixture::{Which, varied};
use crate::world::*;

/// Pairs of reports per database.
const PAIRS: usize = 24;
/// Pairs of reports of all classes per database.
const WHOLE: usize = 12;

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

/// A snapshot of all classes: the numbers of the items, each with the variants of its steady and volatile fields.
type Whole = Vec<BTreeMap<u32, (u32, u32)>>;

fn whole() -> impl Strategy<Value = Whole> {
    prop::collection::vec(btree_map(0..12u32, (0..3u32, 0..2u32), 0..12), class::CLASSES.len())
}

/// Makes other pairs each time; the seed is printed, and `CWPP_TEST_SEED` repeats it.
#[expect(clippy::print_stdout, reason = "shown where the test fails")]
pub(crate) fn runner() -> TestRunner {
    let seed =
        std::env::var("CWPP_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("CWPP_TEST_SEED={seed}");
    let seed: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
    TestRunner::new_with_rng(ProptestConfig::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

const CLASSES: [AssetClass; 2] = [AssetClass::SystemPackage, AssetClass::Account];

both! {
    async fn any_two_reports_of_all_classes_leave_the_second_and_write_the_difference(w: World) {
        let tenant = w.tenant().await;
        let mut runner = runner();
        let classes: Vec<AssetClass> = class::CLASSES.iter().map(|c| c.class()).collect();
        let of = |class: AssetClass, (n, (steady, volatile)): (&u32, &(u32, u32))| {
            varied(class, Which { n: *n, steady: *steady, volatile: *volatile })
        };
        for case in 0..WHOLE {
            let host = w.host(&tenant, &format!("host-{case}")).await;
            let [old, new] = [(); 2].map(|()| whole().new_tree(&mut runner).unwrap().current());
            let items = |snapshot: &Whole| -> Vec<AssetItem> {
                classes.iter().zip(snapshot).flat_map(|(class, items)| items.iter().map(|item| of(*class, item))).collect()
            };
            let first = w.clock.now();
            w.report(&host, &classes, &items(&old)).await;
            w.clock.advance(Duration::from_secs(60));
            let second = w.clock.now();
            let results = w.report(&host, &classes, &items(&new)).await;
            for (((class, result), old), new) in classes.iter().zip(&results).zip(&old).zip(&new) {
                // What differs in volatile fields alone stays as it was, with its times.
                let mut wanted = BTreeMap::new();
                let (mut added, mut changed, mut unchanged) = (0, 0, 0);
                for (n, (steady, volatile)) in new {
                    let (steady, volatile, seen, written) = match old.get(n) {
                        None => (steady, volatile, second, second),
                        Some((before, kept)) if before == steady => (steady, kept, first, first),
                        Some(_) => (steady, volatile, first, second),
                    };
                    match (seen == first, written == first) {
                        (false, _) => added += 1,
                        (true, false) => changed += 1,
                        (true, true) => unchanged += 1,
                    }
                    let item = of(*class, (n, &(*steady, *volatile)));
                    wanted.insert(format!("{item:?}"), (Some(timestamp(seen)), Some(timestamp(written))));
                }
                let removed = old.keys().filter(|n| !new.contains_key(n)).count() as u32;
                let told = (result.added, result.changed, result.removed, result.unchanged);
                assert_eq!(told, (added, changed, removed, unchanged), "case {case}: {class:?}");
                let stored = w.stored(&host, *class).await;
                assert_eq!(stored.len(), wanted.len(), "case {case}: {class:?}");
                for asset in stored {
                    let times = wanted.remove(&format!("{:?}", asset.item.unwrap()));
                    assert_eq!(times, Some((asset.first_seen_time, asset.update_time)), "case {case}: {class:?}");
                }
                assert_eq!(w.count(tenant.app_id, &host.id, *class).await, (new.len() as u64, 1));
            }
        }
    }

    async fn any_two_reports_leave_the_second_and_write_the_difference(w: World) {
        let tenant = w.tenant().await;
        let mut runner = runner();
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
