use serde_json::json;

use super::*;

fn query(address: Option<&str>, port: i64, address_type: serde_json::Value) -> QueryServer {
    serde_json::from_value(json!({
        "index": 0, "address": address, "port": port, "addressType": address_type, "flags": 0, "seq": 1
    }))
    .unwrap()
}

#[test]
fn port_zero_is_picked_once_and_shared() {
    let mut sockets = Sockets::default();
    let any = query(Some("127.0.0.1"), 0, json!(4));
    let (first, data) =
        sockets.get(&QueryServer { data: json!("keys"), ..any.clone() }, Asker::default(), None).unwrap();
    assert_eq!(data, json!("keys"));
    let (second, data) = sockets
        .get(&QueryServer { data: json!("other keys"), ..any.clone() }, Asker::default(), None)
        .unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(data, json!("keys"), "all workers share what the first one brought");
    assert_ne!(sockets.port(&any.key()), Some(0));
}

#[test]
fn a_taken_port_is_refused_with_its_errno_and_free_again_when_let_go() {
    let mut sockets = Sockets::default();
    let first = query(Some("127.0.0.1"), 0, json!(4));
    sockets.get(&first, Asker::default(), None).unwrap();
    let port = sockets.port(&first.key()).unwrap();
    let mut other = Sockets::default();
    let wanted = query(Some("127.0.0.1"), port.into(), json!(4));
    let refusal = other.get(&wanted, Asker::default(), None).unwrap_err();
    assert_eq!(refusal.errno, Errno::ADDRINUSE.raw_os_error());
    assert!(refusal.message.contains(&format!("127.0.0.1:{port} is in use")), "{}", refusal.message);
    sockets.retain(|_| false);
    other.get(&wanted, Asker::default(), None).unwrap();
}

#[test]
fn every_address_type_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let mut sockets = Sockets::default();
    for wanted in [
        query(None, 0, json!(4)),
        query(Some("::1"), 0, json!(6)),
        query(path.to_str(), -1, json!(-1)),
        query(Some("127.0.0.1"), 0, json!("udp4")),
        query(None, 0, json!("udp4")),
    ] {
        sockets
            .get(&wanted, Asker::default(), None)
            .unwrap_or_else(|refusal| panic!("{wanted:?}: {refusal:?}"));
    }
    assert_eq!(sockets.describe().len(), 5);
    assert!(path.exists());
    sockets.retain(|_| false);
    assert!(!path.exists(), "the path goes with the socket");
}

#[test]
fn a_socket_file_left_behind_by_a_crash_is_taken_over_but_no_other_file_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut sockets = Sockets::default();
    sockets.get(&query(path.to_str(), -1, json!(-1)), Asker::default(), None).unwrap();
    let file = dir.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    let refusal = sockets.get(&query(file.to_str(), -1, json!(-1)), Asker::default(), None).unwrap_err();
    assert_eq!(refusal.errno, Errno::ADDRINUSE.raw_os_error());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "data");
}

fn ourselves() -> Credentials {
    Credentials {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        name: String::new(),
        home: String::new(),
    }
}

#[test]
fn an_application_that_turns_its_folder_elsewhere_has_nothing_removed_there() {
    let dir = tempfile::tempdir().unwrap();
    let [own, moved, precious] = ["own", "moved", "precious"].map(|name| dir.path().join(name));
    std::fs::create_dir(&own).unwrap();
    std::fs::create_dir(&precious).unwrap();
    std::fs::write(precious.join("passwd"), "root").unwrap();
    let mut sockets = Sockets::default();
    let wanted = query(own.join("passwd").to_str(), -1, json!(-1));
    sockets.get(&wanted, Asker::app(Some(&ourselves()), None), None).unwrap();
    std::fs::rename(&own, moved).unwrap();
    std::os::unix::fs::symlink(&precious, &own).unwrap();
    sockets.retain(|_| false);
    assert_eq!(std::fs::read_to_string(precious.join("passwd")).unwrap(), "root");
}

#[test]
fn only_the_socket_itself_is_given_away() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let other = Credentials { uid: 4711, gid: 4711, ..ourselves() };
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "root's").unwrap();
    let owner = std::fs::metadata(&precious).unwrap().uid();
    let link = dir.path().join("link.sock");
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    assert_eq!(Place::of(&link).unwrap().give_to(&other), Err(Errno::NOTSOCK));
    let hard = dir.path().join("hard.sock");
    std::fs::hard_link(&precious, &hard).unwrap();
    assert_eq!(Place::of(&hard).unwrap().give_to(&other), Err(Errno::NOTSOCK));
    let socket = dir.path().join("a.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    std::fs::hard_link(&socket, dir.path().join("b.sock")).unwrap();
    assert_eq!(Place::of(&socket).unwrap().give_to(&other), Err(Errno::ACCESS));
    assert_eq!(std::fs::metadata(&precious).unwrap().uid(), owner);
}

#[test]
fn an_application_cannot_use_up_our_descriptors() {
    let mut sockets = Sockets::default();
    let asked = (0..=MAX_SOCKETS)
        .map(|index| QueryServer { index: index as u64, ..query(Some("127.0.0.1"), 0, json!(4)) });
    let refused =
        asked.filter_map(|query| sockets.get(&query, Asker::default(), None).err()).collect::<Vec<_>>();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].errno, Errno::MFILE.raw_os_error());
}

#[test]
fn nonsense_is_an_errno_not_a_panic() {
    let mut sockets = Sockets::default();
    for wanted in [
        query(Some("not an address"), 1, json!(4)),
        query(Some("127.0.0.1"), 70_000, json!(4)),
        query(None, -1, json!(-1)),
        query(Some("relative.sock"), -1, json!(-1)),
        query(None, 1, json!("carrier pigeon")),
    ] {
        sockets.get(&wanted, Asker::default(), None).unwrap_err();
    }
}

#[test]
fn a_privileged_port_is_given_only_to_whom_the_spec_names_it() {
    let Ok(text) = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start") else { return };
    if !rustix::process::geteuid().is_root() || text.trim() != "1024" {
        return;
    }
    let Some(port) = (600..1000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
    else {
        return;
    };
    let nobody = Credentials { uid: 65534, gid: 65534, name: "nobody".into(), home: "/".into() };
    let wanted = query(Some("127.0.0.1"), i64::from(port), json!(4));
    let mut sockets = Sockets::default();
    let refusal = sockets.get(&wanted, Asker::app(Some(&nobody), Some(port - 1)), None).unwrap_err();
    assert_eq!(refusal.errno, Errno::ACCESS.raw_os_error());
    assert!(refusal.message.contains("privileged"), "{}", refusal.message);
    sockets.get(&wanted, Asker::app(Some(&nobody), Some(port)), None).unwrap();
    sockets.retain(|_| false);
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    sockets.listed(&address, Some(&nobody), None).unwrap();
    sockets.retain(|_| false);
    sockets.get(&wanted, Asker::default(), None).unwrap();
}

#[test]
fn listed_sockets_wait_in_accept_as_other_languages_expect() {
    let mut sockets = Sockets::default();
    let (fd, key) = sockets.listed(&"127.0.0.1:0".parse().unwrap(), None, None).unwrap();
    let flags = rustix::fs::fcntl_getfl(&*fd).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    let (again, _) = sockets.listed(&"127.0.0.1:0".parse().unwrap(), None, None).unwrap();
    assert!(Arc::ptr_eq(&fd, &again), "one socket for all instances");
    assert!(sockets.port(&key).is_some_and(|port| port != 0));
}
