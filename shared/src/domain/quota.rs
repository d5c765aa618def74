//! Limits per project and per user.

use super::{Collection, Draft, Error};

/// The maximum number of rows and members of a project, and of projects that a user creates per day. 0 means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Live rows of each collection of a project, except memberships.
    pub max_rows: u32,
    /// Live memberships of a project.
    pub max_members: u32,
    /// Projects that one user creates on one day (UTC).
    pub max_projects_a_day: u32,
}

/// A variable that is not a valid number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} must be a whole number, 0 for no limit")]
pub struct InvalidQuota(&'static str);

impl Quotas {
    /// The quotas of the variables `MAX_ROWS`, `MAX_MEMBERS` and `MAX_PROJECTS_A_DAY`. If one is not set, there is no limit.
    pub fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidQuota> {
        let number = |name| match variable(name).filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map_err(|_| InvalidQuota(name)),
            None => Ok(0),
        };
        Ok(Self {
            max_rows: number("MAX_ROWS")?,
            max_members: number("MAX_MEMBERS")?,
            max_projects_a_day: number("MAX_PROJECTS_A_DAY")?,
        })
    }

    /// `QuotaExceeded` if a user who created `created_today` projects today must not create another.
    pub fn expect_another_project(&self, created_today: u64) -> Result<(), Error> {
        let max = self.max_projects_a_day;
        if max > 0 && created_today >= u64::from(max) {
            return Err(Error::QuotaExceeded { what: "projects", max });
        }
        Ok(())
    }

    /// `QuotaExceeded` if a commit creates more rows of a collection than a project can have.
    ///
    /// A project may already have more rows, because the limit was lowered. These rows can still be changed and deleted.
    pub fn expect_kept(&self, draft: &Draft) -> Result<(), Error> {
        for collection in Collection::ALL {
            let max = if collection == Collection::Memberships { self.max_members } else { self.max_rows };
            let (before, after) = draft.live_rows(collection);
            if max > 0 && after > max && after > before {
                return Err(Error::QuotaExceeded { what: collection.name(), max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::{Checksums, Counter, Row, RowKey, ServerVersion, Task, Write, parse};
    use super::*;

    /// A draft of a project with `tasks` tasks, all of which were read. It creates `new` tasks and deletes `deleted` others.
    fn draft(tasks: u32, new: u32, deleted: u32) -> Draft {
        let key = |number: u32| RowKey::new(Collection::Tasks, format!("t{number}").parse().expect("an id"));
        let columns = serde_json::json!({"name": "t"}).as_object().expect("columns").clone();
        let row = |number| Row::written(None, key(number), Write::Put(columns.clone()), ServerVersion::FIRST);
        let rows: Vec<Row> = (0..tasks).map(row).collect();
        let checksums = Checksums::of(rows.iter().map(|row| (&row.key, row.version)));
        let counter = Counter { checksums, ..Counter::at(ServerVersion::FIRST) };
        let project = "p".parse().expect("a project");
        let mut draft =
            Draft::new(project, Some(counter), HashMap::new(), [Collection::Tasks].into(), rows, usize::MAX);
        let task: Task = parse(&columns).expect("a task");
        (tasks..tasks + new).for_each(|number| draft.put(key(number).id, &task).expect("a task"));
        (0..deleted).for_each(|number| draft.delete(key(number)));
        draft
    }

    #[test]
    fn a_collection_grows_up_to_its_limit_and_may_always_shrink() {
        let quotas = Quotas { max_rows: 10, ..Quotas::default() };
        let kept = |tasks, new, deleted| quotas.expect_kept(&draft(tasks, new, deleted)).is_ok();
        assert!(kept(9, 1, 0) && kept(9, 3, 2) && kept(0, 10, 0));
        assert!(!kept(9, 2, 0) && !kept(10, 2, 1) && !kept(0, 11, 0));
        assert!(kept(20, 0, 1) && kept(20, 2, 2) && kept(20, 0, 0), "the limit was lowered");
        assert!(Quotas { max_members: 1, ..Quotas::default() }.expect_kept(&draft(9, 9, 0)).is_ok());
    }

    #[test]
    fn a_user_creates_as_many_projects_a_day_as_are_allowed() {
        let quotas = Quotas { max_projects_a_day: 2, ..Quotas::default() };
        assert!(quotas.expect_another_project(1).is_ok() && quotas.expect_another_project(2).is_err());
        assert!(Quotas::default().expect_another_project(u64::MAX).is_ok());
    }

    #[test]
    fn a_limit_is_a_number_and_0_unless_it_is_set() {
        let of = |name: &str, value: &str| Quotas::configured(|asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(of("MAX_MEMBERS", "12"), Ok(Quotas { max_members: 12, ..Quotas::default() }));
        assert_eq!(of("MAX_ROWS", ""), Ok(Quotas::default()));
        for text in ["many", "-1", "1.5"] {
            assert_eq!(of("MAX_PROJECTS_A_DAY", text), Err(InvalidQuota("MAX_PROJECTS_A_DAY")), "{text}");
        }
    }
}
