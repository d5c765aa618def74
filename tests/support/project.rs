//! A project of a test's own.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{ProjectId, Role, UserId, membership_id};

use super::{Answer, Call, Pull, TestApp};

/// Who owns each project.
pub const OWNER: &str = "olga";

/// What a project is to have; it is made over REST when this is awaited.
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

/// A project with an owner, and all that a test does to it. Calls are by the owner unless they say by whom.
#[derive(Clone)]
pub struct TestProject {
    /// Where it is.
    pub app: TestApp,
    /// Its id.
    pub id: String,
}

impl TestProject {
    /// The same project as another instance of both functions sees it.
    pub fn seen_by(&self, app: TestApp) -> Self {
        Self { app, id: self.id.clone() }
    }

    /// Any call below `/api/v1/projects/{id}/`.
    pub fn call(&self, method: Method, path: &str) -> Call {
        self.app.call(method, &format!("/api/v1/projects/{}/{path}", self.id)).by(OWNER)
    }

    /// Reads, below the project.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Creates in a collection.
    pub fn post(&self, collection: &str, body: &Value) -> Call {
        self.call(Method::POST, &format!("{collection}/")).json(body)
    }

    /// Changes a row, `tasks/t1` say; the project itself is `""`.
    pub fn patch(&self, row: &str, body: &Value) -> Call {
        self.call(Method::PATCH, &slash(row)).json(body)
    }

    /// Deletes a row, or with `""` the project.
    pub fn delete(&self, row: &str) -> Call {
        self.call(Method::DELETE, &slash(row))
    }

    /// Creates a row, which must succeed.
    #[track_caller]
    pub fn create(&self, collection: &str, body: Value) -> impl Future<Output = Value> + use<> {
        let call = self.post(collection, &body);
        async move { call.await.expect(201).row() }
    }

    /// The body and the call of a dependency `from-to`.
    pub fn post_edge(&self, from: &str, to: &str) -> Call {
        self.post("dependencies", &edge(from, to))
    }

    /// A pull with this query, `since=0` say.
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

    /// Makes someone a member with this role.
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
