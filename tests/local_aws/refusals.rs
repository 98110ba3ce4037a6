//! What drctl refuses, with its exit code, and that nothing is lost or half-written.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::harness::{LocalAws, Run};

#[test]
fn refusals_change_nothing_and_say_what_to_do() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();

    // A wrong plan: nothing is called.
    workspace.edit("plans/minimal.toml", "nat = \"single\"", "nat = \"per-zone\"");
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(64).shows(&["per-az"]);
    assert!(aws.calls(false).is_empty());
    workspace.edit("plans/minimal.toml", "nat = \"per-zone\"", "nat = \"single\"");

    // A zone that does not exist.
    workspace.edit("plans/minimal.toml", "zones = [\"a\", \"b\"]", "zones = [\"a\", \"z\"]");
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(6).shows(&["us-east-1z"]);
    workspace.edit("plans/minimal.toml", "zones = [\"a\", \"z\"]", "zones = [\"a\", \"b\"]");

    // Aurora that AWS Backup would not back up (`bk.optin`).
    let opt_in = |choice: &str| {
        aws.python(&format!(
            "boto3.client('backup', region_name='us-east-2').update_region_settings(ResourceTypeOptInPreference={{'Aurora': {choice}}})\n\
             result = None"
        ))
    };
    opt_in("False");
    for command in ["plan", "up"] {
        let refused = workspace.drctl(&[command, "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(6);
        refused.shows(&["has not opted Aurora in", "us-east-2", "require_opt_in = false", "nothing was changed"]);
    }
    workspace.edit("plans/minimal.toml", "[backup]", "[backup]\nrequire_opt_in = false");
    workspace.drctl(&["plan", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(0).shows(&["ends on 20"]);
    workspace.edit("plans/minimal.toml", "[backup]\nrequire_opt_in = false", "[backup]");
    opt_in("True");

    // A person who says no, on the terminal, although the output goes through a pipe.
    aws.forget_calls();
    let refused = workspace.drctl_before_a_terminal(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"], "n\n");
    refused.expect(6).shows(&["Make these changes? [y/N]", "not confirmed; nothing was changed"]);
    assert!(aws.calls(true).is_empty());

    // A run in the background of a terminal must neither go ahead unasked nor be stopped for good.
    let up = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
    let refused = workspace.drctl_on_a_terminal("background", &up, "y\n").expect(64);
    refused.shows(&["nobody can be asked from the background: Make these changes?", "add --yes"]);
    assert!(aws.calls(true).is_empty());

    // A name that somebody else has.
    aws.python(
        "boto3.client('s3', region_name='us-east-1').create_bucket(Bucket='dr-payment-data-us-east-1-dev')\nresult = None",
    );
    aws.forget_calls();
    workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(6).shows(&[
        "us-east-1/s3_bucket/",
        "somebody else",
        "nothing was changed",
    ]);
    assert!(aws.calls(true).is_empty());
    assert!(!workspace.path("state/dev.json").exists(), "a refused first run leaves no state");

    // A state folder that is a file.
    let state = workspace.path("state");
    std::fs::create_dir_all(&state).expect("the folder can be made");
    std::fs::write(state.join("file"), "").expect("the file can be written");
    workspace
        .drctl(&["up", "--suffix", "qa", "--plan", "plans/minimal.toml", "--state-dir", "state/file"])
        .expect(1)
        .shows(&["state/file"]);
}

/// Changes a record of the account's own domain.
fn change_domain(aws: &LocalAws, action: &str, kind: &str, value: &str) {
    aws.python(&format!(
        r#"
route53 = boto3.client("route53", region_name="us-east-1")
zone = [z["Id"] for z in route53.list_hosted_zones()["HostedZones"] if z["Name"] == "example.com."][0]
record = {{"Name": "example.com.", "Type": {kind:?}, "TTL": 60, "ResourceRecords": [{{"Value": {value:?}}}]}}
route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={{"Changes": [{{"Action": {action:?}, "ResourceRecordSet": record}}]}})
result = None
"#
    ));
}

/// A certificate that would never be issued is found before anything is made, and each reason has its own way out.
#[test]
fn a_domain_that_the_world_does_not_find_is_refused_before_anything_is_made() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let up = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
    let refused = |texts: &[&str]| {
        aws.forget_calls();
        workspace.drctl(&up).expect(6).shows(texts).shows(&["nothing was changed"]);
        assert!(aws.calls(true).is_empty());
    };

    // Nobody would delegate the zone.
    let plan = std::fs::read_to_string(workspace.path("plans/minimal.toml")).expect("the plan can be read");
    std::fs::write(workspace.path("plans/minimal.toml"), format!("domain = \"example.org\"\n{plan}"))
        .expect("the plan can be written");
    refused(&["dr-payments-dev.example.org", "nothing delegates it", "routing.hosted_zone"]);
    workspace.drctl(&["plan", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(6);
    std::fs::write(workspace.path("plans/minimal.toml"), plan).expect("the plan can be written");

    // Only somebody else may issue certificates.
    change_domain(&aws, "UPSERT", "CAA", "0 issue \"letsencrypt.org\"");
    refused(&["letsencrypt.org", "example.com CAA 0 issue \"amazon.com\""]);
    change_domain(&aws, "DELETE", "CAA", "0 issue \"letsencrypt.org\"");

    // The world is led to other servers than the zone has.
    change_domain(&aws, "UPSERT", "NS", "ns.registrar.net.");
    refused(&["delegated elsewhere", "ns.registrar.net"]);

    // A server that does not answer is no reason to stop: certificates may be issued all the same.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let server = silent.local_addr().expect("a bound socket has an address").to_string();
    workspace.drctl_with(&up[..5], &[("DRCTL_DNS_SERVER", &server)]).expect(0).shows(&["could not be asked"]);
}

/// Invariants 3 and 6: a disk that is full stops the run before anything that cannot be recorded is made, and the next run goes on.
#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    // A disk of so many kilobytes, whose files outlive it. Where nobody may make one, a limit on the size of files is what a full disk
    // looks like to one process.
    let disk = "mount -t tmpfs -o size=48k,mode=700 tmpfs state && { \"$0\" \"$@\"; code=$?; cp -a state/. kept; exit $code; }";
    let limit = "trap '' XFSZ; ulimit -f 24; exec \"$0\" \"$@\"";
    let in_a_namespace = ["unshare", "--map-root-user", "--mount", "bash", "-c"];
    let probe = std::process::Command::new(in_a_namespace[0])
        .args(&in_a_namespace[1..])
        .arg("mount -t tmpfs -o size=48k tmpfs /mnt")
        .output();
    let has_disk = probe.is_ok_and(|probe| probe.status.success());
    let (shell, script, refusal) = match has_disk {
        true => (&in_a_namespace[..], disk, "No space left on device"),
        false => (&["bash", "-c"][..], limit, "File too large"),
    };
    for folder in ["state", "kept"] {
        std::fs::create_dir(workspace.path(folder)).expect("the folder can be made");
    }
    let run = |arguments: &[&str]| {
        let drctl = workspace.command(arguments);
        let mut limited = std::process::Command::new(shell[0]);
        limited.args(&shell[1..]).arg(script).arg(drctl.get_program()).args(drctl.get_args());
        limited.current_dir(workspace.path("."));
        limited.env_clear().envs(drctl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Run::of(limited.output().expect("the shell can be run"), arguments)
    };
    let up = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
    run(&up).expect(1).shows(&["state/dev.journal", refusal]);
    if has_disk {
        std::fs::remove_dir(workspace.path("state")).expect("the disk is gone");
        std::fs::rename(workspace.path("kept"), workspace.path("state")).expect("its files are kept");
    }
    workspace.edit("plans/minimal.toml", "[network]", "protect = [\"*/s3_bucket/*\"]\n\n[network]");
    workspace.drctl(&up).expect(0);
    workspace.drctl(&["plan", "--suffix", "dev", "--plan", "plans/minimal.toml", "--detailed-exitcode"]).expect(0);

    // What a plan protected stays, and goes once its protection was ended.
    let kept = workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(5);
    kept.shows(&["kept, with what it needs", "drctl state unprotect --suffix dev '*/s3_bucket/*'"]);
    assert_eq!(crate::story::census(&aws, "dev").iter().filter(|one| one.contains("bucket: ")).count(), 2);
    workspace.drctl(&["state", "unprotect", "--suffix", "dev", "*/s3_bucket/*", "--yes"]).expect(0);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
    assert_eq!(crate::story::census(&aws, "dev"), Vec::<String>::new());
}

/// A state folder that may not be written to is told before anything is made.
#[test]
fn a_state_folder_that_cannot_be_written_is_told_before_anything_is_made() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let state = workspace.path("state");
    std::fs::create_dir_all(&state).expect("the folder can be made");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o500)).expect("the mode can be set");
    let arguments = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml"];
    let drctl = workspace.command(&arguments);
    // The superuser may write everywhere, unless it gives that up.
    let is_superuser = std::fs::metadata(&state).expect("the folder is there").uid() == 0;
    let mut command = match is_superuser {
        true => {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--bounding-set=-dac_override", "--"]).arg(drctl.get_program());
            command
        }
        false => std::process::Command::new(drctl.get_program()),
    };
    command.args(drctl.get_args()).current_dir(workspace.path("."));
    command.env_clear().envs(drctl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("drctl can be run");
    Run::of(output, &arguments).expect(1).shows(&["state/", "Permission denied"]);
    assert!(aws.calls(true).is_empty());
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).expect("the mode can be set");
}

#[test]
fn a_second_run_is_refused_while_the_first_works_and_an_interrupt_loses_nothing() {
    let aws = LocalAws::start();
    let workspace = aws.workspace();
    let arguments = ["up", "--suffix", "dev", "--plan", "plans/minimal.toml", "--parallelism", "1"];
    let mut first =
        workspace.command(&arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn();
    let first = first.as_mut().expect("drctl can be started");
    // The first run has the lock as soon as its state file is there.
    while !workspace.path("state/dev.journal").exists() {
        assert!(first.try_wait().expect("the run can be watched").is_none(), "the first run ended early");
        std::thread::yield_now();
    }
    let second = workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(4);
    assert!(second.stderr.contains(&first.id().to_string()), "{}", second.stderr);

    let signal = std::process::Command::new("kill").args(["-INT", &first.id().to_string()]).status();
    assert!(signal.expect("kill can be run").success());
    let status = first.wait().expect("the run ends");
    assert_eq!(status.code(), Some(130));

    let resumed = workspace.drctl(&["up", "--suffix", "dev", "--plan", "plans/minimal.toml"]).expect(0);
    let _: &Run = &resumed;
    workspace.drctl(&["plan", "--suffix", "dev", "--plan", "plans/minimal.toml", "--detailed-exitcode"]).expect(0);
    workspace.drctl(&["down", "--suffix", "dev", "--yes"]).expect(0);
}
