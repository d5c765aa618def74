//! The limit to the connections over which one user is told of a project.

use std::collections::HashMap;

use shared::domain::{ConnectionId, UserId};
use shared::storage::Watcher;

/// The maximum number of watches of a project by which a user is told of it. More than the devices of a person, so that
/// connections that died unnoticed push no living one out.
pub const MAX_WATCHES_OF_A_USER: usize = 20;

/// Splits watchers, the oldest first, into the latest few of each user and the surplus, also the oldest first.
pub(crate) fn latest_of_each_user(watchers: Vec<Watcher>) -> (Vec<ConnectionId>, Vec<ConnectionId>) {
    let mut later: HashMap<UserId, usize> = HashMap::new();
    let (mut latest, mut surplus) = (Vec::new(), Vec::new());
    for Watcher { connection, user, .. } in watchers.into_iter().rev() {
        let count = later.entry(user).or_default();
        *count += 1;
        if *count <= MAX_WATCHES_OF_A_USER { latest.push(connection) } else { surplus.push(connection) }
    }
    surplus.reverse();
    (latest, surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(user: &str, number: usize) -> Watcher {
        let connection = format!("{user}{number}").parse().expect("an id");
        Watcher { connection, user: user.parse().expect("a user"), until: 0 }
    }

    #[test]
    fn a_user_with_too_many_connections_keeps_the_latest_and_takes_none_from_others() {
        let watchers = (0..MAX_WATCHES_OF_A_USER + 3).flat_map(|number| [watcher("eve", number), watcher("ann", 0)]);
        let (latest, surplus) = latest_of_each_user(watchers.take(2 * MAX_WATCHES_OF_A_USER + 5).collect());
        let of = |user: &str| latest.iter().filter(|connection| connection.as_str().starts_with(user)).count();
        assert_eq!([of("eve"), of("ann")], [MAX_WATCHES_OF_A_USER; 2]);
        let oldest: Vec<&str> = surplus.iter().map(ConnectionId::as_str).collect();
        assert_eq!(oldest, ["eve0", "ann0", "eve1", "ann0", "eve2"]);
    }

    #[test]
    fn of_ten_thousand_users_with_one_device_everybody_is_told() {
        let watchers: Vec<Watcher> = (0..10_000).map(|number| watcher(&format!("user{number}-"), number)).collect();
        let (latest, surplus) = latest_of_each_user(watchers);
        assert_eq!((latest.len(), surplus.len()), (10_000, 0));
    }
}
