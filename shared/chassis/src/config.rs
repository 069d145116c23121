//! The chassis' own settings. A service's sections stand beside them; [`Settings`] splits the two by their first key.
//!
//! Later sources win: defaults, files (`--config FILE`, TOML), environment (`CWPP__<SERVICE>__<SECTION>__<KEY>`), flags
//! (`--set section.key=value`). A key that nobody knows stops the start.

mod load;
mod schema;
mod secret;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use load::check_listen;
pub use load::{Settings, Sources};
pub use schema::{known_keys, schema};
pub use secret::{List, Secret};

/// The sections that every service has.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Chassis {
    /// The gRPC server.
    pub grpc: Grpc,
    /// The HTTP server for probes, metrics and operators.
    pub admin: Admin,
    /// How long a call may take.
    pub deadline: Deadline,
    /// How much is done at once.
    pub limits: Limits,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// Transport security of the gRPC server.
    pub tls: Tls,
    /// Reflection, by which tools read the contract from the server.
    pub reflection: Reflection,
    /// The log.
    pub log: Log,
    /// Traces.
    pub trace: Trace,
}

/// The gRPC server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grpc {
    /// Address and port. Default: every address and the service's port (50051 to 50054); loopback when authentication is
    /// `insecure`, and then nothing else is admitted. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections open at once; more are closed unanswered.
    pub max_connections: usize,
    /// Calls open at once on one connection.
    pub max_concurrent_streams: u32,
    /// The largest header list of a call, in bytes.
    pub max_header_list_bytes: u32,
    /// How much one call may send ahead of being read, in bytes.
    pub stream_window_bytes: u32,
    /// How much one connection may send ahead of being read, in bytes.
    pub connection_window_bytes: u32,
    /// Calls that a peer opened and reset and that were not seen yet; a connection with more is closed.
    pub pending_reset_streams: usize,
    /// Calls reset by the server because of the peer's faults; a connection with more is closed.
    pub local_error_reset_streams: usize,
    /// How long a silent connection stays before it is asked whether it lives.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub keepalive_interval: Duration,
    /// How long it has for the answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub keepalive_timeout: Duration,
    /// The age at which a connection is asked to go (GOAWAY), so that callers spread over replicas. 0 switches it off.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_connection_age: Duration,
    /// By which part of itself the age differs at random, so that connections do not go all at once; 0 to 1.
    pub connection_age_jitter: f64,
    /// How long open calls of an aged connection may go on.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub connection_age_grace: Duration,
    /// How long a new connection has for the TLS handshake and its first frame.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub handshake_timeout: Duration,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            max_connections: 4096,
            max_concurrent_streams: 256,
            max_header_list_bytes: 16 << 10,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            pending_reset_streams: 128,
            local_error_reset_streams: 128,
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            max_connection_age: Duration::from_secs(300),
            connection_age_jitter: 0.1,
            connection_age_grace: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// The HTTP server for probes, metrics and operators.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port. Default: every address and the service's port (9091 to 9094); loopback when authentication is
    /// `insecure`.
    pub listen: SocketAddr,
    /// How often the readiness checks run.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub check_interval: Duration,
    /// How long one check may take before it counts as failed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub check_timeout: Duration,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            check_interval: Duration::from_secs(1),
            check_timeout: Duration::from_secs(2),
        }
    }
}

/// How long a call may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Deadline {
    /// The deadline of a call that names none. Streams have none then.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub default: Duration,
    /// The longest deadline that a call may name. Streams are exempt.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max: Duration,
    /// What is kept back of it, so that the answer still arrives in time; at most a quarter of the deadline.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub reserve: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Self { default: Duration::from_secs(10), max: Duration::from_secs(60), reserve: Duration::from_millis(50) }
    }
}

/// How much is done at once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls worked on at once; more get OVERLOADED. A stream counts until its answer begins.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 512 }
    }
}

/// How the process ends, on SIGTERM or SIGINT. A pod needs the sum of the first two and 10 s as its grace period.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long it says NOT_SERVING and goes on serving, so that callers turn away first.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub lame_duck: Duration,
    /// How long open calls may take to end, after no new connection is taken.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub drain: Duration,
    /// The time from the signal after which the process ends whatever happens.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub hard: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { lame_duck: Duration::from_secs(5), drain: Duration::from_secs(20), hard: Duration::from_secs(30) }
    }
}

/// Transport security of the gRPC server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whether and how connections are secured.
    pub mode: TlsMode,
    /// The server's certificate chain, PEM. Read again when the file changes.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The authorities whose client certificates are accepted, PEM; needed for `mutual`.
    pub client_ca_file: Option<PathBuf>,
    /// How often the files are looked at; a bad file keeps what was read before.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>")]
    pub reload_interval: Option<Duration>,
}

/// Whether and how connections are secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain text; for loopback and for meshes that secure it themselves.
    #[default]
    Off,
    /// The server shows a certificate.
    Server,
    /// Both sides show a certificate.
    Mutual,
}

/// Reflection, by which tools read the contract from the server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reflection {
    /// Whether it is served (v1 and v1alpha).
    pub enabled: bool,
}

impl Default for Reflection {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The log; it goes to standard error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// One JSON object a line, or text for people.
    pub format: LogFormat,
    /// What is logged: a level, or directives such as `info,sqlx=warn`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: "info".to_owned() }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for people.
    Human,
}

/// Traces. `OTEL_*` variables are honoured and win.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// Where spans go, OTLP over gRPC, such as `http://collector:4317`. None: spans are not exported, ids still travel.
    pub endpoint: Option<String>,
    /// The part of calls that is traced when the caller has not decided; 0 to 1.
    pub ratio: f64,
}

impl Default for Trace {
    fn default() -> Self {
        Self { endpoint: None, ratio: 0.05 }
    }
}

impl Chassis {
    /// Settings for a service inside a test or the standalone process: loopback, free ports, no waiting at the end.
    pub fn local() -> Self {
        let mut chassis = Self::default();
        chassis.shutdown.lame_duck = Duration::ZERO;
        chassis.shutdown.drain = Duration::from_secs(5);
        chassis.admin.check_interval = Duration::from_millis(100);
        chassis
    }

    /// Checks what a single value cannot show.
    pub fn check(&self) -> anyhow::Result<()> {
        use anyhow::ensure;
        ensure!((0.0..=1.0).contains(&self.trace.ratio), "trace.ratio must be between 0 and 1");
        let jitter = self.grpc.connection_age_jitter;
        ensure!((0.0..=1.0).contains(&jitter), "grpc.connection_age_jitter must be between 0 and 1");
        ensure!(self.limits.in_flight > 0, "limits.in_flight must be at least 1");
        ensure!(!self.deadline.default.is_zero(), "deadline.default must not be zero");
        ensure!(self.deadline.default <= self.deadline.max, "deadline.default must not exceed deadline.max");
        let Shutdown { lame_duck, drain, hard } = self.shutdown;
        ensure!(lame_duck + drain <= hard, "shutdown.hard must be at least lame_duck and drain together");
        ensure!(!self.admin.check_interval.is_zero(), "admin.check_interval must not be zero");
        if self.tls.mode != TlsMode::Off {
            ensure!(
                self.tls.cert_file.is_some() && self.tls.key_file.is_some(),
                "tls.mode needs tls.cert_file and tls.key_file"
            );
        }
        ensure!(
            self.tls.mode != TlsMode::Mutual || self.tls.client_ca_file.is_some(),
            "tls.mode = mutual needs tls.client_ca_file"
        );
        Ok(())
    }
}

/// The ports of a service: gRPC and admin. A service that is none of the four takes free ones.
pub fn default_ports(service: &str) -> (u16, u16) {
    match service {
        "inventory" => (50051, 9091),
        "incidents" => (50052, 9092),
        "configuration" => (50053, 9093),
        "retention" => (50054, 9094),
        _ => (0, 0),
    }
}
