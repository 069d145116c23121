//! Incidents as stored: one table for the kinds whose details are a source, an account and a service.

use chrono::{DateTime, Utc};
use cwpp_chassis::Error;
use cwpp_contracts::common::v1::{ProcessingStatus, Severity};
use cwpp_contracts::incidents::v1::IncidentKind;
use cwpp_storage::Tenanted;
use sea_orm::entity::prelude::*;

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "incident")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The incident.
    #[sea_orm(primary_key, auto_increment = false)]
    pub incident_id: Uuid,
    /// The affected machine.
    pub machine_id: Uuid,
    /// The number of its kind in the contract.
    pub kind: i16,
    /// The number of its threat level in the contract.
    pub severity: i16,
    /// The number of its status in the contract.
    pub status: i16,
    /// Hash of its natural key: kind, source and account, and for cracking the service.
    pub subject_key: Uuid,
    /// Tells incidents of one natural key apart: when the series began as it was found (microseconds since 1970), or the login.
    pub series: i64,
    /// The account; empty where many were tried.
    pub account: String,
    /// Where it came from.
    pub source_address: String,
    /// The service.
    pub service: String,
    /// When it began.
    pub first_time: DateTime<Utc>,
    /// When it was seen last.
    pub last_time: DateTime<Utc>,
    /// Cracking: when the threshold was reached.
    pub threshold_time: Option<DateTime<Utc>>,
    /// Cracking: failed attempts.
    pub attempts: i64,
    /// Cracking: accounts at which they failed.
    pub accounts: i64,
    /// Cracking: whether a login succeeded from the threshold on.
    pub cracked: bool,
    /// Cracking: whether an account exists.
    pub account_exists: bool,
    /// Login: whether the place is not expected.
    pub risky_place: bool,
    /// Login: whether the account is not expected.
    pub risky_account: bool,
    /// Login: whether the time is not expected.
    pub risky_time: bool,
    /// Login: whether the source is not expected.
    pub risky_source: bool,
    /// What was said with the last change of status.
    pub note: String,
    /// When it was found.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
    /// Rises with each change: the etag.
    pub version: i64,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

impl Model {
    /// Returns the etag.
    pub fn etag(&self) -> String {
        self.version.to_string()
    }

    /// Returns the kind.
    pub fn incident_kind(&self) -> Result<IncidentKind, Error> {
        read(self.kind, "kind")
    }

    /// Returns the status.
    pub fn processing_status(&self) -> Result<ProcessingStatus, Error> {
        read(self.status, "status")
    }

    /// Returns the threat level.
    pub fn threat_level(&self) -> Result<Severity, Error> {
        read(self.severity, "severity")
    }
}

/// Reads the number of an enum; one that this build does not know is a fault, never a guess.
fn read<E: TryFrom<i32>>(number: i16, column: &str) -> Result<E, Error> {
    E::try_from(i32::from(number)).map_err(|_| {
        Error::internal(anyhow::anyhow!("incident.{column} holds {number}, which this build does not know"))
    })
}

/// Returns the number of an enum as stored; the contract's numbers are small.
pub(crate) fn number(value: impl Into<i32>) -> i16 {
    i16::try_from(value.into()).unwrap_or_default()
}

/// Which accounts an incident counts, where it counts many.
pub mod account {
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// An account of an incident.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "incident_account")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The incident.
        #[sea_orm(primary_key, auto_increment = false)]
        pub incident_id: Uuid,
        /// Hash of the account.
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_key: Uuid,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}
