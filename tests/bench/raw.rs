//! The limit: the same rows into the same tables, by the same driver, without anything of ours in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

/// Rows of one statement.
const ROWS: usize = 200;

/// Rows of one machine per table, as SQL literals.
type MachineRows = BTreeMap<String, Vec<String>>;

/// Reads all rows of these tables, grouped by machine; rows without a machine go with the first.
pub(crate) async fn copy_out(pool: &MySqlPool, tables: &[String]) -> anyhow::Result<Vec<MachineRows>> {
    let mut machines: BTreeMap<Vec<u8>, MachineRows> = BTreeMap::new();
    for table in tables {
        let columns = sqlx::query(
            "SELECT CAST(column_name AS CHAR) AS c, CAST(data_type AS CHAR) AS t FROM information_schema.columns
             WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position",
        )
        .bind(table)
        .fetch_all(pool)
        .await?;
        anyhow::ensure!(!columns.is_empty(), "no table {table}");
        let mut literals = Vec::new();
        let mut has_machine = false;
        for column in &columns {
            let (name, kind): (String, String) = (column.get("c"), column.get("t"));
            has_machine |= name == "machine_id";
            literals.push(match kind.as_str() {
                "binary" | "varbinary" | "blob" | "mediumblob" | "longblob" => {
                    format!(
                        "IF(`{name}` IS NULL, 'NULL', IF(LENGTH(`{name}`) = 0, '\\'\\'', CONCAT('0x', HEX(`{name}`))))"
                    )
                }
                _ => format!("QUOTE(`{name}`)"),
            });
        }
        // The columns differ in collation; a literal is the same in any.
        let one = |literal: &String| format!("CONVERT({literal} USING utf8mb4) COLLATE utf8mb4_0900_bin");
        let spelled: Vec<_> = literals.iter().map(one).collect();
        let machine = if has_machine { "machine_id" } else { "''" };
        let sql = format!(
            "SELECT CAST({machine} AS BINARY) AS m, CONCAT('(', {}, ')') AS r FROM `{table}`",
            spelled.join(", ',', ")
        );
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await? {
            let machine: Vec<u8> = row.get("m");
            let literal: Vec<u8> =
                row.try_get::<Vec<u8>, _>("r").or_else(|_| row.try_get::<String, _>("r").map(String::into_bytes))?;
            let literal = String::from_utf8(literal).context("a literal")?;
            machines.entry(machine).or_default().entry(table.clone()).or_default().push(literal);
        }
    }
    // Rows without a machine (one delta row a report) are dealt out evenly.
    if let Some(loose) = machines.remove(&Vec::new()) {
        let mut targets: Vec<_> = machines.values_mut().collect();
        let n = targets.len();
        for (table, rows) in loose {
            for (i, row) in rows.into_iter().enumerate() {
                targets[i % n].entry(table.clone()).or_default().push(row);
            }
        }
    }
    Ok(machines.into_values().collect())
}

/// Inserts the rows, one machine a transaction, over this many connections; returns the time that it took.
pub(crate) async fn insert(url: &str, machines: Vec<MachineRows>, connections: usize) -> anyhow::Result<Duration> {
    let machines = Arc::new(machines);
    let next = Arc::new(AtomicUsize::new(0));
    let mut opened = Vec::new();
    for _ in 0..connections {
        let mut connection = MySqlConnection::connect(url).await?;
        connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        opened.push(connection);
    }
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in opened {
        let (machines, next) = (machines.clone(), next.clone());
        tasks.spawn(async move {
            while let Some(machine) = machines.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut tx = connection.begin().await?;
                for (table, rows) in machine {
                    for chunk in rows.chunks(ROWS) {
                        let sql = format!("INSERT INTO `{table}` VALUES {}", chunk.join(","));
                        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
                    }
                }
                tx.commit().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(start.elapsed())
}
