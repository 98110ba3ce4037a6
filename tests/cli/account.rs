//! Credentials and the way to AWS, without AWS: the only address ever contacted is a closed port of this machine.

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
        aws sts get-caller-identity
    ");
}

#[test]
fn a_profile_that_does_not_exist() {
    let folder = Folder::with_state(&[]);
    let text = folder.drctl("status --profile nobody --endpoint-url http://127.0.0.1:1");
    assert!(text.starts_with("exit 3\n") && text.contains("hint: check the profile `nobody`"), "{text}");
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
