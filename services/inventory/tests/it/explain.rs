//! Each order and driving filter reads an index that spells it: nothing is sorted.

use cwpp_chassis::Violations;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::{CLASSES, of_query};
use cwpp_inventory::asset::query::ask;
use cwpp_inventory::asset::unread;
use cwpp_inventory::keyset::{Cursor, List, Of};
use cwpp_inventory::machine::{os_name, query, tag, tag_count};
use cwpp_storage::{Db, Dialect};
use sea_orm::sea_query::SelectStatement;
use sea_orm::{ConnectionTrait, QueryResult, Statement, StatementBuilder};
use uuid::Uuid;

use crate::fixture::{Which, narrowed, questions, varied};
use crate::residual::pairs;
use crate::world::*;

/// Asks the database how it would read a page.
pub(crate) async fn explain(db: &Db, tenant: &Tenant, select: SelectStatement) -> String {
    let (dialect, select) = (db.dialect(), &select);
    let scope = scope(tenant);
    let plan = db.write(&scope, |tx| async move {
        let Statement { sql, values, .. } = StatementBuilder::build(select, &dialect.backend());
        let values = values.map(|values| values.0).unwrap_or_default();
        let statement = Statement::from_sql_and_values(dialect.backend(), dialect.explain(&sql), values);
        let text =
            |row: &QueryResult| row.try_get::<String>("", "EXPLAIN").or_else(|_| row.try_get::<String>("", "detail"));
        let rows = tx.query_all_raw(statement).await?;
        Ok(rows.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
    });
    plan.await.unwrap()
}

/// Spells a list of assets for this tenant.
async fn spell(db: &Db, tenant: &Tenant, query: &Query, machines: Option<Vec<Uuid>>) -> List {
    spell_on(db, tenant, query, None, machines).await
}

/// As [`spell`], on the machines of a filter and of what was first seen lately.
async fn spell_on(
    db: &Db,
    tenant: &Tenant,
    query: &Query,
    hosts: Option<&HostFilter>,
    machines: Option<Vec<Uuid>>,
) -> List {
    let mut violations = Violations::new();
    let lately = hosts.map(|_| timestamp(noon() - chrono::TimeDelta::days(1)));
    let asked = ask(Some(query), hosts, (lately, None), false, &mut violations).unwrap();
    violations.finish().unwrap();
    let (asked, machines) = (&asked, &machines);
    db.write(&scope(tenant), |tx| async move { Ok(asked.list(&tx, machines.as_deref())) }).await.unwrap()
}

/// A place within a list, taken from its rows, so that no plan is made short by a contradiction.
async fn middle(db: &Db, tenant: &Tenant, list: &List) -> Option<Cursor> {
    let scope = scope(tenant);
    let page = db.write(&scope, |tx| async move { list.page(&tx, None, 2).await }).await;
    page.unwrap().1
}

/// Checks a list in both directions.
async fn check(db: &Db, tenant: &Tenant, list: &List, index: &str, what: &str) {
    check_one(db, tenant, list, index, what).await;
    let backwards = List { descending: true, ..list.clone() };
    check_one(db, tenant, &backwards, index, &format!("{what}, backwards")).await;
}

async fn check_one(db: &Db, tenant: &Tenant, list: &List, index: &str, what: &str) {
    let cursor = middle(db, tenant, list).await;
    // Absent values come behind the others then: SQLite reads those by the parts of an OR and sorts them.
    let may_be_absent = list.descending && list.order.iter().any(|by| by.of == Of::Time);
    // No machine is offline here; every other list goes on.
    assert!(cursor.is_some() || what.starts_with("ListMachinesRequest"), "{what} has no second page");
    let cursor = cursor.as_ref();
    // SQLite names the index of a primary key itself.
    let index = if index == "PRIMARY" && db.dialect() == Dialect::Sqlite { "sqlite_autoindex" } else { index };
    for (cursor, edge) in [(None, None), (cursor, None), (None, cursor)] {
        // SQLite reads up to an edge by the parts of its OR and sorts them, which are 10,000 rows at most.
        if (edge.is_some() || may_be_absent && cursor.is_some()) && db.dialect() == Dialect::Sqlite {
            continue;
        }
        let mut statements = vec![list.rows(cursor, edge, 51)];
        if list.residual.is_some() {
            statements.push(list.edge(cursor));
        }
        for statement in statements {
            let plan = explain(db, tenant, statement).await;
            assert!(plan.contains(index), "{what}: {plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{what}: {plan}");
        }
    }
}

both! {
    async fn every_filter_and_order_reads_its_index_in_order(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let classes: Vec<AssetClass> = CLASSES.iter().map(|c| c.class()).collect();
        let mut ids = Vec::new();
        for tenant in [&tenant, &neighbour] {
            for n in 0..6 {
                let host = w.host(tenant, &format!("web-{n}")).await;
                let varied = |class, n| varied(class, Which { n, steady: n % 20 / 2, volatile: 0 });
                let items: Vec<_> = classes.iter().flat_map(|c| (0..60).map(|i| varied(*c, i))).collect();
                w.report(&host, &classes, &items).await;
                ids.push(Uuid::parse_str(&host.id).unwrap());
            }
        }
        ids.truncate(6);
        let tagged = |id: &Uuid| MachineTags { machine_id: id.to_string(), tags: ["bare", "blue", "by"].map(Into::into).to_vec() };
        let request = SetTagsRequest { app_id: tenant.app_id, machines: ids.iter().map(tagged).collect() };
        w.machines.set_tags(request).await.unwrap();
        let machines = ["machine", "machine_liveness", "machine_tag", "machine_tag_count", "machine_address"];
        for table in machines.into_iter().chain(CLASSES.iter().map(|c| c.table())) {
            w.analyze(table).await;
        }
        for id in &ids {
            let host = Host { app_id: tenant.app_id, id: id.to_string() };
            w.unread(&host, &[], &[(AssetClass::JarPackage, "no right"), (AssetClass::Process, "no right")]).await.unwrap();
        }
        w.analyze("asset_unread").await;
        let db = w.db().await;
        let linux = HostFilter { os_type: OsType::Linux.into(), ..Default::default() };
        let mut spelled = std::collections::BTreeSet::new();
        for (query, index) in classes.iter().flat_map(|c| questions(*c)) {
            spelled.insert(index.to_owned());
            let list = spell(&db, &tenant, &query, None).await;
            check(&db, &tenant, &list, index, &format!("{query:?}")).await;
            let residual = narrowed(&query);
            let list = spell(&db, &tenant, &residual, None).await;
            check(&db, &tenant, &list, index, &format!("{residual:?}")).await;
            let list = spell_on(&db, &tenant, &query, Some(&linux), None).await;
            check(&db, &tenant, &list, index, &format!("{query:?} on Linux, lately")).await;
            let list = spell(&db, &tenant, &query, Some(ids.clone())).await;
            check(&db, &tenant, &list, index, &format!("{query:?} on some machines")).await;
            // One machine's rows are few enough to be sorted, and no other machine's are read.
            let list = spell(&db, &tenant, &query, Some(ids[..1].to_vec())).await;
            let plan = explain(&db, &tenant, list.rows(None, None, 51)).await;
            // SQLite takes no hint, and walks the range of the filter where it thinks that this costs less.
            let walks = db.dialect() == Dialect::Sqlite && plan.contains(index);
            assert!(walks || plan.contains("PRIMARY") || plan.contains("machine_id=?"), "{query:?} on one machine: {plan}");
        }
        for pair in classes.iter().flat_map(|c| pairs(*c)) {
            let list = spell(&db, &tenant, &pair.query, None).await;
            check(&db, &tenant, &list, pair.index, &format!("{:?}", pair.query)).await;
            let list = spell(&db, &tenant, &pair.query, Some(ids.clone())).await;
            check(&db, &tenant, &list, pair.index, &format!("{:?} on some machines", pair.query)).await;
        }
        for class in CLASSES {
            for order in class.orders() {
                assert!(spelled.contains(order.index), "{} is asked for by no query of this test", order.index);
            }
            let query = everything(class.class());
            assert_eq!(of_query(&query).class(), class.class());
            let named = |ids: &[Uuid]| HostFilter {
                machine_ids: ids.iter().map(Uuid::to_string).collect(),
                ..Default::default()
            };
            // Named machines, also with what was first seen on them, and those of a system, few or many.
            let asked = [
                (Some(&ids[..1]), None),
                (Some(&ids), None),
                (Some(&ids), Some(named(&ids))),
                (Some(&ids), Some(linux.clone())),
                (None, Some(linux.clone())),
            ];
            for (machines, hosts) in asked {
                let is_by_machine = hosts.as_ref().is_none_or(|hosts| !hosts.machine_ids.is_empty());
                let list = spell_on(&db, &tenant, &query, hosts.as_ref(), machines.map(<[Uuid]>::to_vec)).await;
                let plan = explain(&db, &tenant, list.rows(middle(&db, &tenant, &list).await.as_ref(), None, 51)).await;
                assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{class:?}: {plan}");
                assert!(
                    !is_by_machine || plan.contains("PRIMARY") || plan.contains("machine_id=?"),
                    "{class:?} on machines: {plan}"
                );
            }
        }

        let drives = |filter| ListMachinesRequest { filter: Some(filter), ..Default::default() };
        let requests = [
            (ListMachinesRequest::default(), "machine_created"),
            (ListMachinesRequest { order: MachineOrder::Name.into(), ..Default::default() }, "machine_name"),
            (drives(Filter::Name(exact("web-1"))), "machine_name"),
            (drives(Filter::Name(prefix("web"))), "machine_name"),
            (drives(Filter::IpAddress(exact("10.1.2.3"))), "machine_ip_address"),
            (drives(Filter::IpAddress(prefix("10."))), "machine_ip_address"),
            (drives(Filter::InstanceId(exact("i-1"))), "machine_instance_id"),
            (drives(Filter::InstanceId(prefix("i-"))), "machine_instance_id"),
            (drives(Filter::Tag("blue".into())), "machine_tag_tag"),
            (drives(Filter::AnyIpAddress("2001:db8::1".into())), "machine_address_address"),
            (drives(Filter::MachineIds(MachineIdentifiers { values: ids.iter().map(Uuid::to_string).collect() })), "PRIMARY"),
            (drives(Filter::Quuids(MachineIdentifiers { values: vec!["web-1".into(), "web-5".into()] })), "machine_quuid"),
        ];
        type Also = fn(&mut ListMachinesRequest);
        let residuals: [Also; 14] = [
            |_| {},
            |r| r.agent_state = AgentState::Online.into(),
            |r| r.agent_state = AgentState::Offline.into(),
            |r| r.agent_state = AgentState::Uninstalled.into(),
            |r| r.instance_state = Some(InstanceState::Running.into()),
            |r| r.machine_type = MachineType::Other.into(),
            |r| r.os_type = OsType::Linux.into(),
            |r| r.os_name = Some(prefix("Debian")),
            |r| (r.provider, r.region) = (Some("aws".into()), Some(String::new())),
            |r| r.created_after = Some(timestamp(noon())),
            |r| r.cpu_load = LoadBucket::UpTo20.into(),
            |r| r.memory_load = LoadBucket::Unknown.into(),
            |r| r.disk_load = LoadBucket::UpTo100.into(),
            |r| {
                r.agent_state = AgentState::Online.into();
                r.cpu_load = LoadBucket::UpTo50.into();
                r.os_type = OsType::Linux.into();
            },
        ];
        for (request, index) in requests {
            for also in residuals {
                let mut request = request.clone();
                also(&mut request);
                let plan = query::plan(&request, &mut Violations::new());
                let plan = &plan;
                let list = db.write(&scope(&tenant), |tx| async move { Ok(query::list(&tx, plan, noon())) }).await.unwrap();
                check(&db, &tenant, &list, index, &format!("{request:?}")).await;
            }
        }
        let tags = [
            (ListTagsRequest::default(), "PRIMARY"),
            (ListTagsRequest { tag: Some(prefix("b")), ..Default::default() }, "PRIMARY"),
            (ListTagsRequest { order: TagOrder::Machines.into(), ..Default::default() }, "machine_tag_count_machines"),
        ];
        for (request, index) in tags {
            let (range, order) = &tag_count::plan(&request, &mut Violations::new());
            let list = db.write(&scope(&tenant), |tx| async move { Ok(tag_count::list(&tx, range, *order)) }).await.unwrap();
            check(&db, &tenant, &list, index, &format!("{request:?}")).await;
        }
        for by in [None, Some(prefix("Deb"))] {
            let chosen = os_name::chosen(&ListOsNamesRequest { os_name: by, ..Default::default() }, &mut Violations::new());
            for after in [None, Some("Debian")] {
                let plan = explain(&db, &tenant, os_name::list(&scope(&tenant), &chosen, after, 51)).await;
                assert!(plan.contains("machine_os_name") && !plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
            }
        }
        let tagged = explain(&db, &tenant, tag::machines(&scope(&tenant), "blue", Uuid::nil(), 100)).await;
        assert!(tagged.contains("machine_tag_tag") && !tagged.contains("Sort") && !tagged.contains("TEMP B-TREE"), "{tagged}");
        for (class, index) in [(None, "PRIMARY"), (Some(AssetClass::JarPackage as i16), "asset_unread_class")] {
            let list = db.write(&scope(&tenant), |tx| async move { Ok(unread::list(&tx, class)) }).await.unwrap();
            check(&db, &tenant, &list, index, &format!("unread {class:?}")).await;
        }
        db.close().await;
    }
}
