//! A backup plan cannot go while it has selections (`bk.delete.order`).

use super::super::ask::list;
use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let plan = call.original.uri.path().trim_end_matches('/');
    let selections = list(call, "backup", &format!("{plan}/selections/"), "BackupSelectionsList").await?;
    let message = "Related backup plan selections must be deleted prior to backup plan deletion";
    Ok((!selections.is_empty()).then(|| Refused::new("InvalidRequestException", message)))
}
