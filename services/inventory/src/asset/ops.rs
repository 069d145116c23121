//! What can be done with assets: negotiate and take reports, list, count, export.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use cwpp_access::{Incoming, TenantScope};
use cwpp_chassis::{Clock, Error, Result};
use cwpp_contracts::common::v1::Page as WirePage;
use cwpp_contracts::inventory::v1::{
    AccountChange, Asset, ExportAssetsRequest, HostColumns, ListAccountChangesRequest, ListAssetsRequest,
    ListTopValuesRequest, ListUnreadClassesRequest, ReportAssetsRequest,
};
use cwpp_storage::page::{self, Binding, Page};
use cwpp_storage::{Db, StoreResult, TenantRead};
use sea_orm::FromQueryResult;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::account_change;
use super::apply::{self, Applied};
use super::budget::Budget;
use super::check::timestamp;
use super::class::{CLASSES, Class};
use super::count::top::{self, Top};
use super::count::{self, Count, Total};
use super::fold;
use super::query::Asked;
use super::receive::{self, Received};
use super::snapshot::{self, Offer, Verdict};
use super::token::Tokens;
use super::unread::{self, Unread};
use crate::keyset::{Cursor, List};
use crate::machine::contact::{Contact, Contacts};
use crate::machine::ops::{machine_unknown, not_the_machine};
use crate::machine::skew::Skew;
use crate::machine::store;
use crate::policy::collection::{self, Settings};

const LIST: &str = "/cwpp.inventory.v1.AssetService/ListAssets";
const EXPORT: &str = "/cwpp.inventory.v1.AssetService/ExportAssets";
const UNREAD: &str = "/cwpp.inventory.v1.AssetService/ListUnreadClasses";
const TOP: &str = "/cwpp.inventory.v1.AssetService/ListTopValues";
const CHANGES: &str = "/cwpp.inventory.v1.AssetService/ListAccountChanges";

/// The assets of all tenants.
#[derive(Debug, Clone)]
pub struct Assets {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) contacts: Contacts,
    pub(crate) tokens: Tokens,
    pub(crate) budget: Budget,
    pub(crate) token_life: Duration,
    pub(crate) idle: Duration,
    pub(crate) shutdown: CancellationToken,
}

/// What a negotiation is answered.
#[derive(Debug)]
pub struct Negotiated {
    /// The token for the report.
    pub token: String,
    /// For each offered class what to do with it.
    pub verdicts: Vec<Verdict>,
    /// How far the host's clock is off.
    pub skew: Skew,
}

/// What was done with a class of a report.
#[derive(Debug)]
pub struct Outcome {
    /// Number of the class in the contract.
    pub class: i32,
    /// What was written.
    pub applied: Applied,
    /// Whether the host has more items than it sent.
    pub truncated: bool,
    /// Texts that were cut.
    pub clipped: u32,
}

/// What the tokens of an export are bound to.
#[derive(Debug)]
pub struct Export {
    binding: Binding,
}

/// The count of a class.
#[derive(Debug)]
pub struct ClassCount {
    /// Number of the class in the contract.
    pub class: i32,
    /// Items and machines.
    pub count: Count,
    /// Items that were first seen today (UTC).
    pub new_today: i64,
    /// When it was applied last, for one machine.
    pub applied_at: Option<DateTime<Utc>>,
    /// Whether the machine has more items than it sent.
    pub truncated: bool,
    /// Whether the class is switched off on the machine.
    pub disabled: bool,
    /// What the machine could not read of it.
    pub unread: Option<unread::Model>,
}

impl Assets {
    /// Says which classes of a machine have to be sent, and makes the token for the report.
    pub async fn negotiate(
        &self,
        scope: &TenantScope,
        machine_id: Uuid,
        nonce: Vec<u8>,
        observed: Option<DateTime<Utc>>,
        (classes, unread): (Vec<Offer>, Vec<Unread>),
    ) -> Result<Negotiated> {
        let contact = Contact { machine_id, nonce, observed, load: None, classes, unread };
        let answers = self.contacts.take(scope, vec![contact]).await?;
        let answer = answers.into_iter().next().filter(|a| a.known).ok_or_else(|| machine_unknown(machine_id))?;
        not_the_machine(answer.standing, machine_id)?;
        let token = self.tokens.make(scope.app_id(), machine_id, answer.at);
        Ok(Negotiated { token, verdicts: answer.verdicts, skew: answer.skew })
    }

    /// Receives a report whole and applies it; returns what was done, and the machine's name.
    pub async fn report(
        &self,
        scope: &TenantScope,
        mut requests: Incoming<ReportAssetsRequest>,
    ) -> Result<(Vec<Outcome>, String)> {
        let Received { report, places, machine_name, .. } = &receive::receive(self, scope, &mut requests).await?;
        let now = self.clock.now();
        let applied = apply::apply(&self.db, scope, report, self.token_life, now).await?;
        let outcome = |place: &usize| {
            let class = report.classes.get(*place)?;
            Some(Outcome {
                class: class.batch.class.class() as i32,
                applied: applied.get(*place).copied()?,
                truncated: class.found > 0,
                clipped: class.batch.clipped,
            })
        };
        let outcomes = places.iter().filter_map(outcome).collect();
        Ok((outcomes, machine_name.clone()))
    }

    /// Returns the name of a machine and what is collected on it; `MACHINE_UNKNOWN` where there is none.
    pub(super) async fn reporter(&self, scope: &TenantScope, id: Uuid) -> Result<(String, Settings)> {
        self.db
            .read(scope, |read| async move {
                let machine = store::get(&read, id).await?.ok_or_else(|| machine_unknown(id))?;
                let settings = collection::settings(&read, &[id]).await?.remove(&id);
                Ok((machine.name, settings.unwrap_or_default()))
            })
            .await
    }

    /// Lists assets page by page.
    pub async fn list(
        &self,
        scope: &TenantScope,
        request: &ListAssetsRequest,
        page: Option<&WirePage>,
        asked: &Asked,
    ) -> Result<(Vec<Asset>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), LIST, request);
        let page: Page<Cursor> = Page::read(self.db.keys(), page, &binding, now)?;
        let (assets, next) = self.page(scope, asked, page.after.as_ref(), page.size).await?;
        let token = page::next(self.db.keys(), next.as_ref(), &binding, now)?;
        Ok((assets, token))
    }

    /// Reads one page of a list or of an export.
    pub async fn page(
        &self,
        scope: &TenantScope,
        asked: &Asked,
        after: Option<&Cursor>,
        size: u64,
    ) -> Result<(Vec<Asset>, Option<Cursor>)> {
        self.db.read(scope, |read| async move { asked.page(&read, after, size).await }).await
    }

    /// Counts items and machines of every class, of a machine or of the tenant.
    pub async fn count(&self, scope: &TenantScope, machine_id: Option<Uuid>) -> Result<Vec<ClassCount>> {
        let today = count::day(self.clock.now());
        let Some(machine_id) = machine_id else {
            let counts = self.db.read(scope, |read| async move { count::read(&read, today).await }).await?;
            let of = |class: i32| counts.get(&(class as i16)).copied().unwrap_or_default();
            let all = CLASSES.iter().map(|c| c.class() as i32);
            let one = |class| {
                let Total { count, new } = of(class);
                let (applied_at, unread) = (None, None);
                ClassCount { class, count, new_today: new, applied_at, truncated: false, disabled: false, unread }
            };
            return Ok(all.map(one).collect());
        };
        let (snapshots, settings, unread) = self
            .db
            .read(scope, |read| async move {
                store::get(&read, machine_id).await?.ok_or_else(|| machine_unknown(machine_id))?;
                let settings = collection::settings(&read, &[machine_id]).await?.remove(&machine_id);
                let unread = unread::of_machines(&read, &[machine_id]).await?.remove(&machine_id);
                let snapshots = snapshot::of_machine(&read, machine_id).await?;
                Ok((snapshots, settings.unwrap_or_default(), unread.unwrap_or_default()))
            })
            .await?;
        let by_class: BTreeMap<i32, _> = snapshots.into_iter().map(|s| (i32::from(s.asset_class), s)).collect();
        let one = |class: i32| {
            let snapshot = by_class.get(&class);
            let count = snapshot.map_or_else(Count::default, |s| Count { items: s.items, machines: 1 });
            let applied_at = snapshot.map(|s| s.applied_at);
            let (new_today, truncated) =
                (snapshot.map_or(0, |s| s.new_on(today)), snapshot.is_some_and(|s| s.found > 0));
            let disabled = settings.class(class as i16).off;
            let unread = unread.iter().find(|row| i32::from(row.asset_class) == class).cloned();
            ClassCount { class, count, new_today, applied_at, truncated, disabled, unread }
        };
        Ok(CLASSES.iter().map(|c| one(c.class() as i32)).collect())
    }

    /// Lists what machines could not read, page by page: of one class, or of all.
    pub async fn unread(
        &self,
        scope: &TenantScope,
        request: &ListUnreadClassesRequest,
        page: Option<&WirePage>,
        class: Option<i16>,
    ) -> Result<(Vec<(HostColumns, unread::Model)>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), UNREAD, request);
        let page: Page<Cursor> = Page::read(self.db.keys(), page, &binding, now)?;
        let page = &page;
        let read = |read| async move {
            with_hosts(&read, &unread::list(&read, class), page, |row: &unread::Model| row.machine_id).await
        };
        let (rows, hosts, next) = self.db.read(scope, read).await?;
        let token = page::next(self.db.keys(), next.as_ref(), &binding, now)?;
        // What a removed machine left is on its way out.
        let with_host = |row: unread::Model| Some((hosts.get(&row.machine_id)?.clone(), row));
        Ok((rows.into_iter().filter_map(with_host).collect(), token))
    }

    /// Reads where an export begins: behind the part whose token the request has.
    pub fn export_place(&self, scope: &TenantScope, request: &ExportAssetsRequest) -> Result<(Export, Option<Cursor>)> {
        let mut request = request.clone();
        let page_token = std::mem::take(&mut request.page_token);
        let export = Export { binding: Binding::new(scope.app_id(), EXPORT, &request) };
        let page = WirePage { page_size: 0, page_token };
        let page: Page<Cursor> = Page::read(self.db.keys(), Some(&page), &export.binding, self.clock.now())?;
        Ok((export, page.after))
    }

    /// Makes the token by which an export goes on behind a part; empty behind the last.
    pub fn export_token(&self, export: &Export, next: Option<&Cursor>) -> Result<String> {
        page::next(self.db.keys(), next, &export.binding, self.clock.now())
    }

    /// Lists the values of a class with the machines and items that have them, page by page.
    pub async fn top_values(
        &self,
        scope: &TenantScope,
        request: &ListTopValuesRequest,
        page: Option<&WirePage>,
        top: &Top,
    ) -> Result<(Vec<(count::Value, Count)>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), TOP, request);
        let page: Page<top::Place> = Page::read(self.db.keys(), page, &binding, now)?;
        if self.db.read(scope, |read| async move { top.is_crowded(&read).await }).await? {
            metrics::counter!("inventory_count_reads_folded_total").increment(1);
            fold::all(&self.db, scope, top.class).await?;
        }
        let (after, size) = (page.after.as_ref(), usize::try_from(page.size).unwrap_or(usize::MAX));
        let read = self.db.read_at_once(scope, |read| async move { top.page(&read, after, size).await });
        let (values, next) = read.await?;
        let token = page::next(self.db.keys(), next.as_ref(), &binding, now)?;
        Ok((values, token))
    }

    /// Lists changes of accounts, newest first, page by page.
    pub async fn account_changes(
        &self,
        scope: &TenantScope,
        request: &ListAccountChangesRequest,
        page: Option<&WirePage>,
        asked: &account_change::Asked,
    ) -> Result<(Vec<AccountChange>, String)> {
        let now = self.clock.now();
        let binding = Binding::new(scope.app_id(), CHANGES, request);
        let page: Page<Cursor> = Page::read(self.db.keys(), page, &binding, now)?;
        let page = &page;
        let read = |read| async move {
            with_hosts(&read, &asked.list(&read), page, |row: &account_change::Model| row.machine_id).await
        };
        let (rows, hosts, next) = self.db.read(scope, read).await?;
        let token = page::next(self.db.keys(), next.as_ref(), &binding, now)?;
        let change = |row: account_change::Model| {
            Ok(AccountChange {
                host: hosts.get(&row.machine_id).cloned(),
                account_name: row.name,
                kind: row.kind.into(),
                changed_fields: serde_json::from_value(row.fields).map_err(Error::internal)?,
                change_time: Some(timestamp(row.changed_at)),
            })
        };
        // What a removed machine left is on its way out.
        let rows = rows.into_iter().filter(|row| hosts.contains_key(&row.machine_id));
        Ok((rows.map(change).collect::<Result<_>>()?, token))
    }

    /// Counts the assets of classes anew; returns what differs by class, and mends it where that is asked for.
    pub async fn check_counts(
        &self,
        scope: &TenantScope,
        classes: &[&'static dyn Class],
        repair: bool,
    ) -> Result<Vec<(i32, count::check::Found)>> {
        let mut differing = Vec::new();
        for class in classes.iter().copied() {
            let found = count::check::check(&self.db, scope, class).await?;
            if found.is_nothing() {
                continue;
            }
            let number = class.class() as i32;
            tracing::warn!(class = class.name(), repair, "counts of assets differ from their rows");
            if repair {
                count::check::repair(&self.db, scope, class, &found).await?;
            }
            differing.push((number, found));
        }
        Ok(differing)
    }
}

/// Reads a page of rows that are about machines, the columns of those machines, and where to go on.
async fn with_hosts<M: FromQueryResult>(
    read: &TenantRead,
    list: &List,
    page: &Page<Cursor>,
    machine_id: impl Fn(&M) -> Uuid,
) -> StoreResult<(Vec<M>, HashMap<Uuid, HostColumns>, Option<Cursor>)> {
    let (rows, next) = list.page(read, page.after.as_ref(), page.size).await?;
    let rows = rows.iter().map(|row| M::from_query_result(row, "")).collect::<std::result::Result<Vec<M>, _>>()?;
    let mut ids: Vec<Uuid> = rows.iter().map(machine_id).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok((rows, store::hosts(read, &ids).await?, next))
}
