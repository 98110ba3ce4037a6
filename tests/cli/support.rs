//! Runs drctl and turns all it says into one text.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin;
use tempfile::TempDir;

/// An empty folder that drctl runs in.
pub(crate) struct Folder {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Folder {
    /// A folder without anything, and an environment without credentials.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("the system has a temporary folder");
        // No test may find credentials of this machine, nor ask the network for them.
        let environment = [("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { folder, environment: environment.to_vec() }
    }

    /// The folder with the state of `dev`, and those of other deployments.
    pub(crate) fn with_state(others: &[&str]) -> Self {
        let folder = Self::new();
        for suffix in ["dev"].iter().chain(others) {
            folder.write(&format!("state/{suffix}.json"), &STATE.replace("\"dev\"", &format!("\"{suffix}\"")));
        }
        folder
    }

    /// Adds a variable to the environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds credentials that are well formed and good for nothing.
    pub(crate) fn credentials(self) -> Self {
        self.variable("AWS_ACCESS_KEY_ID", "test").variable("AWS_SECRET_ACCESS_KEY", "test")
    }

    /// The path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, its folder included.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file can be read")
    }

    /// Everything one command says where nobody can be asked: exit code, standard output, standard error.
    pub(crate) fn drctl(&self, arguments: &str) -> String {
        self.drctl_words(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// The same for arguments that may have spaces.
    pub(crate) fn drctl_words(&self, arguments: &[&str]) -> String {
        // A session of its own has no controlling terminal, also where a person runs the tests.
        let output = Command::new("setsid")
            .arg(cargo_bin!("drctl"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("drctl can be started");
        let text = |bytes| String::from_utf8(bytes).expect("drctl writes UTF-8");
        let mut all = format!("exit {}\n", output.status.code().expect("drctl is not killed"));
        for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            if !bytes.is_empty() {
                all.push_str(&format!("--- {name}\n"));
                // Help texts have lines of nothing but spaces.
                text(bytes).lines().for_each(|line| all.push_str(&format!("{}\n", line.trim_end())));
            }
        }
        all
    }

    /// Runs a command line as a person does who copies it.
    pub(crate) fn shell(&self, line: &str) {
        let program = cargo_bin!("drctl");
        let path = format!("{}:/usr/bin:/bin", program.parent().expect("a program is in a folder").display());
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", line]).current_dir(self.folder.path()).env_clear().env("PATH", path);
        command.assert().success();
    }

    /// What one command says before a controlling terminal, as `terminal.py` prints it. `ahead` is typed before the
    /// command starts, and `answer` when its question stands there; with a `stderr` of `pipe` all three streams lead
    /// elsewhere.
    pub(crate) fn drctl_before_a_terminal(&self, stderr: &str, ahead: &str, answer: &str, arguments: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/terminal.py");
        let output = Command::new("python3")
            .args([script, stderr, ahead, answer, "env", "-i"])
            .args(self.environment.iter().map(|(name, value)| format!("{name}={value}")))
            .arg(cargo_bin!("drctl"))
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("python3 can be started");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let code = output.status.code().expect("drctl is not killed");
        format!("exit {code}\n{}", String::from_utf8(output.stdout).expect("drctl writes UTF-8"))
    }
}

/// A state file as a person may have edited it: two resources, one in flight, and the outputs of an earlier run.
pub(crate) const STATE: &str = r#"{
  "format": 1,
  "drctl": "0.1.0",
  "deployment": {
    "suffix": "dev",
    "account": "123456789012",
    "partition": "aws",
    "regions": ["us-east-1", "us-east-2"],
    "facts": {
      "outputs": {
        "global_accelerator_dns": "abcd1234.awsglobalaccelerator.com",
        "s3_bucket_us_east_1": "dr-payment-data-us-east-1-dev"
      }
    }
  },
  "serial": 4,
  "records": {
    "us-east-1/ec2_subnet/private-a": {
      "status": "creating",
      "stack": "network",
      "spec": { "cidr": "10.0.0.0/24" },
      "references": ["us-east-1/ec2_vpc/vpc"],
      "token": "0123456789abcdef0123456789abcdef",
      "generation": 1,
      "created_at": "2026-01-02T03:04:05Z",
      "updated_at": "2026-01-02T03:04:06Z",
      "last_error": "ec2:CreateSubnet was refused: SubnetLimitExceeded: none left"
    },
    "us-east-1/ec2_vpc/vpc": {
      "status": "ready",
      "stack": "network",
      "spec": { "cidr": "10.0.0.0/16" },
      "outputs": { "id": "vpc-0123456789abcdef0" },
      "token": "0123456789abcdef0123456789abcdef",
      "generation": 1,
      "created_at": "2026-01-02T03:04:05Z",
      "updated_at": "2026-01-02T03:04:07Z",
      "milliseconds": 1200
    }
  },
  "checksum": "edited"
}
"#;
