//! Help texts are part of the product.

use insta::assert_snapshot;

use crate::support::Folder;

#[test]
fn the_overview() {
    assert_snapshot!(Folder::new().drctl("--help"), @"
    exit 0
    --- stdout
    Deploys, checks and destroys a complete multi-region disaster-recovery stack on AWS

    Usage: drctl [OPTIONS] <COMMAND>

    Commands:
      up          Deploys what the plan says, and changes what differs from it
      down        Destroys everything, in reverse order, from the state file alone
      status      Tells the truth about a deployment: recorded against observed, drift, what is in
                  flight, outputs
      plan        Shows what `up` would do, and changes nothing
      outputs     Prints the outputs of the last complete `up`: endpoints, names, domains
      graph       Prints the dependency graph of the plan
      iam-policy  Prints the least IAM policy that a deployment of the plan needs
      init        Writes a commented plan file to start from
      schema      Prints the JSON Schema of the plan file, for editors
      state       Looks at the state file and mends it
      help        Print this message or the help of the given subcommand(s)

    Options:
          --suffix <NAME>
              The short name that makes the deployment unique, such as `dev`

              [env: ENVIRONMENT_SUFFIX=]

          --plan <FILE>
              The plan file; by default `plans/payments.toml`, else the built-in plan, which is that
              same file

          --state-dir <DIR>
              The folder of the state files; by default `state`

          --state <URL>
              A place in S3 for the state instead of a folder, such as `s3://acme-state/payments`

              [env: DRCTL_STATE=]

          --profile <NAME>
              A named profile of the AWS configuration

          --endpoint-url <URL>
              An endpoint for every AWS service, instead of AWS's own

          --parallelism <N>
              How many operations may run at the same time; by default as many as AWS's rate limits
              allow

          --lock-timeout <DURATION>
              How long to wait for another run's lock, such as `10m`

              [default: 0s]

          --yes
              Go ahead without asking

          --output <OUTPUT>
              How results and progress are written

              Possible values:
              - human: For people
              - json:  For programs: one document for queries, one event per line for `up` and `down`

              [default: human]

          --color <COLOR>
              When to use colour

              Possible values:
              - auto:   On a terminal, unless NO_COLOR is set
              - always: Always
              - never:  Never

              [default: auto]

      -v, --verbose...
              Trace to standard error: -v requests, -vv everything; RUST_LOG is finer

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version
    ");
}

#[test]
fn the_version() {
    let expected = format!("exit 0\n--- stdout\ndrctl {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(Folder::new().drctl("--version"), expected);
}

#[test]
fn up() {
    assert_snapshot!(Folder::new().drctl("up --help"), @"
    exit 0
    --- stdout
    Deploys what the plan says, and changes what differs from it

    Settles what an earlier run left, looks at AWS, shows the changes, makes them, and prints the
    outputs. A second run changes nothing. Without a terminal it goes ahead without asking.

    Usage: drctl up [OPTIONS]

    Options:
          --allow-data-loss
              Allow changes that lose data: replacing or deleting a database, table, bucket, key, secret
              or vault

          --remove-twins
              Remove objects that carry the address of a resource whose object on record is another one

          --no-adopt
              Refuse to take over objects of the deployment that are not on record here

          --allow-expiry
              Begin although the credentials end before the run is expected to

          --allow-missing-rights
              Begin although AWS says that rights are missing

          --suffix <NAME>
              The short name that makes the deployment unique, such as `dev`

              [env: ENVIRONMENT_SUFFIX=]

          --plan <FILE>
              The plan file; by default `plans/payments.toml`, else the built-in plan, which is that
              same file

          --state-dir <DIR>
              The folder of the state files; by default `state`

          --state <URL>
              A place in S3 for the state instead of a folder, such as `s3://acme-state/payments`

              [env: DRCTL_STATE=]

          --profile <NAME>
              A named profile of the AWS configuration

          --endpoint-url <URL>
              An endpoint for every AWS service, instead of AWS's own

          --parallelism <N>
              How many operations may run at the same time; by default as many as AWS's rate limits
              allow

          --lock-timeout <DURATION>
              How long to wait for another run's lock, such as `10m`

              [default: 0s]

          --yes
              Go ahead without asking

          --output <OUTPUT>
              How results and progress are written

              Possible values:
              - human: For people
              - json:  For programs: one document for queries, one event per line for `up` and `down`

              [default: human]

          --color <COLOR>
              When to use colour

              Possible values:
              - auto:   On a terminal, unless NO_COLOR is set
              - always: Always
              - never:  Never

              [default: auto]

      -v, --verbose...
              Trace to standard error: -v requests, -vv everything; RUST_LOG is finer

      -h, --help
              Print help (see a summary with '-h')
    ");
}

/// What a command says of itself, before the flags that all commands share, which stand in the help of `up` in full.
fn own(command: &str) -> String {
    let help = Folder::new().drctl(&format!("{command} --help"));
    let (own, shared) = help.split_once("      --suffix <NAME>").expect("every command has the shared flags");
    assert!(shared.contains("--endpoint-url <URL>"), "{help}");
    format!("$ drctl {command} --help\n{}\n", own.trim_end())
}

#[test]
fn the_other_commands() {
    let commands = ["down", "status", "plan", "outputs", "graph", "iam-policy", "init", "schema"];
    assert_snapshot!(commands.map(own).join("\n"), @"
    $ drctl down --help
    exit 0
    --- stdout
    Destroys everything, in reverse order, from the state file alone

    Asks for the suffix to be typed; without a terminal it needs --yes. What is protected stays, with
    what it needs.

    Usage: drctl down [OPTIONS]

    Options:
          --keep-protected
              Count kept protected resources as success

          --allow-expiry
              Begin although the credentials end before the run is expected to

          --allow-missing-rights
              Begin although AWS says that rights are missing

    $ drctl status --help
    exit 0
    --- stdout
    Tells the truth about a deployment: recorded against observed, drift, what is in flight, outputs

    Usage: drctl status [OPTIONS]

    Options:

    $ drctl plan --help
    exit 0
    --- stdout
    Shows what `up` would do, and changes nothing

    Usage: drctl plan [OPTIONS]

    Options:
          --detailed-exitcode
              Exit with 0 when nothing has to be done, 2 when something has, 1 on errors

    $ drctl outputs --help
    exit 0
    --- stdout
    Prints the outputs of the last complete `up`: endpoints, names, domains

    Usage: drctl outputs [OPTIONS] [NAME]

    Arguments:
      [NAME]
              Print the value of this one alone

    Options:

    $ drctl graph --help
    exit 0
    --- stdout
    Prints the dependency graph of the plan

    Contacts nobody: what only AWS knows does not change the graph.

    Usage: drctl graph [OPTIONS]

    Options:
          --format <FORMAT>
              The language to write it in; by default `dot`, and `json` with `--output json`

              Possible values:
              - dot:     For Graphviz
              - mermaid: For Markdown
              - json:    For programs

    $ drctl iam-policy --help
    exit 0
    --- stdout
    Prints the least IAM policy that a deployment of the plan needs

    For every deployment, unless --suffix names one. Contacts nobody.

    Usage: drctl iam-policy [OPTIONS]

    Options:
          --read-only
              Only what `plan` and `status` need, which change nothing

    $ drctl init --help
    exit 0
    --- stdout
    Writes a commented plan file to start from

    Usage: drctl init [OPTIONS] [FILE]

    Arguments:
      [FILE]
              Where to write it

              [default: plans/payments.toml]

    Options:

    $ drctl schema --help
    exit 0
    --- stdout
    Prints the JSON Schema of the plan file, for editors

    Usage: drctl schema [OPTIONS]

    Options:
    ");
}

#[test]
fn the_commands_of_state() {
    let commands = ["list", "show", "forget", "unprotect", "rebuild", "unlock", "pull", "push"];
    let commands = std::iter::once("state".to_owned()).chain(commands.map(|command| format!("state {command}")));
    assert_snapshot!(commands.map(|command| own(&command)).collect::<Vec<_>>().join("\n"), @"
    $ drctl state --help
    exit 0
    --- stdout
    Looks at the state file and mends it

    Usage: drctl state [OPTIONS] <COMMAND>

    Commands:
      list       Lists all records
      show       Prints one record
      forget     Takes a resource off the record; its object stays in AWS
      unprotect  Ends the protection of resources, so that `down` deletes them
      rebuild    Makes a lost or damaged state anew from the tags and names of the objects
      unlock     Clears what a dead run left of its lock; a run that is alive keeps it
      pull       Copies the state from S3 (--state) to the folder (--state-dir)
      push       Copies the state from the folder (--state-dir) to S3 (--state)
      help       Print this message or the help of the given subcommand(s)

    Options:

    $ drctl state list --help
    exit 0
    --- stdout
    Lists all records

    Usage: drctl state list [OPTIONS]

    Options:

    $ drctl state show --help
    exit 0
    --- stdout
    Prints one record

    Usage: drctl state show [OPTIONS] <ADDRESS>

    Arguments:
      <ADDRESS>
              The resource, such as `us-east-1/ec2_vpc/vpc`

    Options:

    $ drctl state forget --help
    exit 0
    --- stdout
    Takes a resource off the record; its object stays in AWS

    Usage: drctl state forget [OPTIONS] <ADDRESS>

    Arguments:
      <ADDRESS>
              The resource, such as `us-east-1/ec2_vpc/vpc`

    Options:

    $ drctl state unprotect --help
    exit 0
    --- stdout
    Ends the protection of resources, so that `down` deletes them

    Usage: drctl state unprotect [OPTIONS] <PATTERN>...

    Arguments:
      <PATTERN>...
              Patterns of addresses, such as `*/s3_bucket/*`

    Options:

    $ drctl state rebuild --help
    exit 0
    --- stdout
    Makes a lost or damaged state anew from the tags and names of the objects

    Usage: drctl state rebuild [OPTIONS]

    Options:

    $ drctl state unlock --help
    exit 0
    --- stdout
    Clears what a dead run left of its lock; a run that is alive keeps it

    Usage: drctl state unlock [OPTIONS]

    Options:
          --force
              End a lease in S3 that is still running too; its run stops at its next heartbeat

    $ drctl state pull --help
    exit 0
    --- stdout
    Copies the state from S3 (--state) to the folder (--state-dir)

    Usage: drctl state pull [OPTIONS]

    Options:
          --force
              Overwrite a state that is newer or another deployment's

    $ drctl state push --help
    exit 0
    --- stdout
    Copies the state from the folder (--state-dir) to S3 (--state)

    Usage: drctl state push [OPTIONS]

    Options:
          --force
              Overwrite a state that is newer or another deployment's
    ");
}
