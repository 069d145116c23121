//! Lists of values and of changes of accounts read an index that spells them: nothing is sorted.

use std::time::Duration;

use cwpp_access::{Job, SystemScope};
use cwpp_contracts::inventory::v1::{AccountChangeKind, AssetClass};
use cwpp_inventory::asset::count::top::{Filter, Place, Top};
use cwpp_inventory::asset::{account_change, fold};
use cwpp_inventory::keyset::{By, Cursor, Mark, Of};
use cwpp_storage::Dialect;
use uuid::Uuid;

use crate::explain::explain;
use crate::world::*;

/// Says whether a plan reads this index, or a single row.
fn reads(plan: &str, index: &str) -> bool {
    // SQLite calls the primary key by another name.
    plan.contains(index)
        || index == "PRIMARY" && (plan.contains("autoindex") || plan.contains("fetched before execution"))
}

both! {
    async fn values_and_changes_of_accounts_are_read_in_the_order_of_their_indexes(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let mut ids = Vec::new();
        for tenant in [&tenant, &neighbour] {
            for n in 0..3 {
                let host = w.host(tenant, &format!("web-{n}")).await;
                let mut items: Vec<_> = (0..150).map(|i| package(&format!("p{i:03}"), "1")).collect();
                items.extend((0..60).map(|i| account(&format!("u{i:03}"), 1000 + i)));
                w.report(&host, &[AssetClass::Account, AssetClass::SystemPackage], &items).await;
                let items: Vec<_> = (0..60).map(|i| account(&format!("u{i:03}"), 2000 + i)).collect();
                w.report(&host, &[AssetClass::Account], &items).await;
                ids.push(Uuid::parse_str(&host.id).unwrap());
            }
        }
        let db = w.db().await;
        fold::once(&db, &SystemScope::job(Job::Harness)).await.unwrap();
        for table in ["asset_value_count", "account_change"] {
            w.analyze(table).await;
        }
        let place: Place = serde_json::from_str(r#"{"n":-3,"v":"p001"}"#).unwrap();
        for (filter, by_machines, index) in [
            (Filter::All, true, "asset_value_count_machines"),
            (Filter::Prefix("p0".into()), true, "asset_value_count_machines"),
            (Filter::All, false, "PRIMARY"),
            (Filter::Prefix("p0".into()), false, "PRIMARY"),
            // One row, found by its key.
            (Filter::Exact("p001".into()), false, "PRIMARY"),
            (Filter::Contains("001".into()), false, "PRIMARY"),
        ] {
            let top = Top { class: 16, filter, by_machines };
            // One value has nothing after it.
            let places = if matches!(top.filter, Filter::Exact(_)) { vec![None] } else { vec![None, Some(&place)] };
            for place in places {
                let plan = explain(&db, &tenant, top.rows(&scope(&tenant), place, 51)).await;
                assert!(reads(&plan, index), "{top:?}: {plan}");
                assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{top:?}: {plan}");
            }
        }
        for (machine_id, name) in [(None, None), (Some(ids[0]), None), (None, Some("u001")), (Some(ids[0]), Some("u001"))] {
            for (begin, end) in [(None, None), (Some(noon()), Some(noon() + Duration::from_secs(9)))] {
                for kind in [None, Some(AccountChangeKind::Delete)] {
                    let asked = account_change::Asked { machine_id, name: name.map(Into::into), begin, end, kind };
                    let list = asked.list(&scope(&tenant));
                    let of = |by: &By| if by.of == Of::Key { Mark::Key(ids[0]) } else { Mark::Micros(noon().timestamp_micros()) };
                    let cursor: Cursor = list.order.iter().map(of).collect();
                    for statement in [list.rows(None, None, 51), list.rows(Some(&cursor), None, 51), list.edge(Some(&cursor))] {
                        let plan = explain(&db, &tenant, statement).await;
                        // SQLite takes no hint, and of two indexes in the same order may walk the span's own.
                        let spans = db.dialect() == Dialect::Sqlite && begin.is_some() && plan.contains("changed_at>?");
                        assert!(spans || reads(&plan, asked.index()), "{asked:?}: {plan}");
                        assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{asked:?}: {plan}");
                    }
                }
            }
        }
        db.close().await;
    }
}
