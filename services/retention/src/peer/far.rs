//! The erasure contract of another service, called over gRPC: the same trait that the own engine implements.

use cwpp_access::ops::ErasureServiceOps;
use cwpp_access::{Outgoing, SystemScope};
use cwpp_chassis::client::Channel;
use cwpp_chassis::status::{from_peer, reason, retry_delay};
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::erasure::v1 as wire;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use futures::StreamExt;

/// Another service.
pub(super) struct Far {
    name: &'static str,
    client: ErasureServiceClient<Channel>,
}

impl Far {
    pub(super) fn new(name: &'static str, channel: Channel) -> Self {
        Self { name, client: ErasureServiceClient::new(channel) }
    }
}

/// Translates a refusal. One that says it is busy is told apart from one that is away: the purge waits for it. That our own
/// token is refused is for the operator to read, who finds it in the log and as what blocks a deletion.
fn refused(name: &'static str, status: &tonic::Status) -> Error {
    let wait = retry_delay(status);
    match (reason(status), wait) {
        (Some(Reason::Overloaded), Some(wait)) => Error::new(Reason::Overloaded, status.message()).retry_after(wait),
        (Some(reason @ (Reason::Unauthenticated | Reason::PermissionDenied)), _) => {
            Error::new(reason, status.message())
        }
        (Some(Reason::Overloaded), None) => Error::new(Reason::Overloaded, status.message()),
        _ => from_peer(name, status),
    }
}

/// Sends a request and takes the one answer.
macro_rules! call {
    ($self:ident, $method:ident, $request:ident) => {
        match $self.client.clone().$method($request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(refused($self.name, &status)),
        }
    };
}

/// Sends a request and takes the stream of answers.
macro_rules! stream {
    ($self:ident, $method:ident, $request:ident) => {{
        let name = $self.name;
        let answers = call!($self, $method, $request)?;
        Ok(answers.map(move |answer| answer.map_err(|status| refused(name, &status))).boxed())
    }};
}

#[async_trait::async_trait]
impl ErasureServiceOps for Far {
    async fn open_tenant(&self, _: SystemScope, request: wire::OpenTenantRequest) -> Result<wire::OpenTenantResponse> {
        call!(self, open_tenant, request)
    }

    async fn fence(&self, _: SystemScope, request: wire::FenceRequest) -> Result<wire::FenceResponse> {
        call!(self, fence, request)
    }

    async fn unfence(&self, _: SystemScope, request: wire::UnfenceRequest) -> Result<wire::UnfenceResponse> {
        call!(self, unfence, request)
    }

    async fn erase(&self, _: SystemScope, request: wire::EraseRequest) -> Result<Outgoing<wire::EraseResponse>> {
        stream!(self, erase, request)
    }

    async fn count_rows(&self, _: SystemScope, request: wire::CountRowsRequest) -> Result<wire::CountRowsResponse> {
        call!(self, count_rows, request)
    }

    async fn export_tenant(
        &self,
        _: SystemScope,
        request: wire::ExportTenantRequest,
    ) -> Result<Outgoing<wire::ExportTenantResponse>> {
        stream!(self, export_tenant, request)
    }
}
