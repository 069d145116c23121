use cwpp_collector::authlog::{AuthEvent, Method, Outcome, Reader, YearRule, Zone, read_events};

use crate::{Host, command};

pub(crate) fn events(log: impl AsRef<[u8]>) -> Vec<AuthEvent> {
    let mut reader = Reader::new(Zone::Named(chrono_tz::UTC), YearRule::First(2026));
    let mut events = Vec::new();
    read_events(log.as_ref(), &mut reader, |event| events.push(event)).unwrap();
    events
}

/// Time, account, source, outcome, method, count in short.
fn short(log: impl AsRef<[u8]>) -> Vec<String> {
    let line = |e: AuthEvent| {
        let method = e.method.map_or("-".to_owned(), |method| format!("{method:?}"));
        format!(
            "{} {} {} {:?} {method} {}",
            e.time.format("%m-%d %H:%M:%S"),
            e.account,
            e.source_address,
            e.outcome,
            e.count
        )
    };
    events(log).into_iter().map(line).collect()
}

const OLD: &str = "\
Nov 24 07:36:30 host CRON[9]: pam_unix(cron:session): session opened for user root
Nov 24 07:36:36 host sshd[123]: Invalid user x from 192.0.2.4 port 22
Nov 24 07:36:36 host sshd[123]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.4
Nov 24 07:36:37 host sshd[123]: Failed password for invalid user x from 192.0.2.4 port 22 ssh2
Nov 24 07:36:38 host sshd[123]: Connection closed by invalid user x 192.0.2.4 port 22 [preauth]
Nov 24 07:36:39 host sshd[124]: Failed password for root from 2001:db8::9 port 50000 ssh2
Nov 24 07:36:41 host sshd[124]: message repeated 4 times: [ Failed password for root from 2001:db8::9 port 50000 ssh2]
Nov 24 07:36:41 host sshd[124]: error: maximum authentication attempts exceeded for root from 2001:db8::9 port 50000 ssh2 [preauth]
Nov 24 07:36:41 host sshd[124]: Disconnecting authenticating user root 2001:db8::9 port 50000: Too many authentication failures [preauth]
Nov 24 07:36:42 host sshd[125]: Accepted publickey for ann from 192.0.2.7 port 40000 ssh2: ED25519 SHA256:abcDEF+/123
Nov 24 07:36:42 host sshd[125]: pam_unix(sshd:session): session opened for user ann(uid=1000) by (uid=0)
Nov  4 07:36:43 host sshd[126]: Accepted keyboard-interactive/pam for ann from ::ffff:192.0.2.8 port 40001 ssh2
";

#[test]
fn the_old_form_is_read() {
    assert_eq!(
        short(OLD),
        [
            "11-24 07:36:37 x 192.0.2.4 FailedUnknownAccount Password 1",
            "11-24 07:36:39 root 2001:db8::9 Failed Password 1",
            "11-24 07:36:41 root 2001:db8::9 Failed Password 4",
            "11-24 07:36:42 ann 192.0.2.7 Accepted PublicKey 1",
            "11-04 07:36:43 ann 192.0.2.8 Accepted KeyboardInteractive 1",
        ]
    );
    assert_eq!(events(OLD)[1].source_port, Some(50_000));
}

#[test]
fn the_new_form_is_read_with_its_zone_and_its_programs() {
    let log = "\
2026-11-24T07:36:36.123456+02:00 host sshd-session[7]: Failed password for root from 192.0.2.4 port 22 ssh2
2026-11-24T07:36:37.123456+00:00 host sshd-auth[8]: Failed keyboard-interactive/pam for root from 192.0.2.4 port 23 ssh2
2026-11-24T07:36:38Z host sshd: Accepted password for root from 192.0.2.4 port 24 ssh2
";
    let events = events(log);
    assert_eq!(events[0].time.to_rfc3339(), "2026-11-24T05:36:36.123456+00:00");
    let methods: Vec<_> = events.iter().map(|event| event.method).collect();
    assert_eq!(methods, [Some(Method::Password), Some(Method::KeyboardInteractive), Some(Method::Password)]);
    assert_eq!(events[2].outcome, Outcome::Accepted);
}

#[test]
fn a_connection_without_a_failed_attempt_counts_once() {
    let log = "\
Nov 24 07:00:00 host sshd[1]: Invalid user admin from 192.0.2.4 port 1
Nov 24 07:00:01 host sshd[1]: Failed none for invalid user admin from 192.0.2.4 port 1 ssh2
Nov 24 07:00:02 host sshd[1]: Connection closed by invalid user admin 192.0.2.4 port 1 [preauth]
Nov 24 07:00:03 host sshd[2]: Connection closed by authenticating user root 192.0.2.4 port 2 [preauth]
Nov 24 07:00:04 host sshd[3]: error: maximum authentication attempts exceeded for ann from 192.0.2.4 port 3 ssh2 [preauth]
Nov 24 07:00:04 host sshd[3]: Disconnecting authenticating user ann 192.0.2.4 port 3: Too many authentication failures [preauth]
Nov 24 07:00:05 host sshd[4]: Invalid user  from 192.0.2.5
";
    assert_eq!(
        short(log),
        [
            "11-24 07:00:00 admin 192.0.2.4 FailedUnknownAccount - 1",
            "11-24 07:00:03 root 192.0.2.4 Failed - 1",
            "11-24 07:00:04 ann 192.0.2.4 Failed - 1",
            "11-24 07:00:05  192.0.2.5 FailedUnknownAccount - 1",
        ]
    );
}

#[test]
fn other_programs_and_broken_lines_yield_nothing() {
    let log = b"\
Nov 24 07:00:00 host su[1]: sshd[2]: Failed password for root from 192.0.2.4 port 1 ssh2
Nov 24 07:00:00 host notsshd[1]: Failed password for root from 192.0.2.4 port 1 ssh2
Nov 24 07:00:00 sshd[1]: Failed password for root from 192.0.2.4 port 1 ssh2
Nov 24 07:00:00 host sshd[1]: Failed password for root from 192.0.2.4 port 99999 ssh2
Nov 24 07:00:00 host sshd[1]: Failed password for root from nowhere port 9 ssh2
Nov 24 07:00:00 host sshd[1]: Failed password for root
Nov 24 07:00:00 host sshd[1]: PAM 2 more authentication failures; rhost=192.0.2.4  user=root
sshd[1]: Failed password for root from 192.0.2.4 port 1 ssh2
0001-01-01T00:00:00Z host sshd[1]: Failed password for root from 192.0.2.4 port 1 ssh2
\xff\xfe\x00

Nov 24 07:00:00 host sshd[1]: Failed password for root from 192.0.2.4 port 7 ssh2\r
Nov 24 07:00:00 host sshd[1]: Failed password for b\xffb from 192.0.2.4 port 8 ssh2";
    let mut reader = Reader::new(Zone::Named(chrono_tz::UTC), YearRule::First(2026));
    let mut events = Vec::new();
    read_events(&log[..], &mut reader, |event| events.push(event)).unwrap();
    assert_eq!(events.iter().map(|event| event.source_port).collect::<Vec<_>>(), [Some(7), Some(8)]);
    assert_eq!((events[1].account.as_str(), events[1].escaped), ("b\\xffb", true));
    assert_eq!(reader.state().statistics.malformed, 3);
}

#[test]
fn an_endless_line_takes_no_memory_and_no_other_line_with_it() {
    let mut log = vec![b'x'; 3 << 20];
    log.extend_from_slice(b"\nNov 24 07:00:00 host sshd[1]: Failed password for root from 192.0.2.4 port 7 ssh2\n");
    assert_eq!(events(log).len(), 1);
}

#[test]
fn the_command_prints_one_event_a_line() {
    let host = Host::new().with("auth.log", OLD);
    let log = host.path().join("auth.log");
    let lines = command(None, &["collect", "--json", "--auth-log", log.to_str().unwrap(), "--year", "2025"]);
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["time"], "2025-11-24T07:36:37Z");
    assert_eq!((&lines[0]["outcome"], &lines[0]["method"]), (&"FAILED_UNKNOWN_ACCOUNT".into(), &"PASSWORD".into()));
    assert_eq!((&lines[2]["count"], &lines[2]["source_address"]), (&4.into(), &"2001:db8::9".into()));
}
