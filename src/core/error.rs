//! The one error a command ends with: what failed, why, what to do, and the exit code that says which kind it was.
//!
//! Errors are for the person who reads them at 3 a.m. They are lower-case fragments that read well after `error:`; the address
//! comes first, then why, then what to do. They never hold secrets.

use std::fmt;

use crate::aws::Error;

/// What kind of failure it was; decides the exit code, a documented contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It failed; running it again is safe.
    Failed,
    /// Changes are present (`plan --detailed-exitcode` only).
    Changes,
    /// Credentials or permissions.
    Denied,
    /// Another run holds the deployment.
    Locked,
    /// Work is left, nothing is broken.
    Partial,
    /// Refused before anything was changed.
    Preflight,
    /// A wait reached its deadline.
    Timeout,
    /// Wrong usage, or a plan that is not valid; nothing was called.
    Usage,
    /// A fault in drctl itself.
    Internal,
    /// Stopped by a signal; the state is saved.
    Interrupted(i32),
}

impl Kind {
    /// The kind that an error of AWS belongs to.
    pub fn of(error: &Error) -> Self {
        match error {
            error if error.is_denied() => Self::Denied,
            Error::Deadline { .. } => Self::Timeout,
            Error::Blocked(_) => Self::Partial,
            Error::Taken(_) => Self::Preflight,
            _ => Self::Failed,
        }
    }

    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Denied => 3,
            Self::Locked => 4,
            Self::Partial => 5,
            Self::Preflight => 6,
            Self::Timeout => 7,
            Self::Usage => 64,
            Self::Internal => 70,
            // 128 + the signal's number, as shells report it: 129, 130 and 143.
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(130),
        }
    }
}

/// Why a command ends without success.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What failed; empty when everything there is to say was said already.
    pub message: String,
    /// Why, from the outside in.
    pub causes: Vec<String>,
    /// What to do; commands stand on lines of their own.
    pub hints: Vec<String>,
}

/// The outcome of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with a message.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), causes: Vec::new(), hints: Vec::new() }
    }

    /// A failure whose causes are the chain of an error.
    pub fn of(kind: Kind, error: &dyn std::error::Error) -> Self {
        let mut failure = Self::new(kind, error);
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Transparent errors repeat their source.
            if text != failure.message {
                failure.causes.push(text);
            }
            source = cause.source();
        }
        failure
    }

    /// An end that has nothing more to say.
    pub fn silent(kind: Kind) -> Self {
        Self::new(kind, "")
    }

    /// Adds what led to it.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_contract() {
        let codes = [
            (Kind::Failed, 1),
            (Kind::Changes, 2),
            (Kind::Denied, 3),
            (Kind::Locked, 4),
            (Kind::Partial, 5),
            (Kind::Preflight, 6),
            (Kind::Timeout, 7),
            (Kind::Usage, 64),
            (Kind::Internal, 70),
            (Kind::Interrupted(1), 129),
            (Kind::Interrupted(2), 130),
            (Kind::Interrupted(15), 143),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }
}
