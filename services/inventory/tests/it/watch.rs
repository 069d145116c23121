//! Feeds of changed machines and packages.

use std::collections::BTreeMap;

use cwpp_access::{Job, SystemScope};
use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::inventory::v1::*;
use tonic::{Status, Streaming};

use crate::world::*;

const PACKAGES: [AssetClass; 1] = [AssetClass::SystemPackage];

async fn machines(w: &World, cursor: &str) -> Result<Streaming<WatchMachinesResponse>, Status> {
    let request = WatchMachinesRequest { cursor: cursor.into() };
    Ok(w.assets.clone().watch_machines(request).await?.into_inner())
}

async fn packages(w: &World, cursor: &str) -> Result<Streaming<WatchPackagesResponse>, Status> {
    let request = WatchPackagesRequest { cursor: cursor.into() };
    Ok(w.assets.clone().watch_packages(request).await?.into_inner())
}

/// What a follower of packages knows: the packages of each machine of each tenant.
#[derive(Default)]
struct Follower {
    known: BTreeMap<(u64, String), Vec<String>>,
    parts: Vec<String>,
    cursor: String,
    messages: usize,
}

impl Follower {
    /// Takes messages until `done`, which is asked at each sign of life and after each whole machine.
    async fn follow(&mut self, w: &World, done: impl Fn(&Self) -> bool) {
        let mut stream = packages(w, &self.cursor).await.unwrap();
        while !done(self) {
            let message = stream.message().await.unwrap().expect("the stream goes on");
            self.cursor = message.cursor;
            if message.app_id == 0 {
                continue;
            }
            self.messages += 1;
            if message.first {
                self.parts.clear();
            }
            self.parts.extend(message.packages.into_iter().map(|p| format!("{} {}", p.name, p.version)));
            if message.last {
                let mut all = std::mem::take(&mut self.parts);
                all.sort();
                self.known.insert((message.app_id, message.machine_id), all);
            }
        }
    }

    fn of(&self, host: &Host) -> Option<Vec<&str>> {
        self.known.get(&(host.app_id, host.id.clone())).map(|all| all.iter().map(String::as_str).collect())
    }
}

both! {
    async fn a_follower_of_machines_hears_of_each_change_and_not_of_signs_of_life(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let host = w.host(&tenant, "web-1").await;
        let other = w.host(&neighbour, "web-1").await;
        let mut stream = machines(w, "").await.unwrap();
        let mut heard = BTreeMap::new();
        while heard.len() < 2 {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(machine) = message.machine {
                assert_eq!(machine.machine_id, message.machine_id);
                heard.insert((message.app_id, message.machine_id), machine.facts.unwrap().name);
            }
        }
        let own = |host: &Host| (host.app_id, host.id.clone());
        assert_eq!(heard, BTreeMap::from([(own(&host), "web-1".into()), (own(&other), "web-1".into())]));

        // A machine that enrols again as it is, and one that lives, are no change; one with another system is.
        w.host(&tenant, "web-1").await;
        let beat = MachineHeartbeat { machine_id: host.id.clone(), ..Default::default() };
        w.machines.heartbeat(HeartbeatRequest { app_id: host.app_id, heartbeats: vec![beat] }).await.unwrap();
        let mut changed = registration(&neighbour, "web-1");
        changed.facts.as_mut().unwrap().os_name = "Debian GNU/Linux 14 (forky)".into();
        w.register(changed).await.unwrap();
        let next = loop {
            let message = stream.message().await.unwrap().unwrap();
            if message.app_id != 0 {
                break message;
            }
        };
        assert_eq!((next.app_id, next.machine_id.as_str()), (other.app_id, other.id.as_str()));
        let facts = next.machine.unwrap().facts.unwrap();
        assert_eq!(facts.os_name, "Debian GNU/Linux 14 (forky)");

        // Whoever goes on from there hears that nothing is new, at once.
        let sign = machines(w, &next.cursor).await.unwrap().message().await.unwrap().unwrap();
        assert_eq!((sign.app_id, sign.cursor), (0, next.cursor));
    }

    async fn a_follower_of_packages_ends_with_what_each_machine_has(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (host, other) = (w.host(&tenant, "web-1").await, w.host(&neighbour, "web-2").await);
        let mut follower = Follower::default();
        w.report(&host, &PACKAGES, &[package("ssl", "1"), package("zlib", "1")]).await;
        w.report(&other, &PACKAGES, &[package("bash", "5")]).await;
        follower.follow(w, |f| f.known.len() == 2).await;
        assert_eq!(follower.of(&host).unwrap(), ["ssl 1", "zlib 1"]);
        assert_eq!(follower.of(&other).unwrap(), ["bash 5"]);

        // Accounts are no packages, and a repeat is no change.
        w.report(&host, &[AssetClass::Account], &[account("root", 0)]).await;
        w.report(&host, &PACKAGES, &[package("ssl", "1"), package("zlib", "1")]).await;
        w.report(&host, &PACKAGES, &[package("ssl", "2")]).await;
        w.report(&other, &PACKAGES, &[]).await;
        follower.messages = 0;
        follower.follow(w, |f| f.of(&host) == Some(vec!["ssl 2"]) && f.of(&other) == Some(vec![])).await;
        assert!(follower.messages <= 2, "{} messages", follower.messages);

        // Deleted without a report.
        let stored = w.stored(&host, AssetClass::SystemPackage).await;
        let asset = AssetName { machine_id: host.id.clone(), asset_id: stored[0].asset_id.clone() };
        let asset_class = AssetClass::SystemPackage.into();
        let request = DeleteAssetsRequest { app_id: tenant.app_id, asset_class, assets: vec![asset], ..Default::default() };
        w.assets.clone().delete_assets(request).await.unwrap();
        follower.follow(w, |f| f.of(&host) == Some(vec![])).await;

        // Many changes while nobody follows are one in the end; a new follower hears of each machine once.
        for version in 3..23 {
            w.report(&host, &PACKAGES, &[package("ssl", &version.to_string())]).await;
        }
        let db = w.db().await;
        db.relay_once(&SystemScope::job(Job::Harness)).await.unwrap();
        db.close().await;
        follower.messages = 0;
        follower.follow(w, |f| f.of(&host) == Some(vec!["ssl 22"])).await;
        let mut new = Follower::default();
        new.follow(w, |f| f.known.len() == 2 && f.of(&host) == Some(vec!["ssl 22"])).await;
        assert_eq!((follower.messages, new.messages), (1, 2));
        let marks = w.rows(&tenant).await;
        assert_eq!(marks.get("feed_mark"), Some(&2), "one mark for the machine, one for its packages: {marks:?}");
    }

    async fn a_machine_with_many_packages_comes_in_parts(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let mut items: Vec<_> = (0..2_500).map(|n| package(&format!("p{n:04}"), "1")).collect();
        items.extend((0..10).map(|n| crate::fixture::item(AssetClass::JarPackage, n)));
        w.report(&host, &[AssetClass::SystemPackage, AssetClass::JarPackage], &items).await;
        let mut stream = packages(w, "").await.unwrap();
        let mut parts = Vec::new();
        while parts.len() < 3 {
            let part = stream.message().await.unwrap().unwrap();
            if part.app_id != 0 {
                parts.push((part.packages.len(), part.first, part.last, part.cursor, part.jar_packages.len()));
            }
        }
        let shape: Vec<_> = parts.iter().map(|(n, first, last, _, _)| (*n, *first, *last)).collect();
        assert_eq!(shape, [(1000, true, false), (1000, false, false), (500, false, true)]);
        assert_eq!(parts.iter().map(|(_, _, _, _, jars)| *jars).sum::<usize>(), 10);
        // A stream that is cut between the parts begins with the first again.
        let again = packages(w, &parts[1].3).await.unwrap().message().await.unwrap().unwrap();
        assert!(again.first && !again.last);
    }

    async fn feeds_of_a_sealed_tenant_say_nothing_and_wrong_cursors_are_refused(w: World) {
        let (sealed, open) = (w.tenant().await, w.tenant().await);
        w.report(&w.host(&sealed, "web-1").await, &PACKAGES, &[package("ssl", "1")]).await;
        let host = w.host(&open, "web-2").await;
        w.report(&host, &PACKAGES, &[package("ssl", "1")]).await;
        let mut follower = Follower::default();
        follower.follow(w, |f| f.known.len() == 2).await;
        w.fence(&sealed, TenantState::Sealed).await;
        let mut new = Follower::default();
        new.follow(w, |f| f.of(&host).is_some()).await;
        assert_eq!(new.known.len(), 1);

        for foreign in ["x", "machine.1", "package.z.00000000000000000000000000000007"] {
            assert_eq!(fields(packages(w, foreign).await.map(|_| ())), ["cursor"], "{foreign}");
        }
        let foreign = machines(w, &new.cursor).await.map(|_| ());
        assert_eq!(fields(foreign), ["cursor"]);
        let beyond = new.cursor.replacen("package.", "package.f", 1);
        assert_eq!(reason(packages(w, &beyond).await.map(|_| ())), Reason::CursorExpired);
    }
}
