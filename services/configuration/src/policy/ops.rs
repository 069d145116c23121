//! The rules of policies and their transactions.

use chrono::{DateTime, Utc};
use cwpp_access::TenantScope;
use cwpp_chassis::{Clock, Error, Reason, Result};
use cwpp_contracts::configuration::v1::{CreatePolicyRequest, PolicyKind};
use cwpp_storage::{Db, Once, OrRefuse, OrUnknown, StoreResult, TenantTx, feed};
use uuid::Uuid;

use super::draft::{Draft, Full, Machines};
use super::revision::{self, Author, Change};
use super::{entity, head, kind, store};

/// The feed of changed policies; an entry's body is the policy's id.
pub(crate) const FEED: &str = "policy";
/// Most policies of a tenant.
pub(crate) const MAX_POLICIES: i32 = 1_000;
/// Most bytes of a tenant's policies together: an answer with all of them fits into a message.
pub(crate) const MAX_BYTES: i64 = 12 << 20;

/// The operations on policies.
#[derive(Clone)]
pub(crate) struct Policies {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
}

/// Who changes a policy, and when.
struct Act<'a> {
    scope: &'a TenantScope,
    now: DateTime<Utc>,
}

impl Policies {
    /// Makes a policy, once per request id.
    pub(crate) async fn create(
        &self,
        scope: &TenantScope,
        request_id: Uuid,
        request: &CreatePolicyRequest,
        draft: &Draft,
    ) -> Result<Full> {
        let act = &Act { scope, now: self.clock.now() };
        let done = self
            .db
            .write_once(scope, "CreatePolicy", Some(request_id), request, |tx| async move {
                let policy = create(&tx, act, draft).await?;
                let id = policy.row.policy_id;
                Ok((policy, vec![id]))
            })
            .await?;
        match done {
            Once::Done(policy) => {
                self.db.feed_grew();
                Ok(policy)
            }
            Once::Replayed(ids) => self.get(scope, ids.first().copied().unwrap_or_default()).await,
        }
    }

    /// Reads a policy.
    pub(crate) async fn get(&self, scope: &TenantScope, policy_id: Uuid) -> Result<Full> {
        self.db
            .read(scope, |tx| async move { store::get(&tx, policy_id).await.or_unknown(|| unknown(policy_id)) })
            .await
    }

    /// Reads at most `limit` policies by kind and name after a cursor.
    pub(crate) async fn list(
        &self,
        scope: &TenantScope,
        kind: Option<PolicyKind>,
        after: Option<&store::Cursor>,
        limit: u64,
    ) -> Result<Vec<Full>> {
        let kind = kind.map(small).transpose()?;
        self.db
            .read(scope, |tx| async move {
                let rows = store::list(&tx, kind, after, limit).await?;
                store::with_machines(&tx, rows).await
            })
            .await
    }

    /// Changes a policy.
    pub(crate) async fn update(&self, scope: &TenantScope, policy_id: Uuid, etag: &str, draft: &Draft) -> Result<Full> {
        let act = &Act { scope, now: self.clock.now() };
        let policy = self.db.write(scope, |tx| async move { update(&tx, act, policy_id, etag, draft).await }).await?;
        self.db.feed_grew();
        Ok(policy)
    }

    /// Deletes a policy.
    pub(crate) async fn delete(&self, scope: &TenantScope, policy_id: Uuid, etag: &str) -> Result<()> {
        let act = &Act { scope, now: self.clock.now() };
        self.db.write(scope, |tx| async move { delete(&tx, act, policy_id, etag).await }).await?;
        self.db.feed_grew();
        Ok(())
    }

    /// Reads the enabled policies that cover a machine, and the tenant's revision. The revision is read first: where a
    /// change comes between, the answer is newer than it says, and the reader asks once too often, never too seldom.
    pub(crate) async fn effective(&self, scope: &TenantScope, machine_id: Uuid) -> Result<(Vec<Full>, i64)> {
        self.db
            .read(scope, |tx| async move {
                let revision = store::current(&tx).await?;
                Ok((store::effective(&tx, machine_id).await?, revision))
            })
            .await
    }
}

async fn create(tx: &TenantTx, act: &Act<'_>, draft: &Draft) -> StoreResult<Full> {
    let head = store::advance(tx).await?;
    let (name, machines, spec) = match draft {
        Draft { name: Some(name), machines: Some(machines), spec: Some(spec), .. } => (name, machines, spec),
        _ => return Err(Error::internal(anyhow::anyhow!("a new policy is not whole")).into()),
    };
    let row = entity::Model {
        app_id: tx.app_id().get(),
        policy_id: Uuid::now_v7(),
        kind: small(spec.kind)?,
        name: name.clone(),
        enabled: draft.enabled.unwrap_or_default(),
        scope_kind: 0,
        tags: serde_json::Value::Null,
        spec: spec.document.clone(),
        reason: draft.reason.clone().unwrap_or_default(),
        bytes: 0,
        revision: head.revision,
        version: 1,
        create_time: act.now,
        update_time: act.now,
    };
    let mut policy = Full { row, machine_ids: Vec::new() };
    set_machines(&mut policy, machines)?;
    policy.row.bytes = policy.bytes()?;
    count(tx, &head, 1, i64::from(policy.row.bytes)).await?;
    store::create(tx, &policy).await.or_exists(|| name_taken(spec.kind))?;
    keep(tx, act, &policy, Change::Created).await?;
    Ok(policy)
}

async fn update(tx: &TenantTx, act: &Act<'_>, policy_id: Uuid, etag: &str, draft: &Draft) -> StoreResult<Full> {
    let head = store::advance(tx).await?;
    let mut policy = store::get(tx, policy_id).await.or_unknown(|| unknown(policy_id))?;
    guard(&policy, etag)?;
    let before = i64::from(policy.row.bytes);
    let kind = PolicyKind::try_from(i32::from(policy.row.kind)).map_err(Error::internal)?;
    if let Some(name) = &draft.name {
        policy.row.name.clone_from(name);
    }
    if let Some(enabled) = draft.enabled {
        policy.row.enabled = enabled;
    }
    if let Some(reason) = &draft.reason {
        policy.row.reason.clone_from(reason);
    }
    if let Some(spec) = &draft.spec {
        if spec.kind != kind {
            return Err(Error::new(Reason::InvalidField, "the policy is of another kind")
                .violation(format!("policy.{}", kind::field(spec.kind)), format!("must be {}", kind::field(kind)))
                .into());
        }
        policy.row.spec = spec.document.clone();
    }
    if let Some(machines) = &draft.machines {
        set_machines(&mut policy, machines)?;
    }
    policy.row.revision = head.revision;
    policy.row.version += 1;
    // A clock that went back does not make a policy older.
    policy.row.update_time = act.now.max(policy.row.update_time);
    policy.row.bytes = policy.bytes()?;
    count(tx, &head, 0, i64::from(policy.row.bytes) - before).await?;
    store::update(tx, &policy, draft.machines.is_some()).await.or_exists(|| name_taken(kind))?;
    keep(tx, act, &policy, Change::Updated).await?;
    Ok(policy)
}

async fn delete(tx: &TenantTx, act: &Act<'_>, policy_id: Uuid, etag: &str) -> StoreResult<()> {
    let head = store::advance(tx).await?;
    let mut policy = store::get(tx, policy_id).await.or_unknown(|| unknown(policy_id))?;
    guard(&policy, etag)?;
    policy.row.revision = head.revision;
    count(tx, &head, -1, -i64::from(policy.row.bytes)).await?;
    store::delete(tx, policy_id).await?;
    keep(tx, act, &policy, Change::Deleted).await
}

/// Keeps the version and tells the feed of it.
async fn keep(tx: &TenantTx, act: &Act<'_>, policy: &Full, change: Change) -> StoreResult<()> {
    let row = policy.row.clone();
    let principal = act.scope.principal();
    let version = revision::Model {
        app_id: row.app_id,
        revision: row.revision,
        policy_id: row.policy_id,
        change,
        author: Author::from(principal.kind),
        author_hash: revision::author_hash(row.app_id, principal),
        reason: row.reason,
        kind: row.kind,
        name: row.name,
        enabled: row.enabled,
        scope_kind: row.scope_kind,
        tags: row.tags,
        machine_ids: serde_json::to_value(&policy.machine_ids).map_err(Error::internal)?,
        spec: row.spec,
        change_time: act.now,
    };
    store::keep(tx, version).await?;
    feed::append(tx, FEED, row.policy_id.as_bytes().to_vec()).await
}

fn set_machines(policy: &mut Full, machines: &Machines) -> Result<()> {
    policy.row.scope_kind = small(machines.kind)?;
    policy.row.tags = serde_json::to_value(&machines.tags).map_err(Error::internal)?;
    policy.machine_ids.clone_from(&machines.ids);
    Ok(())
}

/// Counts a change against the tenant's limits.
async fn count(tx: &TenantTx, head: &head::Model, policies: i32, bytes: i64) -> StoreResult<()> {
    let (policies, bytes) = (head.policies + policies, head.bytes + bytes);
    // What makes it less is never refused.
    if policies > MAX_POLICIES && policies > head.policies {
        return Err(limit("policies", i64::from(MAX_POLICIES)).into());
    }
    if bytes > MAX_BYTES && bytes > head.bytes {
        return Err(limit("policy_bytes", MAX_BYTES).into());
    }
    store::count(tx, policies, bytes).await
}

fn limit(name: &'static str, value: i64) -> Error {
    Error::new(Reason::LimitReached, "the tenant has as many policies as it may")
        .with("limit", name)
        .with("value", value)
}

fn guard(policy: &Full, etag: &str) -> Result<()> {
    if etag.is_empty() || policy.row.etag() == etag {
        return Ok(());
    }
    Err(Error::new(Reason::EtagMismatch, "the policy was changed meanwhile")
        .resource("policy", policy.row.policy_id.to_string()))
}

fn unknown(policy_id: Uuid) -> Error {
    Error::new(Reason::PolicyUnknown, "there is no such policy").resource("policy", policy_id.to_string())
}

fn name_taken(kind: PolicyKind) -> Error {
    Error::new(Reason::AlreadyExists, "a policy of this kind and name exists already")
        .with("kind", kind.as_str_name())
        .violation("policy.name", "is the name of another policy of this kind")
}

/// Returns the stored number of an enum.
fn small(number: impl Into<i32>) -> Result<i16> {
    i16::try_from(number.into()).map_err(Error::internal)
}
