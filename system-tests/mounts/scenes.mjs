// Single scenes in a mount namespace of its own. Prints what has come of one, as JSON.
//   unshare --mount --propagation private node scenes.mjs DIRECTORY LAYOUT SCENE
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Provisioner } from '#src/index.js';
import { letGo } from '#src/mounts/let-go.js';
import { letGoOfTree } from '#src/mounts/let-go-of-tree.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { mountBindClassic } from '#src/system/syscalls/native/mounts/bind-mount.js';
import { makePrivateClassic } from '#src/system/syscalls/native/mounts/native-detach.js';
import { nativeDirectoryUsage } from '#src/system/syscalls/native/native-file-status.js';

const [directory, layout, scene] = process.argv.slice(2);
const sh = (...command) => execFileSync(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
const tmpfs = (at) => sh('mount', '-t', 'tmpfs', 'tmpfs', at);
const store = join(directory, 'store');
const mounted = (below) =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => (line.split(' ')[4] ?? '').startsWith(below)).length;

/** A directory of the host that is a mount, with two mounts in it, and a file. */
function makeHost() {
  const host = join(directory, 'host');
  mkdirSync(host);
  tmpfs(host);
  for (const name of ['pts', 'shm']) {
    mkdirSync(join(host, name));
    tmpfs(join(host, name));
  }
  writeFileSync(join(host, 'shm/file'), 'of the host');
  return host;
}

async function withApp(work, options = {}) {
  const p = await Provisioner.open({ root: store, ...options });
  try {
    if ((await p.images.list()).length === 0) await p.images.pull(`oci:${layout}`, { name: 'app' });
    return await work(p);
  } finally {
    await p.close();
  }
}

const SCENES = {
  async staging() {
    const host = makeHost();
    return withApp(async (p) => {
      for (const name of ['in', 'on', 'free']) mkdirSync(join(store, 'staging', name, '0/rootfs'), { recursive: true });
      sh('mount', '--rbind', host, join(store, 'staging/in/0/rootfs'));
      for (let count = 0; count < 2; count++) sh('mount', '--rbind', host, join(store, 'staging/on'));
      symlinkSync(host, join(store, 'staging/link'));
      const before = mounted(host);
      const { retired } = await p.recover();
      await p.store.swept();
      const left = ['staging', 'gc'].flatMap((name) => readdirSync(join(store, name)));
      return { retired: retired.length, left, store: mounted(store), lost: before - mounted(host) };
    });
  },

  async beside() {
    return withApp(async (p) => {
      const { rootfs } = await p.provision('job', 'app', { backend: 'overlay' });
      const host = makeHost();
      const scratch = rootfs.replace('/rootfses/', '/scratch/');
      sh('mount', '--rbind', host, scratch);
      const destroyed = await p.destroy('job');
      await p.store.swept();
      const left = ['containers', 'gc'].flatMap((name) => readdirSync(join(store, name)));
      return { destroyed, left, store: mounted(store), host: mounted(host) };
    });
  },

  /** What a more privileged namespace has mounted, this one may not unmount. */
  async locked() {
    const rootfses = await withApp(async (p) => {
      const made = {};
      for (const backend of ['copy', 'overlay'])
        made[backend] = (await p.provision(backend, 'app', { backend })).rootfs;
      return made;
    });
    tmpfs(join(rootfses.copy, 'dev'));
    writeFileSync(join(rootfses.copy, 'dev/precious'), 'precious');
    const self = fileURLToPath(import.meta.url);
    const told = sh(
      'unshare',
      '--user',
      '--map-root-user',
      '--mount',
      process.execPath,
      self,
      directory,
      layout,
      'less',
    );
    return {
      ...JSON.parse(told),
      precious: readFileSync(join(rootfses.copy, 'dev/precious'), 'utf8'),
      overlay: existsSync(join(rootfses.overlay, 'etc/hostname')),
      /** Whoever mounted them can. */
      destroyed: await withApp(async (p) => [await p.destroy('copy'), await p.destroy('overlay')]),
    };
  },
  async less() {
    return withApp(async (p) => {
      const codes = [];
      for (const id of ['copy', 'overlay']) codes.push(await p.destroy(id).catch(({ code }) => code));
      return { codes };
    });
  },

  async many() {
    const place = join(directory, 'place');
    mkdirSync(place);
    sh(
      'sh',
      '-c',
      'mount --make-rprivate / && for i in $(seq 300); do mount -t tmpfs tmpfs "$1" || exit; done',
      'sh',
      place,
    );
    const before = mounted(place);
    await letGo(loadSyscalls(), place, false);
    return { before, after: mounted(place) };
  },

  /** The calls of older kernels. */
  async classic() {
    const host = makeHost();
    const place = join(directory, 'place');
    for (const name of ['layer/in', 'place']) mkdirSync(join(directory, name), { recursive: true });
    mountBindClassic(join(directory, 'layer'), place);
    tmpfs(join(place, 'in'));
    const seen = mounted(join(directory, 'layer'));
    sh('mount', '--rbind', host, join(place, 'in'));
    const made = [makePrivateClassic(place), makePrivateClassic(directory), makePrivateClassic(join(directory, 'no'))];
    sh('umount', '--lazy', place);
    return { seen, made, place: mounted(place), host: mounted(host) };
  },

  /** Kernels that do not tell which directories are mounts. */
  async untold() {
    for (const name of ['source', 'place/in']) mkdirSync(join(directory, name), { recursive: true });
    sh('mount', '--bind', join(directory, 'source'), join(directory, 'place'));
    mkdirSync(join(directory, 'place/in'));
    const told = ['source', 'place', 'place/in', 'source/in', '.'].map((name) => {
      const descriptor = openSync(join(directory, name), 'r');
      const answers = [nativeDirectoryUsage(descriptor, () => false), nativeDirectoryUsage(descriptor)];
      closeSync(descriptor);
      return answers.map(({ mountPoint }) => mountPoint);
    });
    return { told };
  },

  /** By the way that the process itself does not see. */
  async names() {
    const real = join(directory, 'real');
    mkdirSync(join(real, 'tree/in/er'), { recursive: true });
    symlinkSync(real, join(directory, 'link'));
    mkdirSync(join(directory, 'second'));
    sh('mount', '--bind', real, join(directory, 'second'));
    tmpfs(join(real, 'tree/in'));
    const names = ['link/tree', 'real/tree', 'second/tree'].map((name) => mountsBelow(join(directory, name)).length);
    await letGoOfTree(loadSyscalls(), join(directory, 'link/tree'));
    return { names, after: mounted(join(real, 'tree')) };
  },

  /** Nothing tells what is mounted. */
  async blind() {
    return withApp(async (p) => {
      const overlay = await p.provision('overlay', 'app', { backend: 'overlay' });
      const copy = await p.provision('copy', 'app', { backend: 'copy' });
      sh('mount', '--bind', overlay.rootfs, overlay.rootfs);
      const host = makeHost();
      sh('mount', '--rbind', host, join(copy.rootfs, 'dev'));
      sh('mount', '-t', 'tmpfs', 'tmpfs', '/proc');
      const outcomes = [];
      for (const id of ['overlay', 'copy']) outcomes.push(await p.destroy(id).catch(({ code }) => code));
      await p.store.swept();
      const { gc } = await p.store.info();
      sh('umount', '/proc');
      return {
        outcomes,
        postponed: gc.postponed.length,
        host: mounted(host),
        file: readFileSync(join(host, 'shm/file'), 'utf8'),
      };
    });
  },
};

if (scene !== 'less') sh('mount', '--make-rshared', '/');
console.log(JSON.stringify(await SCENES[scene]()));
