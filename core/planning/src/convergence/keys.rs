//! Lines of `authorized_keys`: which key one is about, and what the file of a user should hold.

use super::blocks;

/// The name of our block in the file.
const BLOCK: &str = "keys";

/// The algorithm and the key itself, without what is said about it. `None` when the line holds no key.
fn identity(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    // At most two words: the options, which may hold quoted spaces, come before the algorithm.
    for _ in 0..2 {
        let (word, after) = split_word(rest);
        if algorithm(word) {
            let (key, _) = split_word(after.trim_start());
            let plain = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
            return (key.len() >= 16 && key.chars().all(plain)).then_some((word, key));
        }
        rest = after.trim_start();
    }
    None
}

fn algorithm(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|prefix| word.starts_with(prefix))
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "-@.".contains(c))
}

/// Up to the first white space outside quotes.
fn split_word(text: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return text.split_at(at),
            _ => {}
        }
    }
    (text, "")
}

/// What is wrong with a declared line.
pub(super) fn fault(line: &str) -> Option<String> {
    if identity(line).is_some() {
        return None;
    }
    let shown: String = line.chars().take(40).collect();
    Some(format!("{shown:?} is no line of authorized_keys; it should read `ssh-ed25519 AAAA... comment`"))
}

/// The file that these keys should make of a file. A declared key that stands outside our block is moved into it: it
/// counts once, as declared, and goes when it is no longer declared. Other lines stay, unless the list is `exclusive`.
pub(super) fn merged(text: &str, keys: &[String], exclusive: bool) -> String {
    let lines: Vec<String> = keys.iter().map(|key| key.trim().to_owned()).collect();
    if exclusive {
        return blocks::with_block("", BLOCK, &lines);
    }
    let declared: Vec<_> = lines.iter().filter_map(|line| identity(line)).collect();
    let declared_elsewhere = |line: &str| identity(line).is_some_and(|key| declared.contains(&key));
    let others: Vec<&str> = blocks::outside(text, BLOCK).filter(|line| !declared_elsewhere(line)).collect();
    let others = if others.is_empty() { String::new() } else { others.join("\n") + "\n" };
    blocks::with_block(&others, BLOCK, &lines)
}

/// Whether a text could be a file of keys: each line holds one, or says nothing.
pub fn only_keys(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || identity(line).is_some())
}

/// The file without the keys that were put there.
pub fn without_managed_keys(text: &str) -> String {
    blocks::with_block(text, BLOCK, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA amara@laptop";
    const B: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHA= bo";

    #[test]
    fn a_key_is_known_by_itself_not_by_what_is_said_about_it() {
        let bare = identity(A).unwrap();
        let tied = format!("from=\"10.0.0.0/8\",command=\"echo \\\"a b\\\"\" {A}");
        assert_eq!(identity(&tied), Some(bare));
        for none in
            ["", "# ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", "ssh-ed25519", "hello world", "ssh-x short"]
        {
            assert_eq!(identity(none), None, "{none:?}");
        }
        assert!(fault("ssh-ed25519 what?").unwrap().contains("ssh-ed25519 AAAA..."));
        assert_eq!(fault(B), None);
    }

    #[test]
    fn other_keys_stay_unless_the_list_is_exclusive_and_ours_go_when_they_are_not_declared() {
        let keys = vec![A.to_owned()];
        let once = merged(&format!("{B}\n"), &keys, false);
        assert_eq!(once, format!("{B}\n# muster: begin keys\n{A}\n# muster: end keys\n"));
        assert_eq!(merged(&once, &[], false), format!("{B}\n"));
        assert_eq!(without_managed_keys(&once), format!("{B}\n"));
        assert_eq!(merged(&once, &keys, true), format!("# muster: begin keys\n{A}\n# muster: end keys\n"));
        assert_eq!(merged(&once, &[], true), "");
    }

    #[test]
    fn a_declared_key_that_somebody_added_by_hand_becomes_ours() {
        let by_hand = format!("no-pty {A}\n");
        let taken = merged(&by_hand, &[A.to_owned()], false);
        assert_eq!(taken, format!("# muster: begin keys\n{A}\n# muster: end keys\n"));
        assert_eq!(merged(&taken, &[], false), "");
    }

    proptest! {
        #[test]
        fn merging_is_idempotent(
            text in prop::collection::vec(prop_oneof![Just(A), Just(B), Just("# note"), Just(""),
                Just("# muster: begin keys"), Just("# muster: end keys")], 0..8),
            keys in prop::sample::subsequence(vec![A.to_owned(), B.to_owned()], 0..=2),
            exclusive in any::<bool>(),
        ) {
            let once = merged(&text.join("\n"), &keys, exclusive);
            prop_assert_eq!(&merged(&once, &keys, exclusive), &once);
            for key in &keys {
                prop_assert_eq!(once.lines().filter(|line| line == key).count(), 1);
            }
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in ".{0,60}") {
            fault(&line);
        }
    }
}
