//! Tables of software: applications, databases, what serves the web, jars.

use cwpp_storage::migrate::Migration;

use super::{KEY, class};

/// Returns the steps in order.
pub(super) fn all() -> Vec<Migration> {
    [
        software_application(),
        database_instance(),
        web_application(),
        web_service(),
        web_framework(),
        web_site(),
        jar_package(),
    ]
    .concat()
}

fn software_application() -> Vec<Migration> {
    const TABLE: &str = "asset_software_application";
    vec![
        Migration::table(
            "2201_asset_software_application",
            class(TABLE)
                .small("kind")
                .varchar("name", 255)
                .varchar("version", 255)
                .text("bin_path")
                .text("config_path")
                .unsigned("process_count")
                .text("description")
                .varchar("package_name", 255)
                .bool("escaped")
                .varchar("container_id", 64)
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2202_asset_software_application_first_seen",
            "asset_software_application_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "2203_asset_software_application_name",
            "asset_software_application_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the order by number of processes.
        Migration::index(
            "2204_asset_software_application_process_count",
            "asset_software_application_process_count",
            TABLE,
            &["app_id", "process_count", "machine_id", "item_key"],
        ),
    ]
}

fn database_instance() -> Vec<Migration> {
    const TABLE: &str = "asset_database_instance";
    vec![
        Migration::table(
            "2401_asset_database_instance",
            class(TABLE)
                .small("kind")
                .varchar("version", 255)
                .varchar("bind_address", 63)
                .unsigned("port")
                .small("protocol")
                .varchar("user", 255)
                .text("bin_path")
                .text("config_path")
                .text("data_path")
                .text("log_path")
                .text("error_log_path")
                .text("plugin_path")
                .text("command_line")
                .unsigned_null("pid")
                .varchar("package_name", 255)
                .varchar("container_id", 64)
                .bool("escaped")
                .varchar("data_permission", 15)
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2402_asset_database_instance_first_seen",
            "asset_database_instance_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by product.
        Migration::index(
            "2403_asset_database_instance_kind",
            "asset_database_instance_kind",
            TABLE,
            &["app_id", "kind", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by port.
        Migration::index(
            "2404_asset_database_instance_port",
            "asset_database_instance_port",
            TABLE,
            &["app_id", "port", "machine_id", "item_key"],
        ),
    ]
}

fn web_application() -> Vec<Migration> {
    const TABLE: &str = "asset_web_application";
    vec![
        Migration::table(
            "2501_asset_web_application",
            class(TABLE)
                .varchar("name", 255)
                .varchar("version", 255)
                .text("root_path")
                .small("service")
                .varchar("domain", 255)
                .text("virtual_path")
                .json("plugins")
                .unsigned("plugin_count")
                .varchar("user", 255)
                .bool("escaped")
                .varchar("container_id", 64)
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2502_asset_web_application_first_seen",
            "asset_web_application_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "2503_asset_web_application_name",
            "asset_web_application_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by domain.
        Migration::index(
            "2504_asset_web_application_domain",
            "asset_web_application_domain",
            TABLE,
            &["app_id", "domain", "machine_id", "item_key"],
        ),
        // Serves the order by number of plugins.
        Migration::index(
            "2505_asset_web_application_plugin_count",
            "asset_web_application_plugin_count",
            TABLE,
            &["app_id", "plugin_count", "machine_id", "item_key"],
        ),
    ]
}

fn web_service() -> Vec<Migration> {
    const TABLE: &str = "asset_web_service";
    vec![
        Migration::table(
            "2601_asset_web_service",
            class(TABLE)
                .small("kind")
                .varchar("version", 255)
                .text("bin_path")
                .text("install_path")
                .text("config_path")
                .varchar("user", 255)
                .unsigned("process_count")
                .varchar("package_name", 255)
                .varchar("container_id", 64)
                .bool("escaped")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2602_asset_web_service_first_seen",
            "asset_web_service_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by product.
        Migration::index(
            "2603_asset_web_service_kind",
            "asset_web_service_kind",
            TABLE,
            &["app_id", "kind", "machine_id", "item_key"],
        ),
        // Serves the order by number of processes.
        Migration::index(
            "2604_asset_web_service_process_count",
            "asset_web_service_process_count",
            TABLE,
            &["app_id", "process_count", "machine_id", "item_key"],
        ),
    ]
}

fn web_framework() -> Vec<Migration> {
    const TABLE: &str = "asset_web_framework";
    vec![
        Migration::table(
            "2701_asset_web_framework",
            class(TABLE)
                .varchar("name", 255)
                .varchar("version", 255)
                .small("language")
                .small("service")
                .text("path")
                .unsigned("jar_count")
                .unsigned_null("pid")
                .bool("escaped")
                .varchar("container_id", 64)
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2702_asset_web_framework_first_seen",
            "asset_web_framework_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "2703_asset_web_framework_name",
            "asset_web_framework_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the order by number of jar packages.
        Migration::index(
            "2704_asset_web_framework_jar_count",
            "asset_web_framework_jar_count",
            TABLE,
            &["app_id", "jar_count", "machine_id", "item_key"],
        ),
    ]
}

fn web_site() -> Vec<Migration> {
    const TABLE: &str = "asset_web_site";
    vec![
        Migration::table(
            "2801_asset_web_site",
            class(TABLE)
                .varchar("domain", 255)
                .unsigned("port")
                .small("protocol")
                .varchar("bind_address", 63)
                .small("service")
                .text("root_path")
                .varchar("root_owner", 255)
                .varchar("root_permission", 15)
                .varchar("user", 255)
                .text("config_path")
                .text("command_line")
                .json("paths")
                .unsigned("path_count")
                .bool("escaped")
                .varchar("container_id", 64)
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2802_asset_web_site_first_seen",
            "asset_web_site_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by domain.
        Migration::index(
            "2803_asset_web_site_domain",
            "asset_web_site_domain",
            TABLE,
            &["app_id", "domain", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by port.
        Migration::index(
            "2804_asset_web_site_port",
            "asset_web_site_port",
            TABLE,
            &["app_id", "port", "machine_id", "item_key"],
        ),
        // Serves the order by number of paths.
        Migration::index(
            "2805_asset_web_site_path_count",
            "asset_web_site_path_count",
            TABLE,
            &["app_id", "path_count", "machine_id", "item_key"],
        ),
    ]
}

fn jar_package() -> Vec<Migration> {
    const TABLE: &str = "asset_jar_package";
    vec![
        Migration::table(
            "2901_asset_jar_package",
            class(TABLE)
                .varchar("name", 255)
                .varchar("version", 255)
                .varchar("group_id", 255)
                .text("path")
                .text("inner_path")
                .bytes("sha256", 32)
                .small("kind")
                .bool_null("executable")
                .text("purl")
                .json("processes")
                .bool("escaped")
                .varchar("container_id", 64)
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2902_asset_jar_package_first_seen",
            "asset_jar_package_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "2903_asset_jar_package_name",
            "asset_jar_package_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
    ]
}
