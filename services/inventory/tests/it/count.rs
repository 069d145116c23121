//! Counts are exact at any time, folded or not.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use cwpp_access::{Job, SystemScope};
use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::{
    Asset, AssetClass, AssetItem, AssetQuery, ListAssetsRequest, ListTopValuesRequest, ValueOrder,
};
use cwpp_inventory::asset::class::{self, by_number};
use cwpp_inventory::asset::{count, fold, remove, store};
use cwpp_storage::Db;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, ReflectMessage, Value};
use uuid::Uuid;

use crate::fixture::{Which, item, varied};
use crate::property::runner;
use crate::world::*;

/// Every class.
fn classes() -> Vec<AssetClass> {
    class::CLASSES.iter().map(|class| class.class()).collect()
}

/// What is counted of an asset: the field of the counted column's name, as text or digits.
fn value(pool: &DescriptorPool, class: AssetClass, asset: &Asset) -> String {
    let whole = pool.get_message_by_name("cwpp.inventory.v1.AssetItem").unwrap();
    let bytes = asset.item.as_ref().unwrap().encode_to_vec();
    let whole = DynamicMessage::decode(whole, &bytes[..]).unwrap();
    let (_, item) = whole.fields().next().unwrap();
    let field = item.as_message().unwrap().get_field_by_name(by_number(class as i32).unwrap().counted()).unwrap();
    match &*field {
        Value::String(text) => text.clone(),
        Value::U32(number) => number.to_string(),
        Value::EnumNumber(number) => number.to_string(),
        other => panic!("{class:?} counts {other:?}"),
    }
}

/// An item of a class, with fewer values to count than keys where that may be.
fn some_item(class: AssetClass, n: u32, steady: u32) -> AssetItem {
    match class {
        AssetClass::SystemPackage => package(&format!("p{}", n % 4), &format!("{}", n / 4)),
        class => varied(class, Which { n, steady, volatile: 0 }),
    }
}

fn some(seed: u64, round: u64) -> Vec<AssetItem> {
    let number = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round * 1_442_695_040_888_963_407) >> 59;
    (0..number).map(|n| package(&format!("p{}", n + round), "1")).collect()
}

fn system() -> SystemScope {
    SystemScope::job(Job::Harness)
}

/// Everything that is counted of a class: items and machines, items by day, items and machines by value.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    total: (u64, u64),
    today: u64,
    values: BTreeMap<String, (i64, i64)>,
}

/// Counts the rows that the lists show.
async fn recount(w: &World, hosts: &[Host], class: AssetClass) -> Counted {
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    let mut counted = Counted::default();
    let midnight = w.clock.now().timestamp() / 86_400 * 86_400;
    for host in hosts {
        let mut values = BTreeSet::new();
        for asset in w.stored(host, class).await {
            counted.total.0 += 1;
            counted.today += u64::from(asset.first_seen_time.unwrap().seconds >= midnight);
            let value = value(&pool, class, &asset);
            counted.values.entry(value.clone()).or_default().0 += 1;
            values.insert(value);
        }
        for value in values {
            counted.values.entry(value).or_default().1 += 1;
        }
        // A machine counts from its first report of the class on, also with none.
        counted.total.1 += w.count(host.app_id, &host.id, class).await.1;
    }
    counted
}

/// What the counts say, folded and pending.
async fn counted(w: &World, db: &Db, tenant: &Tenant, class: AssetClass) -> Counted {
    let values = db
        .read_at_once(&scope(tenant), |read| async move { count::values(&read, class as i16).await })
        .await
        .unwrap()
        .into_iter()
        .map(|(value, count)| (value.to_string(), (count.items, count.machines)))
        .collect();
    let total = w.count(tenant.app_id, "", class).await;
    Counted { total, today: w.new_today(tenant.app_id, "", class).await, values }
}

/// Lists the values of a class in an order, a few a page.
async fn top(w: &World, tenant: &Tenant, class: AssetClass, order: ValueOrder) -> Vec<(String, u64, u64)> {
    let page = Some(Page { page_size: 3, ..Default::default() });
    w.top(ListTopValuesRequest {
        app_id: tenant.app_id,
        asset_class: class.into(),
        order: order.into(),
        page,
        ..Default::default()
    })
    .await
}

/// Asks for the assets of a class with this counted value.
fn exactly(class: AssetClass, value: &str) -> AssetQuery {
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    let mut outer = DynamicMessage::new(pool.get_message_by_name("cwpp.inventory.v1.AssetQuery").unwrap());
    let class = by_number(class as i32).unwrap();
    let field = outer.descriptor().get_field_by_name(class.name()).unwrap();
    let mut query = DynamicMessage::new(field.kind().as_message().unwrap().clone());
    let counted = query.descriptor().get_field_by_name(class.counted()).unwrap();
    let number = || value.parse().unwrap();
    let wanted = match counted.kind() {
        Kind::Message(_) => {
            let mut exact = DynamicMessage::new(pool.get_message_by_name("cwpp.common.v1.StringMatch").unwrap());
            exact.set_field_by_name("exact", Value::String(value.into()));
            Value::Message(exact)
        }
        Kind::Enum(_) => Value::EnumNumber(number()),
        Kind::Uint32 => Value::U32(number().cast_unsigned()),
        other => panic!("{other:?}"),
    };
    query.set_field(&counted, wanted);
    outer.set_field(&field, Value::Message(query));
    AssetQuery::decode(&outer.encode_to_vec()[..]).unwrap()
}

/// Holds these classes against what the lists show, and all against the service's own recount.
async fn agree(w: &World, db: &Db, tenant: &Tenant, hosts: &[Host], classes: &[AssetClass], what: &str) {
    for &class in classes {
        let wanted = recount(w, hosts, class).await;
        assert_eq!(counted(w, db, tenant, class).await, wanted, "{class:?} {what}");
        let values = wanted.values.into_iter().map(|(value, (items, machines))| (value, machines as u64, items as u64));
        let mut values: Vec<_> = values.collect();
        assert_eq!(top(w, tenant, class, ValueOrder::Value).await, values, "{class:?} by value {what}");
        values.sort_by_key(|(_, machines, _)| std::cmp::Reverse(*machines));
        assert_eq!(top(w, tenant, class, ValueOrder::Machines).await, values, "{class:?} by machines {what}");
    }
    let check = w.check(tenant.app_id, false).await;
    assert_eq!(check.differences, [], "{what}");
}

/// The numbers of the items of a report, each with its variant.
type Items = BTreeMap<u32, u32>;

/// What happens to a machine, or to the counts. Classes are told by their place in the registry.
#[derive(Debug, Clone)]
enum Step {
    /// A report of some classes.
    Report(usize, BTreeMap<usize, Items>),
    /// Items of some classes are removed: every so many.
    Remove(usize, BTreeSet<usize>, usize),
    /// A class of the machine is deleted, this many rows a transaction.
    Empty(usize, usize, usize),
    /// The machine is removed, this many rows a transaction.
    Forget(usize, usize),
    Fold,
    Night,
}

fn step() -> impl Strategy<Value = Step> {
    let class = 0..class::CLASSES.len();
    let items = prop::collection::btree_map(0..16u32, 0..4u32, 0..14);
    let report = prop::collection::btree_map(class.clone(), items, 1..5);
    let some = prop::collection::btree_set(class.clone(), 1..5);
    prop_oneof![
        6 => (0..3usize, report).prop_map(|(host, items)| Step::Report(host, items)),
        2 => (0..3usize, some, 1..4usize).prop_map(|(host, classes, every)| Step::Remove(host, classes, every)),
        1 => (0..3usize, class, 1..9usize).prop_map(|(host, class, most)| Step::Empty(host, class, most)),
        1 => (0..3usize, 5..60usize).prop_map(|(host, most)| Step::Forget(host, most)),
        2 => Just(Step::Fold),
        1 => Just(Step::Night),
    ]
}

/// Finds the keys of a machine's rows.
async fn keys(db: &Db, tenant: &Tenant, host: Uuid, class: AssetClass) -> Vec<Uuid> {
    let (class, scope) = (by_number(class as i32).unwrap(), scope(tenant));
    db.write(&scope, |tx| async move { store::keys(&tx, class, host, 1000).await }).await.unwrap()
}

both! {
    async fn counts_equal_a_recount_after_any_reports_removals_and_folds(w: World) {
        let calm = w.replica(|config| config.counts.fold_interval = Duration::from_secs(3600)).await;
        let tenant = w.tenant().await;
        let neighbour = w.tenant().await;
        let other = w.host(&neighbour, "other").await;
        let classes = classes();
        let all = |upto: u32| -> Vec<AssetItem> {
            classes.iter().flat_map(|class| (0..upto).map(|n| some_item(*class, n, n))).collect()
        };
        calm.report(&other, &classes, &all(1)).await;
        let mut hosts = Vec::new();
        for n in 0..3 {
            hosts.push(w.host(&tenant, &format!("host-{n}")).await);
            calm.report(&hosts[n], &classes, &all(3 * n as u32)).await;
        }
        let db = &w.db().await;
        agree(&calm, db, &tenant, &hosts, &classes, "at the beginning").await;
        let mut runner = runner();
        for round in 0..40 {
            let step = step().new_tree(&mut runner).unwrap().current();
            // What a step has to do with: the other classes are recounted by the service alone.
            let of = |places: &mut dyn Iterator<Item = &usize>| places.map(|at| classes[*at]).collect::<Vec<_>>();
            let touched = match &step {
                Step::Report(_, items) => of(&mut items.keys()),
                Step::Remove(_, places, _) => of(&mut places.iter()),
                Step::Empty(_, place, _) => vec![classes[*place]],
                Step::Forget(..) | Step::Night => classes.clone(),
                Step::Fold => of(&mut [round % 16, (round + 5) % 16, (round + 10) % 16].iter()),
            };
            match &step {
                Step::Report(host, items) => {
                    let items: Vec<_> = items
                        .iter()
                        .flat_map(|(at, items)| items.iter().map(|(n, steady)| some_item(classes[*at], *n, *steady)))
                        .collect();
                    calm.report(&hosts[*host], &touched, &items).await;
                }
                Step::Remove(host, _, every) => {
                    let (id, scope) = (Uuid::parse_str(&hosts[*host].id).unwrap(), scope(&tenant));
                    for class in &touched {
                        let keys: Vec<_> = keys(db, &tenant, id, *class).await.into_iter().step_by(*every).collect();
                        let (class, keys) = (by_number(*class as i32).unwrap(), &keys);
                        let removed = db.write(&scope, |tx| async move { remove::items(&tx, db.registry(), id, class, keys).await });
                        assert_eq!(removed.await.unwrap().len(), keys.len());
                        let again = db.write(&scope, |tx| async move { remove::items(&tx, db.registry(), id, class, keys).await });
                        assert!(again.await.unwrap().is_empty(), "a repeat removes nothing");
                    }
                }
                Step::Empty(host, place, most) => {
                    let (id, class) = (Uuid::parse_str(&hosts[*host].id).unwrap(), class::CLASSES[*place]);
                    while db.write(&scope(&tenant), |tx| async move { remove::class(&tx, db.registry(), id, class, *most).await }).await.unwrap() == *most {
                        agree(&calm, db, &tenant, &hosts, &touched, "in the middle of a deletion").await;
                    }
                }
                Step::Forget(host, most) => {
                    let id = Uuid::parse_str(&hosts[*host].id).unwrap();
                    let mut classes = classes.iter().cycle();
                    while db.write(&scope(&tenant), |tx| async move { remove::machine(&tx, db.registry(), id, *most).await }).await.unwrap() == 0 {
                        let class = *classes.next().unwrap();
                        agree(&calm, db, &tenant, &hosts, &[class], "in the middle of a removal").await;
                    }
                }
                Step::Fold => fold::once(db, &system()).await.unwrap(),
                Step::Night => w.clock.advance(Duration::from_secs(20 * 3600)),
            }
            agree(&calm, db, &tenant, &hosts, &touched, &format!("after step {round}: {step:?}")).await;
        }
        fold::once(db, &system()).await.unwrap();
        agree(&calm, db, &tenant, &hosts, &classes, "after all is folded").await;
        assert!(db.system_read(&system(), |read| async move { count::pending(&read).await }).await.unwrap().is_empty());
        let rows = w.rows(&tenant).await;
        let values: usize = {
            let mut n = 0;
            for class in &classes {
                n += counted(&calm, db, &tenant, *class).await.values.len();
            }
            n
        };
        assert_eq!(rows.get("asset_value_count").copied().unwrap_or_default() as usize, values, "no row counts nothing");
        assert_eq!(counted(&calm, db, &neighbour, AssetClass::Account).await.total, (1, 1));
        db.close().await;
        calm.end().await;
    }

    async fn counts_are_exact_after_any_reports_whether_folded_or_not(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let other = w.host(&neighbour, "other").await;
        w.report(&other, &[AssetClass::SystemPackage], &some(9, 9)).await;
        let mut hosts = Vec::new();
        for n in 0..6 {
            hosts.push(w.host(&tenant, &format!("host-{n}")).await);
        }
        let db = w.db().await;
        // Beside the service's own folder: several fold at once.
        let folders: Vec<_> = (0..2)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move {
                    loop {
                        fold::once(&db, &system()).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(7)).await;
                    }
                })
            })
            .collect();
        for round in 0..5 {
            let reports = hosts.iter().enumerate().map(|(n, host)| {
                let (w, items) = (&*w, some(n as u64 + 1, round));
                async move {
                    w.report(host, &[AssetClass::SystemPackage], &items).await;
                    items.len() as u64
                }
            });
            let total: u64 = futures::future::join_all(reports).await.into_iter().sum();
            assert_eq!(w.count(tenant.app_id, "", AssetClass::SystemPackage).await, (total, 6));
            assert_eq!(w.new_today(tenant.app_id, "", AssetClass::SystemPackage).await, total);
        }
        for folder in folders {
            folder.abort();
            let _ = folder.await;
        }
        fold::once(&db, &system()).await.unwrap();
        let (total, _) = w.count(tenant.app_id, "", AssetClass::SystemPackage).await;
        let mut stored = 0;
        for host in &hosts {
            let items = w.stored(host, AssetClass::SystemPackage).await.len() as u64;
            assert_eq!(w.count(tenant.app_id, &host.id, AssetClass::SystemPackage).await, (items, 1));
            stored += items;
        }
        assert_eq!(total, stored);
        assert_eq!(
            counted(w, &db, &tenant, AssetClass::SystemPackage).await,
            recount(w, &hosts, AssetClass::SystemPackage).await
        );
        assert_eq!(w.count(tenant.app_id, "", AssetClass::Account).await, (0, 0), "also those with none");
        let pending = db.system_read(&system(), |read| async move { count::pending(&read).await }).await.unwrap();
        assert!(pending.is_empty(), "all is folded");
        db.close().await;
    }

    async fn what_is_new_today_is_counted_per_machine_and_ends_at_midnight(w: World) {
        let tenant = w.tenant().await;
        let hosts = [w.host(&tenant, "one").await, w.host(&tenant, "two").await];
        let class = [AssetClass::SystemPackage];
        w.report(&hosts[0], &class, &[package("a", "1"), package("b", "1")]).await;
        w.report(&hosts[1], &class, &[package("a", "1")]).await;
        let new = |host: usize| w.new_today(tenant.app_id, &hosts[host].id, class[0]);
        assert_eq!((new(0).await, new(1).await, w.new_today(tenant.app_id, "", class[0]).await), (2, 1, 3));
        w.clock.advance(Duration::from_secs(12 * 3600));
        let new = |host: usize| w.new_today(tenant.app_id, &hosts[host].id, class[0]);
        assert_eq!((new(0).await, w.new_today(tenant.app_id, "", class[0]).await), (0, 0));
        // One is old, one is gone, two are new.
        w.report(&hosts[0], &class, &[package("b", "1"), package("c", "1"), package("d", "1")]).await;
        assert_eq!((new(0).await, new(1).await, w.new_today(tenant.app_id, "", class[0]).await), (2, 0, 2));
        w.report(&hosts[0], &class, &[package("b", "1"), package("d", "1")]).await;
        assert_eq!((new(0).await, w.new_today(tenant.app_id, "", class[0]).await), (1, 1), "gone on the day it came");
    }

    async fn a_class_in_slices_counts_each_slice_and_each_machine_once(w: World) {
        let calm = w.replica(|config| config.counts.fold_interval = Duration::from_secs(3600)).await;
        let tenant = w.tenant().await;
        let hosts = [w.host(&tenant, "one").await, w.host(&tenant, "two").await];
        let db = w.db().await;
        let class = [AssetClass::SystemPackage];
        // Each name twice, so that both halves of a value lie in different slices more often than not.
        let items = |from: u32, version: &str| -> Vec<AssetItem> {
            (from..from + 2550).flat_map(|n| [package(&format!("p{n}"), version), package(&format!("p{n}"), "0")]).collect()
        };
        let offers = offers(&class, &items(0, "1"));
        let token = calm.negotiate(&hosts[0], offers.clone()).await.unwrap().report_token;
        calm.send(messages(&hosts[0], &token, offers, &items(0, "1"))).await.unwrap();
        calm.report(&hosts[1], &class, &[package("p1", "7")]).await;
        assert_eq!(counted(&calm, &db, &tenant, class[0]).await, recount(&calm, &hosts, class[0]).await);
        calm.report(&hosts[0], &class, &items(1275, "2")).await;
        assert_eq!(counted(&calm, &db, &tenant, class[0]).await, recount(&calm, &hosts, class[0]).await);
        fold::once(&db, &system()).await.unwrap();
        assert_eq!(counted(&calm, &db, &tenant, class[0]).await, recount(&calm, &hosts, class[0]).await);
        db.close().await;
        calm.end().await;
    }

    async fn a_report_that_is_cut_anywhere_leaves_counts_that_agree(w: World) {
        let tenant = w.tenant().await;
        let hosts = [w.host(&tenant, "one").await];
        let db = w.db().await;
        let class = [AssetClass::SystemPackage];
        for round in 0..8u32 {
            let version = |n: u32| if n < 300 { 2 + round % 2 } else { n / 4000 };
            let items: Vec<_> =
                (0..5100).map(|n| package(&format!("p{}", n % 4000), &version(n).to_string())).collect();
            let items = if round == 0 { items } else { items[..5050].to_vec() };
            let report = w.report(&hosts[0], &class, &items);
            // Some are cut before they begin, some between slices, some are done.
            let _ = tokio::time::timeout(Duration::from_millis(u64::from(round) * 80), report).await;
            // The service may still be at work on what it received.
            assert_eq!(w.check(tenant.app_id, false).await.differences, []);
        }
        w.report(&hosts[0], &class, &[package("a", "1")]).await;
        agree(w, &db, &tenant, &hosts, &class, "at the end").await;
        db.close().await;
    }

    async fn what_has_no_value_is_counted_and_listed_by_the_empty_one(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "one").await;
        for class in classes() {
            let counted = by_number(class as i32).unwrap().counted();
            let mut whole = DynamicMessage::decode(
                DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap().get_message_by_name("cwpp.inventory.v1.AssetItem").unwrap(),
                &item(class, 1).encode_to_vec()[..],
            )
            .unwrap();
            let (field, own) = whole.fields().map(|(field, own)| (field, own.clone())).next().unwrap();
            let Value::Message(mut own) = own else { unreachable!() };
            if !matches!(own.get_field_by_name(counted).as_deref(), Some(Value::String(_))) {
                continue;
            }
            own.clear_field_by_name(counted);
            whole.set_field(&field, Value::Message(own));
            let without = AssetItem::decode(&whole.encode_to_vec()[..]).unwrap();
            let offers = offers(&[class], std::slice::from_ref(&without));
            let token = w.negotiate(&host, offers.clone()).await.unwrap().report_token;
            // A class whose items all have the value refuses such a one.
            if w.send(messages(&host, &token, offers, &[without])).await.is_ok() {
                assert_eq!(top(w, &tenant, class, ValueOrder::Value).await, [(String::new(), 1, 1)], "{class:?}");
                let request = ListAssetsRequest { app_id: tenant.app_id, query: Some(exactly(class, "")), ..Default::default() };
                assert_eq!(w.list(request).await.0.len(), 1, "{class:?}");
            }
        }
        let sites = top(w, &tenant, AssetClass::WebSite, ValueOrder::Value).await;
        assert_eq!(sites, [(String::new(), 1, 1)], "the default site has no domain");
    }

    async fn every_class_is_counted_by_a_value_of_its_own(w: World) {
        let tenant = w.tenant().await;
        let hosts = [w.host(&tenant, "one").await, w.host(&tenant, "two").await];
        let classes: Vec<_> = class::CLASSES.iter().map(|c| c.class()).collect();
        let items = |from: u32, to: u32| -> Vec<AssetItem> {
            classes.iter().flat_map(|class| (from..to).map(|n| item(*class, n))).collect()
        };
        w.report(&hosts[0], &classes, &items(1, 5)).await;
        w.report(&hosts[1], &classes, &items(3, 8)).await;
        w.report(&hosts[0], &classes, &items(2, 6)).await;
        for class in &classes {
            let values = top(w, &tenant, *class, ValueOrder::Machines).await;
            assert_eq!(values.iter().map(|(.., items)| items).sum::<u64>(), 9, "{class:?}");
            for (value, machines, items) in values {
                let query = exactly(*class, &value);
                let (found, _) = w.list(ListAssetsRequest { app_id: tenant.app_id, query: Some(query), ..Default::default() }).await;
                let on: HashSet<_> = found.iter().map(|asset| asset.host.as_ref().unwrap().machine_id.clone()).collect();
                assert_eq!((on.len() as u64, found.len() as u64), (machines, items), "{class:?} {value:?}");
            }
            assert_eq!(w.count(tenant.app_id, "", *class).await, (9, 2), "{class:?}");
        }
        assert_eq!(w.check(tenant.app_id, true).await.differences, [], "what is picked from an item is what is stored");
        let (db, scope) = (&w.db().await, scope(&tenant));
        let id = Uuid::parse_str(&hosts[1].id).unwrap();
        while db.write(&scope, |tx| async move { remove::machine(&tx, db.registry(), id, 7).await }).await.unwrap() == 0 {}
        assert_eq!(w.check(tenant.app_id, true).await.differences, []);
        for class in &classes {
            assert_eq!(w.count(tenant.app_id, "", *class).await, (4, 1), "{class:?}");
        }
        db.close().await;
    }
}
