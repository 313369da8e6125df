/*
 * Does one thing with a store in a process of its own and prints, as JSON, by how many bytes its memory grew at its peak above what an idle provisioner takes:
 * node operate-once.mjs ROOT df|destroy|recover [CONTAINER-ID]
 */
import { readFileSync } from 'node:fs';
import { Provisioner } from '#src/index.js';

/** The most memory that the process has had so far, in bytes. @see proc(5), /proc/pid/status */
const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;

const [root, operation, id = ''] = process.argv.slice(2);
const provisioner = await Provisioner.open({ root, workers: 1 });
// Threads and what they load are there before and after.
await provisioner.provision('small', 'app', { backend: 'copy' });
await provisioner.store.usage();
await provisioner.destroy('small');
if (operation !== 'recover') await provisioner.store.swept();
const idle = peak();
let result;
if (operation === 'df') result = (await provisioner.store.usage()).containers;
if (operation === 'destroy') result = await provisioner.destroy(id);
if (operation === 'recover') {
  await provisioner.recover({ knownContainerIds: [] });
  await provisioner.store.swept();
}
const grown = peak() - idle;
await provisioner.close({ sweep: 'leave' });
process.stdout.write(JSON.stringify({ grown, result }));
