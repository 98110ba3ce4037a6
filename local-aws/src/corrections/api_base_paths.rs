//! A base path mapping with an empty base path is stored under the empty name, where no later call finds it. AWS names
//! it `(none)`, which the emulator does only when the field is absent.

use async_trait::async_trait;

use super::{Call, Correction};
use crate::error::Error;
use crate::message::{Request, Response};

/// See the module.
pub(super) struct ApiBasePaths;

#[async_trait]
impl Correction for ApiBasePaths {
    fn id(&self) -> &'static str {
        "api-base-paths"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["apigateway:CreateBasePathMapping"]
    }

    async fn request(&self, _call: &Call<'_>, request: &mut Request) -> Result<Option<Response>, Error> {
        let mut input = request.json();
        if input.get("basePath").is_some_and(|path| path == "") {
            input.as_object_mut().map(|input| input.remove("basePath"));
            request.set_json(&input);
        }
        Ok(None)
    }
}
