//! The data catalogue: every field of the contracts with its class, sensitivity and purpose.

use std::io::Write;

use anyhow::Context;
use cwpp_contracts::common::v1::{DataClass, Purpose, Sensitivity};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Serialize;

/// One field of the contracts.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    /// The full name of the field.
    pub(crate) field: String,
    /// The part of the agreement that it belongs to.
    pub(crate) data_class: &'static str,
    /// Who may see it.
    pub(crate) sensitivity: &'static str,
    /// What it may be used for.
    pub(crate) purpose: &'static str,
    /// What it means.
    pub(crate) meaning: String,
}

/// Reads the catalogue from the descriptor set that this build serves.
pub(crate) fn entries() -> anyhow::Result<Vec<Entry>> {
    let pool = DescriptorPool::decode(cwpp_contracts::FILE_DESCRIPTOR_SET)?;
    let privacy = pool.get_extension_by_name("cwpp.common.v1.privacy").context("the privacy option")?;
    let mut entries = Vec::new();
    for message in pool.all_messages().filter(|m| m.package_name().starts_with("cwpp.")) {
        for field in message.fields() {
            let options = field.options();
            let label = options.get_extension(&privacy);
            let label = label.as_message().with_context(|| field.full_name().to_owned())?;
            entries.push(Entry {
                field: field.full_name().to_owned(),
                data_class: DataClass::try_from(number(label, "data_class"))?.as_str_name(),
                sensitivity: Sensitivity::try_from(number(label, "sensitivity"))?.as_str_name(),
                purpose: Purpose::try_from(number(label, "purpose"))?.as_str_name(),
                meaning: meaning(&field),
            });
        }
    }
    Ok(entries)
}

fn number(label: &DynamicMessage, name: &str) -> i32 {
    label.get_field_by_name(name).and_then(|v| v.as_enum_number()).unwrap_or_default()
}

/// Returns the first sentence of a field's comment.
fn meaning(field: &prost_reflect::FieldDescriptor) -> String {
    let file = field.parent_file();
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let comment = info
        .and_then(|info| info.location.iter().find(|l| l.path == field.path()))
        .and_then(|l| l.leading_comments.clone())
        .unwrap_or_default();
    let line = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    line.split_inclusive(['.', ';']).next().unwrap_or_default().trim_end_matches([';', '.']).to_owned()
}

/// Prints the catalogue as Markdown, or as one JSON object.
pub(crate) fn print(json: bool, mut out: impl Write) -> anyhow::Result<()> {
    let entries = entries()?;
    if json {
        serde_json::to_writer_pretty(&mut out, &serde_json::json!({ "fields": entries }))?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "| field | data class | sensitivity | purpose | meaning |\n|---|---|---|---|---|")?;
    for e in entries {
        let short = |text: &str| text.rsplit_once('_').map_or(text, |(_, tail)| tail).to_owned();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            e.field,
            short(e.data_class),
            short(e.sensitivity),
            short(e.purpose),
            e.meaning.replace('|', "\\|")
        )?;
    }
    Ok(())
}
