//! The workflow in `docs/ci/drctl.yml` does not rot: it is YAML, every command line of drctl in it is one that drctl understands,
//! and what its page says about it is so.

use yaml_rust2::{Yaml, YamlLoader};

use crate::support::Folder;

const TEXT: &str = include_str!("../../docs/ci/drctl.yml");

fn workflow() -> Yaml {
    let mut documents = YamlLoader::load_from_str(TEXT).expect("YAML");
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn jobs(workflow: &Yaml) -> Vec<(&str, &Yaml)> {
    let jobs = workflow["jobs"].as_hash().expect("jobs by name");
    jobs.iter().map(|(name, job)| (name.as_str().expect("a name"), job)).collect()
}

fn steps(job: &Yaml) -> &[Yaml] {
    job["steps"].as_vec().expect("steps")
}

/// The command lines of drctl in all steps, without what a shell does around them.
fn commands(workflow: &Yaml) -> Vec<String> {
    let jobs = jobs(workflow);
    let scripts = jobs.iter().flat_map(|(_, job)| steps(job)).filter_map(|step| step["run"].as_str());
    let lines = scripts.flat_map(str::lines).map(|line| line.trim().trim_start_matches("exec "));
    let commands = lines.filter_map(|line| line.strip_prefix("drctl "));
    commands.map(|line| line.split(['>', '|', '&', ';']).next().unwrap_or_default().trim().to_owned()).collect()
}

#[test]
fn every_command_is_one_that_drctl_understands() {
    let commands = commands(&workflow());
    let verbs: Vec<_> = commands.iter().filter_map(|command| command.split_whitespace().next()).collect();
    assert_eq!(verbs, ["plan", "up", "outputs", "plan"]);
    assert_eq!(TEXT.matches("drctl plan").count() + TEXT.matches("drctl up").count(), 3, "a command was overlooked");
    for command in commands {
        // A place for the state that cannot be parsed is found after the arguments were, and before anything is called.
        let said =
            Folder::new().variable("DRCTL_STATE", "nowhere").variable("ENVIRONMENT_SUFFIX", "prod").drctl(&command);
        assert!(said.starts_with("exit 64\n") && said.contains("`nowhere` is no place in S3"), "{command}: {said}");
        let help = Folder::new().drctl(&format!("{command} --help"));
        assert!(help.starts_with("exit 0\n"), "{command}: {help}");
    }
}

#[test]
fn a_command_that_drctl_does_not_understand_would_be_noticed() {
    let said = Folder::new().variable("DRCTL_STATE", "nowhere").drctl("plan --detailed-exit-code");
    assert!(said.starts_with("exit 64\n") && !said.contains("is no place in S3"), "{said}");
}

#[test]
fn the_environment_is_what_drctl_reads() {
    let workflow = workflow();
    let environment = workflow["env"].as_hash().expect("an environment");
    let help = Folder::new().drctl("up --help");
    for (name, value) in environment {
        let name = name.as_str().expect("a name");
        assert!(help.contains(&format!("[env: {name}=")), "{name}");
        assert!(value.as_str().is_some_and(|value| !value.is_empty()), "{name}");
    }
    // With these values drctl gets as far as looking for credentials, which are not there.
    let mut folder = Folder::new();
    for (name, value) in environment {
        folder = folder.variable(name.as_str().expect("a name"), value.as_str().expect("a text"));
    }
    let folder = folder.variable("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let said = folder.drctl("status");
    assert!(said.starts_with("exit 3\n") && said.contains("s3://acme-drctl-state/payments/"), "{said}");
}

#[test]
fn one_run_at_a_time_and_none_is_cancelled_half_way() {
    let workflow = workflow();
    assert_eq!(workflow["concurrency"]["cancel-in-progress"].as_bool(), Some(false));
    let suffix = workflow["env"]["ENVIRONMENT_SUFFIX"].as_str().expect("a suffix");
    assert!(workflow["concurrency"]["group"].as_str().is_some_and(|group| group.ends_with(suffix)));
    let up = steps(&workflow["jobs"]["up"]).iter().filter_map(|step| step["run"].as_str());
    assert_eq!(up.filter(|run| run.starts_with("exec drctl up ")).count(), 1, "signals would not reach drctl");
}

/// No key is stored: every job that talks to AWS gets its token from GitHub, and no more rights than it needs.
#[test]
fn every_job_assumes_a_role_by_openid_connect() {
    let workflow = workflow();
    assert_eq!(workflow["permissions"]["contents"].as_str(), Some("read"));
    for (name, job) in jobs(&workflow) {
        assert_eq!(job["permissions"]["id-token"].as_str(), Some("write"), "{name}");
        let action = steps(job).iter().find(|step| {
            step["uses"].as_str().is_some_and(|action| action.starts_with("aws-actions/configure-aws-credentials@"))
        });
        let role = action.expect("a step that assumes the role")["with"]["role-to-assume"].as_str().expect("a role");
        assert!(role.ends_with(if name == "up" { "role/drctl-up" } else { "role/drctl-plan" }), "{name}: {role}");
    }
    for secret in ["aws-access-key-id", "AWS_SECRET_ACCESS_KEY", "secrets."] {
        assert!(!TEXT.contains(secret), "{secret}");
    }
}
