//! What AWS says and how long it takes, as far as everybody has to know: errors, tags, waiting. No client is here.

pub mod error;
pub mod tags;
pub mod unreadable;
pub mod wait;

pub use error::{Error, Refusal};
pub use tags::{TagChanges, Tags};
pub use unreadable::Unreadable;
