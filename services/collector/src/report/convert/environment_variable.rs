use cwpp_contracts::inventory::v1 as inventory;

use crate::class::{EnvironmentVariable, VariableScope};

pub(super) fn message(variable: &EnvironmentVariable) -> inventory::EnvironmentVariable {
    let scope = match variable.scope {
        VariableScope::User => inventory::VariableScope::User,
        VariableScope::System => inventory::VariableScope::System,
    };
    inventory::EnvironmentVariable {
        scope: scope.into(),
        user: variable.user.clone().unwrap_or_default(),
        name: variable.name.clone(),
        value_hash: variable.value_hash.as_ref().and_then(|hash| hex::decode(hash).ok()).unwrap_or_default(),
        value_length: Some(variable.value_length),
        config_path: variable.config_path.clone(),
        escaped: variable.escaped,
    }
}
