//! The four services as processes of their own on MySQL, one of each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::Utc;
use cwpp_chassis::client::{Channel, ClientConfig};
use cwpp_contracts::configuration::v1::Tenant;
use cwpp_contracts::erasure::v1::erasure_service_client::ErasureServiceClient;
use cwpp_contracts::erasure::v1::{CountRowsRequest, TableCount};
use cwpp_contracts::retention::v1::retention_service_client::RetentionServiceClient;
use cwpp_contracts::retention::v1::{
    Deletion, DeletionState, GetCertificateRequest, GetDeletionRequest, TerminateSubscriptionRequest,
};
use cwpp_retention::certificate::{Certificate, PublicKey, verify};
use tempfile::TempDir;

use crate::faults::Faults;
use crate::process::Process;
use crate::world::{MySqlDatabases, PATIENCE, SERVICES, open_tenant};

/// A setting and its value.
pub type Setting = (&'static str, String);

/// What a service, by its name, is set to beyond the usual.
pub type Settings = dyn Fn(&str) -> Vec<Setting>;

/// How the services are started.
pub struct Plan {
    /// The server of their databases.
    pub server: String,
    /// What each service is set to; it wins over the usual.
    pub settings: Box<Settings>,
    /// Whether they tell of their fault points.
    pub faults: bool,
    /// How the tests call them.
    pub client: ClientConfig,
}

impl Plan {
    /// Plans the usual on this server.
    pub fn on(server: String) -> Self {
        Self { server, settings: Box::new(|_| Vec::new()), faults: false, client: ClientConfig::default() }
    }
}

/// One of the services.
pub struct Running {
    /// The process.
    pub process: Process,
    /// Its fault points, where they were asked for.
    pub faults: Option<Faults>,
}

/// The running services, in the order of [`SERVICES`].
pub struct Services {
    running: Vec<(&'static str, Running)>,
    plan: Plan,
    /// Their databases.
    pub databases: MySqlDatabases,
    /// Where logs and keys are.
    pub folder: TempDir,
    /// By how much retention's clock was put forward.
    ahead: u64,
}

impl Services {
    /// Starts all four on fresh databases, and waits until they are ready.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let mut services = Self::prepare(plan).await?;
        let target = |services: &Self, name: &str| services.target(name);
        services.run("configuration", &[]).await?;
        services.run("inventory", &[]).await?;
        let configuration = ("peers.configuration", target(&services, "configuration")?);
        let mut peers = vec![configuration, ("peers.inventory", target(&services, "inventory")?)];
        services.run("incidents", &peers).await?;
        peers.push(("peers.incidents", target(&services, "incidents")?));
        peers.push(("signing.key_file", services.folder.path().join("signing.pem").display().to_string()));
        services.run("retention", &peers).await?;
        for name in SERVICES {
            services.process(name)?.ready(PATIENCE).await?;
        }
        Ok(services)
    }

    /// Starts inventory alone, as [`Services::start`] does all.
    pub async fn start_inventory(plan: Plan) -> anyhow::Result<Self> {
        let mut services = Self::prepare(plan).await?;
        services.run("inventory", &[]).await?;
        services.process("inventory")?.ready(PATIENCE).await?;
        Ok(services)
    }

    async fn prepare(plan: Plan) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let databases = MySqlDatabases::create_on(plan.server.clone(), &SERVICES).await?;
        let key = folder.path().join("page.key");
        std::fs::write(&key, [7; 32])?;
        std::fs::write(
            folder.path().join("shared.toml"),
            format!("[database]\nkey_files = [\"{}\"]\n", key.display()),
        )?;
        Ok(Self { running: Vec::new(), plan, databases, folder, ahead: 0 })
    }

    /// Returns what a service is set to; what the plan says wins.
    fn settings(&self, name: &str, more: &[Setting]) -> Vec<Setting> {
        let mut settings = vec![
            ("database.url", self.databases.url(name)),
            ("config", self.folder.path().join("shared.toml").display().to_string()),
            ("shutdown.lame_duck", "0s".to_owned()),
        ];
        settings.extend(more.iter().cloned());
        settings.extend((self.plan.settings)(name));
        settings
    }

    async fn run(&mut self, name: &'static str, more: &[Setting]) -> anyhow::Result<()> {
        let settings = self.settings(name, more);
        let program = format!("cwpp-{name}");
        Process::migrate(&program, &settings)?;
        let faults = self.plan.faults.then(|| Faults::listen(self.folder.path(), name)).transpose()?;
        let environment: Vec<_> = faults.iter().map(Faults::environment).collect();
        let process = Process::start_with(&program, &settings, &environment, self.folder.path())?;
        self.running.push((name, Running { process, faults }));
        Ok(())
    }

    /// Starts another replica of a service that calls no other.
    pub async fn another(&self, name: &'static str) -> anyhow::Result<Process> {
        let mut process = Process::start(&format!("cwpp-{name}"), &self.settings(name, &[]), self.folder.path())?;
        process.ready(PATIENCE).await?;
        Ok(process)
    }

    fn find(&self, name: &str) -> anyhow::Result<&Running> {
        let found = self.running.iter().find(|(running, _)| *running == name);
        found.map(|(_, running)| running).with_context(|| format!("{name} was not started"))
    }

    /// Returns where a service is.
    pub fn target(&self, name: &str) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.find(name)?.process.grpc))
    }

    /// Returns a service's process.
    pub fn process(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let found = self.running.iter_mut().find(|(running, _)| *running == name);
        found.map(|(_, running)| &mut running.process).with_context(|| format!("{name} was not started"))
    }

    /// Returns a service's fault points.
    pub fn faults(&self, name: &str) -> anyhow::Result<&Faults> {
        self.find(name)?.faults.as_ref().context("the services were started without fault points")
    }

    /// Connects to a service.
    pub fn channel(&self, name: &str) -> anyhow::Result<Channel> {
        self.channel_as(name, &self.plan.client)
    }

    /// Connects to a service as somebody else.
    pub fn channel_as(&self, name: &str, client: &ClientConfig) -> anyhow::Result<Channel> {
        Channel::connect_lazy(&self.target(name)?, client)?.with_descriptor(cwpp_contracts::FILE_DESCRIPTOR_SET)
    }

    /// Kills a service and starts it again; its clock stands where it stood.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let process = self.process(name)?;
        process.kill()?;
        process.restart()?;
        process.ready(PATIENCE).await?;
        if name == "retention" && self.ahead > 0 {
            self.put_forward(self.ahead).await?;
        }
        Ok(())
    }

    async fn put_forward(&mut self, seconds: u64) -> anyhow::Result<()> {
        let path = format!("/clock/advance?seconds={seconds}");
        let (answer, body) = self.process("retention")?.request("POST", &path).await?;
        ensure!(answer == 200, "{path}: {body}");
        Ok(())
    }

    /// Puts retention's clock forward.
    pub async fn advance(&mut self, by: Duration) -> anyhow::Result<()> {
        self.ahead += by.as_secs();
        self.put_forward(by.as_secs()).await
    }

    /// Creates a tenant and waits until it is open everywhere.
    pub async fn tenant(&self, app_id: u64) -> anyhow::Result<Tenant> {
        open_tenant(self.channel("configuration")?, app_id, Utc::now()).await
    }

    /// Terminates a tenant, and puts the clock behind the time in which that can be cancelled.
    pub async fn terminate(&mut self, app_id: u64) -> anyhow::Result<Deletion> {
        let request = TerminateSubscriptionRequest { app_id, confirm_app_id: app_id, ..Default::default() };
        let mut client = RetentionServiceClient::new(self.channel("retention")?);
        let answer = client.terminate_subscription(request).await?.into_inner();
        self.advance(Duration::from_secs(25 * 3600)).await?;
        answer.deletion.context("a deletion")
    }

    /// Waits until a deletion is in this state, or one behind it. While retention is away, that is waited for too.
    pub async fn until(
        &self,
        deletion: &Deletion,
        state: DeletionState,
        patience: Duration,
    ) -> anyhow::Result<Deletion> {
        let mut client = RetentionServiceClient::new(self.channel("retention")?);
        let request = GetDeletionRequest { deletion_id: deletion.deletion_id.clone() };
        let start = Instant::now();
        loop {
            let last = match client.get_deletion(request.clone()).await {
                Ok(answer) => {
                    let deletion = answer.into_inner().deletion.context("a deletion")?;
                    if deletion.state() == state {
                        return Ok(deletion);
                    }
                    format!("{} {}", deletion.state().as_str_name(), deletion.blocker)
                }
                Err(status) => status.to_string(),
            };
            ensure!(start.elapsed() < patience, "the deletion does not come to {}: {last}", state.as_str_name());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Counts a tenant's rows in a service; only tables that have any.
    pub async fn rows(&self, name: &str, tenant: &Tenant) -> anyhow::Result<Vec<TableCount>> {
        let request = CountRowsRequest { app_id: tenant.app_id, incarnation: tenant.incarnation.clone() };
        let tables = ErasureServiceClient::new(self.channel(name)?).count_rows(request).await?.into_inner().tables;
        Ok(tables.into_iter().filter(|table| table.rows > 0).collect())
    }

    /// Gets the certificate of a deletion and verifies it.
    pub async fn certificate(&self, deletion: &Deletion) -> anyhow::Result<Certificate> {
        let request = GetCertificateRequest { deletion_id: deletion.deletion_id.clone() };
        let answer =
            RetentionServiceClient::new(self.channel("retention")?).get_certificate(request).await?.into_inner();
        Ok(verify(&answer.certificate, &PublicKey::from_pem(&answer.public_key)?)?)
    }

    /// Returns what all services and replicas have logged.
    pub fn logs(&self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut logs = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "log") {
                let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
                logs.push((path, text));
            }
        }
        Ok(logs)
    }

    /// Ends the services, those first that call others, and removes the databases.
    pub async fn end(mut self) -> anyhow::Result<()> {
        for (name, running) in self.running.iter_mut().rev() {
            let code = running.process.stop()?;
            ensure!(code == Some(0), "{name} ended with {code:?}: {}", running.process.log());
        }
        self.databases.drop_all().await
    }
}
