//! The job that finishes removals, counts machines day by day, and removes those that have been silent for as long as a
//! rule says.

use std::time::Duration;

use cwpp_access::{Job, SystemScope};
use cwpp_chassis::{Clock, Result};
use cwpp_storage::{Db, lease};
use uuid::Uuid;

use super::{day, removal};
use crate::config;

const LEASE: &str = "machine-sweep";

/// Sweeps for as long as the process lives. Of several processes one does.
pub async fn run(db: Db, clock: Clock, rule: config::Machines) {
    let (scope, holder) = (SystemScope::job(Job::Sweep), Uuid::now_v7());
    let interval = rule.sweep_interval.max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(interval).await;
        let swept = match lease::claim(&db, &scope, LEASE, holder, interval * 3).await {
            Ok(None) => continue,
            Ok(Some(_)) => once(&db, &clock, &rule, &scope).await,
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            tracing::warn!(error = ?error, "removed machines could not be swept; the next round will");
        }
    }
}

/// Does one round.
pub async fn once(db: &Db, clock: &Clock, rule: &config::Machines, scope: &SystemScope) -> Result<()> {
    removal::finish(db, scope).await?;
    day::count(db, scope, clock.now()).await?;
    let retired = removal::retire(db, scope, rule.remove_after_days_offline, clock.now()).await?;
    if retired > 0 {
        tracing::info!(machines = retired, "machines that were offline for too long were removed");
    }
    Ok(())
}
