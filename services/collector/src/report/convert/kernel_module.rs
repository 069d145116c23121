use cwpp_contracts::inventory::v1 as inventory;

use crate::class::KernelModule;

pub(super) fn message(module: &KernelModule) -> inventory::KernelModule {
    let parameter =
        |(name, value): (&String, &String)| inventory::ModuleParameter { name: name.clone(), value: value.clone() };
    inventory::KernelModule {
        name: module.name.clone(),
        description: module.description.clone().unwrap_or_default(),
        path: module.path.clone().unwrap_or_default(),
        version: module.version.clone().unwrap_or_default(),
        size_bytes: module.size_bytes,
        use_count: module.use_count,
        dependencies: module.dependencies.clone(),
        used_by: module.used_by.clone(),
        parameters: module.parameters.iter().map(parameter).collect(),
        escaped: module.escaped,
    }
}
