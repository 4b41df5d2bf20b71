// Speaks as pm2's daemon does: a cluster primary in the default (round robin) way, behind `rpc.sock` in the framing of
// axon. node daemon.cjs HOME APPS, where APPS is JSON: [{name, script, mode, instances, env}].
'use strict'
const { fork } = require('node:child_process')
const cluster = require('node:cluster')
const net = require('node:net')
const path = require('node:path')

const home = process.argv[2]
const processes = new Map()

function start (entry) {
  const { app } = entry
  entry.status = 'online'
  if (app.mode === 'cluster') {
    cluster.setupPrimary({ exec: app.script })
    entry.process = cluster.fork(app.env).process
  } else {
    entry.process = fork(app.script, [], { env: { ...process.env, ...app.env } })
  }
  entry.process.on('exit', () => {
    entry.process = null
    // pm2 restarts what it did not stop itself.
    if (entry.status === 'online') start(entry)
    if (entry.ended) entry.ended()
  })
}

function stop (entry, done) {
  entry.status = 'stopped'
  if (!entry.process) return done()
  entry.ended = () => { entry.ended = null; done() }
  entry.process.kill('SIGINT')
}

function record (id, { app, process: child, status }) {
  return {
    pid: child ? child.pid : 0,
    name: app.name,
    pm_id: id,
    monit: { memory: 0, cpu: 0 },
    pm2_env: {
      name: app.name,
      namespace: 'default',
      pm_exec_path: app.script,
      pm_cwd: path.dirname(app.script),
      exec_mode: app.mode === 'cluster' ? 'cluster_mode' : 'fork_mode',
      exec_interpreter: 'node',
      status,
      instances: app.instances,
      env: app.env,
      merge_logs: true,
      kill_timeout: 1600,
      pm_out_log_path: path.join(home, 'logs', `${app.name}-out.log`),
      pm_err_log_path: path.join(home, 'logs', `${app.name}-error.log`)
    }
  }
}

const methods = {
  getMonitorData: (_, answer) => answer([...processes].map(([id, entry]) => record(id, entry))),
  stopProcessId: (id, answer) => stop(processes.get(id), () => answer({})),
  startProcessId: (id, answer) => { start(processes.get(id)); answer({}) },
  deleteProcessId: (id, answer) => stop(processes.get(id), () => { processes.delete(id); answer([]) })
}

function part (text) {
  const body = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([length, body])
}

const apps = JSON.parse(process.argv[3])
for (const app of apps) {
  for (let n = 0; n < app.instances; n++) {
    const entry = { app }
    processes.set(processes.size, entry)
    start(entry)
  }
}

net.createServer((socket) => {
  let pending = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      if (pending.length < 1) return
      const parts = []
      let offset = 1
      for (let n = pending[0] & 0xf; n > 0; n--) {
        if (pending.length < offset + 4) return
        const end = offset + 4 + pending.readUInt32BE(offset)
        if (pending.length < end) return
        parts.push(pending.subarray(offset + 4, end).toString())
        offset = end
      }
      pending = pending.subarray(offset)
      const { method, args } = JSON.parse(parts[0].slice(2))
      methods[method](args[0], (result) => {
        const answer = part('j:' + JSON.stringify({ args: [result] }))
        socket.write(Buffer.concat([Buffer.from([0x12]), answer, part(parts[1])]))
      })
    }
  })
}).listen(path.join(home, 'rpc.sock'))
