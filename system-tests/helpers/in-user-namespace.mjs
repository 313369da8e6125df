/*
 * Runs a command as root of a user namespace, and of a mount namespace of its own, whose ids are mapped as told:
 * node in-user-namespace.mjs 0:1000:1,1:100000:65535 COMMAND [WORD…]
 * Each part of the map is the first id inside, the first one outside, and how many. For root, who may map what he likes.
 */
import { spawn } from 'node:child_process';
import { readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [map = '', ...command] = process.argv.slice(2);
const lines = map
  .split(',')
  .map((part) => part.replaceAll(':', ' '))
  .join('\n');
/** Who is root inside. */
const outside = Number(map.split(':')[1]);
const child = spawn(
  'unshare',
  ['--user', '--mount', 'sh', '-c', 'read -r _ && exec "$@" </dev/null', 'sh', ...command],
  {
    stdio: ['pipe', 'inherit', 'inherit'],
    uid: outside,
    gid: outside,
  },
);
const done = new Promise((resolve) => {
  child.on('error', (error) => resolve(Promise.reject(error)));
  child.on('exit', (status, signal) => resolve(status ?? `was ended by ${signal}`));
});
const namespaceOf = (/** @type {string | number | undefined} */ pid) => readlinkSync(`/proc/${pid}/ns/user`);
while (child.exitCode === null && namespaceOf(child.pid) === namespaceOf('self')) await sleep(1);
for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${child.pid}/${kind}_map`, lines);
child.stdin.end('\n');
process.exitCode = Number(await done);
