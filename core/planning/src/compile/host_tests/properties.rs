//! What holds for any declaration.

use super::*;

/// Any selection of what the web stack declares, with other selectors and references.
fn any_fleet() -> impl Strategy<Value = ExampleFleet> {
    let entry = (any::<bool>(), 0usize..5, prop::option::weighted(0.08, 0usize..24));
    prop::collection::vec(entry, 40).prop_map(|choices| {
        let mut fleet = ExampleFleet::web_stack();
        let mut choices = choices.into_iter().cycle();
        let all: Vec<String> = NODES
            .iter()
            .flat_map(|node| fleet.compile(node).unwrap().resources)
            .map(|resource| resource.key.to_string())
            .filter(|key| !key.starts_with("nodejs:"))
            .collect();
        let selectors = [
            None,
            roles(Role::LoadBalancer),
            roles(Role::AppServer),
            Some(Selector { environments: vec![environment("staging")], ..Selector::default() }),
            Some(Selector { nodes: vec![node_name("app-1")], ..Selector::default() }),
        ];
        macro_rules! shake {
            ($($section:ident),+) => {$(
                fleet.configuration.$section.retain(|_, entry| {
                    let (keep, selector, refers) = choices.next().expect("they go round");
                    entry.on = selectors[selector].clone();
                    entry.depends_on = refers.map(|index| all[index * 7 % all.len()].clone()).into_iter().collect();
                    keep
                });
            )+};
        }
        shake!(packages, groups, users, files, systemd_units, services, cron_jobs, logrotate, sysctl, certificates, commands);
        if let Some(base) = &mut fleet.configuration.base {
            let (keep, selector, _) = choices.next().expect("they go round");
            base.on = selectors[selector].clone();
            base.admins.retain(|_, _| keep);
        }
        fleet
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_declared_compiles_to_what_agents_take_or_is_refused(fleet in any_fleet()) {
        for node in NODES {
            match fleet.compile(node) {
                Ok(content) => {
                    prop_assert_eq!(&crate::convergence::check(&content.resources), &[]);
                    prop_assert_eq!(&content, &fleet.compile(node).unwrap());
                }
                // References at random make circles; nothing else is wrong with them.
                Err(error) => prop_assert!(
                    error.problems.iter().all(|problem| matches!(problem, CompileProblem::Cycle { .. })),
                    "{error}"
                ),
            }
        }
    }

    #[test]
    fn what_is_declared_and_what_is_compiled_have_the_same_keys(fleet in any_fleet()) {
        for name in NODES {
            let node = node_name(name);
            let Ok(content) = fleet.compile(name) else { continue };
            let declared = &fleet.configuration.nodes[&node];
            let target = Target { node: &node, environment: &declared.environment, roles: &declared.roles };
            let of_hosts: BTreeSet<_> =
                fleet.configuration.declared_on(&target).into_iter().map(|declared| declared.key).collect();
            let compiled: BTreeSet<_> = content
                .resources
                .iter()
                .map(|resource| resource.key.clone())
                .filter(|key| !matches!(key.kind(), "application" | "nodejs"))
                .collect();
            let selected: Vec<_> = of_hosts.symmetric_difference(&compiled).collect();
            // A name of its own brings a line of /etc/hosts with it.
            prop_assert!(selected.iter().all(|key| key.as_str() == "hosts:node"), "{selected:?}");
        }
    }
}
