//! The virtual environment that holds the emulator, made once per requirements file and Python.
//!
//! It lies in a cache folder that outlives builds: `$LOCAL_AWS_CACHE`, else `$XDG_CACHE_HOME/local-aws`, else
//! `~/.cache/local-aws`. Its name holds a hash of the requirements and of the interpreter's version, so that a change of either makes a new one.
//!
//! Invariants:
//! 1. Nothing is installed whose hash is not in `requirements.txt`, and nothing is built from source.
//! 2. A folder without its mark is unfinished and is made again; two processes never make the same one at the same time.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::error::Error;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The file whose presence says that the environment is complete.
const MARK: &str = "complete";

/// Returns the interpreter of the emulator's virtual environment, making the environment first if need be.
/// `progress` is told when that takes a while.
pub(crate) fn ensure(progress: impl Fn(&str)) -> Result<PathBuf, Error> {
    let version = python_version()?;
    let cache = cache_folder()?;
    fs::create_dir_all(&cache).map_err(Error::file("create", &cache))?;
    let folder = cache.join(format!("venv-{}", fingerprint(&version)));
    let python = folder.join("bin/python");
    if folder.join(MARK).exists() && python.exists() {
        return Ok(python);
    }

    let lock_path = folder.with_extension("lock");
    let lock = File::create(&lock_path).map_err(Error::file("create", &lock_path))?;
    lock.lock().map_err(Error::file("lock", &lock_path))?;
    if folder.join(MARK).exists() && python.exists() {
        return Ok(python);
    }
    progress(&format!("setting up the emulator's virtual environment in {} (once)", folder.display()));
    make(&folder, &python)?;
    Ok(python)
}

fn make(folder: &Path, python: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::file("remove", folder))?;
    }
    run(folder, Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(Error::file("write", &requirements))?;
    run(
        folder,
        Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
            .args(["--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(&requirements),
    )?;
    let mark = folder.join(MARK);
    fs::write(&mark, "").map_err(Error::file("write", &mark))
}

fn run(folder: &Path, command: &mut Command) -> Result<(), Error> {
    let failed = |reason: String| Error::Environment { path: folder.to_owned(), reason };
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(failed(tail(&said, 10)))
}

/// The last `lines` lines of `text`.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn python_version() -> Result<String, Error> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print('%d.%d %s' % (*sys.version_info[:2], sys.executable))"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::Python(format!("it cannot be run ({error})")))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let minor =
        version.split(' ').next().and_then(|number| number.strip_prefix("3.")).and_then(|minor| minor.parse().ok());
    match minor {
        Some(11..) => Ok(version),
        _ => Err(Error::Python(format!("version 3.11 or newer, but `python3` is {version:?}"))),
    }
}

fn cache_folder() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LOCAL_AWS_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("local-aws")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/local-aws")))
        .ok_or_else(|| Error::Python("no cache folder for its environment: set HOME or LOCAL_AWS_CACHE".to_owned()))
}

fn fingerprint(version: &str) -> String {
    let digest = Sha256::new().chain_update(REQUIREMENTS).chain_update(version).finalize();
    digest[..6].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 1: pip refuses a requirement without a hash only when it is asked to check, so every one must carry some.
    #[test]
    fn every_requirement_is_pinned_and_hashed() {
        let logical = REQUIREMENTS.replace("\\\n", " ");
        let requirements: Vec<&str> =
            logical.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(requirements.iter().any(|line| line.starts_with("ministack==1.5.33 ")));
        for requirement in requirements {
            assert!(requirement.contains("==") && requirement.contains("--hash=sha256:"), "{requirement}");
        }
    }

    #[test]
    fn another_python_has_another_environment() {
        assert_ne!(fingerprint("3.11 /usr/bin/python3"), fingerprint("3.12 /usr/bin/python3"));
    }
}
