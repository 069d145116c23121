//! What a release stores otherwise is asked for again, spread over a day.

use cwpp_access::{Job, SystemScope};
use cwpp_contracts::inventory::v1::*;
use cwpp_inventory::asset::{form, snapshot};
use cwpp_storage::{Db, Tenanted};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter};
use uuid::Uuid;

use crate::world::*;

const CLASS: AssetClass = AssetClass::SystemPackage;

/// Makes the snapshot of a host look as if another release, or under another decision of the tenant, had stored it.
async fn stored_otherwise(db: &Db, tenant: &Tenant, host: Uuid, change: fn(u64, u64) -> (u64, u64)) {
    db.write(&scope(tenant), |tx| async move {
        let column = snapshot::Column::MachineId;
        let row = snapshot::Entity::of(&tx).filter(column.eq(host)).one(&tx).await?.unwrap();
        let (form, decided) = row.fingerprint.as_u64_pair();
        let (form, decided) = change(form, decided);
        let update = snapshot::Entity::update_of(&tx).filter(column.eq(host));
        let value = Expr::value(Uuid::from_u64_pair(form, decided));
        update.col_expr(snapshot::Column::Fingerprint, value).exec(&tx).await?;
        Ok(())
    })
    .await
    .unwrap();
}

both! {
    async fn what_a_release_stores_otherwise_is_asked_for_when_a_machines_turn_comes(w: World) {
        let tenant = w.tenant().await;
        let mut host = w.host(&tenant, "web-0").await;
        // Of machines that are asked at once there is one in thousands.
        for n in 1.. {
            if form::wait(host.id.parse().unwrap()) > chrono::TimeDelta::minutes(1) {
                break;
            }
            host = w.host(&tenant, &format!("web-{n}")).await;
        }
        let id: Uuid = host.id.parse().unwrap();
        let items = [package("ssl", "1")];
        w.report(&host, &[CLASS], &items).await;
        let decided = async |w: &World| w.negotiate(&host, offers(&[CLASS], &items)).await.unwrap().decisions[0].decision();
        assert_eq!(decided(w).await, Decision::Unchanged);
        let db = w.db().await;
        stored_otherwise(&db, &tenant, id, |form, decided| (!form, decided)).await;
        // The forms are noted at the first contact, which was at the beginning of the test.
        let wait = form::wait(id);
        assert!(wait < chrono::TimeDelta::hours(24));
        w.clock.advance((wait - chrono::TimeDelta::seconds(1)).to_std().unwrap());
        assert_eq!(decided(w).await, Decision::Unchanged);
        w.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(decided(w).await, Decision::Send);
        w.report(&host, &[CLASS], &items).await;
        assert_eq!(decided(w).await, Decision::Unchanged, "stored in the form of this release");

        // What else is stored otherwise is asked for at once.
        stored_otherwise(&db, &tenant, id, |form, decided| (form, !decided)).await;
        assert_eq!(decided(w).await, Decision::Send);
        db.close().await;
    }

    async fn a_release_with_another_form_begins_anew_and_one_with_the_same_does_not(w: World) {
        let db = w.db().await;
        let (class, other) = (CLASS as i16, AssetClass::Account as i16);
        let since = async |now| {
            let forms = form::Forms::load(&db, now).await.unwrap();
            let due = |class| (0..100).filter(|n| forms.is_due(class, Uuid::from_u128(*n), noon() + chrono::TimeDelta::hours(25))).count();
            (due(class), due(other))
        };
        assert_eq!(since(noon()).await, (100, 100));
        assert_eq!(since(noon() + chrono::TimeDelta::hours(25)).await, (100, 100), "a restart changes nothing");
        let scope = SystemScope::job(Job::Harness);
        db.system(&scope, |tx| async move {
            let sql = format!("UPDATE class_form SET form = form + 1 WHERE asset_class = {class}");
            tx.execute_unprepared(&sql).await?;
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(since(noon() + chrono::TimeDelta::hours(25)).await, (0, 100));
        db.close().await;
    }
}
