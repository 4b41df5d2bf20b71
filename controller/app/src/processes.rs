//! Processes on all nodes.

use crate::{
    Actor, App, AppError, Permission, ProcessRecord,
    page::{PageRequest, Paged},
};
use muster_db::processes::ProcessFilter;

/// Which processes to list. Absent parts do not restrict.
#[derive(Debug, Clone, Default)]
pub struct ProcessQuery {
    /// Of this application.
    pub application: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// On this node.
    pub node: Option<String>,
    /// Which page.
    pub page: PageRequest,
}

/// Names hold no slash, so it can stand between them.
const BETWEEN: char = '/';

struct After {
    application: String,
    node: String,
    instance: u32,
}

impl std::str::FromStr for After {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: [&str; 3] = text.split(BETWEEN).collect::<Vec<_>>().try_into().map_err(|_| ())?;
        Ok(Self {
            application: parts[0].to_owned(),
            node: parts[1].to_owned(),
            instance: parts[2].parse().map_err(|_| ())?,
        })
    }
}

impl App {
    /// Processes in the order of application, node and instance.
    pub async fn process_list(
        &self,
        actor: &Actor,
        query: &ProcessQuery,
    ) -> Result<Paged<ProcessRecord>, AppError> {
        actor.require(Permission::FleetView)?;
        let after: Option<After> = query.page.parse()?;
        let filter = ProcessFilter {
            application: query.application.as_deref(),
            environment: query.environment.as_deref(),
            node: query.node.as_deref(),
            after: after.as_ref().map(|a| (a.application.as_str(), a.node.as_str(), a.instance)),
        };
        let mut conn = self.db().conn().await?;
        let processes = muster_db::processes::list(&mut conn, &filter, query.page.rows()).await?;
        Ok(query
            .page
            .page(processes, |p| format!("{}{BETWEEN}{}{BETWEEN}{}", p.application, p.node, p.instance)))
    }
}
