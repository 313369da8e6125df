// The whole job in a process of its own: pull, provision with copy, look, destroy. Says in JSON what it saw.
//
//   node whole-job.mjs ROOT FIXTURES
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Provisioner } from 'provisioner';

const [root, fixtures] = process.argv.slice(2);

/** What happens when a module is asked for: an error code, or `loaded`. */
async function attempt(name) {
  try {
    await import(name);
    return 'loaded';
  } catch (error) {
    return error.code;
  }
}

/** Path, kind, and what is in it. */
function listTree(directory, prefix = '') {
  return readdirSync(directory)
    .sort()
    .flatMap((name) => {
      const path = join(directory, name);
      const shown = prefix + name;
      const stat = lstatSync(path);
      if (stat.isDirectory()) return [`${shown}/`, ...listTree(path, `${shown}/`)];
      return stat.isSymbolicLink() ? [`${shown} -> ${readlinkSync(path)}`] : [shown];
    });
}

const read = (...path) => readFileSync(join(...path), 'utf8');
const inode = (...path) => lstatSync(join(...path)).ino;

const phases = [];
const provisioner = await Provisioner.open({ root, records: 'memory', allowDegraded: true });
provisioner.events.on('layerProgress', ({ phase }) => ['stored', 'done'].includes(phase) && phases.push(phase));
const { syscalls, backends } = await provisioner.store.info();
for (const version of ['v1', 'v2']) {
  await provisioner.images.pull(`oci:${join(fixtures, `app-${version}`)}`, {
    name: `app:${version}`,
    platform: 'linux/amd64',
  });
}
const one = await provisioner.provision('one', 'app:v1', { backend: 'copy' });
const two = await provisioner.provision('two', 'app:v2', { backend: 'auto' });
const saw = {
  uid: process.getuid?.(),
  attempts: [await attempt('koffi'), await attempt('better-sqlite3')],
  syscalls,
  chosen: backends.find(({ chosen }) => chosen)?.name,
  phases: phases.sort(),
  backends: [one.backend, two.backend],
  tree: listTree(one.rootfs),
  programs: [read(one.rootfs, 'app/main.sh'), read(two.rootfs, 'app/main.sh')],
  sameInode: inode(one.rootfs, 'usr/bin/tool') === inode(one.rootfs, 'usr/bin/tool-again'),
  shared: inode(one.rootfs, 'etc/passwd') === inode(two.rootfs, 'etc/passwd'),
  cmd: two.runtime.cmd,
};
const destroyed = [
  await provisioner.destroy('one'),
  await provisioner.destroy('two'),
  await provisioner.destroy('one'),
];
const containers = await provisioner.containers.list();
await provisioner.close();
const left = ['containers', 'staging', 'gc'].flatMap((name) => readdirSync(join(root, name)));
process.stdout.write(JSON.stringify({ ...saw, destroyed, containers, left }));
