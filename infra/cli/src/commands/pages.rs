//! `trueppm pages`

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command, CommandFactory};
use ops::command::{Ended, Failure, print};
use serde::Serialize;
use yaml_rust2::{Yaml, YamlLoader};

/// Write the generated blocks of the pages in infra/docs
///
/// A block stands between `<!-- generated: NAME -->` and `<!-- end -->`. NAME is parameters, cli, columns, roles or problems.
#[derive(Args)]
#[command(
    hide = true,
    after_help = "\
Exit status: 0 success, 1 with --check: a page is stale, 2 failed.

Examples:
  trueppm pages             in the workspace, after a change of the template, the command or the columns
  trueppm pages --check     as CI does"
)]
pub(crate) struct Options {
    /// Write nothing, and name the pages that are stale.
    #[arg(long)]
    check: bool,
    /// The workspace.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    root: PathBuf,
}

/// The pages that were stale.
#[derive(Serialize)]
struct Report {
    checked: bool,
    stale: Vec<PathBuf>,
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, next) = match (self.stale.is_empty(), self.checked) {
            (true, _) => return f.write_str("every page is up to date"),
            (false, true) => ("stale", "\nwrite them with `trueppm pages`"),
            (false, false) => ("written", ""),
        };
        let pages: Vec<_> = self.stale.iter().map(|page| format!("{word}: {}", page.display())).collect();
        write!(f, "{}{next}", pages.join("\n"))
    }
}

pub(crate) fn run<Cli: CommandFactory>(options: &Options, json: bool) -> Ended {
    let template = read(&options.root.join("template.yaml"))?;
    let block = |name: &str| match name {
        "parameters" => parameters(&template),
        "cli" => Ok(reference(Cli::command())),
        "columns" => api::markdown::columns().map_err(|error| error.to_string()),
        "roles" => Ok(api::markdown::roles()),
        "problems" => api::markdown::problems().map_err(|error| error.to_string()),
        _ => Err("nothing generates it".to_owned()),
    };
    let mut stale = Vec::new();
    for page in pages(&options.root.join("infra/docs"))? {
        let written = read(&page)?;
        let filled = filled(&written, block).map_err(|why| Failure::new(format!("{}: {why}", page.display())))?;
        if filled != written {
            if !options.check {
                fs::write(&page, filled)?;
            }
            stale.push(page.strip_prefix(&options.root).map(Path::to_owned).unwrap_or(page));
        }
    }
    let code = u8::from(options.check && !stale.is_empty());
    print(&Report { checked: options.check, stale }, json)?;
    Ok(code)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// The Markdown files of a directory, in the order of their names.
fn pages(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", directory.display()));
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut pages = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    Ok(pages)
}

const START: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// The page with each of its blocks replaced by the result of `block`.
fn filled(page: &str, block: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(START) {
        let (name, after) = after.split_once(" -->\n").ok_or("a marker is not closed")?;
        let of_block = |why: &str| format!("the block {name}: {why}");
        let (old, behind) = after.split_once(END).ok_or_else(|| of_block("it has no end"))?;
        if old.contains(START) {
            return Err(of_block("it has no end before the next one"));
        }
        let new = block(name).map_err(|why| of_block(&why))?;
        filled.extend([before, START, name, " -->\n\n", new.trim_end(), "\n\n", END]);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The template's parameters as a table, in the template's order.
fn parameters(template: &str) -> Result<String, String> {
    let template = YamlLoader::load_from_str(template).map_err(|error| error.to_string())?;
    let parameters = template.first().and_then(|template| template["Parameters"].as_hash());
    let parameters = parameters.ok_or("template.yaml has no parameters")?;
    let mut table = "| parameter | default | allowed | what it is |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, parameter) in parameters {
        let default = match &parameter["Default"] {
            Yaml::BadValue => "required".to_owned(),
            default => value(default),
        };
        let about = cell(&scalar(&parameter["Description"]));
        table.push_str(&format!("| `{}` | {default} | {} | {about} |\n", scalar(name), allowed(parameter)));
    }
    Ok(table)
}

/// The allowed values of a parameter.
fn allowed(parameter: &Yaml) -> String {
    if let Some(values) = parameter["AllowedValues"].as_vec() {
        return values.iter().map(value).collect::<Vec<_>>().join(", ");
    }
    match (&parameter["MinValue"], &parameter["MaxValue"], &parameter["ConstraintDescription"]) {
        (Yaml::BadValue, Yaml::BadValue, Yaml::BadValue) => String::new(),
        (Yaml::BadValue, Yaml::BadValue, constraint) => {
            let constraint = scalar(constraint);
            cell(constraint.strip_prefix("must be ").unwrap_or(&constraint).trim_end_matches('.'))
        }
        (min, Yaml::BadValue, _) => format!("from {}", scalar(min)),
        (min, max, _) => format!("{} to {}", scalar(min), scalar(max)),
    }
}

/// A value as code, or the word for an empty one.
fn value(value: &Yaml) -> String {
    match scalar(value) {
        text if text.is_empty() => "empty".to_owned(),
        text => format!("`{text}`"),
    }
}

fn scalar(value: &Yaml) -> String {
    match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(flag) => flag.to_string(),
        _ => String::new(),
    }
}

/// A text that is escaped for a cell of a table.
fn cell(text: &str) -> String {
    escaped(text.trim()).replace('|', "\\|").replace('\n', " ")
}

/// A text that is escaped so that no renderer takes it for a tag.
fn escaped(text: &str) -> String {
    text.replace('<', "&lt;")
}

/// The page of commands: the parts that hold for every command, and each command with its options.
fn reference(mut command: Command) -> String {
    command.build();
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    let commands = command.get_subcommands().filter(shown).map(section);
    let of_all = command.get_after_help().map(|text| fenced(&text.to_string()));
    of_all.into_iter().chain(commands).collect::<Vec<_>>().join("\n")
}

/// A command with its description, usage, options and examples.
fn section(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let mut section = format!("### {}\n\n{}\n\n", command.get_name(), escaped(&about));
    section.push_str(&format!("`{}`\n\n", usage.trim_start_matches("Usage:").trim()));
    let of_all = ["help", "version", "json"];
    let shown = |argument: &&Arg| !argument.is_hide_set() && !of_all.contains(&argument.get_id().as_str());
    let rows: Vec<String> = command.get_arguments().filter(shown).map(option).collect();
    if !rows.is_empty() {
        section.push_str(&format!("| option | default | what it does |\n| --- | --- | --- |\n{}\n", rows.concat()));
    }
    section + &command.get_after_help().map(|text| fenced(&text.to_string())).unwrap_or_default()
}

/// An option as a row of the table.
fn option(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ");
    let name = match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    };
    let variable = argument.get_env().map(|name| format!("`${}`", name.display()));
    let hides = !argument.get_action().takes_values() || argument.is_hide_default_value_set();
    let values = argument.get_default_values().iter().filter(|_| !hides).map(|value| format!("`{}`", value.display()));
    let required = argument.is_required_set().then(|| "required".to_owned());
    let default = variable.into_iter().chain(values).chain(required).collect::<Vec<_>>().join(", or ");
    let about = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    format!("| `{name}` | {default} | {} |\n", cell(&about))
}

fn fenced(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n").trim())
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn named(name: &str) -> Result<String, String> {
        Ok(format!("{name} of now\n"))
    }

    #[test]
    fn a_block_is_replaced_and_what_stands_around_it_stays() {
        let page = "before\n<!-- generated: cli -->\nold\n<!-- end -->\nafter\n";
        let expected = "before\n<!-- generated: cli -->\n\ncli of now\n\n<!-- end -->\nafter\n";
        assert_eq!(filled(page, named).expect("a page"), expected);
        assert_eq!(filled(expected, named).expect("a page"), expected, "a second time changes nothing");
    }

    #[test]
    fn a_block_without_an_end_is_refused_and_swallows_no_other() {
        for page in ["<!-- generated: cli -->\n", "<!-- generated: a -->\n<!-- generated: b -->\n<!-- end -->\n"] {
            assert!(filled(page, named).is_err(), "{page}");
        }
    }

    #[test]
    fn a_command_shows_its_options_with_their_variables_and_defaults() {
        let port = Arg::new("port").long("port").value_name("PORT").default_value("8080").help("Where to <listen>");
        let table = Arg::new("table").long("table").value_name("NAME").env("TABLE").required(true);
        let check = Arg::new("check").long("check").action(ArgAction::SetTrue);
        let serve = Command::new("serve").about("Serve").args([port, table, check]).after_help("Examples:\n  serve");
        let hidden = Command::new("pages").hide(true);
        let section = reference(Command::new("trueppm").subcommands([serve, hidden]));
        let expected = [
            "### serve",
            "",
            "Serve",
            "",
            "`trueppm serve [OPTIONS] --table <NAME>`",
            "",
            "| option | default | what it does |",
            "| --- | --- | --- |",
            "| `--port <PORT>` | `8080` | Where to &lt;listen> |",
            "| `--table <NAME>` | `$TABLE`, or required |  |",
            "| `--check` |  |  |",
            "",
            "```text",
            "Examples:",
            "  serve",
            "```",
        ];
        assert_eq!(section.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_parameter_shows_its_default_what_is_allowed_and_what_it_is() {
        let template = "
Parameters:
  Memory: {Type: Number, Default: 512, MinValue: 256, MaxValue: 1024, Description: In MB.}
  Claims: {Type: String, Default: '', AllowedValues: ['', iss], Description: a | b}
  Name: {Type: String, ConstraintDescription: must be a word., Description: <any>}
";
        let table = parameters(template).expect("a table");
        assert_eq!(
            table.lines().skip(2).collect::<Vec<_>>(),
            [
                "| `Memory` | `512` | 256 to 1024 | In MB. |",
                "| `Claims` | empty | empty, `iss` | a \\| b |",
                "| `Name` | required | a word | &lt;any> |",
            ]
        );
    }
}
