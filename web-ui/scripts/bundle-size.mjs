// Fails when the scripts of the built dashboard, gzipped, outgrow their budget.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 300;
const assets = new URL("../dist/assets/", import.meta.url).pathname;

const sizes = readdirSync(assets)
  .filter((name) => name.endsWith(".js") || name.endsWith(".css"))
  .map((name) => ({ name, kb: gzipSync(readFileSync(join(assets, name)), { level: 9 }).length / 1000 }));

const sum = (ending) => sizes.filter((s) => s.name.endsWith(ending)).reduce((total, s) => total + s.kb, 0);
const js = sum(".js");
console.log(`scripts ${js.toFixed(1)} kB gzipped of ${BUDGET_KB} kB, styles ${sum(".css").toFixed(1)} kB`);
if (js > BUDGET_KB) {
  for (const s of sizes.sort((a, b) => b.kb - a.kb).slice(0, 10)) console.error(`  ${s.kb.toFixed(1).padStart(7)} kB  ${s.name}`);
  console.error("the scripts are over their budget: load a page lazily, or drop a dependency");
  process.exit(1);
}
