//! What holds for every class: a suite that is written once and run over the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{MachineScopeKind, Page, Sensitivity};
use cwpp_contracts::configuration::v1::{ClassCollection, CollectionSettings};
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::CLASSES;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, ReflectMessage, Value};
use uuid::Uuid;

use crate::fixture::{Which, item, narrowed, nonsense, questions, varied};
use crate::policy::put;
use crate::world::*;

fn every_class() -> Vec<AssetClass> {
    CLASSES.iter().map(|c| c.class()).collect()
}

/// Puts a secret into every text that the contract labels so, and into the links of plugins; notes where.
fn with_secrets(item: &AssetItem, places: &mut BTreeSet<String>) -> AssetItem {
    fn fill(message: &mut DynamicMessage, privacy: &ExtensionDescriptor, places: &mut BTreeSet<String>) {
        for field in message.descriptor().fields().collect::<Vec<_>>() {
            let options = field.options();
            let label = options.get_extension(privacy);
            let label = label.as_message().unwrap().get_field_by_name("sensitivity").unwrap().as_enum_number();
            let is_secret = label == Some(Sensitivity::Secret as i32) || field.name() == "link";
            match message.get_field_mut(&field) {
                Value::Message(part) => fill(part, privacy, places),
                Value::List(parts) => {
                    for part in parts {
                        if let Value::Message(part) = part {
                            fill(part, privacy, places);
                        }
                    }
                }
                Value::String(text) if is_secret => {
                    *text = "app --password=hunter2 https://bob:hunter2@example.org".into();
                    places.insert(field.full_name().to_owned());
                }
                _ => {}
            }
        }
    }
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    let privacy = pool.get_extension_by_name("cwpp.common.v1.privacy").unwrap();
    let whole = pool.get_message_by_name("cwpp.inventory.v1.AssetItem").unwrap();
    let mut whole = DynamicMessage::decode(whole, &item.encode_to_vec()[..]).unwrap();
    // Only what is set: the one class of the item.
    let (class, _) = whole.fields().next().map(|(field, value)| (field, value.clone())).unwrap();
    let Value::Message(inner) = whole.get_field_mut(&class) else { unreachable!("a class") };
    fill(inner, &privacy, places);
    AssetItem::decode(&whole.encode_to_vec()[..]).unwrap()
}

/// The item in another container, empty for the host itself; none where a container is not part of the class's key.
fn within(item: &AssetItem, container: &str) -> Option<AssetItem> {
    // A process is told by its number, which the host gives.
    if class_of(item) == AssetClass::Process {
        return None;
    }
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    let whole = pool.get_message_by_name("cwpp.inventory.v1.AssetItem").unwrap();
    let mut whole = DynamicMessage::decode(whole, &item.encode_to_vec()[..]).unwrap();
    let (class, _) = whole.fields().next().map(|(field, value)| (field, value.clone())).unwrap();
    let Value::Message(inner) = whole.get_field_mut(&class) else { unreachable!("a class") };
    inner.try_set_field_by_name("container_id", Value::String(container.to_owned())).ok()?;
    Some(AssetItem::decode(&whole.encode_to_vec()[..]).unwrap())
}

fn sorted(items: impl IntoIterator<Item = AssetItem>) -> Vec<String> {
    let mut texts: Vec<String> = items.into_iter().map(|i| format!("{i:?}")).collect();
    texts.sort();
    texts
}

both! {
    async fn every_item_comes_back_as_it_was_sent(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let classes = every_class();
        let items: Vec<_> = classes.iter().flat_map(|c| (0..7).map(|n| item(*c, n))).collect();
        for result in w.report(&host, &classes, &items).await {
            assert_eq!((result.added, result.clipped), (7, 0), "{result:?}");
        }
        for class in classes {
            let stored = w.stored(&host, class).await;
            let own = items.iter().filter(|i| class_of(i) == class).cloned();
            assert_eq!(sorted(stored.into_iter().map(|a| a.item.unwrap())), sorted(own), "{class:?}");
            assert_eq!(w.count(tenant.app_id, &host.id, class).await, (7, 1), "{class:?}");
            assert_eq!(w.count(tenant.app_id, "", class).await, (7, 1), "{class:?}");
        }
    }

    async fn what_is_in_another_container_is_another_asset(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let without_port = |item: AssetItem| match item.item {
            Some(Item::DatabaseInstance(database)) => {
                AssetItem { item: Some(Item::DatabaseInstance(DatabaseInstance { port: 0, ..database })) }
            }
            same => AssetItem { item: same },
        };
        let of_class = |class| match class {
            AssetClass::DatabaseInstance => vec![item(class, 1), without_port(item(class, 1))],
            _ => vec![item(class, 1)],
        };
        let (mut items, mut classes) = (Vec::new(), BTreeSet::new());
        for one in every_class().into_iter().flat_map(of_class) {
            let boxes = ["", "a", &"b".repeat(64)].map(|container| within(&one, container));
            items.extend(boxes.into_iter().flatten());
        }
        classes.extend(items.iter().map(class_of));
        let classes: Vec<_> = classes.into_iter().collect();
        assert_eq!(classes.len(), 8, "{classes:?}");
        for result in w.report(&host, &classes, &items).await {
            let of_class = items.iter().filter(|item| class_of(item) as i32 == result.asset_class).count();
            assert_eq!((result.added as usize, result.clipped), (of_class, 0), "{result:?}");
        }
    }

    async fn a_volatile_field_alone_is_no_change_and_a_steady_one_is(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let classes = every_class();
        let report = |steady, volatile| classes.iter().map(|c| varied(*c, Which { n: 3, steady, volatile })).collect::<Vec<_>>();
        w.report(&host, &classes, &report(0, 0)).await;
        for result in w.report(&host, &classes, &report(0, 1)).await {
            assert_eq!((result.added, result.changed, result.removed, result.unchanged), (0, 0, 0, 1), "{result:?}");
        }
        for result in w.report(&host, &classes, &report(1, 2)).await {
            assert_eq!((result.added, result.changed, result.removed, result.unchanged), (0, 1, 0, 0), "{result:?}");
        }
        for class in &classes {
            // A change takes the volatile fields along.
            let stored = w.stored(&host, *class).await.remove(0).item.unwrap();
            assert_eq!(stored, varied(*class, Which { n: 3, steady: 1, volatile: 2 }));
        }
        for result in w.report(&host, &classes, &[]).await {
            assert_eq!((result.added, result.removed), (0, 1), "{result:?}");
        }
    }

    async fn a_login_and_used_space_do_not_grow_old(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let classes = [AssetClass::Account, AssetClass::Resource];
        let day = 86_400;
        let items = |login: i64, used: u64| {
            let mut items = classes.map(|class| varied(class, Which { n: 3, steady: 0, volatile: 0 }));
            for item in &mut items {
                match item.item.as_mut().unwrap() {
                    Item::Account(a) => a.last_login_time = Some(prost_types::Timestamp { seconds: 20_000 * day + login, nanos: 0 }),
                    Item::Resource(r) => r.used_bytes = Some(used),
                    _ => unreachable!(),
                }
            }
            items
        };
        let changed = async |items: &[AssetItem]| w.report(&host, &classes, items).await.iter().map(|r| r.changed).collect::<Vec<_>>();
        w.report(&host, &classes, &items(0, 1 << 33)).await;
        // Within a day, and within a sixteenth, it is left alone.
        assert_eq!(changed(&items(day - 1, (1 << 33) + (1 << 29))).await, [0, 0]);
        let later = items(day, (1 << 33) + (1 << 30));
        assert_eq!(changed(&later).await, [1, 1]);
        for (class, item) in classes.into_iter().zip(later) {
            assert_eq!(w.stored(&host, class).await.remove(0).item, Some(item));
        }
    }

    async fn every_filter_finds_its_item_and_every_order_leads_through_all(w: World) {
        let tenant = w.tenant().await;
        let classes = every_class();
        for name in ["web-1", "web-2"] {
            let host = w.host(&tenant, name).await;
            let items: Vec<_> = classes.iter().flat_map(|c| (0..5).map(|n| item(*c, n))).collect();
            w.report(&host, &classes, &items).await;
            w.clock.advance(Duration::from_secs(1));
        }
        for class in classes {
            for (query, index) in questions(class) {
                for query in [query.clone(), narrowed(&query)] {
                    let request = ListAssetsRequest { page: Some(Page { page_size: 3, ..Default::default() }), ..ask(tenant.app_id, query.clone()) };
                    let (rows, _) = w.list(request).await;
                    let hosts: BTreeSet<_> = rows.iter().map(|a| a.host.as_ref().unwrap().machine_id.clone()).collect();
                    assert_eq!(hosts.len(), 2, "{index} {query:?}");
                    let found: Vec<_> = rows.iter().filter(|a| a.item.as_ref() == Some(&item(class, 1))).collect();
                    assert_eq!(found.len(), 2, "{index} {query:?} finds item 1 on each machine once");
                    let mut all: Vec<_> = rows.iter().map(|a| format!("{a:?}")).collect();
                    all.sort();
                    all.dedup();
                    assert_eq!(all.len(), rows.len(), "{index} {query:?}: no row comes twice");
                }
                if format!("{query:?}").contains("driving: None") {
                    let (rows, _) = w.list(ListAssetsRequest { page: Some(Page { page_size: 3, ..Default::default() }), ..ask(tenant.app_id, query.clone()) }).await;
                    assert_eq!(rows.len(), 10, "{index}: an order leads through all");
                    let (mut backwards, _) = w.list(ListAssetsRequest { page: Some(Page { page_size: 3, ..Default::default() }), descending: true, ..ask(tenant.app_id, query) }).await;
                    backwards.reverse();
                    assert_eq!(backwards, rows, "{index}: backwards");
                }
            }
        }
    }

    async fn every_wrong_field_is_named_and_nothing_is_written(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        for class in every_class() {
            let (bad, wrong) = nonsense(class);
            let items = [item(class, 0), bad];
            let offers = offers(&[class], &items);
            let token = w.negotiate(&host, offers.clone()).await.unwrap().report_token;
            let refused = w.send(messages(&host, &token, offers, &items)).await;
            let name = class.as_str_name().trim_start_matches("ASSET_CLASS_").to_lowercase();
            let wanted: Vec<_> = wrong.iter().map(|f| format!("items[1].{name}.{f}")).collect();
            let (mut got, mut wanted) = (fields(refused), wanted);
            got.sort();
            wanted.sort();
            assert_eq!(got, wanted, "{class:?}");
            assert_eq!(w.count(tenant.app_id, "", class).await, (0, 0), "{class:?}");
        }
    }

    async fn two_items_of_one_key_are_refused(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        for class in every_class() {
            let items = [item(class, 0), varied(class, Which { steady: 5, ..Which::default() })];
            let offers = offers(&[class], &items);
            let token = w.negotiate(&host, offers.clone()).await.unwrap().report_token;
            assert_eq!(reason(w.send(messages(&host, &token, offers, &items)).await), Reason::DuplicateItem, "{class:?}");
        }
    }

    async fn a_report_that_is_cut_or_short_or_old_changes_nothing(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        for class in every_class() {
            let items = [item(class, 0), item(class, 1)];
            let offers = offers(&[class], &items);
            let token = async || w.negotiate(&host, offers.clone()).await.unwrap().report_token;
            let old = token().await;
            let whole = messages(&host, &old, offers.clone(), &items);
            for end in 1..whole.len() {
                assert_eq!(reason(w.send(whole[..end].to_vec()).await), Reason::StreamIncomplete, "{class:?} {end}");
            }
            let more = offers.iter().map(|offer| ClassDigest { items: 3, ..offer.clone() }).collect();
            let refused = w.send(messages(&host, &old, more, &items)).await;
            assert_eq!(reason(refused), Reason::ItemCountMismatch, "{class:?}");
            assert_eq!(w.count(tenant.app_id, "", class).await, (0, 0), "{class:?}");

            w.clock.advance(Duration::from_secs(1));
            let new = token().await;
            w.send(messages(&host, &new, offers.clone(), &items)).await.unwrap();
            let fewer = [item(class, 0)];
            let refused = w.send(messages(&host, &old, self::offers(&[class], &fewer), &fewer)).await;
            assert_eq!(reason(refused), Reason::ReportTokenStale, "{class:?}");
            assert_eq!(w.count(tenant.app_id, "", class).await, (2, 1), "{class:?}");
        }
    }

    async fn every_class_can_be_switched_off(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let classes = every_class();
        let items: Vec<_> = classes.iter().map(|class| item(*class, 0)).collect();
        let offered = offers(&classes, &items);
        let token = w.negotiate(&host, offered.clone()).await.unwrap().report_token;
        let off = |class: &AssetClass| ClassCollection { asset_class: (*class).into(), ..Default::default() };
        let settings = CollectionSettings { classes: classes.iter().map(off).collect() };
        put(w, &tenant, Uuid::now_v7(), (MachineScopeKind::All, &[]), settings, 1).await;
        let decisions = w.negotiate(&host, offered.clone()).await.unwrap().decisions;
        assert!(decisions.len() == classes.len() && decisions.iter().all(|d| d.decision() == Decision::Disabled));
        let refused = w.send(messages(&host, &token, offered, &items)).await;
        assert_eq!(reason(refused.clone()), Reason::CollectionDisabled);
        assert_eq!(fields(refused).len(), classes.len());
    }

    async fn all_classes_together_have_a_cap(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let offers = |items: [u32; 4]| -> Vec<ClassDigest> {
            let offer = |(class, items): (AssetClass, u32)| ClassDigest { asset_class: class.into(), digest: vec![1; 32], items, found: 0 };
            every_class().into_iter().zip(items).map(offer).collect()
        };
        assert_eq!(fields(w.negotiate(&host, offers([30_000, 30_000, 30_000, 10_001])).await), ["classes"]);
        assert!(w.negotiate(&host, offers([30_000, 30_000, 30_000, 10_000])).await.is_ok());
    }

    async fn a_report_over_the_cap_of_a_class_is_refused_before_it_is_sent(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        for class in every_class() {
            let offer = ClassDigest { asset_class: class.into(), digest: vec![1; 32], items: 30_001, found: 0 };
            assert_eq!(fields(w.negotiate(&host, vec![offer]).await), ["classes[0].items"], "{class:?}");
        }
    }

    async fn no_secret_is_stored_wherever_the_contract_knows_of_one(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let classes = every_class();
        let mut places = BTreeSet::new();
        let items: Vec<_> = classes.iter().map(|class| with_secrets(&item(*class, 1), &mut places)).collect();
        assert!(places.len() >= 8, "{places:?}");
        w.report(&host, &classes, &items).await;
        for class in classes {
            for asset in w.stored(&host, class).await {
                assert!(!format!("{asset:?}").contains("hunter2"), "{asset:?}");
            }
        }
    }

    async fn command_lines_are_redacted_again_and_cut(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let Some(Item::Process(process)) = item(AssetClass::Process, 0).item else { unreachable!() };
        let Some(Item::ScheduledTask(task)) = item(AssetClass::ScheduledTask, 0).item else { unreachable!() };
        let long = format!("app --password=hunter2 {}", "ä".repeat(4096));
        let items = [
            Item::Process(Process { command_line: long, ..process }),
            Item::ScheduledTask(ScheduledTask { command: "curl -u bob:hunter2 https://example.org".into(), ..task }),
        ].map(|item| AssetItem { item: Some(item) });
        let results = w.report(&host, &[AssetClass::Process, AssetClass::ScheduledTask], &items).await;
        assert_eq!(results.iter().map(|r| r.clipped).collect::<Vec<_>>(), [1, 0]);
        let stored = w.stored(&host, AssetClass::Process).await.remove(0).item;
        let Some(Item::Process(process)) = stored.unwrap().item else { panic!("no process") };
        assert!(process.command_line.starts_with("app --password=*** ä") && process.command_line.len() <= 4096);
        let stored = w.stored(&host, AssetClass::ScheduledTask).await.remove(0).item;
        let Some(Item::ScheduledTask(task)) = stored.unwrap().item else { panic!("no task") };
        assert_eq!(task.command, "curl -u bob:*** https://example.org");
    }
}
