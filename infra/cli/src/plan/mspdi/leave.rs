//! Lists the values of a plan that this product has no place for.

use super::super::fault::{Fault, Findings};
use super::element::Element;

/// The maximum number of characters of a value in a message.
const MAX_SHOWN: usize = 80;

/// The elements of a task that are imported, or that follow from others.
const OF_TASKS: &[&str] = &[
    "UID",
    "ID",
    "GUID",
    "Name",
    "IsNull",
    "OutlineNumber",
    "OutlineLevel",
    "Start",
    "Duration",
    "DurationFormat",
    "Milestone",
    "PercentComplete",
    "Notes",
    "PredecessorLink",
    "Summary",
    "Type",
    "CreateDate",
    "Finish",
    "Stop",
    "Resume",
    "ResumeValid",
    "EffortDriven",
    "OverAllocated",
    "Estimated",
    "DisplayAsSummary",
    "Critical",
    "IsSubprojectReadOnly",
    "EarlyStart",
    "EarlyFinish",
    "LateStart",
    "LateFinish",
    "StartVariance",
    "FinishVariance",
    "WorkVariance",
    "DurationVariance",
    "CostVariance",
    "FreeSlack",
    "TotalSlack",
    "StartSlack",
    "FinishSlack",
    "FixedCostAccrual",
    "PercentWorkComplete",
    "ActualDuration",
    "RegularWork",
    "RemainingDuration",
    "RemainingCost",
    "RemainingWork",
    "RemainingOvertimeCost",
    "RemainingOvertimeWork",
    "ACWP",
    "CV",
    "BCWS",
    "BCWP",
    "IgnoreResourceCalendar",
    "LevelAssignments",
    "LevelingCanSplit",
    "LevelingDelayFormat",
    "PreLeveledStart",
    "PreLeveledFinish",
    "HideBar",
    "Rollup",
    "EarnedValueMethod",
    "IsPublished",
    "CommitmentType",
    "ManualStart",
    "ManualFinish",
    "ManualDuration",
    "Manual",
    "ActualWorkProtected",
    "ActualOvertimeWorkProtected",
    // These elements get a line of their own.
    "WBS",
    "Active",
    "ConstraintType",
    "ConstraintDate",
    "CalendarUID",
    "ExtendedAttribute",
];

/// The elements of an assignment that are imported, or that follow from others.
const OF_ASSIGNMENTS: &[&str] = &[
    "UID",
    "GUID",
    "TaskUID",
    "ResourceUID",
    "Start",
    "Finish",
    "Stop",
    "Resume",
    "Work",
    "RegularWork",
    "RemainingWork",
    "PercentWorkComplete",
    "RemainingCost",
    "RemainingOvertimeCost",
    "RemainingOvertimeWork",
    "ACWP",
    "CV",
    "BCWS",
    "BCWP",
    "CostVariance",
    "StartVariance",
    "FinishVariance",
    "WorkVariance",
    "OverAllocated",
    "HasFixedRateUnits",
    "FixedMaterial",
    "CostRateTable",
    "RateScale",
    "WorkContour",
    "BookingType",
    "CreationDate",
    "DelayFormat",
    "LevelingDelayFormat",
    "ResponsePending",
    "UpdateNeeded",
    "ActualWorkProtected",
    "ActualOvertimeWorkProtected",
    "VAC",
    "Milestone",
    "Summary",
    "Confirmed",
    "Linkable",
    "UpdatedByCurrentUser",
];

/// The elements of the project that people fill in.
const OF_PROJECTS: &[&str] =
    &["Subject", "Category", "Company", "Manager", "Author", "StatusDate", "Keywords", "Comments"];

/// The elements of a resource that people fill in.
const OF_RESOURCES: &[&str] = &[
    "Initials",
    "Group",
    "EmailAddress",
    "StandardRate",
    "OvertimeRate",
    "CostPerUse",
    "Cost",
    "MaxUnits",
    "Notes",
    "CalendarUID",
];

impl Findings {
    /// Lists a value of `what` that this product has no place for.
    pub(super) fn leave(&mut self, file: &str, line: u64, what: &str, message: &str) {
        let message = format!("{what}: {message}");
        self.left_out.push(Fault { file: file.to_owned(), line: Some(line), column: None, message });
    }
}

pub(super) fn of_task(file: &str, task: &Element, what: &str, findings: &mut Findings) {
    rest(file, task, what, |name| !OF_TASKS.contains(&name), findings);
}

pub(super) fn of_assignment(file: &str, assignment: &Element, what: &str, findings: &mut Findings) {
    rest(file, assignment, what, |name| !OF_ASSIGNMENTS.contains(&name), findings);
}

pub(super) fn of_project(file: &str, project: &Element, findings: &mut Findings) {
    rest(file, project, "project", |name| OF_PROJECTS.contains(&name), findings);
}

/// The values of a resource that people filled in, in brackets. It is empty if there are none.
pub(super) fn of_resource(resource: &Element) -> String {
    let typed =
        resource.children.iter().filter(|child| OF_RESOURCES.contains(&child.name.as_str()) && says_something(child));
    let typed: Vec<String> = typed.map(|child| format!("{} {}", child.name, value(child))).collect();
    if typed.is_empty() { String::new() } else { format!(" ({})", typed.join(", ")) }
}

fn rest(file: &str, of: &Element, what: &str, wanted: impl Fn(&str) -> bool, findings: &mut Findings) {
    for child in of.children.iter().filter(|child| wanted(&child.name) && says_something(child)) {
        findings.leave(file, child.line, what, &format!("{} {} has no place here", child.name, value(child)));
    }
}

/// Whether an element has another value than the one that every program writes.
fn says_something(element: &Element) -> bool {
    let empty = ["", "0", "0.0", "0.00", "-1", "false", "NA", "PT0H0M0S", "1970-01-01T00:00:00"];
    let usual = matches!(
        (element.name.as_str(), element.text.trim()),
        ("Priority", "500") | ("Units" | "MaxUnits", "1" | "1.0" | "1.00")
    );
    !element.children.is_empty() || !(empty.contains(&element.text.trim()) || usual)
}

/// The text of an element, on one line.
pub(super) fn value(element: &Element) -> String {
    let text = match element.children.as_slice() {
        [] => element.text.trim().to_owned(),
        children => {
            let said = children.iter().filter(|child| says_something(child));
            let said: Vec<String> = said.map(|child| format!("{} {}", child.name, child.text.trim())).collect();
            format!("({})", said.join(", "))
        }
    };
    if text.chars().count() <= MAX_SHOWN {
        return text;
    }
    text.chars().take(MAX_SHOWN - 1).chain(['…']).collect()
}
