//! The functions `rest` and `sync` over one table.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::http::Method;
use shared::auth::Verifier;
use shared::storage::Table;
use stack::token::{LOCAL_SECRET, sign};
use sync::{KeptPages, Limits, PullOutcomes};

use super::{Call, Setup, TestTable};

/// The functions `rest` and `sync`, as deployed except for the network in front of them.
#[derive(Clone)]
pub struct TestApp {
    /// The function `rest`.
    pub rest: Router,
    /// The function `sync`.
    pub sync: Router,
    /// The number of pulls with each outcome.
    pub outcomes: Arc<PullOutcomes>,
    /// A view of the table that bypasses the product.
    pub(super) client: Client,
    pub(super) table: String,
    beside_newer: bool,
}

impl TestApp {
    /// An app on this process's table, with a client of its own.
    pub async fn new() -> Self {
        let table = TestTable::of_this_process().await;
        Self::on(table, table.table().await).await
    }

    /// An app on a table that the product sees as `seen`, for example through a proxy.
    pub async fn on(table: &TestTable, seen: Table) -> Self {
        Self::with_verifier(table, seen, |name| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned())).await
    }

    /// An app that checks tokens as these variables say.
    pub async fn with_verifier(table: &TestTable, seen: Table, variable: impl Fn(&str) -> Option<String>) -> Self {
        let verifier = Arc::new(Verifier::configured(variable).expect("a verifier"));
        let sync = sync::App::new(seen.clone(), Arc::clone(&verifier));
        Self::of(table, rest::App { table: seen, verifier }, sync).await
    }

    /// An app on this process's table that names at most this many ids in one response of a wipe.
    pub async fn with_wipe_pages_of(ids: usize) -> Self {
        let table = TestTable::of_this_process().await;
        let variable = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(variable).expect("a verifier"));
        let seen = table.table().await;
        let sync = sync::App::new(seen.clone(), Arc::clone(&verifier)).with_wipe_pages_of(ids);
        Self::of(table, rest::App { table: seen, verifier }, sync).await
    }

    /// An app on this process's table whose instance of the sync function keeps pages.
    pub async fn keeping(limits: Limits) -> Self {
        let table = TestTable::of_this_process().await;
        Self::on_keeping(table, table.table().await, limits).await
    }

    /// An app that keeps pages, on a table that the product sees as `seen`.
    pub async fn on_keeping(table: &TestTable, seen: Table, limits: Limits) -> Self {
        let variable = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(variable).expect("a verifier"));
        let sync = sync::App::new(seen.clone(), Arc::clone(&verifier)).keeping(Arc::new(KeptPages::new(limits)));
        Self::of(table, rest::App { table: seen, verifier }, sync).await
    }

    async fn of(table: &TestTable, rest: rest::App, sync: sync::App) -> Self {
        Self {
            outcomes: sync.outcomes(),
            rest: rest::router(rest),
            sync: sync::router(sync),
            client: table.client().await,
            table: table.name.clone(),
            beside_newer: false,
        }
    }

    /// An app beside a newer version of the product. Its answers may have more columns, collections and values than are
    /// documented.
    #[must_use]
    pub fn beside_newer(self) -> Self {
        Self { beside_newer: true, ..self }
    }

    /// A token that the app accepts.
    pub fn token(user: &str) -> String {
        sign(LOCAL_SECRET, user).expect("a token")
    }

    /// A client of the table that bypasses the product.
    pub fn look_into(&self) -> &Client {
        &self.client
    }

    /// A call of the function `rest`, without a token yet.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call::new(self.rest.clone(), method, path).beside_newer(self.beside_newer)
    }

    /// A call of the function `sync`, without a token yet.
    pub fn call_sync(&self, path: &str) -> Call {
        Call::new(self.sync.clone(), Method::GET, path).beside_newer(self.beside_newer)
    }

    /// A new project, which is created when this is awaited.
    pub fn with_project(&self) -> Setup {
        Setup::new(self.clone())
    }
}
