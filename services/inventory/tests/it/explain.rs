//! Each order and driving filter reads an index that spells it: nothing is sorted.

use cwpp_chassis::Violations;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::{CLASSES, of_query};
use cwpp_inventory::asset::query::ask;
use cwpp_inventory::keyset::{Cursor, List, Mark, Of};
use cwpp_inventory::machine::store;
use cwpp_storage::{Db, Dialect};
use sea_orm::sea_query::SelectStatement;
use sea_orm::{ConnectionTrait, QueryResult, Statement, StatementBuilder};
use uuid::Uuid;

use crate::world::*;

/// Asks the database how it would read a page.
async fn explain(db: &Db, tenant: &Tenant, select: SelectStatement) -> String {
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
    let mut violations = Violations::new();
    let asked = ask(Some(query), None, &mut violations).unwrap();
    violations.finish().unwrap();
    let (asked, machines) = (&asked, &machines);
    db.write(&scope(tenant), |tx| async move { Ok(asked.list(&tx, machines.as_deref())) }).await.unwrap()
}

fn middle(list: &List, machine: Uuid) -> Cursor {
    let text = match list.index {
        Some("asset_account_name") => "u001",
        Some("machine_name") => "web-1",
        Some("machine_ip_address") => "10.1.2.3",
        _ => "p001",
    };
    let mark = |of| match of {
        Of::Text => Mark::Text(text.into()),
        Of::Unsigned => Mark::Number(1001),
        Of::Time => Mark::Micros(noon().timestamp_micros()),
        Of::Key => Mark::Key(Uuid::from_u128(7)),
    };
    // A machine of the list, so that no plan is made short by a contradiction.
    list.order.iter().map(|by| if by.column == "machine_id" { Mark::Key(machine) } else { mark(by.of) }).collect()
}

async fn check(db: &Db, (tenant, machine): (&Tenant, Uuid), list: &List, index: &str, what: &str) {
    let cursor = middle(list, machine);
    for (cursor, edge) in [(None, None), (Some(&cursor), None), (None, Some(&cursor))] {
        // SQLite reads up to an edge by the parts of its OR and sorts them, which are 10,000 rows at most.
        if edge.is_some() && db.dialect() == Dialect::Sqlite {
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
        let mut ids = Vec::new();
        for tenant in [&tenant, &neighbour] {
            for n in 0..6 {
                let host = w.host(tenant, &format!("web-{n}")).await;
                let mut items: Vec<_> = (0..150).map(|i| package(&format!("p{i:03}"), "1")).collect();
                items.extend((0..60).map(|i| account(&format!("u{i:03}"), 1000 + i)));
                w.report(&host, &[AssetClass::Account, AssetClass::SystemPackage], &items).await;
                ids.push(Uuid::parse_str(&host.id).unwrap());
            }
        }
        ids.truncate(6);
        for table in ["machine", "machine_liveness", "asset_account", "asset_system_package"] {
            w.analyze(table).await;
        }
        let db = w.db().await;
        let by = |how| Some(system_package_query::Driving::Name(how));
        let named = |how| Some(account_query::Driving::Name(how));
        let mut queries: Vec<(Query, &str)> = vec![
            (Query::SystemPackage(SystemPackageQuery { driving: by(exact("p001")), ..Default::default() }), "asset_system_package_name"),
            (Query::SystemPackage(SystemPackageQuery { driving: by(prefix("p0")), ..Default::default() }), "asset_system_package_name"),
            (Query::Account(AccountQuery { driving: named(exact("u001")), ..Default::default() }), "asset_account_name"),
            (Query::Account(AccountQuery { driving: named(prefix("u0")), ..Default::default() }), "asset_account_name"),
            (Query::Account(AccountQuery { driving: Some(account_query::Driving::Uid(1001)), ..Default::default() }), "asset_account_uid"),
        ];
        let orders = ["first_seen", "name", "installed"];
        let indexes = orders.map(|o| format!("asset_system_package_{o}"));
        for (order, index) in [1, 2, 3].into_iter().zip(&indexes) {
            queries.push((Query::SystemPackage(SystemPackageQuery { order, ..Default::default() }), index));
        }
        for (order, index) in [(1, "asset_account_first_seen"), (2, "asset_account_name"), (3, "asset_account_uid")] {
            queries.push((Query::Account(AccountQuery { order, ..Default::default() }), index));
        }
        let mut spelled = std::collections::BTreeSet::new();
        for (query, index) in &queries {
            spelled.insert((*index).to_owned());
            let list = spell(&db, &tenant, query, None).await;
            check(&db, (&tenant, ids[3]), &list, index, &format!("{query:?}")).await;
            let residual = match query {
                Query::SystemPackage(q) => Query::SystemPackage(SystemPackageQuery { version: "1".into(), kind: 2, ..q.clone() }),
                Query::Account(q) => Query::Account(AccountQuery { sudo: Some(true), ..q.clone() }),
            };
            let list = spell(&db, &tenant, &residual, None).await;
            check(&db, (&tenant, ids[3]), &list, index, &format!("{residual:?}")).await;
            let list = spell(&db, &tenant, query, Some(ids.clone())).await;
            check(&db, (&tenant, ids[3]), &list, index, &format!("{query:?} on some machines")).await;
            // One machine's rows are few enough to be sorted, and no other machine's are read.
            let list = spell(&db, &tenant, query, Some(ids[..1].to_vec())).await;
            let plan = explain(&db, &tenant, list.rows(None, None, 51)).await;
            assert!(plan.contains("PRIMARY") || plan.contains("machine_id=?"), "{query:?} on one machine: {plan}");
        }
        for class in CLASSES {
            for order in class.orders() {
                assert!(spelled.contains(order.index), "{} is asked for by no query of this test", order.index);
            }
            let query = everything(class.class());
            assert_eq!(of_query(&query).class(), class.class());
            for machines in [&ids[..1], &ids] {
                let list = spell(&db, &tenant, &query, Some(machines.to_vec())).await;
                let plan = explain(&db, &tenant, list.rows(Some(&middle(&list, machines[0])), None, 51)).await;
                assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{class:?}: {plan}");
            }
        }

        let requests = [
            (ListMachinesRequest::default(), "machine_created"),
            (ListMachinesRequest { order: MachineOrder::Name.into(), ..Default::default() }, "machine_name"),
            (ListMachinesRequest { filter: Some(Filter::Name(exact("web-1"))), ..Default::default() }, "machine_name"),
            (ListMachinesRequest { filter: Some(Filter::Name(prefix("web"))), ..Default::default() }, "machine_name"),
            (ListMachinesRequest { filter: Some(Filter::IpAddress(prefix("10."))), ..Default::default() }, "machine_ip_address"),
        ];
        for (request, index) in requests {
            for state in [AgentState::Unspecified, AgentState::Online, AgentState::Offline] {
                let plan = store::plan(&request, &mut Violations::new());
                let plan = &plan;
                let list = db.write(&scope(&tenant), |tx| async move { Ok(store::list(&tx, plan, state, noon())) }).await.unwrap();
                check(&db, (&tenant, ids[3]), &list, index, &format!("{request:?} {state:?}")).await;
            }
        }
        db.close().await;
    }
}
