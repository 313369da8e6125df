import { expect, test } from 'vitest';
import { again, expectNothingLeft, IMAGE, otherContainerizer, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

const LAUNCH = `await c.launch('job', '${IMAGE}', { command: ['sleep', '100'] });`;

/** Whose monitor waits at its gate for whoever has died. */
describeWith(['root', 'overlay', 'crun', 'busybox', 'cgroups'], 'a launch whose starter was killed', () => {
  for (const crashAt of ['launch.monitored', 'launch.started']) {
    test(`at ${crashAt}: who waits for its end is told of it, and keeps no recovery away`, async () => {
      const { containers, root } = await storeWithBusybox();
      expect(await otherContainerizer(root, LAUNCH, { crashAt }).done).toEqual([]);
      expect(await containers.wait('job')).toMatchObject({ reason: 'start-failed' });
      expect(await containers.get('job')).toMatchObject({ state: 'exited' });
      expect(await containers.recover()).toMatchObject({ failed: [], removed: ['job'] });
      await expectNothingLeft(root);
    });

    test(`at ${crashAt}: is started by who starts it`, async () => {
      const { containers, root } = await storeWithBusybox();
      expect(await otherContainerizer(root, LAUNCH, { crashAt }).done).toEqual([]);
      expect(await containers.start('job')).toMatchObject({ state: 'running' });
      await containers.destroy('job', { running: 'kill' });
      await expectNothingLeft(root);
    });
  }

  test('is waited for while he lives, and not when he has died', async () => {
    const { containers, root } = await storeWithBusybox();
    const body = `
      p.launches.change = () => (say('begun'), new Promise(() => {}));
      c.launch('job', '${IMAGE}', { command: ['sleep', '100'] });
      await sleep(60_000);`;
    const starter = otherContainerizer(root, body);
    await starter.says('begun');
    const late = AbortSignal.timeout(300);
    await expect(containers.wait('job', { signal: late })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await containers.get('job')).toMatchObject({ state: 'starting' });
    const { containers: others } = await again(root, { owner: 'other' });
    const ended = others.wait('job');
    await starter.kill();
    expect(await ended).toMatchObject({ reason: 'start-failed' });
  });
});
