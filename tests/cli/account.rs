//! Credentials and the way to AWS, without AWS: the only addresses ever contacted are ports of this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;

use crate::support::Folder;

#[test]
fn an_endpoint_that_nobody_listens_on() {
    let folder = Folder::with_state(&[]).credentials();
    assert_snapshot!(folder.drctl("status --endpoint-url http://127.0.0.1:1"), @"
    exit 1
    --- stderr
    error: cannot find out which account this is
      because: sts:GetCallerIdentity could not be sent: dispatch failure: io error: client error: Connection refused (os error 111)
      hint: check the network, and --endpoint-url or AWS_ENDPOINT_URL if you set one
    ");
}

#[test]
fn up_without_an_endpoint_leaves_no_state() {
    let folder = Folder::new().credentials().variable("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let text = folder.drctl("up --suffix dev");
    assert!(text.starts_with("exit 1\n"), "{text}");
    assert!(!folder.path("state").exists());
}

#[test]
fn no_credentials() {
    let folder = Folder::with_state(&[]);
    assert_snapshot!(folder.drctl("status --endpoint-url http://127.0.0.1:1"), @"
    exit 3
    --- stderr
    error: cannot find out which account this is
      because: sts:GetCallerIdentity could not be signed: dispatch failure: other: the credential provider was not enabled: no credentials found in chain. Attempted:
          Environment: the credential provider was not enabled: environment variable not set
          Profile: the credential provider was not enabled
          WebIdentityToken: the credential provider was not enabled: $AWS_WEB_IDENTITY_TOKEN_FILE was not set
          EcsContainer: the credential provider was not enabled: ECS provider not configured
          Ec2InstanceMetadata: the credential provider was not enabled: IMDS disabled by AWS_EC2_METADATA_DISABLED env var set to `true`
      hint: check the credentials:
        aws sts get-caller-identity --endpoint-url http://127.0.0.1:1
    ");
}

/// A folder with the profiles `payments` and `regional`, of which the second has no credentials, and with the keys of
/// somebody else in the environment.
fn profiles() -> Folder {
    let folder = Folder::with_state(&[]);
    folder.write("credentials", "[payments]\naws_access_key_id = AKIDPAYMENTS\naws_secret_access_key = test\n");
    folder.write("config", "[profile regional]\nregion = us-west-2\n");
    let path = |name| folder.path(name).display().to_string();
    let (credentials, config) = (path("credentials"), path("config"));
    folder.credentials().variable("AWS_SHARED_CREDENTIALS_FILE", &credentials).variable("AWS_CONFIG_FILE", &config)
}

/// What drctl says to these arguments, and the keys that its requests were signed with; the endpoint refuses them all.
fn signed_by(folder: &Folder, arguments: &str) -> (String, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = keys.clone();
    // The thread waits for requests until the tests end.
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut lines =
                BufReader::new(&connection).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let key = lines.find_map(|line| Some(line.split_once("Credential=")?.1.split_once('/')?.0.to_owned()));
            lines.for_each(drop);
            seen.lock().expect("no thread panics while it holds this").extend(key);
            let body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
            let head = format!("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {}", body.len());
            let _ = (&connection).write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        }
    });
    let said = folder.drctl(&format!("{arguments} --endpoint-url {endpoint}"));
    let keys = keys.lock().expect("no thread panics while it holds this").clone();
    (said, keys)
}

#[test]
fn a_named_profile_counts_before_the_keys_in_the_environment() {
    let folder = profiles();
    for (arguments, key) in [
        ("status", "test"),
        ("status --profile payments", "AKIDPAYMENTS"),
        ("outputs --state s3://acme-state/payments --profile payments", "AKIDPAYMENTS"),
    ] {
        let (said, keys) = signed_by(&folder, arguments);
        assert!(said.starts_with("exit 3\n"), "{arguments}: {said}");
        assert!(!keys.is_empty() && keys.iter().all(|found| found == key), "{arguments}: {keys:?}: {said}");
    }
}

#[test]
fn a_profile_without_credentials_does_not_take_those_of_the_environment() {
    let (said, keys) = signed_by(&profiles(), "status --profile regional");
    assert!(said.starts_with("exit 3\n") && keys.is_empty(), "{keys:?}: {said}");
}

#[test]
fn a_profile_that_does_not_exist() {
    let folder = profiles();
    assert_snapshot!(folder.drctl("status --profile nobody --endpoint-url http://127.0.0.1:1"), @"
    exit 3
    --- stderr
    error: cannot find out which account this is
      because: sts:GetCallerIdentity could not be signed: dispatch failure: other: the credentials provider was not properly configured: there is no profile `nobody`: the AWS configuration has only payments, regional
      hint: check the profile `nobody`:
        aws sts get-caller-identity --profile nobody --endpoint-url http://127.0.0.1:1
    ");
    let state = "outputs --state s3://acme-state/payments --profile nobody --endpoint-url http://127.0.0.1:1";
    assert_snapshot!(folder.drctl(state), @"
    exit 3
    --- stderr
    error: the state in s3://acme-state/payments/ cannot be reached
      because: s3:HeadBucket could not be signed: dispatch failure: other: the credentials provider was not properly configured: there is no profile `nobody`: the AWS configuration has only payments, regional
      hint: check the credentials, and what they may do with the bucket: docs/state.md has the policy
    ");
    let text = Folder::with_state(&[]).drctl("status --profile nobody --endpoint-url http://127.0.0.1:1");
    assert!(text.starts_with("exit 3\n") && text.contains("the AWS configuration has no profile at all"), "{text}");
}

/// Neither way to give an endpoint shows a request of the SDK, which holds what a run sends.
#[test]
fn an_endpoint_without_a_scheme() {
    let folder = Folder::with_state(&[]).credentials();
    assert_snapshot!(folder.drctl("status --endpoint-url localhost:4566"), @"
    exit 64
    --- stderr
    error: invalid value 'localhost:4566' for '--endpoint-url <URL>': an endpoint begins with http:// or https:// and names a host, as in http://127.0.0.1:4566

    For more information, try '--help'.
    ");
    let folder = folder.variable("AWS_ENDPOINT_URL", "localhost:1");
    assert_snapshot!(folder.drctl("status"), @"
    exit 1
    --- stderr
    error: cannot find out which account this is
      because: sts:GetCallerIdentity could not be sent: dispatch failure: other: failed to apply endpoint `localhost:1`: endpoint must contain scheme
      hint: check the network, and --endpoint-url or AWS_ENDPOINT_URL if you set one
    ");
}

/// A trace that goes to a file or a log has no escape codes, unless they are asked for.
#[test]
fn traces_have_the_colours_of_their_reader() {
    let folder = Folder::with_state(&[]).credentials();
    let said = folder.drctl("status -v --endpoint-url http://127.0.0.1:1");
    assert!(said.contains("DEBUG") && !said.contains('\u{1b}'), "{said}");
    let said = folder.drctl("status -v --color always --endpoint-url http://127.0.0.1:1");
    assert!(said.contains("DEBUG") && said.contains('\u{1b}'), "{said}");
}
