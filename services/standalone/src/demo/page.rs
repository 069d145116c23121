//! What a person sees of the demonstration: at most forty lines.

use std::io::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{Row, Table};
use cwpp_contracts::common::v1::Severity;
use cwpp_contracts::incidents::v1::{Incident, incident};

/// Prints lines, or nothing where the summary is wanted as JSON.
pub(crate) struct Page<'a> {
    out: &'a mut dyn Write,
    shown: bool,
}

impl<'a> Page<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, shown: bool) -> Self {
        Self { out, shown }
    }

    /// Prints a line with its head in a column of its own; an empty head goes on with the line before.
    pub(crate) fn line(&mut self, head: &str, text: impl AsRef<str>) -> anyhow::Result<()> {
        if self.shown {
            writeln!(self.out, "{}", format!("{head:<14}{}", text.as_ref()).trim_end())?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Prints incidents, one a line.
    pub(crate) fn incidents(&mut self, incidents: &[Incident]) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_style(NOTHING);
        for incident in incidents {
            table.add_row(row(incident));
        }
        for line in table.to_string().lines() {
            self.line("", line.trim())?;
        }
        Ok(())
    }
}

fn row(incident: &Incident) -> Row {
    let severity =
        Severity::try_from(incident.severity).map_or("?", |s| s.as_str_name()).trim_start_matches("SEVERITY_");
    let (kind, source, account, what) = describe(incident);
    Row::from(vec![severity.to_owned(), kind.to_owned(), source, account, what])
}

/// Returns kind, source, account and what happened, in words.
pub(crate) fn describe(incident: &Incident) -> (&'static str, String, String, String) {
    match &incident.details {
        Some(incident::Details::PasswordCracking(d)) => {
            let account = if d.account.is_empty() { format!("{} accounts", d.accounts) } else { d.account.clone() };
            let end = if d.cracked { ", and got in" } else { "" };
            ("password cracking", d.source_address.clone(), account, format!("{} failed attempts{end}", d.attempts))
        }
        Some(incident::Details::AbnormalLogin(d)) => {
            let flags = [
                (d.risky_place, "place"),
                (d.risky_account, "account"),
                (d.risky_time, "time"),
                (d.risky_source, "source"),
            ];
            let unexpected: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
            (
                "abnormal login",
                d.source_address.clone(),
                d.account.clone(),
                format!("unexpected {}", unexpected.join(", ")),
            )
        }
        None => ("unknown", String::new(), String::new(), String::new()),
    }
}
