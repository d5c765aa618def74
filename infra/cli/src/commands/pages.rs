//! `trueppm pages`

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use serde::Serialize;
use yaml_rust2::{Yaml, YamlLoader};

use super::{Ended, Failure, print};

/// Write the generated blocks of the pages in infra/docs
///
/// A block stands between `<!-- generated: NAME -->` and `<!-- end -->`. NAME is parameters, cli, columns, roles or problems.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 success, 1 with --check: a page is stale, 2 failed.

Examples:
  trueppm pages             in the workspace, after a change of the template, the command or the columns
  trueppm pages --check     as CI does")]
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
        "columns" => Ok(api::markdown::columns()?),
        "roles" => Ok(api::markdown::roles()),
        "problems" => Ok(api::markdown::problems()?),
        _ => Err(Failure::new(format!("there is no generated block `{name}`"))),
    };
    let mut stale = Vec::new();
    for page in pages(&options.root.join("infra/docs"))? {
        let written = read(&page)?;
        let filled = filled(&written, block).map_err(|failure| failure.of(&page.display()))?;
        if filled != written {
            if !options.check {
                fs::write(&page, filled)?;
            }
            stale.push(page);
        }
    }
    let code = u8::from(options.check && !stale.is_empty());
    print(&Report { checked: options.check, stale }, json)?;
    Ok(code)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::from(error).of(&path.display()))
}

/// The Markdown files of a directory, in the order of their names.
fn pages(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(directory).map_err(|error| Failure::from(error).of(&directory.display()))?;
    let mut pages = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    Ok(pages)
}

const START: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// The page with each of its blocks as `block` makes it.
fn filled(page: &str, block: impl Fn(&str) -> Result<String, Failure>) -> Result<String, Failure> {
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(START) {
        let (name, after) = after.split_once(" -->\n").ok_or_else(|| Failure::new("a marker is not closed"))?;
        let (old, behind) =
            after.split_once(END).ok_or_else(|| Failure::new(format!("the block `{name}` has no `{END}`")))?;
        if old.contains(START) {
            return Err(Failure::new(format!("the block `{name}` has no `{END}`")));
        }
        filled.extend([before, START, name, " -->\n\n", block(name)?.trim_end(), "\n\n", END]);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The template's parameters as a table, in the template's order.
fn parameters(template: &str) -> Result<String, Failure> {
    let template = YamlLoader::load_from_str(template)?;
    let parameters = template.first().and_then(|template| template["Parameters"].as_hash());
    let parameters = parameters.ok_or_else(|| Failure::new("template.yaml has no parameters"))?;
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

/// What a parameter may be.
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

/// A text as a cell of a table takes it.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// The help of the command and of each subcommand, as `help` prints it.
fn reference(command: Command) -> String {
    let mut command = command.mut_subcommands(|command| command.mut_args(|argument| argument.hide_env_values(true)));
    command.build();
    let top = help(&mut command);
    let shown = |command: &&mut Command| !command.is_hide_set() && command.get_name() != "help";
    let subcommands = command.get_subcommands_mut().filter(shown).map(|command| {
        let name = command.get_name().to_owned();
        format!("### {name}\n\n{}", help(command))
    });
    std::iter::once(top).chain(subcommands).collect::<Vec<_>>().join("\n")
}

fn help(command: &mut Command) -> String {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Result<String, Failure> {
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
