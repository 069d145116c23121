//! Real servers are found, with what they themselves say of them.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use cwpp_collector::class::Class;
use serde_json::Value;

use crate::server::Server;
use crate::{Host, command, is_root, items};

/// The one item of a class with this executable.
fn one(lines: &[Value], class: &str, field: &str, value: &str) -> Value {
    let mut found = items(lines, class).into_iter().filter(|item| item[field] == value);
    let item = found.next().unwrap_or_else(|| panic!("no {class} with {field} {value}"));
    assert_eq!(found.next(), None);
    item
}

fn collected() -> Vec<Value> {
    command(None, &["collect", "--json"])
}

#[test]
fn a_running_nginx_is_found_with_its_version_configuration_and_sites() {
    let server = Server::new("usr/sbin/nginx");
    let port = server.port;
    let config = "pid nginx.pid;\nerror_log stderr;\ndaemon off;\nworker_processes 2;\nevents {}\nhttp {\n  access_log off;\n  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n  include sites/*.conf;\n}\n";
    let site = format!(
        "server {{ listen 127.0.0.1:{port} default_server; server_name shop.example.org www.shop.example.org; root {root}; location /static/ {{ alias /srv/static/; }} location ~ \\.php$ {{ fastcgi_pass 127.0.0.1:9; }} }}\n",
        root = server.at("html"),
    );
    let server = server
        .with("nginx.conf", config)
        .with("sites/shop.conf", &site)
        .with("html/wp-includes/version.php", "<?php\n$wp_version = '6.4.2';\n")
        .with(
            "html/wp-content/plugins/akismet/akismet.php",
            "<?php\n/**\n * Plugin Name: Akismet\n * Version: 5.3\n * Plugin URI: https://example.org/akismet\n */\n",
        );
    let (prefix, version) = (server.at(""), server.version("-v"));
    let server = server.start(&["-p", &prefix, "-c", "nginx.conf"]);
    let lines = collected();

    let service = one(&lines, "web_service", "bin_path", &server.at("usr/sbin/nginx"));
    assert_eq!(service["kind"], "nginx");
    assert_eq!(service["version"], version.as_str());
    assert_eq!(service["config_path"], server.at("nginx.conf").as_str());
    assert_eq!(service["user"], server.user().as_str());
    assert_eq!(service["process_count"], 3);

    let application = one(&lines, "software_application", "bin_path", &server.at("usr/sbin/nginx"));
    assert_eq!((&application["name"], &application["kind"]), (&"nginx".into(), &"web".into()));
    assert_eq!(application["version"], version.as_str());

    let sites: Vec<Value> = items(&lines, "web_site").into_iter().filter(|site| site["port"] == port).collect();
    let domains: Vec<&str> = sites.iter().map(|site| site["domain"].as_str().unwrap()).collect();
    assert_eq!(domains, ["shop.example.org", "www.shop.example.org"]);
    let site = &sites[0];
    assert_eq!((&site["protocol"], &site["bind_address"]), (&"http".into(), &"127.0.0.1".into()));
    assert_eq!(site["root_path"], server.at("html").as_str());
    assert_eq!(site["root_owner"], server.user().as_str());
    let paths: Vec<&str> =
        site["paths"].as_array().unwrap().iter().map(|path| path["virtual_path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/static/", "~ \\.php$"]);

    let root = server.at("html");
    let applications: Vec<Value> =
        items(&lines, "web_application").into_iter().filter(|one| one["root_path"] == root.as_str()).collect();
    assert_eq!(applications.len(), 2, "one for each domain");
    assert_eq!((&applications[0]["name"], &applications[0]["version"]), (&"WordPress".into(), &"6.4.2".into()));
    let plugin = &applications[0]["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["version"]), (&"Akismet".into(), &"5.3".into()));
}

#[test]
fn a_running_mariadb_is_found_with_its_version_port_user_and_folders() {
    let server = Server::new("usr/sbin/mariadbd");
    let main = format!("[client]\nport=1\n[mysqld]\nport={}\n!includedir {}\n", server.port, server.at("conf.d"));
    let more = format!(
        "[mariadbd]\nbind-address=127.0.0.1\ndatadir={}\nlog_error={}\nsocket={}\nlc_messages_dir={}\nskip-grant-tables\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=4M\n",
        server.at("data"),
        server.at("error.log"),
        server.at("socket"),
        server.at("share"),
    );
    let server = server.with("my.cnf", &main).with("conf.d/more.cnf", &more).with("data/.keep", "");
    let (defaults, version) = (format!("--defaults-file={}", server.at("my.cnf")), server.version("--version"));
    let server = server.start(&[&defaults]);
    let database = of_port(&collected(), &server);
    assert_eq!(database["kind"], "mariadb");
    assert_eq!(database["version"], version.as_str());
    assert_eq!((&database["bind_address"], &database["port"]), (&"127.0.0.1".into(), &server.port.into()));
    assert_eq!(database["user"], server.user().as_str());
    assert_eq!(database["pid"], server.pid());
    assert_eq!(database["config_path"], server.at("my.cnf").as_str());
    assert_eq!(database["data_path"], server.at("data").as_str());
    let mode = std::fs::metadata(server.at("data")).unwrap().permissions().mode();
    assert_eq!(database["data_permission"], format!("{:04o}", mode & 0o7777));
    assert_eq!(database["error_log_path"], server.at("error.log").as_str());
}

#[test]
fn a_running_redis_is_found_though_its_executable_has_another_name() {
    let server = Server::new("usr/bin/redis-server");
    let config = format!(
        "bind 127.0.0.1\nport {}\ndir {}\nlogfile {}\nrequirepass S3CRET\nsave \"\"\n",
        server.port,
        server.at(""),
        server.at("redis.log"),
    );
    let server = server.with("redis.conf", &config);
    let (path, version) = (server.at("redis.conf"), server.version("--version"));
    let server = server.start(&[&path]);
    let lines = collected();
    assert!(!lines.iter().any(|line| line.to_string().contains("S3CRET")));
    let database = of_port(&lines, &server);
    assert_eq!(database["kind"], "redis");
    assert_eq!(database["version"], version.as_str());
    assert_eq!((&database["bind_address"], &database["port"]), (&"127.0.0.1".into(), &server.port.into()));
    assert_eq!(database["user"], server.user().as_str());
    assert_eq!(database["pid"], server.pid());
    assert_eq!(database["config_path"], path.as_str());
    assert_eq!(database["data_path"], server.at("").trim_end_matches('/'));
    assert_eq!(database["log_path"], server.at("redis.log").as_str());
}

#[test]
fn people_get_a_line_per_class_and_the_rows_of_one() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cwpp-collector")).arg("collect").args(args).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let host = Host::new()
        .with("etc/hostname", "web-\u{1b}[31m1\n")
        .with("var/log/wtmp", "")
        .with("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000:\u{1b}]0;x:/home/ann:/bin/\u{1b}sh\n");
    let root = host.path().to_str().unwrap();
    let (succeeded, overview) = run(&["--root", root]);
    assert!(succeeded && !overview.contains('\u{1b}'), "{overview}");
    for class in Class::ALL {
        assert!(
            overview.lines().any(|line| line.trim_start().starts_with(class.name())),
            "{}: {overview}",
            class.name()
        );
    }
    let line = |name: &str| overview.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
    assert_eq!(line("account").split_whitespace().collect::<Vec<_>>()[..4], ["account", "complete", "2", "0"]);
    assert!(line("process").contains("not present"), "{overview}");
    let (succeeded, rows) = run(&["--root", root, "--class", "account"]);
    assert!(succeeded && rows.contains("ann") && !rows.contains('\u{1b}'), "{rows}");
    assert!(rows.trim_end().ends_with("account: complete, 2 items, 0 left out."), "{rows}");
    assert!(!run(&["--class", "no_such"]).0);
}

/// The one database on the server's port.
fn of_port(lines: &[Value], server: &Server) -> Value {
    let found: Vec<Value> =
        items(lines, "database_instance").into_iter().filter(|item| item["port"] == server.port).collect();
    assert_eq!(found.len(), 1, "{:?}", items(lines, "database_instance"));
    found[0].clone()
}

#[test]
fn every_class_of_this_host_has_an_outcome_for_root_and_for_others() {
    for user in [None, Some(65_534)] {
        if user.is_some() && !is_root() {
            continue;
        }
        let lines = command(user, &["collect", "--json"]);
        let classes: Vec<&Value> = lines.iter().filter(|line| line["record"] == "class").collect();
        assert_eq!(classes.len(), Class::ALL.len());
        for class in classes {
            let name = class["class"].as_str().unwrap();
            let (count, found) = (class["items"].as_u64().unwrap(), items(&lines, name).len() as u64);
            assert_eq!(count, found, "{name}");
            match class["outcome"].as_str().unwrap() {
                "complete" => {}
                "truncated" => assert!(class["total"].as_u64().unwrap() > count, "{name}"),
                "unreadable" | "not_present" => {
                    assert_eq!(count, 0, "{name}");
                    assert!(!class["reason"].as_str().unwrap().is_empty(), "{name}");
                }
                other => panic!("{name}: {other}"),
            }
            // Every Linux host has these, whoever looks.
            if ["resource", "account", "process", "system_package"].contains(&name) {
                assert!(count > 0, "{name} is silently empty");
            }
        }
    }
}
