//! The fleet as a whole, in one process: what a change, a fault or a hostile answer does from end to end.

mod availability;
mod convergence;
mod fields;
mod identity;
mod installing;
mod processes;
mod rollouts;
mod supervised;

/// One environment with two application servers.
const FLEET: &str = "
environments: {production: {}}
nodes:
  app-1: {environment: production, roles: [app_server]}
  app-2: {environment: production, roles: [app_server]}
applications:
  web:
    script: server.js
    port: 3000
    env: {LOG_LEVEL: info}
files:
  motd: {path: /etc/motd, content: \"hello\\n\"}
";
