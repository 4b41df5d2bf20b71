'use strict';
// Preloaded by the Muster supervisor into the Node.js processes that share their sockets with others (cluster workers,
// and those that are handed their sockets), so that one can be replaced without losing a request. It does nothing until
// the supervisor asks the process to finish; then every server of it
//   1. stops accepting, without cutting idle keep-alive connections (a request may be on its way on one of them);
//   2. tells each client on its next answer that the connection ends there, so that it reconnects to the successor;
//   3. tells HTTP/2 clients to open no further streams here, and websocket clients, late, that it is going away;
// and the supervisor is told when the last connection has ended. It also tells of servers that Node.js opens without
// asking the supervisor (`exclusive`, `reusePort`).
(() => {
  if (typeof process.send !== 'function') return;
  // A cluster worker, or a process that was handed its sockets; not what one of those started.
  const handed = process.env.LISTEN_PID === String(process.pid);
  if (!handed && !require('cluster').isWorker) return;

  // Processes the application forks inherit execArgv; they are not workers of the supervisor.
  const at = process.execArgv.indexOf(__filename);
  if (at > 0) process.execArgv.splice(at - 1, 2);

  const net = require('net');
  const send = process.send.bind(process);
  const tell = (message) => send(message, undefined, undefined, () => {});
  const servers = new Set();
  const sessions = new Set();
  // Connections that speak something else than HTTP by now; true = websocket.
  const upgraded = new Map();

  const track = (request, socket) => {
    if (!socket || typeof socket.once !== 'function') return;
    upgraded.set(socket, /^websocket$/i.test(String(request.headers && request.headers.upgrade)));
    socket.once('close', () => upgraded.delete(socket));
  };

  // Ours may be there only together with one of the application: without any, Node.js answers such requests itself.
  const follow = (server, event) => {
    let ours = false;
    const add = () => {
      if (ours) return;
      ours = true;
      server.prependListener(event, track);
    };
    if (server.listenerCount(event) > 0) add();
    server.on('newListener', (name, listener) => { if (name === event && listener !== track) add(); });
    server.on('removeListener', (name, listener) => {
      if (name !== event || listener === track || !ours || server.listenerCount(event) > 1) return;
      ours = false;
      server.removeListener(event, track);
    });
  };

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
    } else if ('keepAliveTimeout' in server) {
      follow(server, 'upgrade');
      follow(server, 'connect');
    }
  };

  // The supervisor is not asked for these sockets, so it would neither know that the worker listens nor why the
  // successor of it cannot.
  const alone = (server, options) => {
    if (!options || typeof options !== 'object' || !(options.exclusive || options.reusePort)) return;
    const port = Number(options.port) || 0;
    tell({ cmd: 'NODE_MUSTER_EXCLUSIVE', port, shared: Boolean(options.reusePort) });
    server.once('listening', () => {
      const address = server.address();
      if (address && typeof address === 'object') {
        tell({ cmd: 'NODE_MUSTER_LISTENING', address: address.address, port: address.port });
      } else {
        tell({ cmd: 'NODE_MUSTER_LISTENING', address, port: -1 });
      }
    });
  };

  const original = net.Server.prototype.listen;
  const descriptor = Object.getOwnPropertyDescriptor(net.Server.prototype, 'listen');
  Object.defineProperty(net.Server.prototype, 'listen', {
    ...descriptor,
    value: function listen(...args) {
      try {
        remember(this);
        alone(this, args[0]);
      } catch { /* never the application's problem */ }
      return Reflect.apply(original, this, args);
    },
  });

  const lastAnswer = (request, response) => { response.shouldKeepAlive = false; };

  // Close frame with status 1001, "going away", as a server sends it.
  const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);
  const QUIET_MS = 100;

  // GOAWAY with the highest stream number and no error: "open no further streams, those under way are answered".
  const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

  // First that notice, then pings: an answer proves that the client has read the notice and that everything it sent
  // before has come. Only when nothing came between two answers the session is closed, which would refuse new streams;
  // those under way are finished. Time alone proves nothing on a busy machine. Most clients are quicker and close the
  // session themselves. The notice is written beside the session, between two of its frames: a session that knows of a
  // GOAWAY of its own (`session.goaway`) reads nothing more as soon as it has no stream, so a request that is on its
  // way would never be answered.
  const finishSession = (session) => {
    let streams = 0;
    let seen = -1;
    session.on('stream', () => { streams += 1; });
    const ask = () => {
      if (session.closed || session.destroyed) return;
      session.ping((error) => {
        if (error || session.closed || session.destroyed) return;
        if (streams === seen) {
          session.close();
        } else {
          seen = streams;
          setTimeout(() => { try { ask(); } catch { /* the deadline ends it */ } }, QUIET_MS).unref();
        }
      });
    };
    net.Socket.prototype.write.call(session.socket, NOTICE);
    ask();
  };

  // The first frame of a server is its settings; the client has them when it has acknowledged them.
  const finishSessionSoon = (session) => {
    const finish = () => { try { finishSession(session); } catch { /* already on its way out */ } };
    if (session.pendingSettingsAck) session.once('localSettings', finish);
    else finish();
  };

  let draining = false;
  const drain = (idleAfterMs) => {
    if (draining) return;
    draining = true;
    let open = 1;
    const closed = () => {
      open -= 1;
      if (open === 0) tell({ cmd: 'NODE_MUSTER_DRAINED' });
    };
    const all = [...servers];
    for (const server of all) {
      try {
        if ('keepAliveTimeout' in server) {
          server.prependListener('request', lastAnswer);
          for (const event of ['checkContinue', 'checkExpectation']) {
            if (server.listenerCount(event) > 0) server.prependListener(event, lastAnswer);
          }
        } else {
          server.on('session', finishSessionSoon);
        }
        open += 1;
        // The plain close of net: the one of http also cuts idle connections.
        net.Server.prototype.close.call(server, closed);
      } catch { closed(); }
    }
    for (const session of sessions) finishSessionSoon(session);
    // Whoever stayed until shortly before the deadline is told by a clean end of the connection.
    setTimeout(() => {
      for (const server of all) {
        try { if (server.closeIdleConnections) server.closeIdleConnections(); } catch { /* best effort */ }
      }
      for (const session of sessions) {
        try { session.close(); } catch { /* already on its way out */ }
      }
      for (const [socket, websocket] of upgraded) {
        try { socket.end(websocket ? GOING_AWAY : undefined); } catch { /* already on its way out */ }
      }
    }, idleAfterMs).unref();
    closed();
  };

  if (handed) tell({ cmd: 'NODE_MUSTER_ONLINE' });
  process.on('internalMessage', (message) => {
    if (!message || message.cmd !== 'NODE_MUSTER_DRAIN') return;
    try { drain(Number(message.idleAfterMs) || 0); } catch { /* the deadline of the supervisor ends it */ }
  });
})();
