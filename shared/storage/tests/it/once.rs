use cwpp_chassis::{Error, Reason};
use cwpp_contracts::configuration::v1::GetTenantRequest;
use cwpp_storage::Once;
use uuid::Uuid;

use crate::entity::add_item;
use crate::world::{Tenant, World, both};

async fn create(w: &World, t: &Tenant, method: &str, id: Uuid, content: u64) -> cwpp_chassis::Result<Once<()>> {
    let request = GetTenantRequest { app_id: content };
    w.db.write_once(&t.scope, method, Some(id), &request, |tx| async move {
        add_item(&tx, Uuid::new_v4(), "a").await?;
        Ok(((), vec![id]))
    })
    .await
}

both! {
    async fn a_repeated_request_does_its_work_once(w: World) {
        let t = w.tenant().await;
        let id = Uuid::new_v4();
        assert_eq!(create(&w, &t, "/a", id, 1).await.unwrap(), Once::Done(()));
        assert_eq!(create(&w, &t, "/a", id, 1).await.unwrap(), Once::Replayed(vec![id]));
        let mut raw = w.raw().await;
        assert_eq!(raw.number("SELECT COUNT(*) FROM item").await, Some(1));
        assert_eq!(create(&w, &t, "/a", Uuid::new_v4(), 1).await.unwrap(), Once::Done(()));
    }

    async fn the_same_id_with_another_content_or_method_is_refused(w: World) {
        let (t, other) = (w.tenant().await, w.tenant().await);
        let id = Uuid::new_v4();
        create(&w, &t, "/a", id, 1).await.unwrap();
        for (method, content) in [("/a", 2), ("/b", 1)] {
            let error = create(&w, &t, method, id, content).await.unwrap_err();
            assert_eq!(error.reason(), Reason::RequestIdReused);
        }
        assert_eq!(create(&w, &other, "/a", id, 2).await.unwrap(), Once::Done(()), "ids are the tenant's own");
    }

    async fn a_request_that_failed_may_be_tried_again(w: World) {
        let t = w.tenant().await;
        let id = Uuid::new_v4();
        let request = GetTenantRequest { app_id: 1 };
        let failed: cwpp_chassis::Result<Once<()>> = w.db.write_once(&t.scope, "/a", Some(id), &request, |tx| async move {
            add_item(&tx, Uuid::new_v4(), "a").await?;
            Err(Error::new(Reason::InvalidField, "no").into())
        }).await;
        assert_eq!(failed.unwrap_err().reason(), Reason::InvalidField);
        assert_eq!(create(&w, &t, "/a", id, 1).await.unwrap(), Once::Done(()));
        assert_eq!(w.raw().await.number("SELECT COUNT(*) FROM item").await, Some(1));
    }

    async fn of_two_at_once_one_does_the_work(w: World) {
        let t = w.tenant().await;
        let id = Uuid::new_v4();
        let calls = futures::future::join_all((0..8).map(|_| create(&w, &t, "/a", id, 1))).await;
        let done = calls.iter().filter(|c| matches!(c, Ok(Once::Done(())))).count();
        assert_eq!(done, 1);
        assert!(calls.iter().all(|c| c.as_ref().map_or_else(|e| e.reason() == Reason::Conflict, |_| true)));
        assert_eq!(w.raw().await.number("SELECT COUNT(*) FROM item").await, Some(1));
    }
}
