//! What the agent keeps over its restarts: when it was installed, which machine it is, and what the server gave this host to
//! be told from the host whose disk it is a copy of.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

const FILE: &str = "identity.json";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// When the agent was first asked for it.
    installed_at: Option<DateTime<Utc>>,
    /// By tenant, in hexadecimal.
    distinct_ids: BTreeMap<u64, String>,
    /// By tenant.
    #[serde(default)]
    machine_ids: BTreeMap<u64, String>,
}

/// The agent's state folder. Without one the host of a clone gets a new machine with each start of its agent.
#[derive(Debug, Clone)]
pub struct Identity {
    directory: PathBuf,
}

impl Identity {
    /// Keeps it in this directory, which is made where it is missing and must survive a restart.
    pub fn open(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// Reads what was given for a tenant; empty where nothing was. A damaged file is an error: a clone that forgets what it
    /// is would speak under another host's id again.
    pub fn read(&self, app_id: u64) -> io::Result<Vec<u8>> {
        let kept = self.load()?;
        let Some(text) = kept.distinct_ids.get(&app_id) else { return Ok(Vec::new()) };
        hex::decode(text).map_err(|e| damaged(&self.directory.join(FILE), e))
    }

    /// Keeps what was given for a tenant, durably.
    pub fn keep(&self, app_id: u64, distinct_id: &[u8]) -> io::Result<()> {
        let mut kept = self.load()?;
        kept.distinct_ids.insert(app_id, hex::encode(distinct_id));
        self.save(&kept)
    }

    /// When the agent was installed: now, where the folder tells of no earlier time.
    pub fn installed_at(&self) -> io::Result<DateTime<Utc>> {
        let mut kept = self.load()?;
        if let Some(time) = kept.installed_at {
            return Ok(time);
        }
        let now = Utc::now();
        kept.installed_at = Some(now);
        self.save(&kept)?;
        Ok(now)
    }

    /// Reads which machine of a tenant this host is, where that was kept.
    pub fn machine_id(&self, app_id: u64) -> io::Result<Option<String>> {
        Ok(self.load()?.machine_ids.remove(&app_id))
    }

    /// Keeps which machine of a tenant this host is, or that it is not settled.
    pub fn keep_machine_id(&self, app_id: u64, machine_id: Option<&str>) -> io::Result<()> {
        let mut kept = self.load()?;
        if kept.machine_ids.get(&app_id).map(String::as_str) == machine_id {
            return Ok(());
        }
        kept.machine_ids.remove(&app_id);
        kept.machine_ids.extend(machine_id.map(|id| (app_id, id.to_owned())));
        self.save(&kept)
    }

    fn save(&self, kept: &Kept) -> io::Result<()> {
        self.write(kept).map_err(|e| at(&self.directory, e))
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let temporary = self.directory.join("identity.json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join(FILE))?;
        File::open(&self.directory)?.sync_all()
    }

    fn load(&self) -> io::Result<Kept> {
        let path = self.directory.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(Kept { version, .. }) if version != VERSION => {
                    Err(damaged(&path, format_args!("it is of version {version}, not {VERSION}")))
                }
                other => other.map_err(|e| damaged(&path, e)),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (distinct_ids, machine_ids) = (BTreeMap::new(), BTreeMap::new());
                Ok(Kept { version: VERSION, installed_at: None, distinct_ids, machine_ids })
            }
            Err(e) => Err(at(&path, e)),
        }
    }
}

/// Names the place of an error.
fn at(path: &Path, cause: io::Error) -> io::Error {
    io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
}

fn damaged(path: &Path, cause: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {cause}", path.display()))
}
