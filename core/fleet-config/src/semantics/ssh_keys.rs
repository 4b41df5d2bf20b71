//! SSH keys as they stand in `authorized_keys`: a key that was cut while it was copied would lock its owner out.

use super::Checker;
use crate::words::quoted;
use base64::{Engine, engine::general_purpose::STANDARD};

/// What servers take as they come. DSA keys are not among them: whoever has no other could not sign in.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

const HINT: &str = "copy the whole line of the .pub file: ssh-ed25519 AAAA... name";

/// Checks a list of keys.
pub(super) fn check(checker: &mut Checker<'_>, keys: &[String], at: &[&str]) {
    for (index, key) in keys.iter().enumerate() {
        let index_text = index.to_string();
        let at: Vec<&str> = at.iter().copied().chain([index_text.as_str()]).collect();
        if key.contains("PRIVATE KEY") {
            // It is not repeated, and whoever reads this has to change it.
            checker.value(
                &at,
                "this is a private key, which nobody but its owner may have",
                "make a new pair, and write the line of its .pub file here",
            );
        } else if let Some(why) = fault(key) {
            checker.value(&at, format!("{} is not an SSH key: {why}", quoted(key)), HINT);
        } else if keys[..index].contains(key) {
            checker.value(&at, "this key is listed twice", "list it once");
        }
    }
}

/// Whether somebody could sign in with the key in a line.
pub(crate) fn usable_key(line: &str) -> bool {
    fault(line).is_none()
}

/// What is wrong with a line, when something is.
fn fault(line: &str) -> Option<&'static str> {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Some("it has several lines");
    }
    if line.trim_start().starts_with('#') {
        return Some("it is a comment, which opens nothing");
    }
    let words = words(line);
    let known = |word: &&str| {
        ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"].iter().any(|start| word.starts_with(start))
    };
    // Options may stand before the kind.
    let Some(at) = words.iter().take(2).position(known) else {
        return Some("it does not begin with a kind such as ssh-ed25519");
    };
    let Some(blob) = words.get(at + 1) else { return Some("there is nothing behind its kind") };
    let Ok(bytes) = STANDARD.decode(blob) else {
        return Some("what stands behind its kind is damaged or cut off");
    };
    match fields(&bytes) {
        Some(fields) if fields.len() < 2 => Some("it is cut off"),
        Some(fields) if fields[0] != words[at].as_bytes() => Some("its kind is not the one that it says"),
        Some(_) if !KINDS.contains(&words[at]) => Some("servers take no keys of its kind"),
        Some(_) => None,
        None => Some("it is cut off"),
    }
}

/// Words between blanks outside of quotes.
fn words(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let blank = |c: char| {
        if c == '"' {
            quoted = !quoted;
        }
        !quoted && (c == ' ' || c == '\t')
    };
    line.split(blank).filter(|word| !word.is_empty()).collect()
}

/// A key is a row of fields, each with its length before it.
fn fields(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fields.push(field);
        bytes = rest;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[test]
    fn whole_keys_pass_and_damaged_ones_do_not() {
        for good in [
            format!("ssh-ed25519 {GOOD}"),
            format!("ssh-ed25519 {GOOD} amara@laptop"),
            format!("from=\"10.0.0.0/8, fd00::/8\",no-pty ssh-ed25519 {GOOD} amara"),
        ] {
            assert_eq!(fault(&good), None, "{good}");
        }
        for bad in [
            String::new(),
            "ssh-ed25519".to_owned(),
            "ssh-ed25519 AAAA... amara".to_owned(),
            format!("ssh-ed25519 {}", &GOOD[..40]),
            format!("ssh-rsa {GOOD}"),
            format!("{GOOD} amara"),
            format!("ssh-ed25519 {GOOD}\nssh-ed25519 {GOOD}"),
            format!("# ssh-ed25519 {GOOD}"),
            // Whole, and of a kind that no server takes.
            "ssh-dss AAAAB3NzaC1kc3MAAAABAQAAAAEBAAAAAQEAAAABAQ==".to_owned(),
        ] {
            assert!(fault(&bad).is_some(), "{bad}");
        }
    }
}
