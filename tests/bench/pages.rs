//! Any page of a million rows: pages deep inside a list against its first, for every order of a class, cold and warm.

use std::time::{Duration, Instant};

use anyhow::Context;
use cwpp_contracts::common::v1::Page;
use cwpp_contracts::inventory::v1::asset_service_client::AssetServiceClient;
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::class::{CLASSES, Class};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, Value};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use tonic::transport::Channel;

use crate::fleet::{Fleet, TENANT};
use crate::items::items;
use crate::{Arguments, ensure_held};

const MACHINES: usize = 1000;
const ROWS: usize = 1000;
/// Pages between two that are measured: 200 of the 1,000 pages of 1,000 rows.
const STRIDE: usize = 5;
/// First pages that are measured.
const FIRST: usize = 200;
/// Restarts of the server among the cold pages of an order.
const RESTARTS: usize = 5;
/// How much slower than the first any page may be, at the 99th percentile.
const LIMIT: f64 = 2.0;

/// Measures every order of the classes that are asked for, each class in a database of its own.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let is_asked = |class: &dyn Class| arguments.class.iter().any(|name| name == "all" || name == class.name());
    let classes: Vec<_> = CLASSES.iter().copied().filter(|class| is_asked(*class)).collect();
    anyhow::ensure!(!classes.is_empty(), "no class of these names");
    println!("{} rows of one class, {MACHINES} machines; pages of 50, times in ms:", MACHINES * ROWS);
    let mut is_held = true;
    for class in classes {
        is_held &= measure(arguments, class).await?;
    }
    ensure_held(&[("any page within 2 times of the first", is_held)])
}

/// The questions for a class, one an order, with the order's name.
fn questions(class: &dyn Class) -> anyhow::Result<Vec<(String, AssetQuery)>> {
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET)?;
    let outer = pool.get_message_by_name("cwpp.inventory.v1.AssetQuery").context("the query of assets")?;
    let field = outer.get_field_by_name(class.name()).context("the query of the class")?;
    let inner = field.kind().as_message().cloned().context("a message")?;
    let order = inner.get_field_by_name("order").context("an order")?;
    let orders: EnumDescriptor = order.kind().as_enum().cloned().context("an enum")?;
    let mut questions = Vec::new();
    for value in orders.values().filter(|value| value.number() != 0) {
        let mut query = DynamicMessage::new(inner.clone());
        query.set_field(&order, Value::EnumNumber(value.number()));
        let mut whole = DynamicMessage::new(outer.clone());
        whole.set_field(&field, Value::Message(query));
        questions.push((value.name().to_owned(), AssetQuery::decode(&whole.encode_to_vec()[..])?));
    }
    anyhow::ensure!(questions.len() == class.orders().len(), "an order of {} is not measured", class.name());
    Ok(questions)
}

/// Fills a tenant with one class and prints the figures per order; says whether they are within the limit.
async fn measure(arguments: &Arguments, class: &'static dyn Class) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let mut admin = MySqlConnection::connect(&arguments.mysql).await?;
    let (mut inventory, ..) = crate::start(arguments, &mut admin, folder.path()).await?;
    let mix = [(class.class(), ROWS)];
    let fleet = Fleet::enrol(inventory.grpc, MACHINES, |n| items(n, &mix, 0, |_| 0)).await?;
    fleet.report(arguments.callers).await?;
    let mut is_held = true;
    for (order, query) in questions(class)? {
        let tokens = tokens(fleet.assets.clone(), &query).await?;
        let (first_cold, cold) = cold(arguments, &fleet, &query, &tokens).await?;
        let first = times(fleet.assets.clone(), &query, &vec![String::new(); FIRST]).await?;
        if arguments.restart.is_some() {
            // Most of them were read before the last restart only.
            times(fleet.assets.clone(), &query, &tokens).await?;
        }
        let warm = times(fleet.assets.clone(), &query, &tokens).await?;
        let ms = |times: &[Duration], part: f64| {
            times[((times.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3
        };
        let first_cold = if first_cold.is_empty() { &first } else { &first_cold };
        let ratios = [ms(&cold, 0.99) / ms(first_cold, 0.99), ms(&warm, 0.99) / ms(&first, 0.99)];
        is_held &= ratios.iter().all(|ratio| *ratio <= LIMIT);
        println!(
            "  {order:<44} first {:.2} cold, p50 {:.2} p99 {:.2} warm; deep p50 {:.2} p99 {:.2} cold, {:.2} {:.2} warm; p99 ratio {:.2} {:.2}",
            ms(first_cold, 0.99),
            ms(&first, 0.5),
            ms(&first, 0.99),
            ms(&cold, 0.5),
            ms(&cold, 0.99),
            ms(&warm, 0.5),
            ms(&warm, 0.99),
            ratios[0],
            ratios[1],
        );
    }
    inventory.stop()?;
    Ok(is_held)
}

/// Asks for first pages and for these on a server that has nothing in memory, a part of them after each of several
/// restarts. Where it cannot be restarted, pages count as cold that were read only once, and no first page does.
async fn cold(
    arguments: &Arguments,
    fleet: &Fleet,
    query: &AssetQuery,
    tokens: &[String],
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let Some(command) = &arguments.restart else {
        return Ok((Vec::new(), times(fleet.assets.clone(), query, tokens).await?));
    };
    let (mut first, mut deep) = (Vec::new(), Vec::new());
    for part in tokens.chunks(tokens.len().div_ceil(RESTARTS)) {
        // Nor shall it load what it had when it ended.
        sqlx::query("SET GLOBAL innodb_buffer_pool_dump_at_shutdown = OFF")
            .execute(&mut MySqlConnection::connect(&arguments.mysql).await?)
            .await?;
        let done = tokio::process::Command::new("sh").args(["-c", command]).output().await?;
        anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fleet.wake().await?;
        // A page elsewhere opens the tables.
        times(fleet.assets.clone(), query, &tokens[tokens.len() / 2..][..1]).await?;
        first.extend(times(fleet.assets.clone(), query, &[String::new()]).await?);
        deep.extend(times(fleet.assets.clone(), query, part).await?);
    }
    first.sort_unstable();
    deep.sort_unstable();
    Ok((first, deep))
}

fn request(query: &AssetQuery, page_size: i32, page_token: &str) -> ListAssetsRequest {
    ListAssetsRequest {
        app_id: TENANT,
        query: Some(query.clone()),
        page: Some(Page { page_size, page_token: page_token.into() }),
        ..Default::default()
    }
}

/// Walks the whole list and keeps every so-manieth token.
async fn tokens(mut client: AssetServiceClient<Channel>, query: &AssetQuery) -> anyhow::Result<Vec<String>> {
    let (mut kept, mut token, mut seen) = (Vec::new(), String::new(), 0);
    for page in 0.. {
        let answer = client.list_assets(request(query, 1000, &token)).await?.into_inner();
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
    query: &AssetQuery,
    tokens: &[String],
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for token in tokens {
        let request = request(query, 50, token);
        let start = Instant::now();
        let answer = client.list_assets(request).await?.into_inner();
        times.push(start.elapsed());
        anyhow::ensure!(answer.assets.len() == 50, "a page of {} rows", answer.assets.len());
    }
    times.sort_unstable();
    Ok(times)
}
