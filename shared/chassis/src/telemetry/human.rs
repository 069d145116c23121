//! A line of text for people, with the ids of the call it belongs to.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Writer, format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes the library's compact form, which ends with the fields of the spans, then `request_id` where none of them has it, and
/// `trace_id`; the ids come from the call's task, as in the other form.
pub(super) struct Human;

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (compact, mut line) = (format().compact().with_ansi(writer.has_ansi_escapes()), String::new());
        compact.format_event(context, Writer::new(&mut line), event)?;
        write!(writer, "{}", line.trim_end_matches('\n'))?;
        let is_named =
            |id: &str| line.contains(&format!("request_id={id}")) || line.contains(&format!("request_id={id:?}"));
        if let Some(id) = crate::request_id::current().filter(|id| !is_named(id)) {
            write!(writer, " request_id={id}")?;
        }
        if let Some(id) = crate::request_id::trace_id() {
            write!(writer, " trace_id={id}")?;
        }
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::json::tests::Lines;

    #[tokio::test]
    async fn a_line_names_its_call_once_in_a_span_and_outside() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).event_format(Human).with_writer(move || writer.clone());
        let _log = tracing::subscriber::set_default(log.finish());
        let ids = crate::request_id::Ids::new("order-66".into());
        ids.trace.set("4bf92f".to_owned()).unwrap();
        ids.scope(async {
            tracing::info_span!("call", request_id = "order-66").in_scope(|| tracing::warn!(rows = 3, "written"));
            tracing::warn!("outside");
        })
        .await;
        tracing::warn!("later");
        let text = lines.text();
        let [inside, outside, later] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        for line in [inside, outside] {
            assert_eq!(line.matches("order-66").count(), 1, "{line}");
            assert!(line.ends_with(" trace_id=4bf92f"), "{line}");
        }
        assert!(inside.contains("written") && inside.contains("rows=3"), "{inside}");
        assert!(!later.contains("_id="), "{later}");
    }
}
