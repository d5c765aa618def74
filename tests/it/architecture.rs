//! Checks the dependencies between the parts in the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust source below a directory of the workspace, with its path in the workspace.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![workspace().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(workspace()).expect("in the workspace").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    assert!(!found.is_empty(), "{directory} has no sources");
    found
}

#[track_caller]
fn assert_names_none(directory: &str, except: &[&str], words: &[&str]) {
    for (path, source) in sources(directory) {
        if !except.iter().any(|except| path.starts_with(except)) {
            for word in words {
                let line = source.lines().find(|line| line.contains(word));
                assert!(line.is_none(), "{path} names {word}: {}", line.unwrap_or_default());
            }
        }
    }
}

/// The crates that a manifest names in any section.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(workspace().join(manifest)).expect("a manifest");
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            found.extend(line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    assert!(!found.is_empty(), "{manifest} names no dependencies");
    found
}

#[test]
fn only_the_storage_names_dynamodb() {
    // The gateway's events come from a crate of AWS that does not know the table.
    assert_names_none(
        "shared/src",
        // The gateway's connections are reached over its own API.
        &["shared/src/storage/", "shared/src/live/gateway.rs"],
        &["aws_sdk", "aws_config", "aws_smithy", "aws_credential", "dynamodb"],
    );
    assert_names_none("functions", &[], &["aws_", "dynamodb"]);
}

#[test]
fn the_domain_knows_neither_http_nor_input_and_output_nor_the_other_modules() {
    let words = [
        "axum",
        "lambda_http",
        "tokio",
        "async fn",
        "crate::http",
        "crate::auth",
        "crate::storage",
        "std::env",
        "std::fs",
    ];
    assert_names_none("shared/src/domain", &[], &words);
}

#[test]
fn storage_and_http_do_not_know_each_other() {
    assert_names_none("shared/src/storage", &[], &["axum", "crate::http", "crate::auth"]);
    assert_names_none("shared/src/http", &[], &["crate::storage"]);
    assert_names_none("shared/src/auth", &[], &["axum", "crate::http", "crate::storage", "crate::live"]);
    for directory in ["shared/src/storage", "shared/src/http"] {
        assert_names_none(directory, &[], &["crate::live"]);
    }
    assert_names_none("shared/src/live", &[], &["dynamodb"]);
}

#[test]
fn no_function_depends_on_another_and_shared_on_none_of_them() {
    let ours = ["rest", "sync", "live", "poke", "stack", "ops", "api", "trueppm", "tests", "shared"];
    let of_ours = |manifest: &str| -> Vec<String> {
        dependencies(manifest).into_iter().filter(|name| ours.contains(&name.as_str())).collect()
    };
    for function in ["rest", "sync", "live", "poke"] {
        assert_eq!(of_ours(&format!("functions/{function}/Cargo.toml")), ["shared"]);
    }
    assert!(of_ours("shared/Cargo.toml").is_empty());
    assert_eq!(of_ours("infra/stack/Cargo.toml"), ["shared", "rest", "sync", "live", "poke"]);
    assert_eq!(of_ours("infra/api/Cargo.toml"), ["shared"]);
}

#[test]
fn the_operators_commands_need_no_database_engine() {
    assert!(!dependencies("infra/ops/Cargo.toml").iter().any(|name| ["dynoxide-rs", "stack"].contains(&name.as_str())));
}

/// The files of the same folder that a source names: `super::name` and, in the crate's root, `crate::name`. It leaves out the
/// file's tests, which may name other files.
fn siblings_named_by(path: &str, source: &str, siblings: &BTreeSet<String>) -> BTreeSet<String> {
    let product = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let prefixes: &[&str] = if path.ends_with("/src") { &["super::", "crate::"] } else { &["super::"] };
    let mut named = BTreeSet::new();
    for line in product.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for prefix in prefixes {
            for (at, _) in line.match_indices(prefix).filter(|(at, _)| !line[..*at].ends_with("::")) {
                let rest = &line[at + prefix.len()..];
                let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or(rest, |(list, _)| list);
                let list: Vec<&str> = if rest.starts_with('{') { list.split(", ").collect() } else { vec![list] };
                let word = |text: &str| {
                    text.split(|sign: char| !sign.is_alphanumeric() && sign != '_').next().map(str::to_owned)
                };
                named.extend(list.into_iter().filter_map(word).filter(|name| siblings.contains(name)));
            }
        }
    }
    named
}

#[test]
fn no_two_files_of_a_folder_import_each_other() {
    let mut folders: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for directory in [
        "shared/src",
        "functions/rest/src",
        "functions/sync/src",
        "functions/live/src",
        "functions/poke/src",
        "infra/stack/src",
        "infra/ops/src",
        "infra/api/src",
        "infra/cli/src",
    ] {
        for (path, source) in sources(directory) {
            let (folder, file) = path.rsplit_once('/').expect("a folder");
            let name = file.trim_end_matches(".rs");
            if !["mod", "lib", "main", "tests", "testing"].contains(&name) {
                folders.entry(folder.to_owned()).or_default().insert(name.to_owned(), source);
            }
        }
    }
    let mut circles = Vec::new();
    for (folder, files) in &folders {
        let siblings: BTreeSet<String> = files.keys().cloned().collect();
        let names: BTreeMap<&String, BTreeSet<String>> =
            files.iter().map(|(name, source)| (name, siblings_named_by(folder, source, &siblings))).collect();
        for (start, named) in &names {
            // All files that can be reached from a file. They include the file itself if it is on a cycle.
            let (mut reached, mut next) = (BTreeSet::new(), named.iter().collect::<Vec<_>>());
            while let Some(name) = next.pop() {
                if reached.insert(name) {
                    next.extend(&names[name]);
                }
            }
            if reached.contains(start) {
                circles.push(format!("{folder}/{start}.rs"));
            }
        }
    }
    assert!(circles.is_empty(), "on a circle: {circles:?}");
}

#[test]
fn the_functions_main_and_the_crates_root_hold_nothing_else() {
    for function in ["rest", "sync", "live", "poke"] {
        let main = format!("functions/{function}/src/main.rs");
        let text = fs::read_to_string(workspace().join(&main)).expect("a source");
        assert!(text.lines().count() <= 40, "{main} does more than make its clients and run");
    }
    let root = fs::read_to_string(workspace().join("shared/src/lib.rs")).expect("a source");
    for line in root.lines().filter(|line| !line.is_empty()) {
        assert!(["//!", "pub mod ", "pub use "].iter().any(|start| line.starts_with(start)), "{line}");
    }
}
