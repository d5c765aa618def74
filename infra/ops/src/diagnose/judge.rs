//! The comparison of one project, and of the device.

use shared::domain::UserId;

use super::device::{DeviceProject, DeviceReport};
use super::finding::{Difference, Finding, listed};
use super::outcome::ProjectDiagnosis;
use super::state::TableState;
use super::{edits, mark, phone, request, rows, schema, standing, sums};

/// Compares a project of a report with the table, at a time in seconds since 1970.
pub fn diagnose(
    report: &DeviceReport,
    device: &DeviceProject,
    state: &TableState,
    user: Option<&UserId>,
    now: i64,
) -> ProjectDiagnosis {
    let (mut findings, is_comparable) = standing::check(device, state, user);
    let mut compared = Vec::new();
    if is_comparable {
        compared = sums::compare(device, state);
        findings.extend(mark::check(device, state));
        findings.extend(schema::check(device, state));
        findings.extend(rows::check(device, state));
        findings.extend(sums::findings(device, state, &compared));
        findings.extend(broken(device));
        findings.extend(edits::check(device, state, user));
        findings.extend(request::check(device, state, user, now));
    }
    findings.extend(edits::set_aside(device, state));
    let problem = report.status.projects.get(&device.project).and_then(|status| status.problem.as_ref());
    // A problem that stops all syncing is reported only once.
    let is_general = |code: &str| report.status.problem.as_ref().is_some_and(|general| general.code == code);
    findings.extend(problem.filter(|problem| is_comparable && !is_general(&problem.code)).map(phone::not_syncing));
    ProjectDiagnosis::judged(device, state, findings, &compared)
}

/// The findings that the device reports about itself.
fn broken(device: &DeviceProject) -> Option<Finding> {
    let tables = device.broken.as_ref()?;
    let what = format!(
        "The device itself found that {} differed from the server after it had loaded the whole project again",
        listed(tables.iter().map(String::as_str))
    );
    let next = "If the checksums above agree, that is over, and the next sync notices. Otherwise keep the report: it \
                is a bug of the package or the server.";
    Some(Finding::fault(Difference::BrokenAfterRepair, what, next))
}

/// The findings about the device as a whole. `seen` is the time of the newest write that it has, in seconds since 1970.
pub(super) fn of_device(report: &DeviceReport, seen: Option<i64>, now: i64) -> Vec<Finding> {
    let mut findings: Vec<Finding> = phone::clock(report, seen, now).into_iter().collect();
    findings.extend(phone::problems(report));
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::domain::{Mark, WipePlace};
    use shared::idempotency::RestAnswer;
    use shared::storage::KeptRequest;

    use super::super::finding::Level::{Fault, Note};
    use super::super::sums::Compared;
    use super::super::testing::{Device, Server, version};
    use super::*;
    use Difference as D;

    /// Each known damage of a device has exactly the expected findings.
    #[track_caller]
    fn assert_found(name: &str, server: &Server, device: &Device, expected: &[(Difference, super::super::Level)]) {
        assert_eq!(server.found(device), expected, "{name}");
    }

    /// The server wrote the task `b` again at version 8, and deleted `a` at version 9.
    fn newer() -> Server {
        Server::new().put("tasks#b", json!({"name": "New"})).delete("tasks#a")
    }

    #[test]
    fn a_device_that_holds_what_the_server_does_does_not_differ() {
        let server = Server::new();
        assert_found("whole", &server, &server.device(), &[]);
        assert_found("brief", &server, &server.device().brief(), &[]);
        let (_, project) = server.diagnosed(&server.device(), None);
        assert!(project.checksums.len() == 5 && project.checksums.values().all(|is| *is == Compared::Agrees));
    }

    #[test]
    fn a_mark_is_judged_by_the_table_that_it_should_be_of() {
        let server = Server::new();
        let device = server.device();
        let marked = |mark: u64| device.clone().set("mark", json!(mark));
        assert_found("above", &server, &marked(8), &[(D::MarkAboveServer, Fault)]);
        assert_found("wipe", &server, &marked(WipePlace::FIRST_MARK + 3), &[(D::MarkInWipe, Fault)]);
        assert_found("lost", &server, &marked(0), &[(D::MarkLost, Fault)]);
        let empty = |table: &str| json!({table: [0, 0, 0]});
        let new = marked(0).brief().set("checksums", empty("tasks")).set("columns", json!(""));
        assert_found("new", &server, &new, &[(D::NeverSynced, Note)]);
        let half = server.device().set("columns", json!("")).set("mark", json!(4));
        let half = half.rows("tasks", |rows| drop(rows.remove("b")));
        let newer = newer();
        assert_found("half", &newer, &half, &[(D::NeverSynced, Note)]);
        assert_found("half, brief", &newer, &half.brief(), &[(D::NeverSynced, Note)]);
        let restored = Server::new().skip_to(100).put("tasks#a", json!({"name": "A"}));
        let resync = restored.clone().counter(|counter| counter.resync_through = Some(version(99)));
        assert_found("restored", &resync, &device, &[(D::MarkBeforeRestore, Fault)]);
        assert_found("restored beside the lost table", &restored, &device, &[(D::Behind, Note)]);
        let (_, of_restored) = restored.diagnosed(&device, None);
        assert!(of_restored.findings[0].what.contains("1 version behind the server's 100"), "{of_restored}");
    }

    #[test]
    fn being_behind_is_no_fault_and_is_told_from_other_differences() {
        let (old, server) = (Server::new().device(), newer());
        assert_found("behind", &server, &old, &[(D::Behind, Note)]);
        assert_found("behind, brief", &server, &old.clone().brief(), &[(D::Behind, Note)]);
        let what = &server.diagnosed(&old, None).1.findings[0].what;
        assert!(what.contains("2 versions behind the server's 9: 2 changed rows to come"), "{what}");
        // The device stored some of the newer rows and was stopped before it moved its mark.
        let half = old.clone().rows("tasks", |rows| drop(rows.insert("b".into(), json!(8))));
        assert_found("half", &server, &half.clone().brief(), &[(D::Behind, Note)]);
        let all = half.rows("tasks", |rows| drop(rows.remove("a")));
        assert_found("all but the mark", &server, &all.brief(), &[(D::Behind, Note)]);
        let damaged = old.rows("tasks", |rows| drop(rows.insert("a".into(), json!(3))));
        assert_found("damaged, too", &server, &damaged.brief(), &[(D::Behind, Note), (D::CollectionDiffers, Fault)]);
    }

    #[test]
    fn a_checksum_is_not_compared_where_the_table_does_not_tell_what_was_there() {
        let busy = (0..300).fold(Server::new(), |server, n| server.put("tasks#b", json!({"name": n.to_string()})));
        let old = Server::new().device();
        assert_eq!(busy.found(&old.clone().brief()), [(D::Behind, Note), (D::CollectionUnclear, Note)]);
        let (_, project) = busy.diagnosed(&old.brief(), None);
        assert_eq!(project.checksums["tasks"], Compared::Unclear);
        assert_eq!(project.checksums["projects"], Compared::Agrees);
        // The archive has the versions that the row's history does not name.
        let mut told = busy.clone();
        let key: shared::domain::RowKey = "tasks#b".parse().expect("a key");
        let row = told.state.rows.get_mut(&key).expect("a row");
        row.archived_above = Some(Mark::NOTHING);
        let floor = row.history.silent_through().floor();
        told.state.archived.insert(key, std::iter::once(5).chain(8..floor).collect());
        assert_eq!(told.found(&Server::new().device().brief()), [(D::Behind, Note)]);
        // A comparison at the server's own version needs no history.
        assert_eq!(busy.found(&busy.device().brief()), []);
    }

    #[test]
    fn rows_that_differ_are_named() {
        let server = newer();
        let device = server.device();
        let sums = (D::CollectionDiffers, Fault);
        type Rows = serde_json::Map<String, Value>;
        type Damage = fn(&mut Rows);
        let cases: [(&str, Damage, Difference); 5] = [
            ("b", |rows| drop(rows.remove("b")), D::RowsMissing),
            ("b", |rows| drop(rows.insert("b".into(), json!(5))), D::RowsStale),
            ("b", |rows| drop(rows.insert("b".into(), json!(70))), D::RowsAhead),
            ("x", |rows| drop(rows.insert("x".into(), json!(6))), D::RowsUnknown),
            ("dead", |rows| drop(rows.insert("dead".into(), json!(6))), D::RowsDeleted),
        ];
        for (id, damage, expected) in cases {
            let damaged = device.clone().rows("tasks", damage);
            assert_found(id, &server, &damaged, &[(expected, Fault), sums]);
            let (_, project) = server.diagnosed(&damaged, None);
            assert_eq!(project.findings[0].rows[0].row, format!("tasks/{id}"));
            assert_found("brief", &server, &damaged.brief(), &[sums]);
        }
        // The checksum was right, and a row was lost afterwards.
        let lost = device.project(|project| drop(project["rows"]["tasks"].as_object_mut().expect("rows").remove("b")));
        assert_found("lost", &server, &lost, &[(D::RowsMissing, Fault)]);
    }

    #[test]
    fn a_user_or_a_project_that_is_gone_is_said_instead_of_what_follows_from_it() {
        let server = Server::new();
        let device = server.device().set("mark", json!(3));
        let removed = server.clone().delete(&mia().to_string());
        let of = |server: &Server, device: &Device| server.found_for(device, Some("mia"));
        assert_eq!(of(&removed, &device), [(D::UserRemoved, Fault)]);
        assert_eq!(removed.found_for(&server.device(), None), [(D::Behind, Note)], "nobody was named");
        assert_eq!(server.found_for(&device, Some("eve")), [(D::UserNeverMember, Fault)]);
        let deleted = server.clone().counter(|counter| counter.deleted_at = Some(version(7)));
        assert_eq!(of(&deleted, &device), [(D::ProjectDeleted, Fault)]);
        let empty = Server { state: TableState::default() };
        assert_eq!(of(&empty, &device), [(D::ProjectUnknown, Fault)]);
        let gone = device.clone().set("status", json!("gone")).set("checksums", json!({}));
        assert_eq!(of(&removed, &gone), [(D::UserRemoved, Note)]);
        assert_eq!(of(&server, &gone), [(D::GoneForMember, Note)]);
        let emptied = device.clone().set("checksums", json!({"tasks": [0, 0, 0]}));
        assert_eq!(of(&removed, &emptied), [(D::UserRemoved, Note)]);
        assert_eq!(of(&removed, &emptied.set("dirty", edit("new", "created", 0))), [(D::UserRemoved, Fault)]);
        assert_eq!(
            of(&removed, &device.clone().set("status", json!("gone"))),
            [(D::RowsLeft, Fault), (D::UserRemoved, Note)]
        );
        assert_eq!(of(&removed, &device.set("status", json!("leaving"))), [(D::Leaving, Note), (D::UserRemoved, Note)]);
    }

    fn mia() -> shared::domain::RowKey {
        shared::domain::RowKey::membership(&"p".parse().expect("a project"), &"mia".parse().expect("a user"))
    }

    fn edit(id: &str, status: &str, at: u64) -> Value {
        json!([{"table": "tasks", "id": id, "status": status, "changed": "name", "server_version": at, "base_version": null}])
    }

    #[test]
    fn edits_that_wait_are_told_from_those_that_need_a_person() {
        let server = Server::new();
        let device = server.device();
        let dirty = |id, status, at| device.clone().set("dirty", edit(id, status, at));
        let waiting = (D::EditsWaiting, Note);
        assert_found("waiting", &server, &dirty("b", "updated", 5), &[waiting]);
        assert_found("new", &server, &dirty("new", "created", 0), &[waiting]);
        assert_found("never sent", &server, &dirty("new", "deleted", 0), &[waiting]);
        assert_found(
            "gone",
            &server,
            &dirty("dead", "updated", 6).brief(),
            &[(D::RowsDeleted, Fault), (D::EditOfGoneRow, Fault)],
        );
        assert_found(
            "never was",
            &server,
            &dirty("x", "updated", 6).brief(),
            &[(D::RowsUnknown, Fault), (D::EditOfGoneRow, Fault)],
        );
        assert_found("there", &server, &dirty("b", "created", 0), &[(D::CreatedTwice, Fault)]);
        assert_found("stale", &server, &dirty("b", "updated", 2).brief(), &[(D::RowsStale, Fault), waiting]);
        let going = Server::new().device().set("dirty", edit("a", "updated", 4));
        assert_found("going", &newer(), &going, &[(D::Behind, Note), (D::EditOfGoneRow, Note)]);
        let parked = json!({"tasks/b": {"code": "role_too_low", "status": 403, "fields": ["name"], "tries": 4}});
        let refused = dirty("b", "updated", 5).set("parked", parked);
        assert_found("refused", &server, &refused, &[(D::EditRefused, Fault), waiting]);
        let (_, project) = server.diagnosed(&refused, Some("mia"));
        assert!(project.findings[0].what.contains("role_too_low (up to 4 times; fields: name)"), "{project}");
        assert!(project.findings[0].next.starts_with("The user's role is 100 now."), "{project}");
        let conflict = dirty("b", "updated", 5).set("conflicts", json!({"tasks/b": ["name"]}));
        assert_found("conflict", &server, &conflict, &[(D::ConflictOpen, Fault), waiting]);
        assert_found(
            "given up",
            &server,
            &device.clone().set("givenUp", json!({"tasks/b": ["name"]})),
            &[(D::EditsGivenUp, Note)],
        );
        let aside = json!([{"table": "tasks", "id": "dead", "reason": "deleted on the server", "fields": ["name"]}]);
        assert_found("aside", &server, &device.clone().set("aside", aside), &[(D::EditsSetAside, Note)]);
        assert_found(
            "broken",
            &server,
            &device.clone().set("broken", json!(["tasks"])),
            &[(D::BrokenAfterRepair, Fault)],
        );
    }

    #[test]
    fn a_confirmation_is_one_of_this_table() {
        let server = newer();
        let acked = |key: &str, at: u64| server.device().set("acks", json!({ key: at }));
        for at in [5, 8, 0] {
            assert_found("held", &server, &acked("tasks/b", at), &[]);
        }
        for (key, at) in [("tasks/b", 7), ("tasks/b", 70), ("tasks/x", 3)] {
            assert_found("never held", &server, &acked(key, at), &[(D::ConfirmationLost, Fault)]);
        }
    }

    #[test]
    fn a_request_without_an_answer_is_looked_up() {
        let server = Server::new();
        let request =
            |operations: Value| server.device().set("request", json!({"key": "k1", "operations": operations}));
        let patch = request(json!(["PATCH tasks/b", "POST tasks/new"]));
        assert_eq!(server.found_for(&patch, None), [(D::RequestUnclear, Note)]);
        assert_found("none kept", &server, &patch, &[(D::RequestUnanswered, Note)]);
        let there = request(json!(["POST tasks/b"]));
        assert_found("none kept, and done", &server, &there, &[(D::RequestUnanswered, Fault)]);
        let unfinished = server.clone().counter(|counter| {
            let task = "b".parse().expect("an id");
            counter.unfinished = Some(shared::domain::UnfinishedDeletion { task, promised: None, by: None });
        });
        let deletion = request(json!(["DELETE tasks/b"]));
        assert!(unfinished.diagnosed(&deletion, Some("olga")).1.findings[0].what.contains("takes several commits"));
        let body = r#"{"results":[{"status":200,"id":"b","server_version":8},{"status":403,"id":null,"problem":{"code":"role_too_low"}},{"status":0,"id":"c","code":"not_attempted"}]}"#;
        let answer = RestAnswer { status: 200, headers: [].into(), body: body.to_owned(), row: None };
        let kept = |expires_at| {
            let kept = KeptRequest { version: version(7), expires_at, answer: answer.clone() };
            Server { state: server.state.clone().with_kept(Some(kept)) }
        };
        assert_found("kept", &kept(1_790_000_100), &patch, &[(D::RequestAnswered, Note)]);
        let (_, project) = kept(1_790_000_100).diagnosed(&patch, Some("olga"));
        let expected =
            "1 operation accepted, 1 operation not attempted, 1 operation refused with role_too_low at version 7";
        assert!(project.findings[0].what.contains(expected), "{project}");
        assert_found("kept too long", &kept(1_790_000_000), &patch, &[(D::RequestUnanswered, Fault)]);
    }

    #[test]
    fn a_schema_that_does_not_fit_is_named_by_its_columns() {
        let server = Server::new();
        let columns = |from: &str, to: &str| {
            server.device().project(|project| {
                let columns = project["columns"].as_str().expect("columns");
                assert!(columns.contains(from));
                project["columns"] = columns.replace(from, to).into();
            })
        };
        assert_found("lacks", &server, &columns(",notes", ""), &[(D::ColumnMissing, Fault)]);
        assert_found("more", &server, &columns(",notes", ",notes,colour"), &[(D::ColumnUnknown, Fault)]);
        assert_found(
            "renamed",
            &server,
            &columns(",notes", ",note"),
            &[(D::ColumnMissing, Fault), (D::ColumnUnknown, Fault)],
        );
        assert_found("table", &server, &columns("calendars:", "badges:x;calendars:"), &[(D::TableUnknown, Note)]);
        let notes = server.clone().put("notes#n", json!({}));
        assert_found("collection", &notes, &server.device(), &[(D::Behind, Note), (D::CollectionNotSynced, Fault)]);
    }

    #[test]
    fn a_clock_that_is_off_is_noticed_with_and_without_an_answer_of_the_server() {
        let server = Server::new();
        let clock = |at: i64, skew: Value| {
            server.device().but(|report| {
                report["at"] = at.into();
                report["clockSkew"] = skew;
            })
        };
        let off = [(D::ClockOff, Fault)];
        let year = 31_556_952_000_i64;
        assert_found("right", &server, &clock(1_790_000_000_000, json!(200_000)), &[]);
        assert_found("right, old report", &server, &clock(1_780_000_000_000, Value::Null), &[]);
        assert_found("ahead", &server, &clock(1_790_000_000_000 + 5 * year, Value::Null), &off);
        assert_found("behind", &server, &clock(0, Value::Null), &off);
        for (skew, expected) in [(-5 * year, "5 years ahead of"), (5 * year, "5 years behind")] {
            let device = clock(1_790_000_000_000, json!(skew));
            assert_found("skew", &server, &device, &off);
            let what = &server.diagnosed(&device, None).0[0].what;
            assert!(what.contains(expected), "{what}");
        }
    }

    #[test]
    fn what_keeps_it_from_syncing_is_said_once_with_what_to_do() {
        let server = Server::new();
        let problem = |code: &str| json!({"code": code, "detail": "Why."});
        let status = |general: Value, own: Value| {
            server.device().but(|report| {
                report["status"]["problem"] = general;
                report["status"]["projects"] = json!({"p": {"problem": own}});
            })
        };
        let schema = problem("schema_mismatch");
        for device in [status(schema.clone(), schema.clone()), status(Value::Null, schema)] {
            assert_found("schema", &server, &device, &[(D::NotSyncing, Fault)]);
        }
        assert_found("offline", &server, &status(problem("network"), problem("network")), &[(D::NotSyncing, Note)]);
        let past = server
            .device()
            .but(|report| report["problems"] = json!([{"at": 5, "project": null, "code": "network", "detail": ""}]));
        assert_found("past", &server, &past, &[(D::NotSyncing, Note)]);
    }

    #[test]
    fn no_text_of_a_report_can_control_a_terminal() {
        let server = Server::new();
        let evil = "\u{1b}[2J\n\u{7}";
        let device = server
            .device()
            .set("parked", json!({ format!("tasks/{evil}"): {"code": evil, "fields": [evil]} }))
            .set("conflicts", json!({ evil: [evil] }))
            .set("request", json!({"key": evil, "operations": [evil]}))
            .set("columns", json!(format!("{evil}:{evil}")))
            .set("broken", json!([evil]))
            .set("dirty", json!([{"table": evil, "id": evil, "status": evil, "server_version": 3}]))
            .set("aside", json!([{"table": evil, "id": evil}]))
            .project(|project| project["checksums"][evil] = json!([1, 2, 3]))
            .project(|project| project["rows"][evil] = json!({ evil: 4 }))
            .set("project", json!(evil))
            .but(|report| report["client"] = evil.into())
            .but(|report| report["status"]["problem"] = json!({"code": evil, "detail": evil}));
        let report: DeviceReport = serde_json::from_value(device.0.clone()).expect("a report");
        let (of_device, project) = server.diagnosed(&device, Some("olga"));
        assert!(project.findings.len() > 6, "{project}");
        let text = super::super::Diagnosis::of("t", &report, of_device, vec![project]).to_string();
        let unfit: Vec<char> = text.chars().filter(|sign| sign.is_control() && *sign != '\n').collect();
        assert!(unfit.is_empty() && text.lines().all(|line| !line.starts_with('\u{7}')), "{unfit:?} {text}");
        assert!(!text.contains("Secret"));
    }
}
