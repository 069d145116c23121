//! Tables of what the operating system has: resources, ports, processes, services, tasks, variables, modules.

use cwpp_storage::migrate::Migration;

use super::{KEY, class};

/// Returns the steps in order.
pub(super) fn all() -> Vec<Migration> {
    [
        resource(),
        listening_port(),
        process(),
        startup_service(),
        scheduled_task(),
        environment_variable(),
        kernel_module(),
    ]
    .concat()
}

fn resource() -> Vec<Migration> {
    const TABLE: &str = "asset_resource";
    vec![
        Migration::table(
            "2001_asset_resource",
            class(TABLE)
                .small("kind")
                .varchar("name", 255)
                .text("mount_path")
                .varchar("filesystem", 63)
                .big_null("size_bytes")
                .big_null("used_bytes")
                .varchar("mac_address", 63)
                .json("ip_addresses")
                .varchar("gateway", 63)
                .json("dns_servers")
                .bool_null("up")
                .varchar("cpu_model", 255)
                .unsigned_null("cpu_count")
                .big_null("swap_bytes")
                .varchar("manufacturer", 255)
                .varchar("product_name", 255)
                .varchar("serial_number", 255)
                .bool("escaped")
                .unsigned("partition_count")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2002_asset_resource_first_seen",
            "asset_resource_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "2003_asset_resource_name",
            "asset_resource_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the order by number of partitions.
        Migration::index(
            "2004_asset_resource_partition_count",
            "asset_resource_partition_count",
            TABLE,
            &["app_id", "partition_count", "machine_id", "item_key"],
        ),
    ]
}

fn listening_port() -> Vec<Migration> {
    const TABLE: &str = "asset_listening_port";
    vec![
        Migration::table(
            "2101_asset_listening_port",
            class(TABLE)
                .small("protocol")
                .varchar("bind_address", 63)
                .unsigned("port")
                .unsigned_null("pid")
                .varchar("process_name", 255)
                .text("process_path")
                .text("command_line")
                .varchar("user", 255)
                .varchar("group_name", 255)
                .unsigned_null("parent_pid")
                .varchar("parent_name", 255)
                .time_null("start_at")
                .varchar("package_name", 255)
                .varchar("package_version", 255)
                .varchar("container_id", 64)
                .bool("escaped")
                .bytes("sha256", 32)
                .varchar("terminal", 63)
                .bool("own_network")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2102_asset_listening_port_first_seen",
            "asset_listening_port_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by port.
        Migration::index(
            "2103_asset_listening_port_port",
            "asset_listening_port_port",
            TABLE,
            &["app_id", "port", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name of the process.
        Migration::index(
            "2104_asset_listening_port_process_name",
            "asset_listening_port_process_name",
            TABLE,
            &["app_id", "process_name", "machine_id", "item_key"],
        ),
        // Serves the order by start.
        Migration::index(
            "2105_asset_listening_port_started",
            "asset_listening_port_started",
            TABLE,
            &["app_id", "start_at", "machine_id", "item_key"],
        ),
    ]
}

fn process() -> Vec<Migration> {
    const TABLE: &str = "asset_process";
    vec![
        Migration::table(
            "2301_asset_process",
            class(TABLE)
                .unsigned("pid")
                .varchar("boot_id", 36)
                .big("start_ticks")
                .unsigned("parent_pid")
                .varchar("parent_name", 255)
                .varchar("name", 255)
                .text("path")
                .text("command_line")
                .varchar("user", 255)
                .unsigned("uid")
                .varchar("group_name", 255)
                .time_null("start_at")
                .varchar("terminal", 63)
                .small("state")
                .bytes("sha256", 32)
                .varchar("package_name", 255)
                .varchar("package_version", 255)
                .varchar("container_runtime", 63)
                .varchar("container_id", 64)
                .bool("escaped")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "2302_asset_process_first_seen",
            "asset_process_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "2303_asset_process_name",
            "asset_process_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by user.
        Migration::index(
            "2304_asset_process_user",
            "asset_process_user",
            TABLE,
            &["app_id", "user", "machine_id", "item_key"],
        ),
        // Serves the order by start.
        Migration::index(
            "2305_asset_process_started",
            "asset_process_started",
            TABLE,
            &["app_id", "start_at", "machine_id", "item_key"],
        ),
    ]
}

fn startup_service() -> Vec<Migration> {
    const TABLE: &str = "asset_startup_service";
    vec![
        Migration::table(
            "3001_asset_startup_service",
            class(TABLE)
                .small("kind")
                .varchar("name", 255)
                .text("path")
                .varchar("user", 255)
                .bool_null("enabled")
                .bool_null("auto_run")
                .varchar("state", 63)
                .text("description")
                .text("command_line")
                .bool("escaped")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "3002_asset_startup_service_first_seen",
            "asset_startup_service_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "3003_asset_startup_service_name",
            "asset_startup_service_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by user.
        Migration::index(
            "3004_asset_startup_service_user",
            "asset_startup_service_user",
            TABLE,
            &["app_id", "user", "machine_id", "item_key"],
        ),
    ]
}

fn scheduled_task() -> Vec<Migration> {
    const TABLE: &str = "asset_scheduled_task";
    vec![
        Migration::table(
            "3101_asset_scheduled_task",
            class(TABLE)
                .small("kind")
                .varchar("name", 255)
                .text("schedule")
                .text("command")
                .varchar("user", 255)
                .text("config_path")
                .bool("enabled")
                .bool("escaped")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "3102_asset_scheduled_task_first_seen",
            "asset_scheduled_task_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by user.
        Migration::index(
            "3103_asset_scheduled_task_user",
            "asset_scheduled_task_user",
            TABLE,
            &["app_id", "user", "machine_id", "item_key"],
        ),
    ]
}

fn environment_variable() -> Vec<Migration> {
    const TABLE: &str = "asset_environment_variable";
    vec![
        Migration::table(
            "3201_asset_environment_variable",
            class(TABLE)
                .small("scope")
                .varchar("user", 255)
                .varchar("name", 255)
                .bytes("value_hash", 16)
                .unsigned_null("value_length")
                .text("config_path")
                .bool("escaped")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "3202_asset_environment_variable_first_seen",
            "asset_environment_variable_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "3203_asset_environment_variable_name",
            "asset_environment_variable_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
    ]
}

fn kernel_module() -> Vec<Migration> {
    const TABLE: &str = "asset_kernel_module";
    vec![
        Migration::table(
            "3301_asset_kernel_module",
            class(TABLE)
                .varchar("name", 255)
                .text("description")
                .text("path")
                .varchar("version", 255)
                .unsigned("size_bytes")
                .unsigned_null("use_count")
                .json("dependencies")
                .json("used_by")
                .json("parameters")
                .bool("escaped")
                .unsigned("dependency_count")
                .key(&KEY),
        ),
        // Serves the list of all, oldest first.
        Migration::index(
            "3302_asset_kernel_module_first_seen",
            "asset_kernel_module_first_seen",
            TABLE,
            &["app_id", "first_seen_at", "machine_id", "item_key"],
        ),
        // Serves the filter and the order by name.
        Migration::index(
            "3303_asset_kernel_module_name",
            "asset_kernel_module_name",
            TABLE,
            &["app_id", "name", "machine_id", "item_key"],
        ),
        // Serves the order by size.
        Migration::index(
            "3304_asset_kernel_module_size",
            "asset_kernel_module_size",
            TABLE,
            &["app_id", "size_bytes", "machine_id", "item_key"],
        ),
        // Serves the order by number of modules that it needs.
        Migration::index(
            "3305_asset_kernel_module_dependency_count",
            "asset_kernel_module_dependency_count",
            TABLE,
            &["app_id", "dependency_count", "machine_id", "item_key"],
        ),
    ]
}
