#!/usr/bin/env node
// `npm run demo`: the main job, on a real store in a temporary directory. Ends with nothing left behind.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository, runMain } from './machine.mjs';
import { setUp } from './set-up.mjs';

/** @typedef {import('../dist/index.js').Provisioner} Provisioner */

async function main() {
  await setUp();
  const { Provisioner } = await import('../dist/index.js');
  const root = mkdtempSync(join(tmpdir(), 'provisioner-demo-'));
  // However this ends: with the last line, an error nobody caught, or a signal.
  process.once('exit', () => removeStore(root));
  process.stdout.once('error', () => process.exit(1));
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  try {
    const provisioner = await Provisioner.open({ root });
    try {
      await showMainJob(provisioner);
      await showContainer(provisioner);
    } finally {
      for (const { id } of await provisioner.containers.list()) await provisioner.destroy(id, { running: 'kill' });
      await provisioner.close();
    }
  } finally {
    removeStore(root);
  }
  say('the store is removed; nothing is left');
  console.log(`
What next
  With an image of your own${process.getuid?.() === 0 ? '' : ', and as root with overlay mounts'}; any tool that writes OCI layouts or archives can bring one:
    skopeo copy docker://docker.io/library/alpine:3 oci:/tmp/alpine:3
    node dist/cli/main.js pull oci:/tmp/alpine:3 --name alpine:3
    node dist/cli/main.js run --rm alpine:3 echo hi
    node dist/cli/main.js provision job-1 alpine:3
    node dist/cli/main.js ps
    node dist/cli/main.js destroy job-1
  README.md tells the rest.`);
}

/** @param {Provisioner} provisioner */
async function showMainJob(provisioner) {
  title(`A store in ${provisioner.root}`);
  const { backends } = await provisioner.store.info();
  for (const { name, usable, reason, chosen } of backends) {
    say(`${name}: ${usable ? 'works' : 'does not work'} (${reason})${chosen ? ' ◄ used here' : ''}`);
  }
  const user = process.getuid?.() === 0 ? 'root' : 'an ordinary user';
  if (!backends.some(({ name, chosen }) => name === 'overlay' && chosen)) {
    say(`this is ${user} and overlay does not work here, so everything is shown with copies`);
  }

  title('Pull two images that share layers');
  for (const version of ['v1', 'v2']) await pull(provisioner, version);

  title('Provision a root filesystem from each');
  const first = await timed(
    () => provisioner.provision('demo-1', 'app:v1'),
    ({ rootfs, backend }) => `demo-1 from app:v1 with ${backend}: ${rootfs}`,
  );
  const second = await timed(
    () => provisioner.provision('demo-2', 'app:v2'),
    ({ rootfs, backend }) => `demo-2 from app:v2 with ${backend}: ${rootfs}`,
  );
  const {
    entrypoint,
    cmd,
    user: runAs,
    workingDir,
  } = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (second.runtime));
  say(`app:v2 says how to run it: ${JSON.stringify({ entrypoint, cmd, user: runAs, workingDir })}`);

  title('See the merged tree of demo-1');
  for (const line of drawTree(first.rootfs)) console.log(`    ${line}`);
  showMerge(first.rootfs);

  title('Change a file in demo-1');
  const file = 'etc/os-release';
  expect(
    readFileSync(join(first.rootfs, file), 'utf8') === readFileSync(join(second.rootfs, file), 'utf8'),
    `${file} begins the same in both`,
  );
  appendFileSync(join(first.rootfs, file), 'CHANGED=yes\n');
  expect(readFileSync(join(first.rootfs, file), 'utf8').includes('CHANGED'), `demo-1 has CHANGED=yes in ${file} now`);
  expect(!readFileSync(join(second.rootfs, file), 'utf8').includes('CHANGED'), 'demo-2 does not see it');

  title('Destroy both');
  for (const id of ['demo-1', 'demo-2'])
    await timed(
      () => provisioner.destroy(id),
      () => `${id} is gone`,
    );
  expect(
    (await provisioner.containers.list()).length === 0 && mountsBelow(provisioner.root).length === 0,
    'no container and no mount is left',
  );
  expect(
    !existsSync(first.rootfs) && !existsSync(second.rootfs),
    'their directories are gone; the images stay for the next containers',
  );
}

/** What keeps containers from being run on this machine is told, and is no failure of the demo. */
const CANNOT_RUN = [
  'ERR_RUNTIME_MISSING',
  'ERR_RUNTIME_UNUSABLE',
  'ERR_NATIVE_MISSING',
  'ERR_PERMISSION',
  'ERR_LIMIT_UNSUPPORTED',
];

/** @param {Provisioner} provisioner */
async function showContainer(provisioner) {
  title('Run the program of app:v2 in a container');
  const { openContainerizer } = await import('../dist/containerizer.js');
  try {
    const containers = await openContainerizer({ provisioner });
    const launched = await timed(
      () => containers.launch('demo-3', 'app:v2', { attach: true, mounts: shellOfThisMachine() }),
      ({ pid, command }) => `demo-3 runs ${JSON.stringify(command)} as process ${pid}`,
    );
    for await (const { stream, bytes } of launched.output ?? []) say(`${stream}: ${bytes.toString().trimEnd()}`);
    const { code, reason } = await containers.wait('demo-3');
    expect(code === 0, `it has ended: ${reason}, code ${code}`);
    await containers.destroy('demo-3');
    expect((await containers.list()).length === 0, 'demo-3 is gone');
  } catch (error) {
    const { code, message, hint } = /** @type {import('../dist/index.js').ProvisionerError} */ (error);
    if (!CANNOT_RUN.includes(code)) throw error;
    say(`cannot be shown here: ${message}${hint === undefined ? '' : `; ${hint}`}`);
  }
}

/** The image is too small to have a shell, which its program is for: it is lent this machine's, with the libraries that this one needs. */
function shellOfThisMachine() {
  const lent = { '/bin/sh': realpathSync('/bin/sh'), '/lib': '/lib', '/lib64': '/lib64' };
  return Object.entries(lent)
    .filter(([, source]) => existsSync(source))
    .map(([target, source]) => ({
      type: /** @type {const} */ ('bind'),
      source: realpathSync(source),
      target,
      readOnly: true,
    }));
}

/** @param {Provisioner} provisioner @param {string} version */
async function pull(provisioner, version) {
  const phases = new Map();
  const count = (/** @type {import('../dist/index.js').LayerProgress} */ { layer, phase }) => phases.set(layer, phase);
  provisioner.events.on('layerProgress', count);
  const source = `oci:${join(repository, 'fixtures', `app-${version}`)}`;
  await timed(
    () => provisioner.images.pull(source, { name: `app:${version}` }),
    () => {
      const stored = [...phases.values()].filter((phase) => phase === 'stored').length;
      const unpacked = [...phases.values()].filter((phase) => phase === 'done').length;
      return `app:${version} has ${unpacked + stored} layers: ${unpacked} unpacked, ${stored === 0 ? 'none' : stored} there already`;
    },
  );
  provisioner.events.off('layerProgress', count);
}

/** @param {string} rootfs */
function showMerge(rootfs) {
  expect(
    !existsSync(join(rootfs, 'var/cache/old.txt')),
    'var/cache/old.txt of the lowest layer is deleted, by a whiteout in the third',
  );
  expect(
    readdirSync(join(rootfs, 'opt/data')).join() === 'new.txt',
    'opt/data has nothing but new.txt: the third layer makes it opaque, which hides all that was in it',
  );
  const [one, other] = [lstatSync(join(rootfs, 'usr/bin/tool')), lstatSync(join(rootfs, 'usr/bin/tool-again'))];
  expect(
    one.ino === other.ino && one.nlink === 2,
    `usr/bin/tool and usr/bin/tool-again are hard links: both are inode ${one.ino}`,
  );
}

/** @param {string} directory @param {string} indent @returns {string[]} */
function drawTree(directory, indent = '') {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory()
        ? [`${indent}${entry.name}/`, ...drawTree(join(directory, entry.name), `${indent}  `)]
        : [`${indent}${entry.name}${entry.isSymbolicLink() ? ' (symbolic link)' : ''}`],
    );
}

/**
 * @template Value
 * @param {() => Promise<Value>} work
 * @param {(value: Value) => string} describe
 * @returns {Promise<Value>}
 */
async function timed(work, describe) {
  const start = performance.now();
  const value = await work();
  const took = performance.now() - start;
  say(`${describe(value)} (${took < 10 ? took.toFixed(1) : took.toFixed(0)} ms)`);
  return value;
}

/** @param {boolean} fact @param {string} text */
function expect(fact, text) {
  if (!fact) throw new Error(`this should be so, but is not: ${text}`);
  say(text);
}

/** @param {string} text */
function title(text) {
  console.log(`\n${text}`);
}

/** @param {string} text */
function say(text) {
  console.log(`  ${text}`);
}

/** The mounts that are left when something failed go first, so that nothing is deleted through them. @param {string} root */
function removeStore(root) {
  if (!existsSync(root)) return;
  for (const mount of mountsBelow(root)) spawnSync('umount', ['--lazy', mount]);
  if (mountsBelow(root).length === 0) rmSync(root, { recursive: true, force: true });
  else console.error(`${root} is still mounted and was left alone`);
}

/** @param {string} root */
function mountsBelow(root) {
  if (!existsSync('/proc/self/mounts')) return [];
  const points = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return points.filter((point) => point.startsWith(`${root}/`)).reverse();
}

await runMain(main);
