//! The one client for calls to other services.
//!
//! ```no_run
//! # use cwpp_chassis::client::{Channel, ClientConfig};
//! # fn example() -> anyhow::Result<()> {
//! let channel = Channel::connect_lazy("http://configuration:50053", &ClientConfig::default())?;
//! // let tenants = TenantServiceClient::new(channel);
//! # Ok(()) }
//! ```
//!
//! A call takes over what is left of the deadline, the trace and the request id of the call that it is made for. It is
//! sent again when it was never processed (whatever the method), and on UNAVAILABLE when the method is idempotent.
//! The server ends each connection after some minutes, so names are resolved again and load spreads over new replicas.

mod call;
mod replay;
mod retry;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::body::Body;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::methods::Methods;

/// How long a bearer token that was read from its file is used before the file is looked at again.
const TOKEN_TTL: Duration = Duration::from_secs(1);

/// The settings of a client; a section of the configuration of a service that calls others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// The deadline of a call that is made for no other call and names none. Streams have none then.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How long a connection may take to be made.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connect_timeout: Duration,
    /// The file with the bearer token that is sent along; read again when it changes.
    pub token_file: Option<PathBuf>,
    /// The authorities that the server's certificate is checked against, PEM; needed for `https` targets.
    pub ca_file: Option<PathBuf>,
    /// The certificate that the client shows, PEM.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// How often a call is sent at most when the service is UNAVAILABLE and the method idempotent.
    pub max_attempts: u32,
    /// The wait before the second attempt; it doubles, and a random part of it is waited.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub backoff: Duration,
    /// The longest wait between attempts.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub backoff_max: Duration,
    /// The largest request that is kept so that it can be sent again, in bytes. Larger ones and streams are sent once.
    pub replay_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            token_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            max_attempts: 4,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            replay_bytes: 1 << 20,
        }
    }
}

/// A connection to a service, for generated clients: `XClient::new(channel)`. Clones share it.
#[derive(Clone)]
pub struct Channel {
    inner: tonic::transport::Channel,
    shared: Arc<Shared>,
}

/// Says of a path whether its method may be repeated.
type Rule = dyn Fn(&str) -> bool + Send + Sync;

pub(crate) struct Shared {
    config: ClientConfig,
    methods: Arc<Methods>,
    idempotent: Option<Arc<Rule>>,
    budget: retry::Budget,
    token: Option<Token>,
}

impl Channel {
    /// A connection that is made at the first call and again whenever it is lost. `target` is `http://host:port`, or
    /// `https://…` with a `ca_file`.
    pub fn connect_lazy(target: &str, config: &ClientConfig) -> anyhow::Result<Self> {
        let mut endpoint = Endpoint::from_shared(target.to_owned())
            .with_context(|| format!("`{target}` is no target such as http://host:50051"))?
            .connect_timeout(config.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .user_agent(concat!("cwpp/", env!("CARGO_PKG_VERSION")))?;
        if target.starts_with("https:") {
            endpoint = endpoint.tls_config(tls(config)?)?;
        }
        let shared = Shared {
            token: config.token_file.clone().map(Token::new),
            config: config.clone(),
            methods: contracts()?,
            idempotent: None,
            budget: retry::Budget::default(),
        };
        Ok(Self { inner: endpoint.connect_lazy(), shared: Arc::new(shared) })
    }

    /// Takes from another descriptor set than that of our contracts which methods stream and which are idempotent.
    pub fn with_descriptor(self, descriptor: &[u8]) -> anyhow::Result<Self> {
        let methods = Arc::new(Methods::from_descriptor(descriptor)?);
        Ok(self.change(|shared| shared.methods = methods))
    }

    /// Says which methods (`/package.Service/Method`) may be repeated, besides those whose contract says so.
    #[must_use]
    pub fn with_idempotent(self, idempotent: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.change(|shared| shared.idempotent = Some(Arc::new(idempotent)))
    }

    fn change(self, change: impl FnOnce(&mut Shared)) -> Self {
        let old = &self.shared;
        let mut shared = Shared {
            config: old.config.clone(),
            methods: old.methods.clone(),
            idempotent: old.idempotent.clone(),
            budget: retry::Budget::default(),
            token: old.config.token_file.clone().map(Token::new),
        };
        change(&mut shared);
        Self { inner: self.inner, shared: Arc::new(shared) }
    }
}

impl tower::Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Readiness of the connection is part of the call, so that its deadline and retries cover it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(call::run(self.inner.clone(), self.shared.clone(), request))
    }
}

/// The methods of our contracts, read once.
fn contracts() -> anyhow::Result<Arc<Methods>> {
    static METHODS: OnceLock<Arc<Methods>> = OnceLock::new();
    if let Some(methods) = METHODS.get() {
        return Ok(methods.clone());
    }
    let methods = Arc::new(Methods::from_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)?);
    Ok(METHODS.get_or_init(|| methods).clone())
}

fn tls(config: &ClientConfig) -> anyhow::Result<ClientTlsConfig> {
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("{}", path.display()));
    let authorities = config.ca_file.as_ref().context("an https target needs a ca_file")?;
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(authorities)?));
    match (&config.cert_file, &config.key_file) {
        (Some(certificate), Some(key)) => tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?)),
        (None, None) => {}
        _ => anyhow::bail!("cert_file and key_file go together"),
    }
    Ok(tls)
}

/// A bearer token that is rotated by writing its file anew.
struct Token {
    file: PathBuf,
    read: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Token {
    fn new(file: PathBuf) -> Self {
        Self { file, read: Mutex::new(None) }
    }

    /// The header's value; the last good one when the file cannot be read.
    fn header(&self) -> anyhow::Result<HeaderValue> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, value)) = &*read
            && at.elapsed() < TOKEN_TTL
        {
            return Ok(value.clone());
        }
        let fresh = std::fs::read_to_string(&self.file)
            .with_context(|| format!("token file {}", self.file.display()))
            .and_then(|text| Ok(HeaderValue::from_str(&format!("Bearer {}", text.trim()))?));
        match (fresh, &*read) {
            (Ok(mut value), _) => {
                value.set_sensitive(true);
                *read = Some((Instant::now(), value.clone()));
                Ok(value)
            }
            (Err(error), Some((_, value))) => {
                tracing::warn!(error = format!("{error:#}"), "the token file cannot be read; the former token is sent");
                Ok(value.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}
