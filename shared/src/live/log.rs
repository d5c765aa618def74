//! The log of events: one line of JSON for each event. CloudWatch also takes metrics from it (embedded metric format), as from
//! the lines about requests.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::lambda::{print_line, stage};

/// A metric of a line: its name, its unit as CloudWatch spells it, and its value.
pub type Metric = (&'static str, &'static str, f64);

/// The destination of a function's log lines.
#[derive(Clone)]
pub struct LiveLog {
    function: &'static str,
    stage: Arc<str>,
    write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl LiveLog {
    /// The log of a deployed function: the standard output. The stage is the environment's `STAGE`, or `dev`.
    pub fn of_function(function: &'static str) -> Self {
        Self::new(function, &stage(), print_line)
    }

    /// A log that hands each line to `write`, without its end.
    pub fn new(function: &'static str, stage: &str, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { function, stage: stage.into(), write: Arc::new(write) }
    }

    /// A log that nobody reads.
    pub fn silent(function: &'static str) -> Self {
        Self::new(function, "dev", |_| {})
    }

    /// The stage's name.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Writes a line with these metrics and the members of `said`, which is an object.
    pub fn write(&self, metrics: &[Metric], said: Value) {
        let names: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis())
                    .unwrap_or_default(),
                "CloudWatchMetrics": [{
                    "Namespace": "TruePPM/Sync", "Dimensions": [["Stage", "Function"]], "Metrics": names,
                }],
            },
            "Stage": &*self.stage, "Function": self.function, "version": env!("CARGO_PKG_VERSION"),
        });
        if let (Some(line), Value::Object(said)) = (line.as_object_mut(), said) {
            line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), json!(value))));
            line.extend(said);
        }
        (self.write)(&line.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_line_has_its_metrics_and_what_else_is_said() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let log = LiveLog::new("poke", "prod", move |line| written.lock().expect("lines").push(line.to_owned()));
        log.write(&[("Pokes", "Count", 3.0)], json!({"event": "batch"}));
        let line: Value = serde_json::from_str(&lines.lock().expect("lines")[0]).expect("JSON");
        assert_eq!((&line["Pokes"], &line["event"], &line["Function"]), (&json!(3.0), &json!("batch"), &json!("poke")));
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(metrics["Metrics"], json!([{"Name": "Pokes", "Unit": "Count"}]));
        assert_eq!((&metrics["Namespace"], &line["Stage"]), (&json!("TruePPM/Sync"), &json!("prod")));
    }
}
