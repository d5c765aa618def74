//! The version at which new projects begin, on a table that was restored from a backup.
//!
//! A restored table does not have the projects that were created after the backup, but devices have marks of them. If such a
//! project is created again under its id, its versions must begin above those marks. So a restore leaves one note for the whole
//! table. Only the creation of a project under an id that may have existed before reads it, for 1 read unit.
//!
//! The item: `project_id = table#`, `entity = new_projects`; `start_above` N, and of the restore that wrote it `restored` S
//! (the table's identity) and `before` N (`start_above` as that restore found it).

use super::layout::{self, Item, TABLE, number, text};
use super::table::{Table, unavailable};
use crate::domain::{Error, ServerVersion};

const ENTITY: &str = "new_projects";

/// The note that says where the versions of new projects begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewProjects {
    /// The version above which they begin.
    pub start_above: u64,
    /// The restored table for which this was written, see [`Table::identity`]. A backup of that table brings the note
    /// along.
    pub restored: String,
    /// `start_above` as it was before the restore.
    pub before: u64,
}

pub(super) fn key() -> Item {
    [("project_id".to_owned(), text(TABLE)), ("entity".to_owned(), text(ENTITY))].into()
}

/// Whether this item, of any partition, is the note.
pub(super) fn is_note(item: &Item) -> Result<bool, Error> {
    Ok(layout::string(item, "project_id")? == TABLE)
}

/// The version above which new projects begin.
pub(super) fn start_above(note: &Item) -> Result<u64, Error> {
    let version = layout::integer(note, "start_above")?;
    // The creation of a project writes two rows.
    ServerVersion::try_from(version.saturating_add(2)).map_err(|_| layout::corrupt(note, "start_above"))?;
    Ok(version)
}

impl Table {
    /// The note about new projects. None on a table that was never restored.
    pub async fn new_projects(&self) -> Result<Option<NewProjects>, Error> {
        let get = self.client.get_item().table_name(self.name()).set_key(Some(key())).consistent_read(true);
        let Some(note) = get.send().await.map_err(unavailable)?.item else { return Ok(None) };
        Ok(Some(NewProjects {
            start_above: start_above(&note)?,
            restored: layout::string(&note, "restored")?.to_owned(),
            before: layout::integer(&note, "before")?,
        }))
    }

    /// Writes the note about new projects. Call it only while nothing else uses the table.
    pub async fn set_new_projects(&self, note: &NewProjects) -> Result<(), Error> {
        let mut item = key();
        item.insert("start_above".to_owned(), number(note.start_above));
        item.insert("restored".to_owned(), text(&note.restored));
        item.insert("before".to_owned(), number(note.before));
        self.client.put_item().table_name(self.name()).set_item(Some(item)).send().await.map_err(unavailable)?;
        Ok(())
    }
}
