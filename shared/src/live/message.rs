//! The messages over a WebSocket: JSON objects, one in each text frame.

use serde::Serialize;
use serde_json::Value;

use crate::auth::TokenError;
use crate::domain::{Columns, Error, ProjectId, ServerVersion, json};
use crate::http::Problem;

/// The maximum length of a client's message, in bytes. It is what the gateway takes in one frame. A token has at most 8 KB, and
/// 100 ids have 7 KB.
pub const MAX_MESSAGE: usize = 32 * 1024;
/// The maximum number of projects that one connection watches.
pub const MAX_PROJECTS: usize = 100;

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Watch these projects and no others. Nothing about the token and the projects is checked yet.
    Watch {
        /// The token.
        token: String,
        /// A list of ids, if it is one.
        projects: Value,
    },
    /// A question whether the connection works.
    Ping,
}

/// A message of the server. A client ignores kinds that it does not know, because they are for other clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ServerMessage {
    /// The answer to `watch`.
    Watching {
        /// The projects that are watched from now on, each with its version.
        watching: Vec<ProjectVersion>,
        /// The projects that the caller may not see, or that do not exist.
        refused: Vec<ProjectId>,
    },
    /// A project moved.
    Poke(ProjectVersion),
    /// The answer to `ping`.
    Pong {
        /// Always true.
        pong: bool,
    },
    /// A message was refused, or a watch ended.
    Refused(Refusal),
}

/// A project and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectVersion {
    /// The project.
    pub project: ProjectId,
    /// Its version.
    pub version: u64,
}

/// The reason why a message was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A stable code for programs.
    pub code: &'static str,
    /// What is wrong and what the client can do.
    pub detail: String,
    /// The seconds after which the client may try again, if waiting helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl ClientMessage {
    /// Reads a message. The cost grows only with its length.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_MESSAGE {
            let detail = format!("A message may have at most {MAX_MESSAGE} bytes. Watch fewer projects.");
            return Err(Refusal::new("message_too_large", detail));
        }
        let invalid = |detail: &str| Refusal::new("invalid_message", detail);
        let message: Columns = match json::object(text.as_bytes()) {
            Ok(Some(message)) => message,
            Ok(None) | Err(_) => return Err(invalid("A message must be a JSON object.")),
        };
        match message.get("action").and_then(Value::as_str) {
            Some("ping") => Ok(Self::Ping),
            Some("watch") => {
                let token = message.get("token").and_then(Value::as_str).ok_or(TokenError::Missing)?.to_owned();
                Ok(Self::Watch { token, projects: message.get("projects").cloned().unwrap_or_default() })
            }
            _ => Err(invalid("`action` must be \"watch\" or \"ping\".")),
        }
    }

    /// The ids of a list, without repetitions.
    pub fn projects(listed: &Value) -> Result<Vec<ProjectId>, Refusal> {
        let invalid = |detail: String| Refusal::new("invalid_message", detail);
        let listed = listed.as_array().ok_or_else(|| invalid("`projects` must be a list of ids.".to_owned()))?;
        if listed.len() > MAX_PROJECTS {
            let detail = format!("A connection watches at most {MAX_PROJECTS} projects. Open another one for more.");
            return Err(Refusal::new("too_many_projects", detail));
        }
        let mut projects = Vec::with_capacity(listed.len());
        for (index, id) in listed.iter().enumerate() {
            let id = id.as_str().and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| invalid(format!("`projects[{index}]` must be the id of a project.")))?;
            if !projects.contains(&id) {
                projects.push(id);
            }
        }
        Ok(projects)
    }
}

impl ServerMessage {
    /// The message as it is sent.
    pub fn to_json(&self) -> String {
        // This cannot fail, because there are only numbers and texts.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A poke.
    pub fn poke(project: ProjectId, version: ServerVersion) -> Self {
        Self::Poke(ProjectVersion { project, version: version.get() })
    }
}

impl Refusal {
    /// A refusal that waiting does not help.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }
}

/// The codes and words are those of REST.
impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { retry_after: problem.retry_after(), ..Self::new(problem.code(), problem.detail()) }
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::new("token_missing", "Send the member `token`, a text."),
            error => Problem::from(error).into(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> &'static str {
        ClientMessage::parse(text).expect_err("a refusal").code
    }

    #[test]
    fn an_invalid_message_is_refused_whatever_it_is() {
        let deep = "[".repeat(30_000);
        let private = r#"{"action":"ping","$serde_json::private::RawValue":"[[["}"#;
        for text in
            ["", "ping", "[]", "{}", "null", "\u{0}", r#"{"action":1}"#, r#"{"action":"shout"}"#, &deep, private]
        {
            assert_eq!(refused(text), "invalid_message", "{text:.60}");
        }
        assert_eq!(refused(r#"{"action":"watch","projects":[]}"#), "token_missing");
        assert_eq!(ClientMessage::parse(r#"{"action":"ping"}"#), Ok(ClientMessage::Ping));
    }

    #[test]
    fn a_message_of_a_megabyte_is_refused_before_it_is_read() {
        let text = format!(r#"{{"action":"ping","x":"{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(refused(&text), "message_too_large");
        let fits = format!(r#"{{"action":"ping","x":"{}"}}"#, "x".repeat(MAX_MESSAGE - 24));
        assert_eq!((fits.len(), ClientMessage::parse(&fits)), (MAX_MESSAGE, Ok(ClientMessage::Ping)));
        assert_eq!(refused(&format!("{fits} ")), "message_too_large");
    }

    #[test]
    fn projects_are_a_list_of_at_most_100_ids_each_counted_once() {
        let ids = |count: usize| json!((0..count).map(|n| format!("p{n}")).collect::<Vec<_>>());
        assert_eq!(ClientMessage::projects(&ids(100)).map(|ids| ids.len()), Ok(100));
        assert_eq!(ClientMessage::projects(&ids(101)).expect_err("too many").code, "too_many_projects");
        assert_eq!(ClientMessage::projects(&json!(["a", "b", "a"])).map(|ids| ids.len()), Ok(2));
        for bad in [json!(null), json!("a"), json!({}), json!([1]), json!(["a#b"]), json!([""]), json!(["a", "ä"])] {
            assert_eq!(ClientMessage::projects(&bad).expect_err("no ids").code, "invalid_message", "{bad}");
        }
    }

    #[test]
    fn the_servers_messages_have_the_documented_form() {
        let project = || "p1".parse().expect("a project");
        let version = ServerVersion::try_from(13).expect("a version");
        let poke = ProjectVersion { project: project(), version: version.get() };
        let watching =
            ServerMessage::Watching { watching: vec![poke], refused: vec!["p2".parse().expect("a project")] };
        assert_eq!(watching.to_json(), r#"{"watching":[{"project":"p1","version":13}],"refused":["p2"]}"#);
        assert_eq!(ServerMessage::poke(project(), version).to_json(), r#"{"project":"p1","version":13}"#);
        assert_eq!(ServerMessage::Pong { pong: true }.to_json(), r#"{"pong":true}"#);
        let refused = |refusal: Refusal| ServerMessage::Refused(refusal).to_json();
        assert_eq!(refused(Refusal::new("a", "b")), r#"{"code":"a","detail":"b"}"#);
        let later: serde_json::Value =
            serde_json::from_str(&refused(TokenError::KeysUnavailable.into())).expect("JSON");
        assert_eq!((&later["code"], &later["retry_after"]), (&json!("keys_unavailable"), &json!(1)));
    }
}
