//! The events of the WebSocket API: a connection is opened, sends messages, and ends.
//!
//! A caller who connects is not authenticated yet: an address carries no token, because logs would keep it. So a stranger can
//! open a connection and send messages. Until a token is verified, a message costs nothing but the call of this function, and a
//! connection costs one write. With that write, a sweep finds and closes connections that never watch anything.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::auth::Verifier;
use shared::domain::{Error, UserId};
use shared::http::{CallerBudgets, Problem, pseudonym};
use shared::live::{ClientMessage, LiveLog, ProjectVersion, Refusal, ServerMessage};
use shared::meter::{Cost, measured};
use shared::storage::{Table, Unwatched, Watcher};

mod lambda;
mod rates;

pub use lambda::run;
use rates::Rates;

/// An event of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connection is about to be opened.
    Opened,
    /// The client sent a message.
    Said(String),
    /// The connection has ended, as far as the gateway knows.
    Ended,
}

/// The function's answer to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// An HTTP status. The gateway opens the connection if it is below 300.
    pub status: u16,
    /// The message to the client, if there is one.
    pub message: Option<String>,
}

/// Everything that the handler needs.
#[derive(Clone)]
pub struct Live {
    table: Table,
    verifier: Arc<Verifier>,
    budgets: Option<CallerBudgets>,
    rates: Arc<Rates>,
    log: LiveLog,
}

/// The result of an event, for the log.
struct Said {
    message: ServerMessage,
    caller: Option<UserId>,
}

impl Live {
    /// A handler without budgets and without a log.
    pub fn new(table: Table, verifier: Arc<Verifier>) -> Self {
        Self { table, verifier, budgets: None, rates: Arc::default(), log: LiveLog::silent("live") }
    }

    /// Limits what each caller may cost the table.
    #[must_use]
    pub fn with_budgets(self, budgets: Option<CallerBudgets>) -> Self {
        Self { budgets, ..self }
    }

    /// Writes a line to this log for each event.
    #[must_use]
    pub fn with_log(self, log: LiveLog) -> Self {
        Self { log, ..self }
    }

    /// Answers an event of a connection.
    pub async fn answer(&self, connection: &Unwatched, event: Event) -> Answer {
        let name = match &event {
            Event::Opened => "opened",
            Event::Said(_) => "said",
            Event::Ended => "ended",
        };
        // The future is boxed. The SDK's futures are deeply nested types, and the compiler limits the depth.
        let (answered, cost) = measured(Box::pin(self.handle(connection, event))).await;
        if let Ok(Some(Said { caller: Some(caller), .. })) = &answered
            && let Some(budgets) = &self.budgets
        {
            budgets.charge(caller, &cost);
        }
        self.note(name, &answered, &cost);
        match answered {
            Ok(said) => Answer { status: 200, message: said.map(|said| said.message.to_json()) },
            Err(error) => {
                let (status, _) = Problem::from(error).into_body();
                Answer { status: status.as_u16(), message: None }
            }
        }
    }

    async fn handle(&self, connection: &Unwatched, event: Event) -> Result<Option<Said>, Error> {
        match event {
            Event::Opened => self.table.note_connection(connection).await.map(|()| None),
            Event::Said(text) => Ok(Some(self.said(connection, &text).await)),
            Event::Ended => self.table.forget_connection(connection).await.map(|()| None),
        }
    }

    async fn said(&self, connection: &Unwatched, text: &str) -> Said {
        let refused = |refusal| Said { message: ServerMessage::Refused(refusal), caller: None };
        if let Err(wait) = self.rates.admit(&connection.connection) {
            return refused(Problem::rate_limited(wait).into());
        }
        let (token, projects) = match ClientMessage::parse(text) {
            Ok(ClientMessage::Ping) => return Said { message: ServerMessage::Pong { pong: true }, caller: None },
            Ok(ClientMessage::Watch { token, projects }) => (token, projects),
            Err(refusal) => return refused(refusal),
        };
        let verified = match self.verifier.verify(&token).await {
            Ok(verified) => verified,
            Err(error) => return refused(error.into()),
        };
        let caller = verified.user.clone();
        let watcher = Watcher { connection: connection.connection.clone(), user: verified.user, until: verified.until };
        let message = Box::pin(self.watch(&watcher, connection.opened_at, &projects)).await;
        Said { message: message.unwrap_or_else(ServerMessage::Refused), caller: Some(caller) }
    }

    /// Makes the connection watch those of the projects that its user may see.
    ///
    /// The memberships are read twice. They are read before the watches are written, so that a caller who is not a member writes
    /// nothing. They are read again afterwards, together with the versions. A commit that these versions do not include finds the
    /// watch. So does a removal that these memberships do not show.
    async fn watch(&self, watcher: &Watcher, opened_at: u64, listed: &Value) -> Result<ServerMessage, Refusal> {
        let wanted = ClientMessage::projects(listed)?;
        if let Some(Err(wait)) = self.budgets.as_ref().map(|budgets| budgets.admit(&watcher.user)) {
            return Err(Problem::rate_limited(wait).into());
        }
        let allowed = self.table.members_among(&watcher.user, &wanted).await?;
        self.table.watch(watcher, opened_at, &allowed).await?;
        let versions = self.table.versions_for(&watcher.user, &allowed).await?;
        let refused_by_now = allowed.iter().filter(|project| !versions.contains_key(project));
        let ended: Vec<_> = refused_by_now.map(|project| (project, &watcher.connection)).collect();
        self.table.end_watches(&ended).await?;
        let (mut watching, mut refused) = (Vec::new(), Vec::new());
        for project in wanted {
            match versions.get(&project) {
                Some(version) => watching.push(ProjectVersion { version: version.get(), project }),
                None => refused.push(project),
            }
        }
        Ok(ServerMessage::Watching { watching, refused })
    }

    fn note(&self, event: &str, answered: &Result<Option<Said>, Error>, cost: &Cost) {
        let said = answered.as_ref().ok().and_then(Option::as_ref);
        let (mut code, mut watched, mut kind) = (None, 0, None);
        match said.map(|said| &said.message) {
            Some(ServerMessage::Refused(refusal)) => code = Some(refusal.code),
            Some(ServerMessage::Watching { watching, .. }) => (watched, kind) = (watching.len(), Some("watch")),
            Some(ServerMessage::Pong { .. }) => kind = Some("ping"),
            Some(ServerMessage::Poke(_)) | None => {}
        }
        let caller = said.and_then(|said| said.caller.as_ref());
        let is = |yes: bool| if yes { 1.0 } else { 0.0 };
        let unavailable = ["unavailable", "internal_error", "busy"];
        self.log.write(
            &[
                ("Duration", "Milliseconds", cost.time.as_secs_f64() * 1e3),
                ("ReadUnits", "Count", cost.read_units),
                ("WriteUnits", "Count", cost.write_units),
                ("ServerError", "Count", is(answered.is_err() || code.is_some_and(|code| unavailable.contains(&code)))),
                ("Unauthorized", "Count", is(code.is_some_and(|code| code.starts_with("token_")))),
                ("KeysUnavailable", "Count", is(code == Some("keys_unavailable"))),
                ("RateLimited", "Count", is(code == Some("rate_limited"))),
            ],
            json!({
                "event": event, "said": kind, "code": code, "watched": watched,
                "caller": caller.map(|user| pseudonym(self.log.stage(), user.as_str())),
            }),
        );
    }
}
