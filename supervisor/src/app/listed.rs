//! Sockets the spec itself names (`listen_fds`), for applications that cannot ask for them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use muster_supervisor_protocol::ListenAddress;

use super::App;
use crate::process::users;

impl App {
    /// What an instance is handed when it starts, by name; empty for most applications.
    pub(super) fn listed_sockets(&mut self, id: u64) -> Result<Vec<(String, Arc<OwnedFd>)>, String> {
        let Some(member) = self.members.get_mut(&id) else { return Ok(Vec::new()) };
        if member.spec.listen_fds.is_empty() {
            return Ok(Vec::new());
        }
        let user = users::resolve(&member.spec)?;
        let mut listed = Vec::new();
        for text in &member.spec.listen_fds {
            let address: ListenAddress = text.parse().map_err(|error| format!("listen_fds: {error}"))?;
            let keeper = Some((&self.shared.keeper, self.name.as_str()));
            let (socket, key) = self
                .sockets
                .listed(&address, user.as_ref(), keeper)
                .map_err(|refusal| format!("listen_fds: {}", refusal.message))?;
            member.keys.insert(key);
            listed.push((address.fd_name(), socket));
        }
        Ok(listed)
    }
}
