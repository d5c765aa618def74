//! How much one project, and one user, may come to.

use super::{Checksums, Collection, Error};

/// The most that a project holds and that a user creates. 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Live rows of each collection of a project but its memberships.
    pub max_rows: u32,
    /// Live memberships of a project.
    pub max_members: u32,
    /// Projects that one user creates on one day (UTC).
    pub max_projects_a_day: u32,
}

/// The environment names a number that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} must be a whole number, 0 for no limit")]
pub struct InvalidQuota(&'static str);

impl Quotas {
    /// The quotas of these variables: `MAX_ROWS`, `MAX_MEMBERS` and `MAX_PROJECTS_A_DAY`. One that is not set is no limit.
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

    /// Refuses a commit that makes more rows of a collection than a project may hold: `QuotaExceeded`.
    ///
    /// What is there already may be more, since a limit can be lowered: it can still be changed and deleted.
    pub fn expect_kept(&self, before: &Checksums, after: &Checksums) -> Result<(), Error> {
        for collection in Collection::ALL {
            let max = if collection == Collection::Memberships { self.max_members } else { self.max_rows };
            let [[rows_before, ..], [rows_after, ..]] = [before, after].map(|checksums| checksums.get(collection));
            if max > 0 && rows_after > max && rows_after > rows_before {
                return Err(Error::QuotaExceeded { what: collection.name(), max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksums(tasks: u32, memberships: u32) -> Checksums {
        let mut checksums = Checksums::default();
        checksums.set(Collection::Tasks, [tasks, 7, 7]);
        checksums.set(Collection::Memberships, [memberships, 7, 7]);
        checksums
    }

    #[test]
    fn a_collection_grows_up_to_its_limit_and_may_always_shrink() {
        let quotas = Quotas { max_rows: 10, max_members: 3, max_projects_a_day: 0 };
        let kept = |before, after| quotas.expect_kept(&before, &after).is_ok();
        assert!(kept(checksums(9, 3), checksums(10, 3)));
        assert!(!kept(checksums(10, 3), checksums(11, 3)), "a task too many");
        assert!(!kept(checksums(1, 3), checksums(1, 4)), "a member too many");
        assert!(kept(checksums(20, 3), checksums(19, 3)) && kept(checksums(20, 3), checksums(20, 3)));
        assert!(Quotas::default().expect_kept(&checksums(0, 0), &checksums(u32::MAX, u32::MAX)).is_ok());
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
