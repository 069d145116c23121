//! Kinds of policies: one trait, one registry, one file per kind.
//!
//! A kind says what is special about it: its message, how it is checked, how it is stored. To add one, write its
//! message and its number in the contract, its file here and its arm in each `match` below; the compiler and the
//! test of this file name what is missing.

mod collection_settings;
mod login_whitelist;
mod offline_machine_removal;

use cwpp_chassis::{Error, Result, Violations};
use cwpp_contracts::configuration::v1::PolicyKind;
use cwpp_contracts::configuration::v1::policy::Spec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use collection_settings::CollectionSettings;
use login_whitelist::LoginWhitelist;
use offline_machine_removal::OfflineMachineRemoval;

/// One kind of policy.
pub(crate) trait Kind {
    /// Its number in the contract.
    const KIND: PolicyKind;
    /// The name of its field in the policy's `oneof`, which is also its path in an update mask.
    const FIELD: &'static str;
    /// Its message.
    type Message;
    /// How it is stored: a JSON document whose fields only ever grow.
    type Stored: Serialize + DeserializeOwned;

    /// Checks a message and brings it into its stored form; `at` is the path of the message in the request.
    /// What it returns counts only where no violation was found.
    fn check(message: &Self::Message, at: &str, violations: &mut Violations) -> Self::Stored;

    /// Brings the stored form back into its message.
    fn message(stored: Self::Stored) -> Self::Message;
}

/// Every kind: its number and its field.
pub(crate) const REGISTRY: &[(PolicyKind, &str)] =
    &[entry::<LoginWhitelist>(), entry::<CollectionSettings>(), entry::<OfflineMachineRemoval>()];

const fn entry<K: Kind>() -> (PolicyKind, &'static str) {
    (K::KIND, K::FIELD)
}

/// A spec as it is stored: its kind and its document.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The kind.
    pub(crate) kind: PolicyKind,
    /// The document.
    pub(crate) document: Value,
}

/// Checks the spec of a policy whose path is `at`.
pub(crate) fn check(spec: &Spec, at: &str, violations: &mut Violations) -> Result<Stored> {
    fn of<K: Kind>(message: &K::Message, at: &str, violations: &mut Violations) -> Result<Stored> {
        let stored = K::check(message, &format!("{at}.{}", K::FIELD), violations);
        let document = serde_json::to_value(stored).map_err(Error::internal)?;
        Ok(Stored { kind: K::KIND, document })
    }
    match spec {
        Spec::LoginWhitelist(message) => of::<LoginWhitelist>(message, at, violations),
        Spec::CollectionSettings(message) => of::<CollectionSettings>(message, at, violations),
        Spec::OfflineMachineRemoval(message) => of::<OfflineMachineRemoval>(message, at, violations),
    }
}

/// Returns the spec out of its stored form. A document that does not fit is a fault of the database.
pub(crate) fn message(stored: Stored) -> Result<Spec> {
    fn of<K: Kind>(document: Value) -> Result<K::Message> {
        serde_json::from_value(document).map(K::message).map_err(Error::internal)
    }
    match stored.kind {
        PolicyKind::Unspecified => Err(Error::internal(anyhow::anyhow!("a stored policy has no kind"))),
        PolicyKind::LoginWhitelist => of::<LoginWhitelist>(stored.document).map(Spec::LoginWhitelist),
        PolicyKind::CollectionSettings => of::<CollectionSettings>(stored.document).map(Spec::CollectionSettings),
        PolicyKind::OfflineMachineRemoval => {
            of::<OfflineMachineRemoval>(stored.document).map(Spec::OfflineMachineRemoval)
        }
    }
}

/// Returns the field of a kind in the policy's `oneof`.
pub(crate) fn field(kind: PolicyKind) -> &'static str {
    REGISTRY.iter().find(|(known, _)| *known == kind).map_or("spec", |(_, field)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_contract_is_in_the_registry_once() {
        let contract: Vec<PolicyKind> = (1..).map_while(|number| PolicyKind::try_from(number).ok()).collect();
        let registry: Vec<PolicyKind> = REGISTRY.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(registry, contract);
    }

    #[test]
    fn every_field_of_the_registry_is_named_as_its_kind() {
        for (kind, field) in REGISTRY {
            assert_eq!(kind.as_str_name(), format!("POLICY_KIND_{}", field.to_uppercase()));
        }
    }
}
