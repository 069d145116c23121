use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{DatabaseInstance, DatabaseKind};

pub(super) fn message(database: &DatabaseInstance) -> inventory::DatabaseInstance {
    let kind = match database.kind {
        DatabaseKind::Mysql => inventory::DatabaseKind::Mysql,
        DatabaseKind::Redis => inventory::DatabaseKind::Redis,
        DatabaseKind::Oracle => inventory::DatabaseKind::Oracle,
        DatabaseKind::Mongodb => inventory::DatabaseKind::Mongodb,
        DatabaseKind::Memcached => inventory::DatabaseKind::Memcached,
        DatabaseKind::Postgresql => inventory::DatabaseKind::Postgresql,
        DatabaseKind::Hbase => inventory::DatabaseKind::Hbase,
        DatabaseKind::Db2 => inventory::DatabaseKind::Db2,
        DatabaseKind::Sybase => inventory::DatabaseKind::Sybase,
        DatabaseKind::Tidb => inventory::DatabaseKind::Tidb,
        DatabaseKind::Mariadb => inventory::DatabaseKind::Mariadb,
        DatabaseKind::Elasticsearch => inventory::DatabaseKind::Elasticsearch,
        DatabaseKind::Clickhouse => inventory::DatabaseKind::Clickhouse,
        DatabaseKind::Etcd => inventory::DatabaseKind::Etcd,
        DatabaseKind::Cassandra => inventory::DatabaseKind::Cassandra,
        DatabaseKind::Valkey => inventory::DatabaseKind::Valkey,
        DatabaseKind::Influxdb => inventory::DatabaseKind::Influxdb,
        DatabaseKind::Couchdb => inventory::DatabaseKind::Couchdb,
        DatabaseKind::Neo4j => inventory::DatabaseKind::Neo4j,
        DatabaseKind::Other => inventory::DatabaseKind::Other,
    };
    let protocol = match database.port {
        Some(_) => inventory::TransportProtocol::Tcp,
        None => inventory::TransportProtocol::Unspecified,
    };
    inventory::DatabaseInstance {
        kind: kind.into(),
        version: database.version.clone().unwrap_or_default(),
        bind_address: database.bind_address.clone().unwrap_or_default(),
        port: database.port.map_or(0, u32::from),
        protocol: protocol.into(),
        user: database.user.clone().unwrap_or_default(),
        bin_path: database.bin_path.clone().unwrap_or_default(),
        config_path: database.config_path.clone().unwrap_or_default(),
        data_path: database.data_path.clone().unwrap_or_default(),
        log_path: database.log_path.clone().unwrap_or_default(),
        error_log_path: database.error_log_path.clone().unwrap_or_default(),
        plugin_path: database.plugin_path.clone().unwrap_or_default(),
        command_line: database.command_line.clone(),
        pid: Some(database.pid),
        package_name: database.package.clone().unwrap_or_default(),
        container_id: database.container_id.clone().unwrap_or_default(),
        escaped: database.escaped,
        data_permission: database.data_permission.clone().unwrap_or_default(),
    }
}
