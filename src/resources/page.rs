//! The page `docs/resource-kinds.md`, written from what the kinds declare, so that the two cannot part.

use super::{Adoption, kinds};

/// The whole page, as Markdown.
pub fn kinds_page() -> String {
    let mut page = String::from(
        "# Resource kinds\n\n\
         Written by `DRCTL_BLESS=1 cargo test --lib kinds_page` from what the kinds declare; a test compares the two.\n\
         Durations are seconds as usually seen on AWS: they order the work and make the estimate, and are never limits.\n\n\
         | Kind | Create | Update | Delete | Replaced by a change of | Found without a record by | Data |\n\
         |---|---:|---:|---:|---|---|---|\n",
    );
    let kinds = kinds();
    for kind in kinds.iter() {
        let traits = kind.traits();
        let immutable: Vec<String> = traits.immutable.iter().map(|field| format!("`{field}`")).collect();
        page += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            traits.name,
            traits.expected.create,
            traits.expected.update,
            traits.expected.delete,
            immutable.join(", "),
            match traits.adoption {
                Adoption::ByTag => "its tags",
                Adoption::ByName => "its name or parent",
            },
            if traits.data_bearing { "yes" } else { "" },
        );
    }
    page += "\n## Permissions\n\nThe IAM actions each kind needs: to look (`plan`, `status`), and to change (`up`, `down`).\n\n\
             | Kind | To look | To change |\n|---|---|---|\n";
    for kind in kinds.iter() {
        let permissions = kind.traits().permissions;
        page += &format!(
            "| `{}` | {} | {} |\n",
            kind.traits().name,
            permissions.read.join(", "),
            permissions.change.join(", ")
        );
    }
    page += "\n## What is tried again\n\nRefusals that go away by themselves. Nothing else is tried again, but for throttling and lost \
             answers of reads.\n\n| Operation | Code | Message contains | Seconds |\n|---|---|---|---:|\n";
    let mut retries: Vec<_> = kinds.iter().flat_map(|kind| kind.traits().retries).collect();
    retries.sort_by_key(|retry| (retry.operation, retry.code, retry.message));
    retries.dedup_by_key(|retry| (retry.operation, retry.code, retry.message, retry.deadline));
    for retry in retries {
        page += &format!(
            "| `{}` | `{}` | {} | {} |\n",
            retry.operation,
            retry.code,
            retry.message,
            retry.deadline.as_secs()
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_page_says_what_the_kinds_declare() {
        let path = "docs/resource-kinds.md";
        let page = kinds_page();
        if std::env::var_os("DRCTL_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/resource-kinds.md is old: DRCTL_BLESS=1 cargo test --lib kinds_page");
    }
}
