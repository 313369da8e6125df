// Destroys rootfses in which, and on which, things are mounted, in a mount namespace of its own that is shared as systemd makes a machine's: what is
// unmounted by mistake there is unmounted for no one else. Prints how each situation ended, as JSON.
//   unshare --mount --propagation private node situations.mjs DIRECTORY LAYOUT BACKEND
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Provisioner } from '#src/index.js';

const [directory, layout, backend] = process.argv.slice(2);
const sh = (...words) =>
  execFileSync(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
const tmpfs = (at) => sh('mount', '-t', 'tmpfs', 'tmpfs', at);

sh('mount', '--make-rshared', '/');
const p = await Provisioner.open({ root: join(directory, 'store'), backend });
await p.images.pull(`oci:${layout}`, { name: 'app' });

/** What is mounted below a directory, by the kernel's own account. */
const mounted = (below, pid = 'self') =>
  readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(below))
    .sort();

/** Each arranges something. It may return what is to be asked afterwards, and what is to be let go of. */
const SITUATIONS = {
  'nothing is mounted': () => {},
  'a tree of the host is bound in it': ({ rootfs, host }) => {
    sh('mount', '--rbind', host, join(rootfs, 'dev'));
  },
  'a tree of the host is bound in it as a slave': ({ rootfs, host }) => {
    sh('mount', '--rbind', host, join(rootfs, 'dev'));
    sh('mount', '--make-rslave', join(rootfs, 'dev'));
  },
  'a file of the host is bound upon one of its files': ({ rootfs, host }) => {
    sh('mount', '--bind', join(host, 'file'), join(rootfs, 'etc/hostname'));
  },
  'something is mounted where the name is odd': ({ rootfs, host }) => {
    sh('mount', '--rbind', host, join(rootfs, 'a b\nc\\d'));
  },
  'it is bound upon itself, five times': ({ rootfs }) => {
    for (let count = 0; count < 5; count++) sh('mount', '--bind', rootfs, rootfs);
  },
  'it is bound upon itself with a tree of the host in it': ({ rootfs, host }) => {
    sh('mount', '--rbind', host, join(rootfs, 'dev'));
    sh('mount', '--rbind', rootfs, rootfs);
  },
  'a tree of the host is bound upon it, and something is mounted on that tree': ({ rootfs, host }) => {
    sh('mount', '--rbind', host, rootfs);
    tmpfs(host);
    writeFileSync(join(host, 'file'), 'of the host');
  },
  'a mount of the host is bound in it, and something is mounted on that mount': ({ rootfs, host }) => {
    sh('mount', '--bind', join(host, 'shm'), join(rootfs, 'dev'));
    tmpfs(join(host, 'shm'));
  },
  'private mounts lie upon each other in it': ({ rootfs }) => {
    for (let count = 0; count < 3; count++) {
      tmpfs(join(rootfs, 'dev'));
      sh('mount', '--make-private', join(rootfs, 'dev'));
    }
  },
  'a file that is mounted in it is open': ({ rootfs, host }) => {
    sh('mount', '--rbind', host, join(rootfs, 'dev'));
    const descriptor = openSync(join(rootfs, 'dev/file'), 'r');
    return { end: () => closeSync(descriptor) };
  },
  'another mount namespace has mounted a tree of the host in it': async ({ rootfs, host }) => {
    const script = 'mount --rbind "$1" "$2" && echo mounted && exec sleep 1000';
    const words = ['--mount', '--propagation', 'unchanged', 'sh', '-c', script, 'sh', host, join(rootfs, 'dev')];
    const other = spawn('unshare', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(other.stdout, 'data');
    const before = mounted(host, other.pid);
    return {
      ask: () => ({ there: mounted(host, other.pid).length - before.length, store: mounted(p.root, other.pid) }),
      end: () => other.kill('SIGKILL'),
    };
  },
  'another place of the host shows it, and there something is mounted in it': ({ rootfs, host }) => {
    // A copy's directories are one and the same there: what is mounted on one of them has to go when it is deleted.
    if (backend === 'copy') return;
    sh('mount', '--bind', rootfs, join(host, 'view'));
    tmpfs(join(host, 'view/dev'));
  },
};

const outcomes = {};
for (const [situation, arrange] of Object.entries(SITUATIONS)) {
  const host = join(directory, `host-${Object.keys(outcomes).length}`);
  mkdirSync(host);
  tmpfs(host);
  writeFileSync(join(host, 'file'), 'of the host');
  for (const name of ['pts', 'shm', 'view']) mkdirSync(join(host, name));
  for (const name of ['pts', 'shm']) tmpfs(join(host, name));
  writeFileSync(join(host, 'pts/inner'), 'of the host');
  const { rootfs } = await p.provision('job', 'app');
  // A neighbour, whose mount is none of this.
  await p.provision('neighbour', 'app');
  const { ask = () => ({}), end = () => {} } = (await arrange({ rootfs, host })) ?? {};
  const before = mounted(host);
  let error = null;
  const destroyed = await p.destroy('job').catch((cause) => {
    error = `${cause.code} ${cause.message}`;
  });
  await p.store.swept();
  const elsewhere = ask();
  const lost = before.length - mounted(host).length;
  const neighbour = mounted(join(p.root, 'containers')).length;
  await p.destroy('neighbour');
  await p.store.swept();
  outcomes[situation] = {
    error,
    destroyed,
    /** How many of the host's mounts are gone. */
    lost,
    file: readFileSync(join(host, 'file'), 'utf8'),
    neighbour,
    store: mounted(p.root),
    left: [existsSync(rootfs), ...readdirSync(join(p.root, 'gc')), ...readdirSync(join(p.root, 'containers'))],
    elsewhere,
  };
  end();
  sh('umount', '--lazy', '--recursive', host);
}
await p.close();
console.log(JSON.stringify(outcomes));
