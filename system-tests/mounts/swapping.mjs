// Destroys copies while a process of an ordinary user, chrooted in each, keeps moving a directory on the way to what is mounted there. `exchange`: it changes
// places with a symlink to where the host has mounts of the same names, and with another directory. `rename`: it never has the same name twice, and a
// symlink takes its first one. Prints what has come of the host's mounts, as JSON.
//   unshare --mount --propagation private node swapping.mjs DIRECTORY LAYOUT ROUNDS exchange|rename
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { Provisioner } from '#src/index.js';

const USER = 1000;
const MOUNTS = Array.from({ length: 12 }, (_, index) => `v${index}`);
/** So many moves between two signs of life. */
const BATCH = 500;
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

const [directory, ...words] = process.argv.slice(2);
if (directory === '--swap') moveForEver(...words);
else await destroyWhileSwapping(directory, ...words);

function moveForEver(how) {
  const library = koffi.load(null);
  const chroot = library.func('int chroot(const char *)');
  const renameat2 = library.func('int renameat2(int, const char *, int, const char *, uint)');
  if (chroot('.') !== 0) throw new Error('cannot chroot');
  process.setgroups([]);
  process.setgid(USER);
  process.setuid(USER);
  const move = (one, other, flags) => renameat2(AT_FDCWD, one, AT_FDCWD, other, flags);
  let way = '/data/way';
  for (let number = 0; ; ) {
    for (let count = 0; count < BATCH; count += 4) {
      if (how === 'exchange') {
        for (const other of ['/data/link', '/data/link', '/data/other', '/data/other'])
          move(way, other, RENAME_EXCHANGE);
      } else {
        for (let step = 0; step < 4; step++) {
          const next = `/data/way${number++}`;
          if (move(way, next, 0) === 0) way = next;
          if (number === 1) move('/data/link', '/data/way', 0);
        }
      }
    }
    // What is not deleted yet can be exchanged.
    writeSync(1, '.');
  }
}

async function destroyWhileSwapping(directory, layout, rounds, how) {
  const sh = (...command) => execFileSync(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  const mounted = (below) =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((path) => path.startsWith(below));
  sh('mount', '--make-rshared', '/');
  const victim = join(directory, 'victim');
  for (const name of MOUNTS) {
    mkdirSync(join(victim, name), { recursive: true });
    sh('mount', '-t', 'tmpfs', 'tmpfs', join(victim, name));
  }
  const p = await Provisioner.open({ root: join(directory, 'store'), backend: 'copy' });
  await p.images.pull(`oci:${layout}`, { name: 'app' });
  const outcome = { moves: 0, lost: 0, errors: [], store: 0, left: [] };
  for (let round = 0; round < Number(rounds); round++) {
    const { rootfs } = await p.provision('job', 'app');
    const data = join(rootfs, 'data');
    for (const name of MOUNTS)
      for (const way of ['way', 'other']) mkdirSync(join(data, way, name), { recursive: true });
    symlinkSync(victim, join(data, 'link'));
    for (const [index, name] of MOUNTS.entries()) {
      const target = join(data, 'way', name);
      if (index % 2) sh('mount', '--rbind', join(victim, name), target);
      else sh('mount', '-t', 'tmpfs', 'tmpfs', target);
    }
    for (const path of [data, join(data, 'way'), join(data, 'other')]) chownSync(path, USER, USER);
    const swapper = spawn(process.execPath, [fileURLToPath(import.meta.url), '--swap', how], {
      cwd: rootfs,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    swapper.stdout.on('data', (dots) => {
      outcome.moves += dots.length * BATCH;
    });
    await once(swapper.stdout, 'data');
    await p.destroy('job').catch((error) => outcome.errors.push(`${error.code} ${error.message}`));
    swapper.kill('SIGKILL');
    await once(swapper, 'close');
    // Nobody moves anything any more.
    if (outcome.errors.length > 0) await p.destroy('job');
    await p.store.swept();
    outcome.lost += MOUNTS.length - mounted(victim).length;
    outcome.store += mounted(p.root).length;
    outcome.left.push(...readdirSync(join(p.root, 'gc')), ...(existsSync(rootfs) ? [rootfs] : []));
    if (outcome.lost > 0) break;
  }
  await p.close();
  console.log(JSON.stringify(outcome));
}
