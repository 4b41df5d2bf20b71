//! Folders over HTTP.

use crate::machine::{Machine, free_port, get, until};

#[test]
fn a_folder_is_served_by_a_managed_application() {
    let machine = Machine::new();
    machine.write("site/index.html", "home");
    machine.write("site/.env", "SECRET=x");
    machine.write("outside", "no");
    std::os::unix::fs::symlink("../outside", machine.path().join("site/link")).unwrap();
    let port = free_port();
    machine.run(&["serve", "site", &port.to_string(), "--name", "pages", "--host", "127.0.0.1"]);
    let (status, body) = until("the site answers", || get(port, "/").ok());
    assert_eq!((status, body.as_str()), (200, "home"));
    for (path, status) in [("/.env", 404), ("/link", 403), ("/%2e%2e/outside", 403)] {
        assert_eq!(get(port, path).unwrap().0, status, "{path}");
    }
    let list = machine.jlist();
    assert_eq!(
        (&list[0]["name"], &list[0]["pm2_env"]["status"]),
        (&"pages".into(), &"online".into()),
        "{list}"
    );
}
