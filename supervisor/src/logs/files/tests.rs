use bytes::Bytes;
use muster_supervisor_protocol::{
    AppSpec, LogFile as Named, LogFormat, LogRotation, LogSettings, LogStreamName,
};
use proptest::prelude::*;

use super::*;
use crate::logs::destination::DroppedLines;
use crate::logs::lines::{LineSplitter, MAX_LINE_BYTES};

fn destination(path: &Path, rotation: LogRotation) -> Arc<Destination> {
    with(LogSettings {
        out_file: Named::Path(path.to_str().unwrap().to_owned()),
        merge: true,
        rotation,
        ..LogSettings::default()
    })
}

fn with(logs: LogSettings) -> Arc<Destination> {
    let spec = AppSpec { logs, ..AppSpec::new("shop", "/", "a.js") };
    Arc::new(Destination::new(&spec, 0, 0, LogStreamName::Out, DroppedLines::default()))
}

fn small(max_bytes: u64) -> LogRotation {
    LogRotation { max_bytes, keep: u32::MAX, min_free_bytes: 0, ..LogRotation::default() }
}

fn write(files: &mut Files, destination: &Arc<Destination>, bytes: &[u8]) -> u64 {
    write_cut(files, destination, bytes, false)
}

fn write_cut(files: &mut Files, destination: &Arc<Destination>, bytes: &[u8], begins_mid_line: bool) -> u64 {
    files.write(&Write {
        destination: Arc::clone(destination),
        at: Utc::now(),
        bytes: Bytes::copy_from_slice(bytes),
        begins_mid_line,
        missing: 0,
        _room: None,
    })
}

/// Of all files, oldest first.
fn contents(path: &Path) -> Vec<Vec<u8>> {
    let rotated = rotated::list(path).into_iter().map(|file| file.path);
    rotated.chain([path.to_owned()]).filter_map(|path| std::fs::read(path).ok()).collect()
}

fn text(path: &Path) -> String {
    String::from_utf8(contents(path).concat()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_line_is_lost_or_split_whatever_the_reads_and_sizes(
        lines in prop::collection::vec(prop_oneof![9 => 0_usize..300, 1 => 10_000_usize..40_000], 1..60),
        reads in prop::collection::vec(1_usize..20_000, 1..20),
        max_bytes in 1_u64..20_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log");
        let destination = destination(&path, small(max_bytes));
        let stream: Vec<u8> = lines
            .iter()
            .enumerate()
            .flat_map(|(number, length)| format!("{number}:{}\n", "x".repeat(*length)).into_bytes())
            .collect();
        let mut files = Files::default();
        let mut splitter = LineSplitter::default();
        let (mut rest, mut reads) = (stream.as_slice(), reads.iter().cycle());
        while !rest.is_empty() {
            let (read, later) = rest.split_at(rest.len().min(*reads.next().unwrap()));
            rest = later;
            if let Some(cut) = splitter.feed(read) {
                prop_assert_eq!(write_cut(&mut files, &destination, &cut.bytes, cut.begins_mid_line), 0);
            }
        }
        let contents = contents(&path);
        prop_assert_eq!(contents.concat(), stream);
        for file in &contents {
            prop_assert!(file.last().is_none_or(|last| *last == b'\n'), "a file ends within a line");
            // A line that was begun before its length was known may be too long.
            let last = file.strip_suffix(b"\n").unwrap_or(file);
            let before = memrchr(b'\n', last).map_or(0, |end| end + 1);
            let long = file.len() - before > MAX_LINE_BYTES;
            let size = if long || before == 0 { before } else { file.len() };
            prop_assert!(size as u64 <= max_bytes, "{} bytes", size);
        }
    }
}

#[test]
fn old_files_go_and_what_is_kept_has_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop/0-out.log");
    let destination = destination(&path, LogRotation { keep: 2, ..small(100) });
    let mut files = Files::default();
    for number in 0..40 {
        write(&mut files, &destination, format!("line {number:03}\n").as_bytes());
    }
    let numbers: Vec<u32> = text(&path).lines().map(|line| line[5..].parse().unwrap()).collect();
    assert_eq!(numbers, (numbers[0]..40).collect::<Vec<_>>(), "no hole");
    assert_eq!(rotated::list(&path).len(), 2);
}

#[test]
fn a_file_is_continued_after_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let destination = destination(&path, small(1_000));
    let mut files = Files::default();
    write(&mut files, &destination, b"one\n");
    files.close(&destination);
    write(&mut files, &destination, b"two\n");
    assert_eq!(text(&path), "one\ntwo\n");
}

#[test]
fn writers_of_one_file_do_not_cut_into_each_others_lines_silently() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let [one, two] = [destination(&path, small(1_000)), destination(&path, small(1_000))];
    let mut files = Files::default();
    write(&mut files, &one, b"a long line");
    write(&mut files, &two, b"other\n");
    write_cut(&mut files, &one, b" goes on\n", true);
    write(&mut files, &one, b"unfinished");
    files.close(&one);
    write(&mut files, &two, b"last\n");
    assert_eq!(text(&path), format!("a long line{CONTINUES}\nother\n goes on\nunfinished\nlast\n"));
}

#[test]
fn a_file_that_cannot_be_written_is_counted_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs");
    // In the way of the folder.
    std::fs::write(&folder, "").unwrap();
    let path = folder.join("a.log");
    let destination = destination(&path, small(1_000));
    let mut files = Files::default();
    assert_eq!(write(&mut files, &destination, b"one\ntwo\n"), 2);
    assert_eq!(write(&mut files, &destination, b"three\n"), 1, "not tried again at once");
    std::fs::remove_file(&folder).unwrap();
    let patience = Instant::now();
    while write(&mut files, &destination, b"again\n") > 0 {
        assert!(patience.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = text(&path);
    let (note, rest) = text.split_once('\n').unwrap();
    assert!(note.starts_with("[muster: ") && note.contains("lines are missing here"), "{note}");
    assert_eq!(rest, "again\n");
}

#[test]
fn whoever_takes_files_away_gets_all_of_them_and_the_next_lines_go_to_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs/a.log");
    let destination = destination(&path, small(1_000));
    let mut files = Files::default();
    write(&mut files, &destination, b"one\nbegun");
    let away = dir.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    files.reopen();
    write_cut(&mut files, &destination, b" and ended\n", true);
    write(&mut files, &destination, b"two\n");
    assert_eq!(std::fs::read_to_string(&away).unwrap(), "one\nbegun and ended\n");
    assert_eq!(text(&path), "two\n");
    // Without a word, the whole folder.
    std::fs::remove_dir_all(dir.path().join("logs")).unwrap();
    files.files.get_mut(&*path).unwrap().open.as_mut().unwrap().unchecked = CHECK_BYTES;
    write(&mut files, &destination, b"three\n");
    assert_eq!(text(&path), "three\n");
    files.truncate(&[Arc::clone(&destination)]);
    write(&mut files, &destination, b"four\n");
    assert_eq!(text(&path), "four\n");
}

#[test]
fn a_schedule_rotates_files_with_something_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let rotation = LogRotation { schedule: Some("0 0 * * *".into()), ..small(1_000) };
    let destination = destination(&path, rotation);
    let mut files = Files::default();
    write(&mut files, &destination, b"today\n");
    let due = files.next_rotation().unwrap();
    assert!(due > Instant::now() && due <= Instant::now() + MAX_SLEEP);
    files.rotate_due();
    assert!(rotated::list(&path).is_empty(), "not yet");
    files.files.get_mut(&*path).unwrap().open.as_mut().unwrap().rotate_at = Some(Local::now());
    files.rotate_due();
    assert_eq!(rotated::list(&path).len(), 1);
    assert!(files.next_rotation().is_none(), "nothing in it");
    // A file from before the supervisor was started.
    files.close(&destination);
    std::fs::write(&path, "yesterday\n").unwrap();
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(86_400);
    File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    write(&mut files, &destination, b"now\n");
    assert_eq!(contents(&path), [&b"today\n"[..], b"yesterday\n", b"now\n"]);
}

#[test]
fn json_lines_stay_json_when_they_are_huge() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let destination = with(LogSettings {
        out_file: Named::Path(path.to_str().unwrap().to_owned()),
        merge: true,
        format: LogFormat::Json,
        rotation: small(50_000),
        ..LogSettings::default()
    });
    let mut files = Files::default();
    let mut splitter = LineSplitter::default();
    for chunk in [vec![b'"'; 100_000], b"\nend\n".to_vec()] {
        if let Some(cut) = splitter.feed(&chunk) {
            write_cut(&mut files, &destination, &cut.bytes, cut.begins_mid_line);
        }
    }
    let text = text(&path);
    let messages: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<format::JsonLine<'_>>(line).unwrap().message.into_owned())
        .collect();
    assert_eq!(messages.last().unwrap(), "end");
    assert_eq!(messages.iter().map(|text| text.matches('"').count()).sum::<usize>(), 100_000);
}
