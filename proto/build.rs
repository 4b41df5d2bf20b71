//! Compiles the protocol without a system `protoc`.

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rerun-if-changed=muster");
    let files = ["agent_service", "enrolment", "desired_state", "plan", "report", "turn"]
        .map(|f| root.join(format!("muster/agent/v1/{f}.proto")));
    let descriptors = protox::compile(files, [&root])?;
    tonic_prost_build::configure().build_client(true).build_server(true).compile_fds(descriptors)?;
    Ok(())
}
