//! Tests the alarms of template.yaml. A stranger can make some of them ring, and those must not stop a deployment.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use shared::domain::Error;
use shared::http::Problem;
use shared::storage::MAX_WATCH_SECONDS;
use yaml_rust2::{Yaml, YamlLoader};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The metrics that only the service itself can drive up.
const OF_THE_SERVICE: [&str; 6] =
    ["Errors", "Duration", "ServerError", "KeysUnavailable", "StrongFallback", "NotProven"];
/// The metrics that anyone can drive up: with bad tokens, with a token without a project, by sending much, or by not reading.
const OF_ANYONE: [&str; 11] = [
    "Unauthorized",
    "Forbidden",
    "RateLimited",
    "Throttles",
    "ReadThrottleEvents",
    "WriteThrottleEvents",
    "ConsumedReadCapacityUnits",
    "ConsumedWriteCapacityUnits",
    "IteratorAge",
    "PokesFailed",
    "ConnectCount",
];
/// What is told and stops nothing, though no stranger can cause it: an item that is corrupt already, and a removal that is repeated
/// for two hours, would keep every fix out.
const TOLD_ONLY: [&str; 2] = ["CorruptOrBug", "RemovalsFailed"];
/// Each value of `alarm` in the lines of the functions' logs, with the alarm that tells of it.
const OF_LINES: [(&str, &str); 5] = [
    ("bug", "CorruptOrBugAlarm"),
    ("corrupt", "CorruptOrBugAlarm"),
    ("keys_unavailable", "SyncKeysUnavailableAlarm"),
    ("not_proven", "NotProvenAlarm"),
    ("unavailable", "SyncServerErrorsAlarm"),
];
/// The functions, each with the minimum number of its service alarms.
const FUNCTIONS: [(&str, usize); 4] = [("Sync", 4), ("Rest", 4), ("Live", 4), ("Poke", 2)];
/// This alarm sees the same faults as `Errors` and `ServerError`. It belongs to the API, which is created after the functions'
/// deployments.
const OF_THE_API: &str = "5xx";

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn template() -> Yaml {
    YamlLoader::load_from_str(&read("template.yaml")).expect("YAML").remove(0)
}

/// The template's alarms, by their logical names.
fn alarms(template: &Yaml) -> Vec<(&str, &Yaml)> {
    let resources = template["Resources"].as_hash().expect("resources").iter();
    let alarms = resources.filter(|(_, resource)| resource["Type"].as_str() == Some("AWS::CloudWatch::Alarm"));
    alarms.map(|(name, alarm)| (name.as_str().expect("a name"), &alarm["Properties"])).collect()
}

/// The metrics that an alarm watches.
fn metrics(alarm: &Yaml) -> Vec<&str> {
    let of_expression = alarm["Metrics"].as_vec().into_iter().flatten();
    let of_expression = of_expression.filter_map(|metric| metric["MetricStat"]["Metric"]["MetricName"].as_str());
    alarm["MetricName"].as_str().into_iter().chain(of_expression).collect()
}

/// Whether an alarm is about this function. Its dimensions name `SyncFunction` or `sync`.
fn is_about(alarm: &Yaml, function: &str) -> bool {
    let dimensions = alarm["Dimensions"].as_vec().into_iter().flatten();
    let mut values = dimensions.filter_map(|dimension| dimension["Value"].as_str());
    values.any(|value| value == format!("{function}Function") || value == function.to_lowercase())
}

/// The alarms that roll back a function's deployment.
fn roll_back<'a>(template: &'a Yaml, function: &str) -> BTreeSet<&'a str> {
    let properties = &template["Resources"][format!("{function}Function").as_str()]["Properties"];
    let alarms = properties["DeploymentPreference"]["Alarms"].as_vec().expect("alarms");
    alarms.iter().map(|alarm| alarm.as_str().expect("a name")).collect()
}

#[test]
fn a_deployment_is_rolled_back_by_exactly_those_alarms_that_no_stranger_can_cause() {
    let template = &template();
    let alarms = alarms(template);
    for (name, alarm) in &alarms {
        let metrics = metrics(alarm);
        let is_known = |metric: &&str| {
            OF_THE_SERVICE.contains(metric)
                || OF_ANYONE.contains(metric)
                || TOLD_ONLY.contains(metric)
                || *metric == OF_THE_API
        };
        assert!(!metrics.is_empty() && metrics.iter().all(is_known), "{name}: who can cause {metrics:?}?");
    }
    for (function, at_least) in FUNCTIONS {
        let no_stranger = |alarm: &Yaml| {
            metrics(alarm).iter().all(|metric| OF_THE_SERVICE.contains(metric)) && is_about(alarm, function)
        };
        let expected: BTreeSet<&str> =
            alarms.iter().filter(|(_, alarm)| no_stranger(alarm)).map(|(name, _)| *name).collect();
        assert!(expected.len() >= at_least, "only {expected:?} are about {function}");
        assert_eq!(roll_back(template, function), expected, "{function}");
    }
}

#[test]
fn each_alarm_tells_whoever_is_on_call() {
    for (name, alarm) in alarms(&template()) {
        let told = alarm["AlarmActions"][0].as_vec().map(|action| action.iter().map(Yaml::as_str).collect::<Vec<_>>());
        let expected = ["HasAlarmEmail", "AlarmTopic", "AWS::NoValue"].map(Some);
        assert_eq!(told.as_deref(), Some(&expected[..]), "{name}");
        assert!(alarm["ActionsEnabled"].is_badvalue(), "{name}");
    }
}

#[test]
fn the_runbook_has_each_alarm_and_says_which_of_them_roll_back() {
    let (template, runbook) = (&template(), read("infra/docs/operate.md"));
    let roll_back: BTreeSet<&str> = FUNCTIONS.iter().flat_map(|(function, _)| roll_back(template, function)).collect();
    let rows: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next()).collect();
    for (name, alarm) in alarms(template) {
        let shown = alarm["AlarmName"].as_str().and_then(|name| name.strip_prefix("${AWS::StackName}-${Stage}-"));
        let shown = shown.unwrap_or_else(|| panic!("{name} has a name of its own"));
        let row = rows.iter().find(|row| row.split('`').any(|word| word == shown));
        let row = row.unwrap_or_else(|| panic!("infra/docs/operate.md does not say what {shown} means"));
        assert_eq!(row.contains("(roll"), roll_back.contains(name), "infra/docs/operate.md: {row}");
    }
}

#[test]
fn a_refusal_of_the_gateway_or_of_a_function_is_counted() {
    let template = &template();
    for (name, status) in [("Forbidden", 403), ("RateLimited", 429)] {
        let filter = &template["Resources"][format!("{name}Filter").as_str()]["Properties"];
        let alarm = &template["Resources"][format!("{name}Alarm").as_str()]["Properties"];
        assert_eq!(filter["LogGroupName"].as_str(), Some("ApiLog"));
        let pattern = format!("{{ $.status = {status} }}");
        assert_eq!(filter["FilterPattern"].as_str(), Some(pattern.as_str()));
        let made = &filter["MetricTransformations"][0];
        assert_eq!(made["MetricName"], alarm["MetricName"]);
        assert_eq!(made["MetricNamespace"], alarm["Namespace"]);
    }
    let format = template["Resources"]["Api"]["Properties"]["AccessLogSettings"]["Format"][0].as_str();
    assert!(format.is_some_and(|format| format.contains(r#""status":$context.status,"#)), "{format:?}");
}

/// The values of `alarm` that the code of the functions writes.
fn alarms_of_lines() -> BTreeSet<String> {
    let (mut found, mut directories) = (BTreeSet::new(), vec![format!("{ROOT}/shared"), format!("{ROOT}/functions")]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.to_str().expect("a name").to_owned();
            if path.is_dir() {
                directories.push(name);
            } else if name.ends_with(".rs") {
                let code = std::fs::read_to_string(&path).expect("a file");
                let values = code.split("alarm = \"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(values.map(str::to_owned));
            }
        }
    }
    found
}

#[test]
fn whatever_the_code_calls_an_alarm_has_an_alarm() {
    let known: BTreeSet<String> = OF_LINES.iter().map(|(value, _)| (*value).to_owned()).collect();
    assert_eq!(alarms_of_lines(), known, "each value of `alarm` needs an alarm of template.yaml in OF_LINES");
    let template = &template();
    let names: Vec<&str> = alarms(template).into_iter().map(|(name, _)| name).collect();
    for (value, alarm) in OF_LINES {
        assert!(names.contains(&alarm), "template.yaml has no {alarm} for lines with alarm={value:?}");
    }
}

/// Whether a line has what the pattern of a metric filter looks for: alternatives in which a point stands for any character.
fn matches(pattern: &str, line: &str) -> bool {
    let regex = pattern.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).expect("a regular expression");
    let is_simple = |char: char| char.is_ascii_alphanumeric() || "=.|".contains(char);
    assert!(regex.chars().all(is_simple), "{regex} has more than this test, or CloudWatch, understands");
    let fits =
        |window: &[u8], term: &str| term.bytes().zip(window).all(|(wanted, found)| wanted == b'.' || wanted == *found);
    regex.split('|').any(|term| line.as_bytes().windows(term.len()).any(|window| fits(window, term)))
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lines").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The line that a function writes about an error.
fn line_about(error: Error) -> String {
    let lines = Lines::default();
    let written = lines.clone();
    // As `log_to_stdout` does it.
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || written.clone());
    tracing::subscriber::with_default(subscriber.finish(), || drop(Problem::from(error)));
    let line = lines.0.lock().expect("lines").clone();
    String::from_utf8(line).expect("a text")
}

#[test]
fn a_corrupt_item_and_a_bug_are_counted_in_the_log_of_each_function() {
    let template = &template();
    let told = [line_about(Error::Corrupt("p/_counter: last".to_owned())), line_about(Error::Bug("never"))];
    let another = line_about(Error::Unavailable("no answer".into()));
    assert!(told.iter().chain([&another]).all(|line| line.contains("alarm=")), "{told:?} {another}");
    let alarm = &template["Resources"]["CorruptOrBugAlarm"]["Properties"];
    for (function, _) in FUNCTIONS {
        let filter = &template["Resources"][format!("{function}CorruptOrBugFilter").as_str()]["Properties"];
        assert_eq!(filter["LogGroupName"].as_str(), Some(format!("{function}Log").as_str()));
        let pattern = filter["FilterPattern"].as_str().expect("a pattern");
        assert!(told.iter().all(|line| matches(pattern, line)) && !matches(pattern, &another), "{function}: {pattern}");
        let made = &filter["MetricTransformations"][0];
        assert_eq!(made["MetricName"], alarm["MetricName"]);
        assert_eq!(made["MetricNamespace"], alarm["Namespace"]);
    }
    // A single line is told.
    assert_eq!((alarm["Threshold"].as_i64(), alarm["EvaluationPeriods"].as_i64()), (Some(0), Some(1)));
}

/// The filters and the limits of an event source of `poke`.
fn source<'a>(template: &'a Yaml, name: &str) -> &'a Yaml {
    &template["Resources"]["PokeFunction"]["Properties"]["Events"][name]["Properties"]
}

#[test]
fn the_removal_of_a_member_is_repeated_for_as_long_as_a_watch_from_before_it_may_last() {
    let template = &template();
    let (commits, removals) = (source(template, "Commits"), source(template, "Removals"));
    let patterns = |source: &Yaml| -> Vec<String> {
        let filters = source["FilterCriteria"]["Filters"].as_vec().expect("filters");
        filters.iter().map(|filter| filter["Pattern"].as_str().expect("a pattern").to_owned()).collect()
    };
    let of_removals = patterns(removals);
    assert!(of_removals.len() == 1 && of_removals[0].contains(r#"[{"prefix":"memberships#"}]"#), "{of_removals:?}");
    assert!(patterns(commits).contains(&of_removals[0]), "and they come with the commits, before their pokes");
    let age = removals["MaximumRecordAgeInSeconds"].as_i64().expect("an age");
    assert!(age > MAX_WATCH_SECONDS, "{age}");
    assert_eq!(removals["MaximumRetryAttempts"].as_i64(), Some(-1));
    assert_eq!(removals["FunctionResponseTypes"][0].as_str(), Some("ReportBatchItemFailures"));
}

#[test]
fn with_live_off_nothing_of_it_is_left() {
    let template = &template();
    let resources = template["Resources"].as_hash().expect("resources");
    let of_live = resources.iter().filter(|(name, _)| {
        let name = name.as_str().expect("a name");
        name.starts_with("Live") || name.starts_with("Poke")
    });
    let mut conditions = BTreeSet::new();
    for (name, resource) in of_live {
        let condition = resource["Condition"].as_str().unwrap_or_else(|| panic!("{name:?} is always there"));
        conditions.insert(condition);
    }
    assert_eq!(Vec::from_iter(conditions), ["IsLive", "LogsLiveAccess"]);
    assert_eq!(template["Conditions"]["LogsLiveAccess"][0].as_str(), Some("IsLive"), "one of all that have to hold");
    let stream = &template["Resources"]["Table"]["Properties"]["StreamSpecification"];
    assert_eq!((stream[0].as_str(), stream[2].as_str()), (Some("IsLive"), Some("AWS::NoValue")));
    assert_eq!(template["Outputs"]["LiveUrl"]["Condition"].as_str(), Some("IsLive"));
}
