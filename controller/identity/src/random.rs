//! The one source of randomness for secrets: the operating system, through aws-lc.

const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Fills `bytes` with random ones.
pub(crate) fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes)
        .expect("the operating system's random source does not fail once it is seeded");
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// A text of `len` characters, each drawn evenly from `alphabet` (at most 256 characters).
pub(crate) fn text(alphabet: &[u8], len: usize) -> String {
    // Bytes at or above the largest multiple of the alphabet's length are thrown away: a plain remainder would favour
    // the first characters.
    let limit = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(len);
    let mut pool = [0_u8; 64];
    while text.len() < len {
        fill(&mut pool);
        let drawn = pool.iter().map(|&byte| usize::from(byte)).filter(|&byte| byte < limit);
        text.extend(drawn.map(|byte| char::from(alphabet[byte % alphabet.len()])).take(len - text.len()));
    }
    text
}

/// A text of `len` letters and digits: 5.95 bits each.
pub(crate) fn alphanumeric(len: usize) -> String {
    text(ALPHANUMERIC, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_have_the_length_and_the_alphabet() {
        for len in [0, 1, 43, 300] {
            let text = alphanumeric(len);
            assert_eq!(text.len(), len);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        let every: HashSet<u8> = alphanumeric(20_000).bytes().collect();
        assert_eq!(every.len(), 62);
        assert_ne!(bytes::<32>(), bytes::<32>());
    }
}
