use proptest::prelude::*;

use super::*;

fn policy() -> Policy {
    Policy {
        autorestart: true,
        max_restarts: 16,
        min_uptime_ms: 1_000,
        restart_delay_ms: 0,
        exp_backoff_restart_delay_ms: 0,
        stop_exit_codes: vec![],
        max_memory_bytes: None,
        listen_timeout_ms: 3_000,
        kill_timeout_ms: 1_600,
        drains: false,
        disconnects: false,
    }
}

/// Drives one instance by hand, firing the timer that the last effects armed.
struct Driver {
    policy: Policy,
    instance: Instance,
    now_ms: u64,
    effects: Vec<Effect>,
}

impl Driver {
    fn new(policy: Policy) -> Self {
        Self { policy, instance: Instance::default(), now_ms: 0, effects: vec![] }
    }

    fn send(&mut self, event: Event) -> &mut Self {
        let ctx = Context { now_ms: self.now_ms, policy: &self.policy };
        let next = step(&ctx, &self.instance, event).unwrap();
        self.instance = next.instance;
        self.effects = next.effects;
        self
    }

    fn launch(&self) -> LaunchId {
        self.instance.launch().expect("a process")
    }

    fn exit_after(&mut self, uptime_ms: u64, code: i32) -> &mut Self {
        self.now_ms += uptime_ms;
        let launch = self.launch();
        self.send(Event::Exited { launch, exit: Exit::Code(code) })
    }

    /// Lets the armed timer fire; gives its delay.
    fn fire(&mut self) -> u64 {
        let (timer, after_ms) = self
            .effects
            .iter()
            .find_map(|effect| match effect {
                Effect::ArmTimer { timer, after_ms } => Some((*timer, *after_ms)),
                _ => None,
            })
            .expect("a timer");
        self.now_ms += after_ms;
        self.send(Event::TimerFired { timer });
        after_ms
    }

    fn kind(&self) -> &'static str {
        self.instance.state.kind()
    }
}

#[test]
fn a_launcher_that_fails_late_is_a_failure_also_when_its_process_counted_as_ready() {
    let mut driver = Driver::new(Policy { autorestart: false, ..policy() });
    driver.send(Event::Start);
    let launch = driver.launch();
    driver.send(Event::BecameReady { launch }).send(Event::SpawnFailed { launch, reason: "no".into() });
    assert_eq!(driver.instance.launch(), None);
}

#[test]
fn a_launcher_that_fails_while_it_is_ended_is_followed_by_what_was_asked_for() {
    let failing = |event: Event| {
        let mut driver = Driver::new(policy());
        driver.send(Event::Start);
        let launch = driver.launch();
        driver.send(event).send(Event::SpawnFailed { launch, reason: "no".into() });
        driver
    };
    let stopped = failing(Event::Stop);
    assert_eq!(stopped.instance.state, State::Stopped { cause: StopCause::Requested });
    for cause in [RestartCause::Requested, RestartCause::Cron] {
        let restarted = failing(Event::Restart { cause });
        assert!(matches!(restarted.instance.state, State::Starting { .. }), "{:?}", restarted.instance.state);
    }
}

#[test]
fn want_of_memory_is_told_with_the_limit() {
    let mb = 1_048_576;
    for (which, told) in [
        (
            OutOfMemory::Kernel { limit_bytes: Some(256 * mb) },
            "was ended by the kernel: out of memory (limit 256 MB)",
        ),
        (
            OutOfMemory::Kernel { limit_bytes: None },
            "was ended by the kernel: out of memory (not by a limit of its own)",
        ),
        (
            OutOfMemory::Polled { used_bytes: 519 * mb + 1, limit_bytes: 512 * mb },
            "was ended: memory 520 MB is above its limit 512 MB (polled)",
        ),
    ] {
        assert_eq!(Exit::OutOfMemory(which).to_string(), told);
    }
}

#[test]
fn sixteen_quick_exits_are_a_crash_loop_after_fifteen_restarts() {
    for (max_restarts, expected) in [(16, 15), (3, 2)] {
        let mut driver = Driver::new(Policy { max_restarts, ..policy() });
        driver.send(Event::Start);
        while driver.kind() == "starting" {
            driver.exit_after(50, 3);
        }
        assert_eq!((driver.kind(), driver.instance.history.restarts), ("crash_looping", expected));
    }
}

#[test]
fn a_delayed_crash_loop_is_caught_too() {
    let mut driver = Driver::new(Policy { restart_delay_ms: 3_000, ..policy() });
    driver.send(Event::Start);
    for _ in 0..15 {
        driver.exit_after(50, 3);
        assert_eq!(driver.kind(), "backing_off");
        assert_eq!(driver.fire(), 3_000);
    }
    driver.exit_after(50, 3);
    assert_eq!(driver.kind(), "crash_looping");
}

#[test]
fn the_growing_delay_is_the_one_pm2_users_know_and_never_gives_up() {
    let mut driver = Driver::new(Policy { exp_backoff_restart_delay_ms: 100, ..policy() });
    driver.send(Event::Start);
    let mut delays = vec![];
    for _ in 0..40 {
        driver.exit_after(50, 3);
        delays.push(driver.fire());
    }
    assert_eq!(delays[..10], [100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829]);
    assert_eq!(delays.last(), Some(&15_000));
}

#[test]
fn a_long_run_resets_the_growing_delay() {
    let mut driver = Driver::new(Policy { exp_backoff_restart_delay_ms: 100, ..policy() });
    driver.send(Event::Start).exit_after(50, 1);
    driver.fire();
    driver.exit_after(50, 1);
    assert_eq!(driver.fire(), 150);
    driver.exit_after(31_000, 1);
    assert_eq!(driver.fire(), 100);
}

#[test]
fn exits_spread_over_time_are_no_crash_loop() {
    let mut driver = Driver::new(policy());
    driver.send(Event::Start);
    for round in 0..100 {
        let launch = driver.launch();
        driver.send(Event::BecameReady { launch });
        driver.exit_after(if round % 2 == 0 { 10 } else { 60_000 }, 1);
        assert_eq!(driver.kind(), "starting");
    }
}

#[test]
fn stop_exit_codes_and_no_autorestart_end_stopped_even_with_a_delay() {
    let mut driver = Driver::new(Policy { stop_exit_codes: vec![3], restart_delay_ms: 1_000, ..policy() });
    driver.send(Event::Start).exit_after(50, 3);
    assert_eq!(driver.kind(), "stopped");
    let mut driver = Driver::new(Policy { autorestart: false, restart_delay_ms: 1_000, ..policy() });
    driver.send(Event::Start).exit_after(50, 3);
    assert_eq!(driver.kind(), "stopped");
}

#[test]
fn a_process_that_never_gets_ready_is_ended_and_then_gets_more_time() {
    let mut driver = Driver::new(policy());
    driver.send(Event::Start);
    assert_eq!(driver.fire(), 3_000);
    assert!(driver.effects.iter().any(|effect| matches!(effect, Effect::Ask { .. })));
    driver.exit_after(10, 0);
    assert_eq!(driver.kind(), "starting");
    assert_eq!(driver.fire(), 6_000);
}

#[test]
fn what_never_gets_ready_is_given_up_after_max_restarts_however_long_it_takes() {
    let mut driver = Driver::new(policy());
    driver.send(Event::Start);
    let mut rounds = 0;
    while driver.kind() == "starting" {
        driver.fire();
        driver.exit_after(10, 0);
        rounds += 1;
    }
    assert_eq!((driver.kind(), rounds), ("crash_looping", 16));
    let State::CrashLooping { reason } = &driver.instance.state else { panic!() };
    assert!(reason.starts_with("was not ready within"), "{reason}");
}

#[test]
fn ending_a_worker_goes_through_every_step_and_then_kills() {
    let mut driver = Driver::new(Policy { drains: true, disconnects: true, ..policy() });
    driver.send(Event::Start);
    let launch = driver.launch();
    driver.send(Event::BecameReady { launch }).send(Event::Stop);
    assert_eq!(driver.effects[1], Effect::Drain { launch });
    driver.send(Event::Drained { launch });
    assert_eq!(driver.effects[0], Effect::Disconnect { launch });
    assert_eq!(driver.fire(), Policy::DISCONNECT_GRACE_MS);
    assert_eq!(driver.effects[0], Effect::Ask { launch });
    assert_eq!(driver.fire(), 1_600);
    assert_eq!(driver.effects[0], Effect::Kill { launch });
    driver.send(Event::Exited { launch, exit: Exit::Signal(9) });
    assert_eq!(driver.instance.state, State::Stopped { cause: StopCause::Requested });
}

#[test]
fn a_restart_stops_first_counts_and_forgives_in_any_state() {
    let restart = || Event::Restart { cause: RestartCause::Requested };
    let mut driver = Driver::new(Policy { restart_delay_ms: 1_000, ..policy() });
    driver.send(restart());
    assert_eq!((driver.kind(), driver.instance.history.restarts), ("starting", 0), "it was stopped");
    let first = driver.launch();
    driver.send(Event::BecameReady { launch: first }).send(restart());
    assert_eq!(driver.kind(), "stopping");
    driver.exit_after(5, 0);
    assert_eq!((driver.kind(), driver.instance.history.restarts), ("starting", 1));
    assert_ne!(driver.launch(), first);
    driver.exit_after(5, 1);
    assert_eq!((driver.kind(), driver.instance.history.unstable_restarts()), ("backing_off", 1));
    driver.send(restart());
    assert_eq!((driver.kind(), driver.instance.history.unstable_restarts()), ("starting", 0));
    let mut driver = Driver::new(Policy { max_restarts: 1, ..policy() });
    driver.send(Event::Start).exit_after(5, 1);
    assert_eq!(driver.kind(), "crash_looping");
    driver.send(restart());
    assert_eq!(driver.kind(), "starting");
}

#[test]
fn a_start_while_it_ends_is_remembered_and_a_stop_takes_it_back() {
    let mut driver = Driver::new(policy());
    driver.send(Event::Start).send(Event::Stop).send(Event::Start);
    driver.exit_after(5, 0);
    assert_eq!(driver.kind(), "starting");
    driver.send(Event::Stop).send(Event::Start).send(Event::Stop);
    driver.exit_after(5, 0);
    assert_eq!(driver.kind(), "stopped");
}

#[test]
fn cron_and_watch_leave_alone_what_was_stopped_on_purpose_and_revive_what_ended() {
    for cause in [RestartCause::Cron, RestartCause::FileChanged { path: "a.js".into() }] {
        let event = || Event::Restart { cause: cause.clone() };
        let mut driver = Driver::new(Policy { autorestart: false, ..policy() });
        driver.send(event());
        assert_eq!(driver.kind(), "stopped", "never started");
        driver.send(Event::Start).exit_after(50, 0);
        assert_eq!(driver.kind(), "stopped");
        driver.send(event());
        assert_eq!(driver.kind(), "starting", "a job that ended is run again");
        driver.send(Event::Stop).send(event()).exit_after(5, 0);
        assert_eq!(driver.kind(), "stopped");
        driver.send(event());
        assert_eq!(driver.kind(), "stopped");
    }
}

#[test]
fn a_reset_counts_from_zero_and_changes_nothing_else() {
    let mut driver = Driver::new(Policy { exp_backoff_restart_delay_ms: 100, ..policy() });
    driver.send(Event::Start).exit_after(50, 1);
    driver.fire();
    driver.exit_after(50, 1);
    let before = driver.instance.state.clone();
    driver.send(Event::Reset);
    assert_eq!(driver.instance.state, before);
    assert_eq!(driver.instance.history, History::default());
}

#[test]
fn too_much_memory_asks_for_a_replacement_and_says_how_much() {
    let mb = 1024 * 1024;
    let mut driver = Driver::new(Policy { max_memory_bytes: Some(400 * mb), ..policy() });
    driver.send(Event::Start);
    let launch = driver.launch();
    driver.send(Event::MemorySeen { launch, resident_bytes: 500 * mb });
    assert!(driver.effects.is_empty(), "not before it is ready");
    driver.send(Event::BecameReady { launch });
    driver.send(Event::MemorySeen { launch, resident_bytes: 400 * mb });
    assert!(driver.effects.is_empty());
    driver.send(Event::MemorySeen { launch, resident_bytes: 412 * mb });
    let reason = "resident memory 412 MB is above max_memory_restart 400 MB".to_owned();
    assert_eq!(
        driver.effects,
        [Effect::Report { report: Report::MemoryRestart, reason }, Effect::Replace { launch }]
    );
}

#[test]
fn death_by_signal_counts_as_exit_code_zero() {
    let mut driver = Driver::new(Policy { stop_exit_codes: vec![0], ..policy() });
    driver.send(Event::Start);
    let launch = driver.launch();
    driver.send(Event::Exited { launch, exit: Exit::Signal(9) });
    assert_eq!(driver.kind(), "stopped");
}

fn any_cause() -> impl Strategy<Value = RestartCause> {
    prop_oneof![
        Just(RestartCause::Requested),
        Just(RestartCause::Cron),
        Just(RestartCause::FileChanged { path: "a.js".into() }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let launch = || (0_u64..12).prop_map(LaunchId);
    prop_oneof![
        Just(Event::Start),
        Just(Event::Stop),
        any_cause().prop_map(|cause| Event::Restart { cause }),
        Just(Event::Reset),
        (launch(), 0_u64..200)
            .prop_map(|(launch, resident_bytes)| Event::MemorySeen { launch, resident_bytes }),
        launch().prop_map(|launch| Event::SpawnFailed { launch, reason: "r".into() }),
        launch().prop_map(|launch| Event::BecameReady { launch }),
        launch().prop_map(|launch| Event::Drained { launch }),
        launch().prop_map(|launch| Event::ChannelLost { launch }),
        (launch(), any::<i32>()).prop_map(|(launch, code)| Event::Exited { launch, exit: Exit::Code(code) }),
        (launch(), 0..40).prop_map(|(launch, signal)| Event::Exited { launch, exit: Exit::Signal(signal) }),
        (launch(), any::<bool>())
            .prop_map(|(launch, watched)| Event::Exited { launch, exit: Exit::Unknown { watched } }),
        (0_u64..20).prop_map(|timer| Event::TimerFired { timer: TimerId(timer) }),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (
        any::<bool>(),
        prop_oneof![Just(0), Just(1), Just(3), any::<u32>()],
        any::<u64>(),
        prop_oneof![Just(0), any::<u64>()],
        prop_oneof![Just(0), any::<u64>()],
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(autorestart, max_restarts, min_uptime_ms, delay, exp, listen, drains, disconnects)| Policy {
                autorestart,
                max_restarts,
                min_uptime_ms,
                restart_delay_ms: delay,
                exp_backoff_restart_delay_ms: exp,
                stop_exit_codes: vec![7],
                max_memory_bytes: Some(100),
                listen_timeout_ms: listen,
                kill_timeout_ms: listen,
                drains,
                disconnects,
            },
        )
}

proptest! {
    /// No event in any order panics, and the books always balance.
    #[test]
    fn any_history_is_answered(policy in any_policy(), events in prop::collection::vec((any_event(), 0_u64..5_000), 0..80)) {
        let mut instance = Instance::default();
        let mut now_ms = 0;
        // The timer and process the shell would know about.
        for (event, pause_ms) in events {
            now_ms += pause_ms;
            let before = instance.clone();
            let request = matches!(event, Event::Start | Event::Stop | Event::Restart { .. } | Event::Reset);
            let asked = matches!(event, Event::Restart { cause: RestartCause::Requested });
            let is_stop = event == Event::Stop;
            let is_start = event == Event::Start;
            let Ok(next) = step(&Context { now_ms, policy: &policy }, &instance, event) else {
                prop_assert!(is_start, "only a start can be refused");
                continue;
            };
            let spawns = next.effects.iter().filter(|e| matches!(e, Effect::Spawn { .. })).count();
            prop_assert!(spawns <= 1);
            // Never a second process beside a living one.
            if spawns == 1 {
                let starting = matches!(next.instance.state, State::Starting { .. });
                prop_assert!(starting);
            }
            // Terminal states absorb everything but a request.
            if matches!(before.state, State::Stopped { .. } | State::CrashLooping { .. }) && !request {
                prop_assert_eq!(&next.instance, &before);
                prop_assert!(next.effects.is_empty());
            }
            // Whoever asks for a restart gets a process, now or as soon as the present one has ended.
            if asked {
                let coming = spawns == 1
                    || matches!(next.instance.state, State::Stopping { then: AfterStop::StartAgain, .. });
                prop_assert!(coming);
            }
            if is_stop {
                prop_assert_eq!(spawns, 0);
                let ending = matches!(
                    next.instance.state,
                    State::Stopped { cause: StopCause::Requested } | State::Stopping { then: AfterStop::Stay, .. }
                );
                prop_assert!(ending);
            }
            // Whatever has a process or waits for one has a timer that ends the wait, except a ready one.
            if next.instance.state != before.state
                && matches!(next.instance.state, State::Starting { .. } | State::BackingOff { .. })
            {
                let armed = next.effects.iter().any(|e| matches!(e, Effect::ArmTimer { .. }));
                prop_assert!(armed);
            }
            // Effects speak of the process that exists before or after.
            for effect in &next.effects {
                if let Effect::Replace { launch } | Effect::Drain { launch } | Effect::Ask { launch } | Effect::Kill { launch } | Effect::Disconnect { launch } = effect {
                    prop_assert_eq!(Some(*launch), before.launch());
                }
            }
            instance = next.instance;
        }
    }

    /// After a stop nothing but a start (or a restart someone asks for) brings a process back.
    #[test]
    fn nothing_restarts_after_a_stop(policy in any_policy(), before in prop::collection::vec(any_event(), 0..40), after in prop::collection::vec(any_event(), 0..60)) {
        let mut instance = Instance::default();
        let ctx = Context { now_ms: 5, policy: &policy };
        for event in before {
            if let Ok(next) = step(&ctx, &instance, event) {
                instance = next.instance;
            }
        }
        instance = step(&ctx, &instance, Event::Stop).unwrap().instance;
        let asks = |event: &Event| matches!(event, Event::Start | Event::Restart { cause: RestartCause::Requested });
        for event in after.into_iter().filter(|event| !asks(event)) {
            let next = step(&ctx, &instance, event).unwrap();
            let spawned = next.effects.iter().any(|effect| matches!(effect, Effect::Spawn { .. }));
            prop_assert!(!spawned);
            instance = next.instance;
        }
    }

    /// Ending always ends: firing every armed timer reaches the kill within four steps.
    #[test]
    fn stopping_reaches_the_kill(policy in any_policy()) {
        let mut driver = Driver::new(policy);
        driver.send(Event::Start);
        driver.send(Event::Stop);
        let mut killed = false;
        for _ in 0..4 {
            let ctx = Context { now_ms: 0, policy: &driver.policy };
            let State::Stopping { timer, .. } = driver.instance.state else { break };
            let next = step(&ctx, &driver.instance, Event::TimerFired { timer }).unwrap();
            killed |= next.effects.iter().any(|effect| matches!(effect, Effect::Kill { .. }));
            driver.instance = next.instance;
        }
        prop_assert!(killed);
    }
}
