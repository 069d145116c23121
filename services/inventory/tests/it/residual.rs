//! Every condition of every query leaves something out, also alone, and nothing that meets it; so does a driving filter
//! together with the twin of another.

use std::sync::LazyLock;

use cwpp_access::mask::Mask;
use cwpp_contracts::common::v1::{Page, StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::CLASSES;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage, Value};

use crate::fixture::{Which, everything, item, narrowed, questions, varied};
use crate::world::*;

/// An item that differs from item 1 in whatever can be asked for; where a time is asked for, it is later.
fn other(class: AssetClass) -> AssetItem {
    let AssetItem { item: Some(item) } = varied(class, Which { n: 4, steady: 1, volatile: (1 << 20) + 1 }) else {
        unreachable!("an item")
    };
    let item = match item {
        Item::Account(a) => Item::Account(Account { interactive: false, enabled: None, ..a }),
        Item::SystemPackage(p) => {
            Item::SystemPackage(SystemPackage { kind: PackageKind::Rpm.into(), version: "2".into(), ..p })
        }
        Item::Resource(r) => Item::Resource(Resource { kind: ResourceKind::DiskPartition.into(), ..r }),
        Item::ListeningPort(p) => Item::ListeningPort(ListeningPort { protocol: TransportProtocol::Udp.into(), ..p }),
        Item::Process(p) => Item::Process(Process { package_name: String::new(), ..p }),
        Item::DatabaseInstance(d) => Item::DatabaseInstance(DatabaseInstance { kind: DatabaseKind::Redis.into(), ..d }),
        Item::WebSite(s) => Item::WebSite(WebSite { protocol: WebProtocol::Https.into(), ..s }),
        Item::StartupService(s) => Item::StartupService(StartupService { kind: StartupKind::SysvInit.into(), ..s }),
        Item::EnvironmentVariable(v) => {
            Item::EnvironmentVariable(EnvironmentVariable { scope: VariableScope::System.into(), ..v })
        }
        same => same,
    };
    AssetItem { item: Some(item) }
}

/// As [`other`], with earlier times.
fn earlier(class: AssetClass) -> AssetItem {
    let mut item = varied(class, Which { n: 0, steady: 1, volatile: 0 });
    let long_ago = Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 });
    match item.item.as_mut().unwrap() {
        Item::Account(a) => a.last_login_time = long_ago,
        Item::ListeningPort(p) => p.start_time = long_ago,
        Item::Process(p) => p.start_time = long_ago,
        _ => {}
    }
    item
}

/// The residual conditions of a class's query, each alone, by name.
fn alone(class: AssetClass) -> Vec<(String, AssetQuery)> {
    let inner = reflect(&narrowed(&everything(class)));
    let mut queries = Vec::new();
    for field in inner.descriptor().fields() {
        // What drives and orders has tests of its own, and so has what no database compares.
        if drives(&field) || ["order", "version_below"].contains(&field.name()) {
            continue;
        }
        assert!(inner.has_field(&field), "{class:?} is asked for no {}", field.name());
        let mut one = DynamicMessage::new(inner.descriptor());
        one.set_field(&field, inner.get_field(&field).into_owned());
        queries.push((field.name().to_owned(), AssetQuery { query: Some(query(class, one)) }));
    }
    queries
}

/// The contracts, read once: fields of two readings are not the same.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap());

/// A message of the contract, to be read by the names of its fields.
fn dynamic(name: &str, message: &impl Message) -> DynamicMessage {
    let of = POOL.get_message_by_name(&format!("cwpp.inventory.v1.{name}")).unwrap();
    DynamicMessage::decode(of, &message.encode_to_vec()[..]).unwrap()
}

/// The message of a class within that of all classes.
fn inner(whole: &DynamicMessage) -> DynamicMessage {
    whole.fields().next().unwrap().1.as_message().unwrap().clone()
}

fn reflect(query: &Query) -> DynamicMessage {
    inner(&dynamic("AssetQuery", &AssetQuery { query: Some(query.clone()) }))
}

fn query(class: AssetClass, inner: DynamicMessage) -> Query {
    let mut whole = dynamic("AssetQuery", &AssetQuery { query: Some(everything(class)) });
    let (of_class, _) = whole.fields().next().map(|(field, value)| (field, value.clone())).unwrap();
    whole.set_field(&of_class, Value::Message(inner));
    AssetQuery::decode(&whole.encode_to_vec()[..]).unwrap().query.unwrap()
}

fn drives(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| oneof.name() == "driving")
}

/// The driving filters of a class that has several, in the order of the message.
fn several(class: AssetClass) -> Vec<FieldDescriptor> {
    let fields: Vec<_> = reflect(&everything(class)).descriptor().fields().filter(drives).collect();
    if fields.len() < 2 { Vec::new() } else { fields }
}

/// The residual twin of a driving filter.
fn twin(field: &FieldDescriptor) -> FieldDescriptor {
    let name = format!("also_{}", field.name());
    field.parent_message().get_field_by_name(&name).unwrap_or_else(|| panic!("{} has no twin", field.full_name()))
}

fn text_of(value: &Value) -> Option<StringMatch> {
    value.as_message().map(|by| StringMatch::decode(&by.encode_to_vec()[..]).unwrap())
}

fn with_text(value: &Value, how: Option<How>) -> Value {
    let by = StringMatch { how }.encode_to_vec();
    Value::Message(DynamicMessage::decode(value.as_message().unwrap().descriptor(), &by[..]).unwrap())
}

/// A driving filter and the twin of another.
pub(crate) struct Pair {
    pub(crate) query: Query,
    /// The index of the filter that drives.
    pub(crate) index: &'static str,
    /// What the fields of an item have to be.
    fields: [(String, Value); 2],
}

/// Every driving filter of a class beside the twin of every other, by each way to compare.
pub(crate) fn pairs(class: AssetClass) -> Vec<Pair> {
    let mut driving = Vec::new();
    for (query, index) in questions(class) {
        let query = reflect(&query);
        let found = query.fields().find(|(field, _)| drives(field)).map(|(field, value)| (field, value.clone()));
        driving.extend(found.map(|(field, value)| (field, value, index)));
    }
    let mut pairs = Vec::new();
    for (first, by, index) in &driving {
        for (second, value, _) in driving.iter().filter(|(second, ..)| second != first) {
            let mut values = vec![value.clone()];
            if let Some(StringMatch { how: Some(How::Prefix(text)) }) = text_of(value) {
                values.push(with_text(value, Some(How::Contains(text[1..text.len() - 1].to_owned()))));
            }
            for value in values {
                let mut both = DynamicMessage::new(first.parent_message().clone());
                both.set_field(first, by.clone());
                both.set_field(&twin(second), value.clone());
                let fields = [(first.name().to_owned(), by.clone()), (second.name().to_owned(), value)];
                pairs.push(Pair { query: query(class, both), index, fields });
            }
        }
    }
    pairs
}

/// Says whether a field of an item is as a filter wants it.
fn meets(item: &AssetItem, (name, wanted): &(String, Value)) -> bool {
    let item = inner(&dynamic("AssetItem", item));
    let value = item.get_field_by_name(name).unwrap();
    match text_of(wanted).map(|by| by.how.unwrap()) {
        None => *value == *wanted,
        Some(How::Exact(text)) => value.as_str().unwrap() == text,
        Some(How::Prefix(text)) => value.as_str().unwrap().starts_with(&text),
        Some(How::Contains(text)) => value.as_str().unwrap().contains(&text),
    }
}

/// The value of a field of item 1, and others that are like it.
fn alike(item: &DynamicMessage, name: &str) -> Vec<Value> {
    match item.get_field_by_name(name).unwrap().into_owned() {
        Value::String(text) => {
            let others = [format!("{text}-x"), format!("x-{text}"), text.to_uppercase(), "none".to_owned()];
            [text].into_iter().chain(others).map(Value::String).collect()
        }
        Value::U32(n) => vec![Value::U32(n), Value::U32(n + 1)],
        Value::EnumNumber(n) => vec![Value::EnumNumber(n), Value::EnumNumber(n + 1)],
        other => panic!("{name} is {other:?}"),
    }
}

/// Items with every combination of values alike item 1's in the fields of two driving filters. On one machine no value of
/// either comes twice, since one of them may be the natural key.
fn combined(class: AssetClass, [first, second]: [&str; 2]) -> Vec<(usize, AssetItem)> {
    let one = inner(&dynamic("AssetItem", &item(class, 1)));
    let (firsts, seconds) = (alike(&one, first), alike(&one, second));
    let machines = firsts.len().max(seconds.len());
    let mut items = Vec::new();
    for (i, a) in firsts.iter().enumerate() {
        for (k, b) in seconds.iter().enumerate() {
            let mut whole =
                dynamic("AssetItem", &varied(class, Which { n: 10 + items.len() as u32, ..Which::default() }));
            let (of_class, mut own) = whole.fields().next().map(|(field, _)| (field, inner(&whole))).unwrap();
            own.set_field_by_name(first, a.clone());
            own.set_field_by_name(second, b.clone());
            whole.set_field(&of_class, Value::Message(own));
            items.push(((i + k) % machines, AssetItem::decode(&whole.encode_to_vec()[..]).unwrap()));
        }
    }
    items
}

both! {
    async fn every_condition_alone_finds_what_meets_it_and_leaves_the_rest_out(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let classes: Vec<AssetClass> = CLASSES.iter().map(|c| c.class()).collect();
        let items: Vec<_> = classes.iter().flat_map(|c| [item(*c, 1), other(*c), earlier(*c)]).collect();
        w.report(&host, &classes, &items).await;
        let mut conditions = 0;
        for class in classes {
            for (name, query) in alone(class) {
                let request = ListAssetsRequest { query: Some(query), ..ask(tenant.app_id, everything(class)) };
                let found: Vec<_> = w.list(request).await.0.into_iter().map(|asset| asset.item.unwrap()).collect();
                assert!(found.contains(&item(class, 1)), "{class:?}.{name} does not find item 1");
                assert!(found.len() < 3, "{class:?}.{name} leaves nothing out");
                conditions += 1;
            }
        }
        assert!(conditions > 40, "{conditions} conditions");
    }

    async fn what_belongs_to_no_package_is_found(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let class = AssetClass::Process;
        w.report(&host, &[class], &[item(class, 1), other(class)]).await;
        let query = asset_query::Query::Process(ProcessQuery { packaged: Some(false), ..Default::default() });
        let (found, _) = w.list(ask(tenant.app_id, query)).await;
        assert_eq!(found.into_iter().map(|asset| asset.item.unwrap()).collect::<Vec<_>>(), [other(class)]);
    }

    async fn two_driving_filters_find_what_meets_both(w: World) {
        let tenant = w.tenant().await;
        let classes: Vec<AssetClass> = CLASSES.iter().map(|c| c.class()).filter(|c| !several(*c).is_empty()).collect();
        let mut items: Vec<(AssetClass, usize, AssetItem)> = Vec::new();
        for class in &classes {
            let fields = several(*class);
            let [first, second] = &fields[..] else { panic!("{class:?} has more than two driving filters") };
            let combined = combined(*class, [first.name(), second.name()]);
            items.extend(combined.into_iter().map(|(machine, item)| (*class, machine, item)));
        }
        for machine in 0..5 {
            let host = w.host(&tenant, &format!("web-{machine}")).await;
            let own: Vec<_> = items.iter().filter(|(_, on, _)| *on == machine).map(|(.., item)| item.clone()).collect();
            w.report(&host, &classes, &own).await;
        }
        let told = |items: Vec<AssetItem>| {
            let mut texts: Vec<_> = items.iter().map(|item| format!("{item:?}")).collect();
            texts.sort();
            texts
        };
        for class in &classes {
            for Pair { query, fields, .. } in pairs(*class) {
                let of_class: Vec<_> = items.iter().filter(|(of, ..)| of == class).map(|(.., item)| item).collect();
                let [first, second] = fields.each_ref().map(|f| of_class.iter().map(|item| meets(item, f)).collect::<Vec<_>>());
                let both = of_class.iter().zip(first.iter().zip(&second));
                let wanted: Vec<_> = both.clone().filter(|(_, (a, b))| **a && **b).map(|(item, _)| (*item).clone()).collect();
                assert!(!wanted.is_empty(), "{query:?}");
                assert!(both.clone().any(|(_, (a, b))| *a && !b) && both.clone().any(|(_, (a, b))| !a && *b), "{query:?}");
                for descending in [false, true] {
                    let page = Some(Page { page_size: 1, ..Default::default() });
                    let request = ListAssetsRequest { page, descending, ..ask(tenant.app_id, query.clone()) };
                    let (found, pages) = w.list(request).await;
                    assert_eq!(pages, wanted.len(), "{query:?}");
                    let found = found.into_iter().map(|asset| asset.item.unwrap()).collect();
                    assert_eq!(told(found), told(wanted.clone()), "{query:?}");
                }
            }
        }
        assert_eq!(classes.len(), 7, "{classes:?}");
    }

    async fn what_is_wrong_with_a_twin_is_named(w: World) {
        let tenant = w.tenant().await;
        for class in CLASSES {
            for Pair { query: both, fields: [_, (name, value)], .. } in pairs(class.class()) {
                let path = format!("query.{}.also_{name}", class.name());
                let wrong = match (text_of(&value), &value) {
                    (Some(_), _) => vec![
                        (with_text(&value, None), path.clone()),
                        (with_text(&value, Some(How::Exact("x".repeat(256)))), format!("{path}.exact")),
                        (with_text(&value, Some(How::Prefix(String::new()))), format!("{path}.prefix")),
                        (with_text(&value, Some(How::Prefix("x".repeat(256)))), format!("{path}.prefix")),
                        (with_text(&value, Some(How::Contains("ab".into()))), format!("{path}.contains")),
                    ],
                    (None, Value::EnumNumber(_)) => vec![(Value::EnumNumber(98), path)],
                    // Of numbers none is wrong.
                    _ => continue,
                };
                for (value, path) in wrong {
                    let mut both = reflect(&both);
                    both.set_field_by_name(&format!("also_{name}"), value);
                    assert_eq!(fields(w.page(ask(tenant.app_id, query(class.class(), both))).await), [path]);
                }
            }
        }
    }
}

#[test]
fn a_twin_is_as_personal_as_its_driving_filter() {
    let mut twins = 0;
    for class in CLASSES {
        for field in several(class.class()) {
            let twin = twin(&field);
            assert_eq!(twin.options(), field.options(), "{}", twin.full_name());
            let is_personal = |name: &str, value: &Value| {
                let mut one = DynamicMessage::new(field.parent_message().clone());
                one.set_field_by_name(name, value.clone());
                ask(1, query(class.class(), one)).personal().is_some()
            };
            let asked = questions(class.class()).into_iter().map(|(asked, _)| reflect(&asked));
            let value = asked.filter(|asked| asked.has_field(&field)).map(|asked| asked.get_field(&field).into_owned());
            for value in value {
                assert_eq!(is_personal(twin.name(), &value), is_personal(field.name(), &value), "{}", twin.full_name());
                twins += 1;
            }
        }
    }
    assert!(twins > 14, "{twins} twins");
}
