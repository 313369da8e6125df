import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { SectionedMetadataManager } from '#src/metadata/sectioned-metadata-manager.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages } from '../helpers/test-store.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
const ID = 'a'.repeat(32);
const LAUNCH = JSON.stringify({ id: ID, containerId: 'job', bootId: 'boot', spec: '{}', removal: 'keep' });
const RUNNING = { code: 'ERR_CONTAINER_RUNNING', details: { containerId: 'job', launch: ID } };

async function storeWithApp(): Promise<Provisioner> {
  const p = await openStore();
  await pullImages(p, { app });
  return p;
}

afterEach(() => vi.restoreAllMocks());

describeWith(['root', 'overlay'], 'a container in which another process has launched something', () => {
  test('is not destroyed when that process has died, by this one, the command line, or a recovery', async () => {
    const p = await storeWithApp();
    const { rootfs } = await p.provision('job', 'app');
    const other = otherProcess(p.root, `await p.launches.put(${LAUNCH}); say('launched'); await sleep(60_000);`);
    await other.says('launched');
    await other.kill();
    await expect(p.destroy('job')).rejects.toMatchObject(RUNNING);
    const { run } = newStore();
    const destroyed = await run(['destroy', 'job', '--root', p.root]);
    expect(destroyed).toMatchObject({ status: 1, stderr: expect.stringContaining(ID) });
    const recovered = await run(['recover', '--destroy-unknown', '--root', p.root]);
    expect(recovered).toMatchObject({ status: 0, stdout: 'nothing to put right\n' });
    expect(existsSync(rootfs)).toBe(true);
    expect(await p.launches.change(ID, { from: ['starting'], to: 'exited', exit: '{}' })).toBe(true);
    expect(await run(['destroy', 'job', '--root', p.root])).toMatchObject({ status: 0, stdout: 'job\n' });
    expect(await p.launches.list()).toEqual([]);
  });

  test('is gone for that process when a destroy had not seen the launch, however the two meet', async () => {
    const p = await storeWithApp();
    await p.provision('job', 'app');
    let letGo = () => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const original = SectionedMetadataManager.prototype.unendedLaunches;
    const looked = new Promise<void>((resolve) => {
      vi.spyOn(SectionedMetadataManager.prototype, 'unendedLaunches').mockImplementation(async function (
        this: SectionedMetadataManager,
        containerId,
      ) {
        const answer = await original.call(this, containerId);
        resolve();
        await gate;
        return answer;
      });
    });
    const destroyed = p.destroy('job');
    await looked;
    const other = otherProcess(
      p.root,
      `say('opened'); await p.launches.put(${LAUNCH}); say('found ' + (await p.containers.get('job'))?.id); await p.close();`,
    );
    await other.says('opened');
    await expect.poll(() => p.launches.get('job')).toMatchObject({ state: 'starting' });
    await sleep(50);
    letGo();
    expect(await destroyed).toBe(true);
    expect(await other.done).toEqual(['opened', 'found undefined']);
  });

  test('is launched in by one of several processes that would', async () => {
    const p = await storeWithApp();
    await p.provision('job', 'app', { backend: 'copy' });
    const others = ['1', '2', '3', '4'].map((digit) => {
      const launch = LAUNCH.replace(ID, digit.repeat(32));
      const put = `await p.launches.put(${launch}).then(() => say('launched'), (error) => say(error.code));`;
      return otherProcess(p.root, `${put} await p.close();`);
    });
    const said = (await Promise.all(others.map(({ done }) => done))).flat();
    const lost = Array.from({ length: 3 }, () => 'ERR_CONTAINER_RUNNING');
    expect(said.sort()).toEqual([...lost, 'launched']);
  });

  test('tells who follows what other processes record, soon, each once, while the records are written for other reasons too', async () => {
    const p = await storeWithApp();
    const count = 300;
    const each = `for (let at = 0; at < ${count}; at++) { await p.launches.note({ kind: 'e' + at, containerId: 'job', owner: 'me', details: String(Date.now()) }); if (at % 10 === 0) await sleep(1); }`;
    const noting = (name: string) => otherProcess(p.root, `${each.replaceAll("'job'", `'${name}'`)} await p.close();`);
    const told: Record<string, string[]> = { one: [], other: [] };
    const late: number[] = [];
    const events = p.launches.follow();
    const others = ['one', 'other'].map(noting);
    for await (const { containerId, kind, details } of events) {
      late.push(Date.now() - Number(details));
      if (told[containerId]?.push(kind) === count && Object.values(told).every(({ length }) => length === count)) break;
    }
    const all = Array.from({ length: count }, (_, at) => `e${at}`);
    expect(told).toEqual({ one: all, other: all });
    expect(late.sort((a, b) => a - b)[Math.floor(late.length / 2)]).toBeLessThan(200);
    await Promise.all(others.map(({ done }) => done));
  });

  test('tells who follows of one event after a long silence, without having looked all the time', async () => {
    const p = await storeWithApp();
    const looks = vi.spyOn(SectionedMetadataManager.prototype, 'launchEvents');
    const next = p.launches.follow().next();
    const note = `say('opened'); await sleep(2000); await p.launches.note({ kind: 'oom', containerId: 'job', owner: 'me', details: String(Date.now()) }); await p.close();`;
    const other = otherProcess(p.root, note);
    await other.says('opened');
    await sleep(1200);
    looks.mockClear();
    await sleep(500);
    expect(looks.mock.calls.length).toBeLessThan(3);
    expect(Date.now() - Number((await next).value?.details)).toBeLessThan(200);
    await other.done;
  });

  test('tells every process what has happened', async () => {
    const p = await storeWithApp();
    const note = `await p.launches.note({ kind: 'oom', containerId: 'job', owner: 'me' }); await p.close();`;
    for (let count = 0; count < 3; count++) await otherProcess(p.root, note).done;
    expect((await p.launches.events()).map(({ sequence, kind }) => [sequence, kind])).toEqual([
      [1, 'oom'],
      [2, 'oom'],
      [3, 'oom'],
    ]);
  });
});
