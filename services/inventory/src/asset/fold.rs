//! The job that folds pending changes of counts.

use std::time::Duration;

use cwpp_access::{AppId, Job, SystemScope, TenantScope};
use cwpp_chassis::telemetry::Trouble;
use cwpp_chassis::{Reason, Result};
use cwpp_storage::{Db, StoreResult, TenantTx, fault, lease};
use uuid::Uuid;

use super::count;

const LEASE: &str = "count-folder";

/// Folds for as long as the process lives. Of several processes one does.
pub async fn run(db: Db, interval: Duration) {
    let (scope, holder) = (SystemScope::job(Job::Counts), Uuid::now_v7());
    // Reads are exact also where nothing is folded.
    let mut trouble = Trouble::of(LEASE);
    loop {
        tokio::time::sleep(interval).await;
        let held = lease::claim(&db, &scope, LEASE, holder, interval * 5).await;
        let folded = match held {
            Ok(None) => continue,
            Ok(Some(_)) => once(&db, &scope).await,
            Err(error) => Err(error),
        };
        trouble.hear(&folded);
    }
}

/// Folds what is pending of every tenant.
pub async fn once(db: &Db, scope: &SystemScope) -> Result<()> {
    for (app_id, class) in db.system_read(scope, |read| async move { count::pending(&read).await }).await? {
        all(db, &scope.tenant(AppId::from_row(app_id)), class).await?;
    }
    Ok(())
}

/// Folds what is pending of a class.
pub async fn all(db: &Db, scope: &TenantScope, class: i16) -> Result<()> {
    loop {
        match db.write(scope, |tx| async move { step(&tx, class).await }).await {
            Ok(0) => return Ok(()),
            Ok(rows) => {
                metrics::counter!("inventory_count_deltas_folded_total").increment(rows);
                fault::point("counts", "committed").await;
            }
            // Not to be written any more.
            Err(e)
                if matches!(
                    e.reason(),
                    Reason::TenantFenced | Reason::TenantReadOnly | Reason::TenantUnknown | Reason::TenantOpening
                ) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e),
        }
    }
}

/// Does the work of one transaction.
async fn step(tx: &TenantTx, class: i16) -> StoreResult<u64> {
    let rows = count::fold(tx, class).await?;
    if rows > 0 {
        fault::point("counts", "folded").await;
    }
    Ok(rows)
}
