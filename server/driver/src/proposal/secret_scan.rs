//! Changes that add what looks like a secret.

use claudecluster_core::secrets::added_secret;
use claudecluster_protocol::{ErrorBody, change::HeldReason, event::ProposedFile};

use crate::workspace::{content_store::ContentStore, content_text::ContentText as _};

/// Holds an entry whose proposed text has a secret that its base has not.
pub(crate) fn hold_secrets(
    contents: &ContentStore,
    entry: &mut ProposedFile,
) -> Result<(), ErrorBody> {
    let Some(proposed) = contents.load_optional(entry.proposed.as_ref())? else {
        return Ok(());
    };
    let base = contents.load_optional(entry.base.as_ref())?;
    let base = base.as_ref().and_then(|content| content.as_text());
    let added = proposed
        .as_text()
        .is_some_and(|text| added_secret(base, text).is_some());
    if added && !entry.held.contains(&HeldReason::Secret) {
        entry.held.push(HeldReason::Secret);
    }
    Ok(())
}
