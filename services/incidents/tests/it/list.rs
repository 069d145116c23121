//! Listing incidents: every driving filter, in order, page by page, by an index.

use std::time::Duration;

use chrono::TimeDelta;
use cwpp_access::{AppId, Job, SystemScope, TenantScope};
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{Page, ProcessingStatus, Severity};
use cwpp_contracts::incidents::v1::list_incidents_request::Filter;
use cwpp_contracts::incidents::v1::*;
use cwpp_incidents::incident::entity;
use cwpp_incidents::incident::store::{self, Cursor, Driver};
use cwpp_storage::{Db, Tenanted};
use sea_orm::{ConnectionTrait, IntoActiveModel, QueryResult, QueryTrait, Statement};

use crate::peer::{Peer, office};
use crate::world::*;

/// Fills a tenant with 12 incidents of cracking on two machines, one of which is critical.
async fn fill(w: &World, tenant: &Tenant) -> [Spool; 2] {
    let mut spools = [tenant.spool(), tenant.spool()];
    for spool in &mut spools {
        for source in 1..=6 {
            w.send(spool, guesses(&format!("203.0.113.{source}"), "root", source * 100, 12)).await;
        }
    }
    w.send(&mut spools[0], vec![accept("203.0.113.1", "root", 1000)]).await;
    spools
}

fn ask(tenant: &Tenant, filter: Option<Filter>) -> ListIncidentsRequest {
    ListIncidentsRequest { app_id: tenant.app_id, filter, ..Default::default() }
}

fn sized(mut request: ListIncidentsRequest, page_size: i32) -> ListIncidentsRequest {
    request.page = Some(Page { page_size, page_token: String::new() });
    request
}

both! {
    async fn every_driver_lists_its_own_in_order_page_by_page(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let spools = fill(w, &tenant).await;
        fill(w, &neighbour).await;
        let all = w.all(&tenant).await;
        assert_eq!(all.len(), 12);
        let times: Vec<_> = all.iter().map(|incident| incident.last_time.unwrap().seconds).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        for incident in &all[..3] {
            assert_eq!(w.set(&tenant, &incident.incident_id, ProcessingStatus::Resolved).await, "");
        }
        let all = w.all(&tenant).await;
        type Holds = fn(&Incident, &str) -> bool;
        let cases: [(Filter, Holds, usize); 4] = [
            (Filter::MachineId(spools[0].machine_id.clone()), |i, machine| i.machine_id == machine, 6),
            (Filter::SourceAddress("::ffff:203.0.113.4".into()), |i, _| cracking(i).source_address == "203.0.113.4", 2),
            (Filter::Status(ProcessingStatus::Resolved.into()), |i, _| i.status() == ProcessingStatus::Resolved, 3),
            (Filter::Status(ProcessingStatus::Open.into()), |i, _| i.status() == ProcessingStatus::Open, 9),
        ];
        for (filter, holds, number) in cases {
            let expected: Vec<_> = all.iter().filter(|i| holds(i, &spools[0].machine_id)).cloned().collect();
            assert_eq!(expected.len(), number, "{filter:?}");
            for size in [0, 1, 2, 5, 1000] {
                assert_eq!(w.list(sized(ask(&tenant, Some(filter.clone())), size)).await, expected, "{filter:?} by {size}");
            }
        }
        for size in [1, 5, 12] {
            assert_eq!(w.list(sized(ask(&tenant, None), size)).await, all, "all by {size}");
        }
    }

    async fn kinds_and_severities_are_looked_for_among_the_rows(w: World) {
        let peer = Peer::start().await;
        let follower = w.replica(&peer.target()).await;
        let tenant = w.tenant().await;
        peer.tell(&tenant, &office("192.0.2.0/24"));
        peer.followed(w, &tenant, 1).await;
        let spools = fill(w, &tenant).await;
        let all = w.all(&tenant).await;
        assert_eq!(all.len(), 13);
        let kind = |kind: IncidentKind, filter| ListIncidentsRequest { kind: kind.into(), ..ask(&tenant, filter) };
        let machine = || Some(Filter::MachineId(spools[0].machine_id.clone()));
        for size in [1, 3, 50] {
            let list = |request| async { w.list(sized(request, size)).await.len() };
            assert_eq!(list(kind(IncidentKind::AbnormalLogin, None)).await, 1);
            assert_eq!(list(kind(IncidentKind::PasswordCracking, None)).await, 12);
            assert_eq!(list(kind(IncidentKind::AbnormalLogin, machine())).await, 1);
            assert_eq!(list(kind(IncidentKind::PasswordCracking, machine())).await, 6);
            let severe = |severity: Severity| ListIncidentsRequest { minimum_severity: severity.into(), ..ask(&tenant, None) };
            assert_eq!(list(severe(Severity::Critical)).await, 1);
            assert_eq!(list(severe(Severity::Medium)).await, 13);
        }
        follower.end().await;
    }

    async fn a_token_holds_for_its_tenant_its_filter_and_three_days(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        fill(w, &tenant).await;
        fill(w, &neighbour).await;
        let first = w.page(sized(ask(&tenant, None), 5)).await.unwrap();
        let with = |mut request: ListIncidentsRequest, token: &str| {
            request.page = Some(Page { page_size: 5, page_token: token.into() });
            request
        };
        let token = first.next_page_token.as_str();
        let status = Some(Filter::Status(ProcessingStatus::Open.into()));
        for foreign in [
            with(ask(&neighbour, None), token),
            with(ask(&tenant, status), token),
            with(ListIncidentsRequest { kind: 2, ..ask(&tenant, None) }, token),
            with(ask(&tenant, None), "AAAA"),
            with(ask(&tenant, None), &format!("{token}x")),
        ] {
            assert_eq!(reason(w.page(foreign).await), Reason::PageTokenInvalid);
        }
        // Any replica reads it.
        assert_eq!(w.page(with(ask(&tenant, None), token)).await.unwrap().incidents.len(), 5);
        w.clock.advance(Duration::from_secs(73 * 3600));
        assert_eq!(reason(w.page(with(ask(&tenant, None), token)).await), Reason::PageTokenExpired);
    }

    async fn every_wrong_field_of_a_list_is_named_at_once(w: World) {
        let tenant = w.tenant().await;
        let bad = ListIncidentsRequest { kind: 9, minimum_severity: -1, ..ask(&tenant, Some(Filter::MachineId("x".into()))) };
        assert_eq!(fields(w.page(sized(bad, -1)).await), ["kind", "minimum_severity", "machine_id", "page.page_size"]);
        assert_eq!(fields(w.page(ask(&tenant, Some(Filter::SourceAddress("10.0.0.0/8".into())))).await), ["source_address"]);
        for status in [0, 6, 99] {
            assert_eq!(fields(w.page(ask(&tenant, Some(Filter::Status(status)))).await), ["status"]);
        }
        assert_eq!(reason(w.page(ask(&w.nobody(), None)).await), Reason::TenantUnknown);
    }

    async fn every_driver_reads_its_index_in_order(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let db = w.db().await;
        for tenant in [&tenant, &neighbour] {
            many(&db, tenant, 2_000).await;
        }
        w.analyze("incident").await;
        let drivers = [
            (Driver::All, "incident_last"),
            (Driver::Kind(IncidentKind::AbnormalLogin), "incident_kind"),
            (Driver::Machine(uuid::Uuid::from_u128(3)), "incident_machine"),
            (Driver::Source("198.18.0.4".into()), "incident_source"),
            (Driver::Status(ProcessingStatus::Resolved), "incident_status"),
        ];
        let middle = Cursor { last_time: noon().timestamp_micros() + 1_000_000_000, incident_id: uuid::Uuid::from_u128(9) };
        for (driver, index) in &drivers {
            for cursor in [None, Some(middle)] {
                let plan = explain(&db, &tenant, driver, cursor).await;
                assert!(plan.contains(index), "{driver:?}: {plan}");
                let sorts = plan.contains("Sort") || plan.contains("TEMP B-TREE");
                assert!(!sorts, "{driver:?}: {plan}");
            }
        }
        db.close().await;
    }

    async fn a_page_looks_at_ten_thousand_rows_and_is_short_then(w: World) {
        let tenant = w.tenant().await;
        let db = w.db().await;
        many(&db, &tenant, 12_000).await;
        db.close().await;
        let critical = ListIncidentsRequest { minimum_severity: Severity::Critical.into(), ..ask(&tenant, None) };
        let first = w.page(critical.clone()).await.unwrap();
        assert!(first.incidents.is_empty() && !first.next_page_token.is_empty());
        // The only one is the oldest of all.
        assert_eq!(w.list(critical).await.len(), 1);
    }
}

/// Stores so many incidents of a tenant, a second apart; the first alone is critical.
async fn many(db: &Db, tenant: &Tenant, number: i64) {
    let app_id = i64::try_from(tenant.app_id).unwrap();
    let row = |n: i64| {
        let time = noon() + TimeDelta::seconds(n);
        entity::Model {
            app_id,
            incident_id: uuid::Uuid::from_u128(n.unsigned_abs().into()),
            machine_id: uuid::Uuid::from_u128((n % 20).unsigned_abs().into()),
            kind: if n % 10 == 0 { 1 } else { 2 },
            severity: if n == 0 { 5 } else { 3 },
            status: [1, 1, 1, 1, 2, 3, 4][usize::try_from(n % 7).unwrap()],
            subject_key: uuid::Uuid::from_u128(n.unsigned_abs().into()),
            series: n,
            account: "root".into(),
            source_address: format!("198.18.0.{}", n % 50),
            service: "ssh".into(),
            first_time: time,
            last_time: time,
            threshold_time: None,
            attempts: 12,
            accounts: 1,
            cracked: false,
            account_exists: true,
            risky_place: false,
            risky_account: false,
            risky_time: false,
            risky_source: false,
            note: String::new(),
            create_time: time,
            update_time: time,
            version: 1,
        }
    };
    for from in (0..number).step_by(1_000) {
        let rows = || (from..number.min(from + 1_000)).map(|n| row(n).into_active_model()).collect();
        let scope = scope(tenant);
        let insert = db.write(&scope, |tx| async move {
            entity::Entity::insert_all_of(&tx, rows()).await?;
            Ok(())
        });
        insert.await.unwrap();
    }
}

fn scope(tenant: &Tenant) -> TenantScope {
    SystemScope::job(Job::Harness).tenant(AppId::from_request(tenant.app_id).unwrap())
}

/// Asks the database how it would read a page.
async fn explain(db: &Db, tenant: &Tenant, driver: &Driver, cursor: Option<Cursor>) -> String {
    let dialect = db.dialect();
    // A guard for reads refuses what is no SELECT.
    let scope = scope(tenant);
    let plan = db.write(&scope, |tx| async move {
        let Statement { sql, values, .. } = store::list(&tx, driver, cursor, 51).build(dialect.backend());
        let values = values.map(|values| values.0).unwrap_or_default();
        let statement = Statement::from_sql_and_values(dialect.backend(), dialect.explain(&sql), values);
        let text =
            |row: &QueryResult| row.try_get::<String>("", "EXPLAIN").or_else(|_| row.try_get::<String>("", "detail"));
        let rows = tx.query_all_raw(statement).await?;
        Ok(rows.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
    });
    plan.await.unwrap()
}
