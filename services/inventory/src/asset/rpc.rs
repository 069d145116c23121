//! Assets on the wire: validates, translates.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use cwpp_access::ops::AssetServiceOps;
use cwpp_access::{Incoming, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Error, Reason, Result, Violations};
use cwpp_contracts::common::v1::Page;
use cwpp_contracts::common::v1::string_match::How;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::count_difference::Of;
use futures::StreamExt;
use futures::stream::try_unfold;

use super::account_change;
use super::check::{instant, timestamp};
use super::class::{CLASSES, Class, by_number};
use super::count::check::Found;
use super::count::top::{Filter, Top};
use super::count::{self, Change, Count};
use super::deletion;
use super::ops::{Assets, ClassCount, Outcome};
use super::query;
use super::receive::{at_most_all, check_classes};
use super::snapshot::{Offer, Verdict};
use super::unread::{self, Unread};
use super::watch;
use crate::bulk;
use crate::keyset::Cursor;
use crate::machine::skew::duration;
use crate::machine::{self, bytes};

/// Most differences that a check of the counts answers.
const DIFFERENCES: usize = 1000;
/// Rows of one message of an export.
const EXPORTED: u64 = 1000;

#[async_trait]
impl AssetServiceOps for Assets {
    async fn negotiate_report(
        &self,
        scope: TenantScope,
        request: api::NegotiateReportRequest,
    ) -> Result<api::NegotiateReportResponse> {
        let mut violations = Violations::new();
        let machine_id = violations.uuid("machine_id", &request.machine_id);
        bytes("instance_nonce", &request.instance_nonce, 16, &mut violations);
        if !request.classes.is_empty() || request.unread.is_empty() {
            check_classes("classes", &request.classes, false, &mut violations);
        }
        check_unread(&request.unread, &mut violations);
        let observed = instant(request.observed_time);
        let told = request.observed_time.is_none() || observed.is_some();
        violations.check(told, "observed_time", "must be a time between the years 1000 and 9999");
        violations.finish()?;
        let numbers: Vec<i32> = request.classes.iter().map(|c| c.asset_class).collect();
        let offers =
            request.classes.into_iter().map(|c| Offer { class: c.asset_class as i16, digest: c.digest }).collect();
        let unread = request.unread.into_iter();
        let few = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let said = |u: api::UnreadClass| Unread {
            class: u.asset_class as i16,
            reason: u.reason,
            left_out: few(u.left_out),
            cut: few(u.cut),
        };
        let unread = unread.map(said).collect();
        let (machine_id, nonce) = (machine_id.unwrap_or_default(), request.instance_nonce);
        let negotiated = self.negotiate(&scope, machine_id, nonce, observed, (offers, unread)).await?;
        let decision = |(asset_class, verdict): (i32, Verdict)| api::ClassDecision {
            asset_class,
            decision: verdict.decision.into(),
            interval: verdict.interval,
        };
        Ok(api::NegotiateReportResponse {
            report_token: negotiated.token,
            decisions: numbers.into_iter().zip(negotiated.verdicts).map(decision).collect(),
            clock_skew: Some(duration(negotiated.skew.micros)),
            clock_clamped: negotiated.skew.clamped,
        })
    }

    async fn report_assets(
        &self,
        scope: TenantScope,
        requests: Incoming<api::ReportAssetsRequest>,
    ) -> Result<api::ReportAssetsResponse> {
        let (outcomes, machine_name) = self.report(&scope, requests).await?;
        let result = |o: Outcome| api::ClassResult {
            asset_class: o.class,
            added: o.applied.added,
            changed: o.applied.changed,
            removed: o.applied.removed,
            unchanged: o.applied.unchanged,
            truncated: o.truncated,
            clipped: o.clipped,
        };
        Ok(api::ReportAssetsResponse { results: outcomes.into_iter().map(result).collect(), machine_name })
    }

    async fn list_assets(
        &self,
        scope: TenantScope,
        mut request: api::ListAssetsRequest,
    ) -> Result<api::ListAssetsResponse> {
        let page = request.page.take();
        let mut violations = Violations::new();
        let query = request.query.as_ref().and_then(|q| q.query.as_ref());
        let first_seen = (request.first_seen_from, request.first_seen_until);
        let asked = query::ask(query, request.hosts.as_ref(), first_seen, request.descending, &mut violations);
        bulk::check_page(page.as_ref(), &mut violations);
        violations.finish()?;
        let Some(asked) = asked else { return Ok(api::ListAssetsResponse::default()) };
        let (assets, next_page_token) = self.list(&scope, &request, page.as_ref(), &asked).await?;
        Ok(api::ListAssetsResponse { assets, next_page_token })
    }

    async fn list_asset_counts(
        &self,
        scope: TenantScope,
        request: api::ListAssetCountsRequest,
    ) -> Result<api::ListAssetCountsResponse> {
        let mut violations = Violations::new();
        let machine_id = match request.machine_id.as_str() {
            "" => None,
            text => violations.uuid("machine_id", text),
        };
        violations.finish()?;
        let count = |c: ClassCount| api::ClassCount {
            asset_class: c.class,
            items: c.count.items.unsigned_abs(),
            machines: c.count.machines.unsigned_abs(),
            new_today: c.new_today.unsigned_abs(),
            applied_time: c.applied_at.map(timestamp),
            truncated: c.truncated,
            disabled: c.disabled,
            left_out: c.unread.as_ref().map_or(0, |u| u.left_out.into()),
            cut: c.unread.as_ref().map_or(0, |u| u.cut.into()),
            unread_since_time: c.unread.as_ref().map(|u| timestamp(u.since)),
            unread_reason: c.unread.map(|u| u.reason).unwrap_or_default(),
        };
        let counts = self.count(&scope, machine_id).await?;
        Ok(api::ListAssetCountsResponse { counts: counts.into_iter().map(count).collect() })
    }

    async fn list_unread_classes(
        &self,
        scope: TenantScope,
        mut request: api::ListUnreadClassesRequest,
    ) -> Result<api::ListUnreadClassesResponse> {
        let mut violations = Violations::new();
        let (page, number) = (request.page.take(), request.asset_class);
        let known = number == 0 || by_number(number).is_some();
        violations.check(known, "asset_class", "must be a class of this service, or absent");
        bulk::check_page(page.as_ref(), &mut violations);
        violations.finish()?;
        let class = (number != 0).then_some(number as i16);
        let (rows, next_page_token) = self.unread(&scope, &request, page.as_ref(), class).await?;
        let unread = |(host, row): (api::HostColumns, unread::Model)| api::UnreadOnMachine {
            host: Some(host),
            unread: Some(api::UnreadClass {
                asset_class: row.asset_class.into(),
                reason: row.reason,
                left_out: row.left_out.into(),
                cut: row.cut.into(),
            }),
            since_time: Some(timestamp(row.since)),
        };
        Ok(api::ListUnreadClassesResponse { unread: rows.into_iter().map(unread).collect(), next_page_token })
    }

    async fn list_top_values(
        &self,
        scope: TenantScope,
        mut request: api::ListTopValuesRequest,
    ) -> Result<api::ListTopValuesResponse> {
        let page = request.page.take();
        let top = ask_top(&request, page.as_ref())?;
        let (values, next_page_token) = self.top_values(&scope, &request, page.as_ref(), &top).await?;
        let value = |(value, count): (count::Value, Count)| api::TopValue {
            value: value.to_string(),
            machines: count.machines.unsigned_abs(),
            items: count.items.unsigned_abs(),
        };
        Ok(api::ListTopValuesResponse { values: values.into_iter().map(value).collect(), next_page_token })
    }

    async fn check_asset_counts(
        &self,
        scope: TenantScope,
        request: api::CheckAssetCountsRequest,
    ) -> Result<api::CheckAssetCountsResponse> {
        let mut violations = Violations::new();
        let class = by_number(request.asset_class);
        let known = request.asset_class == 0 || class.is_some();
        violations.check(known, "asset_class", "must be a class of this service, or absent");
        violations.finish()?;
        let classes = class.map_or_else(|| CLASSES.to_vec(), |class| vec![class]);
        let found = self.check_counts(&scope, &classes, request.repair).await?;
        let mut differences: Vec<_> = found.iter().flat_map(|(class, found)| differences(*class, found)).collect();
        let total = differences.len() as u64;
        differences.truncate(DIFFERENCES);
        Ok(api::CheckAssetCountsResponse { differences, total, repaired: request.repair && total > 0 })
    }

    async fn delete_assets(
        &self,
        scope: TenantScope,
        request: api::DeleteAssetsRequest,
    ) -> Result<api::DeleteAssetsResponse> {
        let (class, names) = ask_deletion(&request)?;
        let deleted = match request.switched_off {
            true => deletion::switched_off(&self.db, &scope, class, request.validate_only).await?,
            false => deletion::chosen(&self.db, &scope, class, &names, request.validate_only).await?,
        };
        let done = names.iter().map(|name| match deleted.chosen.contains(name) {
            true => Ok(()),
            false => Err(Error::new(Reason::AssetUnknown, "the machine has no such asset of the class")),
        });
        let ids = names.iter().map(|(machine_id, asset_id)| format!("{machine_id}/{asset_id}"));
        Ok(api::DeleteAssetsResponse {
            results: bulk::results(ids, done.collect()),
            assets: deleted.assets,
            machines: deleted.machines,
            more: deleted.more,
        })
    }

    async fn list_account_changes(
        &self,
        scope: TenantScope,
        mut request: api::ListAccountChangesRequest,
    ) -> Result<api::ListAccountChangesResponse> {
        let page = request.page.take();
        let asked = ask_changes(&request, page.as_ref())?;
        let (changes, next_page_token) = self.account_changes(&scope, &request, page.as_ref(), &asked).await?;
        Ok(api::ListAccountChangesResponse { changes, next_page_token })
    }

    async fn export_assets(
        &self,
        scope: TenantScope,
        request: api::ExportAssetsRequest,
    ) -> Result<Outgoing<api::ExportAssetsResponse>> {
        let mut violations = Violations::new();
        let query = request.query.as_ref().and_then(|q| q.query.as_ref());
        let first_seen = (request.first_seen_from, request.first_seen_until);
        let asked = query::ask(query, request.hosts.as_ref(), first_seen, request.descending, &mut violations);
        violations.finish()?;
        let Some(asked) = asked.map(Arc::new) else { return Ok(futures::stream::empty().boxed()) };
        // The first page is read before the stream begins, so that a refusal is the answer of the call.
        let (export, after) = self.export_place(&scope, &request)?;
        let first = self.page(&scope, &asked, after.as_ref(), EXPORTED).await?;
        let start = (self.clone(), scope, asked, export, Next::Read(first));
        let pages = try_unfold(start, |(assets, scope, asked, export, next)| async move {
            let (rows, cursor) = match next {
                Next::Read(page) => page,
                Next::Behind(cursor) => assets.page(&scope, &asked, Some(&cursor), EXPORTED).await?,
                Next::Nothing => return Ok(None),
            };
            let next_page_token = assets.export_token(&export, cursor.as_ref())?;
            let next = cursor.map_or(Next::Nothing, Next::Behind);
            Ok(Some((
                api::ExportAssetsResponse { assets: rows, next_page_token },
                (assets, scope, asked, export, next),
            )))
        });
        Ok(pages.boxed())
    }

    async fn watch_machines(
        &self,
        scope: SystemScope,
        request: api::WatchMachinesRequest,
    ) -> Result<Outgoing<api::WatchMachinesResponse>> {
        let (db, clock) = (self.db.clone(), self.clock.clone());
        machine::watch::open(db, clock, scope, &request.cursor, self.shutdown.clone()).await
    }

    async fn watch_packages(
        &self,
        scope: SystemScope,
        request: api::WatchPackagesRequest,
    ) -> Result<Outgoing<api::WatchPackagesResponse>> {
        watch::open(self.db.clone(), scope, &request.cursor, self.shutdown.clone()).await
    }
}

/// How an export goes on. A part is sent before the next is read, which may fail.
enum Next {
    /// By a part that is read already.
    Read((Vec<api::Asset>, Option<Cursor>)),
    /// By the part behind this place.
    Behind(Cursor),
    /// It does not.
    Nothing,
}

/// Translates what differs in a class.
fn differences(asset_class: i32, found: &Found) -> Vec<api::CountDifference> {
    let one = |of: Of, items: i64, machines: i64| api::CountDifference { asset_class, of: Some(of), items, machines };
    let Change { total, days, values } = &found.tenant;
    let mut all = Vec::new();
    if *total != Count::default() {
        all.push(one(Of::Whole(api::CountedClass {}), total.items, total.machines));
    }
    let date = |day: i32| DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default();
    all.extend(days.iter().map(|(day, items)| one(Of::Day(date(*day).format("%F").to_string()), *items, 0)));
    all.extend(values.iter().map(|(value, count)| one(Of::Value(value.to_string()), count.items, count.machines)));
    all.extend(found.machines.iter().map(|(id, items)| one(Of::MachineId(id.to_string()), *items, 0)));
    all
}

/// Checks the classes that a host could not read.
fn check_unread(unread: &[api::UnreadClass], violations: &mut Violations) {
    if !at_most_all("unread", unread.len(), violations) {
        return;
    }
    for (i, class) in unread.iter().enumerate() {
        let at = |name: &str| format!("unread[{i}].{name}");
        violations.check(by_number(class.asset_class).is_some(), at("asset_class"), "must be a class of this service");
        let first = unread.iter().position(|c| c.asset_class == class.asset_class);
        violations.check(first == Some(i), at("asset_class"), "is named before");
        violations.characters(at("reason"), &class.reason, 1, 255);
    }
}

/// Checks a question for values.
fn ask_top(request: &api::ListTopValuesRequest, page: Option<&Page>) -> Result<Top> {
    let mut violations = Violations::new();
    let class = by_number(request.asset_class);
    violations.check(class.is_some(), "asset_class", "must be a class of this service");
    let filter = match request.value.as_ref().map(|by| by.how.as_ref()) {
        None => Filter::All,
        Some(Some(How::Exact(text))) => Filter::Exact(sought("value.exact", text, 0, &mut violations)),
        Some(Some(How::Prefix(text))) => Filter::Prefix(sought("value.prefix", text, 1, &mut violations)),
        Some(Some(How::Contains(text))) => Filter::Contains(sought("value.contains", text, 3, &mut violations)),
        Some(None) => {
            violations.push("value", "exactly one way of comparing must be set");
            Filter::All
        }
    };
    let order = api::ValueOrder::try_from(request.order);
    violations.check(order.is_ok(), "order", format!("{} is no value of this enum", request.order));
    bulk::check_page(page, &mut violations);
    violations.finish()?;
    // A single value is found in its own order.
    let by_machines = order != Ok(api::ValueOrder::Value) && !matches!(filter, Filter::Exact(_));
    Ok(Top { class: class.map_or(0, |c| c.class() as i16), filter, by_machines })
}

fn sought(field: &str, text: &str, least: usize, violations: &mut Violations) -> String {
    violations.characters(field, text, least, 255);
    text.to_owned()
}

/// Reads which assets of which class are to be deleted, each with its machine; none where it is a whole class.
fn ask_deletion(request: &api::DeleteAssetsRequest) -> Result<(&'static dyn Class, Vec<deletion::Name>)> {
    let mut violations = Violations::new();
    let class = by_number(request.asset_class);
    violations.check(class.is_some(), "asset_class", "must be a class of this service");
    match request.switched_off {
        true => {
            violations.check(request.assets.is_empty(), "assets", "must be empty where switched_off is set");
        }
        false => bulk::check("assets", request.assets.len(), &mut violations),
    }
    let mut names = Vec::new();
    for (i, asset) in request.assets.iter().take(bulk::MOST_AT_ONCE).enumerate() {
        let machine_id = violations.uuid(format!("assets[{i}].machine_id"), &asset.machine_id);
        let asset_id = violations.uuid(format!("assets[{i}].asset_id"), &asset.asset_id);
        names.push((machine_id.unwrap_or_default(), asset_id.unwrap_or_default()));
    }
    violations.finish()?;
    bulk::unique(names.iter().copied(), |i| format!("assets[{i}]"))?;
    let class = class.ok_or_else(|| Error::internal(anyhow::anyhow!("an unchecked class")))?;
    Ok((class, names))
}

/// Checks a question for changes of accounts.
fn ask_changes(request: &api::ListAccountChangesRequest, page: Option<&Page>) -> Result<account_change::Asked> {
    let mut violations = Violations::new();
    let machine_id = match request.machine_id.as_str() {
        "" => None,
        text => violations.uuid("machine_id", text),
    };
    let name = (!request.account_name.is_empty()).then(|| request.account_name.clone());
    let bytes = request.account_name.len();
    violations.check(bytes <= 255, "account_name", format!("must have at most 255 bytes, has {bytes}"));
    let mut time = |field: &str, wire: Option<prost_types::Timestamp>| {
        let at = instant(wire);
        violations.check(wire.is_none() || at.is_some(), field, "must be a time between the years 1000 and 9999");
        at
    };
    let (begin, end) = (time("begin_time", request.begin_time), time("end_time", request.end_time));
    let ordered = begin.zip(end).is_none_or(|(begin, end)| begin < end);
    violations.check(ordered, "end_time", "must be after begin_time");
    let kind = api::AccountChangeKind::try_from(request.kind);
    violations.check(kind.is_ok(), "kind", format!("{} is no value of this enum", request.kind));
    bulk::check_page(page, &mut violations);
    violations.finish()?;
    let kind = kind.ok().filter(|kind| *kind != api::AccountChangeKind::Unspecified);
    Ok(account_change::Asked { machine_id, name, begin, end, kind })
}
