//! The projects of tests, one for each test.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role, UserId, membership_id};

use super::{Answer, Call, Pull, TestApp};

/// The owner of each project.
pub const OWNER: &str = "olga";

/// The contents of a project that is created over REST when this is awaited.
#[must_use]
pub struct Setup {
    project: TestProject,
    steps: Vec<(&'static str, Value)>,
}

impl Setup {
    pub(super) fn new(app: TestApp) -> Self {
        let id = ProjectId::generate().to_string();
        Self { project: TestProject { app, id }, steps: vec![] }
    }

    /// Tasks `t1`, `t2`, … `tn`.
    pub fn with_tasks(mut self, n: usize) -> Self {
        self.steps.extend((1..=n).map(|n| ("tasks", json!({"id": format!("t{n}"), "name": format!("Task {n}")}))));
        self
    }

    /// A member.
    pub fn with_member(mut self, user: &str, role: Role) -> Self {
        self.steps.push(("memberships", json!({"user": user, "role": role})));
        self
    }

    /// A calendar with this id.
    pub fn with_calendar(mut self, id: &str) -> Self {
        self.steps.push(("calendars", json!({"id": id, "name": id})));
        self
    }

    /// A dependency `from-to`.
    pub fn with_edge(mut self, from: &str, to: &str) -> Self {
        self.steps.push(("dependencies", edge(from, to)));
        self
    }

    async fn make(self) -> TestProject {
        let Self { project, steps } = self;
        let body = json!({"id": project.id, "name": "House", "start_date": "2026-03-02"});
        project.app.call(Method::POST, "/api/v1/projects/").by(OWNER).json(&body).await.expect(201);
        for (collection, body) in steps {
            project.create(collection, body).await;
        }
        project
    }
}

/// The body of a dependency `from-to`.
fn edge(from: &str, to: &str) -> Value {
    json!({"id": format!("{from}-{to}"), "predecessor": from, "successor": to})
}

impl IntoFuture for Setup {
    type Output = TestProject;
    type IntoFuture = Pin<Box<dyn Future<Output = TestProject> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

/// A project with an owner, and the calls that tests make to it. The owner makes a call unless it names another user.
#[derive(Clone)]
pub struct TestProject {
    /// The app that the project is on.
    pub app: TestApp,
    /// Its id.
    pub id: String,
}

impl TestProject {
    /// The same project, seen by another instance of the functions.
    pub fn seen_by(&self, app: TestApp) -> Self {
        Self { app, id: self.id.clone() }
    }

    /// Any call below `/api/v1/projects/{id}/`.
    pub fn call(&self, method: Method, path: &str) -> Call {
        self.app.call(method, &format!("/api/v1/projects/{}/{path}", self.id)).by(OWNER)
    }

    /// Reads a path below the project.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Creates a row in a collection.
    pub fn post(&self, collection: &str, body: &Value) -> Call {
        self.call(Method::POST, &format!("{collection}/")).json(body)
    }

    /// Changes a row, for example `tasks/t1`. The project itself is `""`.
    pub fn patch(&self, row: &str, body: &Value) -> Call {
        self.call(Method::PATCH, &slash(row)).json(body)
    }

    /// Deletes a row. With `""`, deletes the project.
    pub fn delete(&self, row: &str) -> Call {
        self.call(Method::DELETE, &slash(row))
    }

    /// Creates a row. This must succeed.
    #[track_caller]
    pub fn create(&self, collection: &str, body: Value) -> impl Future<Output = Value> + use<> {
        let call = self.post(collection, &body);
        async move { call.await.expect(201).row() }
    }

    /// The body and the call of a dependency `from-to`.
    pub fn post_edge(&self, from: &str, to: &str) -> Call {
        self.post("dependencies", &edge(from, to))
    }

    /// A pull with this query, for example `since=0`.
    pub fn sync(&self, query: &str) -> Call {
        self.app.call_sync(&format!("/api/v1/projects/{}/sync/?{query}", self.id)).by(OWNER)
    }

    /// A pull that must succeed.
    pub async fn pull(&self, since: u64) -> Pull {
        Pull::of(&self.sync(&format!("since={since}")).await)
    }

    /// The id of a user's membership.
    pub fn membership(&self, user: &str) -> String {
        let project: ProjectId = self.id.parse().expect("a project's id");
        let user: UserId = user.parse().expect("a user's id");
        membership_id(&project, &user).to_string()
    }

    /// Adds a user as a member with this role.
    pub fn give(&self, user: &str, role: impl Into<i64>) -> Call {
        self.post("memberships", &json!({"user": user, "role": role.into()}))
    }

    /// Gives a member another role.
    pub fn change(&self, user: &str, role: impl Into<i64>) -> Call {
        self.patch(&format!("memberships/{}", self.membership(user)), &json!({ "role": role.into() }))
    }

    /// Removes a member.
    pub fn remove(&self, user: &str) -> Call {
        self.delete(&format!("memberships/{}", self.membership(user)))
    }

    /// Sends a call that must change nothing in the table, to the byte.
    pub async fn writes_nothing(&self, call: Call) -> Answer {
        let before = self.items().await;
        let answer = call.await;
        assert_eq!(self.items().await, before, "something was written by the call answered {answer:?}");
        answer
    }

    /// Sends a call that must be refused with this problem and change nothing.
    pub async fn refuses(&self, call: Call, status: u16, code: &str) -> Answer {
        let answer = self.writes_nothing(call).await;
        answer.problem(status, code);
        answer
    }

    /// Sends a call whose body must be refused for these fields, and change nothing.
    pub async fn refuses_fields(&self, call: Call, fields: &[&str]) {
        let answer = self.refuses(call, 422, "validation_failed").await;
        assert_eq!(answer.fields(), fields);
    }
}

fn slash(row: &str) -> String {
    if row.is_empty() { String::new() } else { format!("{row}/") }
}
