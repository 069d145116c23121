//! The schema of inventory: one statement a step, never changed after a release.

mod hosts;
mod software;

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(crate) fn all() -> Vec<Migration> {
    let collection = crate::collection::migrations();
    [machines(), snapshots(), accounts(), system_packages(), hosts::all(), software::all(), collection].concat()
}

fn machines() -> Vec<Migration> {
    vec![
        Migration::table(
            "1001_machine",
            Table::of_tenant("machine")
                .uuid("machine_id")
                .uuid("identity")
                .varchar("quuid", 63)
                .bytes("host_id_hash", 32)
                .varchar("name", 255)
                .varchar("ip_address", 63)
                .json("ip_addresses")
                .small("machine_type")
                .small("os_type")
                .varchar("os_name", 255)
                .varchar("kernel_version", 255)
                .varchar("architecture", 63)
                .varchar("agent_version", 63)
                .time_null("agent_installed_at")
                .time_null("booted_at")
                .time_null("last_user_login_at")
                .time("created_at")
                .time("updated_at")
                .version()
                .key(&["app_id", "machine_id"]),
        ),
        // Serves the registration: one machine per identity.
        Migration::unique_index("1002_machine_identity", "machine_identity", "machine", &["app_id", "identity"]),
        // Serves lists by enrolment.
        Migration::index("1003_machine_created", "machine_created", "machine", &["app_id", "created_at", "machine_id"]),
        // Serves lists by name, exact or prefix.
        Migration::index("1004_machine_name", "machine_name", "machine", &["app_id", "name", "machine_id"]),
        // Serves lists by address, exact or prefix.
        Migration::index(
            "1005_machine_ip_address",
            "machine_ip_address",
            "machine",
            &["app_id", "ip_address", "machine_id"],
        ),
        Migration::table(
            "1006_machine_liveness",
            Table::of_tenant("machine_liveness")
                .uuid("machine_id")
                .time("last_seen_at")
                .big("clock_skew_us")
                .bool("clock_clamped")
                .bytes("instance_nonce", 16)
                .double_null("cpu_percent")
                .double_null("memory_percent")
                .double_null("disk_percent")
                .time_null("last_checked_at")
                .key(&["app_id", "machine_id"]),
        ),
    ]
}

fn snapshots() -> Vec<Migration> {
    vec![
        Migration::table(
            "1101_asset_snapshot",
            Table::of_tenant("asset_snapshot")
                .uuid("machine_id")
                .small("asset_class")
                .bytes("digest", 64)
                .uuid("fingerprint")
                .big("token_us")
                .big("items")
                .big("found")
                .bool("complete")
                .time("applied_at")
                .version()
                .key(&["app_id", "machine_id", "asset_class"]),
        ),
        Migration::table(
            "1102_asset_class_count",
            Table::of_tenant("asset_class_count")
                .small("asset_class")
                .big("items")
                .big("machines")
                .key(&["app_id", "asset_class"]),
        ),
        Migration::table(
            "1103_asset_count_delta",
            Table::of_tenant("asset_count_delta")
                .uuid("delta_id")
                .small("asset_class")
                .big("items")
                .big("machines")
                .key(&["app_id", "delta_id"]),
        ),
    ]
}

/// A class's table up to its own columns.
fn class(name: &'static str) -> Table {
    Table::of_tenant(name).uuid("machine_id").uuid("item_key").uuid("row_hash").time("first_seen_at").time("updated_at")
}

const KEY: [&str; 3] = ["app_id", "machine_id", "item_key"];

fn accounts() -> Vec<Migration> {
    const TABLE: &str = "asset_account";
    vec![
        Migration::table(
            "1201_asset_account",
            class(TABLE)
                .varchar("name", 255)
                .unsigned("uid")
                .unsigned("gid")
                .varchar("group_name", 255)
                .json("further_groups")
                .text("home")
                .text("shell")
                .text("comment")
                .bool_null("enabled")
                .bool_null("sudo")
                .bool("interactive")
                .small("login_type")
                .time_null("password_changed_at")
                .time_null("password_expires_at")
                .small("password_status")
                .time_null("last_login_at")
                .varchar("last_login_source", 255)
                .varchar("last_login_terminal", 63)
                .bool("escaped")
                .json("authorized_keys")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "1202_asset_account_first_seen",
            "asset_account_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter by name, and the order by it.
        Migration::index(
            "1203_asset_account_name",
            "asset_account_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the filter by user id, and the order by it.
        Migration::index(
            "1204_asset_account_uid",
            "asset_account_uid",
            TABLE,
            &["app_id", "uid", "machine_id", "item_key"],
        ),
    ]
}

fn system_packages() -> Vec<Migration> {
    const TABLE: &str = "asset_system_package";
    vec![
        Migration::table(
            "1301_asset_system_package",
            class(TABLE)
                .small("kind")
                .varchar("name", 255)
                .varchar("version", 255)
                .varchar("architecture", 63)
                .varchar("source_name", 255)
                .varchar("source_version", 255)
                .time_null("installed_at")
                .text("purl")
                .bool("escaped")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "1302_asset_system_package_first_seen",
            "asset_system_package_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter by name, and the order by it.
        Migration::index(
            "1303_asset_system_package_name",
            "asset_system_package_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the order by time of installation.
        Migration::index(
            "1304_asset_system_package_installed",
            "asset_system_package_installed",
            TABLE,
            &["app_id", "installed_at", "machine_id", "item_key"],
        ),
    ]
}
