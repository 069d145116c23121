use std::time::Duration;

use cwpp_chassis::Reason;
use cwpp_storage::lease;
use uuid::Uuid;

use crate::world::{World, both};

const LONG: Duration = Duration::from_secs(60);

both! {
    async fn one_holder_at_a_time_and_a_higher_token_each_time(w: World) {
        let (scope, a, b) = (w.system(), Uuid::new_v4(), Uuid::new_v4());
        let first = lease::claim(&w.db, &scope, "job", a, LONG).await.unwrap().unwrap();
        assert_eq!(lease::claim(&w.db, &scope, "job", b, LONG).await.unwrap(), None);
        assert_eq!(lease::claim(&w.db, &scope, "job", a, LONG).await.unwrap(), Some(first), "its own claim goes on");
        lease::release(&w.db, &scope, "job", first).await.unwrap();
        let second = lease::claim(&w.db, &scope, "job", b, LONG).await.unwrap().unwrap();
        assert!(second.token > first.token);
        let late = w.db.system(&scope, |tx| async move { lease::check(&tx, "job", first).await }).await;
        assert_eq!(late.unwrap_err().reason(), Reason::LeaseLost, "the paused one changes nothing when it wakes up");
        w.db.system(&scope, |tx| async move { lease::check(&tx, "job", second).await }).await.unwrap();
    }

    async fn a_lease_that_ran_out_is_taken_over(w: World) {
        let (scope, a, b) = (w.system(), Uuid::new_v4(), Uuid::new_v4());
        let first = lease::claim(&w.db, &scope, "job", a, Duration::from_millis(50)).await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(120)).await;
        let second = lease::claim(&w.db, &scope, "job", b, LONG).await.unwrap().unwrap();
        assert!(second.token > first.token);
        assert_eq!(lease::claim(&w.db, &scope, "job", a, LONG).await.unwrap(), None);
    }

    async fn of_many_who_claim_at_once_one_gets_it(w: World) {
        let scope = w.system();
        let claims = (0..12).map(|_| lease::claim(&w.db, &scope, "job", Uuid::new_v4(), LONG));
        let won = futures::future::join_all(claims).await.into_iter().filter(|c| matches!(c, Ok(Some(_)))).count();
        assert_eq!(won, 1);
    }
}
