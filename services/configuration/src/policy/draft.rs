//! What a call wants a policy to be, checked; and a stored policy as its message.

use std::collections::HashSet;

use cwpp_chassis::{Error, Result, Violations};
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind};
use cwpp_contracts::configuration::v1::{Policy, PolicyKind};
use prost::Message as _;
use uuid::Uuid;

use super::entity::Model;
use super::kind;

/// Most machines that one call may name.
pub(crate) const MAX_MACHINES: usize = 1_000;
const MAX_TAGS: usize = 50;
const MAX_TAG: usize = 63;
const MAX_NAME: usize = 128;
const MAX_REASON: usize = 255;

/// The machines of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machines {
    /// How they are chosen.
    pub(crate) kind: MachineScopeKind,
    /// Those named, in order.
    pub(crate) ids: Vec<Uuid>,
    /// The tags of `TAGGED`.
    pub(crate) tags: Vec<String>,
}

/// A change of a policy: what is set is checked, what is not stays as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// The name.
    pub(crate) name: Option<String>,
    /// Whether it is in force.
    pub(crate) enabled: Option<bool>,
    /// The machines.
    pub(crate) machines: Option<Machines>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// What it says.
    pub(crate) spec: Option<kind::Stored>,
}

/// Which fields of a policy a call sets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fields {
    name: bool,
    enabled: bool,
    machines: bool,
    reason: bool,
    /// The spec, which a mask names by its kind.
    spec: Option<Option<PolicyKind>>,
}

impl Fields {
    /// All of them.
    pub(crate) fn all() -> Self {
        Self { name: true, enabled: true, machines: true, reason: true, spec: Some(None) }
    }

    /// Those of an update mask; an empty one names all.
    pub(crate) fn of_mask(mask: Option<&prost_types::FieldMask>, violations: &mut Violations) -> Self {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        if paths.is_empty() {
            return Self::all();
        }
        let mut fields = Self::default();
        for (index, path) in paths.iter().enumerate() {
            match path.as_str() {
                "name" => fields.name = true,
                "enabled" => fields.enabled = true,
                "machines" => fields.machines = true,
                "reason" => fields.reason = true,
                path => match kind::REGISTRY.iter().find(|(_, field)| *field == path) {
                    Some((kind, _)) => fields.spec = Some(Some(*kind)),
                    None => violations.push(
                        format!("update_mask.paths[{index}]"),
                        "must be name, enabled, machines, reason or the field of the policy's kind, such as login_whitelist",
                    ),
                },
            }
        }
        fields
    }
}

impl Draft {
    /// Checks these fields of a policy. What it returns counts only where no violation was found.
    pub(crate) fn check(policy: &Policy, fields: Fields, violations: &mut Violations) -> Result<Self> {
        let mut draft = Self::default();
        if fields.name {
            text("policy.name", &policy.name, 1, MAX_NAME, violations);
            draft.name = Some(policy.name.clone());
        }
        if fields.enabled {
            draft.enabled = Some(policy.enabled);
        }
        if fields.machines {
            draft.machines = machines(policy.machines.as_ref(), violations);
        }
        if fields.reason {
            text("policy.reason", &policy.reason, 0, MAX_REASON, violations);
            draft.reason = Some(policy.reason.clone());
        }
        if let Some(wanted) = fields.spec {
            draft.spec = match &policy.spec {
                Some(spec) => Some(kind::check(spec, "policy", violations)?),
                None => {
                    violations.push("policy.spec", "exactly one kind's field must be set, such as login_whitelist");
                    None
                }
            };
            if let (Some(wanted), Some(stored)) = (wanted, &draft.spec) {
                violations.check(
                    wanted == stored.kind,
                    format!("policy.{}", kind::field(wanted)),
                    "is named by the mask and not set",
                );
            }
        }
        Ok(draft)
    }
}

/// Checks a text that people read: its length in characters, and that it is one line.
fn text(at: &str, value: &str, min: usize, max: usize, violations: &mut Violations) {
    if !violations.characters(at, value, min, max) {
        return;
    }
    violations.check(!value.chars().any(char::is_control), at, "must not contain control characters");
    violations.check(value.is_empty() || !value.trim().is_empty(), at, "must not be blank");
}

fn machines(scope: Option<&MachineScope>, violations: &mut Violations) -> Option<Machines> {
    const AT: &str = "policy.machines";
    let Some(scope) = scope else {
        violations.push(AT, "must be set: ALL, SELECTED, ALL_EXCEPT or TAGGED");
        return None;
    };
    let kind = MachineScopeKind::try_from(scope.kind).unwrap_or(MachineScopeKind::Unspecified);
    let (by_id, by_tag) = match kind {
        MachineScopeKind::Unspecified => {
            violations.push(format!("{AT}.kind"), "must be ALL, SELECTED, ALL_EXCEPT or TAGGED");
            return None;
        }
        MachineScopeKind::All => (false, false),
        MachineScopeKind::Selected | MachineScopeKind::AllExcept => (true, false),
        MachineScopeKind::Tagged => (false, true),
    };
    let mut ids = Vec::new();
    let at = format!("{AT}.machine_ids");
    let count = scope.machine_ids.len();
    if !by_id {
        violations.check(count == 0, &at, "must be empty for this kind of scope");
    } else if violations.check(count > 0, &at, "must name at least one machine; for every machine use ALL")
        && violations.check(
            count <= MAX_MACHINES,
            &at,
            format!("must name at most {MAX_MACHINES} machines, has {count}"),
        )
    {
        let mut seen = HashSet::new();
        for (index, text) in scope.machine_ids.iter().enumerate() {
            if let Some(id) = violations.uuid(format!("{at}[{index}]"), text)
                && violations.check(seen.insert(id), format!("{at}[{index}]"), "repeats an earlier machine")
            {
                ids.push(id);
            }
        }
        ids.sort_unstable();
    }
    let at = format!("{AT}.tags");
    let count = scope.tags.len();
    if !by_tag {
        violations.check(count == 0, &at, "must be empty for this kind of scope");
    } else if violations.check(count > 0, &at, "must name at least one tag")
        && violations.check(count <= MAX_TAGS, &at, format!("must name at most {MAX_TAGS} tags, has {count}"))
    {
        let mut seen = HashSet::new();
        for (index, tag) in scope.tags.iter().enumerate() {
            text(&format!("{at}[{index}]"), tag, 1, MAX_TAG, violations);
            violations.check(seen.insert(tag), format!("{at}[{index}]"), "repeats an earlier tag");
        }
    }
    Some(Machines { kind, ids, tags: scope.tags.clone() })
}

/// A policy with the machines that it names.
#[derive(Debug, Clone)]
pub(crate) struct Full {
    /// The row.
    pub(crate) row: Model,
    /// The machines, in order.
    pub(crate) machine_ids: Vec<Uuid>,
}

impl Full {
    /// Returns its message. A row that does not fit the contract is a fault of the database.
    pub(crate) fn message(self) -> Result<Policy> {
        let Self { row, machine_ids } = self;
        let etag = row.etag();
        let kind = PolicyKind::try_from(i32::from(row.kind)).map_err(Error::internal)?;
        let scope = MachineScopeKind::try_from(i32::from(row.scope_kind)).map_err(Error::internal)?;
        Ok(Policy {
            policy_id: row.policy_id.to_string(),
            name: row.name,
            enabled: row.enabled,
            machines: Some(MachineScope {
                kind: scope.into(),
                machine_ids: machine_ids.iter().map(Uuid::to_string).collect(),
                tags: serde_json::from_value(row.tags).map_err(Error::internal)?,
            }),
            etag,
            revision: row.revision.unsigned_abs(),
            create_time: Some(crate::time::message(row.create_time)),
            update_time: Some(crate::time::message(row.update_time)),
            reason: row.reason,
            spec: Some(kind::message(kind::Stored { kind, document: row.spec })?),
        })
    }

    /// Returns the bytes of its message.
    pub(crate) fn bytes(&self) -> Result<i32> {
        let length = self.clone().message()?.encoded_len();
        i32::try_from(length).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use cwpp_contracts::configuration::v1::{LoginWhitelist, policy::Spec};

    use super::*;

    fn violated(policy: &Policy, fields: Fields) -> Vec<String> {
        let mut violations = Violations::new();
        Draft::check(policy, fields, &mut violations).expect("no fault");
        match violations.finish() {
            Ok(()) => Vec::new(),
            Err(error) => error.violations().iter().map(|v| v.field.clone()).collect(),
        }
    }

    fn policy(kind: MachineScopeKind, machine_ids: &[&str], tags: &[&str]) -> Policy {
        Policy {
            name: "office".into(),
            machines: Some(MachineScope {
                kind: kind.into(),
                machine_ids: machine_ids.iter().map(|id| (*id).into()).collect(),
                tags: tags.iter().map(|tag| (*tag).into()).collect(),
            }),
            spec: Some(Spec::LoginWhitelist(LoginWhitelist::default())),
            ..Default::default()
        }
    }

    #[test]
    fn an_empty_policy_names_everything_that_is_missing() {
        let fields = violated(&Policy::default(), Fields::all());
        assert_eq!(fields, ["policy.name", "policy.machines", "policy.spec"]);
    }

    #[test]
    fn a_scope_takes_what_its_kind_needs_and_nothing_else() {
        const ID: &str = "0198c5a2-7d4e-7c3b-9a10-2f6b8e1d4c55";
        use MachineScopeKind::{All, AllExcept, Selected, Tagged, Unspecified};
        let of = |kind, ids: &[&str], tags: &[&str]| violated(&policy(kind, ids, tags), Fields::all());
        assert!(of(All, &[], &[]).is_empty());
        assert!(of(Selected, &[ID], &[]).is_empty());
        assert!(of(AllExcept, &[ID], &[]).is_empty());
        assert!(of(Tagged, &[], &["web"]).is_empty());
        assert_eq!(of(Unspecified, &[], &[]), ["policy.machines.kind"]);
        assert_eq!(of(All, &[ID], &["web"]), ["policy.machines.machine_ids", "policy.machines.tags"]);
        assert_eq!(of(Selected, &[], &[]), ["policy.machines.machine_ids"]);
        assert_eq!(
            of(Selected, &[ID, "web-1", ID], &[]),
            ["policy.machines.machine_ids[1]", "policy.machines.machine_ids[2]"]
        );
        assert_eq!(of(Selected, &vec![ID; MAX_MACHINES + 1], &[]), ["policy.machines.machine_ids"]);
        assert_eq!(of(Tagged, &[], &["web", "", "web"]), ["policy.machines.tags[1]", "policy.machines.tags[2]"]);
    }

    #[test]
    fn an_unknown_number_of_a_scope_is_a_violation() {
        let mut unknown = policy(MachineScopeKind::All, &[], &[]);
        unknown.machines = Some(MachineScope { kind: 99, ..Default::default() });
        assert_eq!(violated(&unknown, Fields::all()), ["policy.machines.kind"]);
    }

    #[test]
    fn a_mask_checks_only_what_it_names() {
        let mut violations = Violations::new();
        let mask = prost_types::FieldMask { paths: vec!["enabled".into(), "reason".into()] };
        let fields = Fields::of_mask(Some(&mask), &mut violations);
        violations.finish().expect("a mask of known paths");
        let draft = Draft::check(&Policy::default(), fields, &mut Violations::new()).expect("no fault");
        assert_eq!(draft.enabled, Some(false));
        assert!(draft.name.is_none() && draft.machines.is_none() && draft.spec.is_none());
    }

    #[test]
    fn a_mask_with_unknown_paths_names_them() {
        let mut violations = Violations::new();
        let mask = prost_types::FieldMask { paths: vec!["name".into(), "etag".into(), "machines.kind".into()] };
        Fields::of_mask(Some(&mask), &mut violations);
        let error = violations.finish().expect_err("unknown paths");
        let fields: Vec<_> = error.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["update_mask.paths[1]", "update_mask.paths[2]"]);
    }
}
