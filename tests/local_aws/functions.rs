//! The functions' own tests, which need boto3 and a local AWS.

use std::process::Command;

use crate::harness::LocalAws;

#[test]
fn the_functions_pass_their_own_tests() {
    let aws = LocalAws::start();
    let output = Command::new(aws.python_path())
        .args(["-m", "unittest", "discover", "-s", "lambda/tests"])
        .envs(aws.environment().iter().cloned())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python can be run");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("Ran ") && !told.contains("skipped"), "{told}");
}
