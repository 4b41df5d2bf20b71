//! The dashboard is part of the program. Without a built one, a page in its place says how to build it.

use std::{fs, io, path::Path};

const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Muster</title>
<h1>This controller was built without its dashboard</h1>
<p>Run <code>npm ci &amp;&amp; npm run build</code> in <code>web-ui</code>, then build the controller again.
The REST API at <a href=\"/api/v1/openapi.json\">/api/v1</a> and the command line work without it.</p>
</html>
";

fn main() -> io::Result<()> {
    let dist = Path::new("../web-ui/dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());
    if !dist.join("index.html").exists() {
        fs::create_dir_all(dist)?;
        fs::write(dist.join("index.html"), PLACEHOLDER)?;
    }
    Ok(())
}
