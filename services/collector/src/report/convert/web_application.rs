use cwpp_contracts::inventory::v1 as inventory;

use super::web_service::kind;
use crate::class::{WebApplication, WebPlugin};

pub(super) fn message(application: &WebApplication) -> inventory::WebApplication {
    inventory::WebApplication {
        name: application.name.clone(),
        version: application.version.clone().unwrap_or_default(),
        root_path: application.root_path.clone(),
        service: kind(application.service).into(),
        domain: application.domain.clone(),
        virtual_path: application.virtual_path.clone(),
        plugins: application.plugins.iter().map(plugin).collect(),
        plugin_count: application.plugin_count,
        user: application.user.clone().unwrap_or_default(),
        escaped: application.escaped,
        container_id: application.container_id.clone().unwrap_or_default(),
    }
}

fn plugin(plugin: &WebPlugin) -> inventory::WebPlugin {
    inventory::WebPlugin {
        name: plugin.name.clone(),
        version: plugin.version.clone().unwrap_or_default(),
        description: plugin.description.clone().unwrap_or_default(),
        link: plugin.link.clone().unwrap_or_default(),
    }
}
