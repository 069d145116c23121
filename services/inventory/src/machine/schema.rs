//! The tables of machines.

use cwpp_storage::Type;
use cwpp_storage::migrate::{Migration, Table, column};

/// Returns the steps in order.
pub(crate) fn steps() -> Vec<Migration> {
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
                .varchar("provider", 63)
                .varchar("instance_id", 63)
                .varchar("region", 63)
                .varchar("serial_number", 127)
                .varchar("product_name", 255)
                .json("components")
                .small("instance_state")
                .varchar("remark", 255)
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
                .time_null("nonce_since_at")
                .time_null("nonce_seen_at")
                .uuid("boot")
                .double_null("cpu_percent")
                .double_null("memory_percent")
                .double_null("disk_percent")
                .double_null("load_average")
                .time_null("last_checked_at")
                .time_null("load_at")
                .time_null("uninstalled_at")
                .key(&["app_id", "machine_id"]),
        ),
        Migration::table(
            "1007_machine_claim",
            Table::of_tenant("machine_claim")
                .uuid("machine_id")
                .bytes("nonce", 16)
                .time("since_at")
                .time("seen_at")
                .key(&["app_id", "machine_id", "nonce"]),
        ),
        // Serves lists by instance id, exact or prefix.
        Migration::index(
            "1008_machine_instance_id",
            "machine_instance_id",
            "machine",
            &["app_id", "instance_id", "machine_id"],
        ),
        // Serves the summary, which reads nothing else of the machines.
        Migration::index(
            "1009_machine_kind",
            "machine_kind",
            "machine",
            &["app_id", "os_type", "machine_type", "instance_state", "provider", "created_at"],
        ),
        Migration::table(
            "1010_machine_tag",
            Table::of_tenant("machine_tag").uuid("machine_id").varchar("tag", 63).key(&["app_id", "machine_id", "tag"]),
        ),
        // Serves lists by tag.
        Migration::index("1011_machine_tag_tag", "machine_tag_tag", "machine_tag", &["app_id", "tag", "machine_id"]),
        Migration::table(
            "1012_machine_load",
            Table::of_tenant("machine_load")
                .uuid("machine_id")
                .small("slot")
                .time("at")
                .double_null("cpu_percent")
                .double_null("memory_percent")
                .double_null("disk_percent")
                .double_null("load_average")
                .key(&["app_id", "machine_id", "slot"]),
        ),
        Migration::table(
            "1013_machine_removal",
            Table::of_tenant("machine_removal").uuid("machine_id").time("removed_at").key(&["app_id", "machine_id"]),
        ),
        // Serves lists by the cloud's ids of instances.
        Migration::index("1014_machine_quuid", "machine_quuid", "machine", &["app_id", "quuid", "machine_id"]),
        Migration::table(
            "1015_machine_address",
            Table::of_tenant("machine_address").uuid("machine_id").varchar("address", 63).key(&[
                "app_id",
                "machine_id",
                "address",
            ]),
        ),
        // Serves lists by any address.
        Migration::index(
            "1016_machine_address_address",
            "machine_address_address",
            "machine_address",
            &["app_id", "address", "machine_id"],
        ),
        Migration::table(
            "1017_machine_tag_count",
            Table::of_tenant("machine_tag_count").varchar("tag", 63).unsigned("machines").key(&["app_id", "tag"]),
        ),
        // Serves the list of tags by number of machines.
        Migration::index(
            "1018_machine_tag_count_machines",
            "machine_tag_count_machines",
            "machine_tag_count",
            &["app_id", "machines", "tag"],
        ),
        Migration::table(
            "1019_machine_day",
            Table::of_tenant("machine_day")
                .int("day")
                .time("counted_at")
                .unsigned("online")
                .unsigned("offline")
                .unsigned("uninstalled")
                .unsigned("new_machines")
                .key(&["app_id", "day"]),
        ),
        // Serves the list of the names of operating systems.
        Migration::index("1020_machine_os_name", "machine_os_name", "machine", &["app_id", "os_name", "machine_id"]),
        Migration::table(
            "1021_machine_removed_day",
            Table::of_tenant("machine_removed_day")
                .int("day")
                .bool("by_rule")
                .unsigned("machines")
                .key(&["app_id", "day", "by_rule"]),
        ),
        Migration::column(
            "1022_machine_public_ip_address",
            "machine",
            column("public_ip_address", Type::Varchar(63)).default("''"),
        ),
    ]
}
