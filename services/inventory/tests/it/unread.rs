//! Classes that a machine could not read.

use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::*;

use crate::world::*;

/// The classes of a machine that are told as unread, with why and since when.
async fn told(w: &World, host: &Host) -> Vec<(AssetClass, u64, String, i64)> {
    let request = ListAssetCountsRequest { app_id: host.app_id, machine_id: host.id.clone() };
    let counts = w.assets.clone().list_asset_counts(request).await.unwrap().into_inner().counts;
    let unread = counts.into_iter().filter(|c| !c.unread_reason.is_empty());
    unread.map(|c| (c.asset_class(), c.items, c.unread_reason.clone(), c.unread_since_time.unwrap().seconds)).collect()
}

both! {
    async fn a_class_that_was_not_read_is_told_until_it_is_read(w: World) {
        use AssetClass::{Account, KernelModule, SystemPackage};
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (host, other) = (w.host(&tenant, "web-1").await, w.host(&neighbour, "web-1").await);
        w.report(&host, &[SystemPackage], &[package("bash", "5")]).await;
        let first = w.clock.now().timestamp();
        let answer = w.unread(&host, &[], &[(SystemPackage, "rpm: no right"), (KernelModule, "no such file")]).await.unwrap();
        assert!(answer.decisions.is_empty() && !answer.report_token.is_empty());
        let package = |reason: &str| (SystemPackage, 1, reason.to_owned(), first);
        let modules = (KernelModule, 0, "no such file".to_owned(), first);
        assert_eq!(told(w, &host).await, [modules.clone(), package("rpm: no right")], "what was there stays");
        assert_eq!(told(w, &other).await, []);

        // Another reason is no other time; a class that is not named keeps its own.
        w.clock.advance(Duration::from_secs(3600));
        w.unread(&host, &[Account], &[(SystemPackage, "rpm: busy")]).await.unwrap();
        assert_eq!(told(w, &host).await, [modules.clone(), package("rpm: busy")]);
        // Read in part is read, and told all the same.
        w.unread(&host, &[SystemPackage], &[(SystemPackage, "in part")]).await.unwrap();
        assert_eq!(told(w, &host).await, [modules.clone(), package("in part")]);
        w.unread(&host, &[SystemPackage], &[]).await.unwrap();
        assert_eq!(told(w, &host).await, [modules]);
    }

    async fn what_is_wrong_with_unread_classes_is_named(w: World) {
        use AssetClass::{Account, Unspecified};
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let long = "r".repeat(256);
        let wrong = w.unread(&host, &[], &[(Account, "one"), (Account, ""), (Unspecified, &long)]).await;
        let expected = ["unread[1].asset_class", "unread[1].reason", "unread[2].asset_class", "unread[2].reason"];
        assert_eq!(fields(wrong), expected);
        assert_eq!(fields(w.unread(&host, &[], &[(Account, "one"); 17]).await), ["unread"]);
        assert_eq!(fields(w.unread(&host, &[Account; 17], &[]).await), ["classes"]);
        assert_eq!(fields(w.unread(&host, &[], &[]).await), ["classes"]);
        assert_eq!(told(w, &host).await, []);
        let stranger = Host { id: uuid::Uuid::now_v7().to_string(), ..host.clone() };
        assert_eq!(reason(w.unread(&stranger, &[], &[(Account, "one")]).await), Reason::MachineUnknown);
    }

    async fn what_was_left_out_or_cut_is_counted_and_machines_are_listed_by_class(w: World) {
        use AssetClass::{Account, JarPackage, SystemPackage};
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (one, two, other) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await, w.host(&neighbour, "web-1").await);
        let say = async |host: &Host, unread: Vec<UnreadClass>| {
            let request = NegotiateReportRequest { app_id: host.app_id, machine_id: host.id.clone(), unread, ..Default::default() };
            w.assets.clone().negotiate_report(request).await.unwrap();
        };
        let jars = |left_out: u64, cut: u64| UnreadClass { asset_class: JarPackage.into(), reason: "left out: /a.jar: broken".into(), left_out, cut };
        let accounts = || UnreadClass { asset_class: Account.into(), reason: "no right".into(), ..Default::default() };
        say(&one, vec![jars(3, 1), accounts()]).await;
        say(&two, vec![jars(1, 0)]).await;
        say(&other, vec![accounts()]).await;
        let counts = async |machine_id: &str| {
            let request = ListAssetCountsRequest { app_id: tenant.app_id, machine_id: machine_id.into() };
            let counts = w.assets.clone().list_asset_counts(request).await.unwrap().into_inner().counts;
            let of = |class: AssetClass| counts.iter().find(|c| c.asset_class() == class).map(|c| (c.left_out, c.cut)).unwrap();
            [of(JarPackage), of(Account), of(SystemPackage)]
        };
        assert_eq!(counts("").await, [(0, 0); 3]);
        assert_eq!(counts(&one.id).await, [(3, 1), (0, 0), (0, 0)]);
        // Another number alone is taken too.
        say(&one, vec![jars(4, 1)]).await;
        assert_eq!(counts(&one.id).await[0], (4, 1));

        let list = async |asset_class: AssetClass| {
            let (mut rows, mut page_token) = (Vec::new(), String::new());
            loop {
                let page = Some(Page { page_size: 1, page_token });
                let request = ListUnreadClassesRequest { app_id: tenant.app_id, asset_class: asset_class.into(), page };
                let answer = w.assets.clone().list_unread_classes(request).await.unwrap().into_inner();
                for row in answer.unread {
                    let unread = row.unread.unwrap();
                    assert_eq!(row.since_time, Some(timestamp(noon())));
                    rows.push((row.host.unwrap().name, unread.asset_class(), unread.left_out));
                }
                page_token = answer.next_page_token;
                if page_token.is_empty() {
                    return rows;
                }
            }
        };
        let name = |n: u8| format!("web-{n}");
        assert_eq!(list(JarPackage).await, [(name(1), JarPackage, 4), (name(2), JarPackage, 1)]);
        assert_eq!(list(AssetClass::Unspecified).await, [(name(1), Account, 0), (name(1), JarPackage, 4), (name(2), JarPackage, 1)]);
        assert_eq!(list(SystemPackage).await, []);
        let wrong = ListUnreadClassesRequest { app_id: tenant.app_id, asset_class: 99, page: Some(Page { page_size: -1, ..Default::default() }) };
        assert_eq!(fields(w.assets.list_unread_classes(wrong).await), ["asset_class", "page.page_size"]);
    }
}
