//! Both functions over one table.

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::http::Method;
use shared::auth::Verifier;
use shared::storage::Table;
use stack::token::{LOCAL_SECRET, sign};
use sync::{KeptPages, Limits, PullOutcomes};

use super::{Call, Setup, TestTable};

/// Both functions, as deployed but for the network in front of them.
#[derive(Clone)]
pub struct TestApp {
    /// The function `rest`.
    pub rest: Router,
    /// The function `sync`.
    pub sync: Router,
    /// How often each way to the answer of a pull was taken.
    pub outcomes: Arc<PullOutcomes>,
    /// A look into the table past the product.
    pub(super) client: Client,
    pub(super) table: String,
    beside_newer: bool,
}

impl TestApp {
    /// On this process's table, with a client of its own.
    pub async fn new() -> Self {
        let table = TestTable::of_this_process().await;
        Self::on(table, table.table().await).await
    }

    /// On a table that the product sees as `seen`: through a proxy, say.
    pub async fn on(table: &TestTable, seen: Table) -> Self {
        Self::with_verifier(table, seen, |name| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned())).await
    }

    /// … checking tokens as these variables say.
    pub async fn with_verifier(table: &TestTable, seen: Table, variable: impl Fn(&str) -> Option<String>) -> Self {
        let verifier = Arc::new(Verifier::configured(variable).expect("a verifier"));
        let sync = sync::App::new(seen.clone(), Arc::clone(&verifier));
        Self::of(table, rest::App { table: seen, verifier }, sync).await
    }

    /// On this process's table, and devices are told to forget at most so many ids at once.
    pub async fn with_wipe_pages_of(ids: usize) -> Self {
        let table = TestTable::of_this_process().await;
        let variable = |name: &str| (name == "JWT_SECRET").then(|| LOCAL_SECRET.to_owned());
        let verifier = Arc::new(Verifier::configured(variable).expect("a verifier"));
        let seen = table.table().await;
        let sync = sync::App::new(seen.clone(), Arc::clone(&verifier)).with_wipe_pages_of(ids);
        Self::of(table, rest::App { table: seen, verifier }, sync).await
    }

    /// On this process's table; its instance of the sync function keeps pages.
    pub async fn keeping(limits: Limits) -> Self {
        let table = TestTable::of_this_process().await;
        Self::on_keeping(table, table.table().await, limits).await
    }

    /// … on a table that the product sees as `seen`.
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

    /// … beside a newer version of it: answers may have more columns, collections and values than are documented.
    #[must_use]
    pub fn beside_newer(self) -> Self {
        Self { beside_newer: true, ..self }
    }

    /// A token that the app accepts.
    pub fn token(user: &str) -> String {
        sign(LOCAL_SECRET, user).expect("a token")
    }

    /// A client of the table, past the product.
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

    /// A new project of its own, once it is awaited.
    pub fn with_project(&self) -> Setup {
        Setup::new(self.clone())
    }
}
