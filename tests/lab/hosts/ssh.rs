//! People are not locked out of a host by what they declare.

use anyhow::{Context as _, Result};
use muster_lab::Host;

use crate::scene::{Scene, declared};

/// The other parts of the base role are none of this.
const REST: &str = "firewall: false, updates: false, time_sync: false, journal: false, logrotate: false";
const REASON: &str = "nobody who administers this node could sign in";

fn base(parts: &str) -> String {
    format!("base: {{{REST}, {parts}}}\n")
}

fn signs_in(host: &Host, user: &str) -> Result<bool> {
    let said = host.ssh(user, "id -un")?;
    Ok(said.code == 0 && said.stdout.trim() == user)
}

/// What the server goes by.
fn in_force(host: &Host) -> Result<String> {
    host.sh("sshd -T | grep -E '^(permitrootlogin|passwordauthentication|allowusers|pubkeyauthentication)' | sort")
}

#[test]
fn a_declaration_that_would_lock_every_administrator_out_is_refused() -> Result<()> {
    let scene = Scene::set()?;
    let host = &scene.host;
    let before = in_force(host)?;
    let key = host.read_file("/root/.ssh/authorized_keys")?;
    let key = key.lines().next().context("the lab put its key there")?;
    let admins = format!("admins: {{amara: {{keys: [\"{key}\"]}}}}");
    // Root is the only one who could come in, and has a key; with none of these it would be of use.
    for parts in [
        "ssh: {permit_root_login: \"no\"}",
        "ssh: {settings: {AllowUsers: nobody-there}}",
        "ssh: {settings: {PubkeyAuthentication: \"no\"}}",
        "ssh: {settings: {AuthorizedKeysFile: none}}",
    ] {
        scene.attempt(&base(parts))?;
        scene.fails("sshd:node", REASON).with_context(|| parts.to_owned())?;
        assert_eq!(in_force(host)?, before, "{parts}");
        assert!(signs_in(host, "root")?, "{parts}");
    }
    // The plan says so as well, before anything is declared.
    let file = scene.fleet.write(&declared(&base("ssh: {permit_root_login: \"no\"}")))?;
    let plan = scene.fleet.cli().ok(&["plan", "--file", &file.to_string_lossy()])?.stdout;
    assert!(plan.contains(REASON), "{plan}");

    // With an administrator who can come in, root may be shut out; the keys come first.
    scene.converge(&base(&format!("{admins}, ssh: {{}}")))?;
    assert!(signs_in(host, "amara")? && !signs_in(host, "root")?);
    assert_eq!(host.ssh("amara", "sudo id -un")?.stdout.trim(), "root");
    // A list that leaves her out.
    scene.attempt(&base(&format!("{admins}, ssh: {{settings: {{AllowUsers: deploy}}}}")))?;
    scene.fails("sshd:node", REASON)?;
    assert!(signs_in(host, "amara")?);
    // Nobody is an administrator any more: root, who was shut out, may come in before her keys go.
    scene.converge(&base("ssh: {}"))?;
    assert!(signs_in(host, "root")? && !signs_in(host, "amara")?);
    // The same, with root kept out: then her keys are all that is left, and stay.
    scene.converge(&base(&format!("{admins}, ssh: {{}}")))?;
    scene.attempt(&base("ssh: {permit_root_login: \"no\"}"))?;
    scene.fails("authorized_key:amara", "only amara can")?;
    assert!(signs_in(host, "amara")?, "the last one who can come in can still come in");
    Ok(())
}
