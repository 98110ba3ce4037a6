//! Reads a plan file and finds everything that is wrong with it at once.
//!
//! Four looks at the text: is it TOML; do keys, types, ranges and choices fit the JSON Schema (`shape`); do the values
//! obey their grammars (the types themselves); do they go together (`rules`).
//!
//! Invariants:
//! 1. What is wrong is taken out of the tree and has its default from then on, so that the later looks see a whole
//!    plan.
//! 2. A problem is reported once, and no consequence of it: a rule that looks at a field taken out says nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value as Json;
use toml::de::DeTable;

use super::problem::{Problem, Problems, position};
use super::rules::{self, Violation};
use super::tree::Node;
use super::{Plan, shape};

/// Something wrong at a place of the text.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The field that an unknown key seems to stand for.
    pub(super) meant: Option<String>,
    /// Whether something is not there, rather than wrong.
    pub(super) missing: bool,
}

impl Found {
    pub(super) fn at(path: &str, span: &Range<usize>, message: String, help: Option<String>) -> Self {
        Self { path: path.to_owned(), span: span.clone(), message, help, meant: None, missing: false }
    }

    pub(super) fn into_problem(self, text: &str) -> Problem {
        let (line, column) = position(text, self.span.start);
        Problem { path: self.path, message: self.message, help: self.help, span: self.span, line, column }
    }
}

/// The schema without references, as `shape` walks it.
static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Plan>().into()
});

/// Reads the text of a plan file. `name` is how the file is called in problems.
///
/// # Errors
/// All problems of the text at once.
pub fn load(name: &str, text: &str) -> Result<Plan, Problems> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut found = syntax(text, &errors);
    let broken = broken_lines(text, &found);

    let mut root = Node::root(document.get_ref());
    let (plan, wrong) = read(&mut root);
    if broken.is_empty() {
        let violations = rules::check(&plan).into_iter().filter_map(|violation| place(violation, &root, &wrong));
        found.extend(violations);
    }
    // What the parser made of a broken line is no statement of the user, and what is missing may have stood there.
    let stated = |found: &Found| {
        let missing = found.missing && !broken.is_empty();
        !missing && !broken.contains(&position(text, found.span.start).0)
    };
    found.extend(wrong.into_iter().filter(stated));

    if found.is_empty() {
        return Ok(plan);
    }
    Err(Problems::new(name, text, found.into_iter().map(|found| found.into_problem(text)).collect()))
}

/// What is no TOML: the first error of each line, as the others mostly follow from it.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Found> {
    let mut lines = BTreeSet::new();
    let mut found = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        if lines.insert(position(text, span.start).0) {
            found.push(Found::at("", &span, error.message().to_owned(), None));
        }
    }
    found
}

/// The lines that say nothing reliable: those with an error, and those below a header with one.
fn broken_lines(text: &str, found: &[Found]) -> BTreeSet<usize> {
    let mut broken: BTreeSet<usize> = found.iter().map(|found| position(text, found.span.start).0).collect();
    let mut below_broken_header = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with('[') {
            below_broken_header = broken.contains(&number);
        } else if below_broken_header {
            broken.insert(number);
        }
    }
    broken
}

/// Reads the plan from what is right in the tree, and says what is not.
fn read(root: &mut Node) -> (Plan, Vec<Found>) {
    let mut wrong = shape::check(root, &SCHEMA);
    loop {
        let error = match Plan::deserialize(&*root) {
            Ok(plan) => return (plan, wrong),
            Err(error) => error,
        };
        let path = error.path.unwrap_or_default();
        let Some(node) = root.node(&path).filter(|_| !path.is_empty()) else {
            // Only a type whose schema says less than it demands of the whole document gets here.
            wrong.push(Found::at("", &(0..0), error.message, None));
            return (Plan::default(), wrong);
        };
        let span = if error.key { &node.key } else { &node.span };
        wrong.push(Found::at(&path, span, error.message, None));
        root.take_out(&path);
        // A table that needs what was taken out goes too; that it lacks something is no news.
        shape::check(root, &SCHEMA);
    }
}

/// Finds where the text breaks a rule; none when the rule looked at something that is wrong anyway.
fn place(violation: Violation, root: &Node, wrong: &[Found]) -> Option<Found> {
    let located: Vec<(&Node, &str)> = violation.paths.iter().map(|path| root.locate(path)).collect();
    let full = |(node, rest): &(&Node, &str)| format!("{}{rest}", node.path);
    let touches = |path: &str| {
        let known = wrong.iter().flat_map(|found| [Some(&found.path), found.meant.as_ref()]).flatten();
        known.into_iter().any(|known| within(path, known) || within(known, path))
    };
    if located.iter().any(|location| touches(&full(location))) {
        return None;
    }
    let stated = located.iter().find(|(_, rest)| rest.is_empty()).or(located.first())?;
    Some(Found::at(&full(stated), &stated.0.span, violation.message, violation.help))
}

/// Tells whether a path is another one or lies within it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
