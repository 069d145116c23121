use std::sync::Arc;

use super::{Fenced, connection};
use crate::session::Session;

/// A transaction that holds the fence row exclusively. It writes fence, tombstone and closed-incarnation rows only.
#[derive(Debug)]
pub(crate) struct FenceTx {
    pub(crate) session: Arc<Session>,
    /// The row as locked; none where the tenant has no row.
    pub(crate) fence: Option<Fenced>,
}

connection!(FenceTx);
