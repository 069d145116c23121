use std::sync::Arc;

use cwpp_access::AppId;

use super::{Fenced, HasTenant, connection};
use crate::session::Session;

/// A transaction that deletes a sealed tenant's rows and writes the purge's progress, under the newest token.
#[derive(Debug)]
pub(crate) struct PurgeTx {
    pub(crate) session: Arc<Session>,
    pub(crate) fence: Fenced,
}

impl HasTenant for PurgeTx {
    fn app_id(&self) -> AppId {
        self.fence.app_id
    }
}

connection!(PurgeTx);
