//! The line of an invitation, as a person pastes it: what it runs, and above all what it does not run.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails here fails the test")]

use crate::FLEET;
use chrono::Utc;
use muster_agent::install::layout::PROGRAMS;
use muster_agent::upgrade::{Offer, UpgradeError};
use muster_identity::tls;
use muster_tests::{Newcomer, Ran, TestFleet, TestNode, eventually};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What becomes of a file on the way: its content, and how much of it is sent.
type Change<'a> = &'a dyn Fn(&mut (Vec<u8>, usize));

/// A host, or the reason why there is none: in a pipeline that is a failure.
macro_rules! newcomer {
    ($fetchers:expr) => {
        match Newcomer::new($fetchers) {
            Some(newcomer) => newcomer,
            None => {
                let reason = "this user may not have namespaces (`unshare --user --mount`)";
                assert!(std::env::var_os("CI").is_none(), "skipped, because {reason}");
                eprintln!("skipped, because {reason}");
                return;
            }
        }
    };
}

async fn types(newcomer: &Arc<Newcomer>, shell: &'static str, line: String) -> Ran {
    let newcomer = Arc::clone(newcomer);
    tokio::task::spawn_blocking(move || newcomer.types(shell, &line)).await.unwrap()
}

async fn fleet(pool: PgPool) -> (TestFleet, String) {
    let fleet = TestFleet::start(pool).await;
    fleet.apply(FLEET).await.unwrap();
    muster_tests::programs(&fleet.programs());
    let token = fleet.invite("app-1", "production").await;
    (fleet, token)
}

fn line(address: SocketAddr, token: &str) -> String {
    muster_controller::install::offer(&format!("https://{address}"), token, "app-1", Utc::now())
        .unwrap()
        .command
}

#[sqlx::test(migrations = "../migrations")]
async fn a_line_fetches_the_agent_and_lets_it_install_itself(pool: PgPool) {
    let (fleet, token) = fleet(pool).await;
    let line = line(fleet.agents_address(), &token);
    for (fetcher, shell) in [("curl", "sh"), ("wget", "bash")] {
        let newcomer = Arc::new(newcomer!(&[fetcher]));
        let ran = types(&newcomer, shell, line.clone()).await;
        assert_eq!(ran.code, 0, "{fetcher}: {ran:?}");
        let installed = ran.installed.unwrap();
        let wanted = format!("arguments: --token-stdin --controller https://{}\n", fleet.agents_address());
        assert!(installed.starts_with(&wanted), "{installed}");
        assert!(installed.contains(&format!("\ntoken: {token}\n")), "{installed}");
        for program in PROGRAMS {
            assert!(installed.contains(program), "{program} lies beside the agent: {installed}");
        }
        // Nobody on the host sees the secret meanwhile.
        let (_, processes) = installed.split_once("processes:\n").unwrap();
        let secret = token.split('_').nth(3).unwrap();
        assert!(processes.contains("install.sh") && !processes.contains(secret), "{processes}");
        assert_eq!(ran.left, "", "what was fetched is where the agent put it, or gone");
        assert!(newcomer.tidy());
    }
    // That the agent was called says nothing about the invitation: it is the agent that uses it.
    assert!(TestNode::join("app-1", &token, fleet.agents_address()).await.is_ok());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_line_for_another_fleet_runs_nothing(pool: PgPool) {
    let (fleet, token) = fleet(pool).await;
    let newcomer = Arc::new(newcomer!(&["curl"]));
    let (front, _) = token.rsplit_once('_').unwrap();
    let foreign = format!("{front}_{}", "0".repeat(64));
    let ran = types(&newcomer, "sh", line(fleet.agents_address(), &foreign)).await;
    assert_eq!(ran.code, 1);
    assert!(ran.said.contains("not of the fleet that the token names; nothing was run"), "{ran:?}");
    assert!(ran.installed.is_none() && ran.left.contains("No such file"), "{ran:?}");
    assert!(newcomer.tidy());
}

#[sqlx::test(migrations = "../migrations")]
async fn a_host_that_cannot_be_a_node_is_told_why_and_left_alone(pool: PgPool) {
    let (fleet, token) = fleet(pool).await;
    let line = line(fleet.agents_address(), &token);
    let newcomer = Arc::new(newcomer!(&["curl"]));
    for (tool, script, said) in [
        ("uname", "[ \"$1\" = -s ] && echo Linux || echo armv7l", "there is no agent for Linux on armv7l"),
        ("uname", "[ \"$1\" = -s ] && echo FreeBSD || echo x86_64", "there is no agent for FreeBSD"),
        ("getconf", "echo 32", "this system is 32-bit"),
        ("version", "exit 127", "the programs do not run on this system"),
        ("id", "echo 1000", "installing needs root"),
    ] {
        // Each with everything else in order.
        let newcomer = Arc::new(newcomer!(&["curl"]));
        newcomer.tool(tool, script);
        let ran = types(&newcomer, "sh", line.clone()).await;
        assert!(ran.code != 0 && ran.said.contains(said), "{tool}: {ran:?}");
        assert!(ran.installed.is_none() && newcomer.tidy(), "{tool}: {ran:?}");
    }
    let without = Arc::new(newcomer!(&[]));
    let ran = types(&without, "sh", line.clone()).await;
    assert!(ran.code == 1 && ran.said.contains("this needs curl or wget"), "{ran:?}");
    std::fs::remove_file(fleet.programs().join("muster-pm2")).unwrap();
    let ran = types(&newcomer, "sh", line).await;
    assert!(ran.code == 1 && ran.said.contains("could not be fetched; nothing was changed"), "{ran:?}");
    assert!(ran.installed.is_none());
}

/// Answers over TLS as the controller would, or would not.
struct Impostor {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Impostor {
    /// With the content of these paths, and how much of it is sent before it hangs up. Its certificate is of that fleet:
    /// an impostor that got hold of one, or a broken network behind a good controller.
    async fn start(fleet: &TestFleet, files: BTreeMap<String, (Vec<u8>, usize)>) -> Self {
        let names = ["muster-controller".to_owned(), "127.0.0.1".to_owned()];
        let certificate = fleet.app().identity().ca.issue_server_certificate(&names, Utc::now()).unwrap();
        let config = tls::people_config(tls::ServingCertificate::new(certificate).unwrap()).unwrap();
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols = vec![tls::HTTP_1_1.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let files = Arc::new(files);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, files) = (acceptor.clone(), Arc::clone(&files));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else { return };
                    let mut stream = BufReader::new(stream);
                    let mut request = String::new();
                    while stream.read_line(&mut request).await.is_ok_and(|read| read > 2) {}
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let (content, sent) = files.get(&path).cloned().unwrap_or_default();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        content.len()
                    );
                    // Whoever fetches may hang up first.
                    drop(stream.write_all(head.as_bytes()).await);
                    drop(stream.write_all(&content[..sent]).await);
                    drop(stream.shutdown().await);
                });
            }
        });
        Self { address, task }
    }
}

/// What the real controller hands out.
async fn handed_out(fleet: &TestFleet) -> BTreeMap<String, (Vec<u8>, usize)> {
    let root = fleet.app().identity().ca.root().to_vec();
    let script = include_bytes!("../../controller/src/install/install.sh").to_vec();
    let catalogue = muster_controller::install::Programs::new(fleet.programs()).catalogue().unwrap();
    let mut files = BTreeMap::from([
        ("/install/root.der".to_owned(), root),
        ("/install/install.sh".to_owned(), script),
        ("/install/manifest".to_owned(), catalogue.manifest().as_bytes().to_vec()),
    ]);
    for program in PROGRAMS {
        let content = std::fs::read(fleet.programs().join(program)).unwrap();
        files.insert(format!("/install/{}/{program}", std::env::consts::ARCH), content);
    }
    files.into_iter().map(|(path, content)| (path, (content.clone(), content.len()))).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn what_was_changed_or_broke_off_on_the_way_is_not_run(pool: PgPool) {
    let (fleet, token) = fleet(pool).await;
    let newcomer = Arc::new(newcomer!(&["curl"]));
    let whole = handed_out(&fleet).await;
    let good = Impostor::start(&fleet, whole.clone()).await;
    assert_eq!(
        types(&newcomer, "sh", line(good.address, &token)).await.code,
        0,
        "it can be told from the real one"
    );

    let keeper = format!("/install/{}/muster-keeper", std::env::consts::ARCH);
    let change = |path: &str, change: Change<'_>| {
        let mut files = whole.clone();
        change(files.get_mut(path).unwrap());
        files
    };
    let cases = [
        (
            "a changed program",
            change(&keeper, &|(content, _)| content[100] ^= 1),
            "is not what the manifest says",
        ),
        ("a program that breaks off", change(&keeper, &|(_, sent)| *sent /= 2), "could not be fetched"),
        (
            "a list that breaks off",
            change("/install/manifest", &|(_, sent)| *sent -= 5),
            "could not be fetched",
        ),
        (
            "a list without its end",
            change("/install/manifest", &|(content, sent)| {
                content.truncate(content.len() - 5);
                *sent = content.len();
            }),
            "is not understood",
        ),
        ("a script that breaks off", change("/install/install.sh", &|(_, sent)| *sent -= 5), "curl"),
        ("a root that breaks off", change("/install/root.der", &|(_, sent)| *sent -= 5), "curl"),
    ];
    for (what, files, said) in cases {
        let impostor = Impostor::start(&fleet, files).await;
        let ran = types(&newcomer, "sh", line(impostor.address, &token)).await;
        assert!(ran.code != 0 && ran.said.contains(said), "{what}: {ran:?}");
        assert!(ran.installed.is_none() && newcomer.tidy(), "{what}: {ran:?}");
        assert!(ran.left.is_empty() || ran.left.contains("No such file"), "{what}: {ran:?}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_root_alone_vouches_not_what_comes_with_it(pool: PgPool) {
    let (fleet, token) = fleet(pool).await;
    let newcomer = Arc::new(newcomer!(&["curl"]));
    // Another fleet's controller that sends the root of ours: its own certificate is not below that.
    let other = tempfile::tempdir().unwrap();
    let (identity, _) = muster_identity::FleetIdentity::open_or_create(other.path(), Utc::now()).unwrap();
    let certificate = identity.ca.issue_server_certificate(&["127.0.0.1".to_owned()], Utc::now()).unwrap();
    let config = tls::people_config(tls::ServingCertificate::new(certificate).unwrap()).unwrap();
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![tls::HTTP_1_1.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let root = fleet.app().identity().ca.root().to_vec();
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", root.len());
            drop(stream.write_all(head.as_bytes()).await);
            drop(stream.write_all(&root).await);
            drop(stream.shutdown().await);
        }
    });
    let ran = types(&newcomer, "sh", line(address, &token)).await;
    task.abort();
    assert!(ran.code != 0 && ran.said.contains("SSL certificate problem"), "{ran:?}");
    assert!(ran.installed.is_none() && newcomer.tidy());
}

#[tokio::test]
async fn a_script_that_was_cut_off_anywhere_does_nothing() {
    let newcomer = Arc::new(newcomer!(&[]));
    for fetcher in ["curl", "wget", "sudo"] {
        newcomer.tool(fetcher, "echo fetched; exit 0");
    }
    let script = include_str!("../../controller/src/install/install.sh");
    let whole = "touch root.pem\n";
    newcomer.tool("touch", ": >\"$1\"");
    for (end, _) in script.match_indices('\n') {
        if end + 1 == script.len() {
            break;
        }
        let cut = format!(
            "{whole}cat >script <<'END_OF_SCRIPT'\n{}\nEND_OF_SCRIPT\nsh script https://127.0.0.1:1/install; rm -f script root.pem; true",
            &script[..end]
        );
        let ran = types(&newcomer, "sh", cut).await;
        assert!(!ran.said.contains("fetched") && ran.installed.is_none(), "cut at {end}: {ran:?}");
        assert!(ran.left.contains("No such file"), "cut at {end}: {ran:?}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn a_node_fetches_what_its_controller_hands_out_and_nothing_that_nobody_signed(pool: PgPool) {
    let (fleet, token) = fleet(pool).await;
    let node = TestNode::join("app-1", &token, fleet.agents_address()).await.unwrap();
    let offer = Offer::look(node.state_dir()).await.unwrap();
    assert_eq!(offer.manifest.version, env!("CARGO_PKG_VERSION"));
    let dir = tempfile::tempdir().unwrap();
    let fetched = dir.path().join("fetched");
    offer.fetch(&fetched).await.unwrap();
    for program in PROGRAMS {
        assert_eq!(
            std::fs::read(fetched.join(program)).unwrap(),
            std::fs::read(fleet.programs().join(program)).unwrap()
        );
    }
    let build = muster_agent::install::release::Build::read(&fetched).unwrap();
    assert!(offer.same_as(&build).unwrap());
    // Replaced between the list and the program.
    std::fs::copy(fleet.programs().join("muster-agent"), fleet.programs().join("new")).unwrap();
    std::fs::rename(fleet.programs().join("new"), fleet.programs().join("muster-keeper")).unwrap();
    let error = offer.fetch(&dir.path().join("again")).await.unwrap_err();
    assert!(matches!(&error, UpgradeError::Damaged { program } if program == "muster-keeper"), "{error}");
    assert!(!Offer::look(node.state_dir()).await.unwrap().same_as(&build).unwrap());

    // Whoever has the listener's certificate and not the key that assignments are signed with gets nowhere.
    let mut files = handed_out(&fleet).await;
    let signature = format!("{}\n", "ab".repeat(64)).into_bytes();
    files.insert("/install/manifest.sig".to_owned(), (signature.clone(), signature.len()));
    let impostor = Impostor::start(&fleet, files).await;
    let path = node.state_dir().enrolment();
    let known = std::fs::read_to_string(&path).unwrap();
    let moved = known.replace(&fleet.agents_address().to_string(), &impostor.address.to_string());
    assert_ne!(known, moved);
    std::fs::write(&path, moved).unwrap();
    let error = Offer::look(node.state_dir()).await.err().unwrap();
    assert!(matches!(error, UpgradeError::Signature), "{error}");
    eventually("the programs to be gone from the list", async || {
        std::fs::remove_file(fleet.programs().join("muster-agent")).ok();
        std::fs::write(&path, &known).unwrap();
        let error = Offer::look(node.state_dir()).await.err()?.to_string();
        error.contains("has no programs for hosts").then_some(())
    })
    .await;
}
