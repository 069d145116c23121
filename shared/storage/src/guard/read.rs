use std::sync::Arc;

use cwpp_access::AppId;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Fenced, HasTenant, connection};
use crate::session::Session;

/// Reads of one tenant's data. Each statement stands alone, unless they are read at once; none may write.
#[derive(Debug)]
pub struct TenantRead {
    pub(crate) session: Arc<Session>,
    pub(crate) fence: Fenced,
}

impl TenantRead {
    /// Returns the tenant.
    pub fn app_id(&self) -> AppId {
        self.fence.app_id
    }

    /// Returns the tenant's life.
    pub fn incarnation(&self) -> Uuid {
        self.fence.incarnation
    }

    /// Returns the fence as it was read.
    pub fn fence(&self) -> Fenced {
        self.fence
    }

    fn only_reads(&self, sql: &str, executes: bool) -> Result<(), DbErr> {
        super::system::only_reads(sql, executes)
    }
}

impl HasTenant for TenantRead {
    fn app_id(&self) -> AppId {
        self.fence.app_id
    }
}

connection!(TenantRead, only_reads);
