//! How far a list was read that AWS answers in pages.
//!
//! Invariant: no page is asked for twice. A list that leads back to an earlier page ends in an error instead of being read for ever. The
//! SDK's paginators notice only the page before, and take it for the end without a word, so that what is on other pages counts as gone.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::error::{Error, Result};

/// How far a list was read.
#[derive(Debug)]
pub struct Pages {
    operation: &'static str,
    token: Option<String>,
    read: HashSet<u64>,
}

impl Pages {
    /// A list of which nothing was read yet; the operation is `service:Operation`.
    pub fn of(operation: &'static str) -> Self {
        Self { operation, token: None, read: HashSet::new() }
    }

    /// The token of the page to ask for; none for the first one.
    pub fn token(&self) -> Option<String> {
        self.token.clone()
    }

    /// Turns to the page after the one just read, if its answer names one; an empty token names none.
    ///
    /// # Errors
    /// [`Error::Endless`] if that page was read already.
    pub fn turn(&mut self, next: Option<String>) -> Result<bool> {
        self.token = next.filter(|token| !token.is_empty());
        match self.token() {
            Some(token) => self.once(&token).map(|()| true),
            None => Ok(false),
        }
    }

    /// Notes the page to be asked for next, where more than one token names it.
    ///
    /// # Errors
    /// [`Error::Endless`] if that page was read already.
    pub fn once(&mut self, page: &(impl Hash + Debug)) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        page.hash(&mut hasher);
        match self.read.insert(hasher.finish()) {
            true => Ok(()),
            false => Err(Error::Endless { operation: self.operation.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The invariant, also where the way back takes more than one page.
    #[test]
    fn a_list_that_leads_back_ends_in_an_error() {
        let mut pages = Pages::of("kms:ListKeys");
        assert_eq!(pages.token(), None);
        assert!(pages.turn(Some("a".to_owned())).unwrap() && pages.turn(Some("b".to_owned())).unwrap());
        assert_eq!(pages.token().as_deref(), Some("b"));
        let error = pages.turn(Some("a".to_owned())).unwrap_err();
        assert!(error.to_string().contains("the pages of kms:ListKeys have no end"), "{error}");
    }

    #[test]
    fn an_empty_token_is_none() {
        assert!(!Pages::of("tag:GetResources").turn(Some(String::new())).unwrap());
        assert!(!Pages::of("tag:GetResources").turn(None).unwrap());
    }
}
