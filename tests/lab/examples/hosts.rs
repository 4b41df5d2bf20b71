//! A lab with two hosts, until Enter is pressed: `cargo run -p muster-lab --example hosts`. However this program ends,
//! the lab ends with it.

use std::io::BufRead as _;

use anyhow::Result;
use muster_lab::Lab;

fn main() -> Result<()> {
    let lab = Lab::new()?;
    let hosts = lab.up_all(vec![lab.host("web"), lab.host("db")])?;
    println!("lab {}", lab.number());
    for host in hosts {
        println!("{} {}", host.name(), host.address());
    }
    println!("ready");
    std::io::stdin().lock().lines().next().transpose()?;
    Ok(())
}
