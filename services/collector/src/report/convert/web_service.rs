use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{WebService, WebServiceKind};

pub(super) fn message(service: &WebService) -> inventory::WebService {
    inventory::WebService {
        kind: kind(service.kind).into(),
        version: service.version.clone().unwrap_or_default(),
        bin_path: service.bin_path.clone().unwrap_or_default(),
        install_path: service.install_path.clone().unwrap_or_default(),
        config_path: service.config_path.clone().unwrap_or_default(),
        user: service.user.clone().unwrap_or_default(),
        process_count: service.process_count,
        package_name: service.package.clone().unwrap_or_default(),
        container_id: service.container_id.clone().unwrap_or_default(),
        escaped: service.escaped,
    }
}

pub(super) fn kind(kind: WebServiceKind) -> inventory::WebServiceKind {
    match kind {
        WebServiceKind::Tomcat => inventory::WebServiceKind::Tomcat,
        WebServiceKind::Apache => inventory::WebServiceKind::Apache,
        WebServiceKind::Nginx => inventory::WebServiceKind::Nginx,
        WebServiceKind::Weblogic => inventory::WebServiceKind::Weblogic,
        WebServiceKind::Websphere => inventory::WebServiceKind::Websphere,
        WebServiceKind::Jboss => inventory::WebServiceKind::Jboss,
        WebServiceKind::Wildfly => inventory::WebServiceKind::Wildfly,
        WebServiceKind::Jetty => inventory::WebServiceKind::Jetty,
        WebServiceKind::Ihs => inventory::WebServiceKind::Ihs,
        WebServiceKind::Tengine => inventory::WebServiceKind::Tengine,
        WebServiceKind::Caddy => inventory::WebServiceKind::Caddy,
        WebServiceKind::Lighttpd => inventory::WebServiceKind::Lighttpd,
        WebServiceKind::Haproxy => inventory::WebServiceKind::Haproxy,
        WebServiceKind::Envoy => inventory::WebServiceKind::Envoy,
        WebServiceKind::Openresty => inventory::WebServiceKind::Openresty,
        WebServiceKind::Gunicorn => inventory::WebServiceKind::Gunicorn,
        WebServiceKind::Uwsgi => inventory::WebServiceKind::Uwsgi,
        WebServiceKind::Other => inventory::WebServiceKind::Other,
    }
}
