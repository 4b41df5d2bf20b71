//! The few questions that are asked of systemd at each look, on the socket that `systemctl` itself uses as root: one
//! connection, all questions at once, a millisecond or two. The tool would take ten times as long, because it has to be
//! started and asks for every property of every unit.
//!
//! This is no D-Bus library. It writes two kinds of calls and reads their answers; at anything else that it meets it gives
//! up, and the tool is asked.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const SOCKET: &str = "/run/systemd/private";
const MANAGER: &str = "/org/freedesktop/systemd1";
const TIMEOUT: Duration = Duration::from_secs(5);
/// Answers are some hundred bytes for each unit.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// What tells that a unit is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glance {
    pub(super) load: String,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) file: String,
    pub(super) needs_reload: bool,
}

/// Looks at these units, in this order; `None` when it could not be done this way.
pub(super) fn glance(names: &[String]) -> Option<Vec<Glance>> {
    let mut stream = UnixStream::connect(SOCKET).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    authenticate(&mut stream)?;
    let mut calls =
        call(1, MANAGER, "org.freedesktop.systemd1.Manager", "ListUnitsByNames", &Body::list(names));
    let mut serial = 1;
    for name in names {
        let path = format!("{MANAGER}/unit/{}", escaped(name));
        for property in ["UnitFileState", "NeedDaemonReload"] {
            serial += 1;
            let body = Body::pair("org.freedesktop.systemd1.Unit", property);
            calls.extend(call(serial, &path, "org.freedesktop.DBus.Properties", "Get", &body));
        }
    }
    // Written from beside: with many units the answers fill the socket before all questions are in it.
    let mut writer = stream.try_clone().ok()?;
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&calls));
        answers(&mut stream, serial)
    })?;
    let listed = units(answers.get(&1)?)?;
    if listed.len() != names.len() {
        return None;
    }
    let mut serial = 1;
    let mut property = || {
        serial += 1;
        variant(answers.get(&serial)?)
    };
    let glances = listed.into_iter().map(|[load, active, sub]| {
        let (Value::Text(file), Value::Flag(needs_reload)) = (property()?, property()?) else { return None };
        Some(Glance { load, active, sub, file, needs_reload })
    });
    glances.collect()
}

fn authenticate(stream: &mut UnixStream) -> Option<()> {
    // The number of root in hexadecimal digits of its digits.
    let uid: String =
        rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes()).ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
        if line.len() > 512 {
            return None;
        }
    }
    line.starts_with(b"OK ").then_some(())
}

/// A unit's name as a part of an object's path.
fn escaped(name: &str) -> String {
    let plain = |(at, byte): (usize, u8)| match byte {
        b'0'..=b'9' if at > 0 => char::from(byte).to_string(),
        b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        _ => format!("_{byte:02x}"),
    };
    name.bytes().enumerate().map(plain).collect()
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    // No name is as long as that; a number that is cut makes systemd refuse the message.
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    put_length(bytes, text.len());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// The arguments of a call.
struct Body {
    signature: &'static str,
    bytes: Vec<u8>,
}

impl Body {
    fn list(names: &[String]) -> Self {
        let mut list = Vec::new();
        for name in names {
            put_text(&mut list, name);
        }
        let mut bytes = Vec::new();
        put_length(&mut bytes, list.len());
        bytes.extend(list);
        Self { signature: "as", bytes }
    }

    fn pair(one: &str, other: &str) -> Self {
        let mut bytes = Vec::new();
        put_text(&mut bytes, one);
        put_text(&mut bytes, other);
        Self { signature: "ss", bytes }
    }
}

fn call(serial: u32, path: &str, interface: &str, member: &str, body: &Body) -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, kind, text) in [(1, b'o', path), (2, b's', interface), (3, b's', member)] {
        align(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        put_text(&mut fields, text);
    }
    align(&mut fields, 8);
    fields.extend([8, 1, b'g', 0, u8::try_from(body.signature.len()).unwrap_or(0)]);
    fields.extend(body.signature.as_bytes());
    fields.push(0);
    // Little-endian, a call, no flags, version 1.
    let mut message = vec![b'l', 1, 0, 1];
    put_length(&mut message, body.bytes.len());
    message.extend(serial.to_le_bytes());
    put_length(&mut message, fields.len());
    message.extend(fields);
    align(&mut message, 8);
    message.extend(&body.bytes);
    message
}

/// The bodies of the answers by the number of the call; whatever else comes is passed over.
fn answers(stream: &mut impl Read, calls: u32) -> Option<BTreeMap<u32, Vec<u8>>> {
    let mut answers = BTreeMap::new();
    while answers.len() < usize::try_from(calls).ok()? {
        let mut start = [0; 16];
        stream.read_exact(&mut start).ok()?;
        let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        let fields = usize::try_from(number(12)).ok()?;
        let body = usize::try_from(number(4)).ok()?;
        if start[0] != b'l' || fields > MAX_MESSAGE_BYTES || body > MAX_MESSAGE_BYTES {
            return None;
        }
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        stream.read_exact(&mut rest).ok()?;
        let body = rest.split_off(fields.next_multiple_of(8));
        rest.truncate(fields);
        match start[1] {
            2 => {
                answers.insert(answered(&rest)?, body);
            }
            // An error: of which question does not matter.
            3 => return None,
            _ => {}
        }
    }
    Some(answers)
}

/// Reads what is there and never beyond it.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        self.byte()?;
        Some(text)
    }

    fn signature(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        let signature = self.take(length.into())?;
        self.byte()?;
        Some(signature)
    }
}

/// Which call the fields of an answer are about.
fn answered(fields: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(fields);
    loop {
        reader.align(8)?;
        let (code, kind) = (reader.byte()?, reader.signature()?);
        match (code, kind) {
            (5, b"u") => return reader.number(),
            (_, b"u") => drop(reader.number()?),
            (_, b"s" | b"o") => drop(reader.text()?),
            (_, b"g") => drop(reader.signature()?),
            _ => return None,
        }
    }
}

/// Of each unit in a list how it was loaded, whether it is active, and in which state.
fn units(body: &[u8]) -> Option<Vec<[String; 3]>> {
    let mut reader = Reader::new(body);
    let length = usize::try_from(reader.number()?).ok()?;
    reader.align(8)?;
    let end = reader.at.checked_add(length)?;
    let mut units = Vec::new();
    while reader.at < end {
        reader.align(8)?;
        let (_name, _description) = (reader.text()?, reader.text()?);
        units.push([reader.text()?, reader.text()?, reader.text()?]);
        // What it follows, its path; the number, kind and path of its job.
        let _rest = (reader.text()?, reader.text()?, reader.number()?, reader.text()?, reader.text()?);
    }
    Some(units)
}

enum Value {
    Text(String),
    Flag(bool),
}

fn variant(body: &[u8]) -> Option<Value> {
    let mut reader = Reader::new(body);
    match reader.signature()? {
        b"s" => reader.text().map(Value::Text),
        b"b" => reader.number().map(|number| Value::Flag(number != 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_does() {
        assert_eq!(escaped("nginx.service"), "nginx_2eservice");
        assert_eq!(escaped("7-a@b\\x2d.timer"), "_37_2da_40b_5cx2d_2etimer");
    }

    /// As `busctl` sends it, taken from the wire.
    #[test]
    fn a_call_is_laid_out_as_the_protocol_wants_it() {
        let made = call(2, "/a", "b.c", "D", &Body::pair("x", "yz"));
        let mut expected = b"l\x01\x00\x01\x0f\x00\x00\x00\x02\x00\x00\x00\x3f\x00\x00\x00".to_vec();
        expected.extend(b"\x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0\x02\x01s\0\x03\0\0\0b.c\0\0\0\0\0");
        expected.extend(b"\x03\x01s\0\x01\0\0\0D\0\0\0\0\0\0\0\x08\x01g\0\x02ss\0");
        let fields = expected.len() - 16;
        expected[12] = u8::try_from(fields).unwrap();
        expected.resize(expected.len().next_multiple_of(8), 0);
        expected.extend(b"\x01\0\0\0x\0\0\0\x02\0\0\0yz\0");
        assert_eq!(made, expected);
    }

    fn answer(serial: u32, signature: &'static str, body: &[u8]) -> Vec<u8> {
        let mut fields = vec![5, 1, b'u', 0];
        fields.extend(serial.to_le_bytes());
        fields.extend([8, 1, b'g', 0, u8::try_from(signature.len()).unwrap()]);
        fields.extend(signature.as_bytes());
        fields.push(0);
        let mut message = vec![b'l', 2, 1, 1];
        put_length(&mut message, body.len());
        message.extend(7_u32.to_le_bytes());
        put_length(&mut message, fields.len());
        message.extend(fields);
        align(&mut message, 8);
        message.extend(body);
        message
    }

    #[test]
    fn answers_are_read_in_any_order_and_whatever_is_cut_off_is_none() {
        let mut one = vec![1, b'b', 0, 0];
        one.extend(1_u32.to_le_bytes());
        let mut two = vec![1, b's', 0, 0];
        put_text(&mut two, "enabled");
        let stream = [answer(2, "v", &two), answer(1, "v", &one)].concat();
        let read = answers(&mut stream.as_slice(), 2).unwrap();
        assert!(matches!(variant(&read[&1]), Some(Value::Flag(true))));
        assert!(matches!(variant(&read[&2]), Some(Value::Text(text)) if text == "enabled"));
        for length in 0..stream.len() {
            assert!(answers(&mut &stream[..length], 2).is_none(), "{length}");
        }
        for length in 0..two.len() {
            assert!(variant(&two[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_list_of_units_is_read_and_nonsense_is_not() {
        let mut list = Vec::new();
        for name in ["a.service", "bb.timer"] {
            align(&mut list, 8);
            for text in [name, "what it is", "loaded", "active", "running", "", "/path"] {
                put_text(&mut list, text);
            }
            align(&mut list, 4);
            put_length(&mut list, 0);
            put_text(&mut list, "");
            put_text(&mut list, "/");
        }
        let mut body = Vec::new();
        put_length(&mut body, list.len());
        align(&mut body, 8);
        body.extend(&list);
        let expected = ["loaded", "active", "running"].map(str::to_owned);
        assert_eq!(units(&body), Some(vec![expected.clone(), expected]));
        for length in 0..body.len() {
            assert_eq!(units(&body[..length]), None, "{length}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_systemd_may_say_makes_the_reader_panic(bytes in proptest::collection::vec(0..=255_u8, 0..200)) {
            answers(&mut bytes.as_slice(), 2);
            units(&bytes);
            variant(&bytes);
            answered(&bytes);
        }
    }
}
