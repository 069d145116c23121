//! Whatever a client calls itself, the address that sshd saw is the one that is reported.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::authlog::events;

const SOURCE: &str = "192.0.2.77";

/// Names made of the pieces that log lines are made of.
fn forged() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" from 6.6.6.6 port 22 ssh2".to_owned()),
        Just(" from 6.6.6.6 port 22 ssh2: RSA SHA256:abc".to_owned()),
        Just(" from 6.6.6.6 port 22 ssh2: RSA-CERT ID".to_owned()),
        Just(" from 6.6.6.6 port 22".to_owned()),
        Just(" 6.6.6.6 port 22 [preauth]".to_owned()),
        Just(" 6.6.6.6 port 22: Too many authentication failures".to_owned()),
        Just(" (serial 1) CA RSA SHA256:abc".to_owned()),
        Just("root".to_owned()),
        Just("invalid user ".to_owned()),
        Just(" for ".to_owned()),
        Just("]".to_owned()),
        Just("message repeated 9 times: [ ".to_owned()),
        Just(": Failed password for root".to_owned()),
        "\\PC{0,12}",
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// All messages that carry a client's name.
fn messages(name: &str) -> Vec<String> {
    let from = format!("{SOURCE} port 4242");
    let mut messages: Vec<String> =
        ["Failed password", "Failed none", "Failed publickey", "Accepted password", "Failed keyboard-interactive/pam"]
            .iter()
            .flat_map(|start| {
                [
                    format!("{start} for invalid user {name} from {from} ssh2"),
                    format!("{start} for {name} from {from} ssh2"),
                ]
            })
            .collect();
    messages.extend([
        format!("Failed publickey for {name} from {from} ssh2: RSA SHA256:AAAA"),
        format!("Accepted gssapi-with-mic for {name} from {from} ssh2: ann@EXAMPLE.ORG"),
        format!("Failed publickey for root from {from} ssh2: RSA-CERT ID {name} (serial 5) CA RSA SHA256:AAAA"),
        format!("Failed publickey for {name} from {from} ssh2: RSA-CERT ID {name} (serial 5) CA RSA SHA256:AAAA"),
        format!("Failed hostbased for root from {from} ssh2: RSA SHA256:AAAA, client user \"{name}\", client host \"{name}\""),
        format!("Invalid user {name} from {from}"),
        format!("Invalid user {name} from {SOURCE}"),
        format!("Connection closed by invalid user {name} {from} [preauth]"),
        format!("Connection closed by authenticating user {name} {from} [preauth]"),
        format!("Disconnecting invalid user {name} {from}: Too many authentication failures [preauth]"),
        format!("Disconnecting invalid user root {from}: Change of username or service not allowed: (root,ssh-connection) -> ({name},ssh-connection) [preauth]"),
        format!("error: maximum authentication attempts exceeded for invalid user {name} from {from} ssh2 [preauth]"),
        format!("Received disconnect from {from}:11: {name} [preauth]"),
        format!("User {name} from {SOURCE} not allowed because not listed in AllowUsers"),
        format!("pam_unix(sshd:auth): authentication failure; rhost={SOURCE}  user={name}"),
    ]);
    let repeated: Vec<String> =
        messages.iter().map(|message| format!("message repeated 3 times: [ {message}]")).collect();
    messages.extend(repeated);
    messages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn forged_user_names_never_change_the_source(name in forged()) {
        let source: IpAddr = SOURCE.parse().unwrap();
        for message in messages(&name) {
            for head in ["Nov 24 07:00:00 host sshd[1]", "2026-11-24T07:36:36.1+00:00 host sshd-session[1]"] {
                for event in events(format!("{head}: {message}\n")) {
                    prop_assert_eq!(event.source_address, source, "{}", message);
                }
            }
        }
    }

    #[test]
    fn an_attempt_keeps_its_forged_name(name in forged()) {
        let log = format!("Nov 24 07:00:00 host sshd[1]: Failed password for invalid user {name} from {SOURCE} port 4242 ssh2\n");
        let found = events(log);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0].account, &name);
        prop_assert_eq!(found[0].count, 1);
    }

    #[test]
    fn no_bytes_make_the_reader_fail(log in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut line = b"Nov 24 07:00:00 host sshd[1]: Failed password for ".to_vec();
        line.extend_from_slice(&log);
        events(&log);
        events(&line);
    }
}

#[test]
fn a_line_that_can_be_read_two_ways_yields_no_event() {
    let forged = "x from 6.6.6.6 port 1 ssh2: RSA-CERT ID from 7.7.7.7 port 1 ssh2: RSA-CERT ID y";
    let log = format!(
        "Nov 24 07:00:00 host sshd[1]: Failed publickey for {forged} from {SOURCE} port 4 ssh2: RSA-CERT ID {forged} (serial 5) CA RSA SHA256:AAAA\n"
    );
    assert!(events(log).is_empty());
}
