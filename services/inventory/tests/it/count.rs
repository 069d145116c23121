//! Counts are exact at any time, folded or not.

use cwpp_access::{Job, SystemScope};
use cwpp_contracts::inventory::v1::{AssetClass, AssetItem};
use cwpp_inventory::asset::{count, fold};

use crate::world::*;

fn some(seed: u64, round: u64) -> Vec<AssetItem> {
    let number = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round * 1_442_695_040_888_963_407) >> 59;
    (0..number).map(|n| package(&format!("p{}", n + round), "1")).collect()
}

both! {
    async fn counts_are_exact_after_any_reports_whether_folded_or_not(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let other = w.host(&neighbour, "other").await;
        w.report(&other, &[AssetClass::SystemPackage], &some(9, 9)).await;
        let mut hosts = Vec::new();
        for n in 0..6 {
            hosts.push(w.host(&tenant, &format!("host-{n}")).await);
        }
        let db = w.db().await;
        let system = SystemScope::job(Job::Harness);
        let folder = tokio::spawn({
            let (db, system) = (db.clone(), system.clone());
            async move {
                loop {
                    fold::once(&db, &system).await.unwrap();
                    tokio::time::sleep(std::time::Duration::from_millis(7)).await;
                }
            }
        });
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
        }
        folder.abort();
        let _ = folder.await;
        fold::once(&db, &system).await.unwrap();
        let (total, _) = w.count(tenant.app_id, "", AssetClass::SystemPackage).await;
        let mut stored = 0;
        for host in &hosts {
            let items = w.stored(host, AssetClass::SystemPackage).await.len() as u64;
            assert_eq!(w.count(tenant.app_id, &host.id, AssetClass::SystemPackage).await, (items, 1));
            stored += items;
        }
        assert_eq!(total, stored);
        assert_eq!(w.count(tenant.app_id, "", AssetClass::Account).await, (0, 0), "also those with none");
        let pending = db.system_read(&system, |read| async move { count::tenants(&read).await }).await.unwrap();
        assert!(pending.is_empty(), "all is folded");
        db.close().await;
    }
}
