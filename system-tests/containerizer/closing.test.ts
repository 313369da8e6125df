import { readdirSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { processStat } from '#src/system/processes/process-stat.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  otherContainerizer,
  processesOf,
  sh,
  storeWithBusybox,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;

/** Children of this process that have ended, and that nobody has waited for. */
function zombies(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const found = processStat(pid);
      return found?.parent === process.pid && found.state === 'Z';
    });
}

describeWith(NEEDS, 'a containerizer that is closed while its containers run', () => {
  test('leaves no process that nobody waits for, however often another one is opened and closed', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    for (const id of ['a', 'b', 'c']) {
      const next = await again(root);
      await next.containers.launch(id, IMAGE, sh('sleep 1'));
      await next.provisioner.close();
    }
    await vi.waitFor(() => expect(processesOf(root).monitors).toEqual([]), { timeout: 10_000, interval: 20 });
    await vi.waitFor(() => expect(zombies()).toEqual([]), { timeout: 5000, interval: 50 });
    const { containers } = await again(root);
    for (const id of ['a', 'b', 'c']) {
      expect(await containers.wait(id)).toMatchObject({ code: 0 });
      await containers.destroy(id);
    }
    await expectNothingLeft(root);
  });

  test('lets its process end', async () => {
    const { provisioner, root } = await storeWithBusybox();
    await provisioner.close();
    const body = `await c.launch('job', '${IMAGE}', { command: ['sleep', '60'] }); await p.close(); say('closed');`;
    const other = otherContainerizer(root, body);
    await other.says('closed');
    const closed = performance.now();
    await other.done;
    expect(performance.now() - closed).toBeLessThan(5000);
    const { containers } = await again(root);
    expect(await containers.get('job')).toMatchObject({ state: 'running' });
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});
