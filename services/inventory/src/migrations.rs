//! The schema of inventory: one statement a step, never changed after a release.

mod counts;
mod hosts;
mod software;

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(crate) fn all() -> Vec<Migration> {
    let (machines, policies) = (crate::machine::schema::steps(), crate::policy::migrations());
    [machines, snapshots(), counts::all(), accounts(), system_packages(), hosts::all(), software::all(), policies]
        .concat()
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
                .int("new_day")
                .big("new_items")
                .bool("complete")
                .time("applied_at")
                .version()
                .key(&["app_id", "machine_id", "asset_class"]),
        ),
        Migration::table(
            "1102_class_form",
            Table::global("class_form").small("asset_class").big("form").time("since").key(&["asset_class"]),
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
                .time_null("account_expires_at")
                .unsigned_null("password_warn_days")
                .unsigned_null("password_lock_days")
                .bool_null("ssh_login")
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
        // Serves the order by last login.
        Migration::index(
            "1205_asset_account_last_login",
            "asset_account_last_login",
            TABLE,
            &["app_id", "last_login_at", "machine_id", "item_key"],
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
                .varchar("description", 255)
                .text("path")
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
