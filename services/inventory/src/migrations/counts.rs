//! Counts of assets, the history of accounts, and what could not be read.

use cwpp_storage::migrate::{Migration, Table};

/// Returns the steps in order.
pub(super) fn all() -> Vec<Migration> {
    [counts(), account_changes(), unread()].concat()
}

fn counts() -> Vec<Migration> {
    vec![
        Migration::table(
            "1111_asset_class_count",
            Table::of_tenant("asset_class_count")
                .small("asset_class")
                .big("items")
                .big("machines")
                .big("repairs")
                .key(&["app_id", "asset_class"]),
        ),
        Migration::table(
            "1112_asset_day_count",
            Table::of_tenant("asset_day_count").int("day").small("asset_class").big("items").key(&[
                "app_id",
                "day",
                "asset_class",
            ]),
        ),
        Migration::table(
            "1113_asset_value_count",
            Table::of_tenant("asset_value_count")
                .small("asset_class")
                .varchar("value", 255)
                .big("items")
                .big("machines_negated")
                .key(&["app_id", "asset_class", "value"]),
        ),
        // Serves the values of a class by machines, most first.
        Migration::index(
            "1114_asset_value_count_machines",
            "asset_value_count_machines",
            "asset_value_count",
            &["app_id", "asset_class", "machines_negated", "value"],
        ),
        Migration::table(
            "1115_asset_count_delta",
            Table::of_tenant("asset_count_delta")
                .small("asset_class")
                .uuid("delta_id")
                .big("items")
                .big("machines")
                .blob("days")
                .int("weight")
                .blob("changes")
                .key(&["app_id", "asset_class", "delta_id"]),
        ),
    ]
}

fn account_changes() -> Vec<Migration> {
    const TABLE: &str = "account_change";
    vec![
        // The key serves the changes of a machine, by time.
        Migration::table(
            "1121_account_change",
            Table::of_tenant(TABLE)
                .uuid("machine_id")
                .time("changed_at")
                .uuid("change_id")
                .varchar("name", 255)
                .small("kind")
                .json("fields")
                .key(&["app_id", "machine_id", "changed_at", "change_id"]),
        ),
        // Serves the changes of all machines, by time.
        Migration::index(
            "1122_account_change_time",
            "account_change_time",
            TABLE,
            &["app_id", "changed_at", "machine_id", "change_id"],
        ),
        // Serves the changes of one name on all machines, by time.
        Migration::index(
            "1123_account_change_name",
            "account_change_name",
            TABLE,
            &["app_id", "name", "changed_at", "machine_id", "change_id"],
        ),
        // Serves the changes of one name on a machine, by time.
        Migration::index(
            "1124_account_change_machine_name",
            "account_change_machine_name",
            TABLE,
            &["app_id", "machine_id", "name", "changed_at", "change_id"],
        ),
    ]
}

fn unread() -> Vec<Migration> {
    vec![
        Migration::table(
            "1131_asset_unread",
            Table::of_tenant("asset_unread")
                .uuid("machine_id")
                .small("asset_class")
                .varchar("reason", 255)
                .unsigned("left_out")
                .unsigned("cut")
                .time("since")
                .key(&["app_id", "machine_id", "asset_class"]),
        ),
        // Serves the list of one class, and the counts of machines by class.
        Migration::index(
            "1132_asset_unread_class",
            "asset_unread_class",
            "asset_unread",
            &["app_id", "asset_class", "machine_id"],
        ),
    ]
}
