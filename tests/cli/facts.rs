//! The page `docs/aws-facts.md` and the comments that cite it by ids such as `nat.wait` do not part.
//!
//! An id in the sources is a text between backticks of lower-case letters, digits and hyphens in parts joined by dots, whose
//! first part is one of [`PREFIXES`]. The names of services (`lambda.amazonaws.com`) and of files (`lambda.zip`) look alike and
//! are none. On the page an id is what stands in the first column of a table. The last column names the tests that show that the
//! fact is honoured, each as the stem of its file, or the folder of a `mod.rs` or `tests.rs`, and the name of its function, or, under
//! [`UNTESTED`], says why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The first parts of all ids: a service or one of its things, and `x` for what holds everywhere.
const PREFIXES: [&str; 40] = [
    "acm",
    "alb",
    "apigw",
    "bk",
    "cw",
    "ddb",
    "dr",
    "eb",
    "eip",
    "elb",
    "eni",
    "flowlog",
    "ga",
    "iam",
    "igw",
    "kms",
    "lambda",
    "listener",
    "logs",
    "nat",
    "order",
    "preflight",
    "r53",
    "rds",
    "route",
    "rta",
    "rtb",
    "rule",
    "s3",
    "sg",
    "sgr",
    "slr",
    "sm",
    "sns",
    "sqs",
    "subnet",
    "tg",
    "vpc",
    "vpce",
    "x",
];

/// The heading of the rows without a test.
const UNTESTED: &str = "## What only AWS itself can show";

/// What a name of a file ends in.
const EXTENSIONS: [&str; 7] = ["json", "md", "py", "rs", "toml", "txt", "zip"];

#[test]
fn every_fact_that_the_sources_cite_stands_on_the_page() {
    let page = page();
    let missing: Vec<String> = citations()
        .into_iter()
        .filter(|(id, _)| !page.contains_key(id))
        .map(|(id, files)| format!("{id}, cited by {}", Vec::from_iter(files).join(", ")))
        .collect();
    assert!(missing.is_empty(), "not in docs/aws-facts.md:\n{}", missing.join("\n"));
}

#[test]
fn every_fact_on_the_page_is_cited_by_the_files_it_names() {
    let citations = citations();
    let mut wrong = Vec::new();
    for (id, row) in page() {
        match citations.get(&id) {
            None => wrong.push(format!("{id}: cited nowhere")),
            Some(_) if row.files.is_empty() => wrong.push(format!("{id}: its row names no file")),
            Some(citing) => wrong.extend(row.files.difference(citing).map(|file| format!("{id}: not cited by {file}"))),
        }
    }
    assert!(wrong.is_empty(), "in docs/aws-facts.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_fact_on_the_page_is_shown_by_a_test_that_exists() {
    let tests = tests();
    let mut wrong = Vec::new();
    for (id, row) in page() {
        match row.shown_by {
            ShownBy::Nothing(reason) if reason.len() < 20 => {
                wrong.push(format!("{id}: no reason why no test shows it"))
            }
            ShownBy::Tests(named) if named.is_empty() => wrong.push(format!("{id}: shown by no test")),
            ShownBy::Tests(named) => {
                wrong.extend(named.difference(&tests).map(|test| format!("{id}: there is no test {test}")));
            }
            ShownBy::Nothing(_) => {}
        }
    }
    assert!(wrong.is_empty(), "in docs/aws-facts.md:\n{}", wrong.join("\n"));
}

#[test]
fn what_looks_like_a_fact_and_is_none() {
    for id in ["nat.wait", "x.idem.token-absent", "s3.repl.kms", "ddb.delete.24h", "bk.delete.lock"] {
        assert!(is_fact(id), "{id}");
    }
    let others = [
        "nat",
        "dev.json",
        "src/x.rs",
        "network.nat",
        "lambda.zip",
        "lambda.amazonaws.com",
        "nat.Wait",
        "nat.",
        "sg.f()",
    ];
    for other in others {
        assert!(!is_fact(other), "{other}");
    }
}

/// A row of the page.
struct Row {
    files: BTreeSet<String>,
    shown_by: ShownBy,
}

/// The last column of a row.
enum ShownBy {
    Tests(BTreeSet<String>),
    /// With the reason.
    Nothing(String),
}

/// The rows of the page by their ids.
fn page() -> BTreeMap<String, Row> {
    let text = read(Path::new("docs/aws-facts.md"));
    let (mut rows, mut heading) = (BTreeMap::new(), "");
    for line in text.lines() {
        if line.starts_with("## ") {
            heading = line;
        }
        if !line.starts_with("| `") {
            continue;
        }
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(columns.len(), 6, "a row has four columns: {line}");
        let names = |column: &str| {
            let names = column.split(',').map(|name| name.trim().trim_matches('`').to_owned());
            names.filter(|name| !name.is_empty()).collect()
        };
        let id = columns[1].trim_matches('`').to_owned();
        let shown_by = match heading == UNTESTED {
            true => ShownBy::Nothing(columns[4].to_owned()),
            false => ShownBy::Tests(names(columns[4])),
        };
        let row = Row { files: names(columns[3]), shown_by };
        assert!(rows.insert(id, row).is_none(), "a fact stands twice: {line}");
    }
    assert!(!rows.is_empty(), "the page has no rows");
    rows
}

/// All tests, each as the stem of its file and the name of its function.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "local-aws/src", "local-aws/tests", "tests"] {
        collect_sources(Path::new(folder), &mut files);
    }
    let mut tests = BTreeSet::new();
    for file in files {
        let named_by_folder = ["mod.rs", "tests.rs"].iter().any(|name| file.ends_with(name));
        let named_by = if named_by_folder { file.parent().expect("a file is in a folder") } else { &file };
        let stem = named_by.file_stem().expect("a file has a name").display().to_string();
        let mut is_test = false;
        for line in read(&file).lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name =
                line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let (true, Some(name)) = (is_test, name) {
                tests.insert(format!("{stem}::{name}"));
                is_test = false;
            }
        }
    }
    tests
}

/// Every id that the sources cite, with the files that do.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    for folder in ["src", "local-aws/src", "local-aws/tests"] {
        collect_sources(Path::new(folder), &mut files);
    }
    let mut citations: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let name = file.display().to_string();
        for line in read(&file).lines() {
            // What stands before the first backtick or after the last one is never between two.
            let pieces: Vec<&str> = line.split('`').collect();
            let inner = pieces.iter().skip(1).take(pieces.len().saturating_sub(2));
            for id in inner.filter(|piece| is_fact(piece)) {
                citations.entry((*id).to_owned()).or_default().insert(name.clone());
            }
        }
    }
    citations
}

/// Tells whether a text between backticks is the id of a fact.
fn is_fact(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_part = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    parts.len() > 1
        && parts.iter().all(is_part)
        && PREFIXES.contains(&parts[0])
        && !EXTENSIONS.contains(&parts[parts.len() - 1])
        && !text.ends_with(".amazonaws.com")
}

/// Adds all Rust files below a folder.
fn collect_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            collect_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
