//! The certificate and the ledger, held against each other and against what they must not hold.

use cwpp_contracts::retention::v1::*;
use cwpp_retention::certificate::{Problem, PublicKey, Signer, embedded_key, sign, verify};
use cwpp_retention::ledger;

use crate::world::*;

async fn verdict(world: &World, certificate: &str) -> VerifyCertificateResponse {
    let request = VerifyCertificateRequest { certificate: certificate.into() };
    world.client().verify_certificate(request).await.unwrap().into_inner()
}

both! {
    async fn a_certificate_verifies_offline_and_says_nothing_personal(world: World) {
        world.config.ledger.file = Some(world.path("ledger.jsonl"));
        world.start().await;
        let tenant = world.tenant(12).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        let answer = world.certify(&deletion).await;
        let key = PublicKey::from_pem(&answer.public_key).unwrap();
        assert_eq!(embedded_key(&answer.certificate).unwrap(), key);
        let said = verify(&answer.certificate, &key).unwrap();
        assert_eq!(said.deletion_id.to_string(), deletion.deletion_id);
        assert_eq!(said.incarnation.to_string(), tenant.incarnation);
        assert_eq!(said.services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), SERVICES);
        for service in &said.services[..3] {
            assert_eq!(service.deleted.len(), 1);
            assert_eq!((service.deleted[0].data_class.as_str(), service.deleted[0].rows), ("RESOURCE", 12));
            assert_eq!(service.registry_hash.len(), 64);
            assert!(service.tables_counted > 3);
        }
        assert_eq!((said.backups.assurance.as_str(), said.backups.horizon_seconds), ("DECLARED", 72 * 3600));
        assert!(said.times.certified <= said.times.deadline);
        assert!(!answer.certificate.contains(&tenant.app_id.to_string()));

        let good = verdict(world, &answer.certificate).await;
        assert_eq!((good.valid, good.problem.as_str()), (true, ""));
        let changed = answer.certificate.replace("\"rows\":12", "\"rows\":13");
        assert_eq!(verify(&changed, &key), Err(Problem::Tampered));
        let bad = verdict(world, &changed).await;
        assert!(!bad.valid && bad.problem.contains("signature"), "{bad:?}");
        let stranger = Signer::generate().public();
        assert!(matches!(verify(&answer.certificate, &stranger), Err(Problem::WrongKey { .. })));

        // The ledger outside the database says the same, and names neither the tenant nor the deletion.
        world.stop().await;
        let text = std::fs::read_to_string(world.path("ledger.jsonl")).unwrap();
        assert_eq!(ledger::verify(&text).unwrap().0, 7);
        for secret in [&tenant.app_id.to_string(), &deletion.deletion_id] {
            assert!(!text.contains(secret.as_str()));
        }
    }

    async fn a_certificate_that_the_ledger_does_not_have_is_not_valid(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        let answer = world.certify(&deletion).await;
        // The same words under our own key, but for one number: as a stolen key would make them.
        let said = verify(&answer.certificate, &PublicKey::from_pem(&answer.public_key).unwrap()).unwrap();
        let pem = std::fs::read_to_string(world.path("signing.pem")).unwrap();
        let mut forged = said.clone();
        forged.services[0].deleted[0].rows = 99;
        let forged = sign(&forged, &Signer::from_pem(&pem).unwrap()).unwrap();
        let bad = verdict(world, &forged).await;
        assert!(!bad.valid && bad.problem.contains("ledger"), "{bad:?}");
        let foreign = sign(&said, &Signer::generate()).unwrap();
        assert!(verdict(world, &foreign).await.problem.contains("another key"));
        assert!(!verdict(world, "nonsense").await.valid);
        let empty = world.client().verify_certificate(VerifyCertificateRequest::default()).await;
        assert_eq!(reason(empty), cwpp_chassis::Reason::InvalidField);
    }

    async fn a_former_key_still_verifies(world: World) {
        world.start().await;
        let tenant = world.tenant(1).await;
        let deletion = world.terminate(&tenant).await;
        world.purge(&deletion).await;
        let answer = world.certify(&deletion).await;
        world.stop().await;
        std::fs::write(world.path("former.pem"), &answer.public_key).unwrap();
        world.config.signing.key_file = Some(world.path("new.pem"));
        world.start().await;
        assert!(!verdict(world, &answer.certificate).await.valid);
        world.stop().await;
        world.config.signing.former_key_files = vec![world.path("former.pem")];
        world.start().await;
        assert!(verdict(world, &answer.certificate).await.valid);
        assert_eq!(world.certificate(&deletion).await.unwrap(), answer, "it is handed out as it was signed");
    }

    async fn the_exported_ledger_goes_on_after_a_crash_in_the_middle_of_a_line(world: World) {
        world.config.ledger.file = Some(world.path("ledger.jsonl"));
        world.start().await;
        let tenant = world.tenant(1).await;
        let deletion = world.terminate(&tenant).await;
        world.stop().await;
        let whole = std::fs::read_to_string(world.path("ledger.jsonl")).unwrap();
        assert_eq!(ledger::verify(&whole).unwrap().0, 1);
        std::fs::write(world.path("ledger.jsonl"), format!("{whole}{{\"entry\":{{\"se")).unwrap();
        world.start().await;
        world.purge(&deletion).await;
        world.stop().await;
        let text = std::fs::read_to_string(world.path("ledger.jsonl")).unwrap();
        assert_eq!(ledger::verify(&text).unwrap().0, 6);
    }
}
