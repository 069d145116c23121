//! Lists of assets.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::{Page, StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::*;
use prost_types::Timestamp;

use crate::world::*;

const BOTH: [AssetClass; 2] = [AssetClass::Account, AssetClass::SystemPackage];

fn small(mut request: ListAssetsRequest, page_size: i32) -> ListAssetsRequest {
    request.page = Some(Page { page_size, ..Default::default() });
    request
}

fn packages(query: SystemPackageQuery) -> Query {
    Query::SystemPackage(query)
}

fn installed(name: &str, seconds: Option<i64>) -> AssetItem {
    let Some(Item::SystemPackage(mut p)) = package(name, "1").item else { unreachable!() };
    p.install_time = seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
    AssetItem { item: Some(Item::SystemPackage(p)) }
}

both! {
    async fn every_order_leads_through_all_rows_once(w: World) {
        let tenant = w.tenant().await;
        let mut hosts = Vec::new();
        for n in 0..3 {
            let host = w.host(&tenant, &format!("web-{n}")).await;
            let mut items: Vec<_> = (0..5).map(|i| installed(&format!("p{i}"), (i % 2 == 0).then_some(100 - i))).collect();
            items.extend((0..4).map(|i| account(&format!("u{i}"), 1000 - i % 2)));
            w.report(&host, &BOTH, &items).await;
            w.clock.advance(Duration::from_secs(1));
            hosts.push(host);
        }
        let one = Some(HostFilter { machine_ids: vec![hosts[1].id.clone()], ..Default::default() });
        let some = Some(HostFilter { name: Some(prefix("web-")), ip_address: Some(exact("10.1.2.3")), ..Default::default() });
        for (hosts, machines) in [(None, 3), (some, 3), (one, 1)] {
            for order in 0..4 {
                let query = packages(SystemPackageQuery { order, ..Default::default() });
                let request = ListAssetsRequest { hosts: hosts.clone(), ..small(ask(tenant.app_id, query), 2) };
                let (rows, _) = w.list(request).await;
                let mut ids: Vec<_> = rows.iter().map(|a| (a.host.as_ref().unwrap().machine_id.clone(), name(a))).collect();
                let values: Vec<_> = rows.iter().map(|a| {
                    let Some(Item::SystemPackage(p)) = a.item.as_ref().unwrap().item.as_ref() else { panic!("no package") };
                    let first = a.first_seen_time.unwrap().seconds;
                    match order { 2 => (p.name.clone(), 0), 3 => (String::new(), p.install_time.map_or(-1, |t| t.seconds)), 1 => (String::new(), first), _ => Default::default() }
                }).collect();
                assert!(values.is_sorted(), "order {order}, {machines} machines: {values:?}");
                ids.sort();
                ids.dedup();
                assert_eq!((rows.len(), ids.len()), (5 * machines, 5 * machines), "order {order}");
                let host = rows[0].host.as_ref().unwrap();
                assert_eq!((host.ip_addresses.len(), host.os_name.as_str()), (2, "Debian GNU/Linux 13 (trixie)"));
            }
            for order in 0..4 {
                let query = Query::Account(AccountQuery { order, ..Default::default() });
                let request = ListAssetsRequest { hosts: hosts.clone(), ..small(ask(tenant.app_id, query), 3) };
                assert_eq!(w.list(request).await.0.len(), 4 * machines);
            }
        }
    }

    async fn filters_choose_what_they_say(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let mut items = vec![package("ssh", "1"), package("ssh", "2"), package("sshd", "1"), package("SSH", "1"), package("s%", "1")];
        let Some(Item::Account(mut root)) = account("root", 0).item else { unreachable!() };
        (root.sudo, root.password_status) = (Some(true), PasswordStatus::Locked.into());
        items.extend([AssetItem { item: Some(Item::Account(root)) }, account("alice", 1000), account("al", 1000)]);
        w.report(&host, &BOTH, &items).await;
        let found = async |query: Query| {
            let (rows, _) = w.list(small(ask(tenant.app_id, query), 1)).await;
            rows.iter().map(name).collect::<Vec<_>>()
        };
        let by = |how: StringMatch| Some(system_package_query::Driving::Name(how));
        assert_eq!(found(packages(SystemPackageQuery { driving: by(exact("ssh")), ..Default::default() })).await, ["ssh", "ssh"]);
        assert_eq!(found(packages(SystemPackageQuery { driving: by(prefix("ssh")), version: "1".into(), ..Default::default() })).await, ["ssh", "sshd"]);
        assert_eq!(found(packages(SystemPackageQuery { driving: by(prefix("s%")), ..Default::default() })).await, ["s%"]);
        assert_eq!(found(packages(SystemPackageQuery { kind: PackageKind::Rpm.into(), ..Default::default() })).await, [""; 0]);
        let accounts = |query: AccountQuery| found(Query::Account(query));
        let uid = Some(account_query::Driving::Uid(1000));
        let mut names = accounts(AccountQuery { driving: uid, ..Default::default() }).await;
        names.sort();
        assert_eq!(names, ["al", "alice"]);
        // A twin also narrows the filter that drives, and all rows where none does; no character of it is a wildcard.
        let part = |text: &str| Some(StringMatch { how: Some(How::Contains(text.into())) });
        let name = Some(account_query::Driving::Name(prefix("al")));
        assert_eq!(accounts(AccountQuery { driving: name, also_name: part("ice"), also_uid: Some(1000), ..Default::default() }).await, ["alice"]);
        assert_eq!(accounts(AccountQuery { also_name: part("oot"), ..Default::default() }).await, ["root"]);
        assert_eq!(accounts(AccountQuery { also_uid: Some(0), ..Default::default() }).await, ["root"]);
        assert_eq!(accounts(AccountQuery { also_name: part("l_c"), ..Default::default() }).await, [""; 0]);
        assert_eq!(accounts(AccountQuery { also_name: part("al%"), ..Default::default() }).await, [""; 0]);
        assert_eq!(accounts(AccountQuery { sudo: Some(true), ..Default::default() }).await, ["root"]);
        assert_eq!(accounts(AccountQuery { password_status: PasswordStatus::Locked.into(), ..Default::default() }).await, ["root"]);
        assert_eq!(accounts(AccountQuery { interactive: Some(false), ..Default::default() }).await, [""; 0]);
        let nowhere = Some(HostFilter { name: Some(exact("nowhere")), ..Default::default() });
        let request = ListAssetsRequest { hosts: nowhere, ..ask(tenant.app_id, everything(AssetClass::Account)) };
        assert_eq!(w.list(request).await.0, []);
    }

    async fn machines_come_by_the_number_of_their_partitions(w: World) {
        let tenant = w.tenant().await;
        let resource = |kind: ResourceKind, partition_count| {
            let resource = Resource { kind: kind.into(), partition_count, ..Default::default() };
            AssetItem { item: Some(Item::Resource(resource)) }
        };
        for partitions in [2, 11, 1] {
            let host = w.host(&tenant, &format!("disks-{partitions}")).await;
            let items = [resource(ResourceKind::Hardware, partitions), resource(ResourceKind::DiskPartition, 0)];
            w.report(&host, &[AssetClass::Resource], &items).await;
        }
        for (descending, expected) in [(false, ["disks-1", "disks-2", "disks-11"]), (true, ["disks-11", "disks-2", "disks-1"])] {
            let order = ResourceOrder::PartitionCount.into();
            let query = Query::Resource(ResourceQuery { kind: ResourceKind::Hardware.into(), order, ..Default::default() });
            let (rows, _) = w.list(ListAssetsRequest { descending, ..small(ask(tenant.app_id, query), 1) }).await;
            let names: Vec<_> = rows.into_iter().map(|row| row.host.unwrap().name).collect();
            assert_eq!(names, expected);
        }
    }

    async fn absent_values_come_first_and_backwards_last(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let logins = [None, Some(2), None, Some(1), Some(2)];
        let items: Vec<_> = logins.iter().zip(0..).map(|(day, uid)| {
            let AssetItem { item: Some(Item::Account(mut a)) } = account(&format!("a{uid}"), uid) else { unreachable!() };
            a.last_login_time = day.map(|day| timestamp(noon() - chrono::TimeDelta::days(day)));
            AssetItem { item: Some(Item::Account(a)) }
        }).collect();
        w.report(&host, &[AssetClass::Account], &items).await;
        let names = async |descending| {
            let query = Query::Account(AccountQuery { order: AccountOrder::LastLoginTime.into(), ..Default::default() });
            let (rows, pages) = w.list(ListAssetsRequest { descending, ..small(ask(tenant.app_id, query), 1) }).await;
            assert_eq!(pages, 5);
            rows.iter().map(name).collect::<Vec<_>>()
        };
        let mut forth = names(false).await;
        let days: Vec<_> = forth.iter().map(|name| logins[name[1..].parse::<usize>().unwrap()]).collect();
        assert_eq!(days, [None, None, Some(2), Some(2), Some(1)]);
        forth.reverse();
        assert_eq!(names(true).await, forth);
    }

    async fn rows_bear_their_machine_and_are_chosen_by_it(w: World) {
        let tenant = w.tenant().await;
        for (n, (os_type, os_name)) in [(OsType::Linux, "Debian 12"), (OsType::Linux, "Rocky 9"), (OsType::Windows, "Windows Server")].into_iter().enumerate() {
            let mut new = registration(&tenant, &format!("web-{n}"));
            let facts = new.facts.as_mut().unwrap();
            (facts.os_type, facts.os_name, facts.instance_id) = (os_type.into(), os_name.into(), format!("i-{n}"));
            facts.ip_addresses.push(format!("10.9.0.{n}"));
            let id = w.register(new).await.unwrap().machine.unwrap().machine_id;
            let tags = vec![MachineTags { machine_id: id.clone(), tags: vec![format!("tag-{n}"), "all".into()] }];
            w.machines.set_tags(SetTagsRequest { app_id: tenant.app_id, machines: tags }).await.unwrap();
            w.report(&Host { app_id: tenant.app_id, id }, &BOTH, &[account("alice", n as u32), package("ssh", "1")]).await;
        }
        let found = async |query: Query, hosts: HostFilter| {
            let request = ListAssetsRequest { hosts: Some(hosts), ..small(ask(tenant.app_id, query), 1) };
            let (rows, _) = w.list(request).await;
            let mut hosts: Vec<_> = rows.into_iter().map(|a| a.host.unwrap()).collect();
            hosts.sort_by(|a, b| a.name.cmp(&b.name));
            hosts
        };
        let accounts = || everything(AssetClass::Account);
        let all = found(accounts(), HostFilter { name: Some(prefix("web-")), ..Default::default() }).await;
        let columns = |h: &HostColumns| (h.os_type, h.os_name.clone(), h.instance_id.clone(), h.tags.clone());
        let wanted = (OsType::Windows.into(), "Windows Server".to_owned(), "i-2".to_owned(), vec!["all".to_owned(), "tag-2".to_owned()]);
        assert_eq!((all.len(), columns(&all[2])), (3, wanted));
        let linux = HostFilter { os_type: OsType::Linux.into(), ..Default::default() };
        let debian = HostFilter { os_name: Some(prefix("Debian")), ..Default::default() };
        let nine = HostFilter { os_type: OsType::Linux.into(), os_name: Some(StringMatch { how: Some(How::Contains("9".into())) }), ..Default::default() };
        let rocky = HostFilter { instance_id: Some(prefix("i-")), os_name: Some(exact("Rocky 9")), ..Default::default() };
        let last = HostFilter { instance_id: Some(exact("i-2")), ..Default::default() };
        let none = HostFilter { instance_id: Some(exact("i-2")), os_type: OsType::Linux.into(), ..Default::default() };
        let tagged = HostFilter { tag: "tag-1".into(), ..Default::default() };
        let tagged_linux = HostFilter { tag: "all".into(), ..linux.clone() };
        let at = HostFilter { any_ip_address: "10.9.0.2".into(), ..Default::default() };
        let nowhere = HostFilter { tag: "tag-1".into(), ..at.clone() };
        let quuids = HostFilter { quuids: vec!["web-2".into(), "web-0".into(), "web-9".into()], ..Default::default() };
        let driven = Query::SystemPackage(SystemPackageQuery { driving: Some(system_package_query::Driving::Name(exact("ssh"))), ..Default::default() });
        let cases = [
            (linux, vec!["web-0", "web-1"]), (debian, vec!["web-0"]), (nine, vec!["web-1"]), (rocky, vec!["web-1"]), (last, vec!["web-2"]), (none, vec![]),
            (tagged, vec!["web-1"]), (tagged_linux, vec!["web-0", "web-1"]), (at, vec!["web-2"]), (nowhere, vec![]), (quuids, vec!["web-0", "web-2"]),
        ];
        for (hosts, names) in cases {
            for query in [accounts(), driven.clone()] {
                let found = found(query, hosts.clone()).await;
                assert_eq!(found.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), names, "{hosts:?}");
            }
        }
        assert_eq!(fields(w.page(ListAssetsRequest { hosts: Some(HostFilter::default()), ..ask(tenant.app_id, accounts()) }).await), ["hosts"]);
    }

    async fn what_counts_as_new_today_is_what_is_listed_since_midnight(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        w.host(&tenant, "web-2").await;
        let old: Vec<_> = (0..5).map(|n| package(&format!("old-{n}"), "1")).collect();
        w.report(&host, &[AssetClass::SystemPackage], &old).await;
        w.clock.advance(Duration::from_secs(86_400));
        let midnight = noon() + chrono::TimeDelta::hours(12);
        let mut all = old.clone();
        all.extend((0..3).map(|n| package(&format!("new-{n}"), "1")));
        w.report(&host, &[AssetClass::SystemPackage], &all).await;
        let query = |driving| packages(SystemPackageQuery { driving, ..Default::default() });
        let since = |query: Query, from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>| ListAssetsRequest {
            first_seen_from: from.map(timestamp),
            first_seen_until: until.map(timestamp),
            ..small(ask(tenant.app_id, query), 2)
        };
        let names = async |request: ListAssetsRequest| w.list(request).await.0.iter().map(name).collect::<Vec<_>>();
        let new = names(since(query(None), Some(midnight), None)).await;
        assert_eq!(new.len() as u64, w.new_today(tenant.app_id, "", AssetClass::SystemPackage).await);
        assert!(new.len() == 3 && new.iter().all(|name| name.starts_with("new-")), "{new:?}");
        assert_eq!(names(since(query(None), None, Some(midnight))).await.len(), 5);
        let by = |text| Some(system_package_query::Driving::Name(prefix(text)));
        assert_eq!(names(since(query(by("new-1")), Some(midnight), None)).await, ["new-1"]);
        assert_eq!(names(since(query(by("old-")), Some(midnight), None)).await, [""; 0]);
        let mut on = since(query(None), Some(midnight), None);
        on.hosts = Some(HostFilter { name: Some(prefix("web-")), ..Default::default() });
        assert_eq!(names(on).await.len(), 3);
        let request = ExportAssetsRequest { app_id: tenant.app_id, query: Some(AssetQuery { query: Some(query(None)) }), first_seen_from: Some(timestamp(midnight)), ..Default::default() };
        let mut parts = w.assets.export_assets(request).await.unwrap().into_inner();
        assert_eq!(parts.message().await.unwrap().unwrap().assets.len(), 3);
        assert_eq!(fields(w.page(since(query(None), Some(midnight), Some(midnight))).await), ["first_seen_until"]);
    }

    async fn every_wrong_field_of_a_list_is_named_at_once(w: World) {
        let tenant = w.tenant().await;
        let contains = StringMatch { how: Some(How::Contains("ssh".into())) };
        let query = SystemPackageQuery {
            driving: Some(system_package_query::Driving::Name(contains)),
            version: "v".repeat(256),
            kind: 9,
            order: SystemPackageOrder::InstallTime.into(),
            version_below: String::new(),
            installed_from: Some(timestamp(noon())),
            installed_until: Some(timestamp(noon())),
        };
        let hosts = HostFilter {
            machine_ids: vec!["x".into()],
            name: Some(StringMatch { how: None }),
            ip_address: Some(prefix("")),
            instance_id: Some(StringMatch { how: Some(How::Contains("i".into())) }),
            os_type: 9,
            os_name: Some(prefix("")),
            quuids: vec!["q".into(), String::new()],
            any_ip_address: "10.0.0".into(),
            tag: " ".into(),
        };
        let first_seen_from = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        let request = ListAssetsRequest { hosts: Some(hosts), first_seen_from, ..small(ask(tenant.app_id, packages(query)), -1) };
        let mut wrong = fields(w.page(request).await);
        wrong.sort();
        let wanted = [
            "first_seen_from",
            "hosts.any_ip_address",
            "hosts.instance_id.contains",
            "hosts.ip_address.prefix",
            "hosts.machine_ids[0]",
            "hosts.name",
            "hosts.os_name",
            "hosts.os_type",
            "hosts.quuids[1]",
            "hosts.tag",
            "page.page_size",
            "query.system_package.installed_until",
            "query.system_package.kind",
            "query.system_package.name.contains",
            "query.system_package.order",
            "query.system_package.version",
        ];
        assert_eq!(wrong, wanted);
        assert_eq!(fields(w.page(ListAssetsRequest { app_id: tenant.app_id, ..Default::default() }).await), ["query"]);
        assert_eq!(reason(w.page(ask(w.nobody().app_id, everything(AssetClass::Account))).await), Reason::TenantUnknown);
        let export = ExportAssetsRequest { app_id: tenant.app_id, ..Default::default() };
        assert_eq!(fields(w.assets.export_assets(export).await.map(|_| ())), ["query"]);
    }

    async fn a_filter_that_chooses_more_than_500_machines_is_refused_but_for_a_system(w: World) {
        let tenant = w.tenant().await;
        let mut all = Vec::new();
        let enrol = async |range: std::ops::Range<u32>, all: &mut Vec<Host>| {
            for part in range {
                let hosts = (0..20).map(|n| { let (w, tenant) = (&*w, &tenant); async move { w.host(tenant, &format!("h-{part}-{n}")).await } });
                all.extend(futures::future::join_all(hosts).await);
            }
        };
        enrol(0..2, &mut all).await;
        for host in &all {
            w.report(host, &[AssetClass::Account], &[account("alice", 1)]).await;
        }
        // Those of a system are few at the first page and many at the next.
        let system = |os_type: OsType| Some(HostFilter { os_type: os_type.into(), ..Default::default() });
        let linux = ListAssetsRequest { hosts: system(OsType::Linux), ..small(ask(tenant.app_id, everything(AssetClass::Account)), 30) };
        let first = w.page(linux.clone()).await.unwrap();
        enrol(2..26, &mut all).await;
        let page = Some(Page { page_size: 30, page_token: first.next_page_token });
        let next = w.page(ListAssetsRequest { page, ..linux.clone() }).await.unwrap();
        let seen: BTreeSet<_> = first.assets.iter().chain(&next.assets).map(|a| a.host.as_ref().unwrap().machine_id.clone()).collect();
        assert_eq!((seen.len(), first.assets.len(), next.assets.len()), (40, 30, 10));
        assert_eq!(w.list(linux).await.0.len(), 40);
        let windows = ListAssetsRequest { hosts: system(OsType::Windows), ..ask(tenant.app_id, everything(AssetClass::Account)) };
        assert_eq!(w.list(windows).await.0, []);
        // However few of those that a name finds have the system.
        let both = Some(HostFilter { name: Some(prefix("h-")), ..system(OsType::Windows).unwrap() });
        assert_eq!(fields(w.page(ListAssetsRequest { hosts: both, ..ask(tenant.app_id, everything(AssetClass::Account)) }).await), ["hosts"]);
        let hosts = |name| Some(HostFilter { name: Some(prefix(name)), ..Default::default() });
        let request = |name| ListAssetsRequest { hosts: hosts(name), ..ask(tenant.app_id, everything(AssetClass::Account)) };
        assert_eq!(fields(w.page(request("h-")).await), ["hosts"]);
        assert!(w.page(request("h-1")).await.is_ok());
        let ids = (0..501).map(|_| uuid::Uuid::now_v7().to_string()).collect();
        let hosts = Some(HostFilter { machine_ids: ids, ..Default::default() });
        let request = ListAssetsRequest { hosts, ..ask(tenant.app_id, everything(AssetClass::Account)) };
        assert_eq!(fields(w.page(request).await), ["hosts.machine_ids"]);
    }

    async fn a_page_looks_at_ten_thousand_rows_and_is_short_then(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let mut items: Vec<_> = (0..11_000).map(|n| package(&format!("p{n:05}"), "1")).collect();
        items.push(package("z", "2"));
        w.report(&host, &[AssetClass::SystemPackage], &items).await;
        let rare = packages(SystemPackageQuery { version: "2".into(), order: SystemPackageOrder::Name.into(), ..Default::default() });
        let first = w.page(ask(tenant.app_id, rare.clone())).await.unwrap();
        assert!(first.assets.is_empty() && !first.next_page_token.is_empty());
        let (rows, pages) = w.list(ask(tenant.app_id, rare)).await;
        assert_eq!((rows.len(), pages), (1, 2));

        let query = AssetQuery { query: Some(everything(AssetClass::SystemPackage)) };
        let mut parts = w.assets.export_assets(ExportAssetsRequest { app_id: tenant.app_id, query: Some(query), ..Default::default() }).await.unwrap().into_inner();
        let (mut exported, mut most) = (0, 0);
        while let Some(part) = parts.message().await.unwrap() {
            exported += part.assets.len();
            most = most.max(part.assets.len());
        }
        assert_eq!((exported, most), (11_001, 1000));
    }
}
