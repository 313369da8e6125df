// @ts-check
/*
 * node operation.mjs ROOT OWNER [[METHOD, ARGUMENT…], …]
 *
 * Calls methods of a provisioner one after the other and prints, as JSON, what each of them returned. With PROVISIONER_CRASH_AT in its environment it dies
 * on the way.
 */
import { Provisioner } from '#src/index.js';
import { callMethod } from './call-method.mjs';

const [root = '', owner = '', calls = '[]'] = process.argv.slice(2);
const provisioner = await Provisioner.open({ root, owner, workers: 2 });
const results = [];
for (const [method, ...args] of JSON.parse(calls)) {
  results.push((await callMethod(provisioner, method, args)) ?? null);
}
await provisioner.close();
console.log(JSON.stringify(results));
