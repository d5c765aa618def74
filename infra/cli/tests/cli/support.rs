//! Both functions on the embedded engine, and the command beside them.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;

use axum::Router;
use serde_json::Value;
use shared::auth::Verifier;
use shared::domain::ProjectId;
use shared::storage::Table;
use stack::token::{LOCAL_SECRET, sign};
use stack::{engine, serve, table};
use trueppm::client::Client;
use trueppm::plan;

pub(crate) const TRUEPPM: &str = env!("CARGO_BIN_EXE_trueppm");

/// Both functions, without any of the environment.
pub(crate) struct Stack {
    pub(crate) url: String,
    pub(crate) dynamodb_url: String,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_with(|router| router).await
    }

    pub(crate) async fn start_with(layer: impl FnOnce(Router) -> Router) -> Self {
        let dynamodb_url = engine::start(None).expect("an engine");
        let client = ops::endpoint::client(&dynamodb_url).await;
        table::create(&client, "trueppm").await.expect("a table");
        let secret = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(secret).expect("a verifier"));
        let router = layer(serve::router(Table::new(client, "trueppm"), verifier));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, dynamodb_url }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, &sign(LOCAL_SECRET, "olga").expect("a token")).expect("a client")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("BASE_URL", &self.url);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments)).await
    }

    /// A change that is made, by olga.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Value) -> Value {
        let method = method.parse().expect("a method");
        let reply = self.client().send(method, &format!("/api/v1/projects/{path}"), Some(&body)).await;
        serde_json::from_slice(&reply.expect("made").body).unwrap_or_default()
    }

    pub(crate) async fn contents(&self, project: &str) -> plan::Contents {
        plan::read(&self.client(), &project.parse::<ProjectId>().expect("an id")).await.expect("a project")
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(TRUEPPM);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

pub(crate) async fn ran(mut command: Command) -> Ran {
    let waited = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread");
    let Output { status, stdout, stderr } = waited.expect("a command");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: status.code(), output: text(stdout), errors: text(stderr) }
}

/// A directory with these files, gone at the end.
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    pub(crate) fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        for (file, text) in files {
            std::fs::write(directory.join(file), text).expect("a file");
        }
        Self(directory)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends the process that it started.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Running {
    /// The lines that it prints, as they come.
    pub(crate) fn lines(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.0.stdout.take().expect("an output")).lines()
    }
}

/// The first line that a command prints.
pub(crate) fn first_line(running: &mut Running) -> String {
    running.lines().next().expect("a line").expect("UTF-8")
}
