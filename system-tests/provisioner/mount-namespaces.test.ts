import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const app = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);

/** Runs a command in a mount namespace of its own, as a systemd unit with `PrivateTmp=` is. */
const APART = ['unshare', '--mount', '--propagation', 'private'];
/** In a PID namespace of its own as well, as an agent in a container is. */
const CONTAINED = [...APART, '--pid', '--fork', '--mount-proc', '--kill-child'];

async function store(): Promise<Provisioner> {
  const p = await openStore();
  await pullImages(p, { app });
  return p;
}

/** An agent in a namespace of its own that has container `job`, a file `mine` in it, and lives until it is killed or the file `end` is there. */
function agent(p: Provisioner, within: readonly string[], more = '') {
  return otherProcess(
    p.root,
    `import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
     import { execFileSync, spawn } from 'node:child_process';
     const { rootfs } = await p.provision('job', 'app', { backend: 'overlay' });
     writeFileSync(rootfs + '/mine', 'mine');
     ${more}
     say('ready');
     while (!existsSync('${p.root}.go')) await sleep(20);
     rmSync(rootfs + '/etc/name');
     say('sees ' + readdirSync(rootfs + '/etc').length + readdirSync(rootfs).join());
     await sleep(60_000);`,
    { within },
  );
}

async function only(p: Provisioner) {
  const [container] = await p.containers.list();
  const [rootfs] = container?.rootfses ?? [];
  if (rootfs === undefined) throw new Error('there is no rootfs');
  return rootfs;
}

function records(p: Provisioner, sql: string): void {
  const database = new Driver(join(p.root, 'metadata.sqlite'));
  database.exec(sql);
  database.close();
}

/** Until what another process does has happened. */
async function eventually(happened: () => boolean): Promise<void> {
  for (let attempt = 0; !happened(); attempt++) {
    if (attempt === 500) throw new Error('it never happened');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const keepers: ReturnType<typeof spawn>[] = [];
afterEach(async () => {
  for (const keeper of keepers.splice(0)) {
    if (keeper.exitCode !== null || keeper.signalCode !== null) continue;
    keeper.kill('SIGKILL');
    await once(keeper, 'exit');
  }
});

/** A process that does nothing, within the mount namespace of another one, and by that keeps the namespace. @param directory where it works */
async function keeperOf(pid: number, directory = '/') {
  const keeper = spawn(
    'nsenter',
    ['--target', String(pid), '--mount', 'sh', '-c', 'cd "$0" && echo in && exec sleep 60', directory],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  keepers.push(keeper);
  await once(keeper.stdout, 'data');
  return {
    end: async () => {
      keeper.kill('SIGKILL');
      await once(keeper, 'exit');
    },
  };
}

describeWith(['root', 'overlay'], 'a container that is mounted in another mount namespace', () => {
  test.each([
    ['of an agent that lives', APART],
    ['of an agent in a PID namespace of its own', CONTAINED],
  ])('%s is left alone and told, and works on', async (_, within) => {
    const p = await store();
    const other = agent(p, within);
    await other.says('ready');
    const { rootfs, state, mountState } = await only(p);
    expect([state, mountState]).toEqual(['elsewhere', 'elsewhere']);
    for (const _ of [1, 2]) {
      const report = await p.recover({ knownContainerIds: ['job'] });
      expect(report).toMatchObject({ remounted: [], retired: [], finished: [], destroyed: [] });
      expect(report.untrusted).toEqual([
        { containerId: 'job', reason: expect.stringMatching(/in use in another mount namespace \(mnt:\[\d+\]\)/) },
      ]);
    }
    expect(mountsBelow(realpathSync(p.root))).toEqual([]);
    const { findings } = await p.store.check();
    expect(findings.map(({ code, message }) => [code, message])).toEqual([
      ['ROOTFS_NOT_MOUNTED', expect.stringContaining('mounted elsewhere')],
    ]);
    writeFileSync(`${p.root}.go`, '');
    await other.says('sees 0app,etc,mine');
    await other.kill();
    await eventually(() => loadSyscalls().isOverlayInUse(scratchOf(rootfs)) === false);
    expect((await p.recover()).remounted).toEqual([rootfs]);
    expect([readFileSync(join(rootfs, 'mine'), 'utf8'), readdirSync(join(rootfs, 'etc'))]).toEqual(['mine', []]);
    expect(await only(p)).toMatchObject({ state: 'ready', mountState: 'mounted' });
  });

  test('of a killed agent is left alone for as long as another process keeps the namespace', async () => {
    const p = await store();
    const other = agent(p, APART);
    await other.says('ready');
    const keeper = await keeperOf(other.pid);
    await other.kill();
    const { rootfs } = await only(p);
    const { remounted, untrusted } = await p.recover();
    expect([remounted, untrusted.map(({ containerId }) => containerId)]).toEqual([[], ['job']]);
    await keeper.end();
    expect((await p.recover()).remounted).toEqual([rootfs]);
    expect(readFileSync(join(rootfs, 'mine'), 'utf8')).toBe('mine');
  });

  test('of an agent that lives and has unmounted it is left to that agent, until it is dead', async () => {
    const p = await store();
    const other = agent(p, APART, `execFileSync('umount', [rootfs]);`);
    await other.says('ready');
    const { rootfs } = await only(p);
    const { remounted, untrusted } = await p.recover();
    expect([remounted, untrusted]).toEqual([
      [],
      [{ containerId: 'job', reason: expect.stringContaining('a living process') }],
    ]);
    await other.kill();
    expect((await p.recover()).remounted).toEqual([rootfs]);
  });

  test('is not mounted again for an old record, nor without one of where, since the kernel knows better', async () => {
    const p = await store();
    const other = agent(p, APART);
    await other.says('ready');
    for (const change of [
      "mount_boot = 'of before the last reboot'",
      'mount_boot = NULL, mount_namespace = NULL, mount_process = NULL',
    ]) {
      records(p, `UPDATE rootfs SET ${change}`);
      const { remounted, untrusted } = await p.recover();
      expect([remounted, untrusted.map(({ containerId }) => containerId)]).toEqual([[], ['job']]);
    }
    await other.kill();
  });

  test('does not keep a recovery from the others', async () => {
    const p = await store();
    const other = agent(p, APART);
    await other.says('ready');
    const keeper = await keeperOf(other.pid, (await only(p)).rootfs);
    for (const id of ['a', 'z']) await p.provision(id, 'app');
    const { destroyed, untrusted } = await p.recover({ knownContainerIds: [] });
    expect(destroyed).toEqual(['z', 'a']);
    expect(untrusted).toEqual([
      { containerId: 'job', reason: expect.stringContaining('in use in another mount namespace') },
    ]);
    await other.kill();
    await keeper.end();
  });

  test('is left alone when the records are lost', async () => {
    const p = await store();
    const other = agent(p, APART);
    await other.says('ready');
    await p.close();
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(p.root, `metadata.sqlite${suffix}`), { force: true });
    const again = await openStore({ root: p.root });
    const { retired, untrusted } = await again.recover();
    expect([retired, untrusted]).toEqual([
      [],
      [{ containerId: 'job', reason: expect.stringContaining('may be mounted elsewhere') }],
    ]);
    await expect(again.pruneImages()).rejects.toMatchObject({ code: 'ERR_CONTAINER_UNTRUSTED' });
    writeFileSync(`${p.root}.go`, '');
    await other.says('sees 0app,etc,mine');
    await other.kill();
    await again.recover();
    await expectNoContainers(again);
  });
});

describeWith(['root', 'overlay'], 'a container of a service that is shown a boot id of its own', () => {
  test('is not called unmounted, and not mounted again, from outside or inside', async () => {
    const p = await store();
    const file = join(temporaryDirectory(), 'boot-id');
    writeFileSync(file, '11111111-2222-3333-4444-555555555555\n');
    const masked = [...APART, 'sh', '-c', `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, file];
    const other = agent(p, masked);
    await other.says('ready');
    expect(await only(p)).toMatchObject({ state: 'elsewhere', mountState: 'elsewhere', mount: { boot: '' } });
    expect((await p.recover()).untrusted.map(({ containerId }) => containerId)).toEqual(['job']);
    await p.provision('outside', 'app');
    const inside = otherProcess(
      p.root,
      `const { execFileSync } = await import('node:child_process');
       execFileSync('umount', [(await p.containers.list())[1].rootfses[0].rootfs]);
       say((await p.containers.list()).map(({ id, rootfses }) => id + ' ' + rootfses[0].state).join());
       say('' + (await p.recover()).remounted.length); await p.close();`,
      { within: masked },
    );
    expect(await inside.done).toEqual(['job elsewhere,outside elsewhere', '0']);
    await other.kill();
  });
});

describeWith(['root', 'overlay'], 'destroy of a container that is mounted in another mount namespace', () => {
  test.each(['overlay', 'bind'] as const)('takes it away there too when nobody works in it (%s)', async (backend) => {
    const p = await openStore();
    await pullImages(p, { app: buildImage([base]) });
    const other = otherProcess(
      p.root,
      `import { readFileSync } from 'node:fs';
       const { rootfs } = await p.provision('job', 'app', { backend: '${backend}' });
       const mounted = () => readFileSync('/proc/self/mountinfo', 'utf8').includes(rootfs);
       say('mounted ' + mounted());
       while (mounted()) await sleep(20);
       say('gone'); await p.close();`,
      { within: APART },
    );
    await other.says('mounted true');
    expect(await p.destroy('job')).toBe(true);
    await other.says('gone');
    await expectNoContainers(p);
  });

  test('deletes nothing that a process works in; the recovery after its end finishes it', async () => {
    const p = await store();
    const other = agent(p, APART);
    await other.says('ready');
    const { rootfs } = await only(p);
    const keeper = await keeperOf(other.pid, rootfs);
    await expect(p.destroy('job')).rejects.toMatchObject({
      code: 'ERR_CONTAINER_ELSEWHERE',
      message: expect.stringContaining('container job is in use in another mount namespace'),
      details: { containerId: 'job' },
    });
    // What it writes, and the layers that it reads, stay.
    expect(readFileSync(join(scratchOf(rootfs).upper, 'mine'), 'utf8')).toBe('mine');
    expect((await p.pruneImages()).layers.every(({ reasons }) => reasons.length > 0)).toBe(true);
    const { finished, untrusted } = await p.recover();
    expect([finished, untrusted.map(({ containerId }) => containerId)]).toEqual([[], ['job']]);
    await keeper.end();
    await other.kill();
    expect(await p.recover()).toMatchObject({ finished: [rootfs], untrusted: [] });
    await expectNoContainers(p);
  });
});

describeWith(['root', 'overlay'], 'destroy of a container that is mounted here', () => {
  test('does not mind a process that works in it, also where nothing is recorded of the mount', async () => {
    const p = await store();
    for (const change of ['mount_boot = mount_boot', 'mount_boot = NULL', "mount_boot = 'of before the last reboot'"]) {
      const { rootfs } = await p.provision('job', 'app', { backend: 'overlay' });
      records(p, `UPDATE rootfs SET ${change}`);
      const file = openSync(join(rootfs, 'app'), 'r');
      try {
        expect(await p.destroy('job'), change).toBe(true);
      } finally {
        closeSync(file);
      }
      await expectNoContainers(p);
    }
  });
});

describeWith(['root', 'overlay'], 'a store with two paths', () => {
  test('mounts nothing a second time by the other one, says so, and destroys by either', async () => {
    const p = await store();
    const alias = join(temporaryDirectory(), 'alias');
    mkdirSync(alias);
    const { rootfs } = await p.provision('job', 'app', { backend: 'overlay' });
    writeFileSync(join(rootfs, 'mine'), 'mine');
    // Bound without what is mounted below it.
    const script = `mount --bind "$0" "$1" && shift && exec "$@"`;
    const within = [...APART, 'sh', '-c', script, p.root, alias];
    const other = otherProcess(
      alias,
      `const report = await p.recover();
       const [{ rootfses: [{ mountState }] }] = await p.containers.list();
       say(JSON.stringify([report.remounted, report.untrusted.map(({ containerId }) => containerId), mountState]));
       say('destroyed ' + await p.destroy('job')); await p.close();`,
      { within },
    );
    expect(await other.done).toEqual([JSON.stringify([[], ['job'], 'elsewhere']), 'destroyed true']);
    expect(existsSync(rootfs)).toBe(false);
    await expectNoContainers(p);
  });
});

function scratchOf(rootfs: string) {
  const scratch = rootfs.replace('/rootfses/', '/scratch/');
  return { upper: join(scratch, 'upper'), work: join(scratch, 'work') };
}
