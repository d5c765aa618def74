//! Writes a project's rows as the files that an import reads.

use std::path::Path;

use serde_json::{Map, Value};
use shared::domain::{Collection, Columns, RowId};

use super::PlanError;
use super::contents::Contents;
use super::format::{FILES, cell, cell_for_spreadsheet, columns, file_name};

/// Writes the files into the directory, which is created if it does not exist. Returns each file with its number of rows.
/// Existing files are an error unless `replace` is true. With `for_spreadsheets` texts that a spreadsheet would execute begin with an
/// apostrophe.
pub fn export(
    contents: &Contents,
    directory: &Path,
    replace: bool,
    for_spreadsheets: bool,
) -> Result<Vec<(String, usize)>, PlanError> {
    std::fs::create_dir_all(directory).map_err(PlanError::file(directory))?;
    let paths = FILES.map(|collection| directory.join(file_name(collection)));
    if let Some(there) = paths.iter().find(|path| path.exists()).filter(|_| !replace) {
        return Err(PlanError::Asked(format!("{} already exists; use --force to replace it", there.display())));
    }
    let mut written = Vec::new();
    for (collection, path) in FILES.into_iter().zip(&paths) {
        let rows = rows(contents, collection);
        let mut writer = csv::Writer::from_path(path).map_err(|error| PlanError::file(path)(error.into()))?;
        let header: Vec<String> = columns(collection).map(str::to_owned).collect();
        let records = rows.iter().map(|(id, row)| {
            let cell = if for_spreadsheets { cell_for_spreadsheet } else { cell };
            let cells = collection.columns().iter().map(|column| cell(row.get(*column).unwrap_or(&Value::Null)));
            std::iter::once(cell(&id.as_str().into())).chain(cells).collect()
        });
        for record in std::iter::once(header).chain(records) {
            writer.write_record(record).map_err(|error| PlanError::file(path)(error.into()))?;
        }
        writer.flush().map_err(PlanError::file(path))?;
        written.push((path.display().to_string(), rows.len()));
    }
    Ok(written)
}

/// The rows of a collection. Tasks are in the order of the outline; those without a `wbs_path` come last.
pub(super) fn rows(contents: &Contents, collection: Collection) -> Vec<(&RowId, &Columns)> {
    let mut rows: Vec<_> = contents.of(collection).collect();
    rows.sort_by_key(|(_, row)| {
        let path = row.get("wbs_path").and_then(Value::as_str);
        let place: Option<Vec<u64>> = path.map(|path| path.split('.').filter_map(|part| part.parse().ok()).collect());
        (place.is_none(), place)
    });
    rows
}

/// The same rows as one JSON document: for each collection an array of rows, as REST takes them.
pub fn to_json(contents: &Contents) -> Value {
    let of = |collection| {
        let rows = rows(contents, collection).into_iter().map(|(id, row)| {
            let mut fields = Map::from_iter([("id".to_owned(), id.as_str().into())]);
            fields.extend(row.clone());
            Value::Object(fields)
        });
        rows.collect::<Value>()
    };
    FILES.into_iter().map(|collection| (collection.name().to_owned(), of(collection))).collect()
}
