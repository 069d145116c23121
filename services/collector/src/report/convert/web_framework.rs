use cwpp_contracts::inventory::v1 as inventory;

use super::web_service::kind;
use crate::class::{ProgrammingLanguage, WebFramework};

pub(super) fn message(framework: &WebFramework) -> inventory::WebFramework {
    let language = match framework.language {
        ProgrammingLanguage::Java => inventory::ProgrammingLanguage::Java,
        ProgrammingLanguage::Python => inventory::ProgrammingLanguage::Python,
        ProgrammingLanguage::Php => inventory::ProgrammingLanguage::Php,
        ProgrammingLanguage::Node => inventory::ProgrammingLanguage::Node,
        ProgrammingLanguage::Ruby => inventory::ProgrammingLanguage::Ruby,
    };
    inventory::WebFramework {
        name: framework.name.clone(),
        version: framework.version.clone().unwrap_or_default(),
        language: language.into(),
        service: framework.service.map_or(inventory::WebServiceKind::Unspecified, kind).into(),
        path: framework.path.clone(),
        jar_count: framework.jar_count,
        pid: framework.pid,
        escaped: framework.escaped,
        container_id: framework.container_id.clone().unwrap_or_default(),
    }
}
