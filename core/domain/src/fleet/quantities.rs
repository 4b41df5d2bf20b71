//! Durations, sizes and shares as people write them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A duration: a whole number of milliseconds, or text with a unit (`ms`, `s`, `m` for minutes, `h`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Duration {
    /// Milliseconds.
    Milliseconds(u32),
    /// Text such as `"30s"`.
    Text(#[schemars(regex(pattern = "^[0-9]{1,9}(ms|s|m|h)?$"))] String),
}

impl Duration {
    /// In milliseconds; `None` when the text is not a duration or does not fit 32 bits (49 days).
    pub fn as_ms(&self) -> Option<u32> {
        match self {
            Self::Milliseconds(ms) => Some(*ms),
            Self::Text(text) => {
                let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let factor = match &text[digits.len()..] {
                    "" | "ms" => 1,
                    "s" => 1_000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    _ => return None,
                };
                digits.parse::<u32>().ok()?.checked_mul(factor)
            }
        }
    }
}

/// A size: a whole number of bytes, or text with a unit (`K`, `M`, `G`: powers of 1024).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Size {
    /// Bytes.
    Bytes(#[schemars(range(min = 0, max = 9_007_199_254_740_992_u64))] u64),
    /// Text such as `"400M"`.
    Text(#[schemars(regex(pattern = "^[0-9]{1,15}[KMG]?$"))] String),
}

impl Size {
    /// In bytes; `None` when the text is not a size or is beyond everything (8 PiB).
    pub fn as_bytes(&self) -> Option<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => *bytes,
            Self::Text(text) => {
                let (digits, factor) = match text.as_bytes().last()? {
                    b'K' => (&text[..text.len() - 1], 1 << 10),
                    b'M' => (&text[..text.len() - 1], 1 << 20),
                    b'G' => (&text[..text.len() - 1], 1 << 30),
                    _ => (text.as_str(), 1),
                };
                digits.parse::<u64>().ok()?.checked_mul(factor)?
            }
        };
        (bytes <= 1 << 53).then_some(bytes)
    }
}

/// A share of processor time: `"50%"` is half a processor, `"200%"` are two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Share(#[schemars(regex(pattern = "^[1-9][0-9]{0,5}%$"))] pub String);

impl Share {
    /// 100 = one processor; `None` when the text is not a share.
    pub fn as_percent(&self) -> Option<u32> {
        self.0.strip_suffix('%')?.parse().ok().filter(|percent| *percent > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_units() {
        let cases = [
            ("250", Some(250)),
            ("250ms", Some(250)),
            ("3s", Some(3_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
        ];
        for (text, expected) in
            cases.into_iter().chain([("", None), ("s", None), ("1d", None), ("9999999h", None)])
        {
            assert_eq!(Duration::Text(text.into()).as_ms(), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_pm2s() {
        let cases = [
            ("512", Some(512)),
            ("4K", Some(4_096)),
            ("400M", Some(400 << 20)),
            ("2G", Some(2 << 30)),
            ("", None),
            ("M", None),
            ("1.5G", None),
            ("400m", None),
            ("999999999999999G", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Size::Text(text.into()).as_bytes(), expected, "{text:?}");
        }
        assert_eq!(Size::Bytes(u64::MAX).as_bytes(), None);
    }

    #[test]
    fn shares_need_their_percent_sign() {
        for (text, expected) in
            [("50%", Some(50)), ("250%", Some(250)), ("0%", None), ("2", None), ("%", None)]
        {
            assert_eq!(Share(text.into()).as_percent(), expected, "{text:?}");
        }
    }
}
