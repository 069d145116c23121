//! The time of a log line. The old form has neither year nor zone: both are inferred.

use chrono::{DateTime, Days, Local, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use serde::{Deserialize, Serialize};

use crate::Root;

/// The zone in which a log without zones is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// That of this process.
    Local,
    /// A named one.
    Named(chrono_tz::Tz),
}

impl Zone {
    /// The zone of the host below a root; UTC when it says none.
    pub fn of(root: &Root) -> Self {
        if root.is_host() {
            return Zone::Local;
        }
        let link = root.resolve("/etc").ok().and_then(|etc| std::fs::read_link(etc.join("localtime")).ok());
        let name = link.and_then(|target| {
            let target = target.to_string_lossy().into_owned();
            target.split_once("zoneinfo/").map(|(_, name)| name.to_owned())
        });
        let name = name.or_else(|| root.read_trimmed("/etc/timezone"));
        Zone::Named(name.and_then(|name| name.parse().ok()).unwrap_or(chrono_tz::UTC))
    }

    fn utc(self, time: NaiveDateTime) -> DateTime<Utc> {
        match self {
            Zone::Local => resolve(&Local, time),
            Zone::Named(zone) => resolve(&zone, time),
        }
    }
}

/// The first of two possible moments; a moment that a clock change left out is taken an hour later.
fn resolve<T: TimeZone>(zone: &T, time: NaiveDateTime) -> DateTime<Utc> {
    let found = zone.from_local_datetime(&time).earliest();
    let found = found.or_else(|| zone.from_local_datetime(&(time + TimeDelta::hours(1))).earliest());
    found.map_or_else(|| time.and_utc(), |found| found.with_timezone(&Utc))
}

/// How the year of the first line is found; later lines follow it over each New Year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YearRule {
    /// It is this one.
    First(i32),
    /// The latest year in which the line is not in the future of this moment.
    Before(DateTime<Utc>),
}

/// The time of the last line; what the next one is held against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Clock {
    last: Option<NaiveDateTime>,
}

/// Lines may be this much out of order without a year having passed.
const DISORDER: Days = Days::new(7);

impl Clock {
    /// The moment of a line in the old form.
    pub(super) fn old(&mut self, stamp: Stamp, rule: YearRule, zone: Zone) -> Option<DateTime<Utc>> {
        let time = match (self.last, rule) {
            (Some(last), _) => {
                let year = chrono::Datelike::year(&last);
                let same = stamp.in_year(year);
                match same {
                    Some(time) if time >= last.checked_sub_days(DISORDER)? => {
                        // On New Year's day a late line of the old year.
                        let before = stamp.in_year(year - 1).filter(|before| *before >= last - DISORDER);
                        before.unwrap_or(time)
                    }
                    _ => stamp.in_later_year(year + 1)?,
                }
            }
            (None, YearRule::First(year)) => stamp.in_later_year(year)?,
            (None, YearRule::Before(now)) => {
                let limit = now + TimeDelta::days(1);
                let year = chrono::Datelike::year(&limit);
                (0..=8).filter_map(|back| stamp.in_year(year - back)).find(|time| zone.utc(*time) <= limit)?
            }
        };
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
        Some(zone.utc(time))
    }

    /// Takes note of a line in the new form, so that files that mix both stay in order.
    pub(super) fn new_form(&mut self, time: NaiveDateTime) {
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }
}

/// A time without a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Stamp {
    /// Reads `Nov 24 07:36:36` (`Nov  4` for days below ten) and gives what follows it.
    pub(super) fn parse(line: &str) -> Option<(Stamp, &str)> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = MONTHS.iter().position(|name| line.starts_with(name))? as u32 + 1;
        let (day, rest) = line.get(3..)?.trim_start().split_once(' ')?;
        let (time, rest) = rest.trim_start().split_once(' ')?;
        let mut parts = time.split(':').map(|part| part.parse::<u32>().ok());
        let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() {
            return None;
        }
        let stamp = Stamp { month, day: day.parse().ok()?, hour, minute, second: second.min(59) };
        // 29 February exists in a leap year; anything else must exist in any.
        stamp.in_year(2000)?;
        Some((stamp, rest))
    }

    fn in_year(self, year: i32) -> Option<NaiveDateTime> {
        NaiveDate::from_ymd_opt(year, self.month, self.day)?.and_hms_opt(self.hour, self.minute, self.second)
    }

    /// The first year from `year` on that has such a day.
    fn in_later_year(self, year: i32) -> Option<NaiveDateTime> {
        (0..=8).find_map(|later| self.in_year(year + later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(rule: YearRule, lines: &[&str]) -> Vec<String> {
        let mut clock = Clock::default();
        let read = |line: &&str| {
            let (stamp, _) = Stamp::parse(&format!("{line} host")).unwrap();
            clock.old(stamp, rule, Zone::Named(chrono_tz::UTC)).unwrap().format("%Y-%m-%d").to_string()
        };
        lines.iter().map(read).collect()
    }

    #[test]
    fn a_given_year_rolls_over_at_new_year() {
        let lines = [
            "Dec 30 10:00:00",
            "Dec 31 23:59:59",
            "Jan  1 00:00:01",
            "Dec 31 23:59:58",
            "Feb  3 00:00:00",
            "Nov 30 00:00:00",
        ];
        assert_eq!(
            stamps(YearRule::First(2025), &lines),
            ["2025-12-30", "2025-12-31", "2026-01-01", "2025-12-31", "2026-02-03", "2026-11-30"]
        );
    }

    #[test]
    fn without_a_year_the_first_line_is_the_latest_not_in_the_future() {
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(
            stamps(YearRule::Before(now), &["Nov 24 07:36:36", "Mar  1 00:00:00"]),
            ["2025-11-24", "2026-03-01"]
        );
        assert_eq!(stamps(YearRule::Before(now), &["Feb 29 07:36:36"]), ["2024-02-29"]);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for line in ["Foo 24 07:36:36 h", "Nov 31 07:36:36 h", "Nov 24 25:00:00 h", "Nov 24", "Nov", ""] {
            assert_eq!(Stamp::parse(line), None, "{line}");
        }
    }
}
