use super::*;
use muster_domain::assignment::{AssignmentContent, Generation};
use muster_domain::resource::{
    AptRepository, AuthorizedKey, DesiredState, File, Firewall, FirewallPolicy, Hostname, Resource,
    ResourceKey,
};
use muster_platform::LinuxHost;

const REST: Duration = Duration::from_millis(5);

/// A managed system in a folder.
struct Site {
    dir: tempfile::TempDir,
    drift: Drift,
    revision: u8,
}

impl Site {
    fn new(paths: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Arc::new(LinuxHost::rootless(dir.path(), dir.path()));
        let mut site = Self { dir, drift: Drift::new(host, REST), revision: 0 };
        std::fs::create_dir(site.dir.path().join("etc")).unwrap();
        site.watch(paths);
        site
    }

    fn watch(&mut self, paths: &[&str]) {
        self.revision += 1;
        self.drift.watch(&assignment(paths, self.revision));
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    /// Whether a change is noticed; the bound is for a test that fails.
    async fn noticed(&mut self) {
        let changed = tokio::time::timeout(Duration::from_secs(20), self.drift.changed());
        changed.await.expect("a change was not noticed");
    }

    /// Whether nothing has been noticed, now that something that comes later has been.
    async fn nothing_but(&mut self, path: &str) {
        let Some(watching) = &mut self.drift.watching else { panic!("nothing is watched") };
        let wanted = OsString::from(Path::new(path).file_name().unwrap());
        loop {
            let event = watching.events.next().await.unwrap().unwrap();
            let name = event.name.unwrap_or_default();
            let matters = watching.folders.get(&event.wd).is_some_and(|folder| folder.matters(Some(&name)));
            if matters {
                assert_eq!(name, wanted);
                return;
            }
        }
    }
}

fn assignment(paths: &[&str], revision: u8) -> Accepted {
    assignment_of(paths.iter().map(|path| (ResourceKey::new("file", path), file(path))), revision)
}

fn assignment_of(resources: impl IntoIterator<Item = (ResourceKey, DesiredState)>, revision: u8) -> Accepted {
    let resources = resources.into_iter().map(|(key, desired)| Resource::new(key, vec![], desired)).collect();
    let content = AssignmentContent { resources };
    Accepted::new(Generation::new(1), Revision::from_bytes([revision; 32]), content)
}

fn file(path: &str) -> DesiredState {
    DesiredState::File(File {
        path: path.to_owned(),
        content: vec![],
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    })
}

#[tokio::test]
async fn writing_replacing_removing_and_changing_the_mode_are_noticed() {
    use std::os::unix::fs::PermissionsExt;
    let mut site = Site::new(&["/etc/motd"]);
    site.write("/etc/motd", "by hand");
    site.noticed().await;
    std::fs::set_permissions(site.path("/etc/motd"), std::fs::Permissions::from_mode(0o600)).unwrap();
    site.noticed().await;
    site.write("/etc/other", "x");
    std::fs::rename(site.path("/etc/other"), site.path("/etc/motd")).unwrap();
    site.noticed().await;
    std::fs::remove_file(site.path("/etc/motd")).unwrap();
    site.noticed().await;
}

#[tokio::test]
async fn what_others_do_beside_it_and_reading_it_is_not_noticed() {
    let mut site = Site::new(&["/etc/motd"]);
    site.write("/etc/motd", "x");
    site.noticed().await;
    site.write("/etc/other", "x");
    std::fs::read(site.path("/etc/motd")).unwrap();
    site.write("/etc/.muster-0123.tmp", "x");
    site.write("/etc/motd", "y");
    site.nothing_but("/etc/motd").await;
}

#[tokio::test]
async fn a_folder_that_appears_later_and_one_that_goes_are_noticed() {
    let mut site = Site::new(&["/etc/nginx/conf.d/site.conf"]);
    std::fs::create_dir_all(site.path("/etc/nginx/conf.d")).unwrap();
    site.noticed().await;
    // The run looks at it, and watches what is there now.
    site.drift.watch(&assignment(&["/etc/nginx/conf.d/site.conf"], site.revision));
    site.write("/etc/nginx/conf.d/site.conf", "x");
    site.noticed().await;
    std::fs::remove_dir_all(site.path("/etc/nginx")).unwrap();
    site.noticed().await;
    site.drift.watch(&assignment(&["/etc/nginx/conf.d/site.conf"], site.revision));
    std::fs::create_dir(site.path("/etc/nginx")).unwrap();
    site.noticed().await;
}

#[tokio::test]
async fn what_a_firewall_a_source_and_the_keys_of_a_user_are_kept_in_is_watched() {
    // Everything is below a folder but the list of users, which is that of this machine: root is in every one.
    let root = muster_platform::AccountHost::accounts(&LinuxHost::system(Path::new("/"))).unwrap();
    let home = root.user("root").unwrap().home.clone();
    let keys = format!("{home}/.ssh/authorized_keys");
    let mut site = Site::new(&[]);
    for folder in ["/etc/ufw", "/etc/default", "/etc/apt/keyrings", "/etc/apt/sources.list.d"] {
        std::fs::create_dir_all(site.path(folder)).unwrap();
    }
    std::fs::create_dir_all(site.path(&keys).parent().unwrap()).unwrap();
    let wanted = |user: &str| {
        let user = user.to_owned();
        let policy = FirewallPolicy::Deny;
        [
            DesiredState::Firewall(Firewall {
                incoming: policy,
                outgoing: policy,
                rules: vec![],
                exclusive: true,
            }),
            DesiredState::AptRepository(AptRepository {
                name: "pgdg".into(),
                uris: vec!["https://apt.example.test".into()],
                suites: vec!["./".into()],
                components: vec![],
                architectures: vec![],
                key: vec![0xc6, 3, 4, 0, 0],
            }),
            DesiredState::Hostname(Hostname { name: "app-1".into() }),
            DesiredState::AuthorizedKey(AuthorizedKey { user, keys: vec![], exclusive: true }),
        ]
        .map(|desired| (ResourceKey::new(desired.kind(), "x"), desired))
    };
    site.drift.watch(&assignment_of(wanted("root"), 200));
    for path in ["/etc/ufw/user.rules", "/etc/apt/keyrings/pgdg.gpg", "/etc/hosts", keys.as_str()] {
        site.write(path, "by hand");
        site.noticed().await;
    }
    assert!(!site.drift.watching.as_ref().unwrap().incomplete);
    // Whose home nobody knows yet is asked for again.
    site.drift.watch(&assignment_of(wanted("no-such-user"), 201));
    assert!(site.drift.watching.as_ref().unwrap().incomplete);
}

#[tokio::test]
async fn hundreds_of_folders_are_watched_and_left_again() {
    let paths: Vec<String> = (0..400).map(|n| format!("/etc/d{n}/file")).collect();
    let mut site = Site::new(&["/etc/motd"]);
    for path in &paths {
        std::fs::create_dir(site.path(path).parent().unwrap()).unwrap();
    }
    site.watch(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(site.drift.watching.as_ref().unwrap().folders.len(), 400);
    site.write("/etc/d399/file", "x");
    site.noticed().await;
    site.watch(&["/etc/d7/file"]);
    assert_eq!(site.drift.watching.as_ref().unwrap().folders.len(), 1);
    site.write("/etc/d399/file", "y");
    site.write("/etc/d7/file", "x");
    site.nothing_but("/etc/d7/file").await;
}

#[tokio::test]
async fn when_too_much_happens_at_once_everything_is_looked_at() {
    let mut site = Site::new(&["/etc/motd"]);
    // More than the kernel keeps for somebody who does not listen.
    let kept: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for _ in 0..kept {
        site.write("/etc/one", "x");
        site.write("/etc/two", "x");
        if site.drift.watching.is_none() {
            break;
        }
    }
    site.noticed().await;
}

#[tokio::test]
async fn a_program_that_writes_without_end_is_answered_less_and_less() {
    let mut site = Site::new(&["/etc/motd"]);
    assert_eq!(site.drift.pause(), REST);
    for _ in 0..AT_ONCE + 6 {
        site.drift.noticed = true;
        site.drift.looked(true);
    }
    assert_eq!(site.drift.mended, AT_ONCE + 6);
    assert_eq!(site.drift.pause(), REST * 64);
    // A run that changed nothing, such as the one after an own change, does not count.
    site.drift.looked(false);
    assert_eq!(site.drift.mended, AT_ONCE + 6);
}

#[tokio::test]
async fn where_nothing_can_be_watched_polling_goes_on() {
    let host = Arc::new(muster_platform::FakeHost::default());
    let mut drift = Drift::new(host, REST);
    drift.watch(&assignment(&["/etc/motd"], 1));
    assert!(drift.watching.is_none());
    drift.tell(&std::io::Error::from_raw_os_error(NO_SPACE));
    assert!(drift.told);
    let changed = std::pin::pin!(drift.changed());
    assert!(futures_util::poll!(changed).is_pending());
}
