//! Pages of lists: sizes, tokens, and the condition that goes on where the last page ended.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use cwpp_access::AppId;
use cwpp_chassis::{Error, Reason, Result};
use cwpp_contracts::common::v1::Page as Wire;
use prost::Message;
use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, Order, Value};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::keys::Keys;

/// Rows of a page where the request names no number.
pub const DEFAULT: u64 = 50;
/// Most rows of a page.
pub const MOST: u64 = 1000;
/// How long a token holds.
const LIFE: TimeDelta = TimeDelta::hours(72);
/// What the keys are derived for.
const PURPOSE: &str = "cwpp 2026-11 page tokens";

/// What a token is bound to: it opens nowhere else.
#[derive(Debug, Clone)]
pub struct Binding {
    bytes: Vec<u8>,
}

impl Binding {
    /// Binds to a tenant, a method's path, and a request whose `page` was cleared: so to every filter and the order.
    pub fn new(app_id: AppId, method: &str, request: &impl Message) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&app_id.get().to_be_bytes());
        hash.update(&(method.len() as u64).to_be_bytes());
        hash.update(method.as_bytes());
        hash.update(&request.encode_to_vec());
        Self { bytes: hash.finalize().as_bytes().to_vec() }
    }

    /// As [`Binding::new`], for a list that belongs to no tenant.
    pub fn system(method: &str, request: &impl Message) -> Self {
        Self::new(AppId::from_row(0), method, request)
    }
}

/// A page as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    /// Most rows.
    pub size: u64,
    /// Where the page before ended; none for the first.
    pub after: Option<C>,
}

#[derive(Serialize, Deserialize)]
struct Sealed<C> {
    /// When it was made, in seconds.
    t: i64,
    c: C,
}

impl<C: Serialize + DeserializeOwned> Page<C> {
    /// Reads a request's page: the cursor `C` is whatever [`next`] was given. A negative size is `INVALID_FIELD`, a token
    /// for something else `PAGE_TOKEN_INVALID`, an old one `PAGE_TOKEN_EXPIRED`.
    pub fn read(keys: &Keys, wire: Option<&Wire>, binding: &Binding, now: DateTime<Utc>) -> Result<Self> {
        let size = match wire.map_or(0, |p| p.page_size) {
            0 => DEFAULT,
            n => {
                let n = u64::try_from(n).map_err(|_| {
                    Error::new(Reason::InvalidField, "the request is invalid")
                        .violation("page.page_size", "must not be negative")
                })?;
                Ord::min(n, MOST)
            }
        };
        let after = match wire.map_or("", |p| p.page_token.as_str()) {
            "" => None,
            token => Some(open(keys, token, binding, now)?),
        };
        Ok(Self { size, after })
    }

    /// Returns how many rows to select: one more than the page holds tells whether there is another.
    pub fn limit(&self) -> u64 {
        self.size + 1
    }

    /// Cuts the selected rows to the page, and makes the token for the next one out of the last row's cursor.
    pub fn cut<R>(
        &self,
        keys: &Keys,
        rows: &mut Vec<R>,
        binding: &Binding,
        now: DateTime<Utc>,
        cursor: impl FnOnce(&R) -> C,
    ) -> Result<String> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return Ok(String::new());
        }
        rows.truncate(size);
        next(keys, rows.last().map(cursor).as_ref(), binding, now)
    }
}

/// Makes the token of a page that begins after this cursor; empty where there is none, which says that this is the last.
pub fn next<C: Serialize>(keys: &Keys, cursor: Option<&C>, binding: &Binding, now: DateTime<Utc>) -> Result<String> {
    let Some(cursor) = cursor else { return Ok(String::new()) };
    let plain = serde_json::to_vec(&Sealed { t: now.timestamp(), c: cursor }).map_err(Error::internal)?;
    let nonce: [u8; 12] = rand::random();
    let sealed = cipher(&keys.first(PURPOSE))?
        .encrypt(&Nonce::from(nonce), Payload { msg: &plain, aad: &binding.bytes })
        .map_err(|_| Error::internal(anyhow::anyhow!("a page token could not be sealed")))?;
    Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
}

fn open<C: DeserializeOwned>(keys: &Keys, token: &str, binding: &Binding, now: DateTime<Utc>) -> Result<C> {
    let invalid = || {
        Error::new(Reason::PageTokenInvalid, "the page token was not made for this tenant, method, filter and order")
    };
    if token.len() > 8192 {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let (nonce, sealed) = bytes.split_first_chunk::<12>().ok_or_else(invalid)?;
    for key in keys.all(PURPOSE) {
        let payload = Payload { msg: sealed, aad: &binding.bytes };
        if let Ok(plain) = cipher(&key)?.decrypt(&Nonce::from(*nonce), payload) {
            let inner: Sealed<C> = serde_json::from_slice(&plain).map_err(|_| invalid())?;
            let made = DateTime::from_timestamp(inner.t, 0).ok_or_else(invalid)?;
            if now - made > LIFE {
                return Err(Error::new(Reason::PageTokenExpired, "the page token is older than 72 hours"));
            }
            return Ok(inner.c);
        }
    }
    Err(invalid())
}

fn cipher(key: &[u8; 32]) -> Result<Aes256GcmSiv> {
    Aes256GcmSiv::new_from_slice(key)
        .map_err(|_| Error::internal(anyhow::anyhow!("a page token's key has a wrong length")))
}

/// One column of a list's order, with the value at which the page before ended.
#[derive(Debug, Clone)]
pub struct Key {
    column: SimpleExpr,
    order: Order,
    value: Value,
}

/// Names an ascending column of the order.
pub fn asc(column: impl ColumnTrait, value: impl Into<Value>) -> Key {
    Key { column: Expr::col(column.as_column_ref()), order: Order::Asc, value: value.into() }
}

/// Names a descending column of the order.
pub fn desc(column: impl ColumnTrait, value: impl Into<Value>) -> Key {
    Key { column: Expr::col(column.as_column_ref()), order: Order::Desc, value: value.into() }
}

/// Spells "after these values in this order" as an expanded OR: `a > 1 OR (a = 1 AND b > 2)`. The row form
/// `(a, b) > (1, 2)` reads the whole index on MySQL. The last column must make the order total.
pub fn after(keys: &[Key]) -> Condition {
    let mut any = Condition::any();
    for (i, key) in keys.iter().enumerate() {
        let mut all = Condition::all();
        for before in &keys[..i] {
            all = all.add(before.column.clone().eq(before.value.clone()));
        }
        let beyond = match key.order {
            Order::Desc => key.column.clone().lt(key.value.clone()),
            _ => key.column.clone().gt(key.value.clone()),
        };
        any = any.add(all.add(beyond));
    }
    any
}
