// @ts-check
/*
 * node agent.mjs CONFIG
 *
 * Keeps a pool of each kind, takes from them as fast as it can, and looks whether each container that it gets is as good as new, until it is killed or told to stop.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Mutex } from 'async-mutex';
import { openContainerizer, warmContainers } from '#src/containerizer/index.js';
import { Provisioner } from '#src/index.js';
import { processStat } from '#src/system/processes/process-stat.js';
import { openWarmPools } from '#src/warm-pool/index.js';
import { Random } from '../../fuzz/random.mjs';
import { openJournal } from '../journal.mjs';

/**
 * @typedef {object} PoolAgentConfig
 * @property {string} root
 * @property {string} image
 * @property {string} out a directory in which each program of a container leaves a line in a file of its host's name
 * @property {string} name of this process; no other has had it
 * @property {number} seed
 * @property {string} cgroup the file `cgroup.procs` of the one that all of ours is begun in
 * @property {string} journal a file
 */

/** @type {PoolAgentConfig} */
const config = JSON.parse(process.argv[2] ?? '');
const { root, image, out, name } = config;
const { tell, fault } = openJournal(config.journal, name);
const random = new Random(config.seed);
writeFileSync(config.cgroup, `${process.pid}\n`);

/** How many wait for what is not ready. */
let waiting = 0;
/** Held by who takes something that is ready. */
const taking = new Mutex();
/** Milliseconds in which whatever is asked of a container is over. */
const PATIENCE = 20_000;

let isStopped = false;
process.on('message', () => {
  isStopped = true;
});
process.on('disconnect', () => process.exit(isStopped ? 0 : 1));

const provisioner = await Provisioner.open({ root, workers: 1 });
const containers = await openContainerizer({ provisioner });
await containers.recover({ knownContainerIds: [] });
const pools = await openWarmPools({ provisioner });
const mounts = [{ type: /** @type {const} */ ('bind'), source: out, target: '/out' }];
const command = ['sh', '-c', 'echo "$HOSTNAME" >>"/out/$HOSTNAME"'];
const kept = {
  created: await pools.keep('created', { image, launch: { command, mounts }, size: 3 }),
  generic: await pools.keep('generic', { kind: 'generic', frozen: random.chance(0.5), image, size: 2 }),
  rootfs: await pools.keep('rootfs', { kind: 'rootfs', image, size: 2 }),
};
await pools.destroyAbandoned();

/** @typedef {import('#src/warm-pool/index.js').Claimed} Claimed */
/** @type {Readonly<Record<keyof typeof kept, (claimed: Claimed) => Promise<void>>>} */
const LOOKS = {
  async created({ containerId }) {
    const exit = await containers.wait(containerId, { signal: AbortSignal.timeout(PATIENCE) });
    if (exit.code !== 0) fault(`${containerId} ended with ${JSON.stringify(exit)}`);
  },
  async generic({ containerId }) {
    const options = { timeout: PATIENCE };
    const { ended, stdout } = await containers.exec(containerId, ['sh', '-c', 'test ! -e /used && : >/used'], options);
    stdout.resume();
    const { code } = await ended;
    if (code !== 0) fault(`${containerId} was used before, or cannot be used: ${code}`);
  },
  async rootfs({ containerId, root: made }) {
    const used = join(made?.rootfs ?? '', 'used');
    if (!existsSync(join(made?.rootfs ?? '', 'bin'))) fault(`${containerId} has no files`);
    if (existsSync(used)) fault(`${containerId} was used before`);
    writeFileSync(used, '');
  },
};

process.send?.('ready');
await Promise.all([0, 1].map(run));
await provisioner.close();
process.disconnect();

async function run() {
  while (!isStopped) {
    const kind = random.pick(/** @type {(keyof typeof kept)[]} */ (['created', 'created', 'generic', 'rootfs']));
    if (random.chance(0.05)) await killWaiting();
    const claimed = await take(kind);
    if (claimed === null) {
      fault(`no ${kind} container within ${PATIENCE} ms: ${kept[kind].takeErrors().join('; ')}`);
      continue;
    }
    tell({ what: 'claimed', id: claimed.containerId, kind });
    try {
      await LOOKS[kind](claimed);
    } catch (error) {
      fault(`${claimed.containerId} cannot be used: ${/** @type {Error} */ (error).message}`);
    }
    if (random.chance(0.8)) await containers.destroy(claimed.containerId, { running: 'kill' });
    else tell({ what: 'standing', id: claimed.containerId });
    await sleep(random.below(30));
  }
}

/** @param {keyof typeof kept} kind */
async function take(kind) {
  const ready = await taking.runExclusive(async () => {
    const one = await kept[kind].get();
    if (one === null) waiting++;
    return one;
  });
  if (ready !== null) return ready;
  try {
    return await kept[kind].get({ timeout: PATIENCE });
  } finally {
    waiting--;
  }
}

/** What waits and is dead is not to be had. Nobody takes anything meanwhile: he may be the one who is killed. */
async function killWaiting() {
  await taking.runExclusive(async () => {
    // Who waits gets whatever comes, at any moment.
    if (waiting > 0) return;
    const [first] = (await warmContainers(provisioner)).filter(({ isTaken }) => !isTaken);
    const pid = first && (await containers.get(first.containerId))?.pid;
    if (pid === undefined) return;
    process.kill(pid, 'SIGKILL');
    // On a busy machine it does not die at once.
    for (let looks = 0; looks < 2000 && !(processStat(pid)?.state ?? 'Z').includes('Z'); looks++) await sleep(5);
  });
}
