// @ts-check
/* Kills processes that use a store, at random instants, recovers, and looks at everything. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Provisioner } from '#src/index.js';
import { Random } from '../fuzz/random.mjs';
import { Crew, Ledger, OWNERS, releaseMounts } from './crew.mjs';
import { brokenPromises } from './invariants.mjs';

/**
 * @typedef {object} KillReport
 * @property {number} kills instants at which processes were killed
 * @property {number} processes that were killed
 * @property {string[]} problems
 * @property {string} summary
 */

/**
 * @param {object} options
 * @param {number} options.kills instants
 * @param {number} options.seed the workload and the instants come of it; what happens between processes does not
 * @param {number} [options.seconds] no new round begins after so long
 * @param {(line: string) => void} [options.log]
 * @returns {Promise<KillReport>}
 */
export async function killAtRandom({ kills: wanted, seed, seconds = Number.POSITIVE_INFINITY, log = () => {} }) {
  const crew = await Crew.gather();
  const random = new Random(seed);
  const started = performance.now();
  /** @type {KillReport} */
  const report = { kills: 0, processes: 0, problems: [], summary: '' };
  const totals = new Ledger();
  try {
    let store = newStore(crew, 0);
    for (let round = 0; report.kills < wanted && performance.now() - started < seconds * 1000; round++) {
      // Now and then a new one, since making a store can be interrupted too.
      if (round > 0 && random.chance(0.1)) {
        removeStore(store.root);
        store = newStore(crew, round);
      }
      const problems = await runRound(crew, store, random, report);
      if (problems.length === 0) problems.push(...(await recoverAll(crew, store, random)));
      for (const [what, count] of store.ledger.counts) totals.counts.set(what, (totals.counts.get(what) ?? 0) + count);
      store.ledger.counts.clear();
      report.problems.push(...problems.map((problem) => `seed ${seed}, round ${round}: ${problem}`));
      log(`round ${round}: ${report.kills} kills of ${report.processes} processes, ${problems.length} problems`);
      if (problems.length > 0) {
        for (const problem of problems) log(problem);
        break;
      }
    }
    report.summary = totals.summary;
    return report;
  } finally {
    await crew.disband();
  }
}

/** @typedef {{ root: string, ledger: Ledger }} Store */

/** @param {Crew} crew @param {number} round @returns {Store} */
function newStore(crew, round) {
  return { root: join(crew.directory, `store-${round}`), ledger: new Ledger() };
}

/** @param {string} root */
function removeStore(root) {
  releaseMounts(root);
  rmSync(root, { recursive: true, force: true });
}

/**
 * Lets processes work until all of them have been killed, or some have and the others, with new ones in place of the killed, went on for a while.
 * @param {Crew} crew @param {Store} store @param {Random} random @param {{ kills: number, processes: number }} report
 * @returns {Promise<string[]>} what went wrong
 */
async function runRound(crew, { root, ledger }, random, report) {
  const seed = () => random.below(2 ** 31);
  const count = random.between(3, 4);
  const workers = Array.from({ length: count }, (_, index) => {
    const owner = OWNERS[index % 2] ?? 'one';
    const adopted = index < 2 ? adoptable(ledger, owner) : [];
    return crew.start({ root, owner, seed: seed(), lanes: random.between(1, 3), adopted });
  });
  // Mostly in the middle of their work, sometimes while they open the store.
  if (random.chance(0.85)) await Promise.all(workers.map((worker) => worker.ready()));
  await sleep(random.below(random.chance(0.3) ? 60 : 450));
  const everybody = random.chance(0.5);
  const victims = everybody ? workers : workers.filter((_, index) => index === 0 || random.chance(0.4));
  report.kills++;
  report.processes += victims.length;
  await Promise.all(victims.map((worker) => worker.kill()));
  for (const victim of victims) ledger.add(victim.news(), victim.owner);
  const survivors = workers.filter((worker) => !victims.includes(worker));
  if (survivors.length === 0) return ledger.faults;

  const successor = crew.start({
    root,
    owner: victims[0]?.owner ?? 'one',
    seed: seed(),
    lanes: 2,
    recoverFirst: true,
  });
  await successor.ready();
  await sleep(random.below(300));
  const problems = [];
  const others = [...survivors, successor];
  if (random.chance(0.5)) {
    problems.push(...(await Promise.all(others.map((worker) => worker.stop()))).flat());
  } else {
    report.kills++;
    report.processes += others.length;
    await Promise.all(others.map((worker) => worker.kill()));
  }
  for (const worker of others) ledger.add(worker.news(), worker.owner);
  return [...problems, ...ledger.faults];
}

/** What the first process of an owner takes over. @param {Ledger} ledger @param {string} owner */
function adoptable(ledger, owner) {
  return ledger.known(owner).map((id) => {
    const { image = '', files = new Map() } = ledger.containers.get(id) ?? {};
    return { id, image, files: Object.fromEntries(files) };
  });
}

/**
 * As each owner's agent does after its death: with the containers that it knows. Then everything must be as it was told.
 * @param {Crew} crew @param {Store} store @param {Random} random @returns {Promise<string[]>}
 */
export async function recoverAll(crew, { root, ledger }, random) {
  const recover = async (/** @type {string} */ owner) => {
    const provisioner = await Provisioner.open({ root, owner, workers: 1 });
    try {
      const { untrusted, foreign } = await provisioner.recover({ knownContainerIds: ledger.known(owner) });
      await provisioner.store.swept();
      return [...untrusted.map(({ containerId, reason }) => `${containerId}: ${reason}`), ...foreign];
    } finally {
      await provisioner.close();
    }
  };
  const problems = [];
  if (random.chance(0.5)) problems.push(...(await Promise.all(OWNERS.map(recover))).flat());
  else for (const owner of OWNERS) problems.push(...(await recover(owner)));
  ledger.forgetDoubts();
  return [...problems, ...brokenPromises(root, crew.reference, ledger.told())];
}
