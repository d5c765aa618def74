//! Makes the operations that a writer asks for.

use axum::http::Method;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::history::History;
use crate::http::{Ask, PROJECT};
use crate::scenario::{USERS, Weights};

/// A request, with the facts that are needed to judge it later.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) ask: Ask,
    /// Index into [`USERS`].
    pub(crate) user: usize,
    /// The lowest role that may do it.
    pub(crate) needed: i64,
    /// The mark that it leaves in the row that it writes. Reads and deletions leave none.
    pub(crate) mark: Option<String>,
    /// The row that it is about. It is empty if the server chooses the id.
    pub(crate) row: String,
    /// The operations of a batch.
    pub(crate) parts: Vec<Operation>,
}

/// The kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    CreateTask,
    ChangeTask,
    DeleteTask,
    DeleteHub,
    CreateEdge,
    ChangeEdge,
    DeleteEdge,
    CreateCalendar,
    ChangeCalendar,
    DeleteCalendar,
    ChangeProject,
    AddMember,
    ChangeMember,
    RemoveMember,
    Leave,
    Read,
    List,
    MyProjects,
    DeleteProject,
    Batch,
    /// A batch whose operations are judged one by one.
    Each,
}

/// Makes operations on the present rows.
pub(crate) struct Maker<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) history: &'a History,
    pub(crate) tokens: &'a [String],
    pub(crate) memberships: &'a [String],
    pub(crate) weights: &'a Weights,
    /// A number that is different in each operation of a run.
    pub(crate) number: u64,
}

impl Maker<'_> {
    pub(crate) fn operation(&mut self) -> Operation {
        let kind = self.weights.draw(self.rng);
        let mut operation = self.of(kind).unwrap_or_else(|| self.of(Kind::CreateTask).expect("needs nothing"));
        self.base(&mut operation);
        if operation.ask.method != Method::GET && self.rng.u8(0..3) > 0 {
            operation.ask.key = Some(format!("key-{}", self.number));
            for part in &mut operation.parts {
                part.ask.key.clone_from(&operation.ask.key);
            }
            self.leave_the_id_to_the_server(&mut operation);
        }
        operation
    }

    /// One change in three is to be merged with changes since a version that the user saw. Half of these changes to tasks change
    /// only the notes, which hardly any other operation does.
    fn base(&mut self, operation: &mut Operation) {
        let (ask, row) = (&mut operation.ask, &operation.row);
        let versions = self.history.rows().get(row).map(Vec::as_slice).unwrap_or_default();
        if ask.method != Method::PATCH || operation.mark.is_none() || versions.is_empty() || self.rng.u8(0..3) > 0 {
            return;
        }
        ask.if_match = None;
        let recent = &versions[versions.len().saturating_sub(4)..];
        let above = u64::from(self.rng.u8(0..20) == 0);
        ask.base = Some(recent[self.rng.usize(..recent.len())] + above);
        if let Some(gone) = gone_version(self.rng, self.history, row) {
            ask.base = Some(gone);
        }
        if row.starts_with("tasks#")
            && self.rng.bool()
            && let Some(body) = ask.body.as_mut().and_then(Value::as_object_mut)
            && let Some(mark) = body.remove("name")
        {
            body.clear();
            body.insert("notes".to_owned(), mark);
        }
    }

    /// Without a key, a repetition may make two rows.
    fn leave_the_id_to_the_server(&mut self, operation: &mut Operation) {
        if operation.row.starts_with("tasks#")
            && operation.ask.method == Method::POST
            && self.rng.bool()
            && let Some(body) = operation.ask.body.as_mut().and_then(Value::as_object_mut)
        {
            body.remove("id");
            operation.row.clear();
        }
    }

    /// None if there is no row for it.
    pub(crate) fn of(&mut self, kind: Kind) -> Option<Operation> {
        let mark = format!("mark {}", self.number);
        let operation = match kind {
            Kind::CreateTask => {
                let mut body = json!({"id": format!("t{}", self.number), "name": mark});
                self.assign(&mut body);
                self.write(100, Method::POST, "tasks", None, body)
            }
            Kind::ChangeTask => {
                let row = self.row("tasks")?;
                let mut body = json!({"name": mark, "percent_complete": self.rng.u64(0..=100)});
                self.assign(&mut body);
                self.write(100, Method::PATCH, "tasks", Some(row), body)
            }
            Kind::DeleteTask => self.delete(100, "tasks")?,
            Kind::DeleteHub => {
                let hub = self.hub()?;
                self.delete_row(100, "tasks", hub)
            }
            Kind::CreateEdge => {
                let (from, to) = (self.row("tasks")?, self.row("tasks")?);
                let body = json!({"id": format!("e{}", self.number), "predecessor": from, "successor": to,
                    "lag": self.lag(), "dep_type": self.dependency_type()});
                self.write(200, Method::POST, "dependencies", None, body)
            }
            Kind::ChangeEdge => {
                let row = self.row("dependencies")?;
                let mut body = json!({"lag": self.lag()});
                match self.rng.u8(0..4) {
                    0 => body["predecessor"] = json!(self.row("tasks")?),
                    1 => body["successor"] = json!(self.row("tasks")?),
                    2 => body["dep_type"] = json!(self.dependency_type()),
                    _ => {}
                }
                self.write(200, Method::PATCH, "dependencies", Some(row), body)
            }
            Kind::DeleteEdge => self.delete(200, "dependencies")?,
            Kind::CreateCalendar => {
                let exceptions = json!([{"start": "2026-12-24", "end": "2026-12-26", "description": mark}]);
                let body = json!({"id": format!("c{}", self.number), "name": mark, "exceptions": exceptions});
                self.write(300, Method::POST, "calendars", None, body)
            }
            Kind::ChangeCalendar => {
                let row = self.row("calendars")?;
                self.write(300, Method::PATCH, "calendars", Some(row), json!({"name": mark}))
            }
            Kind::DeleteCalendar => self.delete(300, "calendars")?,
            Kind::ChangeProject => {
                let mut body = json!({"name": mark});
                if self.rng.bool() {
                    body["calendar"] = self.row("calendars").map_or(Value::Null, Value::from);
                }
                self.write(300, Method::PATCH, "", None, body)
            }
            Kind::AddMember => {
                let (user, role) = (self.rng.usize(..USERS.len()), self.role());
                let body = json!({"user": USERS[user].0, "role": role});
                self.membership(user, role, Method::POST, Some(body))
            }
            Kind::ChangeMember => {
                let (user, role) = (self.rng.usize(..USERS.len()), self.role());
                self.membership(user, role, Method::PATCH, Some(json!({ "role": role })))
            }
            Kind::RemoveMember => {
                let user = self.rng.usize(..USERS.len());
                self.membership(user, 300, Method::DELETE, None)
            }
            Kind::Leave => {
                let user = self.rng.usize(..USERS.len());
                let ask = self.ask_membership(user, user, Method::DELETE, None);
                Operation { ask, user, needed: 1, mark: None, row: self.memberships[user].clone(), parts: vec![] }
            }
            Kind::Read => {
                let collection = self.collection();
                let row = self.row(collection)?;
                let user = self.user(1);
                let ask = Ask::get(path(collection, Some(&row)), &self.tokens[user]);
                Operation { ask, user, needed: 1, mark: None, row: format!("{collection}#{row}"), parts: vec![] }
            }
            Kind::List => {
                let collection = self.collection();
                let user = self.user(1);
                let ask =
                    Ask::get(format!("{}?limit={}", path(collection, None), self.rng.u64(1..=200)), &self.tokens[user]);
                Operation { ask, user, needed: 1, mark: None, row: format!("{collection}#"), parts: vec![] }
            }
            Kind::MyProjects => {
                let user = self.user(1);
                let ask = Ask::get("/api/v1/projects/".to_owned(), &self.tokens[user]);
                Operation { ask, user, needed: 0, mark: None, row: "projects#".to_owned(), parts: vec![] }
            }
            Kind::Batch => self.batch(),
            Kind::Each => self.each(),
            Kind::DeleteProject => {
                let user = self.user(400);
                let ask = Ask { method: Method::DELETE, ..Ask::get(path("", None), &self.tokens[user]) };
                Operation { ask, user, needed: 400, mark: None, row: format!("projects#{PROJECT}"), parts: vec![] }
            }
        };
        Some(operation)
    }

    fn write(&mut self, needed: i64, method: Method, collection: &str, id: Option<String>, body: Value) -> Operation {
        let user = self.user(needed);
        let own = body["id"].as_str().map(str::to_owned);
        let row = match id.clone().or(own) {
            Some(id) => format!("{collection}#{id}"),
            None => format!("projects#{PROJECT}"),
        };
        let mark = if collection == "dependencies" {
            format!("{row} {}", body["lag"])
        } else {
            format!("mark {}", self.number)
        };
        let if_match = if method == Method::PATCH { self.if_match(&row) } else { None };
        let path = path(collection, id.as_deref());
        let ask = Ask { method, if_match, body: Some(body), ..Ask::get(path, &self.tokens[user]) };
        Operation { ask, user, needed, mark: Some(mark), row, parts: vec![] }
    }

    fn delete(&mut self, needed: i64, collection: &str) -> Option<Operation> {
        let id = self.row(collection)?;
        Some(self.delete_row(needed, collection, id))
    }

    fn delete_row(&mut self, needed: i64, collection: &str, id: String) -> Operation {
        let user = self.user(needed);
        let row = format!("{collection}#{id}");
        let ask = Ask {
            method: Method::DELETE,
            if_match: self.if_match(&row),
            ..Ask::get(path(collection, Some(&id)), &self.tokens[user])
        };
        Operation { ask, user, needed, mark: None, row, parts: vec![] }
    }

    /// One of the live tasks that began with more edges than fit a transaction.
    fn hub(&mut self) -> Option<String> {
        let hubs: Vec<_> = self.history.live().keys().filter_map(|row| row.strip_prefix("tasks#hub")).collect();
        let hub = hubs.get(self.rng.usize(0..hubs.len().max(1)))?;
        Some(format!("hub{hub}"))
    }

    fn membership(&mut self, of: usize, role: i64, method: Method, body: Option<Value>) -> Operation {
        let user = self.user(if role >= 300 { 400 } else { 300 });
        let ask = self.ask_membership(user, of, method, body);
        Operation { ask, user, needed: 300, mark: None, row: self.memberships[of].clone(), parts: vec![] }
    }

    fn ask_membership(&self, user: usize, of: usize, method: Method, body: Option<Value>) -> Ask {
        let (_, id) = self.memberships[of].split_once('#').expect("a key");
        let path = if method == Method::POST { path("memberships", None) } else { path("memberships", Some(id)) };
        Ask { method, body, ..Ask::get(path, &self.tokens[user]) }
    }

    /// Mostly a user who may do it, and sometimes any user.
    pub(crate) fn user(&mut self, needed: i64) -> usize {
        let may = |user: &usize| {
            let membership = self.history.live().get(&self.memberships[*user]);
            membership.is_some_and(|membership| membership["role"].as_i64().is_some_and(|role| role >= needed))
        };
        let able: Vec<usize> = (0..USERS.len()).filter(may).collect();
        if able.is_empty() || self.rng.u8(0..12) == 0 {
            return self.rng.usize(..USERS.len());
        }
        able[self.rng.usize(..able.len())]
    }

    /// The id of a live row. The oldest rows are chosen more often.
    fn row(&mut self, collection: &str) -> Option<String> {
        let own = |row: &&String| row.split_once('#').is_some_and(|(of, _)| of == collection);
        let rows: Vec<&String> = self.history.live().keys().filter(own).collect();
        let hot = rows.len().min(self.weights.hot_rows.max(1));
        let among = if self.rng.f64() < self.weights.heat { hot } else { rows.len() };
        let (_, id) = rows.get(self.rng.usize(0..among.max(1)))?.split_once('#')?;
        Some(id.to_owned())
    }

    /// A version at which a user might have read the row, now or some time ago.
    fn if_match(&mut self, row: &str) -> Option<u64> {
        let versions = self.history.rows().get(row)?;
        if let Some(gone) = gone_version(self.rng, self.history, row) {
            return Some(gone);
        }
        match self.rng.u8(0..8) {
            0 => versions.last().copied(),
            1 => Some(versions[self.rng.usize(..versions.len())]),
            _ => None,
        }
    }

    fn assign(&mut self, body: &mut Value) {
        if self.rng.u8(0..4) == 0 {
            body["assignee"] = json!(USERS[self.rng.usize(..USERS.len())].0);
        }
    }

    fn collection(&mut self) -> &'static str {
        ["tasks", "dependencies", "calendars", "memberships"][self.rng.usize(0..4)]
    }

    fn role(&mut self) -> i64 {
        [1, 100, 200, 300, 400][self.rng.usize(0..5)]
    }

    fn dependency_type(&mut self) -> &'static str {
        ["FS", "FS", "FS", "SS", "FF", "SF"][self.rng.usize(0..6)]
    }

    /// A value that marks an edge, as the number in the name marks other rows.
    fn lag(&self) -> i64 {
        i64::try_from(self.number % 73_000).expect("small") - 36_500
    }
}

/// After a restore, this is sometimes a version that the restore took back and that a user has seen.
fn gone_version(rng: &mut Rng, history: &History, row: &str) -> Option<u64> {
    if history.restores == 0 || rng.u8(0..8) > 0 {
        return None;
    }
    let gone = history.gone_of(row);
    gone.get(rng.usize(0..gone.len().max(1))).copied()
}

fn path(collection: &str, id: Option<&str>) -> String {
    match (collection, id) {
        ("", _) => format!("/api/v1/projects/{PROJECT}/"),
        (_, None) => format!("/api/v1/projects/{PROJECT}/{collection}/"),
        (_, Some(id)) => format!("/api/v1/projects/{PROJECT}/{collection}/{id}/"),
    }
}
