//! The rules of calendars.

use shared::domain::{
    Actor, Calendar, Collection, Columns, Draft, Error, Project, ProjectId, Role, RowId, RowKey, Step, understand,
};
use shared::storage::ReadSet;

use crate::decide::Rules;

impl Rules for Calendar {
    const WRITER: Role = Role::Admin;

    fn look_for_create(read_set: ReadSet, _: &ProjectId, _: &Columns) -> ReadSet {
        read_set
    }

    fn look_for_delete(read_set: ReadSet, project: &ProjectId) -> ReadSet {
        read_set.at([RowKey::project(project)])
    }

    fn accept(&self, _: &RowId, _: Option<&Self>, _: &Draft, _: &Actor) -> Result<(), Error> {
        Ok(())
    }

    /// The calendar, unless the project uses it.
    fn delete(id: &RowId, draft: &mut Draft) -> Result<Step<()>, Error> {
        let project = understand::<Project>(draft.expect_live(&RowKey::project(draft.project()))?)?.resource;
        if project.calendar.as_ref() == Some(id) {
            return Err(Error::CalendarInUse);
        }
        draft.delete(RowKey::new(Collection::Calendars, id.clone()));
        Ok(Step::Last(()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::domain::Precondition;

    use super::*;
    use crate::decide;
    use crate::decide::testing::{World, id, user, written};

    #[test]
    fn a_calendar_in_use_by_the_project_stays() {
        let project = json!({"name": "House", "description": "", "start_date": "2026-03-02", "calendar": "used"});
        let calendar = json!({"name": "Site"});
        let world = World::new().with("projects#p", project);
        let world = world.with("calendars#used", calendar.clone()).with("calendars#spare", calendar);
        let mut draft = world.draft();
        let mut delete =
            |calendar| decide::delete::<Calendar>(&mut draft, &user("olga"), &id(calendar), &Precondition::None);
        assert!(matches!(delete("used"), Err(Error::CalendarInUse)));
        assert!(delete("spare").is_ok());
        assert_eq!(written(&draft), ["calendars#spare"]);
    }
}
