//! Which of the agents that speak under one id is the machine.
//!
//! Every start of an agent draws a nonce. A restart is a new nonce whose predecessor never speaks again; a clone is one
//! whose predecessor goes on speaking. The agent that holds the id is the *incumbent*; every other nonce that speaks under
//! the id is a *claim*, which is settled by the next words of the two:
//! - the incumbent speaks after the claim was made: the claim is a clone's, and its agent is to register again;
//! - the incumbent is silent for [`PATIENCE`]: the oldest live claim becomes the incumbent;
//! - the claim comes from the same start of the same kernel: it is a restart, and takes over at once. Should the agent
//!   that it took over from speak again, that one was there first, and takes the id back.
//!
//! A word that was under way while its agent was replaced is no sign of life: words count from [`GRACE`] after a claim.

use chrono::{DateTime, TimeDelta, Utc};
use cwpp_storage::{HasTenant, StoreResult, TenantTx, Tenanted};
use sea_orm::entity::prelude::*;
use sea_orm::{IntoActiveModel, QueryOrder};

use super::liveness;

/// How long an incumbent is silent before a claim takes over; as long as a machine counts as online.
pub const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// How long after a claim a word of the other agent may have been under way.
pub const GRACE: TimeDelta = TimeDelta::seconds(15);
/// Claims that have been silent for so long are forgotten.
const MEMORY: TimeDelta = TimeDelta::hours(1);
/// Most claims of one machine that are kept.
const MOST: usize = 16;

/// An agent that speaks for a machine without being its incumbent.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "machine_claim")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub app_id: i64,
    /// The machine.
    #[sea_orm(primary_key, auto_increment = false)]
    pub machine_id: Uuid,
    /// The number that the agent drew at its start.
    #[sea_orm(primary_key, auto_increment = false)]
    pub nonce: Vec<u8>,
    /// When it spoke first.
    pub since_at: DateTimeUtc,
    /// When it spoke last.
    pub seen_at: DateTimeUtc,
}

/// It refers to nothing.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Tenanted for Entity {
    const APP_ID: Column = Column::AppId;
}

/// What an agent is to the machine under whose id it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the machine.
    Holds,
    /// It may be the machine, started anew, or a clone of it.
    Contested,
    /// It is a clone.
    Clone,
}

/// The claims of a machine while words are heard.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    rows: Vec<Model>,
    changed: bool,
}

impl Claims {
    /// Takes the claims as stored.
    pub fn new(rows: Vec<Model>) -> Self {
        Self { rows, changed: false }
    }

    /// Hears an agent: decides what it is, and changes the incumbent in the liveness row where that is settled. An agent
    /// without a nonce is taken at its word.
    pub fn hear(
        &mut self,
        live: &mut liveness::Model,
        nonce: &[u8],
        boot: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Standing {
        if nonce.is_empty() {
            return Standing::Holds;
        }
        if live.instance_nonce.is_empty() || live.instance_nonce == nonce {
            let since = if live.instance_nonce.is_empty() { now } else { live.nonce_since_at.unwrap_or(now) };
            hold(live, nonce, since, boot, now);
            return Standing::Holds;
        }
        self.changed = true;
        self.rows.retain(|c| c.nonce == nonce || c.seen_at > now - MEMORY);
        let (since, heard) = (live.nonce_since_at.unwrap_or(now), live.nonce_seen_at.unwrap_or(now));
        let Some(at) = self.rows.iter().position(|c| c.nonce == nonce) else {
            return self.first_word(live, nonce, boot, now);
        };
        self.rows[at].seen_at = now;
        let claim = self.rows[at].clone();
        if claim.since_at < since {
            if now <= since + GRACE {
                return Standing::Contested;
            }
            self.replace(at, live);
            hold(live, nonce, claim.since_at, boot, now);
            return Standing::Holds;
        }
        if heard > claim.since_at + GRACE {
            return Standing::Clone;
        }
        let older = |c: &Model| {
            (c.since_at, &c.nonce) < (claim.since_at, &claim.nonce) && c.seen_at > now - PATIENCE && c.nonce != nonce
        };
        if heard > now - PATIENCE || self.rows.iter().any(older) {
            return Standing::Contested;
        }
        self.rows.remove(at);
        hold(live, nonce, claim.since_at, boot, now);
        Standing::Holds
    }

    /// Hears a nonce that never spoke under this id, or too long ago.
    fn first_word(
        &mut self,
        live: &mut liveness::Model,
        nonce: &[u8],
        boot: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Standing {
        let own = Model {
            app_id: live.app_id,
            machine_id: live.machine_id,
            nonce: nonce.to_vec(),
            since_at: now,
            seen_at: now,
        };
        let is_silent = live.nonce_seen_at.is_none_or(|heard| heard <= now - PATIENCE);
        let is_restart = boot.is_some_and(|boot| boot == live.boot);
        if is_restart || (is_silent && self.rows.iter().all(|c| c.seen_at <= now - PATIENCE)) {
            self.rows.push(own);
            self.replace(self.rows.len() - 1, live);
            hold(live, nonce, now, boot, now);
            self.limit();
            return Standing::Holds;
        }
        self.rows.push(own);
        self.limit();
        Standing::Contested
    }

    /// Puts the incumbent in the place of a claim.
    fn replace(&mut self, at: usize, live: &liveness::Model) {
        let now = self.rows[at].seen_at;
        let row = &mut self.rows[at];
        row.nonce.clone_from(&live.instance_nonce);
        row.since_at = live.nonce_since_at.unwrap_or(now);
        row.seen_at = live.nonce_seen_at.unwrap_or(now);
    }

    /// Forgets the claims that have been silent the longest.
    fn limit(&mut self) {
        if self.rows.len() > MOST {
            self.rows.sort_by_key(|c| std::cmp::Reverse(c.seen_at));
            self.rows.truncate(MOST);
        }
    }

    /// Writes the claims of a machine where they changed.
    pub async fn put(self, tx: &TenantTx, machine_id: Uuid) -> StoreResult<()> {
        if !self.changed {
            return Ok(());
        }
        Entity::delete_of(tx).filter(Column::MachineId.eq(machine_id)).exec(tx).await?;
        let mut rows = self.rows;
        rows.sort_by(|a, b| a.nonce.cmp(&b.nonce));
        let rows = rows.into_iter().map(IntoActiveModel::into_active_model).collect();
        Ok(Entity::insert_all_of(tx, rows).await?)
    }
}

fn hold(live: &mut liveness::Model, nonce: &[u8], since: DateTime<Utc>, boot: Option<Uuid>, now: DateTime<Utc>) {
    live.instance_nonce = nonce.to_vec();
    live.nonce_since_at = Some(since);
    live.nonce_seen_at = Some(now);
    if let Some(boot) = boot {
        live.boot = boot;
    }
}

/// Says whether it is not settled yet which of two agents a machine is: a claim was heard lately, and the incumbent not since.
pub fn is_contested(claims: &[Model], live: &liveness::Model, now: DateTime<Utc>) -> bool {
    let (since, heard) = (live.nonce_since_at.unwrap_or(now), live.nonce_seen_at.unwrap_or(now));
    let is_open = |claim: &Model| claim.since_at >= since && heard <= claim.since_at + GRACE;
    claims.iter().any(|claim| claim.machine_id == live.machine_id && claim.seen_at > now - PATIENCE && is_open(claim))
}

/// Finds the claims of machines.
pub async fn claims(db: &(impl ConnectionTrait + HasTenant), machine_ids: &[Uuid]) -> StoreResult<Vec<Model>> {
    let mut found = Vec::new();
    for ids in crate::shape::padded(machine_ids) {
        found.extend(Entity::of(db).filter(Column::MachineId.is_in(ids)).order_by_asc(Column::Nonce).all(db).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Clone, Contested, Holds};

    struct Play {
        live: liveness::Model,
        claims: Claims,
        now: DateTime<Utc>,
    }

    impl Play {
        fn new() -> Self {
            let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
            Self { live: liveness::Model::new(1, Uuid::nil(), now), claims: Claims::default(), now }
        }

        fn at(&mut self, seconds: i64) -> &mut Self {
            self.now = DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap();
            self
        }

        fn beat(&mut self, nonce: u8) -> Standing {
            self.claims.hear(&mut self.live, &[nonce; 16], None, self.now)
        }

        fn start(&mut self, nonce: u8, boot: u128) -> Standing {
            self.claims.hear(&mut self.live, &[nonce; 16], Some(Uuid::from_u128(boot)), self.now)
        }

        fn incumbent(&self) -> u8 {
            self.live.instance_nonce[0]
        }
    }

    #[test]
    fn an_agent_started_anew_on_the_same_kernel_takes_over_at_once() {
        let mut p = Play::new();
        assert_eq!((p.start(1, 7), p.at(60).beat(1)), (Holds, Holds));
        assert_eq!((p.at(70).start(2, 7), p.at(130).beat(2)), (Holds, Holds));
        assert_eq!((p.at(140).start(3, 7), p.at(141).beat(2), p.at(200).beat(3)), (Holds, Contested, Holds));
        assert_eq!(p.incumbent(), 3, "a word that was under way takes nothing back");
    }

    #[test]
    fn a_machine_started_anew_holds_its_id_once_its_former_start_is_silent() {
        let mut p = Play::new();
        p.start(1, 7);
        assert_eq!(p.at(100).start(2, 8), Contested);
        for second in (160..600).step_by(60) {
            assert_eq!(p.at(second).beat(2), Contested);
        }
        assert_eq!(p.at(600).beat(2), Holds);
        assert_eq!(p.at(5_000).start(3, 9), Holds, "silent long enough before");
    }

    #[test]
    fn the_younger_of_two_live_agents_is_the_clone() {
        let mut p = Play::new();
        p.start(1, 7);
        assert_eq!((p.at(10).start(2, 8), p.at(20).beat(1), p.at(30).beat(2)), (Contested, Holds, Contested));
        assert_eq!((p.at(80).beat(1), p.at(90).beat(2)), (Holds, Clone));
        assert_eq!((p.at(2_000).beat(2), p.incumbent()), (Clone, 1), "and stays one");
    }

    #[test]
    fn of_two_agents_on_one_kernel_the_older_takes_its_id_back() {
        let mut p = Play::new();
        p.start(1, 7);
        assert_eq!((p.at(10).start(2, 7), p.at(60).beat(1), p.at(70).beat(2)), (Holds, Holds, Clone));
        assert_eq!((p.at(120).beat(1), p.at(130).beat(2), p.incumbent()), (Holds, Clone, 1));
    }

    #[test]
    fn all_clones_of_one_image_are_told_and_the_loop_ends() {
        let mut p = Play::new();
        for nonce in 1..=12 {
            p.at(i64::from(nonce)).start(nonce, nonce.into());
        }
        let mut told = std::collections::BTreeSet::new();
        for round in 1..4 {
            for nonce in (1..=12).filter(|n| !told.contains(n)).collect::<Vec<u8>>() {
                if p.at(round * 60 + i64::from(nonce)).beat(nonce) == Clone {
                    told.insert(nonce);
                }
            }
        }
        assert_eq!((told, p.incumbent()), ((2..=12).collect(), 1));
    }

    #[test]
    fn of_the_claims_of_a_dead_incumbent_the_oldest_live_one_takes_over() {
        let mut p = Play::new();
        p.start(1, 7);
        p.at(60).start(2, 8);
        p.at(61).start(3, 9);
        for minute in 2..10 {
            p.at(minute * 60).beat(3);
            p.at(minute * 60 + 1).beat(2);
        }
        assert_eq!((p.at(700).beat(3), p.at(701).beat(2), p.at(760).beat(3)), (Contested, Holds, Clone));
    }

    #[test]
    fn claims_are_forgotten_in_the_end() {
        let mut p = Play::new();
        for nonce in 1..=200 {
            p.at(i64::from(nonce)).start(nonce, 7);
        }
        assert_eq!(p.claims.rows.len(), MOST);
        p.at(90_000).start(201, 7);
        assert_eq!(p.claims.rows.len(), 1);
    }
}
