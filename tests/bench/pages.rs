//! Any page of a million rows: pages deep inside a list against its first, for every order, cold and warm.

use std::time::{Duration, Instant};

use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::{Class, Process as Processes};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use tonic::transport::Channel;

use crate::Arguments;
use crate::fleet::{Fleet, TENANT};
use crate::items::items;

const MACHINES: usize = 1000;
const ROWS: usize = 1000;
/// Pages between two that are measured: 200 of the 1,000 pages of 1,000 rows.
const STRIDE: usize = 5;
/// First pages that are measured.
const FIRST: usize = 200;

/// Fills the tenant and prints the figures per order.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut admin = MySqlConnection::connect(&arguments.mysql).await?;
    let (mut inventory, ..) = crate::start(arguments, &mut admin, folder.path()).await?;
    let mix = [(AssetClass::Process, ROWS)];
    let fleet = Fleet::enrol(inventory.grpc, MACHINES, |n| items(n, &mix, 0, |_| 0)).await?;
    fleet.report(arguments.callers).await?;
    println!("{} rows of one class, {MACHINES} machines; pages of 50, times in ms:", MACHINES * ROWS);
    let orders = [ProcessOrder::FirstSeenTime, ProcessOrder::Name, ProcessOrder::User, ProcessOrder::StartTime];
    anyhow::ensure!(orders.len() == Processes.orders().len(), "an order is not measured");
    for order in orders {
        let tokens = tokens(fleet.assets.clone(), order).await?;
        let first = times(fleet.assets.clone(), order, &vec![String::new(); FIRST]).await?;
        // The first round comes to pages that were read once, long ago; the second finds them warm.
        let (cold, warm) =
            (times(fleet.assets.clone(), order, &tokens).await?, times(fleet.assets.clone(), order, &tokens).await?);
        let ms = |times: &[Duration], part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        println!(
            "  {:<36} first p50 {:.2} p99 {:.2}; deep p50 {:.2} p99 {:.2} cold, {:.2} {:.2} warm; p99 ratio {:.2} {:.2}",
            order.as_str_name(),
            ms(&first, 0.5),
            ms(&first, 0.99),
            ms(&cold, 0.5),
            ms(&cold, 0.99),
            ms(&warm, 0.5),
            ms(&warm, 0.99),
            ms(&cold, 0.99) / ms(&first, 0.99),
            ms(&warm, 0.99) / ms(&first, 0.99),
        );
    }
    inventory.stop()?;
    Ok(())
}

fn request(order: ProcessOrder, page_size: i32, page_token: &str) -> ListAssetsRequest {
    let query = Query::Process(ProcessQuery { order: order.into(), ..Default::default() });
    ListAssetsRequest {
        app_id: TENANT,
        query: Some(AssetQuery { query: Some(query) }),
        page: Some(Page { page_size, page_token: page_token.into() }),
        ..Default::default()
    }
}

/// Walks the whole list and keeps every so-manieth token.
async fn tokens(mut client: AssetServiceClient<Channel>, order: ProcessOrder) -> anyhow::Result<Vec<String>> {
    let (mut kept, mut token, mut seen) = (Vec::new(), String::new(), 0);
    for page in 0.. {
        let answer = client.list_assets(request(order, 1000, &token)).await?.into_inner();
        seen += answer.assets.len();
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        if page % STRIDE == 0 {
            kept.push(token.clone());
        }
    }
    anyhow::ensure!(seen == MACHINES * ROWS, "the list has {seen} rows");
    Ok(kept)
}

/// Asks for these pages one by one and returns the times, sorted.
async fn times(
    mut client: AssetServiceClient<Channel>,
    order: ProcessOrder,
    tokens: &[String],
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for token in tokens {
        let request = request(order, 50, token);
        let start = Instant::now();
        let answer = client.list_assets(request).await?.into_inner();
        times.push(start.elapsed());
        anyhow::ensure!(answer.assets.len() == 50, "a page of {} rows", answer.assets.len());
    }
    times.sort_unstable();
    Ok(times)
}
