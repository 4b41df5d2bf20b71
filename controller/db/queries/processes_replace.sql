-- The processes of one beat ($3 and later: one array for each column) take the place of those of the beat before.
WITH beat AS (
    SELECT *
    FROM UNNEST($3::text[], $4::integer[], $5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::bigint[],
                $10::timestamptz[], $11::real[], $12::bigint[], $13::text[], $14::bigint[], $15::text[],
                $16::bigint[], $17::text[], $18::text[])
         AS u (application, instance, release_id, release_version, state, pid, restarts,
               started_at, cpu_percent, memory_bytes, last_exit, unstable_restarts, limits_by,
               dropped_log_lines, listening, last_failure)
),
gone AS (
    DELETE FROM processes p
    WHERE p.node_id = $1
      AND NOT EXISTS (SELECT FROM beat b WHERE b.application = p.application AND b.instance = p.instance)
)
INSERT INTO processes (node_id, reported_at, application, instance, release_id, release_version, state, pid, restarts,
                       started_at, cpu_percent, memory_bytes, last_exit, unstable_restarts, limits_by,
                       dropped_log_lines, listening, last_failure)
SELECT $1, $2::timestamptz, b.application, b.instance, b.release_id, b.release_version, b.state, b.pid, b.restarts,
       b.started_at, b.cpu_percent, b.memory_bytes, b.last_exit, b.unstable_restarts, b.limits_by,
       b.dropped_log_lines, COALESCE(STRING_TO_ARRAY(NULLIF(b.listening, ''), E'\n'), '{}'), b.last_failure
FROM beat b
ON CONFLICT (node_id, application, instance) DO UPDATE
SET release_id = excluded.release_id, release_version = excluded.release_version, state = excluded.state,
    pid = excluded.pid, restarts = excluded.restarts, started_at = excluded.started_at,
    cpu_percent = excluded.cpu_percent, memory_bytes = excluded.memory_bytes, last_exit = excluded.last_exit,
    unstable_restarts = excluded.unstable_restarts, limits_by = excluded.limits_by,
    dropped_log_lines = excluded.dropped_log_lines, listening = excluded.listening,
    last_failure = excluded.last_failure, reported_at = excluded.reported_at
