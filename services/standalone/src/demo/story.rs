//! The steps of the demonstration, each over the contracts as any caller would take it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use chrono::DateTime;
use cwpp_collector::spool::Spool;
use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind, TenantState};
use cwpp_contracts::configuration::v1::{
    CreatePolicyRequest, CreateTenantRequest, GetTenantRequest, LoginWhitelist, Policy, policy,
};
use cwpp_contracts::incidents::v1::{Incident, ListIncidentsRequest};
use cwpp_contracts::inventory::v1::{AssetClass, ListAssetCountsRequest};
use cwpp_contracts::retention::v1::{
    Deletion, DeletionState, GetCertificateRequest, GetDeletionRequest, TerminateSubscriptionRequest,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::attack;
use super::page::{Page, describe};
use crate::clients::Clients;
use crate::platform::Platform;

/// The tenant of the demonstration.
const TENANT: u64 = 1_000_001;

/// How long any single step may take before something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
