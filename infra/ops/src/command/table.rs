//! The options of commands that work on a table.

use std::error::Error;

use clap::Args;
use shared::domain::ProjectId;
use shared::storage::Table;

use super::Failure;
use crate::{endpoint, reasons};

/// Which table.
#[derive(Args)]
pub struct TableOptions {
    /// Name of the table.
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    pub table_name: String,
    /// URL of DynamoDB. Without it, the AWS environment decides (region, credentials).
    #[arg(long, value_name = "URL")]
    pub dynamodb_url: Option<String>,
}

impl TableOptions {
    /// A client for it.
    pub async fn client(&self) -> aws_sdk_dynamodb::Client {
        match &self.dynamodb_url {
            Some(url) => endpoint::client(url).await,
            None => aws_sdk_dynamodb::Client::new(&Table::sdk_config().load().await),
        }
    }
}

/// Which projects of a table.
#[derive(Args)]
pub struct SomeProjects {
    /// Id of one project. Without it, all projects of the table.
    #[arg(long, value_name = "ID")]
    pub project: Option<ProjectId>,
}

/// How fast an operator's command writes.
#[derive(Args)]
pub struct Rate {
    /// Rows a second. A row of 1 KB takes about two write units in the table and two in an index. One project is one partition
    /// of each. A partition takes 1,000 units a second, which its traffic needs, too.
    #[arg(long, value_name = "ROWS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
}

/// What to do when there is no such table, or not what is looked for on it.
pub const WHICH_TABLE: &str = "Name the table with --table-name, and where it is with --dynamodb-url (`trueppm serve` \
                                      says so in its first line) or by the AWS environment.";

/// The failure of an operator's command on a table.
pub fn of_table(failed: &str, error: &dyn Error) -> Failure {
    Failure::new(format!("{failed}: {}", reasons(error))).next(WHICH_TABLE)
}

/// Of a command that changes a whole table: it must be named on the command line, or one that is meant for another
/// purpose would be taken.
pub(crate) fn named(table_name: clap::Arg) -> clap::Arg {
    table_name.required(true).env(None).default_value(None)
}
