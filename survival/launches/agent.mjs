// @ts-check
/*
 * node agent.mjs CONFIG
 *
 * An agent that launches programs whose ends are known, several at a time, does things to them, and tells its journal what became of them, until it is told to
 * stop or is killed. It does not judge: whether something else was killed, it does not know.
 */
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { openContainerizer } from '#src/containerizer/index.js';
import { Provisioner } from '#src/index.js';
import { Random } from '../../fuzz/random.mjs';
import { openJournal } from '../journal.mjs';
import { ACT_NAMES, ACTS, EXECUTED, programAtRandom } from './programs.mjs';

/** @typedef {import('./programs.mjs').Program} Program */
/** @typedef {{ id: string, program: Program, removed: boolean }} Job */

/**
 * @typedef {object} AgentConfig
 * @property {string} root
 * @property {string} image
 * @property {string} owner
 * @property {string} name of this process; no other has had it
 * @property {number} seed
 * @property {number} lanes launches at a time
 * @property {import('#src/containerizer/index.js').RuntimeName} runtime
 * @property {string} cgroup the file `cgroup.procs` of the one that all of ours is begun in
 * @property {string} journal a file
 * @property {readonly Job[] | undefined} adopted of an agent that was killed, whose launches this one puts right
 */

/** @type {AgentConfig} */
const config = JSON.parse(process.argv[2] ?? '');
const { root, image, owner, name, lanes, runtime } = config;
const { tell, fault } = openJournal(config.journal, name);
writeFileSync(config.cgroup, `${process.pid}\n`);

/** Seconds in which everything is over that is done to one launch. */
const PATIENCE = 8;

/** What runs on, or has ended and stays, for a while. @type {Job[]} */
const standing = [];
let last = 0;
let isPaused = false;
let isStopped = false;
let active = 1;

const provisioner = await Provisioner.open({ root, owner, workers: 1 });
const containers = await openContainerizer({ provisioner, runtime });
process.on('message', (/** @type {any} */ message) => void answer(message));
// The one that gives orders is gone: so is the test.
process.on('disconnect', () => process.exit(isStopped ? 0 : 1));
process.send?.('ready');
if (config.adopted !== undefined) await putRight(config.adopted);
active--;
await Promise.all(Array.from({ length: lanes }, (_, lane) => run(new Random(config.seed, lane))));
for (const job of standing.splice(0)) await finish(job, new Random(config.seed, lanes));
await provisioner.close();
process.disconnect();

/** @param {{ order: 'pause' | 'resume' | 'stop' | 'recover', known?: string[] }} message */
async function answer({ order, known }) {
  if (order === 'stop') isStopped = true;
  if (order === 'pause') isPaused = true;
  if (order === 'resume') isPaused = false;
  if (order === 'recover') await recover(known);
  while (order === 'pause' && active > 0) await sleep(2);
  process.send?.({ done: order, standing: standing.map(({ id }) => id) });
}

/** @param {readonly string[]} [known] */
async function recover(known) {
  const { failed, store } = await containers.recover(known === undefined ? {} : { knownContainerIds: known });
  for (const { containerId, error } of failed) fault(`${containerId} was not recovered: ${described(error)}`);
  for (const { containerId, reason } of store.untrusted) fault(`${containerId} is not trusted: ${reason}`);
}

/** One lane: one thing after the other. @param {Random} random */
async function run(random) {
  while (!isStopped) {
    if (isPaused) {
      await sleep(2);
      continue;
    }
    active++;
    try {
      const old = standing.length > random.below(8) ? standing.shift() : undefined;
      await (old === undefined ? launch(random) : finish(old, random));
    } catch (error) {
      fault(described(error));
    } finally {
      active--;
    }
  }
}

/** What an agent that was killed had begun. @param {readonly Job[]} jobs */
async function putRight(jobs) {
  try {
    await recover();
    const random = new Random(config.seed, lanes + 1);
    for (const job of jobs) {
      const { id } = job;
      const found = await containers.get(id);
      if (found === undefined) {
        tell({ what: 'missing', id });
        continue;
      }
      if (found.state === 'starting') fault(`${id} is being started by nobody`);
      tell({ what: 'launched', id, launchId: found.launchId });
      if (found.state === 'paused') await attempt(id, 'resume', () => containers.resume(id));
      await finish(job, random);
    }
  } catch (error) {
    fault(described(error));
  }
}

/** @param {Random} random */
async function launch(random) {
  const id = `${name}-${last++}`;
  const program = programAtRandom(random);
  const job = { id, program, removed: random.chance(0.4) };
  const { command, options, givenUpAfter } = program;
  tell({ what: 'begun', id, program, removed: job.removed });
  try {
    const signal = givenUpAfter === undefined ? undefined : AbortSignal.timeout(givenUpAfter);
    const { launchId } = await containers.launch(id, image, { ...options, command, remove: job.removed, signal });
    tell({ what: 'launched', id, launchId });
  } catch (error) {
    tell({ what: 'failed', id, code: /** @type {any} */ (error)?.code, text: described(error) });
    return;
  }
  if (random.chance(0.1)) standing.push(job);
  else await finish(job, random);
}

/** Leads a launch to its end, and takes away what is left. @param {Job} job @param {Random} random */
async function finish(job, random) {
  const { id, program, removed } = job;
  const act = program.ends.length > 0 ? undefined : random.pick(ACT_NAMES);
  if (act !== undefined) await attempt(id, 'read', () => ready(id));
  if (act !== undefined) tell({ what: 'act', id, act, ends: ACTS[act] });
  const done = await attempt(id, act ?? 'wait', () => end(id, act));
  if (done?.exit !== undefined) tell({ what: 'end', id, exit: done.exit });
  if (done?.isDestroyed || removed) return;
  // Whether it has ended or could not be touched any more: it is told the same now as later.
  const exit = await attempt(id, 'wait', () => containers.wait(id));
  if (exit !== undefined) tell({ what: 'end', id, exit });
  const found = await attempt(id, 'get', () => containers.get(id));
  if (exit !== undefined && found?.state !== 'exited') fault(`${id} has ended, and is ${found?.state}`);
  if (exit?.reason === 'exited' && program.prints !== undefined) {
    const printed = (await attempt(id, 'logs', () => read(id))) ?? '';
    tell({ what: 'printed', id, isWhole: printed.endsWith(program.prints), end: printed.slice(-100) });
  }
  tell({ what: 'act', id, act: 'destroy', ends: [] });
  await attempt(id, 'destroy', () => containers.destroy(id));
}

/** @param {string} id */
async function ready(id) {
  for await (const { bytes } of containers.logs(id, { follow: true })) if (bytes.includes('ready')) break;
}

/** @param {string} id */
async function read(id) {
  let printed = '';
  for await (const { stream, bytes } of containers.logs(id)) if (stream === 'stdout') printed += bytes;
  return printed;
}

/** @param {string} id @param {import('./programs.mjs').Act | undefined} act @returns {Promise<{ exit?: import('#src/containerizer/index.js').Exit, isDestroyed?: boolean }>} */
async function end(id, act) {
  const stop = async (grace = 30_000) => ({ exit: await containers.stop(id, { grace }) });
  const killed = async (/** @type {string} */ signal) => {
    const exit = containers.wait(id);
    exit.catch(() => {});
    await containers.kill(id, signal);
    return { exit: await exit };
  };
  const destroy = async () => {
    const isDestroyed = await containers.destroy(id, { running: 'kill' });
    if (!isDestroyed) tell({ what: 'refused', id, act, code: 'ERR_CONTAINER_NOT_FOUND', text: 'there was none' });
    return { isDestroyed: true };
  };
  if (act?.startsWith('pause')) await containers.pause(id);
  switch (act) {
    case undefined:
      return { exit: await containers.wait(id) };
    case 'stop without grace':
      return stop(0);
    case 'signal':
      return killed('SIGUSR1');
    case 'kill':
    case 'pause and kill':
      return killed('SIGKILL');
    case 'destroy':
    case 'pause and destroy':
      return destroy();
    case 'execute and stop':
      await attempt(id, 'exec', () => execute(id));
      return stop();
    default:
      return stop();
  }
}

/** @param {string} id */
async function execute(id) {
  const execution = await containers.exec(id, EXECUTED.command);
  const [stdout, ended] = await Promise.all([
    text(/** @type {import('node:stream').Readable} */ (execution.stdout)),
    execution.ended,
  ]);
  tell({ what: 'executed', id, stdout, ended });
}

/**
 * @template T @param {string} id @param {string} what @param {() => Promise<T>} work
 * @returns {Promise<T | undefined>}
 */
async function attempt(id, what, work) {
  const began = performance.now();
  try {
    return await work();
  } catch (error) {
    tell({ what: 'refused', id, act: what, code: /** @type {any} */ (error)?.code, text: described(error) });
    return undefined;
  } finally {
    const seconds = (performance.now() - began) / 1000;
    if (seconds > PATIENCE) fault(`${id}: ${what} took ${Math.round(seconds)} s`);
  }
}

/** @param {unknown} error */
function described(error) {
  const { stack, cause, details } = /** @type {any} */ (error);
  return `${stack} ${JSON.stringify(details ?? {})}${cause === undefined ? '' : `, because of ${cause.stack ?? cause}`}`;
}
