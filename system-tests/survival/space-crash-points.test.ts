import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { again, expectNothingLeft, IMAGE, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox', 'mount'] as const;
const MIB = 2 ** 20;
const launch = (script: string) =>
  `await c.launch('job', '${IMAGE}', ${JSON.stringify({ command: ['sh', '-c', script], limits: { diskBytes: 20 * MIB } })});`;
const WRITE = 'dd if=/dev/zero of=/file bs=1M count=30';

/** With quotas: what a process is doing when it is killed. */
const MADE = ['space.recorded', 'space.given', 'space.limited'];
const LIFTED = ['space.lifted'];
const COUNTED = ['space.over'];
/** In memory. */
const RESIZED = ['space.resized'];

test('a process is killed at every step of a limit of disk space that has a name', () => {
  const all = [...MADE, ...LIFTED, ...COUNTED, ...RESIZED];
  expect(all.sort()).toEqual(CRASH_POINTS.filter((point) => point.startsWith('space.')).sort());
});

describeWith(NEEDS, 'a process that is killed as it ends what has written too much', () => {
  test.each(['recovery', 'wait'] as const)('leaves that to the next %s', async (next) => {
    const { provisioner, root } = await storeWithBusybox({ root: join(mountFileSystem('tmpfs').path, 'store') });
    await provisioner.close();
    const body = `${launch(`${WRITE}; sleep 100`)} await c.wait('job'); say('alive');`;
    expect(await otherContainerizer(root, body, { crashAt: 'space.over' }).done).toEqual([]);
    const { containers } = await again(root);
    expect((await containers.get('job'))?.state).toBe('running');
    if (next === 'recovery') await containers.recover();
    else await containers.wait('job');
    const killed = { signal: 9, reason: 'disk-limit' };
    await vi.waitFor(async () => expect((await containers.get('job'))?.exit).toMatchObject(killed), {
      timeout: 10_000,
    });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a process that is killed as it changes what a container may have in memory', () => {
  test.each([
    ['more', 20, 40],
    ['less', 40, 20],
  ] as const)('leaves it with the size that its limit says, from its next start on: %s', async (_, before, after) => {
    const { provisioner, containers: first, root } = await storeWithBusybox();
    await first.launch('job', IMAGE, {
      ...{ command: ['sh', '-c', 'df -m / | tail -n 1'], limits: { diskBytes: before * MIB, diskOn: 'memory' } },
    });
    await first.wait('job');
    const id = (await provisioner.containers.get('job'))?.rootfses[0]?.id ?? '';
    await provisioner.close();
    const body = `await c.update('job', { diskBytes: ${after * MIB} }); say('alive');`;
    expect(await otherContainerizer(root, body, { crashAt: 'space.resized' }).done).toEqual([]);
    const { provisioner: p, containers } = await again(root);
    const bytes = async () => (await p.containers.memory({ containerId: 'job', id }))?.bytes;
    expect(await bytes()).toBe(after * MIB);
    await containers.start('job');
    await containers.wait('job');
    expect(await bytes()).toBe(before * MIB);
    await p.containers.resizeMemory({ containerId: 'job', id }, 100 * MIB);
    writeFileSync(join(root, 'containers/job/backends/overlay/rootfses', id, 'more'), Buffer.alloc(50 * MIB));
    await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_DISK_LIMIT' });
    await containers.update('job', { diskBytes: 60 * MIB });
    await containers.start('job');
    await containers.wait('job');
    await containers.destroy('job');
    await expectNothingLeft(root);
  });
});

describeWith([...NEEDS, 'xfs', 'project quotas'], 'a process that is killed at a project quota', () => {
  const storeOn = async () =>
    storeWithBusybox({ root: join(mountFileSystem('xfs', { mount: ['prjquota'] }).path, 'store') });

  test.each(MADE)('%s, during a launch: the next recovery takes all back', async (point) => {
    const { provisioner, root } = await storeOn();
    await provisioner.close();
    expect(await otherContainerizer(root, `${launch('true')} say('alive');`, { crashAt: point }).done).toEqual([]);
    const { provisioner: p, containers } = await again(root);
    const [held] = await p.holdings.list({ kind: 'project-quota' });
    expect(await containers.recover()).toMatchObject({ undone: ['job'], failed: [] });
    expect(await p.holdings.list()).toEqual([]);
    await p.store.swept();
    expect(loadSyscalls().projectUse(root, Number(held?.name))).toEqual({ bytes: 0, files: 0, limit: 0 });
    await expectNothingLeft(root);
  });

  test.each(MADE)('%s, during a start of what has ended: the limit holds at the next', async (point) => {
    const { provisioner, containers: first, root } = await storeOn();
    await first.launch('job', IMAGE, {
      ...{ command: ['sh', '-c', `${WRITE} && exit 0; exit 7`], limits: { diskBytes: 20 * MIB } },
    });
    expect(await first.wait('job')).toMatchObject({ code: 7 });
    await provisioner.close();
    // What was given once is not given again.
    const isPassed = point !== 'space.given';
    const said = await otherContainerizer(root, `await c.start('job'); await c.wait('job'); say('alive');`, {
      crashAt: point,
    }).done;
    expect(said).toEqual(isPassed ? [] : ['alive']);
    const { containers } = await again(root);
    await containers.recover();
    await containers.start('job');
    expect(await containers.wait('job')).toMatchObject({ code: 7 });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('space.lifted, during a destroy: the next recovery gives the number back', async () => {
    const { provisioner, root } = await storeOn();
    await provisioner.close();
    const body = `${launch('true')} await c.wait('job'); await c.destroy('job'); say('alive');`;
    expect(await otherContainerizer(root, body, { crashAt: 'space.lifted' }).done).toEqual([]);
    const { provisioner: p, containers } = await again(root);
    expect(await p.holdings.list({ kind: 'project-quota' })).toHaveLength(1);
    expect((await containers.recover()).failed).toEqual([]);
    expect(await p.holdings.list()).toEqual([]);
    await expectNothingLeft(root);
  });
});
