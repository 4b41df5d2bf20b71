-- The schema of the controller. Forward only; later migrations expand before they contract.
-- Times come from the controller's clock, so no column defaults to now().

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('viewer', 'deployer', 'operator', 'admin')),
    created_at    timestamptz NOT NULL,
    disabled_at   timestamptz
);

CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    secret_hash  bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE api_tokens (
    id           uuid PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name         text NOT NULL,
    secret_hash  bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);

-- What people declared. Every version is kept with its author.
CREATE TABLE fleet_configurations (
    version       bigint PRIMARY KEY CHECK (version > 0),
    author        text NOT NULL,
    created_at    timestamptz NOT NULL,
    -- [{"path": ..., "content": ...}]: what was applied, to the letter.
    files         jsonb NOT NULL,
    -- The parsed configuration, in the serde form of muster-domain.
    configuration jsonb NOT NULL,
    -- BLAKE3 of the canonical configuration; the same declaration does not make a new version.
    digest        bytea NOT NULL
);

CREATE TABLE nodes (
    id                  uuid PRIMARY KEY,
    name                text NOT NULL UNIQUE,
    environment         text NOT NULL,
    roles               text[] NOT NULL,
    enrolled_at         timestamptz NOT NULL,
    revoked_at          timestamptz,
    facts               jsonb NOT NULL,
    liveness            text NOT NULL CHECK (liveness IN ('pending', 'up', 'late', 'down', 'revoked')),
    liveness_changed_at timestamptz NOT NULL,
    last_heartbeat_at   timestamptz,
    -- The highest report sequence that is stored: a redelivery is recognised by it.
    report_sequence     bigint NOT NULL,
    -- What the node last said of itself.
    reported_generation bigint NOT NULL,
    converged           boolean,
    converged_at        timestamptz,
    -- Why the last compile gave no new assignment; the former one stays in force.
    compile_error       text
);

CREATE TABLE enrolments (
    id          uuid PRIMARY KEY,
    node_name   text NOT NULL,
    environment text NOT NULL,
    roles       text[] NOT NULL,
    secret_hash bytea NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    status      text NOT NULL CHECK (status IN ('invited', 'enrolled', 'withdrawn')),
    enrolled_at timestamptz,
    node_id     uuid REFERENCES nodes ON DELETE SET NULL,
    CHECK ((status = 'enrolled') = (enrolled_at IS NOT NULL))
);
CREATE INDEX enrolments_created_at ON enrolments (created_at DESC);

CREATE TABLE node_certificates (
    serial            text PRIMARY KEY,
    node_id           uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    public_key_sha256 bytea NOT NULL,
    issued_at         timestamptz NOT NULL,
    not_after         timestamptz NOT NULL,
    -- Stays when the node is enrolled again: its former certificates must never come back to life.
    revoked_at        timestamptz
);
CREATE INDEX node_certificates_node ON node_certificates (node_id, issued_at DESC);

CREATE TABLE artifacts (
    digest      bytea PRIMARY KEY,
    file_count  bigint NOT NULL,
    total_bytes bigint NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE releases (
    id              uuid PRIMARY KEY,
    application     text NOT NULL,
    version         text NOT NULL,
    artifact_digest bytea NOT NULL REFERENCES artifacts,
    git             jsonb,
    build_command   text,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    UNIQUE (application, version)
);
CREATE INDEX releases_application ON releases (application, created_at DESC);

-- Which release of an application an environment should run.
CREATE TABLE release_targets (
    environment text NOT NULL,
    application text NOT NULL,
    release_id  uuid NOT NULL REFERENCES releases,
    set_at      timestamptz NOT NULL,
    PRIMARY KEY (environment, application)
);

-- The release that one node is given, while it differs from its environment's target (during a rollout).
CREATE TABLE node_releases (
    node_id     uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    application text NOT NULL,
    -- NULL: the application is not to run on the node.
    release_id  uuid REFERENCES releases,
    PRIMARY KEY (node_id, application)
);

CREATE TABLE assignments (
    node_id               uuid PRIMARY KEY REFERENCES nodes ON DELETE CASCADE,
    generation            bigint NOT NULL CHECK (generation > 0),
    revision              bytea NOT NULL,
    -- Encoded content, sealed: it holds the secrets of the node.
    content_sealed        bytea NOT NULL,
    signature             bytea NOT NULL,
    configuration_version bigint NOT NULL,
    compiled_at           timestamptz NOT NULL,
    -- application -> [release id, artifact digest], to know which artifacts the node may fetch.
    releases              jsonb NOT NULL
);

CREATE TABLE resource_states (
    node_id    uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    key        text NOT NULL,
    position   integer NOT NULL,
    status     text NOT NULL CHECK (status IN ('converged', 'failed', 'skipped', 'unsupported', 'drifted')),
    detail     text NOT NULL,
    generation bigint NOT NULL,
    reported_at timestamptz NOT NULL,
    -- The last change: when, and whether it was intentional or corrective.
    changed_at timestamptz,
    change     text CHECK (change IN ('intentional', 'corrective')),
    change_detail text,
    PRIMARY KEY (node_id, key)
);

CREATE TABLE convergence_reports (
    node_id     uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    sequence    bigint NOT NULL,
    generation  bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    converged   boolean NOT NULL,
    intentional integer NOT NULL,
    corrective  integer NOT NULL,
    failed      integer NOT NULL,
    PRIMARY KEY (node_id, sequence)
);

CREATE TABLE processes (
    node_id         uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    application     text NOT NULL,
    instance        integer NOT NULL,
    release_id      uuid,
    release_version text,
    state           text NOT NULL CHECK (state IN ('stopped', 'starting', 'ready', 'backing_off', 'crash_looping', 'stopping')),
    pid             bigint,
    restarts        bigint NOT NULL,
    started_at      timestamptz,
    cpu_percent     real NOT NULL,
    memory_bytes    bigint NOT NULL,
    last_exit       text,
    reported_at     timestamptz NOT NULL,
    PRIMARY KEY (node_id, application, instance)
);

CREATE TABLE rollouts (
    id          uuid PRIMARY KEY,
    environment text NOT NULL,
    application text NOT NULL,
    release_id  uuid NOT NULL REFERENCES releases,
    -- The environment's target before; NULL when there was none.
    former_release_id uuid REFERENCES releases,
    kind        text NOT NULL CHECK (kind IN ('deploy', 'rollback')),
    status      text NOT NULL CHECK (status IN ('planned', 'running', 'rolling_back', 'completed', 'rolled_back', 'aborted')),
    reason      text,
    aborted     boolean NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    finished_at timestamptz,
    -- Raised by every step: an update that lost a race matches no row.
    step        bigint NOT NULL,
    CHECK ((status IN ('completed', 'rolled_back', 'aborted')) = (finished_at IS NOT NULL)),
    CHECK (status NOT IN ('rolling_back', 'rolled_back', 'aborted') OR reason IS NOT NULL)
);
-- One at a time per application and environment.
CREATE UNIQUE INDEX rollouts_one_active ON rollouts (environment, application)
    WHERE status IN ('planned', 'running', 'rolling_back');
CREATE INDEX rollouts_created_at ON rollouts (created_at DESC);

CREATE TABLE rollout_nodes (
    rollout_id        uuid NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    node_id           uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    position          integer NOT NULL,
    former_release_id uuid REFERENCES releases,
    -- NodeProgress in its serde form; `state` is repeated for queries.
    progress          jsonb NOT NULL,
    state             text NOT NULL CHECK (state IN ('pending', 'away', 'moving', 'moved', 'failed', 'returning', 'returned', 'return_unconfirmed')),
    PRIMARY KEY (rollout_id, node_id)
);

-- Values are sealed. The environment '' holds for every environment that has no value of its own.
CREATE TABLE secrets (
    environment text NOT NULL,
    name        text NOT NULL,
    sealed      bytea NOT NULL,
    updated_by  text NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (environment, name)
);

CREATE TABLE events (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    message     text NOT NULL,
    actor       text NOT NULL,
    node        text,
    environment text,
    application text,
    rollout_id  uuid
);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_application ON events (application, sequence DESC) WHERE application IS NOT NULL;
CREATE INDEX events_node ON events (node, sequence DESC) WHERE node IS NOT NULL;

CREATE TABLE audit_log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    actor   text NOT NULL,
    -- The name of the use case: rollout_start, node_revoke ...
    action  text NOT NULL,
    subject text NOT NULL,
    detail  jsonb NOT NULL
);

-- Figures over time. Raw samples live in day partitions that are made ahead and dropped when old; roll-ups are bounded
-- by deletion. The background task `metrics_retention` keeps the promise.
CREATE TABLE node_metrics (
    node_id            uuid NOT NULL,
    at                 timestamptz NOT NULL,
    cpu_percent        real NOT NULL,
    memory_used_bytes  bigint NOT NULL,
    memory_total_bytes bigint NOT NULL,
    swap_used_bytes    bigint NOT NULL,
    disk_used_bytes    bigint NOT NULL,
    disk_total_bytes   bigint NOT NULL,
    load_1             real NOT NULL,
    load_5             real NOT NULL,
    load_15            real NOT NULL,
    network_rx_bytes_per_s bigint NOT NULL,
    network_tx_bytes_per_s bigint NOT NULL,
    PRIMARY KEY (node_id, at)
) PARTITION BY RANGE (at);

CREATE TABLE node_metrics_rollup (
    node_id            uuid NOT NULL,
    -- 60, 300 or 3600 seconds.
    step_s             integer NOT NULL CHECK (step_s IN (60, 300, 3600)),
    at                 timestamptz NOT NULL,
    samples            integer NOT NULL,
    cpu_percent        real NOT NULL,
    cpu_percent_max    real NOT NULL,
    memory_used_bytes  bigint NOT NULL,
    memory_total_bytes bigint NOT NULL,
    swap_used_bytes    bigint NOT NULL,
    disk_used_bytes    bigint NOT NULL,
    disk_total_bytes   bigint NOT NULL,
    load_1             real NOT NULL,
    load_5             real NOT NULL,
    load_15            real NOT NULL,
    network_rx_bytes_per_s bigint NOT NULL,
    network_tx_bytes_per_s bigint NOT NULL,
    PRIMARY KEY (node_id, step_s, at)
);
CREATE INDEX node_metrics_rollup_age ON node_metrics_rollup (step_s, at);

-- What background work has finished up to, by name.
CREATE TABLE watermarks (
    name text PRIMARY KEY,
    at   timestamptz NOT NULL
);
