//! A stand-in for configuration: it streams the changes that a test tells, each with its number as cursor.

use std::sync::Arc;
use std::time::Duration;

use cwpp_contracts::common::v1::{MachineScope, MachineScopeKind};
use cwpp_contracts::configuration::v1::policy::Spec;
use cwpp_contracts::configuration::v1::policy_service_server::{PolicyService, PolicyServiceServer};
use cwpp_contracts::configuration::v1::*;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::world::{Tenant, World, id};

type Changes = Vec<WatchPoliciesResponse>;

/// Configuration, as far as incidents can see.
pub(crate) struct Peer {
    changes: watch::Sender<Changes>,
    /// Cursors with which it was asked.
    asked: Arc<std::sync::Mutex<Vec<String>>>,
    address: std::net::SocketAddr,
    server: Option<JoinHandle<()>>,
}

struct Service {
    changes: watch::Receiver<Changes>,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Peer {
    /// Takes an address, but does not answer there yet.
    pub(crate) async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { changes: watch::channel(Vec::new()).0, asked: Arc::default(), address, server: None }
    }

    pub(crate) async fn start() -> Self {
        let mut peer = Self::absent().await;
        peer.arrive().await;
        peer
    }

    /// Begins to answer.
    pub(crate) async fn arrive(&mut self) {
        let service = Service { changes: self.changes.subscribe(), asked: self.asked.clone() };
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let serve = Server::builder().add_service(PolicyServiceServer::new(service)).serve_with_incoming(incoming);
        self.server = Some(tokio::spawn(async move { serve.await.unwrap() }));
    }

    /// Goes away in the middle of whatever it does.
    pub(crate) async fn leave(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    pub(crate) fn target(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Tells a policy of a tenant.
    pub(crate) fn tell(&self, tenant: &Tenant, policy: &Policy) {
        self.change(tenant, &policy.policy_id, Some(policy.clone()));
    }

    /// Tells that a policy is deleted.
    pub(crate) fn delete(&self, tenant: &Tenant, policy: &Policy) {
        self.change(tenant, &policy.policy_id, None);
    }

    fn change(&self, tenant: &Tenant, policy_id: &str, policy: Option<Policy>) {
        self.changes.send_modify(|changes| {
            let cursor = (changes.len() + 1).to_string();
            changes.push(WatchPoliciesResponse { app_id: tenant.app_id, policy_id: policy_id.into(), policy, cursor });
        });
    }

    /// Waits until a tenant has so many policies stored.
    pub(crate) async fn followed(&self, world: &mut World, tenant: &Tenant, number: u64) {
        for _ in 0..400 {
            let rows = world.rows(tenant).await;
            if rows.iter().find(|(table, _)| table == "login_policy").map_or(0, |(_, rows)| *rows) == number {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the policies were not followed in time");
    }
}

#[tonic::async_trait]
impl PolicyService for Service {
    type WatchPoliciesStream = BoxStream<'static, Result<WatchPoliciesResponse, Status>>;

    async fn watch_policies(
        &self,
        request: Request<WatchPoliciesRequest>,
    ) -> Result<Response<Self::WatchPoliciesStream>, Status> {
        let cursor = request.into_inner().cursor;
        self.asked.lock().unwrap().push(cursor.clone());
        let sent = cursor.parse::<usize>().unwrap_or(0);
        let stream = stream::unfold((self.changes.clone(), sent), |(mut changes, sent)| async move {
            loop {
                let next = changes.borrow_and_update().get(sent).cloned();
                if let Some(next) = next {
                    return Some((Ok(next), (changes, sent + 1)));
                }
                changes.changed().await.ok()?;
            }
        });
        Ok(Response::new(stream.boxed()))
    }

    async fn create_policy(&self, _: Request<CreatePolicyRequest>) -> Result<Response<CreatePolicyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_policy(&self, _: Request<GetPolicyRequest>) -> Result<Response<GetPolicyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_policies(&self, _: Request<ListPoliciesRequest>) -> Result<Response<ListPoliciesResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn update_policy(&self, _: Request<UpdatePolicyRequest>) -> Result<Response<UpdatePolicyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn delete_policy(&self, _: Request<DeletePolicyRequest>) -> Result<Response<DeletePolicyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_effective_policies(
        &self,
        _: Request<GetEffectivePoliciesRequest>,
    ) -> Result<Response<GetEffectivePoliciesResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

/// An enabled whitelist for these machines.
pub(crate) fn policy(kind: MachineScopeKind, machine_ids: &[&str], spec: LoginWhitelist) -> Policy {
    let machine_ids = machine_ids.iter().map(|id| (*id).to_owned()).collect();
    Policy {
        policy_id: id(),
        name: "office".into(),
        enabled: true,
        machines: Some(MachineScope { kind: kind.into(), machine_ids, tags: Vec::new() }),
        revision: 1,
        spec: Some(Spec::LoginWhitelist(spec)),
        ..Default::default()
    }
}

/// An enabled whitelist for all machines that names one source network.
pub(crate) fn office(network: &str) -> Policy {
    let spec = LoginWhitelist { source_networks: vec![network.into()], ..Default::default() };
    policy(MachineScopeKind::All, &[], spec)
}
