use std::fs;

use cwpp_collector::class::{Class, ClassSnapshot, EnvironmentVariable, Item, Outcome, VariableScope};

use crate::{Host, command, items};

fn variables(snapshot: &ClassSnapshot) -> Vec<EnvironmentVariable> {
    let variable = |item: &Item| match item {
        Item::EnvironmentVariable(variable) => Some(variable.clone()),
        _ => None,
    };
    snapshot.items.iter().filter_map(variable).collect()
}

fn host() -> Host {
    Host::new()
        .with("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .with("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1:1::/home/ann:/bin/sh\nbob:x:2:2::relative:/bin/sh\n")
        .with("etc/environment", "PATH=/bin\nAPI_TOKEN=\"S3CRET\"\nPATH=/bin:/usr/bin\n")
        .with("etc/profile.d/proxy.sh", "export http_proxy=http://ann:S3CRET@proxy:3128\n")
        .with("etc/profile.d/README", "export NOT_READ=1\n")
        .with("home/ann/.profile", "export API_TOKEN='S3CRET'\nlocal=1\n")
        .with("home/ann/.config/environment.d/10-x.conf", "EDITOR=vi\n")
}

#[test]
fn variables_are_known_by_name_and_never_by_value() {
    let snapshot = host().read(Class::EnvironmentVariable);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let all = variables(&snapshot);
    let shown: Vec<(VariableScope, Option<&str>, &str, u32, &str)> = all
        .iter()
        .map(|v| (v.scope, v.user.as_deref(), v.name.as_str(), v.value_length, v.config_path.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            (VariableScope::User, Some("ann"), "API_TOKEN", 6, "/home/ann/.profile"),
            (VariableScope::User, Some("ann"), "EDITOR", 2, "/home/ann/.config/environment.d/10-x.conf"),
            (VariableScope::System, None, "API_TOKEN", 6, "/etc/environment"),
            (VariableScope::System, None, "PATH", 13, "/etc/environment"),
            (VariableScope::System, None, "http_proxy", 28, "/etc/profile.d/proxy.sh"),
        ]
    );
    let json = serde_json::to_string(&snapshot.items).unwrap();
    assert!(!json.contains("S3CRET") && !json.contains("proxy:3128"));
    assert!(all.iter().all(|variable| variable.value_hash.as_ref().is_some_and(|hash| hash.len() == 32)));
    // The same value under the same name elsewhere cannot be told from another.
    assert_ne!(all[0].value_hash, all[2].value_hash);
}

#[test]
fn the_hash_changes_with_the_value_and_with_the_machine() {
    let hash = |host: &Host| variables(&host.read(Class::EnvironmentVariable))[2].value_hash.clone();
    let first = host();
    assert_eq!(hash(&first), hash(&host()));
    assert_eq!(first.read(Class::EnvironmentVariable).digest(), host().read(Class::EnvironmentVariable).digest());
    let other_value = host().with("etc/environment", "API_TOKEN=\"S3CREU\"\nPATH=/bin\n");
    assert_ne!(hash(&first), hash(&other_value));
    let other_machine = host().with("etc/machine-id", "f123456789abcdef0123456789abcdef\n");
    assert_ne!(hash(&first), hash(&other_machine));
    let no_machine = host().with("etc/machine-id", "uninitialized\n");
    assert_eq!(hash(&no_machine), None);
}

#[test]
fn a_hostile_home_neither_hides_others_nor_stops_the_reading() {
    let many: String = (0..5_000).map(|n| format!("export V{n}=1\n")).collect();
    let host = host()
        .with("home/ann/.bashrc", many)
        .with(
            "home/ann/.zshrc",
            [b"export \xff=1\nexport OK=\xff\xfe\nexport ".as_slice(), &[b'A'; 300], b"=1\n"].concat(),
        )
        .with("home/ann/.zshenv/x", "");
    let fifo = host.path().join("home/ann/.bash_profile");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::os::unix::fs::symlink("/home/ann/.bash_login", host.path().join("home/ann/.bash_login")).unwrap();
    let snapshot = host.read(Class::EnvironmentVariable);
    assert_eq!(snapshot.outcome, Outcome::Complete);
    let all = variables(&snapshot);
    assert_eq!(all.iter().filter(|v| v.config_path == "/home/ann/.bashrc").count(), 1_000);
    assert_eq!(all.iter().filter(|v| v.config_path == "/home/ann/.zshrc").count(), 1);
    assert_eq!(snapshot.skipped_count, 4_001);
    assert!(snapshot.unread_sources.contains(&"/home/ann/.bash_profile".to_owned()));
    assert!(snapshot.unread_sources.contains(&"/home/ann/.zshenv".to_owned()));
    assert!(all.iter().any(|v| v.config_path == "/home/ann/.profile"));
}

#[test]
fn a_file_of_the_system_that_cannot_be_read_makes_the_class_unreadable() {
    let broken = host();
    fs::remove_file(broken.path().join("etc/environment")).unwrap();
    fs::create_dir(broken.path().join("etc/environment")).unwrap();
    assert!(matches!(broken.read(Class::EnvironmentVariable).outcome, Outcome::Unreadable { .. }));
    assert!(matches!(Host::new().read(Class::EnvironmentVariable).outcome, Outcome::NotPresent { .. }));
    let bare = Host::new().with("etc/hostname", "web-1").read(Class::EnvironmentVariable);
    assert_eq!((bare.outcome, bare.items.len()), (Outcome::Complete, 0));
}

#[test]
fn this_hosts_variables_have_the_names_of_its_own_file() {
    let found = items(&command(None, &["collect", "--json"]), "environment_variable");
    let file = fs::read_to_string("/etc/environment").unwrap_or_default();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, _)) = line.trim_start_matches("export ").split_once('=') else { continue };
        assert!(found.iter().any(|v| v["name"] == name && v["config_path"] == "/etc/environment"), "{name}");
    }
    assert!(found.iter().all(|variable| variable.get("value").is_none()));
}

#[test]
fn a_folder_of_very_many_names_in_a_home_is_read_up_to_a_bound() {
    let folder = "home/ann/.config/environment.d";
    let host =
        Host::large().with("etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n").with(&format!("{folder}/a"), "");
    (0..20_001).for_each(|n| _ = fs::File::create(host.path().join(folder).join(n.to_string())).unwrap());
    let skipped = host.read(Class::EnvironmentVariable).skipped;
    let told: Vec<_> = skipped.iter().map(|skipped| (skipped.source.as_str(), skipped.reason.as_str())).collect();
    assert_eq!(told, [("/home/ann/.config/environment.d", "the folder holds too many names")]);
}
