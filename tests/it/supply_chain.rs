//! Checks that everything that runs on GitHub with a right to deploy or to publish is pinned to something that cannot be moved.

use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The workflows, each with its text.
fn workflows() -> Vec<(PathBuf, String)> {
    let files = std::fs::read_dir(Path::new(ROOT).join(".github/workflows")).expect("workflows");
    let paths = files.map(|file| file.expect("a file").path());
    paths.map(|path| (path.clone(), read(&path))).collect()
}

fn parsed(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).expect("YAML").remove(0)
}

/// The lines that begin with this key, without it.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim().trim_start_matches("- ").strip_prefix(key).map(str::trim))
}

#[test]
fn each_action_is_pinned_by_a_commit_and_names_its_version() {
    let mut pinned = 0;
    for (path, text) in workflows() {
        for action in values(&text, "uses:").filter(|action| !action.starts_with("./")) {
            let parts = action.split_once('@').and_then(|(_, at)| at.split_once(" # v"));
            let is_pinned = parts.is_some_and(|(commit, version)| {
                commit.len() == 40
                    && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && version.split('.').count() == 3
            });
            assert!(is_pinned, "{}: {action}", path.display());
            pinned += 1;
        }
    }
    assert!(pinned > 10, "only {pinned} actions were seen");
}

#[test]
fn what_workflows_install_from_pypi_has_hashes() {
    let mut files = Vec::new();
    for (path, text) in workflows() {
        for command in values(&text, "run:").filter(|command| command.contains("pip install")) {
            let file = command.strip_prefix("pip install --quiet --no-deps --require-hashes --requirement ");
            let file = file.unwrap_or_else(|| panic!("{}: {command}", path.display()));
            files.push(Path::new(ROOT).join(file));
        }
    }
    assert!(files.len() >= 3, "only {files:?} were seen");
    for file in files {
        let text = read(&file);
        let included = values(&text, "--requirement").map(|name| read(&file.with_file_name(name)));
        for text in std::iter::once(text.clone()).chain(included) {
            // A requirement's hashes are on its continuation lines.
            let text = text.replace("\\\n", " ");
            for requirement in text.lines().filter(|line| line.contains("==")) {
                assert!(requirement.contains("--hash=sha256:"), "{}: {requirement}", file.display());
            }
        }
    }
}

#[test]
fn a_job_that_may_sign_or_deploy_builds_nothing() {
    let mut seen = 0;
    for (path, text) in workflows() {
        let jobs = &parsed(&text)["jobs"];
        for (name, job) in jobs.as_hash().expect("jobs") {
            let may_sign = job["permissions"]["id-token"].as_str() == Some("write");
            if !may_sign || !job["uses"].is_badvalue() {
                continue;
            }
            seen += 1;
            for step in job["steps"].as_vec().expect("steps") {
                let command = step["run"].as_str().unwrap_or_default();
                for builds in ["cargo ", "npm ", "rustup ", "sam build"] {
                    assert!(!command.contains(builds), "{}: {name:?} runs {command}", path.display());
                }
            }
        }
    }
    assert_eq!(seen, 2, "release.yml and stage.yml");
}

#[test]
fn only_jobs_of_one_environment_of_this_repository_may_deploy() {
    let template = parsed(&read(&Path::new(ROOT).join("infra/deploy-role.yaml")));
    let role = &template["Resources"]["DeployRole"]["Properties"];
    let trust = role["AssumeRolePolicyDocument"]["Statement"].as_vec().expect("who may");
    assert_eq!(trust.len(), 1);
    let condition = &trust[0]["Condition"];
    assert_eq!(condition.as_hash().expect("conditions").len(), 1, "a pattern lets in more than one");
    let claims = &condition["StringEquals"];
    let claim = |name: &str| claims[format!("token.actions.githubusercontent.com:{name}").as_str()].as_str();
    assert_eq!(claim("aud"), Some("sts.amazonaws.com"));
    assert_eq!(claim("sub"), Some("repo:${Repository}:environment:${Environment}"));
}
