SELECT n.id,
       n.name,
       n.environment,
       n.roles,
       n.enrolled_at,
       n.revoked_at,
       n.facts,
       n.liveness,
       n.liveness_changed_at,
       n.last_heartbeat_at,
       n.reported_generation,
       n.converged,
       n.converged_at,
       n.compile_error,
       COALESCE(a.generation, 0) AS "generation!",
       n.resource_count,
       n.failed_count,
       n.drifted_count,
       n.waiting_count,
       n.reboot_required,
       c.convergence             AS "convergence!",
       o.mode                    AS "mode!",
       o.overrides               AS "mode_override_count!",
       COALESCE(p.processes, 0)  AS "process_count!",
       COALESCE(p.ready, 0)      AS "process_ready_count!",
       m.cpu_percent             AS "cpu_percent?",
       m.memory_used_bytes       AS "memory_used_bytes?",
       m.memory_total_bytes      AS "memory_total_bytes?",
       m.disk_used_bytes         AS "disk_used_bytes?",
       m.disk_total_bytes        AS "disk_total_bytes?",
       m.load_1                  AS "load_1?"
FROM nodes n
LEFT JOIN assignments a ON a.node_id = n.id
CROSS JOIN LATERAL (
    -- One word, the one that a person should know first. What a node last said is old news once it has something new to do.
    SELECT CASE
               WHEN n.compile_error IS NOT NULL THEN 'failed'
               WHEN n.converged IS NULL OR n.reported_generation < COALESCE(a.generation, 0) THEN 'pending'
               WHEN n.failed_count > 0 THEN 'failed'
               WHEN n.drifted_count > 0 THEN 'drifted'
               WHEN n.waiting_count > 0 THEN 'waiting'
               WHEN n.converged THEN 'converged'
               ELSE 'pending'
           END AS convergence
) c
CROSS JOIN LATERAL (
    SELECT count(*) AS overrides,
           CASE WHEN bool_or(m.key = '' AND m.mode = 'ignore') THEN 'ignore'
                WHEN bool_or(m.key = '' AND m.mode = 'report') THEN 'report'
                ELSE 'enforce' END AS mode
    FROM mode_overrides m
    WHERE m.node_id = n.id
) o
LEFT JOIN LATERAL (
    SELECT count(*) AS processes, count(*) FILTER (WHERE q.state = 'ready') AS ready
    FROM processes q
    WHERE q.node_id = n.id
) p ON true
LEFT JOIN LATERAL (
    -- The condition on `at` lets Postgres skip every partition but the newest.
    SELECT f.cpu_percent, f.memory_used_bytes, f.memory_total_bytes, f.disk_used_bytes, f.disk_total_bytes, f.load_1
    FROM node_metrics f
    WHERE f.node_id = n.id AND f.at >= $5
    ORDER BY f.at DESC
    LIMIT 1
) m ON true
WHERE ($1::text IS NULL OR n.environment = $1)
  AND ($2::text IS NULL OR $2 = ANY (n.roles))
  AND ($3::text IS NULL OR n.name = $3)
  AND ($4::text IS NULL OR n.name > $4)
  AND ($7::text IS NULL OR c.convergence = $7)
ORDER BY n.name
LIMIT $6
