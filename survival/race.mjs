// @ts-check
/*
 * Random interleavings of pull, provision, destroy, prune, sweep, recover, tag and rmi in four processes of two owners, against a simple model: each process
 * keeps what it was told and compares its containers with it, right after they were made, now and then, and before they go; at quiescent
 * points everything is compared with what all of them were told.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Provisioner } from '#src/index.js';
import { Random } from '../fuzz/random.mjs';
import { Crew, Ledger, OWNERS } from './crew.mjs';
import { brokenPromises } from './invariants.mjs';

/** @typedef {import('./crew.mjs').Worker} Worker */

/**
 * @typedef {object} RaceReport
 * @property {number} operations
 * @property {number} checkpoints quiescent points
 * @property {number} longestPrune for how long a prune held the lock at most, in milliseconds
 * @property {string[]} problems
 * @property {string} summary
 */

/**
 * @param {object} options until either is reached
 * @param {number} [options.operations]
 * @param {number} [options.seconds]
 * @param {number} options.seed
 * @param {(line: string) => void} [options.log]
 * @returns {Promise<RaceReport>}
 */
export async function race({
  operations = Number.POSITIVE_INFINITY,
  seconds = Number.POSITIVE_INFINITY,
  seed,
  log = () => {},
}) {
  const crew = await Crew.gather();
  const random = new Random(seed);
  const ledger = new Ledger();
  const root = join(crew.directory, 'store');
  const started = performance.now();
  /** @type {string[]} */
  const problems = [];
  let checkpoints = 0;
  try {
    const workers = [0, 1, 2, 3].map((index) => {
      return crew.start({
        root,
        owner: OWNERS[index % 2] ?? 'one',
        seed: random.below(2 ** 31),
        lanes: 2 + (index % 2),
      });
    });
    await Promise.all(workers.map((worker) => worker.ready()));
    while (problems.length === 0 && ledger.operations < operations && performance.now() - started < seconds * 1000) {
      await sleep(random.between(500, 3000));
      await Promise.all(workers.map((worker) => worker.tell('pause')));
      problems.push(...look(workers, ledger, root, crew));
      checkpoints++;
      log(`${ledger.operations} operations, ${checkpoints} checkpoints, ${problems.length} problems`);
      if (problems.length === 0) await recoverOne(workers, ledger, random);
      for (const worker of workers) void worker.tell('resume');
    }
    problems.push(...(await Promise.all(workers.map((worker) => worker.stop()))).flat());
    // What those that left their sweep to others left.
    const provisioner = await Provisioner.open({ root });
    await provisioner.store.swept();
    await provisioner.close();
    if (problems.length === 0) problems.push(...look(workers, ledger, root, crew));
    const { summary, longestPrune } = ledger;
    const report = { operations: ledger.operations, checkpoints, longestPrune, summary };
    return { ...report, problems: problems.map((problem) => `seed ${seed}: ${problem}`) };
  } finally {
    await crew.disband();
  }
}

/** @param {readonly Worker[]} workers @param {Ledger} ledger @param {string} root @param {Crew} crew @returns {string[]} */
function look(workers, ledger, root, crew) {
  for (const worker of workers) ledger.add(worker.news(), worker.owner);
  const dead = workers
    .filter((worker) => !worker.isRunning && worker.process.exitCode !== 0)
    .map(({ name }) => `${name} died`);
  return [...dead, ...ledger.faults, ...brokenPromises(root, crew.reference, ledger.told(), { busy: true })];
}

/**
 * One agent recovers with the containers that it knows. Those of its owner hold still meanwhile, since what they make just now would be unknown; the
 * others go on.
 * @param {readonly Worker[]} workers @param {Ledger} ledger @param {Random} random
 */
async function recoverOne(workers, ledger, random) {
  const agent = random.pick(workers);
  for (const worker of workers) if (worker.owner !== agent.owner) void worker.tell('resume');
  await agent.tell('recover', { known: ledger.known(agent.owner) });
}
