import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  launchPath,
  otherContainerizer,
  sh,
  storeWithBusybox,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

/** Counts without a pause, in two files that differ by one at most while it goes on. */
const COUNTS = 'i=0; while :; do i=$((i+1)); echo $i > /one; echo $i > /two; done';

async function textOf(containers: Containerizer, id: string, path: string): Promise<string> {
  let text = '';
  for await (const piece of containers.files(id).read(path)) text += piece;
  return text.trim();
}

async function kindsOf(containers: Containerizer, id: string): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { containerId, kind } of containers.events({ since: new Date(0), follow: false }))
    if (containerId === id) kinds.push(kind);
  return kinds;
}

async function countsOn(containers: Containerizer, id: string): Promise<void> {
  // Its program may not have come to that yet.
  const before = Number(await vi.waitFor(() => textOf(containers, id, '/one')));
  await vi.waitFor(async () => expect(Number(await textOf(containers, id, '/one'))).toBeGreaterThan(before + 1));
}

/** Has something happen while a store copies, when that is all but done. */
function whenCopied(provisioner: Provisioner, happens: () => Promise<unknown>): void {
  const fork = provisioner.fork.bind(provisioner);
  vi.spyOn(provisioner, 'fork').mockImplementationOnce(async (containerId, newId, options = {}) => {
    const { whileCopied } = options;
    if (whileCopied === undefined) {
      const made = await fork(containerId, newId, options);
      await happens();
      return made;
    }
    const work = (copy: () => Promise<void>) =>
      whileCopied(async () => {
        await copy();
        await happens();
      });
    return fork(containerId, newId, { ...options, whileCopied: work });
  });
}

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a fork of a container', () => {
  test('has what runs there stand still, together for several at once, and go on afterwards', async () => {
    const { containers, root } = await storeWithBusybox();
    const { launchId } = await containers.launch('counts', IMAGE, sh(COUNTS));
    await vi.waitFor(async () => expect(Number(await textOf(containers, 'counts', '/two'))).toBeGreaterThan(3));
    const ids = ['a', 'b', 'c', 'd'];
    await Promise.all(ids.map((id) => containers.fork('counts', id, { command: ['sh', '-c', 'cat /one /two'] })));
    for (const id of ids) {
      const [one, two] = [await textOf(containers, id, '/one'), await textOf(containers, id, '/two')].map(Number);
      // It may have been halted between the opening of a file, which empties it, and the writing.
      if (one !== 0 && two !== 0) expect((one as number) - (two as number)).toBeLessThanOrEqual(1);
    }
    expect((await containers.get('counts'))?.state).toBe('running');
    await countsOn(containers, 'counts');
    expect(existsSync(join(launchPath(root, launchId), 'halted'))).toBe(false);
    const kinds = await kindsOf(containers, 'counts');
    expect(kinds).toContain('pause');
    expect(kinds.filter((kind) => kind === 'pause')).toHaveLength(kinds.filter((kind) => kind === 'resume').length);
    await containers.destroy('counts', { running: 'kill' });
    for (const id of ids) await containers.destroy(id);
    await expectNothingLeft(root);
  });

  test('leaves what somebody has halted as it is, and what is not to be halted going on', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('job', IMAGE, sh(COUNTS));
    await containers.fork('job', 'unhalted', { pause: false });
    expect(await kindsOf(containers, 'job')).not.toContain('pause');
    await containers.pause('job');
    await containers.fork('job', 'halted');
    expect((await containers.get('job'))?.state).toBe('paused');
    await containers.resume('job');
    await countsOn(containers, 'job');
    await containers.destroy('job', { running: 'kill' });
  });

  test('of what goes on removing and making files meanwhile has the others', async () => {
    const { containers, root } = await storeWithBusybox();
    const many = 'mkdir /t; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); : >/t/kept$i; done; touch /ready';
    const churn =
      'while :; do i=0; while [ $i -lt 200 ]; do i=$((i+1)); : >/t/f$i; mkdir /t/d$i; done; rm -rf /t/f* /t/d*; done';
    await containers.launch('churns', IMAGE, sh(`${many}; ${churn}`));
    await vi.waitFor(() => textOf(containers, 'churns', '/ready'), 10_000);
    for (const id of ['a', 'b', 'c']) {
      const { root: made } = await containers.fork('churns', id, { pause: false });
      expect(readdirSync(join(made.rootfs, 't')).filter((name) => name.startsWith('kept'))).toHaveLength(1000);
    }
    await containers.destroy('churns', { running: 'kill' });
    for (const id of ['a', 'b', 'c']) await containers.destroy(id);
    await expectNothingLeft(root);
  });

  test('of another process has it stand still until that has its copy too', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    const other = await again(root);
    const { launchId } = await containers.launch('job', IMAGE, sh(COUNTS));
    let first: Promise<unknown> | undefined;
    let state: string | undefined;
    await new Promise<void>((bothCopy) => {
      let endFirst = () => {};
      const firstEnds = new Promise<void>((resolve) => {
        endFirst = resolve;
      });
      whenCopied(provisioner, async () => {
        bothCopy();
        await firstEnds;
      });
      whenCopied(other.provisioner, async () => {
        endFirst();
        await first;
        state = (await other.containers.get('job'))?.state;
      });
      first = containers.fork('job', 'one');
    });
    await other.containers.fork('job', 'two');
    expect(state).toBe('paused');
    expect(existsSync(join(launchPath(root, launchId), 'halted'))).toBe(false);
    await countsOn(containers, 'job');
    await containers.destroy('job', { running: 'kill' });
    for (const id of ['one', 'two']) await containers.destroy(id);
    await expectNothingLeft(root);
  });

  test.each([
    ['runs', (_: Containerizer) => undefined, (containers: Containerizer) => containers.resume('job')],
    [
      'is to stop',
      (_: Containerizer) => undefined,
      (containers: Containerizer) => containers.stop('job', { grace: 1 }),
    ],
    ['is paused', (c: Containerizer) => c.pause('job'), (containers: Containerizer) => containers.resume('job')],
    [
      'has ended',
      (c: Containerizer) => c.stop('job', { grace: 1 }),
      (containers: Containerizer) => containers.start('job'),
    ],
  ])('of what %s is given up where that goes on before it is copied, and leaves nothing', async (_, before, goOn) => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, sh(COUNTS));
    await before(containers);
    whenCopied(provisioner, () => goOn(containers));
    await expect(containers.fork('job', 'copy')).rejects.toMatchObject({
      code: 'ERR_CONTAINER_RUNNING',
      message: expect.stringContaining('container job'),
    });
    expect(await containers.get('copy')).toBeUndefined();
    expect(await provisioner.containers.get('copy')).toBeUndefined();
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test.each([
    ['looks at it', async (containers: Containerizer) => void (await containers.list())],
    ['lets it go on', (containers: Containerizer) => containers.resume('job')],
    ['recovers', async (containers: Containerizer) => void (await containers.recover())],
  ])('that is killed meanwhile leaves it to whoever next %s to have it go on', async (_, look) => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...sh(COUNTS), timeout: 600_000 });
    await provisioner.close();
    const other = otherContainerizer(root, `await c.fork('job', 'copy');`, { crashAt: 'launch.halted' });
    expect(await other.done).toEqual([]);
    const { containers: now } = await again(root);
    const [record] = await (await again(root)).provisioner.launches.list({ states: ['paused'] });
    expect(record?.containerId).toBe('job');
    await look(now);
    expect((await now.get('job'))?.state).toBe('running');
    await countsOn(now, 'job');
    // Its limit of time passes again.
    expect(readFileSync(join(launchPath(root, record?.id ?? ''), 'deadline'), 'utf8')).not.toContain('-');
    await now.recover();
    expect(await now.get('copy')).toBeUndefined();
    await now.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('of what waits at its gate, or was provisioned only, begins as that is', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await containers.create('waits', IMAGE, sh('echo ran; exit 4'));
    await containers.fork('waits', 'copy');
    await containers.start('copy');
    expect(await containers.wait('copy')).toMatchObject({ code: 4 });
    expect((await containers.get('waits'))?.state).toBe('created');
    await provisioner.provision('bare', IMAGE);
    const refused = containers.fork('bare', 'never', { requireLaunch: true });
    await expect(refused).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
    const { launch, root: made } = await containers.fork('bare', 'bare-copy');
    expect(launch).toBeUndefined();
    expect(readdirSync(made.rootfs)).toContain('bin');
    await expect(containers.fork('bare', 'waits')).rejects.toMatchObject({ code: 'ERR_CONTAINER_EXISTS' });
    for (const id of ['waits', 'copy', 'bare', 'bare-copy']) await containers.destroy(id);
    await expectNothingLeft(root);
  });

  test('has a copy of each volume without a name, shares the others, and is called by its own id', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    const mounts = [
      { type: 'volume', target: '/own' },
      { type: 'volume', source: 'shared', target: '/shared' },
    ] as const;
    const script = 'hostname >> /own/names; hostname >> /shared/names; cat /own/names; echo; cat /shared/names';
    await containers.launch('job', IMAGE, { ...sh(script), mounts });
    await containers.wait('job');
    await containers.fork('job', 'pod/copy');
    expect((await provisioner.volumes.get('shared'))?.containers).toEqual(['job', 'pod/copy']);
    const { output } = await containers.start('pod/copy', { attach: true });
    let printed = '';
    for await (const { bytes } of output ?? []) printed += bytes;
    expect(printed).toBe('job\ncopy\n\njob\ncopy\n');
    expect(await textOf(containers, 'job', '/own/names')).toBe('job');
    await expect(provisioner.volumes.remove('shared')).rejects.toMatchObject({ code: 'ERR_VOLUME_IN_USE' });
    for (const id of ['job', 'pod/copy']) await containers.destroy(id);
    await provisioner.volumes.remove('shared');
    await expectNothingLeft(root);
  });

  test('reads its secrets again, wants its leases for itself, and stays when its start fails', async () => {
    const { containers, root } = await storeWithBusybox();
    const secrets = { key: join(root, 'format') };
    await containers.launch('job', IMAGE, { ...sh('cat /run/secrets/key; sleep 60'), secrets, leases: { cpus: '0' } });
    await containers.fork('job', 'copy', { command: ['sh', '-c', 'cat /run/secrets/key'] });
    await expect(containers.start('copy')).rejects.toMatchObject({ code: 'ERR_LEASED' });
    expect(await containers.get('copy')).toMatchObject({ state: 'exited', exit: { reason: 'start-failed' } });
    await containers.destroy('job', { running: 'kill' });
    await containers.start('copy');
    expect(await containers.wait('copy')).toMatchObject({ code: 0 });
    await containers.destroy('copy');
    await expectNothingLeft(root);
  });

  test('goes with its end where the other one does, and not before it has run', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...sh('sleep 60'), remove: true });
    await containers.fork('job', 'copy', { command: ['true'] });
    expect(await containers.recover()).toMatchObject({ removed: [], failed: [] });
    await containers.start('copy');
    await vi.waitFor(async () => expect(await containers.get('copy')).toBeUndefined());
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('that is given up leaves nothing and lets the other one go on', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, sh(COUNTS));
    const giveUp = new AbortController();
    const forking = containers.fork('job', 'copy', { signal: giveUp.signal });
    giveUp.abort();
    await expect(forking).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await containers.get('copy')).toBeUndefined();
    await countsOn(containers, 'job');
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});
