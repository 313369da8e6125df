// @ts-check
/*
 * Kills an agent that keeps warm pools, again and again, and looks whether a container was handed out twice, or dead, and whether anything is left that nothing accounts for.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { directoryOf, hierarchiesOfThisProcess, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import { openContainerizer } from '#src/containerizer/index.js';
import { Provisioner } from '#src/index.js';
import { fromBytePath } from '#src/system/syscalls/byte-path.js';
import { openWarmPools } from '#src/warm-pool/index.js';
import { busyboxImage } from '../../fixtures/busybox-image.mjs';
import { writeOciLayout } from '../../fixtures/image-builder.mjs';
import { Random } from '../../fuzz/random.mjs';
import { releaseMounts, roomyDirectory, Worker } from '../crew.mjs';
import { leftOver, processesBelow } from '../launches/launch-census.mjs';

const AGENT = fileURLToPath(new URL('./agent.mjs', import.meta.url));
const IMAGE = 'busybox:1';
/** Milliseconds that an agent lives at most before it is killed. */
const LIFE = 1500;
/** Milliseconds for what ends by itself. */
const SETTLING = 10_000;

/**
 * @param {object} options
 * @param {number} options.kills
 * @param {number} options.seed
 * @param {number} [options.seconds] no more kills after so long
 * @param {(line: string) => void} [options.log]
 * @returns {Promise<{ kills: number, claimed: number, problems: string[] }>}
 */
export async function killPools({ kills, seed, seconds = Number.POSITIVE_INFINITY, log = () => {} }) {
  const random = new Random(seed);
  const directory = realpathSync(mkdtempSync(join(roomyDirectory(), 'provisioner-pools-')));
  const root = join(directory, 'store');
  const out = join(directory, 'out');
  mkdirSync(out);
  const key = createHash('sha256').update(root).digest('hex').slice(0, 12);
  const hierarchies = hierarchiesOfThisProcess();
  const { hierarchy } = hierarchies.controllers.cpuacct;
  if (hierarchy === undefined) throw new Error('there are no cgroups here');
  const cgroup = fromBytePath(directoryOf(hierarchy, `/survival-${key}`));
  mkdirSync(cgroup);
  const place = { root, cgroup, run: `/run/provisioner/${key}`, parent: fromBytePath(parentOf(hierarchies, key)) };
  const ledger = new PoolLedger();
  let killed = 0;
  try {
    await storeImage(directory, root);
    const began = performance.now();
    for (; killed < kills && performance.now() - began < seconds * 1000 && ledger.problems.length === 0; killed++) {
      const name = `a${killed}`;
      const own = {
        root,
        out,
        image: IMAGE,
        name,
        owner: name,
        seed: random.below(2 ** 31),
        cgroup: join(cgroup, 'cgroup.procs'),
      };
      const agent = new Worker(own, directory, AGENT);
      // Some die before they have begun.
      if (random.chance(0.8)) await agent.ready();
      await sleep(random.below(LIFE));
      await agent.kill();
      ledger.add(agent.news());
      if (killed % 20 === 19)
        log(`${killed + 1} kills, ${ledger.claimed.size} claimed, ${ledger.problems.length} problems`);
    }
    await lookAtEnd(place, ledger, out);
  } finally {
    for (const pid of processesBelow(cgroup)) process.kill(pid, 'SIGKILL');
    await sleep(500);
    releaseMounts(directory);
    rmSync(directory, { recursive: true, force: true });
    rmSync(place.run, { recursive: true, force: true });
    rmdirSync(cgroup);
  }
  for (const problem of ledger.problems) log(problem);
  const problems = ledger.problems.map((problem) => `seed ${seed}: ${problem}`);
  return { kills: killed, claimed: ledger.claimed.size, problems };
}

/** What all agents so far have told. */
class PoolLedger {
  /** @type {Map<string, string>} kinds by ids */
  claimed = new Map();
  /** @type {string[]} */
  problems = [];

  /** @param {readonly Record<string, any>[]} events of one agent */
  add(events) {
    for (const { what, id, kind, text } of events) {
      if (what === 'fault') this.problems.push(text);
      if (what !== 'claimed') continue;
      if (this.claimed.has(id)) this.problems.push(`${id} was handed out twice`);
      this.claimed.set(id, kind);
    }
  }
}

/** @param {string} directory @param {string} root */
async function storeImage(directory, root) {
  const provisioner = await Provisioner.open({ root });
  try {
    const layout = join(directory, 'layout');
    await writeOciLayout(layout, [{ image: busyboxImage(), refName: 'it' }]);
    await provisioner.images.pull(`oci:${layout}`, { name: IMAGE });
  } finally {
    await provisioner.close();
  }
}

/** @param {import('../launches/launch-census.mjs').Place} place @param {PoolLedger} ledger @param {string} out */
async function lookAtEnd(place, ledger, out) {
  const { root } = place;
  const provisioner = await Provisioner.open({ root });
  try {
    const containers = await openContainerizer({ provisioner });
    await containers.recover();
    const pools = await openWarmPools({ provisioner });
    await pools.destroyAbandoned();
    const left = new Set([
      ...(await containers.list()).map(({ containerId }) => containerId),
      ...(await provisioner.containers.list()).map(({ id }) => id),
    ]);
    // Those that were handed out are whoever's who got them; he may have died before he could tell it.
    for (const id of left) await containers.destroy(id, { running: 'kill' });
    const holdings = await provisioner.holdings.list();
    ledger.problems.push(...holdings.map(({ kind, name }) => `${kind} ${name} is held still`));
    await containers.recover();
    await provisioner.store.swept();
  } finally {
    await provisioner.close();
  }
  const began = performance.now();
  let left = leftOver(place, [], [], [process.pid]);
  while (left.length > 0 && performance.now() - began < SETTLING) {
    await sleep(50);
    left = leftOver(place, [], [], [process.pid]);
  }
  ledger.problems.push(...left);
  for (const name of readdirSync(out)) {
    const times = readFileSync(join(out, name), 'utf8').trim().split('\n').length;
    if (times !== 1) ledger.problems.push(`the program of ${name} has run ${times} times`);
  }
}
