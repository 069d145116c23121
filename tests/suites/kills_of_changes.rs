//! Inventory dies in the midst of a deletion of assets or of a tag's renaming: what was committed is there, whole and
//! counted, and a repeat does the rest.

use anyhow::ensure;
use cwpp_chassis::client::ClientConfig;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::machine_service_client::MachineServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_tests::host::{Content, Host};
use cwpp_tests::services::Services;
use cwpp_tests::world::{PATIENCE, mysql_server};

use crate::kills_of_reports::{counts_are_right, inventory, open};

const THERE: Content = Content { accounts: 0..6, packages: 0..40, version: "1.0" };

/// Holds a call at a point, kills the service there, and says that the call was not answered.
async fn dies<T: std::fmt::Debug + Send + 'static>(
    services: &mut Services,
    point: &str,
    call: impl Future<Output = Result<T, tonic::Status>> + Send + 'static,
) -> anyhow::Result<()> {
    let there = services.faults("inventory")?.hold(point);
    let call = tokio::spawn(call);
    let held = there.reached(PATIENCE).await?;
    services.kill("inventory").await?;
    drop(held);
    ensure!(call.await?.is_err(), "{point}: a process that is dead has answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_of_assets_that_is_killed_is_done_whole_or_not_at_all() -> anyhow::Result<()> {
    let mut services = inventory(mysql_server()?).await?;
    let once = ClientConfig { max_attempts: 1, ..Default::default() };
    for (n, (point, left)) in [("deletion.written", 40), ("deletion.committed", 30)].into_iter().enumerate() {
        let tenant = open(&services, 400 + n as u64).await?;
        let mut host = Host::enrol(services.channel("inventory")?, tenant.app_id, "web-1").await?;
        host.report(&THERE).await?;
        let packages = host.export(Query::SystemPackage(SystemPackageQuery::default())).await?;
        let name = |asset: &Asset| AssetName { machine_id: host.machine_id.clone(), asset_id: asset.asset_id.clone() };
        let request = DeleteAssetsRequest {
            app_id: tenant.app_id,
            asset_class: AssetClass::SystemPackage.into(),
            assets: packages[..10].iter().map(name).collect(),
            ..Default::default()
        };
        let (mut assets, repeated) =
            (AssetServiceClient::new(services.channel_as("inventory", &once)?), request.clone());
        dies(&mut services, point, async move { assets.delete_assets(request).await }).await?;
        let packages = async |host: &mut Host| host.export(Query::SystemPackage(SystemPackageQuery::default())).await;
        ensure!(packages(&mut host).await?.len() == left, "{point}: neither all nor none");
        counts_are_right(&mut host).await?;
        let mut assets = AssetServiceClient::new(services.channel("inventory")?);
        let deleted = assets.delete_assets(repeated).await?.into_inner();
        ensure!(deleted.assets as usize == left - 30, "{point}: {deleted:?}");
        ensure!(packages(&mut host).await?.len() == 30, "{point}: the repeat");
        counts_are_right(&mut host).await?;
        // The agent's next report brings them back.
        host.report(&THERE).await?;
        ensure!(packages(&mut host).await?.len() == 40, "{point}: the report");
        counts_are_right(&mut host).await?;
    }
    services.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renaming_of_a_tag_that_is_killed_is_counted_and_can_be_repeated() -> anyhow::Result<()> {
    const HOSTS: usize = 130;
    let mut services = inventory(mysql_server()?).await?;
    let tenant = open(&services, 500).await?;
    let app_id = tenant.app_id;
    let mut ids = Vec::new();
    for n in 0..HOSTS {
        ids.push(Host::enrol(services.channel("inventory")?, app_id, &format!("web-{n}")).await?.machine_id);
    }
    let mut machines = MachineServiceClient::new(services.channel("inventory")?);
    for ids in ids.chunks(100) {
        let add = vec!["blue".to_owned()];
        let request = ChangeTagsRequest { app_id, machine_ids: ids.to_vec(), add, ..Default::default() };
        machines.change_tags(request).await?;
    }
    let once = ClientConfig { max_attempts: 1, ..Default::default() };
    let request = RenameTagRequest { app_id, tag: "blue".into(), new_tag: "navy".into() };
    let (mut client, repeated) = (MachineServiceClient::new(services.channel_as("inventory", &once)?), request.clone());
    dies(&mut services, "tags.replaced", async move { client.rename_tag(request).await }).await?;
    let mut machines = MachineServiceClient::new(services.channel("inventory")?);
    for (is_repeated, wanted) in [(false, [("blue", 30), ("navy", 100)].as_slice()), (true, &[("navy", 130)])] {
        if is_repeated {
            let done = machines.rename_tag(repeated.clone()).await?.into_inner();
            ensure!((done.machines, done.more) == (30, false), "{done:?}");
        }
        let counts = machines.list_tags(ListTagsRequest { app_id, ..Default::default() }).await?.into_inner().tags;
        let counts: Vec<_> = counts.iter().map(|count| (count.tag.as_str(), count.machines)).collect();
        ensure!(counts == wanted, "{counts:?}");
        for (tag, number) in counts {
            let page = Some(cwpp_contracts::common::v1::Page { page_size: 1000, ..Default::default() });
            let filter = Some(Filter::Tag(tag.to_owned()));
            let listed =
                machines.list_machines(ListMachinesRequest { app_id, filter, page, ..Default::default() }).await?;
            ensure!(listed.into_inner().machines.len() as u64 == number, "{tag}");
        }
    }
    services.end().await
}
