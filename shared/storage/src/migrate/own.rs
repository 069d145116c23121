//! Storage's own tables, which every service has.

use std::sync::LazyLock;

use cwpp_contracts::common::v1::DataClass;

use super::{Migration, Table, column};
use crate::Type;
use crate::registry::Kind::{Bool, Bytes, Int, Text, Time, Uuid};
use crate::registry::{Erasable, Global, Kind};

/// Returns storage's migrations, which come before a service's.
pub(crate) fn migrations() -> Vec<Migration> {
    vec![
        Migration::table(
            "0001_tenant_fence",
            Table::of_tenant("tenant_fence")
                .uuid("incarnation")
                .small("state")
                .big("epoch")
                .big("scope_epoch")
                .key(&["app_id"]),
        ),
        Migration::table(
            "0002_closed_incarnation",
            Table::global("closed_incarnation").uuid("incarnation").time("closed_at").key(&["incarnation"]),
        ),
        Migration::table(
            "0003_erasure_run",
            Table::global("erasure_run")
                .uuid("incarnation")
                .big("token")
                .varchar("at_table", 64)
                .blob("position")
                .json("counts")
                .key(&["incarnation"]),
        ),
        Migration::table(
            "0004_idempotency",
            Table::of_tenant("idempotency")
                .uuid("request_id")
                .varchar("method", 96)
                .bytes("request_hash", 32)
                .blob("created_ids")
                .time("created_at")
                .key(&["app_id", "request_id"]),
        ),
        Migration::table(
            "0005_feed_pending",
            Table::of_tenant("feed_pending")
                .varchar("feed", 32)
                .uuid("entry_id")
                .blob("body")
                .time("written_at")
                .key(&["app_id", "feed", "entry_id"]),
        ),
        Migration::table(
            "0006_feed",
            Table::of_tenant("feed")
                .varchar("feed", 32)
                .big("position")
                .blob("body")
                .time("written_at")
                .key(&["app_id", "feed", "position"]),
        ),
        Migration::table(
            "0007_feed_head",
            Table::of_tenant("feed_head")
                .varchar("feed", 32)
                .big("position")
                .big("sequence")
                .time("changed_at")
                .key(&["app_id", "feed"]),
        ),
        // Serves the followers, who ask across tenants which heads rose: with that of marks the one index that does not begin with the tenant.
        Migration::index("0008_feed_head_sequence", "feed_head_sequence", "feed_head", &["feed", "sequence"]),
        Migration::table(
            "0009_feed_sequence",
            Table::global("feed_sequence").varchar("feed", 32).big("sequence").key(&["feed"]),
        ),
        Migration::table(
            "0010_feed_cursor",
            Table::of_tenant("feed_cursor")
                .varchar("source", 64)
                .uuid("incarnation")
                .big("position")
                .key(&["app_id", "source"]),
        ),
        Migration::table(
            "0011_feed_follow",
            Table::global("feed_follow").varchar("source", 64).big("sequence").key(&["source"]),
        ),
        Migration::table(
            "0012_lease",
            Table::global("lease").varchar("name", 64).uuid("holder").big("token").big("until_micros").key(&["name"]),
        ),
        // Serves the sweep of old request ids.
        Migration::index("0013_idempotency_age", "idempotency_age", "idempotency", &["app_id", "created_at"]),
        Migration::table(
            "0014_feed_mark_pending",
            Table::of_tenant("feed_mark_pending")
                .varchar("feed", 32)
                .uuid("entry_id")
                .uuid("entry_key")
                .bool("gone")
                .key(&["app_id", "feed", "entry_id"]),
        ),
        Migration::table(
            "0015_feed_mark",
            Table::of_tenant("feed_mark")
                .varchar("feed", 32)
                .uuid("entry_key")
                .big("sequence")
                .bool("gone")
                .big("marked_micros")
                .key(&["app_id", "feed", "entry_key"]),
        ),
        // Serves the readers of marks, who go through those of all tenants in one order.
        Migration::index(
            "0016_feed_mark_sequence",
            "feed_mark_sequence",
            "feed_mark",
            &["feed", "sequence", "entry_key"],
        ),
        Migration::column("0017_feed_forgotten", "feed_sequence", column("forgotten", Type::Big).default("0")),
        Migration::table(
            "0018_feed_place",
            Table::global("feed_place")
                .varchar("source", 64)
                .varchar("place", 255)
                .big("heard_micros")
                .key(&["source"]),
        ),
    ]
}

/// Names storage's tables of tenants in the order of the purge. The fence row is not among them: it goes when the
/// tenant is closed.
pub(crate) fn erasable() -> &'static [Erasable] {
    static TABLES: LazyLock<Vec<Erasable>> = LazyLock::new(|| {
        // The first columns are the key.
        let table = |name: &str, key: usize, columns: &[(&str, Kind)]| Erasable {
            table: name.to_owned(),
            data_class: DataClass::Operational,
            key: columns[..key].iter().map(|(c, _)| (*c).to_owned()).collect(),
            columns: columns.iter().map(|(c, k)| ((*c).to_owned(), *k)).collect(),
        };
        let (app_id, feed) = (("app_id", Int), ("feed", Text));
        vec![
            table("feed_pending", 3, &[app_id, feed, ("entry_id", Uuid), ("body", Bytes), ("written_at", Time)]),
            table("feed", 3, &[app_id, feed, ("position", Int), ("body", Bytes), ("written_at", Time)]),
            table("feed_mark_pending", 3, &[app_id, feed, ("entry_id", Uuid), ("entry_key", Uuid), ("gone", Bool)]),
            table(
                "feed_mark",
                3,
                &[app_id, feed, ("entry_key", Uuid), ("sequence", Int), ("gone", Bool), ("marked_micros", Int)],
            ),
            table("feed_head", 2, &[app_id, feed, ("position", Int), ("sequence", Int), ("changed_at", Time)]),
            table("feed_cursor", 2, &[app_id, ("source", Text), ("incarnation", Uuid), ("position", Int)]),
            table(
                "idempotency",
                2,
                &[
                    app_id,
                    ("request_id", Uuid),
                    ("method", Text),
                    ("request_hash", Bytes),
                    ("created_ids", Bytes),
                    ("created_at", Time),
                ],
            ),
        ]
    });
    &TABLES
}

/// Names storage's tables that hold nothing of tenants.
pub(crate) fn global() -> &'static [Global] {
    static TABLES: LazyLock<Vec<Global>> = LazyLock::new(|| {
        let table = |name: &str, reason| Global { table: name.to_owned(), reason };
        vec![
            table("closed_incarnation", "incarnations only, which name nobody"),
            table(
                "erasure_run",
                "progress of a purge by incarnation: table names and numbers; its position is emptied with the last row",
            ),
            table("feed_sequence", "two counters per feed"),
            table("feed_follow", "how far this service has followed another's feed"),
            table("feed_place", "how far this service has followed another's stream, and when that was heard"),
            table("lease", "who does which job"),
            table("schema_migration", "which steps of the schema were made"),
        ]
    });
    &TABLES
}
