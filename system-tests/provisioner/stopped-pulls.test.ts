import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Provisioner, ProvisionerEvents } from '#src/index.js';
import { isStopped } from '#src/system/syscalls/process-state.js';
import { atOnce } from '../../native-free-tests/helpers/at-once.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';

const shared = buildLayer([{ path: 'shared', content: 'in both' }]);
const image = buildImage([shared]);
const beside = buildImage([shared, buildLayer([{ path: 'own', content: 'own' }])]);

async function sourceOf(built: typeof image): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image: built, refName: 'app:v1' }]);
  return `oci:${layout}`;
}

/** Another process that pulls, and stops itself: when it has announced what it pulls, or when it has a claim to each layer. */
async function stoppedPull(root: string, source: string, at: 'announced' | 'unpacking') {
  const when = { announced: `p.events.on('pullStarted', stop)`, unpacking: `p.events.on('layerProgress', stop)` }[at];
  const other = otherProcess(
    root,
    `const stop = ({ phase = 'unpacking' }) => {
       if (phase !== 'unpacking') return;
       say('stops');
       process.kill(process.pid, 'SIGSTOP');
     };
     ${when};
     await p.images.pull('${source}');
     await p.close();`,
  );
  await other.says('stops');
  await expect.poll(() => isStopped(other.pid), { timeout: 20_000 }).toBe(true);
  return other;
}

const warningOf = async ({ events }: Provisioner) => {
  const [warning] = (await once(events, 'warning')) as ProvisionerEvents['warning'];
  return warning;
};

describeWith(['root'], 'a pull that another process is at, which has been stopped', () => {
  it('is waited for as long as --lock-timeout says, and who is stopped is named', async () => {
    const { root, run } = newStore();
    const source = await sourceOf(image);
    const other = await stoppedPull(root, source, 'announced');
    const { status, stdout, stderr } = await run(['pull', source, '--lock-timeout', '0.3s', '--json']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '[]\n' });
    expect(JSON.parse(stderr)).toMatchObject({
      error: {
        code: 'ERR_LOCK_TIMEOUT',
        message: expect.stringContaining(`process ${other.pid}, which pulls ${source}, is stopped`),
        hint: expect.stringContaining(`kill -CONT ${other.pid}`),
        details: { source, stopped: [String(other.pid)] },
      },
    });
  });

  it('is waited for until it is done, when that process goes on', async () => {
    const source = await sourceOf(image);
    const p = await openStore();
    const other = await stoppedPull(p.root, source, 'announced');
    const waiting = once(p.events, 'pullWaiting');
    const pull = p.images.pull(source);
    await waiting;
    process.kill(other.pid, 'SIGCONT');
    expect((await pull).id).toBe(image.manifest.descriptor.digest);
    expect(p.counters()).toMatchObject({ longWaits: 0, pullsBegun: 0 });
    await other.done;
  });

  it('and that has a layer of another image keeps that one waiting for no longer either', async () => {
    const { root, run } = newStore();
    const other = await stoppedPull(root, await sourceOf(image), 'unpacking');
    const source = await sourceOf(beside);
    const { status, stderr } = await run(['pull', source, '--lock-timeout', '0.3s', '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: {
        code: 'ERR_LOCK_TIMEOUT',
        message: expect.stringContaining(`process ${other.pid}, which works on layer ${shared.diffId}, is stopped`),
        details: { layer: shared.diffId, stopped: [String(other.pid)] },
      },
    });
    await other.kill();
    expect((await run(['pull', source])).status).toBe(0);
  });

  // Each waits for seconds.
  it('is waited for, with a warning, by who may wait', async () => {
    await atOnce({
      'is warned of once, and is pulled here when that process has ended': async () => {
        const source = await sourceOf(image);
        const p = await openStore();
        const other = await stoppedPull(p.root, source, 'announced');
        const warned = warningOf(p);
        const pulls = [p.images.pull(source), p.images.pull(source, { name: 'mine' })];
        expect(await warned).toMatchObject({
          code: 'PULL_WAIT',
          message: expect.stringContaining(`process ${other.pid}, which pulls ${source} and has been stopped for 5 s`),
          details: { pid: other.pid, source },
        });
        await other.kill();
        for (const pulled of await Promise.all(pulls)) expect(pulled.id).toBe(image.manifest.descriptor.digest);
        expect(p.counters()).toMatchObject({ longWaits: 1, pullsFinished: 1 });
      },

      'is waited for on by who may wait, also when somebody whom he waits for may not': async () => {
        const p = await openStore();
        const stopped = await stoppedPull(p.root, await sourceOf(image), 'unpacking');
        const source = await sourceOf(beside);
        const hasty = otherProcess(
          p.root,
          `p.events.on('layerProgress', ({ phase }) => phase === 'shared' && say('waits'));
       await p.images.pull('${source}').catch(({ code }) => say(code));
       await p.close();`,
          { lockTimeout: 3000 },
        );
        await hasty.says('waits');
        const pull = p.images.pull(source);
        await hasty.says('ERR_LOCK_TIMEOUT');
        await stopped.kill();
        expect((await pull).id).toBe(beside.manifest.descriptor.digest);
      },
    });
  });
});
