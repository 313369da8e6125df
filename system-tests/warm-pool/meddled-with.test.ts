import { execFileSync } from 'node:child_process';
import { expect, test, vi } from 'vitest';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { expectNothingLeft, sh } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { claim, type FilledPool, filledPool, KINDS, LOOKED_AT } from './filled-pools.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox', 'catatonit'] as const;

const firstOf = async ({ waiting }: FilledPool): Promise<string> => (await waiting())[0] ?? '';
const pidOf = async ({ containers }: FilledPool, id: string): Promise<number> => (await containers.get(id))?.pid ?? 0;
const looked = () => new Promise((resolve) => setTimeout(resolve, LOOKED_AT));

/** Ends all, and looks whether anything is left but what is told. */
async function endAll({ pool, provisioner, containers, root }: FilledPool): Promise<void> {
  await pool.stop({ timeout: 10_000 });
  for (const { id } of await provisioner.containers.list()) await containers.destroy(id, { running: 'kill' });
  await containers.recover();
  await expectNothingLeft(root);
}

describeWith([...NEEDS], 'what waits and is meddled with by its id', () => {
  test('is his who has started it, also when it has ended before the pool looks at it', async () => {
    const filled = await filledPool({ ...KINDS.created, launch: sh('echo his; exit 4') });
    const { containers, pool, retired } = filled;
    const id = await firstOf(filled);
    await containers.start(id);
    expect(await containers.wait(id)).toMatchObject({ code: 4 });
    await looked();
    expect(retired).toEqual(['broken it is exited']);
    expect((await claim(pool, 2)).map(({ containerId }) => containerId)).not.toContain(id);
    await pool.stop();
    let printed = '';
    for await (const { bytes } of containers.logs(id)) printed += bytes;
    expect(printed).toBe('his\n');
    await endAll(filled);
  });

  test('is his who has started it, and runs on when the pool is stopped at once', async () => {
    const filled = await filledPool(KINDS.created);
    const id = await firstOf(filled);
    await filled.containers.start(id);
    await filled.pool.stop();
    expect((await filled.containers.get(id))?.state).toBe('running');
    await endAll(filled);
  });

  test('goes with the pool when it was killed at its gate', async () => {
    const filled = await filledPool(KINDS.created);
    const id = await firstOf(filled);
    await filled.containers.stop(id);
    const claimed = await claim(filled.pool, 2);
    expect(claimed.map(({ containerId }) => containerId)).not.toContain(id);
    await vi.waitFor(async () => expect(await filled.containers.get(id)).toBeUndefined());
    await endAll(filled);
  });

  for (const [deed, meddle] of [
    ['halted', ({ containers }: FilledPool, id: string) => containers.pause(id)],
    ['stopped', ({ containers }: FilledPool, id: string) => containers.stop(id, { grace: 0 })],
    [
      'unmounted',
      async ({ root }: FilledPool, id: string) => {
        const [place = ''] = mountsBelow(root).filter((path) => path.includes(`/${id}/`));
        loadSyscalls().detachMount(place);
      },
    ],
  ] as const) {
    test(`is not handed out right after it was ${deed}`, async () => {
      const filled = await filledPool(deed === 'unmounted' ? KINDS.rootfs : KINDS.generic);
      const id = await firstOf(filled);
      await meddle(filled, id);
      const claimed = await claim(filled.pool, 2);
      expect(claimed.map(({ containerId }) => containerId)).not.toContain(id);
      await endAll(filled);
    });
  }

  for (const isLookedAt of [true, false]) {
    const when = isLookedAt ? 'and has been looked at since' : 'right before';
    test(`is not handed out when it was killed as it stood still, ${when}`, async () => {
      const filled = await filledPool(KINDS.frozen);
      const id = await firstOf(filled);
      process.kill(await pidOf(filled, id), 'SIGKILL');
      if (isLookedAt) await vi.waitFor(() => expect(filled.retired).toHaveLength(1), { timeout: 5000 });
      const claimed = await claim(filled.pool, 2);
      expect(claimed.map(({ containerId }) => containerId)).not.toContain(id);
      await endAll(filled);
    });
  }

  test('is not handed out while it is unhealthy', async () => {
    const health = { command: ['test', '!', '-e', '/sick'], interval: 100, retries: 1 };
    const filled = await filledPool({ ...KINDS.generic, launch: { health } });
    const id = await firstOf(filled);
    await (await filled.containers.exec(id, ['touch', '/sick'])).ended;
    await vi.waitFor(() => expect(filled.retired).toEqual(['broken it is unhealthy']), { timeout: 10_000 });
    await endAll(filled);
  });
});

describeWith([...NEEDS, 'network'], 'what waits in a network', () => {
  for (const command of ['link del eth0', 'link set eth0 down', 'addr flush dev eth0']) {
    test(`is replaced after ip ${command}`, async () => {
      const filled = await filledPool({ ...KINDS.created, launch: { ...KINDS.created.launch, network: 'bridge' } });
      const id = await firstOf(filled);
      const pid = String(await pidOf(filled, id));
      execFileSync('nsenter', ['-t', pid, '-n', 'ip', ...command.split(' ')]);
      await looked();
      expect(filled.retired).toEqual(['broken it is not connected to its network any more']);
      expect((await claim(filled.pool, 2)).map(({ containerId }) => containerId)).not.toContain(id);
      await endAll(filled);
    });
  }
});
