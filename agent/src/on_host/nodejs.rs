use super::{Throwaway, sh};
use crate::resources::nodejs::install;
use muster_domain::resource::Nodejs;

/// A fresh host has neither Node.js nor npm. `MUSTER_TEST_NPM_REGISTRY` is what npm's settings on it name.
#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_fresh_host_gets_a_pinned_nodejs_without_npm() {
    let on = Throwaway::get();
    let Some(registry) = std::env::var("MUSTER_TEST_NPM_REGISTRY").ok() else {
        // Without one it is the distribution itself, which a lab may not reach: then it is named.
        let wanted = Nodejs { range: "20.20.2".into(), mirror: Some("https://127.0.0.1:9/dist".into()) };
        let reason = install(&on.host, &on.state, &wanted).unwrap_err();
        assert!(reason.contains("https://127.0.0.1:9/dist/index.json"), "{reason}");
        return;
    };
    assert_eq!(sh("command -v npm node || true"), "");
    std::fs::write("/etc/npmrc", format!("registry={registry}\n")).unwrap();
    let wanted = |range: &str| Nodejs { range: range.into(), mirror: None };
    assert_eq!(install(&on.host, &on.state, &wanted("20.19.4")), Ok("20.19.4".into()));
    // Another one beside it.
    let newer = install(&on.host, &on.state, &wanted("22")).unwrap();
    let folder = on.state.nodejs();
    let node = |version: &str| sh(&format!("{}/{version}/bin/node --version", folder.display()));
    assert_eq!((node("20.19.4"), node(&newer)), ("v20.19.4".into(), format!("v{newer}")));
    assert!(install(&on.host, &on.state, &wanted("99")).unwrap_err().contains("no published version"));
    std::fs::remove_file("/etc/npmrc").unwrap();
}
