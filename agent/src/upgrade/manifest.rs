//! The list of programs, as the controller writes it: for shells and for us.

/// Far beyond the largest program there is.
const MAX_PROGRAM_BYTES: u64 = 1024 * 1024 * 1024;

/// A program that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As `uname -m` says it.
    pub architecture: String,
    /// What it is called.
    pub program: String,
    /// Its length.
    pub bytes: u64,
    /// Of its content, in hexadecimal.
    pub sha256: String,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The version of the controller that hands them out.
    pub version: String,
    entries: Vec<Entry>,
}

/// A text that is no such list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the controller's list of programs is not understood ({0}); are both of about the same version?")]
pub struct InvalidManifest(String);

impl Manifest {
    /// Reads it. Lines that begin with a word that is not known are for later versions of us.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidManifest> {
        let invalid = |reason: &str| InvalidManifest(reason.to_owned());
        let text = std::str::from_utf8(text).map_err(|_| invalid("it is not text"))?;
        let mut lines = text.lines();
        if lines.next() != Some("muster-programs 1") {
            return Err(invalid("it is of another kind"));
        }
        if lines.next_back() != Some("end") {
            return Err(invalid("its end is missing"));
        }
        let mut version = None;
        let mut entries = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["version", given] => version = Some((*given).to_owned()),
                ["program", architecture, program, bytes, sha256] => {
                    entries.push(
                        entry(architecture, program, bytes, sha256)
                            .ok_or_else(|| InvalidManifest(format!("line {line:?}")))?,
                    );
                }
                ["program", ..] => return Err(InvalidManifest(format!("line {line:?}"))),
                _ => {}
            }
        }
        Ok(Self { version: version.ok_or_else(|| invalid("it has no version"))?, entries })
    }

    /// One program.
    pub fn entry(&self, architecture: &str, program: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.architecture == architecture && entry.program == program)
    }
}

fn entry(architecture: &str, program: &str, bytes: &str, sha256: &str) -> Option<Entry> {
    // They become parts of paths.
    let plain = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let bytes = bytes.parse().ok().filter(|bytes| *bytes <= MAX_PROGRAM_BYTES)?;
    let digest = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (plain(architecture) && plain(program) && digest).then(|| Entry {
        architecture: architecture.to_owned(),
        program: program.to_owned(),
        bytes,
        sha256: sha256.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_what_is_cut_or_odd_is_refused() {
        let digest = "ab".repeat(32);
        let line = format!("program x86_64 muster-agent 12 {digest}");
        let good = format!("muster-programs 1\nversion 0.1.0\n{line}\nlater words\nend\n");
        let manifest = Manifest::parse(good.as_bytes()).unwrap();
        assert_eq!(manifest.version, "0.1.0");
        let entry = manifest.entry("x86_64", "muster-agent").unwrap();
        assert_eq!((entry.bytes, &entry.sha256), (12, &digest));
        assert!(manifest.entry("aarch64", "muster-agent").is_none());
        for bad in [
            String::new(),
            good.replace("muster-programs 1", "muster-programs 2"),
            good.replace("end\n", ""),
            good.replace("version 0.1.0\n", ""),
            good.replace("muster-agent", "../muster-agent"),
            good.replace(" 12 ", " 99999999999 "),
            good.replace(&digest, "AB"),
            good.replace(" 12", ""),
        ] {
            assert!(Manifest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Manifest::parse(b"\xff").is_err());
    }
}
