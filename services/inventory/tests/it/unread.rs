//! Classes that a machine could not read.

use std::time::Duration;

use cwpp_chassis::Reason;
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
}
