//! The report protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use cwpp_chassis::{Reason, status};
use cwpp_contracts::codec::ProstCodec;
use cwpp_contracts::common::v1::TenantState;
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::report_assets_request::Part;
use cwpp_contracts::inventory::v1::*;
use tonic::{Request, Status};

use crate::world::*;

const PACKAGES: [AssetClass; 1] = [AssetClass::SystemPackage];
const ACCOUNTS: [AssetClass; 1] = [AssetClass::Account];

async fn token(w: &World, host: &Host, classes: &[AssetClass], items: &[AssetItem]) -> String {
    w.negotiate(host, offers(classes, items)).await.unwrap().report_token
}

/// A package whose name is bytes, on the wire the same as `SystemPackage`.
#[derive(Clone, PartialEq, prost::Message)]
struct RawPackage {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(string, tag = "3")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawItem {
    #[prost(message, optional, tag = "16")]
    system_package: Option<RawPackage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawChunk {
    #[prost(message, repeated, tag = "1")]
    items: Vec<RawItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawRequest {
    #[prost(uint64, tag = "1")]
    app_id: u64,
    #[prost(message, optional, tag = "2")]
    header: Option<ReportHeader>,
    #[prost(message, optional, tag = "3")]
    chunk: Option<RawChunk>,
    #[prost(message, optional, tag = "4")]
    end: Option<ReportEnd>,
}

async fn send_raw(w: &World, messages: Vec<RawRequest>) -> Result<ReportAssetsResponse, Status> {
    let mut client = tonic::client::Grpc::new(w.channel.clone());
    client.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/cwpp.inventory.v1.AssetService/ReportAssets");
    let requests = Request::new(futures::stream::iter(messages));
    let codec = ProstCodec::<RawRequest, ReportAssetsResponse>::default();
    Ok(client.client_streaming(requests, path, codec).await?.into_inner())
}

both! {
    async fn an_asset_keeps_its_id_while_its_natural_key_is_the_same(w: World) {
        let tenant = w.tenant().await;
        let (host, twin) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await);
        let ids = async |host: &Host| {
            let rows = w.stored(host, AssetClass::Account).await;
            rows.iter().map(|row| (name(row), row.asset_id.clone())).collect::<std::collections::BTreeMap<_, _>>()
        };
        w.report(&host, &[AssetClass::Account], &[account("root", 0), account("alice", 1000)]).await;
        let first = ids(&host).await;
        assert!(first.values().all(|id| uuid::Uuid::try_parse(id).is_ok()) && first["root"] != first["alice"]);
        w.report(&host, &[AssetClass::Account], &[account("alice", 1001), account("bob", 1002)]).await;
        let second = ids(&host).await;
        assert_eq!((second.len(), &second["alice"]), (2, &first["alice"]));
        w.report(&twin, &[AssetClass::Account], &[account("root", 0)]).await;
        assert_eq!(ids(&twin).await["root"], first["root"], "it tells assets of one machine apart");
    }

    async fn text_that_is_no_utf8_is_a_malformed_message(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let item = package("bash", "5");
        let report_token = token(w, &host, &PACKAGES, std::slice::from_ref(&item)).await;
        for (name, wanted) in [(b"ba\xffsh".to_vec(), Some(Reason::MalformedMessage)), (b"bash".to_vec(), None)] {
            let package = RawPackage { kind: 2, name, version: "5".into() };
            let header = ReportHeader {
                machine_id: host.id.clone(),
                report_token: report_token.clone(),
                classes: offers(&PACKAGES, std::slice::from_ref(&item)),
                declared_bytes: 100,
            };
            let raw = RawRequest { app_id: host.app_id, ..Default::default() };
            let chunk = RawChunk { items: vec![RawItem { system_package: Some(package) }] };
            let answer = send_raw(w, vec![
                RawRequest { header: Some(header), ..raw.clone() },
                RawRequest { chunk: Some(chunk), ..raw.clone() },
                RawRequest { end: Some(ReportEnd {}), ..raw },
            ])
            .await;
            match wanted {
                Some(wanted) => {
                    assert_eq!(reason(answer), wanted);
                    assert_eq!(w.count(host.app_id, &host.id, AssetClass::SystemPackage).await, (0, 0));
                }
                None => assert_eq!(answer.unwrap().results[0].added, 1),
            }
        }
    }

    async fn an_unchanged_report_is_not_sent_and_writes_no_row_but_the_sign_of_life(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let items = [account("alice", 1000)];
        let offered = offers(&ACCOUNTS, &items);
        let decision = async || w.negotiate(&host, offered.clone()).await.unwrap().decisions[0].decision();
        assert_eq!(decision().await, Decision::Send);
        w.report(&host, &ACCOUNTS, &items).await;
        let before = w.rows(&tenant).await;
        let stored = w.stored(&host, AssetClass::Account).await;
        w.clock.advance(Duration::from_secs(60));
        assert_eq!(decision().await, Decision::Unchanged);
        // Changes of counts may be folded meanwhile, and a mark of the feed be given its place, which moves its row.
        let settled = |rows: BTreeMap<String, u64>| {
            let mut settled = BTreeMap::new();
            for (table, rows) in rows.into_iter().filter(|(t, _)| !t.contains("count")) {
                *settled.entry(table.trim_end_matches("_pending").to_owned()).or_default() += rows;
            }
            settled
        };
        let (after, before): (BTreeMap<String, u64>, _) = (settled(w.rows(&tenant).await), settled(before));
        assert_eq!(after, before);
        assert_eq!(w.stored(&host, AssetClass::Account).await, stored);
        let machine = GetMachineRequest { app_id: host.app_id, machine_id: host.id.clone() };
        let machine = w.machines.clone().get_machine(machine).await.unwrap().into_inner().machine.unwrap();
        assert_eq!(machine.last_seen_time, Some(timestamp(w.clock.now())));
        let other = [account("alice", 1001)];
        assert_eq!(w.negotiate(&host, offers(&ACCOUNTS, &other)).await.unwrap().decisions[0].decision(), Decision::Send);
    }

    async fn volatile_values_alone_are_no_change(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let seen = |from: &str, shell: &str| {
            let Some(Item::Account(mut a)) = account("alice", 1000).item else { unreachable!() };
            a.last_login_source = from.into();
            a.shell = shell.into();
            AssetItem { item: Some(Item::Account(a)) }
        };
        w.report(&host, &ACCOUNTS, &[seen("192.0.2.1", "/bin/sh")]).await;
        let told = w.report(&host, &ACCOUNTS, &[seen("192.0.2.2", "/bin/sh")]).await[0];
        assert_eq!((told.changed, told.unchanged), (0, 1));
        let told = w.report(&host, &ACCOUNTS, &[seen("192.0.2.3", "/bin/bash")]).await[0];
        assert_eq!((told.changed, told.unchanged), (1, 0));
        let stored = w.stored(&host, AssetClass::Account).await;
        assert_eq!(stored[0].item, Some(seen("192.0.2.3", "/bin/bash")), "written along with a change");
    }

    async fn long_texts_are_cut_and_counted_and_truncation_is_told(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let Some(Item::Account(mut a)) = account("alice", 1000).item else { unreachable!() };
        (a.comment, a.home) = ("ä".repeat(600), "/".repeat(4096));
        let items = [AssetItem { item: Some(Item::Account(a)) }];
        let mut offered = offers(&ACCOUNTS, &items);
        offered[0].found = 5;
        let report_token = w.negotiate(&host, offered.clone()).await.unwrap().report_token;
        let told = w.send(messages(&host, &report_token, offered, &items)).await.unwrap()[0];
        assert_eq!((told.added, told.clipped, told.truncated), (1, 1, true));
        let Some(Item::Account(stored)) = w.stored(&host, AssetClass::Account).await.remove(0).item.unwrap().item else { panic!("no account") };
        assert_eq!((stored.comment.len(), stored.home.len()), (1024, 4096));
        let request = ListAssetCountsRequest { app_id: host.app_id, machine_id: host.id.clone() };
        let counts = w.assets.clone().list_asset_counts(request).await.unwrap().into_inner().counts;
        let count = counts.iter().find(|c| c.asset_class() == AssetClass::Account).unwrap();
        assert!(count.truncated && count.applied_time.is_some());
    }

    async fn more_than_a_slice_is_applied_in_slices_and_ends_whole(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let both = [AssetClass::Account, AssetClass::SystemPackage];
        let mut items: Vec<_> = (0..11_000).map(|n| package(&format!("p{n}"), "1")).collect();
        items.extend((0..300).map(|n| account(&format!("u{n}"), n)));
        let told = w.report(&host, &both, &items).await;
        assert_eq!((told[0].added, told[1].added), (300, 11_000));
        assert_eq!(w.count(host.app_id, "", AssetClass::SystemPackage).await, (11_000, 1));
        assert_eq!(w.negotiate(&host, offers(&both, &items)).await.unwrap().decisions[1].decision(), Decision::Unchanged);
        let told = w.report(&host, &both, &items[5_500..5_600]).await;
        assert_eq!((told[0].removed, told[1].removed, told[1].unchanged), (300, 10_900, 100));
        assert_eq!(w.count(host.app_id, &host.id, AssetClass::SystemPackage).await, (100, 1));
        assert_eq!(w.count(host.app_id, "", AssetClass::SystemPackage).await, (100, 1));
        assert_eq!(w.count(host.app_id, "", AssetClass::Account).await, (0, 1));
    }

    async fn a_chunk_over_its_limit_is_refused(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let items: Vec<_> = (0..5_001).map(|n| package(&format!("p{n}"), "1")).collect();
        let report_token = token(w, &host, &PACKAGES, &items).await;
        let mut whole = messages(&host, &report_token, offers(&PACKAGES, &items), &items);
        whole.splice(1..4, [part(&host, Part::Chunk(ReportChunk { items }))]);
        assert_eq!(reason(w.send(whole).await), Reason::InvalidField);

        let large = [package(&"n".repeat(5 << 20), "1")];
        let whole = messages(&host, &report_token, offers(&PACKAGES, &large), &large);
        assert_eq!(reason(w.send(whole).await), Reason::MessageTooLarge);
        assert_eq!(w.count(host.app_id, &host.id, AssetClass::SystemPackage).await, (0, 0));
    }

    async fn memory_for_reports_is_reserved_by_what_they_declare(w: World) {
        let small = w.replica(|config| config.report.budget_bytes = 1 << 20).await;
        let tenant = w.tenant().await;
        let (host, other) = (small.host(&tenant, "web-1").await, small.host(&tenant, "web-2").await);
        let items = [account("alice", 1000)];
        let report = async |host: &Host, declared_bytes: u64| {
            let report_token = token(&small, host, &ACCOUNTS, &items).await;
            let mut whole = messages(host, &report_token, offers(&ACCOUNTS, &items), &items);
            if let Some(Part::Header(header)) = &mut whole[0].part {
                header.declared_bytes = declared_bytes;
            }
            whole
        };
        // The first report has sent its header only, and holds what it declared.
        let (mut sender, receiver) = futures::channel::mpsc::channel(1);
        let mut held = report(&host, 1 << 20).await.into_iter();
        sender.try_send(held.next().unwrap()).unwrap();
        let mut assets = small.assets.clone();
        let first = tokio::spawn(async move { assets.report_assets(receiver).await });
        let refused = loop {
            let refused = small.send(report(&other, 1000).await).await;
            match refused {
                Err(status) => break status,
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(status::reason(&refused), Some(Reason::ReportBudget));
        assert!(status::retry_delay(&refused).is_some());
        for message in held {
            futures::SinkExt::send(&mut sender, message).await.unwrap();
        }
        drop(sender);
        assert_eq!(first.await.unwrap().unwrap().into_inner().results[0].added, 1);
        assert!(small.send(report(&other, 1 << 20).await).await.is_ok(), "it came back");
        small.end().await;
    }

    async fn a_silent_stream_and_an_old_token_are_refused(w: World) {
        let strict = w.replica(|config| {
            config.report.idle_timeout = Duration::from_millis(200);
            config.report.token_life = Duration::from_millis(1);
        })
        .await;
        let tenant = w.tenant().await;
        let host = strict.host(&tenant, "web-1").await;
        let items = [account("alice", 1000)];
        let report_token = token(&strict, &host, &ACCOUNTS, &items).await;
        let whole = messages(&host, &report_token, offers(&ACCOUNTS, &items), &items);
        let silent = futures::StreamExt::chain(futures::stream::iter(vec![whole[0].clone()]), futures::stream::pending());
        let refused = strict.assets.clone().report_assets(silent).await.map(|_| ());
        assert_eq!(reason(refused), Reason::StreamIncomplete);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(reason(strict.send(whole).await), Reason::ReportTokenStale);
        assert_eq!(w.count(host.app_id, &host.id, AssetClass::Account).await, (0, 0));
        strict.end().await;
    }

    async fn a_token_is_good_for_its_own_machine_and_tenant(w: World) {
        let (tenant, neighbour) = (w.tenant().await, w.tenant().await);
        let (host, other) = (w.host(&tenant, "web-1").await, w.host(&tenant, "web-2").await);
        let foreign = w.host(&neighbour, "web-1").await;
        let items = [account("alice", 1000)];
        let report_token = token(w, &host, &ACCOUNTS, &items).await;
        for host in [&other, &foreign] {
            let whole = messages(host, &report_token, offers(&ACCOUNTS, &items), &items);
            assert_eq!(reason(w.send(whole).await), Reason::ReportTokenInvalid);
        }
        let stranger = Host { id: uuid::Uuid::now_v7().to_string(), ..host.clone() };
        assert_eq!(reason(w.negotiate(&stranger, offers(&ACCOUNTS, &items)).await), Reason::MachineUnknown);
        let whole = messages(&stranger, &report_token, offers(&ACCOUNTS, &items), &items);
        assert_eq!(reason(w.send(whole).await), Reason::MachineUnknown);
    }

    async fn a_tenant_that_is_sealed_or_read_only_takes_no_report(w: World) {
        let tenant = w.tenant().await;
        let host = w.host(&tenant, "web-1").await;
        let items = [account("alice", 1000)];
        let report_token = token(w, &host, &ACCOUNTS, &items).await;
        let whole = messages(&host, &report_token, offers(&ACCOUNTS, &items), &items);
        for (state, wanted) in [(TenantState::ReadOnly, Reason::TenantReadOnly), (TenantState::Sealed, Reason::TenantFenced)] {
            w.fence(&tenant, state).await;
            assert_eq!(reason(w.send(whole.clone()).await), wanted);
            assert_eq!(reason(w.negotiate(&host, offers(&ACCOUNTS, &items)).await), wanted);
            assert_eq!(reason(w.register(registration(&tenant, "web-2")).await), wanted);
        }
        // A sealed tenant is told so at the header, before anything is sent.
        let silent = futures::StreamExt::chain(futures::stream::iter(vec![whole[0].clone()]), futures::stream::pending());
        assert_eq!(reason(w.assets.clone().report_assets(silent).await.map(|_| ())), Reason::TenantFenced);
        assert!(!w.rows(&tenant).await.contains_key("asset_account"));
    }
}
