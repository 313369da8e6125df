/*
 * npm run fuzz -- --seconds N [--seed S] [--layers DIR]... [--findings DIR] [--work DIR]
 * npm run fuzz -- --replay FILE
 *
 * Unpacks mutated layers and checks after each one what must always hold; see `runner.mjs` and `invariants.mjs`. Every case follows from the seed,
 * its number and the layers. What breaks something is kept in the findings directory, to be replayed.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadFinding, makeCase, saveFinding } from './case.mjs';
import { readCorpus } from './corpus.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    layers: { type: 'string', multiple: true, default: [] },
    findings: { type: 'string' },
    work: { type: 'string' },
    replay: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const fixtures = ['app-v1', 'app-v2'].map((name) =>
  fileURLToPath(new URL(`../fixtures/${name}/blobs`, import.meta.url)),
);
const layers = [...fixtures, ...values.layers];
/** Short, since archives have long paths. A case is replayed where it was found, since names in it may lead to the files around it. */
const outside = values.replay === undefined ? undefined : loadFinding(values.replay).outside;
const work = values.work ?? (outside === undefined ? mkdtempSync(join(tmpdir(), 'fuzz-')) : dirname(outside));
const findings = values.findings ?? join(tmpdir(), 'provisioner-fuzz-findings');
mkdirSync(findings, { recursive: true });

const BATCH = 5000;
/** A runner that says nothing for so many ticks of this program's own clock hangs; that clock stands still when the whole machine does. */
const HANG_TICKS = 40;
const TICK_MS = 1000;
const HEAP_MIB = 192;

/**
 * As root in confinement, and not at all without it; as an ordinary user as it is, with what plain Node can do.
 * @param {object} more
 */
function startRunner(more) {
  mkdirSync(work, { recursive: true });
  const config = JSON.stringify({ work, layers, seed, ...more });
  const runner = [
    process.execPath,
    `--max-old-space-size=${HEAP_MIB}`,
    fileURLToPath(new URL('./runner.mjs', import.meta.url)),
    config,
  ];
  const confine = [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    fileURLToPath(new URL('./confine.sh', import.meta.url)),
    work,
  ];
  const [command = '', ...rest] = process.geteuid?.() === 0 ? [...confine, ...runner] : runner;
  return spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** @type {Map<string, number>} */
const outcomes = new Map();
/** How often each kind of problem was seen: its message without names and numbers. @type {Map<string, number>} */
const found = new Map();
/** The rest of a kind is only counted, and kept in the findings. */
const SHOWN = 5;
/** @type {Promise<void>[]} */
const saving = [];
let cases = 0;
let slowest = 0;

/** One runner until its batch is done, it dies, or it hangs. @param {number} from @param {number} until a time @returns {Promise<number>} the next case */
function runBatch(from, until) {
  return new Promise((resolve) => {
    const runner = startRunner({});
    let current = from;
    let silence = 0;
    let ready = false;
    let finished = false;
    const clock = setInterval(() => {
      silence++;
      if (silence > HANG_TICKS) runner.kill('SIGKILL');
    }, TICK_MS);
    runner.on('message', (/** @type {any} */ message) => {
      silence = 0;
      if (message.ready) {
        ready = true;
        if (from === 0) console.log(`${message.entries} entries of ${message.layers} layers`);
        runner.send({ from, to: from + BATCH });
      } else if (message.starts !== undefined) {
        current = message.starts;
        if (Date.now() > until) {
          finished = true;
          runner.kill('SIGKILL');
        }
      } else if (message.finished) {
        finished = true;
        current = from + BATCH;
        runner.disconnect();
      } else {
        note(message);
      }
    });
    runner.on('exit', (code, signal) => {
      clearInterval(clock);
      if (!ready) throw new Error(`the runner did not start: it ended with ${signal ?? code}`);
      if (!finished) {
        const death =
          silence > HANG_TICKS ? `does not end within ${HANG_TICKS} s` : `the process ended with ${signal ?? code}`;
        note({ index: current, code: 'died', ms: 0, problems: [death] });
        current += 1;
      }
      resolve(current);
    });
  });
}

/** @param {{ index: number, code: string, ms: number, problems: string[] }} result */
function note({ index, code, ms, problems }) {
  cases++;
  outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
  slowest = Math.max(slowest, ms);
  if (problems.length > 0 && values.replay === undefined) saving.push(keep(index, problems));
  for (const problem of problems) {
    const kind = (problem.split('\n', 1)[0] ?? '').replace(/'[^']*'|"[^"]*"|\/\S+|[0-9]+/g, '_');
    const seen = (found.get(kind) ?? 0) + 1;
    found.set(kind, seen);
    if (seen <= SHOWN) console.log(`${new Date().toISOString()} case ${index}: ${problem}`);
  }
}

/** Saves cases that broke something. The layers are read when there is the first of them. @type {Promise<import('./corpus.mjs').Layer[]> | undefined} */
let corpus;
/** @param {number} index @param {readonly string[]} problems */
async function keep(index, problems) {
  corpus ??= readCorpus(layers);
  const outside = join(work, 'outside');
  saveFinding(findings, makeCase(await corpus, seed, index, { outside }), outside, problems.join('\n'));
}

function summary() {
  const elapsed = (Date.now() - start) / 1000;
  console.log(
    `${cases} cases in ${elapsed.toFixed(0)} s: ${(cases / elapsed).toFixed(0)} per second, the slowest took ${slowest.toFixed(0)} ms`,
  );
  for (const [code, count] of [...outcomes].sort((one, other) => other[1] - one[1])) console.log(`  ${count} ${code}`);
  if (found.size === 0) console.log('no findings');
  for (const [kind, count] of found) console.log(`  ${count} times: ${kind}`);
  if (found.size > 0) console.log(`see ${findings}`);
}

const start = Date.now();
if (values.replay !== undefined) {
  const runner = startRunner({ replay: values.replay });
  runner.on('message', note);
  await new Promise((resolve) => runner.on('exit', resolve));
  if (cases === 0) note({ index: 0, code: 'died', ms: 0, problems: ['the process ended without a word'] });
} else {
  console.log(`seed ${seed}, ${seconds} s, work in ${work}, findings in ${findings}`);
  const until = start + seconds * 1000;
  let reported = start;
  for (let next = 0; Date.now() < until; ) {
    next = await runBatch(next, until);
    if (Date.now() - reported > 60_000) {
      reported = Date.now();
      summary();
    }
  }
}
await Promise.all(saving);
summary();
rmSync(work, { recursive: true, force: true });
process.exit(found.size === 0 ? 0 : 1);
