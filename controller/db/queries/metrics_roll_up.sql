-- Averages of averages, weighted by the samples behind them.
INSERT INTO node_metrics_rollup (
    node_id, step_s, at, samples, cpu_percent, cpu_percent_max, memory_used_bytes, memory_total_bytes, swap_used_bytes,
    disk_used_bytes, disk_total_bytes, load_1, load_5, load_15, network_rx_bytes_per_s, network_tx_bytes_per_s
)
SELECT node_id,
       $1::integer,
       date_bin(make_interval(secs => $1::integer), at, 'epoch'::timestamptz) AS bucket,
       sum(samples),
       (sum(cpu_percent::double precision * samples) / sum(samples))::real,
       max(cpu_percent_max),
       (sum(memory_used_bytes::double precision * samples) / sum(samples))::bigint,
       max(memory_total_bytes),
       (sum(swap_used_bytes::double precision * samples) / sum(samples))::bigint,
       (sum(disk_used_bytes::double precision * samples) / sum(samples))::bigint,
       max(disk_total_bytes),
       (sum(load_1::double precision * samples) / sum(samples))::real,
       (sum(load_5::double precision * samples) / sum(samples))::real,
       (sum(load_15::double precision * samples) / sum(samples))::real,
       (sum(network_rx_bytes_per_s::double precision * samples) / sum(samples))::bigint,
       (sum(network_tx_bytes_per_s::double precision * samples) / sum(samples))::bigint
FROM node_metrics_rollup
WHERE step_s = $4::integer AND at >= $2 AND at < $3
GROUP BY node_id, bucket
ON CONFLICT (node_id, step_s, at) DO UPDATE SET
    samples = EXCLUDED.samples,
    cpu_percent = EXCLUDED.cpu_percent,
    cpu_percent_max = EXCLUDED.cpu_percent_max,
    memory_used_bytes = EXCLUDED.memory_used_bytes,
    memory_total_bytes = EXCLUDED.memory_total_bytes,
    swap_used_bytes = EXCLUDED.swap_used_bytes,
    disk_used_bytes = EXCLUDED.disk_used_bytes,
    disk_total_bytes = EXCLUDED.disk_total_bytes,
    load_1 = EXCLUDED.load_1,
    load_5 = EXCLUDED.load_5,
    load_15 = EXCLUDED.load_15,
    network_rx_bytes_per_s = EXCLUDED.network_rx_bytes_per_s,
    network_tx_bytes_per_s = EXCLUDED.network_tx_bytes_per_s
