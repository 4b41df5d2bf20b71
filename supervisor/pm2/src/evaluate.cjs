// Evaluates a configuration of pm2's and writes it as one line of JSON to descriptor 3. Standard output is left to the
// configuration, which may print what it likes.
'use strict';
const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');

const [file, environment] = process.argv.slice(1);
// Some configurations look at the command line of pm2.
process.argv = [process.execPath, 'pm2', 'start', file];
if (environment) process.argv.push('--env', environment);

function answer(result) {
  const bytes = Buffer.from(JSON.stringify(result) + '\n');
  for (let sent = 0; sent < bytes.length; ) sent += fs.writeSync(3, bytes, sent);
  process.exit(0);
}

function text(error) {
  if (!(error instanceof Error) && !(error && error.stack)) return String(error);
  const stack = String(error.stack || error);
  // Only what concerns the configuration: no frames of Node.js or of this script.
  const lines = stack.split('\n').filter((line) => !/^\s+at .*(node:|\[eval\])/.test(line));
  return lines.slice(0, 12).join('\n');
}

function plain(key, value) {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return Number.isNaN(value) ? null : String(value);
  if (value instanceof RegExp) return value.source;
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}

// A module of the new kind is a namespace; pm2 wants the list in it, people also export it as the default.
function configuration(exported) {
  const named = exported && (exported.apps || exported.pm2);
  if (!named && exported && typeof exported === 'object' && exported.default !== undefined) return exported.default;
  return exported;
}

// The export is wrapped, because a promise that is returned as it is would be waited for.
async function load() {
  if (path.extname(file) !== '.mjs') {
    try {
      return { exported: require(file) };
    } catch (error) {
      if (!error || !['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'].includes(error.code)) throw error;
    }
  }
  return { exported: await import(pathToFileURL(file).href) };
}

load().then(
  ({ exported }) => {
    const value = configuration(exported);
    if (typeof value === 'function') return answer({ refused: 'it exports a function, which pm2 does not call' });
    if (value && typeof value.then === 'function') return answer({ refused: 'it exports a promise, for which pm2 does not wait' });
    let encoded;
    try {
      encoded = JSON.stringify(value, plain);
    } catch (error) {
      return answer({ refused: 'what it exports is not plain data: ' + String(error.message).split('\n')[0] });
    }
    if (encoded === undefined) return answer({ refused: 'it exports nothing' });
    answer({ value: JSON.parse(encoded) });
  },
  (error) => answer({ thrown: text(error) }),
);
