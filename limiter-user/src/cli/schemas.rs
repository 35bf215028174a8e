//! JSON Schemas of what verbs print with `--output json`; docs/schemas has them as files.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use super::{check, prefixes};
use crate::control::Reloaded;
use crate::events::Event;
use crate::hosts::Host;
use crate::open::Source;
use crate::rules::Rules;
use crate::status::Status;
use crate::translate::Translation;
use crate::unblock::Unblocked;
use crate::why::Why;

/// Each with the verb that prints it, words joined by `-`.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("allow-list", schema::<Vec<prefixes::Row>>()),
        ("check", schema::<check::Checked>()),
        ("deny-list", schema::<Vec<prefixes::Row>>()),
        ("events", schema::<Event>()),
        ("list-hosts", schema::<Vec<Host>>()),
        ("list-rules", schema::<Rules>()),
        ("list-sources", schema::<Vec<Source>>()),
        ("reload", schema::<Reloaded>()),
        ("status", schema::<Status>()),
        ("translate", schema::<Translation>()),
        ("unblock", schema::<Unblocked>()),
        ("why", schema::<Why>()),
    ]
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<T>()
}
