//! Who has a package below a version.

use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::*;

use crate::world::*;

const PACKAGES: [AssetClass; 1] = [AssetClass::SystemPackage];

fn below(name: &str, version: &str) -> SystemPackageQuery {
    let driving = Some(system_package_query::Driving::Name(exact(name)));
    SystemPackageQuery { driving, version_below: version.into(), ..Default::default() }
}

fn packages(query: SystemPackageQuery) -> Query {
    Query::SystemPackage(query)
}

fn rpm(name: &str, version: &str) -> AssetItem {
    let Some(Item::SystemPackage(p)) = package(name, version).item else { unreachable!() };
    AssetItem { item: Some(Item::SystemPackage(SystemPackage { kind: PackageKind::Rpm.into(), ..p })) }
}

/// Machine and version of each row, sorted.
fn found(rows: &[Asset]) -> Vec<(String, String)> {
    let mut found: Vec<_> = rows
        .iter()
        .map(|row| {
            let Some(Item::SystemPackage(p)) = row.item.as_ref().unwrap().item.as_ref() else { panic!("no package") };
            (row.host.as_ref().unwrap().name.clone(), p.version.clone())
        })
        .collect();
    found.sort();
    found
}

both! {
    async fn each_row_is_held_against_the_order_of_its_own_package_manager(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        // "1.0~rc1" is below "1.0" for both; a letter after it is below for neither, and "1.0^" only rpm knows.
        let dpkg = ["1.0~rc1-1", "0.9-10", "0.10-1", "1.0-1", "1.0a-1", "1:0.1-1", "1.0-1+b1", "\\xff"];
        let items: Vec<_> = dpkg.iter().map(|v| package("openssl", v)).collect();
        w.report(&w.host(&tenant, "deb").await, &PACKAGES, &items).await;
        w.report(&w.host(&neighbour, "other").await, &PACKAGES, &items).await;
        let items: Vec<_> = ["1.0~rc1-1", "0.9-10", "1.0-0.9", "1.0^git1-1", "1.0-1", "1:0.1-1", "~"].iter().map(|v| rpm("openssl", v)).collect();
        w.report(&w.host(&tenant, "red").await, &PACKAGES, &[items, vec![rpm("openssl-libs", "0.1-1")]].concat()).await;
        let who = async |query: SystemPackageQuery, page_size| {
            let request = ListAssetsRequest { page: Some(Page { page_size, ..Default::default() }), ..ask(tenant.app_id, packages(query)) };
            found(&w.list(request).await.0)
        };
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(m, v)| ((*m).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let deb = own(&[("deb", "0.10-1"), ("deb", "0.9-10"), ("deb", "1.0~rc1-1")]);
        let red = own(&[("red", "0.9-10"), ("red", "1.0-0.9"), ("red", "1.0~rc1-1")]);
        for page_size in [1, 2, 50] {
            assert_eq!(who(below("openssl", "1.0-1"), page_size).await, [deb.clone(), red.clone()].concat());
        }
        let of = |kind: PackageKind, query: SystemPackageQuery| SystemPackageQuery { kind: kind.into(), ..query };
        assert_eq!(who(of(PackageKind::Dpkg, below("openssl", "1.0-1")), 50).await, deb);
        assert_eq!(who(of(PackageKind::Rpm, below("openssl", "1.0-1")), 50).await, red);
        assert_eq!(who(below("openssl", "0.0.1"), 50).await, []);
        assert_eq!(who(below("openssl-libs", "1"), 50).await, own(&[("red", "0.1-1")]));
        // On one machine, in the order of its primary key.
        let hosts = Some(HostFilter { name: Some(exact("deb")), ..Default::default() });
        let request = ListAssetsRequest { hosts, ..ask(tenant.app_id, packages(below("openssl", "1.0-1"))) };
        assert_eq!(found(&w.list(request).await.0), deb);
    }

    async fn pythons_distributions_are_held_against_the_order_of_pypi(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let at = |path: &str, version: &str| {
            let kind = PackageKind::Pypi.into();
            let (name, version, path) = ("zope-interface".into(), version.into(), path.into());
            AssetItem { item: Some(Item::SystemPackage(SystemPackage { kind, name, version, path, ..Default::default() })) }
        };
        // One version in two folders is there twice; what is no version of PyPI is below none.
        let all = ["5.0rc1", "5.0", "5.0.post1", "4.10", "1!0.1", "old"];
        let mut items: Vec<_> = all.iter().map(|version| at("/srv/a", version)).collect();
        items.extend([at("/srv/b", "4.10"), package("zope-interface", "5.0~rc1-1"), package("zope-interface", "5.0.post1-1")]);
        assert_eq!(w.report(&host, &PACKAGES, &items).await.remove(0).added, 9);
        let versions = async |query: SystemPackageQuery| {
            let (rows, _) = w.list(ask(tenant.app_id, packages(query))).await;
            found(&rows).into_iter().map(|(_, version)| version).collect::<Vec<_>>()
        };
        let of_pypi = |query: SystemPackageQuery| SystemPackageQuery { kind: PackageKind::Pypi.into(), ..query };
        let query = below("zope-interface", "5.0");
        assert_eq!(versions(of_pypi(query.clone())).await, ["4.10", "4.10", "5.0rc1"]);
        assert_eq!(versions(query).await, ["4.10", "4.10", "5.0rc1", "5.0~rc1-1"]);
        let wrong = of_pypi(below("zope-interface", "5.0~rc1-1"));
        assert_eq!(fields(w.page(ask(tenant.app_id, packages(wrong))).await), ["query.system_package.version_below"]);
    }

    async fn frameworks_are_held_against_the_order_of_their_language(w: World) {
        let tenant = w.tenant().await;
        let framework = |(language, version): (ProgrammingLanguage, &str)| {
            let path = format!("/opt/{version}");
            let framework = WebFramework {
                name: "express".into(),
                version: version.into(),
                language: language.into(),
                path,
                ..Default::default()
            };
            AssetItem { item: Some(Item::WebFramework(framework)) }
        };
        use ProgrammingLanguage::{Node, Php, Python};
        // A post-release is above its release for Python and below it for Node.js; PHP has no order here.
        let items = [(Node, "4.18.0"), (Node, "4.17.9"), (Node, "4.18.0-1"), (Python, "4.18.0.post1"), (Python, "4.9"), (Php, "1.0")];
        w.report(&w.host(&tenant, "web-1").await, &[AssetClass::WebFramework], &items.map(framework)).await;
        let driving = Some(web_framework_query::Driving::Name(exact("express")));
        let query = WebFrameworkQuery { driving, version_below: "4.18.0".into(), ..Default::default() };
        let (rows, _) = w.list(ask(tenant.app_id, Query::WebFramework(query))).await;
        let mut versions: Vec<_> = rows.iter().map(|row| match row.item.as_ref().unwrap().item.as_ref() {
            Some(Item::WebFramework(framework)) => framework.version.clone(),
            _ => panic!("no framework"),
        }).collect();
        versions.sort();
        assert_eq!(versions, ["4.17.9", "4.18.0-1", "4.9"]);
        let query = WebFrameworkQuery { version_below: "2".into(), ..Default::default() };
        assert_eq!(fields(w.page(ask(tenant.app_id, Query::WebFramework(query))).await), ["query.web_framework.version_below"]);
    }

    async fn jars_are_held_against_the_order_of_maven(w: World) {
        let tenant = w.tenant().await;
        let jar = |version: &str| {
            let path = format!("/opt/app/lib/log4j-core-{version}.jar");
            let jar = JarPackage { name: "log4j-core".into(), version: version.into(), path, ..Default::default() };
            AssetItem { item: Some(Item::JarPackage(jar)) }
        };
        let items = ["2.9.1", "2.15.0-rc1", "2.15.0", "2.17.1", "2.3.2-SNAPSHOT", ""].map(jar);
        w.report(&w.host(&tenant, "web-1").await, &[AssetClass::JarPackage], &items).await;
        let driving = Some(jar_package_query::Driving::Name(exact("log4j-core")));
        let query = JarPackageQuery { driving, version_below: "2.15.0".into(), ..Default::default() };
        let (rows, _) = w.list(ask(tenant.app_id, Query::JarPackage(query))).await;
        let mut versions: Vec<_> = rows.iter().map(|row| match row.item.as_ref().unwrap().item.as_ref() {
            Some(Item::JarPackage(jar)) => jar.version.clone(),
            _ => panic!("no jar"),
        }).collect();
        versions.sort();
        assert_eq!(versions, ["2.15.0-rc1", "2.3.2-SNAPSHOT", "2.9.1"]);
        let query = JarPackageQuery { version_below: "2".into(), ..Default::default() };
        assert_eq!(fields(w.page(ask(tenant.app_id, Query::JarPackage(query))).await), ["query.jar_package.version_below"]);
    }

    async fn a_bound_without_an_exact_name_or_that_is_no_version_is_refused(w: World) {
        let tenant = w.tenant().await;
        let wrong = async |query: SystemPackageQuery| fields(w.page(ask(tenant.app_id, packages(query))).await);
        let field = "query.system_package.version_below";
        assert_eq!(wrong(SystemPackageQuery { version_below: "1".into(), ..Default::default() }).await, [field]);
        let by = Some(system_package_query::Driving::Name(prefix("ssl")));
        assert_eq!(wrong(SystemPackageQuery { driving: by, version_below: "1".into(), ..Default::default() }).await, [field]);
        for none in ["~", " ", "é", "\u{0}", &"1".repeat(256)] {
            assert_eq!(wrong(below("ssl", none)).await, [field], "{none:?}");
        }
        // A version for rpm, not for dpkg.
        let spaced = "1.0 beta";
        assert_eq!(wrong(SystemPackageQuery { kind: PackageKind::Dpkg.into(), ..below("ssl", spaced) }).await, [field]);
        assert!(w.page(ask(tenant.app_id, packages(below("ssl", spaced)))).await.is_ok());
    }

    async fn a_page_holds_ten_thousand_rows_against_a_bound_and_is_short_then(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let mut items: Vec<_> = (0..10_999).map(|n| package("kernel", &format!("2.{n}"))).collect();
        items.push(package("kernel", "1"));
        w.report(&host, &PACKAGES, &items).await;
        let mut request = ask(tenant.app_id, packages(below("kernel", "2")));
        let (mut rows, mut pages) = (0, 0);
        loop {
            let page = w.page(request.clone()).await.unwrap();
            (rows, pages) = (rows + page.assets.len(), pages + 1);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page = Some(Page { page_token: page.next_page_token, ..Default::default() });
        }
        assert_eq!((rows, pages), (1, 2));
        // All that pass, in pages that are full.
        let request = ListAssetsRequest { page: Some(Page { page_size: 1000, ..Default::default() }), ..ask(tenant.app_id, packages(below("kernel", "3"))) };
        let (rows, pages) = w.list(request).await;
        assert_eq!((rows.len(), pages), (11_000, 11));
    }
}
