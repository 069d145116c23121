//! The products, one a line: what each is told by, where it is configured, where its version stands.

use super::Product;
use super::SoftwareKind::{self, Architecture, Database, Operations, Security, Suspicious, System, Web};
use super::VersionSource::{self, Argument, Binary, File, Name, Path};

const fn product(name: &'static str, kind: SoftwareKind) -> Product {
    Product {
        name,
        kind,
        binaries: &[],
        arguments: &[],
        config_options: &[],
        config_paths: &[],
        home_options: &[],
        version: &[],
    }
}

impl Product {
    const fn binaries(self, binaries: &'static [&'static str]) -> Self {
        Product { binaries, ..self }
    }

    const fn arguments(self, arguments: &'static [&'static str]) -> Self {
        Product { arguments, ..self }
    }

    const fn config(self, config_options: &'static [&'static str], config_paths: &'static [&'static str]) -> Self {
        Product { config_options, config_paths, ..self }
    }

    const fn home(self, home_options: &'static [&'static str]) -> Self {
        Product { home_options, ..self }
    }

    const fn version(self, version: &'static [VersionSource]) -> Self {
        Product { version, ..self }
    }
}

/// Every known product.
#[rustfmt::skip]
pub(crate) static PRODUCTS: &[Product] = &[
    product("nginx", Web).binaries(&["nginx"]).config(&["-c"], &["/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "conf/nginx.conf"]).home(&["-p"]).version(&[Binary(r"\x00nginx/(\d+\.\d+\.\d+)\x00")]),
    product("Tengine", Web).binaries(&["tengine"]).config(&["-c"], &["conf/nginx.conf", "/usr/local/nginx/conf/nginx.conf"]).home(&["-p"]).version(&[Binary(r"Tengine/(\d+\.\d+\.\d+)[^\d.]")]),
    product("OpenResty", Web).binaries(&["openresty"]).config(&["-c"], &["conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf"]).home(&["-p"]).version(&[Binary(r"openresty/(\d+(?:\.\d+){2,3})[^\d.]")]),
    product("Apache HTTP Server", Web).binaries(&["apache2", "httpd", "httpd.worker", "httpd.event"]).config(&["-f"], &["/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf", "conf/httpd.conf", "/usr/local/apache2/conf/httpd.conf"]).home(&["-d"]).version(&[Binary(r"Apache/(\d+\.\d+\.\d+)[^\d.]")]),
    product("IBM HTTP Server", Web).binaries(&["HTTPServer/bin/httpd"]).config(&["-f"], &["conf/httpd.conf"]).home(&["-d"]).version(&[File(r"version.signature", r"IBM HTTP Server (\d[\d.]*)"), Binary(r"IBM_HTTP_Server/(\d+\.\d+[.\d]*)[^\d.]")]),
    product("lighttpd", Web).binaries(&["lighttpd"]).config(&["-f"], &["/etc/lighttpd/lighttpd.conf"]).version(&[Binary(r"lighttpd/(\d+\.\d+\.\d+)[^\d.]")]),
    product("Caddy", Web).binaries(&["caddy"]).config(&["-c", "--config", "-config"], &["./Caddyfile"]).version(&[Binary(r"github\.com/caddyserver/caddy/v2\tv(\d+\.\d+\.\d+)")]),
    product("HAProxy", Web).binaries(&["haproxy"]).config(&["-f"], &["/etc/haproxy/haproxy.cfg"]).version(&[Binary(r"HAProxy version (\d+\.\d+[.\d]*)")]),
    product("Envoy", Web).binaries(&["envoy"]).config(&["-c", "--config-path"], &["/etc/envoy/envoy.yaml"]),
    product("Traefik", Web).binaries(&["traefik"]).config(&["--configFile", "--configfile"], &["/etc/traefik/traefik.yml", "/etc/traefik/traefik.toml"]),
    product("Varnish", Web).binaries(&["varnishd"]).config(&["-f"], &["/etc/varnish/default.vcl"]).version(&[Binary(r"varnish-(\d+\.\d+\.\d+)[^\d.]")]),
    product("Squid", Web).binaries(&["squid"]).config(&["-f"], &["/etc/squid/squid.conf"]).version(&[Binary(r"squid/(\d+\.\d+[.\d]*)[^\d.]")]),
    product("Tomcat", Web).arguments(&["org.apache.catalina.startup.Bootstrap"]).config(&["-Dcatalina.config="], &["conf/server.xml"]).home(&["-Dcatalina.home=", "-Dcatalina.base="]).version(&[File(r"RELEASE-NOTES", r"Apache Tomcat Version (\d+\.\d+\.\d+[-.\w]*)")]),
    product("Jetty", Web).arguments(&["org.eclipse.jetty.*", "org.mortbay.*", "jetty-runner*"]).config(&[], &["etc/jetty.xml"]).home(&["-Djetty.home=", "-Djetty.base="]).version(&[Name(r"lib", r"^jetty-server-(\d[\w.-]*)\.jar$"), File(r"VERSION.txt", r"jetty-(\d[\w.-]*)")]),
    product("WebLogic", Web).arguments(&["weblogic.Server"]).config(&[], &["config/config.xml"]).home(&["-Dweblogic.home=", "-Dplatform.home="]).version(&[File(r"../inventory/registry.xml", r#"WebLogic Server" version="(\d[\d.]*)"#)]),
    product("WebSphere", Web).arguments(&["com.ibm.ws.runtime.WsServer", "com.ibm.wsspi.bootstrap.WSPreLauncher", "ws-server.jar"]).config(&[], &["server.xml"]).home(&["-Dwas.install.root=", "-Dwlp.install.dir="]).version(&[File(r"properties/version/WAS.product", r"<version>(\d[\d.]*)"), File(r"lib/versions/WebSphereApplicationServer.properties", r"productVersion=(\d[\d.]*)")]),
    product("WildFly", Web).arguments(&["org.jboss.as.standalone", "org.jboss.as.server"]).config(&[], &["standalone/configuration/standalone.xml"]).home(&["-Djboss.home.dir="]).version(&[File(r"version.txt", r"Version (\d[\w.]*)"), Name(r"modules/system/layers/base/org/jboss/as/server/main", r"^wildfly-server-(\d[\w.]*?)\.jar$")]),
    product("JBoss", Web).arguments(&["org.jboss.Main"]).config(&[], &["server/default/conf/jboss-service.xml"]).home(&["-Djboss.home.dir=", "-Djboss.server.home.dir="]).version(&[File(r"jar-versions.xml", r#"name="jboss\.jar".*specVersion="(\d[\d.]*)"#)]),
    product("GlassFish", Web).arguments(&["com.sun.enterprise.glassfish.bootstrap.*", "glassfish.jar"]).config(&[], &["config/domain.xml"]).home(&["-Dcom.sun.aas.instanceRoot="]),
    product("Resin", Web).arguments(&["com.caucho.server.resin.Resin", "resin.jar"]).config(&["-conf"], &["conf/resin.xml"]).home(&["-Dresin.home="]),
    product("uWSGI", Web).binaries(&["uwsgi", "uwsgi-core"]).config(&["--ini", "--yaml", "--xml"], &[]).version(&[Binary(r"uWSGI (\d+\.\d+[.\d]*)[^\d.]")]),
    product("Gunicorn", Web).binaries(&["gunicorn"]).arguments(&["gunicorn"]).config(&["-c", "--config"], &[]),
    product("Uvicorn", Web).binaries(&["uvicorn"]).arguments(&["uvicorn"]),
    product("PHP-FPM", Web).binaries(&["php-fpm"]).config(&["-y", "--fpm-config"], &["/etc/php-fpm.conf", "/usr/local/etc/php-fpm.conf"]).version(&[Binary(r"X-Powered-By: PHP/(\d+\.\d+\.\d+)"), Path(r"php-fpm(\d+\.\d+)$")]),
    product("MariaDB", Database).binaries(&["mariadbd"]).config(&["--defaults-file"], &["/etc/mysql/my.cnf", "/etc/my.cnf", "my.cnf"]).home(&["--basedir"]).version(&[Binary(r"\x00(\d+\.\d+\.\d+)-MariaDB")]),
    product("MySQL", Database).binaries(&["mysqld", "mysqld-debug"]).config(&["--defaults-file"], &["/etc/mysql/my.cnf", "/etc/my.cnf", "my.cnf"]).home(&["--basedir"]).version(&[Binary(r"\x00MySQL (\d+\.\d+\.\d+)\x00"), Binary(r"mysql-(\d+\.\d+\.\d+)[^\d.]"), Binary(r"\x00(\d+\.\d+\.\d+)-\d+(?:ubuntu|debian|build)[\w.+~-]*\x00"), Binary(r"\x00([5-9]\.\d+\.\d+)\x00")]),
    product("PostgreSQL", Database).binaries(&["postgres", "postmaster"]).config(&["config_file=", "--config_file=", "--config-file"], &["postgresql.conf"]).home(&["-D"]).version(&[Binary(r"PostgreSQL (\d+\.\d+(?:\.\d+)?)[^\d.]"), Path(r"/(\d+(?:\.\d+)?)/bin/postgres$")]),
    product("Redis", Database).binaries(&["redis-server", "redis-sentinel", "redis-check-rdb", "redis-check-aof"]).config(&["", "--config"], &["redis.conf", "/etc/redis/redis.conf", "/etc/redis.conf", "/usr/local/etc/redis/redis.conf"]).version(&[Binary(r"[^\d.](\d+\.\d+\.\d+?)(?:[A-Za-z][\w.-]*-)?1\d{9}[0-9a-f]{9,}\x00")]),
    product("Valkey", Database).binaries(&["valkey-server", "valkey-sentinel", "valkey-check-rdb", "valkey-check-aof"]).config(&["", "--config"], &["valkey.conf", "/etc/valkey/valkey.conf"]).version(&[Binary(r"[^\d.](\d+\.\d+\.\d+?)(?:[A-Za-z][\w.-]*-)?1\d{9}[0-9a-f]{9,}\x00")]),
    product("MongoDB", Database).binaries(&["mongod", "mongos"]).config(&["-f", "--config"], &["/etc/mongod.conf", "/etc/mongodb.conf"]).version(&[Binary(r"MongoDB (\d+\.\d+\.\d+)[^\d.]"), Binary(r"\x00mongod\x00.{0,64}?v?(\d+\.\d+\.\d+)\x00")]),
    product("Memcached", Database).binaries(&["memcached"]).version(&[Binary(r"memcached (\d+\.\d+\.\d+)[^\d.]"), Binary(r"\x00(1\.\d+\.\d+)\x00")]),
    product("Oracle Database", Database).binaries(&["oracle", "tnslsnr"]).config(&[], &["network/admin/listener.ora"]).version(&[Path(r"/product/(\d+(?:\.\d+)*)/")]),
    product("IBM Db2", Database).binaries(&["db2sysc", "db2wdog"]).version(&[Path(r"/V(\d+\.\d+)/")]),
    product("SAP ASE", Database).binaries(&["dataserver"]).config(&["-c"], &[]),
    product("SQL Server", Database).binaries(&["sqlservr"]).config(&[], &["/var/opt/mssql/mssql.conf"]),
    product("TiDB", Database).binaries(&["tidb-server"]).config(&["--config", "-config"], &["conf/tidb.toml"]),
    product("TiKV", Database).binaries(&["tikv-server"]).config(&["--config", "-C"], &["conf/tikv.toml"]),
    product("HBase", Database).arguments(&["org.apache.hadoop.hbase.master.HMaster", "org.apache.hadoop.hbase.regionserver.HRegionServer"]).config(&[], &["conf/hbase-site.xml"]).home(&["-Dhbase.home.dir="]).version(&[Name(r"lib", r"^hbase-server-(\d[\w.]*?)\.jar$")]),
    product("Cassandra", Database).arguments(&["org.apache.cassandra.service.CassandraDaemon"]).config(&["-Dcassandra.config="], &["conf/cassandra.yaml", "/etc/cassandra/cassandra.yaml"]).home(&["-Dcassandra.home="]).version(&[Name(r"lib", r"^apache-cassandra-(\d[\w.]*?)\.jar$"), Argument(r"/apache-cassandra-(\d[\d.]*?)\.jar")]),
    product("ClickHouse", Database).binaries(&["clickhouse", "clickhouse-server"]).config(&["--config-file", "-C", "--config"], &["/etc/clickhouse-server/config.xml"]).version(&[Binary(r"ClickHouse (\d+\.\d+\.\d+\.\d+)")]),
    product("InfluxDB", Database).binaries(&["influxd"]).config(&["-config", "--config"], &["/etc/influxdb/influxdb.conf", "/etc/influxdb/config.toml"]),
    product("CouchDB", Database).binaries(&["couchdb"]).arguments(&["couchdb"]).config(&["-couch_ini"], &["/etc/couchdb/local.ini"]),
    product("Neo4j", Database).arguments(&["org.neo4j.server.CommunityEntryPoint", "com.neo4j.server.enterprise.EnterpriseEntryPoint"]).config(&[], &["conf/neo4j.conf"]).home(&["--home-dir"]).version(&[Name(r"lib", r"^neo4j-kernel-(\d[\w.]*?)\.jar$")]),
    product("etcd", Database).binaries(&["etcd"]).config(&["--config-file"], &["/etc/etcd/etcd.conf.yml"]),
    product("Elasticsearch", Architecture).arguments(&["org.elasticsearch.bootstrap.Elasticsearch", "org.elasticsearch.server"]).config(&[], &["config/elasticsearch.yml", "/etc/elasticsearch/elasticsearch.yml"]).home(&["-Des.path.home="]).version(&[Name(r"lib", r"^elasticsearch-(\d[\w.]*?)\.jar$")]),
    product("OpenSearch", Architecture).arguments(&["org.opensearch.bootstrap.OpenSearch"]).config(&[], &["config/opensearch.yml", "/etc/opensearch/opensearch.yml"]).home(&["-Dopensearch.path.home="]).version(&[Name(r"lib", r"^opensearch-(\d[\w.]*?)\.jar$")]),
    product("Solr", Architecture).arguments(&["org.apache.solr.*", "solr-core*"]).config(&[], &["server/solr/solr.xml"]).home(&["-Dsolr.install.dir="]).version(&[Name(r"server/solr-webapp/webapp/WEB-INF/lib", r"^solr-core-(\d[\w.]*?)\.jar$")]),
    product("Logstash", Architecture).arguments(&["org.logstash.Logstash"]).config(&[], &["config/logstash.yml", "/etc/logstash/logstash.yml"]).version(&[Name(r"logstash-core/lib/jars", r"^logstash-core-(\d[\w.]*?)\.jar$")]),
    product("Kafka", Architecture).arguments(&["kafka.Kafka"]).config(&[], &["config/server.properties"]).home(&["-Dkafka.home="]).version(&[Argument(r"/kafka_[\d.]+-(\d+\.\d+\.\d+)\.jar")]),
    product("ZooKeeper", Architecture).arguments(&["org.apache.zookeeper.server.quorum.QuorumPeerMain", "org.apache.zookeeper.server.ZooKeeperServerMain"]).config(&[], &["conf/zoo.cfg", "/etc/zookeeper/conf/zoo.cfg"]).home(&["-Dzookeeper.home.dir="]).version(&[Argument(r"/zookeeper-(\d+\.\d+\.\d+)\.jar")]),
    product("RabbitMQ", Architecture).arguments(&["rabbit", "rabbitmq"]).config(&[], &["/etc/rabbitmq/rabbitmq.conf", "/etc/rabbitmq/rabbitmq.config"]).version(&[Argument(r"/rabbitmq_server-(\d+\.\d+\.\d+)/")]),
    product("ActiveMQ", Architecture).arguments(&["activemq.jar", "org.apache.activemq.*"]).config(&[], &["conf/activemq.xml"]).home(&["-Dactivemq.home="]).version(&[Name(r"lib", r"^activemq-broker-(\d[\w.]*?)\.jar$")]),
    product("RocketMQ", Architecture).arguments(&["org.apache.rocketmq.namesrv.NamesrvStartup", "org.apache.rocketmq.broker.BrokerStartup"]).config(&["-c"], &["conf/broker.conf"]).home(&["-Drocketmq.home.dir="]).version(&[Name(r"lib", r"^rocketmq-broker-(\d[\w.]*?)\.jar$")]),
    product("Pulsar", Architecture).arguments(&["org.apache.pulsar.PulsarBrokerStarter", "org.apache.pulsar.PulsarStandaloneStarter"]).config(&[], &["conf/broker.conf"]).version(&[Argument(r"/pulsar-broker-(\d[\d.]*)\.jar")]),
    product("Nacos", Architecture).arguments(&["nacos-server.jar"]).config(&[], &["conf/application.properties"]).home(&["-Dnacos.home="]).version(&[Name(r"target", r"^nacos-server-(\d[\w.]*?)\.jar$")]),
    product("Hadoop", Architecture).arguments(&["org.apache.hadoop.hdfs.server.namenode.NameNode", "org.apache.hadoop.hdfs.server.datanode.DataNode", "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager", "org.apache.hadoop.yarn.server.nodemanager.NodeManager"]).config(&[], &["etc/hadoop/core-site.xml"]).home(&["-Dhadoop.home.dir=", "-Dyarn.home.dir="]).version(&[Name(r"share/hadoop/common", r"^hadoop-common-(\d[\w.]*?)\.jar$")]),
    product("Spark", Architecture).arguments(&["org.apache.spark.deploy.*"]).config(&[], &["conf/spark-defaults.conf"]).home(&["-Dspark.home="]).version(&[Argument(r"/spark-core_[\d.]+-(\d[\d.]*)\.jar")]),
    product("Flink", Architecture).arguments(&["org.apache.flink.runtime.entrypoint.*", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"]).config(&[], &["conf/flink-conf.yaml"]).version(&[Argument(r"/flink-dist[_-](?:[\d.]+-)?(\d[\d.]*)\.jar")]),
    product("NATS", Architecture).binaries(&["nats-server"]).config(&["-c", "--config"], &["/etc/nats-server.conf"]),
    product("Mosquitto", Architecture).binaries(&["mosquitto"]).config(&["-c"], &["/etc/mosquitto/mosquitto.conf"]),
    product("MinIO", Architecture).binaries(&["minio"]),
    product("Java", Architecture).binaries(&["java"]).version(&[File(r"release", r#"JAVA_VERSION="(\d[\w.+-]*)""#)]),
    product("Python", Architecture).binaries(&["python"]).version(&[Path(r"python(\d+\.\d+)$")]),
    product("Node.js", Architecture).binaries(&["node", "nodejs"]).version(&[File(r"include/node/node_version.h", r"(\d+\.\d+\.\d+)"), Binary(r"node/(\d+\.\d+\.\d+)[^\d.]")]),
    product("Ruby", Architecture).binaries(&["ruby"]).version(&[Path(r"ruby(\d+\.\d+)$")]),
    product("PHP", Architecture).binaries(&["php", "php-cli"]).version(&[Binary(r"X-Powered-By: PHP/(\d+\.\d+\.\d+)"), Path(r"php(\d+\.\d+)$")]),
    product(".NET", Architecture).binaries(&["dotnet"]),
    product("Erlang", Architecture).binaries(&["beam.smp"]).version(&[Path(r"/erts-(\d[\d.]*)/")]),
    product("Docker", Operations).binaries(&["dockerd"]).config(&["--config-file"], &["/etc/docker/daemon.json"]),
    product("containerd", Operations).binaries(&["containerd"]).config(&["-c", "--config"], &["/etc/containerd/config.toml"]),
    product("CRI-O", Operations).binaries(&["crio"]).config(&["-c", "--config"], &["/etc/crio/crio.conf"]),
    product("Podman", Operations).binaries(&["podman"]).config(&[], &["/etc/containers/containers.conf"]),
    product("kubelet", Operations).binaries(&["kubelet"]).config(&["--config"], &["/var/lib/kubelet/config.yaml"]),
    product("Kubernetes API server", Operations).binaries(&["kube-apiserver"]).config(&[], &["/etc/kubernetes/manifests/kube-apiserver.yaml"]),
    product("Kubernetes controller manager", Operations).binaries(&["kube-controller-manager"]).config(&["--kubeconfig"], &[]),
    product("Kubernetes scheduler", Operations).binaries(&["kube-scheduler"]).config(&["--config", "--kubeconfig"], &[]),
    product("kube-proxy", Operations).binaries(&["kube-proxy"]).config(&["--config"], &[]),
    product("k3s", Operations).binaries(&["k3s"]).config(&["-c", "--config"], &["/etc/rancher/k3s/config.yaml"]),
    product("CoreDNS", Operations).binaries(&["coredns"]).config(&["-conf"], &["Corefile"]),
    product("Jenkins", Operations).arguments(&["jenkins.war"]).config(&[], &["/var/lib/jenkins/config.xml"]).version(&[File(r"/var/lib/jenkins/config.xml", r"<version>(\d[\d.]*)</version>")]),
    product("GitLab Runner", Operations).binaries(&["gitlab-runner"]).config(&["-c", "--config"], &["/etc/gitlab-runner/config.toml"]),
    product("Gitea", Operations).binaries(&["gitea"]).config(&["-c", "--config"], &["/etc/gitea/app.ini", "custom/conf/app.ini"]),
    product("Prometheus", Operations).binaries(&["prometheus"]).config(&["--config.file"], &["/etc/prometheus/prometheus.yml", "prometheus.yml"]),
    product("Alertmanager", Operations).binaries(&["alertmanager"]).config(&["--config.file"], &["/etc/alertmanager/alertmanager.yml"]),
    product("node_exporter", Operations).binaries(&["node_exporter", "prometheus-node-exporter"]),
    product("Grafana", Operations).binaries(&["grafana", "grafana-server"]).config(&["--config", "-config"], &["/etc/grafana/grafana.ini"]).home(&["--homepath", "-homepath"]).version(&[File(r"VERSION", r"(\d+\.\d+\.\d+)")]),
    product("Zabbix agent", Operations).binaries(&["zabbix_agentd", "zabbix_agent2"]).config(&["-c", "--config"], &["/etc/zabbix/zabbix_agentd.conf", "/etc/zabbix/zabbix_agent2.conf"]),
    product("Zabbix server", Operations).binaries(&["zabbix_server"]).config(&["-c", "--config"], &["/etc/zabbix/zabbix_server.conf"]),
    product("Nagios", Operations).binaries(&["nagios", "nagios4"]).config(&[], &["/etc/nagios4/nagios.cfg", "/etc/nagios/nagios.cfg"]),
    product("Telegraf", Operations).binaries(&["telegraf"]).config(&["--config", "-config"], &["/etc/telegraf/telegraf.conf"]),
    product("Filebeat", Operations).binaries(&["filebeat"]).config(&["-c"], &["/etc/filebeat/filebeat.yml"]).home(&["--path.home"]),
    product("Fluent Bit", Operations).binaries(&["fluent-bit", "td-agent-bit"]).config(&["-c", "--config"], &["/etc/fluent-bit/fluent-bit.conf"]),
    product("Fluentd", Operations).binaries(&["fluentd"]).arguments(&["fluentd", "td-agent"]).config(&["-c", "--config"], &["/etc/fluent/fluent.conf", "/etc/td-agent/td-agent.conf"]),
    product("OpenTelemetry Collector", Operations).binaries(&["otelcol", "otelcol-contrib"]).config(&["--config"], &["/etc/otelcol/config.yaml"]),
    product("Salt minion", Operations).binaries(&["salt-minion"]).arguments(&["salt-minion"]).config(&[], &["/etc/salt/minion"]),
    product("Puppet agent", Operations).binaries(&["puppet"]).arguments(&["puppet"]).config(&[], &["/etc/puppetlabs/puppet/puppet.conf", "/etc/puppet/puppet.conf"]),
    product("Consul", Operations).binaries(&["consul"]).config(&["-config-file", "-config-dir"], &["/etc/consul.d/consul.hcl"]),
    product("Nomad", Operations).binaries(&["nomad"]).config(&["-config"], &["/etc/nomad.d/nomad.hcl"]),
    product("Supervisor", Operations).binaries(&["supervisord"]).arguments(&["supervisord"]).config(&["-c", "--configuration"], &["/etc/supervisor/supervisord.conf", "/etc/supervisord.conf"]),
    product("QEMU", Operations).binaries(&["qemu-system-x86_64", "qemu-system-aarch64", "qemu-kvm"]),
    product("libvirt", Operations).binaries(&["libvirtd", "virtqemud"]).config(&["-f", "--config"], &["/etc/libvirt/libvirtd.conf"]),
    product("rsync", Operations).binaries(&["rsync"]).config(&["--config"], &["/etc/rsyncd.conf"]),
    product("vsftpd", Operations).binaries(&["vsftpd"]).config(&[""], &["/etc/vsftpd.conf", "/etc/vsftpd/vsftpd.conf"]).version(&[Binary(r"vsFTPd (\d+\.\d+\.\d+)")]),
    product("ProFTPD", Operations).binaries(&["proftpd"]).config(&["-c", "--config"], &["/etc/proftpd/proftpd.conf"]),
    product("Samba", Operations).binaries(&["smbd", "nmbd", "samba"]).config(&["-s", "--configfile"], &["/etc/samba/smb.conf"]),
    product("OpenSSH server", Security).binaries(&["sshd", "sshd-session"]).config(&["-f"], &["/etc/ssh/sshd_config"]).version(&[Binary(r"OpenSSH_(\d+\.\d+p\d+)")]),
    product("OpenVPN", Security).binaries(&["openvpn"]).config(&["--config"], &["/etc/openvpn/server.conf"]).version(&[Binary(r"OpenVPN (\d+\.\d+\.\d+)")]),
    product("strongSwan", Security).binaries(&["charon", "charon-systemd"]).config(&[], &["/etc/strongswan.conf", "/etc/ipsec.conf"]),
    product("fail2ban", Security).binaries(&["fail2ban-server"]).arguments(&["fail2ban-server"]).config(&[], &["/etc/fail2ban/jail.conf"]),
    product("ClamAV", Security).binaries(&["clamd", "freshclam"]).config(&["-c", "--config-file"], &["/etc/clamav/clamd.conf", "/etc/clamd.d/scan.conf"]),
    product("Wazuh agent", Security).binaries(&["wazuh-agentd", "ossec-agentd"]).config(&["-c"], &["/var/ossec/etc/ossec.conf"]),
    product("auditd", Security).binaries(&["auditd"]).config(&["-c"], &["/etc/audit/auditd.conf"]),
    product("osquery", Security).binaries(&["osqueryd"]).config(&["--config_path", "--flagfile"], &["/etc/osquery/osquery.conf"]),
    product("Falco", Security).binaries(&["falco"]).config(&["-c"], &["/etc/falco/falco.yaml"]),
    product("Suricata", Security).binaries(&["suricata", "Suricata-Main"]).config(&["-c"], &["/etc/suricata/suricata.yaml"]),
    product("Vault", Security).binaries(&["vault"]).config(&["-config"], &["/etc/vault.d/vault.hcl"]),
    product("firewalld", Security).binaries(&["firewalld"]).arguments(&["firewalld"]).config(&[], &["/etc/firewalld/firewalld.conf"]),
    product("OpenLDAP", Security).binaries(&["slapd"]).config(&["-f", "-F"], &["/etc/ldap/ldap.conf", "/etc/openldap/slapd.conf"]).version(&[Binary(r"OpenLDAP: slapd (\d+\.\d+\.\d+)")]),
    product("XMRig", Suspicious).binaries(&["xmrig", "xmr-stak"]).config(&["-c", "--config"], &["config.json"]).version(&[Binary(r"XMRig/(\d+\.\d+\.\d+)")]),
    product("cpuminer", Suspicious).binaries(&["minerd", "cpuminer"]).config(&["-c", "--config"], &[]),
    product("frp client", Suspicious).binaries(&["frpc"]).config(&["-c", "--config"], &["frpc.toml", "frpc.ini"]),
    product("frp server", Suspicious).binaries(&["frps"]).config(&["-c", "--config"], &["frps.toml", "frps.ini"]),
    product("ngrok", Suspicious).binaries(&["ngrok"]).config(&["--config"], &[]),
    product("netcat", Suspicious).binaries(&["nc", "ncat", "nc.openbsd", "nc.traditional"]),
    product("Tor", Suspicious).binaries(&["tor"]).config(&["-f"], &["/etc/tor/torrc"]),
    product("masscan", Suspicious).binaries(&["masscan"]).config(&["-c"], &[]),
    product("Nmap", Suspicious).binaries(&["nmap"]),
    product("Chisel", Suspicious).binaries(&["chisel"]),
    product("cron", System).binaries(&["cron", "crond"]).config(&[], &["/etc/crontab"]),
    product("rsyslog", System).binaries(&["rsyslogd"]).config(&["-f"], &["/etc/rsyslog.conf"]),
    product("chrony", System).binaries(&["chronyd"]).config(&["-f"], &["/etc/chrony/chrony.conf", "/etc/chrony.conf"]),
    product("ntpd", System).binaries(&["ntpd"]).config(&["-c", "--configfile"], &["/etc/ntp.conf", "/etc/ntpsec/ntp.conf"]),
    product("systemd", System).binaries(&["systemd"]).config(&[], &["/etc/systemd/system.conf"]),
    product("D-Bus", System).binaries(&["dbus-daemon", "dbus-broker"]).config(&["--config-file"], &["/usr/share/dbus-1/system.conf"]),
    product("NetworkManager", System).binaries(&["NetworkManager"]).config(&["--config"], &["/etc/NetworkManager/NetworkManager.conf"]),
    product("BIND", System).binaries(&["named"]).config(&["-c"], &["/etc/bind/named.conf", "/etc/named.conf"]).version(&[Binary(r"BIND (\d+\.\d+\.\d+)")]),
    product("dnsmasq", System).binaries(&["dnsmasq"]).config(&["-C", "--conf-file"], &["/etc/dnsmasq.conf"]).version(&[Binary(r"dnsmasq-(\d+\.\d+)")]),
    product("Unbound", System).binaries(&["unbound"]).config(&["-c"], &["/etc/unbound/unbound.conf"]).version(&[Binary(r"unbound (\d+\.\d+\.\d+)")]),
    product("Postfix", System).binaries(&["master"]).config(&[], &["/etc/postfix/main.cf"]).version(&[Binary(r"mail_version=(\d+\.\d+\.\d+)")]),
    product("Exim", System).binaries(&["exim", "exim4"]).config(&["-C"], &["/etc/exim4/exim4.conf.template", "/etc/exim/exim.conf"]),
    product("Dovecot", System).binaries(&["dovecot"]).config(&["-c"], &["/etc/dovecot/dovecot.conf"]),
    product("CUPS", System).binaries(&["cupsd"]).config(&["-c"], &["/etc/cups/cupsd.conf"]),
    product("snmpd", System).binaries(&["snmpd"]).config(&["-c"], &["/etc/snmp/snmpd.conf"]),
    product("keepalived", System).binaries(&["keepalived"]).config(&["-f", "--use-file"], &["/etc/keepalived/keepalived.conf"]),
    product("NFS server", System).binaries(&["rpc.nfsd", "rpc.mountd"]).config(&[], &["/etc/exports"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_products_are_told_by_the_same() {
        let (mut names, mut told_by) = (BTreeSet::new(), BTreeSet::new());
        for product in PRODUCTS {
            assert!(names.insert(product.name), "{}", product.name);
            for text in product.binaries {
                assert!(told_by.insert((true, *text)), "{text}");
            }
            for text in product.arguments {
                assert!(told_by.insert((false, *text)), "{text}");
            }
        }
    }

    #[test]
    fn every_pattern_compiles_and_has_one_group() {
        for product in PRODUCTS {
            for source in product.version {
                let (Binary(pattern) | Path(pattern) | File(_, pattern) | Name(_, pattern) | Argument(pattern)) =
                    source;
                let regex = regex::bytes::Regex::new(pattern).unwrap_or_else(|e| panic!("{}: {e}", product.name));
                assert_eq!(regex.captures_len(), 2, "{pattern}");
            }
        }
    }
}
