// @ts-check
/*
 * npm run survive -- --kills N | --cuts N | --seconds N | --launches N | --pools N  [--seed S]
 * npm run survive -- --tests
 *
 * Breaks stores on purpose, for longer than the tests do:
 *
 *   --kills N     kills processes under mixed load at N random instants; recovers and looks at everything after each
 *   --cuts N      cuts the power N times, as far as the disk can tell; `--unsafe` with durability off, which must show damage; `--mounts` under
 *                 nothing but provisions and destroys by overlay
 *   --seconds N   runs random interleavings of all operations in four processes against a model for so long
 *   --launches N  launches N programs whose ends are known, kills agents, monitors, runtimes and programs meanwhile, and looks at every end and
 *                 for anything that is left
 *   --pools N     kills an agent that keeps warm pools N times, and looks whether anything was handed out twice, or dead, and for anything that is left
 *   --tests       runs the tests that go over part of their range in CI over the whole of it
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cutPower } from './cut-power.mjs';
import { killAtRandom } from './kills.mjs';
import { killLaunches } from './launches/kill-launches.mjs';
import { killPools } from './pools/kill-pools.mjs';
import { race } from './race.mjs';

const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    cuts: { type: 'string' },
    seconds: { type: 'string' },
    launches: { type: 'string' },
    pools: { type: 'string' },
    unsafe: { type: 'boolean', default: false },
    mounts: { type: 'boolean', default: false },
    seed: { type: 'string' },
    tests: { type: 'boolean', default: false },
  },
});
if (values.tests) process.exit(runTests());
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const log = (/** @type {string} */ line) => console.log(line);
const started = performance.now();
log(`seed ${seed}`);
const outcome = await run();
log(JSON.stringify(outcome, undefined, 2));
log(`${Math.round((performance.now() - started) / 1000)} s`);
process.exitCode = outcome.problems.length > 0 ? 1 : 0;

async function run() {
  if (values.kills !== undefined) return killAtRandom({ kills: Number(values.kills), seed, log });
  if (values.launches !== undefined) return killLaunches({ launches: Number(values.launches), seed, log });
  if (values.pools !== undefined) return killPools({ kills: Number(values.pools), seed, log });
  if (values.seconds !== undefined) return race({ seconds: Number(values.seconds), seed, log });
  if (values.cuts !== undefined) {
    return cutPower(
      {
        cuts: Number(values.cuts),
        seed,
        seconds: Number.MAX_SAFE_INTEGER,
        unsafe: values.unsafe,
        mountsOnly: values.mounts,
      },
      log,
    );
  }
  throw new Error('say what to break: --kills, --cuts, --seconds, --launches, --pools or --tests');
}

/** @returns the status of vitest */
function runTests() {
  const repository = fileURLToPath(new URL('..', import.meta.url));
  const files = ['native-free-tests', 'system-tests']
    .flatMap((tests) => {
      const names = readdirSync(join(repository, tests), { recursive: true, encoding: 'utf8' });
      return names.map((name) => join(tests, name));
    })
    .filter(
      (name) => name.endsWith('.test.ts') && readFileSync(join(repository, name), 'utf8').includes('WHOLE_RANGE'),
    );
  const env = { ...process.env, PROVISIONER_TEST_WHOLE: '1' };
  const args = [join(repository, 'node_modules/vitest/vitest.mjs'), 'run', ...files];
  return spawnSync(process.execPath, args, { cwd: repository, env, stdio: 'inherit' }).status ?? 1;
}
