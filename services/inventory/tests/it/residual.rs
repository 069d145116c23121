//! Every condition of every query leaves something out, also alone, and nothing that meets it.

use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::CLASSES;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};

use crate::fixture::{Which, everything, item, narrowed, varied};
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
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET).unwrap();
    let outer = pool.get_message_by_name("cwpp.inventory.v1.AssetQuery").unwrap();
    let whole = AssetQuery { query: Some(narrowed(&everything(class))) };
    let whole = DynamicMessage::decode(outer.clone(), &whole.encode_to_vec()[..]).unwrap();
    let (of_class, inner) = whole.fields().next().unwrap();
    let inner = inner.as_message().unwrap();
    let mut queries = Vec::new();
    for field in inner.descriptor().fields() {
        // What drives and orders has tests of its own, and so has what no database compares.
        if field.containing_oneof().is_some_and(|oneof| oneof.name() == "driving")
            || ["order", "version_below"].contains(&field.name())
        {
            continue;
        }
        assert!(inner.has_field(&field), "{class:?} is asked for no {}", field.name());
        let mut one = DynamicMessage::new(inner.descriptor());
        one.set_field(&field, inner.get_field(&field).into_owned());
        let mut query = DynamicMessage::new(outer.clone());
        query.set_field(&of_class, Value::Message(one));
        queries.push((field.name().to_owned(), AssetQuery::decode(&query.encode_to_vec()[..]).unwrap()));
    }
    queries
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
}
