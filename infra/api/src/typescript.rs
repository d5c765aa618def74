//! The file that app developers copy: rows and answers as TypeScript types, and WatermelonDB's schema for the rows.

use std::error::Error as AnyError;
use std::fmt::Write as _;

use serde_json::Value;
use shared::domain::Collection;

use super::columns::{self, Column, Kind, columns, singular};
use super::problems;

const HEAD: &str = "\
// TruePPM sync: what a pull answers, and WatermelonDB's schema for it. Copy this file into the app.
// Made by `cargo run -p trueppm -- typescript`.

import { appSchema, tableSchema } from '@nozbe/watermelondb'
";

const ANSWERS: &str = "\
/** What a pull brings of one table. New rows come in `updated`, too. */
export type TableChanges<Row> = { created: never[]; updated: Row[]; deleted: string[] }

/** The answer to a pull: `changes` and `timestamp` are what `pullChanges` returns. */
export type SyncResponse = {
  changes: { [Table in keyof Rows]: TableChanges<Rows[Table]> }
  /** The version that this is complete up to: the next `since`. */
  timestamp: number
  /** The answer was cut to fit: ask again at once. */
  has_more?: true
  /** What the device holds now, if it does hold exactly what the server does: number of rows and two sums over them. */
  checksum?: { [Table in keyof Rows]: [number, number, number] }
}

/** Any answer that is no success (RFC 9457). */
export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  code: ProblemCode
  /** What is wrong with which field. */
  errors?: { field: string; message: string }[]
  /** Which operation of a batch is refused, from 0. */
  operation?: number
  /** How much of what fits into a batch. */
  limit?: { rows?: number; bytes?: number }
  /** The tasks on a cycle, in its order. */
  tasks?: string[]
  /** The dependency that is there. */
  id?: string
  /** The row as it is now, as REST shows it. */
  current?: { [field: string]: unknown }
  /** The fields that someone else changed, and both values of each. */
  conflict_fields?: string[]
  server_value?: { [field: string]: unknown }
  client_value?: { [field: string]: unknown }
  server_version?: number
}
";

/// The file as it is checked in.
pub fn typescript() -> Result<String, Box<dyn AnyError + Send + Sync>> {
    let mut file = HEAD.to_owned();
    let roles = columns::roles().map(|(role, name)| format!("{name}: {role}")).collect::<Vec<_>>().join(", ");
    write!(
        file,
        "\n/** What a member may do; each role may all that the ones below it may. */\n\
         export const Role = {{ {roles} }} as const\n\
         export type Role = (typeof Role)[keyof typeof Role]\n"
    )?;
    for collection in Collection::ALL {
        file += "\n";
        file += &row(collection)?;
    }
    file += "\n/** An element of a calendar's `exceptions`. */\n\
             export type CalendarException = { start: string; end: string; description: string }\n";
    file += "\n/** The rows of each table. */\nexport type Rows = {\n";
    for collection in Collection::ALL {
        writeln!(file, "  {}: {}", collection.name(), singular(collection))?;
    }
    file += "}\n\n";
    file += ANSWERS;
    let mut codes: Vec<String> = problems::all()?.into_iter().map(|problem| problem.code).collect();
    codes.dedup();
    codes.sort_unstable();
    codes.dedup();
    file += "\nexport type ProblemCode =\n";
    for code in codes {
        writeln!(file, "  | '{code}'")?;
    }
    file += "\n/** The five tables. An app that adds a column or a table raises `version`. */\n\
             export const schema = appSchema({\n  version: 1,\n  tables: [\n";
    for collection in Collection::ALL {
        file += &table(collection)?;
    }
    file += "  ],\n})\n";
    Ok(file)
}

/// The type of a row as a device gets it.
fn row(collection: Collection) -> Result<String, std::fmt::Error> {
    let mut text = format!("/** A row of {}, as a device gets it. */\n", collection.name());
    writeln!(text, "export type {} = {{\n  id: string", singular(collection))?;
    text +=
        "  /** The value that the project's counter took when the row was last written. */\n  server_version: number\n";
    if collection != Collection::Projects {
        text += "  project: string\n";
    }
    for column in columns(collection) {
        let nullable = if column.nullable { " | null" } else { "" };
        let json = if matches!(column.kind, Kind::Exceptions) { " JSON of `CalendarException[]`." } else { "" };
        writeln!(text, "  /** {}{json} */\n  {}: {}{nullable}", column.about, column.name, type_of(&column))?;
    }
    text += "}\n";
    Ok(text)
}

fn type_of(column: &Column) -> String {
    match column.kind {
        Kind::OneOf(values) => values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(" | "),
        Kind::Role => "Role".to_owned(),
        _ => stored_as(column).to_owned(),
    }
}

/// The type of the column in WatermelonDB: an array is JSON text there.
fn stored_as(column: &Column) -> &'static str {
    match column.example {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        _ => "string",
    }
}

fn table(collection: Collection) -> Result<String, std::fmt::Error> {
    let mut text = format!("    tableSchema({{\n      name: '{}',\n      columns: [\n", collection.name());
    text += "        { name: 'server_version', type: 'number' },\n";
    if collection != Collection::Projects {
        text += "        { name: 'project', type: 'string' },\n";
    }
    for column in columns(collection) {
        let optional = if column.nullable { ", isOptional: true" } else { "" };
        writeln!(text, "        {{ name: '{}', type: '{}'{optional} }},", column.name, stored_as(&column))?;
    }
    text += "      ],\n    }),\n";
    Ok(text)
}
