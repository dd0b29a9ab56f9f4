//! The report as JSON: one line, so that several reports make a stream of lines.

use std::io::{self, Write};

use crate::report::Report;

/// Writes the report and a newline.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")
}

/// The JSON schema of what [`write()`] writes (docs/report.schema.json).
pub fn schema() -> String {
    let schema = schemars::generate::SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Report>();
    // A schema is JSON: this can't fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::deadlock;

    #[test]
    fn the_published_schema_is_this_one() {
        // Check that docs/report.schema.json is what the types say; LEAKPROBE_UPDATE=1 rewrites it.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.schema.json");
        if std::env::var_os("LEAKPROBE_UPDATE").is_some() {
            std::fs::write(path, schema()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert!(
            published == schema(),
            "docs/report.schema.json is out of date; run: LEAKPROBE_UPDATE=1 cargo test -p \
             leakprobe schema"
        );
    }

    #[test]
    fn every_field_is_documented() {
        // Check that docs/output-schema.md names every field, and the schema describes it.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/output-schema.md");
        let page = std::fs::read_to_string(path).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
        let types = schema["$defs"].as_object().unwrap().values().chain([&schema]);
        let mut fields = 0;
        for (name, field) in types.filter_map(|t| t["properties"].as_object()).flatten() {
            fields += 1;
            assert!(page.contains(&format!("`{name}`")), "{name} is not in output-schema.md");
            assert!(field["description"].is_string(), "{name} has no description");
        }
        assert!(fields > 50, "{fields}");
    }

    #[test]
    fn a_report_comes_back() {
        // Check that a report is one line, names its schema first and is read back as it was.
        let report = deadlock().report();
        let mut bytes = Vec::new();
        write(&report, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("{\"schema\":\"leakprobe.report/1\","));
        assert_eq!(text.lines().count(), 1);
        let read: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), serde_json::to_value(&report).unwrap());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let site = &value["sites"][0];
        assert_eq!((&site["verdict"], &site["grade"]), (&"leaked".into(), &"contract".into()));
        assert!(site["created_by"].is_null() && value["processes"][0]["goroutines"].is_null());
    }
}
