//! Writes the rows of an import over REST.

use std::collections::HashSet;

use axum::http::{Method, StatusCode};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use shared::domain::{Collection, ProjectId, Role};
use shared::storage::MAX_ROWS;

use super::check::{Step, Work, Write, in_column};
use super::fault::Fault;
use super::line::Line;
use super::report::Report;
use crate::client::{CallError, Client};

/// The approximate size of a batch in bytes. The server accepts 2 MB, and writes at most 4 MB.
const BYTES: usize = 1_500_000;

pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) project: &'a ProjectId,
    pub(super) report: Report,
    pub(super) progress: &'a ProgressBar,
    /// The places of the rows that were written.
    pub(super) written: HashSet<usize>,
}

/// The import ends. The report has the reason.
struct Stopped;

impl Writer<'_> {
    /// Writes all rows, or stops at the first that the server refuses, which becomes a fault, or at the first failure.
    pub(super) async fn write(&mut self, work: &Work<'_>) {
        self.progress.set_length(work.steps.len() as u64);
        // Whether everything was written is in the report.
        let _ = self.all(work).await;
        self.report.written_up_to = self.written_up_to(&work.steps);
        self.progress.finish_and_clear();
    }

    /// The last row before the first that was not written, in the order of the files. A change of the project's calendar comes last
    /// and does not count.
    fn written_up_to(&self, steps: &[Step<'_>]) -> Option<String> {
        let written = |step: &Step<'_>| self.written.contains(&step.place);
        let mut steps: Vec<&Step<'_>> =
            steps.iter().filter(|step| written(step) || step.line.collection != Collection::Projects).collect();
        steps.sort_by_key(|step| step.place);
        steps.into_iter().take_while(|step| written(step)).last().map(|step| position(step.line))
    }

    async fn all(&mut self, work: &Work<'_>) -> Result<(), Stopped> {
        let (projects, rows): (Vec<&Step<'_>>, Vec<&Step<'_>>) =
            work.steps.iter().partition(|step| step.line.collection == Collection::Projects);
        let path = format!("/api/v1/projects/{}/", self.project);
        for step in &projects {
            let sent = match &step.write {
                // Its calendar does not exist yet.
                Write::Create => {
                    let body = body(step, &["calendar"]);
                    self.client.send(Method::POST, "/api/v1/projects/", Some(&body)).await
                }
                Write::Change { base, .. } => {
                    let body = body(step, &["calendar"]);
                    if body == json!({}) {
                        continue;
                    }
                    self.client.change(&path, &body, Some(*base)).await
                }
            };
            self.written(sent.map(drop), &[step])?;
        }
        for user in &work.strangers {
            let member = json!({"user": user, "role": i64::from(Role::Member)});
            if let Err(error) = self.client.send(Method::POST, &format!("{path}memberships/"), Some(&member)).await {
                return self.stop(error, &[]);
            }
            self.report.add(Collection::Memberships, true);
        }
        for batch in batches(&rows) {
            let operations: Vec<Value> = batch.iter().map(|(_, operation)| operation.clone()).collect();
            let steps: Vec<&Step<'_>> = batch.iter().map(|(step, _)| *step).collect();
            let body = json!({"operations": operations});
            let sent = self.client.send(Method::POST, &format!("{path}batch/"), Some(&body)).await;
            self.written(sent.map(drop), &steps)?;
        }
        let Some(calendar) = &work.calendar else { return Ok(()) };
        let base = projects.iter().find_map(|step| match &step.write {
            Write::Change { base, .. } => Some(*base),
            Write::Create => None,
        });
        match (self.client.change(&path, &json!({"calendar": calendar}), base).await, projects.first()) {
            (Ok(_), Some(step)) if self.report.changed.is_empty() && step.write != Write::Create => {
                self.written(Ok(()), &[step])
            }
            (Ok(_), _) => Ok(()),
            (Err(error), Some(step)) => self.refused(error, &[step]),
            (Err(error), None) => self.stop(error, &[]),
        }
    }

    fn written(&mut self, sent: Result<(), CallError>, steps: &[&Step<'_>]) -> Result<(), Stopped> {
        match sent {
            Ok(()) => {
                for step in steps {
                    self.report.add(step.line.collection, step.write == Write::Create);
                }
                self.written.extend(steps.iter().map(|step| step.place));
                self.progress.inc(steps.len() as u64);
                Ok(())
            }
            Err(error) => self.refused(error, steps),
        }
    }

    /// A refusal of a row is a fault in its line. Anything else stops the import.
    fn refused(&mut self, error: CallError, steps: &[&Step<'_>]) -> Result<(), Stopped> {
        let CallError::Refused { status, problem, .. } = &error else { return self.stop(error, steps) };
        let operation = problem["operation"].as_u64().and_then(|index| steps.get(usize::try_from(index).ok()?));
        // A request for a single row has no operations, so its faults belong to that row.
        let step = operation.or(steps.first().filter(|_| steps.len() == 1));
        let by_row = status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS;
        let Some(step) = step.filter(|_| by_row) else { return self.stop(error, steps) };
        let line = step.line;
        let found: Vec<Fault> = problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| {
                let field = error["field"].as_str().unwrap_or_default();
                let field = field.split_once("].body.").map_or(field, |(_, field)| field);
                in_column(line, field, error["message"].as_str().unwrap_or_default())
            })
            .collect();
        let detail = problem["detail"].as_str().unwrap_or_default();
        // The operation's number in the batch means nothing to the reader of the report.
        let detail =
            detail.strip_prefix("Operation ").and_then(|rest| rest.split_once(": ")).map_or(detail, |(_, it)| it);
        let code = problem["code"].as_str().unwrap_or_default();
        match found.is_empty() {
            true => self.report.faults.push(line.fault(None, format!("refused by the server ({code}): {detail}"))),
            false => self.report.faults.extend(found),
        }
        Err(Stopped)
    }

    fn stop(&mut self, error: CallError, steps: &[&Step<'_>]) -> Result<(), Stopped> {
        let in_doubt = match &error {
            CallError::Refused { status, .. } => status.is_server_error() && error.code() != Some("busy"),
            _ => true,
        };
        let first = steps.iter().min_by_key(|step| step.place);
        let last = steps.iter().max_by_key(|step| step.place);
        if let (true, Some(first), Some(last)) = (in_doubt, first, last) {
            self.report.in_doubt = Some((position(first.line), position(last.line)));
        }
        self.report.stopped = Some(error);
        Err(Stopped)
    }
}

fn position(line: &Line) -> String {
    format!("{}:{}", line.file, line.number)
}

/// The body that is sent for a row, without these columns.
fn body(step: &Step<'_>, without: &[&str]) -> Value {
    let mut body = match &step.write {
        Write::Create => {
            let mut body = step.line.initial.clone();
            body.extend(step.line.fields.clone());
            body.insert("id".to_owned(), step.line.id.as_str().into());
            body
        }
        Write::Change { after, .. } => after.clone(),
    };
    body.retain(|column, _| !without.contains(&column.as_str()));
    Value::Object(body)
}

/// The rows as operations, in batches that the server accepts.
fn batches<'a, 'b>(steps: &[&'a Step<'b>]) -> Vec<Vec<(&'a Step<'b>, Value)>> {
    let operations = steps.iter().map(|step| {
        let collection = step.line.collection.name();
        let operation = match &step.write {
            Write::Create => json!({"method": "POST", "path": format!("{collection}/"), "body": body(step, &[])}),
            Write::Change { base, .. } => json!({
                "method": "PATCH",
                "path": format!("{collection}/{}/", step.line.id),
                "base_version": base,
                "body": body(step, &[]),
            }),
        };
        (operation.to_string().len(), (*step, operation))
    });
    ops::batches(operations, MAX_ROWS, BYTES)
}
