use super::*;

/// What pm2 7.0.3 itself made of these, by `tests/golden/verify-confs.cjs`.
const GOLDEN: &str = include_str!("../../tests/golden/verify-confs.json");

#[test]
fn every_value_is_taken_or_refused_as_pm2_does() {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert!(cases.len() > 150);
    for case in cases {
        let checked = validate("app", case["input"].as_object().unwrap());
        let Some(expected) = case["config"].as_object() else {
            assert!(
                !checked.problems.is_empty(),
                "pm2 refuses {}: {}; we made {:?}",
                case["input"],
                case["error"],
                checked.fields
            );
            continue;
        };
        assert_eq!(checked.problems, [], "pm2 takes {}", case["input"]);
        let mut ours = checked.fields;
        for (name, value) in checked.environments {
            ours.insert(format!("env_{name}"), value);
        }
        ours.entry("env").or_insert_with(|| json!({}));
        let mut expected = expected.clone();
        // pm2 goes on with NaN; we take it as not given. Text as a section becomes characters; we refuse to.
        expected.retain(|key, value| value != "NaN" && !(key.starts_with("env_") && value.is_string()));
        assert_eq!(Value::Object(ours), Value::Object(expected), "{}", case["input"]);
    }
}

fn warnings(written: Value) -> Vec<String> {
    validate("api", written.as_object().unwrap()).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_keys_are_named_with_what_was_probably_meant() {
    let found = warnings(json!({
        "script": "a.js", "max_memory_restarts": "1G", "instance": 2, "restartDelay": 5, "waitready": true, "zzz": 1
    }));
    assert_eq!(
        found,
        [
            "api: `instance`: pm2 knows no such key and drops it; did you mean `instances`?",
            "api: `max_memory_restarts`: pm2 knows no such key and drops it; did you mean `max_memory_restart`?",
            "api: `waitready`: pm2 knows no such key and drops it; did you mean `waitReady`?",
            "api: `zzz`: pm2 knows no such key and drops it",
        ]
    );
}

#[test]
fn what_pm2_silently_changes_is_said() {
    let found = warnings(json!({"script": "a.js", "max_restarts": 0, "instances": "four"}));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("max, one per processor"), "{found:?}");
    assert!(found[1].contains("works with 16"), "{found:?}");
}

#[test]
fn a_bad_value_says_what_is_valid_and_every_one_is_found() {
    let checked = validate(
        "api",
        json!({"script": "a.js", "max_memory_restart": "300MB", "kill_timeout": "5s", "env": [1], "cron_restart": "x"})
            .as_object()
            .unwrap(),
    );
    let found: Vec<_> = checked.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 4, "{found:#?}");
    assert_eq!(found[0], "api: env: it is a list; valid: a map or text");
    assert!(
        found[1].contains("`300MB` does not fit; valid: bytes, or a whole number with K, M or G"),
        "{found:#?}"
    );
    assert!(found[2].contains("kill_timeout: `5s` is text; valid: a number"), "{found:#?}");
    assert!(found[3].contains("no cron pattern"), "{found:#?}");
}

proptest::proptest! {
    #[test]
    fn whatever_a_field_holds_nothing_panics(key in proptest::sample::select(FIELDS.iter().map(|f| f.name).collect::<Vec<_>>()), text in ".{0,40}") {
        for value in [json!(text), json!([text]), json!({ &text: 1 }), json!(1e300), json!(-0.0)] {
            let mut written = Map::new();
            written.insert(key.to_owned(), value);
            validate("a", &written);
        }
    }
}
