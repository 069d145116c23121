use super::*;

fn time(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + hours * 3600, 123_456_000).unwrap()
}

fn certificate() -> Certificate {
    Certificate {
        format: FORMAT.into(),
        deletion_id: Uuid::now_v7(),
        incarnation: Uuid::now_v7(),
        cause: "TERMINATION".into(),
        times: Times {
            effective: time(0),
            sealed: time(24),
            purged: time(25),
            verified: time(25),
            certified: time(97),
            deadline: time(144),
        },
        method: "rows deleted".into(),
        services: vec![Service {
            name: "inventory".into(),
            deleted: vec![Deleted { data_class: "RESOURCE".into(), rows: 740_000 }],
            tables_counted: 31,
            registry_hash: "ab".repeat(32),
        }],
        backups: Backups { horizon_seconds: 72 * 3600, assurance: "DECLARED".into(), expired: time(97) },
        build: Build { version: "0.1.0".into(), commit: "unknown".into() },
        ledger: LedgerHead { seq: 7, hash: "cd".repeat(32) },
    }
}

#[test]
fn a_signed_certificate_verifies_and_says_what_was_signed() {
    let signer = Signer::generate();
    let said = certificate();
    let text = sign(&said, &signer).unwrap();
    assert_eq!(verify(&text, &signer.public()).unwrap(), said);
    assert_eq!(verify(&format!("  {text}\n"), &signer.public()).unwrap(), said);
    assert_eq!(embedded_key(&text).unwrap(), signer.public());
}

#[test]
fn the_text_is_canonical() {
    let signer = Signer::generate();
    let text = sign(&certificate(), &signer).unwrap();
    let again: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_jcs::to_string(&again).unwrap(), text);
}

#[test]
fn every_changed_character_is_noticed() {
    let signer = Signer::generate();
    let said = certificate();
    let text = sign(&said, &signer).unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        // A change that stays canonical base64 of the same bytes, or the same value, would be none; there is no such.
        assert!(verify(&changed, &signer.public()).is_err(), "a change at {at} of {text} was not noticed");
    }
}

#[test]
fn another_number_of_rows_is_tampering() {
    let signer = Signer::generate();
    let text = sign(&certificate(), &signer).unwrap();
    let changed = text.replace("740000", "740001");
    assert_ne!(text, changed);
    assert_eq!(verify(&changed, &signer.public()), Err(Problem::Tampered));
}

#[test]
fn a_certificate_of_another_key_is_told_apart_from_a_changed_one() {
    let (ours, theirs) = (Signer::generate(), Signer::generate());
    let text = sign(&certificate(), &theirs).unwrap();
    assert!(matches!(verify(&text, &ours.public()), Err(Problem::WrongKey { .. })));
    // Naming our key in it does not help.
    let forged = text.replace(
        &STANDARD.encode(theirs.public().as_ref().as_bytes()),
        &STANDARD.encode(ours.public().as_ref().as_bytes()),
    );
    assert_eq!(verify(&forged, &ours.public()), Err(Problem::Tampered));
}

#[test]
fn what_is_no_certificate_is_said_to_be_none() {
    let signer = Signer::generate();
    for text in ["", "{}", "[]", "certificate", "{\"certificate\":{},\"public_key\":\"AA==\",\"signature\":\"\"}"] {
        assert!(matches!(verify(text, &signer.public()), Err(Problem::Malformed(_))), "{text}");
    }
}

#[test]
fn a_signed_certificate_with_impossible_times_is_refused() {
    let signer = Signer::generate();
    let mut said = certificate();
    said.times.certified = time(96);
    let text = sign(&said, &signer).unwrap();
    assert!(matches!(verify(&text, &signer.public()), Err(Problem::Contradiction(_))));
}

#[test]
fn verifying_takes_less_than_fifty_milliseconds() {
    let signer = Signer::generate();
    let text = sign(&certificate(), &signer).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..10 {
        verify(&text, &signer.public()).unwrap();
    }
    assert!(start.elapsed() < std::time::Duration::from_millis(500));
}
