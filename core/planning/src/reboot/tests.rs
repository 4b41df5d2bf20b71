use super::*;
use proptest::prelude::*;

fn time(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn facts(minutes: i64) -> RebootFacts<'static> {
    RebootFacts {
        now: time(minutes),
        boot_id: "one",
        needed: Some("upgraded: libc6"),
        wanted: None,
        window_open: Some(true),
        busy: None,
        converged: true,
        turn: Turn::NotAsked,
    }
}

#[test]
fn a_restart_happens_within_its_window_with_the_turn_of_the_node_and_gives_that_back() {
    let idle = RebootState::default();
    let reason = "upgraded: libc6".to_owned();
    let asks = step(&idle, &facts(0));
    assert_eq!(
        (asks.state.clone(), asks.effects),
        (idle.clone(), vec![RebootEffect::AskTurn { reason: reason.clone() }])
    );
    let goes = step(&idle, &RebootFacts { turn: Turn::Granted, ..facts(0) });
    assert_eq!(
        goes.effects,
        [RebootEffect::Tell(RebootNews::Rebooting { reason: reason.clone() }), RebootEffect::Reboot]
    );
    assert!(goes.state.keeps_turn());
    // Until the host is down there is nothing to do.
    assert_eq!(step(&goes.state, &facts(1)), RebootStep::stay(&goes.state));
    let back = RebootFacts { boot_id: "two", needed: None, converged: false, ..facts(2) };
    let returned = step(&goes.state, &back);
    let news = RebootNews::Rebooted { reason: reason.clone(), still_needed: None };
    assert_eq!(returned.effects, [RebootEffect::Tell(news)]);
    assert!(returned.state.keeps_turn());
    assert_eq!(step(&returned.state, &back), RebootStep::stay(&returned.state));
    let done = step(&returned.state, &RebootFacts { converged: true, ..back });
    assert_eq!(done.effects, [RebootEffect::ReleaseTurn]);
    assert!(!done.state.keeps_turn());
}

#[test]
fn what_it_waits_for_is_told() {
    let check = |facts: RebootFacts<'_>, expected: &str| {
        let step = step(&RebootState::default(), &facts);
        assert_eq!((step.waits_for.as_deref(), step.effects.as_slice()), (Some(expected), &[][..]));
    };
    check(RebootFacts { window_open: Some(false), ..facts(0) }, "its window");
    check(
        RebootFacts { window_open: None, ..facts(0) },
        "a person: no reboot window is declared, or its time cannot be told",
    );
    check(
        RebootFacts { busy: Some("apt-get upgrade (process 7)"), ..facts(0) },
        "the end of apt-get upgrade (process 7)",
    );
    check(RebootFacts { turn: Turn::Waits("app-2 restarts"), ..facts(0) }, "its turn: app-2 restarts");
}

#[test]
fn a_restart_that_did_not_help_is_not_repeated_before_the_next_window() {
    let last = LastReboot { at: time(0), window_closed_since: false };
    let tried = RebootState::Idle { last: Some(last) };
    let again = step(&tried, &facts(30));
    assert_eq!(again.effects, []);
    assert!(again.waits_for.is_some_and(|text| text.contains("that did not help")));
    let closed = step(&tried, &RebootFacts { window_open: Some(false), ..facts(60) });
    assert!(matches!(step(&closed.state, &facts(7 * 24 * 60)).effects[..], [RebootEffect::AskTurn { .. }]));
    assert!(matches!(step(&closed.state, &facts(61)).effects[..], [RebootEffect::AskTurn { .. }]));
    // A window that never closes is another one a day later.
    assert!(matches!(step(&tried, &facts(24 * 60)).effects[..], [RebootEffect::AskTurn { .. }]));
}

#[test]
fn what_a_person_wants_needs_no_window_and_at_once_no_turn() {
    let idle = RebootState::default();
    let wanted = |at_once| RebootFacts {
        needed: None,
        wanted: Some(Wanted { reason: "amara: stuck", at_once }),
        window_open: None,
        ..facts(0)
    };
    let reason = "amara: stuck".to_owned();
    assert_eq!(step(&idle, &wanted(false)).effects, [RebootEffect::AskTurn { reason: reason.clone() }]);
    let waits = step(&idle, &RebootFacts { turn: Turn::Waits("app-2 restarts"), ..wanted(false) });
    assert_eq!((waits.effects, waits.waits_for.as_deref()), (vec![], Some("its turn: app-2 restarts")));
    let goes = [RebootEffect::Tell(RebootNews::Rebooting { reason }), RebootEffect::Reboot];
    assert_eq!(step(&idle, &RebootFacts { turn: Turn::Granted, ..wanted(false) }).effects, goes);
    assert_eq!(step(&idle, &wanted(true)).effects, goes);
    // Packages that are half installed are worse than a minute of patience, and a restart that did not help may help now.
    let busy = step(&idle, &RebootFacts { busy: Some("apt-get"), ..wanted(true) });
    assert_eq!((busy.effects, busy.waits_for.as_deref()), (vec![], Some("the end of apt-get")));
    let last = LastReboot { at: time(0), window_closed_since: false };
    assert_eq!(step(&RebootState::Idle { last: Some(last) }, &wanted(true)).effects, goes);
}

#[test]
fn a_restart_that_never_comes_is_told_and_gives_the_turn_back() {
    let asked = asked(true);
    for minutes in [15, -15] {
        let failed = step(&asked, &facts(minutes));
        let news = RebootNews::Failed { reason: "why".into() };
        assert_eq!(failed.effects, [RebootEffect::Tell(news), RebootEffect::ReleaseTurn]);
        assert_eq!(step(&failed.state, &facts(minutes + 1)).effects, []);
    }
}

fn asked(was_converged: bool) -> RebootState {
    RebootState::Asked { boot_id: "one".into(), reason: "why".into(), at: time(0), was_converged }
}

#[test]
fn a_host_that_does_not_do_its_work_again_keeps_its_turn_for_a_while_and_then_has_failed() {
    for (was_converged, backwards) in [(true, false), (false, false), (true, true)] {
        let unwell =
            |minutes| RebootFacts { boot_id: "two", needed: None, converged: false, ..facts(minutes) };
        // The start took long: its time counts from then on.
        let back = step(&asked(was_converged), &unwell(25)).state;
        let later = step(&back, &unwell(39));
        assert!(later.state.keeps_turn() && later.effects.is_empty());
        let given_up = step(&later.state, &unwell(if backwards { -120 } else { 40 }));
        assert!(!given_up.state.keeps_turn(), "{:?}", given_up.state);
        match &given_up.effects[..] {
            [RebootEffect::FailTurn { detail }] if was_converged => assert!(detail.contains("(why)")),
            // What was wrong before is no reason to hold up the others.
            [RebootEffect::ReleaseTurn] if !was_converged => {}
            other => panic!("{other:?}"),
        }
    }
    // As an agent of before wrote it.
    let old = r#"{"state":"returned","reason":"why","at":"2024-10-04T00:00:00Z"}"#;
    let old: RebootState = serde_json::from_str(old).unwrap();
    assert!(matches!(step(&old, &facts(0)).effects[..], [RebootEffect::ReleaseTurn]));
}

#[test]
fn a_turn_that_came_too_late_is_given_back() {
    let late = RebootFacts { turn: Turn::Granted, window_open: Some(false), ..facts(0) };
    assert_eq!(step(&RebootState::default(), &late).effects, [RebootEffect::ReleaseTurn]);
}

#[test]
fn kernels_are_compared_by_number_and_only_with_their_kind() {
    let check = |running: &str, installed: &[&str], expected: Option<&str>| {
        let installed: Vec<String> = installed.iter().map(|release| (*release).to_owned()).collect();
        let reason =
            expected.map(|newer| format!("the kernel {newer} is installed and {running} is running"));
        assert_eq!(needed(None, running, &installed), reason, "{running}");
    };
    check("6.1.0-9-amd64", &["6.1.0-9-amd64", "6.1.0-28-amd64", "6.1.0-10-amd64"], Some("6.1.0-28-amd64"));
    check("6.1.0-28-amd64", &["6.1.0-9-amd64", "6.1.0-28-amd64"], None);
    check("6.1.0-9-cloud-amd64", &["6.1.0-28-amd64"], None);
    check("5.15.0-91-generic", &["5.15.0-101-generic", "5.15.0-200-lowlatency"], Some("5.15.0-101-generic"));
    check("6.10.2-x86_64-linode165", &["6.11.0-1-amd64"], None);
    check("6.1.0-9-amd64", &[], None);
    let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(needed(Some(&by(&["libc6", "dbus"])), "6", &[]).as_deref(), Some("upgraded: libc6, dbus"));
    assert_eq!(needed(Some(&[]), "6", &[]).as_deref(), Some("an upgrade asks for a restart"));
}

/// One look of an agent at a host: minutes since the last, and what it finds.
fn look() -> impl Strategy<Value = (i64, Option<bool>, [bool; 4])> {
    let minutes = prop_oneof![1..30_i64, 60..3_000_i64, -20..0_i64];
    (minutes, prop::option::weighted(0.9, any::<bool>()), any::<[bool; 4]>())
}

proptest! {
    /// Whatever a host does: restarts happen within windows, with the turn, once in each, and the turn is always given back.
    #[test]
    fn no_host_is_restarted_in_a_loop(looks in prop::collection::vec(look(), 0..60)) {
        let mut state = RebootState::default();
        let mut boot = 0_u32;
        let mut now = 0;
        let mut holds_turn = false;
        let mut last: Option<i64> = None;
        let mut closed_since = true;
        for (minutes, window_open, [needed, granted, converged, comes_back]) in looks {
            now += minutes;
            if matches!(state, RebootState::Asked { .. }) && comes_back {
                boot += 1;
            }
            closed_since |= window_open == Some(false);
            let boot_id = boot.to_string();
            let mut facts = RebootFacts {
                now: time(now),
                boot_id: &boot_id,
                needed: needed.then_some("why"),
                wanted: None,
                window_open,
                busy: None,
                converged,
                turn: Turn::NotAsked,
            };
            let mut decided = step(&state, &facts);
            if matches!(decided.effects[..], [RebootEffect::AskTurn { .. }]) {
                facts.turn = if granted { Turn::Granted } else { Turn::Waits("others") };
                holds_turn |= granted;
                decided = step(&decided.state, &facts);
            }
            for effect in &decided.effects {
                match effect {
                    RebootEffect::AskTurn { .. } => prop_assert!(false, "it asks twice"),
                    RebootEffect::Reboot => {
                        prop_assert!(needed && window_open == Some(true) && holds_turn);
                        let spaced = last.is_none_or(|last| closed_since || (now - last).abs() >= 24 * 60);
                        prop_assert!(spaced, "restarted at {} and at {}", last.unwrap_or_default(), now);
                        (last, closed_since) = (Some(now), false);
                    }
                    RebootEffect::ReleaseTurn | RebootEffect::FailTurn { .. } => holds_turn = false,
                    RebootEffect::Tell(_) => {}
                }
            }
            prop_assert_eq!(decided.state.keeps_turn(), holds_turn);
            let stored: RebootState = serde_json::from_str(&serde_json::to_string(&decided.state).unwrap()).unwrap();
            prop_assert_eq!(&stored, &decided.state);
            state = decided.state;
        }
    }
}
