// A configuration as one finds it: it asks the machine, computes, and talks.
const os = require('os');
const path = require('path');

console.log('loading the ecosystem of', os.platform());

const shared = { NODE_ENV: 'production', LOG_LEVEL: process.env.LOG_LEVEL || 'info' };

module.exports = {
  apps: [
    {
      name: 'Shop API',
      script: './server.js',
      cwd: path.join(__dirname, 'api'),
      instances: 'max',
      exec_mode: 'cluster',
      node_args: '--max-old-space-size=1024',
      max_memory_restart: '300M',
      wait_ready: true,
      listen_timeout: 8000,
      kill_timeout: 5000,
      env: { ...shared, PORT: 3000, DATABASE_URL: 'postgres://shop:hunter2@db.internal/shop', SESSION_SECRET: 'keyboard cat' },
      env_staging: { LOG_LEVEL: 'debug', PORT: 3100, DATABASE_URL: 'postgres://shop:hunter2@db.staging/shop' },
    },
    {
      name: 'worker',
      script: 'worker.js',
      args: ['--queue', 'mail out'],
      instances: -1,
      autorestart: true,
      exp_backoff_restart_delay: 100,
      max_restarts: 0,
      stop_exit_codes: [3],
      out_file: '/dev/null',
      time: true,
      env: { ...shared, STRIPE_KEY: 'sk_live_hunter2', LIMITS: { mails: 10 } },
    },
    { name: 'nightly', script: 'jobs/report.js', cron_restart: '15 2 * * *', autorestart: false, watch: ['jobs'] },
    { name: 'ml', script: 'predict.py', interpreter: 'python3', env: { MODEL: 'small' } },
    { name: 'front', script: 'npm', args: 'start', namespace: 'web', max_memory: '1G' },
  ],
  deploy: { staging: { user: 'deploy', host: 'staging.example', repo: 'git@example:shop.git' } },
};
