//! Log lines in JSON.
//!
//! They are those of tracing-subscriber's own format, which writes each token by itself through two
//! adaptors: for a request's line that took a quarter of the processor time of the cheapest request. What
//! is common here is written by serde into one buffer; the rest is left to that format.

use jiff::Timestamp;
use serde::{Serializer, ser::SerializeMap};
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_serde::SerdeMapVisitor;
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

/// About as long as a request's line.
const LINE_BYTES: usize = 384;
/// Of events that another crate told the `log` crate, whose origin is among their fields.
const FROM_LOG: &str = "log";

/// Writes lines like this format's.
pub(super) struct JsonLines(pub(super) Format<Json>);

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if context.lookup_current().is_some() || event.metadata().target() == FROM_LOG {
            return self.0.format_event(context, writer, event);
        }
        let mut line = Vec::with_capacity(LINE_BYTES);
        write(event, &mut line).map_err(|_| fmt::Error)?;
        line.push(b'\n');
        writer.write_str(str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

fn write(event: &Event<'_>, line: &mut Vec<u8>) -> serde_json::Result<()> {
    let mut serializer = serde_json::Serializer::new(line);
    let mut map = serializer.serialize_map(None)?;
    // In microseconds.
    map.serialize_entry("timestamp", &format_args!("{:.6}", Timestamp::now()))?;
    map.serialize_entry("level", event.metadata().level().as_str())?;
    let mut fields = SerdeMapVisitor::new(map);
    event.record(&mut fields);
    let mut map = fields.take_serializer()?;
    map.serialize_entry("target", event.metadata().target())?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The one line that is logged, in our way and in the original one, without its time.
    fn both(log: impl Fn()) -> [Value; 2] {
        [true, false].map(|is_ours| {
            let lines = Lines::default();
            let writer = lines.clone();
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_writer(move || writer.clone());
            let layer = if is_ours {
                Box::new(layer.map_event_format(JsonLines))
                    as Box<dyn tracing_subscriber::Layer<_> + Send + Sync>
            } else {
                Box::new(layer)
            };
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::with_default(subscriber, &log);
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            let mut line: Value = serde_json::from_str(&text).unwrap();
            let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            let time = time.as_str().unwrap();
            assert_eq!(time.len(), "2026-01-02T03:04:05.123456Z".len(), "{time}");
            line
        })
    }

    #[test]
    fn a_line_says_what_the_original_one_says() {
        let [ours, original] = both(|| {
            let (none, some) = (None::<u64>, Some(1.5));
            tracing::info!(id = %"x\"y", n = -3, big = u64::MAX, none, some, yes = true, "a \n line");
        });
        assert_eq!(ours, original);
        assert_eq!((&ours["id"], &ours["some"]), (&json!("x\"y"), &json!(1.5)));
        assert_eq!(ours["message"], "a \n line");
        assert!(ours.get("none").is_none(), "{ours}");
    }

    #[test]
    fn inside_of_a_request_a_line_tells_its_span() {
        let [ours, original] = both(|| {
            let span = tracing::info_span!("request", request_id = "r1");
            span.in_scope(|| tracing::warn!("trouble"));
        });
        assert_eq!(ours, original);
        assert_eq!(ours["span"]["request_id"], "r1");
    }
}
