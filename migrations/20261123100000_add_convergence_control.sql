-- What a host's resources are and were, who may change when, and what people say about both.

ALTER TABLE resource_states
    DROP CONSTRAINT resource_states_status_check,
    ADD CONSTRAINT resource_states_status_check
        CHECK (status IN ('converged', 'failed', 'skipped', 'unsupported', 'drifted', 'waiting')),
    ADD COLUMN mode text NOT NULL DEFAULT 'enforce' CHECK (mode IN ('enforce', 'report', 'ignore')),
    -- What differs now; NULL when nothing does or nobody can say.
    ADD COLUMN diff text,
    -- What the last change put right.
    ADD COLUMN change_diff text;

-- Every change of a resource. Bounded per resource and node when rows are added, and by age in the background task
-- `resource_changes_retention`.
CREATE TABLE resource_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id    uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    key        text NOT NULL,
    at         timestamptz NOT NULL,
    generation bigint NOT NULL,
    cause      text NOT NULL CHECK (cause IN ('intentional', 'corrective')),
    detail     text NOT NULL,
    diff       text
);
CREATE INDEX resource_changes_resource ON resource_changes (node_id, key, id DESC);
CREATE INDEX resource_changes_node ON resource_changes (node_id, id DESC);
CREATE INDEX resource_changes_at ON resource_changes (at);

-- Counted when a node reports, so that a list of ten thousand nodes need not read a million resources.
ALTER TABLE nodes
    ADD COLUMN resource_count integer NOT NULL DEFAULT 0,
    -- Failed, or skipped because something else failed.
    ADD COLUMN failed_count integer NOT NULL DEFAULT 0,
    ADD COLUMN drifted_count integer NOT NULL DEFAULT 0,
    ADD COLUMN waiting_count integer NOT NULL DEFAULT 0,
    -- Why the node has to be restarted, as it says itself.
    ADD COLUMN reboot_required text;

UPDATE nodes SET resource_count = c.resources, failed_count = c.failed, drifted_count = c.drifted
FROM (
    SELECT node_id, count(*) AS resources, count(*) FILTER (WHERE status IN ('failed', 'skipped')) AS failed,
           count(*) FILTER (WHERE status = 'drifted') AS drifted
    FROM resource_states GROUP BY node_id
) c
WHERE c.node_id = nodes.id;

-- Who may change disruptively, who waits for that, and who failed at it.
CREATE TABLE turns (
    node_id    uuid PRIMARY KEY REFERENCES nodes ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('change', 'reboot')),
    cause      text NOT NULL CHECK (cause IN ('intentional', 'corrective')),
    -- What for, in the words of the node.
    reason     text NOT NULL,
    generation bigint NOT NULL,
    -- The fleet configuration that was in force when the node asked: a failure holds others up until there is a newer one.
    configuration_version bigint NOT NULL,
    state      text NOT NULL CHECK (state IN ('waiting', 'granted', 'failed')),
    -- Since when it is in this state.
    since      timestamptz NOT NULL,
    -- When a node that does not ask again has lost it.
    expires_at timestamptz,
    -- Whom it waits for, or what failed.
    detail     text NOT NULL,
    CHECK ((state = 'failed') = (expires_at IS NULL))
);

-- Modes that people set on top of what is declared: of a node (key '') or of one resource on it.
CREATE TABLE mode_overrides (
    node_id    uuid NOT NULL REFERENCES nodes ON DELETE CASCADE,
    key        text NOT NULL,
    mode       text NOT NULL CHECK (mode IN ('report', 'ignore')),
    reason     text NOT NULL,
    set_by     text NOT NULL,
    set_at     timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (node_id, key)
);
CREATE INDEX mode_overrides_expires_at ON mode_overrides (expires_at) WHERE expires_at IS NOT NULL;

-- A restart that a person wants; gone when the node says that it is done.
CREATE TABLE reboot_requests (
    node_id      uuid PRIMARY KEY REFERENCES nodes ON DELETE CASCADE,
    id           uuid NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    reason       text NOT NULL,
    -- Without waiting for the node's turn.
    at_once      boolean NOT NULL
);

-- A node of a rollout may have to wait for the turns of others.
ALTER TABLE rollout_nodes
    DROP CONSTRAINT rollout_nodes_state_check,
    ADD CONSTRAINT rollout_nodes_state_check CHECK (state IN
        ('pending', 'waiting', 'away', 'moving', 'moved', 'failed', 'returning', 'returned', 'return_unconfirmed'));
