//! Values of a class: filters, bad questions, and reads that do not slow down with what is pending.

use std::collections::BTreeMap;
use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{Page, StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::{AssetClass, ListTopValuesRequest, ValueOrder};
use cwpp_inventory::asset::count;

use crate::world::*;

const CLASS: [AssetClass; 1] = [AssetClass::SystemPackage];

fn ask_values(tenant: &Tenant, how: Option<How>, order: ValueOrder) -> ListTopValuesRequest {
    ListTopValuesRequest {
        app_id: tenant.app_id,
        asset_class: CLASS[0].into(),
        value: how.map(|how| StringMatch { how: Some(how) }),
        order: order.into(),
        page: Some(Page { page_size: 2, ..Default::default() }),
    }
}

both! {
    async fn values_are_filtered_and_ordered(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let other = w.host(&neighbour, "other").await;
        w.report(&other, &CLASS, &[package("bash", "1"), package("apt", "9")]).await;
        let reports: [&[&str]; 3] = [&["bash", "libc6", "libz", "Apt"], &["bash", "libc6"], &["bash", "dash", "ba%"]];
        for (n, names) in reports.iter().enumerate() {
            let host = w.host(&tenant, &format!("host-{n}")).await;
            w.report(&host, &CLASS, &names.iter().map(|name| package(name, "1")).collect::<Vec<_>>()).await;
        }
        let names = async |how, order| -> Vec<String> {
            w.top(ask_values(&tenant, how, order)).await.into_iter().map(|(value, ..)| value).collect()
        };
        use ValueOrder::{Machines, Unspecified, Value};
        assert_eq!(names(None, Unspecified).await, ["bash", "libc6", "Apt", "ba%", "dash", "libz"]);
        assert_eq!(names(None, Value).await, ["Apt", "ba%", "bash", "dash", "libc6", "libz"]);
        for order in [Machines, Value] {
            assert_eq!(names(Some(How::Exact("bash".into())), order).await, ["bash"]);
            assert_eq!(names(Some(How::Exact("apt".into())), order).await, Vec::<String>::new(), "not the neighbour's");
            assert_eq!(names(Some(How::Contains("ash".into())), order).await, ["bash", "dash"]);
            assert_eq!(names(Some(How::Prefix("ba%".into())), order).await, ["ba%"], "no sign has a meaning of its own");
        }
        assert_eq!(names(Some(How::Prefix("lib".into())), Machines).await, ["libc6", "libz"]);
        assert_eq!(names(Some(How::Prefix("ba".into())), Value).await, ["ba%", "bash"]);
    }

    async fn wrong_questions_for_values_name_every_field(w: World) {
        let tenant = w.tenant().await;
        let mut request = ask_values(&tenant, Some(How::Contains("ab".into())), ValueOrder::Value);
        request.asset_class = 77;
        request.order = 9;
        request.page = Some(Page { page_size: -1, ..Default::default() });
        let answer = w.assets.clone().list_top_values(request).await;
        let mut named = fields(answer);
        named.sort();
        assert_eq!(named, ["asset_class", "order", "page.page_size", "value.contains"]);
        let mut request = ask_values(&tenant, None, ValueOrder::Value);
        request.page = Some(Page { page_size: 1, page_token: "AAAA".into() });
        assert_eq!(reason(w.assets.clone().list_top_values(request).await), Reason::PageTokenInvalid);
        let unknown = ask_values(&w.nobody(), None, ValueOrder::Value);
        assert_eq!(reason(w.assets.clone().list_top_values(unknown).await), Reason::TenantUnknown);
    }

    async fn a_reader_folds_first_when_much_is_pending(w: World) {
        let calm = w.replica(|config| config.counts.fold_interval = Duration::from_secs(3600)).await;
        let tenant = w.tenant().await;
        let db = w.db().await;
        let weight = async || {
            let top = count::top::Top { class: CLASS[0] as i16, filter: count::top::Filter::All, by_machines: true };
            let top = &top;
            db.read(&crate::world::scope(&tenant), |read| async move { top.is_crowded(&read).await }).await.unwrap()
        };
        let one = count::Count { items: 1, machines: 1 };
        let values = (0..2000).map(|n| (format!("p{n:04}").into(), one)).collect();
        let change = count::Change { total: count::Count { items: 2000, machines: 1 }, values, ..Default::default() };
        let changes = &BTreeMap::from([(CLASS[0] as i16, change)]);
        let (scope, mut reports) = (scope(&tenant), 0);
        while !weight().await {
            db.write(&scope, |tx| async move { count::add(&tx, changes).await }).await.unwrap();
            reports += 1;
        }
        let mut request = ask_values(&tenant, None, ValueOrder::Machines);
        request.page = Some(Page { page_size: 1, ..Default::default() });
        let first = calm.assets.clone().list_top_values(request).await.unwrap().into_inner();
        assert_eq!((first.values[0].value.as_str(), first.values[0].machines), ("p0000", reports));
        assert!(!weight().await, "the reader folded");
        db.close().await;
        calm.end().await;
    }
}
