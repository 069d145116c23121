//! Reads assets page by page, with their machines' columns on every row.

use cwpp_chassis::{Error, Reason, Violations};
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::asset_item::Item;
use cwpp_contracts::inventory::v1::asset_query::Query;
use cwpp_storage::{HasTenant, StoreResult, TenantRead, Tenanted};
use prost::Message;
use prost_types::Timestamp;
use sea_orm::sea_query::{Condition, Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryResult, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::check::timestamp;
use super::class::{Class, Plan, Whose, drive, of_query, within};
use super::sieve::Sieve;
use crate::keyset::{By, Cursor, List, Of};
use crate::machine::query::System;
use crate::{machine, shape};

/// Most machines that a host filter may resolve to.
pub const MOST_HOSTS: usize = 500;

/// Where a page ends, however many rows were asked for: clients take messages of 4 MiB, and no row is larger than this.
pub(super) const MOST_BYTES: usize = 3 << 20;

/// Rows that are held against a sieve at a time.
const SIFTED: u64 = 1000;

const MACHINE: By = By { column: "machine_id", of: Of::Key };
const KEY: By = By { column: "item_key", of: Of::Key };

/// Which machines are asked for.
#[derive(Debug, Clone)]
pub enum Hosts {
    /// All of them.
    All,
    /// Those that meet every condition.
    Of {
        /// Their ids, where ids were given.
        ids: Option<Vec<Uuid>>,
        /// Conditions on the machine that an index answers.
        conditions: Condition,
        /// A tag that they have.
        tag: Option<String>,
        /// An address that they have.
        address: Option<String>,
        /// The operating system.
        system: System,
    },
    /// Those with an operating system: any number. Few are found first, many are looked for among the rows.
    With(System),
}

/// A checked question.
#[derive(Debug)]
pub struct Asked {
    class: &'static dyn Class,
    plan: Plan,
    hosts: Hosts,
    descending: bool,
}

/// Checks class, filters and machines of a question, and the span of time in which the assets were first seen.
pub fn ask(
    query: Option<&Query>,
    hosts: Option<&api::HostFilter>,
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    descending: bool,
    violations: &mut Violations,
) -> Option<Asked> {
    let hosts = ask_hosts(hosts, violations);
    let span = within("first_seen", from, until, violations);
    let Some(query) = query else {
        violations.push("query", "must choose a class");
        return None;
    };
    let class = of_query(query);
    let plan = class.plan(query, violations);
    // The rows of chosen machines are few: they stay in the primary key's order, and the span is looked for there.
    let few = matches!(hosts, Hosts::Of { .. }) && !plan.asked && !descending;
    let mut plan = plan.first_seen(span, !few);
    // Whoever wants the order backwards wants an order.
    plan.asked |= descending;
    Some(Asked { class, plan, hosts, descending })
}

fn ask_hosts(filter: Option<&api::HostFilter>, violations: &mut Violations) -> Hosts {
    let Some(filter) = filter else { return Hosts::All };
    let mut conditions = Condition::all();
    if let Some(by) = &filter.name {
        conditions = conditions.add(drive("name", by, "hosts.name", violations));
    }
    if let Some(by) = &filter.ip_address {
        let mut by = by.clone();
        machine::canonical(&mut by);
        conditions = conditions.add(drive("ip_address", &by, "hosts.ip_address", violations));
    }
    if let Some(by) = &filter.instance_id {
        conditions = conditions.add(drive("instance_id", by, "hosts.instance_id", violations));
    }
    let quuids: Vec<&str> = filter.quuids.iter().map(String::as_str).collect();
    if !quuids.is_empty() {
        let given = quuids.len();
        violations.check(given <= MOST_HOSTS, "hosts.quuids", format!("must be at most {MOST_HOSTS}, are {given}"));
        let few = &quuids[..given.min(MOST_HOSTS)];
        machine::query::check_quuids("hosts.quuids", few, violations);
        conditions = conditions.add(Expr::col("quuid").is_in(shape::filled(few).flatten()));
    }
    let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let tag = present(&filter.tag);
    if let Some(tag) = &tag {
        machine::query::check_tag("hosts.tag", tag, violations);
    }
    let address =
        present(&filter.any_ip_address).map(|text| machine::query::address("hosts.any_ip_address", &text, violations));
    let system = System::read("hosts.", filter.os_type, filter.os_name.as_ref(), violations);
    let given = filter.machine_ids.len();
    violations.check(given <= MOST_HOSTS, "hosts.machine_ids", format!("must be at most {MOST_HOSTS}, are {given}"));
    let ids = filter.machine_ids.iter().take(MOST_HOSTS).enumerate();
    let ids: Vec<Uuid> = ids.filter_map(|(i, id)| violations.uuid(format!("hosts.machine_ids[{i}]"), id)).collect();
    if given == 0 && conditions.is_empty() && tag.is_none() && address.is_none() {
        let is_given = filter.os_type != 0 || filter.os_name.is_some();
        violations.check(is_given, "hosts", "must hold a condition, or be absent");
        return Hosts::With(system);
    }
    Hosts::Of { ids: (given > 0).then_some(ids), conditions, tag, address, system }
}

impl Hosts {
    /// Finds the machines; none where any will do, or where they are so many that they are looked for among the rows. More
    /// than [`MOST_HOSTS`] that names, addresses or ids find are `INVALID_FIELD`.
    pub async fn resolve(&self, read: &TenantRead) -> StoreResult<Option<Vec<Uuid>>> {
        let (select, system) = match self {
            Self::All => return Ok(None),
            Self::Of { ids, conditions, tag, address, system } => {
                use machine::entity::Column::MachineId;
                let mut select = machine::entity::Entity::of(read).filter(conditions.clone());
                if let Some(ids) = ids {
                    select = select.filter(MachineId.is_in(ids.iter().copied()));
                }
                if let Some(tag) = tag {
                    let tagged = machine::tag::Entity::of(read).filter(machine::tag::Column::Tag.eq(tag));
                    let tagged = tagged.select_only().column(machine::tag::Column::MachineId);
                    select = select.filter(MachineId.in_subquery(tagged.into_query()));
                }
                if let Some(address) = address {
                    let with = machine::address::Entity::of(read).filter(machine::address::Column::Address.eq(address));
                    let with = with.select_only().column(machine::address::Column::MachineId);
                    select = select.filter(MachineId.in_subquery(with.into_query()));
                }
                (select, system)
            }
            Self::With(system) => {
                let Some(family) = system.family() else { return Ok(None) };
                (machine::entity::Entity::of(read).filter(machine::entity::Column::OsType.eq(family)), system)
            }
        };
        let mut select = select.limit(MOST_HOSTS as u64 + 1).into_query();
        let columns =
            [machine::entity::Column::MachineId, machine::entity::Column::OsType, machine::entity::Column::OsName];
        select.clear_selects().columns(columns);
        let rows = read.query_all(&select).await?;
        if rows.len() > MOST_HOSTS {
            if matches!(self, Self::With(_)) {
                return Ok(None);
            }
            let error = Error::new(Reason::InvalidField, "the request is invalid");
            return Err(error.violation("hosts", format!("finds more than {MOST_HOSTS} machines; narrow it")).into());
        }
        let mut found = Vec::new();
        for row in rows {
            if system.admits(row.try_get("", "os_type")?, &row.try_get::<String>("", "os_name")?) {
                found.push(row.try_get("", "machine_id")?);
            }
        }
        found.sort_unstable();
        Ok(Some(found))
    }
}

impl Asked {
    /// Spells the list on these machines, or on all.
    pub fn list(&self, whose: &(impl HasTenant + Sync), machines: Option<&[Uuid]>) -> List {
        let Plan { order, asked, range, residual, .. } = &self.plan;
        let residual = match (&self.hosts, machines) {
            (Hosts::With(system), None) => {
                let system = system.spell(&|name| machine::query::column_of(whose, self.class.table(), name));
                Some(residual.clone().unwrap_or_else(Condition::all).add(system))
            }
            _ => residual.clone(),
        };
        let mut rows = self.class.rows(Whose(whose));
        rows.cond_where(range.clone());
        let by = By { column: order.column, of: order.of };
        let on = |ids: &[Uuid]| match ids {
            [one] => Expr::col("machine_id").eq(*one),
            many => Expr::col("machine_id").is_in(many.iter().copied()),
        };
        let list =
            |order, index, residual| List { range: rows.clone(), order, descending: self.descending, index, residual };
        // Whichever road machines with an operating system take, few or many, the order is the same: between two pages they
        // may become many.
        let by_machine = !asked && (machines.is_some() || matches!(self.hosts, Hosts::With(_)));
        match machines {
            None if by_machine => list(vec![MACHINE, KEY], Some("PRIMARY"), residual),
            None => list(vec![by, MACHINE, KEY], Some(order.index), residual),
            // The rows of few machines lie together in the primary key. Those of one machine are at most the class's cap,
            // so they may be sorted; left to choose, MySQL would walk the tenant in the order of another index.
            Some(ids) if by_machine || ids.len() == 1 => {
                let order = if *asked { vec![by, MACHINE, KEY] } else { vec![MACHINE, KEY] };
                let mut list = list(order, Some("PRIMARY"), residual);
                list.range.and_where(on(ids));
                list
            }
            Some(ids) => {
                let residual = residual.unwrap_or_else(Condition::all).add(on(ids));
                list(vec![by, MACHINE, KEY], Some(order.index), Some(residual))
            }
        }
    }

    fn load(&self, rows: Vec<QueryResult>) -> StoreResult<Vec<(QueryResult, Item)>> {
        let load = |row: QueryResult| self.class.load(&row).map(|item| (row, item));
        Ok(rows.into_iter().map(load).collect::<Result<_, _>>()?)
    }

    /// Reads a page of what passes a sieve. It looks at no more rows than a page with residual conditions does.
    async fn sift(
        &self,
        read: &TenantRead,
        list: &List,
        sieve: &Sieve,
        after: Option<&Cursor>,
        size: u64,
    ) -> StoreResult<(Vec<(QueryResult, Item)>, Option<Cursor>)> {
        let edge = list.look(read, after).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let (mut kept, mut cursor) = (Vec::new(), after.cloned());
        loop {
            let (rows, next) = list.until(read, cursor.as_ref(), edge.clone(), SIFTED).await?;
            for (row, item) in self.load(rows)? {
                if sieve.passes(&item) {
                    if let Some((last, _)) = kept.last().filter(|_| kept.len() == size) {
                        let next = list.cursor(last)?;
                        return Ok((kept, Some(next)));
                    }
                    kept.push((row, item));
                }
            }
            if next == edge {
                return Ok((kept, edge));
            }
            cursor = next;
        }
    }

    /// Reads a page, and where to go on.
    pub async fn page(
        &self,
        read: &TenantRead,
        after: Option<&Cursor>,
        size: u64,
    ) -> StoreResult<(Vec<api::Asset>, Option<Cursor>)> {
        let machines = self.hosts.resolve(read).await?;
        if machines.as_ref().is_some_and(Vec::is_empty) {
            return Ok((Vec::new(), None));
        }
        let list = self.list(read, machines.as_deref());
        let (rows, next) = match &self.plan.sieve {
            Some(sieve) => self.sift(read, &list, sieve, after, size).await?,
            None => {
                let (rows, next) = list.page(read, after, size).await?;
                (self.load(rows)?, next)
            }
        };
        let mut ids: Vec<Uuid> = Vec::new();
        for (row, _) in &rows {
            ids.push(row.try_get("", "machine_id")?);
        }
        let places = ids.clone();
        ids.sort_unstable();
        ids.dedup();
        let hosts = machine::store::hosts(read, &ids).await?;
        let (mut assets, mut bytes, mut last) = (Vec::with_capacity(rows.len()), 0, None);
        for ((row, item), machine_id) in rows.into_iter().zip(places) {
            // What a removed machine left is on its way out.
            let Some(host) = hosts.get(&machine_id) else { continue };
            let asset = api::Asset {
                host: Some(host.clone()),
                item: Some(api::AssetItem { item: Some(item) }),
                first_seen_time: Some(timestamp(row.try_get("", "first_seen_at")?)),
                update_time: Some(timestamp(row.try_get("", "updated_at")?)),
                asset_id: row.try_get::<Uuid>("", "item_key")?.to_string(),
            };
            bytes += asset.encoded_len();
            if let Some(last) = last.filter(|_| bytes > MOST_BYTES) {
                return Ok((assets, Some(list.cursor(&last)?)));
            }
            assets.push(asset);
            last = Some(row);
        }
        Ok((assets, next))
    }
}
