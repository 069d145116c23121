//! The check of the counts: it finds what is wrong, mends it once, and finds nothing where nothing is wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use cwpp_contracts::inventory::v1::count_difference::Of;
use cwpp_contracts::inventory::v1::{AssetClass, CheckAssetCountsRequest, CountDifference, CountedClass};
use cwpp_inventory::asset::class::by_number;
use cwpp_inventory::asset::{count, fold};
use cwpp_storage::Tenanted;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, Statement};

use crate::world::*;

const CLASSES: [AssetClass; 2] = [AssetClass::Account, AssetClass::SystemPackage];

both! {
    async fn wrong_counts_are_found_and_mended_once(w: World) {
        let calm = w.replica(|config| config.counts.fold_interval = std::time::Duration::from_secs(3600)).await;
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let db = w.db().await;
        let system = cwpp_access::SystemScope::job(cwpp_access::Job::Harness);
        let mut hosts = Vec::new();
        for tenant in [&tenant, &tenant, &neighbour] {
            let host = calm.host(tenant, &format!("host-{}", hosts.len())).await;
            calm.report(&host, &CLASSES, &[account("alice", 1), package("a", "1"), package("a", "2"), package("b", "1")]).await;
            hosts.push(host);
        }
        assert_eq!(calm.check(tenant.app_id, true).await, Default::default(), "nothing is wrong");
        fold::once(&db, &system).await.unwrap();
        calm.report(&hosts[0], &CLASSES[1..], &[package("a", "1"), package("c", "1")]).await;
        assert_eq!(calm.check(tenant.app_id, true).await.total, 0, "nor with something pending");

        // What a fault may do: counts without their rows, a value lost, one too many, a machine's own count wrong.
        let scope = scope(&tenant);
        db.write(&scope, |tx| async move {
            let backend = tx.get_database_backend();
            for sql in [
                "UPDATE asset_class_count SET items = items + 5, machines = machines - 1 WHERE app_id = ? AND asset_class = 16",
                "UPDATE asset_day_count SET items = items - 2 WHERE app_id = ? AND asset_class = 16",
                "DELETE FROM asset_value_count WHERE app_id = ? AND asset_class = 16 AND value = 'a'",
                "UPDATE asset_snapshot SET items = items + 7 WHERE app_id = ? AND asset_class = 2",
            ] {
                tx.execute_raw(Statement::from_sql_and_values(backend, sql, [tx.app_id().get().into()])).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let found = calm.check(tenant.app_id, false).await;
        assert!(!found.repaired);
        let machine = |host: &Host| CountDifference { asset_class: 2, of: Some(Of::MachineId(host.id.clone())), items: -7, machines: 0 };
        let package = |of, items, machines| CountDifference { asset_class: 16, of: Some(of), items, machines };
        let mut wanted = vec![machine(&hosts[0]), machine(&hosts[1])];
        wanted.sort_by_key(|d| format!("{:?}", d.of));
        wanted.extend([
            package(Of::Whole(CountedClass {}), -5, 1),
            package(Of::Day("2026-03-02".into()), 2, 0),
            package(Of::Value("a".into()), 4, 2),
        ]);
        assert_eq!(found.differences, wanted);
        let of_class = async |asset_class: i32| {
            let request = CheckAssetCountsRequest { app_id: tenant.app_id, asset_class, ..Default::default() };
            calm.assets.clone().check_asset_counts(request).await.map(|answer| answer.into_inner().differences)
        };
        assert_eq!(of_class(16).await.unwrap(), wanted[2..]);
        assert_eq!(of_class(1).await.unwrap(), []);
        assert_eq!(fields(of_class(99).await), ["asset_class"]);
        assert_eq!(found.total, 5);

        // Two checks at once mend it once.
        let class = by_number(16).unwrap();
        let seen = count::check::check(&db, &scope, class).await.unwrap();
        let mended = calm.check(tenant.app_id, true).await;
        assert_eq!((mended.differences, mended.repaired), (wanted, true));
        let late = count::check::repair(&db, &scope, class, &seen).await.unwrap_err();
        assert_eq!(late.reason(), cwpp_chassis::Reason::Conflict);
        for _ in 0..2 {
            assert_eq!(calm.check(tenant.app_id, true).await.total, 0);
            fold::once(&db, &system).await.unwrap();
        }
        assert_eq!(calm.count(tenant.app_id, "", AssetClass::SystemPackage).await, (5, 2));
        assert_eq!(calm.count(tenant.app_id, &hosts[1].id, AssetClass::Account).await, (1, 1));
        assert_eq!(calm.check(neighbour.app_id, false).await.total, 0);
        let negative = db.read(&scope, |read| async move {
            Ok(count::value::Entity::of(&read).filter(count::value::Column::MachinesNegated.gte(0)).all(&read).await?.len())
        });
        assert_eq!(negative.await.unwrap(), 0, "no value without a machine");
        db.close().await;
        calm.end().await;
    }

    async fn a_check_finds_nothing_while_reports_and_folds_go_on(w: World) {
        let tenant = w.tenant().await;
        let db = w.db().await;
        let mut hosts = Vec::new();
        for n in 0..4 {
            hosts.push(w.host(&tenant, &format!("host-{n}")).await);
        }
        let done = AtomicBool::new(false);
        let (w, db, done, tenant) = (&*w, &db, &done, &tenant);
        let reports = async {
            for round in 0..8u32 {
                let report = |(n, host)| async move {
                    let items: Vec<_> = (0..40).map(|i| package(&format!("p{}", (i * 7 + round * 3 + n as u32) % 60), "1")).collect();
                    let mut seen = std::collections::BTreeSet::new();
                    let items: Vec<_> = items.into_iter().filter(|i| seen.insert(format!("{i:?}"))).collect();
                    w.report(host, &CLASSES[1..], &items).await;
                };
                futures::future::join_all(hosts.iter().enumerate().map(report)).await;
            }
            done.store(true, Ordering::SeqCst);
        };
        let checks = async {
            let mut checks = 0;
            while !done.load(Ordering::SeqCst) {
                assert_eq!(w.check(tenant.app_id, false).await.differences, []);
                checks += 1;
            }
            checks
        };
        let folds = async {
            let system = cwpp_access::SystemScope::job(cwpp_access::Job::Harness);
            while !done.load(Ordering::SeqCst) {
                fold::once(db, &system).await.unwrap();
            }
        };
        let ((), checks, ()) = tokio::join!(reports, checks, folds);
        assert!(checks > 0);
        assert_eq!(w.check(tenant.app_id, false).await.total, 0);
        db.close().await;
    }
}
