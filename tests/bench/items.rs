//! The items of a machine: as many of each class as a real server has, the same names on every machine, own paths.

use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::*;
use prost_types::Timestamp;

/// How many items of a class a machine has; 1,000 together.
pub(crate) const MIX: [(AssetClass, usize); 16] = [
    (AssetClass::Resource, 8),
    (AssetClass::Account, 24),
    (AssetClass::ListeningPort, 20),
    (AssetClass::SoftwareApplication, 10),
    (AssetClass::Process, 140),
    (AssetClass::DatabaseInstance, 1),
    (AssetClass::WebApplication, 1),
    (AssetClass::WebService, 1),
    (AssetClass::WebFramework, 2),
    (AssetClass::WebSite, 2),
    (AssetClass::JarPackage, 60),
    (AssetClass::StartupService, 106),
    (AssetClass::ScheduledTask, 15),
    (AssetClass::EnvironmentVariable, 20),
    (AssetClass::KernelModule, 90),
    (AssetClass::SystemPackage, 500),
];

fn at(seconds: usize) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_750_000_000 + seconds as i64, nanos: 0 })
}

/// Makes up item `i` of machine `n`; `edition` changes a steady field of it and nothing of its natural key.
pub(crate) fn item(class: AssetClass, n: usize, i: usize, edition: usize) -> AssetItem {
    let number = i as u32;
    let user = ["root", "www-data", "postgres", "app"][i % 4].to_owned();
    let version = format!("{}.{}.{}-{}+deb12u{}", i % 7, i % 13, (i + n % 3) % 17, i % 5 + 1, edition);
    let item = match class {
        AssetClass::Unspecified => unreachable!("no class"),
        AssetClass::Resource => Item::Resource(Resource {
            kind: ResourceKind::DiskPartition.into(),
            name: format!("/dev/nvme0n1p{i}"),
            mount_path: format!("/srv/volume{i}"),
            filesystem: "ext4".into(),
            size_bytes: Some(100 << 30),
            used_bytes: Some((50 << 30) + i as u64),
            manufacturer: version,
            ..Default::default()
        }),
        AssetClass::Account => Item::Account(Account {
            name: format!("user{i}"),
            uid: 1000 + number,
            gid: 1000 + number,
            group_name: format!("user{i}"),
            groups: vec!["adm".into(), "users".into()],
            home: format!("/home/host-{n}/user{i}"),
            shell: "/bin/bash".into(),
            comment: format!("User number {i}, {edition}"),
            enabled: Some(true),
            sudo: Some(i == 0),
            interactive: true,
            login_type: LoginType::Password.into(),
            password_status: PasswordStatus::Normal.into(),
            ..Default::default()
        }),
        AssetClass::ListeningPort => Item::ListeningPort(ListeningPort {
            protocol: TransportProtocol::Tcp.into(),
            bind_address: "0.0.0.0".into(),
            port: 8000 + number,
            pid: Some(number + edition as u32),
            process_name: format!("server{}", i % 9),
            process_path: format!("/usr/sbin/server{}", i % 9),
            command_line: format!("/usr/sbin/server{} --config /etc/server/{i}.conf", i % 9),
            user,
            group_name: "root".into(),
            parent_pid: Some(1),
            parent_name: "systemd".into(),
            start_time: at(i),
            ..Default::default()
        }),
        AssetClass::SoftwareApplication => Item::SoftwareApplication(SoftwareApplication {
            kind: ApplicationKind::System.into(),
            name: format!("application{i}"),
            version,
            bin_path: format!("/usr/bin/application{i}"),
            config_path: format!("/etc/application{i}.conf"),
            process_count: number,
            ..Default::default()
        }),
        AssetClass::Process => Item::Process(Process {
            pid: 100 + number,
            boot_id: format!("6f3b9c1e-0000-4000-8000-{n:012}"),
            start_ticks: 1000 + i as u64,
            parent_pid: 1,
            parent_name: "systemd".into(),
            name: format!("daemon{}", i % 70),
            path: format!("/usr/lib/daemon/daemon{}", i % 70),
            command_line: format!("/usr/lib/daemon/daemon{} --instance {i} --edition {edition} --foreground", i % 70),
            user,
            uid: number % 4,
            group_name: "root".into(),
            start_time: at(i),
            state: ProcessState::Sleeping.into(),
            sha256: vec![(i % 70) as u8; 32],
            ..Default::default()
        }),
        AssetClass::DatabaseInstance => Item::DatabaseInstance(DatabaseInstance {
            kind: DatabaseKind::Mysql.into(),
            version,
            bind_address: "127.0.0.1".into(),
            port: 3306 + number,
            user: "mysql".into(),
            bin_path: "/usr/sbin/mysqld".into(),
            data_path: "/var/lib/mysql".into(),
            ..Default::default()
        }),
        AssetClass::WebApplication => Item::WebApplication(WebApplication {
            name: "WordPress".into(),
            version,
            root_path: format!("/var/www/site{i}"),
            domain: format!("www{n}.example.org"),
            plugin_count: 3,
            ..Default::default()
        }),
        AssetClass::WebService => Item::WebService(WebService {
            kind: WebServiceKind::Nginx.into(),
            version,
            bin_path: "/usr/sbin/nginx".into(),
            config_path: format!("/etc/nginx/nginx{i}.conf"),
            user: "www-data".into(),
            process_count: 3,
            ..Default::default()
        }),
        AssetClass::WebFramework => Item::WebFramework(WebFramework {
            name: format!("framework{i}"),
            version: "4.2".into(),
            language: ProgrammingLanguage::Python.into(),
            path: format!("/srv/app{i}"),
            jar_count: edition as u32,
            ..Default::default()
        }),
        AssetClass::WebSite => Item::WebSite(WebSite {
            domain: format!("www{n}-{i}.example.org"),
            port: 443,
            protocol: WebProtocol::Https.into(),
            service: WebServiceKind::Nginx.into(),
            root_path: format!("/var/www/site{i}"),
            path_count: edition as u32,
            ..Default::default()
        }),
        AssetClass::JarPackage => Item::JarPackage(JarPackage {
            name: format!("library-{i}"),
            version,
            group_id: "org.example".into(),
            path: "/opt/app/app.jar".into(),
            inner_path: format!("BOOT-INF/lib/library-{i}.jar"),
            sha256: vec![i as u8; 32],
            kind: JarKind::Application.into(),
            purl: format!("pkg:maven/org.example/library-{i}"),
            ..Default::default()
        }),
        AssetClass::StartupService => Item::StartupService(StartupService {
            kind: StartupKind::Systemd.into(),
            name: format!("unit{i}.service"),
            path: format!("/usr/lib/systemd/system/unit{i}.service"),
            user,
            enabled: Some(i.is_multiple_of(2)),
            auto_run: Some(i.is_multiple_of(2)),
            state: "enabled".into(),
            description: format!("Unit number {i}, {edition}"),
            command_line: format!("/usr/lib/unit/unit{i} --foreground"),
            ..Default::default()
        }),
        AssetClass::ScheduledTask => Item::ScheduledTask(ScheduledTask {
            kind: ScheduleKind::Cron.into(),
            schedule: format!("{} 4 * * *", i % 60),
            command: format!("/usr/local/bin/task{i} --quiet"),
            user,
            config_path: "/etc/cron.d/tasks".into(),
            enabled: edition.is_multiple_of(2),
            ..Default::default()
        }),
        AssetClass::EnvironmentVariable => Item::EnvironmentVariable(EnvironmentVariable {
            scope: VariableScope::System.into(),
            name: format!("VARIABLE_{i}"),
            value_hash: vec![edition as u8; 16],
            value_length: Some(20),
            config_path: "/etc/environment".into(),
            ..Default::default()
        }),
        AssetClass::KernelModule => Item::KernelModule(KernelModule {
            name: format!("module_{i}"),
            description: format!("Driver number {i}"),
            path: format!("/lib/modules/6.1.0/kernel/drivers/module_{i}.ko"),
            version,
            size_bytes: 16384 + number,
            dependencies: vec![format!("module_{}", i / 2)],
            ..Default::default()
        }),
        AssetClass::SystemPackage => Item::SystemPackage(SystemPackage {
            kind: PackageKind::Dpkg.into(),
            name: format!("libexample-package-{i}"),
            purl: format!("pkg:deb/debian/libexample-package-{i}@{version}?arch=amd64"),
            version: format!("{}.{}.{}-1", i % 7, i % 13, (i + n % 3) % 17),
            architecture: "amd64".into(),
            source_name: format!("example-source-{}", i / 3),
            install_time: at(i),
            ..Default::default()
        }),
    };
    AssetItem { item: Some(item) }
}

/// Makes up a machine's items of one mix; the first `changed` of a class are of another edition.
pub(crate) fn items(
    n: usize,
    mix: &[(AssetClass, usize)],
    shift: usize,
    changed: impl Fn(AssetClass) -> usize,
) -> Vec<AssetItem> {
    let of = |(class, count): &(AssetClass, usize)| {
        let (class, changed) = (*class, changed(*class));
        (0..*count).map(move |i| item(class, n, shift + i, usize::from(i < changed))).collect::<Vec<_>>()
    };
    mix.iter().flat_map(of).collect()
}
