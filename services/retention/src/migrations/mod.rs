//! The schema, step by step, and what its tables hold.

use cwpp_contracts::common::v1::DataClass;
use cwpp_storage::migrate::{Migration, Table};
use cwpp_storage::registry::Registry;

use crate::{certificate, deletion, ledger, tenant};

/// Returns the tables of the service.
pub(crate) fn registry() -> Registry {
    Registry::new("retention")
        .erasable(tenant::entity::opening::Entity, DataClass::Operational)
        .global(tenant::entity::cursor::Entity, "how far the tenants' feed was followed")
        .global(deletion::entity::deletion::Entity, "deletions by incarnation; they outlive the tenant as the proof")
        .global(deletion::entity::service::Entity, "progress of deletions: names of services and numbers")
        .global(deletion::entity::count::Entity, "rows deleted: names of tables and numbers")
        .global(ledger::entity::entry::Entity, "changes of state by incarnation; never changed")
        .global(ledger::entity::head::Entity, "the end of the ledger")
        .global(certificate::entity::Entity, "certificates by deletion; they hold nothing personal")
        .migrations(steps())
}

fn steps() -> Vec<Migration> {
    vec![
        Migration::table(
            "0101_tenant_opening",
            Table::of_tenant("tenant_opening").uuid("incarnation").int("attempt").big("retry_micros").key(&["app_id"]),
        ),
        Migration::table(
            "0102_tenant_cursor",
            Table::global("tenant_cursor").varchar("source", 64).varchar("position", 255).key(&["source"]),
        ),
        Migration::table(
            "0103_deletion",
            Table::global("deletion")
                .uuid("id")
                .uuid("incarnation")
                .uuid_null("running_of")
                .small("cause")
                .small("state")
                .bool("stalled")
                .varchar("blocker", 255)
                .time("effective_time")
                .time("request_time")
                .time("state_time")
                .time_null("due_time")
                .big("retry_micros")
                .int("attempt")
                .big("token")
                .big("purge_token")
                .time_null("sealing_time")
                .time_null("sealed_time")
                .time_null("purged_time")
                .time_null("verified_time")
                .time_null("confirmed_time")
                .time_null("certified_time")
                .version()
                .key(&["id"]),
        ),
        // One deletion of a tenant at a time.
        Migration::unique_index("0104_deletion_running", "deletion_running", "deletion", &["running_of"]),
        // The worker's search for what is due.
        Migration::index("0105_deletion_due", "deletion_due", "deletion", &["due_time"]),
        // The brake's count of seals in the last hour.
        Migration::index("0106_deletion_sealing", "deletion_sealing", "deletion", &["sealing_time"]),
        // All deletions of one life: a new one takes over what a cancelled one left.
        Migration::index("0107_deletion_incarnation", "deletion_incarnation", "deletion", &["incarnation"]),
        Migration::table(
            "0108_deletion_service",
            Table::global("deletion_service")
                .uuid("deletion_id")
                .varchar("service", 32)
                .bool("fenced")
                .big("epoch")
                .bool("purged")
                .big_null("passed_micros")
                .bool("verified")
                .bool("closed")
                .big("tables_counted")
                .varchar("registry_hash", 64)
                .varchar("server_id", 64)
                .key(&["deletion_id", "service"]),
        ),
        Migration::table(
            "0109_deletion_count",
            Table::global("deletion_count")
                .uuid("deletion_id")
                .varchar("service", 32)
                .varchar("table_name", 64)
                .small("data_class")
                .big("row_count")
                .key(&["deletion_id", "service", "table_name"]),
        ),
        Migration::table(
            "0110_ledger",
            Table::global("ledger")
                .big("seq")
                .uuid("incarnation")
                .varchar("state", 16)
                .varchar_null("certificate", 64)
                .text("body")
                .varchar("hash", 64)
                .key(&["seq"]),
        ),
        // Finds a certificate's entry.
        Migration::index("0111_ledger_incarnation", "ledger_incarnation", "ledger", &["incarnation", "seq"]),
        Migration::table(
            "0112_ledger_head",
            Table::global("ledger_head").small("id").big("seq").varchar("hash", 64).key(&["id"]),
        ),
        Migration::table(
            "0113_certificate",
            Table::global("certificate").uuid("deletion_id").long_text("body").text("public_key").key(&["deletion_id"]),
        ),
    ]
}
