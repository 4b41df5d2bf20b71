//! A daemon whose configuration is wrong, or does not take effect, goes on with the one that worked.

use anyhow::Result;
use muster_lab::{Lab, wait_for};

use crate::BOUND;
use crate::scene::{NODE, Scene};

/// What is installed in the hosts of these tests and others, once per machine.
pub(crate) const STACK: &str = "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; \
    apt-get -qq install --yes --no-install-recommends nginx-light nodejs ufw openssl > /dev/null; \
    rm -f /etc/nginx/sites-enabled/default";

fn sections(server: &str) -> String {
    format!(
        "packages: {{nginx-light: {{}}}}
files:
  site: {{path: /etc/nginx/conf.d/site.conf, content: \"{server}\\n\"}}
  beside: {{path: /etc/beside, content: \"{server}\\n\"}}
services:
  nginx: {{reload_on: [\"file:/etc/nginx/conf.d/site.conf\"]}}
"
    )
}

fn serving(text: &str) -> String {
    sections(&format!("server {{ listen 8080; location / {{ return 200 '{text}'; }} }}"))
}

/// A reload is over before its new processes answer.
fn serves(scene: &Scene, text: &str) -> Result<()> {
    wait_for(&format!("{text:?} from nginx"), BOUND, || {
        let answer = scene.host.run(["curl", "--silent", "--fail", "http://127.0.0.1:8080/"])?;
        Ok((answer == text).then_some(()))
    })
}

pub(crate) fn scene() -> Result<Scene> {
    let image = Lab::new()?.prepared(STACK)?;
    Scene::set_on(|host| host.image(&image))
}

#[test]
fn nginx_goes_on_with_what_worked_when_a_change_is_invalid_or_does_not_take_effect() -> Result<()> {
    let scene = scene()?;
    scene.converge(&serving("one"))?;
    serves(&scene, "one")?;
    // Refused by nginx itself, before it takes the place of the old.
    scene.apply(&sections("server { listen 8080; nonsense; }"))?;
    scene.fails("file:/etc/nginx/conf.d/site.conf", "nonsense")?;
    scene.succeeds("file:/etc/beside")?;
    scene.host.run(["nginx", "-t", "-q"])?;
    serves(&scene, "one")?;
    scene.host.run(["systemctl", "restart", "nginx"])?;
    serves(&scene, "one")?;
    // Valid, and the reload fails: the former one is back.
    scene.converge(&serving("two"))?;
    serves(&scene, "two")?;
    scene.host.write_file(
        "/etc/systemd/system/nginx.service.d/broken.conf",
        b"[Service]\nExecReload=\nExecReload=/bin/false\n",
    )?;
    scene.host.run(["systemctl", "daemon-reload"])?;
    scene.apply(&serving("three"))?;
    let failed = |resource: &serde_json::Value| resource["status"] == "failed";
    scene.fleet.until(NODE, "service:nginx.service", failed)?;
    assert!(scene.host.read_file("/etc/nginx/conf.d/site.conf")?.contains("two"));
    serves(&scene, "two")?;
    scene.host.sh("rm /etc/systemd/system/nginx.service.d/broken.conf; systemctl daemon-reload")?;
    scene.mend(&serving("four"))?;
    serves(&scene, "four")?;
    Ok(())
}
