//! The functions' sources: read from their folders and zipped, before anything else happens in a run.
//!
//! The folder of a function is relative to the current directory. The two functions that come with drctl are part of the program and are used
//! when their folders are not there, so that drctl works outside its repository. Nothing here talks to AWS.
//!
//! Invariants:
//! 1. Identical sources give identical bytes: entries are sorted, times and modes fixed, and only names and contents count.
//! 2. What is zipped is what the folder holds: a symbolic link, which could lead anywhere, is refused, not followed.
//! 3. A zip that Lambda would refuse for its size is refused here, with its size.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::error::{Failure, Kind, Outcome};
use crate::plan::{Function, Handler};
use crate::resources::Assets;

/// The functions that come with drctl: the folder in the plan, and its only file.
const BUILT_IN: [(&str, &str); 2] = [
    ("lambda/payment_processor", include_str!("../lambda/payment_processor/index.py")),
    ("lambda/health_check", include_str!("../lambda/health_check/index.py")),
];

/// The greatest size of a zip that is sent with the call, in bytes (`lambda.limits`).
const ZIPPED_LIMIT: usize = 50 << 20;
/// The greatest size of what is in a zip, in bytes (`lambda.limits`).
const UNZIPPED_LIMIT: u64 = 250 << 20;

/// The contents of a source folder, by their path in it with `/` between the parts.
type Files = BTreeMap<String, Vec<u8>>;

/// Zipped sources.
pub struct Sources {
    /// The zips by digest.
    pub assets: Assets,
    /// The digest of each function's zip: its SHA-256 in base64, as Lambda tells it.
    pub code: BTreeMap<String, String>,
}

/// Reads and zips the sources of all functions.
///
/// # Errors
/// When a source folder cannot be read, holds something that cannot be zipped, lacks the handler's module or is too large.
pub fn load(functions: &[Function]) -> Outcome<Sources> {
    let mut sources = Sources { assets: Assets::new(), code: BTreeMap::new() };
    for function in functions {
        let failed = |failure: Failure| Failure {
            message: format!("the sources of the function {}: {}", function.name, failure.message),
            ..failure
        };
        let zip = files_of(function).and_then(|files| pack(&files, ZIPPED_LIMIT)).map_err(failed)?;
        let digest = STANDARD.encode(Sha256::digest(&zip));
        sources.code.insert(function.name.to_string(), digest.clone());
        sources.assets.insert(digest, zip);
    }
    Ok(sources)
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files_of(function: &Function) -> Outcome<Files> {
    let source = function.source.to_string();
    let folder = Path::new(&source);
    let built_in = BUILT_IN.iter().find(|(name, _)| *name == source.trim_end_matches('/'));
    let files = match (fs::symlink_metadata(folder), built_in) {
        (Err(error), Some((_, text))) if error.kind() == std::io::ErrorKind::NotFound => {
            Files::from([("index.py".to_owned(), text.as_bytes().to_vec())])
        }
        (Err(error), _) => {
            let here = std::env::current_dir().unwrap_or_default();
            let hint = format!("folders of functions are looked for in {}", here.display());
            return Err(refused(format!("{source} cannot be read")).because(error).hint(hint));
        }
        (Ok(_), _) => {
            let mut files = Files::new();
            read(folder, "", &mut files, &mut 0)?;
            files
        }
    };
    require_module(&function.handler, &files).map(|()| files)
}

/// Reads a folder and the folders in it, leaving out what is not source: hidden files, byte code, and tests at the top.
fn read(folder: &Path, prefix: &str, files: &mut Files, size: &mut u64) -> Outcome {
    let unreadable = |error| refused(format!("{} cannot be read", folder.display())).because(error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| refused(format!("the name of {} is not UTF-8", path.display())))?;
        let top = prefix.is_empty();
        if name.starts_with('.') || name == "__pycache__" || name.ends_with(".pyc") || (top && name == "tests") {
            continue;
        }
        let unreadable = |error| refused(format!("{} cannot be read", path.display())).because(error);
        // Not followed, unlike `fs::metadata`.
        let metadata = entry.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            read(&path, &format!("{prefix}{name}/"), files, size)?;
        } else if metadata.is_file() {
            *size += metadata.len();
            if *size > UNZIPPED_LIMIT {
                return Err(refused(format!(
                    "they are larger than {} MB, which Lambda does not take",
                    UNZIPPED_LIMIT >> 20
                )));
            }
            files.insert(format!("{prefix}{name}"), fs::read(&path).map_err(unreadable)?);
        } else {
            let what = if metadata.is_symlink() { "a symbolic link" } else { "neither a file nor a folder" };
            return Err(refused(format!("{} is {what}; put the file itself there", path.display())));
        }
    }
    Ok(())
}

fn require_module(handler: &Handler, files: &Files) -> Outcome {
    let handler = handler.to_string();
    let module = handler.rsplit_once('.').map_or(handler.as_str(), |(module, _)| module).replace('.', "/");
    let (file, package) = (format!("{module}.py"), format!("{module}/__init__.py"));
    if files.contains_key(&file) || files.contains_key(&package) {
        return Ok(());
    }
    Err(refused(format!("there is no {file}, which the handler {handler} names")))
}

fn pack(files: &Files, limit: usize) -> Outcome<Vec<u8>> {
    let internal = |error: zip::result::ZipError| Failure::of(Kind::Internal, &error);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in files {
        zip.start_file(name.as_str(), options).map_err(internal)?;
        zip.write_all(contents).map_err(|error| Failure::of(Kind::Internal, &error))?;
    }
    let bytes = zip.finish().map_err(internal)?.into_inner();
    if bytes.len() > limit {
        let size = bytes.len() >> 20;
        return Err(refused(format!("they are {size} MB zipped; Lambda takes at most {} MB", limit >> 20)));
    }
    Ok(bytes)
}

/// A fault of the plan or of what it names: nothing was called yet.
fn refused(message: String) -> Failure {
    Failure::new(Kind::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use std::time::{Duration, SystemTime};
    use tempfile::TempDir;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        folder
    }

    fn function(folder: &Path) -> Function {
        let mut function = Plan::default().functions.remove(0);
        function.source = folder.to_str().unwrap().parse().unwrap();
        function
    }

    fn code(folder: &TempDir) -> Outcome<String> {
        let function = function(folder.path());
        load(std::slice::from_ref(&function)).map(|sources| sources.code[&function.name.to_string()].clone())
    }

    const TWO: [(&str, &str); 2] = [("index.py", "import a.b"), ("a/b.py", "x = 1")];

    /// Invariant 1.
    #[test]
    fn identical_sources_give_identical_bytes_whatever_their_times_order_and_modes() {
        let one = folder(&TWO);
        let other = folder(&[TWO[1], TWO[0]]);
        let old = SystemTime::now() - Duration::from_secs(86_400 * 400);
        let file = fs::File::options().write(true).open(other.path().join("index.py")).unwrap();
        file.set_modified(old).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
        }
        let [one, other] = [&one, &other].map(|folder| load(&[function(folder.path())]).unwrap().assets);
        assert_eq!(one, other);
    }

    #[test]
    fn what_is_not_source_changes_nothing_and_what_is_does() {
        let plain = code(&folder(&TWO)).unwrap();
        let noise = [("tests/test.py", "1"), (".env", "1"), ("a/__pycache__/b.pyc", "1"), (".git/HEAD", "1")];
        assert_eq!(code(&folder(&[&TWO[..], &noise].concat())).unwrap(), plain);
        assert_ne!(code(&folder(&[TWO[0], ("a/b.py", "x = 2")])).unwrap(), plain, "contents");
        assert_ne!(code(&folder(&[TWO[0], ("a/c.py", "x = 1")])).unwrap(), plain, "a name");
        assert_ne!(
            code(&folder(&[&TWO[..], &[("a/tests/t.py", "1")]].concat())).unwrap(),
            plain,
            "a package's own tests"
        );
    }

    /// What Lambda tells as `CodeSha256` is the SHA-256 of the zip in base64.
    #[test]
    fn the_digest_is_the_one_lambda_tells() {
        let sources = load(&Plan::default().functions).unwrap();
        assert_eq!(sources.code.keys().collect::<Vec<_>>(), ["health_check", "payment_processor"]);
        for digest in sources.code.values() {
            assert_eq!(STANDARD.decode(digest).unwrap(), Sha256::digest(&sources.assets[digest]).as_slice());
        }
    }

    #[test]
    fn a_zip_holds_the_files_under_their_names() {
        let files: Files = TWO.map(|(name, contents)| (name.to_owned(), contents.as_bytes().to_vec())).into();
        let mut zip = zip::ZipArchive::new(Cursor::new(pack(&files, ZIPPED_LIMIT).unwrap())).unwrap();
        assert_eq!(zip.file_names().collect::<Vec<_>>(), ["a/b.py", "index.py"]);
        assert_eq!(zip.by_name("index.py").unwrap().unix_mode(), Some(0o100_644));
        assert_eq!(std::io::read_to_string(zip.by_name("a/b.py").unwrap()).unwrap(), "x = 1");
    }

    /// Invariant 3, `lambda.limits`.
    #[test]
    fn sources_that_are_too_large_for_lambda_are_refused_with_their_size() {
        let large = folder(&TWO);
        let file = fs::File::create(large.path().join("model.bin")).unwrap();
        file.set_len((250 << 20) + 1).unwrap();
        let failure = code(&large).unwrap_err();
        assert!(failure.message.contains("larger than 250 MB"), "{failure}");
        assert_eq!(failure.kind, Kind::Usage);

        // What cannot be compressed, against a limit that a test can reach.
        let noise = (0..3_u32 << 15).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
        let files = Files::from([("index.py".to_owned(), noise)]);
        let failure = pack(&files, 1 << 20).unwrap_err();
        assert!(failure.message.contains("3 MB zipped") && failure.message.contains("at most 1 MB"), "{failure}");
        assert!(pack(&files, 4 << 20).is_ok());
        assert_eq!(ZIPPED_LIMIT, 50 << 20);
    }

    /// Invariant 2.
    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_refused_by_name() {
        let folder = folder(&TWO);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("users.txt")).unwrap();
        let failure = code(&folder).unwrap_err();
        assert!(failure.message.contains("users.txt is a symbolic link"), "{failure}");
        assert_eq!(failure.kind, Kind::Usage);
    }

    #[test]
    fn a_missing_folder_and_a_missing_module_are_named() {
        let missing = load(&[function(Path::new("/nonexistent/place"))]).err().unwrap();
        assert!(missing.message.contains("payment_processor: /nonexistent/place cannot be read"), "{missing}");
        let without = code(&folder(&[("other.py", "")])).unwrap_err();
        assert!(without.message.contains("there is no index.py, which the handler index.handler names"), "{without}");
    }
}
