// Figures of a node over a time: smooth curves with a daily rhythm, the same for the same node and time.
const GIB = 1024 ** 3;
const wave = (at, periodS, phase) => Math.sin((at / periodS) * 2 * Math.PI + phase);
const noise = (at, seed) => {
  const x = Math.sin(at * 12.9898 + seed * 78.233) * 43_758.5453;
  return x - Math.floor(x);
};

export function series(node, from, to, points) {
  const span = (to - from) / 1000;
  const step = Math.max(10, Math.round(span / points / 10) * 10);
  const seed = [...node.name].reduce((sum, c) => sum + c.charCodeAt(0), 0);
  const out = [];
  const first = Math.ceil(from / 1000 / step) * step;
  for (let at = first; at <= to / 1000; at += step) {
    const busy = 0.5 + 0.3 * wave(at, 86_400, seed) + 0.12 * wave(at, 3400, seed * 2) + 0.08 * noise(at, seed);
    const base = node.cpu_percent ?? 10;
    const cpu = Math.min(99, Math.max(1, base * (0.55 + busy * 0.8) + noise(at, seed + 3) * 6));
    out.push({
      at: new Date(at * 1000).toISOString(),
      cpu_percent: cpu,
      memory_used_bytes: Math.round((node.memory_used_bytes ?? GIB) * (0.93 + 0.07 * busy)),
      memory_total_bytes: node.memory_total_bytes ?? 4 * GIB,
      swap_used_bytes: Math.round(0.06 * GIB),
      disk_used_bytes: Math.round((node.disk_used_bytes ?? 9 * GIB) - Math.max(0, Date.now() / 1000 - at) * 400),
      disk_total_bytes: node.disk_total_bytes ?? 80 * GIB,
      load_1: (cpu / 100) * 4 * (0.8 + noise(at, seed + 5) * 0.5),
      load_5: (cpu / 100) * 3.8,
      load_15: (base / 100) * 3.6,
      network_rx_bytes_per_s: Math.round(180_000 * busy + 60_000 * noise(at, seed + 7)),
      network_tx_bytes_per_s: Math.round(420_000 * busy + 90_000 * noise(at, seed + 9)),
    });
  }
  return { step_s: span < 7200 ? 0 : step, points: out };
}
