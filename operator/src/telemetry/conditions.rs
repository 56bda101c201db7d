//! Conditions in Prometheus' text format.

use std::fmt::Write as _;

use super::Conditioned;

/// The lines before the first series.
pub(super) fn begin(text: &mut String) {
    text.push_str(
        "# HELP post_operator_condition Conditions of PostServices: 1 for what holds now.\n",
    );
    text.push_str("# TYPE post_operator_condition gauge\n");
}

/// One series for each condition of `object`.
pub(super) fn write(text: &mut String, object: &Conditioned) {
    for condition in &object.conditions {
        text.push_str("post_operator_condition{");
        let labels = [
            ("namespace", &object.namespace),
            ("name", &object.name),
            ("type", &condition.type_),
            ("status", &condition.status),
            ("reason", &condition.reason),
        ];
        for (index, (label, value)) in labels.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing into a String does not fail.
            let _ = write!(text, "{comma}{label}=\"{}\"", escape(value));
        }
        text.push_str("} 1\n");
    }
}

/// Escapes a label's value as
/// <https://prometheus.io/docs/instrumenting/exposition_formats/#comments-help-text-and-type-information>
/// asks.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
pub(super) mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    pub(in crate::telemetry) fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn every_condition_is_a_series_and_no_value_breaks_out_of_its_quotes() {
        let mut text = String::new();
        let conditions = vec![
            condition("Ready", "False", "Degraded"),
            condition("Available", "True", "a\"} 7\n\\"),
        ];
        let object = Conditioned {
            namespace: "ns".into(),
            name: "a".into(),
            conditions,
        };
        write(&mut text, &object);
        let expected = concat!(
            r#"post_operator_condition{namespace="ns",name="a",type="Ready",status="False",reason="Degraded"} 1"#,
            "\n",
            r#"post_operator_condition{namespace="ns",name="a",type="Available",status="True",reason="a\"} 7\n\\"} 1"#,
            "\n"
        );
        assert_eq!(text, expected);
    }
}
