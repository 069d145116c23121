//! Keys of page tokens and request hashes: the first makes, all verify.

use std::sync::Arc;

use cwpp_chassis::{Error, Reason, Result};

use crate::config::Database;

/// Keys, read once per process.
#[derive(Clone)]
pub struct Keys {
    keys: Arc<Vec<[u8; 32]>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("count", &self.keys.len()).finish()
    }
}

impl Keys {
    pub(crate) fn load(config: &Database) -> Result<Self> {
        if !config.key_files.is_empty() {
            let keys = config.key_files.iter().map(|f| read(f)).collect::<Result<Vec<_>>>()?;
            return Ok(Self { keys: Arc::new(keys) });
        }
        if let Some(path) = crate::connect::sqlite_path(config) {
            let mut name = path.into_os_string();
            name.push(".key");
            let file = std::path::PathBuf::from(name);
            if !file.exists() {
                write_new(&file)?;
            }
            return Ok(Self { keys: Arc::new(vec![read(&file)?]) });
        }
        tracing::warn!("database.key_files is empty: page tokens and request ids hold for this process only");
        Ok(Self::random())
    }

    /// Makes a key that lasts as long as the process.
    pub fn random() -> Self {
        Self { keys: Arc::new(vec![rand::random()]) }
    }

    /// Takes keys as they are.
    pub fn of(keys: Vec<[u8; 32]>) -> Self {
        Self { keys: Arc::new(keys) }
    }

    /// Derives a key of the newest for one purpose.
    pub fn first(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, self.keys.first().map_or(&[0; 32], |k| k))
    }

    /// Derives all keys for one purpose, newest first.
    pub fn all(&self, purpose: &str) -> impl Iterator<Item = [u8; 32]> {
        self.keys.iter().map(move |k| blake3::derive_key(purpose, k))
    }
}

fn read(file: &std::path::Path) -> Result<[u8; 32]> {
    let bytes = std::fs::read(file).map_err(|e| wrong(file, &e.to_string()))?;
    if let Ok(raw) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(raw);
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong(file, "neither 32 bytes nor hex"))?;
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong(file, "neither 32 bytes nor 64 hex digits"));
    }
    let mut key = [0; 32];
    for (i, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| wrong(file, "no hex digits"))?;
    }
    Ok(key)
}

fn write_new(file: &std::path::Path) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let key: [u8; 32] = rand::random();
    let temporary = file.with_extension(format!("key.{}", std::process::id()));
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut f| f.write_all(&key))
        // A link does not replace: of two processes at once one key stays.
        .and_then(|()| match std::fs::hard_link(&temporary, file) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _ = std::fs::remove_file(&temporary);
    made.map_err(|e| wrong(file, &e.to_string()))
}

fn wrong(file: &std::path::Path, why: &str) -> Error {
    Error::new(Reason::InvalidArgument, format!("key file {}: {why}", file.display()))
}
