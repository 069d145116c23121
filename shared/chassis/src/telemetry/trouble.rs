//! A fault of a job that goes on and on: told when it begins, once a minute while it lasts, and when it is over.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a fault that lasts is told again.
const AGAIN: Duration = Duration::from_secs(60);

/// Whether a job's rounds fail.
#[derive(Debug)]
pub struct Trouble {
    job: &'static str,
    told: Option<Instant>,
    rounds: u64,
}

impl Trouble {
    /// Rounds of this job are to be heard of.
    pub fn of(job: &'static str) -> Self {
        Self { job, told: None, rounds: 0 }
    }

    /// Hears how a round ended.
    pub fn hear<T, E: Debug>(&mut self, round: &Result<T, E>) {
        self.hear_at(round, Instant::now());
    }

    fn hear_at<T, E: Debug>(&mut self, round: &Result<T, E>, now: Instant) {
        match round {
            Ok(_) if self.told.take().is_some() => {
                tracing::info!(job = self.job, failed_rounds = self.rounds, "a job works again");
                self.rounds = 0;
            }
            Ok(_) => {}
            Err(error) => {
                self.rounds += 1;
                if self.told.is_none_or(|told| now.duration_since(told) >= AGAIN) {
                    self.told = Some(now);
                    tracing::warn!(job = self.job, error = ?error, failed_rounds = self.rounds, "a round of a job failed; the next will be tried");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::json::tests::Lines;

    #[test]
    fn a_fault_that_lasts_is_told_once_a_minute_and_when_it_is_over() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let told = tracing::subscriber::with_default(log, || {
            let (mut trouble, start) = (Trouble::of("folder"), Instant::now());
            let mut told = Vec::new();
            let rounds =
                [(0, true), (1, false), (3, false), (60, false), (61, false), (62, true), (64, true), (66, false)];
            for (second, ended_well) in rounds {
                let before = lines.text().lines().count();
                let round = if ended_well { Ok(()) } else { Err("no such table") };
                trouble.hear_at(&round, start + Duration::from_secs(second));
                told.extend((lines.text().lines().count() > before).then_some(second));
            }
            told
        });
        assert_eq!(told, [1, 61, 62, 66], "{}", lines.text());
        assert!(lines.text().contains("failed_rounds=4"), "{}", lines.text());
    }
}
