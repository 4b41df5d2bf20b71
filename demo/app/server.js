'use strict';

// An ordinary Express application: it knows nothing of Muster. PORT comes from the environment, and on SIGINT or
// SIGTERM it finishes what it has begun, like any well-behaved server.

const express = require('express');
const { version } = require('./version.json');

const app = express();
app.disable('x-powered-by');

let closing = false;
app.use((request, response, next) => {
  // Clients that keep connections open learn that this one ends.
  if (closing) response.set('Connection', 'close');
  next();
});

app.get('/', (request, response) => {
  response.json({ shop: 'demo', version, pid: process.pid, node: process.version });
});

// Takes a while, so that some requests are always under way when a release changes.
app.get('/slow', (request, response) => {
  setTimeout(() => response.json({ shop: 'demo', version, pid: process.pid }), 300);
});

app.get('/healthz', (request, response) => {
  response.json({ ok: true, version });
});

const server = app.listen(process.env.PORT || 3000, (error) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(`version ${version} listens on port ${server.address().port}`);
});

function close(signal) {
  if (closing) return;
  closing = true;
  console.log(`version ${version} closes on ${signal}`);
  server.close(() => process.exit(0));
}
process.on('SIGINT', close);
process.on('SIGTERM', close);
