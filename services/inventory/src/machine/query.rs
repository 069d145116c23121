//! Lists of machines: one driving filter or none, an order, and conditions that are looked for among their rows.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::{StringMatch, string_match::How};
use cwpp_contracts::inventory::v1::list_machines_request::Filter;
use cwpp_contracts::inventory::v1::{
    AgentState, InstanceState, ListMachinesRequest, LoadBucket, MachineOrder, MachineType, OsType,
};
use cwpp_storage::{HasTenant, StoreResult, TenantRead, Tenanted};
use sea_orm::sea_query::{Alias, CaseStatement, Condition, Expr, ExprTrait, Func, Query};
use sea_orm::{FromQueryResult, QueryTrait};
use uuid::Uuid;

use super::{address, entity, liveness, store, tag};
use crate::asset::check::instant;
use crate::asset::class::drive;
use crate::keyset::{By, Cursor, List, Of};
use crate::{bulk, shape};

/// How a list of machines is answered.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose rows are read, in which order.
    way: Way,
    /// The driving filter.
    range: Condition,
    /// Whether the order is read backwards.
    descending: bool,
    /// What is looked for among the rows.
    looked_for: LookedFor,
}

#[derive(Debug, Clone)]
struct LookedFor {
    agent: AgentState,
    instance: Option<InstanceState>,
    machine_type: MachineType,
    system: System,
    cloud: [(&'static str, Option<String>); 2],
    created_after: Option<DateTime<Utc>>,
    loads: [(liveness::Column, LoadBucket); 3],
}

/// A way through machines: the rows that are read and their order.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Whose rows are read.
    rows: Rows,
    /// The index that spells the order.
    index: &'static str,
    /// The column of the order, before the machine's id; none where the id alone is the order.
    by: Option<By>,
}

/// The table whose rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// The machines themselves.
    Machines,
    /// Their tags: one row a machine where one tag drives.
    Tags,
    /// Their addresses: one row a machine where one address drives.
    Addresses,
}

impl Rows {
    fn table(self) -> &'static str {
        match self {
            Self::Machines => "machine",
            Self::Tags => "machine_tag",
            Self::Addresses => "machine_address",
        }
    }
}

impl Way {
    /// Through machines, by a column.
    const fn by(index: &'static str, column: &'static str, of: Of) -> Self {
        Self { rows: Rows::Machines, index, by: Some(By { column, of }) }
    }

    /// By the machine's id.
    const fn by_id(rows: Rows, index: &'static str) -> Self {
        Self { rows, index, by: None }
    }
}

const CREATED: Way = Way::by("machine_created", "created_at", Of::Moment);
const NAME: Way = Way::by("machine_name", "name", Of::Text);
const IP_ADDRESS: Way = Way::by("machine_ip_address", "ip_address", Of::Text);
const INSTANCE_ID: Way = Way::by("machine_instance_id", "instance_id", Of::Text);
const QUUID: Way = Way::by("machine_quuid", "quuid", Of::Text);
const ID: Way = Way::by_id(Rows::Machines, "PRIMARY");
const TAG: Way = Way::by_id(Rows::Tags, "machine_tag_tag");
const ANY_IP_ADDRESS: Way = Way::by_id(Rows::Addresses, "machine_address_address");

/// Chooses driving filter, order and residual conditions; says what is wrong with them.
pub fn plan(request: &ListMachinesRequest, violations: &mut Violations) -> Plan {
    let order = MachineOrder::try_from(request.order);
    violations.check(order.is_ok(), "order", format!("{} is no value of this enum", request.order));
    let all = |condition: Expr| Condition::all().add(condition);
    let (way, own, range) = match &request.filter {
        Some(Filter::Name(by)) => (NAME, Some(MachineOrder::Name), drive("name", by, "name", violations)),
        Some(Filter::IpAddress(by)) => (IP_ADDRESS, None, drive("ip_address", by, "ip_address", violations)),
        Some(Filter::InstanceId(by)) => (INSTANCE_ID, None, drive("instance_id", by, "instance_id", violations)),
        Some(Filter::Tag(tag)) => {
            check_tag("tag", tag, violations);
            (TAG, None, all(Expr::col("tag").eq(tag.as_str())))
        }
        Some(Filter::MachineIds(named)) => {
            bulk::check("machine_ids.values", named.values.len(), violations);
            let id = |(i, id): (usize, &String)| violations.uuid(format!("machine_ids.values[{i}]"), id);
            let ids: Vec<Uuid> = named.values.iter().take(bulk::MOST_AT_ONCE).enumerate().filter_map(id).collect();
            (ID, None, all(Expr::col("machine_id").is_in(shape::padded(&ids).flatten())))
        }
        Some(Filter::Quuids(named)) => {
            bulk::check("quuids.values", named.values.len(), violations);
            let ids: Vec<&str> = named.values.iter().take(bulk::MOST_AT_ONCE).map(String::as_str).collect();
            check_quuids("quuids.values", &ids, violations);
            (QUUID, None, all(Expr::col("quuid").is_in(shape::filled(&ids).flatten())))
        }
        Some(Filter::AnyIpAddress(text)) => {
            (ANY_IP_ADDRESS, None, all(Expr::col("address").eq(address("any_ip_address", text, violations))))
        }
        None => (if order == Ok(MachineOrder::Name) { NAME } else { CREATED }, order.ok(), Condition::all()),
    };
    if order.is_ok_and(|order| order != MachineOrder::Unspecified && own != Some(order)) {
        violations.push("order", "must be the order of the filter, or absent");
    }
    Plan { way, range, descending: request.descending, looked_for: look_for(request, violations) }
}

/// Checks the clouds' ids of instances.
pub fn check_quuids(field: &str, quuids: &[&str], violations: &mut Violations) {
    for (i, quuid) in quuids.iter().enumerate() {
        violations.characters(format!("{field}[{i}]"), quuid, 1, 63);
    }
}

/// Reads an address as it is stored, in its one canonical form.
pub fn address(field: &str, text: &str, violations: &mut Violations) -> String {
    let address = text.parse().map(|address: IpAddr| address.to_string());
    violations.check(address.is_ok(), field, "must be an address such as 10.0.0.1 or 2001:db8::1");
    address.unwrap_or_default()
}

/// Which operating systems are asked for.
#[derive(Debug, Clone)]
pub struct System {
    family: OsType,
    name: Option<How>,
}

impl System {
    /// Reads the fields `os_type` and `os_name` of a request; `within` is the path before their names.
    pub fn read(within: &str, os_type: i32, os_name: Option<&StringMatch>, violations: &mut Violations) -> Self {
        if let Some(by) = os_name {
            let text = match &by.how {
                Some(How::Exact(text) | How::Prefix(text) | How::Contains(text)) => text.as_str(),
                None => "",
            };
            let least = if matches!(by.how, Some(How::Exact(_))) { 0 } else { 1 };
            violations.characters(format!("{within}os_name"), text, least, 255);
        }
        let family = known(&format!("{within}os_type"), os_type, violations);
        Self { family, name: os_name.and_then(|by| by.how.clone()) }
    }

    /// Returns the number of the family that is asked for.
    pub fn family(&self) -> Option<i16> {
        (self.family != OsType::Unspecified).then_some(self.family as i16)
    }

    /// Says whether a machine's system is one of these.
    pub fn admits(&self, family: i16, name: &str) -> bool {
        self.family().is_none_or(|wanted| wanted == family)
            && match &self.name {
                None => true,
                Some(How::Exact(text)) => name == text,
                Some(How::Prefix(text)) => name.starts_with(text.as_str()),
                Some(How::Contains(text)) => name.contains(text.as_str()),
            }
    }

    /// Tells whether any will do.
    pub fn is_any(&self) -> bool {
        self.family == OsType::Unspecified && self.name.is_none()
    }

    /// Spells it over the columns of a machine, and leaves the choice of an index to other conditions.
    pub fn spell(&self, own: &dyn Fn(&'static str) -> Expr) -> Condition {
        let mut all = Condition::all();
        if self.family != OsType::Unspecified {
            all = all.add(hidden(own("os_type"), Expr::val(0)).eq(self.family as i16));
        }
        match &self.name {
            None => all,
            Some(How::Exact(text)) => all.add(own("os_name").eq(text.as_str())),
            Some(How::Prefix(text)) => all.add(place(own("os_name"), text).eq(1)),
            Some(How::Contains(text)) => all.add(place(own("os_name"), text).gte(1)),
        }
    }
}

/// Spells a column of the machine that a row of `table` is about.
pub fn column_of(whose: &impl HasTenant, table: &'static str, name: &'static str) -> Expr {
    other(whose, table, entity::Entity, |column| column(name))
}

fn look_for(request: &ListMachinesRequest, violations: &mut Violations) -> LookedFor {
    let created_after = instant(request.created_after);
    let told = request.created_after.is_none() || created_after.is_some();
    violations.check(told, "created_after", "must be a time between the years 1000 and 9999");
    let cloud = [("provider", request.provider.clone()), ("region", request.region.clone())];
    for (field, text) in &cloud {
        violations.characters(*field, text.as_deref().unwrap_or_default(), 0, 63);
    }
    LookedFor {
        cloud,
        agent: known("agent_state", request.agent_state, violations),
        instance: request.instance_state.map(|state| known("instance_state", state, violations)),
        machine_type: known("machine_type", request.machine_type, violations),
        system: System::read("", request.os_type, request.os_name.as_ref(), violations),
        created_after,
        loads: [
            (liveness::Column::CpuPercent, known("cpu_load", request.cpu_load, violations)),
            (liveness::Column::MemoryPercent, known("memory_load", request.memory_load, violations)),
            (liveness::Column::DiskPercent, known("disk_load", request.disk_load, violations)),
        ],
    }
}

fn known<E: TryFrom<i32> + Default>(field: &str, value: i32, violations: &mut Violations) -> E {
    E::try_from(value).unwrap_or_else(|_| {
        violations.push(field, format!("{value} is no value of this enum"));
        E::default()
    })
}

/// Checks a tag's name.
pub fn check_tag(field: &str, tag: &str, violations: &mut Violations) {
    violations.characters(field, tag, 1, 63);
    let plain = tag.trim() == tag && !tag.chars().any(char::is_control);
    violations.check(plain, field, "must not begin or end with space, nor hold control characters");
}

/// The bounds of a bucket of load in percent: more than the first, at most the second.
pub fn bounds(bucket: LoadBucket) -> Option<(f64, f64)> {
    match bucket {
        LoadBucket::Unspecified | LoadBucket::Unknown => None,
        LoadBucket::UpTo20 => Some((-1.0, 20.0)),
        LoadBucket::UpTo50 => Some((20.0, 50.0)),
        LoadBucket::UpTo80 => Some((50.0, 80.0)),
        LoadBucket::UpTo100 => Some((80.0, 100.0)),
    }
}

/// Spells an expression over the columns of a table, which it is given by their names.
type Spelled<'a> = dyn Fn(&dyn Fn(&'static str) -> Expr) -> Expr + 'a;

/// Spells a column of another table's row of the machine that `outer` is about: as a scalar subquery, which stays behind
/// the ordered index; EXISTS and joins could drive.
fn other<T: sea_orm::EntityTrait>(
    read: &impl HasTenant,
    outer: &'static str,
    table: T,
    what: impl FnOnce(&dyn Fn(&'static str) -> Expr) -> Expr,
) -> Expr {
    let own = Alias::new("own");
    let column = |name: &'static str| Expr::col((Alias::new("own"), Alias::new(name)));
    let select = Query::select()
        .expr(what(&column))
        .from_as(table, own)
        .and_where(column("app_id").eq(read.app_id().get()))
        .and_where(column("machine_id").equals((Alias::new(outer), Alias::new("machine_id"))))
        .to_owned();
    Expr::from(select)
}

impl LookedFor {
    fn spell(&self, read: &impl HasTenant, rows: Rows, since: DateTime<Utc>) -> Option<Condition> {
        let outer = rows.table();
        let own = |name: &'static str| match rows {
            Rows::Machines => Expr::col((Alias::new(outer), Alias::new(name))),
            Rows::Tags | Rows::Addresses => column_of(read, outer, name),
        };
        let live = |what: &Spelled<'_>| other(read, outer, liveness::Entity, what);
        let seen = || {
            let never: Expr = Expr::val(DateTime::<Utc>::UNIX_EPOCH);
            Expr::from(Func::coalesce([live(&|column| column("last_seen_at")), never]))
        };
        let uninstalled = || live(&|column| column("uninstalled_at"));
        let mut all = Condition::all();
        all = match self.agent {
            AgentState::Unspecified => all,
            AgentState::Online => all.add(seen().gte(since)).add(uninstalled().is_null()),
            AgentState::Offline => all.add(seen().lt(since)).add(uninstalled().is_null()),
            AgentState::Uninstalled => all.add(uninstalled().is_not_null()),
        };
        let machine_type = Some(self.machine_type as i16).filter(|number| *number != 0);
        for (name, number) in [("instance_state", self.instance.map(|i| i as i16)), ("machine_type", machine_type)] {
            all = all.add_option(number.map(|number| hidden(own(name), Expr::val(0)).eq(number)));
        }
        if !self.system.is_any() {
            all = all.add(self.system.spell(&own));
        }
        for (name, text) in &self.cloud {
            all = all.add_option(text.as_ref().map(|text| own(name).eq(text.as_str())));
        }
        if let Some(at) = self.created_after {
            all = all.add(hidden(own("created_at"), Expr::val(DateTime::<Utc>::UNIX_EPOCH)).gt(at));
        }
        for (column, bucket) in self.loads {
            if bucket == LoadBucket::Unspecified {
                continue;
            }
            // The load of a machine that is not online is not known.
            let value = live(&|own| {
                let is_online =
                    Condition::all().add(own("last_seen_at").gte(since)).add(own("uninstalled_at").is_null());
                CaseStatement::new().case(is_online, own(name_of(column))).into()
            });
            all = match bounds(bucket) {
                None => all.add(value.is_null()),
                Some((more, most)) => all.add(value.clone().gt(more)).add(value.lte(most)),
            };
        }
        (!all.is_empty()).then_some(all)
    }
}

/// Hides a column from the choice of an index, which the order has made.
fn hidden(column: Expr, otherwise: Expr) -> Expr {
    Expr::from(Func::coalesce([column, otherwise]))
}

/// Returns the name of a column of loads.
pub fn name_of(column: liveness::Column) -> &'static str {
    match column {
        liveness::Column::CpuPercent => "cpu_percent",
        liveness::Column::MemoryPercent => "memory_percent",
        _ => "disk_percent",
    }
}

/// Spells where a text begins in a column, from 1; 0 where it is not there. No character of it is a wildcard.
fn place(column: Expr, text: &str) -> Expr {
    Expr::from(Func::cust(Alias::new("INSTR")).arg(column).arg(text))
}

/// Spells a list of machines; online are those seen since.
pub fn list(read: &impl HasTenant, plan: &Plan, since: DateTime<Utc>) -> List {
    let Way { rows, index, by } = plan.way;
    let mut range = match rows {
        Rows::Machines => entity::Entity::of(read).into_query(),
        Rows::Tags => tag::Entity::of(read).into_query(),
        Rows::Addresses => address::Entity::of(read).into_query(),
    };
    range.cond_where(plan.range.clone());
    let order = by.into_iter().chain([By { column: "machine_id", of: Of::Key }]).collect();
    let residual = plan.looked_for.spell(read, rows, since);
    List { range, order, descending: plan.descending, index: Some(index), residual }
}

/// Reads a page of machines, and where to go on.
pub async fn page(
    read: &TenantRead,
    plan: &Plan,
    since: DateTime<Utc>,
    after: Option<&Cursor>,
    size: u64,
) -> StoreResult<(Vec<entity::Model>, Option<Cursor>)> {
    let (rows, next) = list(read, plan, since).page(read, after, size).await?;
    let mut machines = Vec::with_capacity(rows.len());
    if plan.way.rows != Rows::Machines {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.try_get("", "machine_id")).collect::<Result<_, _>>()?;
        let mut found = store::get_many(read, &ids).await?;
        // One that was removed in between is not there any more.
        machines.extend(ids.iter().filter_map(|id| found.remove(id)));
    } else {
        for row in &rows {
            machines.push(entity::Model::from_query_result(row, "")?);
        }
    }
    Ok((machines, next))
}
