//! Options and errors of the commands that work on a table.

use std::error::Error;

use clap::Args;
use shared::domain::ProjectId;
use shared::storage::{Table, reasons};

use super::Failure;
use crate::endpoint;

/// The table to work on.
#[derive(Args)]
pub struct TableOptions {
    /// Name of the table
    #[arg(long, env = "TABLE_NAME", default_value = "trueppm")]
    pub table_name: String,
    /// URL of DynamoDB. The default is the DynamoDB of your AWS region and credentials
    #[arg(long, value_name = "URL")]
    pub dynamodb_url: Option<String>,
}

impl TableOptions {
    /// A client for the table's DynamoDB.
    pub async fn client(&self) -> aws_sdk_dynamodb::Client {
        match &self.dynamodb_url {
            Some(url) => endpoint::client(url).await,
            None => aws_sdk_dynamodb::Client::new(&Table::sdk_config().load().await),
        }
    }

    /// The failure of a command on this table, with the next step.
    pub fn failure(&self, failed: &str, error: &dyn Error) -> Failure {
        let error = reasons(error);
        if let Some(why) = unreachable(&error) {
            let at = self.dynamodb_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
            return Failure::new(format!("{failed}: cannot reach DynamoDB{at}: {why}")).next(WHICH_DYNAMODB);
        }
        let error = if error.contains("ResourceNotFoundException") { "the table does not exist" } else { &error };
        Failure::new(format!("{failed}: {error}")).next(WHICH_TABLE)
    }
}

/// The reason why no request reached DynamoDB, if the error says so. The table keeps errors of the SDK as texts, from the
/// outermost to the innermost.
fn unreachable(error: &str) -> Option<&str> {
    let (_, behind) = error.split_once("dispatch failure: ")?;
    behind.rsplit(": ").next()
}

/// The projects of a table to work on.
#[derive(Args)]
pub struct SomeProjects {
    /// Id of one project. The default is all projects of the table
    #[arg(long, value_name = "ID")]
    pub project: Option<ProjectId>,
}

/// The speed of an operator's command.
#[derive(Args)]
pub struct Rate {
    /// Maximum rows per second
    ///
    /// A row of 1 KB takes about two write units in the table and two in an index. One project is one partition of each, which
    /// takes 1,000 write units per second and shares them with the project's traffic.
    #[arg(long, value_name = "ROWS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
}

/// What a command that writes to many projects of a table is told: which ones, and how fast. The table must be named on the command
/// line.
#[derive(Args)]
#[command(mut_arg("table_name", named))]
pub struct WriteOptions {
    /// The table.
    #[command(flatten)]
    pub table: TableOptions,
    /// Its projects.
    #[command(flatten)]
    pub projects: SomeProjects,
    /// The speed.
    #[command(flatten)]
    pub rate: Rate,
}

/// The next step if the table does not exist, or does not have what the command looks for.
pub const WHICH_TABLE: &str = "Check --table-name and --project. Check --dynamodb-url (`trueppm serve` prints it in its first \
                               line), or your AWS region and credentials.";

/// The next step if DynamoDB cannot be reached.
const WHICH_DYNAMODB: &str = "Check --dynamodb-url, or your AWS region and credentials.";

/// Makes `--table-name` required. A command that changes a whole table must not take the name from a variable that may be meant
/// for another purpose.
fn named(table_name: clap::Arg) -> clap::Arg {
    table_name.required(true).env(None).default_value(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_before_dynamodb_is_reached_is_named_by_its_innermost_cause() {
        let refused = "the table is unavailable: dispatch failure: io error: client error (Connect): tcp connect error: \
                       Connection refused (os error 111)";
        assert_eq!(unreachable(refused), Some("Connection refused (os error 111)"));
        assert_eq!(unreachable("the table is unavailable: service error: ResourceNotFoundException"), None);
    }
}
