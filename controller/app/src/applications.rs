//! Applications: what is declared, what each environment should run, and how it stands. Environments as well.

use crate::{
    Actor, App, AppError, ConvergenceCounts, Permission, ProcessRecord,
    page::{PageRequest, Paged},
    shorten,
};
use muster_db::{
    Conn,
    applications::{ReleaseCount, TargetRecord},
    nodes::{NodeFilter, NodeOverview},
    processes::{ProcessCount, ProcessFilter},
};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeName, ReleaseVersion, RolloutId,
    fleet::{Application, FleetConfiguration},
    node::Liveness,
    selection::Target,
};
use std::collections::{BTreeMap, BTreeSet};

/// Processes shown with one application.
const PROCESSES_OF_AN_APPLICATION: i64 = 10_000;
/// Nodes that are looked at to count an environment: a fleet has no more.
pub(crate) const NODES_AT_MOST: i64 = 20_000;

/// An application in a list.
#[derive(Debug, Clone)]
pub struct ApplicationView {
    /// Its name.
    pub name: ApplicationName,
    /// It is in the fleet configuration.
    pub declared: bool,
    /// Per environment in which it may run, in the order of their names.
    pub environments: Vec<ApplicationEnvironmentView>,
    /// How many releases there are.
    pub release_count: u32,
    /// The newest release's version.
    pub latest_release: Option<ReleaseVersion>,
}

/// An application in one environment.
#[derive(Debug, Clone)]
pub struct ApplicationEnvironmentView {
    /// The environment.
    pub environment: EnvironmentName,
    /// The version of the release that it should run.
    pub release: Option<ReleaseVersion>,
    /// Declared nodes that should run it.
    pub nodes: Vec<NodeName>,
    /// Processes in all.
    pub process_count: u32,
    /// Processes that are ready.
    pub process_ready_count: u32,
    /// The rollout under way.
    pub active_rollout: Option<RolloutId>,
}

/// An application in full.
#[derive(Debug, Clone)]
pub struct ApplicationFullView {
    /// What the list shows.
    pub summary: ApplicationView,
    /// Its declaration.
    pub declaration: Option<Application>,
    /// Its processes on all nodes.
    pub processes: Vec<ProcessRecord>,
}

/// An environment.
#[derive(Debug, Clone)]
pub struct EnvironmentView {
    /// Its name.
    pub name: EnvironmentName,
    /// Declared nodes, enrolled or not.
    pub node_count: u32,
    /// Nodes that beat.
    pub node_up_count: u32,
    /// Nodes that beat and are as they should be.
    pub node_converged_count: u32,
    /// How many enrolled nodes stand how.
    pub convergence: ConvergenceCounts,
}

/// What the database knows of applications.
struct Known {
    releases: Vec<ReleaseCount>,
    targets: Vec<TargetRecord>,
    processes: Vec<ProcessCount>,
    rollouts: Vec<(ApplicationName, EnvironmentName, RolloutId)>,
}

impl Known {
    async fn load(conn: &mut Conn, application: Option<&str>) -> Result<Self, AppError> {
        Ok(Self {
            releases: muster_db::applications::release_counts(conn, application).await?,
            targets: muster_db::applications::targets(conn, application).await?,
            processes: muster_db::processes::counts(conn, application).await?,
            rollouts: muster_db::applications::active_rollouts(conn, application).await?,
        })
    }

    fn view(&self, name: &ApplicationName, configuration: &FleetConfiguration) -> ApplicationView {
        let declaration = configuration.applications.get(name);
        let mut nodes: BTreeMap<&EnvironmentName, Vec<NodeName>> = BTreeMap::new();
        for (node_name, node) in &configuration.nodes {
            let target = Target { node: node_name, environment: &node.environment, roles: &node.roles };
            if declaration.is_some_and(|declaration| target.runs(declaration)) {
                nodes.entry(&node.environment).or_default().push(node_name.clone());
            }
        }
        let targets: BTreeMap<_, _> = self
            .targets
            .iter()
            .filter(|t| t.application == *name)
            .map(|t| (&t.environment, &t.release))
            .collect();
        let processes: BTreeMap<_, _> =
            self.processes.iter().filter(|p| p.application == *name).map(|p| (&p.environment, p)).collect();
        let names: BTreeSet<_> =
            nodes.keys().chain(targets.keys()).chain(processes.keys()).copied().collect();
        let environments = names
            .into_iter()
            .map(|environment| ApplicationEnvironmentView {
                environment: environment.clone(),
                release: targets.get(environment).map(|version| (*version).clone()),
                nodes: nodes.get(environment).cloned().unwrap_or_default(),
                process_count: processes.get(environment).map_or(0, |p| p.process_count),
                process_ready_count: processes.get(environment).map_or(0, |p| p.process_ready_count),
                active_rollout: self
                    .rollouts
                    .iter()
                    .find(|(application, at, _)| application == name && at == environment)
                    .map(|(_, _, id)| *id),
            })
            .collect();
        let releases = self.releases.iter().find(|r| r.application == *name);
        ApplicationView {
            name: name.clone(),
            declared: declaration.is_some(),
            environments,
            release_count: releases.map_or(0, |r| r.release_count),
            latest_release: releases.map(|r| r.latest.clone()),
        }
    }
}

impl App {
    pub(crate) async fn configuration_in_force(
        &self,
        conn: &mut Conn,
    ) -> Result<(i64, FleetConfiguration), AppError> {
        let current = muster_db::fleet_configurations::current(conn).await?;
        Ok(current.map_or_else(Default::default, |current| (current.version, current.configuration)))
    }

    /// Refuses an application that is not declared.
    pub(crate) async fn application_require(
        &self,
        conn: &mut Conn,
        application: &ApplicationName,
    ) -> Result<(), AppError> {
        let (_, configuration) = self.configuration_in_force(conn).await?;
        if configuration.applications.contains_key(application) {
            return Ok(());
        }
        Err(application_missing(application.as_str()))
    }

    /// Applications that are declared or have releases, in the order of their names.
    pub async fn application_list(
        &self,
        actor: &Actor,
        page: &PageRequest,
    ) -> Result<Paged<ApplicationView>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let (_, configuration) = self.configuration_in_force(&mut conn).await?;
        let known = Known::load(&mut conn, None).await?;
        let names: BTreeSet<&ApplicationName> =
            configuration.applications.keys().chain(known.releases.iter().map(|r| &r.application)).collect();
        let after: Option<ApplicationName> = page.parse()?;
        let views: Vec<ApplicationView> = names
            .into_iter()
            .filter(|name| after.as_ref().is_none_or(|after| *name > after))
            .take(page.limit() + 1)
            .map(|name| known.view(name, &configuration))
            .collect();
        Ok(page.page(views, |view| view.name.to_string()))
    }

    /// One application in full.
    pub async fn application_get(&self, actor: &Actor, name: &str) -> Result<ApplicationFullView, AppError> {
        actor.require(Permission::FleetView)?;
        let parsed: ApplicationName = name.parse().map_err(|_| application_missing(name))?;
        let mut conn = self.db().conn().await?;
        let (_, mut configuration) = self.configuration_in_force(&mut conn).await?;
        let known = Known::load(&mut conn, Some(name)).await?;
        if !configuration.applications.contains_key(&parsed) && known.releases.is_empty() {
            return Err(application_missing(name));
        }
        let filter = ProcessFilter { application: Some(name), ..ProcessFilter::default() };
        let processes = muster_db::processes::list(&mut conn, &filter, PROCESSES_OF_AN_APPLICATION).await?;
        let summary = known.view(&parsed, &configuration);
        Ok(ApplicationFullView {
            summary,
            declaration: configuration.applications.remove(&parsed),
            processes,
        })
    }

    /// Environments that are declared or have nodes, in the order of their names.
    pub async fn environment_list(&self, actor: &Actor) -> Result<Vec<EnvironmentView>, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let (_, configuration) = self.configuration_in_force(&mut conn).await?;
        let nodes = self.node_overviews(&mut conn, &NodeFilter::default(), NODES_AT_MOST).await?;
        Ok(environments(&configuration, &nodes))
    }
}

/// How the environments stand.
pub(crate) fn environments(
    configuration: &FleetConfiguration,
    nodes: &[NodeOverview],
) -> Vec<EnvironmentView> {
    let mut views: BTreeMap<&EnvironmentName, EnvironmentView> = BTreeMap::new();
    let empty = |name: &EnvironmentName| EnvironmentView {
        name: name.clone(),
        node_count: 0,
        node_up_count: 0,
        node_converged_count: 0,
        convergence: ConvergenceCounts::default(),
    };
    for name in configuration.environments.keys() {
        views.entry(name).or_insert_with(|| empty(name));
    }
    let living = || nodes.iter().filter(|node| node.liveness != Liveness::Revoked);
    let enrolled: BTreeSet<&NodeName> = living().map(|node| &node.name).collect();
    for (name, declared) in &configuration.nodes {
        let view = views.entry(&declared.environment).or_insert_with(|| empty(&declared.environment));
        view.node_count += u32::from(!enrolled.contains(name));
    }
    for node in living() {
        let view = views.entry(&node.environment).or_insert_with(|| empty(&node.environment));
        let up = matches!(node.liveness, Liveness::Up | Liveness::Late);
        view.node_count += 1;
        view.node_up_count += u32::from(up);
        view.node_converged_count += u32::from(up && up_to_date(node));
        view.convergence.add(node.convergence);
    }
    views.into_values().collect()
}

/// The node is as it should be: it reported so, for the assignment that is in force now.
pub(crate) fn up_to_date(node: &NodeOverview) -> bool {
    node.converged == Some(true)
        && node.reported_generation == node.generation
        && node.compile_error.is_none()
}

fn application_missing(name: &str) -> AppError {
    AppError::not_found("application", shorten(name))
        .with_hint("declare it in a fleet file and apply it: `muster apply -f DIR`")
}
