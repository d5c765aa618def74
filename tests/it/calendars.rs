//! Tests calendars, and the calendar that a project uses.

use serde_json::{Value, json};
use tests::support::TestApp;

#[tokio::test]
async fn a_calendar_works_eight_hours_from_monday_to_friday_unless_it_says_otherwise() {
    let project = TestApp::new().await.with_project().await;
    let calendar = project.create("calendars", json!({"id": "c", "name": "Site"})).await;
    let expected = json!({"id": "c", "server_version": 3, "project": project.id, "name": "Site", "working_days": 31,
        "hours_per_day": 8.0, "timezone": "UTC", "exceptions": []});
    assert_eq!(calendar, expected);
}

#[tokio::test]
async fn a_calendars_exceptions_are_an_array_over_rest_and_its_json_text_on_the_device() {
    let project = TestApp::new().await.with_project().await;
    let exceptions = json!([{"start": "2026-12-24", "end": "2026-12-26", "description": "\"X\"-mas \\ ❄"}]);
    let body = json!({"id": "c", "name": "Site", "hours_per_day": 7.25, "exceptions": exceptions});
    assert_eq!(project.create("calendars", body).await["exceptions"], exceptions);
    assert_eq!(project.get("calendars/c/").await.row()["exceptions"], exceptions);
    let listed = project.get("calendars/").await.expect(200).json();
    assert_eq!(listed["results"][0]["exceptions"], exceptions);
    let pull = project.pull(0).await;
    let text = pull.row("calendars", "c")["exceptions"].as_str().expect("a text");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), exceptions);
}

#[tokio::test]
async fn a_calendars_rules_name_the_field_down_to_the_exception() {
    let project = TestApp::new().await.with_project().await;
    let refused = async |change: Value, field: &str| {
        let mut body = json!({"name": "Site"});
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        project.refuses_fields(project.post("calendars", &body), &[field]).await;
    };
    refused(json!({"working_days": 0}), "working_days").await;
    refused(json!({"hours_per_day": 0}), "hours_per_day").await;
    refused(json!({"hours_per_day": 24.5}), "hours_per_day").await;
    refused(json!({"timezone": "Mars/Olympus"}), "timezone").await;
    let backwards = json!([{"start": "2026-12-24", "end": "2026-12-23"}]);
    refused(json!({ "exceptions": backwards }), "exceptions[0].end").await;
    let unknown = json!([{"start": "2026-12-24", "end": "2026-12-24", "half": true}]);
    refused(json!({ "exceptions": unknown }), "exceptions[0].half").await;
}

#[tokio::test]
async fn a_project_uses_a_calendar_of_its_own_which_then_stays() {
    let app = TestApp::new().await;
    let other = app.with_project().with_calendar("foreign").await;
    assert_eq!(other.get("calendars/foreign/").await.status, 200);
    let project = app.with_project().with_calendar("site").with_calendar("spare").await;
    for calendar in ["foreign", "never"] {
        project.refuses_fields(project.patch("", &json!({ "calendar": calendar })), &["calendar"]).await;
    }
    assert_eq!(project.patch("", &json!({"calendar": "site"})).await.row()["calendar"], "site");
    project.refuses(project.delete("calendars/site"), 409, "calendar_in_use").await;
    project.delete("calendars/spare").await.expect(204);
    project.refuses_fields(project.patch("", &json!({"calendar": "spare"})), &["calendar"]).await;
    project.patch("", &json!({"calendar": null})).await.expect(200);
    project.delete("calendars/site").await.expect(204);
    assert_eq!(project.pull(0).await.deleted("calendars"), ["site", "spare"]);
}
