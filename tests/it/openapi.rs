//! Tests that the product does what the OpenAPI document says. `tests::support::documented` compares every answer of every test
//! with it. The crate that makes the document tests that the file is up to date.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{Collection, Role};
use tests::support::documented::{DOCUMENT, resolve, template};
use tests::support::{Answer, Call, OWNER, TestApp, TestProject};

/// The longest and the shortest allowed id.
fn ids() -> [String; 2] {
    ["a".to_owned(), "a".repeat(64)]
}

/// A project that has, in each collection, rows under the shortest and the longest id, and members with such names.
async fn project() -> TestProject {
    let project = TestApp::new().await.with_project().with_tasks(2).with_calendar("site").with_edge("t1", "t2").await;
    for id in ids() {
        project.create("tasks", json!({"id": id, "name": "Task"})).await;
        project.create("calendars", json!({"id": id, "name": "Calendar"})).await;
    }
    for user in ["a".to_owned(), "a".repeat(255)] {
        project.give(&user, Role::Member).await.expect(201);
    }
    project
}

/// A collection with the name of its rows in the document.
const COLLECTIONS: [(Collection, &str); 5] = [
    (Collection::Projects, "Project"),
    (Collection::Tasks, "Task"),
    (Collection::Dependencies, "Dependency"),
    (Collection::Calendars, "Calendar"),
    (Collection::Memberships, "Membership"),
];

fn schema(name: &str) -> &'static Value {
    let schema = &DOCUMENT["components"]["schemas"][name];
    assert!(schema.is_object(), "no schema {name}");
    schema
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"].as_object().expect("properties").iter().map(|(name, schema)| (name.as_str(), resolve(schema)))
}

/// Values at the limits of a schema, and just beyond them.
fn edges(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let schema = resolve(schema);
    let (mut good, mut bad) = (vec![], vec![]);
    let number = |rule: &str| schema[rule].as_f64();
    let integer = |rule: &str| schema[rule].as_i64();
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        several => several.as_array().expect("types").iter().filter_map(Value::as_str).collect(),
    };
    if let Some(values) = schema["enum"].as_array() {
        good.extend(values.iter().cloned());
        bad.extend(values.iter().map(|value| value.as_str().map_or(json!(2), |text| json!(text.to_lowercase()))));
    } else if types.contains(&"integer") {
        let (min, max) = (integer("minimum").expect("a minimum"), integer("maximum").expect("a maximum"));
        good.extend([json!(min), json!(max)]);
        bad.extend([json!(min - 1), json!(max + 1), json!(0.5)]);
    } else if types.contains(&"number") {
        let (above, max) = (number("exclusiveMinimum").expect("a minimum"), number("maximum").expect("a maximum"));
        good.extend([json!(above + 0.01), json!(max)]);
        bad.extend([json!(above), json!(max + 0.01)]);
    } else if types.contains(&"boolean") {
        good.extend([json!(true), json!(false)]);
        bad.push(json!(1));
    } else if types.contains(&"array") {
        let max = usize::try_from(integer("maxItems").expect("a maximum")).expect("a length");
        let day = json!({"start": "2026-12-24", "end": "2026-12-24"});
        good.extend([json!([]), json!(vec![day.clone(); max])]);
        bad.push(json!(vec![day; max + 1]));
        let (items, longer) = edges(&resolve(&schema["items"])["properties"]["description"]);
        let described = |text: Value| json!([{"start": "2026-12-24", "end": "2026-12-24", "description": text}]);
        good.extend(items.into_iter().map(described));
        bad.extend(longer.into_iter().map(described));
    } else if schema["format"] == "date" {
        good.push(json!("2028-02-29"));
        bad.extend(["2026-02-29", "2026-2-3", ""].map(|date| json!(date)));
    } else {
        // A `1` is an id, a user, an outline path, and a name. What a text has to be beside may leave no short one.
        let filling = if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("1-9")) { "1" } else { "a" };
        let text = |length: i64| json!(filling.repeat(usize::try_from(length).unwrap_or(0)));
        if let Some(max) = integer("maxLength") {
            good.push(text(max));
            bad.push(text(max + 1));
            good.push(text(integer("minLength").unwrap_or(0).max(i64::from(filling == "1"))));
        }
        if let Some(min) = integer("minLength") {
            bad.push(text(min - 1));
        }
    }
    if types.contains(&"null") {
        good.push(Value::Null)
    } else {
        bad.push(Value::Null)
    }
    (good, bad)
}

/// The smallest creation that the product accepts. Each call makes one for a different row.
fn minimal(collection: Collection, number: usize) -> Value {
    match collection {
        Collection::Projects | Collection::Tasks | Collection::Calendars => json!({"name": "x"}),
        Collection::Dependencies => json!({"predecessor": "t1", "successor": "t2", "dep_type": "SS"}),
        Collection::Memberships => json!({"user": format!("user{number}"), "role": 1}),
    }
}

/// The smallest creation with this value of a field, and with the other fields that the value requires.
fn with(mut body: Value, field: &str, value: &Value) -> Value {
    body[field] = value.clone();
    match field {
        "duration" => body["is_milestone"] = json!(*value == 0),
        "is_milestone" if value.is_boolean() => body["duration"] = json!(i32::from(*value == false)),
        "predecessor" => body["successor"] = json!("t2"),
        "successor" => body["predecessor"] = json!("t1"),
        _ => {}
    }
    body
}

async fn post(project: &TestProject, collection: Collection, body: &Value) -> Answer {
    match collection {
        Collection::Projects => project.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(body).await,
        other => project.post(other.name(), body).await,
    }
}

/// Whether the answer refuses this field by name.
#[track_caller]
fn assert_refused(answer: &Answer, field: &str, what: &str) {
    assert_eq!(answer.status, 422, "{what}: {}", answer.text);
    let named = answer.fields();
    assert!(named.iter().any(|name| name.split(['[', '.']).next() == Some(field)), "{what}: {named:?}");
}

#[tokio::test]
async fn a_creation_is_taken_up_to_the_documented_limits_and_refused_behind_them() {
    let project = project().await;
    let mut tried = 0;
    for (collection, name) in COLLECTIONS {
        for (field, schema) in properties(schema(&format!("{name}Creation"))) {
            let (mut good, bad) = edges(schema);
            if collection == Collection::Projects && field == "calendar" {
                // A new project has no calendar yet.
                good = vec![Value::Null];
            }
            for value in good.into_iter().filter(|_| field != "id" || collection != Collection::Memberships) {
                tried += 1;
                let answer = post(&project, collection, &with(minimal(collection, tried), field, &value)).await;
                let what = format!("{name}.{field} = {value:.80}");
                assert!(matches!(answer.status, 200 | 201) || is_taken(&answer), "{what}: {}", answer.text);
                if answer.status == 201 {
                    assert!(
                        field == "hours_per_day" || field == "exceptions" || answer.json()[field] == value,
                        "{what}"
                    );
                    if !matches!(collection, Collection::Projects) {
                        let id = answer.json()["id"].as_str().expect("an id").to_owned();
                        project.delete(&format!("{}/{id}", collection.name())).await.expect(204);
                    }
                }
            }
            for value in bad {
                tried += 1;
                let answer = post(&project, collection, &with(minimal(collection, tried), field, &value)).await;
                assert_refused(&answer, field, &format!("{name}.{field} = {value:.80}"));
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

/// A row with an id of this length may exist already, which would be another refusal.
fn is_taken(answer: &Answer) -> bool {
    matches!(answer.json()["code"].as_str(), Some("id_taken" | "id_deleted" | "duplicate_dependency"))
}

#[tokio::test]
async fn a_change_is_taken_up_to_the_documented_limits_and_refused_behind_them() {
    let project = project().await;
    let member = format!("memberships/{}", project.membership("a"));
    let mut tried = 0;
    for (collection, name) in COLLECTIONS {
        let row = match collection {
            Collection::Projects => "",
            Collection::Tasks => "tasks/t2",
            Collection::Dependencies => "dependencies/t1-t2",
            Collection::Calendars => "calendars/site",
            Collection::Memberships => &member,
        };
        for (field, schema) in properties(schema(&format!("{name}Patch"))) {
            // The field is read-only, although its present value is accepted.
            if field == "user" {
                continue;
            }
            let (good, bad) = edges(schema);
            for value in good {
                tried += 1;
                let answer = project.patch(row, &with(json!({}), field, &value)).await;
                assert_eq!(answer.status, 200, "{name}.{field} = {value:.80}: {}", answer.text);
            }
            for value in bad {
                tried += 1;
                let answer = project.patch(row, &with(json!({}), field, &value)).await;
                assert_refused(&answer, field, &format!("{name}.{field} = {value:.80}"));
            }
            if schema["type"].as_array().is_some_and(|types| types.contains(&json!("null"))) {
                // This keeps estimates from conflicting with each other.
                project.patch(row, &json!({ field: null })).await.expect(200);
            }
        }
    }
    assert!(tried > 120, "{tried}");
}

#[tokio::test]
async fn a_creation_takes_what_is_required_and_the_rest_has_the_documented_defaults() {
    let project = project().await;
    for (collection, name) in COLLECTIONS {
        let creation = schema(&format!("{name}Creation"));
        let required: Vec<&str> =
            creation["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let mut body = minimal(collection, 0);
        body.as_object_mut().expect("fields").retain(|field, _| required.contains(&field.as_str()));
        if collection == Collection::Dependencies {
            body["successor"] = json!("a");
        }
        let row = post(&project, collection, &body).await.expect(201).row();
        for (field, schema) in properties(creation).filter(|(field, _)| !required.contains(field)) {
            match schema.get("default") {
                Some(default) => assert_eq!(&row[field], default, "{name}.{field}"),
                None => assert!(matches!(field, "id" | "start_date"), "{name}.{field} has no default"),
            }
        }
        for field in required {
            let mut lacking = minimal(collection, 1);
            lacking.as_object_mut().expect("fields").remove(field);
            assert_refused(&post(&project, collection, &lacking).await, field, field);
        }
        let unknown = with(minimal(collection, 2), "colour", &json!("red"));
        assert_eq!(creation["additionalProperties"], false);
        assert_refused(&post(&project, collection, &unknown).await, "colour", name);
    }
}

#[tokio::test]
async fn parameters_are_taken_up_to_the_documented_limits_and_refused_behind_them() {
    let project = project().await;
    let mut tried = BTreeSet::new();
    for (path, methods) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (place, name) =
                    (parameter["in"].as_str().expect("a place"), parameter["name"].as_str().expect("a name"));
                let schema = &parameter["schema"];
                if schema["maximum"].is_null() && schema["maxLength"].is_null() {
                    continue;
                }
                let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
                let (good, bad) = edges(schema);
                for (value, is_good) in good.iter().map(|v| (v, true)).chain(bad.iter().map(|v| (v, false))) {
                    if value.is_null() || (place == "path" && value == "") {
                        continue;
                    }
                    let mut address = path.replace("{project_id}", &project.id).replace("{id}", "t1");
                    let mut header = None;
                    match place {
                        "query" => address += &format!("?{name}={}", text(value)),
                        "header" => header = Some(text(value)),
                        _ => {
                            address =
                                path.replace(&format!("{{{name}}}"), &text(value)).replace("{project_id}", &project.id)
                        }
                    }
                    let address = address.replace("{id}", "t1");
                    let router = if path.ends_with("/sync/") { &project.app.sync } else { &project.app.rest };
                    let mut call =
                        Call::new(router.clone(), method.to_uppercase().parse().expect("a method"), &address).by(OWNER);
                    if method == "post" || method == "patch" {
                        // Nothing is written, so the other parameters can be tested.
                        call = call.json(&json!({"no_such_field": 1}));
                    } else if method == "delete" && name != "X-Base-Version" {
                        call = call.if_match(999_999);
                    }
                    if let Some(header) = header {
                        call = call.header(name, &header);
                    }
                    let answer = call.await;
                    let refused = answer.status == 400 && answer.json()["code"] == "invalid_parameter";
                    assert_eq!(
                        refused, !is_good,
                        "{method} {path} {name} = {value:.80}: {} {}",
                        answer.status, answer.text
                    );
                    tried.insert(name.to_owned());
                }
            }
        }
    }
    let expected = ["Idempotency-Key", "X-Base-Version", "cursor", "id", "limit", "min_version", "project_id", "since"];
    assert_eq!(tried.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_body_is_taken_up_to_the_documented_size() {
    let project = project().await;
    let mut tried = 0;
    for (path, methods) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let Some(about) = operation["requestBody"]["description"].as_str() else { continue };
            let kb: usize = about.split(' ').find_map(|word| word.parse().ok()).expect("a size");
            let address = path.replace("{project_id}", &project.id).replace("{id}", "t1");
            for (more, too_large) in [(0, false), (1, true)] {
                let body = format!("{{\"no_such_field\":\"{}\"}}", "x".repeat(kb * 1024 - 20 + more));
                assert_eq!(body.len(), kb * 1024 + more);
                let call = project.app.call(method.to_uppercase().parse().expect("a method"), &address).by(OWNER);
                let answer = call.body("application/json", body).await;
                assert_eq!(answer.status == 413, too_large, "{method} {path}: {}", answer.text);
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 11);
}

#[tokio::test]
async fn a_batch_has_as_many_operations_as_documented() {
    let project = project().await;
    let operations = &schema("Batch")["properties"]["operations"];
    let of = |bound: &str| usize::try_from(operations[bound].as_u64().expect("a bound")).expect("a number");
    let (min, max) = (of("minItems"), of("maxItems"));
    let delete = json!({"method": "DELETE", "path": "tasks/never"});
    let batch =
        |number: usize| project.call(Method::POST, "batch/").json(&json!({"operations": vec![delete.clone(); number]}));
    for number in [min, max] {
        batch(number).await.problem(404, "not_found");
    }
    assert_refused(&batch(min - 1).await, "operations", &(min - 1).to_string());
    batch(max + 1).await.problem(422, "batch_too_large");
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else_is() {
    let in_sources: BTreeSet<&str> =
        [include_str!("../../functions/rest/src/lib.rs"), include_str!("../../functions/sync/src/lib.rs")]
            .into_iter()
            .flat_map(|source| source.split('"').skip(1).step_by(2))
            .filter(|text| *text == "/health" || text.starts_with("/api/"))
            .collect();
    let documented: BTreeSet<&str> = DOCUMENT["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    assert_eq!(in_sources, documented);
    let app = TestApp::new().await;
    for path in documented {
        let methods = DOCUMENT["paths"][path].as_object().expect("methods").keys().map(|method| method.to_uppercase());
        let mut methods: BTreeSet<String> = methods.collect();
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        for address in [path.to_owned(), path.trim_end_matches('/').to_owned()] {
            assert_eq!(template(&address), Some(path));
            let router = if path.ends_with("/sync/") { &app.sync } else { &app.rest };
            let answer = Call::new(router.clone(), Method::PUT, &address.replace(['{', '}'], "")).await;
            answer.problem(405, "method_not_allowed");
            let allowed = answer.header("allow").expect("Allow").split(',').map(|method| method.trim().to_owned());
            assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{address}");
        }
    }
}

#[tokio::test]
async fn a_pull_shows_every_column_with_its_null_and_with_a_value() {
    let project = project().await;
    let task = json!({"id": "full", "name": "Full", "wbs_path": "1.2", "duration": 5, "percent_complete": 7, "notes": "n",
        "planned_start": "2026-05-04", "status": "REVIEW", "assignee": "a", "optimistic_duration": 1,
        "most_likely_duration": 2, "pessimistic_duration": 3});
    project.create("tasks", task).await;
    project
        .patch("calendars/site", &json!({"exceptions": [{"start": "2026-12-24", "end": "2026-12-26"}]}))
        .await
        .expect(200);
    let mut pulls = vec![project.sync("since=0").await.expect(200)];
    project.patch("", &json!({"calendar": "site", "description": "d"})).await.expect(200);
    pulls.push(project.sync("since=0").await.expect(200));
    for (collection, name) in COLLECTIONS {
        let schema = schema(&format!("Synced{name}"));
        for (column, schema) in properties(schema) {
            let rows = pulls.iter().flat_map(|pull| {
                pull.json()["changes"][collection.name()]["updated"].as_array().expect("rows").clone()
            });
            let seen: BTreeSet<bool> = rows.map(|row| row[column].is_null()).collect();
            let nullable = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
            let expected = if nullable { vec![false, true] } else { vec![false] };
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected, "{name}.{column} is null");
        }
        let sent: BTreeSet<&str> =
            properties(schema).map(|(column, _)| column).filter(|column| *column != "id").collect();
        assert!(sent.iter().all(|column| collection.sends(column)), "{name}: {sent:?}");
    }
}
