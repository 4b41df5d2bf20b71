// `npm run mock`: the mock on a fixed port, for `npm run dev`. MOCK_SCENARIO is full, calm or empty. Any user name; the password is `correct`.
import { startMock } from "./server.mjs";

const mock = await startMock({ scenario: process.env.MOCK_SCENARIO ?? "full", port: Number(process.env.MOCK_PORT ?? 9180), built: false });
console.log(`mock of the controller on ${mock.url}`);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void mock.stop().then(() => process.exit(0)));
