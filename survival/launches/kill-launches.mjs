// @ts-check
/*
 * Launches programs whose ends are known from several agents on one store, kills agents, monitors, runtimes and programs meanwhile, and looks again and again
 * whether every end is what it was, and whether nothing is left that nothing accounts for.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { directoryOf, hierarchiesOfThisProcess, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import { openContainerizer } from '#src/containerizer/index.js';
import { Provisioner } from '#src/index.js';
import { fromBytePath } from '#src/system/syscalls/byte-path.js';
import { busyboxImage } from '../../fixtures/busybox-image.mjs';
import { writeOciLayout } from '../../fixtures/image-builder.mjs';
import { Random } from '../../fuzz/random.mjs';
import { releaseMounts, roomyDirectory, Worker } from '../crew.mjs';
import { cgroupsOf, leftOver, processesBelow, readLaunches } from './launch-census.mjs';
import { LaunchLedger } from './launch-ledger.mjs';
import { killVictim, victims } from './victims.mjs';

/** @typedef {import('#src/containerizer/index.js').RuntimeName} RuntimeName */

const AGENT = fileURLToPath(new URL('./agent.mjs', import.meta.url));
const IMAGE = 'busybox:1';
/** Seconds between two looks at everything. */
const BETWEEN = 5;
/** Milliseconds for what is under way when all agents hold still. */
const SETTLING = 10_000;

/**
 * Two agents share an owner: they see each other's launches.
 * @type {readonly { owner: string, lanes: number, runtime: RuntimeName }[]}
 */
const AGENTS = [
  { owner: 'one', lanes: 3, runtime: 'crun' },
  { owner: 'two', lanes: 2, runtime: 'crun' },
  { owner: 'two', lanes: 1, runtime: 'runc' },
];

/** @typedef {Worker & { place: number, isReady: Promise<boolean> }} Agent */

/**
 * @typedef {object} LaunchReport
 * @property {number} launches
 * @property {number} looks at everything
 * @property {string[]} problems
 * @property {string} summary
 */

/**
 * @param {object} options
 * @param {number} options.launches
 * @param {number} options.seed what is launched and what is done to it come of it, and what is killed, but not what happens between processes
 * @param {number} [options.seconds] nothing new begins after so long
 * @param {(line: string) => void} [options.log]
 * @returns {Promise<LaunchReport>}
 */
export async function killLaunches({ launches, seed, seconds = Number.POSITIVE_INFINITY, log = () => {} }) {
  const scene = await Scene.make(new Random(seed));
  try {
    const started = performance.now();
    let looks = 0;
    for (let looked = started; scene.problems.length === 0 && scene.ledger.begun < launches; ) {
      await scene.strike();
      const now = performance.now();
      if (now - started > seconds * 1000) break;
      if (now - looked < BETWEEN * 1000) continue;
      await scene.look();
      looked = performance.now();
      log(`${scene.ledger.begun} launches, ${++looks} looks, ${scene.problems.length} problems`);
    }
    if (scene.problems.length === 0) await scene.lookAtEnd();
    const { problems, ledger } = scene;
    for (const problem of problems) log(problem);
    const found = problems.map((problem) => `seed ${seed}: ${problem}`);
    return { launches: ledger.begun, looks: looks + 1, problems: found, summary: ledger.summary };
  } finally {
    await scene.clear();
  }
}

/** A store with its agents. */
class Scene {
  ledger = new LaunchLedger();
  /** @type {string[]} */
  problems = [];
  /** @type {Agent[]} */
  #agents = [];
  /** By name, what each said at the last look that it has left for later. @type {readonly string[]} */
  #standing = [];
  #last = 0;
  #random;
  #directory;
  /** @type {import('./launch-census.mjs').Place} */
  #place;

  /** @param {Random} random */
  static async make(random) {
    const directory = realpathSync(mkdtempSync(join(roomyDirectory(), 'provisioner-launches-')));
    const root = join(directory, 'store');
    const provisioner = await Provisioner.open({ root });
    try {
      const layout = join(directory, 'layout');
      await writeOciLayout(layout, [{ image: busyboxImage(), refName: 'it' }]);
      await provisioner.images.pull(`oci:${layout}`, { name: IMAGE });
    } finally {
      await provisioner.close();
    }
    return new Scene(random, directory, root);
  }

  /** @param {Random} random @param {string} directory @param {string} root @private */
  constructor(random, directory, root) {
    this.#random = random;
    this.#directory = directory;
    const key = createHash('sha256').update(root).digest('hex').slice(0, 12);
    const hierarchies = hierarchiesOfThisProcess();
    const { hierarchy } = hierarchies.controllers.cpuacct;
    if (hierarchy === undefined) throw new Error('there are no cgroups here');
    const cgroup = fromBytePath(directoryOf(hierarchy, `/survival-${key}`));
    mkdirSync(cgroup);
    this.#place = { root, cgroup, run: `/run/provisioner/${key}`, parent: fromBytePath(parentOf(hierarchies, key)) };
    for (const index of AGENTS.keys()) this.#start(index);
  }

  /** @param {number} index of `AGENTS` @param {readonly import('./agent.mjs').Job[]} [adopted] */
  #start(index, adopted) {
    const { root, cgroup } = this.#place;
    const seed = this.#random.below(2 ** 31);
    const name = `a${this.#last++}`;
    /** @type {Omit<import('./agent.mjs').AgentConfig, 'journal'> & { owner: string }} */
    const config = {
      .../** @type {(typeof AGENTS)[number]} */ (AGENTS[index]),
      root,
      image: IMAGE,
      name,
      seed,
      cgroup: join(cgroup, 'cgroup.procs'),
      adopted,
    };
    if (adopted !== undefined) this.ledger.handOver(adopted, name);
    const worker = new Worker(config, this.#directory, AGENT);
    this.#agents[index] = Object.assign(worker, { place: index, isReady: worker.ready() });
  }

  /** Kills something, after a moment. */
  async strike() {
    const random = this.#random;
    await sleep(random.between(5, 90));
    if (random.chance(0.02)) await this.#killAgent(random.pick(this.#agents));
    const { root, parent } = this.#place;
    const all = victims(root, parent);
    const kinds = [...new Set(all.map(({ kind }) => kind))];
    if (kinds.length === 0 || random.chance(0.3)) return;
    // What is there for a short while only is hit as often as what always is.
    const kind = random.pick(kinds);
    const victim = random.pick(all.filter((one) => one.kind === kind));
    const id = this.#containerOf(victim.launchId);
    if (id !== undefined) killVictim(victim, root, parent, () => this.ledger.kill(id, victim.launchId, kind));
  }

  /** @param {string} launchId */
  #containerOf(launchId) {
    return readLaunches(this.#place.root).launches.find(({ id }) => id === launchId)?.container;
  }

  /** Its successor begins with a recovery, and with what was left. @param {Agent} agent */
  async #killAgent(agent) {
    await agent.kill();
    this.#hear(agent);
    if (this.#random.chance(0.5)) await sleep(this.#random.below(600));
    this.#start(agent.place, this.ledger.left(agent.name, this.#standing));
  }

  /** @param {Worker} agent */
  #hear(agent) {
    this.ledger.add(agent.news(), agent);
  }

  /** When all agents hold still. */
  async look() {
    await Promise.all(this.#agents.map(({ isReady }) => isReady));
    const answers = await Promise.all(this.#agents.map((agent) => agent.tell('pause')));
    for (const agent of this.#agents) if (!agent.isRunning) this.problems.push(`${agent.name} has died`);
    this.#standing = answers.flatMap((answer) => answer?.standing ?? []);
    for (const agent of this.#agents) this.#hear(agent);
    await Promise.all(
      ['one', 'two'].map(async (owner) => {
        const agent = this.#random.pick(this.#agents.filter((one) => one.owner === owner));
        const known = this.#standing.filter((id) => this.ledger.containers.get(id)?.owner === owner);
        await agent.tell('recover', this.#random.chance(0.5) ? { known } : {});
      }),
    );
    await this.#compare(this.#standing);
    for (const agent of this.#agents) void agent.tell('resume');
  }

  /** When all agents have ended by themselves, and what they have begun. */
  async lookAtEnd() {
    await Promise.all(this.#agents.map(({ isReady }) => isReady));
    this.problems.push(...(await Promise.all(this.#agents.map((agent) => agent.stop()))).flat());
    for (const owner of ['one', 'two']) {
      const provisioner = await Provisioner.open({ root: this.#place.root, owner });
      try {
        const { failed } = await (await openContainerizer({ provisioner })).recover();
        this.problems.push(...failed.map(({ containerId, error }) => `${containerId} was not recovered: ${error}`));
        await provisioner.store.swept();
      } finally {
        await provisioner.close();
      }
    }
    await this.#compare([]);
    this.ledger.judgeAtEnd();
    this.problems.push(...this.ledger.faults.splice(0));
  }

  /** @param {readonly string[]} standing */
  async #compare(standing) {
    for (const agent of this.#agents) this.#hear(agent);
    this.ledger.judge(readLaunches(this.#place.root).ends);
    const kept = standing.filter((id) => this.ledger.containers.get(id)?.removed === false);
    const pids = this.#agents.flatMap((agent) => agent.process.pid ?? []);
    const began = performance.now();
    let left = leftOver(this.#place, standing, kept, pids);
    // Monitors end after what they watch, and remove what is to be removed.
    while (left.length > 0 && performance.now() - began < SETTLING) {
      await sleep(50);
      left = leftOver(this.#place, standing, kept, pids);
    }
    this.problems.push(...left, ...this.ledger.faults.splice(0));
  }

  /** Ends and removes everything, whatever state it is in. */
  async clear() {
    for (const agent of this.#agents) if (agent.isRunning) await agent.kill();
    const { root, run, parent, cgroup } = this.#place;
    const provisioner = await Provisioner.open({ root });
    try {
      const containers = await openContainerizer({ provisioner });
      for (const { containerId } of await containers.list()) {
        await containers.destroy(containerId, { running: 'kill', anyOwner: true });
      }
      await containers.recover();
    } finally {
      await provisioner.close();
    }
    for (const pid of processesBelow(cgroup)) process.kill(pid, 'SIGKILL');
    await sleep(cgroupsOf(parent).length > 0 ? 500 : 50);
    releaseMounts(this.#directory);
    rmSync(this.#directory, { recursive: true, force: true });
    rmSync(run, { recursive: true, force: true });
    rmdirSync(cgroup);
  }
}
