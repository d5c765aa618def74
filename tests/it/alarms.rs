//! Tests the alarms of template.yaml. A stranger can make some of them ring, and those must not stop a deployment.

use std::collections::BTreeSet;

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
        let is_known =
            |metric: &&str| OF_THE_SERVICE.contains(metric) || OF_ANYONE.contains(metric) || *metric == OF_THE_API;
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
