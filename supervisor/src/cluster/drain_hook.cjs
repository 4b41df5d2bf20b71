'use strict';
// Preloaded by the Muster supervisor into the cluster workers it starts, so that a worker can be replaced without
// losing a request. It does nothing until the supervisor asks the worker to finish; then every server of the process
//   1. stops accepting, without cutting idle keep-alive connections (a request may be on its way on one of them);
//   2. tells each client on its next answer that the connection ends there, so that it reconnects to the successor;
// and the supervisor is told when the last connection has ended.
(() => {
  const cluster = require('cluster');
  if (!require('worker_threads').isMainThread || !cluster.isWorker || typeof process.send !== 'function') return;

  // Processes the application forks inherit execArgv; they are not workers of the supervisor.
  const at = process.execArgv.indexOf(__filename);
  if (at > 0) process.execArgv.splice(at - 1, 2);

  const net = require('net');
  const send = process.send.bind(process);
  const servers = new Set();
  const sessions = new Set();

  const remember = (server) => {
    if (servers.has(server)) return;
    servers.add(server);
    server.once('close', () => servers.delete(server));
    // HTTP/2 says goodbye per session, not per answer.
    if (/^Http2(Secure)?Server$/.test(server.constructor && server.constructor.name)) {
      server.on('session', (session) => {
        sessions.add(session);
        session.once('close', () => sessions.delete(session));
      });
    }
  };

  const original = net.Server.prototype.listen;
  const descriptor = Object.getOwnPropertyDescriptor(net.Server.prototype, 'listen');
  Object.defineProperty(net.Server.prototype, 'listen', {
    ...descriptor,
    value: function listen(...args) {
      try { remember(this); } catch { /* never the application's problem */ }
      return Reflect.apply(original, this, args);
    },
  });

  const lastAnswer = (request, response) => { response.shouldKeepAlive = false; };

  let draining = false;
  const drain = (idleAfterMs) => {
    if (draining) return;
    draining = true;
    let open = 1;
    const closed = () => {
      open -= 1;
      if (open === 0) send({ cmd: 'NODE_MUSTER_DRAINED' }, undefined, undefined, () => {});
    };
    const all = [...servers];
    for (const server of all) {
      try {
        if ('keepAliveTimeout' in server) server.prependListener('request', lastAnswer);
        open += 1;
        // The plain close of net: the one of http also cuts idle connections.
        net.Server.prototype.close.call(server, closed);
      } catch { closed(); }
    }
    // HTTP/2: first a notice that accepts every stream under way, and the end only when clients had time to read it.
    for (const session of sessions) {
      try { session.goaway(0, 2 ** 31 - 1); } catch { /* already on its way out */ }
    }
    setTimeout(() => {
      for (const session of sessions) {
        try { session.close(); } catch { /* already on its way out */ }
      }
    }, Math.min(250, idleAfterMs)).unref();
    // Whoever stayed idle until shortly before the deadline is told by a clean end of the connection.
    setTimeout(() => {
      for (const server of all) {
        try { if (server.closeIdleConnections) server.closeIdleConnections(); } catch { /* best effort */ }
      }
    }, idleAfterMs).unref();
    closed();
  };

  process.on('internalMessage', (message) => {
    if (!message || message.cmd !== 'NODE_MUSTER_DRAIN') return;
    try { drain(Number(message.idleAfterMs) || 0); } catch { /* the deadline of the supervisor ends it */ }
  });
})();
