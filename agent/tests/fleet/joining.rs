//! Joining, identity, and one agent for each node.

use super::*;
use muster_agent::install::membership::{self, Membership, MembershipError};
use muster_agent::link::{dial, tls};
use muster_proto::v1::agent_service_client::AgentServiceClient;

#[tokio::test]
async fn a_node_joins_once_and_its_state_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (controller, serving, node) = joined().await;
    let enrolment = IdentityStore::new(node.config.state_dir.clone()).enrolment().unwrap();
    assert_eq!((enrolment.node_name.as_str(), enrolment.node_id), ("app-1", controller.state().node));
    for file in ["agent.json", "identity/node.key", "identity/node.crt", "identity/root.crt"] {
        let mode = std::fs::metadata(node.config.state_dir.root().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let again = node.join(&serving).await.unwrap_err();
    assert!(matches!(again, JoinError::AlreadyJoined { .. }) && again.refusal(), "{again}");
    let forced = node.join_with(&serving, &controller.token(), true).await.unwrap_err();
    assert_eq!(
        forced.to_string(),
        "the controller refused: the join token was used already; make a new invitation"
    );
    assert!(forced.refusal());
    IdentityStore::new(node.config.state_dir.clone()).credentials().unwrap();
}

#[tokio::test]
async fn a_controller_of_another_fleet_is_refused_before_anything_is_sent() {
    let (ours, theirs) = (Controller::new(&Fleet::new()), Controller::new(&Fleet::new()));
    let serving = theirs.serve().await;
    let node = Node::new(&ours);
    let error = node.join(&serving).await.unwrap_err();
    assert!(error.refusal() && error.to_string().contains("nothing was sent to it"), "{error}");
    assert_eq!(theirs.state().enrolments, 0);
    assert!(!node.config.state_dir.root().exists());
}

#[tokio::test]
async fn a_certificate_of_the_fleet_that_is_not_a_controllers_is_refused() {
    let controller = Controller::new(&Fleet::new());
    let serving = controller.serve_as("app-7", "127.0.0.1:0").await;
    let error = Node::new(&controller).join(&serving).await.unwrap_err();
    assert!(error.refusal() && error.to_string().contains("is not the controller of this fleet"), "{error}");
    assert_eq!(controller.state().enrolments, 0);
}

#[tokio::test]
async fn a_controller_that_is_not_there_is_one_clear_line() {
    let controller = Controller::new(&Fleet::new());
    let serving = controller.serve().await;
    let address = serving.address;
    drop(serving);
    eventually("the port is free", || std::net::TcpStream::connect(address).err()).await;
    let token = JoinToken::parse(&controller.token()).unwrap();
    let node = Node::new(&controller);
    let request = JoinRequest {
        token,
        controller: ControllerAddress::parse(&format!("https://{address}")).unwrap(),
        rootless: false,
        force: false,
        facts: node.host.facts("0"),
    };
    let error = join(&node.config, request).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("cannot reach the controller at https://127.0.0.1:") && !text.contains('\n'),
        "{text}"
    );
    assert!(!error.refusal());
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_also_when_it_has_run_out() {
    let controller = Controller::new(&Fleet::new());
    controller.state().life_s = 0;
    let serving = controller.serve().await;
    let mut node = Node::new(&controller);
    let before = node.join(&serving).await.unwrap();
    controller.assign_silently(1, &motd("renewed"));
    node.start();
    node.has_content("/etc/motd", "renewed").await;
    assert!(controller.state().renewals >= 1);
    let after = IdentityStore::new(node.config.state_dir.clone()).enrolment().unwrap();
    assert!(after.certificate_not_after > before.certificate_not_after);
    node.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_days_ahead_makes_nobody_renew_without_end() {
    let (controller, _serving, mut node) = joined().await;
    node.config.clock = muster_agent::Clock::new(|| chrono::Utc::now() + chrono::TimeDelta::days(9));
    controller.assign_silently(1, &motd("served"));
    node.start();
    node.has_content("/etc/motd", "served").await;
    assert_eq!(controller.state().renewals, 1);
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_cannot_store_a_new_certificate_works_with_the_one_it_has() {
    let (controller, _serving, mut node) = joined().await;
    // Due, and good for a while.
    node.config.clock = muster_agent::Clock::new(|| chrono::Utc::now() + chrono::TimeDelta::hours(22));
    std::fs::create_dir(node.config.state_dir.identity().join("node.crt.new")).unwrap();
    controller.assign_silently(1, &motd("served"));
    node.start();
    node.has_content("/etc/motd", "served").await;
    node.stop().await;
}

#[tokio::test]
async fn only_one_agent_runs_for_each_state_folder() {
    let (_controller, _serving, mut node) = joined().await;
    node.start();
    let second = Agent::new(node.config.clone(), node.host.clone(), node.runner.clone());
    assert!(second.err().unwrap().to_string().contains("another agent runs"));
    node.stop().await;
    node.start();
    node.stop().await;
}

#[tokio::test]
async fn a_revoked_node_is_told_why_it_is_turned_away() {
    let (controller, serving, node) = joined().await;
    let store = IdentityStore::new(node.config.state_dir.clone());
    let address = ControllerAddress::parse(&format!("https://{}", serving.address)).unwrap();
    controller.fleet.revoked.store(true, std::sync::atomic::Ordering::Relaxed);
    let tls = tls::enrolled(store.credentials().unwrap()).unwrap();
    // The refusal may come while the connection is made, or with the first call.
    let reason = match dial::dial(&address, tls, node.config.intervals.connect_timeout).await {
        Err(error) => error.to_string(),
        Ok(connection) => {
            AgentServiceClient::new(connection.channel).watch(v1::WatchRequest {}).await.unwrap_err();
            connection.farewell.refusal().unwrap_or_default().to_owned()
        }
    };
    assert!(reason.contains("the identity of this node was revoked"), "{reason:?}");
}

/// As `muster-agent install` does it, with an invitation.
async fn ensure(node: &Node, serving: &Serving, token: &str) -> Result<Membership, MembershipError> {
    let request = JoinRequest {
        token: JoinToken::parse(token).unwrap(),
        controller: ControllerAddress::parse(&format!("https://{}", serving.address)).unwrap(),
        rootless: false,
        force: false,
        facts: node.host.facts("0"),
    };
    membership::ensure(&node.config, Some(request)).await
}

#[tokio::test]
async fn an_invitation_is_used_only_by_a_host_whose_identity_is_of_no_use() {
    let (ours, theirs) = (Controller::new(&Fleet::new()), Controller::new(&Fleet::new()));
    let (serving, other) = (ours.serve().await, theirs.serve().await);
    let node = Node::new(&ours);
    let none = membership::ensure(&node.config, None).await.unwrap_err();
    assert!(none.to_string().contains("muster node invite"), "{none}");
    assert!(matches!(ensure(&node, &serving, &ours.token()).await, Ok(Membership::Joined(_))));
    let kept = membership::ensure(&node.config, None).await.unwrap();
    assert!(matches!(kept, Membership::Kept(known) if known.node_name.as_str() == "app-1"));
    // A second invitation, and the identity works.
    ours.state().token = Some(("id2".into(), "secret2".into()));
    let second = ours.token().replace("id1_secret1", "id2_secret2");
    assert!(matches!(ensure(&node, &serving, &second).await, Ok(Membership::Kept(_))));
    assert_eq!(ours.state().enrolments, 1);

    let error = ensure(&node, &other, &theirs.token()).await.unwrap_err();
    assert!(error.refusal() && error.to_string().contains("node app-1 of another fleet"), "{error}");
    assert_eq!(theirs.state().enrolments, 0);

    ours.fleet.revoked.store(true, std::sync::atomic::Ordering::Relaxed);
    let rejoined = ensure(&node, &serving, &second).await;
    assert!(matches!(rejoined, Ok(Membership::Joined(_))), "{rejoined:?}");
    assert_eq!(ours.state().enrolments, 2);
    // A controller that cannot be asked refuses nobody.
    drop(serving);
    assert!(matches!(ensure(&node, &other, &second).await, Ok(Membership::Kept(_))));
}
