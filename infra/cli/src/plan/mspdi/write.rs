//! Writes a plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use quick_xml::escape::escape;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::writer::Writer;
use serde_json::Value;
use shared::domain::{Collection, Columns, RowId};

use super::super::contents::Contents;
use super::super::export::rows;
use super::{ID_ALIAS, ID_FIELD};

/// A project as an XML file for MS Project, and the values that the file has no place for.
pub fn to_mspdi(contents: &Contents) -> io::Result<(Vec<u8>, Vec<String>)> {
    let mut document = Document { xml: Writer::new_with_indent(Vec::new(), b' ', 2), left_out: Vec::new() };
    document.xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), Some("yes"))))?;
    let root = BytesStart::new("Project").with_attributes([("xmlns", "http://schemas.microsoft.com/project")]);
    document.xml.write_event(Event::Start(root))?;
    document.plan(contents)?;
    document.xml.write_event(Event::End(BytesEnd::new("Project")))?;
    let mut bytes = document.xml.into_inner();
    bytes.push(b'\n');
    Ok((bytes, document.left_out))
}

struct Document {
    xml: Writer<Vec<u8>>,
    left_out: Vec<String>,
}

impl Document {
    fn plan(&mut self, contents: &Contents) -> io::Result<()> {
        let project = contents.of(Collection::Projects).map(|(_, row)| row.clone()).next().unwrap_or_default();
        let calendars = rows(contents, Collection::Calendars);
        let own =
            calendars.iter().position(|(id, _)| project.get("calendar").and_then(Value::as_str) == Some(id.as_str()));
        let hours = own.and_then(|own| calendars[own].1.get("hours_per_day")).and_then(Value::as_f64).unwrap_or(8.0);
        let minutes = (hours * 60.0).round();
        let week = own.and_then(|own| calendars[own].1.get("working_days")).and_then(Value::as_u64).unwrap_or(31);
        self.leaf("SaveVersion", "14")?;
        self.leaf("Title", text(&project, "name"))?;
        self.leaf("StartDate", &format!("{}T08:00:00", text(&project, "start_date")))?;
        self.leaf("ScheduleFromStart", "1")?;
        if let Some(own) = own {
            self.leaf("CalendarUID", &(own + 1).to_string())?;
        }
        self.leaf("MinutesPerDay", &minutes.to_string())?;
        self.leaf("MinutesPerWeek", &(minutes * f64::from(week.count_ones())).to_string())?;
        self.within("ExtendedAttributes", |this| {
            this.within("ExtendedAttribute", |this| {
                this.leaf("FieldID", ID_FIELD)?;
                this.leaf("FieldName", "Text30")?;
                this.leaf("Alias", ID_ALIAS)
            })
        })?;
        self.within("Calendars", |this| {
            calendars.iter().enumerate().try_for_each(|(index, (id, row))| this.calendar(index + 1, id, row))
        })?;
        let tasks = rows(contents, Collection::Tasks);
        let people: BTreeSet<&str> = tasks.iter().filter_map(|(_, row)| row.get("assignee")?.as_str()).collect();
        let people: BTreeMap<&str, usize> = people.into_iter().zip(1..).collect();
        self.tasks(contents, &project, &tasks, minutes)?;
        self.within("Resources", |this| {
            people.iter().try_for_each(|(user, uid)| {
                this.within("Resource", |this| {
                    this.leaf("UID", &uid.to_string())?;
                    this.leaf("ID", &uid.to_string())?;
                    this.leaf("Name", user)?;
                    this.leaf("Type", "1")
                })
            })
        })?;
        self.within("Assignments", |this| {
            let assigned =
                tasks.iter().zip(1..).filter_map(|((_, row), uid)| Some((uid, row.get("assignee")?.as_str()?)));
            assigned.zip(1..).try_for_each(|((task, user), uid): ((i32, &str), i32)| {
                this.within("Assignment", |this| {
                    this.leaf("UID", &uid.to_string())?;
                    this.leaf("TaskUID", &task.to_string())?;
                    this.leaf("ResourceUID", &people[user].to_string())?;
                    this.leaf("Units", "1")
                })
            })
        })
    }

    fn calendar(&mut self, uid: usize, id: &RowId, row: &Columns) -> io::Result<()> {
        if text(row, "timezone") != "UTC" {
            self.left_out.push(format!("calendars {id}: timezone {}", text(row, "timezone")));
        }
        let days = row.get("working_days").and_then(Value::as_i64).unwrap_or(31);
        let seconds = (row.get("hours_per_day").and_then(Value::as_f64).unwrap_or(8.0) * 3_600.0).round() as i64;
        // Work begins at 8 o'clock, or earlier if the hours would not fit the day. Midnight at the end is 0:00.
        let from = 28_800.min(86_400 - seconds);
        let clock = |at: i64| format!("{:02}:{:02}:{:02}", at / 3_600 % 24, at / 60 % 60, at % 60);
        self.within("Calendar", |this| {
            this.leaf("UID", &uid.to_string())?;
            this.leaf("Name", text(row, "name"))?;
            this.leaf("IsBaseCalendar", "1")?;
            this.leaf("BaseCalendarUID", "-1")?;
            this.within("WeekDays", |this| {
                (1..=7).try_for_each(|day: i64| {
                    let works = days & if day == 1 { 64 } else { 1 << (day - 2) } != 0;
                    this.within("WeekDay", |this| {
                        this.leaf("DayType", &day.to_string())?;
                        this.leaf("DayWorking", if works { "1" } else { "0" })?;
                        if !works {
                            return Ok(());
                        }
                        this.within("WorkingTimes", |this| {
                            this.within("WorkingTime", |this| {
                                this.leaf("FromTime", &clock(from))?;
                                this.leaf("ToTime", &clock(from + seconds))
                            })
                        })
                    })
                })
            })?;
            let exceptions = row.get("exceptions").and_then(Value::as_array).cloned().unwrap_or_default();
            this.within("Exceptions", |this| {
                exceptions.iter().try_for_each(|exception| {
                    let of = |name: &str| exception[name].as_str().unwrap_or_default().to_owned();
                    this.within("Exception", |this| {
                        this.leaf("EnteredByOccurrences", "0")?;
                        this.within("TimePeriod", |this| {
                            this.leaf("FromDate", &format!("{}T00:00:00", of("start")))?;
                            this.leaf("ToDate", &format!("{}T23:59:00", of("end")))
                        })?;
                        this.leaf("Name", &of("description"))?;
                        this.leaf("Type", "1")?;
                        this.leaf("DayWorking", "0")
                    })
                })
            })
        })
    }

    fn tasks(
        &mut self,
        contents: &Contents,
        project: &Columns,
        tasks: &[(&RowId, &Columns)],
        minutes: f64,
    ) -> io::Result<()> {
        let uids: HashMap<&str, usize> = tasks.iter().zip(1..).map(|((id, _), uid)| (id.as_str(), uid)).collect();
        let paths: BTreeSet<&str> = tasks.iter().filter_map(|(_, row)| row.get("wbs_path")?.as_str()).collect();
        let mut links: HashMap<&str, Vec<&Columns>> = HashMap::new();
        for (_, edge) in contents.of(Collection::Dependencies) {
            links.entry(text(edge, "successor")).or_default().push(edge);
        }
        self.within("Tasks", |this| {
            this.within("Task", |this| {
                this.leaf("UID", "0")?;
                this.leaf("ID", "0")?;
                this.leaf("Name", text(project, "name"))?;
                this.leaf("OutlineNumber", "0")?;
                this.leaf("OutlineLevel", "0")?;
                this.leaf("Summary", "1")?;
                this.leaf("Notes", text(project, "description"))
            })?;
            tasks.iter().zip(1..).try_for_each(|((id, row), uid)| {
                let links = links.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
                let path = text(row, "wbs_path");
                let inside = format!("{path}.");
                let summary = !path.is_empty()
                    && paths.range(inside.as_str()..).next().is_some_and(|next| next.starts_with(&inside));
                this.task(uid, id, row, summary, minutes, &|this| {
                    links.iter().try_for_each(|edge| this.link(edge, &uids, minutes))
                })
            })
        })
    }

    fn task(
        &mut self,
        uid: usize,
        id: &RowId,
        row: &Columns,
        summary: bool,
        minutes: f64,
        links: &dyn Fn(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let percent = row.get("percent_complete").and_then(Value::as_i64).unwrap_or(0);
        let status = text(row, "status");
        let follows = match percent {
            100 => "COMPLETE",
            1.. => "IN_PROGRESS",
            _ => "NOT_STARTED",
        };
        if status != follows {
            self.left_out.push(format!("tasks {id}: status {status}"));
        }
        for column in ["optimistic_duration", "most_likely_duration", "pessimistic_duration"] {
            if let Some(days) = row.get(column).and_then(Value::as_i64) {
                self.left_out.push(format!("tasks {id}: {column} {days}"));
            }
        }
        let (path, start) = (text(row, "wbs_path"), text(row, "planned_start"));
        let days = row.get("duration").and_then(Value::as_f64).unwrap_or(1.0);
        self.within("Task", |this| {
            this.leaf("UID", &uid.to_string())?;
            this.leaf("ID", &uid.to_string())?;
            this.leaf("Name", text(row, "name"))?;
            if !path.is_empty() {
                this.leaf("WBS", path)?;
                this.leaf("OutlineNumber", path)?;
                this.leaf("OutlineLevel", &path.split('.').count().to_string())?;
            }
            if !start.is_empty() {
                this.leaf("Start", &format!("{start}T08:00:00"))?;
            }
            let total = days * minutes;
            this.leaf("Duration", &format!("PT{}H{}M0S", (total / 60.0).floor(), total % 60.0))?;
            this.leaf("DurationFormat", "7")?;
            this.leaf("Milestone", if days == 0.0 { "1" } else { "0" })?;
            this.leaf("Summary", if summary { "1" } else { "0" })?;
            this.leaf("PercentComplete", &percent.to_string())?;
            // Without this element, MS Project moves the task to the project's start.
            this.leaf("ConstraintType", if start.is_empty() { "0" } else { "4" })?;
            if !start.is_empty() {
                this.leaf("ConstraintDate", &format!("{start}T08:00:00"))?;
            }
            if !text(row, "notes").is_empty() {
                this.leaf("Notes", text(row, "notes"))?;
            }
            links(this)?;
            this.within("ExtendedAttribute", |this| {
                this.leaf("FieldID", ID_FIELD)?;
                this.leaf("Value", id.as_str())
            })
        })
    }

    fn link(&mut self, edge: &Columns, uids: &HashMap<&str, usize>, minutes: f64) -> io::Result<()> {
        let Some(predecessor) = uids.get(text(edge, "predecessor")) else { return Ok(()) };
        let kind = match text(edge, "dep_type") {
            "FF" => "0",
            "SF" => "2",
            "SS" => "3",
            _ => "1",
        };
        let lag = edge.get("lag").and_then(Value::as_f64).unwrap_or(0.0) * minutes * 10.0;
        self.within("PredecessorLink", |this| {
            this.leaf("PredecessorUID", &predecessor.to_string())?;
            this.leaf("Type", kind)?;
            this.leaf("CrossProject", "0")?;
            this.leaf("LinkLag", &lag.to_string())?;
            this.leaf("LagFormat", "7")
        })
    }

    fn within(&mut self, name: &str, content: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.xml.write_event(Event::Start(BytesStart::new(name)))?;
        content(self)?;
        self.xml.write_event(Event::End(BytesEnd::new(name)))
    }

    fn leaf(&mut self, name: &str, value: &str) -> io::Result<()> {
        // XML cannot represent these characters.
        let unfit = |sign: char| matches!(sign, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
        if value.contains(unfit) {
            self.left_out.push(format!("{name} {value:?}: characters that XML has no place for"));
        }
        let value = value.replace(unfit, "\u{fffd}");
        // A reader would take an unescaped carriage return for the end of a line.
        let escaped = escape(value.as_str()).replace('\r', "&#13;");
        self.xml.write_event(Event::Start(BytesStart::new(name)))?;
        self.xml.write_event(Event::Text(BytesText::from_escaped(escaped)))?;
        self.xml.write_event(Event::End(BytesEnd::new(name)))
    }
}

fn text<'a>(row: &'a Columns, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}
