//! An item of every class, and the questions that every class answers.

use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_contracts::inventory::v1::*;
use prost_types::Timestamp;

use crate::world::{account, exact, package, prefix};

/// Which item: `n` chooses its natural key, `steady` and `volatile` the values of its other fields.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Which {
    pub(crate) n: u32,
    pub(crate) steady: u32,
    pub(crate) volatile: u32,
}

/// The item with this number.
pub(crate) fn item(class: AssetClass, n: u32) -> AssetItem {
    varied(class, Which { n, ..Which::default() })
}

fn seconds(seconds: u32) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_700_000_000 + i64::from(seconds), nanos: 5000 })
}

/// An item with every field filled.
pub(crate) fn varied(class: AssetClass, Which { n, steady, volatile }: Which) -> AssetItem {
    let item = match class {
        AssetClass::Unspecified => unreachable!("no class"),
        AssetClass::Account => {
            let Some(Item::Account(a)) = account(&format!("account-{n:03}"), n).item else { unreachable!() };
            let keys = vec![AuthorizedKey {
                kind: "ssh-ed25519".into(),
                fingerprint: format!("SHA256:{n}"),
                comment: "bob@laptop".into(),
            }];
            Item::Account(Account {
                comment: format!("comment-{steady}"),
                last_login_time: seconds(volatile),
                keys,
                gid: n,
                enabled: [Some(true), None, Some(false)][(steady % 3) as usize],
                login_type: [LoginType::Key, LoginType::Both][(steady % 2) as usize].into(),
                sudo: Some(steady.is_multiple_of(2)),
                password_status: [PasswordStatus::Normal, PasswordStatus::Locked][(steady % 2) as usize].into(),
                account_expire_time: seconds(steady),
                password_expire_time: [seconds(steady), None][(steady % 2) as usize],
                password_warn_days: Some(steady),
                password_lock_days: [Some(steady), None][(steady % 2) as usize],
                ssh_login: [Some(true), None, Some(false)][(steady % 3) as usize],
                ..a
            })
        }
        AssetClass::SystemPackage => {
            let Some(Item::SystemPackage(p)) = package(&format!("package-{n:03}"), "1").item else { unreachable!() };
            Item::SystemPackage(SystemPackage {
                purl: format!("pkg:deb/debian/p@{steady}"),
                install_time: seconds(n),
                description: format!("description-{steady:03}"),
                path: format!("path-{n:03}"),
                ..p
            })
        }
        AssetClass::Resource => Item::Resource(Resource {
            kind: ResourceKind::Hardware.into(),
            name: format!("name-{n:03}"),
            mount_path: format!("mount-path-{n:03}"),
            filesystem: format!("filesystem-{steady:03}"),
            size_bytes: Some(u64::from(steady) << 33),
            used_bytes: Some((1 << 33) + u64::from(volatile)),
            mac_address: format!("mac-address-{n:03}"),
            ip_addresses: vec!["one".into(), format!("{steady}")],
            gateway: format!("gateway-{steady:03}"),
            dns_servers: vec!["one".into(), format!("{steady}")],
            up: [Some(true), None, Some(false)][(steady % 3) as usize],
            cpu_model: format!("cpu-model-{steady:03}"),
            cpu_count: Some(steady),
            swap_bytes: Some(u64::from(steady) << 33),
            manufacturer: format!("manufacturer-{steady:03}"),
            product_name: format!("product-name-{steady:03}"),
            serial_number: format!("serial-number-{steady:03}"),
            escaped: steady.is_multiple_of(2),
            partition_count: steady,
        }),
        AssetClass::ListeningPort => Item::ListeningPort(ListeningPort {
            protocol: TransportProtocol::Tcp.into(),
            bind_address: format!("bind-address-{n:03}"),
            port: 8000 + n,
            pid: Some(steady),
            process_name: format!("process-name-{steady:03}"),
            process_path: format!("process-path-{n:03}"),
            command_line: format!("/usr/bin/run --level {steady}"),
            user: format!("user-{steady:03}"),
            group_name: format!("group-name-{steady:03}"),
            parent_pid: Some(steady),
            parent_name: format!("parent-name-{steady:03}"),
            start_time: seconds(volatile),
            package_name: format!("package-name-{steady:03}"),
            package_version: format!("package-version-{steady:03}"),
            container_id: format!("container-id-{n:03}"),
            escaped: steady.is_multiple_of(2),
            sha256: vec![steady as u8; 32],
            terminal: format!("terminal-{steady:03}"),
            own_network: n % 2 == 1,
        }),
        AssetClass::SoftwareApplication => Item::SoftwareApplication(SoftwareApplication {
            kind: [ApplicationKind::Operations, ApplicationKind::Database][(steady % 2) as usize].into(),
            name: format!("name-{n:03}"),
            version: format!("version-{steady:03}"),
            bin_path: format!("bin-path-{n:03}"),
            config_path: format!("config-path-{n:03}"),
            process_count: steady,
            description: format!("description-{steady:03}"),
            package_name: format!("package-name-{steady:03}"),
            escaped: steady.is_multiple_of(2),
            container_id: format!("container-id-{n:03}"),
        }),
        AssetClass::Process => Item::Process(Process {
            pid: n,
            boot_id: "6f3b9c1e-0000-4000-8000-000000000001".into(),
            start_ticks: u64::from(n) << 33,
            parent_pid: steady,
            parent_name: format!("parent-name-{steady:03}"),
            name: format!("name-{steady:03}"),
            path: format!("path-{steady:03}"),
            command_line: format!("/usr/bin/run --level {steady}"),
            user: format!("user-{steady:03}"),
            uid: steady,
            group_name: format!("group-name-{steady:03}"),
            start_time: seconds(volatile),
            terminal: format!("terminal-{steady:03}"),
            state: [ProcessState::Running, ProcessState::Sleeping][(volatile % 2) as usize].into(),
            sha256: vec![steady as u8; 32],
            package_name: format!("package-name-{steady:03}"),
            package_version: format!("package-version-{steady:03}"),
            container_runtime: format!("container-runtime-{steady:03}"),
            container_id: format!("container-id-{steady:03}"),
            escaped: steady.is_multiple_of(2),
        }),
        AssetClass::DatabaseInstance => Item::DatabaseInstance(DatabaseInstance {
            kind: DatabaseKind::Mysql.into(),
            version: format!("version-{steady:03}"),
            bind_address: format!("bind-address-{n:03}"),
            port: 8000 + n,
            protocol: [TransportProtocol::Tcp, TransportProtocol::Udp][(steady % 2) as usize].into(),
            user: format!("user-{steady:03}"),
            bin_path: format!("bin-path-{n:03}"),
            config_path: format!("config-path-{steady:03}"),
            data_path: format!("data-path-{n:03}"),
            log_path: format!("log-path-{steady:03}"),
            error_log_path: format!("error-log-path-{steady:03}"),
            plugin_path: format!("plugin-path-{steady:03}"),
            command_line: format!("/usr/bin/run --level {steady}"),
            pid: Some(steady),
            package_name: format!("package-name-{steady:03}"),
            container_id: format!("container-id-{n:03}"),
            escaped: steady.is_multiple_of(2),
            data_permission: format!("{steady:04o}"),
        }),
        AssetClass::WebApplication => Item::WebApplication(WebApplication {
            name: format!("name-{n:03}"),
            version: format!("version-{steady:03}"),
            root_path: format!("root-path-{n:03}"),
            service: [WebServiceKind::Tomcat, WebServiceKind::Apache][(steady % 2) as usize].into(),
            domain: format!("domain-{n:03}"),
            virtual_path: format!("virtual-path-{n:03}"),
            plugins: vec![WebPlugin {
                name: format!("name-{steady}"),
                version: "version".into(),
                description: "description".into(),
                link: "link".into(),
            }],
            plugin_count: steady,
            user: format!("user-{steady:03}"),
            escaped: steady.is_multiple_of(2),
            container_id: format!("container-id-{n:03}"),
        }),
        AssetClass::WebService => Item::WebService(WebService {
            kind: WebServiceKind::Tomcat.into(),
            version: format!("version-{steady:03}"),
            bin_path: format!("bin-path-{n:03}"),
            install_path: format!("install-path-{steady:03}"),
            config_path: format!("config-path-{n:03}"),
            user: format!("user-{steady:03}"),
            process_count: steady,
            package_name: format!("package-name-{steady:03}"),
            container_id: format!("container-id-{n:03}"),
            escaped: steady.is_multiple_of(2),
        }),
        AssetClass::WebFramework => Item::WebFramework(WebFramework {
            name: format!("name-{n:03}"),
            version: format!("version-{n:03}"),
            language: [ProgrammingLanguage::Java, ProgrammingLanguage::Python][(steady % 2) as usize].into(),
            service: [WebServiceKind::Tomcat, WebServiceKind::Apache][(steady % 2) as usize].into(),
            path: format!("path-{n:03}"),
            jar_count: steady,
            pid: Some(steady),
            escaped: steady.is_multiple_of(2),
            container_id: format!("container-id-{n:03}"),
        }),
        AssetClass::WebSite => Item::WebSite(WebSite {
            domain: format!("domain-{n:03}"),
            port: 8000 + n,
            protocol: WebProtocol::Http.into(),
            bind_address: format!("bind-address-{n:03}"),
            service: [WebServiceKind::Tomcat, WebServiceKind::Apache][(steady % 2) as usize].into(),
            root_path: format!("root-path-{steady:03}"),
            root_owner: format!("root-owner-{steady:03}"),
            root_permission: format!("root-p-{steady:03}"),
            user: format!("user-{steady:03}"),
            config_path: format!("config-path-{steady:03}"),
            command_line: format!("/usr/bin/run --level {steady}"),
            paths: vec![WebSitePath {
                virtual_path: format!("virtual_path-{steady}"),
                real_path: "real_path".into(),
                owner: "owner".into(),
                group: "group".into(),
                permission: "permission".into(),
            }],
            path_count: steady,
            escaped: steady.is_multiple_of(2),
            container_id: format!("container-id-{n:03}"),
        }),
        AssetClass::JarPackage => Item::JarPackage(JarPackage {
            name: format!("name-{steady:03}"),
            version: format!("version-{steady:03}"),
            group_id: format!("group-id-{steady:03}"),
            path: format!("path-{n:03}"),
            inner_path: format!("inner-path-{n:03}"),
            sha256: vec![steady as u8; 32],
            kind: [JarKind::Application, JarKind::SystemLibrary][(steady % 2) as usize].into(),
            executable: [Some(true), None, Some(false)][(steady % 3) as usize],
            purl: format!("purl-{steady:03}"),
            processes: vec![JarProcess { pid: volatile, name: "name".into() }],
            escaped: steady.is_multiple_of(2),
            container_id: format!("container-id-{n:03}"),
        }),
        AssetClass::StartupService => Item::StartupService(StartupService {
            kind: StartupKind::Systemd.into(),
            name: format!("name-{n:03}"),
            path: format!("path-{n:03}"),
            user: format!("user-{steady:03}"),
            enabled: [Some(true), None, Some(false)][(steady % 3) as usize],
            auto_run: [Some(true), None, Some(false)][(steady % 3) as usize],
            state: format!("state-{steady:03}"),
            description: format!("description-{steady:03}"),
            command_line: format!("/usr/bin/run --level {steady}"),
            escaped: steady.is_multiple_of(2),
        }),
        AssetClass::ScheduledTask => Item::ScheduledTask(ScheduledTask {
            kind: [ScheduleKind::Cron, ScheduleKind::Anacron][(steady % 2) as usize].into(),
            name: format!("name-{steady:03}"),
            schedule: format!("schedule-{n:03}"),
            command: format!("command-{n:03}"),
            user: format!("user-{n:03}"),
            config_path: format!("config-path-{n:03}"),
            enabled: steady.is_multiple_of(2),
            escaped: steady.is_multiple_of(2),
        }),
        AssetClass::EnvironmentVariable => Item::EnvironmentVariable(EnvironmentVariable {
            scope: VariableScope::User.into(),
            user: format!("user-{n:03}"),
            name: format!("name-{n:03}"),
            value_hash: vec![steady as u8; 16],
            value_length: Some(steady),
            config_path: format!("config-path-{n:03}"),
            escaped: steady.is_multiple_of(2),
        }),
        AssetClass::KernelModule => Item::KernelModule(KernelModule {
            name: format!("name-{n:03}"),
            description: format!("description-{steady:03}"),
            path: format!("path-{steady:03}"),
            version: format!("version-{steady:03}"),
            size_bytes: steady,
            use_count: Some(volatile),
            dependencies: (0..=steady % 3).map(|one| format!("{one} of {steady}")).collect(),
            used_by: vec!["one".into(), format!("{volatile}")],
            parameters: vec![ModuleParameter { name: format!("name-{volatile}"), value: "value".into() }],
            escaped: steady.is_multiple_of(2),
        }),
    };
    AssetItem { item: Some(item) }
}

/// The question for all items of a class.
pub(crate) fn everything(class: AssetClass) -> Query {
    match class {
        AssetClass::Unspecified => unreachable!("no class"),
        AssetClass::Resource => Query::Resource(ResourceQuery::default()),
        AssetClass::Account => Query::Account(AccountQuery::default()),
        AssetClass::ListeningPort => Query::ListeningPort(ListeningPortQuery::default()),
        AssetClass::SoftwareApplication => Query::SoftwareApplication(SoftwareApplicationQuery::default()),
        AssetClass::Process => Query::Process(ProcessQuery::default()),
        AssetClass::DatabaseInstance => Query::DatabaseInstance(DatabaseInstanceQuery::default()),
        AssetClass::WebApplication => Query::WebApplication(WebApplicationQuery::default()),
        AssetClass::WebService => Query::WebService(WebServiceQuery::default()),
        AssetClass::WebFramework => Query::WebFramework(WebFrameworkQuery::default()),
        AssetClass::WebSite => Query::WebSite(WebSiteQuery::default()),
        AssetClass::JarPackage => Query::JarPackage(JarPackageQuery::default()),
        AssetClass::StartupService => Query::StartupService(StartupServiceQuery::default()),
        AssetClass::ScheduledTask => Query::ScheduledTask(ScheduledTaskQuery::default()),
        AssetClass::EnvironmentVariable => Query::EnvironmentVariable(EnvironmentVariableQuery::default()),
        AssetClass::KernelModule => Query::KernelModule(KernelModuleQuery::default()),
        AssetClass::SystemPackage => Query::SystemPackage(SystemPackageQuery::default()),
    }
}

/// Every driving filter that finds item 1 of [`item`], and every order, each with the index that serves it.
pub(crate) fn questions(class: AssetClass) -> Vec<(Query, &'static str)> {
    match class {
        AssetClass::Unspecified => unreachable!("no class"),
        AssetClass::Account => {
            use account_query::Driving;
            let by = |driving| Query::Account(AccountQuery { driving: Some(driving), ..Default::default() });
            let order =
                |order: AccountOrder| Query::Account(AccountQuery { order: order.into(), ..Default::default() });
            vec![
                (by(Driving::Name(exact("account-001"))), "asset_account_name"),
                (by(Driving::Name(prefix("account-001"))), "asset_account_name"),
                (by(Driving::Uid(1)), "asset_account_uid"),
                (order(AccountOrder::FirstSeenTime), "asset_account_first_seen"),
                (order(AccountOrder::Name), "asset_account_name"),
                (order(AccountOrder::Uid), "asset_account_uid"),
                (order(AccountOrder::LastLoginTime), "asset_account_last_login"),
            ]
        }
        AssetClass::Resource => {
            use resource_query::Driving;
            let by = |driving| Query::Resource(ResourceQuery { driving: Some(driving), ..Default::default() });
            let order =
                |order: ResourceOrder| Query::Resource(ResourceQuery { order: order.into(), ..Default::default() });
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_resource_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_resource_name"),
                (order(ResourceOrder::FirstSeenTime), "asset_resource_first_seen"),
                (order(ResourceOrder::Name), "asset_resource_name"),
                (order(ResourceOrder::PartitionCount), "asset_resource_partition_count"),
            ]
        }
        AssetClass::ListeningPort => {
            use listening_port_query::Driving;
            let by =
                |driving| Query::ListeningPort(ListeningPortQuery { driving: Some(driving), ..Default::default() });
            let order = |order: ListeningPortOrder| {
                Query::ListeningPort(ListeningPortQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Port(8001)), "asset_listening_port_port"),
                (by(Driving::ProcessName(exact("process-name-000"))), "asset_listening_port_process_name"),
                (by(Driving::ProcessName(prefix("process-name-000"))), "asset_listening_port_process_name"),
                (order(ListeningPortOrder::FirstSeenTime), "asset_listening_port_first_seen"),
                (order(ListeningPortOrder::Port), "asset_listening_port_port"),
                (order(ListeningPortOrder::ProcessName), "asset_listening_port_process_name"),
                (order(ListeningPortOrder::StartTime), "asset_listening_port_started"),
            ]
        }
        AssetClass::SoftwareApplication => {
            use software_application_query::Driving;
            let by = |driving| {
                Query::SoftwareApplication(SoftwareApplicationQuery { driving: Some(driving), ..Default::default() })
            };
            let order = |order: SoftwareApplicationOrder| {
                Query::SoftwareApplication(SoftwareApplicationQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_software_application_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_software_application_name"),
                (order(SoftwareApplicationOrder::FirstSeenTime), "asset_software_application_first_seen"),
                (order(SoftwareApplicationOrder::Name), "asset_software_application_name"),
                (order(SoftwareApplicationOrder::ProcessCount), "asset_software_application_process_count"),
            ]
        }
        AssetClass::Process => {
            use process_query::Driving;
            let by = |driving| Query::Process(ProcessQuery { driving: Some(driving), ..Default::default() });
            let order =
                |order: ProcessOrder| Query::Process(ProcessQuery { order: order.into(), ..Default::default() });
            vec![
                (by(Driving::Name(exact("name-000"))), "asset_process_name"),
                (by(Driving::Name(prefix("name-000"))), "asset_process_name"),
                (by(Driving::User(exact("user-000"))), "asset_process_user"),
                (by(Driving::User(prefix("user-000"))), "asset_process_user"),
                (order(ProcessOrder::FirstSeenTime), "asset_process_first_seen"),
                (order(ProcessOrder::Name), "asset_process_name"),
                (order(ProcessOrder::User), "asset_process_user"),
                (order(ProcessOrder::StartTime), "asset_process_started"),
            ]
        }
        AssetClass::DatabaseInstance => {
            use database_instance_query::Driving;
            let by = |driving| {
                Query::DatabaseInstance(DatabaseInstanceQuery { driving: Some(driving), ..Default::default() })
            };
            let order = |order: DatabaseInstanceOrder| {
                Query::DatabaseInstance(DatabaseInstanceQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Kind(DatabaseKind::Mysql.into())), "asset_database_instance_kind"),
                (by(Driving::Port(8001)), "asset_database_instance_port"),
                (order(DatabaseInstanceOrder::FirstSeenTime), "asset_database_instance_first_seen"),
                (order(DatabaseInstanceOrder::Kind), "asset_database_instance_kind"),
                (order(DatabaseInstanceOrder::Port), "asset_database_instance_port"),
            ]
        }
        AssetClass::WebApplication => {
            use web_application_query::Driving;
            let by =
                |driving| Query::WebApplication(WebApplicationQuery { driving: Some(driving), ..Default::default() });
            let order = |order: WebApplicationOrder| {
                Query::WebApplication(WebApplicationQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_web_application_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_web_application_name"),
                (by(Driving::Domain(exact("domain-001"))), "asset_web_application_domain"),
                (by(Driving::Domain(prefix("domain-001"))), "asset_web_application_domain"),
                (order(WebApplicationOrder::FirstSeenTime), "asset_web_application_first_seen"),
                (order(WebApplicationOrder::Name), "asset_web_application_name"),
                (order(WebApplicationOrder::Domain), "asset_web_application_domain"),
                (order(WebApplicationOrder::PluginCount), "asset_web_application_plugin_count"),
            ]
        }
        AssetClass::WebService => {
            use web_service_query::Driving;
            let by = |driving| Query::WebService(WebServiceQuery { driving: Some(driving), ..Default::default() });
            let order = |order: WebServiceOrder| {
                Query::WebService(WebServiceQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Kind(WebServiceKind::Tomcat.into())), "asset_web_service_kind"),
                (order(WebServiceOrder::FirstSeenTime), "asset_web_service_first_seen"),
                (order(WebServiceOrder::Kind), "asset_web_service_kind"),
                (order(WebServiceOrder::ProcessCount), "asset_web_service_process_count"),
            ]
        }
        AssetClass::WebFramework => {
            use web_framework_query::Driving;
            let by = |driving| Query::WebFramework(WebFrameworkQuery { driving: Some(driving), ..Default::default() });
            let order = |order: WebFrameworkOrder| {
                Query::WebFramework(WebFrameworkQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_web_framework_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_web_framework_name"),
                (order(WebFrameworkOrder::FirstSeenTime), "asset_web_framework_first_seen"),
                (order(WebFrameworkOrder::Name), "asset_web_framework_name"),
                (order(WebFrameworkOrder::JarCount), "asset_web_framework_jar_count"),
            ]
        }
        AssetClass::WebSite => {
            use web_site_query::Driving;
            let by = |driving| Query::WebSite(WebSiteQuery { driving: Some(driving), ..Default::default() });
            let order =
                |order: WebSiteOrder| Query::WebSite(WebSiteQuery { order: order.into(), ..Default::default() });
            vec![
                (by(Driving::Domain(exact("domain-001"))), "asset_web_site_domain"),
                (by(Driving::Domain(prefix("domain-001"))), "asset_web_site_domain"),
                (by(Driving::Port(8001)), "asset_web_site_port"),
                (order(WebSiteOrder::FirstSeenTime), "asset_web_site_first_seen"),
                (order(WebSiteOrder::Domain), "asset_web_site_domain"),
                (order(WebSiteOrder::Port), "asset_web_site_port"),
                (order(WebSiteOrder::PathCount), "asset_web_site_path_count"),
            ]
        }
        AssetClass::JarPackage => {
            use jar_package_query::Driving;
            let by = |driving| Query::JarPackage(JarPackageQuery { driving: Some(driving), ..Default::default() });
            let order = |order: JarPackageOrder| {
                Query::JarPackage(JarPackageQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-000"))), "asset_jar_package_name"),
                (by(Driving::Name(prefix("name-000"))), "asset_jar_package_name"),
                (order(JarPackageOrder::FirstSeenTime), "asset_jar_package_first_seen"),
                (order(JarPackageOrder::Name), "asset_jar_package_name"),
            ]
        }
        AssetClass::StartupService => {
            use startup_service_query::Driving;
            let by =
                |driving| Query::StartupService(StartupServiceQuery { driving: Some(driving), ..Default::default() });
            let order = |order: StartupServiceOrder| {
                Query::StartupService(StartupServiceQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_startup_service_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_startup_service_name"),
                (by(Driving::User(exact("user-000"))), "asset_startup_service_user"),
                (by(Driving::User(prefix("user-000"))), "asset_startup_service_user"),
                (order(StartupServiceOrder::FirstSeenTime), "asset_startup_service_first_seen"),
                (order(StartupServiceOrder::Name), "asset_startup_service_name"),
                (order(StartupServiceOrder::User), "asset_startup_service_user"),
            ]
        }
        AssetClass::ScheduledTask => {
            use scheduled_task_query::Driving;
            let by =
                |driving| Query::ScheduledTask(ScheduledTaskQuery { driving: Some(driving), ..Default::default() });
            let order = |order: ScheduledTaskOrder| {
                Query::ScheduledTask(ScheduledTaskQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::User(exact("user-001"))), "asset_scheduled_task_user"),
                (by(Driving::User(prefix("user-001"))), "asset_scheduled_task_user"),
                (order(ScheduledTaskOrder::FirstSeenTime), "asset_scheduled_task_first_seen"),
                (order(ScheduledTaskOrder::User), "asset_scheduled_task_user"),
            ]
        }
        AssetClass::EnvironmentVariable => {
            use environment_variable_query::Driving;
            let by = |driving| {
                Query::EnvironmentVariable(EnvironmentVariableQuery { driving: Some(driving), ..Default::default() })
            };
            let order = |order: EnvironmentVariableOrder| {
                Query::EnvironmentVariable(EnvironmentVariableQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_environment_variable_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_environment_variable_name"),
                (order(EnvironmentVariableOrder::FirstSeenTime), "asset_environment_variable_first_seen"),
                (order(EnvironmentVariableOrder::Name), "asset_environment_variable_name"),
            ]
        }
        AssetClass::KernelModule => {
            use kernel_module_query::Driving;
            let by = |driving| Query::KernelModule(KernelModuleQuery { driving: Some(driving), ..Default::default() });
            let order = |order: KernelModuleOrder| {
                Query::KernelModule(KernelModuleQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("name-001"))), "asset_kernel_module_name"),
                (by(Driving::Name(prefix("name-001"))), "asset_kernel_module_name"),
                (order(KernelModuleOrder::FirstSeenTime), "asset_kernel_module_first_seen"),
                (order(KernelModuleOrder::Name), "asset_kernel_module_name"),
                (order(KernelModuleOrder::SizeBytes), "asset_kernel_module_size"),
                (order(KernelModuleOrder::DependencyCount), "asset_kernel_module_dependency_count"),
            ]
        }
        AssetClass::SystemPackage => {
            use system_package_query::Driving;
            let by =
                |driving| Query::SystemPackage(SystemPackageQuery { driving: Some(driving), ..Default::default() });
            let order = |order: SystemPackageOrder| {
                Query::SystemPackage(SystemPackageQuery { order: order.into(), ..Default::default() })
            };
            vec![
                (by(Driving::Name(exact("package-001"))), "asset_system_package_name"),
                (by(Driving::Name(prefix("package-001"))), "asset_system_package_name"),
                (order(SystemPackageOrder::FirstSeenTime), "asset_system_package_first_seen"),
                (order(SystemPackageOrder::Name), "asset_system_package_name"),
                (order(SystemPackageOrder::InstallTime), "asset_system_package_installed"),
            ]
        }
    }
}

/// Adds every residual condition to a question; item 1 of [`item`] meets them.
pub(crate) fn narrowed(query: &Query) -> Query {
    match query.clone() {
        Query::Account(q) => Query::Account(AccountQuery {
            sudo: Some(true),
            interactive: Some(true),
            password_status: PasswordStatus::Normal.into(),
            gid: Some(1),
            login_type: LoginType::Key.into(),
            enabled: Some(true),
            ssh_login: Some(true),
            last_login_from: seconds(0),
            last_login_until: seconds(1),
            password_expires_from: seconds(0),
            password_expires_until: seconds(1),
            also_name: Some(exact("account-001")),
            also_uid: Some(1),
            ..q
        }),
        Query::SystemPackage(q) => Query::SystemPackage(SystemPackageQuery {
            version: "1".into(),
            kind: PackageKind::Dpkg.into(),
            installed_from: seconds(1),
            installed_until: seconds(2),
            ..q
        }),
        Query::Resource(q) => Query::Resource(ResourceQuery {
            kind: ResourceKind::Hardware.into(),
            filesystem: "filesystem-000".into(),
            ..q
        }),
        Query::ListeningPort(q) => Query::ListeningPort(ListeningPortQuery {
            protocol: TransportProtocol::Tcp.into(),
            bind_address: "bind-address-001".into(),
            user: "user-000".into(),
            pid: Some(0),
            parent_pid: Some(0),
            group_name: "group-name-000".into(),
            started_from: seconds(0),
            started_until: seconds(1),
            own_network: Some(true),
            container_id: "container-id-001".into(),
            also_port: Some(8001),
            also_process_name: Some(exact("process-name-000")),
            ..q
        }),
        Query::SoftwareApplication(q) => Query::SoftwareApplication(SoftwareApplicationQuery {
            kind: ApplicationKind::Operations.into(),
            version: "version-000".into(),
            container_id: "container-id-001".into(),
            ..q
        }),
        Query::Process(q) => Query::Process(ProcessQuery {
            pid: Some(1),
            parent_pid: Some(0),
            group_name: "group-name-000".into(),
            state: ProcessState::Running.into(),
            container_id: "container-id-000".into(),
            started_from: seconds(0),
            started_until: seconds(1),
            package_name: "package-name-000".into(),
            packaged: Some(true),
            also_name: Some(exact("name-000")),
            also_user: Some(exact("user-000")),
            ..q
        }),
        Query::DatabaseInstance(q) => Query::DatabaseInstance(DatabaseInstanceQuery {
            protocol: TransportProtocol::Tcp.into(),
            user: "user-000".into(),
            version: "version-000".into(),
            container_id: "container-id-001".into(),
            also_kind: DatabaseKind::Mysql.into(),
            also_port: Some(8001),
            ..q
        }),
        Query::WebApplication(q) => Query::WebApplication(WebApplicationQuery {
            service: WebServiceKind::Tomcat.into(),
            version: "version-000".into(),
            container_id: "container-id-001".into(),
            also_name: Some(exact("name-001")),
            also_domain: Some(exact("domain-001")),
            ..q
        }),
        Query::WebService(q) => Query::WebService(WebServiceQuery {
            user: "user-000".into(),
            version: "version-000".into(),
            container_id: "container-id-001".into(),
            ..q
        }),
        Query::WebFramework(q) => Query::WebFramework(WebFrameworkQuery {
            language: ProgrammingLanguage::Java.into(),
            service: WebServiceKind::Tomcat.into(),
            version: "version-001".into(),
            container_id: "container-id-001".into(),
            ..q
        }),
        Query::WebSite(q) => Query::WebSite(WebSiteQuery {
            protocol: WebProtocol::Http.into(),
            service: WebServiceKind::Tomcat.into(),
            user: "user-000".into(),
            container_id: "container-id-001".into(),
            also_domain: Some(exact("domain-001")),
            also_port: Some(8001),
            ..q
        }),
        Query::JarPackage(q) => Query::JarPackage(JarPackageQuery {
            version: "version-000".into(),
            kind: JarKind::Application.into(),
            executable: Some(true),
            container_id: "container-id-001".into(),
            ..q
        }),
        Query::StartupService(q) => Query::StartupService(StartupServiceQuery {
            kind: StartupKind::Systemd.into(),
            enabled: Some(true),
            auto_run: Some(true),
            also_name: Some(exact("name-001")),
            also_user: Some(exact("user-000")),
            ..q
        }),
        Query::ScheduledTask(q) => {
            Query::ScheduledTask(ScheduledTaskQuery { kind: ScheduleKind::Cron.into(), enabled: Some(true), ..q })
        }
        Query::EnvironmentVariable(q) => Query::EnvironmentVariable(EnvironmentVariableQuery {
            scope: VariableScope::User.into(),
            user: "user-001".into(),
            ..q
        }),
        Query::KernelModule(q) => Query::KernelModule(KernelModuleQuery { version: "version-000".into(), ..q }),
    }
}

/// An item with everything wrong that can be wrong, and the names of those fields.
pub(crate) fn nonsense(class: AssetClass) -> (AssetItem, Vec<&'static str>) {
    let long = |n: usize| "x".repeat(n + 1);
    let never = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let (item, fields) = match class {
        AssetClass::Unspecified => unreachable!("no class"),
        AssetClass::Account => (
            Item::Account(Account {
                login_type: 99,
                password_status: 99,
                last_login_time: never,
                account_expire_time: never,
                ..Default::default()
            }),
            vec!["name", "login_type", "password_status", "last_login_time", "account_expire_time"],
        ),
        AssetClass::SystemPackage => (
            Item::SystemPackage(SystemPackage {
                architecture: long(63),
                path: long(4096),
                install_time: never,
                ..Default::default()
            }),
            vec!["kind", "name", "version", "architecture", "install_time", "path"],
        ),
        AssetClass::Resource => (
            Item::Resource(Resource {
                name: long(255),
                mount_path: long(4096),
                size_bytes: Some(1 << 63),
                used_bytes: Some(1 << 63),
                mac_address: long(63),
                swap_bytes: Some(1 << 63),
                ..Default::default()
            }),
            vec!["kind", "name", "mount_path", "size_bytes", "used_bytes", "mac_address", "swap_bytes"],
        ),
        AssetClass::ListeningPort => (
            Item::ListeningPort(ListeningPort {
                port: 65535 + 1,
                process_path: long(4096),
                container_id: long(64),
                start_time: never,
                sha256: vec![1; 5],
                ..Default::default()
            }),
            vec!["protocol", "bind_address", "port", "process_path", "start_time", "container_id", "sha256"],
        ),
        AssetClass::SoftwareApplication => (
            Item::SoftwareApplication(SoftwareApplication {
                container_id: long(64),
                bin_path: long(4096),
                config_path: long(4096),
                ..Default::default()
            }),
            vec!["kind", "name", "bin_path", "config_path", "container_id"],
        ),
        AssetClass::Process => (
            Item::Process(Process {
                boot_id: long(36),
                start_ticks: 1 << 63,
                start_time: never,
                state: 98,
                sha256: vec![1; 5],
                ..Default::default()
            }),
            vec!["boot_id", "start_ticks", "start_time", "state", "sha256"],
        ),
        AssetClass::DatabaseInstance => (
            Item::DatabaseInstance(DatabaseInstance {
                container_id: long(64),
                bind_address: long(63),
                port: 65535 + 1,
                protocol: 98,
                bin_path: long(4096),
                data_path: long(4096),
                ..Default::default()
            }),
            vec!["kind", "bind_address", "port", "protocol", "bin_path", "data_path", "container_id"],
        ),
        AssetClass::WebApplication => (
            Item::WebApplication(WebApplication {
                container_id: long(64),
                root_path: long(4096),
                service: 98,
                domain: long(255),
                virtual_path: long(1024),
                ..Default::default()
            }),
            vec!["name", "root_path", "service", "domain", "virtual_path", "container_id"],
        ),
        AssetClass::WebService => (
            Item::WebService(WebService {
                container_id: long(64),
                bin_path: long(4096),
                config_path: long(4096),
                ..Default::default()
            }),
            vec!["kind", "bin_path", "config_path", "container_id"],
        ),
        AssetClass::WebFramework => (
            Item::WebFramework(WebFramework {
                container_id: long(64),
                version: long(255),
                service: 98,
                path: long(4096),
                ..Default::default()
            }),
            vec!["name", "version", "language", "service", "path", "container_id"],
        ),
        AssetClass::WebSite => (
            Item::WebSite(WebSite {
                container_id: long(64),
                domain: long(255),
                port: 65535 + 1,
                bind_address: long(63),
                service: 98,
                ..Default::default()
            }),
            vec!["domain", "port", "protocol", "bind_address", "service", "container_id"],
        ),
        AssetClass::JarPackage => (
            Item::JarPackage(JarPackage {
                container_id: long(64),
                inner_path: long(4096),
                sha256: vec![1; 5],
                kind: 98,
                ..Default::default()
            }),
            vec!["path", "inner_path", "sha256", "kind", "container_id"],
        ),
        AssetClass::StartupService => (
            Item::StartupService(StartupService { path: long(4096), ..Default::default() }),
            vec!["kind", "name", "path"],
        ),
        AssetClass::ScheduledTask => (
            Item::ScheduledTask(ScheduledTask {
                schedule: long(1024),
                user: long(255),
                config_path: long(4096),
                ..Default::default()
            }),
            vec!["kind", "schedule", "command", "user", "config_path"],
        ),
        AssetClass::EnvironmentVariable => (
            Item::EnvironmentVariable(EnvironmentVariable {
                user: long(255),
                value_hash: vec![1; 5],
                config_path: long(4096),
                ..Default::default()
            }),
            vec!["scope", "user", "name", "value_hash", "config_path"],
        ),
        AssetClass::KernelModule => (Item::KernelModule(KernelModule { ..Default::default() }), vec!["name"]),
    };
    (AssetItem { item: Some(item) }, fields)
}
