//! The network of a lab and its faults.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Result;
use muster_lab::{Host, Lab, Peer, wait_for};

use crate::BOUND;

/// Answers every connection to the machine's address in the lab, for as long as the test runs; on which port.
fn serve(address: Ipv4Addr) -> Result<u16> {
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 1024];
            // One that goes away before it asked or read is its own business.
            if connection.read(&mut request).is_ok() {
                connection.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").ok();
            }
        }
    });
    Ok(port)
}

/// The exit code of a request with three seconds of patience: 0 answered, 7 refused or unreachable, 28 no answer.
fn get(host: &Host, url: &str) -> Result<i32> {
    Ok(host.exec(["curl", "--silent", "--max-time", "3", "--output", "/dev/null", url])?.code)
}

fn pings(from: &Host, to: Ipv4Addr) -> Result<bool> {
    Ok(from.exec(["ping", "-c1", "-W2", &to.to_string()])?.code == 0)
}

#[test]
fn hosts_reach_each_other_and_what_listens_on_the_machine_unless_the_cable_is_pulled() -> Result<()> {
    let lab = Lab::new()?;
    let hosts = lab.up_all(vec![lab.host("web"), lab.host("db")])?;
    let (web, db) = (&hosts[0], &hosts[1]);
    let controller = format!("http://{}:{}/", lab.gateway(), serve(lab.gateway())?);
    assert!(pings(web, db.address())?);
    assert_eq!(get(web, &controller)?, 0);
    web.cut()?;
    assert_eq!(web.read_file("/sys/class/net/eth0/carrier")?, "0\n");
    assert!(!pings(db, web.address())?);
    assert_ne!(get(web, &controller)?, 0);
    // A cable does not plug itself in again.
    web.reboot()?;
    assert_ne!(get(web, &controller)?, 0);
    web.heal()?;
    wait_for("the healed host to reach the machine", BOUND, || {
        Ok((get(web, &controller)? == 0).then_some(()))
    })?;
    assert!(pings(db, web.address())?);
    lab.destroy()
}

#[test]
fn a_blocked_host_is_a_black_hole_to_its_peer_only() -> Result<()> {
    let lab = Lab::new()?;
    let hosts = lab.up_all(vec![lab.host("web"), lab.host("db"), lab.host("edge")])?;
    let (web, db, edge) = (&hosts[0], &hosts[1], &hosts[2]);
    let controller = format!("http://{}:{}/", lab.gateway(), serve(lab.gateway())?);
    let no_answer = 28;
    web.block(Peer::Host("db"))?;
    // Both ways, and in silence: nothing refuses.
    assert_eq!(get(web, &format!("http://{}/", db.address()))?, no_answer);
    assert_eq!(get(db, &format!("http://{}/", web.address()))?, no_answer);
    assert!(pings(web, edge.address())?);
    web.unblock(Peer::Host("db"))?;
    assert!(pings(web, db.address())?);
    web.block(Peer::Gateway)?;
    assert_eq!(get(web, &controller)?, no_answer);
    assert!(pings(web, db.address())?);
    assert_eq!(get(db, &controller)?, 0);
    web.unblock(Peer::Gateway)?;
    assert_eq!(get(web, &controller)?, 0);
    web.block(Peer::All)?;
    assert!(!pings(web, db.address())? && !pings(db, web.address())?);
    assert_eq!(get(web, &controller)?, no_answer);
    web.unblock(Peer::All)?;
    assert!(pings(web, db.address())?);
    lab.destroy()
}

#[test]
fn an_offline_host_reaches_its_lab_but_no_archive() -> Result<()> {
    let lab = Lab::new()?;
    let hosts = lab.up_all(vec![lab.host("web"), lab.host("db")])?;
    let (web, db) = (&hosts[0], &hosts[1]);
    // Quiet about what was there before; an index that cannot be fetched is an error.
    let update =
        ["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=0", "update"];
    web.run(update)?;
    web.offline()?;
    assert_ne!(web.exec(update)?.code, 0);
    assert!(pings(web, db.address())?);
    db.run(update)?;
    web.online()?;
    web.run(update)?;
    lab.destroy()
}

#[test]
fn two_labs_side_by_side_know_nothing_of_each_other() -> Result<()> {
    let (first, second) = (Lab::new()?, Lab::new()?);
    assert_ne!(first.number(), second.number());
    let (one, other) = (first.host("web").up()?, second.host("web").up()?);
    assert_ne!(one.address(), other.address());
    assert!(!pings(&one, other.address())?);
    assert!(!pings(&other, one.address())?);
    let number = first.number();
    first.destroy()?;
    assert_eq!(other.run(["hostname"])?, "web\n");
    // The one that is left still has its way to the outside.
    other.run(["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"])?;
    assert!(!muster_lab::leftovers()?.iter().any(|leftover| leftover.lab == number));
    second.destroy()
}
