//! For which processor a program was built: the first bytes of its file say so.

use super::Architecture;

/// As much as has to be read.
pub(super) const HEAD_BYTES: usize = 20;

/// The architecture; `None` for whatever is not a program for 64-bit Linux on one that is known.
pub(super) fn architecture(head: &[u8]) -> Option<Architecture> {
    let elf = head.get(..4)? == b"\x7fELF";
    // 64 bits, little endian.
    let form = head.get(4..6)? == [2, 1];
    let machine = u16::from_le_bytes(head.get(18..20)?.try_into().ok()?);
    match (elf && form, machine) {
        (true, 62) => Some(Architecture::X86_64),
        (true, 183) => Some(Architecture::Aarch64),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Enough of a program for what looks at the beginning only.
    pub(in crate::install) fn head(machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(18, 0);
        head.extend(machine.to_le_bytes());
        head
    }

    #[test]
    fn programs_tell_their_architecture_and_nothing_else_does() {
        assert_eq!(architecture(&head(62)), Some(Architecture::X86_64));
        assert_eq!(architecture(&head(183)), Some(Architecture::Aarch64));
        assert_eq!(architecture(&head(40)), None);
        let mut narrow = head(62);
        narrow[4] = 1;
        for other in [&b""[..], b"\x7fELF", b"#!/bin/sh\necho this is not a program\n", &narrow] {
            assert_eq!(architecture(other), None);
        }
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(architecture(&own).is_some());
    }
}
