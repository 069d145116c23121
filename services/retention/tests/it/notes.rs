//! A small service with tenants' rows and the real erasure engine; it stands for every peer. One of them also tells of tenants.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use cwpp_access::ops::{ErasureServiceGuarded, TenantServiceGuarded, TenantServiceOps};
use cwpp_access::{Auth, Gate, Outgoing, SystemScope, TenantScope};
use cwpp_chassis::app::{Context, Parts, Service};
use cwpp_chassis::{Check, Error, Reason, Result};
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::configuration::v1 as wire;
use cwpp_storage::migrate::{Migration, Table};
use cwpp_storage::{Database, Db, Eraser, Registry};
use futures::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[allow(unreachable_pub, reason = "the derives make their parts public")]
mod note {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "note")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub app_id: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub note_id: i64,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) fn registry() -> Registry {
    Registry::new("notes").erasable(note::Entity, DataClass::Resource).migrations([Migration::table(
        "1001_note",
        Table::of_tenant("note").big("note_id").varchar("title", 255).key(&["app_id", "note_id"]),
    )])
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) database: Database,
    /// The name under which its tenants were put down; empty where it tells of none.
    pub(crate) tenants: String,
}

pub(crate) struct Notes;

#[async_trait::async_trait]
impl Service for Notes {
    const NAME: &'static str = "notes";
    type Config = Config;

    fn insecure(_: &Config) -> bool {
        true
    }

    async fn build(context: Context<Config>) -> anyhow::Result<Parts> {
        let db = Db::connect(&context.config.database, Arc::new(registry())).await?;
        let eraser = Arc::new(Eraser::new(db.clone()));
        let tenants = Tenants::named(&context.config.tenants);
        Ok(Parts::new(cwpp_contracts::FILE_DESCRIPTOR_SET)
            .service(ErasureServiceGuarded::server(eraser, Gate::default()))
            .service(TenantServiceGuarded::server(tenants, Gate::default()))
            .authenticator(Auth::default().authenticator()?)
            .check(Check::new("database", move || {
                let db = db.clone();
                async move { Ok(db.ready().await?) }
            })))
    }
}

/// What is told of tenants: each change once, in order.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    changes: Mutex<Vec<wire::Tenant>>,
    /// The cursors with which followers came.
    pub(crate) cursors: Mutex<Vec<String>>,
}

static ALL: LazyLock<Mutex<HashMap<String, Arc<Tenants>>>> = LazyLock::new(Mutex::default);

impl Tenants {
    pub(crate) fn named(name: &str) -> Arc<Self> {
        ALL.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    pub(crate) fn tell(&self, tenant: wire::Tenant) {
        self.changes.lock().unwrap().push(tenant);
    }
}

fn unused() -> Error {
    Error::new(Reason::Unimplemented, "not in this test")
}

struct Told(Arc<Tenants>);

#[async_trait::async_trait]
impl TenantServiceOps for Tenants {
    async fn create_tenant(&self, _: SystemScope, _: wire::CreateTenantRequest) -> Result<wire::CreateTenantResponse> {
        Err(unused())
    }

    async fn get_tenant(&self, _: TenantScope, _: wire::GetTenantRequest) -> Result<wire::GetTenantResponse> {
        Err(unused())
    }

    /// Is never answered: it takes a place until its caller goes.
    async fn list_tenants(&self, _: SystemScope, _: wire::ListTenantsRequest) -> Result<wire::ListTenantsResponse> {
        std::future::pending().await
    }

    async fn watch_tenants(
        &self,
        _: SystemScope,
        request: wire::WatchTenantsRequest,
    ) -> Result<Outgoing<wire::WatchTenantsResponse>> {
        self.cursors.lock().unwrap().push(request.cursor.clone());
        let at = match request.cursor.as_str() {
            "" => 0,
            "expired" => return Err(Error::new(Reason::CursorExpired, "the cursor is no longer kept")),
            cursor => cursor.parse::<usize>().unwrap(),
        };
        // The registry outlives the stream.
        let all = ALL.lock().unwrap();
        let own = all.values().find(|tenants| std::ptr::eq(&raw const ***tenants, self)).unwrap().clone();
        Ok(futures::stream::unfold((Told(own), at), |(told, at)| async move {
            loop {
                let change = told.0.changes.lock().unwrap().get(at).cloned();
                if let Some(tenant) = change {
                    let change = wire::WatchTenantsResponse { tenant: Some(tenant), cursor: (at + 1).to_string() };
                    return Some((Ok(change), (told, at + 1)));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .boxed())
    }
}
