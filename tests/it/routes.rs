//! Tests addresses and methods, and the answers to unknown ones.

use axum::http::Method;
use tests::support::{Call, OWNER, Pull, TestApp, TestTable};
use yaml_rust2::YamlLoader;

#[tokio::test]
async fn an_unknown_address_is_404() {
    let app = TestApp::new().await;
    for path in [
        "/",
        "/api/v1/",
        "/api/v2/projects/",
        "/api/v1/projects/p/people/",
        "/api/v1/projects/p/tasks/t/x",
        "/health/x",
    ] {
        app.call(Method::GET, path).by(OWNER).await.problem(404, "no_such_route");
        app.call_sync(path).by(OWNER).await.problem(404, "no_such_route");
    }
}

#[tokio::test]
async fn a_method_that_an_address_does_not_know_is_405_and_allow_names_those_it_does() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    for (path, method, allowed) in [
        ("", Method::PUT, "DELETE,GET,HEAD,PATCH"),
        ("", Method::POST, "DELETE,GET,HEAD,PATCH"),
        ("tasks/", Method::DELETE, "GET,HEAD,POST"),
        ("memberships", Method::PATCH, "GET,HEAD,POST"),
        ("tasks/t1/", Method::PUT, "DELETE,GET,HEAD,PATCH"),
        ("calendars/c", Method::POST, "DELETE,GET,HEAD,PATCH"),
    ] {
        let answer = project.refuses(project.call(method, path), 405, "method_not_allowed").await;
        let mut allow: Vec<&str> = answer.header("allow").expect("Allow").split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(allow.join(","), allowed, "{path}");
    }
    let health = project.app.call(Method::POST, "/health").await;
    health.problem(405, "method_not_allowed");
    let sync = Call::new(project.app.sync.clone(), Method::POST, "/api/v1/projects/p/sync/").by(OWNER).await;
    sync.problem(405, "method_not_allowed");
    assert!(sync.header("allow").is_some_and(|allow| allow.contains("GET")));
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_token_on_any_address() {
    let app = TestApp::new().await;
    for path in ["/api/v1/projects/", "/api/v1/projects/p/tasks/t/", "/anything"] {
        let answer = app.call(Method::OPTIONS, path).await.expect(204);
        assert!(answer.text.is_empty());
    }
}

#[tokio::test]
async fn health_says_the_version_and_nothing_secret_without_a_token() {
    let app = TestApp::new().await;
    let health = app.call(Method::GET, "/health").await.expect(200).json();
    let version = health["version"].as_str().expect("a version").to_owned();
    assert_eq!(health, serde_json::json!({"status": "ok", "version": version}));
}

#[tokio::test]
async fn a_pull_that_the_gateway_gives_to_rest_is_sent_to_the_address_without_the_slash() {
    let app = TestApp::new().await;
    let answer = app.call(Method::GET, "/api/v1/projects/p/sync/?since=3&turbo=true").await.expect(308);
    assert_eq!(answer.header("location"), Some("/api/v1/projects/p/sync?since=3&turbo=true"));
}

#[tokio::test]
async fn an_invalid_id_in_the_address_is_named() {
    let project = TestApp::new().await.with_project().await;
    for (path, field) in [
        ("/api/v1/projects/a%20b/", "project_id"),
        ("/api/v1/projects/a%2Fb/tasks/", "project_id"),
        ("/api/v1/projects/p/tasks/%00/", "id"),
        ("/api/v1/projects/p/tasks/a%2Fb/", "id"),
        ("/api/v1/projects/p/tasks/%FF/", "id"),
        ("/api/v1/projects/p/tasks/x%23y/", "id"),
    ] {
        for method in [Method::GET, Method::DELETE] {
            if path.ends_with("/tasks/") && method == Method::DELETE {
                continue;
            }
            let answer = project.app.call(method, path).by(OWNER).await;
            answer.problem(400, "invalid_parameter");
            assert_eq!(answer.fields(), [field], "{path}");
        }
    }
    let overlong = format!("/api/v1/projects/{}/sync/", "x".repeat(65));
    let answer = project.app.call_sync(&overlong).by(OWNER).await;
    answer.problem(400, "invalid_parameter");
    assert_eq!(answer.fields(), ["project_id"]);
}

#[tokio::test]
async fn behind_one_address_each_request_reaches_its_function_and_browsers_may_call() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let variable = |name: &str| (name == "JWT_SECRET").then(|| stack::token::LOCAL_SECRET.to_owned());
    let verifier = shared::auth::Verifier::configured(variable).expect("a verifier");
    let table = TestTable::of_this_process().await.table().await;
    let gateway = stack::serve::router(table, std::sync::Arc::new(verifier));
    let call = |method, path: &str| {
        Call::new(gateway.clone(), method, &format!("/api/v1/projects/{}/{path}", project.id)).by(OWNER)
    };
    for path in ["sync", "sync/", "sync?since=0", "sync/?since=0"] {
        assert_eq!(Pull::of(&call(Method::GET, path).await).updated("tasks"), ["t1"], "{path}");
    }
    assert_eq!(call(Method::GET, "tasks/t1").await.row()["name"], "Task 1");
    call(Method::GET, "sync/x").await.problem(404, "no_such_route");
    let preflight = call(Method::OPTIONS, "tasks/t1").without_token().header("origin", "http://localhost:3000");
    let preflight = preflight.header("access-control-request-method", "PATCH").await.expect(200);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://localhost:3000"));
    let elsewhere = call(Method::OPTIONS, "tasks/t1").without_token().header("origin", "https://example.com");
    let elsewhere = elsewhere.header("access-control-request-method", "PATCH").await;
    assert_eq!(elsewhere.header("access-control-allow-origin"), None);
    assert!(preflight.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH")));
    let custom = preflight.header("access-control-allow-headers").expect("headers").to_owned();
    for name in ["authorization", "content-type", "if-match", "idempotency-key", "x-base-version"] {
        assert!(custom.contains(name), "{name} is not in {custom}");
        assert!(listed_in_the_template("AllowHeaders", name));
    }
    let read = call(Method::GET, "tasks/t1").header("origin", "http://localhost:3000").await;
    let exposed = read.header("access-control-expose-headers").expect("headers").to_owned();
    for name in
        ["etag", "location", "retry-after", "idempotent-replay", "x-merged-concurrent-fields", "x-server-version"]
    {
        assert!(exposed.contains(name), "{name} is not in {exposed}");
        assert!(listed_in_the_template("ExposeHeaders", name));
    }
}

/// Whether template.yaml names this header under CORS.
fn listed_in_the_template(list: &str, header: &str) -> bool {
    let template = include_str!("../../template.yaml");
    let (_, after) = template.split_once(&format!("{list}:")).expect("a list");
    let (names, _) = after.split_once(']').expect("a list");
    names.to_lowercase().contains(header)
}

#[tokio::test]
async fn no_answer_of_either_function_may_be_cached_or_taken_for_something_else() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    let path = |path: &str| format!("/api/v1/projects/{}/{path}", project.id);
    let sync = [
        project.app.call_sync(&path("sync/?since=0")).by(OWNER).await,
        project.app.call_sync(&path("sync/?since=x")).by(OWNER).await,
        project.app.call_sync(&path("sync/?since=0")).without_token().await,
        project.app.call_sync("/none").await,
    ];
    let rest = |method, path: &str| project.app.call(method, path).by(OWNER);
    let rest = [
        rest(Method::GET, "/health").await,
        rest(Method::GET, "/none").await,
        rest(Method::PUT, "/api/v1/projects/").await,
        rest(Method::OPTIONS, "/api/v1/projects/").await,
        rest(Method::GET, "/api/v1/projects/").without_token().await,
        rest(Method::GET, &path("tasks/")).await,
        rest(Method::GET, &path("tasks/none")).await,
        rest(Method::PATCH, &path("tasks/t1")).await,
        rest(Method::GET, &path("sync/")).await,
        rest(Method::DELETE, &path("tasks/t1")).await,
    ];
    for answer in sync.iter().chain(&rest) {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    }
}

#[tokio::test]
async fn head_is_answered_like_get_by_the_functions_and_reaches_them() {
    let project = TestApp::new().await.with_project().with_tasks(1).await;
    for path in ["sync/?since=0", "sync?since=0"] {
        let path = format!("/api/v1/projects/{}/{path}", project.id);
        let answer = Call::new(project.app.sync.clone(), Method::HEAD, &path).by(OWNER).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{path}");
    }
    let answer = project.app.call(Method::HEAD, &format!("/api/v1/projects/{}/tasks/t1", project.id)).by(OWNER).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (200, "", Some("\"3\"")));
    // A GET route of an HTTP API does not accept HEAD.
    let template = YamlLoader::load_from_str(include_str!("../../template.yaml")).expect("YAML").remove(0);
    for function in ["SyncFunction", "RestFunction"] {
        let events = template["Resources"][function]["Properties"]["Events"].as_hash().expect("routes");
        let routes = |method: &str| -> Vec<&str> {
            let properties = events.values().map(|event| &event["Properties"]);
            let of_method = properties.filter(|route| route["Method"].as_str() == Some(method));
            of_method.map(|route| route["Path"].as_str().expect("a path")).collect()
        };
        assert_eq!(routes("HEAD"), routes("GET"), "{function}");
    }
}
