//! Tests the promises of the pages for contributors.

use std::fs;
use std::path::Path;

/// A column that every list of a task's columns names, and that little other text names.
const WITNESS: &str = "pessimistic_duration";

/// The text files of a directory of the workspace that contain this word, by their paths in the workspace.
fn files_with(word: &str, directory: &str) -> Vec<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = Vec::new();
    let mut directories = vec![workspace.join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            if path.is_dir() {
                // Installed and built files, examples, pages, and separate packages are left out.
                if !["node_modules", "dist", "examples", "docs", "client"].contains(&&*name) {
                    directories.push(path);
                }
            } else if fs::read_to_string(&path).is_ok_and(|text| text.contains(word)) {
                found.push(path.strip_prefix(workspace).expect("in the workspace").to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn the_recipe_for_a_column_names_each_file_that_names_the_columns_of_a_task() {
    let contributing = concat!(env!("CARGO_MANIFEST_DIR"), "/../.github/CONTRIBUTING.md");
    let contributing = fs::read_to_string(contributing).expect("the page");
    let recipe = contributing.split("### Add a column").nth(1).expect("the recipe");
    let recipe = recipe.split("\n### ").next().expect("the recipe");
    let generated = ["infra/api/openapi.json", "infra/api/trueppm.ts"];
    let places = ["shared", "functions", "infra"].map(|directory| files_with(WITNESS, directory)).concat();
    assert!(places.len() > generated.len(), "{places:?}");
    let missing: Vec<&String> = places
        .iter()
        .filter(|place| !generated.contains(&place.as_str()) && !recipe.contains(&format!("`{place}`")))
        .collect();
    assert!(missing.is_empty(), "the recipe in .github/CONTRIBUTING.md does not name {missing:?}");
}
