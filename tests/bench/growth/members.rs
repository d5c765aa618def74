//! The members of a project.

use axum::http::Method;
use serde_json::{Value, json};
use shared::domain::{UserId, membership_id};
use shared::storage::Table;

use crate::instance::Instance;
use crate::program::Outcome;
use crate::sheet::Sheet;

pub(crate) async fn measure(table: &Table, points: &[usize]) -> Outcome<Sheet> {
    let instance = Instance::with_project(table, "members").await?;
    instance.create_tasks(1).await?;
    let mut sheet = Sheet::new("members", points);
    let mut members = 1;
    for &count in points {
        while members < count {
            instance.rest(Method::POST, "memberships/", &json!({"user": user(members)?, "role": 100})).await?;
            members += 1;
        }
        instance.touch(0, sheet.columns() + 1).await?;
        let current = instance.current().await?;
        sheet.add("first sync", instance.pull("since=0").await?);
        sheet.add("pull, nothing new", instance.pull(&format!("since={current}")).await?);
        sheet.add("list 50 members", instance.read("memberships/?limit=50").await?);
        sheet.add("`PATCH` a task", instance.touch(0, sheet.columns() + 50).await?);
        // One more, who is removed again. It is the same row each time.
        let guest: UserId = "auth0|guest".parse()?;
        let path = format!("memberships/{}/", membership_id(&instance.project, &guest));
        let add = json!({"user": guest, "role": 1});
        sheet.add("add a member", instance.rest(Method::POST, "memberships/", &add).await?);
        sheet.add("change a member's role", instance.rest(Method::PATCH, &path, &json!({"role": 100})).await?);
        sheet.add("remove a member", instance.rest(Method::DELETE, &path, &Value::Null).await?);
    }
    Ok(sheet)
}

fn user(number: usize) -> Outcome<UserId> {
    Ok(format!("auth0|{number:024}").parse()?)
}
