INSERT INTO resource_states AS s
       (node_id, key, position, status, mode, detail, diff, generation, reported_at, changed_at, change, change_detail,
        change_diff)
SELECT $1, u.key, u.position, u.status, u.mode, u.detail,
       -- What was put right differs no more.
       CASE WHEN u.change = '' THEN NULLIF(u.diff, '') END,
       $2, $3::timestamptz,
       CASE WHEN u.change <> '' THEN $3::timestamptz END,
       NULLIF(u.change, ''),
       CASE WHEN u.change <> '' THEN u.detail END,
       CASE WHEN u.change <> '' THEN NULLIF(u.diff, '') END
FROM UNNEST($4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
     AS u (key, position, status, mode, detail, change, diff)
ON CONFLICT (node_id, key) DO UPDATE
SET position = excluded.position,
    status = excluded.status,
    mode = excluded.mode,
    detail = excluded.detail,
    diff = excluded.diff,
    generation = excluded.generation,
    reported_at = excluded.reported_at,
    changed_at = COALESCE(excluded.changed_at, s.changed_at),
    change = COALESCE(excluded.change, s.change),
    change_detail = COALESCE(excluded.change_detail, s.change_detail),
    change_diff = CASE WHEN excluded.change IS NULL THEN s.change_diff ELSE excluded.change_diff END
