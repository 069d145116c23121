//! Accounts of the operating system.

use cwpp_chassis::Violations;
use cwpp_contracts::common::v1::DataClass;
use cwpp_contracts::inventory::v1 as api;
use cwpp_contracts::inventory::v1::account_query::Driving;
use cwpp_contracts::inventory::v1::{AccountOrder, AssetClass, LoginType, PasswordStatus};
use cwpp_storage::{Registry, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, SelectStatement};
use sea_orm::{FromQueryResult, QueryResult, QueryTrait};

use super::{
    Class, Column as Own, Item, Order, Plan, Query, Whose, coarse, drive, enumerated, records, steady, texts, volatile,
    within,
};
use crate::asset::check::{Check, instant, timestamp};
use crate::asset::natural_key::NaturalKey;
use crate::asset::row::Sink;
use crate::keyset::Of;

/// Most names of further groups.
const GROUPS: usize = 256;
/// Most keys.
const KEYS: usize = 200;

static COLUMNS: [Own; 24] = [
    steady("name"),
    steady("uid"),
    steady("gid"),
    steady("group_name"),
    steady("further_groups"),
    steady("home"),
    steady("shell"),
    steady("comment"),
    steady("enabled"),
    steady("sudo"),
    steady("interactive"),
    steady("login_type"),
    steady("password_changed_at"),
    steady("password_expires_at"),
    steady("password_status"),
    coarse("last_login_at"),
    volatile("last_login_source"),
    volatile("last_login_terminal"),
    steady("escaped"),
    steady("authorized_keys"),
    steady("account_expires_at"),
    steady("password_warn_days"),
    steady("password_lock_days"),
    steady("ssh_login"),
];

const FIRST_SEEN: Order = Order { index: "asset_account_first_seen", column: "first_seen_at", of: Of::Moment };
const NAME: Order = Order { index: "asset_account_name", column: "name", of: Of::Text };
const UID: Order = Order { index: "asset_account_uid", column: "uid", of: Of::Unsigned };
const LAST_LOGIN: Order = Order { index: "asset_account_last_login", column: "last_login_at", of: Of::Time };
static ORDERS: [Order; 4] = [FIRST_SEEN, NAME, UID, LAST_LOGIN];

/// An account as stored.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "asset_account")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// Hash of the natural key: the name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_key: Uuid,
    /// Hash of the steady columns.
    pub row_hash: Uuid,
    /// When it was seen first.
    pub first_seen_at: DateTimeUtc,
    /// When it changed last.
    pub updated_at: DateTimeUtc,
    /// Account name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Name of the primary group.
    pub group_name: String,
    /// Names of further groups, a JSON array.
    pub further_groups: Json,
    /// Home folder.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Full name or comment.
    pub comment: String,
    /// Whether it may be used at all.
    pub enabled: Option<bool>,
    /// Whether it may become root by sudo.
    pub sudo: Option<bool>,
    /// Whether its shell allows a session.
    pub interactive: bool,
    /// How it may log in (`LoginType`).
    pub login_type: i16,
    /// When the password was changed last.
    pub password_changed_at: Option<DateTimeUtc>,
    /// When the password expires.
    pub password_expires_at: Option<DateTimeUtc>,
    /// State of the password (`PasswordStatus`).
    pub password_status: i16,
    /// Last login.
    pub last_login_at: Option<DateTimeUtc>,
    /// Where it came from.
    pub last_login_source: String,
    /// Its terminal.
    pub last_login_terminal: String,
    /// Whether a text held bytes that are no UTF-8.
    pub escaped: bool,
    /// Keys that open it, each as kind, fingerprint, comment.
    pub authorized_keys: Json,
    /// When the account itself expires.
    pub account_expires_at: Option<DateTimeUtc>,
    /// Days of warning before the password expires.
    pub password_warn_days: Option<u32>,
    /// Days from the password's expiry until the account is locked.
    pub password_lock_days: Option<u32>,
    /// Whether sshd lets it in.
    pub ssh_login: Option<bool>,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

fn authorized_key_texts(key: &api::AuthorizedKey) -> Vec<String> {
    vec![key.kind.clone(), key.fingerprint.clone(), key.comment.clone()]
}

fn authorized_key(texts: Vec<String>) -> api::AuthorizedKey {
    let mut texts = texts.into_iter();
    let mut next = || texts.next().unwrap_or_default();
    api::AuthorizedKey { kind: next(), fingerprint: next(), comment: next() }
}

/// The class.
#[derive(Debug)]
pub struct Account;

impl Class for Account {
    fn class(&self) -> AssetClass {
        AssetClass::Account
    }

    fn name(&self) -> &'static str {
        "account"
    }

    fn table(&self) -> &'static str {
        "asset_account"
    }

    fn revision(&self) -> u32 {
        1
    }

    fn columns(&self) -> &'static [Own] {
        &COLUMNS
    }

    fn orders(&self) -> &'static [Order] {
        &ORDERS
    }

    fn counted(&self) -> &'static str {
        "name"
    }

    fn check(&self, item: &mut Item, check: &mut Check<'_>) {
        let Item::Account(a) = item else { return };
        check.key("account.name", &a.name, 1, 255);
        check.known::<LoginType>("account.login_type", a.login_type);
        check.known::<PasswordStatus>("account.password_status", a.password_status);
        check.time("account.password_change_time", &mut a.password_change_time);
        check.time("account.password_expire_time", &mut a.password_expire_time);
        check.time("account.last_login_time", &mut a.last_login_time);
        check.time("account.account_expire_time", &mut a.account_expire_time);
        check.clip(&mut a.group_name, 255);
        check.clip_list(&mut a.groups, GROUPS);
        a.groups.iter_mut().for_each(|g| check.clip(g, 255));
        check.clip(&mut a.home, 4096);
        check.clip(&mut a.shell, 4096);
        check.clip(&mut a.comment, 1024);
        check.clip(&mut a.last_login_source, 255);
        check.clip(&mut a.last_login_terminal, 63);
        check.clip_list(&mut a.keys, KEYS);
        for key in &mut a.keys {
            for text in [&mut key.kind, &mut key.fingerprint, &mut key.comment] {
                check.clip(text, 1024);
            }
        }
    }

    fn natural_key(&self, item: &Item, key: &mut NaturalKey) {
        if let Item::Account(a) = item {
            key.text(&a.name);
        }
    }

    fn store(&self, item: &Item, sink: &mut dyn Sink) {
        let Item::Account(a) = item else { return };
        sink.text(&a.name);
        sink.unsigned(a.uid);
        sink.unsigned(a.gid);
        sink.text(&a.group_name);
        sink.texts(&a.groups);
        sink.text(&a.home);
        sink.text(&a.shell);
        sink.text(&a.comment);
        sink.flag(a.enabled);
        sink.flag(a.sudo);
        sink.flag(Some(a.interactive));
        sink.small(a.login_type as i16);
        sink.time(instant(a.password_change_time));
        sink.time(instant(a.password_expire_time));
        sink.small(a.password_status as i16);
        sink.time(instant(a.last_login_time));
        sink.text(&a.last_login_source);
        sink.text(&a.last_login_terminal);
        sink.flag(Some(a.escaped));
        sink.records(&a.keys.iter().map(authorized_key_texts).collect::<Vec<_>>());
        sink.time(instant(a.account_expire_time));
        sink.number(a.password_warn_days);
        sink.number(a.password_lock_days);
        sink.flag(a.ssh_login);
    }

    fn load(&self, row: &QueryResult) -> Result<Item, DbErr> {
        let m = Model::from_query_result(row, "")?;
        Ok(Item::Account(api::Account {
            name: m.name,
            uid: m.uid,
            gid: m.gid,
            group_name: m.group_name,
            groups: texts(m.further_groups)?,
            home: m.home,
            shell: m.shell,
            comment: m.comment,
            enabled: m.enabled,
            sudo: m.sudo,
            interactive: m.interactive,
            login_type: m.login_type.into(),
            password_change_time: m.password_changed_at.map(timestamp),
            password_expire_time: m.password_expires_at.map(timestamp),
            password_status: m.password_status.into(),
            last_login_time: m.last_login_at.map(timestamp),
            last_login_source: m.last_login_source,
            last_login_terminal: m.last_login_terminal,
            escaped: m.escaped,
            keys: records(m.authorized_keys, authorized_key)?,
            account_expire_time: m.account_expires_at.map(timestamp),
            password_warn_days: m.password_warn_days,
            password_lock_days: m.password_lock_days,
            ssh_login: m.ssh_login,
        }))
    }

    fn rows(&self, whose: Whose<'_>) -> SelectStatement {
        Entity::of(&whose).into_query()
    }

    fn plan(&self, query: &Query, violations: &mut Violations) -> Plan {
        let Query::Account(q) = query else { return Plan::new(FIRST_SEEN, false) };
        let mut plan = match &q.driving {
            Some(Driving::Name(by)) => {
                Plan::new(NAME, true).ranged(drive("name", by, "query.account.name", violations))
            }
            Some(Driving::Uid(uid)) => Plan::new(UID, true).ranged(Condition::all().add(Column::Uid.eq(*uid))),
            None => Plan::new(FIRST_SEEN, false),
        };
        plan.order(q.order, q.driving.is_some(), "query.account.order", violations, |order| match order {
            AccountOrder::Name => NAME,
            AccountOrder::Uid => UID,
            AccountOrder::LastLoginTime => LAST_LOGIN,
            _ => FIRST_SEEN,
        });
        plan = plan.also_text("name", q.also_name.as_ref(), "query.account.also_name", violations);
        plan = plan.also("uid", q.also_uid);
        if let Some(sudo) = q.sudo {
            plan = plan.and(Column::Sudo.eq(sudo));
        }
        if let Some(interactive) = q.interactive {
            plan = plan.and(Column::Interactive.eq(interactive));
        }
        if enumerated::<PasswordStatus>("query.account.password_status", q.password_status, violations) {
            plan = plan.and(Column::PasswordStatus.eq(q.password_status as i16));
        }
        if let Some(gid) = q.gid {
            plan = plan.and(Column::Gid.eq(gid));
        }
        if enumerated::<LoginType>("query.account.login_type", q.login_type, violations) {
            plan = plan.and(Column::LoginType.eq(q.login_type as i16));
        }
        if let Some(enabled) = q.enabled {
            plan = plan.and(Column::Enabled.eq(enabled));
        }
        if let Some(ssh_login) = q.ssh_login {
            plan = plan.and(Column::SshLogin.eq(ssh_login));
        }
        let last_login = within("query.account.last_login", q.last_login_from, q.last_login_until, violations);
        let (from, until) = (q.password_expires_from, q.password_expires_until);
        let password_expires = within("query.account.password_expires", from, until, violations);
        plan.span("last_login_at", last_login).span("password_expires_at", password_expires)
    }

    fn register(&self, registry: Registry) -> Registry {
        registry.erasable(Entity, DataClass::Resource)
    }
}
