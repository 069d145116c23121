//! Derived classes on made-up hosts: what configurations say, and what hostile ones must not do.

use std::time::{Duration, Instant};

use cwpp_collector::class::{
    Class, ClassSnapshot, DatabaseInstance, DatabaseKind, Item, Outcome, ProgrammingLanguage, SoftwareApplication,
    WebApplication, WebFramework, WebProtocol, WebService, WebServiceKind, WebSite,
};

use serde_json::{Value, json};

use crate::archive::archive;
use crate::budget::{MIB, cost};
use crate::proc_tree::Fake;
use crate::{Host, command, items};

fn sites(snapshot: &ClassSnapshot) -> Vec<WebSite> {
    let of = |item: &Item| if let Item::WebSite(site) = item { Some(WebSite::clone(site)) } else { None };
    snapshot.items.iter().filter_map(of).collect()
}

fn databases(snapshot: &ClassSnapshot) -> Vec<DatabaseInstance> {
    let of =
        |item: &Item| if let Item::DatabaseInstance(one) = item { Some(DatabaseInstance::clone(one)) } else { None };
    snapshot.items.iter().filter_map(of).collect()
}

fn software(snapshot: &ClassSnapshot) -> Vec<SoftwareApplication> {
    let of = |item: &Item| if let Item::SoftwareApplication(one) = item { Some(one.clone()) } else { None };
    snapshot.items.iter().filter_map(of).collect()
}

fn frameworks(snapshot: &ClassSnapshot) -> Vec<WebFramework> {
    let of = |item: &Item| if let Item::WebFramework(one) = item { Some(one.clone()) } else { None };
    snapshot.items.iter().filter_map(of).collect()
}

fn running(host: Host, pid: u32, exe: &str, args: &[&str]) -> Host {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    host.process(&Fake { pid, name: b"x", args: &args, exe: Some(exe), ..Fake::default() })
}

/// Reads all of a host in a process of its own, and how well a class could be read.
fn cheaply(host: Host, class: &str) -> (Vec<Value>, Value) {
    let lines = command(None, &["collect", "--json", "--cost", "--root", host.path().to_str().unwrap()]);
    let (milliseconds, bytes) = cost(&lines);
    assert!(milliseconds < 30_000 && bytes < 400 * MIB, "{milliseconds} ms, {bytes} bytes");
    let outcome = lines.iter().find(|line| line["record"] == "class" && line["class"] == class).unwrap().clone();
    (items(&lines, class), outcome)
}

fn nginx(config: impl AsRef<[u8]>) -> Host {
    let host = Host::new().with("etc/nginx/nginx.conf", config).with("usr/sbin/nginx", b"\0nginx/1.22.1\0");
    running(host, 10, "/usr/sbin/nginx", &["nginx: master process /usr/sbin/nginx -g daemon off;"])
}

fn apache(config: &str) -> Host {
    let host = Host::new().with("etc/apache2/apache2.conf", config);
    running(host, 10, "/usr/sbin/apache2", &["/usr/sbin/apache2", "-k", "start"])
}

#[test]
fn nginx_inherits_roots_and_tells_tls_from_plain() {
    let config = r#"http { root /srv/all;
        # server { listen 9; }
        server { listen 80; listen [::]:443 ssl; server_name b.example.org A.example.org;
            location / { } location /img/ { alias "/data/my images/"; }
            location ^~ /down/ { root /mnt; } location = /health { return 200 "{ ok; }"; } location @x { } }
        server { listen 8080; server_name _; root /srv/own; if ($host = x) { return 301 https://${host}/; } location /api { proxy_pass http://127.0.0.1:1; } }
        server { listen unix:/run/x; server_name socket; }
        upstream u { server 127.0.0.1:9; }
    } stream { server { listen 5353; } }"#;
    let snapshot = nginx(config).read(Class::WebSite);
    assert_eq!((snapshot.outcome.clone(), snapshot.skipped_count), (Outcome::Complete, 0), "{:?}", snapshot.skipped);
    let sites = sites(&snapshot);
    let found: Vec<_> =
        sites.iter().map(|s| (s.protocol, s.domain.as_str(), s.port, s.bind_address.as_str())).collect();
    let expected = [
        (WebProtocol::Http, "", 8080, ""),
        (WebProtocol::Http, "a.example.org", 80, ""),
        (WebProtocol::Http, "b.example.org", 80, ""),
        (WebProtocol::Https, "a.example.org", 443, "::"),
        (WebProtocol::Https, "b.example.org", 443, "::"),
    ];
    assert_eq!(found, expected);
    let paths: Vec<_> = sites[1].paths.iter().map(|p| (p.virtual_path.as_str(), p.real_path.as_deref())).collect();
    let expected = [
        ("/", Some("/srv/all")),
        ("/img/", Some("/data/my images")),
        ("/down/", Some("/mnt/down")),
        ("/health", Some("/srv/all/health")),
    ];
    assert_eq!(paths, expected);
    assert_eq!((sites[1].root_path.as_deref(), sites[0].root_path.as_deref()), (Some("/srv/all"), Some("/srv/own")));
    assert_eq!((sites[0].paths[0].virtual_path.as_str(), &sites[0].paths[0].real_path), ("/api", &None));
}

#[test]
fn a_hostile_configuration_of_nginx_is_bounded_and_said() {
    let skipped = |host: Host| {
        let start = Instant::now();
        let snapshot = host.read(Class::WebSite);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(snapshot.outcome, Outcome::Complete);
        assert!(snapshot.skipped_count > 0);
        snapshot
    };
    // A file that includes itself, files that include each other, and ever more of them.
    skipped(nginx("include /etc/nginx/nginx.conf; http { server { listen 1; } }"));
    skipped(
        nginx("include a.conf;")
            .with("etc/nginx/a.conf", "include b.conf;")
            .with("etc/nginx/b.conf", "include a.conf;"),
    );
    let mut host = nginx("http { include level-00*.conf; }");
    for level in 0..20 {
        for file in 0..5 {
            let next = format!("include level-{:02}*.conf;\n", level + 1);
            host = host.with(&format!("etc/nginx/level-{level:02}-{file}.conf"), next);
        }
    }
    skipped(host);
    // Nothing but braces, nothing but closing ones, an open quote, a block that never ends.
    skipped(nginx("a {".repeat(1_000_000)));
    skipped(nginx("}".repeat(10_000)));
    skipped(nginx("http { server { listen 80; server_name \"never closed"));
    skipped(nginx(vec![b'x'; 5 << 20]));
    let snapshot = skipped(nginx("a { ".repeat(100) + "http { server { listen 1; } }"));
    assert!(sites(&snapshot).is_empty());
    // Bytes of all kinds.
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(100_000).collect();
    nginx(bytes).read(Class::WebSite);
    let snapshot = nginx(b"http { server { listen 80; server_name \xff.example.org; } }").read(Class::WebSite);
    assert_eq!(sites(&snapshot)[0].domain, "\\xff.example.org");
}

#[test]
fn what_runs_in_a_container_is_read_through_its_own_root() {
    let id = "a".repeat(64);
    let cgroup = format!("0::/system.slice/docker-{id}.scope");
    let args: [&[u8]; 1] = [b"nginx: master process nginx -g daemon off;"];
    let nginx = Fake { name: b"nginx", args: &args, exe: Some("/usr/sbin/nginx"), ..Fake::default() };
    let host = Host::new()
        .with("etc/passwd", "www-data:x:33:33::/:/bin/sh\n")
        .with("etc/nginx/nginx.conf", "http { server { listen 80; server_name host; } }")
        .with("usr/sbin/nginx", b"\0nginx/1.22.1\0")
        .process(&Fake { pid: 10, user: 33, ..nginx.clone() })
        .process(&Fake { pid: 20, user: 33, cgroup: &cgroup, ..nginx })
        .with("proc/20/root/etc/passwd", "nginx:x:33:33::/:/bin/sh\n")
        .with("proc/20/root/etc/nginx/nginx.conf", "http { server { listen 80; server_name inside; } }")
        .with("proc/20/root/usr/sbin/nginx", b"\0nginx/1.25.3\0");
    let found = sites(&host.read(Class::WebSite));
    let found: Vec<_> = found.iter().map(|site| (site.domain.as_str(), site.user.as_deref())).collect();
    assert_eq!(found, [("host", Some("www-data")), ("inside", Some("nginx"))]);
    // The same executable and configuration elsewhere is another service; the host's own comes first.
    let services = host.read(Class::WebService).items;
    let [Item::WebService(own), Item::WebService(inside)] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!((own.version.as_deref(), own.process_count, &own.container_id), (Some("1.22.1"), 1, &None));
    assert_eq!((inside.version.as_deref(), inside.process_count, &inside.container_id), (Some("1.25.3"), 1, &Some(id)));
}

#[test]
fn servers_whose_configuration_is_not_understood_are_told() {
    let host = nginx("http { server { listen 80; server_name a; } }");
    let host = running(host, 11, "/usr/sbin/haproxy", &["haproxy", "-f", "/etc/haproxy/haproxy.cfg"]);
    let host = running(host, 12, "/usr/bin/uwsgi", &["uwsgi", "--ini", "/etc/app.ini"]);
    let host = running(host, 13, "/usr/bin/uwsgi", &["uwsgi", "--ini", "/etc/other.ini"]);
    let host = running(host, 14, "/usr/sbin/php-fpm8.2", &["php-fpm: master process (/etc/php-fpm.conf)"]);
    let host = running(host, 15, "/usr/lib/jvm/bin/java", &["java", "-jar", "/opt/jetty-runner.jar"]);
    let host = running(host, 16, "/usr/sbin/httpd", &["httpd"]);
    let snapshot = host.read(Class::WebSite);
    assert_eq!(sites(&snapshot).len(), 1);
    let told = |snapshot: &ClassSnapshot| -> Vec<String> {
        snapshot.unread_sources.iter().filter_map(|source| Some(source.strip_prefix("sites of ")?.to_owned())).collect()
    };
    let expected = [
        "Apache HTTP Server: its configuration was not found",
        "HAProxy: its configuration is not understood",
        "Jetty: its configuration is not understood",
        "uWSGI: its configuration is not understood",
    ];
    assert_eq!(told(&snapshot), expected);
    assert_eq!(told(&host.read(Class::WebApplication)), expected);
    assert_eq!(told(&nginx("").read(Class::WebSite)), [""; 0]);
}

#[test]
fn two_sites_of_one_name_stand_once_and_are_said() {
    let server = "server { listen 80; server_name a; }";
    let snapshot = nginx(format!("http {{ {server} {server} }}")).read(Class::WebSite);
    assert_eq!((sites(&snapshot).len(), snapshot.skipped_count), (1, 1));
}

#[test]
fn apaches_virtual_hosts_are_read_with_their_includes_and_names() {
    let main = "ServerRoot \"/etc/apache2\"\nInclude ports.conf\nIncludeOptional sites-enabled/*.conf\nIncludeOptional none/*.conf\n<Directory /var/www>\n  DocumentRoot /wrong\n</Directory>\nDocumentRoot /var/www/default\n";
    let site = "<VirtualHost *:80>\n  ServerName http://Shop.example.org:80\n  ServerAlias www.example.org \\\n    old.example.org\n  DocumentRoot ${ROOT}/shop\n  Alias /docs \"/srv/the docs\"\n  ProxyPass /api http://127.0.0.1:1\n  <Location /x>\n    DocumentRoot /wrong\n  </Location>\n</VirtualHost>\n<IfModule mod_ssl.c>\n<VirtualHost _default_:443>\n  SSLEngine on\n  DocumentRoot /srv/tls\n</VirtualHost>\n</IfModule>\n";
    let host = apache(main)
        .with("etc/apache2/ports.conf", "Listen 80\nListen 443 https\nListen 127.0.0.1:8081\n")
        .with("etc/apache2/envvars", "export ROOT=/var/www$SUFFIX\nexport PID=$(x)\n")
        .with("etc/apache2/sites-enabled/a.conf", site);
    let snapshot = host.read(Class::WebSite);
    assert_eq!(snapshot.skipped_count, 0, "{:?}", snapshot.skipped);
    let sites = sites(&snapshot);
    let found: Vec<_> =
        sites.iter().map(|s| (s.domain.as_str(), s.port, s.bind_address.as_str(), s.root_path.as_deref())).collect();
    let expected = [
        ("", 8081, "127.0.0.1", Some("/var/www/default")),
        ("old.example.org", 80, "", Some("/var/www/shop")),
        ("shop.example.org", 80, "", Some("/var/www/shop")),
        ("www.example.org", 80, "", Some("/var/www/shop")),
        ("", 443, "", Some("/srv/tls")),
    ];
    assert_eq!(found, expected);
    let paths: Vec<_> = sites[1].paths.iter().map(|p| (p.virtual_path.as_str(), p.real_path.as_deref())).collect();
    assert_eq!(paths, [("/docs", Some("/srv/the docs")), ("/api", None)]);
    assert_eq!((sites[4].protocol, sites[4].service), (WebProtocol::Https, WebServiceKind::Apache));
}

fn caddy(config: impl AsRef<[u8]>) -> Host {
    let host = Host::new().with("etc/caddy/Caddyfile", config);
    running(host, 10, "/usr/bin/caddy", &["/usr/bin/caddy", "run", "--environ", "--config", "/etc/caddy/Caddyfile"])
}

#[test]
fn caddys_sites_are_read_with_their_imports_and_snippets() {
    let config = r#"{
    http_port 8080
    servers { }
    default_bind 192.0.2.1
}
(files) {
    root * {args[0]}   # of the importer
    file_server
}
import sites/*.caddy
Example.org, www.example.org,
http://old.example.org {
    import files /srv/www
    root /down/* "/srv/my files"
    handle_path /img/* {
        root * /srv/images
    }
    handle /docs/* {
        root * /srv/all
    }
    @api path /api/*
    handle @api {
        root * /wrong
    }
    reverse_proxy /api/* 127.0.0.1:9000 {
        header_up X "{ y }"
        root * /wrong
    }
    respond <<END
        root * /wrong
        END
}
"#;
    let host = caddy(config)
        .with(
            "etc/caddy/sites/a.caddy",
            ":8080 {\n bind 127.0.0.1 [::1]\n root * /srv/a\n}\n:8443 {\n tls internal\n}\n",
        )
        .with("etc/caddy/sites/b.caddy", "{$HOST:b.example.org}:{$PORT:9443} {\n respond `x\n}\n`\n}\n");
    let snapshot = host.read(Class::WebSite);
    assert_eq!(snapshot.skipped_count, 0, "{:?}", snapshot.skipped);
    let sites = sites(&snapshot);
    let rows: Vec<_> = sites
        .iter()
        .map(|s| (s.protocol, s.domain.as_str(), s.port, s.bind_address.as_str(), s.root_path.as_deref()))
        .collect();
    let (http, https) = (WebProtocol::Http, WebProtocol::Https);
    let expected = [
        (http, "", 8080, "127.0.0.1", Some("/srv/a")),
        (http, "", 8080, "::1", Some("/srv/a")),
        (http, "old.example.org", 8080, "192.0.2.1", Some("/srv/www")),
        (https, "", 8443, "192.0.2.1", None),
        (https, "b.example.org", 9443, "192.0.2.1", None),
        (https, "example.org", 443, "192.0.2.1", Some("/srv/www")),
        (https, "www.example.org", 443, "192.0.2.1", Some("/srv/www")),
    ];
    assert_eq!(rows, expected);
    let paths: Vec<_> = sites[6].paths.iter().map(|p| (p.virtual_path.as_str(), p.real_path.as_deref())).collect();
    let expected =
        [("/down/", Some("/srv/my files/down")), ("/img/", Some("/srv/images")), ("/docs/", Some("/srv/all/docs"))];
    assert_eq!(paths, expected);
    assert_eq!((sites[6].service, sites[6].path_count), (WebServiceKind::Caddy, 3));
    // A file of one site, without braces.
    let one = caddy("localhost\n\nroot * /srv\nhandle_path /a/* {\n root * /b\n}\nfile_server\n").read(Class::WebSite);
    let one = &self::sites(&one)[0];
    assert_eq!((one.domain.as_str(), one.port, one.root_path.as_deref()), ("localhost", 443, Some("/srv")));
    assert_eq!(one.paths[0].real_path.as_deref(), Some("/b"));
}

#[test]
fn other_forms_of_caddys_configuration_are_told() {
    for args in [
        &["caddy", "run", "--config", "/etc/caddy/caddy.json"][..],
        &["caddy", "run", "-c", "/etc/caddy/caddy.json"],
        &["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--resume"],
        &["caddy", "run", "--config", "/etc/caddy/Caddyfile", "-r"],
        &["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "nginx"],
        &["caddy", "file-server", "--listen", ":80"],
    ] {
        let host = Host::new().with("etc/caddy/caddy.json", "{}").with("etc/caddy/Caddyfile", ":80\n");
        let snapshot = running(host, 10, "/usr/bin/caddy", args).read(Class::WebSite);
        let told =
            snapshot.unread_sources.iter().any(|one| one == "sites of Caddy: its configuration is not understood");
        assert!(told && snapshot.items.is_empty(), "{args:?} {snapshot:?}");
    }
}

#[test]
fn caddys_file_is_the_named_one_or_that_of_its_working_folder() {
    let found = |args: &[&str], cwd: Option<&str>| {
        let host = Host::new()
            .with("etc/caddy/Caddyfile", ":80\n")
            .with("srv/Caddyfile", ":81\n")
            .with("opt/x/Caddyfile", ":82\n")
            .with("opt/x/other", ":83\n");
        let host = running(host, 10, "/opt/x/bin/caddy", args);
        cwd.into_iter().for_each(|cwd| std::os::unix::fs::symlink(cwd, host.path().join("proc/10/cwd")).unwrap());
        let snapshot = host.read(Class::WebSite);
        let told = |source: &String| source == "sites of Caddy: its configuration was not found";
        (sites(&snapshot).first().map(|site| site.port), snapshot.unread_sources.iter().any(told))
    };
    assert_eq!(found(&["caddy", "run"], Some("/srv")), (Some(81), false));
    assert_eq!(found(&["caddy", "run", "-c", "/opt/x/other"], Some("/srv")), (Some(83), false));
    assert_eq!(found(&["caddy", "run", "-config", "/opt/x/other", "-a", "caddyfile"], Some("/srv")), (Some(83), false));
    // Without one it serves nothing, whatever lies where a package would put it.
    assert_eq!(found(&["caddy", "run"], Some("/etc")), (None, true));
    assert_eq!(found(&["caddy", "run"], None), (None, true));
}

#[test]
fn a_hostile_configuration_of_caddy_is_bounded_and_said() {
    let twice = |name: &str, other: &str| format!("({name}) {{\n{}}}\n", format!("import {other}\n").repeat(10));
    let mut snippets = "(s0) {\nroot * /x\n}\n".to_owned();
    (1..20).for_each(|n| snippets.push_str(&twice(&format!("s{n}"), &format!("s{}", n - 1))));
    for config in [
        "import /etc/caddy/Caddyfile\n".to_owned(),
        snippets,
        "a {\n".repeat(100_000),
        "}\n".repeat(1_000),
        ":80 {\nroot * /x".to_owned(),
        "x\n".repeat(300_000),
    ] {
        let start = Instant::now();
        let snapshot = caddy(&config).read(Class::WebSite);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(snapshot.outcome, Outcome::Complete);
        assert!(snapshot.skipped_count > 0, "{}", &config[..10]);
    }
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(100_000).collect();
    for config in [
        &bytes[..],
        b"",
        b"{",
        b"}",
        b"\"",
        b"<<",
        b"<<X",
        b"`",
        b"\\",
        b"\\\n",
        b",",
        b"() {\n}\nimport",
        b"{\n}\n{\n}",
        b"{$",
        b" {\n {\n",
        b":80 {\n {\n}\n}\n",
    ] {
        caddy(config).read(Class::WebSite);
    }
}

#[test]
fn what_snippets_of_caddy_make_is_bounded_and_said() {
    let words = |number: usize| format!("\"{}\"", format!("{{args[{number}]}}").repeat(800));
    // Arguments that hold arguments, and words that are imported over and over.
    let arguments = format!("(s) {{\nroot * {}\n}}\n:80 {{\nimport s {} {} x\n}}\n", words(0), words(1), words(2));
    let (sites, outcome) = cheaply(caddy(arguments), "web_site");
    assert_eq!((sites.len(), &outcome["skipped_count"]), (1, &json!(0)));
    let many = "\"{args[0]}\" ".repeat(900);
    let over = format!(
        "(s) {{\nx {many}\n}}\n(t) {{\nimport s {}\n}}\n:80 {{\n{}}}\n:81 {{\n}}\n",
        "y".repeat(8_000),
        "import t\n".repeat(2_000)
    );
    let (sites, outcome) = cheaply(caddy(over), "web_site");
    assert_eq!(sites.len(), 1);
    assert_eq!(outcome["skipped"][0]["reason"], "the configuration has too many directives or words");
}

#[test]
fn what_references_of_lighttpd_make_is_bounded_and_said() {
    let over =
        format!("var.a = \"{}\"\n", "x".repeat(8_000)) + &format!("b=({})\n", "var.a,".repeat(600)).repeat(1_000);
    let joined = format!("var.a = \"{}\"\nb=(\"x\",\"y\"){}\n", "x".repeat(8_000), "+var.a".repeat(600_000));
    for config in [over, joined] {
        let (sites, outcome) = cheaply(lighttpd(format!("{config}server.port = 81\n")), "web_site");
        assert_eq!((sites.len(), &sites[0]["port"]), (1, &json!(80)));
        assert_eq!(outcome["skipped"][0]["reason"], "the configuration has too many settings or values");
    }
    // Sites share the paths of the server; those that would be too much to report are counted.
    let paths: String = (0..500).map(|n| format!("\"/{n}/\" => \"/{}\",", "z".repeat(900))).collect();
    let hosts: String = (0..20_000).map(|n| format!("$HTTP[\"host\"] == \"h{n}\" {{ a = 1 }}\n")).collect();
    let (sites, _) = cheaply(lighttpd(format!("alias.url = ({paths})\n{hosts}")), "web_site");
    assert_eq!(sites.len(), 20_001);
    assert!(sites.iter().all(|site| site["path_count"] == 500));
    let whole = sites.iter().filter(|site| site["paths"].as_array().unwrap().len() == 500).count();
    let cut = sites.iter().filter(|site| site["truncated"] == json!(["paths"])).count();
    assert!(whole > 10 && whole + cut == 20_001, "{whole} {cut}");
}

#[test]
fn more_sites_of_one_server_than_are_reported_are_counted() {
    let listen: String = (1..=10_000).map(|port| format!("listen {port};")).collect();
    let names: String = (0..10_000).map(|n| format!("server_name n{n};")).collect();
    let server = format!("server {{ {listen} {names} root /srv; }}");
    let host = nginx(format!("http {{ {server} {server} }}"))
        .with("srv/core/lib/Drupal.php", "<?php class Drupal { const VERSION = '10.1.6'; }");
    let (sites, outcome) = cheaply(host, "web_site");
    assert_eq!((sites.len(), &outcome["total"]), (30_000, &json!(200_000_000)));
}

fn lighttpd(config: impl AsRef<[u8]>) -> Host {
    let host = Host::new().with("etc/lighttpd/lighttpd.conf", config);
    running(host, 10, "/usr/sbin/lighttpd", &["/usr/sbin/lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf"])
}

const LIGHTTPD: &str = r#"
server.modules = ( "mod_alias", # "mod_none",
)
var.base = "/srv"
server.document-root = var.base + "/www"
server.port = 8080
server.feature-flags += ("server.h2proto" => "enable")
alias.url = ( "/doc/" => "/usr/share/doc/", "/img/" => var.base )
include "conf.d/*.conf"
$SERVER["socket"] == "[::]:8443" { ssl.engine = "enable" }
$HTTP["host"] == "Shop.example.org" {
    server.document-root = "/srv/shop"
    $HTTP["url"] =~ "^/x" { server.document-root = "/wrong" }
}
else $HTTP["host"] =~ "(^|\.)old\.example\.org$" { alias.url = ( "/a" => "/srv/a" ) }
else { server.document-root = "/srv/else" }
"#;

#[test]
fn lighttpds_sockets_and_hosts_are_read() {
    let own = "$SERVER[\"socket\"] == \"127.0.0.1:81\" {\n server.document-root = \"/srv/own\"\n}\n";
    let config = LIGHTTPD.replace("else { server.document-root = \"/srv/else\" }\n", "");
    let snapshot = lighttpd(&config).with("etc/lighttpd/conf.d/own.conf", own).read(Class::WebSite);
    assert_eq!(snapshot.skipped_count, 0, "{:?}", snapshot.skipped);
    let found = sites(&snapshot);
    let rows: Vec<_> = found
        .iter()
        .map(|s| (s.protocol, s.domain.as_str(), s.port, s.bind_address.as_str(), s.root_path.as_deref()))
        .collect();
    let (http, https) = (WebProtocol::Http, WebProtocol::Https);
    let (shop, old) = ("shop.example.org", "~(^|\\.)old\\.example\\.org$");
    let expected = [
        (http, "", 81, "127.0.0.1", Some("/srv/own")),
        (http, "", 8080, "", Some("/srv/www")),
        (http, shop, 81, "127.0.0.1", Some("/srv/shop")),
        (http, shop, 8080, "", Some("/srv/shop")),
        (http, old, 81, "127.0.0.1", Some("/srv/own")),
        (http, old, 8080, "", Some("/srv/www")),
        (https, "", 8443, "::", Some("/srv/www")),
        (https, shop, 8443, "::", Some("/srv/shop")),
        (https, old, 8443, "::", Some("/srv/www")),
    ];
    assert_eq!(rows, expected);
    let paths = |site: &WebSite| -> Vec<(String, Option<String>)> {
        site.paths.iter().map(|path| (path.virtual_path.clone(), path.real_path.clone())).collect()
    };
    let some = |path: &str, folder: &str| (path.to_owned(), Some(folder.to_owned()));
    assert_eq!(paths(&found[1]), [some("/doc/", "/usr/share/doc"), some("/img/", "/srv")]);
    assert_eq!(paths(&found[5]), [some("/a", "/srv/a")]);
    // What a program would say is told, and a block for all other hosts is the default's.
    let snapshot = lighttpd(format!("{LIGHTTPD}include_shell \"/x.pl \" + server.port\n")).read(Class::WebSite);
    assert_eq!((snapshot.skipped_count, snapshot.skipped[0].reason.as_str()), (1, "what a program prints is not read"));
    assert_eq!(sites(&snapshot)[0].root_path.as_deref(), Some("/srv/else"));
}

#[test]
fn a_hostile_configuration_of_lighttpd_is_bounded_and_said() {
    let many: String = (0..3_000)
        .map(|n| format!("$HTTP[\"host\"] == \"h{n}\" {{ }}\n$SERVER[\"socket\"] == \":{n}\" {{ }}\n"))
        .collect();
    for config in [
        "include \"/etc/lighttpd/lighttpd.conf\"\n".to_owned(),
        "{".repeat(100_000),
        "}".repeat(1_000),
        "a = 1\n".repeat(200_000),
        format!("var.a = \"{}\"\n{}{{", "x".repeat(8_000), "var.a = var.a + var.a\n".repeat(1_000)),
        many + "}",
    ] {
        let start = Instant::now();
        let snapshot = lighttpd(&config).read(Class::WebSite);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert!(snapshot.skipped_count > 0, "{}", &config[..10]);
    }
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(100_000).collect();
    for config in [
        &bytes[..],
        b"",
        b"$",
        b"$HTTP[",
        b"$HTTP[\"host\"] == {",
        b"a =",
        b"a = (",
        b"a = ((((",
        b"a = ( \"x\" => ",
        b"\"",
        b"\"\\",
        b"a = \"\\\"",
        b"include",
        b"include (\"a\")",
        b"server.port = 99999999",
        b"server.port = \"\" + + +",
    ] {
        lighttpd(config).read(Class::WebSite);
    }
}

#[test]
fn ibms_server_is_told_from_apache_by_its_folder() {
    let host = Host::new()
        .with("opt/IBM/HTTPServer/conf/httpd.conf", "Listen 80\nServerName a.example.org\nDocumentRoot htdocs\n")
        .with("opt/IBM/HTTPServer/version.signature", "IBM HTTP Server 9.0.5.16\n");
    let args = ["/opt/IBM/HTTPServer/bin/httpd", "-d", "/opt/IBM/HTTPServer", "-k", "start"];
    let host = running(host, 10, args[0], &args);
    let host = running(host, 11, "/usr/sbin/httpd", &["/usr/sbin/httpd"]);
    let services = host.read(Class::WebService).items;
    let of = |item: &Item| if let Item::WebService(one) = item { (one.kind, one.version.clone()) } else { panic!() };
    let expected = [(WebServiceKind::Apache, None), (WebServiceKind::Ihs, Some("9.0.5.16".to_owned()))];
    assert_eq!(services.iter().map(of).collect::<Vec<_>>(), expected);
    let sites = sites(&host.read(Class::WebSite));
    let rows: Vec<_> = sites.iter().map(|s| (s.service, s.domain.as_str(), s.root_path.as_deref())).collect();
    assert_eq!(rows, [(WebServiceKind::Ihs, "a.example.org", Some("/opt/IBM/HTTPServer/htdocs"))]);
}

#[test]
fn a_hostile_configuration_of_apache_is_bounded_and_said() {
    for config in [
        "Include /etc/apache2/apache2.conf\n".to_owned(),
        "Include /etc/apache2\n".to_owned(),
        "<VirtualHost *:80>\n".repeat(100_000),
        "</VirtualHost>\n".repeat(1_000),
        "<VirtualHost *:80>\nServerName a".to_owned(),
    ] {
        let snapshot = apache(&config).read(Class::WebSite);
        assert_eq!(snapshot.outcome, Outcome::Complete);
        assert!(snapshot.skipped_count > 0, "{}", &config[..20]);
    }
    let define = "Define A ${A}${A}\n".repeat(100) + &"\\\n".repeat(100_000) + &"x".repeat(1 << 20);
    apache(&format!("Define A {}\n{define}", "y".repeat(1_000))).read(Class::WebSite);
}

#[test]
fn tomcats_hosts_applications_and_frameworks_are_found() {
    let server = "<Server><!-- <Connector port=\"1\"/> --><Service><Connector port=\"8080\" protocol=\"HTTP/1.1\"/><Connector protocol=\"AJP/1.3\" port=\"8009\"/><Connector port='8443' SSLEnabled='true'/><Engine><Host name=\"localhost\" appBase=\"webapps\"/></Engine></Service></Server>";
    let host = Host::new()
        .with("opt/tomcat/conf/server.xml", server)
        .with("opt/tomcat/RELEASE-NOTES", "\n  Apache Tomcat Version 9.0.70\n")
        .with("opt/tomcat/webapps/ROOT/index.jsp", "")
        .with("opt/tomcat/webapps/shop/WEB-INF/lib/spring-core-5.3.20.jar", "")
        .with("opt/tomcat/webapps/shop/WEB-INF/lib/struts2-core-2.5.30.jar", "")
        .with("opt/tomcat/webapps/shop/WEB-INF/lib/other-1.jar", "");
    let args = [
        "java",
        "-Dcatalina.base=/opt/tomcat",
        "-Dcatalina.home=/opt/tomcat",
        "-Dpassword=S3CRET",
        "org.apache.catalina.startup.Bootstrap",
        "start",
    ];
    let host = running(host, 7, "/usr/lib/jvm/bin/java", &args);
    let snapshot = host.read(Class::WebService);
    let [Item::WebService(service)] = snapshot.items.as_slice() else { panic!("{:?}", snapshot.items) };
    let WebService { kind, version, config_path, install_path, .. } = service;
    assert_eq!((*kind, version.as_deref()), (WebServiceKind::Tomcat, Some("9.0.70")));
    assert_eq!(config_path.as_deref(), Some("/opt/tomcat/conf/server.xml"));
    assert_eq!(install_path.as_deref(), Some("/opt/tomcat"));
    let sites = sites(&host.read(Class::WebSite));
    let found: Vec<_> = sites.iter().map(|site| (site.protocol, site.domain.as_str(), site.port)).collect();
    assert_eq!(found, [(WebProtocol::Http, "localhost", 8080), (WebProtocol::Https, "localhost", 8443)]);
    let paths: Vec<_> = sites[0].paths.iter().map(|path| path.virtual_path.as_str()).collect();
    assert_eq!(paths, ["/", "/shop"]);
    assert!(!sites[0].command_line.contains("S3CRET"));
    let frameworks = frameworks(&host.read(Class::WebFramework));
    let found: Vec<_> =
        frameworks.iter().map(|f| (f.name.as_str(), f.version.as_deref(), f.service, f.jar_count)).collect();
    let tomcat = Some(WebServiceKind::Tomcat);
    assert_eq!(found, [("Spring", Some("5.3.20"), tomcat, 1), ("Struts", Some("2.5.30"), tomcat, 1)]);
}

#[test]
fn frameworks_inside_the_archive_that_a_process_runs_are_found() {
    let libraries =
        ["spring-boot-3.2.1", "spring-core-6.1.2", "spring-web-6.1.2", "spring-boot-loader-3.2.1", "tomcat-x"];
    let names: Vec<String> = libraries.iter().map(|name| format!("BOOT-INF/lib/{name}.jar")).collect();
    let mut entries: Vec<(&str, &[u8], bool)> = names.iter().map(|name| (name.as_str(), &b""[..], false)).collect();
    // Not of this program: neither a library, nor at such a place.
    entries.extend([("BOOT-INF/classes/struts2-core-2.5.30.jar", &b""[..], false), ("BOOT-INF/lib/x.txt", b"", true)]);
    let host = Host::new()
        .with("srv/app.jar", archive(&entries))
        .with("srv/web.war", archive(&[("WEB-INF/lib/struts2-core-2.5.30.jar", b"", true)]))
        .with("srv/broken.jar", "PK\x03\x04 but no archive")
        .with("opt/lib/shiro-core-1.9.jar", "")
        .with("opt/lib/shiro-web-1.9.jar", "");
    let java = "/usr/lib/jvm/bin/java";
    let host = running(host, 5, java, &["java", "-Xmx1g", "-jar", "/srv/app.jar", "-jar", "/srv/other.jar"]);
    let host = running(host, 6, java, &["java", "-jar", "/srv/web.war"]);
    let host = running(host, 7, java, &["java", "-jar", "/srv/broken.jar"]);
    let host = running(host, 8, java, &["java", "-jar", "/srv/app.jar", "--port=81"]);
    let host = running(
        host,
        9,
        java,
        &["java", "-cp", "/opt/lib/*:/x/hibernate-core-5.jar:hibernate-entitymanager-5.jar", "Main"],
    );
    let snapshot = host.read(Class::WebFramework);
    let found = frameworks(&snapshot);
    let rows: Vec<_> =
        found.iter().map(|f| (f.name.as_str(), f.version.as_deref(), f.path.as_str(), f.jar_count, f.pid)).collect();
    let expected = [
        ("Hibernate", Some("5"), "/x/hibernate-core-5.jar", 2, Some(9)),
        ("Shiro", Some("1.9"), "/opt/lib/shiro-core-1.9.jar", 2, Some(9)),
        ("Spring", Some("6.1.2"), "/srv/app.jar!BOOT-INF/lib/spring-core-6.1.2.jar", 4, Some(5)),
        ("Spring Boot", Some("3.2.1"), "/srv/app.jar!BOOT-INF/lib/spring-boot-3.2.1.jar", 2, Some(5)),
        ("Struts", Some("2.5.30"), "/srv/web.war!WEB-INF/lib/struts2-core-2.5.30.jar", 1, Some(6)),
    ];
    assert_eq!(rows, expected);
    let skipped: Vec<_> = snapshot.skipped.iter().map(|skipped| skipped.source.as_str()).collect();
    assert_eq!(skipped, ["/srv/broken.jar"]);
}

#[test]
fn archives_of_a_program_are_bounded_and_those_of_a_container_read_once() {
    let mut host = Host::large();
    let folders: Vec<String> = (0..4).map(|n| format!("srv/{n}")).collect();
    for folder in &folders {
        host = host.with(&format!("{folder}/spring-web-6.jar"), "");
        for n in 0..5_000 {
            std::fs::write(host.path().join(format!("{folder}/spring-core-{n}.jar")), "").unwrap();
        }
    }
    let class_path: Vec<String> = folders.iter().map(|folder| format!("/{folder}/*")).collect();
    let java = "/usr/lib/jvm/bin/java";
    let host = running(host, 5, java, &["java", "-cp", &class_path.join(":"), "Main"]);
    // The processes of a container, each with a root of its own that is the same.
    let cgroup = format!("0::/system.slice/docker-{}.scope", "a".repeat(64));
    let libraries: Vec<String> = (0..20_000).map(|n| format!("BOOT-INF/lib/struts2-core-{n}.jar")).collect();
    let entries: Vec<(&str, &[u8], bool)> = libraries.iter().map(|name| (name.as_str(), &b""[..], false)).collect();
    let mut host = host.with("container/srv/app.jar", archive(&entries[..5_000])).with("container/srv/bad.jar", "PK");
    for pid in 100..300 {
        let app: &[u8] = if pid % 2 == 0 { b"/srv/app.jar" } else { b"/srv/bad.jar" };
        let args: [&[u8]; 3] = [b"java", b"-jar", app];
        host = host.process(&Fake { pid, args: &args, exe: Some(java), cgroup: &cgroup, ..Fake::default() });
        std::os::unix::fs::symlink(host.path().join("container"), host.path().join(format!("proc/{pid}/root")))
            .unwrap();
    }
    let (found, outcome) = cheaply(host, "web_framework");
    let spring = found.iter().filter(|one| one["name"] == "Spring").count();
    assert_eq!((spring, found.len() - spring), (9_999, 5_000));
    assert!(
        found
            .iter()
            .filter(|one| one["path"].as_str().unwrap().starts_with("/srv/0/"))
            .all(|one| one["jar_count"] == 5_001)
    );
    let skipped: Vec<&str> =
        outcome["skipped"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!((skipped.len(), skipped[0]), (2, "process 5 has more archives than are looked at"));
}

#[test]
fn more_folders_of_libraries_than_are_looked_into_are_told() {
    let folders: String = (0..2_100).map(|n| format!("/srv/{n}/*:")).collect();
    let host = running(Host::new(), 5, "/usr/lib/jvm/bin/java", &["java", "-cp", &folders, "Main"]);
    let snapshot = host.read(Class::WebFramework);
    assert_eq!(snapshot.skipped_count, 1);
    assert_eq!(snapshot.skipped[0].reason, "there may be more folders or archives than are looked into");
}

#[test]
fn frameworks_are_looked_for_where_each_language_keeps_its_packages() {
    let host = Host::new()
        .with("srv/app/venv/pyvenv.cfg", "include-system-site-packages = false\n")
        .with("srv/app/venv/lib/python3.11/site-packages/Django-4.2.1.dist-info/METADATA", "")
        .with("usr/lib/python3/dist-packages/flask-2.2.2.dist-info/METADATA", "")
        .with("srv/node/node_modules/express/package.json", "{\"name\":\"express\",\"version\":\"4.18.2\"}")
        .with("srv/rails/Gemfile.lock", "GEM\n  specs:\n    rails (7.0.4)\n    rake (13.0.6)\n");
    let host = running(host, 5, "/usr/bin/python3.11", &["/srv/app/venv/bin/python", "manage.py"]);
    let host = running(host, 6, "/usr/bin/node", &["node", "/srv/node/server.js"]);
    let host = running(host, 8, "/usr/bin/ruby3.1", &["ruby", "/srv/rails/bin/rails"]);
    let found = frameworks(&host.read(Class::WebFramework));
    let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.version.as_deref(), f.language, f.pid)).collect();
    let expected = [
        ("Django", Some("4.2.1"), ProgrammingLanguage::Python, Some(5)),
        ("Express", Some("4.18.2"), ProgrammingLanguage::Node, Some(6)),
        ("Ruby on Rails", Some("7.0.4"), ProgrammingLanguage::Ruby, Some(8)),
    ];
    assert_eq!(found, expected);
    // An interpreter without an environment of its own uses the system's.
    let host = running(host, 9, "/usr/bin/python3.11", &["python3", "-m", "flask"]);
    assert!(frameworks(&host.read(Class::WebFramework)).iter().any(|f| f.name == "Flask" && f.pid == Some(9)));
}

#[test]
fn web_applications_are_found_at_the_root_below_it_and_by_alias() {
    let host = nginx("http { server { listen 80; server_name a b; root /srv/www; location /pma/ { alias /usr/share/phpmyadmin/; } } }")
        .with("srv/www/core/lib/Drupal.php", "<?php class Drupal { const VERSION = '10.1.6'; }")
        .with("srv/www/modules/contrib/token/token.info.yml", "name: Token\nversion: '8.x-1.12'\ndescription: Tokens.\n")
        .with("srv/www/wiki/includes/Defines.php", "define( 'x' ); define('MW_VERSION', '1.39.4');")
        .with("srv/www/vendor/composer/installed.json", "{\"packages\":[{\"name\":\"symfony/http-kernel\",\"version\":\"v6.3.1\"}]}")
        .with("usr/share/phpmyadmin/libraries/classes/Version.php", "namespace PhpMyAdmin; const VERSION = '5.2.1';");
    let snapshot = host.read(Class::WebApplication);
    let of = |item: &Item| if let Item::WebApplication(one) = item { Some(WebApplication::clone(one)) } else { None };
    let found: Vec<WebApplication> = snapshot.items.iter().filter_map(of).filter(|one| one.domain == "a").collect();
    assert_eq!(snapshot.items.len(), 2 * found.len());
    let rows: Vec<_> = found.iter().map(|a| (a.name.as_str(), a.version.as_deref(), a.virtual_path.as_str())).collect();
    let expected = [
        ("Drupal", Some("10.1.6"), "/"),
        ("MediaWiki", Some("1.39.4"), "/wiki"),
        ("phpMyAdmin", Some("5.2.1"), "/pma"),
    ];
    assert_eq!(rows, expected);
    let plugin = &found[0].plugins[0];
    assert_eq!((plugin.name.as_str(), plugin.version.as_deref()), ("Token", Some("8.x-1.12")));
    let frameworks = frameworks(&host.read(Class::WebFramework));
    assert_eq!((frameworks[0].name.as_str(), frameworks[0].version.as_deref()), ("Symfony", Some("6.3.1")));
}

#[test]
fn databases_are_read_in_the_format_of_each() {
    let host = Host::new()
        .with("etc/passwd", "postgres:x:110:110::/:/bin/sh\n")
        .with("etc/postgresql/15/main/postgresql.conf", "port = 5433 # other\ndata_directory = '/var/lib/postgresql/15/main'\ninclude_dir 'conf.d'\n")
        .with("etc/postgresql/15/main/conf.d/a.conf", "listen_addresses='10.0.0.1, 10.0.0.2'\n")
        .with("usr/lib/postgresql/15/bin/postgres", "")
        .with("etc/mongod.conf", "storage:\n  dbPath: /var/lib/mongodb\nnet:\n  port: 27018\n  bindIp: 127.0.0.1 # local\nsystemLog:\n  path: \"/var/log/mongod.log\"\n")
        .with("usr/bin/mongod", "\0MongoDB 6.0.5\0");
    let args: [&[u8]; 5] = [
        b"/usr/lib/postgresql/15/bin/postgres",
        b"-D",
        b"/var/lib/postgresql/15/main",
        b"-c",
        b"config_file=/etc/postgresql/15/main/postgresql.conf",
    ];
    let exe = Some("/usr/lib/postgresql/15/bin/postgres");
    let host = host
        .process(&Fake { pid: 20, name: b"postgres", args: &args, exe, user: 110, ..Fake::default() })
        .process(&Fake {
            pid: 21,
            parent: 20,
            name: b"postgres",
            args: &[b"postgres: checkpointer "],
            exe,
            user: 110,
            ..Fake::default()
        });
    let host = running(host, 30, "/usr/bin/mongod", &["/usr/bin/mongod", "--config", "/etc/mongod.conf"]);
    let host = running(host, 40, "/usr/bin/memcached", &["memcached", "-p11299", "-l", "127.0.0.1"]);
    // The folder of one can be seen.
    let data = host.path().join("var/lib/postgresql/15/main");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o2750)).unwrap();
    // Their open files cannot be seen, as if another user looked.
    for pid in [20, 30, 40] {
        std::fs::remove_dir_all(host.path().join(format!("proc/{pid}/fd"))).unwrap();
    }
    let databases = databases(&host.read(Class::DatabaseInstance));
    let rows: Vec<_> =
        databases.iter().map(|d| (d.kind, d.bind_address.as_deref(), d.port, d.data_path.as_deref())).collect();
    let expected = [
        (DatabaseKind::Mongodb, Some("127.0.0.1"), Some(27018), Some("/var/lib/mongodb")),
        (DatabaseKind::Memcached, Some("127.0.0.1"), Some(11299), None),
        (DatabaseKind::Postgresql, Some("10.0.0.1"), Some(5433), Some("/var/lib/postgresql/15/main")),
    ];
    assert_eq!(rows, expected);
    assert_eq!((databases[2].user.as_deref(), databases[2].version.as_deref()), (Some("postgres"), Some("15")));
    assert_eq!(
        (databases[0].version.as_deref(), databases[0].log_path.as_deref()),
        (Some("6.0.5"), Some("/var/log/mongod.log"))
    );
    let permissions: Vec<_> = databases.iter().map(|database| database.data_permission.as_deref()).collect();
    assert_eq!(permissions, [None, None, Some("2750")]);
    // A worker is no instance of its own.
    let postgres =
        software(&host.read(Class::SoftwareApplication)).into_iter().find(|s| s.name == "PostgreSQL").unwrap();
    assert_eq!(postgres.process_count, 2);
}

#[test]
fn what_is_installed_and_does_not_run_is_software_of_no_process() {
    let host = Host::new()
        .with("usr/sbin/nginx", b"\0nginx/1.22.1\0")
        .with("etc/nginx/nginx.conf", "")
        .with(
            "var/lib/dpkg/status",
            "Package: redis-server\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5:7.0.15-1~deb12u1\nDescription: Persistent key-value database\n It keeps them.\n",
        )
        .with("var/lib/dpkg/info/redis-server.list", "/usr/bin/redis-server\n")
        .with("usr/bin/redis-server", "");
    for program in ["usr/sbin/nginx", "usr/bin/redis-server"] {
        let mut permissions = std::fs::metadata(host.path().join(program)).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(host.path().join(program), permissions).unwrap();
    }
    let snapshot = host.read(Class::SoftwareApplication);
    let found = software(&snapshot);
    let rows: Vec<_> =
        found.iter().map(|s| (s.name.as_str(), s.version.as_deref(), s.process_count, s.package.as_deref())).collect();
    assert_eq!(rows, [("Redis", Some("7.0.15"), 0, Some("redis-server")), ("nginx", Some("1.22.1"), 0, None)]);
    let descriptions: Vec<_> = found.iter().map(|s| s.description.as_deref()).collect();
    assert_eq!(descriptions, [Some("Persistent key-value database"), None]);
    assert_eq!(snapshot.unread_sources, ["/proc"]);
    // What runs cannot be told on a disk.
    for class in
        [Class::DatabaseInstance, Class::WebSite, Class::WebService, Class::WebApplication, Class::WebFramework]
    {
        assert!(matches!(host.read(class).outcome, Outcome::NotPresent { .. }), "{}", class.name());
    }
    assert!(matches!(Host::new().read(Class::SoftwareApplication).outcome, Outcome::NotPresent { .. }));
}
