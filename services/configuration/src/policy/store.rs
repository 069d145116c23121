//! The queries on policies, their machines, their versions, and the tenant's counters over them.

use std::collections::BTreeMap;

use cwpp_access::AppId;
use cwpp_contracts::common::v1::MachineScopeKind;
use cwpp_storage::{HasTenant, StoreResult, SystemRead, Tenanted, Writes, page};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    Select, Statement,
};
use uuid::Uuid;

use super::draft::Full;
use super::{entity, head, machine, revision};

/// Policies whose machines one statement reads.
const BATCH: usize = 100;

/// Raises the tenant's revision and returns its counters. The row stays locked until the transaction ends, so that
/// changes of one tenant's policies come one after the other.
pub(crate) async fn advance(tx: &impl Writes) -> StoreResult<head::Model> {
    let first = head::ActiveModel { app_id: Set(tx.app_id().get()), revision: Set(1), policies: Set(0), bytes: Set(0) };
    let mut there = OnConflict::column(head::Column::AppId);
    there.value(head::Column::Revision, Expr::col(head::Column::Revision).add(1));
    head::Entity::insert(first).on_conflict(there).exec_without_returning(tx).await?;
    let row = head::Entity::of(tx).one(tx).await?;
    row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("policy_head".into()).into())
}

/// Stores the counters after a change.
pub(crate) async fn count(tx: &impl Writes, policies: i32, bytes: i64) -> StoreResult<()> {
    head::Entity::update_of(tx)
        .col_expr(head::Column::Policies, Expr::value(policies))
        .col_expr(head::Column::Bytes, Expr::value(bytes))
        .exec(tx)
        .await?;
    Ok(())
}

/// Reads the tenant's revision; 0 where no policy was ever made.
pub(crate) async fn current(tx: &(impl HasTenant + ConnectionTrait)) -> StoreResult<i64> {
    Ok(head::Entity::of(tx).one(tx).await?.map_or(0, |head| head.revision))
}

/// Inserts a policy and its machines.
pub(crate) async fn create(tx: &impl Writes, policy: &Full) -> StoreResult<()> {
    entity::Entity::insert_of(tx, policy.row.clone().into_active_model()).await?;
    add_machines(tx, policy.row.policy_id, &policy.machine_ids).await
}

/// Reads a policy without its machines.
pub(crate) async fn row(
    tx: &(impl HasTenant + ConnectionTrait),
    policy_id: Uuid,
) -> StoreResult<Option<entity::Model>> {
    Ok(entity::Entity::of(tx).filter(entity::Column::PolicyId.eq(policy_id)).one(tx).await?)
}

/// Reads a policy.
pub(crate) async fn get(tx: &(impl HasTenant + ConnectionTrait), policy_id: Uuid) -> StoreResult<Option<Full>> {
    let Some(row) = row(tx, policy_id).await? else { return Ok(None) };
    let mut full = with_machines(tx, vec![row]).await?;
    Ok(full.pop())
}

/// Reads these policies, in no order; those that are gone are left out.
pub(crate) async fn get_all(tx: &(impl HasTenant + ConnectionTrait), policy_ids: &[Uuid]) -> StoreResult<Vec<Full>> {
    let mut rows = Vec::new();
    for batch in policy_ids.chunks(BATCH) {
        rows.extend(
            entity::Entity::of(tx).filter(entity::Column::PolicyId.is_in(batch.iter().copied())).all(tx).await?,
        );
    }
    with_machines(tx, rows).await
}

/// Where a page of the list ended.
pub(crate) type Cursor = (i16, String);

/// The list by kind and name; served by `policy_name` (`app_id`, `kind`, `name`).
pub(crate) fn listed(tenant: &impl HasTenant, kind: Option<i16>, after: Option<&Cursor>) -> Select<entity::Entity> {
    let mut select = entity::Entity::of(tenant);
    if let Some(kind) = kind {
        select = select.filter(entity::Column::Kind.eq(kind));
    }
    if let Some((kind, name)) = after {
        select = select.filter(page::after(&[
            page::asc(entity::Column::Kind, *kind),
            page::asc(entity::Column::Name, name.clone()),
        ]));
    }
    select.order_by_asc(entity::Column::Kind).order_by_asc(entity::Column::Name)
}

/// Reads a page of the list, without machines.
pub(crate) async fn list(
    tx: &(impl HasTenant + ConnectionTrait),
    kind: Option<i16>,
    after: Option<&Cursor>,
    limit: u64,
) -> StoreResult<Vec<entity::Model>> {
    Ok(listed(tx, kind, after).limit(limit).all(tx).await?)
}

/// Reads the enabled policies that cover a machine, by kind and name.
pub(crate) async fn effective(tx: &(impl HasTenant + ConnectionTrait), machine_id: Uuid) -> StoreResult<Vec<Full>> {
    let named: Vec<Uuid> = machine::Entity::of(tx)
        .filter(machine::Column::MachineId.eq(machine_id))
        .all(tx)
        .await?
        .into_iter()
        .map(|row| row.policy_id)
        .collect();
    let rows = listed(tx, None, None).filter(entity::Column::Enabled.eq(true)).all(tx).await?;
    let covering = rows.into_iter().filter(|row| covers(row.scope_kind, named.contains(&row.policy_id))).collect();
    with_machines(tx, covering).await
}

/// Says whether a scope covers a machine that it names, or does not name. Which tags a machine carries is known to
/// inventory alone, so `TAGGED` covers none here.
fn covers(scope_kind: i16, named: bool) -> bool {
    match MachineScopeKind::try_from(i32::from(scope_kind)) {
        Ok(MachineScopeKind::All) => true,
        Ok(MachineScopeKind::Selected) => named,
        Ok(MachineScopeKind::AllExcept) => !named,
        Ok(MachineScopeKind::Tagged | MachineScopeKind::Unspecified) | Err(_) => false,
    }
}

/// Stores a changed policy; `machines` where its machines changed too.
pub(crate) async fn update(tx: &impl Writes, policy: &Full, machines: bool) -> StoreResult<()> {
    let entity::Model {
        app_id: _,
        policy_id,
        kind: _,
        name,
        enabled,
        scope_kind,
        tags,
        spec,
        reason,
        bytes,
        revision,
        version,
        create_time: _,
        update_time,
    } = policy.row.clone();
    use entity::Column as C;
    entity::Entity::update_of(tx)
        .col_expr(C::Name, Expr::value(name))
        .col_expr(C::Enabled, Expr::value(enabled))
        .col_expr(C::ScopeKind, Expr::value(scope_kind))
        .col_expr(C::Tags, Expr::value(tags))
        .col_expr(C::Spec, Expr::value(spec))
        .col_expr(C::Reason, Expr::value(reason))
        .col_expr(C::Bytes, Expr::value(bytes))
        .col_expr(C::Revision, Expr::value(revision))
        .col_expr(C::Version, Expr::value(version))
        .col_expr(C::UpdateTime, Expr::value(update_time))
        .filter(C::PolicyId.eq(policy_id))
        .exec(tx)
        .await?;
    if machines {
        machine::Entity::delete_of(tx).filter(machine::Column::PolicyId.eq(policy_id)).exec(tx).await?;
        add_machines(tx, policy_id, &policy.machine_ids).await?;
    }
    Ok(())
}

/// Deletes a policy and its machines.
pub(crate) async fn delete(tx: &impl Writes, policy_id: Uuid) -> StoreResult<()> {
    machine::Entity::delete_of(tx).filter(machine::Column::PolicyId.eq(policy_id)).exec(tx).await?;
    entity::Entity::delete_of(tx).filter(entity::Column::PolicyId.eq(policy_id)).exec(tx).await?;
    Ok(())
}

/// Keeps a version.
pub(crate) async fn keep(tx: &impl Writes, version: revision::Model) -> StoreResult<()> {
    Ok(revision::Entity::insert_of(tx, version.into_active_model()).await?)
}

async fn add_machines(tx: &impl Writes, policy_id: Uuid, machine_ids: &[Uuid]) -> StoreResult<()> {
    let app_id = tx.app_id().get();
    let rows = machine_ids
        .iter()
        .map(|machine_id| machine::Model { app_id, machine_id: *machine_id, policy_id }.into_active_model())
        .collect();
    Ok(machine::Entity::insert_all_of(tx, rows).await?)
}

/// Adds their machines to policies. Served by `policy_machine_policy` (`app_id`, `policy_id`, `machine_id`).
pub(crate) async fn with_machines(
    tx: &(impl HasTenant + ConnectionTrait),
    rows: Vec<entity::Model>,
) -> StoreResult<Vec<Full>> {
    let naming = |row: &&entity::Model| {
        matches!(
            MachineScopeKind::try_from(i32::from(row.scope_kind)),
            Ok(MachineScopeKind::Selected | MachineScopeKind::AllExcept)
        )
    };
    let naming: Vec<Uuid> = rows.iter().filter(naming).map(|row| row.policy_id).collect();
    let mut machines: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for batch in naming.chunks(BATCH) {
        let found = machine::Entity::of(tx)
            .filter(machine::Column::PolicyId.is_in(batch.iter().copied()))
            .order_by_asc(machine::Column::PolicyId)
            .order_by_asc(machine::Column::MachineId)
            .all(tx)
            .await?;
        for row in found {
            machines.entry(row.policy_id).or_default().push(row.machine_id);
        }
    }
    Ok(rows
        .into_iter()
        .map(|row| Full { machine_ids: machines.remove(&row.policy_id).unwrap_or_default(), row })
        .collect())
}

/// Reads the entries of a sealed tenant's feed, which hold ids only: no guard of the tenant admits a read any more.
pub(crate) async fn entries_of_sealed(tx: &SystemRead, app_id: AppId, feed: &str) -> StoreResult<Vec<Vec<u8>>> {
    let sql = "SELECT body FROM feed WHERE app_id = ? AND feed = ? ORDER BY position";
    let values = [app_id.get().into(), feed.into()];
    let rows = tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Ok(row.try_get("", "body")?)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cwpp_access::{Job, SystemScope};
    use cwpp_storage::{Database, Db, migrate};
    use sea_orm::{DbBackend, QueryTrait};
    use sqlx::{AssertSqlSafe, Connection, Executor};

    use super::*;

    #[test]
    fn a_scope_covers_what_its_kind_says() {
        let of = |kind: MachineScopeKind| {
            let number = i16::try_from(i32::from(kind)).expect("small");
            (covers(number, true), covers(number, false))
        };
        assert_eq!(of(MachineScopeKind::All), (true, true));
        assert_eq!(of(MachineScopeKind::Selected), (true, false));
        assert_eq!(of(MachineScopeKind::AllExcept), (false, true));
        assert_eq!(of(MachineScopeKind::Tagged), (false, false));
    }

    #[tokio::test]
    async fn every_list_reads_an_index_in_its_order() {
        let Ok(url) = std::env::var("CWPP_TEST_MYSQL_URL") else {
            assert_ne!(std::env::var("CWPP_TEST_REQUIRE_MYSQL").as_deref(), Ok("1"), "CWPP_TEST_MYSQL_URL is not set");
            return;
        };
        let name = format!("cwpp_cfg_{}", Uuid::new_v4().simple());
        let mut admin = sqlx::MySqlConnection::connect(&url).await.expect("a server");
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        let config = Database { name: name.clone(), ..Database::at(&url) };
        let registry = Arc::new(crate::registry());
        migrate::up(&config, &registry).await.expect("a schema");
        let db = Db::connect(&config, registry).await.expect("a connection");
        let scope = SystemScope::job(Job::Harness);
        let tenant = scope.tenant(AppId::from_row(7));
        db.open_new(&scope, AppId::from_row(7), Uuid::now_v7(), |tx| async move {
            for n in 0..400 {
                create(&tx, &policy(n)).await?;
            }
            Ok(())
        })
        .await
        .expect("rows");
        admin
            .execute(AssertSqlSafe(format!("ANALYZE TABLE {name}.policy, {name}.policy_machine")))
            .await
            .expect("figures");
        let after = Some((1, "n200".to_owned()));
        let machines = machine::Entity::of(&tenant)
            .filter(machine::Column::PolicyId.is_in([Uuid::from_u128(1), Uuid::from_u128(2)]))
            .order_by_asc(machine::Column::PolicyId)
            .order_by_asc(machine::Column::MachineId);
        let named = machine::Entity::of(&tenant).filter(machine::Column::MachineId.eq(Uuid::from_u128(1)));
        let statements = [
            listed(&tenant, None, None).limit(51).build(DbBackend::MySql),
            listed(&tenant, None, after.as_ref()).limit(51).build(DbBackend::MySql),
            listed(&tenant, Some(1), None).limit(51).build(DbBackend::MySql),
            listed(&tenant, Some(1), after.as_ref()).limit(51).build(DbBackend::MySql),
            machines.build(DbBackend::MySql),
            named.build(DbBackend::MySql),
        ];
        for statement in statements {
            let sql = statement.to_string();
            let explain = format!("EXPLAIN FORMAT=TREE {}", sql.replace("FROM `", &format!("FROM `{name}`.`")));
            let plan: String = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut admin).await.expect("a plan");
            let bad = ["Sort", "Table scan"].iter().any(|word| plan.contains(word));
            assert!(!bad && (plan.contains("policy_machine") || plan.contains("policy_name")), "{sql}\n{plan}");
        }
        db.close().await;
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {name}"))).await.expect("the end");
    }

    fn policy(n: u128) -> Full {
        let now = chrono::DateTime::UNIX_EPOCH;
        let row = entity::Model {
            app_id: 7,
            policy_id: Uuid::from_u128(n),
            kind: 1,
            name: format!("n{n}"),
            enabled: true,
            scope_kind: 2,
            tags: serde_json::json!([]),
            spec: serde_json::json!({}),
            reason: String::new(),
            bytes: 0,
            revision: 1,
            version: 1,
            create_time: now,
            update_time: now,
        };
        Full { row, machine_ids: vec![Uuid::from_u128(1), Uuid::from_u128(2)] }
    }
}
