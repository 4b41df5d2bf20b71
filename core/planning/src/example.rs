//! A small fleet for tests of the planners and of what stands on them: one place to say what a typical fleet looks like.
//!
//! Start here: [`ExampleFleet::shop`], then change what the test is about.

use crate::compile::{CompileError, CompileInput, ReleaseFacts, compile};
use muster_domain::{
    ApplicationName, Digest, EnvironmentName, NodeId, NodeName, ReleaseId,
    assignment::AssignmentContent,
    fleet::{
        Application, ApplicationOverride, EnvValue, Environment, FileEntry, FleetConfiguration, Health,
        Instances, MaxWord, Node, Selector,
    },
    node::Role,
};
use std::collections::BTreeMap;

/// Everything that compiling needs, owned.
#[derive(Debug, Clone)]
pub struct ExampleFleet {
    /// What people declared.
    pub configuration: FleetConfiguration,
    /// Files that `source:` names.
    pub attachments: BTreeMap<String, Vec<u8>>,
    /// The release of every application, the same on all nodes.
    pub releases: BTreeMap<ApplicationName, ReleaseFacts>,
    /// Values of secrets, the same in all environments.
    pub secrets: BTreeMap<String, String>,
}

impl ExampleFleet {
    /// A load balancer, two application servers and a machine for all of staging; `web` and `api` run on them.
    pub fn shop() -> Self {
        let mut configuration = FleetConfiguration::default();
        let region = BTreeMap::from([("REGION".to_owned(), EnvValue::Text("eu-central".to_owned()))]);
        configuration
            .environments
            .insert(environment("production"), Environment { env: region, ..Environment::default() });
        configuration.environments.insert(environment("staging"), Environment::default());
        for (name, place, roles) in [
            ("lb-1", "production", vec![Role::LoadBalancer]),
            ("app-1", "production", vec![Role::AppServer]),
            ("app-2", "production", vec![Role::AppServer]),
            ("stage-1", "staging", Role::ALL.to_vec()),
        ] {
            let node = Node { roles, ..Node::of(environment(place)) };
            configuration.nodes.insert(node_name(name), node);
        }
        let debug = BTreeMap::from([("LOG_LEVEL".to_owned(), EnvValue::Text("debug".to_owned()))]);
        let in_staging = ApplicationOverride {
            instances: Some(Instances::Count(1)),
            env: debug,
            ..ApplicationOverride::default()
        };
        let web = Application {
            nodejs: "22".to_owned(),
            instances: Some(Instances::Max(MaxWord::Max)),
            port: Some(3000),
            health: Some(Health::Http("/healthz".to_owned())),
            env: BTreeMap::from([("LOG_LEVEL".to_owned(), EnvValue::Text("info".to_owned()))]),
            secrets: vec!["STRIPE_KEY".to_owned()],
            overrides: BTreeMap::from([(environment("staging"), in_staging)]),
            ..application("dist/server.js")
        };
        let api = Application {
            nodejs: "22".to_owned(),
            instances: Some(Instances::Count(2)),
            port: Some(4000),
            ..application("server.js")
        };
        configuration.applications.insert(application_name("web"), web);
        configuration.applications.insert(application_name("api"), api);
        let on_servers = Selector { roles: vec![Role::AppServer], ..Selector::default() };
        for (name, entry) in [
            (
                "motd",
                FileEntry {
                    path: "/etc/motd".to_owned(),
                    content: Some("Run by Muster.\n".to_owned()),
                    ..FileEntry::default()
                },
            ),
            (
                "shop-folder",
                FileEntry {
                    path: "/srv/shop".to_owned(),
                    directory: true,
                    mode: Some("0750".to_owned()),
                    on: Some(on_servers.clone()),
                    ..FileEntry::default()
                },
            ),
            (
                "shop-settings",
                FileEntry {
                    path: "/srv/shop/settings.json".to_owned(),
                    source: Some("settings.json".to_owned()),
                    on: Some(on_servers),
                    ..FileEntry::default()
                },
            ),
        ] {
            configuration.files.insert(name.to_owned(), entry);
        }
        Self {
            configuration,
            attachments: BTreeMap::from([("settings.json".to_owned(), b"{}\n".to_vec())]),
            releases: [("web", 1), ("api", 2)]
                .into_iter()
                .map(|(name, number)| (application_name(name), release(number)))
                .collect(),
            secrets: BTreeMap::from([("STRIPE_KEY".to_owned(), "sk_live_1".to_owned())]),
        }
    }

    /// The fleet of `docs/how-to/declaring-a-host.md`: a load balancer, two application servers and a machine for all of
    /// staging, with every kind of resource.
    pub fn web_stack() -> Self {
        let text = |text: &str| text.as_bytes().to_vec();
        Self {
            configuration: serde_json::from_str(include_str!("example/web-stack.json"))
                .expect("it was written from a configuration"),
            attachments: BTreeMap::from([
                ("files/shop.conf".to_owned(), text(include_str!("example/shop.conf"))),
                ("keys/nginx.asc".to_owned(), text(include_str!("example/nginx.asc"))),
            ]),
            releases: BTreeMap::from([(application_name("web"), release(1))]),
            secrets: BTreeMap::from([("SHOP_TOKEN".to_owned(), "tok_live_1".to_owned())]),
        }
    }

    /// Compiles a declared node.
    pub fn compile(&self, name: &str) -> Result<AssignmentContent, CompileError> {
        let name = node_name(name);
        let node = &self.configuration.nodes[&name];
        compile(&CompileInput {
            node: &name,
            environment: &node.environment,
            roles: &node.roles,
            configuration: &self.configuration,
            attachments: &self.attachments,
            releases: &self.releases,
            secrets: &self.secrets,
        })
    }

    /// An application, to change.
    pub fn application(&mut self, name: &str) -> &mut Application {
        self.configuration.applications.get_mut(&application_name(name)).expect("the example declares it")
    }
}

/// An application with nothing but its entry point.
pub fn application(script: &str) -> Application {
    Application::new(script)
}

/// A release that differs from those with other numbers in everything.
pub fn release(number: u8) -> ReleaseFacts {
    ReleaseFacts {
        id: release_id(number),
        version: format!("1.{number}.0").parse().expect("a valid version"),
        artifact_digest: Digest::from_bytes([number; 32]),
    }
}

/// The id of a release.
pub fn release_id(number: u8) -> ReleaseId {
    format!("00000000-0000-7000-8000-0000000001{number:02x}").parse().expect("a valid id")
}

/// The id of a node.
pub fn node_id(number: u8) -> NodeId {
    format!("00000000-0000-7000-8000-0000000000{number:02x}").parse().expect("a valid id")
}

/// The name of a node.
pub fn node_name(name: &str) -> NodeName {
    NodeName::parse(name).expect("a valid name")
}

/// The name of an environment.
pub fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).expect("a valid name")
}

/// The name of an application.
pub fn application_name(name: &str) -> ApplicationName {
    ApplicationName::parse(name).expect("a valid name")
}
