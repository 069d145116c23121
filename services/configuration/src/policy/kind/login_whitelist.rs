//! Where, when and by whom logins are expected.
//!
//! Networks are kept in their canonical spelling, so that what is read back may be spelled otherwise than what was
//! sent: `2001:DB8::1` as `2001:db8::1`, `::ffff:192.0.2.1` as `192.0.2.1`.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;

use cwpp_chassis::Violations;
use cwpp_contracts::configuration::v1::{self as wire, PolicyKind};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Kind;

/// Most entries of each list of texts.
const MAX_ENTRIES: usize = 100;
/// Most windows: two a day would do, kept for a week's worth of exceptions.
const MAX_WINDOWS: usize = 14;
/// Most characters of an account's name.
const MAX_ACCOUNT: usize = 255;
/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// The kind.
pub(crate) struct LoginWhitelist;

/// The document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(crate) struct Stored {
    source_networks: Vec<String>,
    accounts: Vec<String>,
    countries: Vec<String>,
    /// Begin and end in minutes of the day.
    windows: Vec<(u32, u32)>,
    time_zone: String,
}

impl Kind for LoginWhitelist {
    const KIND: PolicyKind = PolicyKind::LoginWhitelist;
    const FIELD: &'static str = "login_whitelist";
    type Message = wire::LoginWhitelist;
    type Stored = Stored;

    fn check(message: &wire::LoginWhitelist, at: &str, violations: &mut Violations) -> Stored {
        let mut list = |name: &str, entries: &[String], one: fn(&str) -> Result<String, &'static str>| {
            let at = format!("{at}.{name}");
            collect(&at, entries, MAX_ENTRIES, violations, |entry| one(entry))
        };
        let source_networks = list("source_networks", &message.source_networks, network);
        let accounts = list("accounts", &message.accounts, account);
        let countries = list("countries", &message.countries, country);
        let windows = collect(&format!("{at}.windows"), &message.windows, MAX_WINDOWS, violations, window);
        violations.check(
            message.time_zone.is_empty() || message.time_zone.parse::<chrono_tz::Tz>().is_ok(),
            format!("{at}.time_zone"),
            "must be the IANA name of a time zone, such as Europe/Berlin, or empty for UTC",
        );
        Stored { source_networks, accounts, countries, windows, time_zone: message.time_zone.clone() }
    }

    fn message(stored: Stored) -> wire::LoginWhitelist {
        let windows = stored.windows.into_iter();
        wire::LoginWhitelist {
            source_networks: stored.source_networks,
            accounts: stored.accounts,
            countries: stored.countries,
            windows: windows.map(|(start_minute, end_minute)| wire::TimeWindow { start_minute, end_minute }).collect(),
            time_zone: stored.time_zone,
        }
    }
}

/// Checks each entry of a list, that none repeats another, and that there are not too many.
fn collect<T, V: Clone + Eq + Hash>(
    at: &str,
    entries: &[T],
    max: usize,
    violations: &mut Violations,
    one: impl Fn(&T) -> Result<V, &'static str>,
) -> Vec<V> {
    if !violations.check(entries.len() <= max, at, format!("must have at most {max} entries, has {}", entries.len())) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        match one(entry) {
            Ok(value) if !seen.insert(value.clone()) => {
                violations.push(format!("{at}[{index}]"), "repeats an earlier entry");
            }
            Ok(_) => {}
            Err(description) => violations.push(format!("{at}[{index}]"), description),
        }
    }
    // In the order of the request: people put what matters first.
    entries.iter().filter_map(|entry| one(entry).ok()).collect()
}

/// Spells a network, or a single address, in its canonical form.
fn network(text: &str) -> Result<String, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().to_string());
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| "must be an address or a network in CIDR form, such as 192.0.2.0/24 or 2001:db8::/32")?;
    if net.addr() != net.network() {
        return Err("has bits set behind its prefix: give the network's own address");
    }
    // A mapped network would never match, since addresses of logins are unmapped before they are compared.
    match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            Err("is an IPv4 network mapped into IPv6: write it as an IPv4 network")
        }
        _ if net.prefix_len() == net.max_prefix_len() => Ok(net.addr().to_string()),
        _ => Ok(net.to_string()),
    }
}

fn account(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.chars().count() > MAX_ACCOUNT {
        return Err("must have at most 255 characters");
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(text.to_owned())
}

fn country(text: &str) -> Result<String, &'static str> {
    match text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err("must be an ISO 3166 country code of two upper-case letters, such as DE"),
    }
}

fn window(window: &wire::TimeWindow) -> Result<(u32, u32), &'static str> {
    match (window.start_minute < DAY, (1..=DAY).contains(&window.end_minute)) {
        (true, true) => Ok((window.start_minute, window.end_minute)),
        (false, true) => Err("start_minute must be 0 to 1439"),
        (true, false) => Err("end_minute must be 1 to 1440"),
        (false, false) => Err("start_minute must be 0 to 1439 and end_minute 1 to 1440"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violated(message: &wire::LoginWhitelist) -> Vec<String> {
        let mut violations = Violations::new();
        LoginWhitelist::check(message, "policy.login_whitelist", &mut violations);
        match violations.finish() {
            Ok(()) => Vec::new(),
            Err(error) => error.violations().iter().map(|v| v.field.clone()).collect(),
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_wrong_entry_is_named() {
        let message = wire::LoginWhitelist {
            source_networks: texts(&["10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/33", "web-1", "::ffff:10.0.0.0/104"]),
            accounts: texts(&["root", "", "a\nb", &"x".repeat(256)]),
            countries: texts(&["DE", "de", "DEU", "Ä"]),
            windows: vec![
                wire::TimeWindow { start_minute: 0, end_minute: 1440 },
                wire::TimeWindow { start_minute: 1440, end_minute: 1 },
                wire::TimeWindow { start_minute: 0, end_minute: 0 },
                wire::TimeWindow { start_minute: 1, end_minute: 1441 },
            ],
            time_zone: "Europe/Atlantis".into(),
        };
        let expected = [
            "source_networks[1]",
            "source_networks[2]",
            "source_networks[3]",
            "source_networks[4]",
            "accounts[1]",
            "accounts[2]",
            "accounts[3]",
            "countries[1]",
            "countries[2]",
            "countries[3]",
            "windows[1]",
            "windows[2]",
            "windows[3]",
            "time_zone",
        ];
        assert_eq!(violated(&message), expected.map(|field| format!("policy.login_whitelist.{field}")));
    }

    #[test]
    fn a_repeated_entry_is_named_however_it_is_spelled() {
        let message = wire::LoginWhitelist {
            source_networks: texts(&["2001:db8::1", "2001:DB8:0::1/128", "192.0.2.1", "::ffff:192.0.2.1"]),
            countries: texts(&["DE", "FR", "DE"]),
            ..Default::default()
        };
        let expected = ["source_networks[1]", "source_networks[3]", "countries[2]"];
        assert_eq!(violated(&message), expected.map(|field| format!("policy.login_whitelist.{field}")));
    }

    #[test]
    fn a_list_over_its_limit_is_named_once() {
        let message = wire::LoginWhitelist {
            accounts: vec![String::new(); MAX_ENTRIES + 1],
            windows: vec![wire::TimeWindow { start_minute: 0, end_minute: 60 }; MAX_WINDOWS + 1],
            ..Default::default()
        };
        assert_eq!(violated(&message), ["policy.login_whitelist.accounts", "policy.login_whitelist.windows"]);
    }

    #[test]
    fn a_window_may_go_over_midnight_and_last_a_day() {
        let message = wire::LoginWhitelist {
            windows: vec![
                wire::TimeWindow { start_minute: 1320, end_minute: 360 },
                wire::TimeWindow { start_minute: 480, end_minute: 480 },
            ],
            time_zone: "Asia/Shanghai".into(),
            ..Default::default()
        };
        assert!(violated(&message).is_empty());
    }

    #[test]
    fn what_is_stored_comes_back() {
        let message = wire::LoginWhitelist {
            source_networks: texts(&["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]),
            accounts: texts(&["root", "deploy"]),
            countries: texts(&["DE"]),
            windows: vec![wire::TimeWindow { start_minute: 480, end_minute: 1080 }],
            time_zone: "Europe/Berlin".into(),
        };
        let stored = LoginWhitelist::check(&message, "spec", &mut Violations::new());
        let document = serde_json::to_value(stored).expect("json");
        let stored = serde_json::from_value(document).expect("the same document");
        assert_eq!(LoginWhitelist::message(stored), message);
    }
}
