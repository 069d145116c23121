use cwpp_contracts::inventory::v1 as inventory;

use super::web_service::kind;
use crate::class::{WebProtocol, WebSite, WebSitePath};

pub(super) fn message(site: &WebSite) -> inventory::WebSite {
    let protocol = match site.protocol {
        WebProtocol::Http => inventory::WebProtocol::Http,
        WebProtocol::Https => inventory::WebProtocol::Https,
    };
    inventory::WebSite {
        domain: site.domain.clone(),
        port: site.port.into(),
        protocol: protocol.into(),
        bind_address: site.bind_address.clone(),
        service: kind(site.service).into(),
        root_path: site.root_path.clone().unwrap_or_default(),
        root_owner: site.root_owner.clone().unwrap_or_default(),
        root_permission: site.root_permission.clone().unwrap_or_default(),
        user: site.user.clone().unwrap_or_default(),
        config_path: site.config_path.clone().unwrap_or_default(),
        command_line: site.command_line.clone(),
        paths: site.paths.iter().map(path).collect(),
        path_count: site.path_count,
        escaped: site.escaped,
        container_id: site.container_id.clone().unwrap_or_default(),
    }
}

fn path(path: &WebSitePath) -> inventory::WebSitePath {
    inventory::WebSitePath {
        virtual_path: path.virtual_path.clone(),
        real_path: path.real_path.clone().unwrap_or_default(),
        owner: path.owner.clone().unwrap_or_default(),
        group: path.group.clone().unwrap_or_default(),
        permission: path.permission.clone().unwrap_or_default(),
    }
}
