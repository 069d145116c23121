//! The database servers, one a line: which settings say where it listens and what it writes.

use super::DatabaseKind::{self, *};
use crate::config::keyed::Format::{self, Assignments, Sections, Toml, Words, Yaml};
use crate::config::keyed::Settings;
use crate::product::Instance;

/// A setting: the options and the configuration's names that give it, in this order; `.` as default is the working folder.
#[derive(Debug)]
pub(super) struct Setting {
    options: &'static [&'static str],
    keys: &'static [&'static str],
    pub(super) default: &'static str,
}

impl Setting {
    const NONE: Setting = Setting { options: &[], keys: &[], default: "" };

    /// What is written.
    pub(super) fn of(&self, instance: &Instance, settings: &Settings) -> Option<String> {
        let option = instance.options.value(self.options).map(str::to_owned);
        option
            .or_else(|| self.keys.iter().find_map(|key| settings.get(*key)).filter(|value| !value.is_empty()).cloned())
    }

    /// What is written, else the default.
    pub(super) fn or_default(&self, instance: &Instance, settings: &Settings) -> Option<String> {
        self.of(instance, settings).or_else(|| (!self.default.is_empty()).then(|| self.default.to_owned()))
    }
}

/// A database server among the products.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) product: &'static str,
    pub(super) kind: DatabaseKind,
    /// How its configuration is written, where it is read.
    pub(super) format: Option<Format>,
    pub(super) port: Setting,
    pub(super) bind: Setting,
    pub(super) data: Setting,
    pub(super) log: Setting,
    pub(super) error_log: Setting,
    pub(super) plugins: Setting,
}

const fn database(product: &'static str, kind: DatabaseKind, format: Option<Format>) -> Database {
    Database {
        product,
        kind,
        format,
        port: Setting::NONE,
        bind: Setting::NONE,
        data: Setting::NONE,
        log: Setting::NONE,
        error_log: Setting::NONE,
        plugins: Setting::NONE,
    }
}

macro_rules! settings {
    ($($name:ident),*) => {
        impl Database {
            $(const fn $name(
                self,
                options: &'static [&'static str],
                keys: &'static [&'static str],
                default: &'static str,
            ) -> Self {
                Database { $name: Setting { options, keys, default }, ..self }
            })*
        }
    };
}

settings!(port, bind, data, log, error_log, plugins);

/// Every database server that is known.
#[rustfmt::skip]
pub(super) static DATABASES: &[Database] = &[
    database("MariaDB", Mariadb, Some(Sections(&["mysqld", "server", "mariadb", "mariadbd", "mysqld_safe"]))).port(&["--port", "-P"], &["port"], "3306").bind(&["--bind-address"], &["bind_address"], "").data(&["--datadir", "-h"], &["datadir"], "/var/lib/mysql").log(&["--general-log-file"], &["general_log_file"], "").error_log(&["--log-error"], &["log_error"], "").plugins(&["--plugin-dir"], &["plugin_dir"], ""),
    database("MySQL", Mysql, Some(Sections(&["mysqld", "server", "mariadb", "mariadbd", "mysqld_safe"]))).port(&["--port", "-P"], &["port"], "3306").bind(&["--bind-address"], &["bind_address"], "").data(&["--datadir", "-h"], &["datadir"], "/var/lib/mysql").log(&["--general-log-file"], &["general_log_file"], "").error_log(&["--log-error"], &["log_error"], "").plugins(&["--plugin-dir"], &["plugin_dir"], ""),
    database("Redis", Redis, Some(Words)).port(&["--port"], &["port"], "6379").bind(&["--bind"], &["bind"], "").data(&["--dir"], &["dir"], ".").log(&["--logfile"], &["logfile"], ""),
    database("Valkey", Valkey, Some(Words)).port(&["--port"], &["port"], "6379").bind(&["--bind"], &["bind"], "").data(&["--dir"], &["dir"], ".").log(&["--logfile"], &["logfile"], ""),
    database("PostgreSQL", Postgresql, Some(Assignments)).port(&["port=", "--port", "-p"], &["port"], "5432").bind(&["listen_addresses=", "--listen_addresses", "-h"], &["listen_addresses"], "localhost").data(&["data_directory=", "-D"], &["data_directory"], ".").log(&["log_directory="], &["log_directory"], ""),
    database("MongoDB", Mongodb, Some(Yaml)).port(&["--port"], &["net.port", "port"], "27017").bind(&["--bind_ip"], &["net.bindIp", "bind_ip"], "127.0.0.1").data(&["--dbpath"], &["storage.dbPath", "dbpath"], "/data/db").log(&["--logpath"], &["systemLog.path", "logpath"], ""),
    database("Memcached", Memcached, None).port(&["--port", "-p"], &[], "11211").bind(&["--listen", "-l"], &[], ""),
    database("Oracle Database", Oracle, None).port(&[], &[], "1521"),
    database("IBM Db2", Db2, None).port(&[], &[], "50000"),
    database("SAP ASE", Sybase, None).port(&[], &[], "5000").data(&["-d"], &[], "").error_log(&["-e"], &[], ""),
    database("TiDB", Tidb, Some(Toml)).port(&["-P", "--P"], &["port"], "4000").bind(&["--host", "-host"], &["host"], "0.0.0.0").log(&["--log-file", "-log-file"], &["log.file.filename"], ""),
    database("HBase", Hbase, None).port(&[], &[], "16000"),
    database("Elasticsearch", Elasticsearch, Some(Yaml)).port(&[], &["http.port"], "9200").bind(&[], &["network.host", "http.host"], "127.0.0.1").data(&[], &["path.data"], "").log(&[], &["path.logs"], ""),
    database("OpenSearch", Other, Some(Yaml)).port(&[], &["http.port"], "9200").bind(&[], &["network.host", "http.host"], "127.0.0.1").data(&[], &["path.data"], "").log(&[], &["path.logs"], ""),
    database("ClickHouse", Clickhouse, None).port(&[], &[], "9000"),
    database("etcd", Etcd, Some(Yaml)).port(&[], &[], "2379").data(&["--data-dir"], &["data_dir"], ""),
    database("Cassandra", Cassandra, Some(Yaml)).port(&[], &["native_transport_port"], "9042").bind(&[], &["rpc_address", "listen_address"], "localhost").data(&["-Dcassandra.storagedir="], &[], "").log(&["-Dcassandra.logdir="], &[], ""),
    database("InfluxDB", Influxdb, Some(Toml)).port(&[], &[], "8086").data(&["--engine-path"], &["data.dir"], ""),
    database("CouchDB", Couchdb, None).port(&[], &[], "5984"),
    database("Neo4j", Neo4j, Some(Assignments)).port(&[], &["server.bolt.listen_address"], "7687").data(&[], &["server.directories.data", "dbms.directories.data"], "").log(&[], &["server.directories.logs", "dbms.directories.logs"], ""),
    database("SQL Server", Other, None).port(&[], &[], "1433").data(&[], &[], ""),
    database("TiKV", Other, Some(Toml)).port(&[], &[], "20160").data(&["--data-dir"], &["storage.data_dir"], ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::{Product, SoftwareKind};

    #[test]
    fn every_database_is_a_known_product_and_every_database_product_is_here() {
        for database in DATABASES {
            assert!(Product::named(database.product).is_some(), "{}", database.product);
        }
        let here = |product: &&Product| DATABASES.iter().any(|database| database.product == product.name);
        let missing: Vec<_> = crate::product::PRODUCTS
            .iter()
            .filter(|product| product.kind == SoftwareKind::Database && !here(product))
            .map(|product| product.name)
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
