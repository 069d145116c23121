//! The tables of events. No attempt has a row of its own.

/// The lock of a machine: whoever takes a batch of it writes this row first.
pub mod machine {
    use chrono::{DateTime, Utc};
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// A machine that sent events.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "auth_machine")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The machine.
        #[sea_orm(primary_key, auto_increment = false)]
        pub machine_id: Uuid,
        /// When it sent events last.
        pub update_time: DateTime<Utc>,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// How far each spool was taken.
pub mod spool {
    use chrono::{DateTime, Utc};
    use cwpp_storage::Tenanted;
    use sea_orm::entity::prelude::*;

    /// A spool.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "auth_spool")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The machine.
        #[sea_orm(primary_key, auto_increment = false)]
        pub machine_id: Uuid,
        /// The spool.
        #[sea_orm(primary_key, auto_increment = false)]
        pub spool_id: Uuid,
        /// Number of the next event that is wanted.
        pub next_sequence: i64,
        /// Events whose time was more than a day ahead, and was set to that of their arrival.
        pub clamped_events: i64,
        /// When events were taken last.
        pub update_time: DateTime<Utc>,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }
}

/// Counts by source, service, account and minute.
pub mod bucket {
    use chrono::{DateTime, Utc};
    use cwpp_storage::Tenanted;
    use sea_orm::FromQueryResult;
    use sea_orm::entity::prelude::*;

    use crate::detection::{self, Span};

    /// A bucket. Its key is read in ranges: a source at a service, from one minute to another.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "auth_bucket")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        /// The machine.
        #[sea_orm(primary_key, auto_increment = false)]
        pub machine_id: Uuid,
        /// Hash of source and service.
        #[sea_orm(primary_key, auto_increment = false)]
        pub source_key: Uuid,
        /// Minute since 1970.
        #[sea_orm(primary_key, auto_increment = false)]
        pub minute: i64,
        /// Hash of the account.
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_key: Uuid,
        /// The source, an address.
        pub source_address: String,
        /// The service.
        pub service: String,
        /// The account.
        pub account: String,
        /// Failed attempts.
        pub failures: i64,
        /// Failed attempts of which the host said that there is no such account.
        pub unknown_failures: i64,
        /// Logins that were let in.
        pub successes: i64,
        /// The first failed attempt.
        pub first_failure_time: Option<DateTime<Utc>>,
        /// The last failed attempt.
        pub last_failure_time: Option<DateTime<Utc>>,
        /// The first login that was let in.
        pub first_success_time: Option<DateTime<Utc>>,
        /// The last login that was let in.
        pub last_success_time: Option<DateTime<Utc>>,
    }

    /// It refers to nothing.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl Tenanted for Entity {
        const APP_ID: Column = Column::AppId;
    }

    /// The columns that detection looks at.
    #[derive(Clone, Debug, FromQueryResult)]
    pub struct Counts {
        /// Hash of source and service.
        pub source_key: Uuid,
        /// Minute since 1970.
        pub minute: i64,
        /// Hash of the account.
        pub account_key: Uuid,
        /// Failed attempts.
        pub failures: i64,
        /// Failed attempts at accounts that do not exist.
        pub unknown_failures: i64,
        /// Logins that were let in.
        pub successes: i64,
        /// The first failed attempt.
        pub first_failure_time: Option<DateTime<Utc>>,
        /// The last failed attempt.
        pub last_failure_time: Option<DateTime<Utc>>,
        /// The first login that was let in.
        pub first_success_time: Option<DateTime<Utc>>,
        /// The last login that was let in.
        pub last_success_time: Option<DateTime<Utc>>,
    }

    impl Counts {
        /// Returns them as detection knows them.
        pub fn counts(&self) -> detection::Bucket {
            let span = |first: Option<DateTime<Utc>>, last: Option<DateTime<Utc>>| {
                first.zip(last).map(|(first, last)| Span { first, last })
            };
            detection::Bucket {
                minute: self.minute,
                account: self.account_key,
                failures: self.failures.unsigned_abs(),
                unknown_failures: self.unknown_failures.unsigned_abs(),
                successes: self.successes.unsigned_abs(),
                failed: span(self.first_failure_time, self.last_failure_time),
                succeeded: span(self.first_success_time, self.last_success_time),
            }
        }
    }

    impl Model {
        /// Returns what detection looks at.
        pub fn counts(&self) -> detection::Bucket {
            let counts = Counts {
                source_key: self.source_key,
                minute: self.minute,
                account_key: self.account_key,
                failures: self.failures,
                unknown_failures: self.unknown_failures,
                successes: self.successes,
                first_failure_time: self.first_failure_time,
                last_failure_time: self.last_failure_time,
                first_success_time: self.first_success_time,
                last_success_time: self.last_success_time,
            };
            counts.counts()
        }

        /// Takes over what detection looks at.
        pub fn set_counts(&mut self, counts: &detection::Bucket) {
            self.failures = stored(counts.failures);
            self.unknown_failures = stored(counts.unknown_failures);
            self.successes = stored(counts.successes);
            self.first_failure_time = counts.failed.map(|span| span.first);
            self.last_failure_time = counts.failed.map(|span| span.last);
            self.first_success_time = counts.succeeded.map(|span| span.first);
            self.last_success_time = counts.succeeded.map(|span| span.last);
        }
    }

    fn stored(count: u64) -> i64 {
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}
