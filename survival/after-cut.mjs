// @ts-check
/*
 * node after-cut.mjs STORE REFERENCE TOLD
 *
 * Recovers a store as the agents of both owners do after a reboot, looks at everything, and prints what is broken.
 */
import { readFileSync } from 'node:fs';
import { Provisioner } from '#src/index.js';
import { brokenPromises } from './invariants.mjs';
import { readReference } from './reference.mjs';

const [root = '', referenceFile = '', toldFile = ''] = process.argv.slice(2);
const { containers, names, absentNames, known } = JSON.parse(readFileSync(toldFile, 'utf8'));
// JSON has no undefined.
const filesOf = (/** @type {[string, string | null][]} */ files) =>
  new Map(files.map(([path, text]) => [path, text ?? undefined]));
const told = {
  containers: new Map(
    containers.map((/** @type {any} */ [id, container]) => [id, { ...container, files: filesOf(container.files) }]),
  ),
  names: new Map(names),
  absentNames,
};
const problems = [];
try {
  for (const [owner, knownContainerIds] of known) {
    const provisioner = await Provisioner.open({ root, owner, workers: 1 });
    const { untrusted, foreign } = await provisioner.recover({ knownContainerIds });
    await provisioner.store.swept();
    await provisioner.close();
    problems.push(...untrusted.map(({ containerId, reason }) => `${containerId}: ${reason}`), ...foreign);
  }
  problems.push(...brokenPromises(root, readReference(referenceFile), told));
} catch (error) {
  problems.push(`recovery failed: ${/** @type {Error} */ (error).stack}`);
}
process.stdout.write(JSON.stringify(problems));
