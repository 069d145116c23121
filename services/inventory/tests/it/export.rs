//! Exports: all rows that a query chooses, in parts, and no longer than the tenant allows.

use std::collections::BTreeSet;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{Page, TenantState};
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::*;
use prost::Message;
use tonic::Streaming;

use crate::world::*;

const PACKAGES: [AssetClass; 1] = [AssetClass::SystemPackage];

async fn export(w: &World, tenant: &Tenant, query: SystemPackageQuery) -> Streaming<ExportAssetsResponse> {
    let query = Some(AssetQuery { query: Some(Query::SystemPackage(query)) });
    let request = ExportAssetsRequest { app_id: tenant.app_id, query, ..Default::default() };
    w.assets.clone().export_assets(request).await.unwrap().into_inner()
}

/// Reports half a hundred thousand packages of two machines.
async fn fill(w: &World, tenant: &Tenant) {
    for name in ["web-1", "web-2"] {
        let host = w.host(tenant, name).await;
        let items: Vec<_> = (0..25_000).map(|n| package(&format!("p{n:05}"), &format!("{}", n % 7))).collect();
        w.report(&host, &PACKAGES, &items).await;
    }
}

both! {
    async fn fifty_thousand_rows_come_in_parts_of_a_thousand_each_once(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        fill(w, &tenant).await;
        w.report(&w.host(&neighbour, "web-1").await, &PACKAGES, &[package("not-mine", "1")]).await;
        let all = SystemPackageQuery { order: SystemPackageOrder::Name.into(), ..Default::default() };
        // The other question holds for a seventh of the rows, and looks at all of them.
        let some = SystemPackageQuery { version: "3".into(), ..Default::default() };
        for (query, wanted, sorted) in [(all, 50_000, true), (some, 2 * 3_571, false)] {
            let mut parts = export(w, &tenant, query).await;
            let (mut seen, mut names) = (BTreeSet::new(), Vec::new());
            while let Some(part) = parts.message().await.unwrap() {
                assert!(part.assets.len() <= 1000);
                for asset in part.assets {
                    let Some(Item::SystemPackage(p)) = asset.item.unwrap().item else { panic!("no package") };
                    assert_ne!(p.name, "not-mine");
                    assert!(seen.insert((asset.host.unwrap().name, p.name.clone())), "{} comes twice", p.name);
                    names.push(p.name);
                }
            }
            assert_eq!(seen.len(), wanted);
            assert!(!sorted || names.is_sorted());
        }
    }

    async fn an_export_that_ended_early_goes_on_behind_the_part_that_was_had(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let host = w.host(&tenant, "web-1").await;
        let items: Vec<_> = (0..3_500).map(|n| package(&format!("p{n:05}"), "1")).collect();
        w.report(&host, &PACKAGES, &items).await;
        let all = |page_token: String| {
            let query = Some(AssetQuery { query: Some(Query::SystemPackage(SystemPackageQuery::default())) });
            ExportAssetsRequest { app_id: tenant.app_id, query, page_token, ..Default::default() }
        };
        let (mut seen, mut token, mut streams) = (BTreeSet::new(), String::new(), 0);
        loop {
            // Each stream is left after its first part.
            streams += 1;
            let part = w.assets.export_assets(all(token)).await.unwrap().into_inner().message().await.unwrap().unwrap();
            for asset in part.assets {
                assert!(seen.insert(asset.asset_id), "nothing comes twice");
            }
            token = part.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((seen.len(), streams), (3_500, 4));
        let first = w.assets.export_assets(all(String::new())).await.unwrap().into_inner().message().await.unwrap().unwrap();
        let token = first.next_page_token;
        let other = ExportAssetsRequest { descending: true, ..all(token.clone()) };
        let foreign = ExportAssetsRequest { app_id: neighbour.app_id, ..all(token.clone()) };
        for wrong in [other, foreign, all("x".into())] {
            assert_eq!(reason(w.assets.export_assets(wrong).await.map(|_| ())), Reason::PageTokenInvalid);
        }
        let list = ListAssetsRequest { page: Some(Page { page_size: 0, page_token: token }), ..ask(tenant.app_id, Query::SystemPackage(SystemPackageQuery::default())) };
        assert_eq!(reason(w.page(list).await), Reason::PageTokenInvalid, "it opens no list");
    }

    async fn rows_of_a_machine_with_many_tags_come_in_messages_that_clients_take(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let tags = MachineTags { machine_id: host.id.clone(), tags: (10..60).map(|n| format!("{n}{}", "标".repeat(61))).collect() };
        w.machines.clone().set_tags(SetTagsRequest { app_id: tenant.app_id, machines: vec![tags] }).await.unwrap();
        let items: Vec<_> = (0..900).map(|n| package(&format!("p{n:05}"), "1")).collect();
        w.report(&host, &PACKAGES, &items).await;
        let mut parts = export(w, &tenant, SystemPackageQuery::default()).await;
        let (mut seen, mut messages) = (BTreeSet::new(), 0);
        while let Some(part) = parts.message().await.unwrap() {
            assert!(part.encoded_len() < 4 << 20);
            messages += 1;
            seen.extend(part.assets.into_iter().map(|asset| asset.asset_id));
        }
        assert!(messages > 1, "all of it is more than one message");
        let page = Some(Page { page_size: 1000, ..Default::default() });
        let (rows, pages) = w.list(ListAssetsRequest { page, ..ask(tenant.app_id, Query::SystemPackage(SystemPackageQuery::default())) }).await;
        assert_eq!((seen.len(), rows.len(), pages), (900, 900, messages));
    }

    async fn rows_as_large_as_they_may_be_come_one_a_message(w: World) {
        let tenant = w.tenant().await;
        let class = AssetClass::WebSite;
        for name in ["web-1", "web-2"] {
            let AssetItem { item: Some(Item::WebSite(site)) } = crate::fixture::item(class, 1) else { unreachable!() };
            let text = || "x".repeat(1000);
            let path = |_| WebSitePath { virtual_path: text(), real_path: text(), owner: text(), group: text(), permission: text() };
            let site = WebSite { paths: (0..500).map(path).collect(), ..site };
            w.report(&w.host(&tenant, name).await, &[class], &[AssetItem { item: Some(Item::WebSite(site)) }]).await;
        }
        let query = Some(AssetQuery { query: Some(Query::WebSite(WebSiteQuery::default())) });
        let request = ExportAssetsRequest { app_id: tenant.app_id, query, ..Default::default() };
        let mut parts = w.assets.clone().export_assets(request).await.unwrap().into_inner();
        for _ in 0..2 {
            assert_eq!(parts.message().await.unwrap().unwrap().assets.len(), 1);
        }
        assert_eq!(parts.message().await.unwrap(), None);
    }

    async fn an_export_ends_when_the_tenant_is_sealed(w: World) {
        let tenant = w.tenant().await;
        fill(w, &tenant).await;
        let mut parts = export(w, &tenant, SystemPackageQuery::default()).await;
        let mut rows = parts.message().await.unwrap().unwrap().assets.len();
        w.fence(&tenant, TenantState::Sealed).await;
        // What was on its way already still comes; nothing is read any more.
        let ended = loop {
            match parts.message().await {
                Ok(Some(part)) => rows += part.assets.len(),
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        assert_eq!(reason::<()>(Err(ended.expect("it does not end as if it were whole"))), Reason::TenantFenced);
        assert!(rows < 50_000, "{rows} rows");
    }
}
