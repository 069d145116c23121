//! Assets on the wire: validates, translates.

use std::sync::Arc;

use async_trait::async_trait;
use cwpp_access::ops::AssetServiceOps;
use cwpp_access::{Incoming, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::{Result, Violations};
use cwpp_contracts::inventory::v1 as api;
use futures::StreamExt;
use futures::stream::try_unfold;

use super::check::{instant, timestamp};
use super::ops::{Assets, ClassCount, Outcome};
use super::query;
use super::receive::check_classes;
use super::snapshot::{Offer, Verdict};
use super::watch;
use crate::keyset::Cursor;
use crate::machine::skew::duration;
use crate::machine::{self, bytes};

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
        check_classes("classes", &request.classes, &mut violations);
        let observed = instant(request.observed_time);
        let told = request.observed_time.is_none() || observed.is_some();
        violations.check(told, "observed_time", "must be a time between the years 1000 and 9999");
        violations.finish()?;
        let numbers: Vec<i32> = request.classes.iter().map(|c| c.asset_class).collect();
        let offers =
            request.classes.into_iter().map(|c| Offer { class: c.asset_class as i16, digest: c.digest }).collect();
        let (machine_id, nonce) = (machine_id.unwrap_or_default(), request.instance_nonce);
        let negotiated = self.negotiate(&scope, machine_id, nonce, observed, offers).await?;
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
        let asked = query::ask(query, request.hosts.as_ref(), &mut violations);
        violations.check(page.as_ref().is_none_or(|p| p.page_size >= 0), "page.page_size", "must not be negative");
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
            applied_time: c.applied_at.map(timestamp),
            truncated: c.truncated,
            disabled: c.disabled,
        };
        let counts = self.count(&scope, machine_id).await?;
        Ok(api::ListAssetCountsResponse { counts: counts.into_iter().map(count).collect() })
    }

    async fn export_assets(
        &self,
        scope: TenantScope,
        request: api::ExportAssetsRequest,
    ) -> Result<Outgoing<api::ExportAssetsResponse>> {
        let mut violations = Violations::new();
        let query = request.query.as_ref().and_then(|q| q.query.as_ref());
        let asked = query::ask(query, request.hosts.as_ref(), &mut violations);
        violations.finish()?;
        let Some(asked) = asked.map(Arc::new) else { return Ok(futures::stream::empty().boxed()) };
        // The first page is read before the stream begins, so that a refusal is the answer of the call.
        let first = self.page(&scope, &asked, None, EXPORTED).await?;
        let start = (self.clone(), scope, asked, Some(first));
        let pages = try_unfold(start, |(assets, scope, asked, page)| async move {
            let Some((rows, next)) = page else { return Ok(None) };
            let page = match next {
                Some(cursor) => Some(go_on(&assets, &scope, &asked, cursor).await?),
                None => None,
            };
            Ok(Some((api::ExportAssetsResponse { assets: rows }, (assets, scope, asked, page))))
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

async fn go_on(
    assets: &Assets,
    scope: &TenantScope,
    asked: &query::Asked,
    cursor: Cursor,
) -> Result<(Vec<api::Asset>, Option<Cursor>)> {
    assets.page(scope, asked, Some(&cursor), EXPORTED).await
}
