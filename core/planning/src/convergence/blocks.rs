//! Marked blocks in files that others write to as well: what stands between the marks is ours, every other line stays.

/// The line that opens the block of this name.
fn begin(name: &str) -> String {
    format!("# muster: begin {name}")
}

/// The line that closes it.
fn end(name: &str) -> String {
    format!("# muster: end {name}")
}

/// A file, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    before: Vec<&'a str>,
    /// Whether a block was there.
    found: bool,
    after: Vec<&'a str>,
}

/// Takes a file apart at its block. A mark without its counterpart is dropped, and the lines behind it stay: somebody else
/// may have written them. So is every further block of the same name.
fn parts<'a>(text: &'a str, name: &str) -> Parts<'a> {
    let (begin, end) = (begin(name), end(name));
    let lines: Vec<&str> = text.lines().collect();
    let mut parts = Parts { before: Vec::new(), found: false, after: Vec::new() };
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if line.trim_end() == begin {
            let rest = &lines[at..];
            let length = rest.iter().position(|line| line.trim_end() == end);
            let nested = rest.iter().position(|line| line.trim_end() == begin);
            if let Some(length) = length
                && nested.is_none_or(|nested| nested > length)
            {
                at += length + 1;
                parts.found = true;
            }
        } else if line.trim_end() != end {
            if parts.found { parts.after.push(line) } else { parts.before.push(line) }
        }
    }
    parts
}

/// The text with a block of these lines: in the place of the former one, else at the end. No lines, no block.
pub(super) fn with_block(text: &str, name: &str, body: &[String]) -> String {
    let Parts { before, found: _, after } = parts(text, name);
    let (begin, end) = (begin(name), end(name));
    let mut lines = before;
    if !body.is_empty() {
        lines.push(&begin);
        lines.extend(body.iter().map(String::as_str));
        lines.push(&end);
    }
    lines.extend(after);
    if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
}

/// The lines that are not in the block of this name.
pub(super) fn outside<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let Parts { before, found: _, after } = parts(text, name);
    before.into_iter().chain(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_block_is_put_at_the_end_replaced_in_its_place_and_taken_away() {
        let text = "127.0.0.1 localhost\n# mine";
        let one = with_block(text, "hosts", &body(&["10.0.0.1 db"]));
        assert_eq!(
            one,
            "127.0.0.1 localhost\n# mine\n# muster: begin hosts\n10.0.0.1 db\n# muster: end hosts\n"
        );
        let two = with_block(&(one + "::1 six\n"), "hosts", &body(&["10.0.0.2 db"]));
        assert_eq!(
            two,
            "127.0.0.1 localhost\n# mine\n# muster: begin hosts\n10.0.0.2 db\n# muster: end hosts\n::1 six\n"
        );
        assert_eq!(with_block(&two, "hosts", &[]), "127.0.0.1 localhost\n# mine\n::1 six\n");
    }

    #[test]
    fn a_mark_without_its_counterpart_costs_nobody_a_line() {
        let open = "# muster: begin k\nkept\n";
        assert_eq!(with_block(open, "k", &body(&["x"])), "kept\n# muster: begin k\nx\n# muster: end k\n");
        let doubled = "# muster: begin k\nkept\n# muster: begin k\nours\n# muster: end k\n";
        assert_eq!(with_block(doubled, "k", &body(&["x"])), "kept\n# muster: begin k\nx\n# muster: end k\n");
        assert_eq!(with_block("# muster: end k\nkept", "k", &[]), "kept\n");
    }

    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            3 => "[a-c]{0,2}",
            1 => Just("# muster: begin k".to_owned()),
            1 => Just("# muster: end k".to_owned()),
            1 => Just("# muster: begin other".to_owned()),
        ];
        (prop::collection::vec(line, 0..10), any::<bool>())
            .prop_map(|(lines, ended)| lines.join("\n") + if ended { "\n" } else { "" })
    }

    proptest! {
        #[test]
        fn once_put_it_stays_as_it_is_and_nothing_else_changes(
            text in text(), lines in prop::collection::vec("[x-z]{1,2}", 0..3),
        ) {
            let once = with_block(&text, "k", &lines);
            prop_assert_eq!(&once, &with_block(&once, "k", &lines));
            let others: Vec<&str> = outside(&text, "k").collect();
            prop_assert_eq!(&others, &outside(&once, "k").collect::<Vec<_>>());
            let gone = with_block(&once, "k", &[]);
            prop_assert_eq!(others, gone.lines().collect::<Vec<_>>());
        }
    }
}
