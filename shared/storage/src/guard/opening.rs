use std::sync::Arc;

use cwpp_access::AppId;
use uuid::Uuid;

use super::{Fenced, HasTenant, Writes, connection};
use crate::dialect::Dialect;
use crate::session::Session;

/// The transaction that makes a tenant: its fence row is in it, as OPENING.
#[derive(Debug)]
pub struct OpeningTx {
    pub(crate) session: Arc<Session>,
    pub(crate) fence: Fenced,
}

impl OpeningTx {
    /// Returns the tenant.
    pub fn app_id(&self) -> AppId {
        self.fence.app_id
    }

    /// Returns the tenant's life, which begins here.
    pub fn incarnation(&self) -> Uuid {
        self.fence.incarnation
    }
}

impl HasTenant for OpeningTx {
    fn app_id(&self) -> AppId {
        self.fence.app_id
    }
}

impl Writes for OpeningTx {
    fn dialect(&self) -> Dialect {
        self.session.dialect()
    }
}

connection!(OpeningTx);
