//! `docs/run.schema.json`: made from the record's types, held against what is written. Tests alone;
//! the T1 and T3 tests hold what real runs wrote against the file.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::kselftest::{self, KselftestRecord};
use super::record::{self, CauseRecord, RunRecord};
use super::sealed;
use super::view::tests::{kselftest, syscall};
use crate::model::{Abi, Cause, KnownIssue, Symptom};
use crate::report::record::transports::OverTransports;

/// An object has the fields that are named, and no other: a field that is added to a type and not to
/// the schema is seen.
fn closed(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

/// The words of a doc comment, without its marks for the compiler.
fn described(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace(['\n'], " ").replace("[`", "`").replace("`]", "`");
    }
    transform_subschemas(&mut described, schema);
}

/// What [`sealed`] adds, and the version that a reader asks for first.
fn sealed_record<T: JsonSchema>(generator: &mut SchemaGenerator, version: u32) -> Value {
    let reference = generator.subschema_for::<T>();
    let name = T::schema_name();
    let record = generator.definitions_mut().get_mut(name.as_ref()).expect("it was just made");
    record["properties"]["schema"] = json!({"const": version, "description": "The version of this format."});
    record["properties"]["seal"] = json!({
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "BLAKE3 over the rest as compact JSON with sorted names: this is what the run wrote."
    });
    record["required"].as_array_mut().expect("it has fields").push("seal".into());
    reference.into()
}

fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let kinds = [
        sealed_record::<RunRecord>(&mut generator, record::SCHEMA),
        sealed_record::<KselftestRecord>(&mut generator, kselftest::SCHEMA),
    ];
    let mut schema: Schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of abimatrix",
        "description": "What a run of test-syscall or of test-selftest writes down.",
        "oneOf": kinds,
        "$defs": generator.take_definitions(true),
    })
    .try_into()
    .expect("an object is a schema");
    RecursiveTransform(closed).transform(&mut schema);
    described(&mut schema);
    schema.into()
}

#[track_caller]
fn assert_valid(record: &Value) {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n").chars().take(4000).collect::<String>());
}

fn written(record: &impl serde::Serialize) -> Value {
    serde_json::from_str(&sealed::text(record)).unwrap()
}

#[test]
fn the_file_is_what_follows_from_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/run.schema.json");
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(
        there == text,
        "docs/run.schema.json is not what the types say: \
         UPDATE_SCHEMA=1 cargo test -p harness --lib schema, and read the diff"
    );
}

/// Both kinds, with each field in use.
#[test]
fn what_is_written_is_valid() {
    assert_valid(&written(&kselftest()));
    let mut run = syscall();
    run.cells[0].known = vec![KnownIssue {
        symptom: Symptom::Splat("WARNING in f".to_owned()),
        syscall: None,
        leg: None,
        abi: Some(Abi::M64),
        reason: "r".to_owned(),
        link: "l".to_owned(),
        expires: "2026-12-31".parse().unwrap(),
    }];
    run.cells[0].also = vec![
        CauseRecord::from(&Cause::Reset),
        CauseRecord::from(&Cause::Hang { silent_ms: 1, at: None, fault: None }),
        CauseRecord::from(&Cause::NotWired {
            abi: Abi::M64,
            number: 463,
            door: Abi::M64.door(463),
            table: "t".to_owned(),
        }),
    ];
    run.cells[0].over(crate::model::Transport::Serial);
    assert_valid(&written(&run));
    let mut run = kselftest();
    run.cells[0].over(crate::model::Transport::Ssh);
    assert_valid(&written(&run));
}

#[test]
fn what_no_run_writes_is_not_valid() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let good = written(&syscall());
    assert!(validator.is_valid(&good));
    let changed = |pointer: &str, value: Value| {
        let mut record = good.clone();
        *record.pointer_mut(pointer).unwrap() = value;
        record
    };
    for bad in [
        changed("/schema", json!(2)),
        changed("/seal", json!("")),
        changed("/state", json!("done")),
        changed("/cells/0/verdict", json!("green")),
        changed("/cells/1/cause/detail/kind", json!("bad luck")),
        changed("/cells/0/cases/0", json!({"name": "a", "verdict": "pass", "message": null, "more": 1})),
        json!({}),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
    for name in ["seal", "cells", "notes"] {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(name);
        assert!(!validator.is_valid(&less), "without {name}");
    }
    let mut more = good.clone();
    more["extra"] = json!(1);
    assert!(!validator.is_valid(&more));
}
