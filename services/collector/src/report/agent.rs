//! The agent: does everything at its time until it is told to stop.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::Utc;
use cwpp_chassis::Reason;
use tokio::time::{Instant, sleep_until};

use super::{ClassReport, ComponentState, Heard, ReportError, Reporter};
use crate::class::Class;
use crate::machine::LoadSampler;
use crate::spool::Spool;
use crate::{Root, Snapshot};

/// The part of the agent that reads the log.
const AUTH_LOG: &str = "auth-log";

/// How often things are done.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// The sign of life.
    pub heartbeat: Duration,
    /// The report of each class for which the tenant says nothing else. None is reported more often than there is a sign of
    /// life.
    pub report: Duration,
    /// A look into the log.
    pub events: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Intervals {
            heartbeat: Duration::from_secs(60),
            report: Duration::from_secs(3_600),
            events: Duration::from_secs(10),
        }
    }
}

/// Watches one host.
pub struct Agent {
    root: Root,
    reporter: Reporter,
    spool: Option<Spool>,
    sampler: LoadSampler,
    intervals: Intervals,
    /// When each class is reported next; those that were never are due at once.
    next: HashMap<Class, Instant>,
    /// The classes that could be read and that the tenant wanted when it was asked last. Any other it is asked about before
    /// it is read.
    on: HashSet<Class>,
}

impl Agent {
    /// An agent of the host below `root`, with the spool of its log if there is one.
    pub fn new(root: Root, mut reporter: Reporter, spool: Option<Spool>, intervals: Intervals) -> Self {
        reporter.tell(AUTH_LOG, if spool.is_some() { ComponentState::Running } else { ComponentState::Stopped });
        let (sampler, next, on) = (LoadSampler::new(root.clone()), HashMap::new(), HashSet::new());
        Agent { root, reporter, spool, sampler, intervals, next, on }
    }

    /// Reads and sends everything once; fails where not all of it was taken.
    pub async fn once(&mut self) -> Result<(), ReportError> {
        let mut is_taken = self.report().await?;
        if self.heartbeat().await? {
            is_taken = self.report().await?;
        }
        self.events().await?;
        if is_taken { Ok(()) } else { Err(ReportError::Refused) }
    }

    /// Works until the future is dropped. What fails is logged and tried again at its next time.
    pub async fn run(&mut self) {
        let start = Instant::now();
        // The first heartbeat waits a moment, for the processors' load to have two samples.
        let (mut report, mut events) = (start, start);
        let mut heartbeat = start + self.intervals.heartbeat.min(Duration::from_secs(2));
        self.sampler.sample();
        loop {
            sleep_until(report.min(events).min(heartbeat)).await;
            let now = Instant::now();
            if heartbeat <= now {
                if told("heartbeat", self.heartbeat().await) == Some(true) {
                    report = now;
                }
                heartbeat = now + spread(self.intervals.heartbeat);
            }
            if report <= now {
                let done = told("report", self.report().await);
                // A failed report is tried again soon, but not so soon that a busy server gets busier.
                report = match self.next.values().min() {
                    Some(next) if done.is_some() => *next,
                    _ => now + spread(self.intervals.heartbeat),
                };
            }
            if events <= now {
                told("events", self.events().await);
                events = now + self.intervals.events;
            }
        }
    }

    /// Reports what is due; says whether the server took all that was read.
    async fn report(&mut self) -> Result<bool, ReportError> {
        let now = Instant::now();
        let is_due = |class: &Class| self.next.get(class).is_none_or(|next| *next <= now);
        let (mut due, ask): (Vec<Class>, Vec<Class>) =
            Class::ALL.into_iter().filter(is_due).partition(|class| self.on.contains(class));
        if due.is_empty() && ask.is_empty() {
            return Ok(true);
        }
        let mut snapshot = self.facts().await?;
        let registered = self.reporter.register(&snapshot).await?;
        // One spread for all, so that classes of the same interval stay together.
        let spread = spread(Duration::from_secs(1)).as_secs_f64();
        let later = |wanted: Option<&Duration>| {
            let wanted = wanted.copied().unwrap_or(self.intervals.report);
            now + wanted.max(self.intervals.heartbeat).mul_f64(spread)
        };
        let mut told = HashMap::new();
        if !ask.is_empty() {
            let wanted = self.reporter.ask(&ask, Utc::now()).await?;
            // How often to ask about a class that is off, nobody says.
            self.next.extend(wanted.off.iter().map(|class| (*class, later(None))));
            due.extend(&wanted.on);
            self.on.extend(wanted.on);
            told = wanted.intervals;
        }
        let root = self.root.clone();
        snapshot = tokio::task::spawn_blocking(move || snapshot.with(&root, &due)).await?;
        let report = self.reporter.report(&snapshot).await?;
        for (class, done) in &report.classes {
            self.next.insert(*class, later(report.intervals.get(class).or_else(|| told.get(class))));
            // Of a class that was not read the report hears no decision: it is asked about before it is read again.
            if matches!(done, ClassReport::Disabled | ClassReport::NotRead { .. }) {
                self.on.remove(class);
            }
        }
        tracing::info!(
            machine_id = registered.machine_id,
            created = registered.created,
            written = report.written(),
            "reported"
        );
        Ok(!report.classes.iter().any(|(_, done)| matches!(done, ClassReport::Refused { .. })))
    }

    async fn facts(&self) -> Result<Snapshot, ReportError> {
        let root = self.root.clone();
        Ok(tokio::task::spawn_blocking(move || Snapshot::of_machine(&root, Utc::now())).await?)
    }

    /// Gives a sign of life; true when everything is to be reported at once.
    async fn heartbeat(&mut self) -> Result<bool, ReportError> {
        let load = self.sampler.sample();
        let was_contested = self.reporter.settled().is_err();
        let heard = self.reporter.heartbeat(&load, Utc::now()).await?;
        // The machine was deleted there, or is another host's: this one comes back as a new one.
        if heard == Heard::Lost {
            self.next.clear();
            self.on.clear();
        }
        // What was held back is sent as soon as it is settled whose id it is.
        Ok(heard == Heard::Lost || (heard == Heard::Well && was_contested))
    }

    /// Reads the log and sends what is new. Whether that works is told at once when it changes, and with each report.
    async fn events(&mut self) -> Result<(), ReportError> {
        let done = self.send_log().await;
        let state = match &done {
            _ if self.spool.is_none() => return done,
            Ok(()) => ComponentState::Running,
            Err(ReportError::Spool(_) | ReportError::SpoolRefused) => ComponentState::Failed,
            // That the server does not answer says nothing of the log.
            Err(_) => return done,
        };
        if self.reporter.tell(AUTH_LOG, state) && self.reporter.machine_id().is_some() {
            let snapshot = self.facts().await?;
            told("state of the log", self.reporter.register(&snapshot).await);
        }
        done
    }

    async fn send_log(&mut self) -> Result<(), ReportError> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        loop {
            let ingested = spool.ingest(Utc::now())?;
            if ingested.lost {
                tracing::warn!("the log was cut or rotated away before it was read: events may be missing");
            }
            if self.reporter.machine_id().is_some() && self.reporter.settled().is_ok() {
                self.reporter.send_events(spool).await?;
            }
            if !ingested.more {
                return Ok(());
            }
        }
    }
}

/// What was done; none where it failed, which is logged.
fn told<T>(what: &'static str, result: Result<T, ReportError>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        // Before the first report has come through, nothing else can.
        Err(ReportError::NotRegistered) => None,
        Err(e) => {
            let reason = e.reason().map(Reason::as_str);
            tracing::warn!(what, reason, error = %e, "could not be sent");
            None
        }
    }
}

/// A tenth more or less, so that machines that were started together do not stay together.
fn spread(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}
