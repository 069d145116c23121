//! Whether a login is one that the tenant expects.
//!
//! A whitelist is a list of conditions; each one that is given must hold. A login is normal if one whitelist that covers
//! the machine admits it. Otherwise its risks are the conditions that fail in the nearest whitelist: the one in which
//! the fewest fail, the first of equals. Without a whitelist there is no verdict.

use std::net::IpAddr;

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;
use cwpp_contracts::configuration::v1::LoginWhitelist;
use ipnet::{IpNet, Ipv4Net};

/// A login that was let in.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// The account.
    pub account: &'a str,
    /// Where it came from, canonical.
    pub source: IpAddr,
    /// When.
    pub time: DateTime<Utc>,
    /// Country of the source (ISO 3166), where it is known.
    pub country: Option<&'a str>,
}

/// Conditions that a login fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Risks {
    /// The place is not expected, or not known while one is asked for.
    pub place: bool,
    /// The account is not expected.
    pub account: bool,
    /// The time is not expected.
    pub time: bool,
    /// The source is not expected.
    pub source: bool,
}

impl Risks {
    /// Returns how many conditions fail.
    pub fn count(self) -> usize {
        [self.place, self.account, self.time, self.source].into_iter().filter(|risk| *risk).count()
    }
}

/// A daily span in minutes of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    start: u32,
    /// Exclusive; not after the start where the span goes over midnight.
    end: u32,
}

impl Window {
    fn holds(self, minute: u32) -> bool {
        if self.start < self.end {
            (self.start..self.end).contains(&minute)
        } else {
            minute >= self.start || minute < self.end
        }
    }
}

/// Expected logins; a condition is none where it is not given.
#[derive(Debug, Clone, Default)]
pub struct Whitelist {
    networks: Option<Vec<IpNet>>,
    accounts: Option<Vec<String>>,
    countries: Option<Vec<String>>,
    /// With the zone; none where its name is not known here, and then no time is expected.
    windows: Option<(Option<Tz>, Vec<Window>)>,
}

impl From<LoginWhitelist> for Whitelist {
    /// A condition that cannot be read stays given and never holds: a typing mistake must not let everybody in.
    fn from(spec: LoginWhitelist) -> Self {
        let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let networks = given(spec.source_networks).map(|list| list.iter().filter_map(|text| network(text)).collect());
        let windows = (!spec.windows.is_empty()).then(|| {
            let zone = if spec.time_zone.is_empty() { Some(Tz::UTC) } else { spec.time_zone.parse().ok() };
            let windows = spec.windows.iter().map(|w| Window { start: w.start_minute, end: w.end_minute }).collect();
            (zone, windows)
        });
        Self { networks, accounts: given(spec.accounts), countries: given(spec.countries), windows }
    }
}

impl Whitelist {
    /// Returns the conditions that the login fails.
    pub fn risks(&self, login: &Login<'_>) -> Risks {
        Risks {
            place: self.countries.as_ref().is_some_and(|countries| {
                !login.country.is_some_and(|here| countries.iter().any(|country| country.eq_ignore_ascii_case(here)))
            }),
            account: self.accounts.as_ref().is_some_and(|accounts| !accounts.iter().any(|name| name == login.account)),
            time: self.windows.as_ref().is_some_and(|(zone, windows)| {
                !zone.is_some_and(|zone| {
                    let local = login.time.with_timezone(&zone);
                    let minute = local.hour() * 60 + local.minute();
                    windows.iter().any(|window| window.holds(minute))
                })
            }),
            source: self
                .networks
                .as_ref()
                .is_some_and(|networks| !networks.iter().any(|network| network.contains(&login.source))),
        }
    }
}

/// Returns why a login is abnormal; nothing where it is normal or where there is no whitelist.
pub fn judge(login: &Login<'_>, whitelists: &[Whitelist]) -> Option<Risks> {
    let nearest = whitelists.iter().map(|whitelist| whitelist.risks(login)).min_by_key(|risks| risks.count())?;
    (nearest.count() > 0).then_some(nearest)
}

/// Reads a network or a single address; one that holds mapped IPv4 addresses becomes their network.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4),
            None => Some(network),
        },
        _ => Some(network),
    }
}

#[cfg(test)]
mod tests {
    use cwpp_contracts::configuration::v1::TimeWindow;

    use super::*;

    fn login(source: &str, time: &str) -> Login<'static> {
        Login {
            account: "alice",
            source: source.parse::<IpAddr>().unwrap().to_canonical(),
            time: time.parse().unwrap(),
            country: None,
        }
    }

    fn noon(source: &str) -> Login<'static> {
        login(source, "2026-03-02T12:00:00Z")
    }

    fn windows(zone: &str, windows: &[(u32, u32)]) -> Whitelist {
        let windows = windows
            .iter()
            .map(|(start_minute, end_minute)| TimeWindow { start_minute: *start_minute, end_minute: *end_minute });
        LoginWhitelist { windows: windows.collect(), time_zone: zone.into(), ..Default::default() }.into()
    }

    fn networks(list: &[&str]) -> Whitelist {
        LoginWhitelist { source_networks: list.iter().map(|s| (*s).to_owned()).collect(), ..Default::default() }.into()
    }

    #[test]
    fn without_a_whitelist_there_is_no_verdict() {
        assert_eq!(judge(&noon("203.0.113.9"), &[]), None);
    }

    #[test]
    fn an_empty_whitelist_admits_every_login() {
        assert_eq!(judge(&noon("203.0.113.9"), &[Whitelist::default()]), None);
    }

    #[test]
    fn each_condition_raises_its_own_flag() {
        let list: Whitelist = LoginWhitelist {
            source_networks: vec!["10.0.0.0/8".into()],
            accounts: vec!["bob".into()],
            countries: vec!["DE".into()],
            windows: vec![TimeWindow { start_minute: 0, end_minute: 60 }],
            time_zone: String::new(),
        }
        .into();
        let all = Risks { place: true, account: true, time: true, source: true };
        assert_eq!(judge(&noon("203.0.113.9"), std::slice::from_ref(&list)), Some(all));
        let inside = Login { account: "bob", country: Some("de"), ..login("10.1.2.3", "2026-03-02T00:30:00Z") };
        assert_eq!(judge(&inside, std::slice::from_ref(&list)), None);
        let elsewhere = Login { country: Some("FR"), ..inside };
        assert_eq!(judge(&elsewhere, &[list]), Some(Risks { place: true, ..Risks::default() }));
    }

    #[test]
    fn a_country_is_not_held_where_the_place_is_unknown() {
        let list: Whitelist = LoginWhitelist { countries: vec!["DE".into()], ..Default::default() }.into();
        assert_eq!(judge(&noon("10.0.0.1"), &[list]), Some(Risks { place: true, ..Risks::default() }));
    }

    #[test]
    fn one_admitting_whitelist_is_enough_and_the_nearest_names_the_risks() {
        let strict: Whitelist = LoginWhitelist {
            source_networks: vec!["10.0.0.0/8".into()],
            accounts: vec!["bob".into()],
            ..Default::default()
        }
        .into();
        let near = networks(&["192.0.2.0/24"]);
        let risks = judge(&noon("203.0.113.9"), &[strict.clone(), near.clone()]);
        assert_eq!(risks, Some(Risks { source: true, ..Risks::default() }));
        assert_eq!(judge(&noon("192.0.2.77"), &[strict, near]), None);
    }

    #[test]
    fn networks_are_cidr_or_single_addresses_of_both_families() {
        let list = networks(&["192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120"]);
        for inside in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1::9", "198.51.100.200"] {
            assert_eq!(judge(&noon(inside), std::slice::from_ref(&list)), None, "{inside}");
        }
        for outside in ["192.0.2.8", "2001:db9::1", "198.51.101.1"] {
            assert!(judge(&noon(outside), std::slice::from_ref(&list)).is_some(), "{outside}");
        }
    }

    #[test]
    fn what_cannot_be_read_admits_nobody() {
        assert!(judge(&noon("10.0.0.1"), &[networks(&["ten"])]).is_some());
        assert!(judge(&noon("10.0.0.1"), &[windows("Mars/Olympus", &[(0, 1440)])]).is_some());
    }

    #[test]
    fn a_window_goes_over_midnight_where_its_end_is_not_after_its_start() {
        let night = windows("", &[(22 * 60, 6 * 60)]);
        for (time, normal) in [
            ("2026-03-02T21:59:59Z", false),
            ("2026-03-02T22:00:00Z", true),
            ("2026-03-02T00:00:00Z", true),
            ("2026-03-02T05:59:59Z", true),
            ("2026-03-02T06:00:00Z", false),
        ] {
            assert_eq!(judge(&login("10.0.0.1", time), std::slice::from_ref(&night)).is_none(), normal, "{time}");
        }
        let always = windows("", &[(480, 480)]);
        assert_eq!(judge(&login("10.0.0.1", "2026-03-02T07:59:00Z"), std::slice::from_ref(&always)), None);
        let late = windows("", &[(1380, 1440)]);
        assert_eq!(judge(&login("10.0.0.1", "2026-03-02T23:59:59Z"), std::slice::from_ref(&late)), None);
        assert!(judge(&login("10.0.0.1", "2026-03-03T00:00:00Z"), &[late]).is_some());
    }

    #[test]
    fn windows_follow_the_zones_clock_changes() {
        // Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.
        let office = windows("Europe/Berlin", &[(8 * 60, 18 * 60)]);
        for (time, normal) in [
            ("2026-03-28T06:59:00Z", false),
            ("2026-03-28T07:00:00Z", true),
            ("2026-03-29T05:59:00Z", false),
            ("2026-03-29T06:00:00Z", true),
            ("2026-10-24T06:00:00Z", true),
            ("2026-10-25T06:30:00Z", false),
            ("2026-10-25T07:00:00Z", true),
        ] {
            assert_eq!(judge(&login("10.0.0.1", time), std::slice::from_ref(&office)).is_none(), normal, "{time}");
        }
        // The hour that the autumn repeats is inside both times; what the spring leaves out does not matter.
        let small_hours = windows("Europe/Berlin", &[(2 * 60, 3 * 60)]);
        for (time, normal) in [
            ("2026-10-25T00:30:00Z", true),
            ("2026-10-25T01:30:00Z", true),
            ("2026-10-25T02:30:00Z", false),
            ("2026-03-29T00:59:00Z", false),
            ("2026-03-29T01:00:00Z", false),
        ] {
            assert_eq!(judge(&login("10.0.0.1", time), std::slice::from_ref(&small_hours)).is_none(), normal, "{time}");
        }
    }
}
