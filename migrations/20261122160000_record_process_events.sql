-- Why processes ended or were restarted: each row belongs to the event of that number, and is kept for a shorter time,
-- because it quotes what the process wrote last.
CREATE TABLE process_events (
    sequence        bigint PRIMARY KEY,
    -- By the node's clock, but never after `reported_at`, which is by the controller's.
    at              timestamptz NOT NULL,
    reported_at     timestamptz NOT NULL,
    kind            text NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    node            text NOT NULL,
    environment     text NOT NULL,
    application     text NOT NULL,
    -- NULL: about all instances.
    instance        integer,
    release_version text,
    reason          text NOT NULL,
    restarts        bigint,
    -- How a process ended; `uptime_ms` is NULL when none did.
    exit_code       integer,
    signal          text,
    out_of_memory   boolean NOT NULL,
    uptime_ms       bigint,
    last_stderr     text[] NOT NULL,
    CHECK (uptime_ms IS NOT NULL OR (exit_code IS NULL AND signal IS NULL AND NOT out_of_memory))
);
CREATE INDEX process_events_reported_at ON process_events (reported_at);
CREATE INDEX process_events_application ON process_events (application, sequence DESC);
CREATE INDEX process_events_node ON process_events (node, sequence DESC);

-- `listening` and `last_failure` are of the application on the node, and the same for its instances.
ALTER TABLE processes
    ADD COLUMN unstable_restarts bigint NOT NULL DEFAULT 0,
    ADD COLUMN limits_by text,
    ADD COLUMN dropped_log_lines bigint NOT NULL DEFAULT 0,
    ADD COLUMN listening text[] NOT NULL DEFAULT '{}',
    ADD COLUMN last_failure text;
