use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_contracts::common::v1::TenantState;
use cwpp_storage::guard::{Want, admit};
use cwpp_storage::{State, Tenanted};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, Statement};
use uuid::Uuid;

use crate::entity::{add_item, an_item, fact, item};
use crate::world::{Tenant, World, both};

/// What each guard says in each state; none where there is no row.
const TABLE: [(Want, [Option<Reason>; 5]); 5] = {
    use Reason::{EpochMismatch, TenantFenced, TenantOpening, TenantReadOnly, TenantUnknown};
    [
        //             missing              OPENING              ACTIVE               READ_ONLY             SEALED
        (Want::Write, [Some(TenantUnknown), Some(TenantOpening), None, Some(TenantReadOnly), Some(TenantFenced)]),
        (Want::WriteWhileClosing, [Some(TenantUnknown), Some(TenantOpening), None, None, Some(TenantFenced)]),
        (Want::Position, [Some(TenantUnknown), None, None, None, Some(TenantFenced)]),
        (Want::Read, [Some(TenantUnknown), Some(TenantOpening), None, None, Some(TenantFenced)]),
        (Want::Purge, [Some(TenantUnknown), Some(EpochMismatch), Some(EpochMismatch), Some(EpochMismatch), None]),
    ]
};

const STATES: [Option<State>; 5] =
    [None, Some(State::Opening), Some(State::Active), Some(State::ReadOnly), Some(State::Sealed)];

#[test]
fn the_table_of_states_and_guards_is_what_admit_says() {
    for (want, answers) in TABLE {
        for (state, answer) in STATES.into_iter().zip(answers) {
            assert_eq!(admit(want, state).err().map(|e| e.reason()), answer, "{want:?} in {state:?}");
        }
    }
}

async fn in_state(w: &World, state: Option<State>) -> Tenant {
    let t = w.nobody();
    if state.is_some() {
        w.db.open_new(&w.system(), t.app_id, t.incarnation, |_| async { Ok(()) }).await.unwrap();
    }
    if !matches!(state, None | Some(State::Opening)) {
        w.open_tenant(&t).await.unwrap();
    }
    match state {
        Some(State::ReadOnly) => drop(w.fence(&t, TenantState::ReadOnly, 1).await.unwrap()),
        Some(State::Sealed) => drop(w.seal(&t, 1).await.unwrap()),
        _ => {}
    }
    t
}

both! {
    async fn a_read_at_once_sees_one_moment_and_may_not_write(w: World) {
        let t = w.tenant().await;
        let (db, scope) = (&w.db, &t.scope);
        let count = |read: std::sync::Arc<cwpp_storage::TenantRead>| async move {
            Ok::<_, cwpp_storage::StoreError>(item::Entity::of(&*read).all(&*read).await?.len())
        };
        let seen = db
            .read_at_once(scope, |read| async move {
                let read = std::sync::Arc::new(read);
                let before = count(read.clone()).await?;
                db.write(scope, |tx| async move { add_item(&tx, Uuid::new_v4(), "a").await }).await?;
                let stmt = Statement::from_string(read.get_database_backend(), "DELETE FROM item");
                assert!(read.execute_raw(stmt).await.is_err());
                Ok((before, count(read).await?))
            })
            .await
            .unwrap();
        assert_eq!(seen, (0, 0));
        let after = db.read(scope, |read| async move { Ok(item::Entity::of(&read).all(&read).await?.len()) }).await;
        assert_eq!(after.unwrap(), 1, "and the next read the next moment");
        w.seal(&t, 1).await.unwrap();
        let sealed = db.read_at_once(scope, |_| async { Ok(()) }).await.unwrap_err();
        assert_eq!(sealed.reason(), Reason::TenantFenced);
    }

    async fn every_guard_answers_as_the_table_says(w: World) {
        for (i, state) in STATES.into_iter().enumerate() {
            let t = in_state(&w, state).await;
            for (want, answers) in TABLE {
                let said = match want {
                    Want::Write => w.db.write(&t.scope, |tx| async move { add_item(&tx, Uuid::new_v4(), "a").await }).await,
                    Want::WriteWhileClosing => {
                        w.db.write_while_closing(&t.scope, |tx| async move { add_item(&tx, Uuid::new_v4(), "b").await }).await
                    }
                    Want::Read => w.db.read(&t.scope, |tx| async move { item::Entity::of(&tx).all(&tx).await?; Ok(()) }).await,
                    // The relay's and the purge's own: below.
                    Want::Position | Want::Purge => continue,
                };
                assert_eq!(said.err().map(|e| e.reason()), answers[i], "{want:?} in {state:?}");
            }
            let purged = w.erase(&t, 1, 1, false).await;
            assert_eq!(purged.err().map(|e| e.reason()), TABLE[4].1[i], "purge in {state:?}");
        }
    }

    async fn a_new_tenant_begins_as_opening_with_its_own_rows(w: World) {
        let t = w.nobody();
        w.db.open_new(&w.system(), t.app_id, t.incarnation, |tx| async move {
            let row = an_item(tx.app_id().get(), Uuid::new_v4(), "first");
            Ok(item::Entity::insert_of(&tx, row.into_active_model()).await?)
        })
        .await
        .unwrap();
        assert_eq!(w.rows(&t).await, 1);
        let again = w.db.open_new(&w.system(), t.app_id, Uuid::new_v4(), |_| async { Ok(()) }).await;
        assert_eq!(again.unwrap_err().reason(), Reason::TenantExists);
        w.open_tenant(&t).await.unwrap();
        w.seal(&t, 1).await.unwrap();
        let again = w.db.open_new(&w.system(), t.app_id, Uuid::new_v4(), |_| async { Ok(()) }).await;
        assert_eq!(again.unwrap_err().reason(), Reason::TenantClosing);
        // A refusal inside takes the fence row back too.
        let other = w.nobody();
        let refused = w.db.open_new(&w.system(), other.app_id, other.incarnation, |_| async {
            Err::<(), _>(cwpp_chassis::Error::new(Reason::LimitReached, "no more tenants").into())
        }).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::LimitReached);
        assert!(w.count(&other).await.unwrap().fence.is_none());
    }

    async fn a_transaction_sees_and_changes_its_tenant_only(w: World) {
        let (a, b) = (w.tenant().await, w.tenant().await);
        for t in [&a, &b] {
            w.db.write(&t.scope, |tx| async move { add_item(&tx, Uuid::nil(), "x").await }).await.unwrap();
        }
        w.db.write(&a.scope, |tx| async move {
            assert_eq!(item::Entity::of(&tx).all(&tx).await?.len(), 1);
            let changed = item::Entity::update_of(&tx).col_expr(item::Column::Name, sea_orm::sea_query::Expr::value("y")).exec(&tx).await?;
            assert_eq!(changed.rows_affected, 1);
            Ok(())
        }).await.unwrap();
        let foreign = b.app_id.get();
        let refused = w.db.write(&a.scope, |tx| async move {
            Ok(item::Entity::insert_of(&tx, an_item(foreign, Uuid::nil(), "z").into_active_model()).await?)
        }).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::Internal);
        w.db.write(&a.scope, |tx| async move {
            item::Entity::delete_of(&tx).exec(&tx).await?;
            Ok(())
        }).await.unwrap();
        assert_eq!((w.rows(&a).await, w.rows(&b).await), (0, 1));
        let left = w.db.read(&b.scope, |tx| async move {
            Ok(item::Entity::of(&tx).filter(item::Column::Name.eq("x")).one(&tx).await?)
        }).await.unwrap().unwrap();
        assert_eq!(left.seen_at.timestamp_micros(), 1_790_000_000_123_456);
        assert_eq!((left.live, left.size, left.score), (true, -7, None));
    }

    async fn many_rows_are_inserted_and_refreshed_in_batches(w: World) {
        let t = w.tenant().await;
        let mut rows: Vec<_> = (0..450).map(|_| an_item(t.app_id.get(), Uuid::nil(), "old")).collect();
        rows.sort_by_key(|r| r.item_key);
        let rows = &rows;
        w.db.write(&t.scope, |tx| async move {
            let models: Vec<item::ActiveModel> = rows.iter().cloned().map(IntoActiveModel::into_active_model).collect();
            Ok(item::Entity::insert_all_of(&tx, models).await?)
        }).await.unwrap();
        w.db.write(&t.scope, |tx| async move {
            let models = rows.iter().map(|r| item::Model { name: "new".into(), ..r.clone() }.into_active_model()).collect();
            Ok(item::Entity::upsert_all_of(&tx, models, &[item::Column::Name]).await?)
        }).await.unwrap();
        let names = w.db.read(&t.scope, |tx| async move { Ok(item::Entity::of(&tx).all(&tx).await?) }).await.unwrap();
        assert_eq!(names.len(), 450);
        assert!(names.iter().all(|r| r.name == "new"));
    }

    async fn a_system_transaction_reaches_no_table_of_tenants(w: World) {
        w.db.system(&w.system(), |tx| async move {
            fact::Entity::insert(fact::Model { name: "a".into(), value: 1 }.into_active_model()).exec_without_returning(&tx).await?;
            assert_eq!(fact::Entity::find().all(&tx).await?.len(), 1);
            Ok(())
        }).await.unwrap();
        let refused = w.db.system(&w.system(), |tx| async move { Ok(item::Entity::find().all(&tx).await?) }).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::Internal);
        let refused = w.db.system(&w.system(), |tx| async move { Ok(item::Entity::delete_many().exec(&tx).await?) }).await;
        assert_eq!(refused.err().unwrap().reason(), Reason::Internal);
    }

    async fn readers_cannot_write(w: World) {
        let t = w.tenant().await;
        let refused = w.db.read(&t.scope, |tx| async move { item::Entity::delete_of(&tx).exec(&tx).await?; Ok(()) }).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::Internal);
        let refused = w.db.system_read(&w.system(), |tx| async move {
            tx.query_one_raw(Statement::from_string(tx.get_database_backend(), "DELETE FROM item")).await?;
            Ok(())
        }).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::Internal);
    }

    async fn a_long_writer_is_cut_and_the_seal_succeeds(w: World) {
        let t = w.tenant().await;
        let (db, scope) = (w.db.clone(), t.scope.clone());
        let (begun, has_begun) = tokio::sync::watch::channel(false);
        let writer = tokio::spawn(async move {
            let begun = &begun;
            db.write(&scope, |tx| async move {
                add_item(&tx, Uuid::new_v4(), "late").await?;
                begun.send_replace(true);
                tokio::time::sleep(Duration::from_secs(8)).await;
                add_item(&tx, Uuid::new_v4(), "later").await
            }).await
        });
        has_begun.clone().wait_for(|b| *b).await.unwrap();
        let started = std::time::Instant::now();
        w.seal(&t, 1).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "the seal took {:?}", started.elapsed());
        assert_eq!(writer.await.unwrap().unwrap_err().reason(), Reason::DeadlineExceeded);
        assert_eq!(w.rows(&t).await, 0);
    }

    async fn the_fence_moves_as_the_contract_says(w: World) {
        let t = w.tenant().await;
        assert_eq!(w.open_tenant(&t).await.unwrap().state(), TenantState::Active, "safe to repeat");
        let stranger = Tenant { incarnation: Uuid::new_v4(), ..t.clone() };
        assert_eq!(w.open_tenant(&stranger).await.unwrap_err().reason(), Reason::TenantClosing);
        assert_eq!(w.seal(&stranger, 1).await.unwrap_err().reason(), Reason::TenantUnknown);
        assert_eq!(w.fence(&t, TenantState::ReadOnly, 5).await.unwrap().state(), TenantState::ReadOnly);
        assert_eq!(w.unfence(&t, 4).await.unwrap_err().reason(), Reason::LeaseLost);
        assert_eq!(w.unfence(&t, 5).await.unwrap().state(), TenantState::Active);
        assert_eq!(w.seal(&t, 4).await.unwrap_err().reason(), Reason::LeaseLost);
        let sealed = w.seal(&t, 6).await.unwrap();
        assert_eq!((sealed.state(), sealed.epoch), (TenantState::Sealed, 1));
        assert_eq!(w.seal(&t, 7).await.unwrap().epoch, 1, "safe to repeat");
        assert_eq!(w.fence(&t, TenantState::ReadOnly, 7).await.unwrap_err().reason(), Reason::InvalidTransition);
        assert_eq!(w.unfence(&t, 7).await.unwrap_err().reason(), Reason::InvalidTransition);
        assert_eq!(w.open_tenant(&t).await.unwrap_err().reason(), Reason::TenantClosing);
        assert_eq!(w.fence(&t, TenantState::Active, 7).await.unwrap_err().reason(), Reason::InvalidField);
    }
}
